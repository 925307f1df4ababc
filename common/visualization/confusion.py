"""Which identities a model takes for which, and how many photos of each it finds."""

from collections.abc import Sequence
from pathlib import Path

from common.visualization import style

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

MOST_COUNTED = 20  # identities up to which counts are written into the cells
MOST_NAMES = 64  # identity names along one side


def confusion_figure(
    counts: np.ndarray,
    identities: Sequence[str],
    path: str | Path,
    *,
    kind: str = "identity",
    title: str = "",
) -> Path:
    """Draw a confusion matrix; right answers in one colour, mistakes in another.

    Each cell is shaded by its share of the row, so that rarely photographed animals are seen
    as well as common ones; up to 20 identities the counts are written into the cells. Who was not
    asked about has no row, but keeps a column: it may be an answer.

    Args:
        counts: whole numbers, shape (n_identities, n_identities); row = true identity,
            column = answer.
        identities: names of rows and columns, length n_identities.
        kind: what is named, "identity" or another word such as "breed".
    """
    asked = np.flatnonzero(counts.any(axis=1))
    width, height = np.clip(2.6 + 0.115 * np.array(counts[asked].shape[::-1]), 4.2, 12)  # inches
    figure = style.new_figure(width + 0.2, height)
    axes = style.tidy(figure.add_subplot())
    _draw_cells(axes, counts[asked], asked)
    _name_both_axes(axes, identities, [identities[row] for row in asked], kind)
    return style.save_figure(figure, path, title)


def _draw_cells(axes: Axes, counts: np.ndarray, right: np.ndarray) -> None:
    """Shade the cells by their share of the row; few enough get their counts.

    Args:
        counts: shape (n_rows, n_identities).
        right: column of the right answer of each row.
    """
    n_rows, n_identities = counts.shape
    shares = counts / counts.sum(axis=1, keepdims=True)
    is_right = np.arange(n_identities) == right[:, None]
    axes.plot(right, np.arange(n_rows), color=style.LINE, linewidth=0.6, zorder=0)
    for colour, hidden in ((style.WRONG, is_right), (style.RIGHT, ~is_right)):
        shades = LinearSegmentedColormap.from_list(colour, ["white", colour])
        # Square root: a single mistake among many photos stays visible.
        cells = np.sqrt(np.ma.masked_where(hidden | (counts == 0), shares))
        axes.imshow(cells, cmap=shades, vmin=0, vmax=1, interpolation="nearest", zorder=1)
    if n_identities <= MOST_COUNTED:
        for row, column in np.argwhere(counts > 0):
            colour = "white" if shares[row, column] > 0.45 else style.INK
            centre = {"ha": "center", "va": "center"}
            axes.text(column, row, str(counts[row, column]), fontsize=8, color=colour, **centre)


def _name_both_axes(axes: Axes, identities: Sequence[str], asked: Sequence[str], kind: str) -> None:
    """Names of identities down the side and along the foot, with faint lines between cells."""
    positions, names = style.legible_ticks(identities, most=MOST_NAMES)
    size = 7.5 if len(names) <= 24 else 5.5
    axes.set_xticks(positions, names, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(*style.legible_ticks(asked, most=MOST_NAMES), fontsize=size, parse_math=False)
    axes.set(xlabel="answer", ylabel=f"true {kind}")
    if n_missing := len(identities) - len(asked):
        axes.set_xlabel(f"answer ({n_missing} of these without a test photo, so without a row)")
    if len(identities) <= MOST_NAMES:
        axes.set_xticks(np.arange(len(identities) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(asked) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=style.LINE, linewidth=0.35)
        axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)


def recall_bars(
    recalls: np.ndarray, n_photos: np.ndarray, identities: Sequence[str], path: str | Path
) -> Path:
    """Draw each identity's recall, best first, with the number of photos it rests on.

    Args:
        recalls: share of each identity's photos that are recognised, [0, 1], shape
            (n_identities,); nan where it has none, such identities are left out.
        n_photos: photos each recall rests on, shape (n_identities,).
        identities: names, length n_identities.
    """
    recalls, n_photos = np.asarray(recalls, dtype=float), np.asarray(n_photos)
    order = [i for i in np.argsort(-recalls, kind="stable") if np.isfinite(recalls[i])]
    figure = style.new_figure(float(np.clip(2.0 + 0.13 * len(order), 5, 13)), 3.4)
    axes = style.tidy(figure.add_subplot(), grid="y")
    _draw_recalls(axes, recalls[order])
    labels = [f"{identities[i]} ({n_photos[i]})" for i in order]
    ticks, names = style.legible_ticks(labels, most=90)
    axes.set_xticks(ticks, names, rotation=90, fontsize=6.5, parse_math=False)
    axes.set(ylim=(0, 1.04), xlim=(-0.8, len(order) - 0.2), ylabel="recall")
    axes.set_xlabel("identity (number of photos)")
    return style.save_figure(figure, path)


def _draw_recalls(axes: Axes, recalls: np.ndarray) -> None:
    """Bars, and the mean over identities as a line."""
    positions = np.arange(len(recalls))
    axes.bar(positions, recalls, width=0.72, color=style.COLOURS[0])
    # A recall of zero has no bar; the ring shows that the identity was asked for.
    missed = positions[recalls == 0]
    ring = {"s": 16, "facecolor": "white", "edgecolor": style.WRONG}
    axes.scatter(missed, np.full(len(missed), 0.015), **ring)
    mean = float(np.mean(recalls))
    axes.axhline(mean, color=style.INK, linewidth=1, linestyle="--")
    words = f"mean over identities {mean:.3f}"
    axes.text(len(recalls) - 0.4, mean + 0.02, words, ha="right", fontsize=8, color=style.INK)
