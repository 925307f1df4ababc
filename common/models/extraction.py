"""One pass of a network over photos."""

from common.machine import processes
from common.machine.loader import make_loader
from common.machine.memory import keep_freed_memory
from common.machine.precision import folded

import numpy as np
import torch
from torch import nn
from torch.utils.data import BatchSampler, Dataset
from tqdm import tqdm


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
