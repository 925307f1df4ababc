"""Pictures in rows and columns, with words beneath: what a network sees, makes or is shown."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.visualization import style

import numpy as np
from matplotlib import colormaps
from PIL import Image

FILTER_SIDE, MAP_SIDE = 24, 64  # pixels at which a filter and a map are drawn, at least
GAP = 4  # pixels between them
HEAT, VALUES = colormaps["inferno"], colormaps["viridis"].with_extremes(bad="white")


@dataclass(frozen=True)
class PictureRow:
    """One row of a grid.

    Attributes:
        pictures: float in [0, 1] or uint8, shape (height, width, 3) or (height, width); None
            leaves the place free.
        captions: beneath each picture, length as `pictures`.
    """

    name: str
    pictures: Sequence[np.ndarray | None]
    captions: Sequence[str]


def picture_grid(
    rows: Sequence[PictureRow],
    path: str | Path,
    *,
    column_titles: Sequence[str] = (),
    cell: float = 1.75,
    save: Callable[..., Path] = style.save_figure,
) -> Path:
    """Draw rows of pictures; small ones keep their hard pixels.

    Args:
        cell: side of one picture, inches.
    """
    n_columns = max(len(row.pictures) for row in rows)
    n_lines = max(caption.count("\n") + 1 for row in rows for caption in row.captions)
    height = (cell + 0.15 + 0.14 * n_lines) * len(rows) + (0.75 if column_titles else 0.1)
    figure = style.new_figure((cell + 0.12) * n_columns + 0.5, height)
    cells = figure.subplots(len(rows), n_columns, squeeze=False)
    for line, row in zip(cells, rows, strict=True):
        for axes in line[len(row.pictures) :]:
            axes.set_axis_off()
        for axes, picture, caption in zip(line, row.pictures, row.captions, strict=False):
            if picture is None:
                axes.set_axis_off()
                continue
            interpolation = "nearest" if picture.shape[0] < 40 else "antialiased"  # pixels
            full = 1 if picture.dtype.kind == "f" else 255
            axes.imshow(picture, cmap="gray", vmin=0, vmax=full, interpolation=interpolation)
            style.bare(axes)
            axes.set_xlabel(caption, fontsize=9, color=style.INK, labelpad=3, parse_math=False)
        style.name_row(line[0], row.name, 30)
    for axes, text in zip(cells[0], column_titles, strict=False):
        axes.set_title(text, fontsize=8.5, color=style.SOFT, pad=5, parse_math=False)
    return save(figure, path)


def tiled(tiles: np.ndarray, side: int) -> np.ndarray:
    """Small pictures side by side in a square; what lies between them stays white.

    Args:
        tiles: in [0, 1], shape (n_tiles, height, width) or (n_tiles, height, width, 3).
        side: of every tile, pixels, enlarged without smoothing.
    """
    for axis in (1, 2):
        tiles = np.repeat(tiles, max(1, side // tiles.shape[axis]), axis=axis)
    n_columns = math.ceil(math.sqrt(len(tiles)))
    n_rows = math.ceil(len(tiles) / n_columns)
    height, width = tiles.shape[1] + GAP, tiles.shape[2] + GAP
    # Where there is nothing: white in colours, and no value where colours stand for values.
    nothing = 1.0 if tiles.ndim == 4 else np.nan
    sheet = np.full((n_rows * height - GAP, n_columns * width - GAP, *tiles.shape[3:]), nothing)
    for i, tile in enumerate(tiles):
        y, x = i // n_columns * height, i % n_columns * width
        sheet[y : y + tiles.shape[1], x : x + tiles.shape[2]] = tile
    return sheet


def with_heat(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A photo in grey under a map in colours: black where nothing is, yellow where most is.

    Args:
        picture: in [0, 1], shape (height, width, 3).
        heat: not negative, shape (cells, cells); enlarged smoothly.

    Returns:
        Shape (height, width, 3), in [0, 1].
    """
    size = picture.shape[1], picture.shape[0]
    scaled = heat / max(float(heat.max()), 1e-12)
    smooth = Image.fromarray(scaled.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    smooth = np.asarray(smooth).clip(0, 1)
    grey = picture.mean(axis=2, keepdims=True).repeat(3, axis=2)
    return 0.45 * grey + 0.55 * HEAT(smooth)[..., :3]


def full_contrast(picture: np.ndarray) -> np.ndarray:
    """A pale picture with its values, but for one in a hundred at each end, spread over [0, 1]."""
    low, high = np.percentile(picture, (1, 99))
    return ((picture - low) / max(high - low, 1e-12)).clip(0, 1)


def features_figure(
    filters: np.ndarray, photo: np.ndarray, maps: Mapping[str, np.ndarray], path: str | Path
) -> Path:
    """Draw first filters, the photo, and a sheet of maps for each stage.

    Args:
        filters: in [0, 1], shape (n_filters, height, width, 3).
        photo: uint8, shape (height, width, 3).
        maps: words for the stage to its channels, in [0, 1], shape (n_channels, height, width).
    """
    size = "{} × {}".format
    captions = [
        f"first filters ({len(filters)})\n{size(*filters.shape[1:3])} pixels of 3 colours",
        f"photo\n{size(*photo.shape[:2])} pixels",
        *(f"{words}\n{size(*own.shape[1:])} cells a channel" for words, own in maps.items()),
    ]
    sheets = [tiled(filters, FILTER_SIDE), photo]
    sheets += [VALUES(tiled(channels, MAP_SIDE))[..., :3] for channels in maps.values()]
    rows = [
        PictureRow("", sheets[first : first + 3], captions[first : first + 3])
        for first in range(0, len(sheets), 3)
    ]
    return picture_grid(rows, path, cell=2.7)
