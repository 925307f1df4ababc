"""Naming known classes: one task, the outcomes of many ways to train, one table with intervals.

Every way is trained with the same seeds on the same photos, chosen on the same validation
photos, and asked about the same test photos once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from common.data.class_folders import ClassPhotos
from common.data.images import read_photos
from common.machine.device import pick_device
from common.measures.classification import ClassificationReport
from common.measures.intervals import (
    Interval,
    bootstrap_over_individuals,
    interval_columns,
    paired_bootstrap_over_individuals,
)
from common.splits.study import Study

import numpy as np
import pandas as pd
import torch


@dataclass(frozen=True)
class Task:
    """Photos of known classes, in three parts.

    Attributes:
        pixels: uint8, shape (n_images, side, side, 3).
        labels: integers, shape (n_images,).
        names: of the classes, label 0 first; identities, breeds or others.
        train: rows to train on.
        validation: rows that choose.
        test: rows that are asked once.
        individuals: whom each photo shows, shape (n_images,): what intervals resample.
        encounters: of each photo, str, shape (n_images,): photos of one are alike.
        flip: whether a mirrored photo still shows the same class.
        device: where to compute.
    """

    pixels: np.ndarray
    labels: np.ndarray
    names: Sequence[str]
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    individuals: np.ndarray
    encounters: np.ndarray
    flip: bool
    device: torch.device


def task_of(study: Study, stored_size: int, device: str = "auto") -> Task:
    """The task of naming a study's known animals.

    Args:
        study: with its split.
        stored_size: side of the stored photos, pixels, see `Preprocessing.stored_size`.
        device: as `--device` names it.
    """
    return Task(
        pixels=read_photos(study.catalogue.paths(), stored_size),
        labels=study.labels,
        names=study.catalogue.identities,
        train=study.split.rows("train"),
        validation=study.rows_known("validation"),
        test=study.rows_known("test"),
        individuals=study.identity,
        encounters=study.catalogue.table["encounter"].astype(str).to_numpy(),
        flip=not study.catalogue.has_sides,  # a mirrored left face is an animal that isn't there
        device=pick_device(device),
    )


def task_of_classes(
    photos: ClassPhotos,
    parts: Mapping[str, np.ndarray],
    stored_size: int,
    device: str = "auto",
    *,
    pixels: np.ndarray | None = None,
) -> Task:
    """The task of naming classes, such as breeds, whose photos have nothing to do with each other.

    Each photo counts as an individual of its own, so that intervals resample photos; a mirrored
    photo shows the same class.

    Args:
        photos: with their labels.
        parts: "train", "validation" and "test" to their rows.
        stored_size: side of the stored photos, pixels, see `Preprocessing.stored_size`.
        device: as `--device` names it.
        pixels: of another task with the same photos and size, not to read them again.
    """
    return Task(
        pixels=read_photos(photos.paths, stored_size) if pixels is None else pixels,
        labels=photos.labels,
        names=photos.names,
        individuals=np.arange(len(photos.labels)),
        encounters=np.arange(len(photos.labels)).astype(str),
        flip=True,
        device=pick_device(device),
        **parts,
    )


@dataclass(frozen=True)
class Outcome:
    """One way of training with one seed, and what it answered.

    Attributes:
        name: of the way.
        seed: of training.
        report: on the test photos.
        validation: bool, shape (n_validation,): named right, at the epoch that was chosen.
        seconds: of training; what frozen stages give is computed before, once for all.
        history: one row per epoch.
        best_epoch: whose weights validation chose.
        scores: of the test photos, shape (n_test, n_classes).
    """

    name: str
    seed: int
    report: ClassificationReport
    validation: np.ndarray
    seconds: float
    history: Sequence[Mapping] = field(default=(), repr=False)
    best_epoch: int = 0
    scores: np.ndarray | None = field(default=None, repr=False)

    @property
    def validation_accuracy(self) -> float:
        """Share of the validation photos named right; nan without any."""
        return float(np.mean(self.validation)) if len(self.validation) else float("nan")

    def to_dict(self) -> dict:
        """Plain values for a result file; `class_table` has what is left out, class by class."""
        test = self.report.to_dict()
        del test["per_identity"]
        return {
            "name": self.name,
            "seed": self.seed,
            "validation_accuracy": self.validation_accuracy,
            "seconds": self.seconds,
            "best_epoch": self.best_epoch,
            "test": test,
            "history": list(self.history),
        }


def summarise_outcomes(outcomes: Sequence[Outcome], individuals: np.ndarray) -> pd.DataFrame:
    """One row per way; seeds are averaged photo by photo, individuals are resampled.

    Args:
        outcomes: every way with the same seeds.
        individuals: whom each test photo shows, shape (n_test,).

    Returns:
        Columns name, validation accuracy (mean over seeds), test accuracy with its interval,
        balanced accuracy, macro F1, training seconds (means over seeds).
    """
    rows = []
    for name in dict.fromkeys(outcome.name for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.name == name]
        interval = bootstrap_over_individuals(mean_correct(own), individuals)
        rows.append({
            "name": name,
            "validation": float(np.mean([outcome.validation_accuracy for outcome in own])),
            **interval_columns("test", interval),
            "balanced": float(np.mean([outcome.report.balanced_accuracy for outcome in own])),
            "macro F1": float(np.mean([outcome.report.macro_f1 for outcome in own])),
            "training, s": float(np.mean([outcome.seconds for outcome in own])),
        })  # fmt: skip
    return pd.DataFrame(rows)


def mean_correct(outcomes: Sequence[Outcome]) -> np.ndarray:
    """Share of the seeds that named each test photo right, shape (n_test,)."""
    return np.mean([outcome.report.is_correct for outcome in outcomes], axis=0)


def difference(
    outcomes: Sequence[Outcome],
    first: str,
    second: str,
    individuals: np.ndarray,
    *,
    part: str = "test",
) -> Interval:
    """Accuracy of the first way minus the second on the same photos, all seeds together.

    Args:
        outcomes: of both ways, with the same seeds.
        first: name of a way.
        second: name of another.
        individuals: whom each photo of the part shows.
        part: "test", or "validation" where something is to be chosen.
    """
    pair = []
    for name in (first, second):
        own = [outcome for outcome in outcomes if outcome.name == name]
        is_right = [o.report.is_correct if part == "test" else o.validation for o in own]
        pair.append(np.mean(is_right, axis=0))
    return paired_bootstrap_over_individuals(*pair, individuals)


def verdict(first: str, second: str, interval: Interval) -> str:
    """The sentence that a difference allows, "not distinguishable" among them."""
    if interval.excludes_zero:
        words = f"{first if interval.estimate > 0 else second} is better"
    else:
        words = "not distinguishable"
    return f"{first} against {second}: {words} ({interval.text()})."


def class_table(report: ClassificationReport, kind: str = "class") -> pd.DataFrame:
    """Precision, recall, F1 and number of test photos of each class.

    Args:
        report: on the test photos.
        kind: header of the first column.
    """
    table = pd.DataFrame(report.per_identity).T.rename_axis(kind)
    table = table.rename(columns={"f1": "F1", "n": "support"}).astype({"support": int})
    return table[["precision", "recall", "F1", "support"]]
