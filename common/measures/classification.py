"""Accuracy of the classification approach: one score per identity of the label map.

Ties are pessimistic everywhere: another identity with the same score as the true one ranks before
it, so a model that gives every identity the same score is always wrong. The predicted label of
such a photo is the first of the other identities with that score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import InputError

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix


@dataclass(frozen=True)
class ClassificationReport:
    """How well scores name the identity of each photo.

    Attributes:
        accuracy: share of photos right, in [0, 1].
        balanced_accuracy: mean over identities present of the share right, in [0, 1].
        macro_f1: mean over identities present of F1, in [0, 1]; a wrong guess of an absent
            identity counts against the true one's recall only.
        top_k: k to the share of photos whose identity is among the first k, in [0, 1].
        per_identity: identity present to its n (photos), recall, precision and f1, each in
            [0, 1]; precision is 0 for an identity that is never predicted.
        confusion: int, shape (n_identities, n_identities); rows true, columns predicted.
        labels: int, shape (n_images,), true.
        predicted_labels: int, shape (n_images,).
        rank: int, shape (n_images,), rank of the true identity from 1.
    """

    n_images: int
    n_identities_present: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    top_k: dict[int, float]
    per_identity: dict[str, dict[str, float]]
    identities: tuple[str, ...]
    confusion: np.ndarray
    labels: np.ndarray
    predicted_labels: np.ndarray
    rank: np.ndarray

    @property
    def is_correct(self) -> np.ndarray:
        """Bool, shape (n_images,): the true identity has the highest score, alone."""
        return self.rank == 1

    @property
    def answered(self) -> np.ndarray:
        """The identity that each photo was taken for, str, shape (n_images,)."""
        return np.asarray(self.identities)[self.predicted_labels]

    def to_dict(self) -> dict:
        """Plain JSON types; the arrays per photo and the confusion matrix are left out."""
        names = ("n_images", "n_identities_present", "accuracy", "balanced_accuracy", "macro_f1")
        top_k = {str(k): share for k, share in self.top_k.items()}
        plain = {name: getattr(self, name) for name in names}
        return plain | {"top_k": top_k, "per_identity": self.per_identity}


def evaluate_classification(
    *,
    scores: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    identities: Sequence[str],
    top_k: Sequence[int] = (1, 5),
) -> ClassificationReport:
    """Compare scores with the true labels.

    Args:
        scores: shape (n_images, n_identities), high = likely: logits or probabilities.
        labels: int, shape (n_images,), true; each an index into `identities`.
        identities: length n_identities, the label map of the whole catalogue. Identities without
            a photo here, or without one in training, are allowed.
        top_k: each k, from 1, for which top-k accuracy is reported.

    Raises:
        InputError: there is no photo.
        ValueError: shapes disagree, a label is outside the map, or a score is not finite.

    Source: definitions as in scikit-learn's accuracy_score, balanced_accuracy_score and
    f1_score(average="macro", labels=those present).
    """
    scores, labels = _checked(scores, labels, identities)
    true_score = np.take_along_axis(scores, labels[:, None], axis=1)
    rank = np.count_nonzero(scores >= true_score, axis=1)  # the true one counts itself
    predicted = _predicted_labels(scores, labels, rank)
    confusion = confusion_matrix(labels, predicted, labels=range(len(identities)))
    per_identity = _per_identity(confusion, identities)
    return ClassificationReport(
        n_images=len(labels),
        n_identities_present=len(per_identity),
        accuracy=float(np.mean(rank == 1)),
        balanced_accuracy=float(np.mean([each["recall"] for each in per_identity.values()])),
        macro_f1=float(np.mean([each["f1"] for each in per_identity.values()])),
        top_k={k: float(np.mean(rank <= k)) for k in top_k},
        per_identity=per_identity,
        identities=tuple(identities),
        confusion=confusion,
        labels=labels,
        predicted_labels=predicted,
        rank=rank,
    )


def class_table(report: ClassificationReport, kind: str = "class") -> pd.DataFrame:
    """Precision, recall, F1 and number of test photos of each class."""
    table = pd.DataFrame(report.per_identity).T.rename_axis(kind)
    table = table.rename(columns={"f1": "F1", "n": "support"}).astype({"support": int})
    return table[["precision", "recall", "F1", "support"]]


def _checked(
    scores: np.ndarray, labels: Sequence[int] | np.ndarray, identities: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores), np.asarray(labels)
    if len(labels) == 0:
        raise InputError("found no photo to evaluate, expected at least one; check the split")
    expected = (len(labels), len(identities))
    if scores.shape != expected or labels.ndim != 1:
        raise ValueError(
            f"scores have shape {scores.shape} and labels {labels.shape}, expected "
            f"{expected}: one row per label, one column per identity"
        )
    is_outside = (labels < 0) | (labels >= len(identities))
    if is_outside.any():
        raise ValueError(
            f"{is_outside.sum()} of {len(labels)} labels are outside the label map, expected 0 to "
            f"{len(identities) - 1}"
        )
    n_bad = int(np.count_nonzero(~np.isfinite(scores)))
    if n_bad:
        n_images = int(np.count_nonzero(~np.isfinite(scores).all(axis=1)))
        raise ValueError(
            f"{n_bad} scores of {n_images} of {len(labels)} photos are not finite, expected numbers"
        )
    return scores, labels.astype(np.intp)


def _predicted_labels(scores: np.ndarray, labels: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Label of the highest score; another identity's when the true one only ties with it."""
    is_true = labels[:, None] == np.arange(scores.shape[1])
    best_other = np.where(is_true, -np.inf, scores).argmax(axis=1)
    return np.where(rank == 1, labels, best_other)


def _per_identity(confusion: np.ndarray, identities: Sequence[str]) -> dict[str, dict]:
    """Photos, recall, precision and F1 of each identity with at least one photo."""
    right, n_photos, n_predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    return {
        identities[label]: {
            "n": int(n_photos[label]),
            "recall": float(right[label] / n_photos[label]),
            "precision": float(right[label] / max(n_predicted[label], 1)),
            "f1": float(2 * right[label] / (n_photos[label] + n_predicted[label])),
        }
        for label in np.flatnonzero(n_photos)
    }
