"""Catalogues that leave little to learn from: each has a stated rule, told in one line."""

from common.data.catalogue import Catalogue, catalogue_from_table
from common.errors import InputError
from common.splits.leaks import leak_report
from common.splits.splits import SPLIT_NAMES, make_split

import numpy as np
import pandas as pd
import pytest


def herd(identities: str, days: list[int] | None = None, **columns: list) -> Catalogue:
    """One photo for each letter, of the animal of that name."""
    rows = {"path": [f"{i}.jpg" for i in range(len(identities))], "identity": list(identities)}
    if days:
        rows["date"] = [f"2024-05-{day:02d}" for day in days]
    return catalogue_from_table(pd.DataFrame(rows | columns), "nowhere", "herd")


def warnings_of(split) -> list[str]:
    return [note for note in split.notes if note.startswith("Warning")]


@pytest.mark.parametrize("name", ["auto", "time_aware", "random", "open_set", "encounter"])
def test_an_animal_with_most_of_the_photos_is_told_where_it_plays_the_new_one(name):
    herds = "a" * 20 + "bbbccc"
    days = [*range(9, 29), *range(1, 4), *range(1, 4)]  # first seen latest

    splits = [make_split(herd(herds, days), name, seed=seed) for seed in range(12)]

    heavy = [split for split in splits if "a" not in split.known_identities(herd(herds, days))]
    assert heavy, "some seed draws it"
    assert all("a has 77 % of all photos, and none of them trains" in str(s.notes) for s in heavy)
    light = [split for split in splits if not any(split is each for each in heavy)]
    assert not any("of all photos" in str(split.notes) for split in light)


def test_photos_of_one_day_are_split_at_random_with_the_reason():
    catalogue = herd("aaabbbccc", [1] * 9)

    split = make_split(catalogue)

    assert split.name == "random"
    assert "too few animals were met on two days" in warnings_of(split)[0]
    assert leak_report(catalogue, split).test.n_same_day > 0
    with pytest.raises(InputError, match="photos of two days"):
        make_split(catalogue, "time_aware")


def test_animals_of_the_test_that_training_lacks_are_new_and_named():
    parts = ["train", "train", "train", "train", "test", "test"]
    catalogue = herd("aabbac", split=parts)

    split = make_split(catalogue, "given")

    assert "Without a training photo, tested as new: 1 animal (c)." in split.notes
    assert list(split.rows_new("test", catalogue)) == [5]


def test_no_photo_to_validate_on_is_told():
    catalogue = herd("aabb")

    split = make_split(catalogue)

    assert not len(split.rows("validation"))
    assert any("no photo validates" in note for note in warnings_of(split))
    assert not any("validates" in note for note in make_split(herd("aaabbbcccddd")).notes)


@pytest.mark.parametrize("name", SPLIT_NAMES)
def test_two_animals_with_one_photo_each_are_refused_in_one_line(name):
    with pytest.raises(InputError) as refused:
        make_split(herd("ab", [1, 2], split=["train", "test"]), name)

    assert "expected" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_one_animal_is_refused_by_its_name():
    with pytest.raises(InputError, match=r"1 known animal \(a\), expected at least 2"):
        herd("aaa")


def test_thousands_of_animals_with_one_photo_each_are_refused_quickly():
    with pytest.raises(InputError, match="no animal with two photos"):
        make_split(herd("".join(map(chr, np.arange(0x4E00, 0x4E00 + 3000)))))
