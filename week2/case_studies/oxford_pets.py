"""Oxford-IIIT Pet: 37 breeds of cats and dogs, named by one network.

Question: does a network that names breeds tell cats from dogs, though nobody asked it to?

    python week2/case_studies/oxford_pets.py --data_dir path/to/pets --download
    python week2/case_studies/oxford_pets.py --data_dir path/to/breed_folders --image_size 160

Two ways: a linear head on frozen features, and then the last stages trained too. The family is that
of the breed which the network names. Each seed deals the photos anew, 70, 15 and 15 hundredths of
every breed; intervals resample photos. You should see that most wrong answers stay in the family.
ImageNet has classes for many of these breeds: the network has seen such animals before.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from common.cli import add_flag, local_path, make_parser, shared_flags
from common.data import class_folders
from common.data.images import read_photos
from common.ending import run_script
from common.errors import InputError
from common.experiments.experiment import classes_experiment
from common.experiments.trials import Difference, Trial, by_approach, mean_of
from common.measures.classification import (
    ClassificationReport,
    class_table,
    evaluate_classification,
)
from common.measures.intervals import mean_columns, paired_bootstrap_over_individuals
from common.models.backbones import load_backbone
from common.runs import Run, start_run
from common.training.optim import Rates
from common.training.strategies import Step
from common.visualization.bars import interval_chart
from common.visualization.outcomes import class_figures
from common.words import counted

import numpy as np
import pandas as pd
from torchvision.datasets import OxfordIIITPet

CATS = (
    "abyssinian, bengal, birman, bombay, british_shorthair, egyptian_mau, maine_coon, persian, "
    "ragdoll, russian_blue, siamese, sphynx"
)
CAT_BREEDS = CATS.split(", ")
MISSING = (
    "--data_dir is missing: name a folder for Oxford-IIIT Pet and add --download (800 MB from "
    "https://www.robots.ox.ac.uk/~vgg/data/pets/), or a folder with one folder per breed"
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    words = "folder of torchvision's OxfordIIITPet, or with one folder per breed"
    add_flag(parser, "data_dir", local_path, "PATH", words)
    parser.add_argument(
        "--download", action="store_true", help="fetch the photos into --data_dir first, 800 MB"
    )
    shared_flags(parser, "model", "weights", "batch_size", "device", "output_dir", "smoke")
    shared_flags(parser, "head_learning_rate", image_size=160, epochs=10, learning_rate=1e-4)
    shared_flags(parser, unfreeze=2, seeds="0")
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 1, 64, args.seeds[:2]
    return args


def breed_of(path: str) -> str | None:
    """The breed in a path: its folder, or its file name in the published folder `images`.

    None for the published outlines of the animals, which are pictures too.

    >>> breed_of("oxford-iiit-pet/images/Maine_Coon_12.jpg"), breed_of("Maine Coon/12.jpg")
    ('maine_coon', 'maine_coon')
    """
    *folders, file = path.split("/")
    if "annotations" in folders:
        return None
    name = folders[-1] if folders else "images"
    if name == "images":
        name = file.rpartition("_")[0]
    return name.lower().replace(" ", "_")


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    if args.data_dir is None and not args.smoke:
        raise InputError(MISSING)

    # Data, and which breeds are cats.
    if args.data_dir and args.download:
        fetch(args.data_dir)
    folder = args.data_dir or class_folders.draw_noise_photos(
        ["Abyssinian", "Maine Coon", "beagle", "pug"]
    )
    photos = class_folders.read_class_folders(
        folder, class_of=breed_of, expected="one folder per breed"
    )
    is_cat = np.array([name in CAT_BREEDS for name in photos.names])
    if is_cat.all() or not is_cat.any():
        raise InputError(
            f"--data_dir {folder}: {is_cat.sum()} of its {len(is_cat)} folders are named after a "
            "cat breed; expected breeds of cats and of dogs, such as Persian and beagle"
        )
    run = start_run(__file__, args)
    breeds = f"{counted(is_cat.sum(), 'breed')} of cats, {(~is_cat).sum()} of dogs"
    print(f"{counted(len(photos.paths), 'photo')}: {breeds}")

    # Train both ways with each seed, on a split of its own; the test photos are asked once.
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    pixels = read_photos(photos.paths, backbone.preprocessing.stored_size)
    rates = Rates(head=args.head_learning_rate, backbone=args.learning_rate)
    trials, asked = [], []
    for seed in args.seeds:
        parts = class_folders.stratified_split(photos.labels, seed)
        experiment = classes_experiment(pixels, photos, parts, args, run)
        asked.append(parts["test"])
        for name, plan in plans_of(args).items():
            approach = experiment.approach(name, backbone, plan, rates=rates)
            trials.append(experiment.ask(approach, seed, experiment.train(approach, seed)))

    # Tables and figures, all seeds together; a photo in the test of two seeds is resampled as one.
    asked = np.concatenate(asked)
    reports = reports_of(trials, photos.labels[asked], photos.names)
    table = family_table(trials, reports, asked, is_cat)
    first, second = reports
    both = (reports[second].is_correct, reports[first].is_correct)
    gain = Difference("breeds", second, first, paired_bootstrap_over_individuals(*both, asked))

    return run.finish(
        metrics={"trials": trials, "gain": gain.interval},
        split=class_folders.describe_parts(
            parts, f"stratified by breed, seeds {args.seeds}", args.seeds[-1]
        ),
        tables={
            f"Test photos of seeds {args.seeds}; intervals over photos": table,
            f"Each breed, {second}": class_table(reports[second], "breed"),
        },
        figures=draw(run, table, reports[second], by_approach(trials)[second][0]),
        notes=[gain.sentence(), *photos.notes],
        device=str(experiment.device),
    )


def plans_of(args: argparse.Namespace) -> dict[str, list[Step]]:
    """The two ways: a head, and the last stages once the head knows its way."""
    warm_up = Step(0, max(1, args.epochs // 3))
    return {
        "head on frozen features": [Step(0, args.epochs)],
        f"last {counted(args.unfreeze, 'stage')} too": [warm_up, Step(args.unfreeze, args.epochs)],
    }


def reports_of(
    trials: Sequence[Trial], labels: np.ndarray, names: Sequence[str]
) -> dict[str, ClassificationReport]:
    """Each way's answers, all seeds one after the other."""
    return {
        name: evaluate_classification(
            scores=np.concatenate([trial.answers.scores for trial in own]),
            labels=labels,
            identities=names,
        )
        for name, own in by_approach(trials).items()
    }


def family_table(
    trials: Sequence[Trial],
    reports: Mapping[str, ClassificationReport],
    asked: np.ndarray,
    is_cat: np.ndarray,
) -> pd.DataFrame:
    """One row per way: the breed, the breed among five, and the family that it belongs to."""
    rows = []
    for name, own in by_approach(trials).items():
        report, row = reports[name], {"way": name}
        for measure, is_right in (
            ("breed", report.is_correct),
            ("top 5", report.rank <= 5),
            ("family", is_cat[report.predicted_labels] == is_cat[report.labels]),
        ):
            row |= mean_columns(measure, is_right, asked)
        rows.append(row | {"training, s": mean_of(own, "training_seconds")})
    return pd.DataFrame(rows)


def draw(run: Run, table: pd.DataFrame, report: ClassificationReport, trial: Trial) -> dict:
    """Accuracy of both ways; of the second, what it confuses and how its first seed trained."""
    path, words = run.figure_path("accuracy.png"), "share of test photos whose breed is named"
    chart = interval_chart(table, path, value="breed", label="way", value_name=words)
    all_seeds = replace(trial, answers=replace(trial.answers, report=report))
    figures = class_figures(run, all_seeds, kind="breed", name=trial.approach)
    return {"Breed accuracy": chart} | figures


def fetch(folder: Path) -> None:
    """Download the published photos with torchvision, which checks their sums."""
    try:
        OxfordIIITPet(folder, download=True)
    except (OSError, RuntimeError) as error:
        raise InputError(f"--download: Oxford-IIIT Pet is not in reach ({error})") from error


if __name__ == "__main__":
    run_script(main)
