"""The catalogue: what it reads, what it refuses, what it finds wrong."""

import os
from pathlib import Path

from common.data.catalogue import catalogue_from_table, load_catalogue
from common.data.catalogue_checks import check_catalogue, drop_rows, leave_out_unusable
from common.errors import InputError

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image


def save_photo(path: Path, seed: int = 0, size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_table(folder: Path, text: str, name: str = "metadata.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def table_of(**columns: list) -> pd.DataFrame:
    return pd.DataFrame(columns)


def problem_names(report, kind: str) -> tuple[str, ...]:
    return next((problem.names for problem in report.problems if problem.kind == kind), ())


# Folders


def test_identity_folders_become_identities(tmp_path):
    for i, name in enumerate(["anna/1.jpg", "anna/more/2.PNG", "Ünal B/1.jpeg"]):
        save_photo(tmp_path / name, i)

    catalogue = load_catalogue(tmp_path)

    assert list(catalogue.table["identity"]) == ["anna", "anna", "Ünal B"]
    assert list(catalogue.table["path"]) == ["anna/1.jpg", "anna/more/2.PNG", "Ünal B/1.jpeg"]
    assert catalogue.labels == {"anna": 0, "Ünal B": 1}
    assert "split" not in catalogue.table


def test_split_folders_above_identities_become_the_split(tmp_path):
    for i, part in enumerate(["train", "Val", "test_query"]):
        save_photo(tmp_path / part / "a" / "1.jpg", i)
        save_photo(tmp_path / part / "b" / "1.jpg", i + 5)

    table = load_catalogue(tmp_path).table

    assert set(table["split"]) == {"train", "validation", "test_query"}
    assert sorted(table["identity"].unique()) == ["a", "b"]


def test_an_animal_called_test_is_not_a_split(tmp_path):
    save_photo(tmp_path / "test" / "1.jpg")
    save_photo(tmp_path / "bella" / "1.jpg", 1)

    assert load_catalogue(tmp_path).identities == ["bella", "test"]


def test_split_folders_beside_other_folders_are_refused(tmp_path):
    for name in ["train/a/1.jpg", "test/a/1.jpg", "extra/1.jpg"]:
        save_photo(tmp_path / name)

    with pytest.raises(InputError, match="extra"):
        load_catalogue(tmp_path)


def test_hidden_files_are_ignored_and_others_counted(tmp_path):
    for name in ["a/1.jpg", "b/1.jpg", "loose.jpg", ".cache/x.jpg", "a/._1.jpg"]:
        save_photo(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("x")

    catalogue = load_catalogue(tmp_path)

    assert catalogue.n_images == 2
    assert {p.kind: p.names for p in catalogue.remarks} == {
        "not_a_photo": ("a/notes.txt",),
        "stray_photo": ("loose.jpg",),
    }


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_back_to_its_own_folder_ends(tmp_path):
    save_photo(tmp_path / "a" / "1.jpg")
    save_photo(tmp_path / "elsewhere" / "b" / "1.jpg", 1)
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)

    assert load_catalogue(tmp_path).n_images == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere", "does not exist"),
        (lambda folder: folder, "0 photos"),
        (lambda folder: save_photo(folder / "1.jpg").parent, "none in a folder per animal"),
        (lambda folder: save_photo(folder / "only" / "1.jpg").parents[1], "1 known animal "),
        (lambda folder: save_photo(folder / "1.jpg"), "is a file of another kind"),
    ],
)
def test_a_folder_without_animals_is_refused(tmp_path, make, message):
    with pytest.raises(InputError, match=message):
        load_catalogue(make(tmp_path))


# Tables


def test_aliases_dates_and_sides_are_read(tmp_path):
    write_table(
        tmp_path,
        "File;Individual;Sighting;Viewpoint;Timestamp;weight\n"
        "p\\1.jpg;007;s1;L;2020-05-31 23:59;3\n"
        "./p/2.jpg;7;s2;Right;;4\n",
    )

    catalogue = load_catalogue(tmp_path)

    table = catalogue.table
    assert list(table["path"]) == ["p/1.jpg", "p/2.jpg"]
    assert list(table["identity"]) == ["007", "7"]
    assert list(table["encounter"]) == ["s1", "s2"]
    assert list(table["orientation"]) == ["left", "right"]
    assert table["date"][0] == pd.Timestamp("2020-05-31 23:59")
    assert table["date"].isna().tolist() == [False, True]
    assert list(table["weight"]) == ["3", "4"]
    assert catalogue.has_sides
    assert catalogue.table["date"].notna().any()


def test_our_own_column_name_wins_over_an_alias():
    table = table_of(path=["1.jpg", "2.jpg"], identity=["a", "b"], name=["x", "x"], id=[1, 2])

    catalogue = catalogue_from_table(table, ".", "t")

    assert catalogue.identities == ["a", "b"]
    assert list(catalogue.table["name"]) == ["x", "x"]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("path,name,label", "name and label.*rename the right one to identity"),
        ("path,colour,size", "path, colour, size, expected also identity"),
        ("colour,identity,size", "expected also path"),
        ("path,identity,Identity", "identity and Identity"),
    ],
)
def test_missing_and_ambiguous_columns_are_named(tmp_path, header, message):
    write_table(tmp_path, f"{header}\n1.jpg,a,b\n2.jpg,b,c\n")

    with pytest.raises(InputError, match=message):
        load_catalogue(tmp_path)


def test_columns_can_be_named():
    table = table_of(path=["1.jpg", "2.jpg"], dog=["a", "b"], label=[1, 1])

    catalogue = catalogue_from_table(table, ".", "dogs", columns={"identity": "dog"})

    assert catalogue.identities == ["a", "b"]
    with pytest.raises(InputError, match="no column 'cat'"):
        catalogue_from_table(table, ".", "dogs", columns={"identity": "cat"})


def test_a_wildlife_datasets_table_is_accepted_as_it_is():
    table = table_of(
        image_id=[11, 12, 13, 14],
        identity=[1.0, 2.0, np.nan, 2.0],  # a missing identity makes pandas read floats
        path=["images/1.jpg", "images/1.jpg", "images/2.jpg", "images/3.jpg"],
        date=pd.to_datetime(["2020-01-01", None, "2020-01-02", "2020-01-03"]),
        bbox=[[0, 0, 5, 5], [5, 0, 5, 5], [0, 0, 9, 9], [1, 1, 2, 2]],
        segmentation=[None] * 4,
    )

    catalogue = catalogue_from_table(table, "data", "WD")

    assert list(catalogue.table["identity"]) == ["1", "2", "2"]
    assert list(catalogue.table["image_id"]) == ["11", "12", "14"]
    assert catalogue.table["bbox"][1] == "5,0,5,5"
    assert catalogue.root.is_absolute()
    assert table["identity"].dtype == float, "the given table is not changed"


def test_unknown_identities_are_left_out_and_named():
    table = table_of(path=["1.jpg", "2.jpg", "3.jpg", "4.jpg"], identity=["a", "Unknown", "", "b"])

    catalogue = catalogue_from_table(table, ".", "t")

    assert catalogue.n_images == 2
    assert catalogue.remarks[0].kind == "unknown_identity"
    assert catalogue.remarks[0].names == ("row 3: '2.jpg'", "row 4: '3.jpg'")


def test_animals_truly_called_na_and_none_are_kept_by_a_flag(tmp_path):
    write_table(tmp_path, "path,identity\n1.jpg,NA\n2.jpg,None\n")

    assert load_catalogue(tmp_path, keep_names=["NA", "None"]).identities == ["NA", "None"]
    with pytest.raises(InputError, match="--keep_names NA,None"):
        load_catalogue(tmp_path)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2020-05-31", "2020-05-31"),
        ("2020-05-31T23:30:00+02:00", "2020-05-31"),
        ("2020-05-31T23:30:00Z", "2020-05-31"),
        ("2020:05:31 10:11:12", "2020-05-31"),
        ("2020", "2020-01-01"),
        ("31/05/2020", "2020-05-31"),
        ("2020-13-01", None),
        ("summer", None),
    ],
)
def test_dates_are_iso_or_named_as_unreadable(text, day):
    table = table_of(path=["1.jpg", "2.jpg"], identity=["a", "b"], date=[text, ""])

    catalogue = catalogue_from_table(table, ".", "t")

    read = catalogue.table["date"][0]
    assert (None if pd.isna(read) else f"{read:%Y-%m-%d}") == day
    unreadable = [p.names for p in catalogue.remarks if p.kind == "unreadable_date"]
    assert unreadable == ([] if day else [(f"row 2: {text!r}",)])


def test_a_year_column_is_a_date_only_where_there_is_no_other():
    rows = {"path": ["1.jpg", "2.jpg"], "identity": ["a", "b"], "year": [2019, 2020]}

    by_year = catalogue_from_table(table_of(**rows), ".", "t")
    by_date = catalogue_from_table(table_of(**rows, date=["2021-02-03", ""]), ".", "t")

    assert list(by_year.table["date"].dt.year) == [2019, 2020]
    assert by_year.remarks[0].kind == "year_only_date"
    assert by_date.table["date"][0] == pd.Timestamp("2021-02-03")


def test_a_photo_listed_twice_is_refused():
    table = table_of(path=["1.jpg", "2.jpg", "./1.jpg"], identity=["a", "b", "b"])

    with pytest.raises(InputError, match=r"lists 1 photo twice \(row 4: 1.jpg\)"):
        catalogue_from_table(table, ".", "t")


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "latin.csv").write_bytes("path,identity\n1.jpg,Ünal\n".encode("latin-1"))
    (tmp_path / "empty.csv").write_text("")

    with pytest.raises(InputError, match="not UTF-8"):
        load_catalogue(tmp_path / "latin.csv")
    with pytest.raises(InputError, match="cannot be read as a table"):
        load_catalogue(tmp_path / "empty.csv")


def test_the_named_split_column_becomes_the_split():
    table = table_of(
        path=["1.jpg", "2.jpg"], identity=["a", "b"], split=["x", "y"], theirs=["Train", "valid"]
    )

    catalogue = catalogue_from_table(table, ".", "t", split_column="theirs")

    assert list(catalogue.table["split"]) == ["train", "validation"]
    assert list(catalogue.table["source_split"]) == ["x", "y"]
    assert list(catalogue.table["theirs"]) == ["Train", "valid"]


# Encounters


def test_encounters_come_from_the_column_then_the_day_then_the_photo():
    table = table_of(
        path=["1.jpg", "2.jpg", "3.jpg", "4.jpg"],
        identity=["a", "a", "a", "b"],
        encounter=["e", "", "", ""],
        date=["2020-01-01", "2020-01-02 08:00", "", ""],
    )

    table = catalogue_from_table(table, ".", "t").table

    assert list(table["encounter"][:2]) == ["e", "a:2020-01-02"]
    assert list(table["encounter_known"]) == [True, True, False, False]
    assert table["encounter"].is_unique


def test_an_encounter_name_of_two_animals_is_made_two():
    table = table_of(path=["1.jpg", "2.jpg", "3.jpg"], identity=["a", "b", "b"], clip=[1, 1, 2])

    encounters = catalogue_from_table(table, ".", "t").table["encounter"]

    assert list(encounters) == ["a:1", "b:1", "2"]


def test_names_that_look_like_a_prefix_do_not_mix_encounters():
    table = table_of(
        path=list("12345"),
        identity=["a", "b", "a:a", "a:a", "a"],
        encounter=["x", "x", "x", "a:x", "a:x"],
    )

    table = catalogue_from_table(table, ".", "t").table

    assert (table.groupby("encounter")["identity"].nunique() == 1).all()
    assert table["encounter"].nunique() == 5


names = st.sampled_from(["a", "b", "a:x", "x", "a:a", ""])


@given(st.lists(st.tuples(names, names, st.sampled_from(["", "2020", "2021"])), min_size=2))
def test_every_encounter_is_of_one_identity(rows):
    identities, encounters, dates = zip(*rows, strict=True)
    table = table_of(
        path=[f"{i}.jpg" for i in range(len(rows))],
        identity=identities, encounter=encounters, date=dates,
    )  # fmt: skip
    if len(set(identities) - {""}) < 2:
        return

    table = catalogue_from_table(table, ".", "t").table

    assert (table.groupby("encounter")["identity"].nunique() == 1).all()
    assert table["encounter"].ne("").all()
    assert table["image_id"].is_unique
    assert list(table.index) == list(range(len(table)))


# Checks


def three_animals(folder: Path) -> Path:
    """Nine good photos in a table with sides and dates."""
    lines = ["path,identity,date"]
    for i, identity in enumerate("aaabbbccc"):
        save_photo(folder / f"{identity} {i}.jpg", i)
        lines.append(f"{identity} {i}.jpg,{identity},2020-01-0{i % 3 + 1}")
    return write_table(folder, "\n".join(lines))


def test_a_good_catalogue_has_no_problems(tmp_path):
    catalogue, report = leave_out_unusable(load_catalogue(three_animals(tmp_path)))

    assert report.problems == []
    assert catalogue.n_images == 9
    assert (
        "9 photos of 3 animals in 9 known encounters, 9 dated (2020-01-01 to 2020-01-03), "
        "no left or right sides" in report.text()
    )


def test_missing_and_truncated_photos_are_left_out_and_named(tmp_path):
    three_animals(tmp_path)
    (tmp_path / "a 0.jpg").unlink()
    whole = (tmp_path / "b 4.jpg").read_bytes()
    (tmp_path / "b 4.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c 6.jpg").write_bytes(b"not a photo")
    (tmp_path / "c 7.jpg").write_bytes(b"")

    catalogue, report = leave_out_unusable(load_catalogue(tmp_path))

    assert problem_names(report, "missing_file") == ("a 0.jpg",)
    assert problem_names(report, "unreadable_file") == ("b 4.jpg", "c 6.jpg", "c 7.jpg")
    assert list(catalogue.table["path"]) == ["a 1.jpg", "a 2.jpg", "b 3.jpg", "b 5.jpg", "c 8.jpg"]
    assert report.counts["n_images"] == 5
    assert report.text().count("left out") == 2


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_truncated_photos_of_other_formats_are_noticed(tmp_path, suffix):
    three_animals(tmp_path)
    photo = save_photo(tmp_path / f"x{suffix}", 99)
    photo.write_bytes(photo.read_bytes()[:-400])
    with (tmp_path / "metadata.csv").open("a") as table:
        table.write(f"\nx{suffix},a,")

    _, report = leave_out_unusable(load_catalogue(tmp_path))

    assert problem_names(report, "unreadable_file") == (f"x{suffix}",)


def test_identical_photos_of_two_animals_are_all_left_out(tmp_path):
    three_animals(tmp_path)
    (tmp_path / "b 3.jpg").write_bytes((tmp_path / "a 0.jpg").read_bytes())

    catalogue, report = leave_out_unusable(load_catalogue(tmp_path))

    assert problem_names(report, "contradictory_copy") == ("a 0.jpg", "b 3.jpg")
    assert catalogue.n_images == 7


def test_of_identical_photos_of_one_animal_the_first_is_kept(tmp_path):
    three_animals(tmp_path)
    (tmp_path / "a 2.jpg").write_bytes((tmp_path / "a 0.jpg").read_bytes())

    catalogue, report = leave_out_unusable(load_catalogue(tmp_path))
    everything, _ = leave_out_unusable(load_catalogue(tmp_path), drop_copies=False)

    assert problem_names(report, "copy") == ("a 2.jpg",)
    assert (catalogue.n_images, everything.n_images) == (8, 9)


def test_few_photos_few_encounters_and_unlisted_files_are_reported(tmp_path):
    three_animals(tmp_path)
    save_photo(tmp_path / "d" / "9.jpg", 9)
    save_photo(tmp_path / "e.jpg", 10)
    save_photo(tmp_path / "f.jpg", 11)
    with (tmp_path / "metadata.csv").open("a") as table:
        table.write("\ne.jpg,a lonely one,2020-01-01\nf.jpg,unknown,")

    _, report = leave_out_unusable(load_catalogue(tmp_path))

    assert problem_names(report, "one_photo") == ("a lonely one",)
    assert problem_names(report, "unlisted_photo") == ("d/9.jpg",)
    assert problem_names(report, "unknown_identity") == ("row 12: 'f.jpg'",)


def test_animals_of_one_encounter_and_long_encounters_are_reported(tmp_path):
    for i in range(5):
        save_photo(tmp_path / f"{i}.jpg", i)
    table = table_of(
        path=[f"{i}.jpg" for i in range(5)],
        identity=list("aaabb"),
        encounter=["e", "e", "e", "f", "g"],
        date=["2020-01-01", "2020-01-01", "2020-01-02", "", ""],
    )

    report = check_catalogue(catalogue_from_table(table, tmp_path, "t"))

    assert problem_names(report, "one_encounter") == ("a",)
    assert problem_names(report, "long_encounter") == ("e",)


def test_sides_that_may_be_slips_of_the_pen_are_named(tmp_path):
    for i in range(3):
        save_photo(tmp_path / f"{i}.jpg", i)
    rows = {"path": [f"{i}.jpg" for i in range(3)], "identity": list("abc")}
    catalogue = catalogue_from_table(table_of(**rows, orientation=["lft", "L", ""]), tmp_path, "t")

    assert problem_names(check_catalogue(catalogue), "other_side") == ("lft",)


def test_nothing_usable_is_an_error_that_says_why(tmp_path):
    three_animals(tmp_path)
    for photo in [*tmp_path.glob("a *.jpg"), *tmp_path.glob("b *.jpg")]:
        photo.unlink()

    with pytest.raises(InputError, match=r"usable photos of 1 animal,.*cannot be found: 6 \(a 0"):
        leave_out_unusable(load_catalogue(tmp_path))


def test_the_report_is_plain_and_short(tmp_path):
    three_animals(tmp_path)
    (tmp_path / "a 0.jpg").unlink()

    _, report = leave_out_unusable(load_catalogue(tmp_path))

    problem = report.to_dict()["problems"][0]
    assert problem == {
        "kind": "missing_file", "summary": "photos that cannot be found", "n": 1,
        "action": "left out", "names": ["a 0.jpg"],
    }  # fmt: skip


def test_dropping_rows_numbers_the_others_anew():
    table = table_of(path=list("123"), identity=list("abc"))
    catalogue = catalogue_from_table(table, ".", "t")

    smaller = drop_rows(catalogue, [1])

    assert list(smaller.table.index) == [0, 1]
    assert smaller.labels == {"a": 0, "c": 1}
    assert catalogue.n_images == 3
