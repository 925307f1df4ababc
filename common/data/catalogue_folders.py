"""From a folder with one folder per animal to a table, and from a table's paths to files.

No photo is opened.
"""

import os
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from common.data.catalogue_cells import Problem
from common.data.photo_files import HOW_TO_CONVERT, PHOTO_SUFFIXES, is_to_convert
from common.errors import InputError
from common.names import name_key
from common.own_files import DEEPEST, SYSTEM_FILES, made_by_course
from common.words import counted

import pandas as pd

TABLE_FILE = "metadata.csv"
BOXES = "boxes.csv"
TABLES = TABLE_FILE, BOXES  # of a card, of which the first that is there is read
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
SAVED = ("decisions", "answers", "pairs")  # by pages, and read by other flags
NO_PHOTOS = {"not_a_photo", "unread_table"}  # problems of no concern where no table is read
SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")
# What cameras and people call folders of a day: 100CANON, 2024-05-01 Reef, 01.05.2024.
NO_NAME = re.compile(
    r"(?i:dcim)|\d{3}[A-Z_]{3,5}\d?|\d{4}([-_.]?)\d\d\1\d\d(\D.*)?|\d\d?[-_.]\d\d?[-_.]\d{4}.*"
)
# Of systems, network drives, cameras and photo programs: what lies in them are thumbnails, copies
# or what was thrown away. Names that begin with a full stop are passed over anyway.
SYSTEM_FOLDERS = {
    *("$recycle.bin", "recycler", "recycled", "system volume information", "msocache"),  # Windows
    *("__macosx", "network trash folder", "temporary items", "lost+found"),
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "~snapshot"),  # NAS
    *("thumbnails", "thumbs", "thmbnl", "avchdtn"),
}
HIDDEN = {name.lower() for name in SYSTEM_FILES}
SYSTEM_ENDINGS = (".lrdata", ".photoslibrary", ".cocatalog")  # photo programs' own folders

# Known sets write bounding_box_train (Market-1501), image_test (VeRi), train2017 (COCO).
PREFIX = re.compile(r"^(?:bounding_box|bbox|images?)_", re.IGNORECASE)
PART_NAMES = r"train|training|val|valid|validation|test|testing|query|gallery"
SPLIT_FOLDER = re.compile(
    rf"(?:{PREFIX.pattern[1:]})?({PART_NAMES})([_-].*|\d{{4}})?", re.IGNORECASE
)
# Other folders of data sets, which hold photos but are no animals.
NO_ANIMALS = {
    *("images", "imgs", "photos", "pictures", "jpegs", "jpegimages", "crops", "masks", "mask"),
    *("segmentations", "annotations", "labels", "trimaps", "gt_bbox", "gt_query", "distractors"),
}
FILE_NAME = re.compile(r"(-1|\d+)_c(\d+)(?:s\d+)?_.*")  # identity, camera
# How a path begins that leads out of the folder that it is relative to: a drive, too, but elsewhere
# than on Windows a folder may be called a:b.
DRIVE = "[A-Za-z]:" + ("" if os.name == "nt" else "(?:/|$)")
OUTSIDE = re.compile(rf"\.\.(?:/|$)|/|{DRIVE}")


class Found(NamedTuple):
    """What lies under a folder: paths relative to it, with forward slashes, sorted.

    Attributes:
        photos: by their ending; not opened yet.
        to_convert: photos in formats that are not read.
        closed: folders that may not be read.
        system: folders of thumbnails or of what was thrown away, not looked into.
        results: pictures that the course made: a gallery's small ones, figures of runs.
        back: links to a folder above.
        twice: links to another folder here, whose photos are found twice.
    """

    photos: list[str]
    to_convert: list[str]
    others: list[str]
    closed: list[str]
    system: list[str]
    results: list[str]
    back: list[str]
    twice: list[str]

    def problems(self, read: str = "") -> list[Problem]:
        """What is passed over, for people.

        Args:
            read: name of the table that is read.
        """
        tables = [name for name in self.others if name.lower().endswith(SPREADSHEETS)]
        deep = [
            name for name in self.others if "/" in name and name.split("/")[-1].lower() in TABLES
        ]
        unread = [name for name in self.others if name != read and _may_name(name)]
        others = [name for name in self.others if name not in {*tables, *deep, *unread, read}]
        what = {
            "spreadsheet": (
                "spreadsheets that are not read",
                tables,
                "passed over; save one that says who is who as 'CSV UTF-8', named metadata.csv",
            ),
            "unread_table": (
                "tables that are not read",
                unread,
                f"passed over; put what they say into {TABLE_FILE}",
            ),
            "deep_table": (
                "tables in folders further down",
                deep,
                "passed over; name their folder, or put their rows into a table above all photos",
            ),
            "closed_folder": ("folders that may not be read", self.closed, "passed over"),
            "to_convert": (
                "photos in formats that are not read (AVIF, JPEG XL, raw)",
                self.to_convert,
                f"left out; {HOW_TO_CONVERT}",
            ),
            "not_a_photo": ("files that are not photos", others, "passed over"),
            "system_folder": ("folders of a system or of thumbnails", self.system, "passed over"),
            "result": (
                "pictures of a gallery or of an earlier run, and no photos of a camera",
                self.results,
                "passed over; name the folder of the photos themselves",
            ),
            "link_back": ("links to a folder above", self.back, "passed over"),
            "link_twice": (
                "links to another folder here",
                self.twice,
                "its photos are found twice: take the links out",
            ),
        }
        problems = [
            Problem(kind, summary, tuple(names), action=action)
            for kind, (summary, names, action) in what.items()
        ]
        return [problem for problem in problems if problem.names]


def _may_name(path: str) -> bool:
    """Whether a file beside the photos may be a table of them under another name."""
    name = path.lower()
    is_table = name.startswith(TABLE_FILE.split(".")[0]) and name.endswith(TABLE_SUFFIXES)
    is_table |= name.endswith(TABLE_SUFFIXES[:2]) and not name.startswith(SAVED)
    return "/" not in name and is_table


def find_images(root: Path) -> Found:
    """List what lies under a folder.

    Hidden files are passed over. Links are followed, but not to a folder above.
    """
    found, folders = Found(*([] for _ in Found._fields)), [(str(root), ())]
    places: dict[str, list[str]] = {}  # of each folder, which links may show again
    made = set().union(*map(made_by_course, root.absolute().parents[:DEEPEST]))
    while folders:
        folder, ancestors = folders.pop()
        real = os.path.realpath(folder)
        if any(Path(each).is_relative_to(real) for each in ancestors):
            found.back.append(folder)
            continue
        places.setdefault(real, []).append(folder)
        made |= made_by_course(Path(folder).absolute())
        try:
            with os.scandir(folder) as entries:
                visible = [each for each in entries if each.name[0] != "."]
        except OSError:
            found.closed.append(folder)
            continue
        for entry in visible:
            name = entry.name.lower()
            if name in HIDDEN:
                continue
            if os.path.isdir(entry.path):
                if name in SYSTEM_FOLDERS or name.endswith(SYSTEM_ENDINGS):
                    found.system.append(entry.path)
                else:
                    folders.append((entry.path, (*ancestors, real)))
            else:
                part = _part_for(name, found)
                if os.path.abspath(entry.path) not in made:
                    part.append(entry.path)
                elif part is found.photos:
                    found.results.append(entry.path)
    several = (each for each in places.values() if len(each) > 1)
    found.twice.extend(folder for each in several for folder in each if os.path.islink(folder))
    paths = [[os.path.relpath(each, root).replace(os.sep, "/") for each in part] for part in found]
    return Found(*map(sorted, paths))


def is_card(photos: Sequence[str]) -> bool:
    """Whether photos lie in folders that cameras make, or loose above, and so in none of an animal.

    >>> is_card(["DCIM/100CANON/1.jpg", "cover.jpg"]), is_card(["DCIM/1.jpg", "Anna/2.jpg"])
    (True, False)
    """
    folders = [photo.lower().split("/")[:-1] for photo in photos]
    cards = [each[: each.index("dcim")] for each in folders if "dcim" in each]
    loose = [each for each in folders if "dcim" not in each]
    return bool(cards) and all(any(card[: len(e)] == e for card in cards) for e in loose)


def _part_for(name: str, found: Found) -> list[str]:
    """The list that a file of this name, in lower case, belongs on."""
    if name.endswith(PHOTO_SUFFIXES):
        return found.photos  # also a pipe or a device, which is told when it is looked at
    return found.to_convert if is_to_convert(name) else found.others


def read_folders(root: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Read a folder of identity folders, with or without train, validation and test above.

    Files as Market-1501 names them, such as query/0002_c1s1_000451_03.jpg, need no folder per
    animal: the number is the identity, the camera the encounter.

    Returns:
        Table with path, identity and, where there are split folders, split; and what was found
        on the way.

    Raises:
        InputError: there are no photos in identity folders, split folders lie beside others, or
            the folders are parts of a data set and no animals.
    """
    found = find_images(root)
    images = found.photos
    if is_card(images):
        raise InputError(
            f"{root} is a memory card (DCIM), whose folders are no animals, expected "
            "ANIMAL/photo.jpg or a metadata.csv; python week3/sort_photos.py proposes who is who"
        )
    tops = sorted({image.split("/")[0] for image in images if "/" in image})
    table = _read_file_names(images)
    depth = 1 if table is not None or not _are_split_folders(tops, found, root) else 2
    inside = [image for image in images if image.count("/") >= depth]
    if not inside:
        reasons = "; ".join(problem.text() for problem in found.problems())
        raise InputError(
            f"{root} has {counted(len(images), 'photo')} but none in a folder per "
            "animal, expected ANIMAL/photo.jpg, train/ANIMAL/photo.jpg or a metadata.csv"
            f"{_tables_there(found.others)}{f' ({reasons})' if reasons else ''}; see data/README.md"
        )
    if table is None:
        folders = pd.Series(inside).str.split("/")
        table = pd.DataFrame({"path": inside, "identity": folders.str[depth - 1]})
        if depth == 2:
            table["split"] = [_part_of_folder(parts[0]) for parts in folders]
    stray = tuple(sorted(set(images) - set(table["path"])))
    outside = Problem("stray_photo", "photos outside an animal's folder", stray, action="left out")
    names = table["identity"].unique()
    unnamed = tuple(name for name in names if NO_NAME.fullmatch(name))
    words = "folders that are named after a day or a camera", unnamed
    action = "taken for animals; if nobody has named these: python week3/sort_photos.py"
    problems = [outside, Problem("no_names", *words, action=action)]
    return table, [*found.problems(), *(each for each in problems if each.names)]


def _are_split_folders(tops: list[str], found: Found, root: Path) -> bool:
    images = found.photos
    named = [top for top in tops if SPLIT_FOLDER.fullmatch(top)]
    unnamed = sorted(set(tops) - set(named))
    parts = [top for top in tops if top in named or top.lower() in NO_ANIMALS]
    deep = {image.split("/")[0] for image in images if image.count("/") >= 2} & set(named)
    if len(named) > 1 and deep and unnamed:
        raise InputError(
            f"{root} has the folders {', '.join(named)} and also "
            f"{', '.join(unnamed[:3])}, expected either folders of a split or folders of animals; "
            "move the others away"
        )
    if deep and not unnamed:
        return True
    if len(parts) > 1 or (parts and parts == tops):
        inner = [root / top for top in parts if any(_is_deep(image, top) for image in images)]
        advice = "see data/README.md"
        if inner:
            advice = f"name the folder of the animals' folders, such as {inner[0]}"
        raise InputError(
            f"{root} has the folders {', '.join(parts[:4])}, which are parts of a data "
            "set and no animals, expected a folder per animal or a table of their names"
            f"{_tables_there(found.others)}; {advice}"
        )
    return False


def _is_deep(image: str, top: str) -> bool:
    return image.startswith(f"{top}/") and image.count("/") >= 2


def _part_of_folder(top: str) -> str:
    """The part that a folder's name means; a test's gallery and queries stay apart."""
    word, rest = (each.lower() for each in SPLIT_FOLDER.fullmatch(top).groups(""))
    is_test = word in ("test", "testing", "query", "gallery") and not rest.isdigit()
    return word + rest if is_test else word


def _tables_there(others: list[str]) -> str:
    """Tables at the top of a folder that may hold the names, for a message."""
    tables = [name for name in others if "/" not in name and name.lower().endswith(TABLE_SUFFIXES)]
    return f" (is it {' or '.join(tables[:3])}? Name it instead)" if tables else ""


def _read_file_names(images: list[str]) -> pd.DataFrame | None:
    """The photos of Market-1501, DukeMTMC or VeRi, whose names say all; None: another layout.

    -1 and 0000 are nobody: what the detector took for a person. The folders gt_bbox and gt_query
    hold copies and no photos.
    """
    listed = [image for image in images if not image.startswith("gt_")]
    parts = [(image, *image.split("/")[:-1]) for image in listed]
    found = [FILE_NAME.fullmatch(image.split("/")[-1]) for image in listed]
    flat = [len(each) == 2 and bool(SPLIT_FOLDER.fullmatch(each[1])) for each in parts]
    if not listed or not all(found) or not all(flat):
        return None
    names = {"test": "test_gallery", "gallery": "test_gallery", "query": "test_query"}
    split = [_part_of_folder(top) for _, top in parts]
    rows = {
        "path": listed,
        "identity": [match[1] if match[1].strip("0") not in ("", "-1") else "" for match in found],
        "encounter": [f"camera {int(match[2])}" for match in found],
        "split": [names.get(word, word) for word in split],
    }
    return pd.DataFrame(rows)


def locate_photos(
    given: Sequence[tuple[str, ...]], root: Path, *, near: str | None = None, anywhere: bool = False
) -> tuple[list[str], list[Problem]]:
    """Find the files that a table's paths mean.

    A path that is not there as written may differ in capitals, Unicode form, slashes or spaces,
    may lack its ending, or be the last part of one photo's path only.

    Args:
        given: of each row, the paths that it may mean, the likeliest first.
        root: folder that relative paths start from.
        near: of several photos, one in a folder whose name begins so; None: look nowhere else.
        anywhere: paths may lead out of the root.

    Returns:
        Paths with forward slashes, relative to the root where they lie inside it; and which are
        written otherwise than on disk.

    Raises:
        InputError: a path leads out of the root.
    """
    located = {ways: _as_written(ways, root) for ways in set(given)}
    lost = [ways for ways, path in located.items() if path is None]
    index = _index_of(root) if lost and near is not None else {}
    elsewhere, several = [], []
    for ways in sorted(lost):
        plain = _plain_path(ways[0], root)
        located[ways] = next((f for way in ways if (f := _look_up(way, index, near))), plain)
        if located[ways] != plain:
            elsewhere.append(f"{ways[0]} = {located[ways]}")
        elif found := next(filter(None, (index.get(_index_key(way)) for way in ways)), None):
            several.append(f"{ways[0]}: {' or '.join(found[:2])}{' or …' if found[2:] else ''}")
    for row, ways in enumerate(given, start=2):
        if not anywhere and OUTSIDE.match(located[ways]):
            raise InputError(
                f"row {row}: the path {ways[0]} leads out of {root}, expected photos in the "
                "table's folder or below; move the table to the photos, or add --photos_elsewhere "
                "where --help has it"
            )
    what = {
        "other_path": ("paths written otherwise than on disk", "taken for the files there"),
        "several_paths": (
            "paths that may mean several photos",
            "not guessed; write the folder, too, unless a column content says which",
        ),
    }
    problems = [
        Problem(kind, summary, tuple(names), action=action)
        for (kind, (summary, action)), names in zip(what.items(), (elsewhere, several), strict=True)
    ]
    return [located[ways] for ways in given], [each for each in problems if each.names]


def _plain_path(text: str, root: Path) -> str:
    path = posixpath.normpath(text.strip().replace("\\", "/"))
    for base in (root, root.resolve()) if Path(path).is_absolute() else ():
        if Path(path).is_relative_to(base):
            return Path(path).relative_to(base).as_posix()
    return path


def _as_written(ways: tuple[str, ...], root: Path) -> str | None:
    """The first way that is a file; a backslash or a space at an end may belong to its name."""
    for way in ways:
        exact = posixpath.normpath(way.replace(os.sep, "/"))
        for path in dict.fromkeys((exact, _plain_path(way, root))):
            if os.path.isfile(os.path.join(root, path)) and not os.path.isabs(path):
                return path
    return None


def _index_of(root: Path) -> dict[str, list[str]]:
    """Photos below a folder by each ending of their path, with and without the file's ending."""
    index: dict[str, list[str]] = {}
    for image in find_images(root).photos if root.is_dir() else ():
        parts = name_key(image).split("/")
        for start in range(len(parts)):
            key = "/".join(parts[start:])
            for each in (key, posixpath.splitext(key)[0]):
                index.setdefault(each, []).append(image)
    return index


def _index_key(way: str) -> str:
    return name_key(posixpath.normpath(way.replace("\\", "/")))


def _look_up(way: str, index: dict[str, list[str]], near: str | None) -> str | None:
    key = _index_key(way)
    found = index.get(key, [])
    whole = [path for path in found if name_key(path) == key]
    close = [path for path in found if near and path.lower().startswith(near.lower())]
    return next((some[0] for some in (whole, found, close) if len(some) == 1), None)
