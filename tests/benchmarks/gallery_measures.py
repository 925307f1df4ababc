"""What a large gallery costs to build and to ask, each measured in a process of its own."""

import time
from pathlib import Path

from common.files import replacing
from common.gallery.gallery import Gallery
from common.measures.ranking import TIE_TOLERANCE
from common.runs import peak_memory_mb

import numpy as np
from simulated_animals import PHOTOS_PER_ANIMAL

BATCH = 1_000  # queries


def build_gallery(folder: Path, kind: str) -> dict:
    """Build an index over the folder's embeddings and save the gallery beside them."""
    embeddings = np.load(folder / "embeddings.npy", mmap_mode="r")
    gallery = Gallery(embeddings.shape[1])
    gallery.enrol(embeddings, [f"animal {i // PHOTOS_PER_ANIMAL}" for i in range(len(embeddings))])
    report = gallery.build(kind)
    peak_mb = peak_memory_mb()
    gallery.save(folder / "gallery")
    sizes = [path.stat().st_size for path in (folder / "gallery").glob("index-*.faiss")]
    return {
        "build_seconds": report.build_seconds,
        "index_mb": sum(sizes) / 1e6,
        "peak_mb_building": peak_mb,
        "effort": report.effort,
        "recall_it_reported": report.recall_at_1,
    }


def ask_gallery(folder: Path, n_single: int) -> dict:
    """Load the gallery and ask the folder's queries, one at a time and in batches.

    The nearest photo counts as found if it is as similar as the one that the flat search finds.
    """
    start = time.perf_counter()
    # Written by this very run: checksums would read the pages whose first reading is timed.
    gallery = Gallery.load(folder / "gallery")
    load_seconds = time.perf_counter() - start
    queries = np.load(folder / "queries.npy")
    gallery.search(queries[:BATCH], k=1)  # pages are read from disk once
    singles = np.random.default_rng(0).permutation(len(queries))[:n_single]
    milliseconds = np.array([_seconds_of(gallery, queries[[row]]) for row in singles]) * 1e3
    start = time.perf_counter()
    batches = [queries[first : first + BATCH] for first in range(0, len(queries), BATCH)]
    answers = [gallery.search(batch, k=1) for batch in batches]
    per_second = len(queries) / (time.perf_counter() - start)
    similarity, rows = (np.concatenate(each)[:, 0] for each in zip(*answers, strict=True))
    truth_file = folder / "nearest_similarity.npy"
    if gallery.report.kind == "flat":
        with replacing(truth_file) as unfinished:
            np.save(unfinished, similarity)
    is_found = similarity >= np.load(truth_file) - TIE_TOLERANCE
    n_known = len(queries) // 2
    animals = np.load(folder / "animals_of_queries.npy")
    return {
        "recall_at_1": float(is_found.mean()),
        "recall_at_1_known": float(is_found[:n_known].mean()),
        "recall_at_1_strangers": float(is_found[n_known:].mean()),
        "rank_1_known": float(np.mean(rows[:n_known] // PHOTOS_PER_ANIMAL == animals)),
        "p50_ms": float(np.median(milliseconds)),
        "p99_ms": float(np.quantile(milliseconds, 0.99)),
        "queries_per_second": per_second,
        "load_seconds": load_seconds,
        "peak_mb_asking": peak_memory_mb(),
    }


def _seconds_of(gallery: Gallery, query: np.ndarray) -> float:
    start = time.perf_counter()
    gallery.search(query, k=1)
    return time.perf_counter() - start
