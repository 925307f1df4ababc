"""Who is this? The animals of a gallery, ranked for the photos of one question.

An animal's score for a photo is the cosine similarity of its most alike gallery photo. The left and
the right of an animal are two patterns, so that a left photo is never compared with a right one;
photos of unknown side, or of another view, are compared with all. Several photos of one animal in
one encounter are one question: an animal's score is then the mean of its scores for the photos
that can be compared with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from common.gallery.gallery import Gallery
from common.matching.cascade import animal_best, mean_of_photos
from common.splits.encounters import comparable

import numpy as np

EXACT_UP_TO = 20_000  # photos of a gallery without index, of which every animal is compared
N_PROPOSED = 200  # photos that a search proposes for each photo; their animals are compared

# Number of a question; cosines and whether they count, each (n_photos, n_compared); of the photos
# compared their animals' labels and rows -> other scores of these pairs, nan where none counts.
ScorePairs = Callable[[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Question:
    """Photos that show one animal in one encounter; often it is one photo.

    Attributes:
        embeddings: float, shape (n_photos, embedding_dim), unit length.
        sides: of each photo: "left", "right", another view, or "" where it is not known.
    """

    embeddings: np.ndarray
    sides: Sequence[str]


@dataclass(frozen=True)
class Candidate:
    """An animal that it may be.

    Attributes:
        similarity: cosine in [-1, 1], or a cascade's score in (0, 1): of its most alike photo, or
            the mean of these.
        row: of the gallery's facts: its most alike photo.
        n_compared: photos of the question that could be compared with it.
    """

    identity: str
    similarity: float
    row: int
    n_compared: int


@dataclass(frozen=True)
class Ranking:
    """What a gallery answers.

    Attributes:
        not_judged: animals without a photo that can be compared, sorted.
    """

    candidates: list[Candidate]
    not_judged: list[str]


def best_per_animal(
    similarity: np.ndarray, labels: np.ndarray, n_animals: int, allowed: np.ndarray
) -> np.ndarray:
    """For each photo and animal, the similarity of the animal's most alike gallery photo.

    Args:
        similarity: shape (n_query, n_gallery).
        labels: integers below n_animals, shape (n_gallery,).
        allowed: bool, shape (n_query, n_gallery), pairs that count.

    Returns:
        Shape (n_query, n_animals); nan for an animal without a pair that counts.

    >>> best_per_animal(np.array([[0.1, 0.9, 0.5]]), np.array([0, 2, 2]), 3,
    ...                 np.array([[True, False, True]]))
    array([[0.1, nan, 0.5]])
    """
    best = np.full((len(similarity), n_animals), -np.inf)
    present, numbers = np.unique(labels, return_inverse=True)
    best[:, present] = animal_best(np.where(allowed, similarity, -np.inf), numbers)
    return np.where(np.isneginf(best), np.nan, best)


def rank_animals(
    gallery: Gallery, questions: Sequence[Question], k: int = 5, score: ScorePairs | None = None
) -> list[Ranking]:
    """Rank a gallery's animals for each question.

    Every animal is compared where the gallery is small and has no index. Else those are whose
    photos a search proposes, and their scores are exact.

    Args:
        gallery: its fact "side", where it has one, says which photos can be compared.
        k: candidates per question, at most.
        score: what the pairs get; None: their cosines.
    """
    facts = gallery.facts
    names, labels = np.unique(facts["identity"], return_inverse=True)
    sides = facts.get("side", np.zeros(len(labels), dtype=str))
    known = _Known(gallery, names, labels, sides, gallery.can_be_found())
    score = score or (lambda i, similarity, *pairs: similarity)
    return [_rank(known, each, k, partial(score, i)) for i, each in enumerate(questions)]


@dataclass(frozen=True)
class _Known:
    """A gallery's facts, read once for many questions; all but the names are per row."""

    gallery: Gallery
    names: np.ndarray
    labels: np.ndarray
    sides: np.ndarray
    is_present: np.ndarray


def _rank(known: _Known, question: Question, k: int, score: Callable) -> Ranking:
    allowed = comparable(question.sides, known.sides) & known.is_present  # (n_photos, n_rows)
    is_anyones = allowed.any(axis=0)
    judged = np.unique(known.labels[is_anyones])
    not_judged = np.setdiff1d(known.labels[known.is_present], judged)
    rows = np.flatnonzero(is_anyones)
    has_index = known.gallery.report is not None and known.gallery.report.kind != "flat"
    if has_index or len(known.gallery) > EXACT_UP_TO:
        rows = rows[np.isin(known.labels[rows], _proposed(known, question, allowed))]
    similarity = question.embeddings @ known.gallery.embeddings_at(rows).T
    allowed, labels = allowed[:, rows], known.labels[rows]
    similarity = score(similarity, allowed, labels, rows)
    scores = best_per_animal(similarity, labels, len(known.names), allowed)
    fused = mean_of_photos(scores)
    order = np.argsort(-fused, kind="stable")[: min(k, np.isfinite(fused).sum())]  # nan is last
    candidates = []
    for label in order:
        own = np.flatnonzero(labels == label)
        best = np.where(allowed[:, own], similarity[:, own], -np.inf).max(axis=0).argmax()
        row, n_compared = int(rows[own[best]]), int(np.isfinite(scores[:, label]).sum())
        name, similarity_to_it = str(known.names[label]), float(fused[label])
        candidates.append(Candidate(name, similarity_to_it, row, n_compared))
    return Ranking(candidates, [str(name) for name in known.names[not_judged]])


def _proposed(known: _Known, question: Question, allowed: np.ndarray) -> np.ndarray:
    """Labels of the animals whose photos a search finds for any photo of the question."""
    found = [np.empty(0, dtype=np.intp)]
    for embedding, where in zip(question.embeddings, allowed, strict=True):
        if where.any():
            found.append(known.gallery.search(embedding[None], N_PROPOSED, where=where)[1][0])
    return np.unique(known.labels[np.concatenate(found)])
