"""Question 3 of the course: is this an animal that nobody knows? Asked score by score.

A score decides twice. At a threshold, chosen on validation photos, it accepts or rejects. And as
a probability, learned on the same validation photos, it says how far its answer can be believed.
Test photos are judged once, and both ways.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.measures.calibration import calibrate, calibration_error
from common.measures.intervals import Interval, bootstrap_of_statistic
from common.measures.open_set import (
    OpenSetReport,
    Queries,
    Threshold,
    choose_threshold,
    evaluate_open_set,
)

import numpy as np

NEW = "new individual"


@dataclass(frozen=True)
class Rejection:
    """What one score achieves on test photos.

    Attributes:
        scores: of the test photos, shape (n_queries,).
        truth: who they show, shape (n_queries,).
        probability: that the name is right, by what validation taught, shape (n_queries,).
        is_named_right: bool, shape (n_queries,).
        verdict: the name that is given, or NEW, str, shape (n_queries,).
    """

    report: OpenSetReport
    scores: np.ndarray
    truth: np.ndarray
    probability: np.ndarray
    is_named_right: np.ndarray
    verdict: np.ndarray

    @property
    def calibration_error(self) -> float:
        """Of the probability, on test photos, in [0, 1]."""
        return calibration_error(self.probability, self.is_named_right)

    def to_dict(self) -> dict:
        """Plain values for a result file."""
        return self.report.to_dict() | {"calibration_error": self.calibration_error}


def judge(
    validation: Queries, test: Queries, choose: Callable[[Queries], Threshold] = choose_threshold
) -> Rejection:
    """Choose threshold and probabilities on validation photos, then judge test photos once."""
    threshold = choose(validation)
    probability = calibrate(validation.scores, validation.is_named_right)
    report = evaluate_open_set(test, threshold.value)
    return Rejection(
        report=report,
        scores=test.scores,
        truth=test.truth,
        probability=probability(test.scores),
        is_named_right=test.is_named_right,
        verdict=np.where(report.is_accepted, test.predicted, NEW),
    )


class WeightedMeasures:
    """AUROC and √(BAKS·BAUS) with a weight for each animal, means over seeds.

    Each is a function of how often known and unknown animals are drawn, arrays of shape (n_draws,
    n_known_animals) and (n_draws, n_unknown_animals), as `bootstrap_of_statistic` wants it.

    Args:
        rejections: one per seed, of one score on the same test photos.
    """

    def __init__(self, rejections: Sequence[Rejection]) -> None:
        is_known, truth = rejections[0].report.is_known, rejections[0].truth
        self.n_photos = len(truth)
        _, known = np.unique(truth[is_known], return_inverse=True)
        _, unknown = np.unique(truth[~is_known], return_inverse=True)
        self.n_per_animal = [np.bincount(known), np.bincount(unknown)]
        right = np.array([each.report.is_correct for each in rejections], dtype=float)
        self._baks = _shares(right[:, is_known], known)
        self._baus = _shares(right[:, ~is_known], unknown)
        parts = [(each.scores[is_known], each.scores[~is_known]) for each in rejections]
        self._wins = np.mean([_wins(*part, known, unknown) for part in parts], axis=0)

    def auroc(self, known: np.ndarray, unknown: np.ndarray) -> np.ndarray:
        """Chance that a photo of a known animal scores above one of an unknown one."""
        n_known, n_unknown = self.n_per_animal
        wins = ((known @ self._wins) * unknown).sum(axis=1)
        return wins / ((known @ n_known) * (unknown @ n_unknown))

    def geometric_mean(self, known: np.ndarray, unknown: np.ndarray) -> np.ndarray:
        """√(BAKS·BAUS), seed by seed, then averaged."""
        both = self._means(self._baks, known) * self._means(self._baus, unknown)
        return np.sqrt(both).mean(axis=1)

    def interval(self, name: str) -> Interval:
        """Of the measure that a method is named after."""
        return self._resampled(getattr(self, name))

    def difference(self, other: "WeightedMeasures", name: str) -> Interval:
        """Of the measure, this score minus another one on the same photos, paired."""
        own, others = getattr(self, name), getattr(other, name)
        return self._resampled(lambda *drawn: own(*drawn) - others(*drawn), is_difference=True)

    def _resampled(self, statistic: Callable, *, is_difference: bool = False) -> Interval:
        n_animals = [len(counts) for counts in self.n_per_animal]
        how = {"n_observations": self.n_photos, "is_difference": is_difference}
        return bootstrap_of_statistic(statistic, n_animals, **how)

    @staticmethod
    def _means(shares: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Weighted means over animals, shape (n_draws, n_seeds)."""
        return weights @ shares.T / weights.sum(axis=1, keepdims=True)


def _shares(is_right: np.ndarray, animal: np.ndarray) -> np.ndarray:
    """Share of each animal's photos that are right, (n_seeds, n_photos) to (n_seeds, n_animals)."""
    counts = np.bincount(animal)
    return np.array([np.bincount(animal, weights=right) / counts for right in is_right])


def _wins(
    known_scores: np.ndarray, unknown_scores: np.ndarray, known: np.ndarray, unknown: np.ndarray
) -> np.ndarray:
    """Pairs that a known animal's photo wins, a tie being half: (n_known, n_unknown animals)."""
    wins = np.zeros((known.max() + 1, unknown.max() + 1))
    for animal in range(unknown.max() + 1):
        scores = np.sort(unknown_scores[unknown == animal])
        below = np.searchsorted(scores, known_scores, side="left")
        not_above = np.searchsorted(scores, known_scores, side="right")
        wins[:, animal] = np.bincount(known, weights=(below + not_above) / 2)
    return wins
