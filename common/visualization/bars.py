"""A measure with its intervals, approach by approach."""

from collections.abc import Callable, Sequence
from pathlib import Path

from common.visualization import style

import numpy as np
import pandas as pd
from matplotlib.axes import Axes


def interval_chart(
    table: pd.DataFrame,
    path: str | Path,
    *,
    value: str,
    label: str,
    group: str | None = None,
    value_name: str | None = None,
    limits: tuple[float, float] | None = None,
    chance: float | None = None,
    chance_name: str = "guessing",
    save: Callable[..., Path] = style.save_figure,
) -> Path:
    """Draw one dot with its interval per row; rows with the same label share a line.

    Args:
        table: columns `value`, `label`, optionally `value`_low and `value`_high (ends of the
            interval) and `group`. Rows without a value are drawn as "skipped".
        group: column that names the colour, such as the split or the side of a comparison.
        value_name: words for the measure; the column's name with spaces by default.
        limits: ends of the axis; 0 to 1 when all values lie there.
        chance: value that guessing gives; drawn as a line.
    """
    labels = list(dict.fromkeys(table[label].astype(str)))
    groups = list(dict.fromkeys(table[group].astype(str))) if group else [""]
    figure = style.new_figure(8.4, 1.2 + (0.1 + 0.2 * len(groups)) * len(labels))
    axes = style.tidy(figure.add_subplot(), grid="x")
    shifts = np.linspace(-0.28, 0.28, len(groups)) if len(groups) > 1 else [0.0]
    for i, name in enumerate(groups):
        rows = table[table[group].astype(str) == name] if group else table
        heights = [labels.index(text) + shifts[i] for text in rows[label].astype(str)]
        _draw_dots(axes, rows, value, heights, style.COLOURS[i % len(style.COLOURS)], name)
    if chance is not None:
        axes.axvline(chance, color=style.SOFT, linewidth=1, linestyle=":", label=chance_name)
    _name_lines(axes, labels)
    axes.set_xlabel(value_name or value.replace("_", " "))
    limits = limits or _limits(table, value)
    if limits:
        axes.set_xlim(*limits)
    if group or chance is not None:
        style.legend_outside(axes, 4)
    return save(figure, path)


def _name_lines(axes: Axes, labels: Sequence[str]) -> None:
    """Names at the left, the first on top, and a faint rule between the lines."""
    names = [style.shortened(text, 34) for text in labels]
    axes.set_yticks(range(len(labels)), names, fontsize=9, color=style.INK, parse_math=False)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    for line in range(1, len(labels)):
        axes.axhline(line - 0.5, color=style.LINE, linewidth=0.6)


def _draw_dots(
    axes: Axes, rows: pd.DataFrame, value: str, heights: Sequence[float], colour: str, name: str
) -> None:
    """Dots of one group, each with its interval and its number."""
    values = rows[value].to_numpy(dtype=float)
    low, high = (
        rows.get(f"{value}{end}", rows[value]).to_numpy(dtype=float) for end in ("_low", "_high")
    )
    axes.hlines(heights, low, high, color=colour, linewidth=2.2, alpha=0.55)
    axes.scatter(values, heights, s=34, color=colour, zorder=3, label=name or None)
    text = {"va": "center", "fontsize": 9, "textcoords": "offset points"}
    for number, end, height in zip(values, high, heights, strict=True):
        if np.isfinite(number):
            end = np.nanmax([number, end])
            axes.annotate(f"{number:.3f}", (end, height), xytext=(6, 0), color=style.INK, **text)
        else:
            left_edge = axes.get_yaxis_transform()  # x: share of the width, y: data
            place = {"xy": (0.03, height), "xytext": (0, 0), "xycoords": left_edge}
            axes.annotate("skipped", **place, color=style.SOFT, **text)


def _limits(table: pd.DataFrame, value: str) -> tuple[float, float] | None:
    """0 to 1, with room for the last number, for shares; None leaves it to the data."""
    columns = [name for name in (value, f"{value}_low", f"{value}_high") if name in table.columns]
    numbers = table[columns].to_numpy(dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) and numbers.min() >= 0 and numbers.max() <= 1:
        return (0.0, 1.09 if numbers.max() > 0.9 else 1.0)
    return None
