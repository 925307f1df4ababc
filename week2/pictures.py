"""The pictures of this week's pages, drawn into week2/pictures.

    python week2/pictures.py

They come from the embedded turtles, from efficientnet_lite0 as ImageNet left it, and from stored
results; nothing is trained. Half a minute. A test draws them again and compares. One function draws
one picture.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from common.data.catalogue import Catalogue, load_catalogue
from common.data.images import read_photos
from common.inspection import adversarial
from common.inspection.features import stage_maps, strongest_channels
from common.inspection.ideal import AscentSettings, ideal_images
from common.inspection.imagenet import find_class, top_classes
from common.inspection.pixels import OnPixels, to_pictures, to_pixels
from common.models.backbones import Backbone, load_backbone, load_imagenet_classifier
from common.models.freezing import stages_of
from common.models.heads import Recogniser
from common.splits.splits import make_split
from common.training.strategies import Step, plan_of, words_of
from common.visualization import style
from common.visualization.bars import interval_chart
from common.visualization.charts import trend_chart
from common.visualization.pictures import VALUES, PictureRow, full_contrast, picture_grid, tiled
from fine_tuning import free_last_stages, parse_args, rate_at, rates_of
from inside.features import normalised
from transfer_learning import new_head

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

PICTURES, RESULTS = (Path(__file__).with_name(name) for name in ("pictures", "results"))
MODEL = "efficientnet_lite0"
SMALLEST_FONT = 9  # points
TURTLE = "photos/t001/t001_2022-08-29_1.jpg"
STAGES = (0, 1, 3, 4)  # whose maps are drawn, of the five at which the cells grow
LAYER_DECAY = 0.7  # of the rates that are drawn
LEARNS, RESTS = style.COLOURS[1], style.PAPER
SIDE = 128  # pixels of the maps and ideal images: look_inside.py takes more, and minutes
IDEALS = ("zebra", "loggerhead")
CLIMBS = ({"steps": 20}, {"steps": 80, "variation_weight": 1_800.0})  # without and with the loss
ATTACK_SIDE, WANTED = 160, "tabby"  # pixels; what a turtle is pushed to
ATTACK = adversarial.Attack(budget=4, steps=30)
WORDS = {"fontsize": SMALLEST_FONT, "color": style.INK, "parse_math": False}


def draw_all(folder: Path) -> list[Path]:
    """Draw every picture into a folder that exists; returns their paths."""
    return [*draw_facts(folder), *draw_climbs(folder)]


def draw_facts(folder: Path) -> list[Path]:
    """Draw the pictures that are the same on every machine."""
    catalogue = load_catalogue()
    backbone = load_backbone(MODEL, image_size=SIDE)
    architectures = table_of("compare_architectures", "Architectures")
    strategies = table_of("compare_strategies", "Strategies")
    by_photos = table_of("compare_strategies", "Approaches by photos per animal")
    practices = table_of("training_practices", "One change at a time")
    return [
        draw_stages(backbone, len(catalogue.identities), folder / "stages.png"),
        draw_features(backbone, catalogue.root / TURTLE, folder / "features.png"),
        draw_rates(backbone, catalogue, folder / "rates.png"),
        draw_architectures(architectures, folder / "architectures.png"),
        draw_strategies(strategies, folder / "strategies.png"),
        draw_photos_per_animal(by_photos, folder / "photos_per_animal.png"),
        draw_practices(practices, folder / "practices.png"),
    ]


def draw_climbs(folder: Path) -> list[Path]:
    """Draw what many steps along a gradient give: rounding decides where a stripe lies."""
    turtle = load_catalogue().root / TURTLE
    return [
        draw_ideals(imagenet_network(SIDE), folder / "ideal.png"),
        draw_adversarial(imagenet_network(ATTACK_SIDE), turtle, folder / "adversarial.png"),
    ]


def table_of(result: str, title: str) -> pd.DataFrame:
    """A table of a stored result."""
    text = (RESULTS / f"{result}.json").read_text(encoding="utf-8")
    return pd.DataFrame(json.loads(text)["tables"][title])


def draw_stages(backbone: Backbone, n_identities: int, path: Path) -> Path:
    """Who learns and who rests in three strategies, stage by stage, with parameters counted."""
    stages, head = stages_of(backbone), new_head(backbone.n_features, n_identities)
    sizes = [
        sum(backbone.network.get_parameter(name).numel() for name in stage.parameter_names)
        for stage in stages
    ]
    sizes.append(sum(each.numel() for each in head.parameters()))
    names = ["stem", *(str(stage.index) for stage in stages[1:]), "head"]
    figure = style.new_figure(8.4, 2.9)
    axes = figure.add_subplot()
    for column, (name, size) in enumerate(zip(names, sizes, strict=True)):
        axes.text(column, 0.72, f"{name}\n{short(size)}", ha="center", va="bottom", **WORDS)
    for row, n_stages in enumerate((0, 3, None)):
        free_last_stages(backbone, n_stages)
        learns = [
            backbone.network.get_parameter(stage.parameter_names[0]).requires_grad
            for stage in stages
        ]
        cells = [*learns, True]
        draw_cells(axes, -row, cells)
        n_learning = sum(size for size, learn in zip(sizes, cells, strict=True) if learn)
        words = f"{short(n_learning)} learn,\n{short(sum(sizes) - n_learning)} rest"
        axes.text(len(names) - 0.3, -row, words, va="center", **WORDS)
    rows = [words_of(Step(n_stages, 1)) for n_stages in (0, 3, None)]
    axes.set_yticks([0, -1, -2], [text.replace(" and ", "\nand ") for text in rows])
    axes.tick_params(labelsize=10, labelcolor=style.INK, length=0)
    axes.set(xticks=[], xlim=(-0.6, len(names) + 1.2), ylim=(-2.6, 1.5))
    axes.spines[:].set_visible(False)
    keys = [Patch(facecolor=LEARNS, label="learns"), resting(Patch, label="rests")]
    figure.legend(handles=keys, loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    return style.save_for_page(figure, path)


def draw_cells(axes: Axes, height: float, learns: Sequence[bool]) -> None:
    """One row of stages; what rests is hatched, so that no colour is needed."""
    for column, learn in enumerate(learns):
        corner = (column - 0.42, height - 0.33)
        if learn:
            axes.add_patch(Rectangle(corner, 0.84, 0.66, facecolor=LEARNS))
        else:
            axes.add_patch(resting(Rectangle, corner, 0.84, 0.66))
        if column:
            arrow = {"arrowstyle": "-", "color": style.SOFT}
            axes.annotate("", (column - 0.42, height), (column - 0.58, height), arrowprops=arrow)


def resting(patch: type, *place: object, **words: str) -> Patch:
    """A pale, hatched patch."""
    return patch(*place, facecolor=RESTS, edgecolor="#b8c0c8", hatch="////", **words)


def short(count: int) -> str:
    """A number of parameters in few letters.

    >>> short(928), short(102480), short(3371024)
    ('928', '102 k', '3.37 M')
    """
    if count < 1_000:
        return str(count)
    return f"{count / 1e3:.0f} k" if count < 1e6 else f"{count / 1e6:.2f} M"


def draw_features(backbone: Backbone, turtle: Path, path: Path) -> Path:
    """One photo, and the strongest maps of some stages."""
    photo = read_photos([turtle], backbone.preprocessing.stored_size, progress=False)
    maps = stage_maps(backbone, normalised(photo, backbone)[0])
    sheets = [strongest_channels(maps[stage], 4) for stage in STAGES]
    words = ["the photo", *("{} × {} cells".format(*sheet.shape[1:]) for sheet in sheets)]
    pictures = [photo[0], *(VALUES(tiled(sheet, 64))[..., :3] for sheet in sheets)]
    rows, save = [PictureRow("", pictures, words)], partial(style.save_for_page, n_colours=256)
    return picture_grid(rows, path, cell=1.4, save=save)


def draw_rates(backbone: Backbone, catalogue: Catalogue, path: Path) -> Path:
    """What the functions of fine_tuning.py give for its own plan, epoch by epoch."""
    args = parse_args(["--layer_decay", str(LAYER_DECAY)])
    plan = plan_of(args.strategy, args.epochs, args.unfreeze)
    n_photos = len(make_split(catalogue, "time_aware").rows("train"))
    slowest = LAYER_DECAY ** (len(stages_of(backbone)) - 1)
    figure = style.new_figure(8.4, 3.0)
    axes = style.tidy(figure.add_subplot(), grid="y")
    start = 0
    for number, step in enumerate(plan):
        rates = pd.DataFrame(rates_of(step, n_photos, args, rate_at)) * 1e3
        if step.n_trainable is None:
            rates["first stage"] = rates["last stage"] * slowest
        epochs = start + (1 + np.arange(len(rates))) / len(rates) * step.epochs
        for name, look in zip(rates, ("-", "--", ":"), strict=False):
            label = name if number == len(plan) - 1 else None
            colour = style.COLOURS[("head", "last stage", "first stage").index(name)]
            line = {"linestyle": look, "color": colour, "linewidth": 2, "label": label}
            axes.plot(epochs, rates[name], **line)
        axes.axvline(start, color=style.LINE, linewidth=1)
        words = words_of(step).replace("head ", "head\n", 1)
        axes.text(start + step.epochs / 2, 2.12, words, ha="center", va="bottom", **WORDS)
        start += step.epochs
    axes.set(xlabel="epoch", ylabel="learning rate, thousandths", xlim=(0, start), ylim=(0, 2.6))
    axes.set(xticks=range(start + 1), yticks=[0, 0.5, 1, 1.5, 2])
    axes.legend(fontsize=SMALLEST_FONT, frameon=False, loc="center right")
    return style.save_for_page(figure, path)


def draw_architectures(table: pd.DataFrame, path: Path) -> Path:
    """Test accuracy against seconds of training, for every network that was in reach."""
    rows = table[table["test"].notna()]
    figure = style.new_figure(8.4, 3.8)
    axes = style.tidy(figure.add_subplot(), grid="y")
    for index, (mode, own) in enumerate(rows.groupby("mode", sort=False)):
        look = style.look(index)
        axes.vlines(own["training, s"], own["test_low"], own["test_high"], color=look["color"])
        axes.scatter(own["training, s"], own["test"], s=40, zorder=3, label=mode, **look)
        own = own.sort_values("training, s")
        is_far = own["training, s"].pct_change() > 0.3  # from the one before
        for _, near in own.groupby(is_far.cumsum()):
            place = near["training, s"].mean(), near["test_high"].max() + 0.02
            names = ", ".join(name.removeprefix("efficientnet_") for name in near["model"])
            axes.text(*place, names, ha="center", **WORDS)
    axes.set_xscale("log")
    axes.set_xlim(rows["training, s"].min() / 1.6, rows["training, s"].max() * 1.8)
    ticks = [0.5, 1, 2, 5, 10, 20, 50]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="seconds of training", ylabel="accuracy on test photos", ylim=(0, 1))
    axes.legend(fontsize=SMALLEST_FONT, frameon=False, loc="upper left")
    return style.save_for_page(figure, path)


def draw_strategies(table: pd.DataFrame, path: Path) -> Path:
    """Test accuracy of each strategy, with its interval; its seconds of training in its name."""
    names = table["name"].str.rpartition(", ")[2]
    seconds = table["training, s"].map(lambda each: "under 1 s" if each < 1 else f"{each:.0f} s")
    return interval_chart(
        table.assign(strategy=names + ", " + seconds),
        path,
        value="test",
        label="strategy",
        limits=(0, 1),
        value_name="accuracy on test photos (95 % interval over animals)",
        save=style.save_for_page,
    )


def draw_photos_per_animal(table: pd.DataFrame, path: Path) -> Path:
    """Test accuracy of each approach against the photos that it has of an animal."""
    return trend_chart(
        table,
        path,
        quantity="photos per animal",
        quantity_name="training photos per animal (mean)",
        value_name="accuracy on test photos",
        save=style.save_for_page,
    )


def draw_practices(table: pd.DataFrame, path: Path) -> Path:
    """What each change bought, the best on top."""
    rows = table[table["bought"].notna()].sort_values("bought", kind="stable", ascending=False)
    return interval_chart(
        rows,
        path,
        value="bought",
        label="practice",
        value_name="accuracy with the change minus accuracy without it",
        chance=0.0,
        chance_name="no difference",
        limits=(rows["bought_low"].min() - 0.02, rows["bought_high"].max() + 0.04),
        save=style.save_for_page,
    )


def imagenet_network(side: int) -> OnPixels:
    """The backbone with ImageNet's own head, asked about plain pixels."""
    return OnPixels(Recogniser(*load_imagenet_classifier(MODEL, image_size=side)))


def draw_ideals(network: OnPixels, path: Path, climbs: Sequence[dict] = CLIMBS) -> Path:
    """From the same noise to two classes, without and with the variation loss."""
    labels = [find_class(name) for name in IDEALS]
    figure = style.new_figure(8.4, 2.5)
    cells = figure.subplots(1, len(climbs) * len(labels)).reshape(len(climbs), -1)
    for line, climb in zip(cells, climbs, strict=True):
        settings = AscentSettings(scales=(0.5, 1.0), **climb)
        place = {"image_size": network.image_size, "settings": settings, "seed": 0}
        images, _ = ideal_images(network, labels, **place)
        with torch.no_grad():
            sure = network(images).softmax(dim=1)[range(len(labels)), labels].tolist()
        title = "with variation loss" if settings.variation_weight else "without variation loss"
        line[0].set_title(title, loc="left", fontsize=10, color=style.INK)
        for axes, picture, name, share in zip(line, to_pictures(images), IDEALS, sure, strict=True):
            show(axes, full_contrast(picture), f"{name} {share:.2f}")
    return style.save_for_page(figure, path, n_colours=128)


def draw_adversarial(network: OnPixels, turtle: Path, path: Path) -> Path:
    """One photo pushed to another name, and moved as far by noise."""
    expected = network.model.backbone.preprocessing
    photo = read_photos([turtle], expected.stored_size, progress=False)
    pixels = to_pixels(photo, expected.image_size)
    target = torch.tensor([find_class(WANTED)])
    rows = {
        "gradient": adversarial.push_to_target(network, pixels, target, ATTACK),
        "noise": adversarial.add_noise(pixels, ATTACK.budget, seed=0),
    }
    figure = style.new_figure(8.4, 5.4)
    cells = figure.subplot_mosaic([["photo", f"{name} 0", f"{name} 1"] for name in rows])
    show(cells["photo"], to_pictures(pixels)[0], named_by(network, pixels))
    magnified = 0.5 / (ATTACK.budget * adversarial.UNIT)  # the whole budget fills the range
    for name, changed in rows.items():
        change = to_pictures(0.5 + (changed - pixels) * magnified)[0]
        show(cells[f"{name} 0"], change, f"plus {name} (shown × {magnified:.0f})")
        show(cells[f"{name} 1"], to_pictures(changed)[0], f"is {named_by(network, changed)}")
    return style.save_for_page(figure, path)


def named_by(network: OnPixels, pixels: torch.Tensor) -> str:
    """The most probable class of one photo, and its probability."""
    with torch.no_grad():
        ((name, share),) = top_classes(network(pixels)[0], k=1)
    return f"{name} {share:.2f}"


def show(axes: Axes, picture: np.ndarray, words: str) -> None:
    """A picture with its own pixels, and words beneath."""
    axes.imshow(picture, interpolation="nearest")
    style.bare(axes)
    axes.set_xlabel(words, **WORDS)


if __name__ == "__main__":
    print(*draw_all(PICTURES), sep="\n")
