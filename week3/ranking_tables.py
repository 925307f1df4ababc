"""The tables and examples of `compare_rankings.py`: what each way finds, and what it costs."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from common.files import MEGABYTE
from common.matching import reordering
from common.matching.local_features import LocalFeatures
from common.matching.matchers import load_matcher, matched_points
from common.matching.reranking import ReciprocalGallery, rerank_together
from common.matching.shortlists import Asked, ScoreBlock
from common.measures import intervals
from common.measures.retrieval import RetrievalReport
from common.visualization.detail_matches import DetailPair, detail_panel
from common.visualization.matches import spread
from common.words import counted

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

N_TIMED = 20  # queries that are answered one by one, with a watch
N_HELPED, N_WRONG = 2, 1  # examples: queries that details put right, and not


def compare_ways(
    reports: Mapping[str, Mapping[str, RetrievalReport]], asked: Mapping[str, Asked]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Rank-1 and mAP with intervals over animals, and paired differences to the first way.

    Args:
        reports: question to way to its report; the same ways for every question.
        asked: question to its queries.

    Returns:
        table: one row per way; a column for each question and measure.
        chart: one row per way and question; columns way, question, rank-1, mAP.
        differences: one row per question and way but the first, each with its verdict.
    """
    rows, chart, differences = {}, [], []
    for question, own in reports.items():
        first, animals = next(iter(own)), asked[question].identity[asked[question].query]
        for way, each in own.items():
            row, point = rows.setdefault(way, {"way": way}), {"way": way, "question": question}
            difference = {"way": way, "question": question}
            for measure, values in _per_query(each).items():
                interval = intervals.bootstrap_over_individuals(values, animals)
                row |= intervals.interval_columns(f"{question}, {measure}", interval)
                point |= intervals.interval_columns(measure, interval)
                before = _per_query(own[first])[measure]
                gain = intervals.paired_bootstrap_over_individuals(values, before, animals)
                difference |= intervals.interval_columns(f"{measure} gained", gain)
                difference[f"by {measure}"] = gain.better_of("better", "worse")
            chart.append(point)
            if way != first:
                differences.append(difference)
    return pd.DataFrame(rows.values()), pd.DataFrame(chart), pd.DataFrame(differences)


def _per_query(report: RetrievalReport) -> dict[str, np.ndarray]:
    return {"rank-1": report.is_correct_at_1.astype(float), "mAP": report.average_precision}


def cost_table(
    asked: Asked,
    settings: reordering.Settings,
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
    start = time.perf_counter()
    neighbourhoods = ReciprocalGallery(asked.gallery_embeddings, k1=settings.k1, k2=settings.k2)
    once = {
        "neighbourhoods": time.perf_counter() - start,
        "details": seconds_to_read * len(asked.gallery),
    }
    held = {
        "embeddings": asked.gallery_embeddings.nbytes,
        "neighbourhoods": neighbourhoods.n_bytes,
        "details": sum(features[int(row)].n_bytes for row in asked.gallery),
    }
    matcher = load_matcher("sift")
    cosine, reranking, together = _milliseconds_to_rank(asked, neighbourhoods)

    def compare_details(i: int) -> None:
        rows = asked.candidate_rows(i, settings.n_candidates)
        own = matcher.describe([paths[asked.query[i]]])[0]
        matcher.scores(own, [features[row] for row in rows])

    details = _milliseconds(compare_details, asked)
    costs = {
        reordering.EMBEDDING: (cosine, []),
        reordering.RERANKED: (reranking, ["neighbourhoods"]),
        reordering.TOGETHER: (together, ["neighbourhoods"]),
        reordering.SIFT: (cosine + details, ["details"]),
        reordering.FUSED: (cosine + details, ["details"]),
        reordering.EVERYTHING: (reranking + details, ["neighbourhoods", "details"]),
    }
    return pd.DataFrame(
        {
            "way": way,
            "ms per query": per_query,
            "s once": sum(once[part] for part in parts),
            "MB held": sum(held[part] for part in ["embeddings", *parts]) / MEGABYTE,
        }
        for way, (per_query, parts) in costs.items()
    )


def _milliseconds_to_rank(
    asked: Asked, neighbourhoods: ReciprocalGallery
) -> tuple[float, float, float]:
    """Per query: by cosine, re-ranked one by one, and re-ranked all together."""
    query, ks = asked.query_embeddings, {"k1": neighbourhoods.k1, "k2": neighbourhoods.k2}
    both = {"query_embeddings": query, "gallery_embeddings": asked.gallery_embeddings}
    start = time.perf_counter()
    rerank_together(**both, **ks).block(0, len(query))
    seconds_together = time.perf_counter() - start
    with threadpool_limits(1):  # products of one row: a second core only waits
        cosine = _milliseconds(lambda i: asked.cosines(i, i + 1).argsort(), asked)
        reranking = _milliseconds(
            lambda i: neighbourhoods.rerank(query[i : i + 1]).block(0, 1), asked
        )
    return cosine, reranking, 1000 * seconds_together / len(query)


def _milliseconds(answer: Callable[[int], object], asked: Asked) -> float:
    """Median over some queries, asked one by one."""
    seconds = []
    for i in range(min(N_TIMED, len(asked.query))):
        start = time.perf_counter()
        answer(i)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))


def example_details(
    asked: Asked,
    ways: Mapping[str, ScoreBlock],
    features: Mapping[int, LocalFeatures],
    paths: Sequence[Path],
    path: str | Path,
    title: str,
) -> Path | None:
    """Draw queries that the embedding gets wrong: put right by details, and still wrong.

    Args:
        asked: queries and their gallery.
        ways: to order it, the embedding alone among them.
        features: row of the catalogue to the photo's details.
        paths: of the catalogue's photos.
        path: PNG to write.
        title: above the panel.

    Returns:
        The path; None where the embedding gets nothing wrong.
    """
    matcher = load_matcher("sift")
    other = reordering.FUSED if reordering.FUSED in ways else reordering.SIFT
    first = {way: asked.first_rows(ways[way]) for way in (reordering.EMBEDDING, other)}
    is_right = {
        way: asked.identity[rows] == asked.identity[asked.query] for way, rows in first.items()
    }
    helped = np.flatnonzero(~is_right[reordering.EMBEDDING] & is_right[other])
    wrong = np.flatnonzero(~is_right[reordering.EMBEDDING] & ~is_right[other])
    chosen = [*spread(helped, N_HELPED), *spread(wrong, N_WRONG)]

    def pair(i: int, way: str) -> DetailPair:
        row, candidate = int(asked.query[i]), int(first[way][i])
        points = matched_points(matcher, features[row], features[candidate])
        names = f"{asked.identity[row]}, {asked.identity[candidate]}"
        caption = f"{names}: {counted(len(points[0]), 'detail')}"
        return DetailPair(paths[row], paths[candidate], points, caption, bool(is_right[way][i]))

    if not chosen:
        return None
    rows = [[pair(i, way) for way in first] for i in chosen]
    names = [f"first by {way}" for way in first]
    return detail_panel(rows, path, column_names=names, title=title)
