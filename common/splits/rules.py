"""The rules that put photos into train, validation and test.

Every rule sees a table sorted by image_id, so that a split does not depend on the order of rows,
and draws from generators of its own, so that the same seed picks the same animals under each rule.
Parts are arrays of shape (n_images,). "Units" are what a rule never cuts: photos, encounters or
days. `rank` numbers the units of each identity in the order in which they go to train, validation
and test; -1 means not used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from common.data.catalogue_tables import make_image_ids
from common.errors import InputError
from common.words import counted, few

import numpy as np
import pandas as pd
from numpy.random import Generator

PUBLISHED_SEED = 666
PUBLISHED_TRAIN_SHARE = 0.8
# One stream of random numbers for each question, so that answers do not depend on each other.
NEWCOMER_STREAM, VALIDATION_STREAM, RANK_STREAM = 1, 2, 3


@dataclass(frozen=True)
class Shares:
    """How much goes where, each in [0, 1).

    Attributes:
        train_share: of an animal's units (photos, encounters, days), to train and validation.
        validation_share: of the units just named, to validation.
        newcomer_share: of the animals, kept for test.
        validation_newcomer_share: of the other animals, kept for validation.
    """

    train_share: float
    validation_share: float
    newcomer_share: float
    validation_newcomer_share: float


def n_of_share(share: float, n: int, most: int) -> int:
    """Return the share of n, rounded, at least one unless the share is 0, and at most `most`."""
    return max(0, min(most, max(1, round(share * n)))) if share > 0 else 0


def rank_at_random(table: pd.DataFrame, unit: str, seed: int) -> np.ndarray:
    """Rank each identity's units of a column (image_id, encounter), shape (n_images,)."""
    codes, units = pd.factorize(table[unit], sort=True)
    draws = pd.Series(_generator(seed, RANK_STREAM).random(len(units))[codes])
    within = draws.groupby(table["identity"].to_numpy())
    return within.rank(method="dense").to_numpy().astype(int) - 1


def rank_days(table: pd.DataFrame) -> np.ndarray:
    """Rank each identity's days in the order of time, shape (n_images,); -1 without a date.

    Days that share an encounter count as one, so that an encounter over midnight stays whole.
    """
    rank = np.full(len(table), -1)
    dated = table[table["date"].notna()]
    day = dated["date"].dt.normalize()
    last_day = day.groupby(dated["encounter"]).transform("max")
    order = dated.assign(day=day, last_day=last_day).sort_values(["identity", "day"])
    reached = order.groupby("identity")["last_day"].cummax()
    is_new_unit = order["day"] > reached.groupby(order["identity"]).shift()
    unit = is_new_unit.groupby(order["identity"]).cumsum()
    rank[unit.index] = unit.to_numpy()
    return rank


def rank_days_or_encounters(table: pd.DataFrame, seed: int) -> np.ndarray:
    """Rank days, and encounters in random order for animals without any date."""
    is_undated = table["identity"].isin(undated_identities(table)).to_numpy()
    return np.where(is_undated, rank_at_random(table, "encounter", seed), rank_days(table))


def latest_newcomers(table: pd.DataFrame, share: float, seed: int) -> list[str]:
    """Name the animals that are seen first latest, among those with a date.

    Ties are broken by the seed, not by name. At least two animals are left.
    """
    first_seen = table.dropna(subset="date").groupby("identity")["date"].min().dt.normalize()
    draws = _generator(seed, NEWCOMER_STREAM).random(len(first_seen))
    order = np.lexsort([draws, first_seen.to_numpy()])
    n_newcomers = n_of_share(share, len(order), len(order) - 2)
    return sorted(first_seen.index[order[len(order) - n_newcomers :]])


def choose_animals(identities: list[str], share: float, seed: int, stream: int) -> list[str]:
    """Name a random share of the animals, leaving at least two."""
    order = _generator(seed, stream).permutation(len(identities))
    chosen = order[: n_of_share(share, len(order), len(order) - 2)]
    return sorted(np.array(sorted(identities), dtype=object)[chosen])


def is_mostly_dated(table: pd.DataFrame) -> bool:
    """Return whether at least half of the photos have a date."""
    return 2 * int(table["date"].notna().sum()) >= len(table)


def undated_identities(table: pd.DataFrame) -> list[str]:
    """Name the animals none of whose photos has a date."""
    has_date = table["date"].notna().groupby(table["identity"]).any()
    return sorted(has_date.index[~has_date])


def name_animals(text: str, identities: list[str]) -> list[str]:
    """Return a list of one note that counts and names animals, or of none."""
    if not identities:
        return []
    return [f"{text}: {counted(len(identities), 'animal')} ({few(identities)})."]


def split_animals(
    table: pd.DataFrame, rank: np.ndarray, newcomers: list[str], shares: Shares, seed: int
) -> np.ndarray:
    """Put newcomers into test and cut every other animal's units by rank.

    An animal with one unit stays in train. Of two or more, at least one is for train and one for
    test; validation needs a third.

    Args:
        rank: shape (n_images,), the unit's rank within its identity, -1 for photos not used.
    """
    identity = table["identity"]
    n_units = pd.Series(rank).groupby(identity.to_numpy()).transform("max") + 1
    n_before_test = n_units.map(lambda n: n if n < 2 else n_of_share(shares.train_share, n, n - 1))
    part = np.where(rank < n_before_test, "train", "test").astype("<U10")
    part[identity.isin(newcomers)] = "test"
    part[rank < 0] = "unused"
    trained = sorted(set(identity[part == "train"]))
    held_out = choose_animals(trained, shares.validation_newcomer_share, seed, VALIDATION_STREAM)
    part[identity.isin(held_out).to_numpy() & (rank >= 0)] = "validation"
    return carve_units(part, identity, rank, shares.validation_share)


def carve_units(
    part: np.ndarray, identity: pd.Series, rank: np.ndarray, share: float
) -> np.ndarray:
    """Move the last of each animal's training units to validation, where it has two or more."""
    part = part.copy()
    in_train = pd.Series(rank)[part == "train"]
    for _, ranks in in_train.groupby(identity[part == "train"].to_numpy()):
        units = np.unique(ranks)
        n_moved = n_of_share(share, len(units), len(units) - 1)
        is_moved = ranks.isin(units[len(units) - n_moved :])
        part[ranks.index[is_moved]] = "validation"
    return part


def hold_out_untested(table: pd.DataFrame, part: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Move all photos of some training animals to validation, so that it has new animals too.

    Only animals without a test photo are chosen: others would become new to the test.
    """
    part = part.copy()
    tested = set(table["identity"][part == "test"])
    untested = sorted(set(table["identity"][part == "train"]) - tested)
    held_out = choose_animals(untested, share, seed, VALIDATION_STREAM)
    part[table["identity"].isin(held_out).to_numpy() & (part == "train")] = "validation"
    return part


def carve_validation(
    table: pd.DataFrame, part: np.ndarray, shares: Shares, seed: int
) -> np.ndarray:
    """Give a split that has none a validation part, out of its train part.

    All photos of some animals, and of the others their last days where most photos have a date,
    else encounters at random.
    """
    part = hold_out_untested(table, part, shares.validation_newcomer_share, seed)
    rank = rank_days(table) if is_mostly_dated(table) else rank_at_random(table, "encounter", seed)
    return carve_units(part, table["identity"], rank, shares.validation_share)


def split_like(table: pd.DataFrame, part: np.ndarray, seed: int) -> np.ndarray:
    """Deal another split's parts anew at random among each animal's photos.

    Every animal keeps its number of train, validation and test photos; photos that the other
    split does not use stay unused.
    """
    draws = _generator(seed, RANK_STREAM).random(len(table))
    dealt = part.copy()
    used = np.flatnonzero(part != "unused")
    for rows in pd.Series(used).groupby(table["identity"].to_numpy()[used]):
        rows = rows[1].to_numpy()
        dealt[rows[np.argsort(draws[rows])]] = np.sort(part[rows])
    return dealt


def split_identities(table: pd.DataFrame, shares: Shares, seed: int) -> np.ndarray:
    """Put each animal wholly into one part, shape (n_images,).

    Raises:
        InputError: there are fewer than four animals, so train or test would have one.
    """
    identities = sorted(table["identity"].unique())
    n = len(identities)
    if n < 4:
        raise InputError(
            f"--split disjoint found {n} animals, expected at least 4 (two to train on, two to "
            "tell apart in the test); add animals or use --split random"
        )
    n_test = max(2, n_of_share(1 - shares.train_share, n, n - 2))
    n_validation = n_of_share(shares.validation_share, n - n_test, n - n_test - 2)
    order = _generator(seed, NEWCOMER_STREAM).permutation(n)
    parts = ["test"] * n_test + ["validation"] * n_validation
    parts += ["train"] * (n - len(parts))
    part_of = {identities[i]: part for i, part in zip(order, parts, strict=True)}
    return table["identity"].map(part_of).to_numpy().astype("<U10")


def split_at_date(table: pd.DataFrame, cutoff: pd.Timestamp, validation_share: float) -> np.ndarray:
    """Put photos before a date into train, the last of them into validation, others into test.

    An encounter that spans the date is test as a whole. Photos without a date are unused.
    """
    day = table["date"].dt.normalize()
    last_day = day.groupby(table["encounter"]).transform("max")
    part = np.where(last_day < cutoff, "train", "test").astype("<U10")
    part[day.isna()] = "unused"
    days = np.unique(last_day[part == "train"])
    n_moved = n_of_share(validation_share, len(days), len(days) - 1)
    if n_moved:
        is_late = (last_day >= days[len(days) - n_moved]).to_numpy()
        part[(part == "train") & is_late] = "validation"
    return part


def split_published(table: pd.DataFrame) -> np.ndarray:
    """Repeat the closed-set split of the MegaDescriptor benchmark, shape (n_images,).

    Photos are sorted by the md5 of their file name (of column source_path where there is one),
    animals by name, or by number where all names are numbers.

    Source: Čermák et al., "WildlifeDatasets: an open-source toolkit for animal
    re-identification", WACV 2024; its ClosedSetSplit(0.8, seed=666).
    """
    files = table["source_path" if "source_path" in table else "path"]
    order = make_image_ids(files.str.rsplit("/", n=1).str[-1]).sort_values(kind="stable").index
    rows_of = pd.Series(order).groupby(table["identity"].to_numpy()[order]).indices
    is_numbered = all(identity.isdecimal() for identity in rows_of)
    part = np.full(len(table), "test", dtype="<U10")
    states = lcg_states(PUBLISHED_SEED)
    for identity in sorted(rows_of, key=int if is_numbered else str):
        rows = order[rows_of[identity]]
        part[rows[published_train_positions(len(rows), states)]] = "train"
    return part


def published_train_positions(n: int, states: Iterator[int]) -> np.ndarray:
    """Return which of an animal's n photos train, drawing n states of the generator."""
    n_train = round(PUBLISHED_TRAIN_SHARE * n)  # a half is rounded to the even number
    if n_train == n > 1:
        n_train -= 1
    return np.argsort(list(islice(states, n)))[: max(1, n_train)]


def lcg_states(seed: int) -> Iterator[int]:
    """Yield the states of a linear congruential generator, modulo 2**31.

    >>> list(islice(lcg_states(666), 2))
    [501757899, 786549672]
    """
    state = seed
    while True:
        state = (1103515245 * state + 12345) % 2**31
        yield state


def _generator(seed: int, stream: int) -> Generator:
    return np.random.default_rng([seed, stream])
