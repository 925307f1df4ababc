"""Which index suits a gallery, and how often it finds what an exact search finds.

An index only proposes candidates; their similarities are then computed exactly, from the
embeddings, which may lie on disk. A similarity therefore means the same whatever the index, and a
verdict stays valid.

* flat: no index. Every query meets every photo.
* hnsw: a graph of near neighbours (Malkov & Yashunin, arXiv 1603.09320) over embeddings of one
  byte per dimension. Slow to build; few candidates are read from the embeddings.
* ivfpq: photos in lists around centres, embeddings in one bit per dimension (product quantisation,
  Jégou et al. 2011, scanned in registers: André et al. 2017). Small and quick to build; hundreds
  of candidates are read.
"""

import time
from dataclasses import dataclass

from common.errors import InputError
from common.measures.ranking import TIE_TOLERANCE

import faiss
import numpy as np
from tqdm import tqdm

INDEXES = ("flat", "hnsw", "ivfpq")
FLAT_UP_TO = 100_000  # photos; one query takes about 10 ms there, on one core
HNSW_UP_TO = 250_000  # photos; built in a few minutes
N_NEIGHBOURS = 32  # links of a photo in the graph; more are found more surely and built more slowly
BUILD_EFFORT = 100  # candidates looked at to find a photo's neighbours in the graph
DIMENSIONS_PER_CODE = 4  # of an embedding in one 4-bit code of ivfpq
TRAINING_PHOTOS_PER_LIST = 64  # from which a list's centre is computed
N_CANDIDATES = {"hnsw": 32, "ivfpq": 500}  # per query, compared exactly
N_SAMPLED = 1_000  # photos, and strangers, that the recall is measured with
BLOCK = 20_000  # photos added at a time


@dataclass(frozen=True)
class IndexReport:
    """What was built, and how good it is on photos of the gallery itself.

    Attributes:
        effort: of a search; candidates in the graph (hnsw) or lists looked into (ivfpq), 0 if flat.
        recall_at_1: share in [0, 1] of queries whose nearest photo is found; the lower share of
            two kinds of queries: photos of the gallery (without themselves), whose own encounter
            makes it easy, and strangers drawn with the gallery's mean and covariance.
        n_sampled: queries of each kind.
        build_seconds: with training and measuring.
    """

    kind: str
    n_photos: int
    effort: int
    recall_at_1: float
    n_sampled: int
    build_seconds: float


def kind_for(n_photos: int) -> str:
    """The index that suits a gallery of this size, if nothing else is asked for.

    >>> [kind_for(n) for n in (2_000, 200_000, 10_000_000)]
    ['flat', 'hnsw', 'ivfpq']
    """
    return "flat" if n_photos <= FLAT_UP_TO else "hnsw" if n_photos <= HNSW_UP_TO else "ivfpq"


def build_index(
    embeddings: np.ndarray, kind: str, *, recall: float = 0.995, seed: int = 0
) -> tuple[faiss.Index | None, IndexReport]:
    """Build an index, and search just as hard as the wanted recall needs.

    Args:
        embeddings: float32, shape (n_photos, embedding_dim), unit length; may be memory-mapped.
        recall: wanted share in [0, 1] of queries whose nearest photo is found, a little above what
            new photos need; if no effort reaches it, the report says what was reached.

    Returns:
        index: None if flat.
        report: with the measured recall.

    Raises:
        InputError: too few photos for ivfpq.
    """
    start = time.perf_counter()
    if kind == "flat":
        return None, IndexReport("flat", len(embeddings), 0, 1.0, 0, 0.0)
    index = _empty_index(embeddings, kind, np.random.default_rng(seed))
    blocks = range(0, len(embeddings), BLOCK)
    for first in tqdm(blocks, f"building {kind}", unit="block", leave=False):
        index.add(np.ascontiguousarray(embeddings[first : first + BLOCK]))
    effort, reached = _search_as_hard_as_needed(index, embeddings, recall, seed)
    report = IndexReport(
        kind=kind,
        n_photos=len(embeddings),
        effort=effort,
        recall_at_1=reached,
        n_sampled=min(N_SAMPLED, len(embeddings)),
        build_seconds=time.perf_counter() - start,
    )
    return index, report


def find_nearest(
    index: faiss.Index | None,
    embeddings: np.ndarray,
    queries: np.ndarray,
    k: int,
    where: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The most similar photos, with exact similarities; found through the index, if there is one.

    Args:
        index: of `build_index`; None to compare with every photo.
        embeddings: float32, shape (n_photos, embedding_dim), that it was built of.
        queries: float32, shape (n_query, embedding_dim).
        k: photos per query, at most as many as may be found.
        where: bool, shape (n_photos,), the photos that may be found; None: all.

    Returns:
        similarity: cosine, shape (n_query, k), best first.
        rows: of the embeddings, shape (n_query, k).
    """
    if index is None:
        # Plain arrays: faiss.knn takes a np.memmap for a tensor once anything (such as
        # pytorch-metric-learning) has imported faiss.contrib.torch_utils.
        photos = np.asarray(embeddings) if where is None else embeddings[where]
        similarity, rows = faiss.knn(queries, photos, k, metric=faiss.METRIC_INNER_PRODUCT)
        return similarity, rows if where is None else np.flatnonzero(where)[rows]
    kind = "hnsw" if hasattr(index, "hnsw") else "ivfpq"
    n_candidates = min(max(N_CANDIDATES[kind], 2 * k), len(embeddings))
    _, candidates = index.search(queries, n_candidates)
    if where is not None:
        candidates = np.where(where[candidates], candidates, -1)  # -1 is not found, and stays so
    similarity = np.full(candidates.shape, -np.inf, dtype=np.float32)
    for query, rows, row_similarity in zip(queries, candidates, similarity, strict=True):
        is_found = rows >= 0
        row_similarity[is_found] = embeddings[rows[is_found]] @ query
    similarity, rows = best_of(similarity, candidates, k)
    has_too_few = rows[:, -1] < 0  # the candidates hold less than k photos that may be found
    if has_too_few.any():
        similarity[has_too_few], rows[has_too_few] = find_nearest(
            None, embeddings, queries[has_too_few], k, where
        )
    return similarity, rows


def best_of(similarity: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k columns of the largest similarity in each row, best first."""
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarity, order, 1), np.take_along_axis(rows, order, 1)


def _empty_index(embeddings: np.ndarray, kind: str, generator: np.random.Generator) -> faiss.Index:
    """A trained index without photos."""
    n_photos, dim = embeddings.shape
    if kind == "hnsw":
        index = faiss.index_factory(dim, f"HNSW{N_NEIGHBOURS}_SQ8", faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = BUILD_EFFORT
        n_training = BLOCK  # the range of each dimension
    else:
        n_lists = 2 ** round(np.log2(np.sqrt(n_photos)))
        n_codes = max(m for m in range(1, max(1, dim // DIMENSIONS_PER_CODE) + 1) if dim % m == 0)
        description = f"IVF{n_lists},PQ{n_codes}x4fs"
        index = faiss.index_factory(dim, description, faiss.METRIC_INNER_PRODUCT)
        n_training = TRAINING_PHOTOS_PER_LIST * n_lists
        if n_photos < TRAINING_PHOTOS_PER_LIST * 16:  # 16: the values of a 4-bit code
            raise InputError(
                f"found {n_photos} photos, expected {TRAINING_PHOTOS_PER_LIST * 16:,} or more for "
                "an ivfpq index; take --index auto"
            )
    rows = generator.choice(n_photos, size=min(n_training, n_photos), replace=False)
    index.train(np.ascontiguousarray(embeddings[np.sort(rows)]))
    return index


def _search_as_hard_as_needed(
    index: faiss.Index, embeddings: np.ndarray, recall: float, seed: int
) -> tuple[int, float]:
    """Raise the effort, each time about twice, until the recall is reached; returns both."""
    generator = np.random.default_rng(seed)
    rows = generator.choice(len(embeddings), size=min(N_SAMPLED, len(embeddings)), replace=False)
    photos = np.ascontiguousarray(embeddings[rows])
    queries = np.concatenate([photos, _strangers(photos, generator)])
    own_rows = np.concatenate([rows, np.full(len(rows), -1)])
    exact = _nearest_other(None, embeddings, queries, own_rows)
    if hasattr(index, "hnsw"):
        efforts, searched, name = [2**i for i in range(6, 12)], index.hnsw, "efSearch"
    else:
        efforts, searched, name = (
            [max(1, index.nlist >> i) for i in range(5, -1, -1)],
            index,
            "nprobe",
        )
    for effort in efforts:
        setattr(searched, name, effort)
        found = _nearest_other(index, embeddings, queries, own_rows) >= exact - TIE_TOLERANCE
        reached = float(min(found[: len(rows)].mean(), found[len(rows) :].mean()))
        if reached >= recall:
            break
    return effort, reached


def _strangers(photos: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """As many embeddings of nobody, with the mean and covariance of the photos."""
    mean = photos.mean(axis=0)
    weights = generator.standard_normal((len(photos), len(photos)), dtype=np.float32)
    strangers = mean + weights @ (photos - mean) / np.sqrt(len(photos))
    return (strangers / np.linalg.norm(strangers, axis=1, keepdims=True)).astype(np.float32)


def _nearest_other(
    index: faiss.Index | None, embeddings: np.ndarray, queries: np.ndarray, own_rows: np.ndarray
) -> np.ndarray:
    """Similarity of the nearest photo that is not the query itself, shape (n_query,)."""
    similarity, rows = find_nearest(index, embeddings, queries, min(2, len(embeddings)))
    return np.where(rows == own_rows[:, None], -np.inf, similarity).max(axis=1)
