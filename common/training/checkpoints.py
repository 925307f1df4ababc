"""Checkpoints: the files that a killed training continues from, and from no others.

A checkpoint holds the key of its training: one text for everything that the result depends on.
Where anything is different now (a rate, a pixel, a transform, a library) the keys differ, and
training starts anew. A checkpoint is only an aid: nothing about it ends a run.
"""

import functools
import hashlib
import importlib.metadata
import time
import types
import weakref
from collections.abc import Mapping
from pathlib import Path

from common.errors import InputError
from common.files import let_go, replacing
from common.own_files import open_file, what_else
from common.training.feature_cache import LIBRARIES as CACHED_LIBRARIES

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

CHECKPOINT_SECONDS = 15.0  # at most this much work is lost when a run is killed
LIBRARIES = (*CACHED_LIBRARIES, "torchvision", "pytorch-metric-learning")
PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
BLOCK = 2**24  # bytes that are copied at a time, where an array does not lie in one piece
# Digests of arrays that nobody can write to: photos are hashed once, not once per training.
_digests: dict[int, tuple[weakref.ref, bytes]] = {}


class Checkpoint:
    """The file of one training; without a path nothing is kept."""

    def __init__(self, path: Path | None, key: str) -> None:
        self.path, self.key = path, key
        self.saved_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether a kill would lose more work than it may."""
        return time.monotonic() - self.saved_at >= CHECKPOINT_SECONDS

    def read(self) -> dict | None:
        """What `save` was given, if it was this training's; else None, and one line says why.

        What cannot be read may be another program's. It stays, and nothing is saved.
        """
        try:
            if self.path is None or not self.path.exists():
                return None
            with open_file(self.path) as file:
                state = torch.load(file, map_location="cpu", weights_only=True)
            key = state["key"]
        except Exception as error:  # whatever a damaged file brings, or one that holds code
            what = what_else(self.path) or type(error).__name__
            print(
                f"{self.path} is no checkpoint of this course ({what}): it stays as it is, and "
                "training starts anew, without checkpoints; to have them, move it away"
            )
            self.path = None
            return None
        if key != self.key:
            print(
                f"{self.path} is of another training (settings, photos, code or libraries were "
                "different): training starts anew"
            )
            return None
        return state

    def save(self, state: dict) -> None:
        """Write beside and rename: a kill in between leaves the older checkpoint whole."""
        self.saved_at = time.monotonic()
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as unfinished:
                torch.save({"key": self.key, **state}, unfinished)
        except (OSError, RuntimeError, InputError) as error:
            reason = getattr(error, "strerror", None) or "is the disk full?"  # torch does not say
            if isinstance(error, InputError):
                reason = "a file is there that no run of the course wrote"
            tqdm.write(f"{self.path}: no checkpoint can be written ({reason}); training goes on")
            self.path = None


def key_of(*parts: object) -> str:
    """The key of a training that depends on these parts, 32 hexadecimal digits.

    Counted in are arrays, tensors and modules with all that they hold, transforms as albumentations
    describes them, other objects by their public attributes (but for an `epoch`, which training
    itself moves on), the versions of the libraries and the course's own code.

    Args:
        parts: of any types; of a function only its name and what it closes over.
    """
    digest = hashlib.blake2b(digest_size=16)
    versions = {library: importlib.metadata.version(library) for library in LIBRARIES}
    _feed(digest, [parts, versions, _code()])
    return digest.hexdigest()


def named_groups(groups: list[dict], **modules: nn.Module) -> list[dict]:
    """Groups of an optimiser with their parameters' names in place of the parameters."""
    names = {
        parameter: f"{part}.{name}"
        for part, module in modules.items()
        for name, parameter in module.named_parameters()
    }
    return [group | {"params": [names.get(p) for p in group["params"]]} for group in groups]


@functools.cache
def _code() -> bytes:
    """Digest of the rooms of this course that training runs through."""
    common, digest = Path(__file__).parents[1], hashlib.blake2b()
    for room in ("data", "machine", "models", "training"):
        for file in sorted((common / room).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.digest()


def _feed(digest: hashlib.blake2b, value: object, above: tuple[int, ...] = ()) -> None:
    """Add a value to a digest, its kind first; `above` are ids of what holds it, perhaps itself."""
    digest.update(f"{type(value).__qualname__}:".encode())
    if isinstance(value, PLAIN):
        digest.update(f"{value!r};".encode())
    elif isinstance(value, np.ndarray):
        digest.update(_array_digest(value))
    elif isinstance(value, torch.Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1)
        _feed(digest, [str(value.dtype), list(value.shape), flat.view(torch.uint8).numpy()])
    elif id(value) not in above:
        above = (*above, id(value))
        for part in _parts(value):
            _feed(digest, part, above)
    digest.update(b".")


def _parts(value: object) -> list:
    """What a container or an object holds, in a fixed order."""
    if isinstance(value, Mapping):
        return [*value.items()]
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, (list, tuple)):
        return [*value]
    return [_description(value)]


def _description(value: object) -> object:
    """An object in simpler types: what tells it from another one of its kind."""
    if hasattr(value, "fingerprint"):
        return [value.fingerprint(), getattr(value, "labels", None)]
    if hasattr(value, "to_numpy"):  # a table of pandas
        return value.to_numpy()
    if hasattr(value, "to_dict"):  # a transform of albumentations
        return value.to_dict()
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, (types.FunctionType, types.MethodType, types.BuiltinFunctionType, type)):
        held = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
        return [value.__module__, value.__qualname__, getattr(value, "__self__", None), held]
    if not hasattr(value, "__dict__"):  # a path, a device, a range
        return repr(value)
    own = {}
    for name, part in vars(value).items():
        is_derived = isinstance(getattr(type(value), name, None), functools.cached_property)
        if not (name.startswith("_") or name in ("epoch", "training") or is_derived):
            own[name] = part
    if isinstance(value, nn.Module):
        is_trained = [parameter.requires_grad for parameter in value.parameters(recurse=False)]
        own["parts"] = dict(value.named_children())
        own["tensors"] = [dict(value.named_parameters(recurse=False)), is_trained]
        own["buffers"] = dict(value.named_buffers(recurse=False))
    return [type(value).__module__, own]


def _array_digest(array: np.ndarray) -> bytes:
    """Digest of an array's type, shape and content, block by block."""
    known = _digests.get(id(array))
    if known is not None and known[0]() is array:
        return known[1]
    digest = hashlib.blake2b(f"{array.dtype.str}{array.shape}".encode())
    if array.dtype.hasobject:
        digest.update(repr(array.tolist()).encode())
    elif array.size:
        rows = array.reshape(1) if array.ndim == 0 else array
        n_together = max(1, BLOCK * len(rows) // max(1, rows.nbytes))
        for first in range(0, len(rows), n_together):
            digest.update(np.ascontiguousarray(rows[first : first + n_together]).data)
            let_go(array)
    if not array.flags.writeable:
        _digests[id(array)] = (weakref.ref(array), digest.digest())
    return digest.digest()
