"""The face of a turtle, painted flat: scutes, seams, eye, beak and neck of one side.

A pelt is an image of one side of the head, unrolled. Columns run along the head from the
tip of the beak to the neck; rows run around it, from the midline on top, over the cheek,
to the midline of the throat. The layout of the scutes is the identity of the animal: it
is drawn once per animal and side, and every photo shows it. The tones say little.

Positions are (along, around) in head lengths: `along` is 0 at the tip of the beak, `around`
is 0 at half height, positive towards the top.
"""

from dataclasses import dataclass
from functools import cache

from common.turtles.brushes import mix, ramp, smooth_noise
from common.turtles.population import SIDES, SKIN, Animal, Encounter, TurtleParameters, stream

import cv2
import numpy as np
from numpy.random import Generator

TEXELS_PER_LENGTH = 200  # texels per head length
ARC_PER_RADIAN = 0.30  # head lengths along the skin per radian around the head
SKIN_LENGTH = 1.7  # head lengths from the tip of the beak to the end of the neck
N_COLUMNS = round(SKIN_LENGTH * TEXELS_PER_LENGTH)
N_ROWS = round(np.pi * ARC_PER_RADIAN * TEXELS_PER_LENGTH)

EYE = (0.290, 0.075)  # (along, around) of the centre of the eye
EYE_SIZE = (0.080, 0.062)  # half width and half height of the open eye, head lengths
SOCKET = 0.125  # radius of the skin around the eye without scutes, head lengths
SCUTES_FROM, SCUTES_TO = 0.10, 1.02  # head lengths along the head that carry scutes
N_DARTS = 700  # candidates for scute centres
SEAM_WIDTH = 0.009  # head lengths, half the width of a seam
NEIGHBOURHOOD = 0.24  # head lengths; no point of the face is farther from a scute's centre

BODY = (0.36, 0.25, 0.155)  # red, green, blue of the scutes' bodies, in [0, 1]
SEAM = (0.93, 0.87, 0.72)
HORN = (0.60, 0.47, 0.29)
THROAT = (0.80, 0.74, 0.60)
NECK = (0.47, 0.43, 0.36)
AMBER = (0.58, 0.40, 0.19)
LID = (0.30, 0.25, 0.19)
ALGAE = (0.31, 0.37, 0.19)
SCAR = (0.82, 0.70, 0.62)
FAR_SIDE = {"left": "right", "right": "left"}

Coat = tuple[np.ndarray, np.ndarray]  # colour and height while a pelt is being painted
Places = tuple[np.ndarray, np.ndarray]  # along and around, one value per texel


@dataclass(frozen=True)
class Style:
    """What both sides of one animal's face have in common.

    Attributes:
        tone: added to red, green, blue of the scutes.
        fineness: number of scutes along the head, relative to the usual one.
        seam_width: half the width of a seam, head lengths.
        contrast: how much the scutes of the face differ in shade, 0 = alike.
        amber: share of the scutes' paler margin, in [0, 1].
    """

    tone: np.ndarray
    fineness: float
    seam_width: float
    contrast: float
    amber: float


@dataclass(frozen=True)
class Pelt:
    """One painted side of a face; every array has the shape (N_ROWS, N_COLUMNS) first.

    Attributes:
        colour: float32, red, green, blue in [0, 1], when the animal is first seen.
        gloss: float32, 0 = dull, 1 = wet eye.
        slope: float32, (..., 2), rise of the relief towards the neck and downwards.
        scutes: int32, number of the scute at each texel.
        algae: float32, where algae grow: the higher, the earlier.
        scar: float32, share of scar tissue in [0, 1], once there is a scar.
        scar_year: years after the first encounter in which the scar is made.
    """

    colour: np.ndarray
    gloss: np.ndarray
    slope: np.ndarray
    scutes: np.ndarray
    algae: np.ndarray
    scar: np.ndarray
    scar_year: float


@dataclass(frozen=True)
class Face:
    """The painted skin of an animal around its head, once per side turned to the camera.

    Attributes:
        paint: side -> float32, shape (2 * N_ROWS, n_columns, 4): red, green, blue, gloss;
            the near side from the top down, then the far side from the throat up.
        slope: side -> float32, shape (2 * N_ROWS, n_columns, 2): rise of the relief
            towards the neck and downwards, head lengths per head length.
    """

    paint: dict[str, np.ndarray]
    slope: dict[str, np.ndarray]


def paint_skin(animal: Animal, parameters: TurtleParameters) -> dict[str, Pelt]:
    """Both sides of a face as they are when the animal is first seen: side -> painted side."""
    style = choose_style(stream(parameters.seed, SKIN, animal.index), parameters)
    return {
        side: paint_pelt(stream(parameters.seed, SKIN, animal.index, number), style)
        for number, side in enumerate(SIDES)
    }


def make_face(
    animal: Animal, encounter: Encounter, skin: dict[str, Pelt], parameters: TurtleParameters
) -> Face:
    """The animal's skin on the day of an encounter, wrapped around its head."""
    years = (encounter.day - animal.encounters[0].day).days / 365.25
    paint = {
        side: np.dstack([age_colour(pelt, years, parameters.slow_change), pelt.gloss])
        for side, pelt in skin.items()
    }
    # On the far side rows run up, so that its slope turns round.
    far_slope = {side: pelt.slope * np.array((1, -1), np.float32) for side, pelt in skin.items()}
    sides = FAR_SIDE.items()
    return Face(
        paint={near: np.vstack([paint[near], paint[far][::-1]]) for near, far in sides},
        slope={near: np.vstack([skin[near].slope, far_slope[far][::-1]]) for near, far in sides},
    )


def choose_style(random: Generator, parameters: TurtleParameters) -> Style:
    """The style of one animal."""
    tone = parameters.tone_variation * random.standard_normal(3)
    fine, wide, varied, amber = parameters.style_variation * random.uniform(-1, 1, 4)
    return Style(
        tone=tone.astype(np.float32),
        fineness=float(np.exp(0.28 * fine)),
        seam_width=SEAM_WIDTH * float(np.exp(0.45 * wide)),
        contrast=0.48 + 0.28 * varied,
        amber=float(np.clip(0.5 + 0.4 * amber, 0, 1)),
    )


def positions() -> Places:
    """Where each texel lies: two arrays (N_ROWS, N_COLUMNS), along and around."""
    along = (np.arange(N_COLUMNS, dtype=np.float32) + 0.5) / TEXELS_PER_LENGTH
    around = (N_ROWS / 2 - 0.5 - np.arange(N_ROWS, dtype=np.float32)) / TEXELS_PER_LENGTH
    return tuple(np.meshgrid(along, around))


def scute_radius(along: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Half the usual distance between scutes, head lengths: large behind the eye."""
    temple = np.exp(-(((along - 0.60) / 0.22) ** 2 + ((around - 0.17) / 0.17) ** 2))
    return 0.050 + 0.036 * temple + 0.016 * np.clip(around / 0.45, 0, 1)


def scatter_scutes(random: Generator, fineness: float) -> np.ndarray:
    """Centres of the scutes, shape (n_scutes, 2): darts that land too close are dropped."""
    along = random.uniform(SCUTES_FROM - 0.05, SCUTES_TO + 0.08, N_DARTS)
    around = random.uniform(-0.50, 0.50, N_DARTS)
    radius = scute_radius(along, around) * random.uniform(0.75, 1.3, N_DARTS) / fineness
    eye_distance = np.hypot(along - EYE[0], around - EYE[1])
    centres, radii = np.empty((0, 2)), np.empty(0)
    for dart in np.flatnonzero(eye_distance > SOCKET * 1.15):
        offsets = centres - (along[dart], around[dart])
        if np.all(np.hypot(offsets[:, 0], offsets[:, 1]) > radii + radius[dart]):
            centres = np.vstack([centres, (along[dart], around[dart])])
            radii = np.append(radii, radius[dart])
    return centres


def seam_distance(
    centres: np.ndarray, along: np.ndarray, around: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest seam between scutes, and the scute each texel belongs to.

    A texel belongs to the nearest centre; the distance is half of what the second nearest
    centre is farther away.

    Args:
        centres: shape (n_scutes, 2).
        along, around: positions, shape (N_ROWS, N_COLUMNS) each.

    Returns:
        Distances in head lengths and scute numbers, shape (N_ROWS, N_COLUMNS) each.
    """
    nearest = np.full(along.shape, NEIGHBOURHOOD, np.float32)
    second = nearest.copy()
    scutes = np.zeros(along.shape, np.int32)
    reach = int(NEIGHBOURHOOD * TEXELS_PER_LENGTH)
    for number, (column, row) in enumerate(to_texels(centres)):
        part = np.s_[max(row - reach, 0) : row + reach, max(column - reach, 0) : column + reach]
        forward, up = along[part] - centres[number, 0], around[part] - centres[number, 1]
        distance = cv2.magnitude(forward, up)
        scutes[part] = np.where(distance < nearest[part], number, scutes[part])
        farther = np.maximum(distance, nearest[part])
        nearest[part] = np.minimum(distance, nearest[part])
        second[part] = np.minimum(farther, second[part])
    return (second - nearest) / 2, scutes


def to_texels(centres: np.ndarray) -> np.ndarray:
    """Columns and rows of positions, shape (n, 2), int."""
    columns = centres[:, 0] * TEXELS_PER_LENGTH
    rows = N_ROWS / 2 - centres[:, 1] * TEXELS_PER_LENGTH
    return np.maximum(np.stack([columns, rows], axis=1), 0).astype(int)


def paint_pelt(random: Generator, style: Style) -> Pelt:
    """Paint one side of a face from the random stream of this animal and side."""
    along, around = positions()
    shape = along.shape
    centres = scatter_scutes(random, style.fineness)
    # Seams of a living animal are never quite straight.
    wobble = [0.008 * smooth_noise(random, shape, 14.0) for _ in range(2)]
    distance, scutes = seam_distance(centres, along + wobble[0], around + wobble[1])
    grain = smooth_noise(random, shape, 6.0, n_octaves=3)
    shades = np.exp(style.contrast * random.standard_normal(len(centres))).astype(np.float32)
    colour = paint_scutes(distance, np.clip(shades, 0.45, 2.2)[scutes], grain, style)
    colour = colour * (1.0 - 0.22 * ramp(around, 0.10, 0.42))[..., None]
    colour = mix(colour, THROAT, 0.30 * ramp(around, 0.0, -0.36))
    height = 0.010 * ramp(distance, 0, 2.2 * style.seam_width) + 0.0006 * grain
    coat = add_neck(random, (colour, height), (along, around), style.tone)
    coat = add_jaws(random, coat, (along, around))
    colour, height, gloss = add_eye(coat, (along, around))
    scar_year, scar = make_scar(random, along, around)
    return Pelt(
        colour=cv2.GaussianBlur(np.clip(colour, 0, 1), (0, 0), 0.6),
        gloss=gloss,
        slope=relief_slope(height),
        scutes=scutes,
        algae=smooth_noise(random, shape, 34.0, n_octaves=3),
        scar=scar,
        scar_year=scar_year,
    )


def paint_scutes(
    distance: np.ndarray, shade: np.ndarray, grain: np.ndarray, style: Style
) -> np.ndarray:
    """Dark bodies, each with its own shade (1 = usual), paling towards cream seams.

    The arrays have shape (N_ROWS, N_COLUMNS); distances to the seams are in head lengths.
    """
    texture = shade * (1 + 0.10 * grain)
    body = (np.asarray(BODY, np.float32) + style.tone) * cv2.merge([texture] * 3)
    body = mix(body, AMBER, style.amber * ramp(distance, 0.055, style.seam_width))
    seam = np.asarray(SEAM, np.float32) * (1 + 0.05 * grain)[..., None]
    return mix(seam, body, ramp(distance, 0.6 * style.seam_width, 1.5 * style.seam_width))


def relief_slope(height: np.ndarray) -> np.ndarray:
    """Rise of a relief per head length, towards the neck and downwards: (..., 2)."""
    slope = np.dstack([cv2.Sobel(height, cv2.CV_32F, 1, 0), cv2.Sobel(height, cv2.CV_32F, 0, 1)])
    return cv2.GaussianBlur(slope, (0, 0), 0.8) * np.float32(TEXELS_PER_LENGTH / 8)


@cache
def leather_grain() -> np.ndarray:
    """Distance to the creases of the neck's skin, head lengths; alike in all animals."""
    random = np.random.default_rng(0)
    along, around = positions()
    columns, rows = random.uniform(0.0, SKIN_LENGTH, 500), random.uniform(-0.5, 0.5, 500)
    centres = np.stack([columns, rows], axis=1)  # of the granules between the creases
    return seam_distance(centres, along, around)[0]


def add_neck(random: Generator, coat: Coat, places: Places, tone: np.ndarray) -> Coat:
    """Wrinkled skin behind the skull and under the throat."""
    colour, height = coat
    along, around = places
    shape = along.shape
    folds = smooth_noise(random, shape, 40.0, n_octaves=2)
    wave = np.sin(2 * np.pi * (along * 13 + 0.35 * folds + 0.8 * around))
    granules = leather_grain()
    leather = np.asarray(NECK, np.float32) + tone
    leather = leather * (1 + 0.16 * wave + 0.06 * folds)[..., None]
    leather = mix(leather, SEAM, 0.35 * ramp(granules, 0.006, 0.001))
    leather = mix(leather, THROAT, 0.75 * ramp(around, -0.05, -0.34))
    edge = 0.99 + 0.05 * np.cos(around / ARC_PER_RADIAN) + 0.015 * folds
    is_neck = ramp(along, edge - 0.01, edge + 0.02)
    is_throat = ramp(around + 0.03 * folds, -0.30, -0.36) * ramp(along, 0.2, 0.3)
    share = np.maximum(is_neck, is_throat)
    relief = 0.010 * wave * ramp(along, 1.0, 1.1) + 0.004 * ramp(granules, 0, 0.012)
    return mix(colour, leather, share), height * (1 - share) + relief * share


def mouth_height(along: np.ndarray) -> np.ndarray:
    """Where the mouth runs, `around` in head lengths: down from the beak, then level."""
    return -0.085 - 0.075 * ramp(along, 0.02, 0.30) + 0.03 * ramp(along, 0.30, 0.46)


def add_jaws(random: Generator, coat: Coat, places: Places) -> Coat:
    """Horny beak with streaks, nostril, pale lower jaw and the line of the mouth."""
    colour, height = coat
    along, around = places
    above = around - mouth_height(along)
    streaks = cv2.GaussianBlur(smooth_noise(random, along.shape, 5.0), (0, 0), 2.5, sigmaY=9)
    horn = np.asarray(HORN, np.float32) * (1 + 0.30 * streaks)[..., None]
    horn = mix(horn, (0.34, 0.25, 0.15), 0.5 * ramp(around, 0.0, 0.3))
    is_upper = ramp(above, -0.01, 0.01) * ramp(along + 0.30 * np.abs(above - 0.02), 0.21, 0.17)
    is_edge = ramp(above, -0.005, 0.005) * ramp(above, 0.055, 0.035) * ramp(along, 0.40, 0.34)
    is_lower = ramp(above, 0.005, -0.005) * ramp(above, -0.12, -0.08) * ramp(along, 0.46, 0.38)
    share = np.maximum(np.maximum(is_upper, is_edge), is_lower)
    colour = mix(colour, horn, share)
    colour = mix(colour, THROAT, 0.55 * is_lower)
    height = height * (1 - share)
    is_line = np.exp(-((above / 0.009) ** 2)) * ramp(along, 0.50, 0.42)
    nostril = np.exp(-(((along - 0.075) / 0.016) ** 2) - (((around - 0.16) / 0.02) ** 2))
    colour = mix(colour, (0.07, 0.05, 0.04), np.clip(0.9 * is_line + 0.9 * nostril, 0, 1))
    return colour, height - 0.012 * is_line - 0.008 * nostril


def add_eye(coat: Coat, places: Places) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wrinkled lids and a dark almond eye with a paler rim: colour, height and gloss."""
    colour, height = coat
    along, around = places
    # The eye slants: its front corner lies lower.
    forward, up = along - EYE[0], around - EYE[1]
    across, over = 0.95 * forward + 0.31 * up, 0.95 * up - 0.31 * forward
    distance = np.hypot(across, over * 1.12)
    is_lid = ramp(distance, SOCKET, SOCKET - 0.02)
    rings = np.cos(2 * np.pi * distance / 0.021)
    lid = np.asarray(LID, np.float32) * (1.15 + 0.30 * rings)[..., None]
    colour = mix(colour, lid, is_lid)
    height = height * (1 - is_lid) + is_lid * (0.004 * rings + 0.022)
    ball = np.hypot(across / EYE_SIZE[0], over / EYE_SIZE[1])
    colour = mix(colour, (0.78, 0.70, 0.52), 0.75 * np.exp(-(((ball - 1.12) / 0.10) ** 2)))
    is_ball = ramp(ball, 1.06, 0.94)
    iris = np.full_like(colour, (0.20, 0.12, 0.06))
    iris = mix(iris, (0.015, 0.012, 0.012), ramp(ball, 0.8, 0.5))
    colour = mix(colour, iris, is_ball)
    dome = 0.050 * np.sqrt(np.clip(1 - (ball / 1.3) ** 2, 0, 1))
    return colour, height * (1 - is_ball) + dome * is_ball, is_ball.astype(np.float32)


def make_scar(random: Generator, along: np.ndarray, around: np.ndarray) -> tuple[float, np.ndarray]:
    """A bent scratch: years after the first encounter, and its share of each texel."""
    year, middle, height, turn = random.uniform((0.5, 0.35, -0.2, 0.0), (12.0, 0.95, 0.3, np.pi))
    forward, up = along - middle, around - height
    across = forward * np.cos(turn) + up * np.sin(turn)
    beside = up * np.cos(turn) - forward * np.sin(turn) + 3.0 * across**2
    return float(year), np.exp(-np.square((across / 0.10) ** 2) - (beside / 0.010) ** 2)


def age_colour(pelt: Pelt, years: float, strength: float) -> np.ndarray:
    """Colours some years, 0 or more, after the first encounter: algae spread, a scar comes."""
    cover = strength * min(years, 10.0) / 10.0
    if cover == 0:
        return pelt.colour
    limit = 3.0 - 1.5 * cover
    is_algae = ramp(pelt.algae, limit, limit + 0.8) * (1 - pelt.gloss)
    colour = mix(pelt.colour, ALGAE, 0.6 * is_algae)
    if years < pelt.scar_year:
        return colour
    return mix(colour, SCAR, np.minimum(0.8 * strength, 1.0) * pelt.scar)
