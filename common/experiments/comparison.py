"""Several approaches, several seeds, one table with intervals, and who is better than whom."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.experiments.answers import Answers
from common.measures.clustering import Clusters
from common.measures.intervals import (
    Interval,
    bootstrap_over_individuals,
    interval_columns,
    paired_bootstrap_over_individuals,
)
from common.splits.questions import Questions

import numpy as np
import pandas as pd

# Column of the table → the field of `Questions` and of `Answers` that it is about.
QUESTION_COLUMNS = {"known animals": "known", "joined later": "joined"}


@dataclass(frozen=True)
class Trial:
    """One approach with one seed.

    Attributes:
        approach: its name.
        seed: of training.
        answers: to the course's questions.
        training_seconds: 0 where nothing is trained.
        adding_seconds: to make it know animals that joined; nan where it cannot.
        history: of training, one row per epoch.
        clusters: the test photos grouped, by an approach that can.
    """

    approach: str
    seed: int
    answers: Answers
    training_seconds: float = 0.0
    adding_seconds: float = float("nan")
    history: Sequence[dict] = ()
    clusters: Clusters | None = None

    def to_dict(self) -> dict:
        """Plain values for a result file."""
        answers = self.answers
        return {
            "approach": self.approach,
            "seed": self.seed,
            "known": _share(answers.known),
            "joined": _share(answers.joined),
            "joined_after": {n: _share(each) for n, each in answers.joined_after.items()},
            "rejection": {score: each.to_dict() for score, each in answers.rejections.items()},
            "clusters": self.clusters.to_dict() if self.clusters else None,
            "ranking": answers.ranking.to_dict() if answers.ranking else None,
            "training_seconds": self.training_seconds,
            "adding_seconds": self.adding_seconds,
            "history": list(self.history),
        }


def summarise(trials: Sequence[Trial], questions: Questions, identity: np.ndarray) -> pd.DataFrame:
    """One row per approach; seeds are averaged photo by photo, animals are resampled.

    Args:
        trials: all approaches with the same seeds.
        questions: that were asked.
        identity: of every photo of the catalogue, shape (n_images,).

    Returns:
        Columns approach; a share with its `_low` and `_high` for each question; AUROC, BAKS,
        BAUS, and the geometric mean of the last two (means over seeds); seconds of training;
        what it takes until the approach knows animals that joined, as text.
    """
    rows = []
    for approach in dict.fromkeys(trial.approach for trial in trials):
        own = [trial for trial in trials if trial.approach == approach]
        row = {"approach": approach}
        for column in QUESTION_COLUMNS:
            interval = _interval(own, column, questions, identity)
            if interval:
                row |= interval_columns(column, interval)
        row |= _rejection_means(own)
        row["training, s"] = float(np.mean([trial.training_seconds for trial in own]))
        adding = float(np.mean([trial.adding_seconds for trial in own]))
        digits = ".0f" if adding >= 10 else ".2g"
        row["adding animals"] = f"{adding:{digits}} s" if np.isfinite(adding) else None
        rows.append(row)
    return pd.DataFrame(rows)


def question_by_question(table: pd.DataFrame) -> pd.DataFrame:
    """One row per approach and question, for a chart.

    Args:
        table: what `summarise` gives.

    Returns:
        Columns approach, question, accuracy with its `_low` and `_high`.
    """
    return pd.concat(
        pd.DataFrame({
            "approach": table["approach"], "question": column, "accuracy": table[column],
            "accuracy_low": table[f"{column}_low"], "accuracy_high": table[f"{column}_high"],
        })
        for column in QUESTION_COLUMNS if column in table
    )  # fmt: skip


def summarise_rankings(
    trials: Sequence[Trial], questions: Questions, identity: np.ndarray
) -> pd.DataFrame:
    """One row per approach that searches: how well photos of new animals find each other.

    Queries whose animal has no photo of another encounter count as misses, and are counted.

    Returns:
        Columns approach, rank-1 and mAP with their intervals, rank-5, mINP, queries, and
        queries without a match; means over seeds. Empty where nothing was ranked.
    """
    rows = []
    for approach in dict.fromkeys(trial.approach for trial in trials if trial.answers.ranking):
        reports = [trial.answers.ranking for trial in trials if trial.approach == approach]
        measures = {
            "rank-1": np.mean([report.is_correct_at_1 for report in reports], axis=0),
            "mAP": np.mean([report.average_precision for report in reports], axis=0),
        }
        row = {"approach": approach}
        for name, values in measures.items():
            interval = bootstrap_over_individuals(values, identity[questions.unknown])
            row |= interval_columns(name, interval)
        row["rank-5"] = float(np.mean([report.rank_k[5] for report in reports]))
        row["mINP"] = float(np.mean([report.mINP for report in reports]))
        row["queries"], row["without a match"] = reports[0].n_queries, reports[0].n_without_match
        rows.append(row)
    return pd.DataFrame(rows)


def compare(
    trials: Sequence[Trial],
    first: str,
    second: str,
    column: str,
    questions: Questions,
    identity: np.ndarray,
) -> tuple[Interval, str] | None:
    """Paired difference of two approaches on one question, and the sentence that it allows.

    Returns:
        Interval of first minus second over individuals, and the verdict; None where the question
        was not asked of both.

    Raises:
        ValueError: the two were not trained with the same seeds.
    """
    rows = getattr(questions, QUESTION_COLUMNS[column])
    both = [[trial for trial in trials if trial.approach == name] for name in (first, second)]
    if not all(both) or not len(rows):
        return None
    require_same_seeds(*both)
    interval = paired_bootstrap_over_individuals(
        *(_mean_over_seeds(own, column) for own in both), identity[rows]
    )
    return interval, verdict(column[0].upper() + column[1:], first, second, interval)


def verdict(question: str, first: str, second: str, interval: Interval) -> str:
    """The sentence that a paired difference allows, "not distinguishable" among them."""
    words = "not distinguishable"
    if interval.excludes_zero:
        words = f"{first if interval.estimate > 0 else second} is better"
    return (
        f"{question}: {first} against {second}, {words} "
        f"({interval.text()}, {interval.n_individuals} animals, {interval.n_observations} photos)."
    )


def require_same_seeds(first: Sequence[Trial], second: Sequence[Trial]) -> None:
    """Raise ValueError unless both have the same seeds: only then is a difference paired."""
    seeds = [sorted(trial.seed for trial in own) for own in (first, second)]
    if seeds[0] != seeds[1]:
        raise ValueError(
            f"{first[0].approach} has seeds {seeds[0]}, {second[0].approach} {seeds[1]}; "
            "expected the same"
        )


def _interval(
    trials: Sequence[Trial], column: str, questions: Questions, identity: np.ndarray
) -> Interval | None:
    rows = getattr(questions, QUESTION_COLUMNS[column])
    return (
        bootstrap_over_individuals(_mean_over_seeds(trials, column), identity[rows])
        if len(rows)
        else None
    )


def _mean_over_seeds(trials: Sequence[Trial], column: str) -> np.ndarray | None:
    answers = [getattr(trial.answers, QUESTION_COLUMNS[column]) for trial in trials]
    return np.mean(answers, axis=0) if answers else None


def _rejection_means(trials: Sequence[Trial]) -> dict[str, float]:
    reports = [trial.answers.rejection for trial in trials if trial.answers.rejection]
    if not reports:
        return {}
    return {
        "AUROC": float(np.mean([report.auroc for report in reports])),
        "BAKS": float(np.mean([report.baks for report in reports])),
        "BAUS": float(np.mean([report.baus for report in reports])),
        "√(BAKS·BAUS)": float(np.mean([report.geometric_mean for report in reports])),
    }


def _share(is_right: np.ndarray) -> float:
    return float(np.mean(is_right)) if len(is_right) else float("nan")
