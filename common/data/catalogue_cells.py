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
from common.words import few

import pandas as pd

# Words for the two sides, in the languages of those who are likely to write them.
LEFT_WORDS = """
    l lh left links linke linker linkes gauche izquierda izquierdo izq esquerda esquerdo sinistra
    sinistro vänster venstre vasen lewy lewa vlevo levá левый левая слева 左
"""
RIGHT_WORDS = """
    r rh right rechts rechte rechter rechtes droite droit derecha derecho direita direito destra
    destro höger højre høyre oikea prawy prawa vpravo pravá правый правая справа 右
"""
SIDE_WORDS = dict.fromkeys(LEFT_WORDS.split(), "left") | dict.fromkeys(RIGHT_WORDS.split(), "right")
LEAST_OFFERED = 0.5  # of the photos' names that say a side, for the sides to be offered
# By their first letters: English, German, French, Spanish, Portuguese, Italian.
MONTHS = "jan ene gen|feb fév fev|mar mär mrz|apr avr abr|may mai mag|jun juin giu|jul juil lug"
MONTHS += "|aug ago aoû aou|sep set|oct okt out ott|nov|dec dez déc dic"
MONTH_NUMBERS = {
    word: number
    for number, words in enumerate(MONTHS.split("|"), start=1)
    for word in words.split()
}
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
NAMED_MONTH = re.compile(
    r"(?P<day>\d{1,2})\.?[-/ ]?\s*(?P<name>[^\W\d_]{3,10})\.?[-/, ]?\s*(?P<year>\d{4})" + CLOCK,
    re.IGNORECASE,
)
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
        shown = printable(few(self.names))
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


def parse_dates(
    text: pd.Series, order: str | None = None, where: str = "the column"
) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Read dates and datetimes as people, cameras and programs write them.

    The year comes first, the month has a name, or the order follows from a day above 12 somewhere
    in the column, in a date with the same mark. A time zone is cut off, not
    converted: the local day is what makes an encounter.

    Args:
        order: "day" or "month": which comes first where nothing in the column says so.
        where: the table's name for messages.

    Returns:
        Dates (NaT where there is none), whether a text is there but cannot be read or be true, and
        whether it gives no day (read as the first of the month or year).

    Raises:
        InputError: 05/06/2024 may be in May or in June.
    """
    text = text.map(tidy_name)
    is_empty = text.map(is_unknown).astype(bool)
    is_day_first = _orders(text, order, where)
    parts = [_date_parts(each, is_day_first) for each in text]
    iso = pd.Series([_iso(each) for each in parts], index=text.index, dtype=object)
    iso = iso.where(~is_empty, None)
    dates = pd.to_datetime(iso, format="ISO8601", errors="coerce").astype("datetime64[us]")
    dates = dates.where([not pd.isna(day) and can_be_true(day) for day in dates])
    has_no_day = pd.Series([bool(each) and not each["day"] for each in parts], index=text.index)
    return dates, dates.isna() & ~is_empty, has_no_day & dates.notna()


def _orders(text: pd.Series, order: str | None, where: str) -> dict[str, bool]:
    """For each mark between numbers, whether the day comes first: 03/04/2024 is in April."""
    found = {each: match for each in dict.fromkeys(text) if (match := YEAR_LAST.fullmatch(each))}
    numbers = [(m["mark"], int(m["first"]), int(m["second_part"])) for m in found.values()]
    said: dict[str, set[bool]] = {mark: set() for mark in "-/."}
    for mark, first, second in numbers:
        if max(first, second) > 12:
            said[mark].add(first > 12)
    unclear = [
        each
        for each, (mark, first, second) in zip(found, numbers, strict=True)
        if len(said[mark]) != 1 and max(first, second) <= 12 and first != second
    ]
    if unclear and order is None:
        is_both = len(said[found[unclear[0]]["mark"]]) == 2
        which = "other rows begin with either" if is_both else "no row says which"
        raise InputError(
            f"{where}: the date {unclear[0]} may begin with its day or with its month, and "
            f"{which}, expected to know; add --date_order day or --date_order month, or write "
            "dates as 2020-05-31"
        )
    fallback = order != "month"
    return {mark: next(iter(each)) if len(each) == 1 else fallback for mark, each in said.items()}


def _date_parts(text: str, is_day_first: dict[str, bool]) -> dict[str, str | None] | None:
    """Year, month, day and time of a text, as written."""
    if match := NAMED_MONTH.fullmatch(text):
        name = match["name"].lower()
        month = MONTH_NUMBERS.get(name[:4]) or MONTH_NUMBERS.get(name[:3])
        return match.groupdict() | {"month": str(month)} if month else None
    if match := YEAR_FIRST.fullmatch(text) or RUN_TOGETHER.fullmatch(text):
        return match.groupdict()
    if not (match := YEAR_LAST.fullmatch(text)):
        return None
    first, second = match["first"], match["second_part"]
    # Of a column in both orders, each date that says its own is read by it.
    is_first = int(first) > 12 or (is_day_first[match["mark"]] and int(second) <= 12)
    day, month = (first, second) if is_first else (second, first)
    return match.groupdict() | {"day": day, "month": month}


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
    """Return lower-case orientations: "left", "right", others as they are, "" if unknown.

    Words for left and right in other languages become these: "links oben" is "left oben".
    """
    lower = text.str.lower()
    return lower.map(_side_in).where(~lower.map(is_unknown), "")


def _side_in(text: str) -> str:
    words = re.split(r"([\W_]+)", text)
    letters = [SIDE_WORDS.get(word, word) if len(word) > 1 else word for word in words]
    return SIDE_WORDS.get(text.strip(" ."), "".join(letters))


def sides_in_names(paths: pd.Series) -> pd.Series | None:
    """Sides that the names of photos say, "" where they do not; None where they say none.

    A word or letter between other signs counts, as in L_0012.jpg, links/3.jpg or 0012-right.jpg,
    where both sides occur and most names have one.
    """
    words = paths.map(lambda path: re.findall(r"[^\W\d_]+", path.rpartition(".")[0].lower()))
    found = words.map(lambda each: {SIDE_WORDS[word] for word in each if word in SIDE_WORDS})
    sides = found.map(lambda each: next(iter(each)) if len(each) == 1 else "")
    is_offer = {"left", "right"} <= set(sides) and (sides != "").mean() >= LEAST_OFFERED
    return sides if is_offer else None


def parse_degrees(text: pd.Series, most: float) -> tuple[pd.Series, pd.Series]:
    """Read degrees of latitude or longitude, and whether a text is there that gives none.

    Args:
        text: numbers with a decimal point or comma.
    """
    degrees = pd.to_numeric(text.str.replace(",", "."), errors="coerce").astype(float)
    degrees = degrees.where(degrees.abs() <= most)
    return degrees, degrees.isna() & ~text.map(is_unknown).astype(bool)


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
