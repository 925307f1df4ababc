"""Batches of all photos in a new order each epoch."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class ShuffledBatchSampler(Sampler[list[int]]):
    """All photos once per epoch, in an order that (seed, epoch) fixes.

    A last batch of one photo joins the batch before it: batch norm cannot train on one.

    Args:
        n_images: number of photos.
        batch_size: photos in a batch.
        seed: of the order.
    """

    def __init__(self, n_images: int, batch_size: int, seed: int = 0) -> None:
        self.n_images, self.batch_size, self.seed, self.epoch = n_images, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        n_full, rest = divmod(self.n_images, self.batch_size)
        return max(1, n_full + (rest > 1))

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.n_images)
        cuts = [self.batch_size * index for index in range(1, len(self))]
        return iter([batch.tolist() for batch in np.split(order, cuts)])
