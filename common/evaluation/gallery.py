"""A gallery of known animals that is searched by embedding, through FAISS."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from common.errors import InputError
from common.evaluation.gallery_files import GalleryParts, read_parts, write_parts
from common.evaluation.gallery_index import (
    KINDS,
    IndexReport,
    best_of,
    build_index,
    find_nearest,
    kind_for,
)


class Gallery:
    """Embeddings with identities; animals are added without training anything.

    Search is exact, every query meets every gallery photo, until `build` makes an index. Photos
    enrolled after that are found at once: they are few, and are compared one by one.

    Args:
        embedding_dim: length of an embedding.
    """

    def __init__(self, embedding_dim: int) -> None:
        empty = np.empty((0, embedding_dim), dtype=np.float32)
        self._parts = GalleryParts(empty, empty, [], index=None, report=None)

    def __len__(self) -> int:
        return len(self._parts.identities)

    @property
    def report(self) -> IndexReport | None:
        """What `build` built last, and its recall; None before."""
        return self._parts.report

    def enrol(self, embeddings: np.ndarray, identities: Sequence[str]) -> None:
        """Add photos of known animals.

        Args:
            embeddings: float, shape (n_images, embedding_dim), unit length. The first that a
                gallery gets stay where they are if they are memory-mapped.
            identities: of each photo, length n_images.
        """
        if len(embeddings) != len(identities):
            raise ValueError(f"{len(embeddings)} embeddings, but {len(identities)} identities")
        parts = self._parts
        if embeddings.shape[1:] != parts.recent.shape[1:]:
            raise ValueError(f"found {embeddings.shape}, expected (n, {parts.recent.shape[1]})")
        stays = isinstance(embeddings, np.memmap) and embeddings.dtype == np.float32
        if not (stays and len(self) == 0):
            embeddings = np.concatenate([parts.recent, embeddings], dtype=np.float32)
        self._parts = replace(
            parts, recent=embeddings, identities=[*parts.identities, *map(str, identities)]
        )

    def build(
        self, index: str = "auto", *, recall: float = 0.995, seed: int = 0, progress: bool = True
    ) -> IndexReport:
        """Make the index that suits the gallery's size, over all photos enrolled so far.

        Args:
            index: auto, flat, hnsw or ivfpq; see `common.evaluation.gallery_index`.
            recall: wanted share in [0, 1] of queries whose nearest photo is found; searches work
                as hard as that needs.
            seed: of what is drawn to train and to measure.
            progress: whether to draw a bar.

        Returns:
            What was built, and the recall measured on this gallery.

        Raises:
            InputError: an unknown index, or a gallery too small for it.
        """
        if index not in ("auto", *KINDS):
            raise InputError(f"found index '{index}', expected auto, {', '.join(KINDS)}")
        embeddings = self._all_embeddings()
        kind = kind_for(len(self)) if index == "auto" else index
        built, report = build_index(embeddings, kind, recall=recall, seed=seed, progress=progress)
        self._parts = GalleryParts(
            embeddings, embeddings[:0], self._parts.identities, index=built, report=report
        )
        return report

    def search(self, query_embeddings: np.ndarray, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
        """The gallery photos most alike to each query; many queries at once are quickest.

        Args:
            query_embeddings: float, shape (n_query, embedding_dim), unit length.
            k: gallery photos per query; at most as many as there are.

        Returns:
            similarity: cosine, shape (n_query, k), best first; exact, whatever the index.
            rows: of the gallery in order of enrolment, shape (n_query, k).

        Raises:
            ValueError: the gallery is empty.
        """
        if len(self) == 0:
            raise ValueError("the gallery is empty: enrol photos before searching")
        queries = np.ascontiguousarray(query_embeddings, dtype=np.float32)
        indexed, recent = self._parts.indexed, self._parts.recent
        found = []
        if len(indexed):
            found.append(find_nearest(self._parts.index, indexed, queries, min(k, len(indexed))))
        if len(recent):
            similarity, rows = find_nearest(None, recent, queries, min(k, len(recent)))
            found.append((similarity, rows + len(indexed)))
        similarity, rows = (np.concatenate(each, axis=1) for each in zip(*found, strict=True))
        return best_of(similarity, rows, k)

    def identify(self, query_embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The most alike animal for each query, however unlike it is.

        Returns:
            identities: str, shape (n_query,).
            similarity: cosine, shape (n_query,).
        """
        similarity, rows = self.search(query_embeddings, k=1)
        return np.array([self._parts.identities[row] for row in rows[:, 0]]), similarity[:, 0]

    def save(self, folder: str | Path) -> Path:
        """Write the gallery to a folder; one that is there stays whole until the new one is.

        Raises:
            InputError: the folder cannot be written to.
        """
        return write_parts(folder, self._parts)

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = True) -> "Gallery":
        """Read what `save` wrote; embeddings and index stay on disk until they are searched.

        Args:
            folder: of the gallery.
            verify: whether to compare all files with their checksums, about a second per gigabyte.

        Raises:
            InputError: no gallery, or one whose files are missing, damaged or do not fit together.
        """
        parts = read_parts(folder, verify=verify)
        gallery = cls(parts.indexed.shape[1])
        gallery._parts = parts
        return gallery

    def _all_embeddings(self) -> np.ndarray:
        """All photos in order of enrolment; no copy where all are on one side."""
        indexed, recent = self._parts.indexed, self._parts.recent
        if len(indexed) and len(recent):
            return np.concatenate([indexed, recent])
        return indexed if len(indexed) else recent


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
