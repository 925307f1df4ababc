"""What drifts and grows between the camera and the turtle.

Each function returns a colour image and the share of each pixel that it covers.
"""

from common.turtles.brushes import mix, ramp, smooth_noise
from common.turtles.population import TurtleParameters
from common.turtles.scene import CORALS, MEADOW, Look

import cv2
import numpy as np
from numpy.random import Generator

THINGS = {"bed": ("grass", "fish"), "reef": ("coral", "fish"), "open water": ("fish", "bubbles")}
FISH = np.array([(0.85, 0.70, 0.15), (0.70, 0.74, 0.78), (0.15, 0.25, 0.55)], np.float32)


def add_foreground(
    random: Generator, image: np.ndarray, look: Look, background: str, parameters: TurtleParameters
) -> tuple[np.ndarray, np.ndarray]:
    """Particles in every photo; in some, a thing that hides part of the animal.

    Returns:
        The picture, and the share of each pixel that is hidden, shape (height, width).
    """
    size = len(image)
    hidden = np.zeros((size, size), np.float32)
    is_hidden = random.random() < parameters.occlusion_share
    kind = THINGS[background][random.integers(2)]
    if is_hidden:
        painters = {"grass": paint_grass, "coral": paint_coral, "fish": paint_fish}
        painter = painters.get(kind, paint_bubbles)
        colour, hidden = painter(random, size)
        colour = mix(colour * (0.45 + 0.55 * look.water / look.water.max()), look.water, 0.15)
        image = mix(image, colour, hidden)
    return add_particles(random, image, look), hidden


def add_particles(random: Generator, image: np.ndarray, look: Look) -> np.ndarray:
    """Drifting specks, more of them in hazy water, brighter with a strobe."""
    size = len(image)
    canvas = np.zeros((size, size), np.uint8)
    for _ in range(random.poisson(14 * min(look.haze, 2.0))):
        spot = tuple(int(value) for value in random.integers(0, 16 * size, 2))
        radius = int(16 * size / 192 * random.uniform(0.4, 1.6))
        brightness = int(random.uniform(60, 150) * (1 + look.camera.strobe) * 0.7)
        cv2.circle(canvas, spot, radius, brightness, -1, cv2.LINE_AA, shift=4)
    share = cv2.GaussianBlur(canvas, (0, 0), 0.8 * size / 192).astype(np.float32) / 255
    return mix(image, np.clip(look.water * 0.5 + 0.5, 0, 1), share)


def paint_grass(random: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Blades of seagrass in front of the lens, swaying from the lower edge."""
    blades = []
    middle = random.uniform(0, size)
    for _ in range(random.integers(5, 12)):
        foot = np.array([random.normal(middle, 0.2 * size), 1.05 * size])
        length = size * random.uniform(0.35, 0.85)
        bend = size * random.uniform(-0.3, 0.3)
        way = np.linspace(0, 1, 14)[:, None]
        spine = foot + np.hstack([bend * way**2, -length * way])
        width = size * random.uniform(0.010, 0.020) * (1 - way**3)
        blade = np.vstack([spine - [1, 0] * width, (spine + [1, 0] * width)[::-1]])
        blades.append((blade, np.asarray(MEADOW) * random.uniform(0.8, 1.9)))
    return paint_polygons(blades, size)


def paint_coral(random: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A lump of coral, too near to be sharp, in a lower corner."""
    down, across = np.mgrid[0:size, 0:size].astype(np.float32) / size
    middle = random.choice([random.uniform(-0.1, 0.2), random.uniform(0.8, 1.1)])
    lumps = smooth_noise(random, (size, size), size / 8, n_octaves=3)
    reach = np.hypot((across - middle) / 0.8, down - 1.1) + 0.04 * lumps
    radius = random.uniform(0.35, 0.6)
    coral = CORALS[random.integers(len(CORALS))] * (0.85 + 0.18 * lumps)[..., None]
    coral = mix(coral, coral * 1.5, ramp(reach, radius - 0.12, radius))
    return np.clip(coral, 0, 1), ramp(reach, radius + 0.02, radius - 0.02)


def paint_fish(random: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A few small fish of one shoal."""
    fish = []
    coat = FISH[random.integers(len(FISH))]
    shoal = random.uniform(0.25, 0.8, 2) * size
    heading = random.choice([-1, 1])
    for _ in range(random.integers(2, 6)):
        length = size * random.uniform(0.09, 0.17)
        place = shoal + random.normal(0, 0.16 * size, 2)
        for shape, tone in fish_shapes():
            fish.append((place + shape * length * (heading, 1), coat * tone))
    return paint_polygons(fish, size)


def fish_shapes() -> list[tuple[np.ndarray, float]]:
    """Tail, body, back and eye of a fish: corners in lengths of it, and their brightness."""
    turn = np.linspace(0, 2 * np.pi, 25)
    oval = np.stack([np.cos(turn) * 0.5, np.sin(turn) * 0.20 * (1 + 0.3 * np.cos(turn))], 1)
    back = np.stack([np.cos(turn) * 0.42, -0.09 + np.sin(turn) * 0.07], 1)
    eye = np.stack([0.33 + np.cos(turn) * 0.035, -0.03 + np.sin(turn) * 0.035], 1)
    tail = np.array([(-0.42, 0.0), (-0.72, -0.2), (-0.64, 0.0), (-0.72, 0.2)])
    return [(tail, 0.8), (oval, 1.0), (back, 0.7), (eye, 0.05)]


def paint_bubbles(random: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A column of rising air: bright rims with a highlight."""
    share = np.zeros((size, size), np.uint8)
    middle = random.uniform(0.2, 0.8) * size
    for _ in range(random.integers(12, 30)):
        spot = np.array([random.normal(middle, 0.09 * size), random.uniform(0, size)])
        radius = size * random.uniform(0.006, 0.035)
        centre = tuple(int(value) for value in spot * 16)
        cv2.circle(share, centre, int(radius * 16), 70, -1, cv2.LINE_AA, shift=4)
        cv2.circle(share, centre, int(radius * 16), 200, 1, cv2.LINE_AA, shift=4)
        glint = tuple(int(value) for value in (spot - 0.4 * radius) * 16)
        cv2.circle(share, glint, int(radius * 5), 255, -1, cv2.LINE_AA, shift=4)
    return np.full((size, size, 3), (0.86, 0.94, 0.97), np.float32), share / np.float32(255)


def paint_polygons(
    polygons: list[tuple[np.ndarray, np.ndarray]], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Shapes (corners in pixels, colour), the last in front; blurred, without dark edges."""
    colour = np.zeros((size, size, 3), np.float32)
    share = np.zeros((size, size), np.uint8)
    for corners, tone in polygons:
        points = np.round(corners * 16).astype(np.int32)
        cv2.fillPoly(colour, [points], tone.tolist(), cv2.LINE_8, shift=4)
        cv2.fillPoly(share, [points], 255, cv2.LINE_AA, shift=4)
    covered = share.astype(np.float32) / 255
    blur = 1.1 * size / 192
    soft = cv2.GaussianBlur(covered, (0, 0), blur)
    paint = cv2.GaussianBlur(colour * covered[..., None], (0, 0), blur)
    return paint / np.maximum(soft, 1e-3)[..., None], soft
