"""What one class is in training: an animal, a side of it, or a side and also its mirror image.

The left and the right face of a sided animal are two patterns. To ask a network to put both in one
place makes it learn names by heart; as two classes they teach it to look. And a mirrored left face
is the right face of an animal that nobody has photographed: one more to learn from, for nothing.
Which of these is best depends on the animals: validation chooses, see
`common.experiments.class_choice`.
"""

from dataclasses import dataclass

from common.data.catalogue import Catalogue
from common.data.images import PhotoSelection
from common.errors import InputError
from common.words import counted

import numpy as np

KINDS = ("identity", "side", "mirrored")  # from few classes to many
CLASSES = ("auto", *KINDS)


@dataclass(frozen=True)
class ClassedPhotos:
    """A catalogue's photos, mirrored training photos behind them, and the classes to train.

    Attributes:
        pixels: of n_photos; the first n_images are the catalogue's, in one array for all.
        labels: integers, shape (n_photos,), from 0; of one class in training.
        names: str, shape (n_photos,), of the classes: an animal, a side of it, a mirrored one.
        encounters: str, shape (n_photos,); a mirrored photo has an encounter of its own.
        training_rows: which of these to train on, ascending.
    """

    pixels: PhotoSelection
    labels: np.ndarray
    names: np.ndarray
    encounters: np.ndarray
    training_rows: np.ndarray
    n_classes: int
    description: str


def by_class(
    catalogue: Catalogue, pixels: np.ndarray, training_rows: np.ndarray, classes: str
) -> ClassedPhotos:
    """Sort photos into the classes of training; what is asked about stays the animal.

    Args:
        pixels: uint8, shape (n_images, side, side, 3), of these.
        classes: "identity", "side" (an animal's left and right are two classes, and views of
            neither, if there are any, a third), or "mirrored" (likewise, and their mirror images
            are further ones). Views that show one pattern, such as left and topleft, are one side,
            see `Catalogue.sides`: each as a class of its own would ask the network to tell apart
            what is alike.

    Raises:
        InputError: sides are asked for, but the catalogue does not know them.

    Source:
        The winners of Kaggle's Humpback Whale Identification, 2019, took mirrored flukes as
        further animals.
    """
    table = catalogue.table
    names, encounters = (table[column].to_numpy(dtype=str) for column in ("identity", "encounter"))
    photos, rows = PhotoSelection(pixels), np.sort(training_rows)
    if classes != "identity":
        if not catalogue.has_sides:
            raise InputError(
                f"--classes {classes}: {catalogue.name} has no left and right sides; expected "
                "both in a column orientation: take --classes identity or auto"
            )
        sides = np.where(catalogue.sides == "", "other views", catalogue.sides)
        names = np.char.add(np.char.add(names, " "), sides)
    if classes == "mirrored":
        photos = photos.with_mirrored(rows)
        names = np.concatenate([names, np.char.add(names[rows], ", mirrored")])
        encounters = np.concatenate([encounters, np.char.add(encounters[rows], ", mirrored")])
        rows = np.concatenate([rows, np.arange(catalogue.n_images, len(photos))])
    unique, labels = np.unique(names, return_inverse=True)
    n_trained = len(np.unique(labels[rows]))
    what = {
        "identity": "each animal is one",
        "side": "each side of an animal is one",
        "mirrored": "each side of an animal is one, and so is its mirror image",
    }[classes]
    description = f"Classes in training: {n_trained:,}, {counted(len(rows), 'photo')}; {what}."
    return ClassedPhotos(photos, labels, names, encounters, rows, len(unique), description)


def with_mirrors(classed: ClassedPhotos, rows: np.ndarray, n_images: int) -> np.ndarray:
    """Some of the training photos, and their mirror images where these are classes too."""
    is_mirrored = classed.training_rows >= n_images
    mirrored, originals = classed.training_rows[is_mirrored], classed.training_rows[~is_mirrored]
    rows = np.sort(rows)
    return np.concatenate([rows, mirrored[np.isin(originals, rows)]]) if len(mirrored) else rows


def identity_of_classes(classed: ClassedPhotos, labels: np.ndarray) -> np.ndarray:
    """Which animal each class names.

    Args:
        labels: of the catalogue's label map, integers, shape (n_images,).

    Returns:
        Integers, shape (n_classes,); -1 for a mirror image, which is nobody.
    """
    identity = np.full(classed.n_classes, -1)
    identity[classed.labels[: len(labels)]] = labels
    return identity
