"""A gallery that forgives: what was wrong is put right, by row, and taken back; the log tells."""

import contextlib
import json
import os
import shutil
import subprocess
import sys

from common.data.photo_names import photo_id
from common.gallery.enrolment import open_gallery
from common.gallery.history import LOG
from common.gallery.photos import names_of_pictures
from common.runs import Run

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from script_runs import ROOT, load_main, refusal_of

SCRIPT = "week3/build_gallery"


def build(folder, *flags):
    return load_main(SCRIPT)(["--smoke", "--output_dir", str(folder), *map(str, flags)])


def save_photos(folder, n, seed=0):
    """Photos that nobody has seen; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        noise = np.random.default_rng([seed, i]).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    return [f"{i}.png" for i in range(n)]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Three photos each of anna and berta."""
    folder = tmp_path_factory.mktemp("animals")
    for seed, name in enumerate(["anna", "berta"]):
        save_photos(folder / "data" / name, 3, seed)
    build(folder / "gallery", "--data_dir", folder / "data")
    return folder


@pytest.fixture
def gallery(built, tmp_path):
    """A copy that a test may change; photos that it does not hold lie in new/ beside it."""
    save_photos(tmp_path / "new", 3, seed=7)
    return shutil.copytree(built / "gallery", tmp_path / "gallery")


def held(folder):
    """Path to animal."""
    gallery = open_gallery(folder)
    present = gallery.can_be_found()
    paths, names = (gallery.facts[fact][present].tolist() for fact in ("path", "identity"))
    assert len(set(paths)) == len(paths)
    return dict(zip(paths, names, strict=True))


def decide(gallery, *rows, columns="path,identity,decision", name="decisions.csv"):
    file = gallery.parent / name
    file.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return ["--add", "--data_dir", file]


def refused(capsys, gallery, *flags):
    before = held(gallery)
    line = refusal_of(SCRIPT, capsys, "--output_dir", gallery, *flags)
    assert held(gallery) == before
    return line


def log_of(gallery):
    return [json.loads(line) for line in (gallery / LOG).read_text().splitlines()]


@pytest.mark.parametrize("photo", ["anna/1.png", "file", "number"])
def test_a_photo_moves_by_its_path_its_file_or_its_number(gallery, built, photo):
    facts = open_gallery(gallery).facts
    number = facts["picture"][facts["path"] == "anna/1.png"][0][:8]
    named = {"file": built / "data" / "anna" / "1.png", "number": number}.get(photo, photo)

    build(gallery, "--move", named, "berta")

    assert held(gallery)["anna/1.png"] == "berta"
    assert len(held(gallery)) == 6


def test_a_photo_is_forgotten(gallery):
    build(gallery, "--forget", "anna/1.png")

    assert "anna/1.png" not in held(gallery)
    assert len(held(gallery)) == 5


MOVES = [
    (["--move", "anna/1.png", "Bertha"], "no animal named Bertha; near it: berta"),
    (["--move", "anna/1.png", "BERTA", "--new"], "berta, which looks the same"),
    (["--move", "1.png", "berta"], "found 2 photos of that name"),
    (["--move", "anna/9.png", "berta"], "has no such photo"),
    (["--forget", "nobody.png"], "has no such photo"),
    (["--rename", "anna", "Berta "], "which looks the same"),
    (["--rename", "anna", "unknown"], "--keep_names unknown"),
    (["--rename", "anna", "a" * 300], "found a name of 300 letters (aaa"),
    (["--move", "anna/1.png", "NA", "--new"], "--keep_names NA"),
    (["--undo"], "keeps no former state"),
    (["--new", "--undo"], "--new"),
    (["--move", "anna/1.png"], "--move"),
    (["--undo", "--forget", "anna/1.png"], "--undo"),
]


@pytest.mark.parametrize(("flags", "words"), MOVES)
def test_a_change_that_nobody_can_mean_is_refused(gallery, capsys, flags, words):
    assert words in refused(capsys, gallery, *flags)


def test_a_photo_may_move_to_a_new_animal_if_a_person_says_so(gallery):
    build(gallery, "--move", "anna/1.png", "carla", "--new")

    assert held(gallery)["anna/1.png"] == "carla"


CHANGES = [["--move", "anna/1.png", "berta"], ["--forget", "anna/0.png"], ["--remove", "anna"],
           ["--rename", "anna", "Ann"], ["--rename", "anna", "berta", "--join"],
           ["--add", "--data_dir", "new"]]  # fmt: skip


@pytest.mark.parametrize("flags", CHANGES, ids=lambda flags: flags[0])
def test_every_change_can_be_taken_back(gallery, flags, monkeypatch):
    monkeypatch.chdir(gallery.parent)
    save_photos(gallery.parent / "new" / "nemo", 2, seed=9)
    before, facts = held(gallery), open_gallery(gallery).facts
    build(gallery, *flags)
    assert held(gallery) != before

    build(gallery, "--undo")

    assert held(gallery) == before
    after = open_gallery(gallery)
    assert {k: v.tolist() for k, v in after.facts.items()} == {
        k: v.tolist() for k, v in facts.items()
    }
    assert all((gallery / "pictures" / name[:2] / f"{name}.jpg").exists()
               for name in after.facts["picture"])  # fmt: skip


def test_undo_goes_back_step_by_step(gallery, capsys):
    states = [held(gallery)]
    for flags in CHANGES[:3]:
        build(gallery, *flags)
        states.append(held(gallery))

    for state in states[-2::-1]:
        build(gallery, "--undo")
        assert held(gallery) == state
    assert "keeps no former state" in refused(capsys, gallery, "--undo")


@pytest.mark.parametrize("is_add", [True, False])
def test_drawn_turtles_neither_replace_nor_join_a_persons_animals(is_add, gallery, capsys):
    build(gallery, "--rename", "anna", "dora")

    refused(capsys, gallery, "--smoke", *["--add"] * is_add)


def test_an_undo_that_was_stopped_takes_nothing_more_back_when_it_is_given_again(
    gallery, monkeypatch
):
    def stop(*_, **__):
        raise KeyboardInterrupt

    build(gallery, "--rename", "anna", "dora")
    build(gallery, "--rename", "berta", "carla")
    with monkeypatch.context() as patch:
        patch.setattr(Run, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            build(gallery, "--undo")
    for names in ({"dora", "berta"}, {"anna", "berta"}):
        build(gallery, "--undo")
        assert set(held(gallery).values()) == names


def test_an_undo_goes_back_also_after_one_and_photos_that_were_there_already(gallery, built):
    before = held(gallery)
    build(gallery, "--rename", "anna", "dora")
    build(gallery, "--rename", "berta", "carla")
    build(gallery, "--undo")
    build(
        gallery, *decide(gallery, f"{built}/data/berta/0.png,berta,confirmed"), "--photos_elsewhere"
    )

    build(gallery, "--undo")

    assert held(gallery) == before


def test_a_folder_with_a_name_that_was_taken_back_brings_no_other_animal(gallery, capsys):
    save_photos(gallery.parent / "season" / "Annie", 2, seed=9)
    build(gallery, "--rename", "anna", "Annie")
    build(gallery, "--undo")
    build(gallery, "--rename", "anna", "Ann")

    line = refused(capsys, gallery, "--add", "--data_dir", gallery.parent / "season")

    assert "the gallery's Ann was called so before" in line


def test_a_gallery_built_in_place_of_another_can_be_had_back(gallery, built, tmp_path):
    before = held(gallery)
    save_photos(tmp_path / "other" / "nemo", 2, seed=9)
    build(gallery, "--replace", "--data_dir", tmp_path / "other")
    assert set(held(gallery).values()) == {"nemo"}
    notes = build(gallery, "--add", "--data_dir", built / "data")["notes"]
    assert any("6 photos had been taken out of this gallery before" in note for note in notes)
    build(gallery, "--undo")

    build(gallery, "--undo")

    assert held(gallery) == before


def test_the_log_tells_who_did_what_when_and_only_grows(gallery):
    earlier = (gallery / LOG).read_bytes()
    file = decide(gallery, "new/0.png,anna,confirmed")
    build(gallery, *file)
    build(gallery, "--move", "new/0.png", "berta")
    build(gallery, "--undo")

    assert (gallery / LOG).read_bytes().startswith(earlier)
    added, moved, undone = log_of(gallery)[1:]
    assert added["decisions"] == str(file[-1])
    assert len(added["decisions_checksum"]) == 32
    assert "new/0.png: anna before, berta now." in moved["what"]
    assert "new/0.png: anna before, berta now." in " ".join(undone["what"])
    for each in (added, moved, undone):
        assert each["who"]
        assert each["when"].startswith("20")
        assert each["model"].startswith("model-")
    assert undone["checksum"] == added["checksum"] != moved["checksum"]


def test_a_change_whose_line_was_lost_in_a_kill_is_logged_by_the_next(gallery):
    build(gallery, "--rename", "anna", "Ann")
    whole = (gallery / LOG).read_text()
    (gallery / LOG).write_text("".join(whole.splitlines(keepends=True)[:-1]))  # as it was before

    build(gallery, "--rename", "berta", "Bert")

    assert (gallery / LOG).read_text().startswith(whole)
    assert len(log_of(gallery)) == 3


def test_a_log_that_a_person_has_changed_is_left_and_told(gallery, capsys):
    (gallery / LOG).write_text("my notes\n")

    assert LOG in refused(capsys, gallery, "--rename", "anna", "Ann")
    assert (gallery / LOG).read_text() == "my notes\n"


@pytest.mark.parametrize("flags", [("--rename", "anna", "zoe"), ("--list",), ("--undo",)])
def test_a_copy_that_found_no_space_is_no_gallery_until_its_empty_files_are_gone(
    flags, gallery, capsys
):
    build(gallery, "--rename", "anna", "zora")
    build(gallery, "--rename", "zora", "anna")
    for picture in sorted((gallery / "pictures").rglob("*.jpg"))[:2]:
        picture.write_bytes(b"")

    line = refusal_of(SCRIPT, capsys, "--output_dir", gallery, *flags)
    for picture in (gallery / "pictures").rglob("*.jpg"):
        if not picture.stat().st_size:
            picture.unlink()

    assert "2 of " in line
    assert "are empty (pictures/" in line
    build(gallery, *flags)


def test_list_shows_photos_and_changes_and_writes_nothing(gallery, capsys):
    build(gallery, "--rename", "anna", "Ann\x1b[31m")
    before = {path: path.read_bytes() for path in gallery.rglob("*") if path.is_file()}

    shown = build(gallery, "--list")

    assert {path: path.read_bytes() for path in gallery.rglob("*") if path.is_file()} == before
    assert len(shown["photos"]) == 6
    assert shown["changes"][-1]["what"].startswith("anna is Ann")
    assert "berta/2.png" in capsys.readouterr().out


@pytest.mark.parametrize("columns", ["path,identity", "path,identity,decision"])
def test_a_corrected_file_moves_the_photo(gallery, columns):
    answer = ",confirmed" if "decision" in columns else ""
    rows = f"new/0.png,anna{answer}", f"new/1.png,anna{answer}"
    build(gallery, *decide(gallery, *rows, columns=columns))

    result = build(gallery, *decide(gallery, rows[0], f"new/1.png,berta{answer}", columns=columns))

    assert held(gallery)["new/0.png"] == "anna"
    assert held(gallery)["new/1.png"] == "berta"
    assert result["tables"]["Enrolled"][0]["moved"] == 1
    assert "new/1.png: anna before, berta now." in result["notes"]


def test_a_correction_brings_its_date_and_side(gallery):
    columns = "path,identity,orientation,date,decision"
    build(gallery, *decide(gallery, "new/0.png,anna,,,confirmed", columns=columns))
    row = "new/0.png,berta,L,2024-05-31T10:11:00,another animal"
    build(gallery, *decide(gallery, row, columns=columns))

    facts = open_gallery(gallery).facts
    assert [facts[name][-1] for name in ("identity", "side", "date", "encounter")] == [
        "berta", "left", "2024-05-31", "berta:2024-05-31",
    ]  # fmt: skip


def test_a_confirmation_may_turn_into_a_new_individual_and_back(gallery):
    build(gallery, *decide(gallery, "new/0.png,anna,confirmed"))
    build(gallery, *decide(gallery, "new/0.png,carla,new individual"))
    assert held(gallery)["new/0.png"] == "carla"

    build(gallery, *decide(gallery, "new/0.png,anna,confirmed"))

    assert held(gallery)["new/0.png"] == "anna"
    assert "carla" not in held(gallery).values()


def test_a_new_individuals_file_can_be_added_twice_and_grow(gallery):
    rows = "new/0.png,carla,new individual", "new/1.png,carla,new individual"
    build(gallery, *decide(gallery, rows[0]))

    build(gallery, *decide(gallery, *rows))

    assert list(held(gallery).values()).count("carla") == 2


ROWS = [
    ("new/1.png,Anna,another animal", "row 3: 'another animal' Anna, which the gallery lacks"),
    ("new/1.png,ana,confirmed", "near it: anna"),
    ("new/1.png,zzz,Another animal", "row 3"),
    ("new/1.png,anna,new individual", "row 3: 'new individual' anna, but the gallery holds"),
    ("new/1.png,,new individual", "row 3: 'new individual' without a name"),
    ("new/1.png,  ,another animal", "row 3: 'another animal' without a name"),
    ("new/1.png,unknown,confirmed", "row 3: 'confirmed' without a name"),
    ("new/1.png,nan,new individual", "'nan' is none; --keep_names nan if it is one"),
    ("new/1.png,anna,cannot be told", "row 3: 'cannot be told', but with the name anna"),
    ("new/0.png,,cannot be told", "row 3: 'cannot be told', but another row names that photo anna"),
    ("new/1.png,01,new individual\nnew/2.png,1.0,new individual", "another row has 01, which a"),
    ("new/1.png,1,new individual\nnew/2.png,001,new individual", "--keep_names 001"),
    ("new/1.png,anna,maybe", "row 3: the decision 'maybe', expected confirmed"),
    ("../outside/0.png,anna,confirmed", "row 3: the path ../outside/0.png leads out of"),
    ("new/../../0.png,anna,confirmed", "--photos_elsewhere"),
    ("/etc/passwd,anna,confirmed", "row 3: the path /etc/passwd leads out"),
    ("new/1.png,BERTA,new individual", "but the gallery holds berta"),
    ("new/1.png,Bert\u200ba,new individual", "but the gallery holds berta"),
    ("new/1.png,ber\u200bta,new individual", "'new individual' berta, but the gallery holds"),
]


@pytest.mark.parametrize(("row", "words"), ROWS)
def test_an_answer_that_cannot_be_taken_is_refused_by_its_row(gallery, capsys, row, words):
    assert words in refused(capsys, gallery, *decide(gallery, "new/0.png,anna,confirmed", row))


def test_copies_of_a_photo_are_one_photo_to_a_persons_answers(gallery, capsys):
    shutil.copy(gallery.parent / "new" / "0.png", gallery.parent / "new" / "copy.png")
    rows = "new/0.png,anna,confirmed", "new/copy.png,,cannot be told"

    assert "row 3: 'cannot be told', but another" in refused(
        capsys, gallery, *decide(gallery, *rows)
    )


def test_one_animal_in_two_boxes_of_a_photo_is_refused(gallery, capsys):
    rows = 'new/0.png,anna,confirmed,"0,0,3,3"', 'new/0.png,anna,another animal,"3,3,3,3"'
    decisions = decide(gallery, *rows, columns="path,identity,decision,bbox")

    assert "row 3: anna is in two boxes of one photo" in refused(capsys, gallery, *decisions)


def test_a_photo_that_a_person_takes_back_is_named_until_it_is_forgotten(gallery, capsys):
    build(gallery, *decide(gallery, "new/0.png,carla,new individual"))

    line = refused(capsys, gallery, *decide(gallery, "new/0.png,,cannot be told"))

    assert "the gallery has it as carla: --forget it" in line


def test_a_file_of_a_photos_path_and_other_content_is_not_taken_for_it(
    gallery, capsys, monkeypatch
):
    (gallery.parent / "anna").mkdir()
    shutil.copy(gallery.parent / "new" / "0.png", gallery.parent / "anna" / "1.png")
    monkeypatch.chdir(gallery.parent)

    line = refused(capsys, gallery, "--forget", "anna/1.png")

    assert "no such photo, near it: " in line
    assert "anna/1.png of anna (" in line


def test_a_forgotten_photo_that_comes_back_is_told(gallery, built, capsys):
    build(gallery, "--forget", "anna/1.png")
    build(gallery, "--remove", "berta")
    capsys.readouterr()

    build(gallery, "--add", "--data_dir", built / "data")

    assert "4 photos had been taken out of this gallery before" in capsys.readouterr().out
    assert len(held(gallery)) == 6


@pytest.mark.parametrize("asked", ["", "identified 2999-01-01T00:00:00"])
def test_decisions_without_a_time_are_told_where_a_name_moved(asked, gallery, capsys):
    build(gallery, "--rename", "anna", "dora")
    build(gallery, "--rename", "berta", "anna")
    row, columns = "new/0.png,anna,confirmed", "path,identity,decision"

    result = build(gallery, *decide(gallery, f"{row},{asked}", columns=f"{columns},note"))

    assert any("another animal was called so" in note for note in result["notes"]) != bool(asked)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--rename", "carla", "nina"], "'new individual' carla, who was renamed nina"),
        (["--move", "new/0.png", "berta"], "but a later decision (20"),
    ],
)
def test_an_older_file_does_not_undo_what_a_person_did_later(changes, words, gallery, capsys):
    row = "new/0.png,carla,new individual,identified 2000-01-01T00:00:00"
    decisions = decide(gallery, row, columns="path,identity,decision,asked")
    build(gallery, *decisions)
    build(gallery, *decisions)
    build(gallery, *changes)

    assert words in refused(capsys, gallery, *decisions)

    build(gallery, "--undo")
    build(gallery, *decisions)
    assert held(gallery)["new/0.png"] == "carla"


@pytest.mark.parametrize("is_first", [True, False])
def test_of_two_pages_about_a_photo_the_later_one_counts(is_first, gallery, capsys):
    pages = [
        decide(
            gallery,
            f"new/0.png,{name},confirmed,identified 20{year}-01-01T00:00:00",
            columns="path,identity,decision,asked",
            name=f"{name}.csv",
        )
        for name, year in (("anna", 20), ("berta", 21))
    ]
    if is_first:
        build(gallery, *pages[0])
    build(gallery, *pages[1])
    (gallery / LOG).unlink()

    assert "'confirmed' anna, but a later decision (2021-01-01 00:00:00 UTC) made the" in refused(
        capsys, gallery, *pages[0]
    )
    assert held(gallery)["new/0.png"] == "berta"


def test_a_copy_of_a_photo_with_another_name_is_refused_by_its_row(gallery, capsys):
    shutil.copy(gallery.parent / "new" / "0.png", gallery.parent / "new" / "copy.png")
    rows = ["new/0.png,anna,confirmed", "new/copy.png,berta,confirmed", "new/1.png,anna,confirmed"]

    line = refused(capsys, gallery, *decide(gallery, *rows))

    assert "row 2: 'confirmed' anna, but another row names that photo berta" in line


def test_of_a_page_that_was_saved_twice_the_last_one_counts(gallery, capsys):
    asked = "2020-01-01T00:00:00"
    first, last = (
        decide(
            gallery,
            f'new/0.png,{name},confirmed,"identified {asked}, saved {asked.replace("2020", year)}"',
            columns="path,identity,decision,asked",
            name=f"{name}.csv",
        )
        for name, year in (("anna", "2020"), ("berta", "2021"))
    )
    build(gallery, *first)
    build(gallery, *last)

    assert "a later decision (asked 2020-01-01 00:00:00, saved 2021" in refused(
        capsys, gallery, *first
    )


def test_a_decision_that_was_given_again_later_counts_from_then(gallery, capsys):
    columns = "path,identity,decision,asked"
    answer = "new/0.png,{},confirmed,identified {}-01-01T00:00:00"
    for year in (2020, 2022):
        build(gallery, *decide(gallery, answer.format("anna", year), columns=columns))

    words = refused(
        capsys, gallery, *decide(gallery, answer.format("berta", 2021), columns=columns)
    )

    assert "a later decision (2022-01-01 00:00:00 UTC) made the photo one of anna" in words


@pytest.mark.parametrize("way", ["--move", "page"])
@pytest.mark.parametrize("columns", ["path,identity", "path,identity,decision"])
def test_a_table_without_times_does_not_undo_a_decision(way, columns, gallery, capsys):
    table = decide(
        gallery, f"new/0.png,anna{',confirmed' * columns.count('decision')}", columns=columns
    )
    build(gallery, *table)
    row = "new/0.png,berta,another animal,identified 2999-01-01T00:00:00"
    page = decide(gallery, row, columns="path,identity,decision,asked", name="page.csv")
    build(gallery, *(page if way == "page" else ["--move", "new/0.png", "berta"]))

    assert "made" in refused(capsys, gallery, *table)


def test_names_that_a_gallery_built_anew_has_lost_are_told_and_come_back(gallery, built, capsys):
    before = held(gallery)
    build(gallery, "--rename", "anna", "dora")
    build(gallery, "--move", "berta/1.png", "dora")
    build(gallery, *decide(gallery, "new/0.png,dora", columns="path,identity"))
    changed = held(gallery)

    result = build(gallery, "--replace", "--data_dir", built / "data")

    assert held(gallery) == before
    [note] = [note for note in result["notes"] if "--undo brings it back" in note]
    assert note.startswith(
        "Of the gallery that was here, 4 photos have another name (dora is anna now, dora is berta "
        "now), and 1 are not in this one"
    )
    decisions = "new/1.png,anna,confirmed,identified 2000-01-01T00:00:00"
    build(gallery, *decide(gallery, decisions, columns="path,identity,decision,asked"))
    build(gallery, "--undo")
    build(gallery, "--undo")
    assert held(gallery) == changed


@pytest.mark.parametrize("name", ["anna", "ANNA"])
def test_a_folder_with_an_old_name_does_not_tear_an_animal_in_two(name, gallery, capsys):
    save_photos(gallery.parent / "season" / name, 2, seed=8)
    season = ["--add", "--data_dir", gallery.parent / "season"]
    build(gallery, "--rename", "anna", "dora")

    assert f"{name} is new, but the gallery's dora was called so before" in refused(
        capsys, gallery, *season
    )

    result = build(gallery, *season, "--keep_names", name)
    assert f"New animals: {name}." in result["notes"]
    assert not any("another animal was called so" in note for note in result["notes"])


def test_after_names_were_swapped_a_folder_with_one_of_them_is_told(gallery):
    save_photos(gallery.parent / "season" / "anna", 2, seed=8)
    for old, new in (("anna", "x"), ("berta", "anna"), ("x", "berta")):
        told = build(gallery, "--rename", old, new)["notes"]
    assert "berta was the name of anna before: older folders and tables may mean that one." in told

    result = build(gallery, "--add", "--data_dir", gallery.parent / "season")

    [note] = [note for note in result["notes"] if "another animal was called so" in note]
    assert note.startswith("anna: before a change of names")


def test_what_was_not_known_of_a_photo_is_filled_in_and_what_was_stays(gallery):
    columns = "path,identity,orientation,date"
    build(gallery, *decide(gallery, "new/0.png,anna,,", columns=columns))
    build(gallery, *decide(gallery, "new/0.png,anna,left,2024-05-31", columns=columns))
    facts = {name: values[-1] for name, values in open_gallery(gallery).facts.items()}

    result = build(gallery, *decide(gallery, "new/0.png,anna,right,", columns=columns))

    assert (facts["side"], facts["date"]) == ("left", "2024-05-31")
    assert facts["encounter"] == "anna:2024-05-31"
    assert {name: values[-1] for name, values in open_gallery(gallery).facts.items()} == facts
    [note] = [note for note in result["notes"] if "1 photo with another side or date" in note]
    assert "(new/0.png)" in note


def test_a_log_that_a_person_saved_in_another_encoding_is_shown_and_told(gallery, capsys):
    log = gallery / LOG
    log.write_bytes(log.read_bytes() + '{"what": ["André"]}\n'.encode("latin-1"))

    build(gallery, "--list")

    assert f"{log} was changed by somebody" in capsys.readouterr().out


def test_decisions_about_other_photos_of_the_same_names_are_refused(gallery, capsys):
    asked, other = (gallery.parent / "new" / f"{i}.png" for i in (0, 1))
    columns = "path,identity,decision,content"
    right = f"new/0.png,carla,new individual,{photo_id(asked)}"
    wrong = f"new/1.png,dora,new individual,{photo_id(asked)}"

    line = refused(capsys, gallery, *decide(gallery, right, wrong, columns=columns))
    assert "row 3: a photo of that name is here, but of other content" in line

    edited = f"new/1.png,dora,new individual,{photo_id(other)}"
    build(gallery, *decide(gallery, right, edited, columns=columns))
    assert {"carla", "dora"} <= set(held(gallery).values())


def test_a_decision_about_a_photo_that_was_renamed_is_taken(gallery):
    photo = gallery.parent / "new" / "0.png"
    row = f"new/0.png,carla,new individual,{photo_id(photo)}"
    photo.rename(photo.with_name("carla_0.png"))

    build(gallery, *decide(gallery, row, columns="path,identity,decision,content"))

    assert held(gallery)["new/carla_0.png"] == "carla"


def test_decisions_stay_with_photos_whose_files_have_swapped_names(gallery):
    photos = [gallery.parent / "new" / f"{n}.png" for n in (0, 1)]
    names = "carla,new individual", "berta,confirmed"
    rows = [f"new/{n}.png,{names[n]},{photo_id(photos[n])}" for n in (0, 1)]
    photos[0].rename(photos[0].with_name("x.png"))
    photos[1].rename(photos[0])
    photos[0].with_name("x.png").rename(photos[1])

    build(gallery, *decide(gallery, *rows, columns="path,identity,decision,content"))

    assert (held(gallery)["new/0.png"], held(gallery)["new/1.png"]) == ("berta", "carla")


def test_a_decision_about_a_photo_whose_name_another_asked_photo_has_is_refused(gallery, capsys):
    photos = [gallery.parent / "new" / f"{n}.png" for n in (0, 1)]
    rows = [f"new/{n}.png,berta,confirmed,{photo_id(photos[n])}" for n in (0, 1)]
    photos[1].replace(photos[0])

    line = refused(
        capsys, gallery, *decide(gallery, *rows, columns="path,identity,decision,content")
    )

    assert "row 2: the photo that was asked about is not there, and another one" in line


def test_a_decision_about_a_photo_without_content_says_so(gallery, capsys):
    (gallery.parent / "new" / "0.png").write_bytes(b"")

    line = refused(capsys, gallery, *decide(gallery, "new/0.png,anna,confirmed"))

    assert "row 2: the photo is empty (0 bytes)" in line


def test_one_fault_of_several_rows_is_said_once(gallery, capsys):
    rows = [f"new/{n}.png,zoe,confirmed" for n in (0, 1, 2)]

    line = refused(capsys, gallery, *decide(gallery, *rows))

    assert "rows 2, 3, 4: 'confirmed' zoe, which the gallery lacks" in line
    assert line.count("zoe") == 1


def test_a_name_that_a_person_has_corrected_in_the_file_is_taken(gallery):
    photo = next(p for p, n in names_of_pictures(open_gallery(gallery)).items() if n == "anna")

    row = f"new/0.png,berta,confirmed,photo-{photo} anna"
    build(gallery, *decide(gallery, row, columns="path,identity,decision,seen"))

    assert held(gallery)["new/0.png"] == "berta"


@pytest.mark.parametrize("answer", ["confirmed", "another animal"])
@pytest.mark.parametrize("then", ["", " anna"])
def test_who_was_meant_is_the_animal_of_the_photo_that_stood_for_the_name(
    answer, then, gallery, capsys
):
    columns = "path,identity,decision,seen"
    pictures = {name: picture for picture, name in names_of_pictures(open_gallery(gallery)).items()}
    row = f"new/0.png,anna,{answer},photo-{pictures['anna']}{then}"
    build(gallery, "--remove", "anna")
    build(gallery, "--rename", "berta", "anna")

    line = refused(capsys, gallery, *decide(gallery, row, columns=columns))
    assert f"row 2: '{answer}' anna, but the photo that stood for anna is not in this" in line

    row = f"new/0.png,anna,{answer},photo-{pictures['berta']}{then}"
    build(gallery, *decide(gallery, row, columns=columns))
    assert len(held(gallery)) == 4


def test_a_sheets_table_without_its_decisions_is_refused(gallery, capsys):
    file = decide(gallery, "new/0.png,zoe,x,1", columns="path,identity,verdict,probability")

    assert "no column 'decision'" in refused(capsys, gallery, *file)


def test_all_such_rows_are_named_at_once(gallery, capsys):
    line = refused(capsys, gallery, *decide(gallery, *(row for row, _ in ROWS[:6])))

    assert "6 of 6 answers" in line
    assert "row 6" in line


def test_photos_elsewhere_are_taken_if_a_flag_says_so(gallery, tmp_path):
    [name] = save_photos(tmp_path / "elsewhere", 1, seed=11)
    (tmp_path / "sheets").mkdir()
    shutil.move(tmp_path / "gallery", tmp_path / "sheets" / "gallery")
    gallery = tmp_path / "sheets" / "gallery"

    build(gallery, *decide(gallery, f"../elsewhere/{name},anna,confirmed"), "--photos_elsewhere")

    assert list(held(gallery).values()).count("anna") == 4


def test_a_table_moves_no_photo_to_a_name_that_nobody_called_new(gallery, capsys):
    build(gallery, *decide(gallery, "new/0.png,anna", columns="path,identity"))

    line = refused(capsys, gallery, *decide(gallery, "new/0.png,otto", columns="path,identity"))

    assert "no animal is named otto" in line


@pytest.mark.parametrize(
    "taken_out", [["--forget", "new/0.png"], ["--remove", "berta"], ["--replace"]]
)
def test_an_older_page_does_not_bring_a_photo_back_under_a_name_that_was_corrected(
    gallery, built, capsys, taken_out
):
    columns = "path,identity,decision,asked"
    older, later = (
        [f'new/0.png,{name},confirmed,"identified {year}-01-01T00:00:00"']
        for name, year in (("anna", "2020"), ("berta", "2021"))
    )
    build(gallery, *decide(gallery, *older, columns=columns))
    build(gallery, *decide(gallery, *later, columns=columns))
    data = ["--data_dir", built / "data"] if taken_out == ["--replace"] else []
    build(gallery, *taken_out, *data)

    line = refused(capsys, gallery, *decide(gallery, *older, columns=columns))

    assert "a later decision (2021-01-01 00:00:00 UTC) made the photo one of berta" in line
    build(gallery, "--undo")
    assert held(gallery)["new/0.png"] == "berta"


@pytest.mark.parametrize(("year", "name"), [("2021", "berta"), ("2019", "anna")])
def test_the_later_decision_stands_also_for_a_photo_whose_file_has_changed(
    gallery, capsys, year, name
):
    columns = "path,identity,decision,asked"

    def page(name, year):
        row = f'new/0.png,{name},confirmed,"identified {year}-01-01T00:00:00"'
        return decide(gallery, row, columns=columns)

    build(gallery, *page("anna", "2020"))
    tags = PngInfo()
    tags.add_text("Keywords", "reef")
    photo = gallery.parent / "new" / "0.png"
    Image.open(photo).save(photo, pnginfo=tags)

    if name == "berta":
        build(gallery, *page("berta", year))
    else:
        assert "was made one of anna by a decision" in refused(
            capsys, gallery, *page("berta", year)
        )

    assert held(gallery)["new/0.png"] == name


def test_a_name_that_was_written_for_a_join_is_not_taken_once_the_join_is_undone(
    gallery, built, capsys
):
    seen = photo_id(built / "data" / "anna" / "0.png")
    row = f'new/0.png,berta,confirmed,{seen} anna,"identified 2026-01-01T00:00:00"'
    page = decide(gallery, row, columns="path,identity,decision,seen,asked")
    build(gallery, "--rename", "anna", "berta", "--join")
    build(gallery, "--undo")

    line = refused(capsys, gallery, *page)

    assert "the photo that stood for berta shows anna here" in line


def test_a_photo_whose_file_alone_has_changed_does_not_join_again(gallery, built):
    photo = gallery.parent / "data" / "anna" / "0.png"
    shutil.copytree(built / "data", gallery.parent / "data", dirs_exist_ok=True)
    tags = PngInfo()
    tags.add_text("Keywords", "reef")
    Image.open(photo).save(photo, pnginfo=tags)

    result = build(gallery, "--add", "--data_dir", gallery.parent / "data")

    assert result["tables"]["Enrolled"][0]["photos"] == 0
    assert result["tables"]["Enrolled"][0]["there already"] == 6


@pytest.mark.parametrize("is_copy", [True, False])
def test_a_copy_that_was_saved_anew_for_another_animal_is_told(gallery, built, tmp_path, is_copy):
    save_photos(tmp_path / "season" / "dora", 2, seed=9)
    if is_copy:
        picture = Image.open(built / "data" / "anna" / "1.png")
        picture.save(tmp_path / "season" / "dora" / "sent.jpg", quality=80)

    notes = build(gallery, "--add", "--data_dir", tmp_path / "season")["notes"]

    told = [note for note in notes if "dora/sent.jpg of dora beside anna/1.png of anna" in note]
    assert bool(told) == is_copy
    assert any("seems to have had already" in note for note in notes) == is_copy


def test_names_of_which_a_spreadsheet_makes_one_number_are_not_both_taken(gallery, capsys):
    build(gallery, "--rename", "anna", "007")

    line = refused(capsys, gallery, "--rename", "berta", "7")
    assert "7 is new, but the gallery holds 007, which is one number with it" in line

    build(gallery, "--rename", "berta", "7", "--keep_names", "7")
    assert set(held(gallery).values()) == {"007", "7"}


def test_a_gallery_may_become_empty_and_be_filled_again(gallery, capsys):
    build(gallery, "--remove", "anna")
    build(gallery, "--remove", "berta")
    assert held(gallery) == {}
    build(gallery, "--index", "hnsw")
    line = refusal_of("week3/identify", capsys, gallery.parent / "new", "--gallery", gallery,
                      "--output_dir", gallery.parent / "run")  # fmt: skip
    assert "is empty" in line

    build(gallery, *decide(gallery, "new/0.png,carla", columns="path,identity"))

    assert held(gallery) == {"new/0.png": "carla"}
    build(gallery, "--undo")
    build(gallery, "--undo")
    build(gallery, "--undo")
    assert set(held(gallery).values()) == {"berta"}


@pytest.mark.parametrize("sizes", [{"anna": 1}, {"anna": 3}, {"anna": 1, "berta": 1}])
def test_one_animal_or_one_photo_an_animal_is_a_gallery(tmp_path, sizes):
    for seed, (name, n_photos) in enumerate(sizes.items()):
        save_photos(tmp_path / "data" / name, n_photos, seed)

    build(tmp_path / "gallery", "--data_dir", tmp_path / "data")
    build(tmp_path / "gallery", "--forget", "anna/0.png")

    assert len(held(tmp_path / "gallery")) == sum(sizes.values()) - 1


def test_a_gallery_of_an_earlier_version_can_be_changed(gallery):
    for name in ("written.jsonl", LOG):
        (gallery / name).unlink()
    for name in ("result.json", "report.html"):
        (gallery / name).unlink()
    description = json.loads((gallery / "gallery.json").read_text())
    (gallery / "gallery.json").write_text(
        json.dumps({name: description[name] for name in ("format", "files", "report", "about")})
    )

    build(gallery, "--move", "anna/1.png", "berta")
    build(gallery, "--undo")

    assert held(gallery)["anna/1.png"] == "anna"


HOLD = """
import sys, time
from pathlib import Path
from common.own_files import claim
claim(Path(sys.argv[1]))
print("claimed", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextlib.contextmanager
def held_by_another(gallery, seconds):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HOLD, str(gallery), str(seconds)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        yield other
        other.kill()


def test_a_change_waits_for_that_of_another_program(gallery, capsys):
    with held_by_another(gallery, 1):
        build(gallery, "--rename", "anna", "Ann")

    assert "being changed by another program: waiting" in capsys.readouterr().out
    assert "Ann" in held(gallery).values()


def test_a_gallery_that_stays_in_use_is_told(gallery, capsys, monkeypatch):
    monkeypatch.setattr("common.gallery.enrolment.PATIENCE", 0.2)

    with held_by_another(gallery, 60):
        assert "is in use" in refused(capsys, gallery, "--rename", "anna", "Ann")


def test_who_was_killed_keeps_nobody_waiting(gallery, capsys):
    with held_by_another(gallery, 60) as other:
        other.kill()
        other.wait()
        build(gallery, "--rename", "anna", "Ann")

    assert "waiting" not in capsys.readouterr().out


def test_a_gallery_is_read_while_another_program_changes_it(gallery):
    with held_by_another(gallery, 60):
        assert len(held(gallery)) == 6
        assert len(build(gallery, "--list")["photos"]) == 6


def test_an_animal_truly_called_by_a_word_for_unknown_can_be_built(tmp_path):
    for name in ("NA", "anna"):
        save_photos(tmp_path / "photos" / name, 2, seed=len(name))

    build(tmp_path / "g", "--data_dir", tmp_path / "photos", "--keep_names", "NA")

    assert set(held(tmp_path / "g").values()) == {"NA", "anna"}


def test_an_animal_is_named_as_its_folder_is_or_as_the_gallery_keeps_it(gallery):
    build(gallery, "--rename", "anna", " -zoë")

    build(gallery, "--rename", " -zoe\u0308\n", "dora")  # other bytes; a space keeps it from flags

    assert set(held(gallery).values()) == {"berta", "dora"}
    assert log_of(gallery)[-1]["renamed"] == ["-zoë", "dora"]
