"""Who wins where: the difference of two approaches over two quantities."""

from pathlib import Path

from common.visualization.style import INK, SOFT, new_figure, save_figure, tidy

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

STRONG = 0.3  # difference that has the full colour


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
    figure = new_figure(1.6 + 1.35 * n_columns, 1.6 + 0.72 * n_rows)
    axes = tidy(figure.add_subplot())
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
    bar.ax.tick_params(labelsize=8, colors=SOFT, length=0)
    bar.outline.set_visible(False)
    return save_figure(figure, path)


def _write_cells(axes: Axes, table: pd.DataFrame, n_columns: int) -> None:
    """Each difference with its interval; bold where it excludes zero."""
    for index, row in enumerate(table.to_dict("records")):
        low, high = row["difference_low"], row["difference_high"]
        is_clear = low > 0 or high < 0
        on_dark = abs(row["difference"]) > 0.75 * STRONG
        text = f"{100 * row['difference']:+.1f}\n[{100 * low:+.0f}, {100 * high:+.0f}]"
        look = {"color": "white" if on_dark else INK if is_clear else SOFT, "fontsize": 8.5}
        look |= {"weight": "bold" if is_clear else "normal", "ha": "center", "va": "center"}
        axes.text(index % n_columns, index // n_columns, text, **look)
