"""Whether probabilities can be believed: what was said against what came true."""

from collections.abc import Mapping
from pathlib import Path

from common.visualization.scatter import MARKERS
from common.visualization.style import COLOURS, LINE, SOFT, new_figure, save_figure, tidy

import pandas as pd


def reliability_chart(bins: Mapping[str, pd.DataFrame], path: str | Path) -> Path:
    """Draw one line per approach; on the diagonal, what is said comes true.

    Args:
        bins: name to what `common.measures.calibration.reliability` gives.
        path: PNG to write.

    Returns:
        The path.

    Raises:
        ValueError: nothing to draw.
    """
    if not bins:
        raise ValueError("no approach has probabilities to draw")
    figure = new_figure(5.6, 5.2)
    axes = tidy(figure.add_subplot(), grid="both")
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=1.6)
    for index, (name, table) in enumerate(bins.items()):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        axes.plot(table["said"], table["right"], color=colour, linewidth=1.4, marker=marker,
                  markersize=3, label=name)  # fmt: skip
        # Large points stand on many photos, small ones on few.
        size = 12 + 150 * table["photos"] / table["photos"].sum()
        axes.scatter(table["said"], table["right"], s=size, color=colour, marker=marker, zorder=3)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02),
             xlabel="probability that the name is right, as said",
             ylabel="share of test photos whose name is right")  # fmt: skip
    axes.set_aspect("equal")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8.5, frameon=False,
                  labelcolor=SOFT)  # fmt: skip
    return save_figure(figure, path)
