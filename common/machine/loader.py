"""Batches of prepared photos for a network, whatever it computes on."""

import os
import sys
import time

from common.machine import processes

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

START_SECONDS = 4.0  # an epoch prepared sooner is over before worker processes have paid
N_TIMED = 8  # photos prepared to estimate that


def make_loader(
    dataset: Dataset, device: torch.device | str, *, workers: int | None = None, **batching: object
) -> DataLoader:
    """Load batches whose images lie in memory as convolutions read them, channels last.

    Args:
        dataset: items (input, label).
        device: that the batches go to; for a CUDA GPU they wait in pinned memory.
        workers: processes that prepare photos; None: as many as pay.
    """
    device = torch.device(device)
    return DataLoader(
        dataset,
        num_workers=workers_that_pay(device, dataset) if workers is None else workers,
        collate_fn=stacked,
        pin_memory=device.type == "cuda",
        **batching,
    )


def workers_that_pay(device: torch.device, dataset: Dataset) -> int:
    """Worker processes for an epoch of these photos; 0: the main process prepares them.

    Where the CPU computes the network, too, more processes only wait for each other. On Windows
    and macOS every epoch would start Python anew in each of them.
    """
    if device.type != "cuda" or sys.platform != "linux" or not len(dataset):
        return 0
    start, n_timed = time.perf_counter(), min(N_TIMED, len(dataset))
    for index in range(n_timed):
        dataset[index]
    if (time.perf_counter() - start) / n_timed * len(dataset) < START_SECONDS:
        return 0
    n_processes = processes.launched("LOCAL_WORLD_SIZE", 1)  # on this machine, one per GPU
    return min(16, len(os.sched_getaffinity(0)) // n_processes - 1)


def stacked(items: list[tuple[torch.Tensor, int]]) -> list[torch.Tensor]:
    """One batch of items (input, label); images end up channels last.

    Photos come from OpenCV, where a pixel's channels lie side by side: kept so, stacking them
    is a plain copy.

    Returns:
        inputs, shape (n_items, ...), and labels, shape (n_items,).
    """
    inputs, labels = zip(*items, strict=True)
    if inputs[0].ndim != 3:
        return default_collate(items)
    rows = torch.stack([image.permute(1, 2, 0) for image in inputs])
    return [rows.permute(0, 3, 1, 2), default_collate(labels)]
