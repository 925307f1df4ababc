"""What a backbone computes on the way from a photo to its features."""

from common.errors import InputError
from common.models.backbones import Backbone

import numpy as np
import torch
from torch import nn


def first_filters(backbone: Backbone, most: int = 64) -> np.ndarray:
    """The filters that touch the pixels, each stretched to the full range.

    Args:
        backbone: with a first convolution (transformers cut patches with one).

    Returns:
        float in [0, 1], shape (n_filters, height, width, 3); no weight is the grey 0.5.

    Raises:
        InputError: no convolution on colour pixels.
    """
    for module in backbone.network.modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3:
            weights = module.weight.detach().cpu()[:most].permute(0, 2, 3, 1)
            largest = weights.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
            return (0.5 + 0.5 * weights / largest).numpy()
    raise InputError(f"--model {backbone.name}: found no convolution on colour pixels to draw")


@torch.no_grad()
def stage_maps(backbone: Backbone, image: torch.Tensor) -> list[torch.Tensor]:
    """What each stage gives for one photo, from the first to the last.

    Args:
        backbone: put into evaluation mode.
        image: normalised, shape (3, height, width).

    Returns:
        One tensor per stage, shape (n_channels, height, width), coarser from stage to stage.
    """
    backbone.eval()
    network, images = backbone.network, image[None]
    if hasattr(network, "forward_intermediates"):  # timm's, for transformers too
        return [maps[0] for maps in network.forward_intermediates(images, intermediates_only=True)]
    maps = []
    for block in network.blocks:  # week 1's network
        images = block(images)
        maps.append(images[0])
    return maps


def strongest_channels(maps: torch.Tensor, k: int) -> np.ndarray:
    """The channels that vary most over the photo, strongest first.

    Args:
        maps: shape (n_channels, height, width).

    Returns:
        Shape (k, height, width), each stretched to [0, 1].
    """
    spread = maps.flatten(1).std(dim=1)
    chosen = maps[spread.topk(min(k, len(maps))).indices]
    low, high = chosen.amin(dim=(1, 2), keepdim=True), chosen.amax(dim=(1, 2), keepdim=True)
    return ((chosen - low) / (high - low).clamp_min(1e-12)).cpu().numpy()


def nearest_photos(
    query: np.ndarray, gallery: np.ndarray, k: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """The gallery photos most alike in feature space, best first.

    Args:
        query: features of one photo, shape (n_features,).
        gallery: shape (n_gallery, n_features).

    Returns:
        rows: of the gallery, shape (k,).
        similarities: cosine, in [-1, 1], shape (k,).
    """
    lengths = np.linalg.norm(gallery, axis=1) * np.linalg.norm(query)
    similarities = gallery @ query / np.maximum(lengths, 1e-12)
    rows = np.argsort(-similarities, kind="stable")[:k]
    return rows, similarities[rows]
