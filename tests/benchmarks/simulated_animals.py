"""Embeddings of animals that nobody photographed, hard to search in the way that real ones are.

An embedding is the sum of what the animal, the encounter and the photo contribute, scaled to unit
length. Each contribution is Gaussian with variances that fall like 1 / (4 + j) over 512 turned
axes, as trained embeddings vary much in few directions: two animals are then as far apart as in
about 95 dimensions. Two photos of one animal have cosines near 0.5, the nearest of many others
0.4 to 0.5, so that the right photo has rivals everywhere. Independent uniform noise would be
wrong in the other direction: all neighbours equally far, and no index better than chance.
"""

from collections.abc import Iterator

import numpy as np

SHARES = {"animal": 0.5, "encounter": 0.25, "photo": 0.25}  # of the variance
N_ENCOUNTERS, N_PHOTOS = 4, 5  # per animal; per encounter
PHOTOS_PER_ANIMAL = N_ENCOUNTERS * N_PHOTOS


class Population:
    """Animals in blocks, each from a seed of its own, so that any block can be drawn again.

    Args:
        embedding_dim: length of an embedding.
        seed: of the whole population.
    """

    def __init__(self, embedding_dim: int, seed: int) -> None:
        self.seed = seed
        generator = np.random.default_rng(seed)
        turn, _ = np.linalg.qr(generator.standard_normal((embedding_dim, embedding_dim)))
        variances = 1 / (4 + np.arange(embedding_dim))
        self.axes = (np.sqrt(variances / variances.sum())[:, None] * turn).astype(np.float32)

    def gallery(self, n_animals: int, animals_per_block: int = 500) -> Iterator[np.ndarray]:
        """Yield unit embeddings, those of one animal side by side, by encounter."""
        for first in range(0, n_animals, animals_per_block):
            n_here = min(animals_per_block, n_animals - first)
            yield self._photos(
                self._animals(first, n_here), N_ENCOUNTERS, N_PHOTOS, "gallery", first
            )

    def queries(self, n_animals: int, n_known: int, n_unknown: int) -> np.ndarray:
        """One photo of a new encounter per animal: known ones first, then ones never seen.

        Args:
            n_animals: of the gallery, in blocks of the usual size.
            n_known: queries whose animal is in the gallery, spread over all its blocks.
            n_unknown: queries whose animal is not.
        """
