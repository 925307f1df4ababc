"""Rows of a table that says what their photos show find them under other file names."""

from common.data.catalogue import load_catalogue, read_card
from common.data.photo_names import follow, photo_id

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

N_PHOTOS = 5
NAMES = [f"DSC_{n:04}.jpg" for n in range(N_PHOTOS)]
PLACES = [*NAMES, *(f"day 2/{name}" for name in NAMES)]


def photos(folder, *names):
    """A photo for each name, of its own colour; none for None."""
    for number, name in enumerate(names):
        if name is None:
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 12), (20 * number, 200, 90)).save(folder / name)
    return folder


def write_table(folder, paths, boxes=None):
    """Who is on each photo, and what it shows; animal-0 is on the first one."""
    table = pd.DataFrame({"path": paths, "identity": [f"animal-{i}" for i in range(len(paths))]})
    table["content"] = [photo_id(folder / path) for path in paths]
    if boxes:
        table["bbox"] = boxes
    table.to_csv(folder / "metadata.csv", index=False)


def number_anew(folder, order):
    """The photo that had name i gets place order[i]; None: it is deleted."""
    for name in NAMES:
        (folder / name).rename(folder / f"_{name}")
    for name, new in zip(NAMES, order, strict=True):
        old = folder / f"_{name}"
        if new is None:
            old.unlink()
        else:
            (folder / PLACES[new]).parent.mkdir(exist_ok=True)
            old.rename(folder / PLACES[new])


def named(catalogue):
    """Number of each photo that is there, by its colour, to its animal."""
    rows = zip(catalogue.paths(), catalogue.table["identity"], strict=True)
    there = [(photo, name) for photo, name in rows if photo.exists()]
    return {round(Image.open(each).getpixel((8, 6))[0] / 20): name for each, name in there}


@given(
    order=st.permutations([*range(2 * N_PHOTOS), None, None]).map(lambda all_: all_[:N_PHOTOS]),
    rows=st.permutations(range(N_PHOTOS)),
    n_new=st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_names_stay_with_their_photos_whatever_becomes_of_the_files(
    order, rows, n_new, tmp_path_factory
):
    folder = photos(tmp_path_factory.mktemp("card"), *NAMES)
    write_table(folder, [NAMES[i] for i in rows])
    number_anew(folder, order)
    free = [name for name in PLACES if not (folder / name).exists()]
    photos(folder, *[None] * N_PHOTOS, *free[:n_new])

    found = named(read_card(folder))

    assert {i: name for i, name in found.items() if i < N_PHOTOS} == {
        i: f"animal-{n}" for n, i in enumerate(rows) if order[i] is not None
    }
    # A new photo in the place of one that is nowhere may be that one, changed by a program.
    lost = {NAMES[i]: f"animal-{n}" for n, i in enumerate(rows) if order[i] is None}
    assert {i: name for i, name in found.items() if i >= N_PHOTOS} == {
        N_PHOTOS + i: lost.get(name, "") for i, name in enumerate(free[:n_new])
    }


@given(order=st.permutations(range(N_PHOTOS)))
@settings(max_examples=10, deadline=None)
def test_named_animals_stay_with_photos_that_are_numbered_anew(order, tmp_path_factory):
    folder = photos(tmp_path_factory.mktemp("animals"), *NAMES)
    write_table(folder, NAMES)
    number_anew(folder, order)

    assert named(load_catalogue(folder)) == {i: f"animal-{i}" for i in range(N_PHOTOS)}


def test_a_photo_that_takes_the_name_of_one_that_is_gone_keeps_its_own_animal(tmp_path):
    folder = photos(tmp_path, *NAMES)
    write_table(folder, NAMES)
    number_anew(folder, [None, 0, 1, 2, 3])

    catalogue = load_catalogue(folder)

    assert named(catalogue) == {i: f"animal-{i}" for i in range(1, N_PHOTOS)}
    told = {each.kind: each.names for each in catalogue.remarks}
    assert told["gone_photo"] == (NAMES[0],)
    assert f"{NAMES[1]} = {NAMES[0]}" in told["renamed_photo"]


def test_a_new_photo_with_the_name_of_one_that_moved_has_no_animal_yet(tmp_path):
    folder = photos(tmp_path, *NAMES)
    write_table(folder, NAMES[:2])
    number_anew(folder, [2, 1, 0, 3, 4])

    assert named(read_card(folder)) == {0: "animal-0", 1: "animal-1", 2: "", 3: "", 4: ""}


def test_a_photo_that_a_program_has_changed_is_known_by_its_name_and_told(tmp_path):
    folder = photos(tmp_path, *NAMES)
    write_table(folder, NAMES)
    Image.open(folder / NAMES[0]).rotate(180).save(folder / NAMES[0], quality=50)

    catalogue = load_catalogue(folder)

    assert catalogue.table["identity"].tolist() == [f"animal-{i}" for i in range(N_PHOTOS)]
    assert [(e.kind, e.names) for e in catalogue.remarks] == [("changed_photo", (NAMES[0],))]


def test_a_changed_photo_of_another_day_or_with_boxes_is_told(tmp_path):
    folder = photos(tmp_path, *NAMES[:2])
    write_table(folder, NAMES[:2], ["0,0,6,6", "0,0,6,6"])
    table = pd.read_csv(folder / "metadata.csv")
    table.assign(date=["2024-05-31 08:00", "2024-06-01"]).to_csv(folder / "metadata.csv")
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:05:31 10:00:00"
    for name in NAMES[:2]:
        Image.open(folder / name).save(folder / name, exif=exif, quality=50)

    remarks = {each.kind: each for each in load_catalogue(folder).remarks}

    assert "draw them anew" in remarks["changed_photo"].action
    assert remarks["other_day"].names == (f"{NAMES[1]}: 2024-05-31",)


def test_boxes_move_with_their_photo_and_may_be_corrected(tmp_path):
    folder = photos(tmp_path, *NAMES[:2])
    boxes = ["0,0,6,6", "8,0,6,6", "0,0,6,6"]
    write_table(folder, [NAMES[0], NAMES[0], NAMES[1]], boxes)
    corrected = (folder / "metadata.csv").read_text(encoding="utf-8").replace("8,0,6,6", "9,0,6,6")
    (folder / "metadata.csv").write_text(corrected, encoding="utf-8")
    (folder / NAMES[0]).rename(folder / "x.jpg")
    (folder / NAMES[1]).rename(folder / NAMES[0])
    (folder / "x.jpg").rename(folder / NAMES[1])

    table = load_catalogue(folder).table

    rows = table[["path", "bbox", "identity"]].to_numpy().tolist()
    assert rows == [
        [NAMES[1], "0,0,6,6", "animal-0"],
        [NAMES[1], "9,0,6,6", "animal-1"],
        [NAMES[0], "0,0,6,6", "animal-2"],
    ]


def test_a_file_whose_own_name_looks_like_a_box_is_found(tmp_path):
    name = photo_id(photos(tmp_path, "b.jpg") / "b.jpg")

    now, _ = follow(["a#xywh=1,2,3,4.jpg"], [name], tmp_path)

    assert now == ["b.jpg"]


def test_of_two_copies_each_row_has_its_own(tmp_path):
    photos(tmp_path, "a.jpg")
    name = photo_id(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())

    now, _ = follow(["a.jpg", "gone.jpg", "lost.jpg"], [name] * 3, tmp_path)

    assert now == ["a.jpg", "b.jpg", "lost.jpg"]


@pytest.mark.parametrize("text", ["", "a turtle", "photo-12"])
def test_another_text_says_nothing_about_a_photo(text, tmp_path):
    photos(tmp_path, "a.jpg")

    assert follow(["a.jpg"], [text], tmp_path) == (["a.jpg"], [])
