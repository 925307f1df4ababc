"""Cats against dogs: features of ImageNet and one layer on top.

Question: if a network has learned a thousand things, what does it cost to teach it two more?

    python week2/case_studies/cats_vs_dogs.py --data_dir path/to/PetImages --n_photos 1000
    python week2/case_studies/cats_vs_dogs.py --data_dir path/to/dataset --model vgg16

The backbone stays frozen, a linear head learns in seconds once the features are computed. Folders:
cat and dog, or train/cat, train/dog, test/cat, test/dog; validation comes out of the training
photos. The figure shows the mistakes that the network is surest of: look whether the photo, the
label or the network is to blame. ImageNet holds over a hundred breeds of dogs and several of cats,
so that nothing here is new to it.
"""

import argparse

from common import cli
from common.data import class_folders
from common.data.images import read_photos
from common.ending import run_script
from common.errors import InputError
from common.experiments.experiment import classes_experiment
from common.experiments.trials import Trial, closed_set_table
from common.measures.classification import class_table
from common.models.backbones import load_backbone
from common.runs import Run, start_run
from common.training.optim import Rates
from common.training.strategies import Step
from common.visualization.contact_sheet import contact_sheet
from common.visualization.outcomes import class_figures
from common.words import counted

import numpy as np
from scipy.special import softmax

MOST_MISTAKES = 6  # of each class in the figure
MISSING = (
    "--data_dir is missing: download Cats and Dogs (about 800 MB) from "
    "https://www.microsoft.com/download/details.aspx?id=54765, unpack it, and name its folder with "
    "--data_dir path/to/PetImages"
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.make_parser(__doc__)
    words = "folder with cat and dog, or with train and test above them"
    cli.add_flag(parser, "data_dir", cli.present_path, "PATH", words)
    cli.shared_flags(parser, "model", "weights", "image_size", "batch_size", "seed", "device")
    cli.shared_flags(parser, "output_dir", "smoke", epochs=10, learning_rate=2e-3)
    words = "use so many photos, drawn by chance (default: all)"
    cli.add_flag(parser, "n_photos", cli.whole_number(4, 1_000_000), "N", words)
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size = 1, 64
    return args


def animal_of(path: str) -> str | None:
    """Cat or dog, by the folder that a photo lies in.

    >>> animal_of("train/Cats/1.jpg"), animal_of("train/horse/1.jpg")
    ('cat', None)
    """
    animal = class_folders.folder_name(path).removesuffix("s")
    return animal if animal in ("cat", "dog") else None


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    if args.data_dir is None and not args.smoke:
        raise InputError(MISSING)

    # Data: the source's own test photos where it has them.
    photos = class_folders.read_class_folders(
        args.data_dir or class_folders.draw_noise_photos(["cat", "dog"]),
        class_of=animal_of,
        expected="folders cat and dog with photos, or train and test above them",
    )
    if args.n_photos:
        photos = photos.some(args.n_photos, args.seed)
    parts = class_folders.split_given(photos, args.seed)
    run = start_run(__file__, args)
    counts = ", ".join(f"{len(rows):,} {part}" for part, rows in parts.items())
    print(f"{counted(len(photos.paths), 'photo')}: {counts}")

    # Train a head on frozen features; validation chooses the epoch, the test is asked once.
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    pixels = read_photos(photos.paths, backbone.preprocessing.stored_size)
    experiment = classes_experiment(pixels, photos, parts, args, run)
    plan, rates = [Step(0, args.epochs)], Rates(head=args.learning_rate)
    frozen = experiment.approach(f"{args.model}, frozen", backbone, plan, rates=rates)
    trial = experiment.ask(frozen, args.seed, experiment.train(frozen, args.seed))

    # Tables and figures.
    report, asked = trial.answers.report, experiment.questions.known
    figures = class_figures(run, trial) | mistakes_figure(run, trial, photos, asked)
    return run.finish(
        metrics={**trial.to_dict(), "n_mistakes": int(np.sum(~report.is_correct))},
        split=class_folders.describe_parts(parts, "the folders' own test or stratified", args.seed),
        tables={
            f"{counted(report.n_images, 'test photo')}; interval over photos": closed_set_table(
                [trial]
            ),
            "Each class": class_table(report),
        },
        figures=figures,
        notes=photos.notes,
        device=str(experiment.device),
    )


def mistakes_figure(
    run: Run, trial: Trial, photos: class_folders.ClassPhotos, asked: np.ndarray
) -> dict:
    """The mistakes that the network is surest of; none without any; `asked`: rows of the test."""
    report, names = trial.answers.report, photos.names
    confidence = softmax(trial.answers.scores, axis=1).max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    mistakes = [index for index in order if not report.is_correct[index]]
    if not mistakes:
        return {}
    figure = contact_sheet(
        [photos.paths[asked[index]] for index in mistakes],
        run.figure_path("mistakes.png"),
        identities=[f"is a {names[report.labels[index]]}" for index in mistakes],
        captions=[
            f"{names[report.predicted_labels[index]]}? {confidence[index]:.3f}"
            for index in mistakes
        ],
        n_columns=MOST_MISTAKES,
    )
    return {"The most confident mistakes": figure}


if __name__ == "__main__":
    run_script(main)
