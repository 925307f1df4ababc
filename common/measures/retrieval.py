"""Ranking the gallery for each query: rank-k (CMC), mAP and mINP.

Only the ranks of the right gallery photos are needed, never the whole order (see
`common.measures.ranking`); one block of queries is in memory at a time.

Conventions, which differ silently between published evaluators:

* Similarity is the inner product, which is the cosine because embeddings have unit length.
* Same-encounter rule (`common.splits.encounters`): gallery photos of the query's identity from the
  query's own encounter are ignored for that query. A photo that is on both sides is in its own
  encounter, so it goes too.
* Ties are pessimistic: a wrong gallery photo as similar as a right one ranks before it. Cosines
  within 1e-6 are tied, because float32 rounding alone sets two copies of one photo apart by 1e-7.
* Average precision is not interpolated, over the whole ranking.
* A query with no right photo left counts as a miss (zero), is counted and is named. The
  `*_answerable` fields give the mean over the other queries.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from common.errors import InputError
from common.measures.ranking import FillBlock, RankedQueries, SameIdentityPairs, rank_in_blocks
from common.words import few

import numpy as np

RANKS = (1, 5, 10)  # each k for which rank-k is reported, unless others are asked for
BLOCK_SIZE = 384  # queries ranked at a time
UNIT_LENGTH_TOLERANCE = 1e-3  # largest |length - 1| that still counts as unit length


@dataclass(frozen=True)
class RetrievalReport:
    """How well queries find their identity in the gallery.

    Attributes:
        n_without_match: queries with no right gallery photo after the same-encounter rule.
        n_ignored: (query, gallery photo) pairs that the rule removed.
        rank_k: k to the share in [0, 1] of all queries with a right photo among the first k.
        mAP: mean average precision over all queries, in [0, 1].
        mINP: mean inverse negative penalty over all queries, in [0, 1].
        *_answerable: the same, over queries with at least one match.
        first_rank: int, shape (n_queries,); rank of the first right photo from 1, 0 if none.
        average_precision: shape (n_queries,), in [0, 1]; 0 without a match.
        inverse_negative_penalty: shape (n_queries,), in [0, 1]; 0 without a match.
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
        plain = {k: each for k, each in vars(self).items() if not isinstance(each, np.ndarray)}
        for name in ("rank_k", "rank_k_answerable"):
            plain[name] = {str(k): share for k, share in plain[name].items()}
        return plain | {"queries_without_match": list(self.queries_without_match)}


def evaluate_retrieval(
    *,
    query_embeddings: np.ndarray,
    gallery_embeddings: np.ndarray,
    query_identities: Sequence[Hashable],
    gallery_identities: Sequence[Hashable],
    query_encounters: Sequence[Hashable] | None = None,
    gallery_encounters: Sequence[Hashable] | None = None,
    query_names: Sequence[str] | None = None,
    ranks: Sequence[int] = RANKS,
    block_size: int = BLOCK_SIZE,
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
        block_size: queries ranked at a time, by all threads together; memory is about
            4 · block_size · n_gallery bytes.
        same_encounter_rule: False keeps photos of the query's own encounter, to show the harm.

    Raises:
        InputError: a side is empty, dimensions differ, embeddings are not finite, or no query
            at all has a right photo left.
        ValueError: lengths differ, embeddings are not of unit length, only one side has
            encounters, or an encounter is empty.

    Source: CMC and mAP as in torchreid's evaluate_rank, mINP as in Ye et al. 2021
    (arXiv 2001.04193), eq. 2, except for the two conventions on ties and missing matches.
    """
    query = checked_embeddings(query_embeddings, "query")
    gallery = checked_embeddings(gallery_embeddings, "gallery")
    if query.shape[1] != gallery.shape[1]:
        raise InputError(
            f"query embeddings have {query.shape[1]} dimensions and gallery embeddings "
            f"{gallery.shape[1]}, expected the same; embed both with one model"
        )

    def product(start: int, stop: int, out: np.ndarray) -> np.ndarray:
        return np.matmul(query[start:stop], gallery.T, out=out)

    sides = query_identities, gallery_identities, query_encounters, gallery_encounters
    options = {"ranks": ranks, "block_size": block_size, "query_names": query_names}
    lengths = len(query), len(gallery)
    return _evaluate(product, lengths, *sides, same_encounter_rule=same_encounter_rule, **options)


def evaluate_scores(
    score_block: Callable[[int, int], np.ndarray],
    *,
    query_identities: Sequence[Hashable],
    gallery_identities: Sequence[Hashable],
    query_encounters: Sequence[Hashable] | None = None,
    gallery_encounters: Sequence[Hashable] | None = None,
) -> RetrievalReport:
    """Rank the gallery by scores of any origin, such as a re-ranking, and summarise likewise.

    Args:
        score_block: first and last row of some queries to their scores, high where alike, shape
            (n_rows, n_gallery); several threads call it at the same time. Scores within 1e-6 are
            tied.
        query_identities: length n_query; this and the others as in `evaluate_retrieval`.

    Returns:
        As `evaluate_retrieval`, with scores in place of cosines.

    Raises:
        InputError: a side is empty, or no query at all has a right photo left.
        ValueError: as `evaluate_retrieval`.
    """
    lengths = len(query_identities), len(gallery_identities)
    if not all(lengths):
        raise InputError(
            f"found {lengths[0]} query and {lengths[1]} gallery photos, expected some of both; "
            "check the split"
        )

    def scores(start: int, stop: int, out: np.ndarray) -> np.ndarray:
        out[:] = score_block(start, stop)
        return out

    sides = query_identities, gallery_identities, query_encounters, gallery_encounters
    return _evaluate(scores, lengths, *sides)


def _evaluate(
    fill: FillBlock,
    lengths: tuple[int, int],
    query_identities: Sequence[Hashable],
    gallery_identities: Sequence[Hashable],
    query_encounters: Sequence[Hashable] | None,
    gallery_encounters: Sequence[Hashable] | None,
    *,
    query_names: Sequence[str] | None = None,
    ranks: Sequence[int] = RANKS,
    block_size: int = BLOCK_SIZE,
    same_encounter_rule: bool = True,
) -> RetrievalReport:
    """What is common to both evaluations; lengths are n_query and n_gallery."""
    names = [str(row) for row in range(lengths[0])] if query_names is None else query_names
    _check_length(names, lengths[0], "query_names")
    query_labels, gallery_labels = _shared_labels(
        query_identities, gallery_identities, lengths, "identities"
    )
    encounters = None
    if (query_encounters is None) != (gallery_encounters is None):
        raise ValueError("encounters of one side only; give both query's and gallery's, or none")
    if same_encounter_rule and query_encounters is not None:
        encounters = _shared_labels(query_encounters, gallery_encounters, lengths, "encounters")
    pairs = SameIdentityPairs.build(query_labels, gallery_labels, encounters)
    result = rank_in_blocks(fill, *lengths, pairs, block_size)
    return _report(result, names, lengths[1], ranks, encounters is not None)


def checked_embeddings(embeddings: np.ndarray, side: str) -> np.ndarray:
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


def _report(
    result: RankedQueries,
    names: Sequence[str],
    n_gallery: int,
    ranks: Sequence[int],
    has_rule: bool,
) -> RetrievalReport:
    first_rank = result.first_rank
    has_match = first_rank > 0
    without_match = tuple(str(names[row]) for row in np.flatnonzero(~has_match))
    if not has_match.any():
        shown = few(without_match)
        removed = f"removed {result.n_ignored.sum()} pairs of one identity and encounter"
        raise InputError(
            f"none of the {len(without_match)} queries ({shown}) has a photo of its identity in "
            f"the gallery; the same-encounter rule {removed if has_rule else 'was off'}; expected "
            "at least one query with a match; add gallery photos of these animals from other "
            "encounters, or choose another split with --split"
        )
    answerable = first_rank[has_match]
    return RetrievalReport(
        n_queries=len(first_rank),
        n_gallery=n_gallery,
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
    )
