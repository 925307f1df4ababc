"""Classes of random texture: pictures unlike any photo, for asking how far features carry.

A class is a recipe for noise: how coarse it is, which way it runs, how even its grains are. Each
picture is drawn anew, in colours of its own, so that only the texture tells the class.
"""

import numpy as np

COARSEST, FINEST = 5.0, 24.0  # waves along one side


def texture_photos(
    n_classes: int, n_per_class: int, side: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pictures of random texture classes.

    Args:
        side: of a picture, pixels.

    Returns:
        photos: uint8, shape (n_classes * n_per_class, side, side, 3).
        labels: integers, shape (n_classes * n_per_class,).
    """
    generator = np.random.default_rng(seed)
    photos = []
    for _ in range(n_classes):
        spectrum = _recipe(side, generator)
        photos += [_draw(spectrum, generator) for _ in range(n_per_class)]
    return np.stack(photos), np.repeat(np.arange(n_classes), n_per_class)


def _recipe(side: int, generator: np.random.Generator) -> np.ndarray:
    """How strong each wave of a class is, shape (side, side): a ring, stronger one way."""
    y, x = np.meshgrid(*[np.fft.fftfreq(side) * side] * 2, indexing="ij")  # waves along a side
    waves, direction = np.hypot(x, y), np.arctan2(y, x)
    middle = np.exp(generator.uniform(np.log(COARSEST), np.log(FINEST)))
    width = generator.uniform(0.15, 0.5)  # of the ring, in natural logarithms
    main, evenness = generator.uniform(0, np.pi), generator.uniform(0.05, 1.0)
    ring = np.exp(-((np.log(np.maximum(waves, 0.5) / middle) / width) ** 2))
    one_way = np.cos(direction - main) ** 8
    return ring * (evenness + (1 - evenness) * one_way)


def _draw(spectrum: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One picture: white noise through the class's spectrum, between two random colours."""
    noise = np.fft.fft2(generator.standard_normal(spectrum.shape))
    values = np.fft.ifft2(noise * spectrum).real
    share = 1 / (1 + np.exp(-2.5 * values / values.std()))  # of the second colour
    first, second = generator.uniform(20, 235, (2, 3))
    colours = first + share[..., None] * (second - first)
    return (colours + generator.normal(0, 4, colours.shape)).clip(0, 255).astype(np.uint8)
