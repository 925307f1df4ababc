"""Capture histories: which animal was seen on which occasion.

A capture is an animal on an occasion, however many photos and encounters it had then. An encounter
counts on the occasion on which it began, also where it goes over midnight; one whose name comes
back after hours, such as "dive 1" of each day, begins anew. Photos without a date, or of another
side than the one that counts, are left out and named.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.data.catalogue import Catalogue
from common.data.catalogue_cells import normalise_orientation
from common.errors import InputError
from common.names import near_to
from common.words import counted, few

import numpy as np
import pandas as pd

# Occasion to pandas' period; a season is three months, the first from December to February.
OCCASIONS = {"day": "D", "month": "M", "season": "Q-NOV", "year": "Y"}
PAUSE = pd.Timedelta(hours=12)  # without a photo, after which an encounter has ended
N_NAMED = 3  # photos that a note names
PLACES = ("latitude", "longitude")


@dataclass(frozen=True, eq=False)
class Histories:
    """Who was seen when.

    Attributes:
        encounters: int, shape (n_animals, n_occasions), encounters of each animal on each occasion;
            the index holds identities, the columns occasions as text, earliest first.
        photos: the catalogue's rows that count, with the column occasion.
        notes: what was left out, and what to know about it.
        warning: where most animals were seen from one side alone and may be counted twice, else "".
    """

    encounters: pd.DataFrame
    photos: pd.DataFrame
    notes: tuple[str, ...]
    warning: str = ""

    @property
    def seen(self) -> np.ndarray:
        """Whether each animal was seen, bool, shape (n_animals, n_occasions)."""
        return self.encounters.to_numpy() > 0

    @property
    def texts(self) -> list[str]:
        """Each animal's history as a text such as "0110"."""
        return ["".join("01"[each] for each in row) for row in self.seen.astype(int)]

    @property
    def n_days(self) -> int:
        """Days from the first capture to the last, both included."""
        days = self.photos["date"].dt.normalize()
        return (days.max() - days.min()).days + 1


def histories_of(
    catalogue: Catalogue,
    occasion: str,
    *,
    side: str | None = None,
    days: Sequence[pd.Timestamp] | None = None,
) -> Histories:
    """Tell who was seen on which occasion.

    Args:
        occasion: one of `OCCASIONS`; one on which nobody was seen does not appear.
        side: "left" or "right", the only one that counts; None: both.
        days: the first and the last day that count; None: all.

    Raises:
        InputError: no photo is left, or the side is unknown.
    """
    table = catalogue.table.assign(side=catalogue.sides)
    notes, warning = [], ""
    table = _keep(table, table["date"].notna(), "without a date", notes)
    if days:
        day = table["date"].dt.normalize()
        words = f"taken before {days[0]:%Y-%m-%d} or after {days[1]:%Y-%m-%d}"
        table = _keep(table, day.between(*days), words, notes)
    if side:
        table = _of_side(table, side, notes)
    else:
        note, warning = _unjoined_sides(table)
        notes += [note] if note else []
    if not len(table):
        raise InputError(
            f"{catalogue.name}: no photo of a known animal is left ({'; '.join(notes) or 'none'}"
            f"{catalogue.unread_dates}), "
            "expected photos with an identity and a date; name them, fill in the column date, or "
            "change --side or --days"
        )
    begun, is_resumed = _beginnings(table)
    periods = [day.dt.to_period(OCCASIONS[occasion]) for day in (table["date"], begun)]
    if n_long := table["encounter"][periods[0] != periods[1]].nunique():
        notes.append(f"{counted(n_long, 'encounter')} over the end of a {occasion}: counted once")
    if n_resumed := table["encounter"][is_resumed].nunique():
        notes.append(
            f"{counted(n_resumed, 'encounter')} with more than {PAUSE.components.hours} hours "
            "between two photos, or on several days without a time: each part counts"
        )
    table = table.assign(occasion=[_words(each, occasion) for each in periods[1]])
    encounters = table.groupby(["identity", "occasion"])["encounter"].nunique()
    encounters = encounters.unstack(fill_value=0).sort_index(axis="columns")
    return Histories(encounters, table.reset_index(drop=True), tuple(notes), warning)


def _beginnings(table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """When each photo's encounter began, and whether it did so after a pause on another day.

    Only times say that one went on over midnight: a day without a time is its own.
    """
    table = table.sort_values("date", kind="stable")
    animal = [table["identity"], table["encounter"]]
    day = table["date"].dt.normalize()
    is_resumed = table["date"].groupby(animal).diff() > PAUSE
    has_time = table["date"] != day
    are_times = has_time & has_time.groupby(animal).shift(fill_value=False)
    is_resumed |= ~are_times & (day.groupby(animal).diff() > pd.Timedelta(0))
    part = is_resumed.groupby(animal).cumsum()
    begun = table["date"].groupby([*animal, part]).transform("min")
    is_other_day = begun.dt.normalize() != day.groupby(animal).transform("min")
    return begun.sort_index(), (part.gt(0) & is_other_day).sort_index()


def _keep(table: pd.DataFrame, keep: pd.Series, words: str, notes: list[str]) -> pd.DataFrame:
    """The rows that stay; a note on the others."""
    gone = table.loc[~keep, "path"].tolist()
    if gone:
        named = few(gone, most=N_NAMED)
        notes.append(f"{counted(len(gone), 'photo')} {words}: left out ({named})")
    return table[keep]


def _of_side(table: pd.DataFrame, side: str, notes: list[str]) -> pd.DataFrame:
    sides = sorted(set(table["side"]) - {""})
    meant = normalise_orientation(pd.Series([side])).item()  # in the words of tables
    if meant not in sides:
        near = near_to(side, sides)
        hint = f"did you mean {near[0]}?" if near else "leave --side out, or name one of them"
        raise InputError(
            f"--side {side}: no photo shows it, expected one of {', '.join(sides) or 'left, right'}"
            f" in the column orientation; {hint}"
        )
    return _keep(table, table["side"] == meant, f"not of the side {meant}", notes)


def _unjoined_sides(table: pd.DataFrame) -> tuple[str, str]:
    """What to know where a left and a right that nobody joined may be one animal.

    Returns:
        A note, and a warning where most animals are concerned; "" where there is no need.
    """
    shown = {side: set(own["identity"]) for side, own in table.groupby("side") if side}
    if set(shown) != {"left", "right"}:
        return "", ""
    left, right = shown["left"] - shown["right"], shown["right"] - shown["left"]
    if not left or not right:
        return "", ""
    best = max(shown, key=lambda side: len(shown[side]))
    note = (
        f"Seen from the left alone: {counted(len(left), 'animal')}; from the right alone: "
        f"{len(right):,}. A left and a right that nobody has joined are two names and may be one "
        f"animal. Count one side: --side {best} has most animals, {len(shown[best]):,}."
    )
    are_most = len(left) + len(right) > len(shown["left"] & shown["right"])
    warning = f"But left and right sides count as two animals here: take --side {best}."
    return note, warning if are_most else ""


def _words(period: pd.Period, occasion: str) -> str:
    """The occasion's name; names sort by time.

    >>> _words(pd.Period("2021-01-15", "Q-NOV"), "season")
    '2020-12 to 2021-02'
    """
    if occasion == "season":
        return f"{period.start_time:%Y-%m} to {period.end_time:%Y-%m}"
    return str(period)


def places_of(photos: pd.DataFrame) -> pd.DataFrame:
    """Where each photo was taken, in degrees; NaN where that is unknown.

    Args:
        photos: rows of a catalogue, perhaps with the columns latitude and longitude.
    """
    places = photos.reindex(columns=list(PLACES)).astype(float)
    return places.where(places.notna().all(axis="columns"))


def without_date_line(longitude: np.ndarray) -> np.ndarray:
    """Degrees counted on past 180 where places lie on both sides of the date line.

    Args:
        longitude: in [-180, 180], shape (n,), n at least 1.

    >>> without_date_line(np.array([179.5, -179.5]))
    array([179.5, 180.5])
    """
    return longitude[0] + (longitude - longitude[0] + 180) % 360 - 180
