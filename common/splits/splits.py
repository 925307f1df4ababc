"""Which photos train, which choose, which test.

A model may see an animal in training and be asked about it later, or be asked about an animal it
never saw. Each split here says which of the two it measures, and `common.splits.leaks` how
honestly.

    split            known animals are tested on           new animals in test
    time_aware       their later days (the default)        those first seen latest
    encounter        other encounters                      those first seen latest
    random           other photos: flatters every model    those first seen latest
    open_set         other photos                          a random share
    time_cutoff      photos from one date on               those first seen from then on
    disjoint         never                                 all
    given            as the source's own column says
    published_closed_set  as in the MegaDescriptor benchmark    none
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from common.data.catalogue import Catalogue
from common.errors import InputError
from common.splits import recipes, rules
from common.splits.rules import Shares
from common.words import counted

import numpy as np
import pandas as pd

PARTS = ("train", "validation", "test", "unused")
MOST = 0.5  # share of all photos that one animal has, above which its part is told
SPLITS: dict[str, Callable[..., recipes.Draft]] = {
    "time_aware": recipes.split_time_aware,
    "encounter": recipes.split_encounter,
    "random": recipes.split_random,
    "open_set": recipes.split_open_set,
    "time_cutoff": recipes.split_time_cutoff,
    "disjoint": recipes.split_disjoint,
    "given": recipes.split_given,
    "published_closed_set": recipes.split_published,
}
SPLIT_NAMES = ("auto", *SPLITS)
UNKNOWN = "neither dates nor encounters are known"


@dataclass(frozen=True, eq=False)
class Split:
    """A part for every photo of one catalogue.

    Attributes:
        name: one of SPLIT_NAMES, never "auto".
        parameters: shares and dates that the split was made with.
        part: shape (n_images,), each "train", "validation", "test" or "unused".
        notes: what was left out or set apart, and why.
    """

    name: str
    description: str
    seed: int
    parameters: dict
    part: np.ndarray
    notes: list[str] = field(default_factory=list)

    def rows(self, part: str) -> np.ndarray:
        """Return the rows of a part, ascending.

        Raises:
            ValueError: there is no such part.
        """
        if part not in PARTS:
            raise ValueError(f"found part {part!r}, expected one of {', '.join(PARTS)}")
        return np.flatnonzero(self.part == part)

    def require_catalogue(self, catalogue: Catalogue) -> None:
        """Raise ValueError unless the split has a part for each of the catalogue's photos."""
        if len(self.part) != catalogue.n_images:
            raise ValueError(
                f"the split has parts for {len(self.part)} photos, the catalogue has "
                f"{catalogue.n_images}; make the split of the catalogue it is used with"
            )

    def known_identities(self, catalogue: Catalogue) -> list[str]:
        """Return the animals with a training photo, sorted."""
        self.require_catalogue(catalogue)
        return sorted(catalogue.table["identity"].iloc[self.rows("train")].unique())

    def rows_known(self, part: str, catalogue: Catalogue) -> np.ndarray:
        """Return the part's rows that show an animal with a training photo."""
        rows = self.rows(part)
        known = self.known_identities(catalogue)
        return rows[catalogue.table["identity"].iloc[rows].isin(known).to_numpy()]

    def rows_new(self, part: str, catalogue: Catalogue) -> np.ndarray:
        """Return the part's rows that show an animal without any training photo."""
        return np.setdiff1d(self.rows(part), self.rows_known(part, catalogue))

    def to_dict(self) -> dict:
        """Return plain values for a result file, without the parts themselves."""
        return {name: value for name, value in vars(self).items() if name != "part"}


def make_split(
    catalogue: Catalogue,
    name: str = "auto",
    *,
    seed: int = 0,
    train_share: float = 0.7,
    validation_share: float = 0.2,
    newcomer_share: float = 0.25,
    validation_newcomer_share: float = 0.1,
    split_column: str = "split",
    like: Split | None = None,
) -> Split:
    """Split a catalogue by name. The result does not depend on the order of its rows.

    Args:
        name: one of SPLIT_NAMES; "auto" takes what `choose_split_name` says.
        train_share: of an animal's days, encounters or photos, those before the test ones; of
            the animals in `disjoint`, of all photos in `time_cutoff`; ignored by `given` and
            `published_closed_set`.
        validation_share: of the training side, what goes to validation by the same rule.
        newcomer_share: of the animals, those kept out of training and tested as new.
        validation_newcomer_share: of the other animals, those kept for validation as new.
        like: a split whose counts per animal `random` is to repeat, to compare the two fairly.

    Raises:
        InputError: the catalogue lacks what the split needs, or a share is out of range.
        ValueError: `like` belongs to another catalogue.
    """
    shares = Shares(train_share, validation_share, newcomer_share, validation_newcomer_share)
    _check_request(name, shares, like)
    reason = []
    if name == "auto":
        name, *reason = choose_split_name(catalogue)
    order = np.argsort(catalogue.table["image_id"].to_numpy().astype(str), kind="stable")
    table = catalogue.table.iloc[order].reset_index(drop=True)
    if like is not None:
        like.require_catalogue(catalogue)
        draft = recipes.split_like(table, like.part[order], like.name, seed)
    else:
        more = [split_column] if name == "given" else []
        draft = SPLITS[name](table, shares, seed, *more)
    _require_photos(name, table, draft.part)
    part = np.empty_like(draft.part)
    part[order] = draft.part
    notes = [*reason, *draft.notes, *_what_is_lacking(table, draft.part)]
    return Split(name, draft.description, seed, draft.parameters, part, notes)


def _what_is_lacking(table: pd.DataFrame, part: np.ndarray) -> list[str]:
    """Warnings of a split that leaves little to learn from or to choose by."""
    notes = []
    shares = table["identity"].value_counts(normalize=True)
    trained = set(table["identity"][part == "train"])
    if shares.iloc[0] > MOST and shares.index[0] not in trained:
        notes.append(
            f"Warning: {shares.index[0]} has {100 * shares.iloc[0]:.0f} % of all photos, and none "
            "of them trains: it plays the new animal. Another --seed or --split may choose another."
        )
    if "validation" not in part:
        notes.append(
            "Warning: no photo validates, so nothing can be chosen by validation; add photos, days "
            "or encounters."
        )
    return notes


def _require_photos(name: str, table: pd.DataFrame, part: np.ndarray) -> None:
    trained = sorted(set(table["identity"][part == "train"]))
    if len(trained) < 2:
        raise InputError(
            f"--split {name} leaves {counted(len(trained), 'animal')} to train on "
            f"({', '.join(trained)}), expected at least 2 to tell apart; use another --split "
            "or add photos"
        )
    if "test" not in part:
        raise InputError(
            f"--split {name} leaves no photo to test on, expected animals with two photos; use "
            "another --split or add photos"
        )


def _check_request(name: str, shares: Shares, like: Split | None) -> None:
    if name not in SPLIT_NAMES:
        raise InputError(
            f"--split {name} found, expected one of {', '.join(SPLIT_NAMES)}; leave it out for auto"
        )
    for share_name, share in vars(shares).items():
        is_train = share_name == "train_share"
        if not (0 < share < 1 if is_train else 0 <= share < 1):
            least = "more than 0" if is_train else "at least 0"
            raise InputError(f"{share_name} is {share}, expected {least} and less than 1")
    if like is not None and name != "random":
        raise InputError(f"like is given with --split {name}, expected --split random")


def choose_split_name(catalogue: Catalogue) -> tuple[str, str]:
    """The most honest split that a catalogue allows, and a sentence that says why."""
    table = catalogue.table
    n_dated = int(table["date"].notna().sum())
    n_returning = _n_with_two(rules.rank_days(table), table["identity"])
    if rules.is_mostly_dated(table) and n_returning >= 2:
        return "time_aware", (
            f"Chosen split time_aware: {n_dated:,} of {len(table):,} photos have a date and "
            f"{n_returning:,} animals were seen on two or more days."
        )
    if _has_given_split(table):
        return "given", "Chosen split given: there are few or no dates, and a split of its own."
    n_recurring = _n_with_two(rules.rank_at_random(table, "encounter", 0), table["identity"])
    if 2 * int(table["encounter_known"].sum()) >= len(table) and n_recurring >= 2:
        return "encounter", (
            "Chosen split encounter: there are no dates to go by, and "
            f"{n_recurring:,} animals have two or more encounters."
        )
    is_known = bool(table["encounter_known"].any())
    reason = "too few animals were met on two days or in two encounters"
    return "random", (
        f"Warning: split random, because {reason if is_known else UNKNOWN}; photos of one "
        "encounter may lie on both sides, so scores are too good. Add "
        f"{'photos of other days' if is_known else 'a date or encounter column'}."
    )


def _n_with_two(rank: np.ndarray, identity: pd.Series) -> int:
    return int((pd.Series(rank).groupby(identity.to_numpy()).max() >= 1).sum())


def _has_given_split(table: pd.DataFrame) -> bool:
    if "split" not in table:
        return False
    parts = recipes.given_parts(table["split"])
    return {"train", "test"} <= set(parts) and 2 * int((parts != "unused").sum()) >= len(table)
