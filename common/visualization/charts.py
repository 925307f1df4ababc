"""Measures over a quantity: against a cost, along a trend, step by step, and as promised."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from common.visualization import style

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

LEGEND_WIDTH = 110  # characters of the legend's size beside each other


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
        path: PNG to write; returned.
        cost: column of the cost.
        value: column of the measure, 0 to 1.
        label: column with the words beside each point.
        group: column that gives colour and marker.
        cost_name: words for the cost, with its unit.
        value_name: words for the measure.

    Raises:
        ValueError: no row has both a cost and a value.
    """
    rows = table[np.isfinite(table[value].astype(float)) & (table[cost].astype(float) > 0)]
    if rows.empty:
        raise ValueError("no row has both a cost and a value")
    figure = style.new_figure(7.2, 4.4)
    axes = style.tidy(figure.add_subplot(), grid="y")
    for index, (name, own) in enumerate(rows.groupby(group, sort=False)):
        look, ends = style.look(index), (own[f"{value}_low"], own[f"{value}_high"])
        axes.vlines(own[cost], *ends, color=look["color"], alpha=0.5)
        axes.scatter(own[cost], own[value], s=40, zorder=3, label=name, **look)
    for name, own in rows.groupby(label, sort=False):  # once, above its highest interval
        top = own.loc[own[f"{value}_high"].idxmax(), [cost, f"{value}_high"]]
        place = {"xytext": (0, 4), "textcoords": "offset points", "rotation": 60}
        axes.annotate(name, top, **place, fontsize=8, color=style.INK, parse_math=False)
    axes.set_xscale("log")
    axes.set_xlim(rows[cost].min() / 1.5, rows[cost].max() * 2)  # room for the last name
    is_wide = rows[cost].max() > 100 * rows[cost].min()
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if is_wide else (1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel=cost_name, ylabel=value_name, yticks=[0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_ylim(0, 1.3)  # room for the names
    style.legend_outside(axes, 4)
    return style.save_figure(figure, path)


def trend_chart(
    table: pd.DataFrame,
    path: str | Path,
    *,
    quantity: str,
    quantity_name: str,
    value_name: str,
    value: str = "accuracy",
    group: str = "approach",
    ticks: Sequence[float] | None = None,
) -> Path:
    """Draw one line with its band per group, over a logarithmic axis.

    Args:
        table: columns `quantity` (positive), `value` with `_low` and `_high`, and `group`.
        path: PNG to write; returned.
        quantity: column along x.
        value: column of the measure, 0 to 1.
        group: column that gives each line.
        quantity_name: words for the quantity, with its unit.
        value_name: words for the measure.
        ticks: values of the quantity that are named; None: all that occur.

    Raises:
        ValueError: an empty table.
    """
    if table.empty:
        raise ValueError("an empty table has no trend")
    figure = style.new_figure(7.2, 4.4)
    axes = style.tidy(figure.add_subplot(), grid="y")
    for index, (name, own) in enumerate(table.groupby(group, sort=False)):
        own, look = own.sort_values(quantity), style.look(index)
        band = own[quantity], own[f"{value}_low"], own[f"{value}_high"]
        axes.fill_between(*band, color=look["color"], alpha=0.13, linewidth=0)
        if len(own) == 1:  # a band of no width cannot be seen
            axes.vlines(*band, color=look["color"], alpha=0.5)
        axes.plot(own[quantity], own[value], markersize=5, label=name, **look)
    axes.set_xscale("log")
    ticks = sorted(set(table[quantity])) if ticks is None else ticks
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel=quantity_name, ylabel=value_name, ylim=(0, 1))
    longest = max(len(str(name)) for name in table[group])
    style.legend_outside(axes, max(1, min(4, LEGEND_WIDTH // (longest + 6))))
    return style.save_figure(figure, path)


def rate_chart(
    table: pd.DataFrame,
    path: str | Path,
    *,
    x: str,
    series: dict[str, str],
    x_name: str,
    y_name: str,
) -> Path:
    """Draw a share for each value of x, with its interval, one line per series.

    Args:
        table: columns x, and for each series `name`, `name`_low and `name`_high, in [0, 1].
        path: PNG to write; returned.
        x: column of the horizontal axis, positive; each value is twice the last, or nearly.
        series: column to the words in the legend; names that hold "noise" are drawn grey.
        x_name: words for x, with its unit.
        y_name: words for the share.

    Raises:
        ValueError: an empty table or a missing column.
    """
    style.check_columns(table, [x, *series])
    figure = style.new_figure(7.2, 4.0)
    axes = style.tidy(figure.add_subplot(), grid="y")
    shifts = [1 + 0.025 * (i - (len(series) - 1) / 2) for i in range(len(series))]
    for i, (name, words) in enumerate(series.items()):
        look = {**style.look(i), "linewidth": 1.6, "linestyle": "-"}
        if "noise" in name:
            look |= {"color": style.SOFT, "linestyle": ":"}
        places = table[x] * shifts[i]  # beside each other, so that no interval hides another
        ends = table[f"{name}_low"], table[f"{name}_high"]
        axes.vlines(places, *ends, alpha=0.55, color=look["color"], linewidth=1.6)
        axes.plot(places, table[name], markersize=5, label=words, **look)
    axes.set_xscale("log", base=2)
    axes.set_xticks(table[x], [f"{value:g}" for value in table[x]])
    axes.set(xlabel=x_name, ylabel=y_name, ylim=(-0.03, 1.03))
    style.legend_outside(axes, 3)
    return style.save_figure(figure, path)


def reliability_chart(bins: Mapping[str, pd.DataFrame], path: str | Path) -> Path:
    """Draw one line per approach; on the diagonal, what is said comes true.

    Args:
        bins: name to what `common.measures.calibration.reliability` gives.
        path: PNG to write; returned.

    Raises:
        ValueError: nothing to draw.
    """
    if not bins:
        raise ValueError("no approach has probabilities to draw")
    figure = style.new_figure(5.6, 5.2)
    axes = style.tidy(figure.add_subplot(), grid="both")
    axes.plot([0, 1], [0, 1], color=style.LINE, linewidth=1.6)
    for index, (name, table) in enumerate(bins.items()):
        look = style.look(index)
        axes.plot(table["said"], table["right"], linewidth=1.4, markersize=3, label=name, **look)
        # Large points stand on many photos, small ones on few.
        size = 12 + 150 * table["photos"] / table["photos"].sum()
        axes.scatter(table["said"], table["right"], s=size, zorder=3, **look)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xlabel("probability that the name is right, as said")
    axes.set_ylabel("share of test photos whose name is right")
    style.legend_outside(axes, 2)
    return style.save_figure(figure, path)
