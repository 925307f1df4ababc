"""What a network costs: parameters and arithmetic."""

from dataclasses import dataclass

from common.models.backbones import Backbone

import torch
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """Of one forward pass over one photo.

    Attributes:
        n_parameters: of the backbone, without a head.
        gflops: billions of floating-point operations; a multiply-add counts as two, so that
            tables that count multiply-adds show half of it.
    """

    n_parameters: int
    gflops: float


def cost_of(backbone: Backbone) -> Cost:
    """Count a backbone's parameters, and its operations at its own image size.

    Source: `torch.utils.flop_counter` (convolutions and matrix products).
    """
    side = backbone.preprocessing.image_size
    device = next(backbone.parameters()).device
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        backbone.eval()(torch.zeros(1, 3, side, side, device=device))
    n_parameters = sum(parameter.numel() for parameter in backbone.parameters())
    return Cost(n_parameters, counter.get_total_flops() / 1e9)
