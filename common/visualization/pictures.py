"""Pictures in rows and columns, with words beneath: what a network sees, makes or is shown."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.visualization.style import (
    INK,
    SOFT,
    figure_title,
    new_figure,
    save_figure,
    shortened,
)

import numpy as np
from matplotlib import colormaps
from PIL import Image

FILTER_SIDE, MAP_SIDE = 24, 64  # pixels at which a filter and a map are drawn, at least
HEAT = colormaps["inferno"]


@dataclass(frozen=True)
class PictureRow:
    """One row of a grid.

    Attributes:
        name: at the left.
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
    title: str = "",
    cell: float = 1.75,
) -> Path:
    """Draw rows of pictures; small ones keep their hard pixels.

    Args:
        rows: top to bottom.
        path: PNG to write.
        column_titles: above the first row.
        title: above the figure.
        cell: side of one picture, inches.

    Returns:
        The path.

    Raises:
        ValueError: no rows, or a row whose captions don't fit its pictures.
    """
    if not rows or any(len(row.pictures) != len(row.captions) for row in rows):
        raise ValueError(f"{len(rows)} rows; each needs a caption for every picture")
    n_columns = max(len(row.pictures) for row in rows)
    n_lines = max(caption.count("\n") + 1 for row in rows for caption in row.captions)
    height = (cell + 0.15 + 0.14 * n_lines) * len(rows) + 0.75
    figure = new_figure((cell + 0.12) * n_columns + 0.5, height)
    cells = figure.subplots(len(rows), n_columns, squeeze=False)
    for line, row in zip(cells, rows, strict=True):
        for axes in line[len(row.pictures) :]:
            axes.set_axis_off()
        for axes, picture, caption in zip(line, row.pictures, row.captions, strict=False):
            if picture is None:
                axes.set_axis_off()
                continue
            small = picture.shape[0] < 40  # pixels
            axes.imshow(
                picture,
                cmap="gray",
                vmin=0,
                vmax=1 if picture.dtype.kind == "f" else 255,
                interpolation="nearest" if small else "antialiased",
            )
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.set_xlabel(caption, fontsize=7.5, color=INK, labelpad=3, parse_math=False)
        line[0].set_ylabel(
            shortened(row.name, 30), fontsize=8.5, color=INK, weight="bold", parse_math=False
        )
    for axes, text in zip(cells[0], column_titles, strict=False):
        axes.set_title(text, fontsize=8.5, color=SOFT, pad=5, parse_math=False)
    figure_title(figure, title)
    return save_figure(figure, path)


def tiled(tiles: np.ndarray, n_columns: int, gap: int = 1, side: int | None = None) -> np.ndarray:
    """Small pictures side by side; what lies between them stays white.

    Args:
        tiles: in [0, 1], shape (n_tiles, height, width) or (n_tiles, height, width, 3).
        n_columns: tiles in a row.
        gap: between them, pixels.
        side: of every tile, pixels, enlarged without smoothing; None for their own.
    """
    if side is not None:
        tiles = np.repeat(tiles, max(1, side // tiles.shape[1]), axis=1)
        tiles = np.repeat(tiles, max(1, side // tiles.shape[2]), axis=2)
    n_rows = -(-len(tiles) // n_columns)
    height, width = tiles.shape[1] + gap, tiles.shape[2] + gap
    # Where there is nothing: white in colours, and no value where colours stand for values.
    nothing = 1.0 if tiles.ndim == 4 else np.nan
    sheet = np.full((n_rows * height - gap, n_columns * width - gap, *tiles.shape[3:]), nothing)
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
    filters: np.ndarray,
    photo: np.ndarray,
    maps: Mapping[str, np.ndarray],
    path: str | Path,
) -> Path:
    """Draw first filters, the photo, and a sheet of maps for each stage.

    Args:
        filters: in [0, 1], shape (n_filters, height, width, 3).
        photo: uint8, shape (height, width, 3).
        maps: words for the stage to its channels, in [0, 1], shape (n_channels, height, width).
        path: PNG to write.

    Returns:
        The path.
    """
    height, width = filters.shape[1:3]
    sheets = [
        (
            f"first filters ({len(filters)})",
            f"{height} × {width} pixels of 3 colours",
            tiled(filters, math.ceil(math.sqrt(len(filters))), gap=4, side=FILTER_SIDE),
        ),
        ("photo", f"{photo.shape[0]} × {photo.shape[1]} pixels", photo),
    ]
    for words, channels in maps.items():
        columns = math.ceil(math.sqrt(len(channels)))
        caption = f"{channels.shape[1]} × {channels.shape[2]} cells a channel"
        sheets.append((words, caption, tiled(channels, columns, gap=4, side=MAP_SIDE)))
    n_columns = min(3, len(sheets))
    n_rows = math.ceil(len(sheets) / n_columns)
    figure = new_figure(2.9 * n_columns, 3.2 * n_rows)
    cells = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes in cells[len(sheets) :]:
        axes.set_axis_off()
    for axes, (words, caption, sheet) in zip(cells, sheets, strict=False):
        axes.imshow(sheet, cmap="viridis" if sheet.ndim == 2 else None, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_title(words, fontsize=9.5, color=INK, pad=5, parse_math=False)
        axes.set_xlabel(caption, fontsize=8, color=SOFT, labelpad=4, parse_math=False)
    return save_figure(figure, path)
