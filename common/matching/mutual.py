"""Mutual nearest neighbours: which details of two photos are each other's most alike.

One matrix product a photo, small enough to stay in the processor's cache, and two looks at it;
most of the time is the product's own (tests/benchmarks/matching.py).
"""

from collections.abc import Callable, Sequence

from common.measures.ranking import worker_threads

import numpy as np
import torch

BLOCK = 32  # rows
FEWEST_OF_A_THREAD = 16  # photos; starting a thread for fewer takes longer than they do
GPU_BATCH_SIZE = 256  # photos at a time, of 2 MB of similarities each


def mutual_neighbours(similarity: np.ndarray, least: float) -> np.ndarray:
    """Pairs that are each other's most alike; of several as alike, the first one is.

    Args:
        similarity: shape (n_query_details, n_candidate_details), high where alike.
        least: that the similarity of a pair has to exceed.

    Returns:
        Rows and columns, int, shape (n_pairs, 2).

    >>> mutual_neighbours(np.array([[0.9, 0.95], [0.97, 0.1]]), 0.8).tolist()
    [[0, 1], [1, 0]]
    """
    if not similarity.size:
        return np.empty((0, 2), dtype=np.intp)
    similarity = np.ascontiguousarray(_whole_blocks(similarity, -np.inf))
    n_rows, n_columns = similarity.shape
    flat, starts = similarity.reshape(-1), np.arange(0, n_rows * n_columns, n_columns)
    column_of = similarity.argmax(axis=1)
    highest = flat.take(starts + column_of)
    rows = np.flatnonzero(highest > least)
    # The column's highest, block by block: NumPy's argmax down a column takes ten times longer.
    blocks = similarity.reshape(-1, BLOCK, n_columns).max(axis=1)
    rows = rows[highest.take(rows) == blocks.max(axis=0).take(column_of.take(rows))]
    # Of several as high the first: the first block, and in it the first row.
    columns = column_of.take(rows)
    first = blocks.take(columns, axis=1).argmax(axis=0) * BLOCK
    within = flat.take((first * n_columns + columns)[:, None] + starts[:BLOCK])
    is_first = first + within.argmax(axis=1) == rows
    return np.stack([rows, columns], axis=1)[is_first]


def _whole_blocks(array: np.ndarray, value: float) -> np.ndarray:
    """The array with rows of a value behind it, up to a multiple of `BLOCK`."""
    if n_missing := -len(array) % BLOCK:
        rows = np.full((n_missing, array.shape[1]), value, dtype=array.dtype)
        return np.concatenate([array, rows])
    return array


def count_mutual_neighbours(
    query: np.ndarray,
    candidates: Sequence[np.ndarray],
    least: float,
    count_of: Callable[[int, np.ndarray], int] = lambda i, pairs: len(pairs),
) -> np.ndarray:
    """How many details of one photo and of each other photo are mutual neighbours.

    Args:
        query: descriptors of unit length, shape (n_details, length).
        candidates: of each photo its own, float16.
        least: cosine that a pair has to exceed, 0 or more.
        count_of: number of a candidate and its pairs to how many of them count.

    Returns:
        int, shape (n_candidates,).
    """
    query = _whole_blocks(query.astype(np.float32), 0.0)  # cosine 0, below any least
    most = max(map(len, candidates), default=0)

    def count(part: Sequence[int]) -> list[int]:
        room = np.empty(len(query) * most, dtype=np.float32)  # made once: it stays in the cache
        described = np.empty((most, query.shape[1]), dtype=np.float32)
        counts = []
        for i in part:
            n = len(candidates[i])
            np.copyto(described[:n], candidates[i])
            similarity = room[: len(query) * n].reshape(len(query), n)
            np.matmul(query, described[:n].T, out=similarity)
            counts.append(count_of(i, mutual_neighbours(similarity, least)))
        return counts

    with worker_threads(len(candidates) // FEWEST_OF_A_THREAD) as (threads, n_threads):
        parts = np.array_split(np.arange(len(candidates)), n_threads)
        return np.array([n for part in threads.map(count, parts) for n in part], dtype=np.intp)


@torch.inference_mode()
def count_on_gpu(
    query: torch.Tensor, candidates: Sequence[torch.Tensor], least: float
) -> np.ndarray:
    """`count_mutual_neighbours` of descriptors that are on a GPU, many photos at a time."""
    counts, here = [], query.float()
    for start in range(0, len(candidates), GPU_BATCH_SIZE):
        # Rows of zeros make up for missing details: their cosine, 0, is below any least.
        described = torch.nn.utils.rnn.pad_sequence(
            candidates[start : start + GPU_BATCH_SIZE], batch_first=True
        )
        similarity = here @ described.float().mT
        if not similarity.numel():
            counts += [0] * len(described)
            continue
        highest, column_of = similarity.max(dim=2)
        back = similarity.max(dim=1).indices.gather(1, column_of)
        is_mutual = (highest > least) & (back == torch.arange(len(here), device=here.device))
        counts += is_mutual.sum(dim=1).tolist()
    return np.array(counts, dtype=np.intp)
