"""What each named split does with a table, in words and in parts.

Each recipe takes a table sorted by image_id and returns a draft; `common.splits.splits.make_split`
chooses the recipe and puts the parts back into the catalogue's order.
"""

from dataclasses import dataclass

from common.errors import InputError
from common.splits import rules
from common.splits.rules import Shares, name_animals
from common.words import counted

import numpy as np
import pandas as pd

GIVEN_TEST = r"(?:test|testing|query|gallery)(?:[_-].*)?"
NO_CLASSIFICATION = (
    "Train and test share no animal: closed-set classification cannot be scored, because a "
    "classifier has no output for any test animal; compare embeddings instead."
)
HELD_OUT = "Kept for validation as new"
Newcomers = tuple[list[str], list[str]]  # animals that are tested as new, and remarks


@dataclass(frozen=True)
class Draft:
    """A split of a sorted table: one sentence, parts (n_images,), remarks, parameters."""

    description: str
    part: np.ndarray
    notes: list[str]
    parameters: dict


def split_time_aware(table: pd.DataFrame, shares: Shares, seed: int) -> Draft:
    """Train on each animal's earlier days, test on its later ones."""
    _require_dates(table, "time_aware")
    newcomers, notes = _dated_newcomers(table, shares, seed)
    rank = rules.rank_days(table)
    rank[table["identity"].isin(rules.undated_identities(table))] = 0
    if n_unused := int((rank < 0).sum()):
        notes.append(f"Photos without a date of animals with dates are not used: {n_unused:,}.")
    description = (
        "Known animals are tested on later days than they are trained on; new animals are those "
        "first seen latest."
    )
    part = rules.split_animals(table, rank, newcomers, shares, seed)
    notes = notes + _check_and_describe(table, part, "time_aware", "day")
    return Draft(description, part, notes, vars(shares).copy())


def split_encounter(table: pd.DataFrame, shares: Shares, seed: int) -> Draft:
    """Train and test on different encounters, whatever their order in time."""
    if not table["encounter_known"].any():
        raise InputError(
            "--split encounter found no encounters and no dates, expected a column encounter or "
            "date; add one to the table or use --split random"
        )
    newcomers, notes = _newcomers(table, shares, seed)
    description = (
        "All photos of one encounter lie on one side; known animals are tested on other "
        "encounters than they are trained on."
    )
    rank = rules.rank_at_random(table, "encounter", seed)
    part = rules.split_animals(table, rank, newcomers, shares, seed)
    notes = notes + _check_and_describe(table, part, "encounter", "encounter")
    return Draft(description, part, notes, vars(shares).copy())


def split_random(table: pd.DataFrame, shares: Shares, seed: int) -> Draft:
    """Deal each animal's photos at random; encounters end up on both sides."""
    return _deal_photos(table, _newcomers(table, shares, seed), shares, seed, "random")


def split_open_set(table: pd.DataFrame, shares: Shares, seed: int) -> Draft:
    """Keep a random share of the animals for test, deal the others' photos at random."""
    return _deal_photos(table, _random_newcomers(table, shares, seed), shares, seed, "open_set")


def _deal_photos(
    table: pd.DataFrame, chosen: Newcomers, shares: Shares, seed: int, name: str
) -> Draft:
    newcomers, notes = chosen
    description = (
        "Each animal's photos are dealt at random, so photos of one encounter can lie on both "
        "sides."
    )
    rank = rules.rank_at_random(table, "image_id", seed)
    part = rules.split_animals(table, rank, newcomers, shares, seed)
    notes = notes + _check_and_describe(table, part, name, "photo")
    return Draft(description, part, notes, vars(shares).copy())


def split_like(table: pd.DataFrame, part: np.ndarray, name: str, seed: int) -> Draft:
    """Deal the parts of the split called `name` anew among each animal's photos."""
    description = (
        f"Each animal has as many train, validation and test photos as in {name}, dealt at random."
    )
    notes = [f"Counts per animal and new animals are those of the split {name}."]
    return Draft(description, rules.split_like(table, part, seed), notes, {"like": name})


def split_disjoint(table: pd.DataFrame, shares: Shares, seed: int) -> Draft:
    """Put each animal wholly into train, validation or test."""
    description = "No animal is in two parts: every test animal is new."
    parameters = _parameters(shares, "train_share", "validation_share")
    part = rules.split_identities(table, shares, seed)
    return Draft(description, part, [NO_CLASSIFICATION], parameters)


def split_time_cutoff(table: pd.DataFrame, shares: Shares, seed: int) -> Draft:
    """Train before one date, the train share of the photos, test from that date on."""
    _require_dates(table, "time_cutoff")
    days = table["date"].dropna().dt.normalize().sort_values()
    first_test_day = days.iloc[min(len(days) - 1, round(shares.train_share * len(days)))]
    part = rules.split_at_date(table, first_test_day, shares.validation_share)
    if not {"train", "test"} <= set(part):
        raise InputError(
            f"--split time_cutoff: no photo is left to train on before {first_test_day:%Y-%m-%d}, "
            "expected photos of several days; use another --split or add photos"
        )
    notes = []
    if n_unused := int((part == "unused").sum()):
        notes.append(f"Photos without a date are not used: {n_unused:,}.")
    if shares.validation_share and "validation" not in part:
        notes.append("All training photos are of one day, so none of known animals validate.")
    part = rules.hold_out_untested(table, part, shares.validation_newcomer_share, seed)
    train, validation, test = _identities_of(table, part, "train", "validation", "test")
    notes += name_animals("Without a training photo, tested as new", sorted(test - train))
    notes += name_animals(HELD_OUT, sorted(validation - train - test))
    parameters = {"cutoff": f"{first_test_day:%Y-%m-%d}"}
    parameters |= _parameters(shares, "validation_share", "validation_newcomer_share")
    description = f"Photos before {first_test_day:%Y-%m-%d} train, photos from then on test."
    return Draft(description, part, notes, parameters)


def split_given(table: pd.DataFrame, shares: Shares, seed: int, column: str) -> Draft:
    """Follow the source's own column."""
    if column not in table:
        raise InputError(
            f"--split given found no column {column!r}, expected one with train and test; the "
            f"table has {', '.join(map(str, table.columns))}"
        )
    part = given_parts(table[column])
    if not {"train", "test"} <= set(part):
        values = sorted(set(table[column].astype(str)))
        raise InputError(
            f"--split given found {', '.join(map(repr, values[:6]))} in column {column!r}, "
            "expected both train and test; name the right column or use another --split"
        )
    notes = []
    if n_unused := int((part == "unused").sum()):
        words = sorted(set(table[column][part == "unused"].astype(str)))
        shown = ", ".join(map(repr, words[:3]))
        notes.append(f"Photos with {shown} in column {column} are not used: {n_unused:,}.")
    train, test = _identities_of(table, part, "train", "test")
    if train & test:
        notes += name_animals("Without a training photo, tested as new", sorted(test - train))
    part, carved = _with_validation(table, part, shares, seed)
    parameters = {"split_column": column}
    parameters |= _parameters(shares, "validation_share", "validation_newcomer_share")
    return Draft(f"The source's own split, column {column}.", part, notes + carved, parameters)


def given_parts(column: pd.Series) -> np.ndarray:
    """Read a source's words for its parts, shape (n_images,); unknown words are "unused"."""
    word = column.astype(str).str.strip().str.lower()
    part = np.full(len(word), "unused", dtype="<U10")
    part[word.isin(["train", "training"])] = "train"
    part[word.isin(["val", "valid", "validation"])] = "validation"
    part[word.str.fullmatch(GIVEN_TEST)] = "test"
    return part


def split_published(table: pd.DataFrame, shares: Shares, seed: int) -> Draft:
    """Repeat the closed-set split of the MegaDescriptor benchmark."""
    part, notes = _with_validation(table, rules.split_published(table), shares, seed)
    description = "The closed-set split of the MegaDescriptor benchmark, dealt at random."
    parameters = {
        "train_share": rules.PUBLISHED_TRAIN_SHARE,
        "published_seed": rules.PUBLISHED_SEED,
        "validation_share": shares.validation_share,
    }
    return Draft(description, part, notes, parameters)


def _with_validation(
    table: pd.DataFrame, part: np.ndarray, shares: Shares, seed: int
) -> tuple[np.ndarray, list[str]]:
    train, test = _identities_of(table, part, "train", "test")
    notes = [] if train & test else [NO_CLASSIFICATION]
    if "validation" in part:
        return part, notes
    part = rules.carve_validation(table, part, shares, seed)
    if n_carved := int((part == "validation").sum()):
        notes.append(
            f"There is no validation part, so "
            f"it is made of {counted(n_carved, 'training photo')}; train and "
            "validation together are the given train part."
        )
    train, validation = _identities_of(table, part, "train", "validation")
    return part, notes + name_animals(HELD_OUT, sorted(validation - train))


def _newcomers(table: pd.DataFrame, shares: Shares, seed: int) -> Newcomers:
    # By date where most photos have one, so that the same animals are new under each split.
    choose = _dated_newcomers if rules.is_mostly_dated(table) else _random_newcomers
    return choose(table, shares, seed)


def _dated_newcomers(table: pd.DataFrame, shares: Shares, seed: int) -> Newcomers:
    latest = rules.latest_newcomers(table, shares.newcomer_share, seed)
    undated = rules.undated_identities(table)
    notes = name_animals("First seen latest, so not trained on and tested as new", latest)
    notes += name_animals("Without any date, so not trained on and tested as new", undated)
    return sorted(latest + undated), notes


def _random_newcomers(table: pd.DataFrame, shares: Shares, seed: int) -> Newcomers:
    identities = sorted(table["identity"].unique())
    stream = rules.NEWCOMER_STREAM
    chosen = rules.choose_animals(identities, shares.newcomer_share, seed, stream)
    return chosen, name_animals("Chosen at random, not trained on and tested as new", chosen)


def _check_and_describe(table: pd.DataFrame, part: np.ndarray, name: str, unit: str) -> list[str]:
    train, validation, test = _identities_of(table, part, "train", "validation", "test")
    if not train & test:
        two = "two photos" if unit == "photo" else f"photos of two {unit}s"
        raise InputError(
            f"--split {name} found no animal with {two} besides the new ones, "
            "expected some to test known animals on; "
            f"{'use another --split, or ' if table['identity'].duplicated().any() else ''}"
            "add further photos of these animals"
        )
    one_unit = f"With one {unit} only, so trained on and not tested"
    notes = name_animals(HELD_OUT, sorted(validation - train))
    return notes + name_animals(one_unit, sorted(train - test))


def _identities_of(table: pd.DataFrame, part: np.ndarray, *names: str) -> list[set[str]]:
    return [set(table["identity"][part == name]) for name in names]


def _require_dates(table: pd.DataFrame, name: str) -> None:
    if table["date"].isna().all():
        raise InputError(
            f"--split {name} found no dates, expected a column date (2020-05-31); add it to the "
            "table or use --split encounter or --split random"
        )


def _parameters(shares: Shares, *names: str) -> dict:
    return {name: getattr(shares, name) for name in names}
