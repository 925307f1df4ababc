"""How a measure changes with a quantity, approach by approach."""

from collections.abc import Sequence
from pathlib import Path

from common.visualization.scatter import MARKERS
from common.visualization.style import COLOURS, SOFT, new_figure, save_figure, tidy

import pandas as pd
from matplotlib.ticker import NullLocator

LEGEND_WIDTH = 110  # characters of the legend's size beside each other


def trend_chart(
    table: pd.DataFrame,
    path: str | Path,
    *,
    quantity: str,
    value: str,
    group: str,
    quantity_name: str,
    value_name: str,
    ticks: Sequence[float] | None = None,
) -> Path:
    """Draw one line with its band per group, over a logarithmic axis.

    Args:
        table: columns `quantity` (positive), `value` with `_low` and `_high`, and `group`.
        path: PNG to write.
        quantity: column along x.
        value: column of the measure, 0 to 1.
        group: column that gives each line.
        quantity_name: words for the quantity, with its unit.
        value_name: words for the measure.
        ticks: values of the quantity that are named; None: all that occur.

    Returns:
        The path.

    Raises:
        ValueError: an empty table.
    """
    if table.empty:
        raise ValueError("an empty table has no trend")
    figure = new_figure(7.2, 4.4)
    axes = tidy(figure.add_subplot(), grid="y")
    for index, (name, own) in enumerate(table.groupby(group, sort=False)):
        own, colour = own.sort_values(quantity), COLOURS[index % len(COLOURS)]
        axes.fill_between(own[quantity], own[f"{value}_low"], own[f"{value}_high"],
                          color=colour, alpha=0.13, linewidth=0)  # fmt: skip
        if len(own) == 1:  # a band of no width cannot be seen
            axes.vlines(own[quantity], own[f"{value}_low"], own[f"{value}_high"], color=colour,
                        alpha=0.5)  # fmt: skip
        axes.plot(own[quantity], own[value], color=colour, marker=MARKERS[index % len(MARKERS)],
                  markersize=5, label=name)  # fmt: skip
    axes.set_xscale("log")
    ticks = sorted(set(table[quantity])) if ticks is None else ticks
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1)
    axes.set(xlabel=quantity_name, ylabel=value_name)
    longest = max(len(str(name)) for name in table[group])
    figure.legend(loc="outside lower center", ncols=max(1, min(4, LEGEND_WIDTH // (longest + 6))),
                  fontsize=8.5, frameon=False, labelcolor=SOFT)  # fmt: skip
    return save_figure(figure, path)
