"""What lies beside photos: systems' folders, other formats, pipes, what may not be read."""

import os
from contextlib import nullcontext

from common.data.catalogue import load_catalogue, read_card
from common.data.catalogue_checks import leave_out_unusable
from common.data.catalogue_folders import find_images
from common.data.class_folders import read_class_folders
from common.errors import InputError
from common.own_files import begin_list, checksum, note, sign
from identify import photos_of

import numpy as np
import pytest
from PIL import Image


def photo(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def animals(tmp_path):
    """Two animals with three photos each."""
    for seed in range(6):
        photo(tmp_path / "animals" / "ab"[seed % 2] / f"{seed}.jpg", seed)
    return tmp_path / "animals"


def problem(report, kind):
    return next((each for each in report.problems if each.kind == kind), None)


@pytest.mark.parametrize(
    "folder",
    [
        "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found",
        "__MACOSX", ".thumbnails", ".Trash-1000", ".@__thumb", "@Recycle", "Roll.lrdata", "THMBNL",
    ],
)  # fmt: skip
@pytest.mark.parametrize("above", ["", "a"])
def test_folders_of_systems_are_no_animals(folder, above, animals):
    photo(animals / above / folder / "deeper" / "thumb.jpg", 9)

    catalogue = load_catalogue(animals)

    assert catalogue.identities == ["a", "b"]
    assert catalogue.n_images == 6
    names = [name for each in catalogue.remarks for name in each.names]
    assert names == ([] if folder.startswith(".") else [f"{above}/{folder}".strip("/")])


@pytest.mark.parametrize("name", ["._0.jpg", ".DS_Store", "Thumbs.db", "desktop.ini"])
def test_files_of_systems_are_passed_over_in_silence(name, animals):
    (animals / "a" / name).write_bytes(b"x")

    _, report = leave_out_unusable(load_catalogue(animals))

    assert not [each for each in report.problems if each.kind != "one_encounter"]


def closed(monkeypatch, *names):
    """Folders of these names may not be read, as if they were another user's."""
    scan = os.scandir

    def scandir(path):
        if os.path.basename(path) in names:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("common.data.catalogue_folders.os.scandir", scandir)


@pytest.mark.parametrize("has_table", [False, True])
def test_folders_that_may_not_be_read_are_named_and_passed_over(has_table, animals, monkeypatch):
    (animals / "other season").mkdir()
    (animals / "a" / "private").mkdir()
    if has_table:
        rows = [f"{name}/{i}.jpg,{name}" for i, name in enumerate("ababab")]
        (animals / "metadata.csv").write_text("\n".join(["path,identity", *rows]))
    closed(monkeypatch, "other season", "private")

    catalogue, report = leave_out_unusable(load_catalogue(animals))

    assert catalogue.n_images == 6
    assert problem(report, "closed_folder").names == ("a/private", "other season")


def test_a_folder_that_may_not_be_read_at_all_is_an_error_with_the_reason(animals, monkeypatch):
    closed(monkeypatch, "animals")

    with pytest.raises(InputError, match="0 photos .*folders that may not be read: 1"):
        load_catalogue(animals)


@pytest.mark.parametrize("name", ["c.AVIF", "b.jxl", "d.NEF", "e.cr3", "f.dng"])
def test_photos_in_other_formats_are_named_with_the_way_to_convert(name, animals):
    (animals / "a" / name).write_bytes(b"\0\0\0\x18ftypavif")

    _, report = leave_out_unusable(load_catalogue(animals))
    photos, notes = photos_of([animals / "a"])

    assert problem(report, "to_convert").names == (f"a/{name}",)
    assert "save them as JPEG" in report.text()
    assert len(photos) == 3
    assert any(name in note and "save them as JPEG" in note for note in notes)


def test_other_formats_alone_are_an_error_with_the_way_to_convert(tmp_path):
    for animal in "ab":
        (tmp_path / animal).mkdir()
        (tmp_path / animal / "1.AVIF").write_bytes(b"\0\0\0\x18ftypavif")

    for read in (load_catalogue, read_class_folders, lambda folder: photos_of([folder])):
        with pytest.raises(InputError, match=r"a/1\.AVIF.*save them as JPEG"):
            read(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="has no pipes")
@pytest.mark.parametrize("name", ["pipe.jpg", "pipe.HEIC", "pipe"])
def test_a_pipe_beside_photos_is_passed_over(name, animals):
    os.mkfifo(animals / "a" / name)

    catalogue, _ = leave_out_unusable(load_catalogue(animals))

    assert catalogue.n_images == 6
    assert len(photos_of([animals / "a"])[0]) == 3
    assert len(read_class_folders(animals).paths) == 6


def break_photos(folder):
    """An empty file, a truncated one and one of text beside good photos."""
    whole = (folder / "a" / "0.jpg").read_bytes()
    for name, content in {"x": b"", "y": whole[: len(whole) // 2], "z": b"text"}.items():
        (folder / "a" / f"{name}.jpg").write_bytes(content)


def test_bad_photos_of_a_catalogue_are_listed_with_the_reasons(animals):
    break_photos(animals)

    catalogue, report = leave_out_unusable(load_catalogue(animals))

    assert catalogue.n_images == 6
    last = report.text().splitlines()[-4:]
    assert last[0].startswith("Photos passed over")
    assert [line.split(":")[0].strip() for line in last[1:]] == ["a/x.jpg", "a/y.jpg", "a/z.jpg"]
    assert len(list((animals / "a").iterdir())) == 6


def test_of_very_many_bad_photos_the_first_are_listed(animals):
    for i in range(130):
        (animals / "a" / f"bad {i}.jpg").touch()

    text = leave_out_unusable(load_catalogue(animals))[1].text()

    assert text.count("is empty") == 100
    assert text.endswith("… and 30 more")


def test_bad_photos_of_class_folders_are_listed_with_the_reasons(animals):
    break_photos(animals)

    photos = read_class_folders(animals)

    assert len(photos.paths) == 6
    assert [note.split(":")[0] for note in photos.notes][-3:] == ["a/x.jpg", "a/y.jpg", "a/z.jpg"]


def test_bad_photos_among_queries_are_listed_with_the_reasons(animals):
    break_photos(animals)

    photos, notes = photos_of([animals / "a", animals / "a" / "0.jpg", animals / "a" / "x.jpg"])

    assert [path.name for path in photos] == ["0.jpg", "2.jpg", "4.jpg"]
    assert notes[0].startswith("photos that cannot be read: 3")
    assert [note.split("/")[-1].split(":")[0] for note in notes[-3:]] == ["x.jpg", "y.jpg", "z.jpg"]


def test_nothing_but_bad_queries_is_one_error_with_the_reasons(tmp_path):
    for name in "abcd":
        (tmp_path / f"{name}.jpg").touch()

    with pytest.raises(InputError, match=r"a\.jpg: is empty"):
        photos_of([tmp_path])


@pytest.mark.parametrize("name", ["candidates.png", "pictures/ab/x.jpg", "curves.jpg"])
@pytest.mark.parametrize("below", ["", "season/"])
def test_pictures_that_the_course_made_are_no_photos(name, below, tmp_path):
    run = tmp_path / f"{below}results"
    made = run / name
    made.parent.mkdir(parents=True)
    begin_list(run)
    sign(run, "identify.py")
    for file in (made, run / "own.jpg", tmp_path / "photo.jpg"):
        file.write_bytes(b"x")
    note(made, checksum(made))

    found = find_images(tmp_path)

    assert found.photos == ["photo.jpg", f"{below}results/own.jpg"]
    assert found.results == [f"{below}results/{name}"]
    assert find_images(made.parent).results == [made.name]
    assert "of an earlier run" in found.problems()[0].text()


@pytest.mark.parametrize("target", ["..", "../..", "."])
def test_links_to_a_folder_above_are_named_and_not_followed(target, tmp_path):
    (tmp_path / "above.jpg").write_bytes(b"x")
    (tmp_path / "photos" / "anna").mkdir(parents=True)
    (tmp_path / "photos" / "anna" / "1.jpg").write_bytes(b"x")
    (tmp_path / "photos" / "up").symlink_to(target, target_is_directory=True)

    found = find_images(tmp_path / "photos")

    assert found.photos == ["anna/1.jpg"]
    assert found.back == ["up"]
    assert "links to a folder above" in found.problems()[0].text()


@pytest.mark.parametrize("place", ["anna/tob", "dora", "berta/x/y"])
def test_links_to_another_animals_folder_are_named(place, tmp_path):
    for name in ("anna", "tobi/left", "berta/x"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "tobi" / "left" / "1.jpg").write_bytes(b"x")
    (tmp_path / place).symlink_to(tmp_path / "tobi", target_is_directory=True)

    found = find_images(tmp_path)

    assert found.photos == sorted([f"{place}/left/1.jpg", "tobi/left/1.jpg"])
    assert found.twice == [place]
    assert "found twice: take the links out" in found.problems()[0].text()


def test_a_folder_of_one_animal_is_told_where_folders_are_looked_for(tmp_path):
    photo(tmp_path / "a" / "1.jpg", 1)

    with pytest.raises(InputError, match="name the folder above them"):
        load_catalogue(tmp_path)


@pytest.mark.parametrize("name", ["2024-05-01 Reef", "20240501", "01.05.2024", "100CANON", "DCIM"])
def test_folders_of_a_day_or_a_camera_are_questioned(name, animals):
    (animals / "a").rename(animals / name)

    [found] = [each for each in load_catalogue(animals).remarks if each.kind == "no_names"]

    assert found.names == (name,)
    assert "sort_photos.py" in found.text()


@pytest.mark.parametrize(("names", "is_refused"), [("anna,berta", True), ("anna,NA", False)])
def test_folders_whose_own_tables_name_several_animals_are_no_animals(names, is_refused, animals):
    rows = [f"{n}.jpg,{name}" for n, name in enumerate(names.split(","))]
    (animals / "a" / "metadata.csv").write_text("\n".join(["path,identity", *rows]))

    with pytest.raises(InputError, match="names 2 animals") if is_refused else nullcontext():
        load_catalogue(animals)


def test_a_table_further_down_of_a_card_is_told_to_be_passed_over(tmp_path):
    photo(tmp_path / "DCIM" / "100CANON" / "1.jpg", 1)
    (tmp_path / "DCIM" / "100CANON" / "Metadata.csv").write_text("path,identity\n1.jpg,anna\n")

    [told] = read_card(tmp_path).remarks[:1]

    assert told.text() in photos_of([tmp_path])[1]
    assert "further down: 1 (DCIM/100CANON/Metadata.csv); passed over" in told.text()
    assert "further down" not in str(read_card(tmp_path / "DCIM" / "100CANON").remarks)


def test_a_spreadsheet_beside_photos_is_told(animals):
    (animals / "metadata.xlsx").touch()

    [problem] = find_images(animals).problems()

    assert problem.text().startswith("spreadsheets that are not read: 1 (metadata.xlsx)")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such folder")
def test_a_folder_with_a_colon_is_no_drive(animals):
    (animals / "b").rename(animals / "b:c")

    assert load_catalogue(animals).identities == ["a", "b:c"]
