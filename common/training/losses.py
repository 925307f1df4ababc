"""Losses: what training pulls together and pushes apart.

Each is a module called with (outputs, labels). Those with weights of their own (ArcFace keeps one
centre per identity) are trained along with the model.
"""

import math

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import ArcFaceLoss, ContrastiveLoss, TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from torch import nn


def cross_entropy(label_smoothing: float = 0.1) -> nn.Module:
    """Softmax cross-entropy on one score per identity.

    Args:
        label_smoothing: probability spread evenly over all identities, [0, 1).
    """
    return nn.CrossEntropyLoss(label_smoothing=label_smoothing)


class ArcFace(nn.Module):
    """Softmax over angles, with a margin added to the angle of the true identity.

    Args:
        n_identities: number of centres.
        embedding_dim: length of the embedding.
        margin: radians; 0 leaves a softmax on cosines.
        scale: what cosines are multiplied with before the softmax.

    Source: Deng et al. 2019, equation 3, through pytorch-metric-learning (whose margin is in
        degrees).
    """

    def __init__(
        self, n_identities: int, embedding_dim: int, *, margin: float = 0.3, scale: float = 24.0
    ) -> None:
        super().__init__()
        self.loss = ArcFaceLoss(
            n_identities, embedding_dim, margin=math.degrees(margin), scale=scale
        )

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean loss; embeddings (n_images, embedding_dim), labels (n_images,)."""
        # In half precision the arc cosine near 1 has no gradient to speak of.
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.loss(embeddings.float(), labels)

    def extra_repr(self) -> str:  # for a checkpoint to tell two of them apart
        return f"margin={self.loss.margin:.4f}, scale={self.loss.scale}"


class BatchHardTriplet(nn.Module):
    """Triplet loss on the farthest positive and the nearest negative of each anchor.

    Batches must hold several photos of an identity (`IdentityBatchSampler`).

    Args:
        margin: by how much a negative must be farther away, in Euclidean distance between
            unit vectors, 0 to 2.

    Source: Hermans et al. 2017, equation 5, through pytorch-metric-learning.
    """

    def __init__(self, margin: float = 0.2) -> None:
        super().__init__()
        distance = LpDistance(p=2, normalize_embeddings=True)
        self.miner = BatchHardMiner(distance=distance)
        self.loss = TripletMarginLoss(margin=margin, distance=distance)

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean loss; embeddings (n_images, embedding_dim), labels (n_images,)."""
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.float()
            return self.loss(embeddings, labels, self.miner(embeddings, labels))

    def extra_repr(self) -> str:  # for a checkpoint to tell two of them apart
        return f"margin={self.loss.margin}"


class Contrastive(nn.Module):
    """Contrastive loss on all pairs of a batch: what trains a Siamese network.

    Pairs of one identity are pulled within one margin, others pushed beyond another. The two kinds
    are averaged apart, each over the pairs that still cost something, and added up: otherwise the
    many pairs of others would drown the few of one identity. Batches must hold several photos of
    an identity (`IdentityBatchSampler`).

    Args:
        positive_margin: distance up to which a pair of one identity costs nothing, Euclidean
            between unit vectors, 0 to 2.
        negative_margin: distance from which a pair of two identities costs nothing, likewise.

    Source: Hadsell et al. 2006, equation 4, with distances in place of their squares, through
        pytorch-metric-learning.
    """

    def __init__(self, positive_margin: float = 0.0, negative_margin: float = 1.0) -> None:
        super().__init__()
        distance = LpDistance(p=2, normalize_embeddings=True)
        self.loss = ContrastiveLoss(positive_margin, negative_margin, distance=distance)

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean loss; embeddings (n_images, embedding_dim), labels (n_images,)."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.loss(embeddings.float(), labels)

    def extra_repr(self) -> str:  # for a checkpoint to tell two of them apart
        return f"margins={self.loss.pos_margin}, {self.loss.neg_margin}"
