"""How a backbone's maps become one feature vector: the average, or a learned generalised mean."""

from common.errors import InputError
from common.models.backbones import Backbone

import torch
from torch import nn

SMALLEST = 1e-6  # of a map's values, which need to be positive for a root to have a gradient


class GeM(nn.Module):
    """Generalised mean over positions: 1 is the average, a large power nearly the maximum.

    A part of the animal that fills little of the photo keeps a voice; how much is learned.

    Args:
        average: the pooling that it takes the place of, which knows the layout of the maps.

    Source: Radenović et al. 2019, "Fine-tuning CNN image retrieval with no human annotation",
        equation 3, with one power for all channels.
    """

    def __init__(self, average: nn.Module, power: float = 3.0) -> None:
        super().__init__()
        self.average, self.power = average, nn.Parameter(torch.tensor([power]))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Shapes are those of `average`; values at or below 0 count as almost 0."""
        raised = maps.float().clamp(min=SMALLEST) ** self.power  # in 16 bits a power overflows
        return self.average(raised) ** (1 / self.power)


def pool_by_generalised_mean(backbone: Backbone) -> None:
    """Put GeM in the place of a backbone's average pooling; its power belongs to the last stage.

    Raises:
        InputError: a backbone that doesn't average over positions, such as a transformer with a
            class token.
    """
    found = [
        name
        for name, module in backbone.network.named_modules()
        if name.split(".")[-1] == "global_pool" and not isinstance(module, nn.Identity)
    ]
    if len(found) != 1:
        raise InputError(
            f"--pooling gem: {backbone.name} doesn't average over positions, expected one "
            "that does; take --pooling average, or another --model"
        )
    parent, _, name = found[0].rpartition(".")
    owner = backbone.network.get_submodule(parent)
    setattr(owner, name, GeM(getattr(owner, name)))


def has_generalised_mean(backbone: Backbone) -> bool:
    """Whether `pool_by_generalised_mean` was called with it."""
    return any(isinstance(module, GeM) for module in backbone.modules())
