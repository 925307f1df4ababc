"""Photos as arrays, and the transforms that training and evaluation see.

albumentations is used in this file alone, so that it can be replaced in one place: 2.0.8 is its
last release under a free licence.
"""

import copy
import functools
import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

# Without this the package asks the network for a newer version of itself at import.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

from common.data.photo_files import each_photo, squashed_photo
from common.errors import InputError
from common.files import let_go

import albumentations
import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

STORED_RATIO = 8 / 7  # stored side over network side, as ImageNet's 256 over 224: room to crop
Transform = albumentations.Compose  # so that other files need not name the package
MEMORY_LIMIT = 100_000_000  # bytes of decoded photos held in memory; more goes to a file


@dataclass(frozen=True)
class Preprocessing:
    """What a backbone expects of its pixels.

    Attributes:
        image_size: side of the square input, pixels.
        mean: per channel (red, green, blue), in units of the full range, 0 to 1.
        std: likewise.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def stored_size(self) -> int:
        """Side at which photos are stored before augmentation, pixels."""
        return round(self.image_size * STORED_RATIO)


def read_photos(paths: Sequence[str | Path], size: int, *, progress: bool = True) -> np.ndarray:
    """Decode photos once, each squashed to a square, so that no epoch decodes again.

    Args:
        paths: photo files, length n_images.
        size: side of the square, pixels.

    Returns:
        uint8, shape (n_images, size, size, 3). Above `MEMORY_LIMIT` bytes the array lies in an
        unnamed temporary file and is read from there as needed.

    Raises:
        InputError: a photo is missing or cannot be decoded, or there is no room for that file.
    """
    shape = (len(paths), size, size, 3)
    read = functools.partial(squashed_photo, size=size)
    decoded = each_photo(read, paths, "reading photos", progress=progress)
    if np.prod(shape, dtype=np.int64) > MEMORY_LIMIT:
        return _in_file(decoded, shape)
    photos = np.empty(shape, dtype=np.uint8)
    for row, photo in enumerate(decoded):
        photos[row] = photo
    return photos


def _in_file(photos: Iterable[np.ndarray], shape: tuple[int, ...]) -> np.memmap:
    """Photos in an unnamed temporary file, which is gone when nobody reads it any more."""
    try:
        with tempfile.TemporaryFile() as file:  # the mapping outlives the open file
            for photo in photos:  # written, not mapped: a full disk raises, and does not kill
                file.write(photo)
            file.flush()
            return np.memmap(file, dtype=np.uint8, mode="r", shape=shape)
    except OSError as error:
        raise InputError(
            f"{tempfile.gettempdir()}: {np.prod(shape, dtype=np.int64) / 1e6:,.0f} MB of decoded "
            f"photos cannot be stored ({error.strerror or error}); make room, or name another "
            "folder in the environment variable TMPDIR"
        ) from error


class PhotoSelection:
    """Photos out of one array, in an order of their own, some of them mirrored; none is copied.

    A photo is mirrored when it is asked for, so that any number of selections, mirror images
    among them, takes the memory of the one array.

    Args:
        array: uint8, shape (n_stored, height, width, 3), see `read_photos`.
        rows: of the array, shape (n_images,); None: all, in their order.
        is_mirrored: bool, shape (n_images,); None: no photo is.
    """

    def __init__(
        self,
        array: np.ndarray,
        rows: np.ndarray | None = None,
        is_mirrored: np.ndarray | None = None,
    ) -> None:
        self.array = array
        self.rows = np.arange(len(array)) if rows is None else rows
        self.is_mirrored = np.zeros(len(self.rows), bool) if is_mirrored is None else is_mirrored

    @classmethod
    def of(cls, photos: "np.ndarray | PhotoSelection") -> "PhotoSelection":
        """All photos of an array; what is a selection already stays as it is."""
        return photos if isinstance(photos, cls) else cls(photos)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray:
        """One photo, shape (height, width, 3)."""
        photo = self.array[self.rows[index]]
        return np.ascontiguousarray(photo[:, ::-1]) if self.is_mirrored[index] else photo

    def take(self, indices: np.ndarray) -> "PhotoSelection":
        """Some of these photos, in the order of the indices."""
        return PhotoSelection(self.array, self.rows[indices], self.is_mirrored[indices])

    def with_mirrored(self, indices: np.ndarray) -> "PhotoSelection":
        """These photos, and behind them the mirror images of some."""
        rows = np.concatenate([self.rows, self.rows[indices]])
        is_mirrored = np.concatenate([self.is_mirrored, ~self.is_mirrored[indices]])
        return PhotoSelection(self.array, rows, is_mirrored)


def evaluation_transform(preprocessing: Preprocessing) -> Transform:
    """The whole photo at the network's size, normalised; nothing random."""
    side = preprocessing.image_size
    resize = albumentations.Resize(side, side, interpolation=cv2.INTER_AREA)
    return albumentations.Compose([resize, *_as_input(preprocessing)])


def _as_input(preprocessing: Preprocessing) -> list[albumentations.BasicTransform]:
    normalise = albumentations.Normalize(preprocessing.mean, preprocessing.std)
    return [normalise, albumentations.ToTensorV2()]


def training_transform(
    preprocessing: Preprocessing, *, flip: bool, smallest_crop: float = 0.6, erasing: float = 0.3
) -> Transform:
    """Random views of a photo: crop, small rotation, light and colour, blur, a hidden patch.

    Args:
        flip: mirror half of the photos. Wrong for animals whose two sides differ: a mirrored
            left face is an animal that does not exist.
        smallest_crop: smallest share of the photo's area that a crop keeps, (0, 1].
        erasing: share of the photos of which one or two patches are hidden, [0, 1].
    """
    side = preprocessing.image_size
    return albumentations.Compose(
        [
            albumentations.RandomResizedCrop(
                (side, side), scale=(smallest_crop, 1.0), ratio=(0.85, 1.18)
            ),
            albumentations.HorizontalFlip(p=0.5 if flip else 0.0),
            albumentations.Affine(rotate=(-15, 15), border_mode=cv2.BORDER_REFLECT_101, p=0.7),
            albumentations.ColorJitter(
                brightness=(0.7, 1.3), contrast=(0.7, 1.3), saturation=(0.6, 1.4), hue=(-0.05, 0.05)
            ),
            albumentations.GaussianBlur(blur_limit=(3, 5), p=0.2),
            albumentations.CoarseDropout(
                num_holes_range=(1, 2),
                hole_height_range=(0.1, 0.25),  # share of the side
                hole_width_range=(0.1, 0.25),
                fill="random_uniform",
                p=erasing,
            ),
            *_as_input(preprocessing),
        ]
    )


def small_picture_transform(
    preprocessing: Preprocessing,
    *,
    padding: int = 4,
    erasing: float = 0.25,
    erased_area: tuple[float, float] = (0.02, 0.1),
) -> Transform:
    """The classic views of tiny pictures: shifted by some pixels, mirrored, a patch hidden.

    Args:
        preprocessing: of the backbone; pictures are stored at its size.
        padding: black pixels put around a picture before a crop of its own size.
        erasing: share of the pictures of which a patch is hidden, [0, 1].
        erased_area: smallest and largest share of the area that the patch covers.
    """
    side = preprocessing.image_size
    return albumentations.Compose(
        [
            albumentations.Pad(padding, fill=0),
            albumentations.RandomCrop(side, side),
            albumentations.HorizontalFlip(p=0.5),
            albumentations.Normalize(preprocessing.mean, preprocessing.std),
            # Behind the normalisation, as torchvision's RandomErasing: zero is the mean colour.
            albumentations.Erasing(scale=erased_area, fill=0, p=erasing),
            albumentations.ToTensorV2(),
        ]
    )


class PhotoDataset(Dataset):
    """Photos in memory, transformed when asked for.

    The random view of photo i in epoch e depends on (seed, e, i) alone: not on the order of
    the batches, the number of workers or on what ran before, so a resumed run sees the same.

    Args:
        photos: uint8, shape (n_images, height, width, 3), or a selection of such an array.
        labels: integers, shape (n_images,).
    """

    def __init__(
        self,
        photos: np.ndarray | PhotoSelection,
        labels: np.ndarray,
        transform: Transform,
        seed: int = 0,
    ) -> None:
        if len(photos) != len(labels):
            raise ValueError(f"{len(photos)} photos, but {len(labels)} labels")
        self.photos = PhotoSelection.of(photos)
        self.labels = np.asarray(labels, dtype=np.int64)
        self.transform, self.seed, self.epoch = transform, seed, 0
        self._transforms = [transform]

    def set_epoch(self, epoch: int) -> None:
        """Choose the random views of this epoch, counted from 0."""
        self.epoch = epoch

    def fingerprint(self) -> str:
        """Of all that the inputs depend on: every pixel, mirroring, the transform, the seed."""
        photos = self.photos
        digest = hashlib.blake2b(digest_size=16)
        recipe = [photos.array.shape[1:], len(photos), self.transform.to_dict(), self.seed]
        digest.update(repr(recipe).encode() + photos.is_mirrored.tobytes())
        for row in photos.rows:
            digest.update(np.ascontiguousarray(photos.array[row]))
            let_go(photos.array)
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._item(index, self.transform)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[torch.Tensor, int]]:
        """The same items, prepared by all cores: so a DataLoader asks for a batch."""
        n_threads = min(torch.get_num_threads(), len(indices))  # 1 in a worker process
        while len(self._transforms) < n_threads:  # a transform holds random state: one a thread
            self._transforms.append(copy.deepcopy(self.transform))
        parts = np.array_split(indices, n_threads)

        def prepare(part: np.ndarray, transform: Transform) -> list[tuple[torch.Tensor, int]]:
            return [self._item(int(index), transform) for index in part]

        with ThreadPoolExecutor(n_threads) as threads:  # OpenCV frees the GIL
            prepared = threads.map(prepare, parts, self._transforms)
            items = list(itertools.chain.from_iterable(prepared))
        let_go(self.photos.array)
        return items

    def _item(self, index: int, transform: Transform) -> tuple[torch.Tensor, int]:
        transform.set_random_seed(view_seed(self.seed, self.epoch, index))
        return transform(image=self.photos[index])["image"], int(self.labels[index])


def view_seed(seed: int, epoch: int, index: int) -> int:
    """One well-mixed integer for a view, 0 to 2^32 - 1."""
    return int(np.random.SeedSequence([seed, epoch, index]).generate_state(1)[0])
