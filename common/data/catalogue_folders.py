"""From a folder with one folder per animal to a table; no photo is opened."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from common.data.catalogue_tables import Problem
from common.errors import InputError
from common.words import counted

import pandas as pd

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

PART_NAMES = r"train|training|val|valid|validation|test|testing|query|gallery"
SPLIT_FOLDER = re.compile(rf"({PART_NAMES})([_-].*)?", re.IGNORECASE)


def find_images(root: Path) -> tuple[list[str], list[str]]:
    """List the photos under a folder, and the files that are not photos.

    Hidden files are passed over. Links are followed, but not back into a folder they come from.

    Returns:
        Paths of photos and of other files, relative to the root with forward slashes, sorted.
    """
    files = sorted(os.path.relpath(file, root).replace(os.sep, "/") for file in _walk(str(root)))
    images = [file for file in files if file.lower().endswith(IMAGE_SUFFIXES)]
    return images, sorted(set(files).difference(images))


def _walk(folder: str, ancestors: tuple[str, ...] = ()) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in ancestors:
        return
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in visible:
        if entry.is_dir():
            yield from _walk(entry.path, (*ancestors, real))
        else:
            yield entry.path


def read_folders(root: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Read a folder of identity folders, with or without train, validation and test above.

    Returns:
        Table with path, identity and, where there are split folders, split; and what was found
        on the way.

    Raises:
        InputError: there are no photos in identity folders, or split folders lie beside others.
    """
    images, others = find_images(root)
    tops = sorted({image.split("/")[0] for image in images if "/" in image})
    has_splits = _are_split_folders(tops, images, root)
    depth = 2 if has_splits else 1
    inside = [image for image in images if image.count("/") >= depth]
    if not inside:
        raise InputError(
            f"--data_dir {root} has {counted(len(images), 'photo')} but none in a folder per "
            "animal, expected ANIMAL/photo.jpg, train/ANIMAL/photo.jpg or a metadata.csv; see "
            "data/README.md"
        )
    table = pd.DataFrame({"path": inside})
    folders = table["path"].str.split("/")
    table["identity"] = folders.str[depth - 1]
    if has_splits:
        table["split"] = folders.str[0]
    stray = tuple(image for image in images if image.count("/") < depth)
    problems = [
        Problem("not_a_photo", "files that are not photos", tuple(others), action="passed over"),
        Problem("stray_photo", "photos outside an animal's folder", stray, action="left out"),
    ]
    return table, [problem for problem in problems if problem.names]


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
