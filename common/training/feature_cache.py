"""A frozen network is a function: compute it once, keep what it gave.

Activations at the freeze boundary are stored on disk, keyed by everything that they depend on,
so that twenty epochs of a head cost one forward pass and the next run costs none.
"""

import hashlib
import importlib.metadata
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import BatchSampler, Dataset
from tqdm import tqdm

from common import processes
from common.data.images import (
    PhotoDataset,
    Transform,
    evaluation_transform,
    training_transform,
)
from common.files import replacing
from common.models.backbones import Backbone
from common.models.freezing import split_at_boundary, stages_of
from common.training.compute import folded, keep_freed_memory
from common.training.loader import make_loader

CACHE_FOLDER = Path(__file__).resolve().parents[2] / "data" / "cache"
CACHE_LIMIT = 2_000_000_000  # bytes of one set of activations; above, the trunk runs every time
STORED_DTYPE = np.float16  # half the disk of float32; its 11 bits are finer than training's noise
LIBRARIES = ("torch", "timm", "albumentations", "numpy", "pillow", "opencv-python-headless")


@torch.no_grad()
def extract(
    network: nn.Module,
    dataset: Dataset,
    *,
    device: torch.device | str = "cpu",
    batch_size: int = 64,
    title: str = "",
    progress: bool = True,
) -> np.ndarray:
    """Run a network once over a data set, in its order; several processes share the batches.

    Args:
        network: batch of inputs to batch of outputs; put into evaluation mode.
        dataset: items (input, label); labels are ignored.
        device: where to compute.
        batch_size: inputs at a time; the result does not depend on it.
        title: beside the progress bar.
        progress: whether to draw one.

    Returns:
        float32, shape (n_images, ...).
    """
    keep_freed_memory()
    network.to(device, memory_format=torch.channels_last).eval()
    outputs = []
    batches = list(BatchSampler(range(len(dataset)), batch_size, drop_last=False))
    own = batches[processes.index() :: processes.count()]
    loader = make_loader(dataset, device, batch_sampler=own)
    for inputs, _ in tqdm(loader, title, unit="batch", disable=not progress, leave=False):
        inputs = inputs.to(device, non_blocking=loader.pin_memory).float()
        if not outputs:
            network = folded(network, inputs[:2])
        outputs.append(network(inputs).float().cpu().numpy())
    outputs += [None] * (len(batches) - len(outputs))
    rounds = range(-(-len(batches) // processes.count()))
    dealt = [part for i in rounds for part in processes.everyones(outputs[i])]
    return np.concatenate(dealt[: len(batches)])


class ActivationDataset(Dataset):
    """Stored activations in place of photos: what the frozen trunk gave, view by view.

    Args:
        views: shape (n_views, n_images, ...); epoch e sees view e modulo n_views.
        labels: integers, shape (n_images,).
    """

    def __init__(self, views: np.ndarray, labels: np.ndarray) -> None:
        if views.shape[1] != len(labels):
            raise ValueError(f"{views.shape[1]} photos, but {len(labels)} labels")
        self.views, self.labels = views, torch.as_tensor(np.asarray(labels, dtype=np.int64))
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the view that this epoch sees, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        view = self.views[self.epoch % len(self.views), index]
        return torch.from_numpy(view.astype(np.float32)), self.labels[index]


def cached_activations(
    trunk: nn.Module,
    dataset: PhotoDataset,
    *,
    n_views: int = 1,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    title: str = "frozen stages",
    progress: bool = True,
) -> np.ndarray:
    """Activations of the frozen trunk for several random views of each photo.

    A changed photo, weight, transform, seed or library version makes another key, so that no
    stale activation is ever used.

    Args:
        trunk: frozen; images to activations.
        dataset: photos with their transform; epochs 0 to n_views - 1 are its views.
        n_views: 1 for an evaluation transform.
        device: where to compute.
        folder: of the cache, which may be deleted at any time; None for data/cache.
        title: beside the progress bar.
        progress: whether to draw one.

    Returns:
        float16, shape (n_views, n_images, ...), read from disk as needed.
    """
    folder = folder or CACHE_FOLDER
    key = activation_key(trunk, dataset, n_views)
    file = folder / f"{key}.npy"
    if not all(processes.everyones(file.is_file())):
        views = []
        for view in range(n_views):
            dataset.set_epoch(view)
            label = f"{title}, view {view + 1} of {n_views}" if n_views > 1 else title
            activations = extract(trunk, dataset, device=device, title=label, progress=progress)
            views.append(activations.astype(STORED_DTYPE))
        with processes.one_first():
            if not file.is_file():
                folder.mkdir(parents=True, exist_ok=True)
                with replacing(file) as unfinished:
                    np.save(unfinished, np.stack(views))
    return np.load(file, mmap_mode="r")


def activation_key(trunk: nn.Module, dataset: PhotoDataset, n_views: int) -> str:
    """Name of everything that activations depend on, 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(trunk).encode())
    for name, tensor in trunk.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    digest.update(np.ascontiguousarray(dataset.photos).data)
    recipe = [dataset.transform.to_dict(), dataset.seed, n_views, dataset.photos.shape]
    recipe += [(library, importlib.metadata.version(library)) for library in LIBRARIES]
    digest.update(repr(recipe).encode())
    return digest.hexdigest()


class PhotosAtBoundary:
    """All photos of a catalogue, seen from where the trainable part of a backbone begins.

    Whatever the frozen stages give is computed once; where nothing is frozen, the photos
    themselves are handed on.

    Args:
        backbone: its frozen parameters decide the boundary.
        pixels: uint8, shape (n_images, side, side, 3), see `common.data.images.read_photos`.
        labels: integers, shape (n_images,).
        training_rows: the photos that may be trained on.
        flip: mirror training photos.
        augment: the random views; None for this course's, mirrored if `flip`.
        n_views: random views per training photo behind frozen stages; all seeds share them.
        cached: False runs the frozen stages in every epoch, on views that never repeat; so it
            is done, too, where activations would fill more than `CACHE_LIMIT` of disk.
        device: where to compute.
        progress: whether to draw bars.

    Attributes:
        trunk: the frozen modules, photos to activations; empty where nothing is cached.
        tail: the other modules, activations to features.
        tail_stages: stage of each of the tail's parameters.
        n_stages: of the backbone.
        n_features: of the backbone.
        preprocessing: pixels that the backbone expects.
    """

    def __init__(
        self,
        backbone: Backbone,
        pixels: np.ndarray,
        labels: np.ndarray,
        training_rows: np.ndarray,
        *,
        flip: bool = False,
        augment: Transform | None = None,
        n_views: int = 8,
        cached: bool = True,
        device: torch.device | str = "cpu",
        progress: bool = True,
    ) -> None:
        self.pixels, self.labels = pixels, np.asarray(labels)
        self.training_rows, self.n_views = np.sort(training_rows), n_views
        self.preprocessing, self.n_features = backbone.preprocessing, backbone.n_features
        self._augment = augment or training_transform(backbone.preprocessing, flip=flip)
        self._plain = evaluation_transform(backbone.preprocessing)
        self.device, self.progress = device, progress
        self.trunk, self.tail = split_at_boundary(backbone)
        if len(self.trunk) and not (cached and self._fits_on_disk()):
            self.trunk, self.tail = nn.Sequential(), nn.Sequential(*self.trunk, *self.tail)
        stages = stages_of(backbone)
        self.n_stages, self.tail_stages = len(stages), _stages_of_parameters(self.tail, backbone)

    def training_dataset(self, rows: np.ndarray, seed: int = 0) -> Dataset:
        """Random views of some of the training photos, others in each epoch."""
        photos, labels = self.pixels[rows], self.labels[rows]
        if not len(self.trunk):
            return PhotoDataset(photos, labels, self._augment, seed)
        positions = np.searchsorted(self.training_rows, rows)
        return ActivationDataset(self._training_views[:, positions], labels)

    def plain_dataset(self, rows: np.ndarray | None = None) -> Dataset:
        """The one view of some photos without anything random; None: of all."""
        rows = np.arange(len(self.labels)) if rows is None else rows
        if not len(self.trunk):
            return PhotoDataset(self.pixels[rows], self.labels[rows], self._plain)
        return ActivationDataset(self._plain_view[:, rows], self.labels[rows])

    def outputs(self, model: nn.Module, rows: np.ndarray | None = None) -> np.ndarray:
        """What a model (tail and head) gives for the plain view, float32 (n_images, ...)."""
        return extract(model, self.plain_dataset(rows), device=self.device, progress=False)

    def _fits_on_disk(self) -> bool:
        side = self.preprocessing.image_size
        device = next(self.trunk.parameters()).device
        with torch.no_grad():
            activation = self.trunk.eval()(torch.zeros(1, 3, side, side, device=device))
        n_stored = len(self.labels) + self.n_views * len(self.training_rows)
        return activation.numel() * np.dtype(STORED_DTYPE).itemsize * n_stored <= CACHE_LIMIT

    @cached_property
    def _training_views(self) -> np.ndarray:
        rows = self.training_rows
        dataset = PhotoDataset(self.pixels[rows], self.labels[rows], self._augment)
        return self._activations(dataset, self.n_views, "frozen stages, training views")

    @cached_property
    def _plain_view(self) -> np.ndarray:
        dataset = PhotoDataset(self.pixels, self.labels, self._plain)
        return self._activations(dataset, 1, "frozen stages, all photos")

    def _activations(self, dataset: PhotoDataset, n_views: int, title: str) -> np.ndarray:
        return cached_activations(
            self.trunk, dataset, n_views=n_views, device=self.device, title=title,
            progress=self.progress,
        )  # fmt: skip


def _stages_of_parameters(tail: nn.Module, backbone: Backbone) -> list[int]:
    stage_of = {
        id(backbone.network.get_parameter(name)): stage.index
        for stage in stages_of(backbone)
        for name in stage.parameter_names
    }
    return [stage_of[id(parameter)] for parameter in tail.parameters()]
