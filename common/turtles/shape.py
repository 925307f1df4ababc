"""The turtle's head in three dimensions, and the rays that find it.

Head and neck are a tube of elliptical sections along an axis; each pixel's ray is followed
until it meets the tube, which gives the point of the skin and its normal. Shell and
flippers are ellipsoids.

Head coordinates are head lengths: along the axis from the tip of the beak (0) over the back
of the skull (1) to the shell, up, and out of the near side. A turtle shown from its left
side looks left; the right side is drawn in a mirrored world.
"""

from dataclasses import dataclass
from functools import cache

from common.turtles.population import TurtleParameters

import cv2
import numpy as np
from numpy.random import Generator

# Outline of the head in thousandths of its length: places on the axis; top, bottom, half width.
PROFILE = (
    (0, 18, 50, 100, 160, 230, 320, 430, 560, 700, 840, 960, 1060, 1250, 1700),
    (-10, 45, 98, 150, 206, 262, 302, 322, 334, 334, 312, 262, 224, 214, 260),
    (-140, -185, -200, -205, -222, -246, -272, -296, -312, -312, -290, -258, -240, -250, -310),
    (35, 62, 92, 128, 166, 210, 255, 292, 320, 334, 322, 276, 244, 246, 310),
)
PROFILE_STEP = 0.001  # head lengths between two entries of the smooth outline
SOFTNESS = 0.008  # head lengths over which the corners of the outline are rounded
PROFILE_START = -0.06  # head lengths; before the beak the tube narrows to a needle
BEAK_ROUND = 0.022  # head lengths from the first section to the very tip of the beak
HEAD_CENTRE = np.array((0.60, 0.02, 0.0), np.float32)  # the point a pose turns and places
REACH = 0.48  # head lengths that a ray is followed to either side of the head's centre
N_STEPS = 13  # steps along a ray
N_NEWTON_STEPS = 2  # corrections of the depth that the steps have found
FAR_OUTSIDE = 4.0  # values of the tube are cut here; 1 is its surface


@dataclass(frozen=True)
class Pose:
    """Where the head is and how it is turned.

    Attributes:
        rotation: shape (3, 3), from head coordinates to right, up, towards the camera.
        scale: pixels per head length.
        centre: column and row of `HEAD_CENTRE` in pixels.
        is_mirrored: True where the right side of the face is seen.
        flipper_turn: radians by which the near flipper hangs down.
    """

    rotation: np.ndarray
    scale: float
    centre: tuple[float, float]
    is_mirrored: bool
    flipper_turn: float


@dataclass(frozen=True)
class Surface:
    """What the camera sees of one body, in a window of the photo.

    Attributes:
        share: how much of each pixel it covers, in [0, 1], shape (height, width).
        depth: along the ray, head lengths, larger = farther, shape (height, width).
        point: in head coordinates, shape (3, height, width).
        normal: outwards in head coordinates, shape (3, height, width).
    """

    window: tuple[slice, slice]
    share: np.ndarray
    depth: np.ndarray
    point: np.ndarray
    normal: np.ndarray


def choose_pose(random: Generator, orientation: str, parameters: TurtleParameters) -> Pose:
    """A random pose in which the wanted side of the face is seen."""
    size = parameters.photo_size
    ranges = parameters.yaw_range, parameters.pitch_range, parameters.roll_range
    yaw, pitch, roll = random.uniform(-1, 1, 3) * ranges
    pitch += 0.3 * parameters.pitch_range  # divers look down on turtles more than up
    head = random.uniform(parameters.smallest_head, parameters.largest_head)
    shift = random.uniform(-1, 1, 2) * parameters.shift_range
    return Pose(
        rotation=turn_around(2, roll) @ turn_around(0, pitch) @ turn_around(1, yaw),
        scale=head * size,
        centre=((0.5 + shift[0]) * size, (0.5 + shift[1]) * size),
        is_mirrored=orientation == "right",
        flipper_turn=random.uniform(0.3, 1.5),
    )


def turn_around(axis: int, angle: float) -> np.ndarray:
    """Rotation matrix around the right (0), up (1) or camera (2) axis; radians."""
    first, second = [other for other in range(3) if other != axis]
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


def dot(planes: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Inner product of a field of vectors, shape (3, ...), with one vector."""
    return planes[0] * vector[0] + planes[1] * vector[1] + planes[2] * vector[2]


def turned(planes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A matrix applied to a field of vectors, shape (3, ...)."""
    flat = np.asarray(matrix, np.float32) @ planes.reshape(3, -1)
    return flat.reshape(planes.shape)


def unit(planes: np.ndarray) -> np.ndarray:
    """Vectors scaled to length 1 along the first axis."""
    length = np.sqrt(planes[0] ** 2 + planes[1] ** 2 + planes[2] ** 2)
    return planes / np.maximum(length, 1e-6)


def make_rays(
    pose: Pose, window: tuple[slice, slice], step: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Rays through the pixels of a window, in head coordinates.

    Args:
        step: pixels from one ray to the next; each ray goes through the middle of
            step x step pixels.

    Returns:
        Starting points on the plane through the head's centre, shape (3, height, width),
        and the one direction of all rays, away from the camera, shape (3,).
    """
    rows, columns = (
        np.arange(part.start, part.stop, step, dtype=np.float32) + step / 2 for part in window
    )
    right = (columns - np.float32(pose.centre[0])) / np.float32(pose.scale)
    right = -right if pose.is_mirrored else right
    up = (np.float32(pose.centre[1]) - rows) / np.float32(pose.scale)
    camera = pose.rotation.astype(np.float32)  # rows: right, up, towards the camera
    starts = camera[0][:, None, None] * right + camera[1][:, None, None] * up[:, None]
    return starts + HEAD_CENTRE[:, None, None], -camera[2]


def find_window(
    pose: Pose, size: int, *, centre: np.ndarray, half_extent: np.ndarray
) -> tuple[slice, slice] | None:
    """The part of the photo that a body may cover, or None where it is out of sight.

    Args:
        centre: of the body, head coordinates, shape (3,).
        half_extent: of the body to the right and up in the picture, head lengths.
    """
    right, up = (pose.rotation @ (np.asarray(centre) - HEAD_CENTRE))[:2] * pose.scale
    middle = pose.centre[1] - up, pose.centre[0] + (-right if pose.is_mirrored else right)
    reach = np.asarray(half_extent)[::-1] * pose.scale + 3
    window = tuple(
        slice(max(int(m - r) // 2 * 2, 0), min(-int(-(m + r)) // 2 * 2 + 2, size))  # even edges
        for m, r in zip(middle, reach, strict=True)
    )
    return window if all(part.stop - part.start >= 4 for part in window) else None


@cache
def outline() -> tuple[np.ndarray, ...]:
    """Smooth outline of the head, sampled every `PROFILE_STEP`.

    Returns:
        Six arrays of shape (n_samples,): middle height, half height and half width, then
        the slopes of these three along the axis.
    """
    places, *outlines = np.array(PROFILE) / 1000
    axis = np.arange(PROFILE_START, places[-1] + 0.6, PROFILE_STEP)
    top, bottom, width = (np.interp(axis, places, lengths) for lengths in outlines)
    sections = np.stack([(top + bottom) / 2, (top - bottom) / 2, width], axis=1)
    # Before the tip of the beak the tube shrinks to nothing, with a round end.
    is_before = axis < 0
    roundness = np.sqrt(np.clip(1 - (axis[is_before, None] / BEAK_ROUND) ** 2, 0.002, 1))
    sections[is_before, 1:] *= roundness
    sections = cv2.GaussianBlur(sections, (1, 0), sigmaX=0.1, sigmaY=SOFTNESS / PROFILE_STEP)
    slopes = np.gradient(sections, PROFILE_STEP, axis=0)
    columns = np.concatenate([sections, slopes], axis=1).T.astype(np.float32)
    return tuple(column.copy() for column in columns)


def look_up(columns: tuple[np.ndarray, ...], along: np.ndarray) -> list[np.ndarray]:
    """Read columns of the outline at places on the axis."""
    samples = ((along - PROFILE_START) * (1 / PROFILE_STEP)).astype(np.int32)
    samples = np.clip(samples, 0, len(columns[0]) - 1)
    return [column[samples] for column in columns]


def tube_value(point: np.ndarray) -> np.ndarray:
    """Below 1 inside the tube, above 1 outside; point has shape (3, ...)."""
    middle, half_height, half_width = look_up(outline()[:3], point[0])
    return ((point[1] - middle) / half_height) ** 2 + (point[2] / half_width) ** 2


def tube_gradient(point: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value of the tube, half its gradient, shape (3, ...), and the angle around it.

    The angle is in radians: 0 in the middle of the near side, pi/2 on top.
    """
    middle, half_height, half_width, *slopes = look_up(outline(), point[0])
    above = (point[1] - middle) / half_height
    beside = point[2] / half_width
    along = -above * (slopes[0] + above * slopes[1]) / half_height
    along -= beside**2 * slopes[2] / half_width
    gradient = np.stack([along, above / half_height, beside / half_width])
    return above**2 + beside**2, gradient, np.arctan2(above, beside)


def see_tube(pose: Pose, size: int) -> tuple[Surface, np.ndarray]:
    """The head and neck as the camera sees them, and the angle around them in radians."""
    reach = np.abs(pose.rotation[:2]) @ np.array((1.6, 0.36, 0.36))
    window = find_window(pose, size, centre=HEAD_CENTRE, half_extent=reach)
    depth, lowest = march(pose, window)
    shape = [part.stop - part.start for part in window]
    depth = cv2.resize(depth, shape[::-1], interpolation=cv2.INTER_LINEAR)
    lowest = cv2.resize(lowest, shape[::-1], interpolation=cv2.INTER_CUBIC)
    starts, direction = make_rays(pose, window)
    for _ in range(N_NEWTON_STEPS):
        value, gradient, angle = tube_gradient(starts + depth * direction[:, None, None])
        descent = np.maximum(-2 * dot(gradient, direction), 0.5)
        # Grazing rays, which hardly descend into the tube, stay where they are.
        depth = depth + np.clip((value - 1) / descent, -0.06, 0.06) * (descent > 0.5)
    away = np.maximum(dot(gradient, direction), 0)
    gradient = gradient - away * direction[:, None, None]  # what is seen faces the camera
    point = starts + depth * direction[:, None, None]
    share = soften_edge(np.sqrt(np.clip(lowest, 0, FAR_OUTSIDE)))
    return Surface(window, share, depth, point, unit(gradient)), angle


def march(pose: Pose, window: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
    """Step along every second ray: depth of the surface, and least value on the way.

    Both come from the parabola through the least value of the ray and its neighbours:
    across a tube of slowly changing sections the value is almost a parabola.
    """
    starts, direction = make_rays(pose, window, step=2)
    steps = np.linspace(-REACH, REACH, N_STEPS, dtype=np.float32)
    rays = starts[:, None] + steps[:, None, None] * direction[:, None, None, None]
    values = np.minimum(tube_value(rays), FAR_OUTSIDE)
    least = np.clip(values.argmin(axis=0), 1, N_STEPS - 2)[None]
    before, middle, after = (
        np.take_along_axis(values, least + offset, axis=0)[0] for offset in (-1, 0, 1)
    )
    bend = np.maximum(before + after - 2 * middle, 1e-3)
    lowest = np.where(middle < 2.2, middle - (after - before) ** 2 / (8 * bend), middle)
    lowest = np.maximum(lowest, 0)
    stride = steps[1] - steps[0]
    bottom = steps[least[0]] - stride * (after - before) / (2 * bend)
    depth = bottom - stride * np.sqrt(2 * np.maximum(1 - lowest, 0) / bend)
    return depth.astype(np.float32), lowest.astype(np.float32)


def soften_edge(radius: np.ndarray) -> np.ndarray:
    """Share of each pixel inside radius 1, from the radius and its change per pixel."""
    change = np.hypot(*np.gradient(radius))
    return np.clip(0.5 + (1 - radius) / np.clip(change, 0.004, 0.2), 0, 1)


def see_ellipsoid(
    pose: Pose, size: int, *, centre: np.ndarray, axes: np.ndarray, half_axes: tuple
) -> tuple[Surface, np.ndarray] | None:
    """An ellipsoid as the camera sees it, or None where it is out of sight.

    Args:
        centre: shape (3,), head coordinates.
        axes: shape (3, 3), rows = directions of the half axes in head coordinates.
        half_axes: three lengths in head lengths.

    Returns:
        The surface, and its points along the three half axes in [-1, 1], shape
        (3, height, width).
    """
    half_axes = np.asarray(half_axes)
    reach = np.linalg.norm(pose.rotation[:2] @ (axes.T * half_axes), axis=1)
    window = find_window(pose, size, centre=centre, half_extent=reach)
    if window is None:
        return None
    starts, direction = make_rays(pose, window)
    to_ball = (axes / half_axes[:, None]).astype(np.float32)
    origin = turned(starts - np.asarray(centre, np.float32)[:, None, None], to_ball)
    course = to_ball @ direction
    speed = course @ course
    half_linear = dot(origin, course)
    miss = np.maximum(dot(origin, origin) - half_linear**2 / speed, 0)
    depth = (-half_linear - np.sqrt(np.clip(1 - miss, 0, None) * speed)) / speed
    on_ball = origin + depth * course[:, None, None]
    normal = unit(turned(on_ball, to_ball.T))
    point = starts + depth * direction[:, None, None]
    return Surface(window, soften_edge(np.sqrt(miss)), depth, point, normal), on_ball
