"""From a table in a person's own columns to the catalogue's columns.

Pure functions on tables; `common.data.catalogue` puts them together. Nothing here opens a photo.
"""

import hashlib
import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import InputError
from common.words import counted

import pandas as pd

# Our column, then the names it is found under. Our own name wins over all others.
ALIASES = """
    path file filename file_name filepath file_path image image_path photo
    identity individual individual_id animal animal_id name id class label
    date timestamp datetime date_taken
    orientation side viewpoint view position
    encounter encounter_id sighting sighting_id occurrence occurrence_id clip sequence sequence_id
    image_id
    split
"""
COLUMN_NAMES = {names.split()[0]: names.split() for names in ALIASES.strip().splitlines()}
REQUIRED_COLUMNS = ("path", "identity")
CATALOGUE_COLUMNS = (*COLUMN_NAMES, "encounter_known")
NOT_TEXT = ("date", "encounter_known")

SIDE_LETTERS = {"l": "left", "r": "right"}
UNKNOWN_WORDS = {"", "unknown", "nan", "nat", "<na>"}


@dataclass(frozen=True)
class Problem:
    """One kind of thing that is wrong, or worth knowing, about a catalogue.

    Attributes:
        kind: one word for programs, such as "missing_file".
        summary: the words for people, such as "photos that cannot be found".
        names: every photo, row or animal concerned.
        rows: rows of the checked catalogue concerned; empty where the thing never became a row.
        action: what is done about it, such as "left out"; empty if nothing is.
    """

    kind: str
    summary: str
    names: tuple[str, ...]
    rows: tuple[int, ...] = ()
    action: str = ""

    def text(self) -> str:
        """Return one line with the count, the first three names and what is done."""
        shown = ", ".join(self.names[:3]) + (", …" if len(self.names) > 3 else "")
        action = f"; {self.action}" if self.action else ""
        return f"{self.summary}: {len(self.names):,} ({shown}){action}"


def read_csv(file: Path) -> pd.DataFrame:
    """Read a CSV file with every value as text, so that animal 007 stays 007.

    Commas, semicolons and tabs are told apart by the header line.

    Raises:
        InputError: the file is empty, not UTF-8 or not a table.
    """
    try:
        with file.open(encoding="utf-8-sig") as lines:
            header = lines.readline()
        separator = max(",;\t", key=header.count)
        return pd.read_csv(
            file, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file} is not UTF-8 text (byte {error.start}), expected a CSV file in UTF-8; "
            "save it again as 'CSV UTF-8'"
        ) from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise InputError(
            f"{file} cannot be read as a table ({str(error).strip()}), expected a CSV file with a "
            "header line; open it in a spreadsheet and save it again"
        ) from error


def match_columns(
    found: list[str], where: str, columns: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Find the source's column for each of ours.

    Args:
        found: the source's column names.
        where: the table's name for messages.
        columns: our name to the source's, where the aliases do not do.

    Returns:
        Our name to the source's name, for the columns that exist.

    Raises:
        InputError: path or identity is missing, or two columns could be the same thing.
    """
    matched = {}
    for ours, aliases in COLUMN_NAMES.items():
        if columns and ours in columns:
            matched[ours] = columns[ours]
            if columns[ours] not in found:
                raise InputError(
                    f"{where} has no column {columns[ours]!r}, expected one of "
                    f"{', '.join(map(str, found))}; check the name you gave"
                )
        elif theirs := _alias_column(ours, aliases, found, where):
            matched[ours] = theirs
    if "date" not in matched and (years := [c for c in found if c.lower() == "year"]):
        matched["date"] = years[0]
    missing = [ours for ours in REQUIRED_COLUMNS if ours not in matched]
    if missing:
        expected = "; ".join(f"{m} (or {', '.join(COLUMN_NAMES[m][1:])})" for m in missing)
        raise InputError(
            f"{where} has the columns {', '.join(map(str, found))}, expected also {expected}; "
            "rename the column that holds it"
        )
    return matched


def _alias_column(ours: str, aliases: tuple[str, ...], found: list[str], where: str) -> str | None:
    own = [column for column in found if str(column).strip().lower() == ours]
    candidates = own or [column for column in found if str(column).strip().lower() in aliases]
    if len(candidates) > 1:
        raise InputError(
            f"{where} has the columns {' and '.join(map(str, candidates))}, expected one that "
            f"holds the {ours}; rename the right one to {ours}"
        )
    return candidates[0] if candidates else None


def as_text(values: pd.Series) -> pd.Series:
    """Return values as stripped text: 1.0 becomes "1", a missing value "".

    Whole numbers lose their ".0" because pandas reads integers as floats when one is missing.
    """

    def text_of(value: object) -> str:
        if pd.isna(value):
            return ""
        is_whole = isinstance(value, float) and value.is_integer()
        return str(int(value)) if is_whole else str(value).strip()

    return pd.Series(map(text_of, values.astype(object)), index=values.index, dtype=object)


def parse_dates(text: pd.Series) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Read ISO dates and datetimes, years alone, and cameras' 2020:05:31 10:00:00.

    A time zone is cut off, not converted: the local day is what makes an encounter.

    Returns:
        Dates (NaT where there is none), whether a text is there but cannot be read, and whether
        it gives the year only (read as 1 January).
    """
    is_empty = text.str.lower().isin(UNKNOWN_WORDS)
    is_year = text.str.fullmatch(r"\d{4}")
    iso = text.str.replace(r"^(\d{4}):(\d{2}):(\d{2})", r"\1-\2-\3", regex=True)
    iso = iso.str.replace(r"(:\d{2}(?:\.\d+)?)\s*(?:Z|[+-]\d{2}:?\d{2})$", r"\1", regex=True)
    iso = iso.where(~is_year, iso + "-01-01").where(~is_empty, None)
    dates = pd.to_datetime(iso, format="ISO8601", errors="coerce").astype("datetime64[us]")
    return dates, dates.isna() & ~is_empty, is_year & dates.notna()


def normalise_paths(text: pd.Series, root: Path) -> pd.Series:
    """Return paths with forward slashes, relative to the root where they lie inside it."""

    def normalise(path: str) -> str:
        path = posixpath.normpath(path.replace("\\", "/"))
        inside = Path(path).is_absolute() and Path(path).is_relative_to(root)
        return Path(path).relative_to(root).as_posix() if inside else path

    return text.map(normalise)


def listed_paths(source: pd.DataFrame, root: Path, where: str) -> frozenset[str]:
    """Return every path in a source's table, as the catalogue writes paths."""
    column = match_columns(list(source), where)["path"]
    return frozenset(normalise_paths(as_text(source[column]), root))


def normalise_orientation(text: pd.Series) -> pd.Series:
    """Return lower-case orientations: "left", "right", others as they are, "" if unknown."""
    lower = text.str.lower()
    return lower.replace(SIDE_LETTERS).where(~lower.isin(UNKNOWN_WORDS), "")


def split_word(name: str) -> str:
    """Return a given part's name in lower case, with val and valid spelled out.

    >>> split_word("Valid"), split_word("test_query")
    ('validation', 'test_query')
    """
    lower = name.strip().lower()
    return {"val": "validation", "valid": "validation", "training": "train"}.get(lower, lower)


def name_encounters(table: pd.DataFrame, given: pd.Series | None) -> tuple[pd.Series, pd.Series]:
    """Name each photo's encounter: the source's, else identity and day, else the photo alone.

    Args:
        table: with image_id, identity and date.
        given: the source's encounters, "" where unknown, or None.

    Returns:
        Encounters, each of one identity only, and whether each is known.
    """
    has_given = given.ne("") if given is not None else pd.Series(False, index=table.index)
    has_date = table["date"].notna()
    day = table["identity"] + ":" + table["date"].dt.strftime("%Y-%m-%d").fillna("")
    encounter = day.where(has_date, "photo:" + table["image_id"])
    if given is not None:
        encounter = given.where(has_given, encounter)
    # A sighting number may be used for several animals; here an encounter is of one animal.
    is_shared = _of_several_identities(encounter, table["identity"])
    named = encounter.where(~is_shared, table["identity"] + ":" + encounter)
    if _of_several_identities(named, table["identity"]).any():  # names that hold colons, too
        pairs = zip(table["identity"], encounter, strict=True)
        named = pd.Series([json.dumps(pair) for pair in pairs], index=table.index)
    return named, has_given | has_date


def _of_several_identities(encounter: pd.Series, identity: pd.Series) -> pd.Series:
    return identity.groupby(encounter.to_numpy()).transform("nunique") > 1


def make_image_ids(keys: pd.Series) -> pd.Series:
    """Return the first 16 hex digits of each key's md5, the ids wildlife-datasets uses."""
    encoded = keys.map(lambda key: key.encode("utf-8", "surrogateescape"))
    return encoded.map(lambda key: hashlib.md5(key, usedforsecurity=False).hexdigest()[:16])


def standardise_table(
    source: pd.DataFrame,
    root: Path,
    where: str,
    *,
    columns: Mapping[str, str] | None = None,
    split_column: str | None = None,
) -> tuple[pd.DataFrame, list[Problem]]:
    """Turn a source table into a catalogue's table.

    Args:
        source: one row per photo, in the source's own columns.
        root: folder that relative paths start from.
        where: the source's name for messages.
        columns: our column name to the source's, where the aliases do not do.
        split_column: the source's column that holds the given split.

    Returns:
        The catalogue's table, and what was found on the way. Row numbers in messages count the
        header as row 1, as a spreadsheet does.

    Raises:
        InputError: a column is missing or ambiguous, or photos are listed twice.
    """
    chosen = dict(columns or {}) | ({"split": split_column} if split_column else {})
    matched = match_columns(list(source.columns), where, chosen)
    source = source.reset_index(drop=True)
    text = {ours: as_text(source[theirs]) for ours, theirs in matched.items()}
    blank = pd.Series("", index=source.index, dtype=object)
    date_text = text.get("date", blank)
    dates, is_unreadable, is_year = parse_dates(date_text)
    is_known = ~text["identity"].str.lower().isin(UNKNOWN_WORDS)
    unreadable = "dates that cannot be read", is_unreadable & is_known, date_text
    years = "dates that give the year only", is_year & is_known, date_text
    unknown = "rows without a known identity", ~is_known, text["path"]
    problems = [
        _row_problem("unknown_identity", *unknown, "left out"),
        _row_problem("unreadable_date", *unreadable, "taken as unknown; write them as 2020-05-31"),
        _row_problem("year_only_date", *years, "taken as 1 January"),
    ]
    table = pd.DataFrame({"identity": text["identity"]})
    table["path"] = normalise_paths(text["path"], root)
    table["date"] = dates
    table["orientation"] = normalise_orientation(text.get("orientation", blank))
    if "split" in text:
        table["split"] = text["split"].map(split_word)
    consumed = {theirs for theirs in matched.values() if theirs != split_column}
    others = source.drop(columns=list(consumed))
    others = others.rename(columns={c: f"source_{c}" for c in others if c in CATALOGUE_COLUMNS})
    table = pd.concat([table, others], axis="columns")
    table.insert(0, "image_id", _image_ids(text.get("image_id"), table, where, is_known))
    encounter, encounter_known = name_encounters(table, text.get("encounter"))
    table.insert(5, "encounter", encounter)
    table.insert(6, "encounter_known", encounter_known)
    texts = [name for name in CATALOGUE_COLUMNS if name in table and name not in NOT_TEXT]
    table = table[is_known].reset_index(drop=True).astype(dict.fromkeys(texts, "str"))
    return table, [problem for problem in problems if problem.names]


def _row_problem(
    kind: str, summary: str, is_concerned: pd.Series, text: pd.Series, action: str
) -> Problem:
    concerned = is_concerned[is_concerned].index
    names = tuple(f"row {row + 2}: {text[row]!r}" for row in concerned)
    return Problem(kind, summary, names, action=action)


def _image_ids(
    given: pd.Series | None, table: pd.DataFrame, where: str, is_known: pd.Series
) -> pd.Series:
    keys = table["path"] + (table["bbox"].map(str) if "bbox" in table else "")
    repeated = table["path"][is_known & keys.where(is_known).duplicated()]
    if len(repeated):
        raise InputError(
            f"{where} lists {counted(len(repeated), 'photo')} twice (row {repeated.index[0] + 2}: "
            f"{repeated.iloc[0]}), expected each path once, or a bbox column that tells the "
            "animals of one photo apart; remove the repeated rows"
        )
    if given is None:
        return make_image_ids(keys)
    if given[is_known].duplicated().any() or given[is_known].eq("").any():
        raise InputError(
            f"{where} has an image_id that is empty or used twice, expected one for each photo; "
            "correct the column or remove it"
        )
    return given
