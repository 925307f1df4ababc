"""How fast this machine is, tried for a second, so that a script can say what it will take."""

import time

import torch
from torch import nn

PROBE_SECONDS = 0.5


def images_per_second(model: nn.Module, inputs: torch.Tensor, *, is_training: bool) -> float:
    """Inputs a second through a model, forward alone or forward and backward.

    The model's weights, statistics and gradients stay as they were.

    Args:
        model: a batch of inputs to outputs.
        inputs: one batch, on the model's device.
        is_training: backward too.
    """
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
