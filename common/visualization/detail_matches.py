"""Pairs of photos with lines between the details that are the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.matching.local_features import small_photo
from common.visualization import style

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from PIL import Image, ImageOps

GAP = 0.06  # between the two photos, of their side
MOST_LINES = 60  # of one pair; more would hide the photos


@dataclass(frozen=True)
class DetailPair:
    """A query beside one gallery photo.

    Attributes:
        points: of the same details in both photos, see `common.matching.matchers.matched_points`,
            each shape (n_details, 2).
        is_match: whether both show one animal; None where nobody knows.
    """

    query: Path
    candidate: Path
    points: tuple[np.ndarray, np.ndarray]
    caption: str
    is_match: bool | None


def detail_panel(
    rows: Sequence[Sequence[DetailPair]],
    path: str | Path,
    *,
    column_names: Sequence[str],
    title: str = "",
) -> Path:
    """Draw pairs with their lines; one row per query, one column per way to choose.

    Raises:
        InputError: a photo cannot be read.
    """
    figure = style.new_figure(4.1 * len(column_names), 2.3 * len(rows) + 0.5)
    cells = figure.subplots(len(rows), len(column_names), squeeze=False)
    for line, pairs in zip(cells, rows, strict=True):
        for axes, pair in zip(line, pairs, strict=True):
            draw_pair(axes, pair)
    for axes, name in zip(cells[0], column_names, strict=True):
        axes.set_title(name, fontsize=9, color=style.SOFT)
    return style.save_figure(figure, path, title)


def draw_pair(axes: Axes, pair: DetailPair) -> None:
    """Two photos with lines between the details that are the same."""
    marks = {True: ("✓ ", style.RIGHT), False: ("✗ ", style.WRONG), None: ("", style.COLOURS[0])}
    side, (mark, colour) = 300, marks[pair.is_match]
    ends = []
    files_at = {0: pair.query, (1 + GAP) * side: pair.candidate}
    for (left, file), points in zip(files_at.items(), pair.points, strict=True):
        photo = small_photo(file)
        square = ImageOps.pad(photo, (side, side), Image.Resampling.LANCZOS, color=style.PAPER)
        axes.imshow(np.asarray(square), extent=(left, left + side, side, 0))
        scale = side / max(photo.size)
        size = scale * np.array(photo.size)
        ends.append(points[:MOST_LINES] * size + (side - size) / 2 + [left, 0])
    look = {"colors": colour, "linewidths": 0.8, "alpha": 0.75}
    axes.add_collection(LineCollection(np.stack(ends, axis=1), **look))
    style.bare(axes)
    axes.set(xlim=(0, (2 + GAP) * side), ylim=(side, 0))
    text = mark + style.shortened(pair.caption, 60)
    axes.set_xlabel(text, fontsize=8, color=colour, labelpad=3, parse_math=False)
