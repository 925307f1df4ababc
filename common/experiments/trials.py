"""Trials of several approaches with several seeds: one table with intervals, and who is better.

Seeds are averaged photo by photo; individuals are resampled, not photos.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from common.experiments.answers import Answers
from common.measures.intervals import (
    NOT_DISTINGUISHABLE,
    Interval,
    interval_columns,
    mean_columns,
    paired_bootstrap_over_individuals,
)
from common.tables import table_of
from common.training.recipes import Trained
from common.words import counted

import numpy as np
import pandas as pd

KNOWN, JOINED, VALIDATION = "known animals", "joined later", "validation photos"
QUESTIONS = {KNOWN: "known", JOINED: "joined", VALIDATION: "validation"}  # attributes of `Answers`
REJECTION = {"AUROC": "auroc", "BAKS": "baks", "BAUS": "baus", "√(BAKS·BAUS)": "geometric_mean"}
CLOSED_SET = ("name", "validation", "test±", "balanced", "macro F1", "training, s")
DIFFERENCES = ("question", "first", "second", "difference±", "animals", "photos", "better")
RANKED = ("approach", "rank-1±", "mAP±", "rank-5", "mINP", "queries", "without a match")


@dataclass(frozen=True)
class Trial:
    """One approach with one seed.

    Attributes:
        training_seconds: 0 where nothing is trained; what frozen stages give is computed before.
        adding_seconds: to make it know animals that joined; nan where it cannot.
    """

    approach: str
    seed: int
    answers: Answers
    training_seconds: float = 0.0
    adding_seconds: float = float("nan")
    history: Sequence[Mapping] = ()
    best_epoch: int = 0

    @classmethod
    def of(
        cls, approach: str, seed: int, answers: Answers, trained: Trained, **facts: float
    ) -> "Trial":
        """The trial of what was trained; facts are other attributes."""
        fit = trained.fit
        facts |= {"history": fit.history, "best_epoch": fit.best_epoch}
        return cls(approach, seed, answers, fit.seconds, **facts)

    def to_dict(self) -> dict:
        """Plain values for a result file."""
        return {
            "approach": self.approach,
            "seed": self.seed,
            **self.answers.to_dict(),
            "training_seconds": self.training_seconds,
            "adding_seconds": self.adding_seconds,
            "best_epoch": self.best_epoch,
            "history": list(self.history),
        }


class Difference(NamedTuple):
    """First approach minus second on the same photos, asked one question."""

    question: str
    first: str
    second: str
    interval: Interval

    @property
    def better(self) -> str:
        """The better of the two, or "not distinguishable"."""
        return self.interval.better_of(self.first, self.second)

    def sentence(self) -> str:
        """What the interval allows to say."""
        words, interval = self.better, self.interval
        if words != NOT_DISTINGUISHABLE:
            words += " is better"
        counts = counted(interval.n_observations, "photo")
        if interval.n_individuals < interval.n_observations:
            counts = f"{counted(interval.n_individuals, 'animal')}, {counts}"
        return (
            f"{self.first} against {self.second}: {words} "
            f"({self.question}: {interval.text()}, {counts})."
        )


def by_approach(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """The trials of each approach, in the order in which approaches came first."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.approach, []).append(trial)
    return groups


def mean_right(trials: Sequence[Trial], question: str = KNOWN) -> tuple[np.ndarray, np.ndarray]:
    """Share of the seeds that answered each photo right, and whom the photo shows.

    Returns:
        Both of shape (n_photos,); empty where it was not asked.
    """
    name = QUESTIONS[question]
    values = np.mean([getattr(trial.answers, name) for trial in trials], axis=0)
    return values, trials[0].answers.animals.get(name, np.empty(0))


def compare(
    trials: Iterable[Trial],
    first: str,
    second: str,
    question: str = KNOWN,
    *,
    same_seeds: bool = True,
) -> Difference | None:
    """Paired difference of two approaches on one question.

    Args:
        first, second: approaches; the difference is first minus second.
        same_seeds: False: also of approaches that were trained with other seeds.

    Returns:
        None where the question was not asked of both.

    Raises:
        ValueError: the two were not trained with the same seeds.
    """
    groups = by_approach(trials)
    pair = [groups.get(name, []) for name in (first, second)]
    if not all(pair) or not all(len(mean_right(own, question)[0]) for own in pair):
        return None
    if same_seeds:
        require_same_seeds(*pair)
    values, animals = zip(*(mean_right(own, question) for own in pair), strict=True)
    interval = paired_bootstrap_over_individuals(*values, animals[0])
    return Difference(question, first, second, interval)


def require_same_seeds(first: Sequence[Trial], second: Sequence[Trial]) -> None:
    """Raise ValueError unless both have the same seeds: only then is a difference paired."""
    seeds = [sorted(trial.seed for trial in own) for own in (first, second)]
    if seeds[0] != seeds[1]:
        raise ValueError(
            f"{first[0].approach} has seeds {seeds[0]}, {second[0].approach} {seeds[1]}; "
            "expected the same"
        )


def chance_alone(differences: Sequence[Difference]) -> str:
    """How many of many differences would look like one by chance."""
    n_apart = sum(each.interval.excludes_zero for each in differences)
    return (
        f"{n_apart} of {len(differences)} differences can be told from chance at 95 %; of so many, "
        f"{0.05 * len(differences):.1f} would seem so by chance alone."
    )


def closed_set_table(trials: Iterable[Trial]) -> pd.DataFrame:
    """One row per approach that named known photos.

    Returns:
        Columns name, validation accuracy, test accuracy with its interval, balanced accuracy,
        macro F1, seconds of training; means over seeds.
    """
    rows = []
    for name, own in by_approach(trials).items():
        reports = [trial.answers.report for trial in own]
        validation = mean_right(own, VALIDATION)[0]
        row = {"name": name, "validation": np.mean(validation) if len(validation) else np.nan}
        row |= mean_columns("test", *mean_right(own))
        row["balanced"] = mean_of(reports, "balanced_accuracy")
        row["macro F1"] = mean_of(reports, "macro_f1")
        rows.append(row | {"training, s": mean_of(own, "training_seconds")})
    return table_of(rows, CLOSED_SET)


def summarise(trials: Iterable[Trial]) -> pd.DataFrame:
    """One row per approach that was asked the course's three questions.

    Returns:
        Columns approach; a share with its interval for each question that was asked; AUROC, BAKS,
        BAUS, and the geometric mean of the last two (means over seeds); seconds of training; what
        it takes until the approach knows animals that joined, as text.
    """
    rows = []
    for approach, own in by_approach(trials).items():
        row = {"approach": approach}
        for question in (KNOWN, JOINED):
            values, animals = mean_right(own, question)
            if len(values):
                row |= mean_columns(question, values, animals)
        reports = [trial.answers.rejection for trial in own if trial.answers.rejection]
        if reports:
            row |= {name: mean_of(reports, attribute) for name, attribute in REJECTION.items()}
        row["training, s"] = mean_of(own, "training_seconds")
        rows.append(row | {"adding animals": adding_cost(own)})
    return table_of(rows, ("approach", "training, s", "adding animals"))


def summarise_rankings(trials: Iterable[Trial]) -> pd.DataFrame:
    """One row per approach that searches: how well photos of new animals find each other.

    Queries whose animal has no photo of another encounter count as misses, and are counted.

    Returns:
        Columns approach, rank-1 and mAP with their intervals, rank-5, mINP, queries, and
        queries without a match; means over seeds.
    """
    rows = []
    for approach, own in by_approach(t for t in trials if t.answers.ranking).items():
        reports, animals = [t.answers.ranking for t in own], own[0].answers.animals["unknown"]
        row = {"approach": approach}
        for name, attribute in (("rank-1", "is_correct_at_1"), ("mAP", "average_precision")):
            values = np.mean([getattr(report, attribute) for report in reports], axis=0)
            row |= mean_columns(name, values, animals)
        row["rank-5"] = np.mean([report.rank_k[5] for report in reports])
        row["mINP"] = mean_of(reports, "mINP")
        row["queries"], row["without a match"] = reports[0].n_queries, reports[0].n_without_match
        rows.append(row)
    return table_of(rows, RANKED)


def difference_table(differences: Iterable[Difference]) -> pd.DataFrame:
    """Paired differences: one row each.

    Returns:
        Columns question, first, second, difference (first minus second) with its interval,
        animals, photos, and who is better, or "not distinguishable".
    """
    rows = []
    for each in differences:
        row = {"question": each.question, "first": each.first, "second": each.second}
        row |= interval_columns("difference", each.interval)
        row |= {"animals": each.interval.n_individuals, "photos": each.interval.n_observations}
        rows.append(row | {"better": each.better})
    return table_of(rows, DIFFERENCES)


def mean_of(things: Iterable[object], attribute: str) -> float:
    """Mean of one attribute, such as "training_seconds" of trials or "auroc" of reports."""
    return float(np.mean([getattr(thing, attribute) for thing in things]))


def adding_cost(trials: Sequence[Trial]) -> str | None:
    """What it takes one approach to know animals that joined, mean over seeds, as text.

    Two digits, or whole seconds; None for what cannot be had.
    """
    seconds = mean_of(trials, "adding_seconds")
    return f"{seconds:{'.0f' if seconds >= 10 else '.2g'}} s" if np.isfinite(seconds) else None
