"""Heads: from features to one score per identity, or to an embedding."""

from common.models.backbones import Backbone

import torch
from torch import nn
from torch.nn import functional

HEAD_STD = 0.01  # of a new classifier's weights


class EmbeddingHead(nn.Module):
    """Turns features into a vector of unit length, compared by cosine similarity.

    A batch norm centres the features before they are put on the unit sphere: features behind a
    ReLU are all positive, so that without it any two photos are alike. No projection by default:
    with few photos a new random one loses more than it learns.

    Args:
        embedding_dim: length of the embedding after a projection; None for the features' own.

    Source: the batch-norm neck of Luo et al. 2019, "Bag of tricks and a strong baseline".
    """

    def __init__(self, n_features: int, embedding_dim: int | None = None) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim or n_features
        self.projection = nn.Identity()
        if embedding_dim:
            self.projection = nn.Linear(n_features, embedding_dim, bias=False)
        self.norm = nn.BatchNorm1d(self.embedding_dim)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Embed: (n_images, n_features) to (n_images, embedding_dim), each row of length 1."""
        return functional.normalize(self.norm(self.projection(features)))


def linear_classifier(n_features: int, n_identities: int, dropout: float = 0.0) -> nn.Module:
    """One score per identity: features times weights plus a bias.

    The new weights are small (standard deviation 0.01) and the biases 0, so that the first
    predictions are even over all identities and the first loss is ln(n_identities): larger
    ones would begin with confident errors, whose gradients damage what a backbone knows.
    """
    linear = nn.Linear(n_features, n_identities)
    nn.init.trunc_normal_(linear.weight, std=HEAD_STD)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.Dropout(dropout), linear) if dropout else linear


def mlp_classifier(
    n_features: int, n_identities: int, *, hidden: int = 512, dropout: float = 0.3
) -> nn.Module:
    """Linear, ReLU, dropout, linear: a head that may bend."""
    return nn.Sequential(
        nn.Linear(n_features, hidden),  # PyTorch's own start suits a ReLU behind it
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        linear_classifier(hidden, n_identities),
    )


HEADS = {"linear": linear_classifier, "mlp": mlp_classifier}


class Recogniser(nn.Module):
    """A backbone with a head: photos in, scores or embeddings out."""

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(images))
