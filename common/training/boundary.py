"""Photos seen from where training begins: behind the frozen stages, which run once.

Nobody who trains has to know how: where stages are frozen, what they give comes from the cache;
where none is, the photos come themselves.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from common.data.images import (
    PhotoDataset,
    PhotoSelection,
    Transform,
    evaluation_transform,
    training_transform,
)
from common.files import let_go
from common.machine import processes
from common.machine.freed_memory import hand_back_freed_memory
from common.machine.timing import images_per_second
from common.models.backbones import Backbone
from common.models.extraction import extract
from common.models.freezing import split_at_boundary, stages_of
from common.training.feature_cache import STORED_DTYPE, cached_activations

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

CACHE_LIMIT = 2_000_000_000  # bytes of disk for all views behind one boundary


class ActivationDataset(Dataset):
    """Stored activations in place of photos: what the frozen trunk gave, view by view.

    Args:
        views: pairs of stored activations, shape (n_stored, ...), and the positions in them of
            these photos, shape (n_images,); epoch e sees view e modulo their number.
        labels: integers, shape (n_images,).
    """

    def __init__(self, views: Sequence[tuple[np.ndarray, np.ndarray]], labels: np.ndarray) -> None:
        self.views, self.labels = views, torch.as_tensor(np.asarray(labels, dtype=np.int64))
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the view that this epoch sees, counted from 0."""
        self.epoch = epoch

    def fingerprint(self) -> str:
        """Of all that the inputs depend on: the files, which are named so, and the positions."""
        digest = hashlib.blake2b(digest_size=16)
        for activations, positions in self.views:
            digest.update(Path(activations.filename).name.encode() + positions.tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        activations, positions = self.views[self.epoch % len(self.views)]
        activation = activations[positions[index]].astype(np.float32)
        return torch.from_numpy(activation), self.labels[index]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """A batch, as a DataLoader asks for it; no more than one is held in memory."""
        items = [self[index] for index in indices]
        let_go(self.views[self.epoch % len(self.views)][0])
        return items


class PhotosAtBoundary:
    """All photos of a catalogue, seen from where the trainable part of a backbone begins.

    Whatever the frozen stages give is computed once; where nothing is frozen, the photos
    themselves are handed on.

    Args:
        backbone: its frozen parameters decide the boundary.
        pixels: uint8, shape (n_images, side, side, 3), see `common.data.images.read_photos`, or a
            selection of such an array. It is never copied.
        labels: integers, shape (n_images,).
        asked_rows: the photos that will be asked about beside these; None: all photos.
        augment: the random views; None for this course's, mirrored if `flip`.
        n_views: views per training photo behind frozen stages; all trainings share them. As many
            are taken as `CACHE_LIMIT` of disk holds. 0 runs the frozen stages in every epoch, on
            views that never repeat; so it is done, too, where not even one fits.
        plain_first: the first of these views is the photo as it is, which costs nothing: it is
            computed anyway. False: all of them are random.

    Attributes:
        trunk: the frozen modules, photos to activations; empty where nothing is cached.
        tail: the other modules, activations to features.
        tail_stages: stage of each of the tail's parameters.
        preprocessing: pixels that the backbone expects.
    """

    def __init__(
        self,
        backbone: Backbone,
        pixels: np.ndarray | PhotoSelection,
        labels: np.ndarray,
        training_rows: np.ndarray,
        *,
        asked_rows: np.ndarray | None = None,
        flip: bool = False,
        augment: Transform | None = None,
        n_views: int = 8,
        plain_first: bool = False,
        seed: int = 0,
        device: torch.device | str = "cpu",
        progress: bool = True,
    ) -> None:
        self.pixels, self.labels = pixels, np.asarray(labels)
        self.training_rows, self.asked_rows = np.sort(training_rows), np.arange(len(labels))
        if asked_rows is not None:
            self.asked_rows = np.union1d(training_rows, asked_rows)
        self.seed, self.device, self.progress = seed, device, progress
        self.preprocessing, self.n_features = backbone.preprocessing, backbone.n_features
        self._augment = augment or training_transform(backbone.preprocessing, flip=flip)
        self._plain = evaluation_transform(backbone.preprocessing)
        self.trunk, self.tail = split_at_boundary(backbone)
        self.plain_first, self.n_views = plain_first, n_views
        if len(self.trunk) and n_views:
            self.n_views = self._views_that_fit(n_views)
        if self.n_views == 0:
            self.plain_first = False
            self.trunk, self.tail = nn.Sequential(), nn.Sequential(*self.trunk, *self.tail)
        stages = stages_of(backbone)
        self.n_stages, self.tail_stages = len(stages), _stages_of_parameters(self.tail, backbone)

    def training_dataset(self, rows: np.ndarray, seed: int = 0) -> Dataset:
        """Random views of some of the training photos, others in each epoch."""
        labels = self.labels[rows]
        if not len(self.trunk):
            return PhotoDataset(self._selected(rows), labels, self._augment, seed)
        random_positions = _positions(self.training_rows, rows)
        views = [(view, random_positions) for view in self._random_views]
        if self.plain_first:
            views.insert(0, (self._plain_view[0], _positions(self.asked_rows, rows)))
        return ActivationDataset(views, labels)

    def plain_dataset(self, rows: np.ndarray | None = None) -> Dataset:
        """The one view of some photos without anything random; None: of all."""
        rows = np.arange(len(self.labels)) if rows is None else rows
        if not len(self.trunk):
            return PhotoDataset(self._selected(rows), self.labels[rows], self._plain)
        view = (self._plain_view[0], _positions(self.asked_rows, rows))
        return ActivationDataset([view], self.labels[rows])

    def outputs(self, model: nn.Module, rows: np.ndarray | None = None) -> np.ndarray:
        """What a model (tail and head) gives for the plain view, float32 (n_images, ...)."""
        return extract(model, self.plain_dataset(rows), device=self.device, progress=False)

    def seconds_to_train(self, n_trained: float, n_looked_at: float = 0) -> float:
        """Seconds that trainings take on this machine, from half a second's trial of each part.

        Frozen stages that are in the cache already take less.

        Args:
            n_trained: photos in all epochs of all trainings.
            n_looked_at: photos that validation looks at meanwhile.
        """
        side, seconds = self.preprocessing.image_size, 0.0
        inputs = torch.zeros(32, 3, side, side, device=self.device)
        if len(self.trunk):
            self.trunk.to(self.device)
            seconds += self.n_looks / images_per_second(self.trunk, inputs, is_training=False)
            with torch.no_grad():
                inputs = self.trunk(inputs)
        if len(self.tail):
            self.tail.to(self.device)
            seconds += n_trained / images_per_second(self.tail, inputs, is_training=True)
            seconds += n_looked_at / images_per_second(self.tail, inputs, is_training=False)
        hand_back_freed_memory()
        return seconds

    def _views_that_fit(self, n_wanted: int) -> int:
        """The most views that the disk may hold; says so where they are fewer than wanted."""
        side = self.preprocessing.image_size
        device = next(self.trunk.parameters()).device
        with torch.no_grad():
            activation = self.trunk.eval()(torch.zeros(1, 3, side, side, device=device))
        n_left = CACHE_LIMIT // (activation.numel() * STORED_DTYPE.itemsize) - len(self.asked_rows)
        n_random = max(0, n_left) // max(1, len(self.training_rows))
        n_views = min(n_wanted, n_random + (self.plain_first and n_left >= 0))
        if n_views < n_wanted and self.progress and processes.is_main():
            limit = f"{CACHE_LIMIT / 1e9:,.1f} GB of disk"
            print(
                f"Frozen stages: {n_views} of {n_wanted} views of each training photo are stored; "
                f"more would take more than {limit}."
                if n_views
                else f"Frozen stages run in every epoch: one view of each photo would take more "
                f"than {limit}."
            )
        return n_views

    @property
    def n_looks(self) -> int:
        """Photos that the frozen stages see, each view counted."""
        n_random_views = self.n_views - self.plain_first
        return len(self.asked_rows) + n_random_views * len(self.training_rows)

    def _selected(self, rows: np.ndarray) -> PhotoSelection:
        return PhotoSelection.of(self.pixels).take(rows)

    @cached_property
    def _random_views(self) -> np.ndarray:
        n_views = self.n_views - self.plain_first
        if n_views == 0:
            return np.empty(0)
        return self._activations(
            "training views", self.training_rows, self._augment, n_views, self.seed
        )

    @cached_property
    def _plain_view(self) -> np.ndarray:
        return self._activations("photos as they are", self.asked_rows, self._plain)

    def _activations(
        self, title: str, rows: np.ndarray, transform: Transform, n_views: int = 1, seed: int = 0
    ) -> np.ndarray:
        dataset = PhotoDataset(self._selected(rows), self.labels[rows], transform, seed)
        options = {"device": self.device, "progress": self.progress}
        title = f"frozen stages, {title}"
        return cached_activations(self.trunk, dataset, n_views=n_views, title=title, **options)


def _positions(stored: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where rows lie among the stored ones, which are sorted."""
    positions = np.searchsorted(stored, rows)
    if not np.array_equal(stored.take(positions, mode="clip"), rows):
        raise ValueError("a photo is asked about that `asked_rows` left out")
    return positions


def _stages_of_parameters(tail: nn.Module, backbone: Backbone) -> list[int]:
    stage_of = {
        id(backbone.network.get_parameter(name)): stage.index
        for stage in stages_of(backbone)
        for name in stage.parameter_names
    }
    return [stage_of[id(parameter)] for parameter in tail.parameters()]
