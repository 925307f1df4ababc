"""Ways to put a gallery in order for queries: embedding, neighbourhoods, details, and together.

Settings are chosen, and the meaning of scores learned, on validation photos alone.
"""

import itertools
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from common.matching.cascade import Cascade, Found, Pairs, Stage, animal_best, learn_cascade
from common.matching.pair_scores import PairScores
from common.matching.reranking import ReciprocalGallery, Reranked
from common.matching.shortlists import Asked, ScoreBlock

import numpy as np
from scipy.stats import rankdata
from tqdm import tqdm

EMBEDDING, RERANKED = "embedding alone", "+ re-ranking"
TITLES = {  # of matchers, in the order of what a pair costs
    "xfeat": "XFeat",
    "xfeat_verified": "XFeat, verified",
    "sift": "SIFT",
    "aliked": "LightGlue (ALIKED)",
    "disk": "LightGlue (DISK)",
}
WHOLE, ALL = "xfeat", sys.maxsize  # so cheap that it compares the whole gallery
CASCADED = ("aliked", "disk")  # so dear that cheaper details should go before
STEP = 4  # pairs that a cascade compares before it looks again
BEHIND = 10.0  # taken from cosines, which then are below every score
NEVER = 2.0  # a probability that no answer reaches: all stages are asked
K1, K2, ORIGINAL_SHARES = (5, 10, 20), (2, 4, 6), (0.1, 0.3, 0.5, 0.7)  # tried


@dataclass(frozen=True)
class Settings:
    """Of the re-ranking; as it stands, what its paper recommends.

    Attributes:
        k1: of `common.matching.reranking.ReciprocalGallery`; k2 too.
        original_share: likewise; the paper's lambda.
    """

    k1: int = 20
    k2: int = 6
    original_share: float = 0.3


@dataclass(frozen=True)
class Route:
    """A way that compares details.

    Attributes:
        stages: scores that it asks, one after the other, the cosine before them.
    """

    stages: Sequence[Stage]
    cascade: Cascade

    def ask(self, pairs: Pairs) -> Found:
        """Compare one query with its gallery."""
        return self.cascade.ask(pairs, self.stages)


def choose_settings(asked: Sequence[Asked]) -> tuple[Settings, float]:
    """The re-ranking with the highest mAP on validation photos; sets of queries weigh the same.

    Returns:
        settings, and their mAP; nan without queries.
    """
    if not asked:
        return Settings(), math.nan
    best, settings = -math.inf, Settings()
    for k1, k2 in itertools.product(K1, K2):
        reranked = [rerank(each, Settings(k1, k2)) for each in asked]
        for share in ORIGINAL_SHARES:
            blocks = [replace(one, original_share=share).block for one in reranked]
            reports = [each.evaluate(own) for each, own in zip(asked, blocks, strict=True)]
            if (value := float(np.mean([report.mAP for report in reports]))) > best:
                settings, best = Settings(k1, k2, share), value
    return settings, best


def choose_details(
    asked: Sequence[Asked], scores: Mapping[str, PairScores]
) -> tuple[dict[str, PairScores], dict[str, float]]:
    """All details of a photo, or those in its middle: what finds more on validation photos.

    The cheapest matcher decides for all, by the mAP of its score alone.

    Args:
        asked: sets of validation queries; none: all details count.

    Returns:
        scores, and the mAP of both kinds; nothing without queries.
    """
    kinds = {"the whole photo": scores}
    if not asked or not scores:
        return scores, {}
    cheapest = next(name for name in TITLES if name in scores)
    kinds["its middle"] = {cheapest: scores[cheapest].in_middle()}
    values = {}
    for kind, own in kinds.items():
        with own[cheapest].stored():
            blocks = [details_alone(each, own[cheapest])[0] for each in asked]
        reports = [each.evaluate(block) for each, block in zip(asked, blocks, strict=True)]
        values[kind] = float(np.mean([report.mAP for report in reports]))
    if values["its middle"] <= values["the whole photo"]:
        return scores, values
    others = {name: each.in_middle() for name, each in scores.items() if name != cheapest}
    return kinds["its middle"] | others, values


def learn_routes(
    asked: Sequence[Asked], labels: np.ndarray, scores: Mapping[str, PairScores], n_candidates: int
) -> dict[str, Route]:
    """Ways that compare details, cheapest first, with what their scores mean.

    XFeat compares the whole gallery, the others a shortlist of the best so far. What is dear goes
    two ways: all candidates are compared, and as a cascade, which stops once nothing can change.

    Args:
        asked: sets of validation queries; none: no way can be learned.
        labels: of the catalogue's animals, integers from 0, shape (n_images,).
    """
    routes: dict[str, Route] = {}
    taught = [(each, i) for each in asked for i in range(len(each.query))]
    for name in [name for name in TITLES if name in scores] if taught else []:
        first = [Stage(WHOLE, ALL, ALL)] if WHOLE in scores and name in CASCADED else []
        size = ALL if name == WHOLE else n_candidates
        stages = [*first, Stage(name, size, size)]
        cascade = learned(taught, labels, scores, stages)
        way = " + ".join(["embedding", *(TITLES[stage.name] for stage in stages)])
        routes[way] = Route(stages, replace(cascade, clear=NEVER))
        if name in CASCADED:
            routes[f"cascade to {TITLES[name]}"] = Route([*first, Stage(name, size, STEP)], cascade)
    return routes


def learned(
    taught: Sequence[tuple[Asked, int]],
    labels: np.ndarray,
    scores: Mapping[str, PairScores],
    stages: Sequence[Stage],
) -> Cascade:
    """What scores mean, from validation queries: each a set of queries and a place in it."""
    questions = [pairs_of(*each, labels, scores) for each in taught]
    shown = [_number_of(labels[each.query[i]], labels[each.gallery]) for each, i in taught]
    return learn_cascade(questions, shown, stages)[0]


def pairs_of(asked: Asked, i: int, labels: np.ndarray, scores: Mapping[str, PairScores]) -> Pairs:
    """One query as a question of a cascade."""

    def compare(name: str, photo: int, columns: np.ndarray) -> np.ndarray:
        return scores[name](int(asked.query[i]), asked.gallery[columns])

    numbers = np.unique(labels[asked.gallery], return_inverse=True)[1]
    return Pairs(asked.cosines(i, i + 1), asked.counts(i, i + 1), numbers, compare)


def _number_of(label: int, gallery_labels: np.ndarray) -> int:
    """An animal's number among those of a gallery, as in `pairs_of`; -1 where it has none."""
    [at] = np.nonzero(np.unique(gallery_labels) == label)
    return int(at[0]) if len(at) else -1


def details_alone(asked: Asked, scores: PairScores) -> tuple[ScoreBlock, float]:
    """The details' own score: XFeat's of the whole gallery, others' of the shortlist.

    Photos that are not compared, such as those of the other side, stand behind, by their cosine.

    Returns:
        The scores; and pairs that were compared, a query.
    """
    is_whole, found, n_pairs = scores.matcher.name == WHOLE, [], []
    bar = tqdm(asked.query.tolist(), f"{scores.matcher.name}, all candidates", unit="query")
    for i, query in enumerate(bar):
        columns = np.flatnonzero(asked.counts(i, i + 1)[0])
        if not is_whole:
            columns = asked.shortlist[i][asked.is_candidate[i]]
        line = asked.cosines(i, i + 1)[0] - BEHIND
        line[columns] = scores(query, asked.gallery[columns])
        found.append(line)
        n_pairs.append(len(columns))
    table = np.stack(found)
    return lambda start, stop: table[start:stop], float(np.mean(n_pairs))


def follow(
    route: Route, asked: Asked, labels: np.ndarray, scores: Mapping[str, PairScores], title: str
) -> tuple[ScoreBlock, float]:
    """Ask every query the way of a route.

    Returns:
        Its order of the gallery, as scores; and pairs that its last stage compared, a query.
    """
    places, n_pairs = [], []
    for i in tqdm(range(len(asked.query)), title, unit="query"):
        found = route.ask(pairs_of(asked, i, labels, scores))
        # A photo that only cheap scores saw stands behind its animal's that came furthest.
        furthest = animal_best(found.counting, found.labels)[0, found.labels]
        known = np.minimum(found.probability[0], furthest)
        known = np.where(np.isfinite(known), known, asked.cosines(i, i + 1)[0] - BEHIND)
        # Only the order counts: two probabilities may be closer than what the ranking calls tied.
        places.append(rankdata(known, method="dense").astype(np.float32))
        n_pairs.append(found.n_pairs.get(route.stages[-1].name, 0))
    table = np.stack(places)
    return lambda start, stop: table[start:stop], float(np.mean(n_pairs))


def rerank(asked: Asked, settings: Settings) -> Reranked:
    """The gallery by its neighbourhoods, each query alone."""
    gallery = ReciprocalGallery(asked.gallery_embeddings, k1=settings.k1, k2=settings.k2)
    return gallery.rerank(asked.query_embeddings, original_share=settings.original_share)
