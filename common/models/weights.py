"""Weights from a file, whoever wrote it: the tensors that belong to a network, and no others.

A file is hostile until it is read: nothing in it runs, and what it says about itself is checked.
"""

import pickle
import struct
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from common.errors import InputError, first_line
from common.own_files import parse_json, what_else

import torch
import torchvision
from safetensors import SafetensorError, safe_open
from torch import nn

DESCRIPTION = "recogniser"  # key of what `common.models.storage` writes beside the tensors
# Buffers that are computed anew or only count steps; files of other versions lack or add them.
COMPUTED = ("num_batches_tracked", "relative_position_index", "attn_mask")
# What a damaged file, or one with more than tensors in it, raises when it is read.
UNREADABLE = (
    *(RuntimeError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError),
    *(AssertionError, ImportError, MemoryError, ArithmeticError, struct.error),
    *(pickle.PickleError, SafetensorError),
)


def stored_description(file: Path) -> dict | None:
    """What `common.models.storage.save_recogniser` wrote beside the tensors, which aren't read.

    Returns:
        See `common.models.storage.read_description`; None: a file of somebody else.

    Raises:
        InputError: no safetensors file, or one whose description isn't as this course writes it.
    """
    try:
        if found := what_else(file):
            raise OSError(found)
        with safe_open(file, framework="pt") as stored:
            text = (stored.metadata() or {}).get(DESCRIPTION)
        description = {"scores": None, "dropout": 0.0, "pooling": "average"}
        if text is None:
            return None
        description |= parse_json(text)
        is_sound = _is_sound(description)
    except UNREADABLE as error:
        raise InputError(
            f"{file}: is no model that this course saved ({_why(error)}), expected a "
            "model.safetensors from a run's folder; name another one"
        ) from error
    if not is_sound:
        raise InputError(
            f"{file}: its description is not as this course writes it, expected a "
            "model.safetensors from a run's folder; name another one"
        )
    return description


def _why(error: Exception) -> str:
    """Why a file cannot be read, for people; most words of libraries are for programmers."""
    is_plain = isinstance(error, OSError | SafetensorError)
    return first_line(error) if is_plain else "cut off, or of another kind"


def _is_sound(description: dict) -> bool:
    """Whether each field has a value that `save_recogniser` may have written."""

    def is_length(value: object, longest: int = 65_536) -> bool:
        return type(value) is int and 1 <= value <= longest

    return (
        isinstance(description["backbone"], str)
        and is_length(description["image_size"], 4_096)
        and description["pooling"] in ("average", "gem")
        and description["head"] in ("embedding", "classifier", "mlp")
        and (description["embedding_dim"] is None or is_length(description["embedding_dim"]))
        and (description["head"] != "mlp" or is_length(description["hidden"]))
        and 0 <= description["dropout"] < 1
        and isinstance(description["identities"], list)
        and all(isinstance(name, str) for name in description["identities"])
        and isinstance(description["scores"], dict | None)
    )


def load_into(network: nn.Module, file: Path, name: str) -> None:
    """Fill a network with a file's tensors, in place.

    Prefixes such as "module." are no matter, nor is what surrounds the network in the file. The
    classifier is taken off where the file has none, or one for other classes.

    Args:
        file: .safetensors, or .pth with tensors and plain values alone.

    Raises:
        InputError: no such file, one that holds more than tensors, or of another architecture.
    """
    found, trained = _read(file)
    if trained and trained["backbone"] != name:
        raise InputError(
            f"--weights {file}: was trained as {trained['backbone']}, found --model {name}; "
            f"add --model {trained['backbone']}"
        )
    expected, classifiers = network.state_dict(), _classifiers(network)
    head = [key for key in expected if key.startswith(classifiers)]
    tensors = _in_own_names(found, list(expected), head, file, name)
    own = [key for key in tensors if not key.startswith(classifiers)]
    body = {key: expected[key] for key in expected if key not in head}
    _check({key: tensors[key] for key in own}, body, file, name)
    if any(key not in tensors or tensors[key].shape != expected[key].shape for key in head):
        network.reset_classifier(0)
    else:
        for key in head:
            refuse_odd_numbers(tensors[key], expected[key], f"--weights {file}: {key}")
    used = {key: tensors[key] for key in network.state_dict() if key in tensors}
    network.load_state_dict(used, strict=False)  # what is not there is computed
    if trained:
        print(
            f"Weights: the backbone of {file}, which learned {len(trained['identities'])} animals; "
            "its head is left out. With another --split or --seed than its own, it may have seen "
            "photos that are test photos now."
        )
    elif len(used) < len(found):
        n_left = len(found) - len(used)
        print(f"Weights: the backbone of {file}; {n_left} tensors of its head are left out.")


def _read(file: Path) -> tuple[dict[str, torch.Tensor], dict | None]:
    """A file's named tensors; and what it says about itself, if a run of this course wrote it."""
    is_there = file.is_file()
    if not is_there or not file.stat().st_size:
        found = "is empty" if is_there else what_else(file) or "no such file"
        raise InputError(
            f"--weights {file}: {found}, expected imagenet, none, or a .safetensors or .pth file; "
            "check the path"
        )
    trained = None
    try:
        if file.suffix.lower() == ".safetensors":
            with safe_open(file, framework="pt") as stored:
                content = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
            trained = stored_description(file)
        else:
            with warnings.catch_warnings(action="ignore"):  # a file is used or refused, in one line
                content = torch.load(file, map_location="cpu", weights_only=True)
    except InputError as error:
        raise InputError(f"--weights {error}") from error
    except UNREADABLE as error:
        raise InputError(
            f"--weights {file}: cannot be read as weights alone ({_why(error)}), expected "
            ".safetensors, or a .pth that holds tensors and nothing else; write it anew with "
            "torch.save(model.state_dict(), FILE)"
        ) from error
    largest = max(_groups(content), key=len, default={})
    if not largest:
        raise InputError(
            f"--weights {file}: holds no state dict, expected tensors by name; write it anew with "
            "torch.save(model.state_dict(), FILE)"
        )
    return largest, trained


def _groups(content: object, depth: int = 3) -> Iterator[dict[str, torch.Tensor]]:
    """The named tensors of a file, and of its parts, such as "model" beside "optimizer"."""
    if isinstance(content, Mapping) and depth:
        named = {key: each for key, each in content.items() if isinstance(key, str)}
        yield {key: each for key, each in named.items() if isinstance(each, torch.Tensor)}
        for part in content.values():
            yield from _groups(part, depth - 1)


def _classifiers(network: nn.Module) -> tuple[str, ...]:
    """Beginnings of the names of a network's classifier, or of its several."""
    names = network.pretrained_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _in_own_names(
    tensors: dict[str, torch.Tensor], names: list[str], head: list[str], file: Path, name: str
) -> dict[str, torch.Tensor]:
    """Give tensors the network's names; another library lists them in the same order."""
    if own := _below_prefix(tensors, names):
        return own
    ours = _learned(names)
    if name in torchvision.models.list_models():
        theirs = _learned(torchvision.models.get_model(name, weights=None).state_dict())
        if len(theirs) == len(ours) and (own := _below_prefix(tensors, theirs)):
            new_names = dict(zip(theirs, ours, strict=True))
            return {new_names[key]: own[key] for key in own if key in new_names}
    learned = _learned(tensors)
    if len(learned) == len(ours) - len(head):
        ours = [key for key in ours if key not in head]
    if len(learned) != len(ours):
        raise InputError(
            f"--weights {file}: holds {len(learned)} tensors, expected {name}'s {len(ours)}; "
            "is it another architecture? Name it with --model"
        )
    renamed = dict(zip(ours, learned, strict=True))
    odd = [key for key, theirs in renamed.items() if _kind(theirs) not in (None, _kind(key))]
    if odd or file.suffix.lower() == ".safetensors":  # which does not keep an order
        found = f"{renamed[odd[0]]} stands for {odd[0]}" if odd else f"{learned[0]} is none of them"
        raise InputError(
            f"--weights {file}: has neither the names nor the order of {name}'s tensors ({found}), "
            "expected one of the two; give them timm's names, or save a .pth in timm's order"
        )
    return {key: tensors[theirs] for key, theirs in renamed.items()}


def _kind(key: str) -> str | None:
    """What a name ends in, where every library ends it so."""
    end = key.rpartition(".")[2]
    return end if end in ("weight", "bias", "running_mean", "running_var") else None


def _learned(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.endswith(COMPUTED)]


def _below_prefix(tensors: dict[str, torch.Tensor], names: list[str]) -> dict[str, torch.Tensor]:
    """The tensors of a network's names, without what stands before all of them; else none."""
    first = names[0]
    starts = [key.removesuffix(first) for key in tensors if f".{key}".endswith(f".{first}")]
    if not starts:
        return {}
    start = min(starts, key=len)
    return {key.removeprefix(start): tensors[key] for key in tensors if key.startswith(start)}


def _check(
    tensors: dict[str, torch.Tensor], body: dict[str, torch.Tensor], file: Path, name: str
) -> None:
    """Refuse what is of another architecture, or holds no numbers to compute with."""
    parts = {key.split(".")[0] for key in body}  # others are heads, which stay behind
    lacking = [key for key in _learned(body) if key not in tensors]
    added = [key for key in _learned(tensors) if key not in body and key.split(".")[0] in parts]
    if lacking or added:
        raise InputError(
            f"--weights {file}: {(lacking or added)[0]} is "
            f"{'not in it' if lacking else f'no part of {name}'}, expected {name}'s "
            f"{len(_learned(body))} tensors; is it another architecture? Name it with --model"
        )
    if not any(tensor.any() for tensor in tensors.values()):
        raise InputError(
            f"--weights {file}: holds nothing but zeros, expected what a training leaves; take "
            "another file"
        )
    for key, wanted in body.items():
        tensor = tensors.get(key, wanted)
        if tensor.shape != wanted.shape:
            raise InputError(
                f"--weights {file}: {key} has shape {tuple(tensor.shape)}, expected {name}'s "
                f"{tuple(wanted.shape)}; is it another architecture, or another --image_size?"
            )
        refuse_odd_numbers(tensor, wanted, f"--weights {file}: {key}")


def refuse_odd_numbers(tensor: torch.Tensor, wanted: torch.Tensor, found_in: str) -> None:
    """Refuse a tensor whose values cannot stand where the wanted one's do.

    Raises:
        InputError: whole numbers in place of real ones, or some that are nan or infinite.
    """
    is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    is_alike = tensor.is_floating_point() == wanted.is_floating_point()
    if not (is_plain and is_alike and torch.isfinite(tensor.to(wanted.dtype)).all()):
        raise InputError(
            f"{found_in} holds {tensor.dtype} with values that no training leaves, expected "
            f"finite {wanted.dtype}; take another file"
        )
