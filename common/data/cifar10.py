"""CIFAR-10 as arrays: torchvision's folder, or a file of JPEG copies.

torchvision's files are pickles, which can run anything when they are opened. They are opened only
by torchvision, after it has checked that each is the published file, by its MD5 sum.
"""

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from common.data.photo_files import open_photo
from common.errors import InputError

import numpy as np
from torchvision.datasets import CIFAR10

SIDE = 32  # pixels
JPEG_NOTE = (
    "These are JPEG copies of CIFAR-10, not the lossless original: the figures may not be put "
    "next to published ones without saying so."
)
# What a damaged file, or one with more than arrays in it, raises when it is read.
UNREADABLE = (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile, zlib.error)
SMOKE_NOTE = "Smoke run on coloured noise: no figure means anything."


@dataclass(frozen=True)
class Pictures:
    """A training and a test part.

    Attributes:
        pixels: uint8, shape (n_images, 32, 32, 3).
        labels: integers, shape (n_images,).
        names: of the classes, label 0 first.
        n_train: pictures of the training part, which come first.
        source: a few words that stand beside every figure.
        note: what a reader of the figures must know; "" for the original.
    """

    pixels: np.ndarray
    labels: np.ndarray
    names: list[str]
    n_train: int
    source: str = "CIFAR-10"
    note: str = ""


def read_cifar10(folder: Path, *, download: bool = False) -> Pictures:
    """Read CIFAR-10 from a folder.

    Args:
        folder: holds torchvision's cifar-10-batches-py, or one .npz file of JPEG copies with
            SPLIT_bytes, SPLIT_offsets and SPLIT_labels for train and test, and class_names.
        download: fetch the original into the folder first, 170 MB.

    Raises:
        InputError: neither is there, or it is not what it should be.
    """
    copies = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    if copies and not download:
        where = f"--data_dir {copies[0]}"
        train, train_labels, names = read_copies(copies[0], "train", where)
        test, test_labels, _ = read_copies(copies[0], "test", where)
        pixels, labels = np.concatenate([train, test]), np.concatenate([train_labels, test_labels])
        return Pictures(pixels, labels, names, len(train), "JPEG copies", JPEG_NOTE)
    try:
        train, test = (CIFAR10(folder, train=is_it, download=download) for is_it in (True, False))
    except (RuntimeError, OSError) as error:  # no folder, other files than published, no network
        raise InputError(
            f"--data_dir {folder}: no CIFAR-10 that can be trusted ({error}); expected the "
            "published cifar-10-batches-py or an .npz of JPEG copies; fetch it with --download"
        ) from error
    pixels, labels = np.concatenate([train.data, test.data]), np.array(train.targets + test.targets)
    return Pictures(pixels, labels, list(train.classes), len(train.data))


def read_copies(file: Path, part: str, where: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read one part of a file of JPEG copies.

    Args:
        file: .npz with {part}_bytes (JPEG files one after the other), {part}_offsets,
            {part}_labels and class_names.

    Returns:
        pixels, labels and names, as in `Pictures`.

    Raises:
        InputError: the file is damaged, or holds something else.
    """
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            labels = arrays[f"{part}_labels"].astype(np.int64)
            names = [str(name) for name in arrays["class_names"]]
            pixels = _decoded(arrays[f"{part}_bytes"], arrays[f"{part}_offsets"])
    except UNREADABLE as error:
        raise InputError(
            f"{where}: is no file of JPEG copies ({error}); expected {part}_bytes, "
            f"{part}_offsets, {part}_labels and class_names"
        ) from error
    if len(labels) != len(pixels):
        raise InputError(f"{where}: expected as many labels as pictures in each part")
    if labels.max() >= len(names):
        raise InputError(f"{where}: label {labels.max()} has no name in class_names")
    return pixels, labels, names


def _decoded(content: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Decode JPEG files that lie one after the other, shape (n_images, 32, 32, 3)."""
    files = np.split(content, offsets[1:-1])
    pixels = np.stack([np.asarray(open_photo(io.BytesIO(file.tobytes()))) for file in files])
    if pixels.shape[1:] != (SIDE, SIDE, 3):
        raise ValueError(f"its pictures have {pixels.shape[1:3]} pixels, not {SIDE} x {SIDE}")
    return pixels


def noise_pictures() -> Pictures:
    """Coloured noise in ten classes, for smoke runs."""
    rng, labels = np.random.default_rng(0), np.arange(60) % 10
    colours = rng.integers(40, 215, (10, 1, 1, 3))
    noise = rng.normal(0, 30, (len(labels), SIDE, SIDE, 3))
    pixels = (colours[labels] + noise).clip(0, 255).astype(np.uint8)
    names = [f"colour {i}" for i in range(10)]
    return Pictures(pixels, labels, names, 40, "noise", SMOKE_NOTE)
