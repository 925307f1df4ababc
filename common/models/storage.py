"""Trained models as safetensors: tensors and a few words of text, nothing that runs."""

import json
from pathlib import Path

from common.errors import InputError
from common.files import write_bytes
from common.models.backbones import DESCRIPTION, load_backbone
from common.models.heads import EmbeddingHead, Recogniser, linear_classifier, mlp_classifier
from common.models.pooling import has_generalised_mean, pool_by_generalised_mean

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn


def save_recogniser(
    model: Recogniser, path: Path, identities: list[str], scores: dict | None = None
) -> Path:
    """Write a trained model with what is needed to use it.

    Args:
        model: backbone with a head of `common.models.heads`.
        path: ends in .safetensors.
        identities: the catalogue's label map, label 0 first; empty for a model that never learned
            any.
        scores: what validation photos got from it, plain JSON types, see
            `common.gallery.scores`; None: unknown.
    """
    backbone = model.backbone
    description = {
        "backbone": backbone.name,
        "image_size": backbone.preprocessing.image_size,
        "pooling": "gem" if has_generalised_mean(backbone) else "average",
        "head": _kind_of(model.head),
        "embedding_dim": _projected_to(model.head),
        "hidden": model.head[0].out_features if _kind_of(model.head) == "mlp" else None,
        "dropout": sum(each.p for each in model.head.modules() if isinstance(each, nn.Dropout)),
        "identities": list(identities),
        "scores": scores,
    }
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    # As bytes: the library's own file is for its owner alone, and takes the place of others.
    return write_bytes(path, save(tensors, metadata={DESCRIPTION: json.dumps(description)}))


def _kind_of(head: nn.Module) -> str:
    if isinstance(head, EmbeddingHead):
        return "embedding"
    # A linear head may have a dropout before it; what begins with a linear layer goes on.
    is_linear = isinstance(head, nn.Linear) or isinstance(head[0], nn.Dropout)
    return "classifier" if is_linear else "mlp"


def _projected_to(head: nn.Module) -> int | None:
    has_projection = isinstance(getattr(head, "projection", None), nn.Linear)
    return head.embedding_dim if has_projection else None


def read_description(path: Path) -> dict:
    """What `save_recogniser` wrote beside the tensors, which are not read.

    Returns:
        backbone, image_size (pixels), pooling, head, embedding_dim, hidden, dropout, identities,
        and scores (None where the model was stored without).

    Raises:
        InputError: no such file, or not a model of this course.
    """
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})[DESCRIPTION])
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise InputError(
            f"{path}: is no model that this course saved ({error}); expected a "
            "model.safetensors from a run's folder"
        ) from error
    return {"scores": None, "dropout": 0.0, **description}


def load_recogniser(path: Path) -> tuple[Recogniser, list[str]]:
    """Read what `save_recogniser` wrote.

    Returns:
        model: in evaluation mode.
        identities: label 0 first.

    Raises:
        InputError: no such file, or not a model of this course.
    """
    description, tensors = read_description(path), load_file(path)
    name, image_size = description["backbone"], description["image_size"]
    backbone = load_backbone(name, weights="none", image_size=image_size)
    if description.get("pooling") == "gem":
        pool_by_generalised_mean(backbone)
    identities, dropout = description["identities"], description["dropout"]
    sizes = backbone.n_features, len(identities)
    if description["head"] == "embedding":
        head = EmbeddingHead(backbone.n_features, description["embedding_dim"])
    elif description["head"] == "mlp":
        head = mlp_classifier(*sizes, hidden=description["hidden"], dropout=dropout)
    else:
        head = linear_classifier(*sizes, dropout)
    model = Recogniser(backbone, head)
    model.load_state_dict(tensors)
    return model.eval(), identities
