"""The ideal animal: the picture that a network finds most typical of one of its classes.

An image of noise is changed by gradient ascent until the network is sure. Many images of noise
satisfy a network; the variation loss asks for one whose neighbouring pixels are alike, and jitter
for one that is still the class when it is shifted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional

START_SPREAD = 0.05  # standard deviation of the first noise around mid grey, of the full range
SURE = 0.95  # probability that an ideal image should have
MOST_CLIMBS = 4  # with ever less weight on the variation loss


@dataclass(frozen=True)
class AscentSettings:
    """How the image climbs.

    Attributes:
        scales: sides of the image, one after the other, as shares of the network's input.
        learning_rate: of Adam at a scale's first step, on the logit of a pixel; it falls evenly.
        variation_weight: of the variation loss in the first climb, in logits per full range
            between neighbours.
        jitter: farthest shift in each direction, as a share of the side.
    """

    scales: tuple[float, ...] = (0.5, 0.75, 1.0)
    steps: int = 80
    learning_rate: float = 0.1
    variation_weight: float = 0.0
    jitter: float = 0.1


def variation_loss(images: torch.Tensor) -> torch.Tensor:
    """How much neighbouring pixels differ: 0 for one colour, high for noise.

    Args:
        images: shape (n_images, channels, height, width).

    Returns:
        Shape (n_images,): mean absolute difference to the pixel below, plus that to the pixel
        at the right, in the images' units.

    Source: the anisotropic total variation of Rudin, Osher and Fatemi 1992, per pixel.

    >>> variation_loss(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]]))
    tensor([1.])
    """
    down = (images[..., 1:, :] - images[..., :-1, :]).abs().mean(dim=(1, 2, 3))
    right = (images[..., :, 1:] - images[..., :, :-1]).abs().mean(dim=(1, 2, 3))
    return down + right


def ideal_images(
    model: nn.Module,
    targets: Sequence[int],
    *,
    image_size: int,
    settings: AscentSettings,
    seed: int = 0,
) -> tuple[torch.Tensor, list[float]]:
    """Climb from noise to images that a model takes for the targets.

    Where the model is not sure of the result, that image climbs again with a quarter of the
    weight on the variation loss: networks differ in how large their logits are, and what leaves
    a zebra in one would leave nothing but grey in another.

    Args:
        model: pixels in [0, 1] to logits, see `OnPixels`.
        image_size: side of the result, pixels.
        seed: of the first noise and of the jitter. An image of one seed starts from the same
            noise with any settings.

    Returns:
        images: shape (n_targets, 3, image_size, image_size), in [0, 1].
        weights: of the variation loss in the climb that led there, length n_targets.
    """
    device = next(model.buffers()).device
    labels = torch.tensor(targets, device=device)
    images = torch.zeros(len(labels), 3, image_size, image_size, device=device)
    weights, pending = [0.0] * len(labels), torch.arange(len(labels), device=device)
    for climb in range(MOST_CLIMBS):
        weight = settings.variation_weight / 4**climb
        weighted = replace(settings, variation_weight=weight)
        images[pending] = _climb_all_scales(model, labels[pending], image_size, weighted, seed)
        for i in pending.tolist():
            weights[i] = weight
        with torch.no_grad():
            probability = model(images).softmax(dim=1).gather(1, labels[:, None])[:, 0]
        pending = pending[probability[pending] < SURE]
        if weight == 0 or not len(pending):
            break
    return images, weights


def _climb_all_scales(
    model: nn.Module, labels: torch.Tensor, image_size: int, settings: AscentSettings, seed: int
) -> torch.Tensor:
    """From the noise of a seed to images of the full size."""
    generator = torch.Generator().manual_seed(seed)
    # Below 32 pixels the last maps would be empty.
    sides = [max(32, round(image_size * scale)) for scale in settings.scales]
    noise = torch.randn(1, 3, sides[0], sides[0], generator=generator) * START_SPREAD + 0.5
    images = noise.repeat(len(labels), 1, 1, 1).to(labels.device)
    for side in sides:
        images = functional.interpolate(images, (side, side), mode="bilinear", antialias=True)
        images = _climb(model, images, labels, settings, generator)
    return images


def _climb(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    settings: AscentSettings,
    generator: torch.Generator,
) -> torch.Tensor:
    """All steps at one scale; a sigmoid keeps the pixels in [0, 1] without a dead end."""
    hidden = images.clamp(0.01, 0.99).logit().requires_grad_()
    optimizer = torch.optim.Adam([hidden], lr=settings.learning_rate)
    furthest = math.floor(settings.jitter * images.shape[-1])
    for step in range(settings.steps):
        optimizer.param_groups[0]["lr"] = settings.learning_rate * (1 - step / settings.steps)
        pixels = hidden.sigmoid()
        shift = torch.randint(-furthest, furthest + 1, (2,), generator=generator).tolist()
        logits = model(pixels.roll(shift, dims=(2, 3)))
        # The logit itself, because the cross-entropy of a sure network has no slope left.
        loss = -logits.gather(1, labels[:, None])[:, 0]
        loss = loss + settings.variation_weight * variation_loss(pixels)
        # Each image has its own loss: the sum leaves their gradients apart.
        (hidden.grad,) = torch.autograd.grad(loss.sum(), hidden)
        optimizer.step()
    return hidden.detach().sigmoid()
