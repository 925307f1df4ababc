"""Look at a catalogue's photos and say what is wrong, before a model learns from it.

>>> catalogue, report = leave_out_unusable(load_catalogue("my_animals"))  # doctest: +SKIP
>>> print(report.text())  # doctest: +SKIP

Each file is read as the training will read it, only smaller: what passes here is read there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.data.catalogue import Catalogue, read_card
from common.data.catalogue_cells import Problem, as_text
from common.data.catalogue_folders import find_images
from common.data.catalogue_tables import CONTENT
from common.data.photo_files import (
    EMPTY,
    NO_SUCH_PHOTO,
    Box,
    Look,
    content_checksum,
    content_size,
    each_photo,
    file_and_box,
    look_at,
    same_place,
)
from common.data.photo_names import written_name
from common.errors import InputError
from common.words import counted

import numpy as np
import pandas as pd

N_NAMED = 100  # bad photos that a report names one by one
DROPPED_KINDS = ("missing_file", "unreadable_file", "empty_photo", "contradictory_copy")


@dataclass(frozen=True)
class CatalogueReport:
    """What a catalogue holds and what is wrong with it.

    Attributes:
        counts: n_images (rows: two animals of a photo are two), n_files, n_identities, n_unnamed,
            n_encounters, n_dated, n_left, n_right, n_cameras, n_places; and first_day and
            last_day, "" where no date is known.
        problems: what was found, the gravest first; rows are those of the checked catalogue.
    """

    name: str
    counts: dict[str, int | str]
    problems: list[Problem]

    def rows(self, *kinds: str) -> np.ndarray:
        """Return the rows, sorted, that the problems of these kinds concern."""
        rows = {row for problem in self.problems if problem.kind in kinds for row in problem.rows}
        return np.array(sorted(rows), dtype=int)

    def text(self) -> str:
        """Return the report for people: one line of counts, one line per problem."""
        counts = self.counts
        dated = "no dates"
        if counts["n_dated"]:
            days = " to ".join(dict.fromkeys([counts["first_day"], counts["last_day"]]))
            dated = f"{counts['n_dated']:,} dated ({days})"
        sides = f"{counts['n_left']:,} left and {counts['n_right']:,} right sides"
        seen = [counted(counts[f"n_{each}s"], each) for each in ("camera", "place")]
        parts = [
            counted(counts["n_encounters"], "known encounter"),
            dated,
            sides if counts["n_left"] + counts["n_right"] else "no left or right sides",
            *(words for words in seen if not words.startswith("0 ")),
        ]
        animals = counted(counts["n_identities"], "animal")
        if counts["n_unnamed"]:
            named = f"{animals} and " if counts["n_identities"] else ""
            animals = f"{named}unnamed animals"
        photos = counted(counts["n_files"], "photo")
        if counts["n_files"] < counts["n_images"]:
            photos += f", {counts['n_images']:,} views"
        first = f"Catalogue {self.name}: {photos} of {animals} in {', '.join(parts)}."
        found = [f"  - {problem.text()}" for problem in self.problems]
        return "\n".join([first, *found, *fault_lines(self.problems)])

    def to_dict(self) -> dict:
        """Return plain values for a result file; names are cut after ten."""
        problems = [
            {"kind": each.kind, "summary": each.summary, "action": each.action}
            | {"n": len(each.names), "names": list(each.names[:10])}
            for each in self.problems
        ]
        return {"name": self.name, **self.counts, "problems": problems}


def load_checked_card(folder: str | Path, **reading: object) -> tuple[Catalogue, CatalogueReport]:
    """Read photos of unnamed animals, open them, and leave out what cannot be used.

    Raises:
        InputError: as `read_card`, or no photo can be used.
    """
    card, report = leave_out_unusable(read_card(folder, **reading), fewest_identities=0)
    if not card.n_images:
        raise InputError(f"{folder}: no photo can be used, expected some; {report.text()}")
    return card, report


def leave_out_unusable(
    catalogue: Catalogue, *, fewest_identities: int = 2, drop_copies: bool = True
) -> tuple[Catalogue, CatalogueReport]:
    """Open every photo of a catalogue, and leave out what cannot be used.

    Left out are photos that are missing or cannot be opened, identical photos under different
    identities (no way to tell which is right), and further copies of a photo of one animal.

    Args:
        fewest_identities: animals that there have to be; 1 where photos join others.
        drop_copies: leave out further copies too; a published split counts on them.

    Returns:
        The usable catalogue, and the report on it: counts are of the usable photos, and problems
        name what was left out (their rows are those before leaving out).

    Raises:
        InputError: photos of too few animals can be used.
    """
    report = check_catalogue(catalogue)
    dropped_kinds = (*DROPPED_KINDS, "copy") if drop_copies else DROPPED_KINDS
    actions = {"copy": "kept, as a published split counts them"}
    actions |= dict.fromkeys(dropped_kinds, "left out")
    problems = [
        replace(problem, action=actions.get(problem.kind, problem.action))
        for problem in report.problems
    ]
    usable = drop_rows(catalogue, report.rows(*dropped_kinds))
    if len(usable.identities) < fewest_identities:
        reasons = "; ".join(problem.text() for problem in problems if problem.rows)
        is_lost = any(problem.kind == "missing_file" and problem.rows for problem in problems)
        paths = "the paths in its table: they count from the table's folder, so put it into the"
        advice = f"check --data_dir, and {paths} folder of its photos" if is_lost else "add others"
        raise InputError(
            f"{catalogue.name} has usable photos of "
            f"{counted(len(usable.identities), 'animal')}, expected "
            f"at least {fewest_identities} ({reasons}); {advice}"
        )
    return usable, replace(report, counts=count_rows(usable.table), problems=problems)


def leave_out_copies(catalogue: Catalogue) -> tuple[Catalogue, list[Problem]]:
    """Leave out copies, by which one animal would be two, or one meeting two.

    Of the photos that are there, only those of one size are read; of others the column "content"
    says which they are, where there is one.
    """
    table, paths = catalogue.table, pd.Series(map(str, catalogue.paths()))
    files = paths.map(lambda path: file_and_box(path)[0])
    sizes = files.map(_size_of)
    is_alone = sizes.isna() | ~sizes.duplicated(keep=False)
    doubtful = files[~is_alone].drop_duplicates().tolist()
    contents = each_photo(_content_of, doubtful, "looking for copies")
    known = dict(zip(doubtful, contents, strict=True))
    if CONTENT in table:
        written = as_text(table[CONTENT]).map(written_name)
        gone = sizes.isna() & written.ne("")
        known |= dict(zip(files[gone], written[gone], strict=True))
    digests = files.map(lambda file: known.get(file, str(file))).to_numpy(dtype=object)
    if "bbox" in table:
        digests = _with_places(digests, table["bbox"])
    problems = [each for each in _copy_problems(table, digests) if each.names]
    problems = [replace(each, action="left out") for each in problems]
    return drop_rows(catalogue, {row for each in problems for row in each.rows}), problems


def _content_of(file: Path) -> str:
    try:
        return content_checksum(file)
    except OSError:  # what may not be read is no copy
        return str(file)


def _size_of(file: Path) -> int | None:
    try:
        return content_size(file)
    except OSError:
        return None


def check_catalogue(catalogue: Catalogue) -> CatalogueReport:
    """Check that every photo is there, opens, and shows one animal only.

    Returns:
        The report. Nothing is left out yet: `leave_out_unusable` does that.
    """
    problems = _file_problems(catalogue)
    unusable = CatalogueReport(catalogue.name, {}, problems).rows(*DROPPED_KINDS)
    usable = catalogue.table.drop(index=unusable)
    problems += [*catalogue.remarks, *_table_problems(usable), *_unlisted_files(catalogue)]
    problems = [problem for problem in problems if problem.names]
    return CatalogueReport(catalogue.name, count_rows(catalogue.table), problems)


def drop_rows(catalogue: Catalogue, rows: Iterable[int]) -> Catalogue:
    """Return the catalogue without some rows; the rows that stay are numbered anew."""
    table = catalogue.table.drop(index=list(rows)).reset_index(drop=True)
    return replace(catalogue, table=table)


def count_rows(table: pd.DataFrame) -> dict[str, int | str]:
    """Count a catalogue table's photos, animals, encounters, sides; its days, cameras, places."""
    days = table["date"].dropna().dt.strftime("%Y-%m-%d")
    has_places = {"latitude", "longitude"} <= set(table)
    places = table[["latitude", "longitude"]].dropna().round(3) if has_places else []
    cameras = set(table["camera"]) - {""} if "camera" in table else ()
    return {
        "n_images": len(table),
        "n_files": int(table["path"].nunique()),
        "n_identities": int(table.loc[table["identity"] != "", "identity"].nunique()),
        "n_unnamed": int(table["identity"].eq("").sum()),
        "n_encounters": int(table.loc[table["encounter_known"], "encounter"].nunique()),
        "n_dated": len(days),
        "first_day": days.min() if len(days) else "",
        "last_day": days.max() if len(days) else "",
        "n_left": int(table["orientation"].eq("left").sum()),
        "n_right": int(table["orientation"].eq("right").sum()),
        "n_cameras": len(cameras),
        "n_places": len(places.drop_duplicates()) if len(places) else 0,
    }


def _file_problems(catalogue: Catalogue) -> list[Problem]:
    table = catalogue.table
    looks = list(each_photo(look_at, catalogue.paths(), "checking photos"))
    problems = photo_problems(table["path"], looks)
    checksums = np.array([look.checksum for look in looks], dtype=object)
    is_read = checksums != ""
    if "bbox" in table:
        checksums = _with_places(checksums, table["bbox"])
    return problems + _copy_problems(table[is_read], checksums)


def photo_problems(names: Sequence[str], looks: Sequence[Look]) -> list[Problem]:
    """What is wrong or odd about photo files."""
    words = {
        "missing_file": "photos that cannot be found",
        "unreadable_file": "photos that cannot be read",
        "empty_photo": "photos without content",
    }
    found: dict[tuple[str, str, str], list[int]] = {}
    for row, look in enumerate(looks):
        for remark in look.remarks:
            summary, action = remark.split("; ", 1)
            found.setdefault(("odd_photo", f"photos with {summary}", action), []).append(row)
        if look.fault or look.is_empty:
            kind = "missing_file" if look.fault == NO_SUCH_PHOTO else "unreadable_file"
            kind = "empty_photo" if look.is_empty else kind
            found.setdefault((kind, words[kind], ""), []).append(row)
    names = list(names)
    return [
        Problem(
            kind,
            summary,
            tuple(names[row] for row in rows),
            tuple(rows),
            action,
            tuple(
                f"{names[row]}: {looks[row].fault or EMPTY}" for row in rows if kind != "odd_photo"
            ),
        )
        for (kind, summary, action), rows in sorted(found.items())
    ]


def fault_lines(problems: Iterable[Problem]) -> list[str]:
    """A line for each photo that cannot be read, under a heading; none where there is none."""
    faults = [fault for problem in problems for fault in problem.faults]
    more = [f"… and {len(faults) - N_NAMED:,} more"] if len(faults) > N_NAMED else []
    heading = ["Photos passed over; none was moved or deleted:"] if faults else []
    return [*heading, *faults[:N_NAMED], *more]


def sort_out(photos: Sequence[Path]) -> tuple[list[Path], list[Problem]]:
    """Tell the files that can be read from those that cannot; and what is odd about them."""
    looks = list(each_photo(look_at, photos, "checking photos"))
    whole = [
        photo
        for photo, look in zip(photos, looks, strict=True)
        if not (look.fault or look.is_empty)
    ]
    return whole, photo_problems(list(map(str, photos)), looks)


def _with_places(digests: np.ndarray, boxes: pd.Series) -> np.ndarray:
    """Checksums of photos with a number of the place, equal where boxes show the same animal."""
    places: dict[str, list[Box | None]] = {}
    named = []
    for digest, text in zip(digests, boxes, strict=True):
        box = tuple(map(float, text.split(","))) if text else None
        known = places.setdefault(digest, [])
        place = next((i for i, other in enumerate(known) if same_place(box, other)), len(known))
        if place == len(known):
            known.append(box)
        named.append(f"{digest} {place}")
    return np.array(named, dtype=object)


def _photo_problem(
    kind: str, summary: str, table: pd.DataFrame, is_concerned: pd.Series
) -> Problem:
    concerned = table["path"][is_concerned]
    return Problem(kind, summary, tuple(concerned), tuple(map(int, concerned.index)))


def _copy_problems(table: pd.DataFrame, digests: np.ndarray) -> list[Problem]:
    name = table["identity"].mask(table["identity"] == "")  # on a card nobody may know one copy
    is_contradictory = name.groupby(digests[table.index]).transform("nunique") > 1
    named_first = name.isna().sort_values(kind="stable").index
    place = table.loc[named_first].groupby(digests[named_first]).cumcount()
    is_later_copy = ~is_contradictory & (place.reindex(table.index) > 0)
    contradictory = "identical photos under different identities"
    copies = "further copies of a photo of the same animal"
    return [
        _photo_problem("contradictory_copy", contradictory, table, is_contradictory),
        _photo_problem("copy", copies, table, is_later_copy),
    ]


def _table_problems(table: pd.DataFrame) -> list[Problem]:
    n_days = table["date"].dt.normalize().groupby(table["encounter"]).nunique()
    others = tuple(sorted(set(table["orientation"]) - {"", "left", "right"}))  # or slips of the pen
    table = table[table["identity"] != ""]
    by_identity = table.groupby("identity")
    n_images = by_identity.size()
    n_encounters = by_identity["encounter"].nunique()
    has_encounters = bool(table["encounter_known"].any())
    has_one_encounter = (n_encounters == 1) & (n_images > 1) & has_encounters
    together = tuple(n_images.index[has_one_encounter])
    one_photo = "animals with one photo", tuple(n_images.index[n_images == 1])
    one_encounter = "animals with several photos of one encounter", together
    long_encounter = "encounters of more than one day", tuple(n_days.index[n_days > 1])
    other_sides = "sides other than left and right", others
    return [
        Problem("one_photo", *one_photo, action="they can never be tested as known animals"),
        Problem("one_encounter", *one_encounter, action="they can be tested only as new animals"),
        Problem("long_encounter", *long_encounter, action="kept on one side of a split"),
        Problem("other_side", *other_sides, action="each is a side of its own"),
    ]


def _unlisted_files(catalogue: Catalogue) -> list[Problem]:
    if catalogue.listed_paths is None or not catalogue.root.is_dir():
        return []
    found = find_images(catalogue.root)
    unlisted = found.photos + found.to_convert
    unlisted = tuple(image for image in unlisted if image not in catalogue.listed_paths)
    summary = "photos in the folder that the table does not list"
    return [
        Problem("unlisted_photo", summary, unlisted, action="not used"),
        *(problem for problem in found.problems() if problem.kind == "closed_folder"),
    ]
