"""Measures over a quantity: against a cost, along a trend, and as promised."""

from collections.abc import Callable, Mapping
from pathlib import Path

from common.visualization import style

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

STRONG = 0.3  # difference of two approaches that has the full colour of a map
MOST_BANDS = 5  # in one chart; intervals of more lines stand side by side
AXIS_WIDTH, NAME_WIDTH = 540, 12  # points: of a chart of costs, and of a slanting name
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
        value: column of the measure, 0 to 1.
        label: column with the words beside each point.
    """
    rows = table[np.isfinite(table[value].astype(float)) & (table[cost].astype(float) > 0)]
    figure = style.new_figure(8.4, 4.2)
    axes = style.tidy(figure.add_subplot(), grid="y")
    for index, (name, own) in enumerate(rows.groupby(group, sort=False)):
        look, ends = style.look(index), (own[f"{value}_low"], own[f"{value}_high"])
        axes.vlines(own[cost], *ends, color=look["color"], alpha=0.5)
        axes.scatter(own[cost], own[value], s=40, zorder=3, label=name, **look)
    axes.set_xscale("log")
    axes.set_xlim(rows[cost].min() / 1.5, rows[cost].max() * 2)  # room for the last name
    # Each name once, above its highest interval, and beside the name before it.
    tops = rows.loc[rows.groupby(label)[f"{value}_high"].idxmax()].sort_values(cost)
    decades, last = np.ptp(np.log10(axes.get_xlim())), -np.inf
    for name, x, y in zip(tops[label], tops[cost], tops[f"{value}_high"], strict=True):
        at = np.log10(x) / decades * AXIS_WIDTH
        last = max(at, last + NAME_WIDTH)
        place = {"xytext": (last - at, 4), "textcoords": "offset points", "rotation": 60}
        axes.annotate(name, (x, y), **place, fontsize=8, color=style.INK, parse_math=False)
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
    save: Callable[..., Path] = style.save_figure,
) -> Path:
    """Draw one line with its band per group, over a logarithmic axis.

    Args:
        table: columns `quantity` (positive), `value` with `_low` and `_high`, and `group`.
        value: column of the measure, 0 to 1.
    """
    figure = style.new_figure(8.4, 4.2)
    axes = style.tidy(figure.add_subplot(), grid="y")
    are_many = table[group].nunique() > MOST_BANDS
    for index, (name, own) in enumerate(table.groupby(group, sort=False)):
        own, look = own.sort_values(quantity), style.look(index)
        places = own[quantity] * (1 + 0.025 * index) if are_many else own[quantity]
        band = places, own[f"{value}_low"], own[f"{value}_high"]
        if are_many or len(own) == 1:  # bands would hide each other, or have no width
            axes.vlines(*band, color=look["color"], alpha=0.5)
        else:
            axes.fill_between(*band, color=look["color"], alpha=0.13, linewidth=0)
        axes.plot(places, own[value], markersize=5, label=name, **look)
    axes.set_xscale("log")
    ticks = sorted(set(table[quantity]))
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel=quantity_name, ylabel=value_name, ylim=(0, 1))
    longest = max(len(str(name)) for name in table[group])
    style.legend_outside(axes, max(1, min(4, LEGEND_WIDTH // (longest + 6))))
    return save(figure, path)


def reliability_chart(bins: Mapping[str, pd.DataFrame], path: str | Path) -> Path:
    """Draw one line per approach; on the diagonal, what is said comes true.

    Args:
        bins: name to what `common.measures.calibration.reliability` gives.
    """
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


def difference_map(
    table: pd.DataFrame,
    path: str | Path,
    *,
    x: str,
    y: str,
    names: tuple[str, str],
    x_name: str,
    y_name: str,
) -> Path:
    """Draw one coloured cell per row, with the difference in points and its interval.

    Args:
        table: columns x, y, and difference with its `_low` and `_high`, in [-1, 1]; complete,
            one row of the map after the other.
        y: column along y, a number; equal within a row of the map.
        names: first approach and second; the difference is first minus second.
    """
    n_rows = table[y].nunique()
    n_columns = len(table) // n_rows
    values = table["difference"].to_numpy().reshape(n_rows, n_columns)
    figure = style.new_figure(1.6 + 1.35 * n_columns, 1.6 + 0.72 * n_rows)
    axes = style.tidy(figure.add_subplot())
    picture = axes.imshow(values, cmap="PuOr", vmin=-STRONG, vmax=STRONG, aspect="auto")
    _write_cells(axes, table, n_columns)
    x_ticks = table[x].to_numpy().reshape(n_rows, n_columns).mean(axis=0)
    y_ticks = table[y].to_numpy().reshape(n_rows, n_columns).mean(axis=1)
    axes.set_xticks(np.arange(n_columns), [f"{tick:.3g}" for tick in x_ticks])
    axes.set_yticks(np.arange(n_rows), [f"{tick:.3g}" for tick in y_ticks])
    axes.spines[:].set_visible(False)
    axes.set(xlabel=x_name, ylabel=y_name)
    bar = figure.colorbar(picture, ax=axes, shrink=0.9)
    bar.set_ticks([-STRONG, 0, STRONG], labels=[f"{names[1]}\nahead", "even", f"{names[0]}\nahead"])
    bar.ax.tick_params(labelsize=8, colors=style.SOFT, length=0)
    bar.outline.set_visible(False)
    return style.save_figure(figure, path)


def _write_cells(axes: Axes, table: pd.DataFrame, n_columns: int) -> None:
    """Each difference with its interval; bold where it excludes zero."""
    for index, row in enumerate(table.to_dict("records")):
        low, high = row["difference_low"], row["difference_high"]
        is_clear = low > 0 or high < 0
        on_dark = abs(row["difference"]) > 0.75 * STRONG
        text = f"{100 * row['difference']:+.1f}\n[{100 * low:+.0f}, {100 * high:+.0f}]"
        look = {
            "color": "white" if on_dark else style.INK if is_clear else style.SOFT,
            "fontsize": 8.5,
        }
        look |= {"weight": "bold" if is_clear else "normal", "ha": "center", "va": "center"}
        axes.text(index % n_columns, index // n_columns, text, **look)
