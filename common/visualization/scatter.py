"""What accuracy costs: one point per model."""

from pathlib import Path

from common.visualization.style import COLOURS, INK, SOFT, new_figure, save_figure, tidy

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

MARKERS = ("o", "s", "D", "^", "v", "P", "X")  # told apart without colour


def cost_scatter(
    table: pd.DataFrame,
    path: str | Path,
    *,
    cost: str,
    value: str,
    label: str,
    group: str,
    cost_name: str,
    value_name: str,
) -> Path:
    """Draw a measure with its interval against a cost on a logarithmic axis.

    Args:
        table: columns `cost` (positive), `value` with `_low` and `_high`, `label` and `group`;
            rows without a value are left out.
        path: PNG to write.
        cost: column of the cost.
        value: column of the measure, 0 to 1.
        label: column with the words beside each point.
        group: column that gives colour and marker.
        cost_name: words for the cost, with its unit.
        value_name: words for the measure.

    Returns:
        The path.

    Raises:
        ValueError: no row has both a cost and a value.
    """
    rows = table[np.isfinite(table[value].astype(float)) & (table[cost].astype(float) > 0)]
    if rows.empty:
        raise ValueError("no row has both a cost and a value")
    figure = new_figure(7.2, 4.4)
    axes = tidy(figure.add_subplot(), grid="y")
    for index, (name, own) in enumerate(rows.groupby(group, sort=False)):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        axes.vlines(own[cost], own[f"{value}_low"], own[f"{value}_high"], color=colour, alpha=0.5)
        axes.scatter(own[cost], own[value], color=colour, marker=marker, s=40, zorder=3, label=name)
    for name, own in rows.groupby(label, sort=False):  # above the highest of a model's intervals
        top = own.loc[own[f"{value}_high"].idxmax()]
        axes.annotate(
            name, (top[cost], top[f"{value}_high"]), xytext=(0, 4), textcoords="offset points",
            fontsize=8, color=INK, rotation=60, parse_math=False,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(rows[cost].min() / 1.5, rows[cost].max() * 2)  # room for the last name
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1.3)  # room for the names
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set(xlabel=cost_name, ylabel=value_name)
    axes.figure.legend(loc="outside lower center", ncols=4, fontsize=8.5, frameon=False,
                       labelcolor=SOFT)  # fmt: skip
    return save_figure(figure, path)
