"""Splits: hand-worked cases, the published recipe, and what must hold for any catalogue."""

from itertools import islice, pairwise

from common.data.catalogue import Catalogue, catalogue_from_table
from common.errors import InputError
from common.splits.gallery_query import gallery_and_query, places_in_time
from common.splits.leaks import leak_report
from common.splits.rules import lcg_states, published_train_positions
from common.splits.splits import SPLIT_NAMES, Split, choose_split_name, make_split

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

NO_NEWCOMERS = {"newcomer_share": 0, "validation_newcomer_share": 0}
ONLY_TEST = {**NO_NEWCOMERS, "validation_share": 0}


def catalogue_of(rows: str, **columns: list) -> Catalogue:
    """Make a catalogue from "identity day" pairs, "-" for no date, named by their position."""
    identities, days = zip(*(row.split() for row in rows.split(",")), strict=True)
    dates = ["" if day == "-" else f"2020-01-{int(day):02d}" for day in days]
    paths = [f"{i}.jpg" for i in range(len(days))]
    table = pd.DataFrame({"path": paths, "identity": identities, "date": dates, **columns})
    return catalogue_from_table(table, ".", "test")


def parts(split: Split) -> str:
    """Return the parts as one letter a photo: t(rain), v(alidation), T(est), - (unused)."""
    letter = {"train": "t", "validation": "v", "test": "T", "unused": "-"}
    return "".join(letter[part] for part in split.part)


def shuffled(catalogue: Catalogue, order: np.ndarray) -> Catalogue:
    table = catalogue.table.iloc[order].reset_index(drop=True)
    return Catalogue(catalogue.name, catalogue.root, table)


@st.composite
def catalogues(draw, n_days: int = 5, least_dated: int = 0) -> Catalogue:
    """Catalogues of two to eight animals, some photos without a date, encounters within a day."""
    photo = st.tuples(st.integers(0, 7), st.integers(least_dated - 1, n_days), st.integers(0, 1))
    photos = draw(st.lists(photo, min_size=6, max_size=60))
    assume(len({identity for identity, _, _ in photos}) >= 2)
    table = pd.DataFrame(
        {
            "path": [f"{i}.jpg" for i in range(len(photos))],
            "identity": [f"animal {identity}" for identity, _, _ in photos],
            "date": [f"2021-03-{day:02d}" if day > 0 else "" for _, day, _ in photos],
            "encounter": [f"{i} {day} {e}" if day > 0 else "" for i, day, e in photos],
        }
    )
    return catalogue_from_table(table, ".", "any")


def try_split(catalogue: Catalogue, name: str, **settings) -> Split:
    try:
        return make_split(catalogue, name, **settings)
    except InputError:
        assume(False)


# Hand-worked cases


def test_time_aware_tests_each_animal_on_its_last_days():
    # a: 4 days, round(0.7 * 4) = 3 before test, of these round(0.2 * 3) = 1 validates.
    # b: 2 days, round(1.4) = 1 before test. c: 1 day, all train.
    catalogue = catalogue_of("a 4,a 1,a 2,a 2,a 3,b 9,b 8,c 5,c 5")

    split = make_split(catalogue, "time_aware", **NO_NEWCOMERS)

    assert parts(split) == "TtttvTttt"
    assert any("With one day only" in note and "(c)" in note for note in split.notes)


def test_animals_first_seen_latest_are_new_in_the_test():
    catalogue = catalogue_of("a 1,a 2,b 1,b 3,c 2,c 4,d 5,d 6")

    split = make_split(catalogue, "time_aware", validation_newcomer_share=0)

    assert parts(split) == "tTtTtTTT"
    assert split.known_identities(catalogue) == ["a", "b", "c"]
    assert split.rows_new("test", catalogue).tolist() == [6, 7]
    assert split.rows_known("test", catalogue).tolist() == [1, 3, 5]


def test_undated_animals_are_new_and_undated_photos_of_others_unused():
    catalogue = catalogue_of("a 1,a 2,a -,b 1,b 2,u -,u -")

    split = make_split(catalogue, "time_aware", **NO_NEWCOMERS)

    assert parts(split) == "tT-tTTT"
    assert "Without any date" in split.notes[0]
    assert split.notes[1].endswith("not used: 1.")


def test_an_encounter_over_midnight_stays_whole():
    catalogue = catalogue_of("a 1,a 2,a 3,a 4,b 1,b 2", encounter=["x", "x", "y", "y", "p", "q"])

    split = make_split(catalogue, "time_aware", **ONLY_TEST)

    assert parts(split) == "ttTTtT"


def test_time_cutoff_trains_before_the_day_and_tests_from_it_on():
    catalogue = catalogue_of("a 1,a 2,a 3,b 3,b 4,c 4,c -,d 1")

    split = make_split(catalogue, "time_cutoff", train_share=0.45, validation_newcomer_share=0)

    assert parts(split) == "tvTTTT-t"
    assert split.rows_new("test", catalogue).tolist() == [3, 4, 5]


def test_given_follows_the_column_and_takes_validation_from_train():
    words = ["train"] * 6 + ["test_query", "Gallery", "valid?", "TEST"]
    catalogue = catalogue_of("a 1,a 1,a 2,b 1,b 2,c 1,a 3,b 3,c 4,c 5", theirs=words)

    split = make_split(catalogue, "given", split_column="theirs")

    assert parts(split) == "ttvtvtTT-T"
    assert "'valid?'" in split.notes[0]
    assert "3 training photos" not in split.notes[1]
    assert "2 training photos" in split.notes[1]


def test_given_keeps_its_own_validation():
    words = ["train", "train", "val", "test", "test"]
    catalogue = catalogue_of("a 1,d 2,b 1,c 1,c 2", split=words)

    split = make_split(catalogue, "given")

    assert parts(split) == "ttvTT"
    assert "cannot be scored" in split.notes[0]


def test_held_out_validation_animals_of_a_given_split_are_never_tested_ones():
    rows = ",".join(f"{name} {day}" for name in "abcdefgh" for day in (1, 2, 3))
    words = [word for name in "abcdefgh" for word in
             (["train", "train", "test"] if name < "e" else ["train"] * 3)]  # fmt: skip

    split = make_split(catalogue_of(rows, split=words), "given", validation_newcomer_share=0.4)

    validation = set(split.rows_new("validation", catalogue_of(rows)) // 3)
    assert validation
    assert validation <= {4, 5, 6, 7}


def test_disjoint_puts_each_animal_into_one_part():
    catalogue = catalogue_of(",".join(f"{name} {day}" for name in "abcdefghij" for day in (1, 2)))

    split = make_split(catalogue, "disjoint")

    pairs = split.part.reshape(10, 2)
    assert (pairs[:, 0] == pairs[:, 1]).all()
    assert {name: (pairs[:, 0] == name).sum() for name in ("train", "validation", "test")} == {
        "train": 6, "validation": 1, "test": 3,
    }  # fmt: skip


def test_random_like_time_aware_has_its_counts_for_every_animal():
    catalogue = catalogue_of(
        ",".join(f"{name} {day}" for name in "abcdefgh" for day in (1, 1, 2, 2, 3, 3, 4))
    )
    aware = make_split(catalogue, "time_aware", seed=3)

    random = make_split(catalogue, "random", seed=3, like=aware)

    identity = catalogue.table["identity"]
    pd.testing.assert_frame_equal(pd.crosstab(identity, random.part),
                                  pd.crosstab(identity, aware.part))  # fmt: skip
    assert random.known_identities(catalogue) == aware.known_identities(catalogue)
    assert parts(random) != parts(aware)
    assert leak_report(catalogue, random).test.n_same_day > 0
    assert leak_report(catalogue, aware).test.n_same_day == 0


@pytest.mark.parametrize("name", ["random", "open_set", "encounter", "disjoint", "like"])
def test_another_seed_gives_another_random_split(name):
    catalogue = catalogue_of(
        ",".join(f"{name} {day}" for name in "abcdefgh" for day in range(1, 9))
    )
    like = make_split(catalogue, "time_aware") if name == "like" else None
    name = "random" if name == "like" else name

    first, second = (make_split(catalogue, name, seed=seed, like=like) for seed in (0, 1))

    assert parts(first) != parts(second)


def test_time_aware_encounter_and_random_have_the_same_new_animals():
    rows = ",".join(f"{name} {i + day}" for i, name in enumerate("abcdefgh") for day in (1, 2, 3))
    catalogue = catalogue_of(rows)

    splits = [make_split(catalogue, name) for name in ("time_aware", "encounter", "random")]

    new = [
        [set(catalogue.table["identity"][s.rows_new(part, catalogue)]) for s in splits]
        for part in ("test", "validation")
    ]
    assert new[0] == [{"g", "h"}] * 3
    assert new[1][0] == new[1][1] == new[1][2] != set()


# The published recipe


def test_the_published_generator_starts_as_published():
    # 1103515245 * 666 + 12345 = 734941165515, modulo 2**31 = 501757899
    assert list(islice(lcg_states(666), 3)) == [501757899, 786549672, 1847662273]


@pytest.mark.parametrize(
    ("n", "n_train"), [(1, 1), (2, 1), (3, 2), (4, 3), (5, 4), (10, 8), (31, 25)]
)
def test_the_published_counts_are_rounded_and_leave_one_to_test(n, n_train):
    assert len(published_train_positions(n, lcg_states(666))) == n_train


def test_the_published_split_of_a_hand_worked_case():
    # By md5 the file names sort r (1788...), q (4962...), p (dea0...), s (fe26...). Animal 9
    # comes before 10, as all names are numbers: r and q draw 501757899 and 786549672, the lower
    # trains; then p and s of animal 10 draw 1847662273 and 323726950.
    table = pd.DataFrame(
        {"path": list("1234"), "identity": [10, 9, 9, 10],
         "source_path": ["old/p.jpg", "old/q.jpg", "r.jpg", "old/s.jpg"]}
    )  # fmt: skip
    catalogue = catalogue_from_table(table, ".", "t")

    split = make_split(catalogue, "published_closed_set", validation_share=0)

    assert parts(split) == "TTtt"


def test_published_validation_comes_out_of_the_published_train_part():
    rows = ",".join(f"{name} {day}" for name in "abc" for day in range(1, 8))
    catalogue = catalogue_of(rows)

    published = make_split(catalogue, "published_closed_set", validation_share=0)
    carved = make_split(catalogue, "published_closed_set")

    assert len(carved.rows("validation")) > 0
    assert carved.rows("test").tolist() == published.rows("test").tolist()


# Choice, leaks, errors


@pytest.mark.parametrize(
    ("rows", "columns", "name"),
    [
        ("a 1,a 2,b 1,b 3,b -", {}, "time_aware"),
        ("a -,a -,b -,b -", {"split": ["train", "test"] * 2}, "given"),
        ("a -,a -,b -,b -", {"encounter": list("wxyz")}, "encounter"),
        ("a -,a -,b -,b -", {}, "random"),
        ("a 1,a 1,b 1,b 1", {}, "random"),
        ("a -,a -,b -,b -", {"split": ["train"] * 4}, "random"),
    ],
)
def test_auto_takes_the_most_honest_split_there_is(rows, columns, name):
    catalogue = catalogue_of(rows, **columns)

    chosen, reason = choose_split_name(catalogue)

    assert chosen == name
    assert name in reason
    split = make_split(catalogue, "auto")
    assert (split.name, split.notes[0]) == (name, reason)


def test_the_leak_is_counted_by_animal_encounter_and_day():
    catalogue = catalogue_of(
        "a 1,a 1,a 1,a 2,b 1,b 1,c 1,c 1", encounter=["e", "e", "f", "g", "e", "", "h", "h"]
    )
    part = ["train", "test", "test", "test", "test", "test", "train", "validation"]
    split = Split("hand", "By hand.", 0, {}, np.array(part))

    leak = leak_report(catalogue, split)

    assert leak.test.n_images == 5
    assert leak.test.n_known == 3
    assert leak.test.n_same_encounter == 1
    assert leak.test.n_same_day == 2
    assert leak.test.share_same_encounter == pytest.approx(0.2)
    assert leak.validation.n_same_encounter == 1
    assert (leak.test.n_identities, leak.test.n_new_identities) == (2, 1)
    assert "1 of 5 test photos (20.0 %; 33.3 % of those of known animals)" in leak.text()
    assert leak.to_dict()["test"]["share_same_day"] == pytest.approx(0.4)


def test_a_leak_through_unknown_encounters_is_said_to_go_unseen():
    catalogue = catalogue_of("a -,a -,b -,b -")

    text = leak_report(catalogue, make_split(catalogue, "random", **NO_NEWCOMERS)).text()

    assert "Leak: not known" in text
    assert "0.0 %" not in text
    assert "encounter of 2 test photos of known animals is not known" in text


def test_a_leak_that_is_known_in_part_is_counted_for_that_part():
    catalogue = catalogue_of("a 1,a 1,a -,b 1")
    part = np.array(["train", "test", "test", "train"])

    text = leak_report(catalogue, Split("hand", "By hand.", 0, {}, part)).text()

    assert "Leak: 1 of 2 test photos" in text
    assert "encounter of 1 test photo of known animals is not known" in text


def test_a_split_of_another_catalogue_is_refused():
    catalogue = catalogue_of("a 1,a 2,b 1,b 2")
    split = make_split(catalogue, "random", **NO_NEWCOMERS)

    with pytest.raises(ValueError, match="4 photos, the catalogue has 2"):
        leak_report(catalogue_of("a 1,b 2"), split)
    with pytest.raises(ValueError, match="found part 'tset'"):
        split.rows("tset")


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        ("a -,b -", {"name": "time_aware"}, "found no dates"),
        ("a -,b -", {"name": "time_cutoff"}, "found no dates"),
        ("a 1,b 1", {"name": "time_aware"}, "no animal with photos of two days"),
        ("a 1,a 1,b 1", {"name": "encounter"}, "no animal with photos of two encounters"),
        ("a 1,a 2,b -,c -", {"name": "time_aware"}, r"leaves 1 animal to train on \(a\)"),
        ("a 1,b 2", {"name": "time_cutoff"}, "leaves 1 animal"),
        ("a -,a -,b -", {"name": "encounter"}, "no encounters and no dates"),
        ("a -,b -", {"name": "random"}, "no animal with two photos"),
        ("a 1,b 1,c 1", {"name": "disjoint"}, "found 3 animals, expected at least 4"),
        ("a 1,b 1", {"name": "given"}, "no column 'split'"),
        ("a 1,a 1,b 1", {"name": "time_cutoff"}, "no photo is left to train on before 2020-01-01"),
        ("a 1,a 2,b 1", {"name": "time"}, "--split time found, expected one of auto"),
        ("a 1,a 2,b 1", {"name": "random", "train_share": 0.0}, "train_share is 0.0"),
        ("a 1,a 2,b 1", {"name": "random", "newcomer_share": -0.1}, "newcomer_share is -0.1"),
        ("a 1,a 2,b 1", {"name": "random", "validation_share": 1.0}, "less than 1"),
        ("a 1,a 2,b 1", {"name": "random", "train_share": float("nan")}, "train_share is nan"),
    ],
)
def test_impossible_splits_are_refused_with_a_reason(rows, arguments, message):
    with pytest.raises(InputError, match=message):
        make_split(catalogue_of(rows), **arguments)


def test_a_given_column_without_train_and_test_is_refused():
    catalogue = catalogue_of("a 1,b 1", split=["train", "later"])

    with pytest.raises(InputError, match="'later', 'train' in column 'split'"):
        make_split(catalogue, "given")


# Whatever the catalogue


@settings(max_examples=60, deadline=None)
@given(catalogues(), st.sampled_from(SPLIT_NAMES), st.integers(0, 3), st.randoms())
def test_a_split_is_the_same_again_and_for_any_order_of_rows(catalogue, name, seed, random):
    if name == "given":
        words = np.resize(["train", "train", "test"], catalogue.n_images)
        catalogue.table["split"] = words
    split = try_split(catalogue, name, seed=seed)
    order = np.array(random.sample(range(catalogue.n_images), catalogue.n_images))

    again = make_split(catalogue, name, seed=seed)
    moved = make_split(shuffled(catalogue, order), name, seed=seed)

    assert again.part.tolist() == split.part.tolist()
    assert moved.part.tolist() == split.part[order].tolist()
    assert sum(len(split.rows(part)) for part in ("train", "validation", "test", "unused")) == len(
        split.part
    )


@settings(max_examples=60, deadline=None)
@given(catalogues(), st.sampled_from(["time_aware", "encounter", "time_cutoff"]))
def test_no_encounter_lies_on_two_sides(catalogue, name):
    split = try_split(catalogue, name)

    used = catalogue.table[split.part != "unused"]
    n_sides = pd.Series(split.part)[used.index].groupby(used["encounter"]).nunique()
    assert (n_sides == 1).all()
    if name != "encounter":
        day = used["identity"] + used["date"].dt.strftime("%Y-%m-%d").fillna("none")
        assert (pd.Series(split.part)[used.index].groupby(day).nunique() == 1).all()
        leak = leak_report(catalogue, split)
        assert leak.test.n_same_day == leak.validation.n_same_day == 0


@settings(max_examples=60, deadline=None)
@given(catalogues(), st.integers(0, 3))
def test_time_goes_from_train_to_validation_to_test(catalogue, seed):
    split = try_split(catalogue, "time_aware", seed=seed)

    table = catalogue.table.assign(part=split.part)
    for identity in split.known_identities(catalogue):
        days = table[table["identity"] == identity].groupby("part")["date"].agg(["min", "max"])
        order = [part for part in ("train", "validation", "test") if part in days.index]
        for earlier, later in pairwise(order):
            assert days["max"][earlier] < days["min"][later]


@settings(max_examples=60, deadline=None)
@given(catalogues(), st.sampled_from(["time_aware", "encounter", "random", "open_set"]))
def test_new_animals_are_wholly_in_one_part(catalogue, name):
    split = try_split(catalogue, name)

    known = split.known_identities(catalogue)
    assert len(known) >= 2
    table = catalogue.table.assign(part=split.part)
    new = table[~table["identity"].isin(known) & (table["part"] != "unused")]
    assert (new.groupby("identity")["part"].nunique() == 1).all()
    assert set(new["part"]) <= {"validation", "test"}


@settings(max_examples=40, deadline=None)
@given(catalogues(), st.integers(0, 3))
def test_disjoint_parts_share_no_animal(catalogue, seed):
    split = try_split(catalogue, "disjoint", seed=seed)

    assert (pd.Series(split.part).groupby(catalogue.table["identity"]).nunique() == 1).all()
    assert "unused" not in split.part


# Galleries of animals that join later


def test_the_first_days_are_enrolled_and_later_days_ask():
    catalogue = catalogue_of("a 3,a 1,a 1,a 2,a 4,b 5,b 5,c 1,c 2")

    few = gallery_and_query(catalogue, np.arange(9), n_gallery=3)
    many = gallery_and_query(catalogue, np.arange(9), n_gallery=50)

    assert few.gallery.tolist() == [1, 2, 3, 5, 6, 7]
    assert few.query.tolist() == [0, 4, 8]
    assert many.query.tolist() == [4, 8]
    assert few.notes == ["Seen once, so in the gallery and never a query: 1 animal (b)."]


@settings(max_examples=60, deadline=None)
@given(catalogues(), st.integers(1, 6), st.integers(0, 3), st.randoms())
def test_gallery_and_query_share_no_encounter(catalogue, n_gallery, seed, random):
    rows = np.array(random.sample(range(catalogue.n_images), catalogue.n_images // 2 + 1))

    gallery, query, _ = gallery_and_query(catalogue, rows, n_gallery=n_gallery, seed=seed)

    table = catalogue.table
    assert set(gallery) | set(query) <= set(rows)
    assert not set(table["encounter"][gallery]) & set(table["encounter"][query])
    assert set(table["identity"][query]) <= set(table["identity"][gallery])
    first_asked = table.loc[query].groupby("identity")["date"].min().dropna()
    last_enrolled = table.loc[gallery].groupby("identity")["date"].max()
    assert (last_enrolled[first_asked.index] < first_asked).all()


def test_a_gallery_that_the_source_names_is_enrolled_whole():
    names = ["test_query", "test_gallery", "test_gallery", "test_query", "test", "test"]
    catalogue = catalogue_of("a 1,a 2,a 3,a 4,b 1,b 2", split=names)

    gallery, query, notes = gallery_and_query(catalogue, np.arange(6), n_gallery=1)

    assert (gallery.tolist(), query.tolist()) == ([1, 2, 4], [0, 3, 5])
    assert places_in_time(catalogue, np.arange(6))[[1, 2]].tolist() == [0, 0]
    assert notes == ["Gallery and queries as the source names them: 1 animal (a)."]
