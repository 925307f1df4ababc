"""Two animals of one photo stay two, in training, gallery, answers and a person's decisions."""

import json
import shutil

from common.data.catalogue import load_catalogue
from common.data.images import read_photos
from common.data.photo_files import BOX_MARK, file_and_box
from common.errors import InputError
from common.gallery.decisions import check_decisions
from common.gallery.enrolment import open_gallery
from common.gallery.photos import find_photo
from common.splits.study import Study
from common.turtles.card import draw_card

import numpy as np
import pandas as pd
import pytest
from script_runs import load_main, refusal_of


def start(script, *flags):
    return load_main(f"week3/{script}")([str(flag) for flag in flags])


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A generated card whose table names the animals."""
    folder = tmp_path_factory.mktemp("pairs")
    draw_card(folder / "card", folder / "truth.csv", 24, 5, photo_size=32, progress=False)
    shutil.move(folder / "truth.csv", folder / "card" / "metadata.csv")
    return folder / "card"


@pytest.fixture(scope="module")
def gallery(pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    network = ["--model", "small_cnn", "--weights", "none", "--image_size", "32"]
    start("build_gallery", "--data_dir", pairs, "--output_dir", folder, *network)
    return folder


def both_of_one(catalogue):
    """Rows of the two animals of one photo."""
    rows = np.flatnonzero(catalogue.table["path"].duplicated(keep=False))
    return rows[catalogue.table["path"].iloc[rows] == catalogue.table["path"].iloc[rows[0]]]


def test_two_animals_of_one_photo_are_two_pictures_for_the_training(pairs):
    catalogue = load_catalogue(pairs)
    rows = both_of_one(catalogue)

    pixels = read_photos([catalogue.paths()[row] for row in rows], 16, progress=False)

    assert catalogue.table["identity"].iloc[rows].nunique() == 2
    assert (pixels[0] != pixels[1]).any()


def test_two_animals_of_one_photo_are_two_in_the_stored_answers(pairs):
    catalogue = load_catalogue(pairs)
    rows = both_of_one(catalogue)

    answers = Study(catalogue, None, None).answers(rows, np.array(["t001", "t001"]))

    assert answers["photo"].nunique() == 2
    assert answers["photo"].str.contains(BOX_MARK).all()


def test_two_animals_of_one_photo_are_two_in_a_gallery(pairs, gallery):
    catalogue, facts = load_catalogue(pairs), open_gallery(gallery).facts

    assert len(facts["identity"]) == catalogue.n_images
    assert len(set(facts["picture"])) == catalogue.n_images
    assert sorted(facts["path"]) == sorted(catalogue.names())


def test_the_file_of_a_photo_with_boxes_is_known_in_a_gallery(pairs, gallery):
    catalogue, whole = load_catalogue(pairs), open_gallery(gallery)
    both = both_of_one(catalogue)
    alone = int(np.flatnonzero(~catalogue.table["path"].duplicated(keep=False))[0])

    (row,) = find_photo(whole, str(pairs / catalogue.table["path"][alone]))

    assert whole.facts["path"][row] == catalogue.names()[alone]
    with pytest.raises(InputError, match="found 2 photos of that name"):
        find_photo(whole, str(pairs / catalogue.table["path"][both[0]]))
    (row,) = find_photo(whole, str(catalogue.paths()[both[0]]))
    assert whole.facts["path"][row] == catalogue.names()[both[0]]


def test_an_animal_in_two_boxes_of_one_photo_is_told(pairs, gallery, tmp_path):
    catalogue = load_catalogue(pairs)
    both = both_of_one(catalogue)
    one, other = catalogue.table["identity"].iloc[both]
    table = pd.read_csv(pairs / "metadata.csv", dtype=str, keep_default_na=False)
    table.loc[table["identity"] == other, "identity"] = one
    table.to_csv(pairs / "slip.csv", index=False)

    remarks = load_catalogue(pairs / "slip.csv").remarks
    shutil.copytree(gallery, tmp_path / "gallery")
    flags = ["--output_dir", tmp_path / "gallery", "--rename", other, one, "--join"]
    notes = start("build_gallery", *flags)["notes"]

    path = catalogue.table["path"].iloc[both[0]]
    (told,) = (each.names for each in remarks if each.kind == "twice_in_photo")
    assert f"{one} in {path}" in told
    assert not [e for e in catalogue.remarks if e.kind == "twice_in_photo"]
    assert any(f"{one} is in two boxes of one photo now ({path})" in note for note in notes)


def test_a_folder_with_boxes_asks_about_each_animal_in_it(pairs, gallery, tmp_path):
    result = start(
        "identify",
        pairs,
        "--gallery",
        gallery,
        "--output_dir",
        tmp_path / "out",
        "--seconds_per_query",
        0.01,
    )

    n_rows = load_catalogue(pairs).n_images
    answers = result["metrics"]["answers"]
    assert len(answers) == n_rows
    assert all("itself is in the gallery" in " ".join(each["remarks"]) for each in answers)
    sheet = (tmp_path / "out" / "sheet.html").read_text("utf-8")
    asked = json.loads(sheet.split('data-key="')[1].split(">", 1)[1].split("</script>")[0])
    n_boxes = int(pd.read_csv(pairs / "boxes.csv")["bbox"].notna().sum())
    assert sum(BOX_MARK in each["photos"][0] for each in asked) == n_boxes


def test_a_photo_of_a_card_asks_about_each_animal_in_it(pairs, gallery, tmp_path):
    catalogue = load_catalogue(pairs)
    both = {catalogue.names()[row] for row in both_of_one(catalogue)}
    photo = pairs / file_and_box(min(both))[0]
    flags = photo, "--gallery", gallery, "--output_dir", tmp_path / "out"

    answers = start("identify", *flags)["metrics"]["answers"]

    assert len(answers) == len(both) == 2
    assert all("itself is in the gallery" in " ".join(each["remarks"]) for each in answers)


@pytest.mark.parametrize("table", ["shop,price\nreef,3\n", "bbox,path\n1,2,3\n", ""])
def test_a_table_of_something_else_above_a_photo_is_passed_over(table, pairs, gallery, tmp_path):
    (tmp_path / "photos").mkdir()
    source = pairs / load_catalogue(pairs).table["path"].iloc[0]
    photo = shutil.copy(source, tmp_path / "photos" / source.name)
    (tmp_path / "metadata.csv").write_text(table, encoding="utf-8")

    result = start("identify", photo, "--gallery", gallery, "--output_dir", tmp_path / "out")

    assert len(result["metrics"]["answers"]) == 1


def test_a_photo_beside_boxes_without_a_box_is_refused(gallery, pairs, tmp_path, capsys):
    source = pairs / load_catalogue(pairs).table["path"].iloc[0]
    photo = shutil.copy(source, tmp_path / source.name)
    (tmp_path / "boxes.csv").write_text(f"path,xmin,xmax\n{photo.name},3,9\n", encoding="utf-8")

    said = refusal_of("week3/identify", capsys, str(photo), "--gallery", str(gallery))

    assert "has the columns path, xmin, xmax, expected also bbox" in said


def test_two_animals_of_one_photo_are_no_encounter_of_one(pairs, gallery, tmp_path, capsys):
    photo = pairs / load_catalogue(pairs).table["path"].iloc[both_of_one(load_catalogue(pairs))[0]]
    flags = str(photo), "--same_encounter", "--gallery", str(gallery)

    said = refusal_of("week3/identify", capsys, *flags, "--output_dir", str(tmp_path / "out"))

    assert "has boxes of 2 animals, expected photos of one animal" in said


def test_a_decision_is_about_one_animal_of_a_photo(pairs, gallery):
    catalogue = load_catalogue(pairs)
    rows = catalogue.table.iloc[both_of_one(catalogue)]
    file = pairs.parent / "decisions.csv"
    table = rows[["identity", "bbox"]].assign(
        path=[(pairs / path).as_posix() for path in rows["path"]], decision="confirmed"
    )
    table.to_csv(file, index=False)

    assert len(check_decisions(file, open_gallery(gallery)).asked) == 2
    assert file_and_box(catalogue.paths()[rows.index[0]])[1] is not None


@pytest.mark.parametrize(("share", "is_told"), [(0.9, True), (None, True), (0.3, False)])
def test_a_place_that_the_gallery_has_already_is_told(share, is_told, pairs, gallery, tmp_path):
    catalogue = load_catalogue(pairs)
    row = both_of_one(catalogue)[0]
    path, name, box = catalogue.table.iloc[row][["path", "identity", "bbox"]]
    x, y, width, height = map(float, box.split(","))
    box = "" if share is None else str([x, y, width * share, height * share])
    table = pairs.parent / "card" / "again.csv"
    pd.DataFrame([{"path": path, "identity": name, "bbox": box}]).to_csv(table, index=False)
    folder = shutil.copytree(gallery, tmp_path / "gallery")

    result = start("build_gallery", "--add", "--data_dir", table, "--output_dir", folder)

    told = [note for note in result["notes"] if "seems to have had already" in note]
    assert bool(told) == is_told
    assert not told or f"of {name} beside {path}{BOX_MARK}" in told[0]
    table.unlink()
