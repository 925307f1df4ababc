"""Three brushes that paint turtles, water and reefs: soft edges, clouds and blends."""

import cv2
import numpy as np
from numpy.random import Generator


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth step: 0 below `low`, 1 above `high`, an S in between; low > high falls."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def smooth_noise(
    random: Generator, shape: tuple[int, int], cell: float, n_octaves: int = 1
) -> np.ndarray:
    """Cloudy noise, float32, about standard normal; `cell` is the coarsest grain in pixels."""
    total = np.zeros(shape, np.float32)
    for octave in range(n_octaves):
        size = max(cell / 2**octave, 1.0)
        coarse_shape = [int(np.ceil(length / size)) + 2 for length in shape]
        coarse = random.standard_normal(coarse_shape, dtype=np.float32)
        fine = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
        total += fine * 1.4 / 2**octave
    return total


def mix(image: np.ndarray, colour: np.ndarray | tuple, share: np.ndarray | float) -> np.ndarray:
    """Blend a colour or an image into an image.

    Args:
        image: float32, shape (height, width, 3).
        colour: of the same shape, or red, green and blue.
        share: of the colour, in [0, 1]; shape (height, width), or one number.
    """
    share = np.broadcast_to(np.asarray(share, np.float32), image.shape[:2])
    if np.ndim(colour) == 1:
        change = cv2.subtract((*(float(value) for value in colour), 0.0), image)
    else:
        change = np.asarray(colour, np.float32) - image
    return image + change * cv2.merge((share, share, share))  # merged: several times faster
