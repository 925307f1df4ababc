"""How fast this machine is, tried for a second."""

import statistics
import time
from collections.abc import Callable, Mapping

from common.machine.freed_memory import keep_freed_memory

import torch
from torch import nn

PROBE_SECONDS = 0.5
TURN_SECONDS = 0.3  # of one of several ways, before the next has its turn


def images_per_second(model: nn.Module, inputs: torch.Tensor, *, is_training: bool) -> float:
    """Inputs a second through a model, forward alone or forward and backward.

    Under the training loop's terms: memory kept between batches, channels last. The model's
    weights, statistics and gradients stay as they were.
    """
    keep_freed_memory()
    model.to(memory_format=torch.channels_last)
    if inputs.ndim == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    model.eval()  # batch norms would follow the probe in training mode
    n_seen, start = -len(inputs), time.perf_counter()  # the first batch warms up
    while n_seen <= 0 or time.perf_counter() - start < PROBE_SECONDS:
        if n_seen == 0:
            start = time.perf_counter()
        with torch.set_grad_enabled(is_training):
            outputs = model(inputs)
        if is_training:
            trainable = [p for p in model.parameters() if p.requires_grad]
            torch.autograd.grad(outputs.square().mean(), trainable, allow_unused=True)
        n_seen += len(inputs)
    return n_seen / (time.perf_counter() - start)


def rates_in_turns(
    runs: Mapping[str, Callable[[object], object]], inputs: object, *, n_rounds: int = 5
) -> dict[str, float]:
    """Inputs a second of several ways to compute the same thing, taken in turns.

    A machine that is busy for a while is then busy for all of them.

    Args:
        inputs: one batch, with a length.
    """
    rates = {name: [] for name in runs}
    for _ in range(n_rounds):
        for name, run in runs.items():
            run(inputs)  # warms up, while threads of the one before come to rest
            n_seen, start = 0, time.perf_counter()
            while n_seen == 0 or time.perf_counter() - start < TURN_SECONDS:
                run(inputs)
                n_seen += len(inputs)
            rates[name].append(n_seen / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in rates.items()}
