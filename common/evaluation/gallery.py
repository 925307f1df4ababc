"""A gallery of known animals that is searched by embedding, through FAISS."""

from collections.abc import Sequence

import faiss
import numpy as np


class Gallery:
    """Embeddings with identities; animals are added without training anything.

    Search is exact: every query meets every gallery photo.

    Args:
        embedding_dim: length of an embedding.
    """

    def __init__(self, embedding_dim: int) -> None:
        self._index = faiss.IndexFlatIP(embedding_dim)  # inner product: cosine of unit vectors
        self._identities: list[str] = []

    def __len__(self) -> int:
        return len(self._identities)

    def enrol(self, embeddings: np.ndarray, identities: Sequence[str]) -> None:
        """Add photos of known animals.

        Args:
            embeddings: float, shape (n_images, embedding_dim), unit length.
            identities: of each photo, length n_images.
        """
        if len(embeddings) != len(identities):
            raise ValueError(f"{len(embeddings)} embeddings, but {len(identities)} identities")
        self._index.add(np.ascontiguousarray(embeddings, dtype=np.float32))
        self._identities.extend(identities)

    def search(self, query_embeddings: np.ndarray, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
        """The gallery photos most alike to each query.

        Args:
            query_embeddings: float, shape (n_query, embedding_dim), unit length.
            k: gallery photos per query; at most as many as there are.

        Returns:
            similarity: cosine, shape (n_query, k), best first.
            rows: of the gallery in order of enrolment, shape (n_query, k).

        Raises:
            ValueError: the gallery is empty.
        """
        if not self._identities:
            raise ValueError("the gallery is empty: enrol photos before searching")
        queries = np.ascontiguousarray(query_embeddings, dtype=np.float32)
        return self._index.search(queries, min(k, len(self)))

    def identify(self, query_embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The most alike animal for each query, however unlike it is.

        Returns:
            identities: str, shape (n_query,).
            similarity: cosine, shape (n_query,).
        """
        similarity, rows = self.search(query_embeddings, k=1)
        return np.asarray(self._identities)[rows[:, 0]], similarity[:, 0]


def identity_scores(
    query_embeddings: np.ndarray,
    gallery_embeddings: np.ndarray,
    *,
    gallery_labels: np.ndarray,
    n_identities: int,
) -> np.ndarray:
    """For each query and identity, the similarity of its most alike gallery photo.

    Args:
        query_embeddings: float, shape (n_query, embedding_dim), unit length.
        gallery_embeddings: float, shape (n_gallery, embedding_dim), unit length.
        gallery_labels: integers, shape (n_gallery,).
        n_identities: of the label map.

    Returns:
        Cosine, shape (n_query, n_identities); -2, below any cosine, for an identity without a
        gallery photo.

    >>> one, other = np.eye(2)
    >>> identity_scores(one[None], np.stack([other, one]), gallery_labels=np.array([2, 0]),
    ...                 n_identities=3)
    array([[ 1., -2.,  0.]])
    """
    similarity = query_embeddings @ gallery_embeddings.T  # (n_query, n_gallery)
    scores = np.full((len(query_embeddings), n_identities), -2.0)
    for label in np.unique(gallery_labels):
        scores[:, label] = similarity[:, gallery_labels == label].max(axis=1)
    return scores
