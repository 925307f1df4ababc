"""Intervals from resampling individuals, not photos.

Photos of one animal succeed and fail together, so 500 photos of 20 animals say about as much as
20 animals do. The cluster bootstrap draws whole individuals with replacement and takes
percentiles of the statistic (Field and Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x).
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from common.errors import InputError

import numpy as np
from scipy.stats import t as student_t

Statistic = Literal["mean_over_observations", "mean_over_individuals"]
NOT_DISTINGUISHABLE = "not distinguishable"
N_RESAMPLES, LEVEL = 2000, 0.95  # draws of as many animals as there are; share inside
N_WEIGHTS_AT_ONCE = 1_000_000  # resamples times individuals in memory: 8 MB


@dataclass(frozen=True)
class Interval:
    """An estimate with its percentile interval.

    Attributes:
        low: lower end; nan with a single individual, which says nothing about others.
        level: share of the resampled statistics inside, in (0, 1).
        n_observations: photos or queries behind the estimate.
        is_difference: True for a difference of two methods; its per cent are points.
    """

    estimate: float
    low: float
    high: float
    level: float
    n_individuals: int
    n_observations: int
    is_difference: bool = False

    @property
    def excludes_zero(self) -> bool:
        """True if zero lies outside [low, high]; False when there is no interval."""
        return self.low > 0 or self.high < 0

    def better_of(self, first: str, second: str) -> str:
        """Who is better, of a difference of first minus second; nobody where zero is inside.

        >>> Interval(0.05, 0.01, 0.09, 0.95, 60, 300, is_difference=True).better_of("a", "b")
        'a'
        """
        if not self.excludes_zero:
            return NOT_DISTINGUISHABLE
        return first if self.low > 0 else second

    def text(self, percent: bool = True) -> str:
        """The interval for people.

        >>> Interval(0.563, 0.51, 0.612, 0.95, 60, 300).text()
        '56.3 % [51.0, 61.2]'
        """
        scale, digits, unit = (100, 1, " %") if percent else (1, 3, "")
        sign = ""
        if self.is_difference:
            sign, unit = "+", " points" if percent else ""
        estimate, low, high = (
            f"{value * scale:{sign}z.{digits}f}"  # z: no minus before a rounded zero
            for value in (self.estimate, self.low, self.high)
        )
        bounds = "no interval: one individual" if np.isnan(self.low) else f"{low}, {high}"
        return f"{estimate}{unit} [{bounds}]"

    def to_dict(self) -> dict:
        """Plain JSON types; a missing end is None."""
        plain = {k: each for k, each in vars(self).items() if k != "is_difference"}
        return plain | ({"low": None, "high": None} if np.isnan(self.low) else {})


def bootstrap_over_individuals(
    values: Sequence[float] | np.ndarray,
    individuals: Sequence[Hashable] | np.ndarray,
    *,
    statistic: Statistic = "mean_over_observations",
) -> Interval:
    """Interval of a mean, from resampling individuals.

    Args:
        values: shape (n_observations,), one per photo or query, such as correct (0 or 1) or
            average precision. With several training seeds: the mean over seeds per photo.
        individuals: length n_observations, the animal of each value.
        statistic: "mean_over_observations" is accuracy when values are correct or not;
            "mean_over_individuals" is balanced accuracy.

    Returns:
        Interval with `low` and `high` nan when there is only one individual.

    Raises:
        InputError: there is no value.
        ValueError: lengths differ, or a value is nan or infinite.
    """
    values, individuals = _checked(values, individuals)
    names, position = np.unique(individuals, return_inverse=True)
    counts = np.bincount(position).astype(float)  # (n_individuals,)
    sums = np.bincount(position, weights=values)
    if statistic == "mean_over_individuals":
        sums, counts = sums / counts, np.ones(len(names))
    ends = _percentiles(lambda drawn: (drawn @ sums) / (drawn @ counts), [len(names)])
    estimate = float(sums.sum() / counts.sum())
    return Interval(estimate, *ends, LEVEL, len(names), len(values))


def paired_bootstrap_over_individuals(
    values_a: Sequence[float] | np.ndarray,
    values_b: Sequence[float] | np.ndarray,
    individuals: Sequence[Hashable] | np.ndarray,
) -> Interval:
    """Interval of the difference a minus b of two methods on the same photos.

    Both methods see the same resamples. A mean is linear in the values, so this is the interval of
    the differences per photo.

    Args:
        values_a: shape (n_observations,), method a, as in `bootstrap_over_individuals`.
        values_b: shape (n_observations,), method b on the same photos in the same order.
        individuals: length n_observations, the animal of each photo.

    Returns:
        Interval with `is_difference`; `excludes_zero` tells whether the methods differ.

    Raises:
        InputError: there is no value.
        ValueError: as in `bootstrap_over_individuals`.
    """
    values_a, values_b = np.asarray(values_a, dtype=float), np.asarray(values_b, dtype=float)
    if values_a.shape != values_b.shape:
        raise ValueError(f"shapes {values_a.shape} and {values_b.shape} differ, expected pairs")
    difference = bootstrap_over_individuals(values_a - values_b, individuals)
    return replace(difference, is_difference=True)


def bootstrap_of_statistic(
    statistic: Callable[..., np.ndarray],
    n_individuals: Sequence[int],
    *,
    n_observations: int,
    is_difference: bool = False,
) -> Interval:
    """Interval of any statistic that can be written with a weight for each individual.

    For statistics that are no means of photos, such as AUROC. Groups, such as known and unknown
    animals, are resampled each for itself, so that none is ever empty.

    Args:
        statistic: how often each animal is drawn, one float array of shape (n_draws,
            n_individuals) per group, to its values, shape (n_draws,). Equal calls see equal draws,
            so that the difference of two methods is paired.

    Returns:
        Interval with `low` and `high` nan where a group has one individual only.
    """
    estimate = float(statistic(*(np.ones((1, n)) for n in n_individuals))[0])
    counts = sum(n_individuals), n_observations
    return Interval(
        estimate, *_percentiles(statistic, n_individuals), LEVEL, *counts, is_difference
    )


def jackknife_over_individuals(
    statistics: Sequence[Callable[[np.ndarray], float]],
    individuals: Sequence[np.ndarray],
    *,
    is_difference: bool = False,
) -> Interval:
    """Interval of a statistic that a bootstrap would distort: each individual is left out once.

    Who draws animals with replacement leaves out a third of them, so that groups with photos of
    several animals come out purer than they are.

    Args:
        statistics: of each seed, rows of photos to a value; their mean is the estimate.
        individuals: of each seed, the animal of each photo, shape (n_photos,); animals of one name
            are one.

    Returns:
        Interval with `low` and `high` nan where there are fewer than three individuals.

    Source: Efron & Tibshirani 1993, chapter 11; pseudo-values of an animal are averaged over seeds.
    """
    estimates, pseudo = [], {}
    for statistic, own in zip(statistics, individuals, strict=True):
        names, n = np.unique(own), len(np.unique(own))
        estimates.append(statistic(np.arange(len(own))))
        for name in names if n > 1 else ():
            left_out = statistic(np.flatnonzero(own != name))
            pseudo.setdefault(name, []).append(n * estimates[-1] - (n - 1) * left_out)
    values = np.array([np.mean(each) for each in pseudo.values()])
    estimate, n = float(np.mean(estimates)), len(values)
    half = np.nan
    if n > 2:  # of two it would be wider than any agreement can be
        half = float(student_t.ppf((1 + LEVEL) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    ends = estimate - half, estimate + half
    n_photos = max(map(len, individuals))
    return Interval(estimate, *ends, LEVEL, max(n, 1), n_photos, is_difference)


def _percentiles(
    statistic: Callable[..., np.ndarray], n_individuals: Sequence[int]
) -> tuple[float, float]:
    """Ends of the interval of a statistic, see `bootstrap_of_statistic`; nan where it has none."""
    if min(n_individuals) < 2:
        return np.nan, np.nan
    generator = np.random.default_rng(0)
    n_at_once = max(1, N_WEIGHTS_AT_ONCE // sum(n_individuals))
    values = []
    for start in range(0, N_RESAMPLES, n_at_once):
        n_draws = min(n_at_once, N_RESAMPLES - start)
        # How often each individual is drawn, shape (n_draws, n) for each group.
        drawn = [generator.multinomial(n, np.full(n, 1 / n), n_draws) for n in n_individuals]
        values.append(statistic(*(weights.astype(float) for weights in drawn)))
    low, high = np.nanquantile(np.concatenate(values), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _checked(
    values: Sequence[float] | np.ndarray, individuals: Sequence[Hashable] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    values, individuals = np.asarray(values, dtype=float), np.asarray(individuals)
    if values.ndim != 1 or values.shape != individuals.shape:
        raise ValueError(
            f"values have shape {values.shape} and individuals {individuals.shape}, "
            "expected (n_observations,) for both"
        )
    if len(values) == 0:
        raise InputError("found no value to resample, expected at least one photo; check the split")
    n_bad = int(np.count_nonzero(~np.isfinite(values)))
    if n_bad:
        raise ValueError(f"{n_bad} of {len(values)} values are nan or infinite, expected numbers")
    return values, individuals


def interval_columns(name: str, interval: Interval) -> dict[str, float]:
    """A row's cells for a measure and its interval, to be shown as one.

    >>> interval_columns("accuracy", Interval(0.5, 0.4, 0.6, 0.95, 20, 100))
    {'accuracy': 0.5, 'accuracy_low': 0.4, 'accuracy_high': 0.6}
    """
    values = (interval.estimate, interval.low, interval.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def mean_columns(
    name: str,
    values: np.ndarray,
    individuals: np.ndarray,
    statistic: Statistic = "mean_over_observations",
) -> dict[str, float]:
    """The same for a mean over photos; see `bootstrap_over_individuals`."""
    return interval_columns(
        name, bootstrap_over_individuals(values, individuals, statistic=statistic)
    )
