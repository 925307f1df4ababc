"""One photo of one turtle under water, and the truth about it.

The painted face comes from `skin`, its shape from `shape`, the water, the backdrop and the
camera from `scene`. Here they meet: light, haze, things in front.
"""

from dataclasses import dataclass, replace
from functools import cache

from common.turtles.brushes import mix, ramp
from common.turtles.foreground import add_foreground
from common.turtles.population import PHOTO, Animal, Encounter, Photo, TurtleParameters, stream
from common.turtles.scene import RIPPLE_SIZE, Look, crop_backdrop, develop, ripple_tile
from common.turtles.shape import (
    Pose,
    Surface,
    choose_pose,
    dot,
    see_ellipsoid,
    see_tube,
    turn_around,
    turned,
    unit,
)
from common.turtles.skin import ARC_PER_RADIAN, N_ROWS, TEXELS_PER_LENGTH, Face, leather_grain

import cv2
import numpy as np
from numpy.random import Generator

SHELL = ((2.22, 0.16, 0.0), (0.92, 0.40, 1.00))  # centre and half axes, head lengths
SHELL_COLOUR = (0.30, 0.22, 0.12)
SHOULDER = (1.42, -0.28, 0.36)  # where the near flipper is hung, head lengths
FLIPPER_SIZE = (0.55, 0.19, 0.045)  # half axes, head lengths
LIMB_COLOUR = (0.30, 0.23, 0.15)
COLOUR_LOSS = 0.35  # share of the sunlight that takes on the water's colour
RIPPLE_SCALE = np.float32(150.0)  # texels of the tile of caustics per head length
FAR_AWAY = 9.0  # head lengths; depth of a pixel without the animal
# A part of the animal: where it is seen; red, green, blue, gloss in [0, 1], (height, width, 4).
Body = tuple[Surface, np.ndarray]


@dataclass(frozen=True)
class Scene:
    """The animal as seen, before any light: one value per pixel of the photo.

    Attributes:
        covered: share of the pixel that shows the animal, shape (size, size).
        depth: along the ray, head lengths, shape (size, size).
        paint: red, green, blue, gloss, shape (size, size, 4).
        point, normal: in head coordinates, shape (3, size, size).
    """

    covered: np.ndarray
    depth: np.ndarray
    paint: np.ndarray
    point: np.ndarray
    normal: np.ndarray


@dataclass(frozen=True)
class Picture:
    """A drawn photo and the truth about it.

    Attributes:
        image: uint8, shape (size, size, 3), red, green, blue.
        mask: bool, shape (size, size), True where the animal is seen.
        visible_share: share of the animal that nothing covers, in [0, 1].
    """

    image: np.ndarray
    mask: np.ndarray
    visible_share: float


def paint_head(face: Face, orientation: str, pose: Pose, size: int) -> Body:
    """The head and neck: the wrapped skin on the tube, with its relief in the normals."""
    surface, angle = see_tube(pose, size)
    columns = surface.point[0] * TEXELS_PER_LENGTH - 0.5
    rows = np.mod((np.pi / 2 - angle) * ARC_PER_RADIAN * TEXELS_PER_LENGTH, 2 * N_ROWS) - 0.5
    maps = columns.astype(np.float32), rows.astype(np.float32)
    paint, slope = (
        cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for image in (face.paint[orientation], face.slope[orientation])
    )
    normal = surface.normal
    down = unit(np.stack([np.zeros_like(angle), -normal[2], normal[1]]))
    back = np.cross(normal, down, axis=0)
    normal = unit(normal - slope[..., 0] * back - slope[..., 1] * down)
    return replace(surface, normal=normal), paint


def paint_shell(pose: Pose, size: int) -> Body | None:
    """The front of the shell: rayed plates, a row of small ones along the rim, pale below."""
    centre, half_axes = SHELL
    seen = see_ellipsoid(pose, size, centre=np.array(centre), axes=np.eye(3), half_axes=half_axes)
    if seen is None:
        return None
    surface, (along, above, beside) = seen
    turn = np.arctan2(beside, along)
    rays = np.sin(turn * 60 + 3 * np.sin(along * 9)) * np.sin(turn * 23)
    rim = ramp(above, 0.30, 0.26)
    plates = np.minimum(np.abs(np.sin(turn * 9)), np.abs(above - 0.28) * 9)
    ribs = np.minimum(np.abs(np.sin(turn * 4.5 + 0.4)), np.abs(above - 0.28) * 9)
    seams = ramp(rim * plates + (1 - rim) * ribs, 0.16, 0.06)
    colour = mix(flat_colour(SHELL_COLOUR, turn), (0.66, 0.47, 0.20), 0.35 + 0.30 * rays)
    colour = mix(colour, (0.86, 0.77, 0.54), 0.75 * seams)
    colour = mix(colour, (0.86, 0.80, 0.64), ramp(above, -0.02, -0.10))
    return surface, np.dstack([colour, np.zeros_like(turn)])


def paint_flipper(pose: Pose, size: int, *, is_near: bool) -> Body | None:
    """A front flipper: dark scales with pale seams and a pale edge."""
    side = 1.0 if is_near else -1.0
    turn = turn_around(2, -pose.flipper_turn) @ turn_around(0, 0.5 * side)
    centre = np.array(SHOULDER) * (1, 1, side) + turn[:, 0] * FLIPPER_SIZE[0] * 0.85
    seen = see_ellipsoid(pose, size, centre=centre, axes=turn.T, half_axes=FLIPPER_SIZE)
    if seen is None:
        return None
    surface, (along, across, _) = seen
    columns = ((along + 1) * 0.40 * TEXELS_PER_LENGTH).astype(np.float32)
    rows = ((across + 1) * 0.20 * TEXELS_PER_LENGTH).astype(np.float32)
    leather = leather_grain()
    seams = cv2.remap(leather, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    colour = mix(flat_colour(LIMB_COLOUR, along), (0.80, 0.73, 0.58), ramp(seams, 0.009, 0.004))
    colour = mix(colour, (0.76, 0.69, 0.54), ramp(np.abs(across), 0.80, 0.97))
    return surface, np.dstack([colour, np.zeros_like(along)])


def flat_colour(colour: tuple, like: np.ndarray) -> np.ndarray:
    """One colour over an area: float32, shape (*like.shape, 3)."""
    return np.full((*like.shape, 3), colour, np.float32)


def assemble(bodies: list[Body], size: int) -> Scene:
    """Put bodies together: in each pixel the nearest one is seen, edges stay soft."""
    scene = Scene(
        covered=np.zeros((size, size), np.float32),
        depth=np.full((size, size), FAR_AWAY, np.float32),
        paint=np.zeros((size, size, 4), np.float32),
        point=np.zeros((3, size, size), np.float32),
        normal=np.zeros((3, size, size), np.float32),
    )
    for surface, paint in bodies:
        part = surface.window
        is_behind = surface.depth > scene.depth[part]
        # Behind another body only its uncovered rest shows; on bare water all of it does.
        own = np.where(is_behind, surface.share * (1 - scene.covered[part]), surface.share)
        share = np.where((scene.covered[part] == 0) & (surface.share > 0), 1, own)
        scene.paint[part] += share[..., None] * (paint - scene.paint[part])
        scene.point[:, *part] += share * (surface.point - scene.point[:, *part])
        scene.normal[:, *part] += share * (surface.normal - scene.normal[:, *part])
        scene.depth[part] = np.where(share > 0.5, surface.depth, scene.depth[part])
        scene.covered[part] = np.maximum(scene.covered[part], surface.share)
    return scene


@cache
def ripples() -> np.ndarray:
    """The tile of caustics, slightly soft."""
    tile = cv2.GaussianBlur(np.tile(ripple_tile(), (2, 2)), (0, 0), 3.0)
    half = RIPPLE_SIZE // 2
    return tile[half:-half, half:-half].copy()


def light_up(scene: Scene, look: Look, pose: Pose) -> np.ndarray:
    """Colours of the animal under the encounter's light: float32, (size, size, 3)."""
    normal = turned(scene.normal, pose.rotation)
    if pose.is_mirrored:
        normal[0] *= -1
    along, across = scene.point[::2] * RIPPLE_SCALE + look.ripple_offset[:, None, None]
    net = cv2.remap(ripples(), along, across, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    facing_sun = np.maximum(dot(normal, look.sun), 0)
    sunlight = look.sunlight * facing_sun * (1 + look.ripples * (1.6 * net - 0.4))
    ambient = 0.62 + 0.24 * normal[1]
    strobe = 0.7 * look.camera.strobe * np.maximum(normal[2], 0) ** 2
    half_way = look.sun + np.array((0, 0.2, 1.0), np.float32)
    mirror = np.maximum(dot(normal, half_way / np.linalg.norm(half_way)), 0)
    wide = np.square(np.square(mirror)) ** 2 * np.square(np.square(mirror))  # power 12
    narrow = wide * np.square(wide)  # power 36; squaring is much faster than powers
    shine = scene.paint[..., 3] * (0.9 * narrow + 0.10 * ramp(normal[1], 0.1, 0.8))
    shine += 0.06 * look.sunlight * wide
    tint = look.water / look.water.max()
    colour = np.empty((*net.shape, 3), np.float32)
    for channel in range(3):
        white = 1 - COLOUR_LOSS * (1 - tint[channel])
        sky = 0.40 + 0.60 * tint[channel]
        light = ambient * sky + sunlight * white + strobe
        colour[..., channel] = scene.paint[..., channel] * light + shine
    return colour


def immerse(image: np.ndarray, scene: Scene, look: Look, pose: Pose) -> np.ndarray:
    """The lit animal in the water before its backdrop, hazier where it is farther away."""
    rows = np.flatnonzero(scene.covered.any(axis=1))
    part = slice(rows[0], rows[-1] + 1)  # light only what the animal covers
    covered, depth, paint = scene.covered[part], scene.depth[part], scene.paint[part]
    scene = Scene(covered, depth, paint, scene.point[:, part], scene.normal[:, part])
    distance = 1 + 0.8 * np.clip(scene.depth, -1, 2)
    colour = mix(light_up(scene, look, pose), look.water, 1 - np.exp(-look.haze * distance))
    image = image.copy()
    image[part] = mix(image[part], colour, scene.covered)
    return image


def see_animal(face: Face, orientation: str, pose: Pose, size: int) -> Scene:
    """The whole animal in one pose, before any light."""
    bodies = [
        paint_head(face, orientation, pose, size),
        paint_shell(pose, size),
        paint_flipper(pose, size, is_near=False),
        paint_flipper(pose, size, is_near=True),
    ]
    return assemble([body for body in bodies if body is not None], size)


def draw_photo(
    animal: Animal,
    encounter: Encounter,
    photo: Photo,
    face: Face,
    look: Look,
    parameters: TurtleParameters,
) -> Picture:
    """Draw one photo; the same arguments give the same pixels."""
    random = stream(parameters.seed, PHOTO, animal.index, encounter.index, photo.index)
    size = parameters.photo_size
    pose = choose_pose(random, photo.orientation, parameters)
    image = crop_backdrop(random, look, size)
    scene = see_animal(face, photo.orientation, pose, size)
    image = immerse(image, scene, look, pose)
    image, hidden = add_foreground(random, image, look, encounter.background, parameters)
    image = defocus(random, image, parameters)
    is_animal = scene.covered > 0.5
    mask = is_animal & (hidden < 0.5)
    return Picture(
        image=develop(random, image, look, parameters.noise),
        mask=mask,
        visible_share=float(mask.sum() / max(is_animal.sum(), 1)),
    )


def defocus(random: Generator, image: np.ndarray, parameters: TurtleParameters) -> np.ndarray:
    """Blur by focus in every photo, by movement in some."""
    pixels = parameters.photo_size / 192
    softness = 0.35 + parameters.blur_range * random.random() ** 2
    image = cv2.GaussianBlur(image, (0, 0), softness * pixels)
    angle, is_moving = random.uniform(0, np.pi), random.random() < 0.2
    length = parameters.blur_range * pixels * random.uniform(1.0, 4.0)
    if not is_moving or length < 1.5:
        return image
    reach = int(np.ceil(length))
    path = np.arange(-reach, reach + 1, dtype=np.float32)
    across, down = path[None, :], path[:, None]
    beside = np.abs(across * np.sin(angle) - down * np.cos(angle))
    ahead = np.abs(across * np.cos(angle) + down * np.sin(angle))
    kernel = np.clip(1 - beside, 0, 1) * np.clip(length / 2 + 0.5 - ahead, 0, 1)
    return cv2.filter2D(image, -1, kernel / kernel.sum())
