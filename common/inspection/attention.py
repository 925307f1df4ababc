"""Where a network looks: Grad-CAM maps, and how much of them lies on the animal.

A map says which parts of a photo pushed a score up. Whether that part was the animal is only
known where the animal's true mask is: for the generated turtles.
"""

from common.errors import InputError
from common.inspection.pixels import OnPixels

import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import nn
from torch.nn import functional

SMALLEST_MAP = 4  # cells per side: a coarser map says nothing about where


class SimilarityToPhoto(nn.Module):
    """How alike photos are to one photo, to ask which parts made them a match.

    Args:
        embed: pixels to embeddings of unit length.
        other: the photo, in [0, 1], shape (3, height, width).
    """

    def __init__(self, embed: nn.Module, other: torch.Tensor) -> None:
        super().__init__()
        self.embed = embed
        with torch.no_grad():
            self.register_buffer("other", embed(other[None])[0])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Cosine similarity in [-1, 1], shape (n_images,)."""
        return self.embed(pixels) @ self.other


def map_layer(model: OnPixels, smallest_map: int = SMALLEST_MAP) -> nn.Module:
    """The last stage of a model whose output still has places: the usual one for Grad-CAM.

    Raises:
        InputError: no such stage, as in a transformer, whose tokens are no map.
    """
    shapes: dict[nn.Module, torch.Size] = {}

    def remember(module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            shapes[module] = output.shape

    network = model.model.backbone.network
    hooks = [module.register_forward_hook(remember) for module in network.modules()]
    with torch.no_grad():
        model(torch.full((1, 3, model.image_size, model.image_size), 0.5))
    for hook in hooks:
        hook.remove()
    for module, shape in reversed(shapes.items()):
        has_places = len(shape) == 4 and shape[2] == shape[3] >= smallest_map
        if has_places and module is not network:
            return module
    raise InputError(
        f"--model {model.model.backbone.name}: found no stage with a square map of {smallest_map} "
        "cells or more, which Grad-CAM needs; take a convolutional backbone or a larger "
        "--image_size"
    )


def grad_cam(
    scorer: nn.Module,
    layer: nn.Module,
    pixels: torch.Tensor,
    targets: torch.Tensor | None = None,
    batch_size: int = 32,
) -> torch.Tensor:
    """Which parts of each photo raise its score.

    Args:
        scorer: pixels to scores (n_images, n_classes), or to one score per photo (n_images,).
        pixels: in [0, 1], shape (n_images, 3, height, width).
        targets: class whose score is explained, shape (n_images,); None for one score.

    Returns:
        Shape (n_images, cells, cells), not negative; each map sums to 1, or is all 0 where
        nothing raises the score.

    Source: Selvaraju et al. 2017, equations 1 and 2, by captum.
    """
    explain, maps = LayerGradCam(scorer, layer), []
    for start in range(0, len(pixels), batch_size):
        part = slice(start, start + batch_size)
        inputs = pixels[part].clone().requires_grad_()  # frozen weights alone give no gradient
        target = None if targets is None else targets[part]
        maps.append(explain.attribute(inputs, target, relu_attributions=True).detach()[:, 0])
    raised = torch.cat(maps)
    return raised / raised.sum(dim=(1, 2), keepdim=True).clamp_min(1e-12)


def share_on_background(maps: torch.Tensor, masks: np.ndarray) -> np.ndarray:
    """Share of each map that lies beside the animal.

    A cell at the animal's edge counts with the part of it that is background.

    Args:
        maps: of `grad_cam`, shape (n_images, cells, cells).
        masks: bool, True on the animal, shape (n_images, height, width).

    Returns:
        Shape (n_images,), in [0, 1]; nan for a map of zeros.
    """
    animal = torch.as_tensor(masks, dtype=torch.float32)[:, None]
    animal = functional.adaptive_avg_pool2d(animal, maps.shape[1:])[:, 0]  # share of each cell
    total = maps.cpu().sum(dim=(1, 2))
    share = (maps.cpu() * (1 - animal)).sum(dim=(1, 2)) / total
    return share.numpy().astype(float)


def keep_only(pixels: torch.Tensor, masks: np.ndarray, *, animal: bool) -> torch.Tensor:
    """Photos with one part left; the rest has the mean colour of what is left.

    Args:
        pixels: in [0, 1], shape (n_images, 3, height, width).
        masks: bool, True on the animal, shape (n_images, height, width).
    """
    kept = torch.as_tensor(masks == animal, dtype=pixels.dtype, device=pixels.device)[:, None]
    n_kept = kept.sum(dim=(2, 3), keepdim=True).clamp_min(1.0)
    mean = (pixels * kept).sum(dim=(2, 3), keepdim=True) / n_kept
    return pixels * kept + mean * (1 - kept)
