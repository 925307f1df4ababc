"""One table for any set of animal photos: the catalogue.

`load_catalogue` reads a table or a folder and opens no photo; `leave_out_unusable` of
`common.data.catalogue_checks` then opens every photo and leaves out those that cannot be used.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from common.data.catalogue_cells import Problem
from common.data.catalogue_folders import (
    BOXES,
    TABLE_FILE,
    TABLE_SUFFIXES,
    TABLES,
    find_images,
    is_card,
    read_folders,
)
from common.data.catalogue_tables import (
    CONTENT,
    REQUIRED_COLUMNS,
    match_columns,
    may_name,
    photos_of_rows,
    read_csv,
    standardise_table,
    with_identity,
)
from common.data.exif import name_events
from common.data.photo_files import BOX_MARK
from common.errors import InputError
from common.names import is_unknown, tidy_name
from common.turtles.dataset import ensure_turtles
from common.words import counted

import numpy as np
import pandas as pd

N_OPENED = 20  # tables further down, that are looked into
GAP_MINUTES = 30.0  # between two photos, from which on they are of two events


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Photos of known animals, one row for each animal in a photo; of a card, of unknown ones.

    Attributes:
        root: folder that the table's paths start from.
        table: rows 0 ... n_images - 1 with the columns image_id (unique), identity ("" = unknown,
            on a card alone), path (forward slashes), date (NaT = unknown), orientation ("left",
            "right", others in lower case, "" = unknown), encounter (never empty, of one identity
            only but on a card), encounter_known; where there are any, split, bbox
            ("x,y,width,height", "" = the whole photo), latitude and longitude (degrees, nan =
            unknown) and camera ("" = unknown); and the source's other columns.
        remarks: what was noticed while reading; `check_catalogue` reports it.
        listed_paths: every path in the source's table file, also of rows left out; None where
            the rows do not come from a table file.
    """

    name: str
    root: Path
    table: pd.DataFrame
    remarks: tuple[Problem, ...] = ()
    listed_paths: frozenset[str] | None = None

    @property
    def n_images(self) -> int:
        """Number of photos."""
        return len(self.table)

    @cached_property
    def identities(self) -> list[str]:
        """Every identity that is known once, sorted."""
        return sorted(set(self.table["identity"]) - {""})

    @cached_property
    def labels(self) -> dict[str, int]:
        """The one map from identity to label, 0 ... n_identities - 1, of the whole catalogue."""
        return {identity: label for label, identity in enumerate(self.identities)}

    @cached_property
    def sides(self) -> np.ndarray:
        """Whose pattern each photo shows, str, shape (n_images,): "left", "right", or "".

        A view is of the side that its name holds: topleft and left show one pattern. What names
        both sides or none, such as top, is of neither.
        """
        names = self.table["orientation"]
        is_left, is_right = (names.str.contains(side).to_numpy() for side in ("left", "right"))
        return np.select([is_left & ~is_right, is_right & ~is_left], ["left", "right"], "")

    @cached_property
    def has_sides(self) -> bool:
        """Whether both left and right sides occur, so that a mirrored photo is another animal."""
        return {"left", "right"} <= set(self.sides)

    @property
    def unread_dates(self) -> str:
        """Words on cells and photo files whose dates cannot be read; "" where there are none."""
        found = [e.text() for e in self.remarks if e.kind in ("unreadable_date", "no_exif_date")]
        return "".join(f"; {words}" for words in found)

    def names(self) -> list[str]:
        """Return each photo's path in row order, with its box: two animals of a photo are two."""
        if "bbox" not in self.table:
            return self.table["path"].tolist()
        boxes = self.table["bbox"].map(lambda box: f"{BOX_MARK}{box}" if box else "")
        return (self.table["path"] + boxes).tolist()

    def paths(self) -> list[Path]:
        """Return the same from the root on, as all that opens photos reads them."""
        return [self.root / name for name in self.names()]


def load_catalogue(data_dir: str | Path | None = None, **reading: object) -> Catalogue:
    """Read a catalogue without decoding its photos.

    Args:
        data_dir: folder with a metadata.csv, a CSV file, or a folder of identity folders with or
            without train, validation and test above; None for the embedded turtles, which are
            drawn at the first call.
        reading: split_column, keep_names, photos_elsewhere, date_order, sides_from_names and
            clock_offset, see `common.data.catalogue_tables.standardise_table`; and
            fewest_identities, animals that there have to be: 2, or 1 where photos join others.

    Raises:
        InputError: nothing is there, a column is missing or ambiguous, or there are too few
            animals.
    """
    source = Path(ensure_turtles() if data_dir is None else data_dir)
    source = source.expanduser().absolute()
    table_file = _table_file(source)
    if table_file is not None:
        root = table_file.parent
        name = root.name if table_file.name.lower() == TABLE_FILE else table_file.stem
        reading["near"] = table_file.stem
        return _from_source(read_csv(table_file), root, name, str(table_file), **reading)
    rows, remarks = read_folders(source)
    _refuse_tables_of_names(source, remarks)
    catalogue = _from_source(rows, source, source.name, str(source), **reading)
    return replace(catalogue, remarks=(*remarks, *catalogue.remarks), listed_paths=None)


def _refuse_tables_of_names(root: Path, remarks: Sequence[Problem]) -> None:
    """Refuse folders that would pass for animals, where their own tables name several in each."""
    deep = [name for each in remarks if each.kind == "deep_table" for name in each.names]
    for name in deep[:N_OPENED]:
        table = read_csv(root / name)
        column = match_columns(list(table), name, required=()).get("identity")
        known = set() if column is None else set(table[column][~table[column].map(is_unknown)])
        if len(known) > 1:
            raise InputError(
                f"{root / name} names {len(known):,} animals, so that its folder is none, expected "
                "one folder per animal or one table; name that folder, or put the rows of "
                f"{counted(len(deep), 'such table')} into a {TABLE_FILE} above, with paths from "
                "there"
            )


def catalogue_from_table(
    table: pd.DataFrame, root: str | Path, name: str, **reading: object
) -> Catalogue:
    """Make a catalogue of a table in memory, such as a wildlife-datasets `df`.

    Args:
        table: one row per photo; the columns are those of a CSV file. It is not changed.
        reading: see `common.data.catalogue_tables.standardise_table`.

    Raises:
        InputError: as `load_catalogue`.
    """
    root = Path(root).expanduser().absolute()
    catalogue = _from_source(table, root, name, f"the table of {name}", **reading)
    return replace(catalogue, listed_paths=None)


def read_card(
    folder: str | Path, *, gap_minutes: float | None = GAP_MINUTES, **reading: object
) -> Catalogue:
    """Read a folder of photos of unnamed animals, such as a memory card.

    Args:
        folder: of photos, at any depth; or a table of some of them. A `metadata.csv` or `boxes.csv`
            in the folder may have boxes, sides, dates and names of known animals; photos that it
            does not list are taken whole. Two boxes of one photo are two rows.
        gap_minutes: see `common.data.exif.name_events`.
        reading: as in `load_catalogue`.

    Returns:
        A catalogue whose identities are "" where unknown, always with latitude, longitude, camera.

    Raises:
        InputError: no photo is there, or the table cannot be used.
    """
    source = Path(folder).expanduser().absolute()
    table_file = _table_file(source, TABLES)
    root = source if table_file is None else table_file.parent
    found, rows, problems = find_images(root), pd.DataFrame({"path": []}, dtype=object), []
    where = str(source if table_file is None else table_file)
    if table_file is not None:
        rows = read_csv(table_file)
        if table_file.name.lower() != BOXES:  # a detector's, whose names are of species
            rows = with_identity(rows, where)
        matched = match_columns(list(rows), where, required=REQUIRED_COLUMNS[:1])
        rows = rows[rows[matched["path"]] != ""]
        way = {"near": table_file.stem, "anywhere": bool(reading.get("photos_elsewhere"))}
        paths, problems = photos_of_rows(rows, matched, root, where, **way)
        rows = rows.rename(columns={matched["path"]: "path"}).assign(path=paths)
        done = [CONTENT, matched.get("relative_path")]  # paths are whole now
        rows = rows[rows["path"] != ""].drop(columns=done, errors="ignore")
    unlisted = [photo for photo in found.photos if photo not in set(rows["path"])]
    rows = pd.concat([rows, pd.DataFrame({"path": unlisted}, dtype=object)]).fillna("")
    if rows.empty:
        reasons = "; ".join(problem.text() for problem in found.problems())
        raise InputError(
            f"{where} holds no photo{f' ({reasons})' if reasons else ''}, expected some; name the "
            "folder of the photos"
        )
    events = partial(name_events, gap_minutes=gap_minutes)
    table, more, _ = standardise_table(rows, root, where, events=events, **reading)
    for name in ("latitude", "longitude", "camera"):
        if name not in table:
            table[name] = "" if name == "camera" else float("nan")
    passed = found.problems("" if table_file is None else table_file.name)
    spared = [each for each in passed if each.kind != "not_a_photo"]
    return Catalogue(tidy_name(source.name), root, table, (*spared, *problems, *more))


def is_unnamed(source: Path | None) -> bool:
    """Whether a folder is a memory card, or holds photos in no folder per animal and no table.

    A table that can name nobody, as it has dates or boxes alone, is none here.
    """
    if source is None or not Path(source).is_dir():
        return False
    if (table := _table_file(Path(source))) is not None and may_name(read_csv(table)):
        return False
    photos = find_images(Path(source)).photos
    if table is not None:
        return bool(photos)
    return bool(photos) and (is_card(photos) or not any("/" in photo for photo in photos))


def _table_file(source: Path, wanted: tuple[str, ...] = (TABLE_FILE,)) -> Path | None:
    if source.is_dir():
        names = os.listdir(source) if os.access(source, os.R_OK) else []
        tables = (
            source / name for each in wanted for name in sorted(names) if name.lower() == each
        )
        return next((table for table in tables if os.path.isfile(table)), None)
    if source.is_file() and source.suffix.lower() in TABLE_SUFFIXES:
        return source
    found = "is a file of another kind" if source.exists() else "does not exist"
    raise InputError(
        f"{source} {found}, expected a folder of photos, or a CSV file of them (save a spreadsheet "
        "as 'CSV UTF-8'); name the folder"
    )


def _from_source(
    source: pd.DataFrame,
    root: Path,
    name: str,
    where: str,
    *,
    fewest_identities: int = 2,
    **reading: object,
) -> Catalogue:
    table, problems, listed = standardise_table(source, root, where, **reading)
    n_identities = table["identity"].nunique()
    if n_identities < fewest_identities:
        reasons = "".join(f"; {problem.text()}" for problem in problems)
        advice = (
            "if the animals' folders lie deeper, name the folder above them; if nobody has named "
            "the animals yet: week3/sort_photos.py"
        )
        if where != str(root):  # a table
            advice = "write the names of others into the table's column of animals"
        raise InputError(
            f"{where} has {counted(len(table), 'photo')} of "
            f"{counted(n_identities, 'known animal')}"
            f"{' (' + table['identity'].iloc[0] + ')' if n_identities else ''}, expected at least "
            f"{fewest_identities}; {advice}{reasons}"
        )
    return Catalogue(tidy_name(name), root, table, tuple(problems), listed)
