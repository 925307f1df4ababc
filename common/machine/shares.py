"""One batch dealt to several processes, and their outputs put together again.

A batch is the same photos whatever the number of processes: each runs its share through the
network, and the loss is computed on the outputs of all. So every negative of the batch counts,
a ragged batch is averaged over its photos, and no loss needs to know that there are processes.
(pytorch-metric-learning's `DistributedLossWrapper` gathers too, but multiplies the loss itself by
the number of processes, and with it the gradient of ArcFace's centres.)
"""

from collections.abc import Iterator

from common.machine import processes

import torch
from torch import distributed
from torch.utils.data import Sampler

FEWEST = 2  # photos in a share: batch norm cannot train on one


class BatchShares(Sampler):
    """This process's share of every batch: every n-th photo, n being the number of processes.

    Where that leaves fewer than `FEWEST` photos, some of the others' are borrowed: they are
    computed along, and `pooled` leaves them out.

    Args:
        batches: a batch sampler that yields the same batches in every process.
    """

    def __init__(self, batches: Sampler) -> None:
        self.batches = batches

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches are dealt."""
        if hasattr(self.batches, "set_epoch"):
            self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield share_of(batch, processes.index(), processes.count())


def share_of(batch: list[int], index: int, n_processes: int) -> list[int]:
    """One process's photos of a batch, its own first.

    >>> [share_of([5, 6, 7], index, n_processes=2) for index in range(2)]
    [[5, 7], [6, 5]]
    """
    if n_processes == 1:
        return batch
    own = batch[index::n_processes]
    others = [photo for at, photo in enumerate(batch) if at % n_processes != index]
    return own + others[: max(0, FEWEST - len(own))]


def pooled(local: torch.Tensor, n_photos: int) -> torch.Tensor:
    """One row per photo of the whole batch, in its order, from the rows of all shares.

    Args:
        local: of this process's share, shape (n_own, ...).
        n_photos: in the whole batch, without borrowed ones.

    Returns:
        Shape (n_photos, ...). Gradients flow through this process's own rows, times the number
        of processes: `DistributedDataParallel` takes the mean over processes, where a loss that
        all have in common asks for the sum.
    """
    n_processes = processes.count()
    if n_processes == 1:
        return local
    n_rows = max(FEWEST, -(-n_photos // n_processes))  # of the longest share: all send as many
    local = torch.cat([local, local.new_zeros(n_rows - len(local), *local.shape[1:])])
    rows = [torch.empty_like(local) for _ in range(n_processes)]
    distributed.all_gather(rows, local.detach())
    if local.requires_grad:
        local.register_hook(lambda gradient: gradient * n_processes)
        rows[processes.index()] = local
    return torch.stack(rows, dim=1).flatten(0, 1)[:n_photos]  # undoes the dealing
