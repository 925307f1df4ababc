"""Tables as people and programs write them: read, or refused in one line with the way out."""

import contextlib
import os
import sys
import unicodedata
from pathlib import Path

from common.data.catalogue import catalogue_from_table, load_catalogue
from common.data.catalogue_cells import normalise_orientation, parse_dates, sides_in_names
from common.data.catalogue_checks import leave_out_unusable
from common.data.catalogue_tables import read_csv
from common.data.photo_files import open_photo
from common.errors import InputError

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

TWO = "path,identity\n1.jpg,anna\n2.jpg,berta\n"


def table_in(folder: Path, content: str | bytes, name: str = "metadata.csv") -> Path:
    content = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(content)
    return folder / name


def touch(folder: Path, *names: str) -> None:
    """Files that are there; nothing here opens them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def remarks(catalogue) -> dict[str, tuple[str, ...]]:
    return {remark.kind: remark.names for remark in catalogue.remarks}


def photo(path: Path, seed: int, size: tuple[int, int] = (40, 60)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


# What spreadsheets write


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + TWO,
        "sep=;\r\n" + TWO.replace(",", ";"),
        '"sep=,"\n' + TWO,
        "sep=|\n" + TWO.replace(",", "|"),
        TWO.replace(",", "\t").encode("utf-16"),
        ("\ufeff" + TWO).encode("utf-16-be"),
        TWO.encode("utf-32"),
        TWO.replace("\n", ",,,\n"),
        "path,identity\n1.jpg,anna,,\n2.jpg,berta,\n",
        TWO + "\n,\n,,,\n",
        TWO.replace("\n", "\r"),
        "\n\n" + TWO,
        "Path , IDENTITY\n1.jpg, anna\n2.jpg, berta\n",
        "File name;Individual-ID\n1.jpg;anna\n2.jpg;berta",
        '"","path","identity"\n"1","1.jpg","anna"\n"2","2.jpg","berta"\n',  # write.csv of R
    ],
    ids=range(15),
)
def test_what_spreadsheets_write_is_read(tmp_path, content):
    catalogue = load_catalogue(table_in(tmp_path, content))

    assert catalogue.identities == ["anna", "berta"]
    assert list(catalogue.table["path"]) == ["1.jpg", "2.jpg"]
    assert catalogue.remarks == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TWO.replace("anna", "Zoë").encode("cp1252"), "not UTF-8 text.*'CSV UTF-8'"),
        (TWO.encode("utf-16-le"), "characters of zero.*'CSV UTF-8'"),
        (b"PK\x03\x04\xff\xfe spreadsheet", "not UTF-8 text"),
        (TWO + "3.jpg,carlo,male\n", "row 4 has more cells than the header"),
        ("path,identity,\n1.jpg,anna,shy\n", "column 3 has no name, but row 2 has a cell in it"),
        ('path,identity\n1.jpg,"anna\n2.jpg,berta\n', "line 3: unexpected end of data"),
        ("path,identity,note,note\n1.jpg,a,,\n2.jpg,b,,\n", "two columns are called 'note'"),
        (",,\n1.jpg,anna\n", "no header line"),
        ("sep=;\n", "no header line"),
    ],
    ids=range(9),
)
def test_what_is_no_table_is_refused_with_the_way_out(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        load_catalogue(table_in(tmp_path, content))


def test_a_header_between_the_rows_is_no_row(tmp_path):
    file = table_in(tmp_path, "path,identity\na.jpg,Anna\npath,identity\nb.jpg,Berta\n")

    assert read_csv(file)["identity"].tolist() == ["Anna", "", "Berta"]


def test_an_animal_and_its_photo_in_exchanged_columns_are_refused(tmp_path):
    touch(tmp_path, "a.jpg", "b.jpg")
    table_in(tmp_path, "path,identity\na.jpg,Anna\nBerta,b.jpg\n")

    with pytest.raises(InputError, match="row 3: found the animal b.jpg of the photo Berta"):
        load_catalogue(tmp_path)


def test_a_folders_table_is_found_whatever_its_capitals(tmp_path):
    touch(tmp_path, "x/1.jpg", "y/2.jpg")
    table_in(tmp_path, "path,identity\nx/1.jpg,anna\ny/2.jpg,berta\n", "Metadata.CSV")

    assert load_catalogue(tmp_path).identities == ["anna", "berta"]


# Names


def test_one_animal_in_several_spellings_is_one_and_said(tmp_path):
    rows = ["Zoë", "Zoe\u0308", " zoë", "Zo\u200bë", "Bo", "B\u00a0o", "unidentified"]
    lines = [f"{i}.jpg,{name}" for i, name in enumerate(rows)]

    catalogue = load_catalogue(table_in(tmp_path, "path,identity\n" + "\n".join(lines)))

    assert catalogue.identities == ["Bo", "Zoë"]
    assert len(remarks(catalogue)["joined_names"]) == 2
    assert remarks(catalogue)["unknown_identity"] == ("row 8: '6.jpg'",)


def test_class_folders_of_one_animal_are_one_and_said(tmp_path):
    touch(tmp_path, "Zoë/1.jpg", "Zoe\u0308/2.jpg", "ZOË /3.jpg", "bo/1.jpg", "unknown/1.jpg")

    catalogue = load_catalogue(tmp_path)

    assert catalogue.n_images == 4
    assert len(catalogue.identities) == 2
    assert all(path.is_file() for path in catalogue.paths())
    assert {"joined_names", "unknown_identity"} <= set(remarks(catalogue))


@pytest.mark.parametrize("word", ["unknown", "NA", "?", "-", "unbekannt", "n/a"])
def test_a_word_for_unknown_is_no_encounter_and_does_not_hide_a_date(word):
    table = pd.DataFrame({
        "path": list("123"), "identity": list("aab"), "encounter": [word, word, "e"],
        "date": ["2024-05-01", "2024-05-02", word], "side": [word, "L", "right"],
    })  # fmt: skip

    catalogue = catalogue_from_table(table, ".", "t")

    assert list(catalogue.table["encounter"]) == ["a:2024-05-01", "a:2024-05-02", "e"]
    assert list(catalogue.table["orientation"]) == ["", "left", "right"]
    assert catalogue.remarks == ()


def test_one_encounter_in_two_spellings_is_one():
    rows = {"path": list("123"), "identity": list("aab"), "encounter": ["Dive 1", "dive  1", "x"]}

    catalogue = catalogue_from_table(pd.DataFrame(rows), ".", "t")

    assert catalogue.table["encounter"].nunique() == 2
    assert "joined_encounters" in remarks(catalogue)


# Dates


@pytest.mark.parametrize(
    "text",
    [
        *("2024-05-31T09:05:00Z", "2024-05-31 9:05", "2024-5-31 9:05:00+02:00", "2024/05/31 09:05"),
        *("2024:05:31 09:05:00", "2024-05-31 09:05:00.123 -0330", "2024-05-31T09:05+02"),
        *("2024-05-31 9:05 AM", "2024-05-31 09:05 CEST", "2024-05-31 09:05 UTC+2"),
        *("20240531T090500", "2024-05-31 09h05"),
        *("2024-05-31T09:05:00+02:00[Europe/Berlin]", "2024.05.31 9:05", "31.05.2024 09:05"),
        *("31-May-2024 9:05", "31. Mai 2024 9:05", "31 mayo 2024, 09:05"),
        *("31/05/2024 9:05", "5/31/2024 9:05 am", "2024-05-31\u00a009:05", "20240531_090500"),
    ],
)  # fmt: skip
def test_dates_are_read_as_people_and_cameras_write_them(text):
    dates, is_unreadable, _ = parse_dates(pd.Series([text]))

    assert f"{dates[0]:%Y-%m-%d %H:%M}" == "2024-05-31 09:05"
    assert not is_unreadable[0]


@pytest.mark.parametrize(
    "text",
    [
        *("now", "today", "NOW", "yesterday", "2024-02-30", "2024-05-31 25:00"),
        *("summer", "45443", "1717142400", "2019-2020", "2024-05-31 to 2024-06-02", "31.5.24"),
        *("2024-W05", "2024-05-31" + " " * 9000 + "x", "1" * 5000, "2024-05-31 13:00 PM"),
    ],
    ids=range(16),
)
def test_what_is_no_date_is_named_as_unreadable(text):
    dates, is_unreadable, _ = parse_dates(pd.Series([text]))

    assert pd.isna(dates[0])
    assert is_unreadable[0]


@pytest.mark.parametrize(
    "name", ["anna ?", "anna?", "anna (?)", "cf. anna", "anna + bo", "anna / bo", "anna oder bo"]
)
def test_a_persons_doubt_in_a_name_is_told(name, tmp_path):
    for number in "123":
        (tmp_path / f"{number}.jpg").touch()
    source = pd.DataFrame({"path": ["1.jpg", "2.jpg", "3.jpg"], "identity": ["anna", name, "bo"]})

    catalogue = catalogue_from_table(source, tmp_path, "t")

    [found] = [each for each in catalogue.remarks if each.kind == "doubtful_names"]
    assert found.names == (name,)


@pytest.mark.parametrize(
    "text", ["0001-01-01", "9999-12-31 00:00", "01/01/0001", "0000-00-00", "00000000"]
)
def test_what_programs_write_for_no_date_is_unknown_and_named(text):
    dates, is_unreadable, _ = parse_dates(pd.Series([text]))

    assert pd.isna(dates[0])
    assert is_unreadable[0]


@pytest.mark.parametrize(
    "text",
    [
        *("2124-05-05", "0024-05-31", "1023-01-01", "1825-12-31", "1899-12-30"),
        *("1900-01-00", "1970-01-01T00:00:00", "31.12.2999"),
    ],
)
def test_dates_on_which_nobody_took_a_photo_are_unknown_and_said(text):
    dates, is_unreadable, _ = parse_dates(pd.Series([text]))

    assert pd.isna(dates[0])
    assert is_unreadable[0]


def test_zones_may_be_mixed_and_the_local_day_counts():
    column = pd.Series(["2024-05-31T23:30:00Z", "2024-05-31 23:30 +12:00", "2024-05-31", ""])

    dates, is_unreadable, _ = parse_dates(column)

    assert list(dates.dt.day[:3]) == [31, 31, 31]
    assert not is_unreadable.any()


def test_a_day_above_12_says_how_a_column_is_meant():
    dates, _, _ = parse_dates(pd.Series(["03/04/2024", "31/05/2024"]))
    mixed, is_unreadable, _ = parse_dates(pd.Series(["31/05/2024", "05/31/2024"]))

    assert list(dates.dt.month) == [4, 5]
    assert list(mixed.dt.month) == [5, 5]
    assert not is_unreadable.any()


def test_names_of_which_a_spreadsheet_makes_one_number_are_told(tmp_path):
    names = ["007", "7.0", "7", "12", "t7"]
    table = table_in(tmp_path, "\n".join(["path,identity", *(f"{n}.jpg,{n}" for n in names)]))

    [found] = [each for each in load_catalogue(table).remarks if each.kind == "number_names"]

    assert found.names == ("007 = 7 = 7.0",)


def test_dates_with_another_mark_say_nothing_of_the_order():
    dates, is_unreadable, _ = parse_dates(pd.Series(["05/31/2024", "01.06.2024", "30.06.2024"]))

    assert list(dates.dt.month) == [5, 6, 6]
    assert not is_unreadable.any()
    with pytest.raises(InputError, match=r"01\.06\.2024 may begin with its day or with its month"):
        parse_dates(pd.Series(["05/31/2024", "01.06.2024"]))


def test_a_column_of_both_orders_is_said_to_be_one():
    with pytest.raises(InputError, match=r"05/06/2024 may begin .* other rows begin with either"):
        parse_dates(pd.Series(["31/05/2024", "05/31/2024", "05/06/2024"]))


@pytest.mark.parametrize(
    "header", ["year,month,day", "Encounter.year,Encounter.month,Encounter.day"]
)
def test_a_date_of_three_columns_is_one(header, tmp_path):
    (tmp_path / "table.csv").write_text(
        f"path,{header}\n1.jpg,2024,5.0,31\n2.jpg,2024,5,\n3.jpg,,,7\n"
    )

    assert read_csv(tmp_path / "table.csv")["date"].tolist() == ["2024-5-31", "2024-5", ""]


def test_a_time_in_a_column_of_its_own_goes_behind_its_day(tmp_path):
    rows = [
        "2024-05-31,10:11",
        "31.05.2024,9:05:07",
        "2024-05-31 08:00,10:11",
        "NA,10:11",
        "2024-05-31,24:00",
        "5/31/2024,2:30:00 PM",
        "5/31/2024,14:30 p.m.",
    ]
    (tmp_path / "table.csv").write_text("\n".join(["Date,Time", *rows]) + "\n")

    table = read_csv(tmp_path / "table.csv")

    joined = ["2024-05-31 10:11", "31.05.2024 9:05:07", "2024-05-31 08:00", "NA", "2024-05-31"]
    assert table["Date"].tolist() == [*joined, "5/31/2024 2:30:00 PM", "5/31/2024"]
    left = ["", "", "10:11", "10:11", "24:00", "", "14:30 p.m."]
    assert table["Time"].tolist() == left  # told as not gone by


def test_a_year_or_a_year_and_a_month_alone_are_a_date_without_a_day(tmp_path):
    (tmp_path / "table.csv").write_text("path,year,month\n1.jpg,2024.0,5.0\n2.jpg,2024,\n")

    assert read_csv(tmp_path / "table.csv")["date"].tolist() == ["2024-5", "2024"]


@pytest.mark.parametrize(("order", "month"), [("day", 6), ("month", 5)])
def test_an_ambiguous_column_asks_for_the_order_of_day_and_month_once(order, month):
    column = pd.Series(["05/06/2024", "05/05/2024", ""])

    with pytest.raises(InputError, match="05/06/2024 .*--date_order day or --date_order month"):
        parse_dates(column)
    assert parse_dates(column, order)[0].dt.month.tolist()[:2] == [month, 5]


@pytest.mark.parametrize(
    ("word", "side"),
    [
        *(("links", "left"), ("Rechts", "right"), ("L", "left"), ("r", "right")),
        *(("gauche", "left"), ("droite", "right"), ("Izquierda", "left"), ("derecho", "right")),
        *(("links oben", "left oben"), ("слева", "left"), ("top", "top"), ("?", "")),
    ],
)
def test_words_for_sides_become_left_and_right(word, side):
    assert normalise_orientation(pd.Series([word])).tolist() == [side]


def test_sides_in_file_names_are_offered_and_taken_only_if_asked_for(tmp_path):
    names = [f"{animal}/{side}_{i}.jpg" for animal in "ab" for side in "LR" for i in "12"]
    touch(tmp_path, *names)

    offered, taken = load_catalogue(tmp_path), load_catalogue(tmp_path, sides_from_names=True)

    found = [each for each in offered.remarks if each.kind == "side_in_name"]
    assert "add --sides_from_names" in found[0].text()
    assert not offered.has_sides
    assert taken.table["orientation"].tolist() == ["left", "left", "right", "right"] * 2


def test_names_that_say_one_side_or_few_are_no_offer():
    assert sides_in_names(pd.Series(["L_1.jpg", "left.jpg"])) is None
    assert sides_in_names(pd.Series(["L_1.jpg", "R_1.jpg", *["1.jpg"] * 3])) is None


def test_a_column_that_nothing_goes_by_is_said(tmp_path):
    table_in(tmp_path, "path,identity,weather\n1.jpg,a,fine\n2.jpg,b,rain\n")

    remarks = load_catalogue(tmp_path).remarks

    assert [each.names for each in remarks if each.kind == "unused_column"] == [("weather",)]


def test_places_are_degrees_and_what_is_none_is_said(tmp_path):
    rows = ['1.jpg,a,"-8,25",115.5', "2.jpg,b,95,115.5", "3.jpg,b,,"]
    table_in(tmp_path, "path,identity,lat,Longitude\n" + "\n".join(rows))

    catalogue = load_catalogue(tmp_path)

    assert catalogue.table["latitude"].fillna(0).tolist() == [-8.25, 0, 0]
    assert [e.names for e in catalogue.remarks if e.kind == "unreadable_latitude"] == [
        ("row 3: '95'",)
    ]


# Paths


@pytest.mark.parametrize(
    ("on_disk", "written"),
    [
        ("Zoe\u0308/1.jpg", "Zoë/1.jpg"),
        ("Anna/IMG_1.JPG", "anna/img_1.jpg"),
        ("anna/1.jpg", ".\\anna\\1.jpg"),
        ("anna/a  b.jpg", "anna/a b.jpg"),
        ("anna/1.jpg", "anna/\u200b1.jpg"),
        ("train/0a1b.jpg", "0a1b"),
        ("deep/down/anna/1.jpg", "anna/1.jpg"),
        ("anna/back\\slash.jpg", "anna/back\\slash.jpg"),
        (" anna/ 1.jpg ", " anna/ 1.jpg "),
    ],
    ids=range(9),
)
@pytest.mark.skipif(sys.platform != "linux", reason="other file systems have rules of their own")
def test_a_path_is_found_as_a_person_would_find_it(tmp_path, on_disk, written):
    touch(tmp_path, on_disk, "2.jpg")
    table_in(tmp_path, f'path,identity\n"{written}",anna\n2.jpg,berta\n')

    catalogue = load_catalogue(tmp_path)

    assert catalogue.table["path"][0] == on_disk
    assert catalogue.listed_paths == {on_disk, "2.jpg"}


def test_a_name_that_fits_two_photos_is_none_of_them(tmp_path):
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "A.jpg", "a.jpg", "2.jpg")
    rows = "path,identity\n1.jpg,anna\n2.jpg,berta\nA.jpg,anna\na.jpg,berta\n"

    catalogue = load_catalogue(table_in(tmp_path, rows))

    assert list(catalogue.table["path"]) == ["1.jpg", "2.jpg", "A.jpg", "a.jpg"]


@pytest.mark.parametrize(
    "path",
    ["../out.jpg", "/etc/out.jpg", "a/../../out.jpg", "..\\out.jpg", "C:\\pictures\\out.jpg"],
)
def test_paths_that_leave_the_folder_are_refused_unless_a_flag_allows_it(tmp_path, path):
    touch(tmp_path, "out.jpg", "in/1.jpg")
    table = table_in(tmp_path / "in", f"path,identity\n1.jpg,anna\n{path},berta\n")

    with pytest.raises(InputError, match="row 3.*leads out of.*--photos_elsewhere"):
        load_catalogue(table)
    assert load_catalogue(table, photos_elsewhere=True).n_images == 2


def test_an_absolute_path_into_the_folder_is_inside_also_through_a_link(tmp_path):
    touch(tmp_path, "real/1.jpg", "real/2.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    rows = f"path,identity\n{tmp_path}/real/1.jpg,anna\n{tmp_path}/link/2.jpg,berta\n"
    table_in(tmp_path / "real", rows)

    assert list(load_catalogue(tmp_path / "link").table["path"]) == ["1.jpg", "2.jpg"]


@pytest.mark.parametrize(
    "header", ["RelativePath,File", "Directory,FileName", "folder,file_name", "Folder,Image"]
)
def test_camera_traps_may_name_folder_and_file_apart(tmp_path, header):
    touch(tmp_path, "st1/day 1/IMG_1.JPG", "st2/IMG_1.JPG", "IMG_2.JPG")
    rows = f"{header},animal\nst1\\day 1,IMG_1.JPG,a\nst2/,IMG_1.JPG,b\n,IMG_2.JPG,b\n"
    table_in(tmp_path, rows)

    paths = list(load_catalogue(tmp_path).table["path"])

    assert paths == ["st1/day 1/IMG_1.JPG", "st2/IMG_1.JPG", "IMG_2.JPG"]


# Layouts


def test_market_1501_is_read_by_its_file_names(tmp_path):
    names = ["bounding_box_train/0002_c1s1_000451_03.jpg", "bounding_box_train/0007_c2s3_1_01.jpg"]
    names += ["query/0005_c1s1_1_00.jpg", "bounding_box_test/0005_c3s1_2_01.jpg"]
    names += ["bounding_box_test/-1_c3s1_2_01.jpg", "bounding_box_test/0000_c3s1_2_01.jpg"]
    touch(tmp_path, *names, "gt_bbox/0002_c1s1_000451_03.jpg", "readme.txt")

    catalogue = load_catalogue(tmp_path)

    assert catalogue.identities == ["0002", "0005", "0007"]
    assert set(catalogue.table["split"]) == {"train", "test_query", "test_gallery"}
    assert set(catalogue.table["encounter"]) >= {"camera 2"}
    assert len(remarks(catalogue)["unknown_identity"]) == 2


@pytest.mark.parametrize(
    "names",
    [
        ["train/1.jpg", "test/2.jpg"],
        ["bounding_box_train/1.jpg", "bounding_box_test/1.jpg", "query/1.jpg"],
        ["images/anna/1.jpg", "masks/anna/1.png"],
        ["train_images/1.jpg", "test_images/2.jpg", "sample/1.jpg"],
        ["photos/1.jpg"],
    ],
    ids=range(5),
)
def test_parts_of_a_data_set_are_no_animals(tmp_path, names):
    touch(tmp_path, *names, "train.csv")

    with pytest.raises(InputError, match=r"parts of a data set and no animals.*is it train.csv\?"):
        load_catalogue(tmp_path)


def test_kaggles_table_finds_its_photos_in_the_folder_of_its_name(tmp_path):
    touch(tmp_path, "train/0.jpg", "train/1.jpg", "train/2.jpg", "test/0.jpg", "test/1.jpg")
    table = table_in(tmp_path, "Image,Id\n0.jpg,w_1\n1.jpg,w_2\n2.jpg,new_whale\n", "train.csv")

    catalogue = load_catalogue(table)

    assert list(catalogue.table["path"]) == ["train/0.jpg", "train/1.jpg"]
    assert len(remarks(catalogue)["other_path"]) == 3


def test_a_name_that_two_photos_have_is_told_with_both(tmp_path):
    touch(tmp_path, "day1/4.jpg", "day2/4.jpg", "day1/5.jpg", "day1/6.jpg")
    table = table_in(tmp_path, "path,identity\n4.jpg,a\n5.jpg,a\n6.jpg,b\n", "metadata.csv")

    found = remarks(load_catalogue(table))["several_paths"]

    assert found == ("4.jpg: day1/4.jpg or day2/4.jpg",)


@pytest.mark.parametrize(
    "names", [("train", "val"), ("train2017", "val2017"), ("Training", "VALID")]
)
def test_folders_of_a_split_are_read_whatever_they_are_called(tmp_path, names):
    touch(tmp_path, *(f"{name}/{animal}/1.jpg" for name in names for animal in "ab"), "test/1.jpg")

    catalogue = load_catalogue(tmp_path)

    assert catalogue.identities == ["a", "b"]
    assert set(catalogue.table["split"]) == {"train", "validation"}
    assert remarks(catalogue)["stray_photo"] == ("test/1.jpg",)


# Boxes


@pytest.mark.parametrize("header", ["bbox", "BBox", "Bounding Box"])
def test_a_box_column_switches_no_other_check_off(tmp_path, header):
    for seed, name in enumerate(["a.jpg", "c.jpg", "d.jpg"]):
        photo(tmp_path / name, seed)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    (tmp_path / "e.jpg").write_bytes((tmp_path / "c.jpg").read_bytes())
    rows = [("a", "anna", 0), ("b", "bella", 1), ("c", "anna", 0), ("e", "anna", 0)]
    rows += [("d", "anna", 0), ("d", "bella", 30), ("a", "carlo", 30)]
    lines = [f'{name}.jpg,{animal},"[{x}, 0, 20, 40]"' for name, animal, x in rows]
    table_in(tmp_path, f"path,identity,{header}\n" + "\n".join(lines))

    catalogue, report = leave_out_unusable(load_catalogue(tmp_path))

    found = {problem.kind: problem.names for problem in report.problems}
    assert found["contradictory_copy"] == ("a.jpg", "b.jpg")
    assert found["copy"] == ("e.jpg",)
    assert sorted(catalogue.table["identity"]) == ["anna", "anna", "bella", "carlo"]


@pytest.mark.parametrize("header", ["x,y,w,h", "Bbox_X;bbox y;bboxWidth;bbox_height"])
def test_a_box_of_four_columns_is_one(header, tmp_path):
    separator = ";" if ";" in header else ","
    cells = [["5", "6.5", "7", "8"], ["NA", "", "NA", ""]]
    rows = [separator.join([f"{n}.jpg", *row]) for n, row in enumerate(cells)]
    (tmp_path / "table.csv").write_text("\n".join([f"path{separator}{header}", *rows]))

    table = read_csv(tmp_path / "table.csv")

    assert dict(table.T)[0].to_dict() == {"path": "0.jpg", "bbox": "5,6.5,7,8"}
    assert table["bbox"][1] == ""


def test_boxes_are_cut_out_and_those_beside_the_photo_left_out(tmp_path):
    photo(tmp_path / "1.jpg", 0)
    boxes = ["[10, 5, 20, 30]", "0.5 0 0.5 1", "", "(50;20;500;500)", "[60, 0, 10, 10]"]
    lines = [f'1.jpg,{animal},"{box}"' for animal, box in zip("abcde", boxes, strict=True)]
    table_in(tmp_path, "path,identity,bbox\n" + "\n".join(lines))

    catalogue, report = leave_out_unusable(load_catalogue(tmp_path))

    sizes = [open_photo(path).size for path in catalogue.paths()]
    assert sizes == [(20, 30), (30, 40), (60, 40), (10, 20)]
    assert "none in its box [60, 0, 10, 10]" in report.text()


@pytest.mark.parametrize(
    "box", ["1,2,3", "a,b,c,d", "[0, 0, 0, 5]", "[0, 0, -3, 5]", "[0,0,nan,1]"]
)
def test_a_box_that_is_none_is_refused_by_its_row(tmp_path, box):
    table = table_in(tmp_path, f'path,identity,bbox\n1.jpg,a,\n2.jpg,b,"{box}"\n')

    with pytest.raises(InputError, match="row 3: the box"):
        load_catalogue(table)


# Anything


HEADERS = st.sampled_from(
    ["path", "identity", "date", "encounter", "bbox", "side", "split", "Folder", "name", "", "x,y"]
)
ODD = st.sampled_from(
    [
        *("", "NA", "?", "a", "A", "a\u0308", "ä", "1.jpg", "../1.jpg", "now", "2024-05-31T9:5Z"),
        *('"', "\\", "2024:05:31", "[0, 0, 3, 4]", "0,0,1", "\x00", "\u200b", "=1+1", "train"),
        *("x" * 300, "\r", ";"),
    ]
)
CELLS = st.one_of(ODD, st.text(max_size=8))
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "utf-32"])


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    header=st.lists(HEADERS, min_size=1, max_size=5),
    is_usual=st.booleans(),
    rows=st.lists(st.lists(CELLS, max_size=6), max_size=6),
    mark=st.sampled_from([",", ";", "\t", "|"]),
    start=st.sampled_from(["", "", "sep=;\n", "\n", "sep=|\r\n"]),
    encoding=ENCODINGS,
)
def test_any_table_is_read_or_refused_in_one_line(
    tmp_path, header, is_usual, rows, mark, start, encoding
):
    lines = [["path", "identity", *header] if is_usual else header, *rows]
    content = start + "\n".join(mark.join(line) for line in lines)
    table = table_in(tmp_path, content.encode(encoding, "replace"))

    with contextlib.suppress(InputError):
        catalogue = load_catalogue(table, fewest_identities=1)
        table = catalogue.table
        assert table["image_id"].is_unique
        assert table[["identity", "encounter"]].ne("").all(axis=None)
        assert (table.groupby("encounter")["identity"].nunique() == 1).all()
        assert len(
            {unicodedata.normalize("NFC", name).lower() for name in catalogue.identities}
        ) == (len(catalogue.identities))
        assert not any(path.startswith(("..", os.sep)) for path in table["path"])
