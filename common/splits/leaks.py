"""How much a split tells in training about the photos it is tested on."""

from dataclasses import asdict, dataclass

from common.data.catalogue import Catalogue
from common.splits.encounters import is_met
from common.splits.splits import PARTS, Split
from common.words import counted

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class PartLeak:
    """What the training photos share with one part, counted in photos of that part.

    Attributes:
        n_known: of these, photos of animals that have training photos.
        n_encounter_unknown: photos of known animals whose encounter is not known, so that a leak
            goes unseen.
        n_identities, n_new_identities: animals, and those without any training photo.
    """

    n_images: int
    n_known: int
    n_same_encounter: int
    n_same_day: int
    n_dated: int
    n_encounter_unknown: int
    n_identities: int
    n_new_identities: int

    @property
    def share_same_encounter(self) -> float:
        """Share of the part's photos, in [0, 1], with a same-encounter photo in training."""
        return self.n_same_encounter / self.n_images if self.n_images else 0.0

    @property
    def share_same_day(self) -> float:
        """Share of the part's photos, in [0, 1], with a same-day photo in training."""
        return self.n_same_day / self.n_images if self.n_images else 0.0

    def to_dict(self) -> dict:
        """Return plain values for a result file."""
        names = ("share_same_encounter", "share_same_day")
        return asdict(self) | {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class LeakReport:
    """Counts of a split and its leaks.

    Attributes:
        n_images, n_identities: per part, "train", "validation", "test", "unused".
        validation, test: what the training photos share with the part.
    """

    split_name: str
    n_images: dict[str, int]
    n_identities: dict[str, int]
    validation: PartLeak
    test: PartLeak

    def text(self) -> str:
        """Return the report for people, four lines at most."""
        n_images, n_identities = self.n_images, self.n_identities
        parts = {"validation": self.validation, "test": self.test}
        counts = [
            f"train {counted(n_images['train'], 'photo')} of "
            f"{counted(n_identities['train'], 'animal')}"
        ]
        for name, part in parts.items():
            of_these = f"{part.n_identities:,} ({part.n_new_identities:,} of them new)"
            counts.append(f"{name} {part.n_images:,} of {of_these}")
        if n_images["unused"]:
            counts.append(f"unused {n_images['unused']:,}")
        lines = [f"Split {self.split_name}: {', '.join(counts)}."]
        lines += [
            _leak_line(name, parts[name]) for name in ("test", "validation") if parts[name].n_images
        ]
        if self.test.n_encounter_unknown:
            lines.append(
                f"The encounter of {counted(self.test.n_encounter_unknown, 'test photo')} of known "
                "animals is not known; what leaks that way is not counted."
            )
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """Return plain values for a result file."""
        parts = {"validation": self.validation.to_dict(), "test": self.test.to_dict()}
        return vars(self) | parts


def leak_report(catalogue: Catalogue, split: Split) -> LeakReport:
    """Count, for validation and test, photos that share an encounter or a day with training.

    Only photos of the same animal count.

    Raises:
        ValueError: the split was made for another number of photos.
    """
    split.require_catalogue(catalogue)
    identity = catalogue.table["identity"]
    rows = {part: split.rows(part) for part in PARTS}
    return LeakReport(
        split_name=split.name,
        n_images={part: len(rows[part]) for part in PARTS},
        n_identities={part: int(identity[rows[part]].nunique()) for part in PARTS},
        validation=_part_leak(catalogue.table, rows["train"], rows["validation"]),
        test=_part_leak(catalogue.table, rows["train"], rows["test"]),
    )


def _part_leak(table: pd.DataFrame, train_rows: np.ndarray, rows: np.ndarray) -> PartLeak:
    train, part = table.iloc[train_rows], table.iloc[rows]
    is_known = part["identity"].isin(train["identity"])
    same_encounter = is_met(part["encounter"].to_numpy(str), train["encounter"].to_numpy(str))
    same_day = _identity_days(part).isin(_identity_days(train)) & part["date"].notna()
    return PartLeak(
        n_images=len(part),
        n_known=int(is_known.sum()),
        n_same_encounter=int(same_encounter.sum()),
        n_same_day=int(same_day.sum()),
        n_dated=int(part["date"].notna().sum()),
        n_encounter_unknown=int((is_known & ~part["encounter_known"]).sum()),
        n_identities=int(part["identity"].nunique()),
        n_new_identities=int(part["identity"][~is_known].nunique()),
    )


def _identity_days(table: pd.DataFrame) -> pd.Series:
    return table["date"].dt.strftime("%Y-%m-%d").fillna("") + " " + table["identity"]


def _leak_line(name: str, part: PartLeak) -> str:
    if part.n_known and part.n_encounter_unknown == part.n_known:  # 0.0 % would look like a result
        return f"Leak: not known, because no encounter of the {name} photos is."
    share = f"{100 * part.share_same_encounter:.1f} %"
    if part.n_same_encounter and part.n_known < part.n_images:
        share += f"; {100 * part.n_same_encounter / part.n_known:.1f} % of those of known animals"
    line = (
        f"Leak: {part.n_same_encounter:,} of {part.n_images:,} {name} photos ({share}) have a "
        "training photo of the same encounter"
    )
    if part.n_dated:
        line += f", {part.n_same_day:,} ({100 * part.share_same_day:.1f} %) one of the same day"
    return line + "."
