"""When, where and with what a photo was taken, from the file; and cards of unnamed photos."""

import math
import shutil
import struct
from datetime import timedelta

from common.data.catalogue import is_unnamed, load_catalogue, read_card
from common.data.catalogue_checks import load_checked_card
from common.data.exif import taken, time_taken
from common.data.photo_files import look_at, open_photo
from common.data.photo_names import photo_name
from common.errors import InputError
from common.turtles.card import draw_card

import numpy as np
import pandas as pd
import pillow_heif
import pytest
from PIL import ExifTags, Image

TAGS, HOUR = ExifTags.Base, timedelta(hours=1)


def photo(path, date="", *, camera="Canon EOS 70D", seed=0, **more):
    """Save a small photo with a date and a camera in its EXIF."""
    exif = Image.Exif()
    exif[TAGS.Make], exif[TAGS.Model] = camera.split(" ")[0], camera
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details |= ({TAGS.DateTimeOriginal: date} if date else {}) | more.get("details", {})
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(more.get("gps", {}))
    exif[TAGS.Orientation] = more.get("orientation", 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, *path.name.encode()]).integers(0, 255, (20, 30, 3))
    pixels = Image.fromarray(pixels.astype(np.uint8))
    if path.suffix == ".heic":
        pillow_heif.from_pillow(pixels).save(path, exif=exif.tobytes())
    else:
        pixels.save(path, exif=exif)
    return path


GPS = {1: "S", 2: (8.0, 15.0, 0.0), 3: "E", 4: (115.0, 30.0, 36.0)}


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.heic"])
def test_date_time_place_and_camera_come_from_the_photo_of_any_format(name, tmp_path):
    details = {TAGS.SubsecTimeOriginal: "25", TAGS.BodySerialNumber: "0123"}
    path = photo(tmp_path / name, "2024:05:31 09:05:07", details=details, gps=GPS)

    found = taken(path)

    assert f"{found.date:%Y-%m-%d %H:%M:%S.%f}" == "2024-05-31 09:05:07.250000"
    assert (found.latitude, found.longitude) == (-8.25, 115.51)
    assert found.camera == "Canon EOS 70D (0123)"
    assert taken(f"{path}#xywh=0,0,5,5") == found


@pytest.mark.parametrize(
    "date", ["", "0000:00:00 00:00:00", "    :  :     :  :  ", "2024:02:30 10:00:00", "9024:05:31"]
)
def test_what_a_camera_without_a_clock_writes_is_no_date(date, tmp_path):
    assert taken(photo(tmp_path / "a.jpg", date)).date is None


def test_dates_in_photos_that_cannot_be_true_are_named(tmp_path):
    for name, date in (("a", "0000:00:00 00:00:00"), ("b", "2024:13:05 10:00:00"), ("c", "    :")):
        photo(tmp_path / f"{name}.jpg", date)
    photo(tmp_path / "d.jpg", "2024:05:31 10:00:00")

    card = read_card(tmp_path, clock_offset=[("", 999_000 * HOUR)])

    (found,) = (each for each in card.remarks if each.kind == "no_exif_date")
    assert found.names[:2] == ("a.jpg: 0000:00:00 00:00:00", "b.jpg: 2024:13:05 10:00:00")
    assert found.names[2].startswith("d.jpg: 2024:05:31 10:00:00 and --clock_offset of 999,000")


def test_a_day_without_a_time_is_a_day(tmp_path):
    assert time_taken(photo(tmp_path / "a.jpg", "2024:05:31")) == "2024-05-31"


@pytest.mark.parametrize(
    "gps",
    [
        {2: (8.0, 15.0, 0.0)},
        {1: "S", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
        {1: "N", 2: (98.0, 0.0, 0.0), 3: "E", 4: (10.0, 0.0, 0.0)},
    ],
)
def test_a_place_that_cannot_be_is_unknown(gps, tmp_path):
    path = photo(tmp_path / "a.jpg", "2024:05:31 09:05:07", gps=gps)

    assert math.isnan(taken(path).latitude)
    assert math.isnan(taken(path).longitude)
    assert time_taken(path) == "2024-05-31T09:05:07"


def test_odd_exif_or_no_file_at_all_is_nothing_known(tmp_path):
    path = tmp_path / "a.jpg"
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 9000)
    path.write_bytes(b"\xff\xd8\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + b"\xff\xd9")

    for each in (path, tmp_path / "none.jpg", tmp_path):
        assert taken(each).date is None
        assert taken(each).camera == ""


def test_a_clock_is_put_right_by_camera_or_for_all(tmp_path):
    path = photo(tmp_path / "a.jpg", "2024:05:31 00:30:00")

    assert time_taken(path) == "2024-05-31T00:30:00"
    assert f"{taken(path, [('canon eos 70d', -HOUR)]).date:%d %H}" == "30 23"
    assert f"{taken(path, [('', -HOUR)]).date:%d %H}" == "30 23"
    assert f"{taken(path, [('Canon EOS 7D', -HOUR)]).date:%d %H}" == "31 00"


def test_the_clock_of_a_camera_that_took_none_is_an_error_with_those_that_did(tmp_path):
    photo(tmp_path / "a.jpg", "2024:05:31 00:30:00")

    with pytest.raises(InputError, match=r"Canon 5D: none .*expected one of Canon EOS 70D"):
        read_card(tmp_path, clock_offset=[("Canon 5D", HOUR)])


def two_animals(folder):
    """Photos of two animals on three days, the last of them ambiguous as text."""
    days = {"bella": ("2024-05-31", "2024-06-05"), "carlo": ("2024-06-05", "2024-05-06")}
    return [
        (photo(folder / animal / f"{i}{j}.jpg", f"{day.replace('-', ':')} 1{j}:00:00"), animal, day)
        for animal, both in days.items()
        for i, day in enumerate(both)
        for j in range(2)
    ]


def test_a_day_first_table_and_exif_alone_give_the_same_encounters(tmp_path):
    photos = two_animals(tmp_path)
    by_exif = load_catalogue(tmp_path).table
    rows = [
        f"{path.relative_to(tmp_path).as_posix()},{animal},{day[8:]}/{day[5:7]}/{day[:4]}"
        for path, animal, day in photos
    ]
    (tmp_path / "metadata.csv").write_text("\n".join(["path,identity,date", *rows]))

    by_table = load_catalogue(tmp_path).table

    columns = ["path", "identity", "encounter", "encounter_known"]
    pd.testing.assert_frame_equal(by_table[columns], by_exif[columns])
    assert by_exif["encounter"].nunique() == 4


def test_a_date_of_the_table_comes_before_the_photos_and_what_is_filled_is_said(tmp_path):
    for name in ("1.jpg", "2.jpg"):
        photo(tmp_path / name, "2024:05:31 09:00:00", gps=GPS)
    (tmp_path / "metadata.csv").write_text("path,identity,date\n1.jpg,a,2020-01-02\n2.jpg,b,\n")

    catalogue = load_catalogue(tmp_path)

    assert catalogue.table["date"].dt.year.tolist() == [2020, 2024]
    assert catalogue.table["latitude"].tolist() == [-8.25, -8.25]
    assert [p.names for p in catalogue.remarks if p.kind == "exif_date"] == [("2.jpg",)]


def test_it_is_said_which_photos_a_clocks_offset_has_moved_and_which_not(tmp_path):
    for name in ("1.jpg", "2.jpg"):
        photo(tmp_path / name, "2024:05:31 09:00:00")
    (tmp_path / "metadata.csv").write_text("path,identity,date\n1.jpg,a,2020-01-02\n2.jpg,b,\n")

    catalogue = load_catalogue(tmp_path, clock_offset=[("", -HOUR)])

    names = {each.kind: each.names for each in catalogue.remarks}
    assert names["clock_moved"] == ("2.jpg: 2024-05-31 08:00",)
    assert names["clock_kept"] == ("1.jpg",)


def test_a_date_that_somebody_wrote_and_nobody_can_read_is_not_the_cameras(tmp_path):
    for name in ("1.jpg", "2.jpg"):
        photo(tmp_path / name, "2024:05:31 09:00:00")
    (tmp_path / "metadata.csv").write_text("path,identity,date\n1.jpg,a,45413\n2.jpg,b,01.05.24\n")

    catalogue = load_catalogue(tmp_path)

    assert catalogue.table["date"].isna().all()
    assert "unreadable_date" in (kinds := {p.kind for p in catalogue.remarks})
    assert "exif_date" not in kinds


def test_a_heic_photo_is_read_upright_as_any_other(tmp_path):
    path = photo(tmp_path / "a.heic", "2024:05:31 09:00:00", orientation=6)

    assert look_at(path).fault == ""
    assert open_photo(path).size == open_photo(photo(tmp_path / "b.jpg", orientation=6)).size


# Cards of unnamed photos


@pytest.fixture
def dives(tmp_path):
    times = {"0900": "09:00:00", "0929": "09:29:00", "1010": "10:10:00"}
    for name, time in times.items():
        photo(tmp_path / f"north/DCIM/100CANON/{name}.jpg", f"2024:05:31 {time}")
    photo(tmp_path / "south/DCIM/100CANON/0915.jpg", "2024:05:31 09:15:00")
    photo(tmp_path / "south/DCIM/100CANON/when.jpg")
    return tmp_path


def test_events_are_parted_by_a_gap_in_minutes_for_each_camera_and_folder(dives):
    table = read_card(dives, gap_minutes=30).table

    name = table["path"].str.extract(r"(\w+)\.jpg")[0]
    events = table.groupby("encounter")["path"].count()
    assert sorted(events) == [1, 1, 1, 2]
    assert table.loc[name.isin(["0900", "0929"]), "encounter"].nunique() == 1
    assert table.loc[name == "when", "encounter_known"].tolist() == [False]
    assert read_card(dives, gap_minutes=60).table["encounter"].nunique() == 3


def test_events_may_be_folders_that_people_made(dives):
    assert set(read_card(dives, gap_minutes=None).table["encounter"]) == {"north", "south"}


@pytest.mark.parametrize("loose", [[], ["cover.jpg", "north/IMG_0001 (1).jpg"]])
def test_a_card_is_no_folder_of_animals(loose, dives):
    for name in loose:
        photo(dives / name)

    assert is_unnamed(dives)
    with pytest.raises(InputError, match=r"memory card \(DCIM\).*sort_photos\.py"):
        load_catalogue(dives)


@pytest.mark.parametrize(("columns", "is_so"), [("path,date", True), ("path,Animal ID", False)])
def test_a_card_whose_table_names_nobody_is_unnamed(columns, is_so, dives):
    (dives / "metadata.csv").write_text(f"{columns}\n1.jpg,\n", encoding="utf-8")

    assert is_unnamed(dives) == is_so


def test_a_generated_card_is_read_as_it_was_drawn(tmp_path):
    truth = tmp_path / "truth.csv"
    draw_card(tmp_path / "card", truth, 24, 5, photo_size=32, progress=False)

    card, report = load_checked_card(tmp_path / "card")

    true = pd.read_csv(truth, keep_default_na=False)
    both = card.table.merge(true, on=["path", "bbox"], suffixes=("", "_true"))
    seconds = both["date"].dt.strftime("%Y-%m-%dT%H:%M:%S")
    assert len(both) == len(true) == card.n_images
    assert seconds.tolist() == both["date_true"].str[:19].tolist()
    assert both[["latitude", "longitude"]].notna().all(axis=None)
    assert set(card.table["identity"]) == {""}
    assert "3 cameras" in report.text()


def test_two_animals_of_one_photo_are_two_rows_of_one_event(tmp_path):
    photo(tmp_path / "1.jpg", "2024:05:31 09:00:00")
    (tmp_path / "boxes.csv").write_text('path,bbox\n1.jpg,"0,0,9,9"\n1.jpg,"15,0,9,9"\n')

    card, _ = load_checked_card(tmp_path)

    assert card.table["path"].tolist() == ["1.jpg"] * 2
    assert card.table["image_id"].nunique() == len({photo_name(each) for each in card.paths()}) == 2
    assert card.table["encounter"].nunique() == 1
    assert [open_photo(each).size for each in card.paths()] == [(9, 9)] * 2


@pytest.mark.parametrize("column", ["identity", "Animal ID", "name"])
def test_a_persons_table_on_a_card_names_animals_in_any_column_for_them(column, tmp_path):
    photo(tmp_path / "1.jpg")
    (tmp_path / "metadata.csv").write_text(f"path,class,{column}\n1.jpg,turtle,anna\n")

    assert read_card(tmp_path).table["identity"].tolist() == ["anna"]


@pytest.mark.parametrize("rows", ["", "b.jpg,\n", "b.jpg,unknown\n"])
def test_a_copy_that_nobody_has_named_takes_nothing_from_the_photo_with_a_name(rows, tmp_path):
    photo(tmp_path / "c.jpg")
    for name in ("b.jpg", "a.jpg", "d.jpg"):
        shutil.copy(tmp_path / "c.jpg", tmp_path / name)
    (tmp_path / "metadata.csv").write_text(f"path,identity\n{rows}c.jpg,anna\n")

    card, report = load_checked_card(tmp_path)

    assert card.table[["path", "identity"]].to_numpy().tolist() == [["c.jpg", "anna"]]
    assert "further copies of a photo" in report.text()


def test_two_columns_that_may_name_animals_are_refused_on_a_card_too(tmp_path):
    photo(tmp_path / "1.jpg")
    (tmp_path / "metadata.csv").write_text("path,name,id\n1.jpg,anna,7\n")

    with pytest.raises(InputError, match="has the columns name and id, expected one"):
        read_card(tmp_path)


def test_a_detectors_class_is_nobodys_name(tmp_path):
    photo(tmp_path / "1.jpg", "2024:05:31 09:00:00")
    (tmp_path / "boxes.csv").write_text('path,bbox,class\n1.jpg,"0,0,9,9",turtle\n')

    assert read_card(tmp_path).table["identity"].tolist() == [""]


def test_photos_that_come_after_a_table_with_ids_get_ids(tmp_path):
    for name in "abc":
        photo(tmp_path / f"{name}.jpg", "2024:05:31 10:00:00")
    text = "image_id,path,identity\n7,a.jpg,anna\n8,b.jpg,anna\n"
    (tmp_path / "metadata.csv").write_text(text, encoding="utf-8")

    table = read_card(tmp_path).table.set_index("path")

    assert table["image_id"].is_unique
    assert table.loc[["a.jpg", "b.jpg"], "image_id"].tolist() == ["7", "8"]
    assert table.loc["c.jpg", "image_id"] != ""


def test_a_path_of_a_cards_table_that_leads_out_is_told_with_the_table(tmp_path):
    (tmp_path / "boxes.csv").write_text("path\n../1.jpg\n")

    with pytest.raises(InputError, match=r"boxes\.csv, row 2: the path \.\./1\.jpg leads out"):
        read_card(tmp_path)


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize(
    "other", ["boxes.csv", "metadata (1).csv", "metadata.csv.csv", "metadata.txt", "names.tsv"]
)
def test_a_table_that_is_not_read_is_told(is_named, other, tmp_path):
    photo(tmp_path / "1.jpg")
    (tmp_path / other).write_text('path,bbox\n1.jpg,"0,0,9,9"\n')
    (tmp_path / "notes.txt").write_text("rain")
    if is_named:
        (tmp_path / "metadata.csv").write_text("path,identity\n1.jpg,anna\n")

    told = [each for each in read_card(tmp_path).remarks if each.kind == "unread_table"]

    is_read = other == "boxes.csv" and not is_named
    assert [each.names for each in told] == ([] if is_read else [(other,)])
