"""The two ways to train, as short verbs: a classifier, and an embedding.

Both take the same photos, batches, epochs and backbone, so that they can be compared.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from common.models.heads import EmbeddingHead, linear_classifier
from common.training.feature_cache import PhotosAtBoundary
from common.training.loop import FitResult, TrainingSettings, fit
from common.training.losses import ArcFace, cross_entropy
from common.training.optim import parameter_group


@dataclass(frozen=True)
class Rates:
    """Peak learning rates of the parts of a model, and their weight decay.

    Attributes:
        head: of new layers.
        backbone: of pre-trained layers, which need care.
        centres: of ArcFace's centres, one per identity: each is moved by few photos.
        weight_decay: of weights that are not norms or biases.
    """

    head: float = 2e-3
    backbone: float = 1e-3
    centres: float = 1e-2
    weight_decay: float = 1e-2


@dataclass(frozen=True)
class Trained:
    """A trained model behind the freeze boundary, and how it came about.

    Attributes:
        tail: activations to features.
        head: features to scores or embeddings.
        fit: history, chosen epoch, seconds.
    """

    tail: nn.Module
    head: nn.Module
    fit: FitResult

    @property
    def model(self) -> nn.Sequential:
        """Activations to outputs."""
        return nn.Sequential(self.tail, self.head)


def train_classifier(
    photos: PhotosAtBoundary,
    n_features: int,
    *,
    train_rows: np.ndarray,
    validation_rows: np.ndarray,
    n_identities: int,
    settings: TrainingSettings,
    rates: Rates | None = None,
    **fit_options: object,
) -> Trained:
    """Train one score per identity with softmax cross-entropy.

    The backbone of `photos` stays as it is; a copy of its trainable tail is trained.

    Args:
        photos: behind the freeze boundary.
        n_features: of the backbone.
        train_rows: of the catalogue.
        validation_rows: photos of identities that are trained on; their accuracy chooses the
            epoch. None at all: the last epoch is taken.
        n_identities: of the whole catalogue, its label map.
        settings: how to train.
        rates: learning rates; None for the defaults.
        fit_options: checkpoint, title, progress of `common.training.loop.fit`.
    """
    torch.manual_seed(settings.seed)  # of the new weights
    head = linear_classifier(n_features, n_identities)

    def accuracy(model: nn.Module) -> dict[str, float]:
        predicted = photos.outputs(model, validation_rows).argmax(axis=1)
        return {"validation_accuracy": float(np.mean(predicted == photos.labels[validation_rows]))}

    validate = accuracy if len(validation_rows) else None
    return _train(photos, head, cross_entropy(), train_rows, validate, settings, rates, fit_options)


def train_embedding(
    photos: PhotosAtBoundary,
    n_features: int,
    *,
    train_rows: np.ndarray,
    validation_rows: np.ndarray,
    n_identities: int,
    settings: TrainingSettings,
    rates: Rates | None = None,
    embedding_dim: int | None = None,
    **fit_options: object,
) -> Trained:
    """Train an embedding with ArcFace; the arguments are those of `train_classifier`.

    Validation asks what the embedding is for: is the most similar training photo one of the
    same animal?
    """
    torch.manual_seed(settings.seed)  # of the new weights
    head = EmbeddingHead(n_features, embedding_dim)
    criterion = ArcFace(n_identities, head.embedding_dim)

    def rank_1(model: nn.Module) -> dict[str, float]:
        gallery = photos.outputs(model, train_rows)
        nearest = (photos.outputs(model, validation_rows) @ gallery.T).argmax(axis=1)
        is_match = photos.labels[train_rows][nearest] == photos.labels[validation_rows]
        return {"validation_accuracy": float(np.mean(is_match))}

    validate = rank_1 if len(validation_rows) else None
    return _train(photos, head, criterion, train_rows, validate, settings, rates, fit_options)


def _train(
    photos: PhotosAtBoundary,
    head: nn.Module,
    criterion: nn.Module,
    train_rows: np.ndarray,
    validate: Callable[[nn.Module], dict[str, float]] | None,
    settings: TrainingSettings,
    rates: Rates | None,
    fit_options: dict[str, Path | str | bool],
) -> Trained:
    rates, tail = rates or Rates(), copy.deepcopy(photos.tail)
    groups = [
        *parameter_group(tail, rates.backbone, rates.weight_decay),
        *parameter_group(head, rates.head, rates.weight_decay),
        *parameter_group(criterion, rates.centres),
    ]
    result = fit(
        nn.Sequential(tail, head), criterion, photos.training_dataset(train_rows, settings.seed),
        groups, settings, validate=validate, **fit_options,
    )  # fmt: skip
    return Trained(tail, head, result)
