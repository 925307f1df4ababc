"""From the cells of a person's table to values: text, dates, sides, boxes.

Pure functions; `common.data.catalogue_tables` puts them together.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from common.data.photo_files import can_be_true
from common.errors import InputError
from common.names import is_unknown, printable, tidy_name

import pandas as pd

SIDE_LETTERS = {"l": "left", "r": "right"}
CLOCK = (
    r"(?:[T\s_,]\s*(?P<hour>\d{1,2})(?:[:.h](?P<minute>\d{1,2}))?(?:[:.](?P<second>\d{1,2}))?"
    r"(?:[.,](?P<fraction>\d+))?\s*(?P<half>[ap]\.?m\.?)?)?"
    # A zone, cut off: "Z", "+02:00", "UTC+2", "CEST", "Europe/Berlin", "[Europe/Berlin]".
    r"\s*(?:Z|UTC|MSK|[A-Z]{0,4}T)?\s*(?:[+\u2212-]\d{1,2}(?::?\d{2}){0,2})?"
    r"\s*(?:\[?[A-Z]+/[\w/+-]+\]?)?"
)
YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})(?:(?P<mark>[-:/. ])(?P<month>\d{1,2})(?:(?P=mark)(?P<day>\d{1,2})"
    + CLOCK + ")?)?", re.IGNORECASE,
)  # fmt: skip
RUN_TOGETHER = re.compile(
    r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)(?:[T_ -]?(?P<hour>\d\d)(?P<minute>\d\d)"
    r"(?P<second>\d\d)?(?:\.(?P<fraction>\d+))?Z?(?:[+-]\d{2}:?\d{2})?)?", re.IGNORECASE,
)  # fmt: skip
# What programs write where there is no date: year 0 or 1, or the last one.
NO_YEAR = re.compile(r"0000|(0001|9999)\D|\d{1,2}\D\d{1,2}\D(000[01]|9999)\b")
YEAR_LAST = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<second_part>\d{1,2})(?P=mark)(?P<year>\d{4})" + CLOCK,
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Problem:
    """One kind of thing that is wrong, or worth knowing, about a catalogue.

    Attributes:
        kind: one word for programs, such as "missing_file".
        summary: the words for people, such as "photos that cannot be found".
        names: every photo, row or animal concerned.
        rows: rows of the checked catalogue concerned; empty where the thing never became a row.
        action: what is done about it, such as "left out"; empty if nothing is.
        faults: a line on each photo that cannot be read, with the reason.
    """

    kind: str
    summary: str
    names: tuple[str, ...]
    rows: tuple[int, ...] = ()
    action: str = ""
    faults: tuple[str, ...] = ()

    def text(self) -> str:
        """Return one line with the count, the first three names and what is done."""
        shown = ", ".join(map(printable, self.names[:3])) + (", …" if len(self.names) > 3 else "")
        action = f"; {self.action}" if self.action else ""
        return f"{self.summary}: {len(self.names):,} ({shown}){action}"


def as_text(values: pd.Series) -> pd.Series:
    """Return values as stripped text: 1.0 becomes "1", a missing value "".

    Whole numbers lose their ".0" because pandas reads integers as floats when one is missing.
    """
    return pd.Series(map(_text_of, values.astype(object)), index=values.index, dtype=object)


def _text_of(value: object) -> str:
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if is_whole else str(value).strip()


def parse_dates(text: pd.Series) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Read dates and datetimes as people, cameras and programs write them.

    The year comes first, or the order follows from a day above 12 somewhere in the column, in a
    date with the same mark; where it does not, 03/04/2024 cannot be read. A time zone is cut off,
    not converted: the local day is what makes an encounter.

    Returns:
        Dates (NaT where there is none), whether a text is there but cannot be read or be true, and
        whether it gives no day (read as the first of the month or year).
    """
    text = text.map(tidy_name)
    is_empty = text.map(lambda each: is_unknown(each) or bool(NO_YEAR.match(each)), na_action=None)
    is_day_first = {mark: _is_day_first(text, mark) for mark in "-/."}
    parts = [_date_parts(each, is_day_first) for each in text]
    iso = pd.Series([_iso(each) for each in parts], index=text.index, dtype=object)
    iso = iso.where(~is_empty, None)
    dates = pd.to_datetime(iso, format="ISO8601", errors="coerce").astype("datetime64[us]")
    dates = dates.where([not pd.isna(day) and can_be_true(day) for day in dates])
    has_no_day = pd.Series([bool(each) and not each["day"] for each in parts], index=text.index)
    return dates, dates.isna() & ~is_empty, has_no_day & dates.notna()


def _is_day_first(text: pd.Series, mark: str) -> bool | None:
    """Whether 03/04/2024 is in April; None: nothing in the column says so, or both is said."""
    matches = map(YEAR_LAST.fullmatch, set(text))
    found = [match for match in matches if match and match["mark"] == mark]
    days_first = any(int(match["first"]) > 12 for match in found)
    months_first = any(int(match["second_part"]) > 12 for match in found)
    return None if days_first == months_first else days_first


def _date_parts(text: str, is_day_first: dict[str, bool | None]) -> dict[str, str | None] | None:
    """Year, month, day and time of a text, as written."""
    match = YEAR_FIRST.fullmatch(text) or RUN_TOGETHER.fullmatch(text)
    if not match and (match := YEAR_LAST.fullmatch(text)) and is_day_first[match["mark"]] is None:
        match = None
    parts = match.groupdict() if match else None
    if parts and "first" in parts:
        order = ("day", "month") if is_day_first[parts["mark"]] else ("month", "day")
        parts |= dict(zip(order, (parts["first"], parts["second_part"]), strict=True))
    return parts


def _iso(parts: dict[str, str | None] | None) -> str | None:
    """An ISO date and time, which pandas may still find impossible."""
    if not parts:
        return None
    hour = int(parts["hour"] or 0)
    if half := parts.get("half"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half.lower().startswith("p") else 0)
    clock = f"{hour:02}:{parts['minute'] or '0':0>2}:{parts['second'] or '0':0>2}"
    fraction = f".{parts['fraction'][:6]}" if parts["fraction"] else ""
    return (
        f"{parts['year']}-{parts['month'] or '1':0>2}-{parts['day'] or '1':0>2}T{clock}{fraction}"
    )


def normalise_orientation(text: pd.Series) -> pd.Series:
    """Return lower-case orientations: "left", "right", others as they are, "" if unknown."""
    lower = text.str.lower()
    return lower.replace(SIDE_LETTERS).where(~lower.map(is_unknown), "")


def split_word(name: str) -> str:
    """Return a given part's name in lower case, with val and valid spelled out.

    >>> split_word("Valid"), split_word("test_query")
    ('validation', 'test_query')
    """
    lower = name.strip().lower()
    return {"val": "validation", "valid": "validation", "training": "train"}.get(lower, lower)


def parse_boxes(values: Iterable, where: str) -> list[str]:
    """Read boxes as "x,y,width,height"; "" for the whole photo.

    Args:
        values: lists of four numbers, or texts with four numbers, such as "[0, 0, 30, 40]".
        where: the table's name for messages.

    Raises:
        InputError: a box of other than four numbers, or without an area.
    """
    boxes = []
    for row, value in enumerate(values, start=2):
        text = _text_of(value)
        numbers = [] if is_unknown(text) else re.split(r"[\s,;]+", text.strip("[]() \t,;"))
        try:
            x, y, width, height = map(float, numbers or (0, 0, 1, 1))
            is_box = math.isfinite(x + y + width + height) and min(width, height) > 0
        except ValueError:
            is_box = False
        if not is_box:
            raise InputError(
                f"{where}, row {row}: the box {text!r} is found, expected [x, y, width, height] "
                "in pixels, such as [0, 0, 30, 40]; correct it, or leave the cell empty for the "
                "whole photo"
            )
        boxes.append(",".join(f"{number:g}" for number in (x, y, width, height)) if numbers else "")
    return boxes
