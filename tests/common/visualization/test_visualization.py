"""Figures: they are written whole, at the promised size, and show what they are given."""

import os
import subprocess
import sys
from types import SimpleNamespace

from common.errors import InputError
from common.visualization import style
from common.visualization.bars import interval_chart
from common.visualization.charts import cost_scatter, difference_map, reliability_chart, trend_chart
from common.visualization.confusion import confusion_figure, recall_bars
from common.visualization.contact_sheet import catalogue_overview, contact_sheet
from common.visualization.curves import training_curves
from common.visualization.matches import RankedMatches, matches_panel

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from script_runs import ROOT

ODD_NAMES = ["t$1", "t_{2}$", "a very long name of an animal <3>", "t\\4"]


@pytest.fixture
def drawn(monkeypatch):
    """Figures that were saved, so that a test can look at their parts."""
    figures = []
    save = Figure.savefig

    def keep(figure, *args, **options):
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


@pytest.fixture
def photos(tmp_path):
    paths = [tmp_path / f"photo_{i}.png" for i in range(6)]
    for i, path in enumerate(paths):
        Image.new("RGB", (40, 20 + 10 * i), (40 * i, 90, 120)).save(path)
    return paths


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text"))]


def test_a_saved_figure_is_a_png_of_150_dots_per_inch(tmp_path):
    figure = style.new_figure(2, 1)

    path = style.save_figure(figure, tmp_path / "empty.png")

    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("PNG", (300, 150))
    assert [file.name for file in tmp_path.iterdir()] == ["empty.png"]


def test_a_thumbnail_shows_the_whole_photo_upright(tmp_path):
    photo = Image.new("RGB", (40, 20), "blue")
    photo.paste("red", (0, 0, 20, 20))  # red is on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    photo.save(tmp_path / "turned.png", exif=exif)

    square = style.thumbnail(tmp_path / "turned.png", 40)

    assert square.shape == (40, 40, 3)
    assert tuple(square[5, 20]) == (255, 0, 0)
    assert tuple(square[35, 20]) == (0, 0, 255)
    assert tuple(square[20, 2]) == tuple(square[20, 37])  # grey at both sides


def test_curves_put_losses_and_accuracies_in_two_panels(drawn, tmp_path):
    history = [
        {"epoch": 1, "train_loss": 2.0, "validation_accuracy": 0.1, "seconds": 3.0},
        {"epoch": 2, "train_loss": 1.0, "validation_accuracy": None, "seconds": 3.0},
    ]

    training_curves(history, tmp_path / "curves.png", chosen_epoch=2)

    loss, accuracy = drawn[0].axes
    assert list(loss.lines[0].get_ydata()) == [2.0, 1.0]
    assert np.isnan(accuracy.lines[0].get_ydata()[1])
    assert list(loss.lines[1].get_xdata()) == [2, 2]  # the chosen epoch


def test_the_least_loss_is_dashed_and_random_views_are_named(drawn, tmp_path):
    history = [{"epoch": 1, "train_loss": 2.0, "train_accuracy": 0.1, "validation_accuracy": 0.2}]

    training_curves(history, tmp_path / "curves.png", least_loss=0.75)

    loss, accuracy = drawn[0].axes
    assert (loss.lines[1].get_linestyle(), *loss.lines[1].get_ydata()) == ("--", 0.75, 0.75)
    words = [text.get_text() for text in loss.get_legend().get_texts()]
    assert "the least that smoothed labels allow" in words
    assert accuracy.lines[0].get_label() == "train accuracy (random views)"


def test_curves_of_an_embedding_have_a_panel_of_similarities(drawn, tmp_path):
    history = [{"train_loss": 1.0, "new_mAP": 0.5, "new_rank_1": 0.6,
                "new_positive_similarity": 0.7,
                "new_negative_similarity": -0.1}]  # fmt: skip

    training_curves(history, tmp_path / "curves.png")

    _, shares, similarities = drawn[0].axes
    assert [line.get_label() for line in shares.lines] == ["new mAP", "new rank 1"]
    assert [line.get_label() for line in similarities.lines] == ["new positive", "new negative"]
    assert similarities.get_ylim()[0] < -0.1


@pytest.mark.parametrize("n_identities", [1, 4, 60, 300])
def test_a_confusion_matrix_of_any_size_fits_its_picture(tmp_path, n_identities, drawn):
    counts = np.eye(n_identities, dtype=int) * 3
    names = [f"t{i:03d}" for i in range(n_identities)]

    confusion_figure(counts, names, tmp_path / "confusion.png")

    ticks = drawn[0].axes[0].get_yticklabels()
    assert ticks[0].get_text() == "t000"
    assert len(ticks) == n_identities if n_identities <= 60 else len(ticks) <= 64


def test_a_confusion_matrix_shows_mistakes_apart_from_right_answers(drawn, tmp_path):
    confusion_figure(np.array([[3, 1], [0, 2]]), ["a", "b"], tmp_path / "confusion.png")

    wrong, right = (image.get_array() for image in drawn[0].axes[0].images)
    assert wrong.mask.tolist() == [[True, False], [True, True]]
    assert right.mask.tolist() == [[False, True], [True, False]]
    assert wrong[0, 1] == pytest.approx(0.5)  # root of 1 of 4 photos


def test_who_was_not_asked_about_has_a_column_and_no_row(drawn, tmp_path):
    counts = np.array([[2, 1, 0], [0, 0, 0], [1, 0, 3]])

    confusion_figure(counts, ["a", "b", "c"], tmp_path / "confusion.png")

    axes = drawn[0].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "c"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert "1 of these without a test photo" in axes.get_xlabel()
    assert axes.images[1].get_array().mask.tolist() == [[False, True, True], [True, True, False]]


def test_recall_bars_are_sorted_and_leave_out_identities_without_photos(drawn, tmp_path):
    recall_bars(
        np.array([0.25, np.nan, 1.0]), np.array([4, 0, 2]), ["a", "b", "c"], tmp_path / "r.png"
    )

    axes = drawn[0].axes[0]
    assert [bar.get_height() for bar in axes.patches] == [1.0, 0.25]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["c (2)", "a (4)"]
    assert "mean over identities 0.625" in texts(drawn[0])


def test_a_contact_sheet_has_a_row_per_identity_and_a_caption_per_photo(drawn, photos, tmp_path):
    identities = ["t1", "t1", "t2", "t1", "t2", "t1"]

    contact_sheet(
        photos, tmp_path / "sheet.png", identities=identities, captions=list("abcdef"), n_columns=3
    )

    shown = [axes.get_xlabel() for axes in drawn[0].axes if axes.images]
    assert shown == ["a", "b", "d", "c", "e"]  # the fourth photo of t1 has no place


def test_the_overview_counts_photos_and_marks_the_parts(drawn, tmp_path):
    table = pd.DataFrame(
        {
            "identity": ["t1", "t1", "t2"],
            "encounter": ["e1", "e2", "e3"],
            "encounter_known": True,
            "date": pd.to_datetime(["2020-05-01", "2021-05-01", None]),
        }
    )

    catalogue_overview(table, tmp_path / "overview.png", part=["train", "test", "test"])

    counts, calendar = drawn[0].axes
    assert sorted(bar.get_width() for bar in counts.patches) == [1, 1, 1]
    assert [len(dots.get_offsets()) for dots in calendar.collections] == [1, 1]


def test_an_overview_without_dates_has_no_calendar(drawn, tmp_path):
    table = pd.DataFrame(
        {"identity": ["t1", "t1"], "encounter": ["e1", "e2"], "encounter_known": False}
    ).assign(date=pd.NaT)

    catalogue_overview(table, tmp_path / "overview.png")

    assert len(drawn[0].axes) == 1


@pytest.mark.parametrize(
    ("is_known", "words", "n_segments"),
    [
        ([True] * 3, "(segments: encounters)", 2),
        ([True, True, False], "(segments: encounters; of 1 photo not known)", 2),
        ([False] * 3, "(encounters are not known)", 1),
    ],
)
def test_the_overview_draws_encounters_only_where_they_are_known(
    drawn, tmp_path, is_known, words, n_segments
):
    facts = {"identity": "t1", "encounter": ["e1", "e1", "e2"], "encounter_known": is_known}

    catalogue_overview(pd.DataFrame(facts).assign(date=pd.NaT), tmp_path / "overview.png")

    counts = drawn[0].axes[0]
    assert counts.get_title(loc="left").endswith(words)
    assert len(counts.patches) == n_segments


def test_an_interval_chart_draws_ends_groups_and_skipped_rows(drawn, tmp_path):
    table = pd.DataFrame(
        {
            "approach": ["frozen", "frozen", "resnet50"],
            "split": ["random", "time_aware", "random"],
            "accuracy": [0.56, 0.39, np.nan],
            "accuracy_low": [0.5, 0.33, np.nan],
            "accuracy_high": [0.62, 0.45, np.nan],
        }
    )

    interval_chart(
        table, tmp_path / "bars.png", value="accuracy", label="approach", group="split", chance=0.02
    )

    shown = texts(drawn[0])
    assert {"0.560", "0.390", "skipped", "random", "time_aware", "guessing"} <= set(shown)
    assert drawn[0].axes[0].get_xlim() == (0.0, 1.0)
    ends = drawn[0].axes[0].collections[0].get_segments()[0][:, 0]
    assert list(ends) == [0.5, 0.62]


def test_matches_are_marked_by_sign_and_frame_not_by_colour_alone(drawn, photos, tmp_path):
    ranking = RankedMatches(
        query=photos[0],
        query_caption="t1",
        gallery=photos[1:3],
        gallery_captions=["t1", "t2"],
        similarities=[0.9, -0.25],
        is_match=[True, False],
    )

    matches_panel([ranking], tmp_path / "matches.png")

    labels = [axes.get_xlabel() for axes in drawn[0].axes]
    assert labels == ["t1", "", "✓ t1\n0.900", "✗ t2\n-0.250"]


def test_matches_of_unknown_truth_carry_no_verdict(drawn, photos, tmp_path):
    ranking = RankedMatches(photos[0], "IMG_1", [photos[1]], ["t1"], [0.4], None, "new individual?")

    matches_panel([ranking], tmp_path / "matches.png")

    labels = [axes.get_xlabel() for axes in drawn[0].axes]
    assert labels == ["IMG_1\nnew individual?", "", "t1\n0.400"]


def test_names_with_formula_signs_are_drawn_as_they_are(photos, tmp_path):
    table = pd.DataFrame({"name": ODD_NAMES, "score": [0.1, 0.2, 0.3, 0.4]})
    days = pd.to_datetime(["2020-05-01"] * 4)
    seen = pd.DataFrame({"identity": ODD_NAMES, "encounter": ODD_NAMES, "date": days})
    seen["encounter_known"] = True

    confusion_figure(np.eye(4, dtype=int), ODD_NAMES, tmp_path / "a.png")
    recall_bars(np.ones(4), np.ones(4, dtype=int), ODD_NAMES, tmp_path / "b.png")
    contact_sheet(photos[:4], tmp_path / "c.png", identities=ODD_NAMES, captions=ODD_NAMES)
    catalogue_overview(seen, tmp_path / "d.png")
    interval_chart(table, tmp_path / "e.png", value="score", label="name", group="name")

    assert len(list(tmp_path.glob("?.png"))) == 5


def test_a_missing_photo_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.jpg"):
        contact_sheet([tmp_path / "gone.jpg"], tmp_path / "sheet.png", identities=["t1"])


def test_long_lists_of_names_are_thinned_evenly():
    positions, names = style.legible_ticks([f"t{i}" for i in range(100)], most=30)

    assert positions == list(range(0, 100, 4))
    assert names[-1] == "t96"


def costly_models():
    return pd.DataFrame({
        "model": ["small", "large", "large", "absent"], "mode": ["frozen", "frozen", "tuned", "x"],
        "GFLOPs": [0.1, 0.9, 0.9, np.nan], "test": [0.3, 0.4, 0.7, np.nan],
        "test_low": [0.2, 0.3, 0.6, np.nan], "test_high": [0.4, 0.5, 0.8, np.nan],
    })  # fmt: skip


SCATTER = {"cost": "GFLOPs", "value": "test", "label": "model", "group": "mode",
           "cost_name": "operations", "value_name": "accuracy"}  # fmt: skip


def test_a_models_name_stands_once_beside_its_points(drawn, tmp_path):
    cost_scatter(costly_models(), tmp_path / "scatter.png", **SCATTER)

    words = texts(drawn[0])
    assert words.count("large") == 1
    assert "absent" not in words


def test_a_trend_has_one_line_per_approach(drawn, tmp_path):
    table = pd.DataFrame({
        "approach": ["one", "one", "two"], "photos": [2, 8, 2], "accuracy": [0.1, 0.5, 0.2],
        "accuracy_low": [0.0, 0.4, 0.1], "accuracy_high": [0.2, 0.6, 0.3],
    })  # fmt: skip

    trend_chart(table, tmp_path / "trend.png", quantity="photos", value="accuracy",
                group="approach", quantity_name="photos", value_name="accuracy")  # fmt: skip

    (axes,) = drawn[0].axes
    assert [list(line.get_xdata()) for line in axes.lines] == [[2, 8], [2]]
    assert {"2", "8", "one", "two"} <= set(texts(drawn[0]))


def test_a_map_has_a_cell_for_each_difference_and_bold_ones_are_more_than_chance(drawn, tmp_path):
    table = pd.DataFrame({
        "animals": [4, 4, 9, 9], "photos": [2.0, 5.0, 2.0, 6.0],
        "difference": [0.1, -0.2, 0.0, 0.05], "difference_low": [0.02, -0.3, -0.1, -0.1],
        "difference_high": [0.2, -0.1, 0.1, 0.2],
    })  # fmt: skip

    difference_map(table, tmp_path / "map.png", x="photos", y="animals", names=("one", "two"),
                   x_name="photos", y_name="animals")  # fmt: skip

    cells = drawn[0].axes[0].texts
    assert [cell.get_text().split("\n")[0] for cell in cells] == ["+10.0", "-20.0", "+0.0", "+5.0"]
    assert [cell.get_weight() for cell in cells] == ["bold", "bold", "normal", "normal"]
    assert {"4", "9", "2", "5.5"} <= set(texts(drawn[0]))


def test_reliability_has_a_line_per_approach_beside_the_diagonal(drawn, tmp_path):
    bins = pd.DataFrame({"said": [0.2, 0.8], "right": [0.3, 0.7], "photos": [10, 30]})

    reliability_chart({"one": bins, "two": bins}, tmp_path / "reliability.png")

    (axes,) = drawn[0].axes
    assert list(axes.lines[0].get_xdata()) == list(axes.lines[0].get_ydata()) == [0, 1]
    assert [list(line.get_ydata()) for line in axes.lines[1:]] == [[0.3, 0.7]] * 2


def test_letters_that_no_font_has_are_told_and_other_text_draws_as_ever(tmp_path, capsys):
    figure = style.new_figure(2, 2)
    axes = figure.add_subplot()
    axes.set_title("Zo\udceb \U000e0100 🦊")
    axes.set_yticks([0, 1], ["a", style.shortened("b\nc\x1b[31m")])

    style.save_figure(figure, tmp_path / "names.png")

    assert "names.png: boxes stand for 🦊" in capsys.readouterr().out.replace("\U000e0100", "")
    assert axes.get_title().startswith("Zoë")


def test_a_letter_that_another_font_has_is_drawn_with_it(monkeypatch):
    fonts = {"first": {ord(letter) for letter in "0123456789.−ab"}, "second": {ord("ж"), 1}}
    listed = [SimpleNamespace(name=name, fname=name) for name in fonts]
    monkeypatch.setattr(style, "findfont", lambda properties: "first")
    monkeypatch.setattr(style, "_letters_of", fonts.get)
    monkeypatch.setattr(style, "fontManager", SimpleNamespace(ttflist=listed))
    figure = style.new_figure(2, 2)
    text = figure.text(0, 0, "abж")

    assert style.find_letters(figure) == ""
    assert text.get_fontfamily()[-1] == "second"


@pytest.mark.parametrize("window", ["nope", "module://no_such_package"])
def test_a_window_that_is_not_installed_keeps_nobody_from_drawing(window):
    command = [
        sys.executable,
        "-c",
        "import common, matplotlib.figure; matplotlib.figure.Figure(); assert common",
    ]

    assert (
        subprocess.run(command, env=os.environ | {"MPLBACKEND": window}, cwd=ROOT).returncode == 0
    )
