"""The two ways to train, as short verbs: a classifier, and an embedding.

Both take the same photos, batches, epochs and backbone, so that they can be compared.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

from common.models.heads import EmbeddingHead, linear_classifier
from common.training.boundary import PhotosAtBoundary
from common.training.loop import FitResult, TrainingSettings, fit
from common.training.losses import arcface, cross_entropy
from common.training.optim import Rates, backbone_groups, parameter_group

import numpy as np
import torch
from torch import nn

NONE = np.empty(0, dtype=np.intp)  # no rows


@dataclass(frozen=True)
class Trained:
    """A trained model behind the freeze boundary, tail and head, and how it came about."""

    tail: nn.Module
    head: nn.Module
    fit: FitResult

    @property
    def model(self) -> nn.Sequential:
        """Activations to outputs."""
        return nn.Sequential(self.tail, self.head)


def train_classifier(
    photos: PhotosAtBoundary,
    *,
    train_rows: np.ndarray,
    validation_rows: np.ndarray = NONE,
    n_identities: int = 0,
    settings: TrainingSettings,
    head: nn.Module | None = None,
    criterion: nn.Module | None = None,
    **options: object,
) -> Trained:
    """Train one score per identity with softmax cross-entropy.

    Args:
        validation_rows: photos of identities that are trained on; their accuracy chooses the
            epoch. None at all: the last epoch is taken.
        n_identities: of the whole catalogue, its label map; for a new head.
        head: trained in place; None: a new linear one.
        criterion: (scores, labels) to a mean loss; None: cross-entropy, labels smoothed by 0.1.
        options: rates, tail and groups, see `_train`; checkpoint, title, progress, mix and others
            of `common.training.loop.fit`.
    """
    torch.manual_seed(settings.seed)  # of the new weights
    head = head or linear_classifier(photos.n_features, n_identities)
    criterion = criterion or cross_entropy()

    def validate(model: nn.Module) -> dict[str, float]:
        scores = torch.from_numpy(photos.outputs(model, validation_rows))
        truth = torch.from_numpy(photos.labels[validation_rows])
        return {
            "validation_accuracy": float((scores.argmax(dim=1) == truth).float().mean()),
            "validation_loss": float(criterion(scores, truth)),
        }

    options |= {"validate": validate if len(validation_rows) else None}
    options |= {"depends_on": [photos, validation_rows]}
    return _train(photos, head, criterion, train_rows, settings, **options)


def train_embedding(
    photos: PhotosAtBoundary,
    *,
    train_rows: np.ndarray,
    validation_rows: np.ndarray = NONE,
    n_identities: int = 0,
    settings: TrainingSettings,
    embedding_dim: int | None = None,
    criterion: nn.Module | None = None,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    **options: object,
) -> Trained:
    """Train an embedding; other arguments are those of `train_classifier`.

    Validation asks what the embedding is for: is the most similar training photo one of the
    same animal?

    Args:
        criterion: (embeddings, labels) to a mean loss; None: ArcFace.
        options: a loss that compares photos needs a `batch_sampler` that brings several photos
            of an animal together.
    """
    torch.manual_seed(settings.seed)  # of the new weights
    head = EmbeddingHead(photos.n_features, embedding_dim)
    criterion = criterion or arcface(n_identities, head.embedding_dim)

    def rank_1(model: nn.Module) -> dict[str, float]:
        gallery = photos.outputs(model, train_rows)
        nearest = (photos.outputs(model, validation_rows) @ gallery.T).argmax(axis=1)
        is_match = photos.labels[train_rows][nearest] == photos.labels[validation_rows]
        return {"validation_accuracy": float(np.mean(is_match))}

    options |= {"validate": validate or (rank_1 if len(validation_rows) else None)}
    options |= {"depends_on": [photos, validation_rows]}
    return _train(photos, head, criterion, train_rows, settings, **options)


def _train(
    photos: PhotosAtBoundary,
    head: nn.Module,
    criterion: nn.Module,
    train_rows: np.ndarray,
    settings: TrainingSettings,
    *,
    rates: Rates | None = None,
    tail: nn.Module | None = None,
    groups: list[dict] | None = None,
    **fit_options: object,
) -> Trained:
    """Train what lies behind the boundary.

    Args:
        rates: learning rates; None: the defaults.
        tail: trained in place, such as `photos.tail`, the end of the backbone itself; None: a
            copy of that, so that another training starts from the same weights.
        groups: of the optimiser, in place of those that `rates` make.
    """
    tail, rates = copy.deepcopy(photos.tail) if tail is None else tail, rates or Rates()
    decay = {"weight_decay": rates.weight_decay, "decay_norms": rates.decay_norms}
    groups = groups or [
        *backbone_groups(tail, photos.tail_stages, photos.n_stages, rates),
        *parameter_group(head, rates.head, **decay),
        *parameter_group(criterion, rates.centres),
    ]
    views = photos.training_dataset(train_rows, settings.seed)
    result = fit(nn.Sequential(tail, head), criterion, views, groups, settings, **fit_options)
    return Trained(tail, head, result)
