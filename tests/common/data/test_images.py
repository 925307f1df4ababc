"""Photos of every kind become the same pixels, and random views follow from their seed."""

import errno
import os
from unittest.mock import Mock

from common.data.images import (
    PhotoDataset,
    PhotoSelection,
    Preprocessing,
    evaluation_transform,
    read_photos,
    small_picture_transform,
    training_transform,
)
from common.data.photo_files import open_photo
from common.errors import InputError

import numpy as np
import pytest
from PIL import Image

PREPROCESSING = Preprocessing(32, (0.4, 0.5, 0.6), (0.2, 0.25, 0.5))


def half_red_half_blue(height=40, width=60):
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return pixels


def test_a_photo_is_turned_by_its_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held a quarter turn to the left
    Image.fromarray(half_red_half_blue()).save(tmp_path / "turned.png", exif=exif)

    photo = np.asarray(open_photo(tmp_path / "turned.png"))

    assert photo.shape == (60, 40, 3)
    assert photo[5, 20].tolist() == [255, 0, 0]
    assert photo[55, 20].tolist() == [0, 0, 255]


@pytest.mark.parametrize("mode", ["CMYK", "P", "L", "1", "RGBA", "LA", "YCbCr", "HSV"])
def test_every_colour_mode_becomes_rgb(mode, tmp_path):
    grey = Image.new("RGB", (20, 20), (128, 128, 128)).convert(mode)
    suffix = "tif" if mode in ("CMYK", "YCbCr", "LA") else "png"
    if mode == "HSV":
        grey = grey.convert("RGB")
    grey.save(tmp_path / f"photo.{suffix}")

    photo = np.asarray(open_photo(tmp_path / f"photo.{suffix}"))

    assert photo.shape == (20, 20, 3)
    tolerance = {"1": 128, "P": 26}.get(mode, 3)  # black and white, and the web's palette
    assert np.abs(photo.astype(int) - 128).max() <= tolerance


def test_sixteen_bits_keep_their_brightness(tmp_path):
    values = np.full((10, 10), 32_768, dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")

    photo = np.asarray(open_photo(tmp_path / "deep.png"))

    assert np.abs(photo.astype(int) - 128).max() <= 1


def test_transparent_parts_become_white(tmp_path):
    pixels = np.zeros((10, 10, 4), dtype=np.uint8)
    pixels[:, 5:, 3] = 255  # left half transparent, right half black
    Image.fromarray(pixels).save(tmp_path / "cut.png")

    photo = np.asarray(open_photo(tmp_path / "cut.png"))

    assert photo[5, 2].tolist() == [255, 255, 255]
    assert photo[5, 8].tolist() == [0, 0, 0]


def test_a_transparent_palette_colour_becomes_white(tmp_path):
    photo = Image.new("P", (10, 10), 0)
    photo.putpalette([10, 200, 30, 0, 0, 0])
    photo.save(tmp_path / "palette.png", transparency=0)

    assert np.asarray(open_photo(tmp_path / "palette.png"))[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\xff\xd8\xff\xe0 cut off"])
def test_what_is_no_photo_is_named(content, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(content)

    with pytest.raises(InputError, match=r"bad\.jpg"):
        open_photo(tmp_path / "bad.jpg")


def test_a_truncated_photo_is_named(tmp_path):
    Image.fromarray(half_red_half_blue(200, 300)).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(InputError, match=r"half\.jpg: cannot be read"):
        open_photo(tmp_path / "half.jpg")


def test_photos_are_squashed_whole(tmp_path):
    Image.fromarray(half_red_half_blue()).save(tmp_path / "a.png")

    photos = read_photos([tmp_path / "a.png"] * 2, 16, progress=False)

    assert photos.shape == (2, 16, 16, 3)
    assert photos[0, 8, 0].tolist() == [255, 0, 0]
    assert photos[0, 8, 15].tolist() == [0, 0, 255]


def test_photos_beyond_the_memory_limit_lie_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("common.data.images.MEMORY_LIMIT", 100)
    Image.fromarray(half_red_half_blue()).save(tmp_path / "a.png")

    photos = read_photos([tmp_path / "a.png"], 16, progress=False)

    assert isinstance(photos, np.memmap)
    assert photos[0, 8, 0].tolist() == [255, 0, 0]


def test_too_small_a_disk_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("common.data.images.MEMORY_LIMIT", 100)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr("common.data.images.tempfile.TemporaryFile", Mock(side_effect=full))
    Image.fromarray(half_red_half_blue()).save(tmp_path / "a.png")

    with pytest.raises(InputError, match=r"No space left.*TMPDIR"):
        read_photos([tmp_path / "a.png"], 16, progress=False)


def test_photos_give_the_same_items_from_a_file_as_from_memory(tmp_path, monkeypatch):
    for name in "abc":
        Image.fromarray(noise()[ord(name) - ord("a")]).save(tmp_path / f"{name}.png")
    paths = sorted(tmp_path.iterdir())
    in_memory = read_photos(paths, 37, progress=False)
    monkeypatch.setattr("common.data.images.MEMORY_LIMIT", 100)

    in_file = read_photos(paths, 37, progress=False)

    first, second = (mirrored_and_not(photos) for photos in (in_memory, in_file))
    assert isinstance(second.photos.array, np.memmap)
    assert first.fingerprint() == second.fingerprint()
    assert all(np.array_equal(first[i][0], second[i][0]) for i in range(len(first)))


def test_evaluation_normalises_each_channel_and_nothing_else():
    white = np.full((37, 37, 3), 255, dtype=np.uint8)

    view = evaluation_transform(PREPROCESSING)(image=white)["image"]

    assert tuple(view.shape) == (3, 32, 32)
    for channel, (mean, std) in enumerate(zip((0.4, 0.5, 0.6), (0.2, 0.25, 0.5), strict=True)):
        assert view[channel].numpy() == pytest.approx((1 - mean) / std, abs=1e-5)


def red_is_left(view):
    red = view[0]
    return bool(red[:, :8].mean() > red[:, -8:].mean())


def test_without_flip_no_photo_is_mirrored():
    photos = np.stack([half_red_half_blue(37, 37)] * 40)
    dataset = PhotoDataset(photos, np.zeros(40), training_transform(PREPROCESSING, flip=False))

    assert all(red_is_left(dataset[i][0]) for i in range(40))


def test_with_flip_about_half_are_mirrored():
    photos = np.stack([half_red_half_blue(37, 37)] * 60)
    dataset = PhotoDataset(photos, np.zeros(60), training_transform(PREPROCESSING, flip=True))

    assert 15 <= sum(red_is_left(dataset[i][0]) for i in range(60)) <= 45


def test_a_random_view_depends_on_seed_epoch_and_photo_alone():
    photos = np.random.default_rng(0).integers(0, 255, (4, 37, 37, 3), dtype=np.uint8)
    transform = training_transform(PREPROCESSING, flip=False)
    dataset = PhotoDataset(photos, np.zeros(4), transform, seed=5)
    again = PhotoDataset(photos, np.zeros(4), training_transform(PREPROCESSING, flip=False), seed=5)

    first = dataset[2][0]
    other_photos = [again[i][0] for i in (3, 0, 1)]
    dataset.set_epoch(1)

    assert len(other_photos) == 3
    assert np.array_equal(first, again[2][0])
    assert not np.array_equal(first, dataset[2][0])


def noise(n=3):
    return np.random.default_rng(0).integers(0, 255, (n, 37, 37, 3), dtype=np.uint8)


def mirrored_and_not(photos, **options):
    """All photos in random views, and the mirror images of the last and the first behind them."""
    selection = PhotoSelection(photos).with_mirrored(np.array([len(photos) - 1, 0]))
    transform = training_transform(PREPROCESSING, flip=False)
    return PhotoDataset(selection, np.arange(len(selection)), transform, **options)


def test_a_mirrored_item_is_the_mirrored_photos_item():
    photos = noise()
    joined = np.concatenate([photos, photos[[2, 0], :, ::-1]])
    transform = training_transform(PREPROCESSING, flip=False)
    copied, selected = PhotoDataset(joined, np.arange(5), transform), mirrored_and_not(photos)

    for epoch in range(2):
        copied.set_epoch(epoch)
        selected.set_epoch(epoch)
        together = selected.__getitems__(range(5))
        for index in range(5):
            assert np.array_equal(selected[index][0], copied[index][0])
            assert np.array_equal(together[index][0], copied[index][0])


def test_selected_photos_are_not_copied():
    photos = noise()
    selection = PhotoSelection(photos).with_mirrored(np.array([2, 0])).take(np.array([4, 1]))

    assert selection.array is photos
    assert np.shares_memory(selection[1], photos)
    assert np.array_equal(selection[1], photos[1])
    assert np.array_equal(selection[0], photos[0, :, ::-1])


def test_a_mirrored_photo_mirrored_again_is_the_photo():
    selection = PhotoSelection(noise()).with_mirrored(np.array([2])).with_mirrored(np.array([3]))

    assert np.array_equal(selection[4], noise()[2])


def test_one_label_for_each_photo():
    with pytest.raises(ValueError, match="2 photos, but 3 labels"):
        PhotoDataset(np.zeros((2, 8, 8, 3), np.uint8), np.zeros(3), lambda image: image)


def small_views(n=60, **options):
    """Views of a white picture, black as 0 and white as 1, shape (n, 3, 32, 32)."""
    plain = Preprocessing(32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    white = np.full((n, 32, 32, 3), 255, dtype=np.uint8)
    dataset = PhotoDataset(white, np.zeros(n), small_picture_transform(plain, **options))
    return np.stack([dataset[i][0].numpy() for i in range(n)])


def test_a_small_picture_is_shifted_by_no_more_than_its_padding():
    views = small_views(erasing=0.0)

    assert views.shape == (60, 3, 32, 32)
    assert np.all(views[:, :, 4:-4, 4:-4] == 1)
    n_black_rows = (views[:, 0].max(axis=2) == 0).sum(axis=1)  # of each view, above or below
    assert set(n_black_rows) == {0, 1, 2, 3, 4}


def test_a_quarter_of_small_pictures_lose_a_patch_of_the_area_asked_for():
    erased = 1 - small_views(n=400, padding=0)[:, 0].mean(axis=(1, 2))  # share of each view

    assert 0.18 < np.mean(erased > 0) < 0.32
    assert 0.015 < erased[erased > 0].min() < erased.max() < 0.12
