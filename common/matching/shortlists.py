"""A few candidates for each query, which slower scores are asked about.

An embedding compares a query with the whole gallery in no time; comparing details of two photos
takes a millisecond a pair. So the embedding proposes, the slower score puts its proposals in a
new order, and whoever is not among them keeps the embedding's order, behind.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from common.measures.retrieval import BLOCK_SIZE, RetrievalReport, evaluate_scores
from common.splits.encounters import comparable, same_encounter

import numpy as np

# First and last query of some -> their scores, high where alike, shape (n_rows, n_gallery).
ScoreBlock = Callable[[int, int], np.ndarray]


@dataclass(frozen=True, eq=False)
class Asked:
    """Queries, their gallery, and the candidates on each query's shortlist.

    Attributes:
        query: rows of the catalogue, shape (n_query,).
        gallery: rows of the catalogue, shape (n_gallery,).
        embeddings: of the whole catalogue, shape (n_images, embedding_dim), unit length.
        identity: of the whole catalogue, shape (n_images,).
        encounter: of the whole catalogue, shape (n_images,). Photos of a query's own encounter
            are no candidates and are ignored: their background alone would find them.
        n_candidates: most alike gallery photos of each query; all of a smaller gallery.
        side: of the whole catalogue, shape (n_images,): a photo of the other side of an animal
            shows another pattern, so that its details are no candidates. None: all are.
    """

    query: np.ndarray
    gallery: np.ndarray
    embeddings: np.ndarray
    identity: np.ndarray
    encounter: np.ndarray
    n_candidates: int
    side: np.ndarray | None = None

    @cached_property
    def shortlist(self) -> np.ndarray:
        """Positions in `gallery`, most alike first, shape (n_query, n_candidates).

        Where a query has fewer candidates, photos that are none fill its row's end.
        """
        rows = np.empty((len(self.query), len(self.gallery[: self.n_candidates])), dtype=np.intp)
        for start in range(0, len(self.query), BLOCK_SIZE):
            stop = min(start + BLOCK_SIZE, len(self.query))
            cosines = np.where(self.counts(start, stop), self.cosines(start, stop), -np.inf)
            rows[start:stop] = np.argsort(-cosines, axis=1, kind="stable")[:, : rows.shape[1]]
        return rows

    @cached_property
    def is_candidate(self) -> np.ndarray:
        """False for what only fills a row of `shortlist`, bool, like it."""
        parts = [
            np.take_along_axis(self.counts(i, i + 1), self.shortlist[i : i + 1], axis=1)
            for i in range(len(self.query))
        ]
        return np.concatenate(parts)

    @cached_property
    def query_embeddings(self) -> np.ndarray:
        """Shape (n_query, embedding_dim)."""
        return self.embeddings[self.query]

    @cached_property
    def gallery_embeddings(self) -> np.ndarray:
        """Shape (n_gallery, embedding_dim)."""
        return self.embeddings[self.gallery]

    @property
    def is_same(self) -> np.ndarray:
        """Whether a candidate shows the query's animal, bool, like `shortlist`."""
        return self.identity[self.gallery][self.shortlist] == self.identity[self.query][:, None]

    def of_candidates(self, values: np.ndarray) -> np.ndarray:
        """Values like the first columns of `shortlist`, flat, without what only fills a row."""
        return values[self.is_candidate[:, : values.shape[1]]]

    def cosines(self, start: int, stop: int) -> np.ndarray:
        """The embedding's own scores, as a `ScoreBlock`."""
        return self.query_embeddings[start:stop] @ self.gallery_embeddings.T

    def at_shortlist(self, block: ScoreBlock) -> np.ndarray:
        """The candidates' scores, like `shortlist`."""
        parts = []
        for start in range(0, len(self.query), BLOCK_SIZE):
            candidates = self.shortlist[start : start + BLOCK_SIZE]
            scores = block(start, start + len(candidates))
            parts.append(np.take_along_axis(scores, candidates, axis=1))
        return np.concatenate(parts)

    def first_rows(self, block: ScoreBlock, *, right: bool = False) -> np.ndarray:
        """Row of the catalogue that these scores put first for each query, shape (n_query,).

        Args:
            block: scores of the whole gallery.
            right: among photos of the query's animal; -1 where none counts.
        """
        rows = []
        for start in range(0, len(self.query), BLOCK_SIZE):
            stop = min(start + BLOCK_SIZE, len(self.query))
            counts = ~self.is_own(start, stop)
            if right:
                own = self.identity[self.query[start:stop], None]
                counts &= own == self.identity[self.gallery]
            scores = np.where(counts, block(start, stop), -np.inf)
            best = self.gallery[scores.argmax(axis=1)]
            rows.append(np.where(counts.any(axis=1) | (not right), best, -1))
        return np.concatenate(rows)

    def is_own(self, start: int, stop: int) -> np.ndarray:
        """Gallery photos that do not count for some queries, bool, (n_rows, n_gallery)."""
        own = self.encounter[self.query[start:stop]]
        return same_encounter(own[:, None], self.encounter[self.gallery])

    def counts(self, start: int, stop: int) -> np.ndarray:
        """Gallery photos whose details some queries are compared with, bool, like `is_own`."""
        counts = ~self.is_own(start, stop)
        if self.side is not None:
            counts &= comparable(self.side[self.query[start:stop]], self.side[self.gallery])
        return counts

    def evaluate(self, block: ScoreBlock) -> RetrievalReport:
        """Rank the gallery by these scores."""
        return evaluate_scores(
            block,
            query_identities=self.identity[self.query],
            gallery_identities=self.identity[self.gallery],
            query_encounters=self.encounter[self.query],
            gallery_encounters=self.encounter[self.gallery],
        )
