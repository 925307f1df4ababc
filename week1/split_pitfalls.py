"""Two ways to a number that is too good or too bad, measured with one model.

Question: how much of a score comes from the split, and does mirroring photos help or harm when
an animal's two sides differ?

    python week1/split_pitfalls.py
    python week1/split_pitfalls.py --model small_cnn --image_size 64 --epochs 20

The model is week 2's, for once: the last two stages of a pre-trained EfficientNet-Lite0 and a new
head, which is good enough to be fooled in four minutes on two laptop cores. The second command
takes week 1's own network, from scratch, and about ten minutes. You should see the same model
score far better on a random split, where most test photos have a neighbour from the same encounter
in training, than on later days. Whether the mirror does harm is for you to read off: an interval
that spans zero says "cannot be told". Exercises 1.5 and 1.6 of week1/README.md start here.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace

from common.cli import make_parser, shared_flags
from common.data.images import read_photos
from common.ending import run_script
from common.errors import InputError
from common.machine.device import pick_device
from common.measures.intervals import (
    LEVEL,
    N_RESAMPLES,
    Interval,
    bootstrap_over_individuals,
    interval_columns,
)
from common.mine import own_functions
from common.models.backbones import SCRATCH_CNN, load_backbone, restart
from common.models.freezing import freeze_stages
from common.runs import describe_split, start_run
from common.splits.leaks import leak_report
from common.splits.splits import Split, make_split
from common.splits.study import Study, open_study
from common.training.boundary import PhotosAtBoundary
from common.training.loop import TrainingSettings
from common.training.optim import Rates
from common.training.recipes import train_classifier
from common.visualization.bars import interval_chart
from common.words import counted

import numpy as np
import pandas as pd

N_TRAINABLE = 2  # last stages of a pre-trained backbone that train; a network from scratch: all
N_VIEWS = 4  # random views per training photo behind frozen stages


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    shared_flags(parser, "data_dir", "model", "split", "split_column", "image_size", "batch_size")
    shared_flags(parser, "seeds", "device", "output_dir", "smoke", "mine")
    shared_flags(parser, epochs=10, learning_rate=1e-3)
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 1, 64, args.seeds[:1]
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run = start_run(__file__, args)
    yours, mine = own_functions(args, __file__, "interval_over_animals")

    # Data: an honest split, and for each seed a random one with the same counts per animal.
    study = open_study(args)
    catalogue, honest = study.catalogue, study.split
    if honest.name == "random":
        raise InputError(
            "--split random: this script compares a random split with a better one; add dates or "
            "encounters to the catalogue, or name another --split"
        )
    study.rows_known("test")  # says so if there is nothing to test
    randoms = {seed: make_split(catalogue, "random", seed=seed, like=honest) for seed in args.seeds}

    # Model: what is frozen is computed once for all trainings, with and without mirrored photos.
    plain, mirrored = photos_behind_frozen_stages(args, study, [honest, *randoms.values()])

    # Train and test under each condition, with each seed; validation chooses the epoch.
    later, later_mirrored, answers = honest.name, f"{honest.name}, mirrored", []
    for seed in args.seeds:
        conditions = {"random": (randoms[seed], plain), later: (honest, plain)}
        if catalogue.has_sides:
            conditions[later_mirrored] = (honest, mirrored)
        for name, (split, photos) in conditions.items():
            checkpoint = run.checkpoint(f"{name}, seed {seed}")
            answers.append(train_and_test(name, seed, args, study, split, photos, checkpoint))
    answers = pd.concat(answers, ignore_index=True)

    # Compare, and say what can be told.
    by_condition = answers.groupby("condition", sort=False)
    table = pd.DataFrame([summarise(*each, yours) for each in by_condition])
    gap = difference(answers, "random", later, yours)
    metrics = {"conditions": table, "random_minus_honest": gap.to_dict()}
    tables = {"The same model on two splits": table.iloc[:2]}
    notes = [
        *mine,
        f"Means over {counted(len(args.seeds), 'seed')}; intervals: 95 %, over animals.",
        verdict(f"Random minus {later}", gap),
    ]
    if catalogue.has_sides:
        harm = difference(answers, later_mirrored, later, yours)
        metrics["mirrored_minus_plain"] = harm.to_dict()
        tables["No training photo mirrored, or half of them"] = table.iloc[1:]
        notes.append(verdict("Mirrored minus plain", harm))
    else:
        notes.append("Mirroring is not measured: no photo is known to show a left or right side.")

    # Figure and result.
    words = "accuracy on test photos (95 % interval over animals)"
    path = run.figure_path("pitfalls.png")
    figure = interval_chart(table, path, value="accuracy", label="condition", value_name=words)
    return run.finish(
        metrics=metrics,
        split=describe_split(honest, study.leak),
        tables=tables,
        figures={"The same model, asked in different ways": figure},
        notes=notes,
        device=str(plain.device),
    )


def photos_behind_frozen_stages(
    args: argparse.Namespace, study: Study, splits: list[Split]
) -> tuple[PhotosAtBoundary, PhotosAtBoundary]:
    """The photos as a backbone's frozen stages see them: never mirrored, and half of them.

    The training photos of all splits are needed; the first split's alone are mirrored.
    """
    is_scratch = args.model == SCRATCH_CNN
    weights = "none" if is_scratch else "imagenet"
    backbone = load_backbone(args.model, weights=weights, image_size=args.image_size)
    freeze_stages(backbone, None if is_scratch else N_TRAINABLE)
    pixels = read_photos(study.catalogue.paths(), backbone.preprocessing.stored_size)
    n_views = 1 if args.smoke else N_VIEWS
    options = {"n_views": n_views, "device": pick_device(args.device)}
    ever_trained = np.unique(np.concatenate([split.rows("train") for split in splits]))
    once = splits[0].rows("train")
    return (
        PhotosAtBoundary(backbone, pixels, study.labels, ever_trained, flip=False, **options),
        PhotosAtBoundary(backbone, pixels, study.labels, once, flip=True, **options),
    )


def train_and_test(
    condition: str,
    seed: int,
    args,
    study: Study,
    split: Split,
    photos: PhotosAtBoundary,
    checkpoint,
) -> pd.DataFrame:
    """Train under one condition and ask about the test photos of known animals.

    Returns:
        A table with one row per test photo: condition, identity, is_correct, and the share of
        all test photos that have a training photo of the same encounter.
    """
    if args.model == SCRATCH_CNN:
        restart(photos.tail, seed)
    trained = train_classifier(
        photos,
        train_rows=split.rows("train"),
        validation_rows=split.rows_known("validation", study.catalogue),
        n_identities=len(study.catalogue.identities),
        settings=TrainingSettings.from_flags(args, seed=seed),
        rates=Rates(head=2 * args.learning_rate, backbone=args.learning_rate),
        title=f"{condition}, seed {seed}",
        checkpoint=checkpoint,
    )
    rows = split.rows_known("test", study.catalogue)
    leak = leak_report(study.catalogue, split).test
    return pd.DataFrame(
        {
            "condition": condition,
            "seed": seed,
            "identity": study.identity[rows],
            "is_correct": photos.outputs(trained.model, rows).argmax(1) == study.labels[rows],
            "same_encounter": leak.n_same_encounter / leak.n_known,
        }
    )


def interval_of(values: pd.Series, animals: pd.Series, yours: dict[str, Callable]) -> Interval:
    """Mean over photos with its 95 % interval over animals; yours: functions of --mine."""
    interval = bootstrap_over_individuals(values, animals)
    if own := yours.get("interval_over_animals"):
        photos = values.to_numpy(float), animals.to_numpy(str)
        low, high = own(*photos, N_RESAMPLES, LEVEL, np.random.default_rng(0))
        interval = replace(interval, low=float(low), high=float(high))
    return interval


def summarise(condition: str, asked: pd.DataFrame, yours: dict[str, Callable]) -> dict:
    """One line of a table: a condition's accuracy over all seeds."""
    accuracy = interval_of(asked["is_correct"], asked["identity"], yours)
    return {
        "condition": condition,
        "test photos": len(asked) // asked["seed"].nunique(),
        "animals": asked["identity"].nunique(),
        "of the same encounter": float(asked["same_encounter"].mean()),
        **interval_columns("accuracy", accuracy),
    }


def difference(
    answers: pd.DataFrame, first: str, second: str, yours: dict[str, Callable]
) -> Interval:
    """Accuracy under the first condition minus the second, with its interval over animals.

    Both test the same number of photos of each animal, so that sorted by animal they pair up.
    """
    ordered = answers.sort_values("identity", kind="stable")
    one, other = (ordered[ordered["condition"] == name] for name in (first, second))
    gain = one["is_correct"].astype(float) - other["is_correct"].to_numpy(float)
    return replace(interval_of(gain, one["identity"], yours), is_difference=True)


def verdict(words: str, interval: Interval) -> str:
    """A sentence on a difference."""
    ending = "" if interval.excludes_zero else "; it cannot be told from zero"
    return f"{words}: {interval.text()}{ending}."


if __name__ == "__main__":
    run_script(main)
