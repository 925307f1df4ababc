"""One pass of a network over photos."""

import itertools
from collections.abc import Iterator

from common.errors import InputError
from common.machine import processes
from common.machine.freed_memory import keep_freed_memory
from common.machine.loader import make_loader
from common.machine.precision import folded
from common.words import counted

import numpy as np
import torch
from torch import nn
from torch.utils.data import BatchSampler, Dataset
from tqdm import tqdm


def extract(network: nn.Module, dataset: Dataset, **options: object) -> np.ndarray:
    """Run a network once over a data set, in its order; several processes share the batches.

    Args:
        dataset: items (input, label); labels are ignored.

    Returns:
        float32, shape (n_images, ...).

    Raises:
        InputError: what the network gives are no finite numbers.
    """
    result, n_filled = np.empty(0, dtype=np.float32), 0
    for part in outputs_of(network, dataset, **options):
        if n_filled == 0:  # filled part by part: to join them at the end takes twice the memory
            result = np.empty((len(dataset), *part.shape[1:]), dtype=np.float32)
        result[n_filled : n_filled + len(part)] = part
        n_filled += len(part)
    is_finite = np.isfinite(result.reshape(len(result), -1)).all(axis=1)
    if not is_finite.all():
        raise InputError(
            f"what the network gives for {counted(int((~is_finite).sum()), 'photo')} of "
            f"{len(result):,} is not finite, expected numbers; its weights are damaged or too "
            "large: take another model, or train with a smaller --learning_rate"
        )
    return result


@torch.no_grad()
def outputs_of(
    network: nn.Module,
    dataset: Dataset,
    *,
    device: torch.device | str = "cpu",
    batch_size: int = 64,
    title: str = "",
    progress: bool = True,
) -> Iterator[np.ndarray]:
    """What `extract` gives, batch by batch, for who need not hold all of it.

    Args:
        batch_size: inputs at a time; the result does not depend on it.

    Yields:
        float32, shape (batch_size, ...), to every process the batches of all.
    """
    keep_freed_memory()
    network.to(device, memory_format=torch.channels_last).eval()
    batches = list(BatchSampler(range(len(dataset)), batch_size, drop_last=False))
    own = batches[processes.index() :: processes.count()]
    loader = make_loader(dataset, device, batch_sampler=own)
    loaded = iter(tqdm(loader, title, unit="batch", disable=not progress, leave=False))
    for index in range(0, len(batches), processes.count()):
        output = None  # in the last round there may be no batch for this process
        for inputs, _ in itertools.islice(loaded, 1):
            inputs = inputs.to(device, non_blocking=loader.pin_memory).float()
            if index == 0:
                network = folded(network, inputs[:2])
            output = network(inputs).float().cpu().numpy()
        yield from (part for part in processes.everyones(output) if part is not None)
