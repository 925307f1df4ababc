"""Ways to re-rank a gallery: not at all, this course's two, and the published code."""

from collections.abc import Callable
from dataclasses import dataclass

from common.matching.reranking import ReciprocalGallery, rerank_together
from common.measures.retrieval import RetrievalReport, evaluate_retrieval, evaluate_scores

import numpy as np
from ranking_ways import module_of
from side_by_side import extra_memory_mb
from simulated_animals import N_PHOTOS, PHOTOS_PER_ANIMAL, Population, n_blocks

K1, K2, ORIGINAL_SHARE = 20, 6, 0.3  # of the paper


@dataclass(frozen=True)
class Case:
    """Queries and gallery of simulated animals.

    Attributes:
        query: float32, shape (n_query, embedding_dim).
        gallery: float32, shape (n_gallery, embedding_dim).
        names: identities and encounters of both sides, as evaluations want them.
    """

    query: np.ndarray
    gallery: np.ndarray
    names: dict[str, np.ndarray]

    @classmethod
    def simulated(cls, *, n_query: int, n_gallery: int, embedding_dim: int) -> "Case":
        """Photos of some animals, of which some at random are queries."""
        n_photos = n_query + n_gallery
        population = Population(embedding_dim)
        blocks = [population.gallery_block(block) for block in range(n_blocks(n_photos))]
        photos = np.concatenate(blocks)[:n_photos]
        order = np.random.default_rng(0).permutation(n_photos)
        query, gallery = np.sort(order[:n_query]), np.sort(order[n_query:])
        names = {
            f"{side}_{name}": rows // n_together
            for side, rows in (("query", query), ("gallery", gallery))
            for name, n_together in (("identities", PHOTOS_PER_ANIMAL), ("encounters", N_PHOTOS))
        }
        return cls(photos[query], photos[gallery], names)


def embedding_alone(case: Case) -> RetrievalReport:
    """No re-ranking: what any of them has to do as well."""
    return evaluate_retrieval(
        query_embeddings=case.query, gallery_embeddings=case.gallery, **case.names
    )


def each_query_alone(case: Case) -> RetrievalReport:
    """The gallery described once, each query by itself."""
    reranked = ReciprocalGallery(case.gallery, k1=K1, k2=K2).rerank(
        case.query, original_share=ORIGINAL_SHARE
    )
    return evaluate_scores(reranked.block, **case.names)


def queries_together(case: Case) -> RetrievalReport:
    """The published method, sparse."""
    reranked = rerank_together(
        query_embeddings=case.query, gallery_embeddings=case.gallery, k1=K1, k2=K2,
        original_share=ORIGINAL_SHARE,
    )  # fmt: skip
    return evaluate_scores(reranked.block, **case.names)


def published(case: Case) -> RetrievalReport:
    """The published code, dense: torchreid's copy.

    Raises:
        NotInstalled: torchreid is missing.
    """
    scores = published_scores(case)
    return evaluate_scores(lambda start, stop: scores[start:stop], **case.names)


def published_scores(case: Case) -> np.ndarray:
    """One minus its distances, shape (n_query, n_gallery)."""
    distances = (
        _distances(case.query, case.gallery),
        _distances(case.query, case.query),
        _distances(case.gallery, case.gallery),
    )
    code = module_of("torchreid", "utils/rerank.py", "pip install --no-deps torchreid")
    return 1 - code.re_ranking(*distances, k1=K1, k2=K2, lambda_value=ORIGINAL_SHARE)


WAYS: dict[str, Callable[[Case], RetrievalReport]] = {
    "embedding alone": embedding_alone,
    "this course, each query alone": each_query_alone,
    "this course, queries together": queries_together,
}


def score_difference(case: Case) -> float:
    """Largest difference of a score between the published code and ours."""
    ours = rerank_together(
        query_embeddings=case.query, gallery_embeddings=case.gallery, k1=K1, k2=K2,
        original_share=ORIGINAL_SHARE,
    )  # fmt: skip
    return float(np.abs(ours.block(0, len(case.query)) - published_scores(case)).max())


def extra_memory_of(name: str, size: dict[str, int]) -> float:
    """Peak memory of one way above what the process holds with the data loaded, in MB.

    Args:
        name: of `WAYS`; any other is the published code.
        size: of `Case.simulated`.
    """
    case, way = Case.simulated(**size), WAYS.get(name, published)
    way(Case.simulated(n_query=4, n_gallery=36, embedding_dim=8))
    return extra_memory_mb(lambda: way(case))


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean, float32, shape (n_first, n_second); the published code squares them."""
    return np.sqrt(np.maximum(2 - 2 * (first @ second.T), 0))
