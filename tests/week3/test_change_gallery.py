"""A gallery that forgives: what was wrong is put right and taken back; the log tells."""

import contextlib
import json
import os
import shutil
import subprocess
import sys

from common.gallery.enrolment import open_gallery
from common.gallery.history import LOG, renamed_since
from common.runs import Run

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from script_runs import ROOT, refusal_of
from small_galleries import SCRIPT, build, decide, held, refused, save_photos


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


def test_an_older_gallery_that_was_put_in_place_of_a_newer_one_is_told(gallery, capsys):
    build(gallery, "--rename", "anna", "carla")
    build(gallery, "--undo")
    older = (gallery / "gallery.json").read_bytes()
    build(gallery, "--rename", "anna", "dora")
    build(gallery, "--forget", "berta/0.png")
    newer, now = (gallery / "gallery.json").read_bytes(), held(gallery)
    (gallery / "gallery.json").write_bytes(older)

    words = "does not hold: anna is dora now: 3 photos. berta/0.png of berta is forgotten."
    capsys.readouterr()
    open_gallery(gallery)
    assert words in capsys.readouterr().out
    assert words in refused(capsys, gallery, "--rename", "berta", "bella")
    (gallery / "gallery.json").write_bytes(newer)
    assert held(gallery) == now


def test_an_older_gallery_counts_once_a_person_says_so(gallery, capsys):
    build(gallery, "--rename", "berta", "bella")
    older = (gallery / "gallery.json").read_bytes()
    build(gallery, "--rename", "anna", "dora")
    build(gallery, "--forget", "anna/0.png")
    (gallery / "gallery.json").write_bytes(older)

    notes = build(gallery, "--undo")["notes"]

    assert "The older gallery that was put here counts from now on." in notes
    assert set(held(gallery).values()) == {"anna", "bella"}
    log = [" ".join(each["what"]) for each in log_of(gallery)]
    assert [each[:24] for each in log[-2:]] == [
        "Taken back: anna/0.png o",
        "Taken back: anna is dora",
    ]
    assert renamed_since(gallery, "2020") == {"berta": "bella"}
    build(gallery, "--undo")
    assert set(held(gallery).values()) == {"anna", "berta"}


def test_what_an_older_gallery_holds_again_counts_again(gallery, capsys):
    build(gallery, "--rename", "anna", "carla")
    older = {path: path.read_bytes() for path in gallery.iterdir() if path.name[:2] in ("ga", "fa")}
    build(gallery, "--undo")
    for path, content in older.items():
        path.write_bytes(content)
    words = "does not hold: Taken back: anna is carla now"
    assert words in refused(capsys, gallery, "--forget", "berta/0.png")

    build(gallery, "--undo")

    assert set(held(gallery).values()) == {"carla", "berta"}
    assert renamed_since(gallery, "2020") == {"anna": "carla"}


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


def test_a_forgotten_photo_that_comes_back_is_told(gallery, built, capsys):
    build(gallery, "--forget", "anna/1.png")
    build(gallery, "--remove", "berta")
    capsys.readouterr()

    build(gallery, "--add", "--data_dir", built / "data")

    assert "4 photos had been taken out of this gallery before" in capsys.readouterr().out
    assert len(held(gallery)) == 6


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
    again = build(gallery, "--add", "--data_dir", gallery.parent / "season")["notes"]
    assert not any("another animal was called so" in note for note in again)  # nobody joined


def test_what_was_not_known_of_a_photo_is_filled_in_and_what_was_stays(gallery):
    columns = "path,identity,orientation,date"
    build(gallery, *decide(gallery, "new/0.png,anna,,", columns=columns))
    build(gallery, *decide(gallery, "new/0.png,anna,left,2024-05-31", columns=columns))
    build(gallery, *decide(gallery, "new/0.png,anna,left,2024-05-31T10:11:00", columns=columns))
    again = build(gallery, *decide(gallery, "new/0.png,anna,left,2024-05-31", columns=columns))
    facts = {name: values[-1] for name, values in open_gallery(gallery).facts.items()}

    result = build(gallery, *decide(gallery, "new/0.png,anna,right,", columns=columns))

    assert not any("another side or date" in note for note in again["notes"])
    assert (facts["side"], facts["date"]) == ("left", "2024-05-31T10:11:00")
    assert facts["encounter"] == "anna:2024-05-31"
    assert {name: values[-1] for name, values in open_gallery(gallery).facts.items()} == facts
    [note] = [note for note in result["notes"] if "1 photo with another side or date" in note]
    assert "(new/0.png)" in note


def test_a_log_that_a_person_saved_in_another_encoding_is_shown_and_told(gallery, capsys):
    log = gallery / LOG
    log.write_bytes(log.read_bytes() + '{"what": ["André"]}\n'.encode("latin-1"))

    build(gallery, "--list")

    assert f"{log} was changed by somebody" in capsys.readouterr().out


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
