"""An unnamed folder becomes proposed individuals, and a person's answers are kept to."""

import csv
import json
import re
import shutil

from common.data.catalogue import load_catalogue
from common.data.catalogue_checks import load_checked_card
from common.errors import InputError
from common.groups import choice
from common.groups.constraints import Constraints

import pytest
from script_runs import load_script, refusal_of


@pytest.fixture(scope="module", autouse=True)
def few_trials():
    """The distance is chosen among few, which takes a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"MOST_CANDIDATES": 10, "N_ROUNDS": 2, "N_THINNED": 1}.items():
            patch.setattr(choice, name, value)
        yield


script = load_script("week3/sort_photos")


def rows_of(file):
    with open(file, encoding="utf-8-sig", newline="") as text:
        return list(csv.DictReader(text))


def answers_file(folder, rows):
    path = folder / "answers.csv"
    lines = [",".join(row) for row in [("first", "second", "answer"), *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def sorted_photos(turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "sorted"
    flags = ["--smoke", str(turtles), "--data_dir", str(turtles), "--questions", "6"]
    return script.main([*flags, "--output_dir", str(folder)]), folder


def test_every_photo_is_in_one_proposed_individual(sorted_photos, turtles):
    result, folder = sorted_photos

    rows = rows_of(folder / "individuals.csv")

    assert len(rows) == result["metrics"]["groups"]["photos"] == load_catalogue(turtles).n_images
    assert len({row["image_id"] for row in rows}) == len(rows)
    assert len({row["identity"] for row in rows}) == result["metrics"]["groups"]["groups"]


def test_the_individuals_are_a_catalogue(sorted_photos, turtles, tmp_path):
    rows = (sorted_photos[1] / "individuals.csv").read_text(encoding="utf-8")
    (turtles / "proposed.csv").write_text(rows, encoding="utf-8")

    try:
        catalogue = load_catalogue(turtles / "proposed.csv")
    finally:
        (turtles / "proposed.csv").unlink()

    assert catalogue.n_images == len(rows.splitlines()) - 1
    assert catalogue.has_dates
    assert catalogue.has_sides


def test_a_result_has_the_rates_of_mistakes(sorted_photos):
    stored = json.loads((sorted_photos[1] / "result.json").read_text(encoding="utf-8"))

    rates = stored["metrics"]["misidentification"]
    assert set(rates) == {"missed", "false"}
    assert all({"value", "low", "high"} <= set(rate) for rate in rates.values())


def test_sides_that_nobody_joined_are_said(sorted_photos):
    assert "that nobody joined are two groups and one animal" in sorted_photos[0]["summary"]


def test_pairs_are_asked_in_a_table_and_on_a_page(sorted_photos):
    _, folder = sorted_photos

    asked = rows_of(folder / "pairs.csv")
    page = (folder / "pairs.html").read_text(encoding="utf-8")

    assert 0 < len(asked) <= 6
    assert {row["answer"] for row in asked} == {""}
    assert page.count("<section") == len(asked)
    data = json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', page)[1])
    assert [each["first"] for each in data] == [row["first"] for row in asked]


def test_contradictions_are_named(turtles, tmp_path):
    card = load_checked_card(turtles)[0]
    photos = card.table[card.table["orientation"] == "left"]["image_id"].tolist()[:3]
    a, b, c = photos
    rows = [(a, b, "same"), (b, c, "same"), (a, c, "different")]

    answers, asked = script.read_answers([answers_file(tmp_path, rows)], card)
    line, counts = script.told(Constraints.of(card.n_images, answers), card)

    assert len(asked) == 3
    assert counts == "Answers that count: 2; 1 are left out for now."
    assert "one of these is wrong" in line
    assert photos_of(card, photos) <= set(line.replace(",", "").replace(":", "").split())


def photos_of(card, names):
    return set(card.table.set_index("image_id").loc[names, "path"])


@pytest.fixture(scope="module")
def answered(sorted_photos, turtles, tmp_path_factory):
    """The same folder again, with the table of pairs filled in; and what it asked at first."""
    _, folder = sorted_photos
    asked = rows_of(folder / "pairs.csv")
    text = (folder / "pairs.csv").read_text(encoding="utf-8").splitlines()
    filled = [text[0], *(line.replace(",,", ",same,", 1) for line in text[1:3])]
    filled += [text[3].replace(",,", ",cannot be told,", 1), *text[4:]]
    (folder / "pairs.csv").write_text("\n".join(filled) + "\n", encoding="utf-8")
    # A second file: an answer that surprises counts at the second time.
    twice = [(row["first"], row["second"], "same") for row in asked[:2]]
    more = answers_file(tmp_path_factory.mktemp("answers"), twice)
    flags = ["--smoke", str(turtles), "--data_dir", str(turtles), "--questions", "6"]
    script.main(
        [*flags, "--answers", f"{folder / 'pairs.csv'},{more}", "--output_dir", str(folder)]
    )
    return [(row["first"], row["second"]) for row in asked], folder, filled


def test_answers_are_kept_to_and_never_asked_again(answered):
    asked, folder, _ = answered

    rows = rows_of(folder / "individuals.csv")
    names = {f"photo-{row['image_id']}": row["identity"] for row in rows}
    assert all(names[one] == names[other] for one, other in asked[:2])
    new = {(row["first"], row["second"]) for row in rows_of(folder / "pairs_2.csv")}
    assert not new & set(asked[:3])


def test_a_table_that_a_person_has_filled_in_stays(answered):
    _, folder, filled = answered

    assert (folder / "pairs.csv").read_text(encoding="utf-8").splitlines() == filled
    assert (folder / "pairs_2.html").exists()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("x1", "x2", "same")], "row 2 is about photo x1 (no path), expected two different"),
        ([("", "", "perhaps")], "row 2 says 'perhaps', expected same, different"),
    ],
)
def test_answers_that_cannot_be_used_are_refused(turtles, tmp_path, capsys, rows, words):
    file = answers_file(tmp_path, rows)

    line = refusal_of(
        "week3/sort_photos", capsys, "--smoke", turtles, "--answers", file,
        "--output_dir", tmp_path / "runs",
    )  # fmt: skip

    assert words in line


def test_a_table_of_something_else_is_refused(turtles, tmp_path, capsys):
    file = tmp_path / "table.csv"
    file.write_text("name,age\nanna,3\n", encoding="utf-8")

    line = refusal_of(
        "week3/sort_photos", capsys, "--smoke", turtles, "--answers", file,
        "--output_dir", tmp_path / "runs",
    )  # fmt: skip

    assert "has no column first" in line


def test_a_page_that_is_saved_twice_is_one_answer(turtles, tmp_path):
    card = load_checked_card(turtles)[0]
    first, second = (f"photo-{each}" for each in card.table["image_id"][:2])
    head, row = "first,second,answer,asked", f"{first},{second},different,today"
    (tmp_path / "a.csv").write_text(f"{head}\n{row}\n{row}\n")
    (tmp_path / "b.csv").write_text(f"{head}\n{row.replace('different', 'same')}\n")

    answers, asked = script.read_answers([tmp_path / "a.csv", tmp_path / "b.csv"], card)

    assert [each.is_same for each in answers] == [True]  # of one page, what was saved last
    assert asked == [(0, 1)]


def test_a_row_whose_id_and_path_name_two_photos_is_refused(turtles, tmp_path):
    card = load_checked_card(turtles)[0]
    ids, paths = card.table["image_id"].tolist(), card.table["path"].tolist()
    file = tmp_path / "a.csv"
    file.write_text(f"first,second,answer,first_path\n{ids[0]},{ids[1]},same,{paths[2]}\n")

    with pytest.raises(InputError, match="row 2 is about photo .*expected two different photos"):
        script.read_answers([file], card)


def test_photos_of_one_encounter_alone_are_grouped(tmp_path, turtles):
    folder = tmp_path / "card"
    folder.mkdir()
    for photo in sorted(turtles.glob("photos/*/*"))[:4]:
        shutil.copy(photo, folder)

    flags = [str(folder), "--smoke", "--data_dir", str(turtles), "--gap_minutes", "folder"]
    result = script.main([*flags, "--output_dir", str(tmp_path / "run")])

    assert result["metrics"]["groups"]["photos"] == 4
