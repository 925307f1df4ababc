"""Who was seen when: occasions, sides, what is left out."""

from common.counts.histories import histories_of, places_of
from common.errors import InputError

import numpy as np
import pandas as pd
import pytest
from seen_animals import catalogue_of, histories_with

ROWS = [
    ("Anna", "2024-05-01", "a1", "left"),
    ("Anna", "2024-05-01", "a1", "left"),
    ("Anna", "2024-05-01T18:00", "a2", "left"),
    ("Anna", "2024-06-03", "a3", "right"),
    ("Ben", "2024-06-03", "b1", "right"),
    ("Cleo", "2024-12-30", "c1", "left"),
    ("Cleo", "2025-01-02", "c2", "left"),
]


def test_an_animal_is_captured_once_on_an_occasion_however_many_photos_it_has():
    histories = histories_of(catalogue_of(ROWS), "day")

    assert dict(zip(histories.encounters.index, histories.texts, strict=True)) == {
        "Anna": "1100",
        "Ben": "0100",
        "Cleo": "0011",
    }
    assert histories.encounters.loc["Anna"].tolist() == [2, 1, 0, 0]


@pytest.mark.parametrize(
    ("occasion", "names"),
    [
        ("month", ["2024-05", "2024-06", "2024-12", "2025-01"]),
        ("season", ["2024-03 to 2024-05", "2024-06 to 2024-08", "2024-12 to 2025-02"]),
        ("year", ["2024", "2025"]),
    ],
)
def test_occasions_are_months_seasons_or_years(occasion, names):
    assert list(histories_of(catalogue_of(ROWS), occasion).encounters) == names


def test_an_encounter_over_midnight_is_one_capture():
    rows = [("Anna", "2024-05-31T23:58", "a1", "left"), ("Anna", "2024-06-01T00:03", "a1", "left")]

    for occasion in ("day", "month"):
        histories = histories_of(catalogue_of(rows), occasion)
        assert histories.texts == ["1"]
        assert f"1 encounter over the end of a {occasion}: counted once" in histories.notes


@pytest.mark.parametrize("hours", [("T20:00", ""), ("", "T04:00")])
def test_a_day_without_a_time_is_no_encounter_over_midnight(hours):
    days = zip(["2024-05-01", "2024-05-02"], hours, strict=True)
    rows = [("Anna", f"{day}{hour}", "dive 1", "left") for day, hour in days]

    assert histories_of(catalogue_of(rows), "day").texts == ["11"]


@pytest.mark.parametrize("hour", ["", "T10:00"])
def test_an_encounter_whose_name_comes_back_on_another_day_is_another_capture(hour):
    days = ["2024-05-01", "2024-05-02", "2024-06-21"]
    rows = [("Anna", f"{day}{hour}", "dive 1", "left") for day in days for _ in range(2)]

    histories = histories_of(catalogue_of(rows), "day")

    assert histories.texts == ["111"]
    assert histories.notes == (
        "1 encounter with more than 12 hours between two photos, or on several days without a "
        "time: each part counts",
    )


@pytest.mark.parametrize("word", ["left", "Left", "L", "links"])
def test_one_side_alone_may_count(word):
    histories = histories_of(catalogue_of(ROWS), "day", side=word)

    assert list(histories.encounters.index) == ["Anna", "Cleo"]
    assert "2 photos not of the side left: left out" in histories.notes[0]


def test_sides_that_nobody_joined_are_told_with_the_side_that_has_most_animals():
    rows = [*ROWS, ("Dora", "2024-06-03", "d1", "left")]

    histories = histories_of(catalogue_of(rows), "day")
    [note] = histories.notes

    assert "Seen from the left alone: 2 animals; from the right alone: 1." in note
    assert "--side left has most animals, 3" in note
    assert histories.warning.endswith("count as two animals here: take --side left.")


def test_few_animals_of_one_side_are_no_warning():
    joined = [(name, f"2024-05-0{day}", f"{name}{day}", side) for name in "ABC"
              for day, side in ((1, "left"), (2, "right"))]  # fmt: skip
    rows = [*joined, ("Dora", "2024-05-03", "d", "left"), ("Emma", "2024-05-03", "e", "right")]

    histories = histories_of(catalogue_of(rows), "day")

    assert len(histories.notes) == 1
    assert histories.warning == ""


def test_animals_known_from_both_sides_are_no_news():
    rows = [("Anna", "2024-05-01", "a1", "left"), ("Anna", "2024-05-02", "a2", "right")]

    assert histories_of(catalogue_of(rows), "day").notes == ()


def test_photos_without_a_date_and_of_other_days_are_named_and_left_out():
    rows = [*ROWS, ("Anna", "", "a9", "left")]
    days = pd.Timestamp("2024-06-01"), pd.Timestamp("2024-12-31")

    histories = histories_of(catalogue_of(rows), "day", days=days)

    assert histories.texts == ["10", "10", "01"]
    assert histories.notes[0] == "1 photo without a date: left out (DCIM/IMG_0007.JPG)"
    assert histories.notes[1].startswith("4 photos taken before 2024-06-01 or after 2024-12-31")


@pytest.mark.parametrize(
    ("change", "words"),
    [({"side": "top"}, "--side top"), ({"days": [pd.Timestamp("1999-01-01")] * 2}, "is left")],
)
def test_a_choice_that_leaves_nobody_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        histories_of(catalogue_of(ROWS), "day", **change)


def test_a_place_that_cannot_be_is_none():
    places = ("-4.5", "55"), ("95", "55"), ("x", "55"), ("1", ""), ("0", "0")
    rows = [("a", "2024-05-01", "a 1", "", *place) for place in places]

    places = places_of(catalogue_of(rows).table)

    assert places.iloc[0].tolist() == [-4.5, 55.0]
    assert np.isnan(places.iloc[1:]).all(axis=None)


def test_histories_come_back_as_they_were_drawn():
    assert histories_with(["a", "b"], ["101", "011"]).texts == ["101", "011"]
