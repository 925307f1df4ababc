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
    tail: nn.Module | None = None,
    head: nn.Module | None = None,
    criterion: nn.Module | None = None,
    groups: list[dict] | None = None,
    **fit_options: object,
) -> Trained:
    """Train one score per identity with softmax cross-entropy.

    Args:
        photos: behind the freeze boundary.
        n_features: of the backbone.
        train_rows: of the catalogue.
        validation_rows: photos of identities that are trained on; their accuracy chooses the
            epoch. None at all: the last epoch is taken.
        n_identities: of the whole catalogue, its label map.
        settings: how to train.
        rates: learning rates; None for the defaults.
        tail: trained in place, such as `photos.tail`, the end of the backbone itself; None: a
            copy of that, so that another training starts from the same weights.
        head: trained in place; None: a new linear one.
        criterion: (scores, labels) to a mean loss; None: cross-entropy, labels smoothed by 0.1.
        groups: of the optimiser, in place of those that `rates` make.
        fit_options: checkpoint, title, progress, mix and others of `common.training.loop.fit`.
    """
    torch.manual_seed(settings.seed)  # of the new weights
    head = head or linear_classifier(n_features, n_identities)
    criterion = criterion or cross_entropy()

    def validate(model: nn.Module) -> dict[str, float]:
        scores = torch.from_numpy(photos.outputs(model, validation_rows))
        truth = torch.from_numpy(photos.labels[validation_rows])
        return {
            "validation_accuracy": float((scores.argmax(dim=1) == truth).float().mean()),
            "validation_loss": float(criterion(scores, truth)),
        }

    return _train(
        photos,
        tail,
        head,
        criterion,
        train_rows,
        groups=groups,
        validate=validate if len(validation_rows) else None,
        settings=settings,
        rates=rates or Rates(),
        depends_on=[photos, validation_rows],
        **fit_options,
    )


def train_embedding(
    photos: PhotosAtBoundary,
    n_features: int,
    *,
    train_rows: np.ndarray,
    validation_rows: np.ndarray | None = None,
    n_identities: int,
    settings: TrainingSettings,
    rates: Rates | None = None,
    tail: nn.Module | None = None,
    embedding_dim: int | None = None,
    criterion: nn.Module | None = None,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    **fit_options: object,
) -> Trained:
    """Train an embedding; other arguments are those of `train_classifier`.

    Validation asks what the embedding is for: is the most similar training photo one of the
    same animal?

    Args:
        criterion: (embeddings, labels) to a mean loss; None: ArcFace.
        validate: asks something else instead of `validation_rows`.
        fit_options: of `common.training.loop.fit`; a loss that compares photos needs
            a `batch_sampler` that brings several photos of an animal together.
    """
    torch.manual_seed(settings.seed)  # of the new weights
    head = EmbeddingHead(n_features, embedding_dim)
    criterion = criterion or arcface(n_identities, head.embedding_dim)

    if validation_rows is None:
        validation_rows = np.empty(0, dtype=np.intp)

    def rank_1(model: nn.Module) -> dict[str, float]:
        gallery = photos.outputs(model, train_rows)
        nearest = (photos.outputs(model, validation_rows) @ gallery.T).argmax(axis=1)
        is_match = photos.labels[train_rows][nearest] == photos.labels[validation_rows]
        return {"validation_accuracy": float(np.mean(is_match))}

    return _train(
        photos,
        tail,
        head,
        criterion,
        train_rows,
        validate=validate or (rank_1 if len(validation_rows) else None),
        settings=settings,
        rates=rates or Rates(),
        depends_on=[photos, validation_rows],
        **fit_options,
    )


def _train(
    photos: PhotosAtBoundary,
    tail: nn.Module | None,
    head: nn.Module,
    criterion: nn.Module,
    train_rows: np.ndarray,
    *,
    validate: Callable[[nn.Module], dict[str, float]] | None,
    settings: TrainingSettings,
    rates: Rates,
    groups: list[dict] | None = None,
    **fit_options: object,
) -> Trained:
    tail = copy.deepcopy(photos.tail) if tail is None else tail
    decay = {"weight_decay": rates.weight_decay, "decay_norms": rates.decay_norms}
    groups = groups or [
        *backbone_groups(tail, photos.tail_stages, photos.n_stages, rates),
        *parameter_group(head, rates.head, **decay),
        *parameter_group(criterion, rates.centres),
    ]
    views = photos.training_dataset(train_rows, settings.seed)
    model = nn.Sequential(tail, head)
    result = fit(model, criterion, views, groups, settings, validate=validate, **fit_options)
    return Trained(tail, head, result)
