"""Ways to put a gallery in order for queries: embedding, neighbourhoods, details, and together.

Settings are chosen, and the meaning of scores learned, on validation photos alone.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from common.matching.fusion import fuse, learn_meanings
from common.matching.reranking import ReciprocalGallery, Reranked, rerank_together
from common.matching.shortlists import Asked, ScoreBlock
from common.measures.calibration import Calibration
from common.words import counted

import numpy as np

EMBEDDING = "embedding alone"
RERANKED, TOGETHER = "+ re-ranking", "+ re-ranking, queries together"
SIFT, FUSED = "SIFT on the shortlist", "embedding + SIFT"
EVERYTHING = "embedding + re-ranking + SIFT"
FUSIONS = {FUSED: ("cosine", "details"), EVERYTHING: ("cosine", "re-ranked", "details")}

K1, K2, ORIGINAL_SHARES = (5, 10, 20), (2, 4, 6), (0.1, 0.3, 0.5, 0.7)  # tried
SHARES_OF_SHORTLIST = (0.2, 0.5, 1.0)  # tried

PairScores = dict[str, np.ndarray]  # name of a score to an array like `Asked.shortlist`


@dataclass(frozen=True)
class Settings:
    """What validation decides; as it stands, what the paper on re-ranking recommends.

    Attributes:
        k1: of `common.matching.reranking.ReciprocalGallery`; k2 too.
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
        chosen: one row for each step, with the mAP of what was chosen.
    """
    if not asked:
        return Settings(), []
    settings, best = _choose_reranking(asked)
    before = _mean_map(asked, [each.cosines for each in asked])
    settings, fused = _choose_shortlist(asked, n_same_details, settings)
    neighbours = f"k1 {settings.k1}, k2 {settings.k2}, original share {settings.original_share:g}"
    return settings, [
        {"way": EMBEDDING, "chosen": None, "validation mAP": before},
        {"way": RERANKED, "chosen": neighbours, "validation mAP": best},
        {
            "way": FUSED,
            "chosen": counted(settings.n_candidates, "candidate"),
            "validation mAP": fused,
        },
    ]


def _choose_reranking(asked: Sequence[Asked]) -> tuple[Settings, float]:
    """The settings with the highest mAP of re-ranking alone, and that mAP."""
    settings, best = Settings(), -math.inf
    for k1, k2 in itertools.product(K1, K2):
        reranked = [_reranked(each, Settings(k1, k2)) for each in asked]
        for share in ORIGINAL_SHARES:
            value = _mean_map(asked, [replace(one, original_share=share).block for one in reranked])
            if value > best:
                settings, best = Settings(k1, k2, share), value
    return settings, best


def _choose_shortlist(
    asked: Sequence[Asked], n_same_details: Sequence[np.ndarray], settings: Settings
) -> tuple[Settings, float]:
    """The length with the highest mAP of embedding and details, its meanings, and that mAP."""
    scores = [
        _pair_scores(each, n_same, _reranked(each, settings))
        for each, n_same in zip(asked, n_same_details, strict=True)
    ]
    length, best = max(each.shortlist.shape[1] for each in asked), -math.inf
    for share in SHARES_OF_SHORTLIST:
        n_candidates = max(2, math.ceil(share * length))
        cut = [{name: values[:, :n_candidates] for name, values in own.items()} for own in scores]
        pairs = list(zip(asked, cut, strict=True))
        meanings = learn_meanings(
            {name: [each.of_candidates(own[name]) for each, own in pairs] for name in cut[0]},
            [each.of_candidates(each.is_same[:, :n_candidates]) for each in asked],
        )
        fused = [_fused(FUSED, own, meanings) for own in cut]
        blocks = [each.reordered(each.cosines, own) for each, own in zip(asked, fused, strict=True)]
        value = _mean_map(asked, blocks)
        if value > best:
            settings = replace(settings, n_candidates=n_candidates, meanings=meanings)
            best = value
    return settings, best


def ways_to_order(
    asked: Asked, n_same_details: np.ndarray, settings: Settings
) -> dict[str, ScoreBlock]:
    """Scores of the whole gallery in each way; those that need learned meanings only with them.

    Args:
        asked: queries and their gallery.
        n_same_details: of each query and candidate, like `Asked.shortlist`.
        settings: of `choose_settings`.
    """
    reranked = _reranked(asked, settings)
    together = rerank_together(
        query_embeddings=asked.query_embeddings,
        gallery_embeddings=asked.gallery_embeddings,
        k1=settings.k1,
        k2=settings.k2,
        original_share=settings.original_share,
    )
    scores = _pair_scores(asked, n_same_details, reranked)
    scores = {name: values[:, : settings.n_candidates] for name, values in scores.items()}
    ways = {
        EMBEDDING: asked.cosines,
        RERANKED: reranked.block,
        TOGETHER: together.block,
        SIFT: asked.reordered(asked.cosines, scores["details"]),
    }
    if settings.meanings is not None:
        first = {way: _fused(way, scores, settings.meanings) for way in FUSIONS}
        ways[FUSED] = asked.reordered(asked.cosines, first[FUSED])
        ways[EVERYTHING] = asked.reordered(reranked.block, first[EVERYTHING])
    return ways


def _reranked(asked: Asked, settings: Settings) -> Reranked:
    gallery = ReciprocalGallery(asked.gallery_embeddings, k1=settings.k1, k2=settings.k2)
    return gallery.rerank(asked.query_embeddings, original_share=settings.original_share)


def _pair_scores(asked: Asked, n_same: np.ndarray, reranked: Reranked) -> PairScores:
    """What each way says of each query and candidate, like `Asked.shortlist`."""
    cosines, others = asked.at_shortlist(asked.cosines), asked.at_shortlist(reranked.block)
    return {"cosine": cosines, "re-ranked": others, "details": n_same}


def _fused(way: str, scores: PairScores, meanings: Mapping[str, Calibration]) -> np.ndarray:
    return fuse({name: scores[name] for name in FUSIONS[way]}, meanings)


def _mean_map(asked: Sequence[Asked], blocks: Sequence[ScoreBlock]) -> float:
    """mAP, sets of queries weighing the same."""
    reports = [each.evaluate(block) for each, block in zip(asked, blocks, strict=True)]
    return float(np.mean([report.mAP for report in reports]))
