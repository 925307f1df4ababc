"""A frozen network is a function: compute it once, keep what it gave.

Activations at the freeze boundary are stored on disk, keyed by everything that they depend on,
so that twenty epochs of a head cost one forward pass and the next run costs none.
"""

import errno
import hashlib
import importlib.metadata
import os
import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from common.data.images import PhotoDataset
from common.errors import InputError
from common.files import read_array, remove_leftovers, storing, write_array
from common.machine import processes
from common.machine.freed_memory import hand_back_freed_memory
from common.models.extraction import extract, outputs_of

import numpy as np
import torch
from torch import nn
from torch.utils.data import Subset

CACHE_FOLDER = Path(__file__).resolve().parents[2] / "data" / "cache"
# Photos at a time: what the first stages make of one is the largest of all, and memory where the
# CPU computes is for photos too.
CPU_BATCH_SIZE, GPU_BATCH_SIZE = 16, 64
# Half the disk of float32. Of the two 16-bit types this one keeps 11 significant bits, finer than
# training's noise, where bfloat16 keeps 8; activations do not need bfloat16's wider range, and
# one that did would be an error, not a wrong number.
STORED_DTYPE = np.dtype(np.float16)
LIBRARIES = (
    *("torch", "timm", "albumentations", "numpy"),
    *("pillow", "pillow-heif", "opencv-python-headless"),
)


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
    stale activation is ever used; a damaged file is computed again.

    Args:
        dataset: photos with their transform; epochs 0 to n_views - 1 are its views.
        n_views: 1 for an evaluation transform.
        folder: of the cache, which may be deleted at any time; None for data/cache.

    Returns:
        float16, shape (n_views, n_images, ...), read from disk as needed.

    Raises:
        InputError: no room on the disk, or activations beyond the range of float16.
    """
    folder = folder or CACHE_FOLDER
    file = folder / f"{activation_key(trunk, dataset, n_views)}.npy"
    stored = read_array(file)
    if not all(processes.everyones(stored is not None)):
        hand_back_freed_memory()  # training and this need other sizes, which would add up
        one = extract(trunk, Subset(dataset, [0]), device=device, progress=False)
        shape = (n_views, len(dataset), *one.shape[1:])
        pieces = _pieces(trunk, dataset, n_views, device=device, title=title, progress=progress)
        if processes.is_first_here():
            _store(file, pieces, shape, progress=progress)
        else:  # computes its share of each piece, and leaves writing to the first
            deque(pieces, maxlen=0)
        processes.everyones(None)
        hand_back_freed_memory()
        stored = read_array(file)
    return stored


def _pieces(
    trunk: nn.Module, dataset: PhotoDataset, n_views: int, *, title: str, **options: object
) -> Iterator[np.ndarray]:
    """The activations in the order of the file, a batch at a time."""
    on_cpu = torch.device(options["device"]).type == "cpu"
    for view in range(n_views):
        dataset.set_epoch(view)
        label = f"{title}, view {view + 1} of {n_views}" if n_views > 1 else title
        batch_size = CPU_BATCH_SIZE if on_cpu else GPU_BATCH_SIZE
        for part in outputs_of(trunk, dataset, batch_size=batch_size, title=label, **options):
            with np.errstate(over="ignore"):
                piece = part.astype(STORED_DTYPE)
            if not np.isfinite(piece).all():
                raise InputError(
                    "the frozen stages give numbers that 16 bits cannot hold; take another "
                    "--model, or --cached_views 0, where nothing is stored"
                )
            yield piece


def _store(
    file: Path, pieces: Iterator[np.ndarray], shape: tuple[int, ...], *, progress: bool
) -> None:
    folder, n_bytes = file.parent, int(np.prod(shape)) * STORED_DTYPE.itemsize
    what = f"{n_bytes / 1e6:,.0f} MB that the frozen stages give"
    with storing(
        folder, what, "delete that folder, or take --cached_views 0, which stores nothing"
    ):
        remove_leftovers(folder, "*.npy")
        if shutil.disk_usage(folder).free < n_bytes:  # said before the work, not after it
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_array(file, pieces, shape, STORED_DTYPE)
        n_stored = sum(each.stat().st_size for each in folder.glob("[!.]*.npy"))
    if progress:
        print(
            f"Frozen stages: {n_bytes / 1e6:,.1f} MB stored, {n_stored / 1e6:,.0f} MB in all in "
            f"{folder}, which may be deleted at any time."
        )


def activation_key(trunk: nn.Module, dataset: PhotoDataset, n_views: int) -> str:
    """Name of everything that activations depend on, 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(trunk).encode())
    for name, tensor in trunk.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    recipe = [dataset.fingerprint(), n_views, STORED_DTYPE.str]
    recipe += [(library, importlib.metadata.version(library)) for library in LIBRARIES]
    digest.update(repr(recipe).encode())
    return digest.hexdigest()
