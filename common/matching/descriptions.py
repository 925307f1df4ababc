"""Descriptions of photos, found once and kept: a network is a function.

A photo's details are stored under everything that they depend on: the photo's bytes and box, the
mask's, the matcher's weights and settings, the libraries. They are written in small files as they
come, so that a run that was killed goes on where it was, and read as memory maps.
"""

import hashlib
import importlib.metadata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from common import ROOT
from common.data.photo_files import each_photo, file_and_box
from common.errors import InputError
from common.files import let_go, read_array, remove_leftovers, storing, write_array
from common.matching.local_features import LocalFeatures
from common.matching.matchers import Matcher
from common.own_files import checksum

import numpy as np
from tqdm import tqdm

CACHE_FOLDER = ROOT / "data" / "cache" / "details"
LIBRARIES = ("torch", "kornia", "numpy", "pillow", "opencv-python-headless")
PHOTOS_PER_FILE = 32  # what a kill may lose


def record_dtype(matcher: Matcher) -> np.dtype:
    """What one photo's details are on disk: as much for each photo.

    Fields: key (of the photo), n (details), size (width, height), points, descriptors; behind n
    the last two are zeros.
    """
    return np.dtype(
        [
            ("key", "V16"),
            ("n", np.uint32),
            ("size", np.uint32, 2),
            ("points", np.float32, (matcher.n_points, 2)),
            ("descriptors", matcher.descriptor.base, (matcher.n_points, *matcher.descriptor.shape)),
        ]
    )


def to_records(
    matcher: Matcher, features: Sequence[LocalFeatures], keys: Sequence[bytes] | None = None
) -> np.ndarray:
    """Descriptions as one array, for `common.files.write_array`; shape (n_photos,)."""
    records = np.zeros(len(features), dtype=record_dtype(matcher))
    for i, each in enumerate(features):
        n = len(each.points)
        records["n"][i], records["size"][i] = n, each.size
        records["points"][i, :n], records["descriptors"][i, :n] = each.points, each.descriptors
        if keys is not None:
            records["key"][i] = keys[i]
    return records


def from_records(records: np.ndarray) -> list[LocalFeatures]:
    """Descriptions of an array of `to_records`; nothing is read from a memory map yet."""
    records = np.asarray(records)  # views of a memory map that are plain arrays, and as small
    points, descriptors = records["points"], records["descriptors"]
    return [
        LocalFeatures(points[i, :n], descriptors[i, :n], tuple(size))
        for i, (n, size) in enumerate(
            zip(records["n"].tolist(), records["size"].tolist(), strict=True)
        )
    ]


def describe_photos(
    matcher: Matcher,
    paths: Sequence[str | Path],
    masks: Sequence[str | Path] | None = None,
    *,
    folder: Path | None = None,
) -> list[LocalFeatures]:
    """The details of photos; those that are stored are read, the others found and stored.

    Args:
        paths: photo files, length n_photos.
        masks: of each photo, see `LocalFeatures.inside`.
        folder: of the cache, which may be deleted at any time; None for data/cache/details.

    Returns:
        Of each photo; memory maps.

    Raises:
        InputError: a photo is missing or cannot be decoded, or the disk takes no more.
    """
    folder = folder or CACHE_FOLDER
    keys = photo_keys(paths, masks)
    name = cache_name(matcher)
    stored = _read_files(folder.glob(f"{name}-*.npy"), record_dtype(matcher))
    first_of = {key: i for i, key in reversed(list(enumerate(keys)))}  # copies of a photo: one
    missing = sorted(i for key, i in first_of.items() if key not in stored)
    waiting = [each and [each[i] for i in missing] for each in (paths, keys, masks)]
    for records in describe_in_parts(matcher, *waiting, progress=bool(missing)):
        file = folder / f"{name}-{_hash(records['key'].tobytes())}.npy"
        what = f"{records.nbytes / 1e6:,.0f} MB of photos' details"
        with storing(folder, what, "delete that folder, which is a cache"):
            remove_leftovers(folder, "*.npy")
            write_array(file, [records], records.shape, records.dtype)
        stored |= _read_files([file], records.dtype)
    return [stored[key] for key in keys]


def describe_in_parts(
    matcher: Matcher,
    paths: Sequence[str | Path],
    keys: Sequence[bytes],
    masks: Sequence[str | Path] | None = None,
    *,
    progress: bool,
) -> Iterator[np.ndarray]:
    """The records of photos, `PHOTOS_PER_FILE` at a time, so that they can be kept as they come."""
    title = f"{matcher.name} details"
    with tqdm(total=len(paths), desc=title, unit="photo", disable=not progress) as bar:
        for start in range(0, len(paths), PHOTOS_PER_FILE):
            part = slice(start, start + PHOTOS_PER_FILE)
            found = matcher.describe(paths[part], masks and masks[part])
            yield to_records(matcher, found, keys[part])
            bar.update(len(found))


def photo_keys(
    paths: Sequence[str | Path], masks: Sequence[str | Path] | None = None
) -> list[bytes]:
    """What tells photos apart: bytes of the file and box, of photo and mask; 16 bytes each.

    Raises:
        InputError: a photo is missing.
    """

    def key(path: str | Path) -> bytes:
        file, box = file_and_box(path)
        try:
            return f"{checksum(file)} {box}".encode()
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{path}: cannot be read ({reason}); check the path") from error

    parts = [each_photo(key, each, "reading", progress=False) for each in (paths, masks) if each]
    return [bytes.fromhex(_hash(b"|".join(each))) for each in zip(*parts, strict=True)]


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def cache_name(matcher: Matcher) -> str:
    """Of all files of a matcher: its recipe, and the libraries."""
    versions = [(library, importlib.metadata.version(library)) for library in LIBRARIES]
    return f"{matcher.recipe.split()[0]}-{_hash(repr([matcher.recipe, versions]).encode())}"


def _read_files(files: Iterable[Path], dtype: np.dtype) -> dict[bytes, LocalFeatures]:
    """Key to details; files that are damaged are passed over, and their photos looked at anew."""
    found = {}
    for file in files:
        records = read_array(file)
        if records is not None and records.dtype == dtype:
            keys = (key.tobytes() for key in records["key"])
            found.update(zip(keys, from_records(records), strict=True))
            let_go(records)  # the keys lie in every page or two
    return found
