"""Ranks of the right gallery photos, block by block, on all the processor's threads.

The rank of a right photo is one plus the photos before it. These can be counted without sorting
the gallery, so that nothing the size of all queries times all gallery photos is ever held.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from common.splits.encounters import same_encounter

import numpy as np
from threadpoolctl import ThreadpoolController

TIE_TOLERANCE = 1e-6  # cosine; ten times the rounding error of a float32 inner product
SMALLEST_SHARE = 64  # rows of a block for one thread; fewer make the matrix product slow
N_COUNTED_DIRECTLY = 64  # right photos per query up to which one pass for each is fastest

# First and last row of some queries, and room for their similarities to the whole gallery, float32,
# shape (n_rows, n_gallery) -> that array, filled. Several threads call it at the same time.
FillBlock = Callable[[int, int, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class SameIdentityPairs:
    """Finds the (query, gallery photo) pairs of one identity without an (n, n) matrix."""

    order: np.ndarray  # gallery rows, those of one identity side by side
    first: np.ndarray  # (n_query,) where the query's identity starts in `order`
    n_same: np.ndarray  # (n_query,) gallery photos of the query's identity
    query_encounters: np.ndarray | None
    gallery_encounters: np.ndarray | None

    @classmethod
    def build(
        cls,
        query_labels: np.ndarray,
        gallery_labels: np.ndarray,
        encounters: tuple[np.ndarray, np.ndarray] | None,
    ) -> "SameIdentityPairs":
        order = np.argsort(gallery_labels, kind="stable")
        in_order = gallery_labels[order]
        first = np.searchsorted(in_order, query_labels, side="left")
        n_same = np.searchsorted(in_order, query_labels, side="right") - first
        return cls(order, first, n_same, *(encounters or (None, None)))

    def of_block(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows in the block, gallery columns and is_ignored, each shape (n_pairs,), by row."""
        n_same = self.n_same[start:stop]
        rows = np.repeat(np.arange(stop - start), n_same)
        columns = self.order[np.repeat(self.first[start:stop], n_same) + _count_within(n_same)]
        if self.query_encounters is None:
            return rows, columns, np.zeros(len(rows), dtype=bool)
        own_encounter = self.query_encounters[start:stop][rows]
        return rows, columns, same_encounter(own_encounter, self.gallery_encounters[columns])


@dataclass(frozen=True)
class RankedQueries:
    """What is kept of one block of queries, or of all; each array has shape (n_query,)."""

    n_ignored: np.ndarray
    first_rank: np.ndarray
    average_precision: np.ndarray
    inverse_negative_penalty: np.ndarray


@contextmanager
def worker_threads(n_most: int) -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """As many threads, and their number, as a matrix product has, with products of their own."""
    if n_most < 2:  # looking for the libraries below takes longer than ranking for one query
        with ThreadPoolExecutor(1) as pool:
            yield pool, 1
        return
    blas = ThreadpoolController().select(user_api="blas")  # none found (macOS): one worker
    n_threads = max((library.num_threads for library in blas.lib_controllers), default=1)
    n_workers = min(n_threads, n_most)
    with blas.limit(limits=1 if n_workers > 1 else None), ThreadPoolExecutor(n_workers) as pool:
        yield pool, n_workers


def rank_in_blocks(
    fill: FillBlock, n_query: int, n_gallery: int, pairs: SameIdentityPairs, block_size: int
) -> RankedQueries:
    """Rank all queries; the processor's threads share the rows of a block between them.

    Each thread has its own product and its own ranking, and never waits for the others: a product
    by all threads, then a ranking by one, would leave the others idle for half of the time.
    """
    with worker_threads(min(block_size, n_query) // SMALLEST_SHARE) as (pool, n_workers):
        n_rows = -(-block_size // n_workers)
        starts = range(0, n_query, n_rows)

        def rank_every_nth(worker: int) -> list[RankedQueries]:
            buffer = np.empty((min(n_rows, n_query), n_gallery), dtype=np.float32)
            blocks = []
            for start in starts[worker::n_workers]:
                stop = min(start + n_rows, n_query)
                similarities = fill(start, stop, buffer[: stop - start])
                blocks.append(_rank_block(similarities, *pairs.of_block(start, stop)))
            return blocks

        of_worker = list(pool.map(rank_every_nth, range(n_workers)))
    blocks = [of_worker[i % n_workers][i // n_workers] for i in range(len(starts))]
    columns = zip(*(vars(block).values() for block in blocks), strict=True)
    return RankedQueries(*(np.concatenate(column) for column in columns))


def _rank_block(
    similarities: np.ndarray, rows: np.ndarray, columns: np.ndarray, is_ignored: np.ndarray
) -> RankedQueries:
    """Rank one block; `similarities` (n_rows, n_gallery) is overwritten."""
    n_rows = len(similarities)
    n_ignored = np.bincount(rows[is_ignored], minlength=n_rows)
    similarities[rows[is_ignored], columns[is_ignored]] = -np.inf
    rows, columns = rows[~is_ignored], columns[~is_ignored]
    right = similarities[rows, columns]  # (n_pairs,)
    similarities[rows, columns] = -np.inf  # from here on only wrong photos are left
    best_wrong = similarities.max(axis=1)

    n_right = np.bincount(rows, minlength=n_rows)
    place = _count_within(n_right) + 1  # among the right photos, from 1
    right = _most_similar_first(right, rows, place)
    rank = place + _n_wrong_before(similarities, rows, right, best_wrong)

    # Exactly one pair per query with a match is its first right photo, and one its last.
    first, last = place == 1, place == n_right[rows]
    first_rank = _per_row(rows[first], rank[first], n_rows).astype(np.int64)
    penalty = _per_row(rows[last], place[last] / rank[last], n_rows)
    precision = _per_row(rows, place / rank, n_rows) / np.maximum(n_right, 1)
    return RankedQueries(n_ignored, first_rank, precision, penalty)


def _most_similar_first(values: np.ndarray, rows: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The values sorted within each row, largest first; the place in a row counts from 1."""
    table = np.full((rows.max(initial=0) + 1, place.max(initial=1)), np.inf, dtype=np.float32)
    table[rows, place - 1] = -values
    table.sort(axis=1)  # values alone: several times faster than an order of rows and values
    return -table[rows, place - 1]


def _per_row(rows: np.ndarray, values: np.ndarray, n_rows: int) -> np.ndarray:
    """Sum of the values of each row of the block, shape (n_rows,); 0 for a row without any."""
    return np.bincount(rows, weights=values, minlength=n_rows)


def _n_wrong_before(
    wrong: np.ndarray, rows: np.ndarray, right: np.ndarray, best_wrong: np.ndarray
) -> np.ndarray:
    """Wrong photos at least as similar as each right one, up to rounding, shape (n_pairs,).

    Few right photos: one pass over the row for each. Many: sorting the row, which costs as much as
    30 to 140 passes, by processor. A right photo above every wrong one needs neither.
    """
    n_before = np.zeros(len(right), dtype=np.int64)
    tied = right - TIE_TOLERANCE  # the lowest similarity that counts as equal
    contested = np.flatnonzero(tied <= best_wrong[rows])
    is_before = np.empty((N_COUNTED_DIRECTLY, wrong.shape[1]), dtype=bool)
    edges = np.searchsorted(rows[contested], np.arange(len(wrong) + 1))
    for row in np.flatnonzero(np.diff(edges)):
        pairs = contested[edges[row] : edges[row + 1]]
        if len(pairs) > N_COUNTED_DIRECTLY:
            in_order = np.sort(wrong[row][wrong[row] >= tied[pairs[-1]]])
            n_before[pairs] = len(in_order) - np.searchsorted(in_order, tied[pairs], side="left")
        else:
            np.greater_equal(wrong[row], tied[pairs, None], out=is_before[: len(pairs)])
            n_before[pairs] = [np.count_nonzero(line) for line in is_before[: len(pairs)]]
    return n_before


def _count_within(sizes: np.ndarray) -> np.ndarray:
    """0, 1, … within each group of the given sizes, one after the other.

    >>> _count_within(np.array([2, 0, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    starts = np.cumsum(sizes) - sizes
    return np.arange(sizes.sum()) - np.repeat(starts, sizes)
