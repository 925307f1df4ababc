"""A network asked about plain pixels, so that they can be pushed and stay a photo."""

from common.data.images import PhotoDataset, Preprocessing, evaluation_transform
from common.models.heads import Recogniser

import numpy as np
import torch
from torch import nn


class OnPixels(nn.Module):
    """A frozen model whose input is pixels in [0, 1]; it normalises them itself.

    Steps and budgets are then shares of the true range of a pixel, whatever mean and standard
    deviation the backbone was trained with.

    Args:
        model: takes normalised photos; put into evaluation mode. Its weights need no gradient
            from here on: only the pixels move.
    """

    def __init__(self, model: Recogniser) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        expected = model.backbone.preprocessing
        self.image_size = expected.image_size
        self.register_buffer("mean", torch.tensor(expected.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(expected.std).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Outputs of the model; pixels (n_images, 3, height, width) in [0, 1]."""
        normalised = (pixels - self.mean) / self.std
        return self.model(normalised.contiguous(memory_format=torch.channels_last))


def to_pixels(photos: np.ndarray, side: int) -> torch.Tensor:
    """Photos as a network sees them, before they are normalised.

    Args:
        photos: uint8, shape (n_images, height, width, 3).
        side: of the result, pixels.

    Returns:
        float32 in [0, 1], shape (n_images, 3, side, side).
    """
    plain = Preprocessing(side, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    dataset = PhotoDataset(photos, np.zeros(len(photos)), evaluation_transform(plain))
    return torch.stack([dataset[index][0] for index in range(len(photos))])


def to_pictures(pixels: torch.Tensor) -> np.ndarray:
    """The other way, for figures: float in [0, 1], shape (n_images, height, width, 3)."""
    return pixels.detach().cpu().clamp(0, 1).permute(0, 2, 3, 1).numpy()
