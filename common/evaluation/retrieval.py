"""Ranking the gallery for each query: rank-k (CMC), mAP and mINP.

Only the ranks of the right gallery photos are needed, never the whole order: the rank of a right
photo is one plus the photos before it, and these can be counted without sorting the gallery. One
block of queries is in memory at a time.

Conventions, which differ silently between published evaluators:

* Similarity is the inner product, which is the cosine because embeddings have unit length.
* Same-encounter rule: gallery photos of the query's identity from the query's own encounter are
  ignored for that query. A photo that is on both sides is in its own encounter, so it goes too.
* Ties are pessimistic: a wrong gallery photo as similar as a right one ranks before it. Cosines
  within 1e-6 are tied, because float32 rounding alone sets two copies of one photo apart by 1e-7.
* Average precision is not interpolated, over the whole ranking.
* A query with no right photo left counts as a miss (zero), is counted and is named. The
  `*_answerable` fields give the mean over the other queries.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from common.errors import InputError

UNIT_LENGTH_TOLERANCE = 1e-3  # largest |length - 1| that still counts as unit length
TIE_TOLERANCE = 1e-6  # cosine; ten times the rounding error of a float32 inner product
N_COUNTED_DIRECTLY = 64  # right photos per query up to which one pass for each is fastest


@dataclass(frozen=True)
class RetrievalReport:
    """How well queries find their identity in the gallery.

    Attributes:
        n_queries: all queries, with and without a match.
        n_gallery: gallery photos.
        n_without_match: queries with no right gallery photo after the same-encounter rule.
        queries_without_match: their names.
        same_encounter_rule: True if the rule was applied.
        n_ignored: (query, gallery photo) pairs that the rule removed.
        rank_k: k to the share in [0, 1] of all queries with a right photo among the first k.
        mAP: mean average precision over all queries, in [0, 1].
        mINP: mean inverse negative penalty over all queries, in [0, 1].
        rank_k_answerable: as `rank_k`, over queries with at least one match.
        mAP_answerable: as `mAP`, over queries with at least one match.
        mINP_answerable: as `mINP`, over queries with at least one match.
        first_rank: int, shape (n_queries,); rank of the first right photo from 1, 0 if none.
        average_precision: shape (n_queries,), in [0, 1]; 0 without a match.
        inverse_negative_penalty: shape (n_queries,), in [0, 1]; 0 without a match.
        nearest_identity: shape (n_queries,); identity of the most similar photo not ignored
            (a wrong one if tied, the first in the gallery among those), None if all are ignored.
        nearest_similarity: shape (n_queries,); its cosine, nan if all are ignored.
    """

    n_queries: int
    n_gallery: int
    n_without_match: int
    queries_without_match: tuple[str, ...]
    same_encounter_rule: bool
    n_ignored: int
    rank_k: dict[int, float]
    mAP: float  # noqa: N815, the field's own spelling
    mINP: float  # noqa: N815
    rank_k_answerable: dict[int, float]
    mAP_answerable: float  # noqa: N815
    mINP_answerable: float  # noqa: N815
    first_rank: np.ndarray
    average_precision: np.ndarray
    inverse_negative_penalty: np.ndarray
    nearest_identity: np.ndarray
    nearest_similarity: np.ndarray

    @property
    def has_match(self) -> np.ndarray:
        """Bool, shape (n_queries,): a right gallery photo is left for the query."""
        return self.first_rank > 0

    @property
    def is_correct_at_1(self) -> np.ndarray:
        """Bool, shape (n_queries,): the first photo of the ranking is a right one."""
        return self.first_rank == 1

    def cmc(self, n_ranks: int) -> np.ndarray:
        """CMC curve over all queries, shape (n_ranks,): rank-1 first, in [0, 1]."""
        counts = np.bincount(self.first_rank, minlength=n_ranks + 1)
        return counts[1 : n_ranks + 1].cumsum() / self.n_queries

    def to_dict(self) -> dict:
        """Counts and means as plain JSON types; the arrays per query are left out."""
        return {
            "n_queries": self.n_queries,
            "n_gallery": self.n_gallery,
            "n_without_match": self.n_without_match,
            "queries_without_match": list(self.queries_without_match),
            "same_encounter_rule": self.same_encounter_rule,
            "n_ignored": self.n_ignored,
            "rank_k": {str(k): share for k, share in self.rank_k.items()},
            "mAP": self.mAP,
            "mINP": self.mINP,
            "rank_k_answerable": {str(k): share for k, share in self.rank_k_answerable.items()},
            "mAP_answerable": self.mAP_answerable,
            "mINP_answerable": self.mINP_answerable,
        }


def evaluate_retrieval(
    *,
    query_embeddings: np.ndarray,
    gallery_embeddings: np.ndarray,
    query_identities: Sequence[Hashable],
    gallery_identities: Sequence[Hashable],
    query_encounters: Sequence[Hashable] | None = None,
    gallery_encounters: Sequence[Hashable] | None = None,
    query_names: Sequence[str] | None = None,
    ranks: Sequence[int] = (1, 5, 10),
    block_size: int = 256,
    same_encounter_rule: bool = True,
) -> RetrievalReport:
    """Rank the gallery for every query and summarise where the right photos stand.

    Args:
        query_embeddings: shape (n_query, embedding_dim), unit length; used in float32.
        gallery_embeddings: shape (n_gallery, embedding_dim), unit length; used in float32.
        query_identities: length n_query.
        gallery_identities: length n_gallery.
        query_encounters: length n_query; without encounters no photo is ignored, so the caller
            keeps identical photos apart.
        gallery_encounters: length n_gallery; given exactly when query_encounters is.
        query_names: length n_query, used to name queries without a match; default row numbers.
        ranks: each k, from 1, for which rank-k is reported.
        block_size: queries ranked at a time; memory is about 4 · block_size · n_gallery bytes.
        same_encounter_rule: False keeps photos of the query's own encounter, to show the harm.

    Returns:
        Report over all queries; see `RetrievalReport` for fields, ranges and conventions.

    Raises:
        InputError: a side is empty, dimensions differ, embeddings are not finite, or no query
            at all has a right photo left.
        ValueError: lengths differ, embeddings are not of unit length, only one side has
            encounters, an encounter is empty, or a rank or block_size is below 1.

    Source: CMC and mAP as in torchreid's evaluate_rank, mINP as in Ye et al. 2021
    (arXiv 2001.04193), eq. 2, except for the two conventions on ties and missing matches.
    """
    query = _checked_embeddings(query_embeddings, "query")
    gallery = _checked_embeddings(gallery_embeddings, "gallery")
    if query.shape[1] != gallery.shape[1]:
        raise InputError(
            f"query embeddings have {query.shape[1]} dimensions and gallery embeddings "
            f"{gallery.shape[1]}, expected the same; embed both with one model"
        )
    if min(ranks, default=0) < 1 or block_size < 1:
        raise ValueError(f"found ranks {tuple(ranks)}, block_size {block_size}; expected >= 1")
    names = [str(row) for row in range(len(query))] if query_names is None else query_names
    _check_length(names, len(query), "query_names")
    query_labels, gallery_labels = _shared_labels(
        query_identities, gallery_identities, (len(query), len(gallery)), "identities"
    )
    encounters = None
    if (query_encounters is None) != (gallery_encounters is None):
        raise ValueError("encounters of one side only; give both query's and gallery's, or none")
    if same_encounter_rule and query_encounters is not None:
        encounters = _shared_labels(
            query_encounters, gallery_encounters, (len(query), len(gallery)), "encounters"
        )
    pairs = _SameIdentityPairs.build(query_labels, gallery_labels, encounters)
    result = _rank_in_blocks(query, gallery, pairs, block_size)
    return _report(result, names, gallery_identities, ranks, encounters is not None)


def _checked_embeddings(embeddings: np.ndarray, side: str) -> np.ndarray:
    """Contiguous float32 copy or view of the embeddings, checked."""
    embeddings = np.ascontiguousarray(embeddings, dtype=np.float32)
    if embeddings.ndim != 2:
        raise ValueError(
            f"{side} embeddings have shape {embeddings.shape}, expected (n, embedding_dim)"
        )
    if len(embeddings) == 0:
        raise InputError(f"found no {side} photo, expected at least one; check the split")
    lengths = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings))
    n_not_finite = int(np.count_nonzero(~np.isfinite(lengths)))
    if n_not_finite:
        raise InputError(
            f"{n_not_finite} of {len(embeddings)} {side} embeddings are not finite, expected "
            "numbers; check the model's weights and the training loss"
        )
    n_off = int(np.count_nonzero(np.abs(lengths - 1) > UNIT_LENGTH_TOLERANCE))
    if n_off:
        raise ValueError(
            f"{n_off} of {len(embeddings)} {side} embeddings differ from unit length by more than "
            f"{UNIT_LENGTH_TOLERANCE}; divide each embedding by its length first"
        )
    return embeddings


def _check_length(values: Sequence, expected: int, name: str) -> None:
    if len(values) != expected:
        raise ValueError(f"{name} has {len(values)} entries, expected {expected}")


def _shared_labels(
    query: Sequence[Hashable], gallery: Sequence[Hashable], lengths: tuple[int, int], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Integers that are equal where the values are; a dictionary is faster than sorting."""
    _check_length(query, lengths[0], f"query_{name}")
    _check_length(gallery, lengths[1], f"gallery_{name}")
    values = [*np.asarray(query).tolist(), *np.asarray(gallery).tolist()]
    label_of = {value: label for label, value in enumerate(dict.fromkeys(values))}
    if "" in label_of or None in label_of:
        raise ValueError(f"some {name} are empty, expected a value for every photo")
    labels = np.fromiter((label_of[value] for value in values), dtype=np.intp, count=len(values))
    return labels[: lengths[0]], labels[lengths[0] :]


@dataclass(frozen=True)
class _SameIdentityPairs:
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
    ) -> "_SameIdentityPairs":
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
        return rows, columns, own_encounter == self.gallery_encounters[columns]


@dataclass(frozen=True)
class _Ranking:
    """What is kept of one block of queries, or of all; each array has shape (n_query,)."""

    n_ignored: np.ndarray
    first_rank: np.ndarray
    average_precision: np.ndarray
    inverse_negative_penalty: np.ndarray
    nearest_row: np.ndarray  # gallery row, -1 if every photo is ignored
    nearest_similarity: np.ndarray


def _rank_in_blocks(
    query: np.ndarray, gallery: np.ndarray, pairs: _SameIdentityPairs, block_size: int
) -> _Ranking:
    blocks = []
    for start, similarities in _similarity_blocks(query, gallery, block_size):
        blocks.append(_rank_block(similarities, *pairs.of_block(start, start + len(similarities))))
    columns = zip(*(vars(block).values() for block in blocks), strict=True)
    return _Ranking(*(np.concatenate(column) for column in columns))


def _similarity_blocks(
    query: np.ndarray, gallery: np.ndarray, block_size: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each block's first row and similarities (n_rows, n_gallery), in one buffer."""
    buffer = np.empty((min(block_size, len(query)), len(gallery)), dtype=np.float32)
    for start in range(0, len(query), block_size):
        block = query[start : start + block_size]
        yield start, np.matmul(block, gallery.T, out=buffer[: len(block)])


def _rank_block(
    similarities: np.ndarray, rows: np.ndarray, columns: np.ndarray, is_ignored: np.ndarray
) -> _Ranking:
    """Rank one block; `similarities` (n_rows, n_gallery) is overwritten."""
    n_rows = len(similarities)
    n_ignored = np.bincount(rows[is_ignored], minlength=n_rows)
    right = similarities[rows, columns]  # (n_pairs,)
    similarities[rows, columns] = -np.inf  # from here on only wrong photos are left
    nearest_row = similarities.argmax(axis=1)
    nearest_similarity = similarities[np.arange(n_rows), nearest_row]

    rows, columns, right = rows[~is_ignored], columns[~is_ignored], right[~is_ignored]
    order = np.lexsort((columns, -right, rows))  # most similar first within each query
    rows, columns, right = rows[order], columns[order], right[order]
    n_right = np.bincount(rows, minlength=n_rows)
    place = _count_within(n_right) + 1  # among the right photos, from 1
    rank = place + _n_wrong_before(similarities, rows, right, nearest_similarity)

    # Exactly one pair per query with a match is its first right photo, and one its last.
    first, last = place == 1, place == n_right[rows]
    first_rank = _per_row(rows[first], rank[first], n_rows).astype(np.int64)
    penalty = _per_row(rows[last], place[last] / rank[last], n_rows)
    precision = _per_row(rows, place / rank, n_rows) / np.maximum(n_right, 1)

    is_nearest = rank == 1
    nearest_row[rows[is_nearest]] = columns[is_nearest]
    nearest_similarity[rows[is_nearest]] = right[is_nearest]
    has_none = np.isneginf(nearest_similarity)
    nearest_row[has_none], nearest_similarity[has_none] = -1, np.nan
    return _Ranking(n_ignored, first_rank, precision, penalty, nearest_row, nearest_similarity)


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


def _report(
    result: _Ranking,
    names: Sequence[str],
    gallery_identities: Sequence[Hashable],
    ranks: Sequence[int],
    has_rule: bool,
) -> RetrievalReport:
    first_rank = result.first_rank
    has_match = first_rank > 0
    without_match = tuple(str(names[row]) for row in np.flatnonzero(~has_match))
    if not has_match.any():
        raise InputError(_no_match_message(without_match, int(result.n_ignored.sum()), has_rule))
    # None at the end is what row -1 picks: queries whose whole gallery is ignored.
    identities = np.array([*np.asarray(gallery_identities).tolist(), None], dtype=object)
    answerable = first_rank[has_match]
    return RetrievalReport(
        n_queries=len(first_rank),
        n_gallery=len(gallery_identities),
        n_without_match=len(without_match),
        queries_without_match=without_match,
        same_encounter_rule=has_rule,
        n_ignored=int(result.n_ignored.sum()),
        rank_k={k: float(np.mean(has_match & (first_rank <= k))) for k in ranks},
        mAP=float(result.average_precision.mean()),
        mINP=float(result.inverse_negative_penalty.mean()),
        rank_k_answerable={k: float(np.mean(answerable <= k)) for k in ranks},
        mAP_answerable=float(result.average_precision[has_match].mean()),
        mINP_answerable=float(result.inverse_negative_penalty[has_match].mean()),
        first_rank=first_rank,
        average_precision=result.average_precision,
        inverse_negative_penalty=result.inverse_negative_penalty,
        nearest_identity=identities[result.nearest_row],
        nearest_similarity=result.nearest_similarity,
    )


def _no_match_message(names: tuple[str, ...], n_ignored: int, has_rule: bool) -> str:
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    rule = "the same-encounter rule was off"
    if has_rule:
        rule = f"the same-encounter rule removed {n_ignored} pairs of one identity and encounter"
    return (
        f"none of the {len(names)} queries ({shown}) has a photo of its identity in the gallery; "
        f"{rule}; expected at least one query with a match; add gallery photos of these animals "
        "from other encounters, or choose another split with --split"
    )
