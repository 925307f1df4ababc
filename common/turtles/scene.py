"""What an encounter looks like without the turtle: water, light, background and camera.

One encounter is one day in one place with one camera, so all its photos share a look. A
model that has learned the look instead of the face finds the encounter, not the animal.
"""

from dataclasses import dataclass, replace

from common.turtles.brushes import mix, ramp, smooth_noise
from common.turtles.population import ENCOUNTER, Animal, Encounter, TurtleParameters, stream

import cv2
import numpy as np
from numpy.random import Generator

# Waters a diver meets: red, green, blue in [0, 1].
WATERS = np.array(
    [
        (0.32, 0.66, 0.72),  # turquoise shallows
        (0.16, 0.42, 0.66),  # deep blue
        (0.32, 0.55, 0.45),  # green with plankton
        (0.52, 0.62, 0.54),  # milky after a storm
        (0.22, 0.54, 0.62),  # lagoon
    ],
    np.float32,
)
SAND = (0.80, 0.74, 0.58)
MEADOW = (0.22, 0.34, 0.14)
CORALS = np.array(
    [(0.55, 0.38, 0.30), (0.48, 0.44, 0.26), (0.46, 0.30, 0.42), (0.62, 0.54, 0.40)], np.float32
)
MID_GREY = 0.45  # share of full scale that no contrast changes
RIPPLE_SIZE = 256  # texels of the tile of caustics

SMALLEST_PART = 0.65  # share of the backdrop's width that a photo shows at least


@dataclass(frozen=True)
class Camera:
    """How one kind of camera renders colours, in shares of full scale."""

    white_balance: tuple[float, float, float]
    contrast: float  # slope around mid grey
    saturation: float  # 1 = as it is
    vignette: float  # share of light lost in the corners
    noise: float  # times the noise of TurtleParameters
    jpeg_quality: int  # 1 to 100
    strobe: float  # light from the camera, in units of sunlight


CAMERAS = {
    "compact": Camera((1.05, 1.00, 0.97), 1.05, 1.00, 0.15, 1.2, 82, 0.15),
    "action": Camera((0.88, 1.03, 1.05), 1.20, 1.15, 0.30, 1.0, 76, 0.0),
    "mirrorless": Camera((1.12, 0.99, 0.94), 1.10, 1.05, 0.12, 0.5, 93, 0.1),
    "phone": Camera((1.00, 1.02, 1.02), 1.15, 1.25, 0.08, 1.5, 70, 0.0),
    "strobe": Camera((1.08, 0.98, 0.96), 1.12, 1.10, 0.22, 0.6, 90, 0.7),
}


@dataclass(frozen=True)
class Look:
    """Everything that the photos of one encounter share.

    Attributes:
        water: colour of the water, shape (3,).
        haze: optical depth between camera and animal.
        sun: unit vector towards the light, shape (3,): right, up, towards the camera.
        ripples: strength of the caustics, 0 to 1.
        ripple_offset: where in the pattern of caustics the animal swims, shape (2,).
        backdrop: float32, shape (n, n, 3), the scene behind the animal.
    """

    camera: Camera
    water: np.ndarray
    haze: float
    sun: np.ndarray
    sunlight: float
    ripples: float
    ripple_offset: np.ndarray
    backdrop: np.ndarray


def make_look(animal: Animal, encounter: Encounter, parameters: TurtleParameters) -> Look:
    """The look of one encounter, from its own random stream."""
    random = stream(parameters.seed, ENCOUNTER, animal.index, encounter.index)
    variation = parameters.encounter_variation
    water = choose_water(random, variation)
    lean = random.uniform(-1.0, 1.0) * variation
    sun = np.array([lean, 1.0, random.uniform(0.1, 0.8)], np.float32)
    ripples = float(np.clip(0.45 + variation * random.uniform(-0.45, 0.45), 0, 1))
    return Look(
        camera=set_camera(random, CAMERAS[encounter.camera], variation),
        water=water,
        haze=parameters.haze * float(np.exp(0.5 * variation * random.standard_normal())),
        sun=sun / np.linalg.norm(sun),
        sunlight=0.75 + 0.30 * variation * random.uniform(-1, 1),
        ripples=ripples,
        ripple_offset=random.uniform(0, RIPPLE_SIZE, 2).astype(np.float32),
        backdrop=paint_backdrop(
            random, encounter.background, water, ripples, parameters.photo_size
        ),
    )


def choose_water(random: Generator, variation: float) -> np.ndarray:
    """A mixture of two waters, brighter or darker; the mean water without variation."""
    first, second = random.permutation(len(WATERS))[:2]
    share = random.random()
    own = (share * WATERS[first] + (1 - share) * WATERS[second]) * random.uniform(0.7, 1.15)
    mean = WATERS.mean(axis=0)
    return np.clip(mean + min(variation, 1.0) * (own - mean), 0.02, 1).astype(np.float32)


def set_camera(random: Generator, camera: Camera, variation: float) -> Camera:
    """The camera with this day's white balance and contrast."""
    gains = np.asarray(camera.white_balance) ** min(variation, 1.0)
    gains = gains * np.exp(0.06 * variation * random.standard_normal(3))
    return replace(
        camera,
        white_balance=tuple(float(gain) for gain in gains),
        contrast=1 + (camera.contrast - 1 + 0.1 * random.standard_normal()) * variation,
        saturation=1 + (camera.saturation - 1 + 0.1 * random.standard_normal()) * variation,
        vignette=camera.vignette * variation,
        strobe=camera.strobe * variation,
    )


def ripple_tile() -> np.ndarray:
    """Net of bright lines that waves throw on sand, float32 in [0, 1]; tiles seamlessly."""
    rows, columns = np.mgrid[0:RIPPLE_SIZE, 0:RIPPLE_SIZE].astype(np.float32)
    turn = 2 * np.pi / RIPPLE_SIZE
    bent = columns + 14 * np.sin(3 * turn * rows) + 8 * np.sin(turn * (5 * rows + 3 * columns))
    leant = rows + 14 * np.sin(3 * turn * columns + 1) + 8 * np.sin(turn * (4 * columns - 3 * rows))
    waves = np.sin(5 * turn * bent) + np.sin(5 * turn * leant) + np.sin(4 * turn * (bent + leant))
    return np.exp(-((waves / 0.42) ** 2))


def paint_backdrop(
    random: Generator, background: str, water: np.ndarray, ripples: float, size: int
) -> np.ndarray:
    """The scene behind the animal, of which a photo shows a part: float32, (size, size, 3)."""
    image = paint_open_water(random, water, size)
    if background == "open water":
        return image
    horizon = random.uniform(0.42, 0.62)  # from the top, share of the height
    if background == "reef":
        return add_reef(random, image, water, horizon)
    return add_bed(random, image, water, horizon, ripples)


def paint_open_water(random: Generator, water: np.ndarray, size: int) -> np.ndarray:
    """Bright above, dark below, with shafts of light."""
    down = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, size, dtype=np.float32)[None, :]
    fall = random.uniform(0.5, 0.9)
    brightness = (1.25 - fall * down) * np.ones_like(across)
    slant = random.uniform(-0.8, 0.8)
    beams = random.standard_normal((1, 24), dtype=np.float32)
    beams = cv2.resize(beams, (4 * size, 1), interpolation=cv2.INTER_CUBIC)[0]
    columns = ((across + slant * down + 3) / 6 * (4 * size - 1)).astype(np.int32)
    brightness += random.uniform(0.02, 0.14) * np.maximum(beams[columns], 0) * (1 - down)
    brightness += 0.03 * smooth_noise(random, (size, size), size / 4, n_octaves=2)
    glow = ramp(1 - down, 0.55, 1.3) * random.uniform(0.2, 0.7)
    image = water * np.clip(brightness, 0, 2)[..., None]
    return np.clip(mix(image, np.clip(water * 1.3 + 0.22, 0, 1), glow * np.ones_like(across)), 0, 1)


def add_bed(
    random: Generator, image: np.ndarray, water: np.ndarray, horizon: float, ripples: float
) -> np.ndarray:
    """Sand with ripples and caustics, or a meadow of seagrass, fading into the distance."""
    size = len(image)
    down, across = np.mgrid[0:size, 0:size].astype(np.float32) / size
    line = horizon + 0.02 * smooth_noise(random, (1, size), size / 5, n_octaves=2)
    depth = 0.10 / np.clip(down - line + 0.06, 0.06, None)  # far = large
    tile = cv2.GaussianBlur(ripple_tile(), (0, 0), 1.2)
    columns = np.mod((across - 0.5) * depth * 420 + random.uniform(0, RIPPLE_SIZE), RIPPLE_SIZE)
    rows = np.mod(depth * 700 + random.uniform(0, RIPPLE_SIZE), RIPPLE_SIZE)
    net = cv2.remap(tile, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grain = smooth_noise(random, (size, size), size / 9, n_octaves=4)
    light = 0.75 + 0.10 * grain + 0.45 * ripples * net
    ground = (np.asarray(SAND, np.float32) * random.uniform(0.6, 1.0)) * light[..., None]
    patches = smooth_noise(random, (size, size), size / 3, n_octaves=3)
    meadow = ramp(patches, *(random.uniform(-1.2, 1.2) + np.array([-0.3, 0.5])))
    blades = smooth_noise(random, (size // 8, size), 3.0)
    blades = cv2.resize(blades, (size, size), interpolation=cv2.INTER_LINEAR)
    grass = np.asarray(MEADOW, np.float32) * (1 + 0.28 * blades + 0.3 * ripples * net)[..., None]
    ground = mix(ground, grass, 0.85 * meadow)
    # All water colour at the horizon, little at the feet.
    haze = np.exp(-3.2 * np.clip(down - line, 0, 1) / (1 - np.min(line)))
    ground = mix(ground * (0.55 + 0.45 * water / water.max()), water, 0.15 + 0.8 * haze)
    return np.clip(mix(image, ground, ramp(down - line, -0.004, 0.010)), 0, 1)


def add_reef(random: Generator, image: np.ndarray, water: np.ndarray, horizon: float) -> np.ndarray:
    """Ridges of coral, each nearer, lower and clearer than the one behind it."""
    size = len(image)
    down = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    for nearness in (0.15, 0.4, 0.7, 1.0):
        bumps = smooth_noise(random, (1, size), size * (0.08 + 0.16 * nearness), n_octaves=3)
        line = horizon - 0.12 + 0.42 * nearness + (0.03 + 0.05 * nearness) * bumps
        lumps = smooth_noise(random, (size, size), size * (0.03 + 0.05 * nearness), n_octaves=3)
        kinds = smooth_noise(random, (size, size), size * 0.16)
        coral = mix(
            np.broadcast_to(CORALS[random.integers(len(CORALS))], image.shape),
            CORALS[random.integers(len(CORALS))],
            ramp(kinds, -0.2, 0.2),
        )
        relief = lumps - np.roll(lumps, -2, axis=0)
        light = 0.62 + 0.16 * lumps + 0.9 * relief + 0.3 * ramp(0.10 + line - down, 0.0, 0.10)
        coral = coral * np.clip(light, 0.08, 1.6)[..., None] * (0.5 + 0.5 * water / water.max())
        coral = mix(coral, water, 0.88 - 0.62 * nearness)
        image = mix(image, coral, ramp(down - line, -0.004, 0.008))
    return np.clip(image, 0, 1)


def crop_backdrop(random: Generator, look: Look, size: int) -> np.ndarray:
    """The part of the backdrop that this photo shows, out of focus: (size, size, 3)."""
    whole = len(look.backdrop)
    part = int(whole * random.uniform(SMALLEST_PART, 1.0))
    top = int(random.integers(0, whole - part + 1))
    left = int(random.integers(0, whole - part + 1))
    cropped = look.backdrop[top : top + part, left : left + part]
    cropped = cv2.resize(cropped, (size, size), interpolation=cv2.INTER_LINEAR)
    return cv2.GaussianBlur(cropped, (0, 0), size / 192 * random.uniform(0.6, 2.2))


def develop(random: Generator, image: np.ndarray, look: Look, noise: float) -> np.ndarray:
    """What the camera stores: uint8 from light in [0, 1].

    Args:
        image: float32, shape (height, width, 3).
        noise: standard deviation, share of full scale, before the camera's own factor.
    """
    camera = look.camera
    greying = (1 - camera.saturation) * np.array((0.30, 0.59, 0.11))
    colours = camera.saturation * np.eye(3) + greying
    colours = camera.contrast * colours * np.asarray(camera.white_balance)
    offset = np.full((3, 1), MID_GREY * (1 - camera.contrast))
    image = cv2.transform(image, np.hstack([colours, offset]))
    steps = np.linspace(-1, 1, len(image), dtype=np.float32) ** 2
    light = 1 - camera.vignette * (steps[:, None] + steps[None, :]) / 2
    grain = noise * camera.noise * random.standard_normal(light.shape, dtype=np.float32)
    image = image * cv2.merge([light] * 3) + cv2.merge([grain] * 3)
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
