"""The pictures of this week's README, drawn into week1/pictures.

    python week1/pictures.py

They come from the embedded turtles and from the stored result of baseline_cnn.py; nothing is
trained. A test draws them again and compares. One function draws one picture.
"""

import json
from functools import partial
from pathlib import Path

from common.data.catalogue import Catalogue, load_catalogue
from common.data.images import (
    PhotoDataset,
    Preprocessing,
    evaluation_transform,
    read_photos,
    training_transform,
)
from common.measures.intervals import LEVEL, N_RESAMPLES
from common.splits.splits import Split, make_split
from common.training.losses import least_loss
from common.visualization import style
from common.visualization.curves import training_curves
from common.visualization.pictures import PictureRow, picture_grid

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

PICTURES = Path(__file__).with_name("pictures")
RESULT = Path(__file__).with_name("results") / "baseline_cnn.json"
SMALLEST_FONT = 9  # points
SMOOTHING = 0.1  # of the labels, as in baseline_cnn.py
# Two animals, two encounters of each, and the numbers of two left faces in each encounter.
SHEET = {
    "t007": {"2015-06-25": (1, 2), "2019-08-31": (1, 2)},
    "t036": {"2017-07-11": (1, 2), "2018-05-27": (2, 3)},
}
REMARKS = (
    "In a frame, an encounter:\nwater, light and ground agree.\nThe face need not be known.",
    "From frame to frame:\nthe face alone stays.",
)
# Animals of the timeline, and what is special about them.
TIMELINE = {
    "t007": "",
    "t021": "",
    "t036": "",
    "t044": "",
    "t055": "",
    "t012": "one day only",
    "t009": "new, in validation",
    "t067": "new, in the test",
}
# Photos that were named right (1) or wrong (0), and whom three draws with replacement take.
MEASURED = {"anna": (1, 1, 1, 0), "berta": (1, 0), "carla": (0, 0)}
DRAWS = (("anna", "anna", "carla"), ("berta", "carla", "carla"), ("anna", "berta", "berta"))


def draw_all(folder: Path) -> list[Path]:
    """Draw every picture into a folder that exists; returns their paths."""
    catalogue = load_catalogue()
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    return [
        draw_encounters(catalogue, folder / "encounters.png"),
        draw_long_tail(catalogue, folder / "long_tail.png"),
        draw_splits(catalogue, folder / "splits.png"),
        draw_views(catalogue, folder / "views.png"),
        draw_curves(result, len(catalogue.identities), folder / "curves.png"),
        draw_interval(result, folder / "interval.png"),
    ]


def draw_encounters(catalogue: Catalogue, path: Path) -> Path:
    """Two animals in rows; a frame around the two photos of each encounter."""
    figure = style.new_figure(8.4, 3.2)
    cells = figure.subplots(len(SHEET), 3, width_ratios=(1, 1, 1.15))
    rows = zip(cells, SHEET.items(), REMARKS, strict=True)
    for line, (identity, encounters), remark in rows:
        for axes, (day, numbers) in zip(line, encounters.items(), strict=False):
            names = [f"{identity}_{day}_{number}" for number in numbers]
            photos = [
                style.thumbnail(catalogue.root / f"photos/{identity}/{name}.jpg", 160)
                for name in names
            ]
            axes.imshow(np.concatenate(photos, axis=1), interpolation="antialiased")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(color=style.COLOURS[0], linewidth=2.5)
            axes.set_xlabel(f"encounter of {day}", fontsize=SMALLEST_FONT, color=style.SOFT)
        style.name_row(line[0], identity, 16)
        line[2].set_axis_off()
        line[2].text(0, 0.5, remark, va="center", fontsize=10, color=style.INK)
    return style.save_for_page(figure, path, n_colours=96)


def draw_long_tail(catalogue: Catalogue, path: Path) -> Path:
    """One bar per animal, most photos first; its segments are encounters."""
    segments = catalogue.table.groupby(["identity", "encounter"]).size()
    counts = segments.groupby("identity").sum().sort_values(ascending=False, kind="stable")
    place = pd.Series(range(len(counts)), counts.index)
    identity = segments.index.get_level_values("identity")
    below = segments.groupby(identity).cumsum() - segments
    n_half = int(np.searchsorted(counts.cumsum(), counts.sum() / 2)) + 1

    figure = style.new_figure(8.4, 2.9)
    axes = style.tidy(figure.add_subplot(), grid="y")
    colours = np.where(identity.map(place) < n_half, style.COLOURS[0], style.COLOURS[4])
    look = {"width": 0.8, "edgecolor": "white", "linewidth": 0.6}
    axes.bar(identity.map(place), segments, bottom=below, color=colours, **look)
    words = (
        f"{n_half} of {len(counts)} animals have half of all photos;\nwhite lines part encounters"
    )
    axes.text(n_half, counts.iloc[0] * 0.98, words, fontsize=10, color=style.INK, va="top")
    axes.set(xlabel="animals, those with most photos first", ylabel="photos", xticks=[])
    axes.set_xlim(-1, len(counts))
    return style.save_for_page(figure, path)


def draw_splits(catalogue: Catalogue, path: Path) -> Path:
    """Some animals' photos over the years: dealt by day, and the same photos dealt at random."""
    by_day = make_split(catalogue, "time_aware")
    at_random = make_split(catalogue, "random", like=by_day)
    figure = style.new_figure(8.4, 5.2)
    panels = figure.subplots(1, 2, sharey=True)
    titles = "time-aware: later days are the test", "random: the same photos, dealt one by one"
    for axes, split, title in zip(panels, (by_day, at_random), titles, strict=True):
        style.tidy(axes, title=title)
        draw_timeline(axes, catalogue, split)
    names = [f"{name}\n{words}".strip() for name, words in TIMELINE.items()]
    panels[0].set_yticks(-np.arange(len(names)) + 0.25, names, color=style.INK)
    style.legend_outside(panels[0], 3)
    return style.save_for_page(figure, path)


def draw_timeline(axes: Axes, catalogue: Catalogue, split: Split) -> None:
    """One row per animal; an encounter is a column of its photos, coloured by their part."""
    photos = catalogue.table.assign(part=split.part)
    photos["height"] = photos.groupby("encounter").cumcount()
    for row, identity in enumerate(TIMELINE):
        axes.axhline(-row - 0.12, color=style.LINE, linewidth=0.8)
        own = photos[photos["identity"] == identity]
        for marker, part in zip("osD", ("train", "validation", "test"), strict=True):
            shown = own[own["part"] == part]
            look = {"marker": marker, "color": style.PART_COLOURS[part], "s": 13}
            label = part if row == 0 else None
            axes.scatter(shown["date"], shown["height"] * 0.13 - row, label=label, **look)
    axes.set_xlim(pd.Timestamp("2015-01-01"), pd.Timestamp("2025-01-01"))
    axes.set_xticks([pd.Timestamp(f"{year}-01-01") for year in (2015, 2018, 2021, 2024)])
    axes.set_xticklabels(["2015", "2018", "2021", "2024"])


def draw_views(catalogue: Catalogue, path: Path) -> Path:
    """A training photo as it is, and what six epochs show of it."""
    photo = catalogue.root / "photos/t036/t036_2017-07-11_1.jpg"
    half = (0.5, 0.5, 0.5)
    preprocessing = Preprocessing(64, mean=half, std=half)
    pixels, label = read_photos([photo], preprocessing.stored_size, progress=False), np.zeros(1)
    plain = PhotoDataset(pixels, label, evaluation_transform(preprocessing))
    random = PhotoDataset(pixels, label, training_transform(preprocessing, flip=False))
    views, words = [], ["as it is", *(f"epoch {epoch}" for epoch in range(1, 7))]
    for epoch in range(7):
        dataset = random if epoch else plain
        dataset.set_epoch(epoch)
        views.append(dataset[0][0].numpy().transpose(1, 2, 0) / 2 + 0.5)  # -1 to 1 becomes 0 to 1
    rows, save = [PictureRow("", views, words)], partial(style.save_for_page, n_colours=256)
    return picture_grid(rows, path, cell=0.98, save=save)


def draw_curves(result: dict, n_identities: int, path: Path) -> Path:
    """Loss, and accuracy on training and on validation photos, over the epochs."""
    return training_curves(
        result["metrics"]["history"],
        path,
        chosen_epoch=result["metrics"]["best_epoch"],
        least_loss=least_loss(n_identities, SMOOTHING),
        save=style.save_for_page,
    )


def draw_interval(result: dict, path: Path) -> Path:
    """How animals are drawn, and what 2,000 draws give, beside drawing photos."""
    over_animals, over_photos = drawn_accuracies(result)
    figure = style.new_figure(8.4, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    draw_three_draws(left)
    style.tidy(right, title=f"accuracies of {N_RESAMPLES:,} draws")
    n_photos = result["metrics"]["test"]["n_images"]
    bins = (np.arange(0, n_photos + 4, 4) - 0.5) / n_photos  # four possible counts in each
    right.hist(over_animals, bins, color=style.COLOURS[4], label="drawing animals")
    look = {"color": style.WRONG, "linewidth": 1.5, "histtype": "step"}
    right.hist(over_photos, bins, label="drawing photos: too sure", **look)
    for end in np.quantile(over_animals, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]):
        right.axvline(end, ymax=0.62, color=style.INK, linestyle="--", linewidth=1)
    right.plot([], [], color=style.INK, linestyle="--", linewidth=1, label="the interval's ends")
    right.set(
        xlabel="accuracy on test photos", yticks=[], xlim=(over_animals.min(), over_animals.max())
    )
    right.set_ylim(0, 1.5 * right.get_ylim()[1])  # room for the legend
    right.legend(fontsize=SMALLEST_FONT, frameon=False, loc="upper left")
    return style.save_for_page(figure, path)


def drawn_accuracies(result: dict) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies of test photos drawn again, by animal and by photo, each shape (2000,)."""
    facts = pd.DataFrame(result["metrics"]["test"]["per_identity"]).T.sort_index()
    n_photos, n_right = facts["n"], (facts["n"] * facts["recall"]).round()
    generator = np.random.default_rng(0)
    n_animals, n = len(facts), int(n_photos.sum())
    times = generator.multinomial(n_animals, np.full(n_animals, 1 / n_animals), N_RESAMPLES)
    over_animals = times @ n_right.to_numpy() / (times @ n_photos.to_numpy())
    return over_animals, generator.binomial(n, n_right.sum() / n, N_RESAMPLES) / n


def draw_three_draws(axes: Axes) -> None:
    """Three animals with their photos, and whom three draws take."""
    style.tidy(axes, title="an animal is drawn with all its photos")
    rows = {"measured": tuple(MEASURED)} | {f"draw {i + 1}": draw for i, draw in enumerate(DRAWS)}
    for row, names in enumerate(rows.values()):
        x, answers = 0.0, []
        for name in names:
            middle = x + (len(MEASURED[name]) - 1) / 2
            axes.text(middle, -row - 0.3, name, ha="center", va="top", fontsize=SMALLEST_FONT)
            for is_right in MEASURED[name]:
                marker, colour = ("o", style.RIGHT) if is_right else ("x", style.WRONG)
                axes.plot(x, -row, marker, color=colour, markersize=7, markeredgewidth=2)
                x += 1
            answers += MEASURED[name]
            x += 0.6
        share = f"{sum(answers)} of {len(answers)}"
        axes.text(14.6, -row, share, ha="right", va="center", fontsize=10, color=style.INK)
    axes.set_yticks(-np.arange(len(rows)), list(rows), color=style.INK)
    axes.set(xticks=[], xlim=(-0.6, 14.6), ylim=(-len(rows) + 0.2, 0.5))
    axes.spines[:].set_visible(False)
    look = {"markersize": 7, "markeredgewidth": 2, "linestyle": ""}
    axes.plot([], [], "o", color=style.RIGHT, label="right", **look)
    axes.plot([], [], "x", color=style.WRONG, label="wrong", **look)
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "ncols": 2}
    axes.legend(fontsize=SMALLEST_FONT, frameon=False, **place)


if __name__ == "__main__":
    print(*draw_all(PICTURES), sep="\n")
