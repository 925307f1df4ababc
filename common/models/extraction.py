"""One pass of a network over photos."""

from collections.abc import Iterator

from common.machine import processes
from common.machine.loader import make_loader
from common.machine.memory import keep_freed_memory
from common.machine.precision import folded

import numpy as np
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset
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
    batches = list(BatchSampler(range(len(dataset)), batch_size, drop_last=False))
    own = batches[processes.index() :: processes.count()]
    outputs = _outputs(
        network,
        make_loader(dataset, device, batch_sampler=own),
        device,
        title=title,
        progress=progress,
    )
    result, n_filled = np.empty(0, dtype=np.float32), 0
    for _ in range(0, len(batches), processes.count()):
        for part in processes.everyones(next(outputs, None)):
            if part is None:  # in the last round there may be no batch for all processes
                continue
            if n_filled == 0:  # filled part by part: joining them at the end would need both
                result = np.empty((len(dataset), *part.shape[1:]), dtype=np.float32)
            result[n_filled : n_filled + len(part)] = part
            n_filled += len(part)
    return result


def _outputs(
    network: nn.Module,
    loader: DataLoader,
    device: torch.device | str,
    *,
    title: str,
    progress: bool,
) -> Iterator[np.ndarray]:
    keep_freed_memory()
    network.to(device, memory_format=torch.channels_last).eval()
    bar = tqdm(loader, title, unit="batch", disable=not progress, leave=False)
    for index, (inputs, _) in enumerate(bar):
        inputs = inputs.to(device, non_blocking=loader.pin_memory).float()
        if index == 0:
            network = folded(network, inputs[:2])
        yield network(inputs).float().cpu().numpy()
