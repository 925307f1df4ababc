"""Batches with several photos of several animals, for losses that compare photos (P x K).

No library's sampler does all of this: a photo is never twice in a batch, so it is never its own
positive; positives come from another encounter first; and every process draws the same batches
from one seed, without touching any global generator.
"""

import itertools
from collections.abc import Iterator, Sequence

from common.errors import InputError

import numpy as np
import pandas as pd
from numpy.random import Generator


class ShuffledBatchSampler:
    """As many photos per epoch as there are, in an order that (seed, epoch) fixes.

    A last batch of one photo joins the batch before it: batch norm cannot train on one.

    Args:
        weights: shape (n_images,), positive: photos are drawn with replacement in proportion to
            them, as many as there are; None: each photo once.
    """

    def __init__(
        self, n_images: int, batch_size: int, seed: int = 0, weights: np.ndarray | None = None
    ) -> None:
        self.n_images, self.batch_size, self.seed, self.epoch = n_images, batch_size, seed, 0
        self.shares = None if weights is None else np.asarray(weights) / np.sum(weights)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        n_full, rest = divmod(self.n_images, self.batch_size)
        return max(1, n_full + (rest > 1))

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.shares is None:
            order = rng.permutation(self.n_images)
        else:
            order = rng.choice(self.n_images, self.n_images, p=self.shares)
        cuts = [self.batch_size * index for index in range(1, len(self))]
        return iter([batch.tolist() for batch in np.split(order, cuts)])


class IdentityBatchSampler:
    """Batches of P animals with up to K photos each, as lists of dataset indices.

    - An animal with fewer than K photos gives all it has; one with a single photo gives that one,
      which can only be a negative. So a batch has P animals and at most P x K photos.
    - In an epoch an animal is drawn in proportion to the square root of its number of photos, at
      most once a batch: between "each animal alike", which shows the photos of rare animals far
      too often, and "each photo alike", which hardly shows rare animals at all.
    - An animal's K photos go round its encounters, so that they come from as many as possible,
      and no photo of an encounter is shown again before its others.

    The batches depend on the seed and the epoch only. Pass the sampler as a DataLoader's
    `batch_sampler` and call `set_epoch` before each epoch, or every epoch is the same. Several
    processes draw the same batches and deal out each (`common.machine.machine`).

    Args:
        labels: shape (n_images,), each photo's label or identity.
        encounters: shape (n_images,), each photo's encounter.
        n_identities: P, animals in a batch.
        n_images: K, photos of each animal at most, at least 2.
        n_batches: batches in an epoch; None for as many as show each photo about once.

    Raises:
        ValueError: the lengths of labels and encounters differ, or no such batch can be.

    Source: P x K batches as in Hermans et al., "In defense of the triplet loss for person
    re-identification", 2017, section 2; the drawing is this course's.
    """

    def __init__(
        self,
        labels: Sequence | np.ndarray,
        encounters: Sequence | np.ndarray,
        *,
        n_identities: int,
        n_images: int,
        seed: int,
        n_batches: int | None = None,
    ) -> None:
        if len(labels) != len(encounters):
            raise ValueError(f"found {len(labels)} labels and {len(encounters)} encounters")
        self.groups = _group(np.asarray(labels), np.asarray(encounters))
        if not 2 <= n_identities <= len(self.groups) or n_images < 2:
            sizes = f"{n_identities} of {len(self.groups)} animals with {n_images} photos each"
            raise ValueError(f"found a batch of {sizes}, expected two photos of two animals")
        self.n_identities, self.n_images = n_identities, n_images
        self.seed, self.epoch = seed, 0
        self.n_batches = n_batches or -(-len(labels) // (n_identities * n_images))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, 0 or more, whose batches the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        n_photos = [sum(map(len, encounters)) for encounters in self.groups]
        animals = deal_animals(np.sqrt(n_photos), self.n_batches, self.n_identities, rng)
        draws = [_draw_photos(encounters, self.n_images, rng) for encounters in self.groups]
        for batch in animals:
            yield [photo for animal in batch for photo in next(draws[animal])]


def identity_batches(
    labels: Sequence | np.ndarray,
    encounters: Sequence | np.ndarray,
    *,
    batch_size: int,
    n_images: int,
    seed: int,
) -> IdentityBatchSampler:
    """Batches of about so many photos: as many animals as fit, up to n_images photos of each.

    Args:
        labels: shape (n_images,), each photo's label or identity.
        encounters: shape (n_images,), each photo's encounter.
        batch_size: photos in a batch, where no animal lacks any.
        n_images: photos of an animal; fewer where none has as many, or where two animals of so
            many are more than a batch.

    Raises:
        InputError: fewer than two animals have two photos, or a batch is too small for these.
    """
    if batch_size < 4:
        raise InputError(
            f"--batch_size {batch_size}: a loss that compares photos finds no pair or triplet in "
            "it, expected two photos of two animals; set --batch_size to 4 or more"
        )
    _, counts = np.unique(labels, return_counts=True)
    if (n_with_pairs := int((counts >= 2).sum())) < 2:
        raise InputError(
            f"{n_with_pairs} of {len(counts)} training animals have two photos or more, expected "
            "two such animals for a loss that compares photos, or no pair or triplet is found; "
            "take --loss arcface, which needs none, another --split, or add photos"
        )
    n_images = min(n_images, int(counts.max()), batch_size // 2)
    n_identities = max(2, min(batch_size // n_images, len(counts)))
    return IdentityBatchSampler(
        labels, encounters, n_identities=n_identities, n_images=n_images, seed=seed
    )


def deal_animals(
    weights: np.ndarray, n_batches: int, n_per_batch: int, rng: Generator
) -> np.ndarray:
    """Deal animals to batches in proportion to weights, none twice in a batch.

    An animal's share of all places is its weight's, up to one place in every batch; what that
    cuts off goes to the others. Rounding is by chance, so that shares hold over epochs.

    Args:
        weights: shape (n_animals,), positive.
        n_per_batch: animals in a batch, at most n_animals.

    Returns:
        Animals, shape (n_batches, n_per_batch).
    """
    n_places = n_batches * n_per_batch
    order = rng.permutation(len(weights))
    expected = _capped_shares(weights, n_places, n_batches)
    # Systematic sampling: an animal gets its expected number of places, rounded up or down.
    edges = np.concatenate([[0.0], np.cumsum(expected[order])])
    edges[-1] = n_places
    counts = np.diff(np.ceil(edges - rng.random()).clip(0, n_places)).astype(int)
    # Places in a row belong to different batches, and no animal has more than n_batches.
    places = np.repeat(order, counts).reshape(n_per_batch, n_batches)
    return places.T[rng.permutation(n_batches)]


def _capped_shares(weights: np.ndarray, n_places: int, cap: int) -> np.ndarray:
    """Share out places in proportion to weights, none above the cap, shape (n_animals,)."""
    shares = np.zeros(len(weights))
    is_capped = np.zeros(len(weights), dtype=bool)
    for _ in weights:
        free = ~is_capped
        shares[is_capped] = cap
        if free.any():
            left = n_places - cap * is_capped.sum()
            shares[free] = weights[free] / weights[free].sum() * left
        if not (shares[free] > cap).any():
            break
        is_capped |= shares > cap
    return shares


def _draw_photos(
    encounters: list[np.ndarray], n_images: int, rng: Generator
) -> Iterator[list[int]]:
    """Yield one animal's photos, n_images at a time or all it has, without end."""
    queues = [rng.permutation(encounters[i]).tolist() for i in rng.permutation(len(encounters))]
    n_wanted = min(n_images, sum(map(len, queues)))
    turns = itertools.cycle(range(len(queues)))
    endless = [itertools.cycle(queue) for queue in queues]
    while True:
        photos, n_taken = [], [0] * len(queues)
        while len(photos) < n_wanted:
            turn = next(turns)
            if n_taken[turn] < len(queues[turn]):  # a queue has no photo twice in one draw
                photos.append(next(endless[turn]))
                n_taken[turn] += 1
        yield photos


def _group(labels: np.ndarray, encounters: np.ndarray) -> list[list[np.ndarray]]:
    """Return, for each label, the dataset indices of each of its encounters."""
    table = pd.DataFrame({"label": labels, "encounter": encounters})
    return [
        [photos.index.to_numpy() for _, photos in own.groupby("encounter")]
        for _, own in table.groupby("label")
    ]


def spread_over_animals(
    rows: np.ndarray, identity: np.ndarray, n_photos: int, seed: int
) -> np.ndarray:
    """Choose photos of as many animals as possible: a first one of each, then a second one."""
    order = np.random.default_rng(seed).permutation(rows)
    names = pd.Series(identity[order])
    place = names.groupby(names).cumcount().to_numpy()  # first, second, ... of its animal
    return order[np.argsort(place, kind="stable")][:n_photos]


def spread(chosen: np.ndarray, n: int) -> np.ndarray:
    """So many of the values, evenly over all of them."""
    return chosen[np.unique(np.linspace(0, len(chosen) - 1, min(n, len(chosen))).astype(int))]
