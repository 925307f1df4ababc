"""A person's files are the same before and after, in and around every folder that a script gets."""

import json
import os
import shutil
from argparse import Namespace

from common import own_files, runs
from common.errors import InputError
from common.files import write_text
from common.gallery.enrolment import open_gallery
from common.own_files import begin_list, note, refuse_foreign, remove_own

import pytest
from script_runs import ROOT, load_main, refusal_of

SCRIPTS = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix()
    for week in ("week1", "week2", "week3")
    for path in (ROOT / week).rglob("*.py")
    if "run_script(main)" in path.read_text(encoding="utf-8")
)
BUILD, IDENTIFY = "week3/build_gallery", "week3/identify"
NAMES = [
    "mine.pt", "last.pt", "last_0.pt", "checkpoints/x", "checkpoint_mine_0.pt", "pictures/a.jpg",
    "pictures/ab/a.jpg", "model-2024.safetensors", "facts-2024.json", "result.json", "curves.png",
    "gallery_to_try/gallery.json",
]  # fmt: skip


def write(path, text="a person's"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def plant(folder, elsewhere, names=NAMES):
    """A person's files, and links to a file and to a folder elsewhere."""
    for name in names:
        write(folder / name, f"a person's {name}")
    write(elsewhere / "ab" / "a.jpg")
    write(elsewhere / "last.pt")
    for link in ("zz", "pictures/zz"):
        (folder / link).parent.mkdir(parents=True, exist_ok=True)
        (folder / link).symlink_to(elsewhere, target_is_directory=True)
    (folder / "last_1.pt").symlink_to(elsewhere / "last.pt")


def snapshot(folder):
    """Every file's bytes and every link's target; links are not followed."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or path.is_file()]
    return {path: os.readlink(path) if path.is_symlink() else path.read_bytes() for path in paths}


def theirs_are_in(before, after):
    return all(after.get(path) == content for path, content in before.items())


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_refuses_a_folder_of_a_persons_files(script, tmp_path, capsys, monkeypatch):
    plant(tmp_path / "around" / "results", tmp_path / "around" / "photos")
    write(tmp_path / "around" / "notes.txt")
    monkeypatch.chdir(tmp_path)
    before = snapshot(tmp_path)

    line = refusal_of(script, capsys, "--smoke", "--output_dir", tmp_path / "around" / "results")

    assert "choose another with --output_dir" in line
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["mine.pt", "written.jsonl", "notes/x", "link", "broken"])
def test_one_foreign_file_or_link_is_enough(name, tmp_path):
    (tmp_path / "out").mkdir()
    if name in ("link", "broken"):
        target = tmp_path if name == "link" else tmp_path / "nowhere"
        (tmp_path / "out" / name).symlink_to(target)
    else:
        write(tmp_path / "out" / name)

    with pytest.raises(InputError, match=name):
        start(tmp_path / "out")


@pytest.mark.parametrize("name", ["last.pt", "checkpoints/x.pt"])
def test_a_persons_checkpoint_stays_and_the_run_begins(name, tmp_path, capsys):
    own = write(tmp_path / "out" / name)

    start(tmp_path / "out").finish(metrics={})

    assert f"{own} is no checkpoint of a run here: it stays" in capsys.readouterr().out
    assert own.exists()


def start(folder, **flags):
    return runs.start_run("look_closely.py", Namespace(output_dir=folder, **flags))


@pytest.mark.parametrize("name", ["result.json", "notes/a.txt"])
def test_a_file_of_ours_that_was_changed_is_a_persons(name, tmp_path):
    run = start(tmp_path)
    (tmp_path / "notes").mkdir()
    write_text(tmp_path / "notes" / "a.txt", "ours")
    run.finish(metrics={})
    start(tmp_path)
    write(tmp_path / name, "corrected by hand")

    with pytest.raises(InputError, match=f"changed since.*{name}"):
        start(tmp_path)


def test_files_of_the_system_and_empty_folders_are_nobodys(tmp_path):
    write(tmp_path / ".DS_Store")
    write(tmp_path / "below" / "Thumbs.db")
    for name in (".~lock.decisions.csv#", "~$notes.xlsx", "._sheet.html"):
        write(tmp_path / name)
    (tmp_path / "empty").mkdir()

    start(tmp_path)


def test_runs_in_folders_below_are_neither_foreign_nor_touched(tmp_path):
    inner = start(tmp_path / "inner")
    inner.finish(metrics={"n": 1})
    write(tmp_path / "inner" / "last.pt")
    before = snapshot(tmp_path / "inner")

    start(tmp_path).finish(metrics={"n": 2})
    remove_own(tmp_path, "*")

    assert snapshot(tmp_path / "inner") == before


PHOTOS = [
    ("photos", {"data_dir": "photos"}, "is"),
    ("photos/out", {"data_dir": "photos"}, "lies inside"),
    (".", {"data_dir": "photos"}, "holds"),
    ("by_link/out", {"data_dir": "photos"}, "lies inside"),
    ("photos/out", {"data_dir": "by_link"}, "lies inside"),
    ("photos", {"data_dir": "photos/table.csv"}, "holds"),
    ("photos", {"photos": ["photos/a.jpg"]}, "holds"),
    ("photos/out", {"photos": ["photos"]}, "lies inside"),
]


@pytest.mark.parametrize(("folder", "given", "words"), PHOTOS)
def test_photos_and_results_have_folders_of_their_own(folder, given, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "table.csv"):
        write(tmp_path / "photos" / name)
    (tmp_path / "by_link").symlink_to(tmp_path / "photos", target_is_directory=True)
    before = snapshot(tmp_path)

    with pytest.raises(InputError, match=f" {words} .*--output_dir"):
        start(tmp_path / folder, **given)

    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("given", [{"data_dir": "table.csv"}, {"photos": ["a.jpg"]}])
def test_results_may_lie_beside_a_table_or_a_photo(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    start(None, **given)


def test_only_listed_unchanged_files_behind_no_link_are_removed(tmp_path):
    folder, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    begin_list(folder)
    for name in ("ours.pt", "changed.pt", "replaced.pt", "sub/ours.pt", "moved/ours.pt"):
        (folder / name).parent.mkdir(exist_ok=True)
        write_text(folder / name, "ours")
    plant(folder, elsewhere)
    write(folder / "changed.pt")
    write(elsewhere / "ours.pt", "ours")
    (folder / "replaced.pt").unlink()
    (folder / "replaced.pt").symlink_to(elsewhere / "ours.pt")
    shutil.move(folder / "moved", tmp_path / "moved")
    (folder / "moved").symlink_to(tmp_path / "moved", target_is_directory=True)
    before = snapshot(tmp_path)

    remove_own(folder, "*")

    gone = set(before) - set(snapshot(tmp_path))
    assert gone == {folder / "ours.pt", folder / "sub" / "ours.pt"}
    assert theirs_are_in(snapshot(tmp_path), before)


@pytest.mark.parametrize("name", ["../last.pt", "{}/last.pt", "sub/../../last.pt", "last.pt"])
def test_a_list_from_elsewhere_has_no_say_about_a_persons_files(name, tmp_path):
    own = [write(tmp_path / "last.pt"), write(tmp_path / "out" / "last.pt")]
    begin_list(tmp_path / "out")
    contents = [None] if name == "last.pt" else [None, own_files.checksum(own[0])]
    with (tmp_path / "out" / own_files.LIST).open("a", encoding="utf-8") as file:
        for content in contents:
            line = {"name": name.format(tmp_path.as_posix()), "checksum": content}
            file.write(json.dumps(line) + "\n")

    remove_own(tmp_path / "out", "*")

    assert all(path.exists() for path in own)


def test_without_a_list_nothing_is_removed(tmp_path):
    write(tmp_path / "last.pt")

    remove_own(tmp_path, "last*.pt")

    assert (tmp_path / "last.pt").exists()


@pytest.mark.parametrize("kind", ["file", "link", "folder behind a link"])
def test_a_result_never_takes_the_place_of_a_persons_file(kind, tmp_path):
    run, own = start(tmp_path / "out"), write(tmp_path / "own" / "result.json")
    place = run.folder / "result.json"
    if kind == "file":
        write(place)
    elif kind == "link":
        place.symlink_to(own)
    else:
        (run.folder / "sub").symlink_to(own.parent, target_is_directory=True)
        place = run.folder / "sub" / "result.json"
    before = snapshot(tmp_path)
    before.pop(run.folder / own_files.LIST)  # which notes the attempt

    with pytest.raises(InputError, match="--output_dir"):
        write_text(place, "a result")

    assert theirs_are_in(before, snapshot(tmp_path))
    assert not list(tmp_path.rglob("*.part*"))


def test_a_killed_run_can_be_started_again(tmp_path):
    """Whatever moment it was killed in: while writing, before a rename, while listing."""
    run = start(tmp_path)
    write_text(run.folder / "last.pt", "first epoch")
    note(run.folder / ".last.012.part.pt", None)
    write(run.folder / ".last.012.part.pt", "half of a sec")
    note(run.folder / "last.pt", "0" * 32)
    with (run.folder / own_files.LIST).open("a") as file:
        file.write('{"name": "last.p')

    start(tmp_path).finish(metrics={})

    refuse_foreign(tmp_path)
    remove_own(tmp_path, "last.pt")
    assert not (tmp_path / "last.pt").exists()


def build(folder, *flags):
    return load_main(BUILD)(["--smoke", "--output_dir", str(folder), *map(str, flags)])


@pytest.fixture(scope="module")
def built(turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "gallery"
    build(folder, "--data_dir", turtles)
    return folder


@pytest.fixture
def gallery(built, tmp_path):
    return shutil.copytree(built, tmp_path / "runs" / "gallery")


CHANGES = [["--rename", "t001", "Anna"], ["--remove", "t002"], ["--add"]]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change[0])
def test_a_gallery_is_changed_around_a_persons_files(change, gallery, turtles, tmp_path):
    if change == ["--add"]:
        build(gallery, "--remove", "t001")
        change = ["--add", "--data_dir", shutil.copytree(turtles, tmp_path / "photos")]
    plant(gallery, tmp_path / "elsewhere", [name for name in NAMES if name != "result.json"])
    had = set(open_gallery(gallery).facts["picture"])
    course = set(own_files.listed_files(gallery)) | {gallery / own_files.LIST}
    theirs = {path: each for path, each in snapshot(tmp_path).items() if path not in course}

    build(gallery, *change)

    assert theirs_are_in(theirs, snapshot(tmp_path))
    assert open_gallery(gallery).identities
    left = {path.stem for path in own_files.listed_files(gallery, "pictures/*")}
    assert left >= had  # also of a removed animal, for --undo


@pytest.mark.parametrize("name", ["result.json", "report.html"])
def test_a_result_that_a_person_wrote_stays_while_its_gallery_is_changed(name, gallery):
    own = write(gallery / name)

    build(gallery, "--rename", "t001", "Anna")

    assert own.read_text() == "a person's"
    assert "Anna" in open_gallery(gallery).identities


def test_a_gallery_of_an_earlier_version_gets_its_list(gallery):
    for name in (own_files.LIST, "changes.jsonl", "result.json", "report.html"):
        (gallery / name).unlink()
    write(gallery / "facts-2024.json")

    build(gallery, "--rename", "t001", "Anna")

    assert (gallery / "facts-2024.json").exists()
    assert "Anna" in open_gallery(gallery).identities


def test_photos_in_the_galleries_folder_are_refused(turtles, tmp_path, capsys):
    shutil.copytree(turtles / "photos", tmp_path / "pictures")
    write(tmp_path / "model-2024.safetensors")
    before = snapshot(tmp_path)

    line = refusal_of(
        BUILD, capsys, "--data_dir", tmp_path / "pictures", "--output_dir", tmp_path,
        "--model", "small_cnn", "--weights", "none",
    )  # fmt: skip

    assert "holds" in line
    assert snapshot(tmp_path) == before


def test_trying_identify_leaves_the_galleries_beside_it(gallery, tmp_path):
    write(tmp_path / "notes.txt")
    before = snapshot(tmp_path)

    for _ in range(2):
        load_main(IDENTIFY)(["--smoke", "--output_dir", str(tmp_path / "runs")])

    assert theirs_are_in(before, snapshot(tmp_path))


@pytest.mark.parametrize("script", ["week1/look_at_data", "week1/baseline_cnn"])
def test_a_run_leaves_what_lies_around_its_folder(script, turtles, tmp_path):
    photos = shutil.copytree(turtles, tmp_path / "photos")
    plant(tmp_path / "around", tmp_path / "elsewhere")
    before = snapshot(tmp_path)

    for _ in range(2):
        load_main(script)(["--smoke", "--data_dir", str(photos),
                           "--output_dir", str(tmp_path / "around" / "out")])  # fmt: skip

    after = snapshot(tmp_path)
    assert theirs_are_in(before, after)
    assert all(tmp_path / "around" / "out" in path.parents for path in set(after) - set(before))
    assert not (tmp_path / "around" / "out" / "last.pt").exists()


def given_to(script, photos):
    """Flags that name a person's photos, where a script takes such photos."""
    if "case_studies" in script:
        return []
    one = next((photos / "photos").rglob("*.jpg"))
    return [str(one)] if script == IDENTIFY else ["--data_dir", str(photos)]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_no_script_changes_what_lies_in_and_around_its_folders(
    script, turtles, tmp_path, monkeypatch
):
    """Twice, the second time over results of its own, in a folder that is reached by a link."""
    around, elsewhere = tmp_path / "around", tmp_path / "elsewhere"
    photos = shutil.copytree(turtles, around / "photos")
    plant(around, elsewhere)
    (photos / "photos" / "album").symlink_to(elsewhere, target_is_directory=True)
    (photos / "link.csv").symlink_to(photos / "metadata.csv")
    (tmp_path / "by_link").symlink_to(around, target_is_directory=True)
    before = snapshot(tmp_path)
    monkeypatch.chdir(around)

    for _ in range(2):
        load_main(script)(
            ["--smoke", *given_to(script, photos), "--output_dir", str(tmp_path / "by_link/out")]
        )

    after = snapshot(tmp_path)
    assert theirs_are_in(before, after)
    assert all(around / "out" in path.parents for path in set(after) - set(before))
