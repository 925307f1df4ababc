"""Five dog breeds: freeze, free the last blocks, or free everything.

Question: with some hundred photos, how much of a pre-trained network should be trained?

    python week2/case_studies/stanford_dogs.py --data_dir path/to/Images --image_size 128
    python week2/case_studies/stanford_dogs.py --data_dir path/to/Images \
        --models resnet50,efficientnet_b0

The recipe: Adam, batches of 32, a rate that is halved when validation stands still; the head alone
(rate 1e-3, 15 epochs), the last blocks too (1e-4, 15 epochs: two of a ResNet, one of any other), or
all (1e-5, 20 epochs); flips, rotations and colours. Its author reports 100 per cent of 125 test
photos for ResNet-50 under every strategy, and 92 to 99.2 for EfficientNet-B0. Before you believe
in transfer: all photos of Stanford Dogs come from ImageNet, whose labels those networks learned.
The official folders hold three kinds of poodle; `--breeds` says which names to look for.
"""

import argparse
from collections.abc import Callable

from common import cli
from common.data import class_folders
from common.data.images import read_photos, training_transform
from common.ending import run_script
from common.errors import InputError, WeightsNotInReach
from common.experiments.experiment import Experiment, classes_experiment
from common.experiments.trials import Trial, closed_set_table
from common.measures.classification import class_table
from common.models.backbones import Backbone, load_backbone
from common.runs import Run, start_run
from common.training.losses import cross_entropy
from common.training.optim import Rates
from common.training.strategies import Step
from common.visualization.bars import interval_chart
from common.visualization.outcomes import class_figures
from common.words import counted

import pandas as pd

BREEDS = ["beagle", "boxer", "german_shepherd", "golden_retriever", "poodle"]
CAVEAT = (
    "Stanford Dogs was taken from ImageNet's training photos: a network with ImageNet weights has "
    "probably seen these very photos with their breeds, so that even 100 per cent is no proof of "
    "transfer."
)
MISSING = (
    "--data_dir is missing: download http://vision.stanford.edu/aditya86/ImageNetDogs/images.tar "
    "(about 750 MB), unpack it, and name its folder Images with --data_dir path/to/Images"
)
RECIPE = {"freeze": (15, 1e-3), "partial": (15, 1e-4), "full": (20, 1e-5)}  # epochs and rate


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.make_parser(__doc__)
    words = "any folder in which folders of photos are named after breeds"
    cli.add_flag(parser, "data_dir", cli.present_path, "PATH", words)
    words, breeds = "parts of the folders' names", ",".join(BREEDS)
    cli.add_flag(parser, "breeds", cli.list_of(cli.plain_word), "NAME,...", words, breeds)
    cli.shared_flags(parser, "models", "weights", "batch_size", "seed", "device", "output_dir")
    cli.shared_flags(parser, "smoke", image_size=224)
    words = "last blocks that partial trains (default: 2 of a ResNet, 1 of any other)"
    cli.add_flag(parser, "unfreeze", cli.whole_number(1, 100), "N", words)
    args = parser.parse_args(argv)
    if args.smoke:
        args.image_size = 64
    return args


def breed_finder(breeds: list[str]) -> Callable[[str], str | None]:
    """A function from a photo's path to the breed that a folder above it is named after."""

    def breed_of(path: str) -> str | None:
        for folder in reversed(path.split("/")[:-1]):
            name = folder.lower().replace(" ", "_")
            for breed in breeds:
                if breed in name:
                    return breed
        return None

    return breed_of


def plans_of(args: argparse.Namespace, model: str) -> dict[str, list[Step]]:
    """The three strategies, each a plan of one step with its own rate."""
    last = args.unfreeze or (2 if "resnet" in model else 1)
    stages, plans = {"freeze": 0, "partial": last, "full": None}, {}
    for strategy, (epochs, rate) in RECIPE.items():
        rates = Rates(head=rate, backbone=rate, weight_decay=0.0)
        plans[strategy] = [Step(stages[strategy], 1 if args.smoke else epochs, rates)]
    return plans


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    if args.data_dir is None and not args.smoke:
        raise InputError(MISSING)

    # Data: 70, 15 and 15 hundredths of each breed.
    photos = class_folders.read_class_folders(
        args.data_dir or class_folders.draw_noise_photos(BREEDS),
        class_of=breed_finder(args.breeds),
        expected=f"folders named after {', '.join(args.breeds)}",
    )
    parts = class_folders.stratified_split(photos.labels, args.seed)
    run = start_run(__file__, args)
    counts = ", ".join(f"{len(rows)} {part}" for part, rows in parts.items())
    print(f"{counted(len(photos.paths), 'photo')} of {', '.join(photos.names)}: {counts}")

    # Backbones whose weights are in reach; a comparison of several goes on without the others.
    backbones, skipped = load_backbones(args)
    changes = {"epochs": 0, "optimizer": "adam", "schedule": "plateau"}
    changes |= {"warmup_epochs": 0, "clip_norm": None}
    sizes = {each.preprocessing.stored_size for each in backbones.values()}
    pixels = {size: read_photos(photos.paths, size) for size in sizes}

    # Train each under every strategy; validation chooses the epoch, the test is asked once.
    trials, facts = [], []
    for model, backbone in backbones.items():
        own_pixels = pixels[backbone.preprocessing.stored_size]
        experiment = classes_experiment(own_pixels, photos, parts, args, run, **changes)
        for strategy, plan in plans_of(args, model).items():
            trials.append(train_and_ask(experiment, f"{model}, {strategy}", backbone, plan, args))
            row = {"model": model, "strategy": strategy, "epochs": str(plan[0].epochs)}
            facts.append(row | {"rate": f"{plan[0].rates.head:.0e}"})

    # Tables and figures.
    summary, names = closed_set_table(trials), ["validation", "training, s", "test"]
    measured = summary[[*names, "test_low", "test_high"]]
    measured = measured.rename(columns={"validation": "best validation", "training, s": "seconds"})
    facts += [{"model": model, "strategy": "skipped: see the notes"} for model in skipped]
    table = pd.DataFrame(facts).join(measured)
    per_breed = {trial.approach: class_table(trial.answers.report, "breed") for trial in trials}
    return run.finish(
        metrics={"trials": trials, "skipped": skipped, "caveat": CAVEAT},
        split=class_folders.describe_parts(parts, "stratified by breed", args.seed),
        tables={
            f"{counted(len(parts['test']), 'test photo')}; intervals over photos": table,
            "Each breed": pd.concat(per_breed, names=["way"]),
        },
        figures=draw(run, summary, trials),
        notes=[CAVEAT, *photos.notes, *(f"{name} skipped: {why}" for name, why in skipped.items())],
        device=str(experiment.device),
    )


def load_backbones(args: argparse.Namespace) -> tuple[dict[str, Backbone], dict[str, str]]:
    """Backbones by name, and why those are left out whose weights are not in reach.

    Raises:
        WeightsNotInReach: none is.
    """
    backbones, skipped = {}, {}
    for name in args.models:
        try:
            backbones[name] = load_backbone(name, weights=args.weights, image_size=args.image_size)
        except WeightsNotInReach as error:
            skipped[name] = str(error)
    if not backbones:
        raise WeightsNotInReach("; ".join(skipped.values()))
    return backbones, skipped


def train_and_ask(
    experiment: Experiment, name: str, backbone: Backbone, plan: list[Step], args
) -> Trial:
    """One model under one strategy, on flips, rotations and colours: no crop, no hidden patch."""
    views = training_transform(backbone.preprocessing, flip=True, smallest_crop=1.0, erasing=0.0)
    approach = experiment.approach(name, backbone, plan, augment=views)
    trained = experiment.train(approach, args.seed, criterion=cross_entropy(0.0))
    return experiment.ask(approach, args.seed, trained)


def draw(run: Run, summary: pd.DataFrame, trials: list[Trial]) -> dict:
    """Accuracy of all; training, and which breed is taken for which, of each."""
    path = run.figure_path("accuracy.png")
    chart = interval_chart(summary, path, value="test", label="name", value_name="test accuracy")
    figures = {"Test accuracy": chart}
    for trial in trials:
        figures |= class_figures(run, trial, kind="breed", name=trial.approach)
    return figures


if __name__ == "__main__":
    run_script(main)
