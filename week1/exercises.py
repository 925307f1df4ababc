"""Week 1 in your own lines: labels, an honest split, a training loop, how sure a number is.

Copy `exercises.py`, write in the copy, and ask how far you are:

    cp week1/exercises.py my_week1.py
    pytest tests/week1 --mine my_week1.py
    pytest tests/week1 --mine my_week1.py --hint 2

At first everything fails: that is the task. NumPy, PyTorch and Python's own library are all you
need, and all that you may import: an exercise that imports anything else has no points.
`exercises.py` is made from `solutions.py`, which holds the lines that are asked for.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import nn


def label_map(parts: dict[str, list[str]]) -> dict[str, int]:
    """Number every animal once, for all parts of a split (2 points, 10 minutes).

    Args:
        parts: "train", "validation" or "test" to the identity of each photo of that part; an
            identity is a text, also where it looks like a number.

    Returns:
        Identity to label: 0, 1, ... in the order of the sorted texts of all parts.

    >>> label_map({"train": ["rosa", "anna"], "test": ["007", "rosa"]})
    {'007': 0, 'anna': 1, 'rosa': 2}
    """
    raise NotImplementedError("week 1, exercise 1: label_map")


def split_by_day(identities: np.ndarray, days: np.ndarray, train_share: float) -> np.ndarray:
    """Train on each animal's earlier days, test on its later ones (3 points, 20 minutes).

    Of an animal's n days the first round(train_share * n) are for training, but at least one,
    and at most all but one; an animal that was met on one day is for training as a whole.

    Args:
        identities: of each photo, str, shape (n_images,).
        days: when each was taken, integers, shape (n_images,); photos of one day stay together.
        train_share: of an animal's days, in (0, 1).

    Returns:
        Whether each photo is for the test, bool, shape (n_images,).

    >>> split_by_day(np.array(["anna", "anna", "anna", "rosa"]), np.array([9, 4, 9, 9]), 0.5)
    array([ True, False,  True, False])
    """
    raise NotImplementedError("week 1, exercise 2: split_by_day")


def leak_share(identities: np.ndarray, encounters: np.ndarray, is_test: np.ndarray) -> float:
    """How much a split gives away (3 points, 15 minutes).

    Args:
        identities: of each photo, str, shape (n_images,).
        encounters: of each photo, str, shape (n_images,); two animals that were met at the same
            place and time have encounters of the same name.
        is_test: whether each photo is for the test, bool, shape (n_images,); else for training.

    Returns:
        Share of all test photos, in [0, 1], for which training holds a photo of the same animal
        from the same encounter.

    >>> leak_share(np.array(["anna", "anna", "rosa"]), np.array(["bay", "bay", "bay"]),
    ...            np.array([False, True, True]))
    0.5
    """
    raise NotImplementedError("week 1, exercise 3: leak_share")


def train_epoch(
    model: nn.Module,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    criterion: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    optimizer: torch.optim.Optimizer,
) -> tuple[float, float]:
    """Show the network each batch once, with a step after each (4 points, 25 minutes).

    The network learns in training mode, whatever mode it comes in.

    Args:
        model: images to scores, (n_images, n_identities); changed in place.
        batches: images and labels, (n_images, ...) and (n_images,); the last may be
            shorter, and they can be gone through once.
        criterion: scores and labels to the mean loss of a batch.
        optimizer: of the model's parameters.

    Returns:
        Loss and accuracy, each a mean over all photos, as they were before each step.

    >>> model = nn.Linear(1, 2)
    >>> _ = [nn.init.zeros_(each) for each in model.parameters()]
    >>> batches = [(torch.ones(2, 1), torch.tensor([0, 1])), (torch.ones(1, 1), torch.tensor([1]))]
    >>> train_epoch(model, batches, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1))
    (0.693..., 0.333...)
    """
    raise NotImplementedError("week 1, exercise 4: train_epoch")


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of photos that are named right (1 point, 5 minutes).

    Args:
        scores: high where likely, shape (n_images, n_identities).
        labels: of the true identities, integers, shape (n_images,).

    Returns:
        In [0, 1]; the answer to a photo is the identity with the highest score.

    >>> accuracy(np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]]), np.array([0, 0, 1, 1]))
    0.75
    """
    raise NotImplementedError("week 1, exercise 5: accuracy")


def balanced_accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean over animals of the share of their photos named right (3 points, 15 minutes).

    Args:
        scores: high where likely, shape (n_images, n_identities).
        labels: of the true identities, integers, shape (n_images,); some identities may have no
            photo here: they do not count.

    Returns:
        In [0, 1].

    >>> scores = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.7, 0.3, 0], [0.6, 0.4, 0]])
    >>> balanced_accuracy(scores, np.array([0, 0, 0, 1]))
    0.5
    """
    raise NotImplementedError("week 1, exercise 6: balanced_accuracy")


def interval_over_animals(
    values: np.ndarray,
    animals: np.ndarray,
    n_resamples: int,
    level: float,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """How sure a mean over photos is, from drawing animals again (4 points, 30 minutes).

    Draw as many animals as there are, with replacement, each with all of its photos (twice, if it
    is drawn twice), and take the mean over these photos; do so n_resamples times.

    Args:
        values: one per photo, such as right (1) or wrong (0), shape (n_images,).
        animals: whom each photo shows, str, shape (n_images,).
        n_resamples: how often to draw.
        level: share of the means inside the interval, such as 0.95; as many below as above.
        generator: of random numbers.

    Returns:
        Lower and upper end.

    >>> low, high = interval_over_animals(np.array([1, 1, 0, 0]), np.array(["a", "a", "b", "c"]),
    ...                                   2000, 0.9, np.random.default_rng(0))
    >>> round(low, 2), round(high, 2)
    (0.0, 0.8)
    """
    raise NotImplementedError("week 1, exercise 7: interval_over_animals")
