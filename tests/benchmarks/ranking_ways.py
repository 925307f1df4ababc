"""Ways to rank a gallery for queries: a bare product, this course's, a careful user's, and peers'.

Each takes a `Case` and gives the figures that it knows by name: rank-1, rank-5, rank-10, mAP, mINP.
A peer that cannot be had raises `NotInstalled`, with the command that gets it.
"""

import functools
import importlib.util
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from side_by_side import extra_memory_mb

RANKS = (1, 5, 10)
COMPLETE = "CMC, mAP, mINP"
Figures = dict[str, float]


class NotInstalled(Exception):  # noqa: N818, it is no error
    """A peer is missing; the message says how to get it."""


@dataclass(frozen=True)
class Case:
    """Random unit embeddings with identities and cameras.

    Attributes:
        query: float32, shape (n_query, embedding_dim).
        gallery: float32, shape (n_gallery, embedding_dim).
        query_identities: int, shape (n_query,).
        gallery_identities: int, shape (n_gallery,).
        query_cameras: int, shape (n_query,).
        gallery_cameras: int, shape (n_gallery,).
    """

    query: np.ndarray
    gallery: np.ndarray
    query_identities: np.ndarray
    gallery_identities: np.ndarray
    query_cameras: np.ndarray
    gallery_cameras: np.ndarray

    @classmethod
    def random(
        cls, *, n_query: int, n_gallery: int, embedding_dim: int, n_identities: int, seed: int
    ) -> "Case":
        """Nobody resembles anybody: every right photo has its rank by chance, most far down."""
        generator = np.random.default_rng(seed)
        n_photos = n_query + n_gallery
        photos = generator.standard_normal((n_photos, embedding_dim), dtype=np.float32)
        photos /= np.sqrt(np.einsum("ij,ij->i", photos, photos))[:, None]
        identities = generator.integers(0, n_identities, n_photos)
        cameras = generator.integers(0, 6, n_photos)
        sides = [(each[:n_query], each[n_query:]) for each in (photos, identities, cameras)]
        return cls(*(part for side in sides for part in side))

    @classmethod
    def tiny(cls) -> "Case":
        """Enough to have every library load what it loads at its first use."""
        return cls.random(n_query=20, n_gallery=100, embedding_dim=16, n_identities=4, seed=0)

    @property
    def labels(self) -> tuple[np.ndarray, ...]:
        """Identities of queries and gallery, cameras of queries and gallery."""
        return (
            self.query_identities,
            self.gallery_identities,
            self.query_cameras,
            self.gallery_cameras,
        )


def bare_product(case: Case) -> Figures:
    """All similarities and nothing else: no exact evaluation can do without it."""
    _ = case.query @ case.gallery.T
    return {}


def this_course(case: Case, *, same_encounter_rule: bool = True) -> Figures:
    """`evaluate_retrieval`."""
    report = course_report(case, same_encounter_rule=same_encounter_rule)
    figures = {f"rank-{k}": share for k, share in report.rank_k_answerable.items()}
    return figures | {"mAP": report.mAP_answerable, "mINP": report.mINP_answerable}


def course_report(case: Case, *, same_encounter_rule: bool = True) -> "RetrievalReport":  # noqa: F821
    """The whole report of `evaluate_retrieval`."""
    from common.measures.retrieval import evaluate_retrieval

    return evaluate_retrieval(
        query_embeddings=case.query,
        gallery_embeddings=case.gallery,
        query_identities=case.query_identities,
        gallery_identities=case.gallery_identities,
        query_encounters=case.query_cameras,
        gallery_encounters=case.gallery_cameras,
        ranks=RANKS,
        same_encounter_rule=same_encounter_rule,
    )


def careful_user(case: Case) -> Figures:
    """The definitions written down in NumPy: full order of 256 queries at a time."""
    first_ranks, precisions, penalties = careful_user_per_query(case)
    figures = {f"rank-{k}": float(np.mean(first_ranks <= k)) for k in RANKS}
    return figures | {"mAP": float(precisions.mean()), "mINP": float(penalties.mean())}


def careful_user_per_query(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First rank, average precision and INP of each query that has a match."""
    first_ranks, precisions, penalties = [], [], []
    for start in range(0, len(case.query), 256):
        chunk = slice(start, start + 256)
        order = np.argsort(-(case.query[chunk] @ case.gallery.T), axis=1)
        same = case.gallery_identities[order] == case.query_identities[chunk, None]
        ignored = same & (case.gallery_cameras[order] == case.query_cameras[chunk, None])
        for is_right, is_ignored in zip(same, ignored, strict=True):
            ranks = np.flatnonzero(is_right[~is_ignored]) + 1
            if len(ranks):
                first_ranks.append(ranks[0])
                precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
                penalties.append(len(ranks) / ranks[-1])
    return np.array(first_ranks), np.array(precisions), np.array(penalties)


def torchreid_python(case: Case) -> Figures:
    """The evaluator that most published person re-identification figures come from."""
    rank = module_of("torchreid", "metrics/rank.py", "pip install --no-deps torchreid")
    curve, mean_precision = rank.evaluate_rank(
        1 - case.query @ case.gallery.T, *case.labels, use_cython=False
    )
    return _of_curve(curve) | {"mAP": float(mean_precision)}


def fastreid_cython(case: Case) -> Figures:
    """The fastest complete peer, made from torchreid's and compiled."""
    how = "pip install --no-deps fastreid cython setuptools"
    curve, precisions, penalties = _compiled("fastreid", how).evaluate_cy(
        1 - case.query @ case.gallery.T, *case.labels, max(RANKS)
    )
    means = {"mAP": float(np.mean(precisions)), "mINP": float(np.mean(penalties))}
    return _of_curve(curve) | means


def accuracy_calculator(case: Case) -> Figures:
    """pytorch-metric-learning, full ranking; it has no same-camera rule."""
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    wanted = ("precision_at_1", "mean_average_precision")
    figures = AccuracyCalculator(include=wanted, k=None, device=torch.device("cpu")).get_accuracy(
        torch.from_numpy(case.query),
        torch.from_numpy(case.query_identities),
        torch.from_numpy(case.gallery),
        torch.from_numpy(case.gallery_identities),
    )
    return {"rank-1": figures["precision_at_1"], "mAP": figures["mean_average_precision"]}


def torchmetrics_map(case: Case) -> Figures:
    """RetrievalMAP; similarities are moved above 0, where it would drop right photos."""
    if importlib.util.find_spec("torchmetrics") is None:
        raise NotInstalled("pip install torchmetrics")
    import torch
    from torchmetrics.retrieval import RetrievalMAP

    similarity = torch.from_numpy((1 + case.query @ case.gallery.T) / 2)
    is_right = case.query_identities[:, None] == case.gallery_identities
    is_ignored = is_right & (case.query_cameras[:, None] == case.gallery_cameras)
    target = torch.from_numpy(np.where(is_ignored, -1, is_right).astype(np.int64))
    query = torch.arange(len(similarity))[:, None].expand_as(similarity)
    metric = RetrievalMAP(empty_target_action="skip", ignore_index=-1)
    metric.update(similarity.flatten(), target.flatten(), indexes=query.flatten())
    return {"mAP": float(metric.compute())}


# Name -> (way, what it tells)
WAYS: dict[str, tuple[Callable[[Case], Figures], str]] = {
    "matrix product alone": (bare_product, "nothing"),
    "this course": (this_course, COMPLETE),
    "NumPy, argsort in chunks": (careful_user, COMPLETE),
    "fast-reid, Cython": (fastreid_cython, COMPLETE),
    "pytorch-metric-learning": (accuracy_calculator, "rank-1, mAP; no rule"),
}
SLOW_WAYS: dict[str, tuple[Callable[[Case], Figures], str]] = {
    "torchreid, Python": (torchreid_python, "CMC, mAP"),
    "torchmetrics RetrievalMAP": (torchmetrics_map, "mAP"),
}


def extra_memory_of(name: str, size: dict[str, int]) -> float:
    """Peak memory of one way above what the process holds with the data loaded, in MB.

    Args:
        name: of `WAYS` or `SLOW_WAYS`.
        size: of `Case.random`.
    """
    way, _ = (WAYS | SLOW_WAYS)[name]
    case = Case.random(**size)
    way(Case.tiny())
    return extra_memory_mb(lambda: way(case))


def _of_curve(curve: np.ndarray) -> Figures:
    return {f"rank-{k}": float(curve[k - 1]) for k in RANKS}


def _folder_of(package: str, how: str) -> Path:
    """Where a package lies, without importing it: these import far more than they evaluate."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise NotInstalled(how)
    return Path(spec.submodule_search_locations[0])


def module_of(package: str, file: str, how: str) -> ModuleType:
    """One file of a package as a module."""
    path = next(_folder_of(package, how).rglob(file), None)
    if path is None:
        raise NotInstalled(how)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that its compiled twin is missing
        return _loaded(path)


@functools.cache
def _compiled(package: str, how: str) -> ModuleType:
    """The package's `rank_cy.pyx`, built into a temporary folder the first time."""
    source = next(_folder_of(package, how).rglob("rank_cy.pyx"), None)
    if source is None or importlib.util.find_spec("pyximport") is None:
        raise NotInstalled(how)
    import pyximport

    folder = Path(tempfile.gettempdir()) / f"rank_cy_of_{package}"
    pyximport.install(setup_args={"include_dirs": np.get_include()}, language_level=3)
    return _loaded(Path(pyximport.build_module("rank_cy", str(source), pyxbuild_dir=str(folder))))


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.name.split(".")[0], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
