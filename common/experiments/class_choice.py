"""What a class is in training: validation chooses, in a short training of each kind.

How many classes an animal should be depends on how alike its sides are, and on how many photos
there are of each. So each kind is tried, and asked the same: is the most alike photo one of the
same animal, whatever its side?
"""

import math
from collections.abc import Callable

from common.data.catalogue import Catalogue
from common.data.training_classes import KINDS

SHARE = 3  # a trial has a third of the epochs


def trial_epochs(epochs: int) -> int:
    """Epochs of a trial, where training has so many."""
    return max(1, round(epochs / SHARE))


def kinds_to_try(asked: str, catalogue: Catalogue) -> tuple[str, ...]:
    """What a class may be: "auto" leaves all kinds open, where the catalogue knows sides."""
    if asked != "auto":
        return (asked,)
    return KINDS if catalogue.has_sides else KINDS[:1]


def choose_classes(
    asked: str, catalogue: Catalogue, trial: Callable[[str], float]
) -> tuple[str, list[str]]:
    """Let validation choose what a class is; of equals, the kind with fewer classes.

    Args:
        asked: of `CLASSES`; what is named is taken.
        trial: kind to the share of validation photos that a short training of it answers right;
            nan: none can be asked, and the kind that learns from most photos is taken.

    Returns:
        The kind, and a sentence on the choice, or none where there was nothing to choose.
    """
    kinds = kinds_to_try(asked, catalogue)
    values: dict[str, float] = {}
    for kind in kinds:
        if len(kinds) == 1 or math.isnan(value := trial(kind)):
            return kinds[-1], []
        values[kind] = value
    chosen = max(values, key=values.get)
    shown = ", ".join(f"{kind} {value:.3f}" for kind, value in values.items())
    return chosen, [
        f"What a class is: {chosen}, chosen by a short training of each kind; share of validation "
        f"photos that most resemble a photo of the same animal: {shown}."
    ]
