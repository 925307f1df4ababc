"""Week 2's pictures are those that its script draws, and show what the pages say of them."""

import shutil

from common.data.catalogue import load_catalogue

import pytest
from picture_checks import (
    assert_pictures_are_as_drawn,
    assert_pictures_are_shown,
    assert_pictures_are_small,
    pixels_of,
)
from script_runs import ROOT, load_script

pictures = load_script("week2/pictures")
COMMITTED = ROOT / "week2" / "pictures"
CLIMBED = ("ideal.png", "adversarial.png")


@pytest.mark.slow
def test_the_pictures_are_as_drawn(tmp_path):
    def draw(folder):
        pictures.draw_facts(folder)
        for name in CLIMBED:  # rounding, and so the machine, decides where a stripe lies
            shutil.copy(COMMITTED / name, folder)

    assert_pictures_are_as_drawn(draw, COMMITTED, tmp_path)


def test_ideal_images_have_the_committed_size(tmp_path):
    network = pictures.imagenet_network(pictures.SIDE)

    drawn = pictures.draw_ideals(network, tmp_path / "ideal.png", climbs=({"steps": 1},) * 2)

    assert pixels_of(drawn).shape == pixels_of(COMMITTED / "ideal.png").shape


def test_the_gradient_renames_the_turtle_and_noise_does_not(tmp_path, monkeypatch):
    said = []
    named_by = pictures.named_by
    monkeypatch.setattr(
        pictures, "named_by", lambda *asked: said.append(named_by(*asked)) or said[-1]
    )
    network, turtle = pictures.imagenet_network(pictures.ATTACK_SIDE), turtle_photo()

    drawn = pictures.draw_adversarial(network, turtle, tmp_path / "adversarial.png")

    assert [words.split()[0] for words in said] == ["loggerhead", "tabby", "loggerhead"]
    assert pixels_of(drawn).shape == pixels_of(COMMITTED / "adversarial.png").shape


def turtle_photo():
    return load_catalogue().root / pictures.TURTLE


def test_the_pictures_are_small():
    assert_pictures_are_small(COMMITTED)


def test_a_page_shows_each_picture_and_says_what_is_on_it():
    assert_pictures_are_shown(COMMITTED)
