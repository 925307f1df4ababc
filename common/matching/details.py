"""The details of a gallery's photos, so that matchers can compare them wherever the gallery lies.

Like the small pictures they are kept by photo, whoever it shows: an animal that is renamed, moved
or brought back by --undo keeps them. Files of a few photos each are whole or absent, and carry
their checksums.
"""

import hashlib
import itertools
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from common.files import read_array, storing, write_array
from common.matching.descriptions import (
    PHOTOS_PER_FILE,
    describe_in_parts,
    from_records,
    record_dtype,
)
from common.matching.local_features import LocalFeatures
from common.matching.matchers import Matcher
from common.own_files import listed_files, remove_own

import numpy as np

FOLDER = "details"


def store_details(
    matcher: Matcher, photos: Sequence[Path], names: Sequence[str], folder: Path
) -> None:
    """Find and keep the details of a gallery's photos, but of those that are there.

    Args:
        names: of their pictures, see `common.data.photo_names.photo_name`.

    Raises:
        InputError: a photo cannot be read, or the folder takes no files.
    """
    present = _records_of(matcher, folder)[0]
    missing = {
        name: photo for name, photo in zip(names, photos, strict=True) if name not in present
    }
    waiting = [*missing.values()], [*map(bytes.fromhex, missing)]
    for records in describe_in_parts(matcher, *waiting, progress=len(missing) >= PHOTOS_PER_FILE):
        digest = _hash(records["key"].tobytes())
        file = _free(folder / FOLDER / f"{_name(matcher)}-{digest}.npy")
        with storing(file.parent, "details of photos", "choose another folder"):
            write_array(file, [records], records.shape, records.dtype)


def read_details(
    matcher: Matcher, names: Sequence[str], folder: Path
) -> tuple[list[LocalFeatures], str]:
    """The details of some of a gallery's photos, by their pictures' names; on disk until used.

    Returns:
        features: of each photo; none where some are missing.
        fault: why, in words; "" where all is well.
    """
    present, damaged = _records_of(matcher, folder)
    n_missing = sum(name not in present for name in names)
    if not n_missing:
        return [present[name] for name in names], ""
    if damaged:
        return [], f"{FOLDER}/{damaged[0]} is damaged, or not this gallery's"
    return [], f"{n_missing} of {len(names)} photos have none of {matcher.name}"


def _free(file: Path) -> Path:
    """The file, or one beside it where a damaged one is in its place, which stays."""
    others = (file.with_stem(f"{file.stem}-{n}") for n in itertools.count(1))
    return next(each for each in itertools.chain([file], others) if not os.path.lexists(each))


def drop_details(folder: Path, keep: Collection[str]) -> None:
    """Delete the course's own files of details that hold none of some photos."""
    kept = set()
    for file in listed_files(folder, f"{FOLDER}/*.npy"):
        records = _read(file)
        if records is not None and {each.tobytes().hex() for each in records["key"]} & set(keep):
            kept.add(file.relative_to(folder).as_posix())
    remove_own(folder, f"{FOLDER}/*.npy", keep=kept)


def _records_of(matcher: Matcher, folder: Path) -> tuple[dict[str, LocalFeatures], list[str]]:
    """Name of a photo to its details, and the files of this matcher that cannot be read."""
    found: dict[str, LocalFeatures] = {}
    damaged = []
    for file in sorted((folder / FOLDER).glob(f"{_name(matcher)}-*.npy")):
        records = _read(file)
        if records is None or records.dtype != record_dtype(matcher) or records.ndim != 1:
            damaged.append(file.name)
            continue
        names = (key.tobytes().hex() for key in records["key"])
        found.update(zip(names, from_records(records), strict=True))
    return found, damaged


def _read(file: Path) -> np.ndarray | None:
    """The records of a file; None if it is damaged, a link, or something else."""
    if file.is_symlink() or not file.is_file():
        return None
    try:
        records = read_array(file)  # unpickles nothing
    except (ValueError, OSError, EOFError):
        return None
    is_ours = isinstance(records, np.ndarray) and "key" in (records.dtype.names or ())
    return records if is_ours else None


def _name(matcher: Matcher) -> str:
    """Of all files of a matcher, whose descriptions another version cannot compare."""
    return f"{matcher.recipe.split()[0]}-{_hash(matcher.recipe.encode())}"


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
