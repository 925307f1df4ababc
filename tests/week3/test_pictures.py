"""Week 3's pictures are those that its script draws, and show what the pages say of them."""

import copy

import pytest
from picture_checks import (
    assert_pictures_are_as_drawn,
    assert_pictures_are_shown,
    assert_pictures_are_small,
)
from script_runs import ROOT, load_script

pictures = load_script("week3/pictures")
COMMITTED = ROOT / "week3" / "pictures"


@pytest.mark.slow
def test_the_pictures_are_as_drawn(tmp_path):
    assert_pictures_are_as_drawn(pictures.draw_all, COMMITTED, tmp_path)


def test_the_pictures_are_small():
    assert_pictures_are_small(COMMITTED)


def test_a_page_shows_each_picture_and_says_what_is_on_it():
    assert_pictures_are_shown(COMMITTED)


def test_a_finding_of_other_numbers_is_noticed(tmp_path):
    tables = pictures.stored("compare_approaches")["tables"]
    other = copy.deepcopy(tables)
    for row in other["Three questions, every approach"]:
        row |= {name: row[name] / 2 for name in row if name.startswith(("known", "joined"))}
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    pictures.draw_finding(tables, old / "finding.png")

    with pytest.raises(AssertionError, match=r"finding\.png: differs"):
        assert_pictures_are_as_drawn(
            lambda folder: pictures.draw_finding(other, folder / "finding.png"), old, new
        )


def test_every_approach_of_the_finding_has_an_answer_with_its_interval():
    found = pictures.answers_of(pictures.stored("compare_approaches")["tables"])

    for question, values in found.items():
        for name in pictures.APPROACHES:
            if (question, name) == ("√(BAKS·BAUS)", "classifier, trained again"):
                assert name not in values  # which then knows the animals
            else:
                value, low, high = values[name]
                assert low <= value <= high


def test_the_triplet_ends_where_its_loss_does():
    before, after = pictures.pulled_triplet()

    def loss(anchor, positive, negative):
        places = [pictures.on_circle(each) for each in (anchor, positive, negative)]
        to_positive, to_negative = (pictures.math.dist(places[0], each) for each in places[1:])
        return to_positive - to_negative + pictures.MARGIN

    assert loss(*before) > 0.5
    assert loss(*after) == pytest.approx(0, abs=0.02)


def test_the_batch_has_as_many_animals_and_photos_as_it_says():
    rows, names = pictures.one_batch(pictures.load_catalogue())

    assert rows.shape == (pictures.P, pictures.K)
    assert len(set(rows.ravel())) == rows.size
    assert len(set(names)) == pictures.P


def test_minutes_in_the_readme_are_those_of_stored_runs():
    text = (ROOT / "week3" / "README.md").read_text(encoding="utf-8")

    rows = {"compare_approaches": "{}, `--full` longer", "compare_losses": "{}"}
    for name, words in (rows | {"compare_rankings": "{}"}).items():
        minutes = max(1, round(pictures.stored(name)["seconds"] / 60))
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}.py` |")]
        assert row.split(" | ")[2] == words.format(minutes), row
