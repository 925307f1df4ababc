"""The pictures of this week's pages and of the main README, drawn into week3/pictures.

    python week3/pictures.py

They come from the embedded turtles, from small computed examples and from stored results; nothing
is trained. A test draws them again and compares. One function draws one picture.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.data.catalogue import Catalogue, load_catalogue
from common.data.sampling import identity_batches, spread
from common.matching.matchers import load_matcher, matched_points
from common.splits.splits import make_split
from common.visualization import style
from common.visualization.answers import answer_curves
from common.visualization.detail_matches import DetailPair, draw_pair
from count_animals import COVERAGE, drawn_coverage
from known_or_new import similarity_histogram
from metric_learning import arcface_logits, cmc_and_ap

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Arc, Rectangle
from torch.nn import functional

PICTURES, RESULTS = (Path(__file__).with_name(name) for name in ("pictures", "results"))
WORDS = 9.5  # points of the letters
SIDE, SHARP = 112, 176  # pixels of a photo where there are many, and few: files stay small
N_COLOURS = 64  # of a picture with photos
# Left faces from different years, so that water and light help nobody.
GALLERY = {
    "anna": ("t001_2016-09-03_1", "t001_2022-08-29_3"),
    "berta": ("t007_2015-06-25_2", "t007_2018-05-22_1"),
    "carla": ("t063_2022-06-23_2",),
}
QUERY = "t063_2023-07-26_4"
OWN, OTHER, PHOTO = 150.0, 30.0, 100.0  # degrees of two centres and a photo on the circle
MARGIN, SCALE = 0.3, 24.0  # radians, and the scale of metric_learning.py
ANCHOR, POSITIVE, NEGATIVE = 90.0, 160.0, 60.0  # degrees of a triplet on the circle
P, K = 4, 4  # animals and photos of each in the batch
# A ranking to be counted: photos of three animals, most alike first, and of whom is asked.
RANKED = (
    "t001_2016-09-03_1",
    "t007_2015-06-25_2",
    "t007_2018-05-22_1",
    "t063_2022-06-23_2",
    "t007_2017-08-09_2",
)
ASKED = "t007_2019-08-31_1"
N_FOUND = 5  # photos beside a query
# Pairs whose details are matched: anna six years later, anna and berta, and one encounter.
MATCHED = {
    "one turtle, six years later": GALLERY["anna"],
    "two turtles": (GALLERY["anna"][0], GALLERY["berta"][0]),
    "one encounter": ("t014_2017-08-26_1", "t014_2017-08-26_3"),
}
AROUND = 0.09  # half the side of an enlarged detail, as a share of the photo
# Approaches of the finding, and what each does with a photo.
APPROACHES = {
    "small CNN from scratch": "classifies",
    "classifier": "classifies",
    "classifier, trained again": "classifies",
    "frozen, searched": "searches",
    "classifier's features, searched": "searches",
    "triplet embedding": "searches",
    "ArcFace embedding": "searches",
}
QUESTIONS = {
    "known animals": "known animals:\nphotos named right",
    "joined later": "animals that joined later:\nphotos named right",
    "√(BAKS·BAUS)": "known or new?\n√(BAKS·BAUS)",
}


def draw_all(folder: Path) -> list[Path]:
    """Draw every picture into a folder that exists; returns their paths."""
    catalogue = load_catalogue()
    asked = stored("known_or_new")["metrics"]
    return [
        draw_three_animals(catalogue, folder / "three_animals.png"),
        draw_triplet(folder / "triplet.png"),
        draw_batch(catalogue, folder / "batch.png"),
        draw_arcface(folder / "arcface.png"),
        draw_ranking(catalogue, folder / "ranking.png"),
        draw_known_or_new(asked, folder / "known_or_new.png"),
        draw_matches(catalogue, asked["ranked"], folder / "matches.png"),
        draw_finding(stored("compare_approaches")["tables"], folder / "finding.png"),
        draw_details(catalogue, folder / "details.png"),
        draw_answers(stored("check_pairs")["metrics"]["curves"], folder / "answers.png"),
        draw_coverage_of(stored("count_animals")["tables"], folder / "coverage.png"),
    ]


def stored(name: str) -> dict:
    """A stored result of this week."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def draw_three_animals(catalogue: Catalogue, path: Path) -> Path:
    """A gallery of three animals in a row, and a query at its end."""
    figure = style.new_figure(8.4, 1.9)
    widths = [1, 1, 1, 1, 1, 0.25, 1]
    *cells, gap, query = figure.subplots(1, len(widths), width_ratios=widths)
    gap.set_axis_off()
    photos = [(name, photo) for name, own in GALLERY.items() for photo in own]
    for axes, (name, photo) in zip(cells, photos, strict=True):
        words = name if name != "carla" else "carla, joined today"
        show(axes, catalogue, photo, words, side=SHARP)
    show(query, catalogue, QUERY, "who is this?", side=SHARP)
    cells[0].set_title("gallery", loc="left", fontsize=11, color=style.INK)
    query.set_title("query", loc="left", fontsize=11, color=style.INK)
    style.frame(query, style.INK, 2.5)
    return style.save_for_page(figure, path, n_colours=N_COLOURS)


def draw_triplet(path: Path) -> Path:
    """Anchor, positive and negative before and after the steps that bring the loss to zero."""
    before, after = pulled_triplet()
    figure = style.new_figure(8.4, 2.8)
    panels = figure.subplots(1, 2)
    for axes, degrees, title in zip(panels, (before, after), ("before", "after"), strict=True):
        half_circle(axes, -0.3)
        anchor, positive, negative = points = [on_circle(each) for each in degrees]
        to_positive, to_negative = math.dist(anchor, positive), math.dist(anchor, negative)
        loss = max(0.0, to_positive - to_negative + MARGIN)
        lines = (
            (positive, style.RIGHT, "-", to_positive),
            (negative, style.WRONG, "--", to_negative),
        )
        for end, colour, dashes, distance in lines:
            axes.plot(*zip(anchor, end, strict=True), dashes, color=colour, linewidth=2)
            middle = (np.add(anchor, end) / 2) * 0.86
            axes.text(*middle, f"{distance:.2f}", color=colour, fontsize=WORDS, ha="center")
        looks = (style.INK, "o"), (style.RIGHT, "o"), (style.WRONG, "s")
        names = "anchor", "positive", "negative"
        for place, name, (colour, marker) in zip(points, names, looks, strict=True):
            axes.plot(*place, marker, color=colour, markersize=9)
            x, y = np.multiply(place, 1.1)
            where = "center" if abs(x) < 0.3 else "right" if x < 0 else "left"
            axes.text(x, y, name, color=colour, fontsize=WORDS, ha=where)
        sum_up = f"loss = max(0, {to_positive:.2f} − {to_negative:.2f} + {MARGIN}) = {loss:.2f}"
        axes.text(0, -0.12, sum_up, ha="center", va="top", fontsize=WORDS, color=style.INK)
        axes.set_title(title, fontsize=11, color=style.INK)
    return style.save_for_page(figure, path)


def pulled_triplet() -> tuple[list[float], list[float]]:
    """Degrees of anchor, positive and negative, and where gradient descent moves them."""
    before = [ANCHOR, POSITIVE, NEGATIVE]
    angles = torch.tensor(before).deg2rad().requires_grad_()
    for _ in range(1_000):
        anchor, positive, negative = torch.stack([angles.cos(), angles.sin()], dim=1)
        gap = (anchor - positive).norm() - (anchor - negative).norm() + MARGIN
        if gap <= 0:
            break
        (gradient,) = torch.autograd.grad(gap, angles)
        angles = (angles - 0.002 * gradient).detach().requires_grad_()
    return before, angles.rad2deg().tolist()


def draw_batch(catalogue: Catalogue, path: Path) -> Path:
    """A batch of P animals with K photos each: one anchor, its positives, its negatives."""
    rows, names = one_batch(catalogue)
    figure = style.new_figure(8.4, 5.0)
    cells = figure.subplots(P, K + 1, width_ratios=[*[1] * K, 1.9])
    table = catalogue.table
    for place, (line, name) in enumerate(zip(cells, names, strict=True)):
        for column, (axes, row) in enumerate(zip(line, rows[place], strict=False)):
            show(axes, catalogue, table["image_id"][row])
            is_anchor = place == column == 0
            colour = style.INK if is_anchor else style.WRONG if place else style.RIGHT
            style.frame(axes, colour, 5 if is_anchor else 3)
        style.name_row(line[0], name, 16)
        line[-1].set_axis_off()
    cells[0][0].set_title("anchor", fontsize=WORDS, color=style.INK)
    cells[0][2].set_title("its positives", fontsize=WORDS, color=style.RIGHT)
    n_negatives = (P - 1) * K
    explain(
        cells[0][-1], f"anchor: every photo in turn.\npositives: the {K - 1} others\nof its row."
    )
    explain(cells[1][-1], f"negatives: the {n_negatives} photos\nof the other rows.", style.WRONG)
    n_triplets = P * K * (K - 1) * n_negatives
    explain(cells[2][-1], f"P × K = {P} × {K} photos hold\n{n_triplets} triplets.")
    return style.save_for_page(figure, path, n_colours=N_COLOURS)


def one_batch(catalogue: Catalogue) -> tuple[np.ndarray, list[str]]:
    """Rows of the first batch in which every side of an animal has K photos, and its names."""
    train = make_split(catalogue, "time_aware").rows("train")
    table = catalogue.table.iloc[train]
    labels = (table["identity"] + ", " + table["orientation"]).to_numpy(dtype=str)
    encounters = table["encounter"].to_numpy(dtype=str)
    batches = identity_batches(labels, encounters, batch_size=P * K, n_images=K, seed=0)
    batch = np.array(next(own for own in batches if len(own) == P * K)).reshape(P, K)
    return train[batch], [labels[own[0]] for own in batch]


def draw_arcface(path: Path) -> Path:
    """Two animals' centres and a photo on the circle: plain softmax, and with the margin."""
    figure = style.new_figure(8.4, 3.25)
    panels = figure.subplots(1, 2)
    titles = "margin 0: right, hardly anything to learn", f"margin {MARGIN}: must come nearer"
    centres = ((OWN, "centre of A", style.COLOURS[0]), (OTHER, "centre of B", style.COLOURS[5]))
    for axes, margin, title in zip(panels, (0.0, MARGIN), titles, strict=True):
        half_circle(axes, -0.6)
        shade_sides(axes, math.degrees(margin))
        for place, name, colour in centres:
            axes.plot(*zip((0, 0), on_circle(place), strict=True), color=colour, linewidth=1.8)
            axes.plot(*on_circle(place), "*", color=colour, markersize=15)
            x, y = on_circle(place, 1.13)
            side = "right" if place > 90 else "left"
            axes.text(x, y, name, color=colour, fontsize=WORDS, ha=side)
        axes.plot(*zip((0, 0), on_circle(PHOTO), strict=True), color=style.INK, linewidth=1.8)
        axes.plot(*on_circle(PHOTO), "o", color=style.INK, markersize=9)
        axes.text(*on_circle(PHOTO, 1.1), "photo of A", fontsize=WORDS, ha="right")
        mark_angle(axes, PHOTO, OWN, 0.42, f"{OWN - PHOTO:.0f}°")
        mark_angle(axes, OTHER, PHOTO, 0.3, f"{PHOTO - OTHER:.0f}°")
        if margin:
            mark_margin(axes, margin)
        axes.text(0, -0.1, arithmetic(margin), ha="center", va="top", fontsize=WORDS)
        axes.set_title(title, fontsize=11, color=style.INK)
    return style.save_for_page(figure, path)


def arithmetic(margin: float) -> str:
    """Scores of the photo and its loss, by the function that metric_learning.py trains with."""
    photo, *centres = (torch.tensor([on_circle(each)]) for each in (PHOTO, OWN, OTHER))
    label = torch.tensor([0])
    logits = arcface_logits(photo, torch.cat(centres), label, margin, SCALE)
    loss = functional.cross_entropy(logits, label).item()
    counted = math.degrees(margin) + OWN - PHOTO
    own, other = logits[0].tolist()
    return (
        f"score of A: {SCALE:.0f} · cos {counted:.0f}° = {own:.1f}\n"
        f"score of B: {SCALE:.0f} · cos {PHOTO - OTHER:.0f}° = {other:.1f}\nloss = {loss:.2f}"
    )


def shade_sides(axes: Axes, margin: float) -> None:
    """Where photos of A and of B are named right; between the two, a gap as wide as the margin."""
    middle = (OWN + OTHER) / 2
    sides = (middle + margin / 2, 180, style.COLOURS[0]), (0, middle - margin / 2, style.COLOURS[5])
    for start, end, colour in sides:
        around = [(0, 0), *(on_circle(each) for each in np.linspace(start, end, 60))]
        axes.fill(*zip(*around, strict=True), color=colour, alpha=0.13, linewidth=0)


def mark_margin(axes: Axes, margin: float) -> None:
    """Where the photo counts as being: farther from its own centre by the margin."""
    counted = PHOTO - math.degrees(margin)
    look = {"color": style.INK, "linestyle": ":", "linewidth": 1.6}
    axes.plot(*zip((0, 0), on_circle(counted), strict=True), **look)
    axes.plot(*on_circle(counted), "o", color="white", markeredgecolor=style.INK, markersize=9)
    axes.text(*on_circle(counted, 1.1), "counts as here", fontsize=WORDS, ha="left")
    mark_angle(axes, counted, PHOTO, 0.74, f"{math.degrees(margin):.0f}°")


def mark_angle(axes: Axes, start: float, end: float, radius: float, words: str) -> None:
    """An arc between two directions, degrees, with its size beside it."""
    look = {"color": style.INK, "linewidth": 1.1}
    axes.add_patch(Arc((0, 0), 2 * radius, 2 * radius, theta1=start, theta2=end, **look))
    x, y = on_circle((start + end) / 2, radius + 0.09)
    axes.text(x, y, words, ha="center", va="center", fontsize=WORDS, color=style.INK)


def half_circle(axes: Axes, low: float) -> None:
    """The upper half of the unit circle, where embeddings of two numbers lie, and room below."""
    around = [on_circle(each) for each in np.linspace(0, 180, 181)]
    axes.plot(*zip(*around, strict=True), color=style.SOFT, linewidth=1.2)
    style.bare(axes)
    axes.set(xlim=(-1.45, 1.45), ylim=(low, 1.25), aspect="equal")


def on_circle(degrees: float, radius: float = 1.0) -> tuple[float, float]:
    """The point in a direction.

    >>> [round(each, 3) for each in on_circle(90)]
    [0.0, 1.0]
    """
    return radius * math.cos(math.radians(degrees)), radius * math.sin(math.radians(degrees))


def draw_ranking(catalogue: Catalogue, path: Path) -> Path:
    """Five ranked photos: where the right ones stand, and what is counted from that."""
    identity = catalogue.table.set_index("image_id")["identity"]
    is_right = np.array([identity[each] == identity[ASKED] for each in RANKED])
    cmc, (average_precision,) = cmc_and_ap(-np.arange(len(RANKED))[None], is_right[None])
    figure = style.new_figure(8.4, 2.55)
    query, gap, *cells = figure.subplots(1, 7, width_ratios=[1, 0.25, *[1] * len(RANKED)])
    gap.set_axis_off()
    words = "right ones so far:\nshare right so far:\nCMC of this query:"
    show(query, catalogue, ASKED, words, side=SHARP)
    query.set_title("query", fontsize=WORDS, color=style.INK)
    style.frame(query, style.INK, 2.5)
    precisions = []
    for rank, (axes, photo, right) in enumerate(zip(cells, RANKED, is_right, strict=True), start=1):
        so_far = is_right[:rank].sum()
        share = f"{so_far}/{rank}"
        precisions += [share] if right else []
        arrow = " ←" if right else ""
        words = f"{so_far}\n{share}{arrow}\n{cmc[rank - 1]:.0f}"
        show(axes, catalogue, photo, words, side=SHARP)
        colour, mark = (style.RIGHT, "✓") if right else (style.WRONG, "✗")
        style.frame(axes, colour, 4)
        axes.set_title(f"rank {rank} {mark}", fontsize=WORDS, color=colour)
    words = f"AP = ({' + '.join(precisions)}) / {is_right.sum()} = {average_precision:.2f}"
    figure.supxlabel(words, fontsize=11, color=style.INK)
    return style.save_for_page(figure, path, n_colours=N_COLOURS)


def draw_answers(curves: Sequence[Mapping], path: Path) -> Path:
    """What a person's answers are worth, where the embedding alone compares."""
    table = pd.DataFrame(curves)
    figure = answer_curves(table[table["similarity"] == "embedding"])
    return style.save_for_page(figure, path)


def draw_coverage_of(tables: Mapping, path: Path) -> Path:
    """How often the interval of a number of animals holds the truth."""
    return style.save_for_page(drawn_coverage(pd.DataFrame(tables[COVERAGE])), path)


def draw_known_or_new(asked: Mapping, path: Path) -> Path:
    """Similarities of known and of new animals, with the threshold in them."""
    figure = similarity_histogram(pd.DataFrame(asked["photos"]), asked["threshold"])
    return style.save_for_page(figure, path)


def draw_matches(catalogue: Catalogue, ranked: Sequence[Mapping], path: Path) -> Path:
    """Three photos of animals that joined after training, with the most alike gallery photos."""
    identity = catalogue.table.set_index("image_id")["identity"]
    is_right = np.array([identity[own["query"]] == identity[own["gallery"][0]] for own in ranked])
    chosen = [*spread(np.flatnonzero(is_right), 2), *spread(np.flatnonzero(~is_right), 1)]
    figure = style.new_figure(8.4, 4.6)
    widths = [1, 0.2, *[1] * N_FOUND]
    lines = figure.subplots(len(chosen), len(widths), width_ratios=widths)
    for line, own in zip(lines, (ranked[each] for each in chosen), strict=True):
        asked = identity[own["query"]]
        show(line[0], catalogue, own["query"], asked)
        style.frame(line[0], style.INK, 2.5)
        line[1].set_axis_off()
        for axes, name, alike in zip(line[2:], own["gallery"], own["similarity"], strict=True):
            colour, mark = (style.RIGHT, "✓") if identity[name] == asked else (style.WRONG, "✗")
            show(axes, catalogue, name, f"{mark} {identity[name]}, {alike:.2f}", colour)
            style.frame(axes, colour, 4)
    lines[0][0].set_title("query", fontsize=WORDS, color=style.INK)
    for rank, axes in enumerate(lines[0][2:], start=1):
        axes.set_title(f"rank {rank}", fontsize=WORDS, color=style.INK)
    return style.save_for_page(figure, path, n_colours=N_COLOURS)


def draw_details(catalogue: Catalogue, path: Path) -> Path:
    """The details of a photo, one of them enlarged, and pairs of photos with the same details."""
    matcher, root = load_matcher("sift"), catalogue.root
    figure = style.new_figure(7.2, 4.3)
    (first, *rest), more = figure.subplots(2, 2)
    for axes, (title, photos) in zip([*rest, *more], MATCHED.items(), strict=True):
        files = [root / f"photos/{each[:4]}/{each}.jpg" for each in photos]
        query, candidate = matcher.describe(files)
        points = matched_points(matcher, query, candidate)
        is_match = photos[0][:4] == photos[1][:4]
        draw_pair(axes, DetailPair(*files, points, f"{len(points[0])} matches", is_match))
        axes.set_title(title, fontsize=WORDS, color=style.INK)
        if axes is rest[0]:
            draw_keypoints(first, files, query.shares(), points)
    for axes in figure.axes:
        axes.xaxis.label.set_fontsize(WORDS)
    return style.save_for_page(figure, path, n_colours=N_COLOURS // 2)


def draw_keypoints(
    axes: Axes, files: Sequence[Path], shares: np.ndarray, points: tuple[np.ndarray, np.ndarray]
) -> None:
    """A photo with its key points, and one of them enlarged, as it looks in both photos."""
    side = 2 * SHARP
    pictures = [style.thumbnail(file, side) for file in files]
    axes.imshow(pictures[0], extent=(0, 2, 2, 0))
    axes.plot(*(2 * shares.T), ".", color=style.WRONG, markersize=2.5)
    middle = np.linalg.norm(points[0] - points[0].mean(axis=0), axis=1).argmin()
    for place, (picture, own) in enumerate(zip(pictures, points, strict=True)):
        x, y = low = own[middle] - AROUND
        columns, rows = (slice(*(np.array([a, a + 2 * AROUND]) * side).astype(int)) for a in (x, y))
        axes.imshow(picture[rows, columns], extent=(2.2, 3.1, 0.95 + 1.05 * place, 1.05 * place))
        if not place:
            box = {"edgecolor": style.INK, "facecolor": "none", "linewidth": 1.5}
            axes.add_patch(Rectangle(2 * low, 4 * AROUND, 4 * AROUND, **box))
    style.bare(axes)
    axes.set(xlim=(0, 4.1), ylim=(2, 0))
    axes.set_title(f"{len(shares)} key points; one, enlarged", fontsize=WORDS, color=style.INK)
    axes.text(3.18, 0.47, "2016", va="center", fontsize=WORDS, color=style.INK)
    axes.text(3.18, 1.52, "2022", va="center", fontsize=WORDS, color=style.INK)


def draw_finding(tables: Mapping, path: Path) -> Path:
    """Three questions side by side: each approach with its interval."""
    rows = answers_of(tables)
    figure = style.new_figure(8.4, 3.3)
    panels = figure.subplots(1, len(QUESTIONS), sharey=True)
    looks = {"classifies": ("s", style.COLOURS[0]), "searches": ("o", style.COLOURS[5])}
    for axes, (question, title) in zip(panels, QUESTIONS.items(), strict=True):
        style.tidy(axes, title=title, grid="x")
        for height, (name, kind) in enumerate(APPROACHES.items()):
            marker, colour = looks[kind]
            value, low, high = rows[question].get(name, (None,) * 3)
            if value is None:
                axes.text(0.03, height, "not asked", va="center", fontsize=9, color=style.SOFT)
                continue
            axes.hlines(height, low, high, color=colour, linewidth=2.4, alpha=0.6)
            axes.plot(value, height, marker, color=colour, markersize=6.5)
        axes.set(
            xlim=(-0.04, 1), xticks=[0, 0.25, 0.5, 0.75, 1], ylim=(len(APPROACHES) - 0.5, -0.5)
        )
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    panels[0].set_yticks(range(len(APPROACHES)), list(APPROACHES), color=style.INK)
    for kind, (marker, colour) in looks.items():
        panels[0].plot([], [], marker, color=colour, label=kind)
    style.legend_outside(panels[0], 2)
    return style.save_for_page(figure, path)


def answers_of(tables: Mapping) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Value and interval by question and approach; a classifier's score is its probability."""
    found = {question: {} for question in QUESTIONS}
    unknown = tables["3. Unknown animals: both kinds of error"]
    for row in [*tables["Three questions, every approach"], *unknown]:
        for question, values in found.items():
            if f"{question}_low" in row:
                own = tuple(row[f"{question}{end}"] for end in ("", "_low", "_high"))
                values.setdefault(row["approach"], own)
    return found


def show(
    axes: Axes,
    catalogue: Catalogue,
    photo: str,
    words: str = "",
    colour: str = style.INK,
    side: int = SIDE,
) -> None:
    """Put a photo on the axes, with words beneath; side in pixels."""
    path = catalogue.root / f"photos/{photo[:4]}/{photo}.jpg"
    axes.imshow(style.thumbnail(path, side), interpolation="nearest")
    style.bare(axes)
    axes.set_xlabel(words, fontsize=WORDS, color=colour, labelpad=4, parse_math=False)


def explain(axes: Axes, words: str, colour: str = style.INK) -> None:
    """Words in place of a photo."""
    axes.text(0, 0.5, words, va="center", fontsize=11, color=colour, transform=axes.transAxes)


if __name__ == "__main__":
    print(*draw_all(PICTURES), sep="\n")
