"""Embeddings of animals that nobody photographed, hard to search in the way that real ones are.

An embedding is the sum of what the animal, the encounter and the photo contribute, scaled to unit
length. Each contribution is Gaussian with variances that fall like 1 / (4 + j) over turned axes,
because trained embeddings vary much in few directions: of 512 dimensions, two animals are as far
apart as in about 95. Photos of one animal from two encounters have cosines near 0.4, and the
nearest of a million other photos comes as close, so that the right photo has rivals. Independent
noise in all dimensions would prove nothing: all neighbours are equally far there, and an index
that finds another one is no worse for it.
"""

from common.files import replacing

import numpy as np

SHARES = {"animal": 0.4, "encounter": 0.3, "photo": 0.3}  # of the variance
N_ENCOUNTERS, N_PHOTOS = 4, 5  # per animal, per encounter
PHOTOS_PER_ANIMAL = N_ENCOUNTERS * N_PHOTOS
ANIMALS_PER_BLOCK = 500


class Population:
    """Animals in blocks, each from a seed of its own, so that none has to be kept.

    Args:
        embedding_dim: length of an embedding.
        seed: of the whole population.
    """

    def __init__(self, embedding_dim: int, seed: int = 0) -> None:
        turn, _ = np.linalg.qr(
            np.random.default_rng(seed).standard_normal((embedding_dim, embedding_dim))
        )
        variances = 1 / (4 + np.arange(embedding_dim))
        self.axes = (np.sqrt(variances / variances.sum())[:, None] * turn).astype(np.float32)
        self.seed = seed

    def gallery_block(self, block: int) -> np.ndarray:
        """Photos of the block's animals, one animal after the other, float32, unit length."""
        generator = self._generator("gallery", block)
        return self._photos(self._animals(block), N_ENCOUNTERS, N_PHOTOS, generator)

    def new_encounters(self, block: int, n_animals: int) -> np.ndarray:
        """One photo each of the block's first animals, from an encounter of its own."""
        generator = self._generator("new encounters", block)
        return self._photos(self._animals(block)[:n_animals], 1, 1, generator)

    def strangers(self, n_animals: int) -> np.ndarray:
        """One photo each of animals that no block holds."""
        generator = self._generator("strangers", 0)
        animals = generator.standard_normal((n_animals, len(self.axes)), dtype=np.float32)
        return self._photos(animals, 1, 1, generator)

    def write_gallery(self, path, n_photos: int) -> None:
        """Write the photos of the first animals as one .npy file, a block at a time."""
        with replacing(path) as unfinished:
            photos = np.lib.format.open_memmap(
                unfinished, mode="w+", dtype=np.float32, shape=(n_photos, len(self.axes))
            )
            for block in range(n_blocks(n_photos)):
                start = block * ANIMALS_PER_BLOCK * PHOTOS_PER_ANIMAL
                photos[start : start + ANIMALS_PER_BLOCK * PHOTOS_PER_ANIMAL] = self.gallery_block(
                    block
                )[: n_photos - start]
            photos.flush()
            del photos  # Windows renames no mapped file

    def queries(self, n_photos: int, n_each: int) -> np.ndarray:
        """Photos of known animals in new encounters, then as many of strangers.

        Args:
            n_photos: of the gallery; the known animals are spread over it.
            n_each: queries of each kind.
        """
        per_block = -(-n_each // n_blocks(n_photos))
        known = [self.new_encounters(i, per_block) for i in range(n_blocks(n_photos))]
        return np.concatenate([np.concatenate(known)[:n_each], self.strangers(n_each)])

    def animals_of_queries(self, n_photos: int, n_each: int) -> np.ndarray:
        """Which animal each known query shows, as the number of the animal in the gallery."""
        per_block = -(-n_each // n_blocks(n_photos))
        blocks = np.arange(n_blocks(n_photos))[:, None] * ANIMALS_PER_BLOCK
        return (blocks + np.arange(per_block)).ravel()[:n_each]

    def _generator(self, purpose: str, block: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, block, *purpose.encode()])

    def _animals(self, block: int) -> np.ndarray:
        generator = self._generator("animals", block)
        return generator.standard_normal((ANIMALS_PER_BLOCK, len(self.axes)), dtype=np.float32)

    def _photos(
        self, animals: np.ndarray, n_encounters: int, n_photos: int, generator: np.random.Generator
    ) -> np.ndarray:
        """Shape (n_animals · n_encounters · n_photos, embedding_dim)."""
        shape = (len(animals), n_encounters, n_photos, animals.shape[1])
        encounters = generator.standard_normal((*shape[:2], 1, shape[3]), dtype=np.float32)
        photos = generator.standard_normal(shape, dtype=np.float32)
        parts = zip(SHARES.values(), (animals[:, None, None], encounters, photos), strict=True)
        embeddings = sum(np.float32(np.sqrt(share)) * part for share, part in parts)
        embeddings = embeddings.reshape(-1, shape[3]) @ self.axes
        return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def n_blocks(n_photos: int) -> int:
    """Blocks that a gallery of so many photos begins."""
    return -(-n_photos // (ANIMALS_PER_BLOCK * PHOTOS_PER_ANIMAL))
