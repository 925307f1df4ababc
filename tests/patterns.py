"""Spots of all sizes, and the same ones seen again: what local features are tried on."""

import cv2
import numpy as np


def pattern(seed, side=200):
    """Spots of all sizes, uint8, shape (side, side)."""
    generator = np.random.default_rng(seed)
    grey = np.full((side, side), 128, dtype=np.uint8)
    for _ in range(120):
        x, y = generator.integers(0, side, 2).tolist()
        radius = int(generator.integers(2, 12))
        cv2.circle(grey, (x, y), radius, int(generator.integers(0, 256)), -1, cv2.LINE_AA)
    return grey


TURN = cv2.getRotationMatrix2D((100, 100), 20, 0.9)  # degrees, scale


def seen_again(grey):
    """The same pattern, turned, smaller and darker."""
    return (cv2.warpAffine(grey, TURN, grey.shape[::-1], borderValue=128) * 0.8).astype(np.uint8)
