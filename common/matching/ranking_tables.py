"""What several ways to order a gallery find, against the first of them, and what each costs."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from common.matching.local_features import (
    LocalFeatures,
    find_details,
    same_details,
    small_photo,
)
from common.matching.reordering import (
    EMBEDDING,
    EVERYTHING,
    FUSED,
    RERANKED,
    SIFT,
    TOGETHER,
    Settings,
)
from common.matching.reranking import ReciprocalGallery, rerank_together
from common.matching.shortlists import Asked
from common.measures.intervals import (
    bootstrap_over_individuals,
    interval_columns,
    paired_bootstrap_over_individuals,
)
from common.measures.retrieval import RetrievalReport

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

N_TIMED = 20  # queries that are answered one by one, with a watch


def compare_ways(
    reports: Mapping[str, Mapping[str, RetrievalReport]], animals: Mapping[str, np.ndarray]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Rank-1 and mAP with intervals over animals, and paired differences to the first way.

    Args:
        reports: question to way to its report; the same ways for every question.
        animals: question to the identity of each query.

    Returns:
        table: one row per way; a column for each question and measure.
        chart: one row per way and question; columns way, question, rank-1, mAP.
        differences: one row per question and way but the first, each with its verdict.
    """
    rows, chart, differences = {}, [], []
    for question, own in reports.items():
        first, *_ = own
        for way, each in own.items():
            row, point = rows.setdefault(way, {"way": way}), {"way": way, "question": question}
            difference = {"way": way, "question": question}
            for measure, values in _per_query(each).items():
                interval = bootstrap_over_individuals(values, animals[question])
                row |= interval_columns(f"{question}, {measure}", interval)
                point |= interval_columns(measure, interval)
                gain = paired_bootstrap_over_individuals(
                    values, _per_query(own[first])[measure], animals[question]
                )
                difference |= interval_columns(f"{measure} gained", gain)
                difference[f"by {measure}"] = gain.better_of("better", "worse")
            chart.append(point)
            if way != first:
                differences.append(difference)
    return pd.DataFrame(rows.values()), pd.DataFrame(chart), pd.DataFrame(differences)


def _per_query(report: RetrievalReport) -> dict[str, np.ndarray]:
    return {"rank-1": report.is_correct_at_1.astype(float), "mAP": report.average_precision}


def cost_table(
    asked: Asked,
    settings: Settings,
    features: Mapping[int, LocalFeatures],
    paths: Sequence[Path],
    seconds_to_read: float,
) -> pd.DataFrame:
    """What each way takes: per query, one after the other; and once, for the gallery.

    Args:
        asked: queries and their gallery.
        settings: of all ways.
        features: row of the catalogue to the photo's details.
        paths: of the catalogue's photos.
        seconds_to_read: that the details of one photo took.

    Returns:
        Columns way, ms per query (median; without the network's own time, which all ways share),
        s once, MB held (the gallery's embeddings and what the way adds to them).
    """
    query, gallery = asked.query_embeddings, asked.gallery_embeddings
    ks = {"k1": settings.k1, "k2": settings.k2}
    start = time.perf_counter()
    neighbourhoods = ReciprocalGallery(gallery, **ks)
    seconds_to_describe = time.perf_counter() - start
    start = time.perf_counter()
    rerank_together(query_embeddings=query, gallery_embeddings=gallery, **ks).block(0, len(query))
    together = 1000 * (time.perf_counter() - start) / len(query)

    def compare_details(i: int) -> None:
        own = find_details(np.asarray(small_photo(paths[asked.query[i]]).convert("L")))
        for row in asked.gallery[asked.shortlist[i, : settings.n_candidates]]:
            same_details(own, features[int(row)])

    n_queries = min(N_TIMED, len(query))
    with threadpool_limits(1):  # products of one row: a second core only waits
        cosine = _milliseconds(lambda i: asked.cosines(i, i + 1).argsort(), n_queries)
        reranking = _milliseconds(
            lambda i: neighbourhoods.rerank(query[i : i + 1]).block(0, 1), n_queries
        )
    details = _milliseconds(compare_details, n_queries)
    once = {"neighbourhoods": seconds_to_describe, "details": seconds_to_read * len(gallery)}
    held = {"embeddings": gallery.nbytes, "neighbourhoods": neighbourhoods.n_bytes,
            "details": sum(features[int(row)].n_bytes for row in asked.gallery)}  # fmt: skip
    costs = {
        EMBEDDING: (cosine, []),
        RERANKED: (reranking, ["neighbourhoods"]),
        TOGETHER: (together, ["neighbourhoods"]),
        SIFT: (cosine + details, ["details"]),
        FUSED: (cosine + details, ["details"]),
        EVERYTHING: (reranking + details, ["neighbourhoods", "details"]),
    }
    return pd.DataFrame([
        {
            "way": way, "ms per query": per_query,
            "s once": sum(once[part] for part in parts),
            "MB held": sum(held[part] for part in ["embeddings", *parts]) / 1e6,
        }
        for way, (per_query, parts) in costs.items()
    ])  # fmt: skip


def _milliseconds(answer: Callable[[int], object], n_queries: int) -> float:
    """Median over queries, asked one by one."""
    seconds = []
    for i in range(n_queries):
        start = time.perf_counter()
        answer(i)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))
