"""Week 2 in your own lines: what is frozen, a new head, who learns how fast, when to stop.

Copy `exercises.py`, write in the copy, and ask how far you are:

    cp week2/exercises.py my_week2.py
    pytest tests/week2 --mine my_week2.py
    pytest tests/week2 --mine my_week2.py --hint 2

At first everything fails: that is the task. PyTorch (or NumPy) and Python's own library are all you
need, and all that you may import: an exercise that imports anything else has no points.
`exercises.py` is made from `solutions.py`, which holds the lines that are asked for.
"""

import copy
import math
from collections.abc import Sequence

import torch
from torch import nn


def freeze(model: nn.Sequential, n_trainable: int) -> None:
    """Let the head and the last stages learn, and nothing else move (4 points, 20 minutes).

    What learns has gradients and is in training mode. What rests has none, and its batch norms
    are in evaluation mode: otherwise their running means would follow every batch. A stage that
    rested before may have to learn now.

    Args:
        model: the stages of a backbone, photo first, then the head; changed in place.
        n_trainable: stages that learn, counted from the head; 0: the head alone.

    >>> model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2), nn.Linear(2, 3))
    >>> freeze(model, 1)
    >>> [part.training for part in model]
    [False, True, True]
    """
    raise NotImplementedError("week 2, exercise 1: freeze")


def new_head(n_features: int, n_identities: int) -> nn.Linear:
    """A layer with one score per animal, all nearly even at first (2 points, 10 minutes).

    Args:
        n_features: numbers that the backbone gives for a photo.
        n_identities: animals.

    Returns:
        Features, (n_images, n_features), to scores, (n_images, n_identities); the weights random,
        normal with a standard deviation of 0.01, the biases 0. The loss does the softmax.

    >>> _ = torch.manual_seed(0)
    >>> round(new_head(500, 60).weight.std().item(), 3)
    0.01
    """
    raise NotImplementedError("week 2, exercise 2: new_head")


def stages_at(plan: Sequence[tuple[int, int]], epoch: int) -> int:
    """How many last stages learn in an epoch (3 points, 15 minutes).

    Args:
        plan: steps, each a number of stages that learn and the epochs that it lasts.
        epoch: from 0.

    Returns:
        The number of the step that the epoch is in; behind the plan's end, that of its last step.

    >>> [stages_at([(0, 2), (3, 1)], epoch) for epoch in range(4)]
    [0, 0, 3, 3]
    """
    raise NotImplementedError("week 2, exercise 3: stages_at")


def rate_groups(
    stages: Sequence[nn.Module],
    head: nn.Module,
    rate: float,
    head_rate: float,
    layer_decay: float,
    weight_decay: float,
) -> list[dict]:
    """Say who learns how fast, as an optimiser wants it (4 points, 25 minutes).

    Args:
        stages: of a backbone, photo first; some may rest (requires_grad is False).
        head: all of it learns.
        rate: learning rate of the last stage.
        head_rate: learning rate of the head.
        layer_decay: rate of a stage over that of the stage behind it, in (0, 1].
        weight_decay: of tensors with two or more dimensions; of others (biases, norms) it is 0.

    Returns:
        Groups, dictionaries with "params", "lr" and "weight_decay". Each parameter that learns is
        in one of them, and no other parameter is.

    >>> stages, head = [nn.Linear(2, 2), nn.Linear(2, 2)], nn.Linear(2, 3)
    >>> groups = rate_groups(stages, head, 1e-3, 2e-3, layer_decay=0.5, weight_decay=0.01)
    >>> sorted({group["lr"] for group in groups})
    [0.0005, 0.001, 0.002]
    """
    raise NotImplementedError("week 2, exercise 4: rate_groups")


def rate_at(step: int, n_steps: int, n_warmup: int) -> float:
    """Share of its peak that a learning rate has at one step (3 points, 15 minutes).

    Args:
        step: of the optimiser, from 1 to n_steps.
        n_steps: of the whole training.
        n_warmup: steps in which the share rises in a straight line, to 1 at step n_warmup; 0:
            none. Then half a cosine takes it down, from 1 to 0 at step n_steps.

    Returns:
        In [0, 1].

    >>> [round(rate_at(step, n_steps=8, n_warmup=4), 2) for step in (1, 4, 6, 8)]
    [0.25, 1.0, 0.5, 0.0]
    """
    raise NotImplementedError("week 2, exercise 5: rate_at")


class EarlyStopping:
    """Stop when validation no longer gets better, and keep the best weights (4 points, 25 minutes).

    Args:
        patience: epochs in a row without a better value after which to stop.
        lower_is_better: as of a loss; else higher, as of an accuracy. Equal is not better.

    Attributes:
        best_value: so far; None before the first epoch.
        best_weights: of that epoch, name to tensor; None before the first epoch.

    >>> stopping = EarlyStopping(patience=2, lower_is_better=False)
    >>> [stopping.step(value, {}) for value in (0.5, 0.6, 0.6, 0.4)]
    [False, False, False, True]
    """

    def __init__(self, patience: int, lower_is_better: bool) -> None:
        raise NotImplementedError("week 2, exercise 6: EarlyStopping")

    def step(self, value: float, weights: dict[str, torch.Tensor]) -> bool:
        """Take note of an epoch.

        Args:
            value: of validation.
            weights: the model's state_dict(), which the next epoch changes in place.

        Returns:
            Whether to stop.
        """
        raise NotImplementedError("week 2, exercise 6: EarlyStopping")
