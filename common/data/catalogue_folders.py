"""From a folder with one folder per animal to a table; no photo is opened."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from common.data.catalogue_tables import Problem
from common.data.photo_files import HOW_TO_CONVERT, PHOTO_SUFFIXES, is_to_convert
from common.errors import InputError
from common.own_files import SYSTEM_FILES

import pandas as pd

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

PART_NAMES = r"train|training|val|valid|validation|test|testing|query|gallery"
SPLIT_FOLDER = re.compile(rf"({PART_NAMES})([_-].*)?", re.IGNORECASE)


class Found(NamedTuple):
    """What lies under a folder: paths relative to it, with forward slashes, sorted.

    Attributes:
        photos: by their ending; not opened yet.
        to_convert: photos in formats that are not read.
        others: files that are no photos, and pipes and devices.
        closed: folders that may not be read.
        system: folders of thumbnails or of what was thrown away, not looked into.
    """

    photos: list[str]
    to_convert: list[str]
    others: list[str]
    closed: list[str]
    system: list[str]

    def problems(self) -> list[Problem]:
        """What is passed over, for people."""
        what = {
            "closed_folder": ("folders that may not be read", self.closed, "passed over"),
            "to_convert": (
                "photos in formats that are not read (HEIC, AVIF, raw)",
                self.to_convert,
                f"left out; {HOW_TO_CONVERT}",
            ),
            "not_a_photo": ("files that are not photos", self.others, "passed over"),
            "system_folder": ("folders of a system or of thumbnails", self.system, "passed over"),
        }
        problems = [
            Problem(kind, summary, tuple(names), action=action)
            for kind, (summary, names, action) in what.items()
        ]
        return [problem for problem in problems if problem.names]


def find_images(root: Path) -> Found:
    """List what lies under a folder.

    Hidden files are passed over. Links are followed, but not back into a folder they come from.
    """
    found, folders = Found([], [], [], [], []), [(str(root), ())]
    while folders:
        folder, ancestors = folders.pop()
        real = os.path.realpath(folder)
        if real in ancestors:
            continue
        try:
            with os.scandir(folder) as entries:
                visible = [entry for entry in entries if not _is_hidden(entry.name)]
        except OSError:
            found.closed.append(folder)
            continue
        for entry in visible:
            if os.path.isdir(entry.path):
                if _is_system(entry.name):
                    found.system.append(entry.path)
                else:
                    folders.append((entry.path, (*ancestors, real)))
            else:
                _part_for(entry, found).append(entry.path)
    return Found(*(sorted(_from_root(path, root) for path in part) for part in found))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in HIDDEN


def _is_system(name: str) -> bool:
    lower = name.lower()
    return lower in SYSTEM_FOLDERS or lower.endswith(SYSTEM_ENDINGS)


def _part_for(entry: os.DirEntry, found: Found) -> list[str]:
    """The list that a file belongs on."""
    name = entry.name.lower()
    if os.path.exists(entry.path) and not os.path.isfile(entry.path):
        return found.others  # a pipe or a device
    if name.endswith(PHOTO_SUFFIXES):
        return found.photos
    return found.to_convert if is_to_convert(name) else found.others


def _from_root(path: str, root: Path) -> str:
    return os.path.relpath(path, root).replace(os.sep, "/")


def read_folders(root: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Read a folder of identity folders, with or without train, validation and test above.

    Returns:
        Table with path, identity and, where there are split folders, split; and what was found
        on the way.

    Raises:
        InputError: there are no photos in identity folders, or split folders lie beside others.
    """
    found = find_images(root)
    images = found.photos
    tops = sorted({image.split("/")[0] for image in images if "/" in image})
    has_splits = _are_split_folders(tops, images, root)
    depth = 2 if has_splits else 1
    inside = [image for image in images if image.count("/") >= depth]
    if not inside:
        reasons = "; ".join(problem.text() for problem in found.problems())
        raise InputError(
            f"--data_dir {root} has {len(images):,} photos but none in a folder per animal, "
            "expected ANIMAL/photo.jpg, train/ANIMAL/photo.jpg or a metadata.csv"
            f"{f' ({reasons})' if reasons else ''}; see data/README.md"
        )
    table = pd.DataFrame({"path": inside})
    folders = table["path"].str.split("/")
    table["identity"] = folders.str[depth - 1]
    if has_splits:
        table["split"] = folders.str[0]
    stray = tuple(image for image in images if image.count("/") < depth)
    outside = Problem("stray_photo", "photos outside an animal's folder", stray, action="left out")
    return table, [*found.problems(), *([outside] if stray else [])]


def _are_split_folders(tops: list[str], images: list[str], root: Path) -> bool:
    named = [top for top in tops if SPLIT_FOLDER.fullmatch(top)]
    deep = {image.split("/")[0] for image in images if image.count("/") >= 2}
    if not named or not set(named) <= deep:
        return False
    unnamed = sorted(set(tops) - set(named))
    if unnamed and len(named) > 1:
        raise InputError(
            f"--data_dir {root} has the folders {', '.join(named)} and also "
            f"{', '.join(unnamed[:3])}, expected either folders of a split or folders of animals; "
            "move the others away"
        )
    return not unnamed
