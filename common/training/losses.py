"""The losses that a network can be trained with: what they pull together and push apart.

Each is a module called with (outputs, labels), through pytorch-metric-learning. Those with weights
of their own (ArcFace keeps one centre per identity) are trained along with the model.

In the formulas x, y, z are embeddings of unit length, s the cosine of two of them and
d = √(2 − 2s) their distance, 0 to 2. An anchor's positives are the other photos of its animal in
the batch, its negatives the photos of other animals. Each loss puts embeddings on the unit sphere
itself, so that their length never matters.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from common.errors import InputError

import pandas as pd
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import (
    ArcFaceLoss,
    CircleLoss,
    ContrastiveLoss,
    MultiSimilarityLoss,
    ProxyAnchorLoss,
    SubCenterArcFaceLoss,
    SupConLoss,
    TripletMarginLoss,
)
from pytorch_metric_learning.miners import BatchHardMiner, MultiSimilarityMiner
from torch import nn

DISTANCE, COSINE, ANGLE = "distance of unit vectors", "cosine similarity", "radians"
LARGEST_MARGIN = {DISTANCE: 2.0, COSINE: 1.0, ANGLE: math.pi / 2}


def cross_entropy(label_smoothing: float = 0.1) -> nn.Module:
    """Softmax cross-entropy; a share in [0, 1) of each label is spread over all identities."""
    return nn.CrossEntropyLoss(label_smoothing=label_smoothing)


def least_loss(n_classes: int, label_smoothing: float) -> float:
    """Cross-entropy, in nats, of a network that gives exactly the smoothed probabilities.

    >>> round(least_loss(80, 0.1), 2)
    0.75
    """
    other = label_smoothing / n_classes
    own = 1 - label_smoothing + other
    return -own * math.log(own) - (n_classes - 1) * other * math.log(other)


class LibraryLoss(nn.Module):
    """A loss of pytorch-metric-learning, in 32 bits whatever the model computes in.

    Args:
        miner: the library's choice of pairs for it; None: all pairs, or none are needed.
    """

    def __init__(self, loss: nn.Module, miner: nn.Module | None = None) -> None:
        super().__init__()
        self.loss, self.miner = loss, miner

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean loss; embeddings (n_images, embedding_dim), labels (n_images,)."""
        # In half precision the arc cosine near 1 has no gradient to speak of.
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.float()
            pairs = self.miner(embeddings, labels) if self.miner else None
            return self.loss(embeddings, labels, pairs)


def contrastive(*, margin: float = 1.0) -> nn.Module:
    """Pulls every positive to distance 0, pushes every negative out to the margin.

    mean of d over positive pairs + mean of max(0, margin − d) over negative pairs, each over the
    pairs that still cost something: otherwise the many pairs of others would drown the few of one
    identity. It is what trains a Siamese network.

    Args:
        margin: distance from which a pair of two identities costs nothing.

    Source: Hadsell et al. 2006, equation 4, with distances in place of their squares.
    """
    return LibraryLoss(ContrastiveLoss(0.0, margin, distance=_distance()))


def triplet(*, margin: float = 0.2) -> nn.Module:
    """Wants an anchor's farthest positive nearer than its nearest negative, by the margin.

    max(0, d(farthest positive) − d(nearest negative) + margin), over the anchors it costs.

    Source: Hermans et al. 2017, equation 5 (batch hard).
    """
    loss = TripletMarginLoss(margin=margin, distance=_distance())
    return LibraryLoss(loss, BatchHardMiner(distance=_distance()))


def _distance() -> LpDistance:
    return LpDistance(p=2, normalize_embeddings=True)


def arcface(
    n_identities: int, embedding_dim: int, *, margin: float = 0.3, scale: float = 24.0
) -> nn.Module:
    """Softmax over angles to centres, the true identity's angle made larger by the margin.

    week3/metric_learning.py spells out the formula.

    Args:
        margin: radians; 0 leaves a softmax on cosines.
        scale: what cosines are multiplied with before the softmax.

    Source: Deng et al. 2019, equation 3; the library's margin is in degrees.
    """
    degrees = math.degrees(margin)
    return LibraryLoss(ArcFaceLoss(n_identities, embedding_dim, margin=degrees, scale=scale))


def multi_similarity(*, margin: float, scale: float) -> nn.Module:
    """Weighs each pair by how it stands beside the anchor's other pairs.

    Mean over anchors of ½ ln(1 + Σ exp(−2 (s − ½))) over positives
    + 1/scale · ln(1 + Σ exp(scale (s − ½))) over negatives. Pairs are mined: a positive counts if
    it is less alike than the most alike negative plus the margin, and the other way round.

    Source: Wang et al. 2019, "Multi-similarity loss", equations 11 and 12 (pairs), 15 (loss), with
        its α = 2 and λ = ½ as in the authors' code.
    """
    loss = MultiSimilarityLoss(alpha=2, beta=scale, base=0.5)
    return LibraryLoss(loss, MultiSimilarityMiner(epsilon=margin))


def supcon(*, scale: float) -> nn.Module:
    """A softmax over the batch: each positive should be more alike than all other photos.

    Mean over anchors of the mean over their positives of −ln(exp(scale · s) / Σ exp(scale · s)),
    the sum over all other photos of the batch. The scale is one over the temperature.

    Source: Khosla et al. 2020, "Supervised contrastive learning", equation 2.
    """
    return LibraryLoss(SupConLoss(temperature=1 / scale))


def circle(*, margin: float, scale: float) -> nn.Module:
    """One softplus over all pairs of an anchor; each moves the faster, the farther it is off.

    softplus(ln Σ exp(−scale · p (s − 1 + margin)) + ln Σ exp(scale · n (s − margin))), the first
    sum over positives with p = max(0, 1 + margin − s), the second over negatives with
    n = max(0, s + margin); the weights p and n have no gradient of their own.

    Source: Sun et al. 2020, "Circle loss", equations 5 and 6, with a term for each anchor.
    """
    return LibraryLoss(CircleLoss(m=margin, gamma=scale))


def proxy_anchor(
    n_identities: int, embedding_dim: int, *, margin: float, scale: float
) -> nn.Module:
    """Each animal has a centre (proxy), an anchor that pulls its photos and pushes the others.

    Mean over the batch's animals of ln(1 + Σ exp(−scale (s − margin))) over their photos, plus mean
    over all animals of ln(1 + Σ exp(scale (s + margin))) over the photos of others; s between
    photo and centre. Photos meet through the sums: the farthest of an animal is pulled most.

    Source: Kim et al. 2020, "Proxy anchor loss", equation 4.
    """
    return LibraryLoss(ProxyAnchorLoss(n_identities, embedding_dim, margin=margin, alpha=scale))


def subcenter_arcface(
    n_identities: int, embedding_dim: int, *, margin: float, scale: float
) -> nn.Module:
    """ArcFace with three centres per animal: a photo needs to be near one of them.

    The left and the right face of a turtle are two patterns, and a wrongly named photo can have
    a centre of its own.

    Args:
        margin: radians.

    Source: Deng et al. 2020, "Sub-center ArcFace", section 3.
    """
    options = {"margin": math.degrees(margin), "scale": scale, "sub_centers": 3}
    sizes = {"num_classes": n_identities, "embedding_size": embedding_dim}
    return LibraryLoss(SubCenterArcFaceLoss(**sizes, **options))


@dataclass(frozen=True)
class MetricLoss:
    """What a person needs to know of a loss to choose it.

    Attributes:
        build: margin and scale, where it has them, to the loss; one that compares with centres
            takes the number of identities and the length of an embedding first.
        compares: each photo with the other "photos" of its batch, which must then hold several
            of an animal (`IdentityBatchSampler`), or with one or more learned "centres" per animal.
        pairs: which pairs count (the miner), and why these.
        margin: that it is used with unless asked otherwise; None: it has none.
        scale: likewise, of cosines before an exponential; None: it has none.
    """

    build: Callable[..., nn.Module]
    compares: str
    pairs: str
    margin: float | None = None
    unit: str | None = None
    scale: float | None = None

    @property
    def options(self) -> dict[str, float]:
        """The options that it has, with their defaults."""
        own = {"margin": self.margin, "scale": self.scale}
        return {name: value for name, value in own.items() if value is not None}


LOSSES = {
    "contrastive": MetricLoss(
        contrastive, "photos", "all; those that cost nothing don't dilute the mean",
        margin=1.0, unit=DISTANCE,
    ),
    "triplet": MetricLoss(
        triplet, "photos", "hardest positive and negative: most triplets are easy, teach nothing",
        margin=0.2, unit=DISTANCE,
    ),
    "multi_similarity": MetricLoss(
        multi_similarity, "photos", "positives and negatives that overlap, give or take the margin",
        margin=0.1, unit=COSINE, scale=50.0,
    ),
    "supcon": MetricLoss(
        supcon, "photos", "all: the softmax finds the hard ones", scale=10.0
    ),
    "circle": MetricLoss(
        circle, "photos", "all: each is weighed by how far it is off",
        margin=0.25, unit=COSINE, scale=64.0,
    ),
    "proxy_anchor": MetricLoss(
        proxy_anchor, "centres", "photo and centre: nothing to mine",
        margin=0.1, unit=COSINE, scale=32.0,
    ),
    "arcface": MetricLoss(
        arcface, "centres", "photo and centre: nothing to mine",
        margin=0.3, unit=ANGLE, scale=24.0,
    ),
    "subcenter_arcface": MetricLoss(
        subcenter_arcface, "centres", "photo and nearest centre of each animal",
        margin=0.3, unit=ANGLE, scale=24.0,
    ),
}  # fmt: skip


def options_of(
    name: str, *, margin: float | None = None, scale: float | None = None
) -> dict[str, float]:
    """The margin and scale that a loss is used with; None for its own.

    Raises:
        InputError: unknown name, an option that this loss does not have, or a margin out of range.

    >>> options_of("arcface", margin=0.5)
    {'margin': 0.5, 'scale': 24.0}
    """
    if name not in LOSSES:
        raise InputError(f"--loss {name}: expected one of {', '.join(LOSSES)}")
    row = LOSSES[name]
    asked = {"margin": margin, "scale": scale}
    asked = {option: value for option, value in asked.items() if value is not None}
    for option, value in asked.items():
        if option not in row.options:
            has_it = ", ".join(other for other in LOSSES if option in LOSSES[other].options)
            raise InputError(
                f"--{option} {value:g}: --loss {name} has no {option}; leave it out, or take one "
                f"of {has_it}"
            )
    if "margin" in asked and not 0 <= margin <= LARGEST_MARGIN[row.unit]:
        hint = f"; {margin:g} degrees are {math.radians(margin):.3g}" if row.unit == ANGLE else ""
        raise InputError(
            f"--margin {margin:g}: of --loss {name} it is in {row.unit}, expected 0 to "
            f"{LARGEST_MARGIN[row.unit]:.3g}{hint}"
        )
    return row.options | asked


def build_loss(
    name: str, n_identities: int, embedding_dim: int, *, seed: int = 0, **options: float | None
) -> nn.Module:
    """A loss by name, called with (embeddings, labels); options and errors as in `options_of`."""
    options = options_of(name, **options)
    row = LOSSES[name]
    torch.manual_seed(seed)
    shape = (n_identities, embedding_dim) if row.compares == "centres" else ()
    return row.build(*shape, **options)


def loss_table(chosen: dict[str, dict[str, float]]) -> pd.DataFrame:
    """What the losses compare, which pairs they use, their margins with units, and scales."""
    return pd.DataFrame(
        {"loss": name, "compares a photo with": LOSSES[name].compares,
         "pairs that count": LOSSES[name].pairs, "margin": options.get("margin"),
         "unit of the margin": LOSSES[name].unit, "scale": options.get("scale")}
        for name, options in chosen.items()
    )  # fmt: skip
