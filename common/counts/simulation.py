"""Surveys of a known number of animals, some named wrongly: does the interval cover the truth?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from common.counts.estimators import Estimate, Rate, Survey, estimate, survey_of
from common.measures.intervals import LEVEL

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.stats import binomtest
from tqdm import tqdm

N_JUDGED = 200  # validation encounters from which a survey's rates of mistakes are known


@dataclass(frozen=True)
class World:
    """What a simulated survey is like.

    Attributes:
        missed: share of encounters of an animal seen before that get a new identity.
        false: share of encounters that are joined to another animal.
        unequal: standard deviation of the logarithm of the animals' odds of being captured; 0: all
            are as easily captured.
        n_animals: in the population.
        n_occasions: of photographing.
        capture: probability that an animal is captured on an occasion, their mean.
        encounters: mean number of encounters of an animal captured on an occasion, 1 or more.
    """

    missed: float = 0.0
    false: float = 0.0
    unequal: float = 0.0
    n_animals: int = 80
    n_occasions: int = 10
    capture: float = 0.12
    encounters: float = 1.0


def survey_table(world: World, random: Generator) -> pd.DataFrame:
    """Photograph a population and name what was seen.

    A mistake lasts: an animal is named as on any one of its earlier encounters, so that a ghost
    may be seen again, and who was joined to another animal may stay joined.

    Returns:
        One row an encounter: identity as named, animal (the truth), date and encounter.
    """
    odds = world.capture / (1 - world.capture)
    odds = odds * np.exp(random.normal(0, world.unequal, world.n_animals) - world.unequal**2 / 2)
    capture = odds / (1 + odds)
    days = pd.date_range("2024-05-01", periods=world.n_occasions)
    rows, names, n_identities = [], {}, 0
    for day in days:
        for animal in np.flatnonzero(random.random(world.n_animals) < capture):
            for _ in range(1 + random.poisson(world.encounters - 1)):
                known = names.setdefault(animal, [])
                others = n_identities - len(set(known))
                chance = random.random()
                if others and chance < world.false:
                    name = _another(random, n_identities, known)
                elif not known or chance > 1 - world.missed:
                    name, n_identities = n_identities, n_identities + 1
                else:
                    name = known[random.integers(len(known))]
                known.append(name)
                rows.append({"identity": f"i{name:04d}", "animal": animal, "date": day})
    table = pd.DataFrame(rows)
    return table.assign(encounter=[f"e{row}" for row in range(len(table))])


def _another(random: Generator, n_identities: int, own: list[int]) -> int:
    """An identity that this animal does not have."""
    return int(random.choice(np.setdiff1d(np.arange(n_identities), own)))


def survey_from(table: pd.DataFrame) -> Survey:
    """A simulated table's numbers, by day."""
    return survey_of(table.groupby(["identity", "date"]).size().unstack(fill_value=0).to_numpy())


def judged_rate(share: float, random: Generator) -> Rate:
    """What validation says of a rate: an estimate, with Wilson's interval."""
    wrong = binomtest(int(random.binomial(N_JUDGED, share)), N_JUDGED)
    ends = wrong.proportion_ci(LEVEL, method="wilson")
    return Rate(wrong.statistic, float(ends.low), float(ends.high))


def coverage(worlds: Iterable[World], n_surveys: int, seed: int = 0) -> pd.DataFrame:
    """How often the interval holds the true number, with and without the correction.

    Returns:
        One row a world: its mistakes, how unequal its animals are, the share of intervals that hold
        the truth (with an interval of its own), the median error and the median width of the
        intervals, both as shares of the truth; each `as named` and `corrected`.
    """
    rows = []
    for number, world in enumerate(tqdm(list(worlds), desc="simulated surveys", leave=False)):
        found: dict[str, list[Estimate]] = {"as named": [], "corrected": []}
        for each in range(n_surveys):
            random = np.random.default_rng([seed, number, each])
            survey = survey_from(survey_table(world, random))
            rates = [judged_rate(share, random) for share in (world.missed, world.false)]
            found["as named"].append(estimate(survey))
            found["corrected"].append(estimate(survey, *rates))
        rows.append(_row(world, found))
    return pd.DataFrame(rows)


def _row(world: World, found: Mapping[str, list[Estimate]]) -> dict:
    row = {"missed": world.missed, "false": world.false, "unequal": world.unequal}
    row |= {"encounters": world.encounters}
    for name, estimates in found.items():
        holds = [each.low <= world.n_animals <= each.high for each in estimates]
        ends = binomtest(sum(holds), len(holds)).proportion_ci(LEVEL, method="wilson")
        row |= {f"covered {name}": sum(holds) / len(holds)}
        row |= {f"covered {name}_low": float(ends.low), f"covered {name}_high": float(ends.high)}
        error = np.array([each.value for each in estimates]) / world.n_animals - 1
        width = np.array([each.high - each.low for each in estimates]) / world.n_animals
        row |= {f"error {name}": float(np.median(error)), f"width {name}": float(np.median(width))}
    return row
