"""Ways to put a gallery in order for queries: embedding, neighbourhoods, details, and together.

Settings are chosen, and the meaning of scores learned, on validation photos alone.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.evaluation.calibration import Calibration
from common.evaluation.fusion import fuse, learn_meanings
from common.evaluation.reranking import ReciprocalGallery, rerank_together
from common.evaluation.shortlists import Asked, ScoreBlock

EMBEDDING = "embedding alone"
RERANKED, TOGETHER = "+ re-ranking", "+ re-ranking, queries together"
SIFT, FUSED = "SIFT on the shortlist", "embedding + SIFT"
EVERYTHING = "embedding + re-ranking + SIFT"
FUSIONS = {FUSED: ("cosine", "details"), EVERYTHING: ("cosine", "re-ranked", "details")}

K1, K2, ORIGINAL_SHARES = (5, 10, 20), (2, 4, 6), (0.1, 0.3, 0.5, 0.7)  # tried
SHARES_OF_SHORTLIST = (0.2, 0.5, 1.0)  # tried


@dataclass(frozen=True)
class Settings:
    """What validation decides; as it stands, what the paper on re-ranking recommends.

    Attributes:
        k1: of `common.evaluation.reranking.ReciprocalGallery`; k2 too.
        original_share: likewise; the paper's lambda.
        n_candidates: of the shortlist, whose details are compared; None: all.
        meanings: of "cosine", "re-ranked" and "details"; None where nothing could be learned.
    """

    k1: int = 20
    k2: int = 6
    original_share: float = 0.3
    n_candidates: int | None = None
    meanings: Mapping[str, Calibration] | None = None


def choose_settings(
    asked: Sequence[Asked], n_same_details: Sequence[np.ndarray]
) -> tuple[Settings, list[dict]]:
    """Take what gives the highest mAP on validation photos; sets of queries weigh the same.

    The re-ranking is chosen first, then the length of the shortlist, by the fusion of embedding
    and details. Each meaning is learned on the pairs that it is chosen with.

    Args:
        asked: sets of validation queries; none leaves the paper's settings.
        n_same_details: number of same details of each query and candidate, one array like
            `Asked.shortlist` for each set.

    Returns:
        settings.
        tried: one row for each step, with the mAP of what was chosen.
    """
    if not asked:
        return Settings(), []
    settings, best = Settings(), -math.inf
    for k1, k2 in itertools.product(K1, K2):
        reranked = [
            ReciprocalGallery(each.embeddings[each.gallery], k1=k1, k2=k2).rerank(
                each.embeddings[each.query]
            )
            for each in asked
        ]
        for share in ORIGINAL_SHARES:
            value = _mean_map(asked, [replace(one, original_share=share).block for one in reranked])
            if value > best:
                settings, best = Settings(k1, k2, share), value
    chosen = f"k1 {settings.k1}, k2 {settings.k2}, original share {settings.original_share:g}"
    tried = [
        {"way": EMBEDDING, "chosen": None,
         "validation mAP": _mean_map(asked, [each.cosines for each in asked])},
        {"way": RERANKED, "chosen": chosen, "validation mAP": best},
    ]  # fmt: skip

    alternatives, length = [], max(each.shortlist.shape[1] for each in asked)
    for share in SHARES_OF_SHORTLIST:
        shorter = replace(settings, n_candidates=max(2, math.ceil(share * length)))
        parts = [_pair_scores(*each, shorter) for each in zip(asked, n_same_details, strict=True)]
        meanings = learn_meanings(
            {name: [part[name] for part in parts] for name in parts[0]},
            [each.is_same[:, : shorter.n_candidates] for each in asked],
        )
        taught = replace(shorter, meanings=meanings)
        ways = [ways_to_order(*each, taught) for each in zip(asked, n_same_details, strict=True)]
        values = {way: _mean_map(asked, [own[way] for own in ways]) for way in (SIFT, *FUSIONS)}
        alternatives.append((taught, values))
    settings, values = max(alternatives, key=lambda each: each[1][FUSED])
    chosen = f"{settings.n_candidates} candidates"
    tried += [{"way": way, "chosen": chosen, "validation mAP": value}
              for way, value in values.items()]  # fmt: skip
    return settings, tried


def ways_to_order(
    asked: Asked, n_same_details: np.ndarray, settings: Settings
) -> dict[str, ScoreBlock]:
    """Scores of the whole gallery in each way; those that need learned meanings only with them.

    Args:
        asked: queries and their gallery.
        n_same_details: of each query and candidate, like `Asked.shortlist`.
        settings: of `choose_settings`.
    """
    query, gallery = asked.embeddings[asked.query], asked.embeddings[asked.gallery]
    ks, share = {"k1": settings.k1, "k2": settings.k2}, settings.original_share
    reranked = ReciprocalGallery(gallery, **ks).rerank(query, original_share=share)
    together = rerank_together(
        query_embeddings=query, gallery_embeddings=gallery, original_share=share, **ks
    )
    scores = _pair_scores(asked, n_same_details, settings)
    ways = {
        EMBEDDING: asked.cosines,
        RERANKED: reranked.block,
        TOGETHER: together.block,
        SIFT: asked.reordered(asked.cosines, scores["details"]),
    }
    if settings.meanings is not None:
        for way, names in FUSIONS.items():
            fused = fuse({name: scores[name] for name in names}, settings.meanings)
            rest = reranked.block if way == EVERYTHING else asked.cosines
            ways[way] = asked.reordered(rest, fused)
    return ways


def _pair_scores(
    asked: Asked, n_same_details: np.ndarray, settings: Settings
) -> dict[str, np.ndarray]:
    """What each way says of each query and candidate, shape (n_query, n_candidates)."""
    reranked = ReciprocalGallery(
        asked.embeddings[asked.gallery], k1=settings.k1, k2=settings.k2
    ).rerank(asked.embeddings[asked.query], original_share=settings.original_share)
    scores = {
        "cosine": asked.at_shortlist(asked.cosines),
        "re-ranked": asked.at_shortlist(reranked.block),
        "details": n_same_details,
    }
    return {name: values[:, : settings.n_candidates] for name, values in scores.items()}


def _mean_map(asked: Sequence[Asked], blocks: Sequence[ScoreBlock]) -> float:
    """mAP, sets of queries weighing the same."""
    reports = [each.evaluate(block) for each, block in zip(asked, blocks, strict=True)]
    return float(np.mean([report.mAP for report in reports]))
