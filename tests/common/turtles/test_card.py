"""A generated memory card: as a camera leaves it, with the truth kept elsewhere."""

from common.errors import InputError
from common.turtles.card import BOXES_FILE, SCENE_SIZE, draw_card

import pandas as pd
import pillow_heif
import pytest
from PIL import ExifTags, Image

SIZE, N_PHOTOS, SEED = 32, 24, 5


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    options = {"photo_size": SIZE, "progress": False}
    draw_card(folder / "card", folder / "truth.csv", N_PHOTOS, SEED, **options)
    return folder / "card"


@pytest.fixture(scope="module")
def truth(card):
    return pd.read_csv(card.parent / "truth.csv", keep_default_na=False)


def photos_of(card):
    return sorted(path for path in card.rglob("*") if path.is_file() and path.name != BOXES_FILE)


def test_a_card_has_as_many_unnamed_photos_as_were_asked_for(card, truth):
    names = [path.relative_to(card).as_posix() for path in photos_of(card)]

    assert len(names) == N_PHOTOS
    assert names == sorted(truth["path"].unique())
    assert not any(identity in " ".join(names) for identity in truth["identity"])


def test_each_photo_says_when_where_and_with_what_it_was_taken(card):
    for path in (path for path in photos_of(card) if path.suffix == ".JPG"):
        with Image.open(path) as photo:
            exif = photo.getexif()
        taken = exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal]

        assert taken.startswith("2024:")
        assert exif[ExifTags.Base.Model]
        assert set(exif.get_ifd(ExifTags.IFD.GPSInfo)) >= {1, 2, 3, 4}


def test_some_photos_are_heic(card):
    heic = [path for path in photos_of(card) if path.suffix == ".HEIC"]

    assert heic
    assert pillow_heif.open_heif(heic[0]).size[0] in (SIZE, SCENE_SIZE * SIZE)


def test_whole_scenes_have_a_box_for_each_animal_inside_the_photo(card, truth):
    boxes = pd.read_csv(card / BOXES_FILE, dtype=str, keep_default_na=False)
    is_scene = truth["bbox"] != ""

    assert boxes["bbox"].tolist() == truth["bbox"].tolist()
    assert truth.loc[truth["path"].duplicated(keep=False), "bbox"].ne("").all()
    for box in boxes["bbox"][is_scene.to_numpy()]:
        left, top, width, height = map(int, box.split(","))
        assert min(left, top) >= 0
        assert max(left + width, top + height) <= SCENE_SIZE * SIZE


def test_some_photos_show_two_animals(truth):
    several = truth.groupby("path")["identity"].nunique()

    assert set(several) == {1, 2}


def test_the_same_seed_draws_the_same_card(card, tmp_path):
    options = {"photo_size": SIZE, "progress": False}
    draw_card(tmp_path / "card", tmp_path / "truth.csv", N_PHOTOS, SEED, **options)

    for path in photos_of(card):
        assert path.read_bytes() == (tmp_path / "card" / path.relative_to(card)).read_bytes()


def test_a_folder_that_holds_something_is_not_drawn_into(card):
    with pytest.raises(InputError, match="holds something"):
        draw_card(card, card.parent / "other.csv", N_PHOTOS)
