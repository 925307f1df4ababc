"""What a network makes of one photo: its first filters, and the maps of some stages."""

import math
from collections.abc import Mapping
from pathlib import Path

from common.visualization.pictures import tiled
from common.visualization.style import INK, SOFT, new_figure, save_figure

import numpy as np

FILTER_SIDE, MAP_SIDE = 24, 64  # pixels at which a filter and a map are drawn, at least


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
        (f"first filters ({len(filters)})", f"{height} × {width} pixels of 3 colours",
         tiled(filters, math.ceil(math.sqrt(len(filters))), gap=4, side=FILTER_SIDE)),
        ("photo", f"{photo.shape[0]} × {photo.shape[1]} pixels", photo),
    ]  # fmt: skip
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
