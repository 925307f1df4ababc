"""From a table in a person's own columns to the catalogue's columns.

`common.data.catalogue` puts it together with the folders.
"""

import codecs
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from common.data.catalogue_cells import (
    Problem,
    as_text,
    normalise_orientation,
    parse_boxes,
    parse_dates,
    parse_degrees,
    sides_in_names,
    split_word,
)
from common.data.catalogue_folders import locate_photos
from common.data.exif import ALONE, Offset, fill_from_photos
from common.data.photo_files import BOX_MARK, PHOTO_SUFFIXES
from common.data.photo_names import CHANGED, follow
from common.errors import InputError
from common.names import (
    LONGEST_NAME,
    LONGEST_PATH,
    is_unknown,
    joined_spellings,
    name_key,
    one_number,
    printable,
    refuse_long,
    several_spellings,
)
from common.tables import unescaped
from common.words import counted, typed

import pandas as pd

# Our column, then the names it is found under. Our own name wins over all others.
ALIASES = """
    path file filename file_name filepath file_path image image_path photo
    identity individual individual_id animal animal_id name id class label
    date timestamp datetime date_taken date_time_original
    orientation side viewpoint view position
    encounter encounter_id sighting sighting_id occurrence occurrence_id clip sequence sequence_id
    image_id
    split
    bbox bounding_box
    latitude lat decimal_latitude
    longitude lon lng long decimal_longitude
    camera camera_id
    relative_path folder folder_name directory dir
"""
COLUMN_NAMES = {names.split()[0]: names.split() for names in ALIASES.strip().splitlines()}
SPECIES = ("class", "label")  # of an animal, or of a photo, where nobody says who it is
REQUIRED_COLUMNS = ("path", "identity")
CATALOGUE_COLUMNS = (*COLUMN_NAMES, "encounter_known")
DOUBT = re.compile(r"\?\W*$|\s[/+]\s|^(cf|aff)\b|\s(or|oder|ou)\s", re.IGNORECASE)  # in a name
# Of a sheet of decisions, which `common.gallery.decisions` reads.
SHEET_COLUMNS = {
    *("decision", "verdict", "rank", "similarity", "probability", "note", "asked"),
    *("content", "seen"),
}
CONTENT = "content"  # column of a table that the course wrote: which photo a row is about
BOX_SIDES = (("x", "y", "w", "h"), ("x", "y", "width", "height"))  # a column each
HALF_DAY = r"(0?[1-9]|1[0-2])(:[0-5]\d){1,2}\s*[ap]\.?m\.?"
TIME = rf"([01]?\d|2[0-3])(:[0-5]\d){{1,2}}|{HALF_DAY}"  # of a day
DATE_PARTS = "year", "month", "day"  # a column each
NOT_TEXT = ("date", "encounter_known", "latitude", "longitude")
BYTE_ORDER_MARKS = {  # UTF-32 first, as its mark begins like that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_csv(file: Path) -> pd.DataFrame:
    """Read a CSV file with every value as text, so that animal 007 stays 007.

    Commas, semicolons and tabs are told apart by the header, or named by Excel's "sep=;" before
    it. UTF-8, or UTF-16 and UTF-32 with a byte order mark. Cells without a header are left out if
    they are empty, and rows without any content stay as empty ones. A box in four columns becomes
    one column, and so does a date in three. A first column without a name, as R and pandas number
    rows, is left out.

    Raises:
        InputError: the file may not be read, is in another encoding or no table.
    """
    lines = _text_of_file(file).lstrip("\ufeff\r\n").splitlines(keepends=True) or [""]
    if named := re.fullmatch(r'"?sep=([^\w\s"]|\t)"?[,;\s]*', lines[0], re.IGNORECASE):
        lines = lines[1:] or [""]
    header_line = re.sub(r'"[^"]*"', "", lines[0])
    separator = named[1] if named else max(",;\t", key=header_line.count)
    text = io.StringIO("".join(lines), newline="")
    reader = csv.reader(text, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        header, *rows = list(reader) or [[]]
    except csv.Error as error:
        raise _no_table(file, f"line {reader.line_num}: {error}") from error
    if not any(map(str.strip, header)):
        raise _no_table(file, "it has no header line")
    width = max(map(len, [header, *rows]))
    rows = [[] if row == header else row for row in rows]  # of tables put under each other
    cells = [[*row, *[""] * (width - len(row))] for row in rows]
    columns = {}
    for place in range(width):
        name, column = "".join(header[place : place + 1]).strip(), [row[place] for row in cells]
        if name in columns:
            raise _no_table(file, f"two columns are called {name!r}")
        if name:
            columns[name] = column
        elif place and (full := [row for row, cell in enumerate(column, start=2) if cell.strip()]):
            if place < len(header):
                raise _no_table(
                    file, f"column {place + 1} has no name, but row {full[0]} has a cell in it"
                )
            raise _no_table(
                file, f"row {full[0]} has more cells than the header, {place + 1} or more"
            )
    return _with_dates(_with_boxes(unescaped(pd.DataFrame(columns, dtype=object))))


def _with_dates(table: pd.DataFrame) -> pd.DataFrame:
    """Columns of a date's parts as one: year, month, day, also as Wildbook's Encounter.year.

    A time in a column of its own, as camera traps' programs write it, goes behind its day.
    """
    names = {_column_key(name).removeprefix("encounter"): name for name in table}
    columns = [names[part] for part in takewhile(names.__contains__, DATE_PARTS)]
    own = set(map(_column_key, COLUMN_NAMES["date"])) & set(names)
    if own == {"date"} and "time" in names:
        dates, times = (table[names[each]].str.strip() for each in ("date", "time"))
        is_apart = (
            times.str.fullmatch(TIME, case=False)
            & ~dates.str.contains(":")
            & ~dates.map(is_unknown)
        )
        is_apart = is_apart.astype(bool)
        dates, rest = dates.where(~is_apart, dates + " " + times), times.mask(is_apart, "")
        others = {names["time"]: rest} if rest.any() else {}  # is told to be passed over
        return table.drop(columns=names["time"]).assign(**{names["date"]: dates}, **others)
    if not columns or own:
        return table
    rows = table[columns].map(lambda cell: cell.strip().removesuffix(".0")).to_numpy().tolist()
    dates = ["-".join(takewhile(lambda part: not is_unknown(part), row)) for row in rows]
    return table.drop(columns=columns).assign(date=dates)


def _with_boxes(table: pd.DataFrame) -> pd.DataFrame:
    names = {re.sub("^b?box", "", _column_key(name)): name for name in table}
    sides = next((sides for sides in BOX_SIDES if set(sides) <= set(names)), None)
    if sides is None or {"bbox", "boundingbox"} & set(map(_column_key, table)):
        return table
    columns = [names[side] for side in sides]
    rows = table[columns].map(lambda cell: cell.strip().replace(",", ".")).to_numpy()  # 12,5
    boxes = ["" if all(map(is_unknown, row)) else ",".join(row) for row in rows]
    return table.drop(columns=columns).assign(bbox=boxes)


def _no_table(file: Path, found: str) -> InputError:
    return InputError(
        f"{file} cannot be read as a table ({printable(found)}), expected a CSV file with a header "
        "line; open it in a spreadsheet, correct it and save it again"
    )


def _text_of_file(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"{file} may not be read ({error.strerror or error}), expected a CSV file; change its "
            "permissions, or copy it"
        ) from error
    marks = (name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark))
    encoding = next(marks, "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file} is not {encoding.upper().removesuffix('-SIG')} text (byte {error.start}), "
            "expected a CSV file in UTF-8; open it in the spreadsheet that wrote it and save it "
            "again as 'CSV UTF-8'"
        ) from error
    if "\0" in text:
        raise InputError(
            f"{file} holds characters of zero, expected a CSV file in UTF-8; if a spreadsheet "
            "wrote it, save it again as 'CSV UTF-8'"
        )
    return text


def match_columns(
    found: list[str],
    where: str,
    columns: Mapping[str, str] | None = None,
    required: Collection[str] = REQUIRED_COLUMNS,
) -> dict[str, str]:
    """Find the source's column for each of ours.

    Args:
        columns: our name to the source's, where the aliases do not do.
        required: columns of ours that have to be there; of others than these an identity is
            found under its own name only, as a detector's `class` is none.

    Returns:
        Our name to the source's name, for the columns that exist.

    Raises:
        InputError: path or identity is missing, or two columns could be the same thing.
    """
    matched = {}
    for ours, aliases in COLUMN_NAMES.items():
        if ours == "identity" and ours not in required:
            aliases = [ours]
        if columns and ours in columns:
            matched[ours] = columns[ours]
            if columns[ours] not in found:
                raise InputError(
                    f"{where} has no column {columns[ours]!r}, expected one of "
                    f"{', '.join(map(str, found))}; check the name you gave"
                )
        elif theirs := _alias_column(ours, aliases, found, where):
            matched[ours] = theirs
    if "date" not in matched and (years := [c for c in found if _column_key(c) == "year"]):
        matched["date"] = years[0]
    missing = [ours for ours in required if ours not in matched]
    if missing:
        expected = "; ".join(f"{m} (or {', '.join(COLUMN_NAMES[m][1:])})" for m in missing)
        raise InputError(
            f"{where} has the columns {', '.join(map(str, found))}, expected also {expected}; "
            "rename the column that holds it"
        )
    return matched


def with_identity(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """A person's table with its column of animals called identity, if there is one.

    Raises:
        InputError: two columns could be it.
    """
    names = [name for name in COLUMN_NAMES["identity"] if name not in SPECIES]
    column = _alias_column("identity", names, list(table), where)
    return table if column is None else table.rename(columns={column: "identity"})


def may_name(columns: Iterable[str]) -> bool:
    """Whether one of a table's columns may be that of the animals, whatever it is called."""
    others = (names for ours, names in COLUMN_NAMES.items() if ours != "identity")
    keys = {_column_key(name) for names in others for name in names}
    return any(_column_key(column) not in keys for column in columns)


def _column_key(name: object) -> str:
    """Equal for "file_name", "File name" and "fileName"."""
    return re.sub(r"[\W_]+", "", name_key(str(name)))


def _alias_column(ours: str, aliases: list[str], found: list[str], where: str) -> str | None:
    keys = [_column_key(alias) for alias in aliases]
    own = [column for column in found if _column_key(column) == keys[0]]
    candidates = own or [column for column in found if _column_key(column) in keys]
    if len(candidates) > 1:
        raise InputError(
            f"{where} has the columns {' and '.join(map(str, candidates))}, expected one that "
            f"holds the {ours}; rename the right one to {ours}"
        )
    return candidates[0] if candidates else None


def name_encounters(
    table: pd.DataFrame, given: pd.Series | None, events: pd.Series | None = None
) -> tuple[pd.Series, pd.Series]:
    """Name each photo's encounter: the source's, else identity and day, else the photo alone.

    Args:
        table: with image_id, identity and date.
        given: the source's encounters, "" where unknown, or None.
        events: of photos of nobody, in which there may be several animals; None: names are known.

    Returns:
        Encounters, each of one identity only unless there are events, and whether each is known.
    """
    has_given = given.ne("") if given is not None else pd.Series(False, index=table.index)
    has_date = table["date"].notna()
    day = table["identity"] + ":" + table["date"].dt.strftime("%Y-%m-%d").fillna("")
    encounter = day.where(has_date, ALONE + table["image_id"]) if events is None else events
    if given is not None:
        encounter = given.where(has_given, encounter)
    if events is not None:
        return encounter, ~encounter.str.startswith(ALONE)
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
    encoded = keys.map(lambda key: key.encode("utf-8", "surrogatepass"))
    return encoded.map(lambda key: hashlib.md5(key, usedforsecurity=False).hexdigest()[:16])


def standardise_table(
    source: pd.DataFrame,
    root: Path,
    where: str,
    *,
    columns: Mapping[str, str] | None = None,
    split_column: str | None = None,
    keep_names: Collection[str] = (),
    photos_elsewhere: bool = False,
    near: str | None = None,
    date_order: str | None = None,
    sides_from_names: bool = False,
    clock_offset: Sequence[Offset] = (),
    events: Callable[[pd.DataFrame], pd.Series] | None = None,
) -> tuple[pd.DataFrame, list[Problem], frozenset[str]]:
    """Turn a source table into a catalogue's table.

    Args:
        source: one row per photo, in the source's own columns.
        columns: our column name to the source's, where the aliases do not do.
        split_column: the source's column that holds the given split.
        keep_names: animals that are truly called by a word for unknown, or whose names differ in
            capitals or spaces alone.
        photos_elsewhere: paths may lead out of the root.
        near: see `common.data.catalogue_folders.locate_photos`.
        date_order: see `common.data.catalogue_cells.parse_dates`.
        sides_from_names: take sides that file names say, where the table has none.
        clock_offset: see `common.data.exif.taken`.
        events: of a card, whose photos nobody has named: gives each photo's event. None: rows
            without a known identity are left out.

    Returns:
        The catalogue's table, what was found on the way, and the path of every row of the source.
        Row numbers in messages count the header as row 1, as a spreadsheet does.

    Raises:
        InputError: a column is missing or ambiguous, or photos are listed twice.
    """
    chosen = dict(columns or {}) | ({"split": split_column} if split_column else {})
    required = REQUIRED_COLUMNS if events is None else REQUIRED_COLUMNS[:1]
    matched = match_columns(list(source.columns), where, chosen, required)
    source = source.reset_index(drop=True)
    text = _texts(source, matched, where)
    blank = pd.Series("", index=source.index, dtype=object)
    paths, problems = photos_of_rows(
        source, matched, root, where, near=near, anywhere=photos_elsewhere
    )
    identity, is_known, found = _identities({"identity": blank} | text, keep_names)
    if events is not None:
        is_known, found = pd.Series(True, index=source.index), found[1:]
    problems += found
    table = pd.DataFrame({"identity": identity, "path": paths}, dtype=object)
    is_known &= table["path"] != ""
    problems += _read_cells(table, text, is_known, where, date_order)
    if "split" in text:
        table["split"] = text["split"].map(split_word)
    if "bbox" in text:
        table["bbox"] = parse_boxes(source[matched["bbox"]], where)
        problems.append(_twice_in_photo(table[is_known]))
    written = ~text.get("date", blank).map(is_unknown).astype(bool)
    unreadable = written & table["date"].isna()
    names = [name for each in problems if each.kind == CHANGED for name in each.names]
    changed = {name.rpartition(BOX_MARK)[0] or name for name in names}
    problems += fill_from_photos(table, root, clock_offset, unreadable, changed)
    problems += _sides_of_names(table, sides_from_names)
    others, found = _other_columns(source, matched, split_column)
    problems += found
    table = pd.concat([table, others], axis="columns")
    table.insert(0, "image_id", _image_ids(text.get("image_id"), table, where, is_known))
    given, found = _given_encounters(text.get("encounter"))
    met = events(table) if events is not None else None
    encounter, encounter_known = name_encounters(table, given, met)
    table.insert(5, "encounter", encounter)
    table.insert(6, "encounter_known", encounter_known)
    texts = [name for name in CATALOGUE_COLUMNS if name in table and name not in NOT_TEXT]
    table = table[is_known].reset_index(drop=True).astype(dict.fromkeys(texts, "str"))
    return table, [each for each in [*problems, *found] if each.names], frozenset(paths)


def _texts(source: pd.DataFrame, matched: Mapping[str, str], where: str) -> dict[str, pd.Series]:
    """The source's cells by our columns; refused where they are too long, or exchanged."""
    text = {ours: as_text(source[theirs]) for ours, theirs in matched.items()}
    for name in set(text) & {"path", "identity", "encounter", "orientation", "camera"}:
        for row, each in enumerate(text[name], start=2):
            most = LONGEST_PATH if name == "path" else LONGEST_NAME
            refuse_long(each, f"{where}, row {row}, {name}", most)
    names = zip(text.get("identity", ()), text["path"], strict=False)
    for row, (animal, photo) in enumerate(names, start=2):
        if _is_photo_name(animal) and not _is_photo_name(photo):
            raise InputError(
                f"{where}, row {row}: found the animal {printable(animal)} of the photo "
                f"{printable(photo) or 'without a name'}, expected a photo's file in the column of "
                "paths; the two cells are exchanged, perhaps in other rows, too"
            )
    return text


def _is_photo_name(text: str) -> bool:
    """Whether a name ends as a photo's file does."""
    return text.lower().endswith(PHOTO_SUFFIXES)


def _read_cells(
    table: pd.DataFrame,
    text: Mapping[str, pd.Series],
    is_known: pd.Series,
    where: str,
    date_order: str | None,
) -> list[Problem]:
    """Put dates, sides, places and cameras into a table; what cannot be read, for people."""
    blank = pd.Series("", index=table.index, dtype=object)
    date_text = text.get("date", blank)
    table["date"], is_unreadable, has_no_day = parse_dates(date_text, date_order, where)
    unreadable = "dates that cannot be read or be true", is_unreadable & is_known, date_text
    no_day = "dates without a day", has_no_day & is_known, date_text
    problems = [
        _row_problem("unreadable_date", *unreadable, "taken as unknown; write them as 2020-05-31"),
        _row_problem("year_only_date", *no_day, "taken as the first of the month or year"),
    ]
    table["orientation"] = normalise_orientation(text.get("orientation", blank))
    for name, most in (("latitude", 90), ("longitude", 180)):
        if name in text:
            table[name], is_odd = parse_degrees(text[name], most)
            odd = f"{name}s that are no degrees", is_odd & is_known, text[name]
            advice = "taken as unknown; write them as 12.3456"
            problems.append(_row_problem(f"unreadable_{name}", *odd, advice))
    if {"latitude", "longitude"} <= set(text):
        is_nowhere = (table["latitude"] == 0) & (table["longitude"] == 0)
        table.loc[is_nowhere, ["latitude", "longitude"]] = float("nan")
        words = "places at 0, 0, as written without satellites", is_nowhere & is_known
        problems.append(_row_problem("no_place", *words, text["latitude"], "taken as unknown"))
    if "camera" in text:
        table["camera"] = text["camera"]
    return problems


def _twice_in_photo(table: pd.DataFrame) -> Problem:
    """Animals that two boxes of one photo are said to show, as a slip of the pen leaves them."""
    boxes = table[table["bbox"].ne("") & table["identity"].ne("")].drop_duplicates(
        ["path", "identity", "bbox"]
    )
    twice = boxes[boxes.duplicated(["path", "identity"])]
    names = dict.fromkeys(f"{each.identity} in {each.path}" for each in twice.itertuples())
    summary = "animals in two boxes of one photo"
    action = "both count; correct a name, or take a row out if both boxes are around one animal"
    return Problem("twice_in_photo", summary, tuple(names), action=action)


def _sides_of_names(table: pd.DataFrame, are_taken: bool) -> list[Problem]:
    """Take the sides that the names of photos say, or offer them, where no other is known."""
    sides = sides_in_names(table["path"])
    if sides is None or table["orientation"].ne("").any():
        return []
    action = "taken"
    if are_taken:
        table["orientation"] = sides
    else:
        action = "not taken; if they are the sides of the animals, add --sides_from_names"
    summary = "photos whose name says left or right"
    return [Problem("side_in_name", summary, tuple(table["path"][sides != ""]), action=action)]


def photos_of_rows(
    source: pd.DataFrame,
    matched: Mapping[str, str],
    root: Path,
    where: str,
    *,
    near: str | None = None,
    anywhere: bool = False,
) -> tuple[list[str], list[Problem]]:
    """Each row's photo: by its content where the column "content" says it, else by its path.

    Args:
        matched: our column name to the source's.
        near: see `locate_photos`, like anywhere.

    Returns:
        Paths from the root; "" where the photo is nowhere, and its path is another row's. And what
        was found, for people.

    Raises:
        InputError: a path leads out of the root, or a box is none.
    """
    folders = as_text(source[matched["relative_path"]]) if "relative_path" in matched else ""
    ways = _ways_of_paths(source[matched["path"]], pd.Series(folders, index=source.index))
    try:
        paths, problems = locate_photos(ways, root, near=near, anywhere=anywhere)
    except InputError as error:
        raise InputError(f"{where}, {error}") from error
    if CONTENT not in source:
        return paths, problems
    marks = [""] * len(source)
    if "bbox" in matched:
        boxes = parse_boxes(source[matched["bbox"]], where)
        marks = [box and BOX_MARK + box for box in boxes]
    names = [path + mark for path, mark in zip(paths, marks, strict=True)]
    names, found = follow(names, as_text(source[CONTENT]), root)
    ends = zip(names, marks, strict=True)
    return [name.removesuffix(mark) for name, mark in ends], [*problems, *found]


def _ways_of_paths(given: pd.Series, folders: pd.Series) -> list[tuple[str, ...]]:
    """What each path may mean: below its row's folder, or as it is written, to the last space."""
    ways = []
    for value, text, folder in zip(given, as_text(given), folders, strict=True):
        path = value if isinstance(value, str) else text
        joined = [f"{folder}/{path}"] if folder and not re.search(r"[\\/]", path) else []
        ways.append((*joined, path))
    return ways


def _identities(
    text: Mapping[str, pd.Series], keep_names: Collection[str]
) -> tuple[pd.Series, pd.Series, list[Problem]]:
    """Names in one spelling each, and which rows have one; rows without any content are no news."""
    names = text["identity"]
    is_known = names.map(lambda name: name in keep_names or not is_unknown(name)).astype(bool)
    spelled = joined_spellings(names[is_known], keep_names)
    words = sorted(set(names[~is_known & names.ne("")]))
    advice = f"; if animals are called so: --keep_names {typed(','.join(words))}"
    unknown = "rows without a known identity", ~is_known & (names + text["path"]).ne("")
    joined = "animals whose name is written in several ways", several_spellings(spelled)
    doubtful = tuple(name for name in sorted(set(spelled.values())) if DOUBT.search(name))
    doubts = "names with a question mark, or of two animals", doubtful
    numbers = "names that a spreadsheet takes for one number", one_number(spelled.values())
    return (
        names.map(lambda name: spelled.get(name, "")),
        is_known,
        [
            _row_problem(
                "unknown_identity", *unknown, text["path"], f"left out{advice if words else ''}"
            ),
            Problem("joined_names", *joined, action="taken for one; if they are two: --keep_names"),
            Problem("doubtful_names", *doubts, action="each taken for an animal of its own"),
            Problem(
                "number_names",
                *numbers,
                action="each taken for an animal of its own; if they are one, write one of them",
            ),
        ],
    )


def _given_encounters(given: pd.Series | None) -> tuple[pd.Series | None, list[Problem]]:
    """The source's encounters in one spelling each, "" where unknown."""
    if given is None:
        return None, []
    is_alone = given.str.startswith(ALONE)  # as a table of ours says that nobody knows it
    given = given.where(~(is_alone | given.map(is_unknown).astype(bool)), "")
    spelled = joined_spellings(given)
    ways = "encounters whose name is written in several ways", several_spellings(spelled)
    return given.map(spelled), [Problem("joined_encounters", *ways, action="taken for one")]


def _other_columns(
    source: pd.DataFrame, matched: Mapping[str, str], split_column: str | None
) -> tuple[pd.DataFrame, list[Problem]]:
    """The source's columns that are none of ours, under names that are none of ours; told."""
    kept = {split_column, matched.get("relative_path")}
    others = source.drop(columns=list(set(matched.values()) - kept))
    others = others.rename(columns={c: f"source_{c}" for c in others if c in CATALOGUE_COLUMNS})
    used = {
        split_column,
        "relative_path",
        CONTENT,
        *(SHEET_COLUMNS if "decision" in others else ()),
    }
    unused = tuple(map(str, others.columns.difference(list(filter(None, used)))))
    words = "columns that nothing here goes by", unused
    return others, [Problem("unused_column", *words, action="kept as they are")]


def _row_problem(
    kind: str, summary: str, is_concerned: pd.Series, text: pd.Series, action: str
) -> Problem:
    concerned = is_concerned[is_concerned].index
    names = tuple(f"row {row + 2}: {text[row]!r}" for row in concerned)
    return Problem(kind, summary, names, action=action)


def _image_ids(
    given: pd.Series | None, table: pd.DataFrame, where: str, is_known: pd.Series
) -> pd.Series:
    keys = table["path"] + table.get("bbox", "")
    repeated = table["path"][is_known & keys.where(is_known).duplicated()]
    if len(repeated):
        raise InputError(
            f"{where} lists {counted(len(repeated), 'photo')} twice (row {repeated.index[0] + 2}: "
            f"{repeated.iloc[0]}), expected each path once, or a bbox column that tells the "
            "animals of one photo apart; remove the repeated rows, or, if they are other photos of "
            "that name, write their folders, too"
        )
    ids = make_image_ids(keys)
    if given is not None:  # new photos have none yet, and may have the path that another one had
        made = ids.where(~ids.isin(set(given)), make_image_ids(keys + " "))
        ids = given.where(given != "", made)
    if len(twice := ids[is_known & ids.where(is_known).duplicated()]):
        raise InputError(
            f"{where} has the image_id {twice.iloc[0]} twice (row {twice.index[0] + 2}), expected "
            "one for each photo; correct the column or remove it"
        )
    return ids
