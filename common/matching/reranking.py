"""k-reciprocal re-ranking: photos of one animal have the same neighbours, and are each other's.

A candidate that is near the query, but whose own neighbours are others, is probably near by
chance. Each photo is described by its k-reciprocal neighbours: those among its k1 nearest that
have it among their k1 nearest too. Two photos are as alike as these descriptions overlap (Jaccard
distance), which is mixed with the distance that the embedding gives.

Source: Zhong et al. 2017, CVPR, arXiv 1701.08398. Where the published code departs from the paper
this follows the code, which gave the published figures:

* The distance is the squared Euclidean one, here 2 - 2 cosine, divided by the largest distance of
  the same photo to any; so it lies in [0, 1], and is not symmetric.
* A photo is the first of its own neighbours, so that "the k1 nearest" are k1 + 1 with itself.
* A neighbour's k1 / 2-reciprocal neighbours join if *more than* 2/3 of them are neighbours
  already (the paper: at least 2/3); k1 / 2 is rounded, halves to the even number.
* The k2 photos whose descriptions are averaged include the photo itself.

Ties, of which the paper says nothing: cosines that agree to nine decimals are equal, and of equal
photos the one with the lower row is nearer; a photo itself is nearer than any copy of it. Where
there are fewer than k1 others, all are neighbours.

The published way puts all queries and the gallery into one set, so that a query's answer depends
on which other queries are asked with it, and they are neighbours of each other. A field worker
has one photo. `ReciprocalGallery` therefore describes the gallery once, by itself; each query is
described by gallery photos alone, and answers do not depend on each other. `rerank_together` is
the published way.

Neighbours are few, so that descriptions are sparse: memory is a block of queries times the
gallery, and about 1.5 kB a photo; the published code holds several tables of all photos times all
photos.
"""

from dataclasses import dataclass

from common.measures.ranking import worker_threads
from common.measures.retrieval import checked_embeddings

import numpy as np
from scipy.sparse import csc_array, csr_array, vstack

TIE_DECIMALS = 9  # of a cosine in float64, whose own error is below 1e-15
PRODUCT_ERROR = 2e-6  # cosine; twice what float32 can be wrong by, and some more
ALL_THE_SAME = 1e-5  # largest distance of photos that differ by rounding alone
OWN = 2.0  # in place of a photo's cosine with itself: above any other
BLOCK_SIZE = 256  # photos whose cosines with all the others are in memory at a time
PAIRS_AT_ONCE = 4_096  # whose embeddings are gathered at a time, in float64


@dataclass(frozen=True)
class Reranked:
    """Re-ranked scores of queries, a block at a time.

    Attributes:
        query: embeddings, float32, shape (n_query, embedding_dim).
        gallery: embeddings, float32, shape (n_gallery, embedding_dim).
        furthest: largest distance of each query to any photo, shape (n_query,).
        query_codes: descriptions, sparse, shape (n_query, n_coordinates).
        gallery_codes: descriptions, sparse by column, shape (n_gallery, n_coordinates).
        original_share: of the embedding's own distance in the mix, in [0, 1]; the paper's lambda.
    """

    query: np.ndarray
    gallery: np.ndarray
    furthest: np.ndarray
    query_codes: csr_array
    gallery_codes: csc_array
    original_share: float

    def block(self, start: int, stop: int) -> np.ndarray:
        """Scores of the queries `start` to `stop`, in [0, 1], high where alike.

        Returns:
            One minus the mixed distance, float32, shape (stop - start, n_gallery).
        """
        distance = self.query[start:stop] @ self.gallery.T
        _to_distance(distance)
        distance *= self.original_share / self.furthest[start:stop, None]
        shared = _overlap(self.query_codes[start:stop], self.gallery_codes)
        jaccard = np.divide(shared, 2 - shared, out=shared)  # codes sum to 1: union is 2 - shared
        np.subtract(1, jaccard, out=jaccard)
        jaccard *= 1 - self.original_share
        distance += jaccard
        return np.subtract(1, distance, out=distance)


class ReciprocalGallery:
    """A gallery that knows its neighbourhoods, and re-ranks itself for one query at a time.

    Args:
        embeddings: shape (n_gallery, embedding_dim), unit length; used in float32.
        k1: neighbours that are asked whether the neighbourhood is mutual, at least 1.
        k2: nearest photos, itself included, whose descriptions are averaged, at least 1.

    Raises:
        InputError: there is no photo, or an embedding is not finite.
        ValueError: embeddings are not of unit length, or k1 or k2 is below 1.
    """

    def __init__(self, embeddings: np.ndarray, *, k1: int = 20, k2: int = 6) -> None:
        if min(k1, k2) < 1:
            raise ValueError(f"found k1 {k1} and k2 {k2}, expected at least 1")
        self.embeddings = checked_embeddings(embeddings, "gallery")
        self.k1, self.k2 = k1, k2
        nearest = _nearest(self.embeddings, self.embeddings, max(k1 + 1, k2), are_the_same=True)
        # Cosine of each gallery photo's k1-th neighbour; -inf where there are fewer.
        none = np.full(len(self.embeddings), -np.inf)
        self._reach = nearest.cosines[:, k1] if nearest.cosines.shape[1] > k1 else none
        self._half = _mutual(nearest.rows[:, : round(k1 / 2) + 1])
        members = _with_their_neighbours(_mutual(nearest.rows[:, : k1 + 1]), self._half)
        self.furthest = nearest.furthest
        weights = _weights(self.embeddings, self.embeddings, members, self.furthest)
        self._codes = _rows_divided(weights, weights.sum(axis=1))
        self.codes = _mean_of(nearest.rows[:, :k2], self._codes)
        self._codes_by_column = self.codes.tocsc()

    @property
    def n_bytes(self) -> int:
        """Memory that it holds beside the embeddings."""
        matrices = (self._half, self._codes, self.codes, self._codes_by_column)
        return sum(each.data.nbytes + each.indices.nbytes + each.indptr.nbytes for each in matrices)

    def rerank(self, query_embeddings: np.ndarray, *, original_share: float = 0.3) -> Reranked:
        """Describe queries by gallery photos, each for itself.

        A query counts as a neighbour of a gallery photo that has fewer than k1 others more alike.
        Its description has a share for itself, which no gallery photo has; its neighbours'
        descriptions, which it is averaged with, are the gallery's own.

        Args:
            query_embeddings: shape (n_query, embedding_dim), unit length.
            original_share: of the embedding's own distance in the mix, in [0, 1].
        """
        query = checked_embeddings(query_embeddings, "query")
        nearest = _nearest(query, self.embeddings, max(self.k1, self.k2 - 1))
        rows, cosines = nearest.rows[:, : self.k1], nearest.cosines[:, : self.k1]
        is_mutual = cosines >= self._reach[rows]
        mutual = _selected(rows, is_mutual, len(self.embeddings))
        members = _with_their_neighbours(mutual, self._half)
        weights = _weights(query, self.embeddings, members, nearest.furthest)
        codes = _rows_divided(weights, 1 + weights.sum(axis=1))  # 1: exp(-0), the query itself
        n_averaged = min(self.k2, len(self.embeddings) + 1)
        if n_averaged > 1:
            others = _mean_of(nearest.rows[:, : n_averaged - 1], self._codes)
            codes = (codes + (n_averaged - 1) * others) / np.float32(n_averaged)
        described = csr_array(codes), self._codes_by_column
        return Reranked(query, self.embeddings, nearest.furthest, *described, original_share)


def rerank_together(
    *,
    query_embeddings: np.ndarray,
    gallery_embeddings: np.ndarray,
    k1: int = 20,
    k2: int = 6,
    original_share: float = 0.3,
) -> Reranked:
    """Re-rank as published: queries and gallery are one set, all are neighbours of all.

    Rows, by which ties are ordered, are those of the queries, then those of the gallery.

    Args:
        query_embeddings: shape (n_query, embedding_dim), unit length.
        gallery_embeddings: shape (n_gallery, embedding_dim), unit length.
        k1: as in `ReciprocalGallery`; k2 and original_share too.
    """
    query = checked_embeddings(query_embeddings, "query")
    gallery, n_query = checked_embeddings(gallery_embeddings, "gallery"), len(query)
    everything = ReciprocalGallery(np.concatenate([query, gallery]), k1=k1, k2=k2)
    codes = everything.codes[:n_query], everything.codes[n_query:].tocsc()
    return Reranked(query, gallery, everything.furthest[:n_query], *codes, original_share)


@dataclass(frozen=True)
class _Nearest:
    """The nearest photos of each, nearest first."""

    rows: np.ndarray  # (n_photos, k)
    cosines: np.ndarray  # float64, rounded, (n_photos, k)
    furthest: np.ndarray  # largest distance of each to any, float32, (n_photos,), above 0


def _nearest(
    photos: np.ndarray, gallery: np.ndarray, k: int, *, are_the_same: bool = False
) -> _Nearest:
    """The k nearest gallery photos of each photo; of the gallery itself, each is its own nearest.

    A float32 product says which pairs may be among them, and float64 which are: only so do
    equal photos have equal cosines, whatever the block they are in.
    """
    k = min(k, len(gallery))

    def nearest_of_block(start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        block = photos[start : start + BLOCK_SIZE]
        product = block @ gallery.T
        furthest = _to_distance(product.min(axis=1))
        if are_the_same:
            np.fill_diagonal(product[:, start:], OWN)
        lowest = np.partition(product, -k, axis=1)[:, -k] - PRODUCT_ERROR
        of, column = np.nonzero(product >= lowest[:, None])
        cosines = np.round(_cosines(block, of, gallery, column), TIE_DECIMALS)
        if are_the_same:
            cosines[column == of + start] = OWN
        order = np.lexsort((column, -cosines, of))  # within each photo, nearest first
        first = np.searchsorted(of, np.arange(len(block)))
        chosen = order[first[:, None] + np.arange(k)]
        return column[chosen], cosines[chosen], furthest

    starts = range(0, len(photos), BLOCK_SIZE)
    with worker_threads(len(starts)) as (pool, _):
        parts = zip(*pool.map(nearest_of_block, starts), strict=True)
        rows, cosines, furthest = (np.concatenate(part) for part in parts)
    furthest[furthest < ALL_THE_SAME] = 1  # no distance to divide by
    return _Nearest(rows, cosines, furthest)


def _cosines(
    first: np.ndarray, first_rows: np.ndarray, second: np.ndarray, second_rows: np.ndarray
) -> np.ndarray:
    """Inner products of pairs of rows, float64, shape (n_pairs,)."""
    cosines = np.empty(len(first_rows))
    for start in range(0, len(cosines), PAIRS_AT_ONCE):
        pairs = slice(start, start + PAIRS_AT_ONCE)
        here, there = first[first_rows[pairs]], second[second_rows[pairs]]
        cosines[pairs] = np.einsum("ij,ij->i", here, there, dtype=np.float64)
    return cosines


def _to_distance(cosines: np.ndarray) -> np.ndarray:
    """Squared Euclidean distance of unit vectors, in [0, 4], in the place of their cosines."""
    np.multiply(cosines, -2, out=cosines)
    cosines += 2
    return np.maximum(cosines, 0, out=cosines)


def _selected(rows: np.ndarray, is_selected: np.ndarray, n_columns: int) -> csr_array:
    """Ones where a photo (row) has selected another (column), sparse."""
    ends = np.concatenate([[0], np.cumsum(is_selected.sum(axis=1))]).astype(np.int32)
    columns = rows[is_selected].astype(np.int32)
    ones = np.ones(len(columns), dtype=np.float32)
    return csr_array((ones, columns, ends), shape=(len(rows), n_columns))


def _mutual(rows: np.ndarray) -> csr_array:
    """Ones where two photos are each other's neighbours, rows (n_photos, k); symmetric."""
    neighbours = _selected(rows, np.ones(rows.shape, dtype=bool), len(rows))
    return csr_array(neighbours.multiply(neighbours.T))


def _with_their_neighbours(mutual: csr_array, half: csr_array) -> csr_array:
    """Add to each photo's mutual neighbours the close ones of those that share most of theirs.

    Args:
        mutual: k1-reciprocal neighbours of some photos, shape (n_photos, n_gallery).
        half: k1 / 2-reciprocal neighbours of the gallery, shape (n_gallery, n_gallery).

    Source: eq. 4, R*; a neighbour's set joins if more than 2/3 of it is in `mutual`.
    """
    n_in_half, expanded = half.sum(axis=1), []
    for start in range(0, mutual.shape[0], 8 * BLOCK_SIZE):
        own = mutual[start : start + 8 * BLOCK_SIZE]
        n_shared = csr_array(own.multiply(own @ half))  # `half` is symmetric
        joins = 3 * n_shared.data > 2 * n_in_half[n_shared.indices]
        n_shared.data = joins.astype(np.float32)
        members = csr_array(own + n_shared @ half)
        members.eliminate_zeros()
        expanded.append(members)
    return csr_array(vstack(expanded, format="csr"))


def _weights(
    photos: np.ndarray, gallery: np.ndarray, members: csr_array, furthest: np.ndarray
) -> csr_array:
    """exp(-distance) of each photo to its members (eq. 7), sparse like `members`."""
    of = np.repeat(np.arange(len(photos)), np.diff(members.indptr))
    distance = _to_distance(_cosines(photos, of, gallery, members.indices)) / furthest[of]
    weights = np.exp(-distance).astype(np.float32)
    return csr_array((weights, members.indices, members.indptr), shape=members.shape)


def _rows_divided(matrix: csr_array, divisors: np.ndarray) -> csr_array:
    values = matrix.data / np.repeat(divisors, np.diff(matrix.indptr)).astype(np.float32)
    return csr_array((values, matrix.indices, matrix.indptr), shape=matrix.shape)


def _mean_of(rows: np.ndarray, codes: csr_array) -> csr_array:
    """Mean description of some photos each (eq. 11), sparse; rows of codes, (n_means, k)."""
    chosen = _selected(rows, np.ones(rows.shape, dtype=bool), codes.shape[0])
    return csr_array(chosen @ codes) / np.float32(rows.shape[1])


def _overlap(query_codes: csr_array, gallery_codes: csc_array) -> np.ndarray:
    """Sum over coordinates of the smaller of the two codes (eq. 10), float32, (n_query, n_gallery).

    Only gallery photos that share a coordinate with the query are touched.
    """
    n_gallery = gallery_codes.shape[0]
    overlap = np.zeros((query_codes.shape[0], n_gallery), dtype=np.float32)
    starts, n_in_column = gallery_codes.indptr[:-1], np.diff(gallery_codes.indptr)
    for i, line in enumerate(overlap):
        entries = slice(query_codes.indptr[i], query_codes.indptr[i + 1])
        columns, values = query_codes.indices[entries], query_codes.data[entries]
        n_each = n_in_column[columns]
        before = np.cumsum(n_each) - n_each
        places = np.repeat(starts[columns] - before, n_each) + np.arange(n_each.sum())
        smaller = np.minimum(np.repeat(values, n_each), gallery_codes.data[places])
        line[:] = np.bincount(gallery_codes.indices[places], weights=smaller, minlength=n_gallery)
    return overlap
