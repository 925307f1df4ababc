"""Training curves."""

import math
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.visualization.style import (
    COLOURS,
    LINE,
    PART_COLOURS,
    SOFT,
    figure_title,
    new_figure,
    save_figure,
    tidy,
)

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

# Title of a panel to words in the names of what it shows.
PANELS = {
    "loss": ("loss",),
    "accuracy": ("accuracy", "recall", "mAP", "rank_1"),
    "cosine similarity": ("similarity",),
}


def training_curves(
    history: Sequence[Mapping[str, float]],
    path: str | Path,
    *,
    title: str = "",
    chosen_epoch: int | None = None,
) -> Path:
    """Draw losses beside accuracies and similarities, epoch by epoch.

    Args:
        history: one entry per epoch with "epoch" and any of train_loss, validation_loss,
            train_accuracy, validation_accuracy, …; keys with "loss" go to the left panel, with
            "accuracy", "recall", "mAP" or "rank_1" (shares, 0 to 1) to the next, with "similarity"
            (cosine) to the last; others are left out.
        path: PNG to write.
        title: above the figure.
        chosen_epoch: its value of "epoch"; marked with a line.

    Returns:
        The path.

    Raises:
        ValueError: an empty history.
    """
    if not history:
        raise ValueError("the history is empty; training curves need at least one epoch")
    measures = {panel: _measures(history, words) for panel, words in PANELS.items()}
    panels = {panel: names for panel, names in measures.items() if names}
    figure = new_figure(4.6 * max(1, len(panels)), 3.3)
    for i, (panel, names) in enumerate(panels.items()):
        axes = tidy(figure.add_subplot(1, len(panels), i + 1), title=panel, grid="y")
        _draw_panel(axes, history, names, chosen_epoch)
        if panel == "loss":
            axes.set_ylim(bottom=0)
        if panel == "accuracy":
            axes.set_ylim(0, 1.02)
    figure_title(figure, title)
    return save_figure(figure, path)


def rate_curves(rates: Sequence[Mapping[str, float]], path: str | Path) -> Path:
    """Draw learning rates over the steps of the optimiser.

    Args:
        rates: one entry per step: what trains, to its learning rate.
        path: PNG to write.
    """
    figure = new_figure(7.2, 3.0)
    axes = tidy(figure.add_subplot(), title="learning rate", grid="y")
    for name in dict.fromkeys(name for entry in rates for name in entry):
        axes.plot([_number(entry.get(name)) for entry in rates], linewidth=1.8, label=name)
    axes.set_xlabel("step of the optimiser")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.legend(fontsize=8, frameon=True, edgecolor=LINE, framealpha=0.9, labelcolor=SOFT)
    return save_figure(figure, path)


def _measures(history: Sequence[Mapping[str, float]], words: tuple[str, ...]) -> list[str]:
    """Keys of the history that hold one of the words, in their first order."""
    keys = dict.fromkeys(key for entry in history for key in entry)
    return [key for key in keys if any(word in key for word in words)]


def _draw_panel(
    axes: Axes,
    history: Sequence[Mapping[str, float]],
    names: list[str],
    chosen_epoch: int | None,
) -> None:
    """One line per measure, named at the side."""
    epochs = [entry.get("epoch", i + 1) for i, entry in enumerate(history)]
    for i, name in enumerate(names):
        values = [_number(entry.get(name)) for entry in history]
        part = name.split("_")[0]
        colour = PART_COLOURS.get(part, COLOURS[i % len(COLOURS)])
        marker = "o" if len(epochs) <= 12 else None
        axes.plot(
            epochs,
            values,
            color=colour,
            marker=marker,
            markersize=4,
            linewidth=1.8,
            label=name.replace("_", " ").removesuffix(" similarity"),  # the panel's title
        )
    if chosen_epoch is not None:
        axes.axvline(chosen_epoch, color=SOFT, linewidth=1, linestyle=":", label="chosen epoch")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(x=0.03)
    axes.legend(fontsize=8, frameon=True, edgecolor=LINE, framealpha=0.9, labelcolor=SOFT)


def _number(value: object) -> float:
    """The value; nan, which leaves a gap in the line, where there is none."""
    return float(value) if isinstance(value, numbers.Real) else math.nan
