"""Training curves."""

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from common.visualization import style

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

# Title of a panel to words in the names of what it shows.
PANELS = {
    "loss": ("loss",),
    "accuracy": ("accuracy", "recall", "mAP", "rank_1"),
    "cosine similarity": ("similarity",),
}
# What a learner would take for the same question as its neighbour.
WORDS = {"train_accuracy": "train accuracy (random views)"}


def training_curves(
    history: Sequence[Mapping[str, float]],
    path: str | Path,
    *,
    title: str = "",
    chosen_epoch: int | None = None,
    least_loss: float | None = None,
    save: Callable[..., Path] = style.save_figure,
) -> Path:
    """Draw losses beside accuracies and similarities, epoch by epoch.

    Args:
        history: one entry per epoch with "epoch" and any of train_loss, validation_loss,
            train_accuracy (of random views), validation_accuracy, …; keys with "loss" go to the
            left panel, with "accuracy", "recall", "mAP" or "rank_1" (shares, 0 to 1) to the next,
            with "similarity" (cosine) to the last; others are left out.
        chosen_epoch: its value of "epoch"; marked with a line.
        least_loss: that smoothed labels allow, as of `common.training.losses.least_loss`; marked
            with a dashed line.
    """
    panels: dict[str, list[str]] = {}
    for panel, words in PANELS.items():
        for name in dict.fromkeys(name for entry in history for name in entry):
            if any(word in name for word in words):
                panels.setdefault(panel, []).append(name)
    figure = style.new_figure(4.2 * max(1, len(panels)), 3.2)
    for i, (panel, names) in enumerate(panels.items()):
        axes = style.tidy(figure.add_subplot(1, len(panels), i + 1), title=panel, grid="y")
        _draw_panel(axes, history, names, chosen_epoch)
        if panel == "loss":
            if least_loss is not None:
                dashes = {"color": style.INK, "linewidth": 1, "linestyle": "--"}
                axes.axhline(least_loss, label="the least that smoothed labels allow", **dashes)
                style.legend_inside(axes)
            axes.set_ylim(bottom=0)
        if panel == "accuracy":
            axes.set_ylim(0, 1.02)
    style.title_above(figure, title)
    return save(figure, path)


def rate_curves(rates: Sequence[Mapping[str, float]], path: str | Path) -> Path:
    """Draw learning rates, by what trains with them, over the steps of the optimiser."""
    figure = style.new_figure(7.2, 3.0)
    axes = style.tidy(figure.add_subplot(), title="learning rate", grid="y")
    axes.set_prop_cycle(color=style.COLOURS)
    for name in dict.fromkeys(name for entry in rates for name in entry):
        axes.plot([_number(entry.get(name)) for entry in rates], linewidth=1.8, label=name)
    axes.set(xlabel="step of the optimiser", xmargin=0.01)
    axes.set_ylim(bottom=0)
    style.legend_inside(axes)
    return style.save_figure(figure, path)


def _draw_panel(
    axes: Axes, history: Sequence[Mapping], names: list[str], chosen_epoch: int | None
) -> None:
    """One line per measure, named at the side."""
    epochs = [entry.get("epoch", i + 1) for i, entry in enumerate(history)]
    for i, name in enumerate(names):
        values = [_number(entry.get(name)) for entry in history]
        part = name.split("_")[0]
        colour = style.PART_COLOURS.get(part, style.COLOURS[i % len(style.COLOURS)])
        words = name.replace("_", " ").removesuffix(" similarity")  # which is the panel's title
        marks = {"marker": "o" if len(epochs) <= 12 else None, "markersize": 4}
        axes.plot(
            epochs, values, color=colour, linewidth=1.8, label=WORDS.get(name, words), **marks
        )
    if chosen_epoch is not None:
        dots = {"color": style.SOFT, "linewidth": 1, "linestyle": ":"}
        axes.axvline(chosen_epoch, label="chosen epoch", **dots)
    axes.set(xlabel="epoch", xmargin=0.03)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    style.legend_inside(axes)


def _number(value: object) -> float:
    """The value; nan, which leaves a gap in the line, where there is none."""
    return float(value) if isinstance(value, numbers.Real) else math.nan
