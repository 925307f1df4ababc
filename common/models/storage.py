"""Trained models as safetensors: tensors and a few words of text, nothing that runs."""

import json
from pathlib import Path

from common.errors import InputError
from common.files import write_bytes
from common.models.backbones import backbone_to_fill
from common.models.heads import EmbeddingHead, Recogniser, linear_classifier, mlp_classifier
from common.models.pooling import has_generalised_mean, pool_by_generalised_mean
from common.models.weights import DESCRIPTION, UNREADABLE, refuse_odd_numbers, stored_description

from safetensors.torch import load_file, save
from torch import nn


def save_recogniser(
    model: Recogniser, path: Path, identities: list[str], scores: dict | None = None
) -> Path:
    """Write a trained model with what is needed to use it.

    Args:
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
        "embedding_dim": getattr(getattr(model.head, "projection", None), "out_features", None),
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


def read_description(path: Path) -> dict:
    """What `save_recogniser` wrote beside the tensors, which are not read.

    Returns:
        backbone, image_size (pixels), pooling, head, embedding_dim, hidden, dropout, identities,
        and scores (None where the model was stored without).

    Raises:
        InputError: no such file, or not a model of this course.
    """
    description = stored_description(path)
    if description is None:
        raise InputError(
            f"{path}: is no model that this course saved, expected a model.safetensors from a "
            "run's folder; name another one"
        )
    return description


def load_recogniser(path: Path) -> tuple[Recogniser, list[str]]:
    """Read what `save_recogniser` wrote.

    Returns:
        model: in evaluation mode.
        identities: label 0 first.

    Raises:
        InputError: no such file, or not a model of this course.
    """
    description = read_description(path)
    try:
        model = _described(description)
        tensors, wanted = load_file(path), model.state_dict()
        model.load_state_dict(tensors)
        for name, tensor in tensors.items():
            refuse_odd_numbers(tensor, wanted[name], name)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{path}: its network cannot be built as it says ({reason}), expected a "
            "model.safetensors from a run's folder; train it anew, or name another one"
        ) from error
    return model.eval(), description["identities"]


def _described(description: dict) -> Recogniser:
    """An untrained model of this description."""
    backbone = backbone_to_fill(description["backbone"], description["image_size"])
    if description["pooling"] == "gem":
        pool_by_generalised_mean(backbone)
    sizes, dropout = (backbone.n_features, len(description["identities"])), description["dropout"]
    if description["head"] == "embedding":
        head = EmbeddingHead(backbone.n_features, description["embedding_dim"])
    elif description["head"] == "mlp":
        head = mlp_classifier(*sizes, hidden=description["hidden"], dropout=dropout)
    else:
        head = linear_classifier(*sizes, dropout)
    return Recogniser(backbone, head)
