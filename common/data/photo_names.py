"""A photo's name by what it shows, whatever its file is called by now."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.data.catalogue_cells import Problem
from common.data.catalogue_folders import find_images
from common.data.photo_files import BOX_MARK, Box, content_checksum, each_photo, file_and_box
from common.errors import InputError

ID_MARK = "photo-"  # without a word before it a spreadsheet takes 12345 or 123e45 for a number
CHANGED = "changed_photo"  # kind of a problem
NEW_BOXES = (
    "; boxes stay as they were: where one was cropped, turned or made smaller, draw them anew"
)
NAME = re.compile(f"({ID_MARK})?([0-9a-f]{{32}})")


def photo_name(photo: Path) -> str:
    """Checksum of what a photo's file shows: equal for the same photo, and box of it, only.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        file, box = file_and_box(photo)
        return boxed_name(content_checksum(file), box)
    except OSError as error:
        raise InputError(
            f"{photo}: cannot be read as a photo ({error.strerror or error}); check the path"
        ) from error


def boxed_name(name: str, box: Box | None) -> str:
    """`photo_name` of a box of the photo that has a name; None is the whole photo."""
    if box is None:
        return name
    return hashlib.blake2b(f"{name}{box}".encode(), digest_size=16).hexdigest()


def photo_id(photo: Path) -> str:
    """A photo's name in tables that people fill in: whatever its file is called then."""
    return ID_MARK + photo_name(photo)


def written_name(cell: str) -> str:
    """`photo_name` as a table's cell says it; "" where the cell says something else.

    >>> written_name("photo-" + "0f" * 16) == "0f" * 16, written_name("a turtle")
    (True, '')
    """
    match = NAME.fullmatch(cell.strip())
    return match[2] if match else ""


def follow(
    paths: Sequence[str], asked: Sequence[str], root: Path
) -> tuple[list[str], list[Problem]]:
    """Where the photos lie by now that the rows of a table were written for.

    Files may have been numbered anew since, so that each has the name of another one.

    Args:
        paths: of each row, from the root, with its box; no file need be there.
        asked: `photo_id` or `photo_name` of each row's photo, with or without the box; another
            text says nothing.
        root: folder below which they are looked for.

    Returns:
        The paths; "" where the photo is nowhere, and its path is now that of another row's photo.
        And what was found, for people.
    """
    names = {row: name for row, text in enumerate(asked) if (name := written_name(text))}
    places = {row: file_and_box(root / paths[row]) for row in names}
    checksums = _checksums({file for file, _ in places.values()})
    strayed = [row for row in names if not _is_named(checksums, *places[row], names[row])]
    if not strayed:
        return list(paths), []
    photos = find_images(root).photos
    checksums |= _checksums({root / photo for photo in photos} - checksums.keys())
    now, taken, moved = list(paths), {paths[row] for row in names.keys() - set(strayed)}, []
    by_checksum: dict[str, list[str]] = {}
    for photo in photos:
        by_checksum.setdefault(checksums[root / photo], []).append(photo)
    for row in strayed:
        (_, box), name = places[row], names[row]
        candidates = by_checksum.get(name) or (photos if box else [])
        mark = "".join(paths[row].rpartition(BOX_MARK)[1:]) if box else ""
        ways = (each for each in candidates if _is_named(checksums, root / each, box, name))
        if new := next((f"{way}{mark}" for way in ways if f"{way}{mark}" not in taken), None):
            moved.append(f"{paths[row]} = {new}")
            now[row] = new
            taken.add(new)
    others = {file_and_box(root / path)[0] for path in taken}
    left = [row for row in strayed if now[row] == paths[row]]
    gone = [row for row in left if places[row][0] in others]
    changed = [row for row in left if places[row][0] not in others and checksums[places[row][0]]]
    for row in gone:
        now[row] = ""
    what = {
        "renamed_photo": (
            "photos that had another name when the table was written",
            moved,
            "known by the column content; where a path is meant, empty that cell",
        ),
        "gone_photo": (
            "rows whose photo is not here, and whose path another photo has now",
            [paths[row] for row in gone],
            "left out",
        ),
        CHANGED: (
            "photos of another content than when the table was written",
            [paths[row] for row in changed],
            "taken for the same, changed by a program; where one is another photo, take its row "
            f"out{NEW_BOXES * any(places[row][1] is not None for row in changed)}",
        ),
    }
    return now, [
        Problem(kind, summary, tuple(each), action=action)
        for kind, (summary, each, action) in what.items()
        if each
    ]


def _checksums(files: set[Path]) -> dict[Path, str]:
    """Of photo files; "" where one cannot be read."""
    ordered = sorted(files)
    return dict(zip(ordered, each_photo(_checksum, ordered, "known photos"), strict=True))


def _checksum(file: Path) -> str:
    try:
        return content_checksum(file)
    except OSError:
        return ""


def _is_named(checksums: Mapping[Path, str], file: Path, box: Box | None, name: str) -> bool:
    checksum = checksums[file]
    return name == checksum or bool(checksum and box and name == boxed_name(checksum, box))
