"""How far frozen features carry: the same small task on sets of very different pictures.

Every set is cut to the same number of classes and photos, so that one set's score can stand
beside another's.
"""

from dataclasses import dataclass
from pathlib import Path

from common.data.catalogue import load_catalogue
from common.data.cifar10 import read_copies
from common.data.images import PhotoDataset, evaluation_transform, read_photos
from common.errors import InputError
from common.measures.intervals import mean_columns
from common.models.backbones import Backbone
from common.models.extraction import extract

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

COARSEST, FINEST = 5.0, 24.0  # waves along one side of a texture
MOST_PHOTOS = 1_000  # read of one set; the draws need a few hundred


@dataclass(frozen=True)
class PhotoSet:
    """Pictures of several classes.

    Attributes:
        photos: uint8, shape (n_images, side, side, 3).
        labels: class of each, shape (n_images,).
        groups: photos of one group are near-duplicates and must not be parted, shape
            (n_images,); an encounter, or a group of its own for each photo.
    """

    name: str
    photos: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class TransferTask:
    """The task that every set is cut to."""

    n_classes: int = 10
    n_train: int = 10
    n_test: int = 5
    n_draws: int = 5

    @property
    def chance(self) -> float:
        """Accuracy of guessing, in [0, 1]."""
        return 1 / self.n_classes


def read_photo_set(name: str, path: Path, side: int, seed: int = 0) -> PhotoSet:
    """Read a set that a person names: a catalogue, a folder of classes, or an .npz.

    Args:
        path: as --data_dir takes it, or an .npz of CIFAR-10's test part as JPEG copies.
        side: photos are squashed to this, pixels.

    Raises:
        InputError: nothing of the kind is there.
    """
    if path.suffix == ".npz":
        return _read_archive(name, path, side, seed)
    catalogue = load_catalogue(path)
    table, paths = catalogue.table, catalogue.paths()
    labels = table["identity"].to_numpy(dtype=str)
    groups = np.where(table["encounter_known"], table["encounter"], table["image_id"]).astype(str)
    rows = _few_per_class(labels, seed)
    photos = read_photos([paths[row] for row in rows], side, progress=False)
    return PhotoSet(name, photos, labels[rows], groups[rows])


def _few_per_class(labels: np.ndarray, seed: int) -> np.ndarray:
    """Rows of at most `MOST_PHOTOS` photos: whole classes, the most photographed first."""
    order = np.random.default_rng(seed).permutation(len(labels))
    table = pd.DataFrame({"label": labels[order], "row": order})
    table["place"] = table.groupby("label").cumcount()
    table["size"] = table.groupby("label")["row"].transform("size").clip(upper=40)
    table = table[table["place"] < 40]  # beyond what any draw takes of one class
    chosen = table.sort_values(["size", "label"], ascending=[False, True], kind="stable")
    return np.sort(chosen["row"].to_numpy()[:MOST_PHOTOS])


def _read_archive(name: str, path: Path, side: int, seed: int) -> PhotoSet:
    pixels, labels, class_names = read_copies(path, "test", f"--more_data {name}={path}")
    rows = _few_per_class(labels, seed)
    photos = [np.asarray(Image.fromarray(pixels[row]).resize((side, side))) for row in rows]
    return PhotoSet(name, np.stack(photos), np.array(class_names)[labels[rows]], rows.astype(str))


def probe(
    features: np.ndarray, photo_set: PhotoSet, task: TransferTask, seed: int = 0
) -> pd.DataFrame:
    """Train a linear head on frozen features, several times, and test it.

    Args:
        features: of the set's photos, shape (n_images, n_features).

    Returns:
        One row per tested photo and draw: draw, label, is_correct.

    Raises:
        InputError: fewer classes with enough photos than the task needs.
    """
    tables = []
    for draw in range(task.n_draws):
        train, test = _draw_task(photo_set, task, np.random.default_rng([seed, draw]))
        head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        head.fit(features[train], photo_set.labels[train])
        truth = photo_set.labels[test]
        is_correct = head.predict(features[test]) == truth
        tables.append(pd.DataFrame({"draw": draw, "label": truth, "is_correct": is_correct}))
    return pd.concat(tables, ignore_index=True)


def _draw_task(
    photo_set: PhotoSet, task: TransferTask, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train and to test on; no group is in both."""
    train, test = [], []
    for label in generator.permutation(np.unique(photo_set.labels)):
        rows = np.flatnonzero(photo_set.labels == label)
        own_train, own_test = _part_class(rows, photo_set.groups[rows], task, generator)
        has_enough = len(own_train) >= task.n_train and len(own_test) >= task.n_test
        if has_enough and len(train) < task.n_classes:
            train.append(own_train[: task.n_train])
            test.append(own_test[: task.n_test])
    if len(train) < task.n_classes:
        raise InputError(
            f"{photo_set.name} has {len(train)} classes with {task.n_train} + {task.n_test} photos "
            f"of different encounters, expected {task.n_classes}; leave it out of --more_data or "
            "add photos"
        )
    return np.concatenate(train), np.concatenate(test)


def _part_class(
    rows: np.ndarray, groups: np.ndarray, task: TransferTask, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train and to test on: whole groups to the test until it is full, the others train."""
    order = generator.permutation(np.unique(groups))
    sizes = np.cumsum([np.count_nonzero(groups == group) for group in order])
    n_groups = int(np.searchsorted(sizes, task.n_test)) + 1
    test = generator.permutation(rows[np.isin(groups, order[:n_groups])])
    return generator.permutation(rows[~np.isin(groups, order[:n_groups])]), test


def measure_transfer(
    sets: list[PhotoSet],
    backbones: dict[str, Backbone],
    task: TransferTask,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> tuple[pd.DataFrame, list[str]]:
    """The task on every set with the frozen features of every backbone.

    Returns:
        table: set, features, accuracy with interval over classes, chance.
        reasons: why a set is left out.
    """
    records, reasons = [], []
    for photo_set in sets:
        for words, backbone in backbones.items():
            transform = evaluation_transform(backbone.preprocessing)
            dataset = PhotoDataset(photo_set.photos, np.zeros(len(photo_set.photos)), transform)
            features = extract(backbone, dataset, device=device, title=photo_set.name)
            try:
                answers = probe(features, photo_set, task, seed)
            except InputError as error:  # one set too small must not take the others along
                reasons.append(f"skipped: {error}")
                break
            accuracy = mean_columns("accuracy", answers["is_correct"], answers["label"])
            record = {"set": photo_set.name, "features": words, **accuracy, "chance": task.chance}
            records.append(record)
    return pd.DataFrame(records), reasons


def texture_photos(
    n_classes: int, n_per_class: int, side: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pictures of random texture classes, unlike any photo.

    A class is a recipe for noise: how coarse it is, which way it runs, how even its grains are.
    Each picture has colours of its own, so that only the texture tells the class.

    Args:
        side: of a picture, pixels.

    Returns:
        photos: uint8, shape (n_classes * n_per_class, side, side, 3).
        labels: integers, shape (n_classes * n_per_class,).
    """
    generator = np.random.default_rng(seed)
    photos = []
    for _ in range(n_classes):
        spectrum = _recipe(side, generator)
        photos += [_draw(spectrum, generator) for _ in range(n_per_class)]
    return np.stack(photos), np.repeat(np.arange(n_classes), n_per_class)


def _recipe(side: int, generator: np.random.Generator) -> np.ndarray:
    """How strong each wave of a class is, shape (side, side): a ring, stronger one way."""
    y, x = np.meshgrid(*[np.fft.fftfreq(side) * side] * 2, indexing="ij")  # waves along a side
    waves, direction = np.hypot(x, y), np.arctan2(y, x)
    middle = np.exp(generator.uniform(np.log(COARSEST), np.log(FINEST)))
    width = generator.uniform(0.15, 0.5)  # of the ring, in natural logarithms
    main, evenness = generator.uniform(0, np.pi), generator.uniform(0.05, 1.0)
    ring = np.exp(-((np.log(np.maximum(waves, 0.5) / middle) / width) ** 2))
    one_way = np.cos(direction - main) ** 8
    return ring * (evenness + (1 - evenness) * one_way)


def _draw(spectrum: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One picture: white noise through the class's spectrum, between two random colours."""
    noise = np.fft.fft2(generator.standard_normal(spectrum.shape))
    values = np.fft.ifft2(noise * spectrum).real
    share = 1 / (1 + np.exp(-2.5 * values / values.std()))  # of the second colour
    first, second = generator.uniform(20, 235, (2, 3))
    colours = first + share[..., None] * (second - first)
    return (colours + generator.normal(0, 4, colours.shape)).clip(0, 255).astype(np.uint8)
