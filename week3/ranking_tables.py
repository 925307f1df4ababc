"""The tables and examples of `compare_rankings.py`: what each way finds, and what it costs."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from common.data.sampling import spread
from common.files import MEGABYTE
from common.matching.cascade import Compare
from common.matching.matchers import matched_points
from common.matching.pair_scores import PairScores
from common.matching.reordering import EMBEDDING, RERANKED, TITLES, WHOLE, Route, Settings, pairs_of
from common.matching.reranking import ReciprocalGallery
from common.matching.shortlists import Asked, ScoreBlock
from common.measures import intervals
from common.measures.retrieval import RetrievalReport
from common.visualization.detail_matches import DetailPair, detail_panel
from common.words import counted

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

N_TIMED = 20  # queries that are answered one by one, with a watch
SECONDS_TIMED = 10.0  # after which no further one is
N_DESCRIBED = 8  # photos, for the time that the gallery's take
N_HELPED, N_WRONG = 2, 2  # examples: queries that details put right, and not


def compare_ways(
    reports: Mapping[str, Mapping[str, RetrievalReport]], asked: Mapping[str, Asked]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Rank-1 and mAP with intervals over animals, and paired differences to the first way.

    Args:
        reports: question to way to its report; the same ways for every question.

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


class Costs:
    """What each way takes: for a query, one after the other; and once, for the gallery."""

    def __init__(
        self,
        asked: Asked,
        labels: np.ndarray,
        scores: Mapping[str, PairScores],
        paths: Sequence[Path],
    ) -> None:
        self.asked, self.labels, self.scores, self.paths = asked, labels, scores, paths
        self.once, self.held = {}, {}
        for name, each in scores.items():
            few = [paths[row] for row in asked.gallery[:N_DESCRIBED]]
            start = time.perf_counter()
            each.matcher.describe(few)
            self.once[name] = (time.perf_counter() - start) / len(few) * len(asked.gallery)
            self.held[name] = sum(each.features[row].n_bytes for row in asked.gallery.tolist())

    def table(
        self, settings: Settings, routes: Mapping[str, Route], n_pairs: Mapping[str, float]
    ) -> pd.DataFrame:
        """Columns way, pairs (of details, a query), s per query (median), s once, MB held."""
        start = time.perf_counter()
        gallery = ReciprocalGallery(self.asked.gallery_embeddings, k1=settings.k1, k2=settings.k2)
        once, held, asked = time.perf_counter() - start, gallery.n_bytes, self.asked

        def rerank(i: int) -> None:
            gallery.rerank(asked.query_embeddings[i : i + 1]).block(0, 1)

        with threadpool_limits(1):  # products of one row: a second core only waits
            cosine = self._seconds(lambda i: asked.cosines(i, i + 1).argsort())
            reranked = self._seconds(rerank)
        rows = [(EMBEDDING, 0, cosine, 0.0, 0), (RERANKED, 0, reranked, once, held)]
        for way in n_pairs:
            names, answer = self._way(way, routes.get(way))
            once, held = (sum(each[name] for name in names) for each in (self.once, self.held))
            rows.append((way, n_pairs[way], self._seconds(answer), once, held))
        table = pd.DataFrame(rows, columns=["way", "pairs", "s per query", "s once", "MB held"])
        embeddings = asked.gallery_embeddings.nbytes
        return table.assign(**{"MB held": (table["MB held"] + embeddings) / MEGABYTE})

    def _way(self, way: str, route: Route | None) -> tuple[list[str], Callable[[int], object]]:
        """Matchers that a way needs, and what answers a query with nothing known before."""
        if route is None:
            [name] = [each for each in self.scores if way == f"{TITLES[each]} alone"]

            def alone(i: int) -> None:
                asked = self.asked
                rows = asked.gallery[asked.shortlist[i][asked.is_candidate[i]]]
                if name == WHOLE:
                    rows = asked.gallery[asked.counts(i, i + 1)[0]]
                self._compare_anew(i)(name, 0, rows)

            return [name], alone

        def follow(i: int) -> None:
            pairs, anew = pairs_of(self.asked, i, self.labels, self.scores), self._compare_anew(i)
            gallery = self.asked.gallery
            route.ask(
                replace(pairs, compare=lambda name, photo, at: anew(name, photo, gallery[at]))
            )

        return [stage.name for stage in route.stages], follow

    def _compare_anew(self, i: int) -> Compare:
        """Describe a query and compare it with rows of the catalogue, as if nothing were stored."""
        described = {}

        def compare(name: str, photo: int, rows: np.ndarray) -> np.ndarray:
            matcher, features = self.scores[name].matcher, self.scores[name].features
            if name not in described:
                described[name] = self.scores[name].describe(self.paths[self.asked.query[i]])
            return matcher.scores(described[name], [features[row] for row in rows.tolist()])

        return compare

    def _seconds(self, answer: Callable[[int], object]) -> float:
        """Median over some queries, asked one by one; over fewer where they take long."""
        answer(0)  # the first one wakes the threads
        seconds, begun = [], time.perf_counter()
        for i in range(min(N_TIMED, len(self.asked.query))):
            start = time.perf_counter()
            answer(i)
            seconds.append(time.perf_counter() - start)
            if time.perf_counter() - begun > SECONDS_TIMED:
                break
        return float(np.median(seconds))


def example_details(
    asked: Asked,
    ways: Mapping[str, ScoreBlock],
    last: str,
    scores: PairScores,
    paths: Sequence[Path],
    path: str | Path,
    title: str,
) -> Path | None:
    """Draw queries that the embedding gets wrong: put right by details; and the worst, still wrong.

    Args:
        last: the way that is drawn beside the embedding.

    Returns:
        The path; None where the embedding gets nothing wrong that has a right photo.
    """
    first = {way: asked.first_rows(ways[way]) for way in (EMBEDDING, last)}
    right = asked.first_rows(ways[last], right=True)
    is_right = {
        way: asked.identity[rows] == asked.identity[asked.query] for way, rows in first.items()
    }
    wrong = np.flatnonzero((right >= 0) & ~is_right[EMBEDDING])
    helped, missed = (wrong[is_right[last][wrong] == each] for each in (True, False))
    # The worst: those whose wrong answer shares most details with them.
    shared = [scores(int(asked.query[i]), first[last][i : i + 1])[0] for i in missed]
    worst = missed[np.argsort(-np.array(shared), kind="stable")][:N_WRONG]
    chosen = [*spread(helped, N_HELPED), *worst]

    def pair(i: int, candidate: int) -> DetailPair:
        row = int(asked.query[i])
        points = matched_points(scores.matcher, scores.features[row], scores.features[candidate])
        names = f"{asked.identity[row]}, {asked.identity[candidate]}"
        caption = f"{names}: {counted(len(points[0]), 'detail')}"
        is_match = asked.identity[row] == asked.identity[candidate]
        return DetailPair(paths[row], paths[candidate], points, caption, bool(is_match))

    if not chosen:
        return None
    columns = {f"first by {way}": rows for way, rows in first.items()}
    columns[f"best right photo, {last}"] = right
    rows = [[pair(i, int(own[i])) for own in columns.values()] for i in chosen]
    return detail_panel(rows, path, column_names=[*columns], title=title)
