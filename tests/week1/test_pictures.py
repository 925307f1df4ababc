"""Week 1's pictures are those that its script draws, and show what the README says of them."""

import copy
import json

from common.training.losses import least_loss

import numpy as np
import pytest
from picture_checks import (
    assert_pictures_are_as_drawn,
    assert_pictures_are_shown,
    assert_pictures_are_small,
)
from script_runs import ROOT, load_script

pictures = load_script("week1/pictures")
COMMITTED = ROOT / "week1" / "pictures"


@pytest.fixture
def result():
    return json.loads(pictures.RESULT.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_pictures_are_as_drawn(tmp_path):
    assert_pictures_are_as_drawn(pictures.draw_all, COMMITTED, tmp_path)


def test_the_pictures_are_small():
    assert_pictures_are_small(COMMITTED)


def test_a_page_shows_each_picture_and_says_what_is_on_it():
    assert_pictures_are_shown(COMMITTED)


def test_curves_of_another_training_are_noticed(result, tmp_path):
    other = copy.deepcopy(result)
    for row in other["metrics"]["history"]:
        row["validation_accuracy"] += 0.05
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, drawn in ((old, result), (new, other)):
        folder.mkdir()
        pictures.draw_curves(drawn, 80, folder / "curves.png")

    with pytest.raises(AssertionError, match=r"curves\.png: differs"):
        assert_pictures_are_as_drawn(
            lambda folder: pictures.draw_curves(other, 80, folder / "curves.png"), old, tmp_path
        )


def test_the_draws_give_the_interval_of_the_table(result):
    (table,) = result["tables"].values()
    (row,) = [row for row in table if row["photos of"] == "test"]

    over_animals, over_photos = pictures.drawn_accuracies(result)

    ends = np.quantile(over_animals, [0.025, 0.975])
    assert ends == pytest.approx([row["accuracy_low"], row["accuracy_high"]])
    assert over_photos.std() < over_animals.std()


def test_no_network_gets_below_the_least_loss_of_smoothed_labels():
    n, smoothing = 80, 0.1
    target = np.full(n, smoothing / n)
    target[0] += 1 - smoothing

    assert least_loss(n, smoothing) == pytest.approx(-(target * np.log(target)).sum())
