"""What is one class in training: an animal, a side of it, a side and its mirror image."""

from common.data.catalogue import catalogue_from_table
from common.data.training_classes import by_class
from common.errors import InputError

import numpy as np
import pandas as pd
import pytest


def catalogue_of(*photos):
    """Of (identity, orientation) pairs, each an encounter of its own."""
    table = pd.DataFrame(photos, columns=["identity", "orientation"])
    for column, beginning, ending in (
        ("image_id", "p", ""),
        ("path", "", ".jpg"),
        ("encounter", "e", ""),
    ):
        table[column] = [f"{beginning}{i}{ending}" for i in range(len(photos))]
    return catalogue_from_table(table, "/nowhere", "herd")


HERD = catalogue_of(("a", "left"), ("a", "right"), ("b", "left"), ("b", "left"))
PIXELS = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3)


def test_an_animal_is_one_class():
    classed = by_class(HERD, PIXELS, np.array([0, 1, 2]), "identity")
    assert classed.labels.tolist() == [0, 0, 1, 1]
    assert (classed.n_classes, classed.training_rows.tolist()) == (2, [0, 1, 2])
    assert classed.pixels.array is PIXELS


def test_two_sides_of_an_animal_are_two_classes():
    classed = by_class(HERD, PIXELS, np.array([0, 1, 2]), "side")
    assert classed.labels.tolist() == [0, 1, 2, 2]
    assert classed.names.tolist() == ["a left", "a right", "b left", "b left"]


def test_mirrored_training_photos_are_further_classes_behind_the_catalogue():
    classed = by_class(HERD, PIXELS, np.array([2, 0]), "mirrored")
    assert classed.training_rows.tolist() == [0, 2, 4, 5]
    assert classed.names.tolist()[4:] == ["a left, mirrored", "b left, mirrored"]
    assert classed.pixels.array is PIXELS
    assert all(np.array_equal(classed.pixels[i], PIXELS[i]) for i in range(4))
    assert np.array_equal(classed.pixels[5], PIXELS[2, :, ::-1])
    assert len(set(classed.labels[classed.training_rows])) == 4


def test_a_mirrored_photo_is_of_no_encounter_of_the_catalogue():
    classed = by_class(HERD, PIXELS, np.arange(4), "mirrored")
    assert not set(classed.encounters[:4]) & set(classed.encounters[4:])


def test_views_that_show_one_pattern_are_one_side_and_those_of_neither_a_third():
    views = ("left", "topleft", "right", "Front Right", "top", "", "left and right")
    herd = catalogue_of(*(("a", view.lower()) for view in views), ("b", "left"))

    names = by_class(herd, np.zeros((8, 2, 2, 3), np.uint8), np.arange(8), "side").names.tolist()

    assert names == ["a left", "a left", "a right", "a right", *3 * ["a other views"], "b left"]


@pytest.mark.parametrize(("views", "has_sides"), [
    (("topleft", "right"), True), (("left", "top"), False), (("", ""), False),
])  # fmt: skip
def test_a_catalogue_has_sides_where_both_occur(views, has_sides):
    assert catalogue_of(*zip("ab", views, strict=True)).has_sides is has_sides


def test_sides_that_nobody_noted_are_refused():
    herd = catalogue_of(("a", ""), ("b", ""))
    with pytest.raises(InputError, match="has no left and right sides"):
        by_class(herd, PIXELS[:2], np.arange(2), "side")
