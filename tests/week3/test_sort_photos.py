"""An unnamed folder becomes proposed individuals, and a person's answers are kept to."""

import csv
import json
import re
import shutil
from dataclasses import replace
from itertools import pairwise

import pair_answers
from common.data.catalogue import load_catalogue
from common.data.catalogue_checks import load_checked_card
from common.data.photo_names import photo_id, photo_name
from common.errors import InputError
from common.groups.constraints import Constraints
from common.words import counted

import numpy as np
import pandas as pd
import pytest
from named_animals import few_trials  # noqa: F401, pytest takes it
from PIL import Image
from script_runs import load_script, refusal_of

script = load_script("week3/sort_photos")


def rows_of(file):
    with open(file, encoding="utf-8-sig", newline="") as text:
        return list(csv.DictReader(text))


def answers_file(folder, rows, card=None, name="answers.csv", asked=""):
    """Rows of (row of the card, row of it, answer), as pairs.html saves them; or texts as given."""
    path, columns = folder / name, (*pair_answers.ANSWERED, "asked")
    lines = [",".join(columns)]
    for first, second, answer in rows:
        pair = (first, second)
        if card is not None:
            pair = [f"photo-{photo_name(card.paths()[i])}" for i in (first, second)]
        paths = ["a.jpg", "b.jpg"] if card is None else card.table["path"].iloc[[first, second]]
        lines.append(",".join([*pair, answer, *paths, asked]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def unnamed(turtles, tmp_path_factory):
    """The turtles' photos and what is known of them, but for their names."""
    folder = tmp_path_factory.mktemp("unnamed") / "card"
    shutil.copytree(turtles / "photos", folder / "photos")
    table = pd.read_csv(turtles / "metadata.csv", dtype=str, keep_default_na=False)
    table.drop(columns=["identity", "encounter"]).to_csv(folder / "metadata.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def card(unnamed):
    return load_checked_card(unnamed)[0]


@pytest.fixture(scope="module")
def sorted_photos(turtles, unnamed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "sorted"
    flags = ["--smoke", str(unnamed), "--data_dir", str(turtles), "--questions", "6"]
    return script.main([*flags, "--output_dir", str(folder)]), folder


def test_every_photo_is_in_one_proposed_individual(sorted_photos, turtles):
    result, folder = sorted_photos

    rows = rows_of(folder / "individuals.csv")

    assert len(rows) == result["metrics"]["groups"]["photos"] == load_catalogue(turtles).n_images
    assert len({row["content"] for row in rows}) == len(rows)
    assert len({row["identity"] for row in rows}) == result["metrics"]["groups"]["groups"]


def test_a_day_whose_time_nobody_knows_stays_a_day(sorted_photos):
    dates = {row["date"] for row in rows_of(sorted_photos[1] / "individuals.csv")}

    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in dates)


def test_the_individuals_are_a_catalogue(sorted_photos, unnamed):
    rows = (sorted_photos[1] / "individuals.csv").read_text(encoding="utf-8")
    (unnamed / "proposed.csv").write_text(rows, encoding="utf-8")

    try:
        catalogue = load_catalogue(unnamed / "proposed.csv")
    finally:
        (unnamed / "proposed.csv").unlink()

    assert catalogue.n_images == len(rows.splitlines()) - 1
    assert catalogue.table["date"].notna().any()
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


def test_contradictions_are_named(card, tmp_path):
    a, b, c = (int(i) for i in np.flatnonzero(card.sides == "left")[:3])
    file = answers_file(tmp_path, [(a, b, "same"), (b, c, "same"), (a, c, "different")], card)

    answers, asked, *_ = pair_answers.read_answers([file], card)
    line, counts = pair_answers.told(Constraints.of(card.n_images, answers), card)

    assert len(asked) == 3
    assert counts == "Answers that count: 2; 1 is left out for now."
    assert "one of these is wrong" in line
    assert all(path in line for path in card.table["path"].iloc[[a, b, c]])


def test_answers_that_are_left_out_are_told_to_teach_the_distance():
    texts = [pair_answers.learned_from(2, n_left, 0.5, 0.6) for n_left in (0, 1)]

    assert "by answers about 2 pairs of the folder (" in texts[0]
    assert "by answers about 2 pairs of the folder, with those left out (" in texts[1]


@pytest.fixture(scope="module")
def answered(sorted_photos, turtles, unnamed, tmp_path_factory):
    """The same folder again, with the table of pairs filled in; and what it asked at first."""
    folder = shutil.copytree(sorted_photos[1], tmp_path_factory.mktemp("runs") / "answered")
    asked = rows_of(folder / "pairs.csv")
    text = (folder / "pairs.csv").read_text(encoding="utf-8").splitlines()
    filled = [text[0], *(line.replace(",,", ",same,", 1) for line in text[1:3])]
    filled += [text[3].replace(",,", ",cannot be told,", 1), *text[4:]]
    (folder / "pairs.csv").write_text("\n".join(filled) + "\n", encoding="utf-8")
    # A second file: an answer that surprises counts at the second time.
    more = tmp_path_factory.mktemp("answers") / "answers.csv"
    more.write_text("\n".join(filled[:3]).replace(" UTC", " later"), encoding="utf-8")
    flags = ["--smoke", str(unnamed), "--data_dir", str(turtles), "--questions", "6"]
    script.main(
        [*flags, "--answers", f"{folder / 'pairs.csv'},{more}", "--output_dir", str(folder)]
    )
    return [(row["first_path"], row["second_path"]) for row in asked], folder, filled


def test_answers_are_kept_to_and_never_asked_again(answered):
    asked, folder, _ = answered

    rows = rows_of(folder / "individuals.csv")
    names = {row["path"]: row["identity"] for row in rows}
    assert all(names[one] == names[other] for one, other in asked[:2])
    new = {
        (row["first_path"], row["second_path"])
        for row in rows_of(folder / "pairs_2.csv")
        if not row["answer"]
    }
    assert new
    assert not new & set(asked[:3])


def test_the_next_file_has_the_answers_that_were_given(answered):
    rows = rows_of(answered[1] / "pairs_2.csv")
    page = (answered[1] / "pairs_2.html").read_text(encoding="utf-8")

    said = ["same", "same", "cannot be told", "same", "same"]
    assert [row["answer"] for row in rows if row["answer"]] == said
    assert json.dumps(list(rows[0].values())) in page


def test_a_run_with_fewer_answers_than_the_one_before_says_so(answered, tmp_path):
    folder = answered[1]
    given = [row for row in rows_of(folder / "pairs_2.csv") if row["answer"]]
    others = [{**row, "first": f"photo-{n}"} for n, row in enumerate(given)]  # as many

    assert pair_answers.fewer_than_before(folder, given) == []
    assert pair_answers.fewer_than_before(tmp_path, []) == []
    for rows in ([], others):
        [note] = pair_answers.fewer_than_before(folder, rows)
        assert "this one does not: 3. To keep them" in note


def test_a_table_that_a_person_has_filled_in_stays(answered):
    _, folder, filled = answered

    assert (folder / "pairs.csv").read_text(encoding="utf-8").splitlines() == filled
    assert (folder / "pairs_2.html").exists()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("x1", "x2", "same")], "no row is about two photos of"),
        ([("", "", "perhaps")], "row 2 says 'perhaps', expected same, different"),
    ],
)
def test_answers_that_cannot_be_used_are_refused(unnamed, tmp_path, capsys, rows, words):
    file = answers_file(tmp_path, rows)

    line = refusal_of(
        "week3/sort_photos", capsys, "--smoke", unnamed, "--answers", file,
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


def test_a_page_that_is_saved_twice_is_one_answer(card, tmp_path):
    once = answers_file(tmp_path, [(0, 1, "same")] * 2, card, "a.csv", asked="today")
    again = answers_file(tmp_path, [(1, 0, "same")], card, "b.csv", asked="today")

    answers, asked, _, notes = pair_answers.read_answers([once, again], card)

    assert [each.is_same for each in answers] == [True]
    assert asked == [(0, 1)]
    assert notes == []


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_answers_of_one_saving_both_count_and_that_is_told(order, card, tmp_path):
    files = [
        answers_file(tmp_path, [(0, 1, word)], card, f"{word}.csv", asked='"now, saved 2024"')
        for word in ("same", "different")
    ]

    answers, _, _, (note,) = pair_answers.read_answers(files[::order], card)

    assert [each.is_same for each in answers] == [False, True]
    assert "two answers of one saving: 1 (" in note


def test_what_cannot_be_told_when_it_is_asked_again_takes_the_earlier_answer_back(card, tmp_path):
    said = [("2024", "same"), ("2025", "cannot be told"), ("2026", "different")]
    files = [
        answers_file(tmp_path, [(0, 1, word)], card, f"{when}.csv", asked=when)
        for when, word in said
    ]

    assert pair_answers.read_answers(files[:2], card)[0] == []
    assert [each.is_same for each in pair_answers.read_answers(files[::-1], card)[0]] == [False]


@pytest.mark.parametrize("order", [1, -1])
def test_of_one_page_the_last_saving_counts_in_whatever_order_files_are_named(
    order, card, tmp_path
):
    said = [("2024-05-01", "same"), ("2024-05-02", "different")]
    files = [
        answers_file(tmp_path, [(0, 1, word)], card, f"{when}.csv", asked=f'"now, saved {when}"')
        for when, word in said
    ]

    answers, _, _, (note,) = pair_answers.read_answers(files[::order], card)

    assert [each.is_same for each in answers] == [False]
    assert "answered otherwise when the same page was saved before: 1 (" in note


def test_answers_about_photos_that_are_gone_or_others_now_are_passed_over(card, tmp_path):
    file = answers_file(tmp_path, [(0, 1, "same"), (0, 2, "different")], card)
    other = replace(card, table=card.table.drop(index=2).reset_index(drop=True))
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(card.table["path"][1], "DCIM/other.jpg"), encoding="utf-8")

    _, asked, _, (note,) = pair_answers.read_answers([file], other)

    assert asked == [(0, 1)]  # a folder that was renamed hides no photo
    assert "not here (any more): 1" in note


@pytest.fixture
def renumbered(card, unnamed, tmp_path):
    """The card, in which the first photo is gone and each next one has the name of that before."""
    folder = tmp_path / "renumbered"
    shutil.copytree(unnamed, folder)
    names = [folder / path for path in card.table["path"].iloc[:4]]
    for name, following in pairwise(names):
        following.replace(name)
    return replace(card, root=folder, table=card.table.drop(index=3).reset_index(drop=True))


def test_answers_stay_with_photos_that_were_numbered_anew(card, renumbered, tmp_path):
    pairs = [(0, 1, "same"), (1, 2, "same"), (2, 3, "different")]
    files = [answers_file(tmp_path, pairs, card, name) for name in ("one.csv", "copy.csv")]

    answers, _, _, (note,) = pair_answers.read_answers(files, renumbered)

    assert [(e.first, e.second, e.is_same) for e in answers] == [(0, 1, True), (1, 2, False)]
    assert "not here (any more): 1 (" in note  # once, though two files have it
    assert "empty their cells" not in note  # the paths are other photos'


def test_names_stay_with_photos_that_were_numbered_anew(sorted_photos, card, renumbered):
    folder = renumbered.root
    shutil.copy(sorted_photos[1] / "individuals.csv", folder / "metadata.csv")
    was = {row["content"]: row["identity"] for row in rows_of(folder / "metadata.csv")}

    again, report = load_checked_card(folder)

    now = dict(zip(map(photo_id, again.paths()), again.table["identity"], strict=True))
    assert now.items() <= was.items()
    assert again.n_images == card.n_images - 1
    assert "photos that had another name when the table was written: 3 (" in report.text()


def test_tables_of_two_cards_are_put_together_by_hand(unnamed, turtles, tmp_path):
    cards, tables = [tmp_path / "card", tmp_path / "other"], []
    shutil.copytree(unnamed, cards[0])
    shutil.copytree(unnamed, cards[1])
    for number, card in enumerate(cards):
        (card / "metadata.csv").unlink()
        for photo in sorted(card.rglob("*.jpg"))[number::2]:  # none is in both
            photo.unlink()
        flags = ["--smoke", str(card), "--data_dir", str(turtles)]
        script.main([*flags, "--output_dir", str(tmp_path / f"run{number}")])
        tables.append(pd.read_csv(tmp_path / f"run{number}" / "individuals.csv", dtype=str))
    (tmp_path / "both").mkdir()
    for card in cards:
        card.rename(tmp_path / "both" / card.name)
    merged = pd.concat(tables)
    merged.to_csv(tmp_path / "both" / "metadata.csv", index=False)

    table = load_checked_card(tmp_path / "both")[0].table

    assert sorted(table["identity"]) == sorted(merged["identity"])
    assert {path.split("/")[0] for path in table["path"]} == {"card", "other"}


def test_answers_about_photos_that_a_program_wrote_into_count_by_path_once_their_cells_are_empty(
    card, unnamed, tmp_path
):
    file = answers_file(tmp_path, [(0, 1, "same"), (2, 3, "different")], card)
    shutil.copytree(unnamed, tmp_path / "card")
    tagged = replace(card, root=tmp_path / "card")
    for path in tagged.table["path"].iloc[[0, 2]]:  # of the first pair and the second one photo
        (tagged.root / path).write_bytes((tagged.root / path).read_bytes() + b"keyword")

    with pytest.raises(InputError, match="paths are here, with other content: if a program"):
        pair_answers.read_answers([file], tagged)
    emptied = re.sub("(?m)^photo-[^,]*,", ",", file.read_text(encoding="utf-8"))
    file.write_text(re.sub("(?m)^,photo-[^,]*,same", ",,same", emptied), encoding="utf-8")
    answers, _, _, notes = pair_answers.read_answers([file], tagged)

    assert [(each.first, each.second) for each in answers] == [(0, 1), (2, 3)]
    assert notes == []


def test_answers_are_about_the_photos_that_the_folders_table_was_written_for(
    card, unnamed, tmp_path
):
    file = answers_file(tmp_path, [(0, 1, "same")], card)
    shutil.copytree(unnamed, tmp_path / "card")
    contents = [photo_id(path) for path in card.paths()]
    tagged = replace(card, root=tmp_path / "card", table=card.table.assign(content=contents))
    photo = tagged.paths()[0]
    photo.write_bytes(photo.read_bytes() + b"keyword")

    answers, _, _, notes = pair_answers.read_answers([file], tagged)

    assert [(each.first, each.second) for each in answers] == [(0, 1)]
    assert notes == []


def excel(text):
    return "sep=;\n" + text.replace(",", ";")


@pytest.mark.parametrize(
    ("changed", "encoding"),
    [
        (excel, "utf-8"),
        (excel, "utf-16"),
        (str, "utf-8-sig"),
        (lambda text: text.replace(",", "\t"), "utf-16"),
        (lambda text: text.replace(",same,", ", Same ,") + ",,,,,\n\n", "utf-8"),
        (lambda text: text.replace(",same,", ",SAME\xa0,").replace("\n", "\r\n"), "utf-8"),
    ],
)
def test_answers_are_read_as_a_spreadsheet_saves_them(card, tmp_path, changed, encoding):
    file = answers_file(tmp_path, [(0, 1, "same"), (0, 2, "cannot be told")], card)
    file.write_bytes(changed(file.read_text(encoding="utf-8")).encode(encoding))

    answers, asked, _, notes = pair_answers.read_answers([file], card)

    assert [(each.first, each.second, each.is_same) for each in answers] == [(0, 1, True)]
    assert (asked, notes) == ([(0, 1), (0, 2)], [])


def test_a_photo_in_place_of_the_folder_is_told_without_flags_that_nobody_gave(
    card, tmp_path, capsys
):
    photo = card.paths()[0]

    line = refusal_of("week3/sort_photos", capsys, "--smoke", photo, "--output_dir", tmp_path)

    assert f"{photo} is a file of another kind, expected a folder of photos" in line
    assert "--" not in line


def test_another_card_with_photos_of_the_same_names_is_refused(card, unnamed, tmp_path):
    file = answers_file(tmp_path, [(0, 1, "same")], card)
    shutil.copytree(unnamed, tmp_path / "card")
    first, second = (tmp_path / "card" / path for path in card.table["path"][:2])
    shutil.copy(second, first)

    with pytest.raises(InputError, match="no row is about two photos of"):
        pair_answers.read_answers([file], replace(card, root=tmp_path / "card"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["Bella", "Cleo"], ["Bella", "Cleo", "Bella", "animal-001", "animal-002"]),
        (["Bella", "animal-004"], ["Bella", "animal-004", "Bella", "animal-005", "animal-006"]),
        (["", "animal-7-e1ab"], ["animal-008", "animal-7-e1ab", "animal-008", "animal-009"]),
        (["Animal 1200", ""], ["Animal 1200", "animal-1201", "Animal 1200", "animal-1202"]),
    ],
)
def test_names_that_the_folder_has_are_kept_and_given_to_nobody_else(card, given, expected):
    table = card.table.assign(identity="")
    table.loc[[0, 1], "identity"] = given
    labels = np.arange(card.n_images)
    labels[2:] = [0, *range(2, card.n_images - 1)]  # the third photo in the first one's group

    names, (note,) = script.names_of(replace(card, table=table), labels, table["identity"])

    mark = f"-{script.mark_of(card, labels)}"
    assert [name.removesuffix(mark) for name in names[: len(expected)]] == expected
    assert len(set(names)) == labels.max() + 1
    assert counted(2 - given.count(""), "photo") in note


def test_the_same_card_sorted_otherwise_gives_no_name_of_the_first_time(card):
    one, other = np.zeros(card.n_images, int), np.arange(card.n_images)

    names = [set(script.names_of(card, each, [""] * card.n_images)[0]) for each in (one, other)]

    assert not names[0] & names[1]


def test_the_first_animals_of_two_folders_have_two_names(card):
    other = replace(card, table=card.table.assign(date=card.table["date"] + pd.Timedelta(days=1)))

    names = [
        script.names_of(each, np.zeros(card.n_images, int), [""] * card.n_images)[0][0]
        for each in (card, other)
    ]

    assert names[0] != names[1]
    assert all(script.PROPOSED.fullmatch(name)[1] == "001" for name in names)


@pytest.fixture(scope="module")
def half_named(unnamed, turtles, tmp_path_factory):
    """The folder with some names in its table, and answers that deny three of them; the run."""
    folder = tmp_path_factory.mktemp("half") / "card"
    shutil.copytree(unnamed, folder)
    table = pd.read_csv(folder / "metadata.csv", dtype=str, keep_default_na=False)
    table["identity"] = ["Bella", "Dora", "Bella", "animal-004", *[""] * (len(table) - 4)]
    table.to_csv(folder / "metadata.csv", index=False)
    card = load_checked_card(folder)[0]
    row_of = {path: row for row, path in enumerate(card.table["path"])}
    bella, dora, other, proposed = (row_of[path] for path in table["path"][:4])
    rows = [(bella, dora, "same"), (bella, other, "different"), (dora, proposed, "same")]
    file = answers_file(folder.parent, rows, card)
    flags = ["--smoke", str(folder), "--data_dir", str(turtles), "--answers", str(file)]
    return script.main([*flags, "--output_dir", str(folder.parent / "run")]), folder.parent, table


def test_numbers_are_those_of_the_individuals_where_names_are_kept(half_named):
    result, folder, table = half_named

    rows = pd.DataFrame(rows_of(folder / "run" / "individuals.csv"))
    sizes = rows["identity"].value_counts()
    assert result["metrics"]["groups"]["groups"] == len(sizes)
    assert result["metrics"]["groups"]["photos in the largest group"] == sizes.max()
    assert result["metrics"]["groups"]["groups of one photo"] == (sizes == 1).sum()
    names = rows.set_index("path")["identity"]
    given = ["Bella", "Dora", "Bella", "Dora"]  # an answer joins the last one, which was proposed
    assert names[table["path"][:4]].tolist() == given
    assert "Proposed names that answers speak against are given up: animal-004." in result["notes"]


def test_answers_that_deny_names_are_said_with_the_names(half_named):
    result, _, table = half_named

    bella, dora, other, _ = table["path"][:4]
    notes = "\n".join(result["notes"])
    assert f"{bella} (Bella) = {dora} (Dora) is left out" in notes
    assert f"{bella} (Bella) ≠ {other} (Bella) is left out" in notes
    assert "Answers that count: 1; 2 are left out for now." in notes
    assert "correct its table where an answer is right" in notes


def test_a_persons_columns_go_along(half_named, turtles):
    _, folder, table = half_named
    shutil.copytree(folder / "card", folder / "noted")
    noted = table.assign(sex="f", identity=["Bella", *[""] * (len(table) - 1)])
    noted.to_csv(folder / "noted" / "metadata.csv", index=False)

    flags = ["--smoke", str(folder / "noted"), "--data_dir", str(turtles)]
    result = script.main([*flags, "--output_dir", str(folder / "noted_run")])

    assert {row["sex"] for row in rows_of(folder / "noted_run" / "individuals.csv")} == {"f"}
    assert any("keep a copy of the one that is there" in note for note in result["notes"])


def test_names_that_a_sorting_proposed_prove_nothing(sorted_photos, unnamed, turtles, tmp_path):
    result, folder = sorted_photos
    shutil.copytree(unnamed, tmp_path / "card")
    shutil.copy(folder / "individuals.csv", tmp_path / "card" / "metadata.csv")

    flags = ["--smoke", str(tmp_path / "card"), "--data_dir", str(turtles)]
    again = script.main([*flags, "--output_dir", str(tmp_path / "run")])

    mistakes = [each["metrics"]["misidentification"] for each in (result, again)]
    assert mistakes[0] == mistakes[1]
    assert (tmp_path / "run" / "pairs.csv").exists()
    assert any("with a name that a sorting proposed" in note for note in again["notes"])
    before, after = (rows_of(each / "individuals.csv") for each in (folder, tmp_path / "run"))
    assert {row["path"]: row["identity"] for row in before} == {
        row["path"]: row["identity"] for row in after
    }


def test_photos_of_one_encounter_alone_are_grouped(tmp_path, turtles):
    folder = tmp_path / "card"
    folder.mkdir()
    for photo in sorted(turtles.glob("photos/*/*"))[:4]:
        shutil.copy(photo, folder)

    flags = [str(folder), "--smoke", "--data_dir", str(turtles), "--gap_minutes", "folder"]
    result = script.main([*flags, "--output_dir", str(tmp_path / "run")])

    assert result["metrics"]["groups"]["photos"] == 4


def test_of_one_group_that_may_have_swallowed_others_pairs_are_asked(tmp_path, turtles):
    folder = tmp_path / "card"
    folder.mkdir()
    photo = Image.open(sorted(turtles.glob("photos/*/*"))[0])
    for quality in range(80, 96, 2):
        photo.save(folder / f"{quality}.jpg", quality=quality)

    flags = [str(folder), "--smoke", "--data_dir", str(turtles), "--questions", "3"]
    result = script.main([*flags, "--output_dir", str(tmp_path / "run")])

    assert result["metrics"]["groups"]["groups"] == 1
    assert any("holds 8 of 8 photos" in note for note in result["notes"])
    assert len(rows_of(tmp_path / "run" / "pairs.csv")) == 3
