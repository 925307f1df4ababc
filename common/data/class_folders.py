"""From folders of classes (breeds, cats and dogs) to photos with labels, and a split of them.

A catalogue is of individuals, with encounters to keep apart. Photos of a class have nothing to do
with each other, so a stratified split by chance is honest here.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from common.data.catalogue_checks import fault_lines, photo_problems
from common.data.catalogue_folders import NO_PHOTOS, SPLIT_FOLDER, find_images
from common.data.photo_files import each_photo, look_at
from common.errors import InputError
from common.files import replacing
from common.machine import processes
from common.names import tidy_name
from common.words import counted

import numpy as np
from PIL import Image

SHARES = {"train": 0.70, "validation": 0.15, "test": 0.15}
SMOKE_FOLDER = Path(__file__).resolve().parents[2] / "data" / "cache" / "noise_photos"


@dataclass(frozen=True)
class ClassPhotos:
    """Photos of known classes.

    Attributes:
        paths: of the photos, length n_images.
        labels: integers, shape (n_images,).
        names: of the classes, label 0 first.
        given: the source's own part of each photo, "train", "validation", "test" or "" where no
            folder says so, shape (n_images,).
        notes: what was left out, in sentences.
    """

    paths: list[Path]
    labels: np.ndarray
    names: list[str]
    given: np.ndarray
    notes: list[str]

    def some(self, n: int, seed: int) -> "ClassPhotos":
        """About n of the photos, by chance, every class in its share."""
        if n >= len(self.paths):
            return self
        share = n / len(self.paths)
        rows = stratified_split(self.labels, seed, {"kept": share, "rest": 1 - share})["kept"]
        paths = [self.paths[row] for row in rows]
        return replace(self, paths=paths, labels=self.labels[rows], given=self.given[rows])


def folder_name(path: str) -> str:
    """The class of a photo: its folder's name, so that "Cat" and "cat " are one.

    >>> folder_name("train/Cat/7.jpg")
    'cat'
    """
    return tidy_name(path.split("/")[-2]).lower() if "/" in path else ""


def read_class_folders(
    root: Path, *, class_of: Callable[[str], str | None] = folder_name, expected: str = ""
) -> ClassPhotos:
    """List the photos below a folder by class.

    Exact copies are kept once: on both sides of a split they would be answers given away.

    Args:
        root: any folder, with or without train, validation and test folders somewhere above.
        class_of: a photo's path below the root, with forward slashes, to its class; None or "":
            passed over.
        expected: words for the message about photos that are not there.

    Raises:
        InputError: no such folder, or fewer than two classes with photos.
    """
    if not root.is_dir():
        raise InputError(f"--data_dir {root}: is no folder; expected {expected or 'CLASS/x.jpg'}")
    found = find_images(root)
    paths = [path for path in found.photos if class_of(path)]
    looked = each_photo(look_at, [root / path for path in paths], "checking photos")
    looks = list(looked)  # the well-known sets hold empty files too
    whole = [(look, path) for look, path in zip(looks, paths, strict=True) if not look.fault]
    by_content = {look.checksum: (path, class_of(path)) for look, path in reversed(whole)}
    kept = sorted(by_content.values())
    problems = [*photo_problems(paths, looks), *found.problems()]
    notes = [problem.text() for problem in problems if problem.kind not in NO_PHOTOS]
    names = sorted({name for _, name in kept})
    if len(names) < 2:
        what = f"photos of {names[0]} alone" if names else "no photo of a class"
        reasons = f" ({'; '.join(notes[:5])})" if notes else ""
        raise InputError(
            f"--data_dir {root}: holds {what}{reasons}; expected "
            f"{expected or 'one folder per class'}"
        )
    if n_copies := len(whole) - len(kept):
        copies = counted(n_copies, "exact copy", "exact copies")
        notes.append(f"Left out: {copies} of other photos.")
    notes += fault_lines(problems)
    return ClassPhotos(
        paths=[root / path for path, _ in kept],
        labels=np.array([names.index(name) for _, name in kept]),
        names=names,
        given=np.array([_part_of(path) for path, _ in kept]),
        notes=notes,
    )


def _part_of(path: str) -> str:
    """The part that a folder above the class names, as the catalogue's folders do."""
    named = (SPLIT_FOLDER.fullmatch(folder) for folder in path.split("/")[:-2])
    words = [match[1].lower() for match in named if match]
    return {"tr": "train", "va": "validation"}.get(words[-1][:2], "test") if words else ""


def stratified_split(
    labels: np.ndarray, seed: int, shares: Mapping[str, float] = SHARES
) -> dict[str, np.ndarray]:
    """Deal photos to parts by chance, every class in the same shares.

    Shares are rounded down, class by class; the last part takes what is left. The first part
    has at least one photo of every class.

    Args:
        labels: integers, shape (n_images,).
        shares: part to its share, which add up to 1.

    Returns:
        Part to its rows, ascending.

    >>> parts = stratified_split(np.repeat([0, 1], [195, 151]), seed=0)
    >>> {part: len(rows) for part, rows in parts.items()}
    {'train': 241, 'validation': 51, 'test': 54}
    """
    rng = np.random.default_rng(seed)
    dealt = {part: [] for part in shares}
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        sizes = [int(share * len(rows) + 1e-9) for share in list(shares.values())[:-1]]
        sizes[0] = max(1, sizes[0])
        for part, piece in zip(dealt, np.split(rows, np.cumsum(sizes)), strict=True):
            dealt[part].append(piece)
    return {part: np.sort(np.concatenate(pieces)) for part, pieces in dealt.items()}


def split_given(photos: ClassPhotos, seed: int) -> dict[str, np.ndarray]:
    """The source's own test photos where it has them, else a stratified split.

    Where the source names no validation photos, a sixth of the others is taken: the test photos
    choose nothing.
    """
    is_test = photos.given == "test"
    others = np.flatnonzero(~is_test)
    if not is_test.any() or not len(others):
        return stratified_split(photos.labels, seed)
    validation = np.flatnonzero(photos.given == "validation")
    if len(validation):
        train = np.setdiff1d(others, validation)
    else:
        dealt = stratified_split(photos.labels[others], seed, {"train": 5 / 6, "validation": 1 / 6})
        train, validation = others[dealt["train"]], others[dealt["validation"]]
    return {"train": train, "validation": validation, "test": np.flatnonzero(is_test)}


def describe_parts(parts: Mapping[str, np.ndarray], name: str, seed: int) -> dict:
    """A split of classes as a result file wants it."""
    return {"name": name, "seed": seed, **{part: len(rows) for part, rows in parts.items()}}


def draw_noise_photos(names: list[str], n_each: int = 8) -> Path:
    """Draw small coloured noise into one folder per class, for smoke runs.

    Args:
        names: of the classes; each has a colour of its own.
    """
    key = hashlib.blake2b(repr([names, n_each]).encode(), digest_size=6).hexdigest()
    folder = SMOKE_FOLDER / key
    rng = np.random.default_rng(0)
    with processes.one_first() as is_first:
        for name in names if is_first else ():
            (folder / name).mkdir(parents=True, exist_ok=True)
            colour = rng.integers(40, 215, 3)
            for index in range(n_each):
                pixels = (colour + rng.normal(0, 30, (40, 48, 3))).clip(0, 255).astype(np.uint8)
                with replacing(folder / name / f"{index}.jpg") as unfinished:
                    Image.fromarray(pixels).save(unfinished)
    return folder
