"""A share against something that is turned up step by step, one line per method."""

from pathlib import Path

from common.visualization.style import (
    COLOURS,
    SOFT,
    figure_title,
    new_figure,
    save_figure,
    tidy,
)

import pandas as pd


def rate_chart(
    table: pd.DataFrame,
    path: str | Path,
    *,
    x: str,
    series: dict[str, str],
    x_name: str,
    y_name: str,
    title: str = "",
) -> Path:
    """Draw a share for each value of x, with its interval, one line per series.

    Args:
        table: columns x, and for each series `name`, `name`_low and `name`_high, in [0, 1].
        path: PNG to write.
        x: column of the horizontal axis, positive; each value is twice the last, or nearly.
        series: column to the words in the legend; names that hold "noise" are drawn grey.
        x_name: words for x, with its unit.
        y_name: words for the share.
        title: above the figure.

    Returns:
        The path.

    Raises:
        ValueError: an empty table or a missing column.
    """
    missing = [name for name in [x, *series] if name not in table.columns]
    if missing or table.empty:
        raise ValueError(f"{len(table)} rows; missing columns: {', '.join(missing) or 'none'}")
    figure = new_figure(7.2, 4.0)
    axes = tidy(figure.add_subplot(), grid="y")
    shifts = [1 + 0.025 * (i - (len(series) - 1) / 2) for i in range(len(series))]
    for i, (name, words) in enumerate(series.items()):
        is_control = "noise" in name
        colour = SOFT if is_control else COLOURS[i % len(COLOURS)]
        places = table[x] * shifts[i]  # beside each other, so that no interval hides another
        axes.vlines(places, table[f"{name}_low"], table[f"{name}_high"], color=colour,
                    linewidth=1.6, alpha=0.55)  # fmt: skip
        axes.plot(places, table[name], color=colour, marker="os^Dvx"[i % 6], markersize=5,
                  linewidth=1.6, linestyle=":" if is_control else "-", label=words)  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(table[x], [f"{value:g}" for value in table[x]])
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)
    axes.set_ylim(-0.03, 1.03)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8.5,
        frameon=False, labelcolor=SOFT,
    )  # fmt: skip
    figure_title(figure, title)
    return save_figure(figure, path)
