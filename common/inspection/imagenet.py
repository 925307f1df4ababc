"""The thousand classes of ImageNet by their names; timm holds the list, so nothing is fetched."""

import difflib
from functools import cache

from common.errors import InputError

import torch
from timm.data import ImageNetInfo


def _descriptions() -> list[str]:
    info = ImageNetInfo()
    return [info.index_to_description(index) for index in range(info.num_classes())]


@cache
def class_names() -> tuple[str, ...]:
    """First name of each class, in ImageNet's order, such as "tabby" at 281."""
    return tuple(names.split(",")[0] for names in _descriptions())


def find_class(text: str) -> int | None:
    """Index of a class by its number or by any of its names; None if there is no such class.

    >>> find_class("tabby cat"), find_class("340"), find_class("unicorn")
    (281, 340, None)
    """
    if text.isdecimal():
        return int(text) if int(text) < len(class_names()) else None
    return _index_of_names().get(text.strip().lower())


def require_class(text: str, others: tuple[str, ...] = ()) -> int:
    """The same; an unknown name is an error with the closest ones.

    Raises:
        InputError: no such class.
    """
    index = find_class(text)
    if index is None:
        known = [*_index_of_names(), *others]
        near = difflib.get_close_matches(text.lower(), known, n=3, cutoff=0.5)
        near = near or ["tabby", "zebra", "loggerhead"]
        raise InputError(
            f"--target {text}: no such class; did you mean {', '.join(near)}? Expected a name "
            "of an ImageNet class, its number from 0 to 999, or an animal of the trained model"
        )
    return index


def top_classes(logits: torch.Tensor, k: int = 5) -> list[tuple[str, float]]:
    """The most probable classes of logits, shape (1000,), best first: names, probabilities."""
    best = logits.softmax(dim=0).topk(k)
    names = class_names()
    return [(names[i], p) for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)]


@cache
def _index_of_names() -> dict[str, int]:
    indices: dict[str, int] = {}
    for index, names in enumerate(_descriptions()):
        for name in names.split(","):
            indices.setdefault(name.strip().lower(), index)  # "crane" is a bird and a machine
    return indices
