"""Training curves."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from common.visualization import style

import pandas as pd
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
    table = pd.DataFrame(history)
    panels = {
        panel: names
        for panel, words in PANELS.items()
        if (names := [name for name in table if any(word in name for word in words)])
    }
    figure = style.new_figure(4.2 * max(1, len(panels)), 3.2)
    for i, (panel, names) in enumerate(panels.items()):
        axes = style.tidy(figure.add_subplot(1, len(panels), i + 1), title=panel, grid="y")
        _draw_panel(axes, table, names, chosen_epoch)
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
    for name, values in pd.DataFrame(rates).items():
        axes.plot(values, linewidth=1.8, label=name)
    axes.set(xlabel="step of the optimiser", xmargin=0.01)
    axes.set_ylim(bottom=0)
    style.legend_inside(axes)
    return style.save_figure(figure, path)


def _draw_panel(
    axes: Axes, table: pd.DataFrame, names: list[str], chosen_epoch: int | None
) -> None:
    """One line per measure, named at the side."""
    epochs = table.get("epoch", table.index + 1)
    for i, name in enumerate(names):
        values = pd.to_numeric(table[name], errors="coerce")  # a gap where there is none
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
