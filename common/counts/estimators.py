"""How many animals live here, seen or not: Chapman and Schnabel, with an interval.

The population is closed: between the first occasion and the last nobody is born, dies, comes or
goes, and all animals are equally easy to photograph. Encounters may be named wrongly. Of encounters
of an animal that was seen before, a share `missed` gets a new identity (a ghost); of all
encounters, a share `false` is joined to another animal. Ghosts make the number too high, false
matches too low. Johansson et al. (2020, Scientific Reports 10:6393) had people name snow leopards:
12.5 % of captures misjudged, 35 % too many animals.

**Correction.** Among E encounters of F different animals, F (1 - false) + (E - F) missed identities
are expected. That is solved for F, occasion by occasion, by the method of moments. It holds
whether a ghost is seen again or not (Link et al. 2010, Biometrics 66:178, and Yoshizaki et al.
2009, Ecology 90:3, model ghosts that never are), for it counts identities, not what becomes of
them.

**Interval.** All numbers of animals that the data do not contradict: those for which the number of
identities lies within 1.96 standard deviations of its mean. Both follow exactly from N and the
captures of each occasion; the uncertainty of the two rates adds to the variance. Turning a test
into an interval keeps it above the number seen and lets it end nowhere where there are too few
recaptures (Buckland and Garthwaite 1991, Biometrics 47:255, for capture-recapture).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from common.counts.histories import Histories
from common.measures.intervals import LEVEL
from common.words import counted

import numpy as np
from scipy.stats import norm

LONGEST = 120  # days; in a longer survey animals are born, come and go
BOUND = float(norm.ppf(0.5 + LEVEL / 2))  # standard deviations that an interval reaches
FEWEST = 0.5  # recaptures, below which there is no estimate
FEW = 7  # recaptures, below which Chapman's estimate is biased (Robson and Regier 1964)
MOST = 1e7  # animals that are thought possible
N_TRIED = 2_000  # numbers of animals on the way to it


@dataclass(frozen=True)
class Rate:
    """A share of encounters that are named wrongly, with its interval.

    >>> round(Rate(0.1, 0.06, 0.14).deviation, 4)
    0.0204
    """

    value: float
    low: float
    high: float

    @property
    def deviation(self) -> float:
        """Standard deviation that the interval stands for."""
        return (self.high - self.low) / 2 / BOUND


NONE = Rate(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Survey:
    """What a closed population is estimated from, each of shape (n_occasions,).

    Attributes:
        encounters: of all animals on each occasion.
        captured: identities on each occasion.
        once: identities with one encounter on the occasion.
        new: identities that were not there before.
    """

    encounters: np.ndarray
    captured: np.ndarray
    once: np.ndarray
    new: np.ndarray

    @property
    def n_recaptures(self) -> int:
        """Captures of an identity that was there before."""
        return int((self.captured - self.new).sum())


@dataclass(frozen=True)
class Estimate:
    """A number of animals.

    Attributes:
        method: "Schnabel" or "Chapman".
        value: the estimate; inf where no recapture is left when mistakes are taken out.
        low, high: ends of the interval; high is inf where the data name no upper end.
        n_recaptures: true ones behind it, as far as known.
    """

    method: str
    value: float
    low: float
    high: float
    n_recaptures: float

    def text(self) -> str:
        """The number for people.

        >>> Estimate("Schnabel", 61.4, 49.2, math.inf, 5).text()
        'about 61 [49, no upper end]'
        """
        high = f"{self.high:,.0f}" if math.isfinite(self.high) else "no upper end"
        if not math.isfinite(self.value):
            return f"at least {self.low:,.0f}"
        return f"about {self.value:,.0f} [{self.low:,.0f}, {high}]"


def survey_of(encounters: np.ndarray) -> Survey:
    """The numbers of each occasion.

    Args:
        encounters: of each animal on each occasion, shape (n_animals, n_occasions).
    """
    seen = encounters > 0
    new = np.bincount(seen.argmax(axis=1), minlength=encounters.shape[1])
    return Survey(encounters.sum(axis=0), seen.sum(axis=0), (encounters == 1).sum(axis=0), new)


def in_halves(encounters: np.ndarray) -> np.ndarray:
    """The same of two occasions: up to about half of the captures, and the rest."""
    captures = (encounters > 0).sum(axis=0).cumsum()
    cut = int(np.abs(captures[:-1] - captures[-1] / 2).argmin()) + 1
    return np.add.reduceat(encounters, [0, cut], axis=1)


def schnabel(captured: Sequence[float], new: Sequence[float]) -> float:
    """Schnabel's estimate with Chapman's correction, Σ n M / (Σ m + 1).

    Args:
        captured: animals caught on each occasion.
        new: of these, animals never caught before.

    Source: Seber, The Estimation of Animal Abundance, 1982, equation 4.15.

    >>> schnabel([3, 4], [3, 2])
    4.0
    """
    captured, new = np.asarray(captured, float), np.asarray(new, float)
    marked = np.cumsum(new) - new
    recaptured = float((captured - new)[1:].sum())
    return float(captured @ marked) / (recaptured + 1)


def chapman(first: float, second: float, both: float) -> float:
    """Chapman's estimate from two occasions, (n1 + 1)(n2 + 1) / (m + 1) - 1.

    Source: Chapman 1951; Seber 1982, equation 3.4.

    >>> round(chapman(10, 15, 5), 2)
    28.33
    """
    return (first + 1) * (second + 1) / (both + 1) - 1


def estimate(survey: Survey, missed: Rate = NONE, false: Rate = NONE) -> Estimate:
    """Number of animals with its interval, mistakes in naming taken out.

    Args:
        survey: of two occasions (Chapman) or more (Schnabel).
        missed: share of encounters of an animal seen before that got a new identity.
        false: share of encounters that were joined to another animal.

    Raises:
        ValueError: fewer than two occasions.
    """
    if len(survey.captured) < 2:
        raise ValueError("one occasion has no recaptures, expected two or more")
    new = true_new(survey, missed.value, false.value)
    captured = np.maximum(true_captured(survey, missed.value, false.value), np.maximum(new, 0))
    method = "Chapman" if len(captured) == 2 else "Schnabel"
    value = (
        chapman(new[0], captured[1], captured[1] - new[1])
        if method == "Chapman"
        else schnabel(captured, new)
    )
    low, high = interval(survey, captured, missed, false)
    recaptures = float((captured - new)[1:].sum())
    if recaptures < FEWEST:
        return Estimate(method, math.inf, low, math.inf, max(0.0, recaptures))
    # The formula may fall below the number seen, which the interval does not.
    return Estimate(method, min(max(value, low), high), low, high, recaptures)


def true_new(survey: Survey, missed: float, false: float) -> np.ndarray:
    """Animals seen for the first time on each occasion, by the method of moments."""
    new = (survey.new - missed * survey.encounters) / (1 - missed - false)
    total = np.maximum.accumulate(np.cumsum(new).clip(min=0))  # nobody is unseen again
    return np.diff(total, prepend=0.0)


def true_captured(survey: Survey, missed: float, false: float) -> np.ndarray:
    """Animals captured on each occasion.

    An encounter named wrongly adds an identity to the occasion if its animal had another one
    there; otherwise it only takes its animal's place, unless the wrong animal was there as well.
    """
    is_there = survey.captured / np.maximum(np.cumsum(survey.new), 1)  # a wrong name's animal is
    wrong = missed + false * (1 - is_there)
    once = ((survey.once - wrong * survey.encounters) / (1 - wrong)).clip(0, survey.encounters)
    added = wrong * (survey.encounters - once) - false * is_there * once
    return (survey.captured - added).clip(1, survey.encounters)


def interval(
    survey: Survey, captured: np.ndarray, missed: Rate, false: Rate
) -> tuple[float, float]:
    """Lowest and highest number of animals that the number of identities does not contradict.

    Args:
        captured: animals on each occasion, shape (n_occasions,).

    Returns:
        The ends; the upper one inf where no number is too high.
    """
    n_encounters, n_identities = float(survey.encounters.sum()), float(survey.new.sum())
    kept = 1 - missed.value - false.value

    def by_mistakes(n_seen: np.ndarray) -> np.ndarray:
        """Variance that mistakes in naming add, and our uncertainty about their rates."""
        again = np.maximum(n_encounters - n_seen, 0)
        return (
            n_seen * false.value * (1 - false.value)
            + again * missed.value * (1 - missed.value)
            + (again * missed.deviation) ** 2
            + (n_seen * false.deviation) ** 2
        )

    n_seen = np.clip((n_identities - missed.value * n_encounters) / kept, 1, None)
    surely_seen = n_seen - BOUND * np.sqrt(by_mistakes(n_seen)) / kept
    tried = np.geomspace(max(surely_seen, captured.max(), 1.0) + 1e-6, MOST, N_TRIED)
    mean, variance = seen_moments(tried, captured)
    expected = mean * kept + n_encounters * missed.value
    spread = np.sqrt(variance * kept**2 + by_mistakes(mean) + 1e-12)
    possible = tried[np.abs(n_identities - expected) <= BOUND * spread]
    if not len(possible):  # fewer identities, or more, than any number of animals explains
        return tried[0], tried[0] if n_identities < expected[0] else math.inf
    return float(possible[0]), math.inf if possible[-1] == tried[-1] else float(possible[-1])


def seen_moments(n_animals: np.ndarray, captured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of how many different animals are seen.

    On each occasion so many of the animals are drawn, each set of them equally likely.

    Args:
        n_animals: in the population, shape (n_tried,).
        captured: on each occasion, shape (n_occasions,).
    """
    n, k = n_animals[:, None], captured
    log_unseen = np.log1p(-k / n).sum(axis=1)  # one animal, on every occasion
    unseen = np.exp(log_unseen)
    # Two animals: both unseen is a little less likely than if each were drawn by itself.
    less = np.maximum(-k / np.maximum((n - 1) * (n - k), 1e-12), -1 + 1e-12)
    together = unseen**2 * np.expm1(np.log1p(less).sum(axis=1))
    mean = -n_animals * np.expm1(log_unseen)
    variance = mean * unseen + n_animals * (n_animals - 1) * together
    return mean, variance.clip(min=0)


def chao(seen: np.ndarray) -> float:
    """Chao's lower bound, which holds where some animals are easier to photograph than others.

    Args:
        seen: bool, shape (n_animals, n_occasions), of the animals seen at all.

    Source: Chao 1987, Biometrics 43:783, in its form for few animals, D + f1 (f1 - 1) / 2 (f2 + 1).

    >>> chao(np.array([[True, False], [False, True], [True, True]]))
    3.5
    """
    once, twice = (int((seen.sum(axis=1) == times).sum()) for times in (1, 2))
    return len(seen) + once * (once - 1) / (2 * (twice + 1))


def doubts(
    histories: Histories, as_named: Estimate, corrected: Sequence[Estimate] = ()
) -> list[str]:
    """What speaks against believing an estimate, one sentence each."""
    said = []
    if any(each.high - each.low < 1e-3 for each in corrected):
        said.append(
            "These names hold fewer mistakes than their rates say, whatever the number of animals: "
            "look whether the rates are those of these photos."
        )
    if as_named.n_recaptures < FEW:
        said.append(
            f"{counted(round(as_named.n_recaptures), 'recapture')} alone: with fewer than {FEW} "
            "the number means little. Photograph on more days, or make occasions shorter."
        )
    if (fewest := chao(histories.seen)) > as_named.high:
        said.append(
            f"So many animals were seen once alone that there should be {fewest:,.0f} or more "
            "(Chao's lower bound), above the interval: some animals are easier to photograph than "
            "others, and the number is too low. MARK and secr have models for that."
        )
    if histories.n_days > LONGEST:
        said.append(
            f"From the first capture to the last {histories.n_days:,} days passed: in so long a "
            "time animals are born, die, come and go, and the number is of all that were ever "
            "there. Count a shorter time: --days FIRST,LAST."
        )
    return said
