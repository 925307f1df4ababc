"""What a score means: the probability that it is right, learned from validation photos.

Whether such a probability can be believed is measured on other photos: of those that are said to
be right with 80 %, about 80 % should be.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from sklearn.isotonic import isotonic_regression

STRICTNESS = 1e-3  # weight of the part that still orders scores where the rates are level


@dataclass(frozen=True)
class Calibration:
    """A map from scores to probabilities that never changes their order.

    Attributes:
        scores: of the knots, ascending, length n_knots.
        rates: share in [0, 1] that is right at each knot, never falling.
        centre: mean of the scores that it was learned from.
    """

    scores: list[float]
    rates: list[float]
    centre: float
    spread: float

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities in (0, 1), of the scores' shape; a higher score gets a higher one."""
        scores = np.asarray(scores, dtype=np.float64)
        rates = np.interp(scores, self.scores, self.rates)
        order = 1 / (1 + np.exp(np.clip((self.centre - scores) / self.spread, -30, 30)))
        return (1 - STRICTNESS) * rates + STRICTNESS * order

    def to_dict(self) -> dict:
        """Plain values for a JSON file, which `Calibration(**values)` reads."""
        return asdict(self)


def calibrate(scores: np.ndarray, is_right: np.ndarray) -> Calibration:
    """Learn what scores mean, by isotonic regression: the best fit that never falls.

    Args:
        scores: higher is surer, shape (n,); of validation photos, never of test photos.
        is_right: bool, shape (n,).

    Raises:
        ValueError: no scores, or some that are not finite.

    Source:
        Zadrozny & Elkan 2002; for animal photos, Cermak et al. 2024, WildFusion,
        arXiv 2408.12934.

    >>> probability = calibrate(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1]))
    >>> np.round(probability(np.array([0.15, 0.5, 0.85])), 1)
    array([0.3, 0.5, 0.7])
    """
    scores, is_right = np.asarray(scores, dtype=np.float64), np.asarray(is_right, dtype=bool)
    if not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"found {len(scores)} scores, expected at least one, and all finite")
    values, group = np.unique(scores, return_inverse=True)  # equal scores get one probability
    n_photos = np.bincount(group)
    shares = np.bincount(group, weights=is_right) / n_photos
    fitted = isotonic_regression(shares, sample_weight=n_photos)

    # Level stretches become points, so that what lies between rises; and a stretch of n photos
    # that were all right does not make the next one certain (Laplace's rule of succession).
    block = np.concatenate([[0], np.cumsum(np.diff(fitted) > 0)])
    n_in_block = np.bincount(block, weights=n_photos)
    n_right = np.bincount(block, weights=n_photos * shares)
    knots = np.bincount(block, weights=n_photos * values) / n_in_block
    rates = np.maximum.accumulate((n_right + 1) / (n_in_block + 2))
    return Calibration(
        scores=knots.tolist(),
        rates=rates.tolist(),
        centre=float(scores.mean()),
        spread=float(scores.std()) or 1.0,
    )


def reliability(probability: np.ndarray, is_right: np.ndarray, n_bins: int = 10) -> pd.DataFrame:
    """What was said beside what came true, in bins of equal width.

    Args:
        probability: that an answer is right, in [0, 1], shape (n,).
        is_right: bool, shape (n,).
        n_bins: between 0 and 1; a probability on an edge is in the upper bin, 1 in the last.

    Returns:
        One row per bin that is not empty: said (mean probability), right (share), photos.
    """
    which = np.minimum((np.asarray(probability) * n_bins).astype(int), n_bins - 1)
    answers = pd.DataFrame({"said": probability, "right": np.asarray(is_right, dtype=float)})
    bins = answers.groupby(which)
    return bins.mean().assign(photos=bins.size()).reset_index(drop=True)


def calibration_error(probability: np.ndarray, is_right: np.ndarray, n_bins: int = 10) -> float:
    """Expected calibration error: how far what was said is from what came true, in [0, 1].

    Source: Guo et al. 2017, "On calibration of modern neural networks", equation 3.

    >>> round(calibration_error(np.array([0.9, 0.9]), np.array([True, False])), 3)
    0.4
    """
    bins = reliability(probability, is_right, n_bins)
    gaps = (bins["said"] - bins["right"]).abs()
    return float((gaps * bins["photos"]).sum() / bins["photos"].sum())
