"""Photos as they come: what is read, what is refused and why, and how much is held at once."""

import hashlib
import os
import socket
import struct
import threading
import time
import zlib

from common.data import photo_files
from common.data.catalogue_checks import sort_out
from common.data.photo_files import (
    FIRST_OF_SEVERAL,
    NO_SUCH_PHOTO,
    ON_WHITE,
    STRETCHED,
    content_checksum,
    content_size,
    each_photo,
    look_at,
    open_photo,
    squashed_photo,
)
from common.errors import InputError

import cv2
import numpy as np
import pytest
from PIL import Image

GREY = np.linspace(10, 200, 30 * 40).reshape(30, 40)  # 8 bits' worth of a gradient


def save(path, pixels=GREY, **options):
    Image.fromarray(np.asarray(pixels).astype(np.uint8)).save(path, **options)
    return path


def with_exif(path, *fields, rest=b""):
    """Save a JPEG of 40 x 30 pixels with these fields (tag, type, count, value) as its EXIF."""
    content = save(path).read_bytes()
    ifd = struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHLL", *each) for each in fields)
    exif = b"Exif\0\0II*\0" + struct.pack("<L", 8) + ifd + struct.pack("<L", 0) + rest
    length = struct.pack(">H", len(exif) + 2)
    path.write_bytes(content[:2] + b"\xff\xe1" + length + exif + content[2:])
    return path


TURNED = (0x112, 3, 1, 6)
GPS = struct.pack("<HHHLLL", 1, 6, 10, 1, 56, 0) + struct.pack("<ll", -10, 1)


@pytest.mark.parametrize(
    ("fields", "rest", "is_turned"),
    [
        ([TURNED, (0x8825, 4, 1, 38)], GPS, True),  # an altitude below zero
        ([TURNED, (0x10F, 2, 4_000_000, 26)], b"", True),  # a text longer than the file
        ([TURNED, (0x8769, 4, 1, 8)], b"", True),  # a part that holds itself
        ([TURNED, (0x9286, 99, 1, 0)], b"", True),  # no such type
        ([(0x112, 2, 2, 54)], b"", False),  # a text for an orientation
        ([(0x112, 5, 1, 2**32 - 1)], b"", False),  # fractions beyond the end
        ([(0x112, 3, 1, 77)], b"", False),  # no such orientation
    ],
)
def test_odd_exif_stops_neither_the_check_nor_the_reader(fields, rest, is_turned, tmp_path):
    path = with_exif(tmp_path / "a.jpg", *fields, rest=rest)

    assert look_at(path).fault == ""
    assert open_photo(path).size == ((30, 40) if is_turned else (40, 30))


def ftyp(brand):
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic"


NO_PHOTOS = {
    "empty.jpg": (b"", "is empty"),
    "zeros.jpg": (bytes(5000), "cannot be read as a photo"),
    "page.jpg": (b"<!doctype html><title>404</title>", "cannot be read as a photo"),
    "a.HEIC": (ftyp(b"heic"), "cannot be read as a photo"),
    "phone.jpg": (ftyp(b"avif"), "save it as JPEG"),
    "b.avif": (ftyp(b"avif"), "save it as JPEG"),
    "camera.NEF": (b"II*\0", "save it as JPEG"),
    "program.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be read"),
}


@pytest.mark.parametrize("name", NO_PHOTOS)
def test_what_is_no_photo_is_refused_with_the_reason(name, tmp_path):
    content, reason = NO_PHOTOS[name]
    (tmp_path / name).write_bytes(content)

    assert reason in look_at(tmp_path / name).fault
    with pytest.raises(InputError, match=reason):
        open_photo(tmp_path / name)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "gif", "bmp", "heic", "heif"])
def test_a_photo_with_another_kinds_ending_is_read(suffix, tmp_path):
    save(tmp_path / f"a.{suffix}").rename(tmp_path / "photo.jpg")

    assert look_at(tmp_path / "photo.jpg").fault == ""
    assert open_photo(tmp_path / "photo.jpg").size == (40, 30)


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    os.chdir(path.parent)  # its name may not be long
    socket.socket(socket.AF_UNIX).bind(path.name)


def make_device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.skipif(os.name == "nt", reason="has no such files")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("make", [make_pipe, make_socket, make_device, lambda path: path.mkdir()])
def test_what_is_no_file_is_refused_without_waiting(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a.jpg")

    assert "is a folder, a pipe or a device" in look_at(tmp_path / "a.jpg").fault


@pytest.mark.parametrize("name", ["nowhere.jpg", "x/\0.jpg", "y" * 5000, "a.jpg/b.jpg"])
def test_names_without_a_file_behind_are_refused(name, tmp_path):
    save(tmp_path / "a.jpg")

    assert look_at(f"{tmp_path}/{name}").fault
    assert look_at(tmp_path / "nowhere.jpg").fault == NO_SUCH_PHOTO


def test_a_photo_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def closed(*_):
        raise PermissionError(13, "Permission denied")

    path = save(tmp_path / "a.jpg")
    monkeypatch.setattr("builtins.open", closed)

    assert look_at(path).fault.startswith("may not be read (Permission denied)")


def test_bad_photos_are_listed_and_the_others_go_on(tmp_path):
    good = [save(tmp_path / name) for name in ("a.jpg", "c.png")]
    (tmp_path / "b.jpg").touch()
    (tmp_path / "d.jpg").write_bytes(good[0].read_bytes()[:300])

    photos, problems = sort_out(sorted(tmp_path.iterdir()))

    assert photos == good
    assert [each.names for each in problems] == [tuple(f"{tmp_path / n}.jpg" for n in "bd")]
    assert len(list(tmp_path.iterdir())) == 4


def png_header(width, height):
    header = struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    picture = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000)))):
        checksum = zlib.crc32(kind + content)
        picture += struct.pack(">L", len(content)) + kind + content + struct.pack(">L", checksum)
    return picture


def jpeg_of_size(path, width, height):
    """A JPEG that says it is of another size than it is."""
    content = save(path).read_bytes()
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


@pytest.mark.parametrize("size", [(30_000, 30_000), (65_000, 65_000), (10, 65_000_000)])
def test_a_photo_that_would_fill_the_memory_is_refused_by_its_header(size, tmp_path):
    (tmp_path / "a.png").write_bytes(png_header(*size))

    assert "more than 200 million pixels" in look_at(tmp_path / "a.png").fault


def test_a_jpeg_of_too_many_pixels_is_refused_too(tmp_path):
    (tmp_path / "b.jpg").write_bytes(jpeg_of_size(tmp_path / "a.jpg", 60_000, 60_000))

    assert "more than 200 million pixels" in look_at(tmp_path / "b.jpg").fault


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 5)])
def test_photos_of_few_pixels_are_read(size, tmp_path):
    path = save(tmp_path / "a.png", np.full((*size, 3), 99))

    assert look_at(path).fault == ""
    assert np.all(squashed_photo(path, 32) == 99)


# Depths


def seen(path):
    return np.asarray(open_photo(path).convert("L"), dtype=float)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((GREY / 255).astype(np.float32), GREY),
        (GREY.astype(np.float32), GREY),
        ((GREY * 4).astype(np.uint16), GREY),  # 10 bits
        ((GREY * 16).astype(np.uint16), GREY),  # 12 bits
        ((GREY * 64).astype(np.uint16), GREY),  # 14 bits
        ((GREY * 257).astype(np.uint16), GREY),  # 16 bits
    ],
)
def test_a_depth_is_recognised_and_its_brightness_stays(values, expected, tmp_path):
    Image.fromarray(values).save(tmp_path / "a.tif")

    assert np.abs(seen(tmp_path / "a.tif") - expected).max() <= 2
    assert look_at(tmp_path / "a.tif").remarks == ()


@pytest.mark.parametrize(
    "values",
    [
        (GREY * 4 + 7500).astype(np.uint16),  # a thermal camera's 14 bits
        (GREY / 10 + 20).astype(np.float32),  # degrees
        (GREY / 100 - 1).astype(np.float32),  # from below zero
        (GREY * 1000).astype(np.int32),
    ],
)
def test_little_contrast_in_many_bits_is_stretched_and_told(values, tmp_path):
    Image.fromarray(values).save(tmp_path / "a.tif")

    assert seen(tmp_path / "a.tif").min() == 0
    assert seen(tmp_path / "a.tif").max() == 255
    assert look_at(tmp_path / "a.tif").remarks == (STRETCHED,)


def test_a_hot_pixel_and_missing_values_take_no_contrast(tmp_path):
    values = (GREY / 10 + 20).astype(np.float32)
    values[0, 0], values[5, 5], values[7, 7] = 1e30, np.nan, -np.inf
    Image.fromarray(values).save(tmp_path / "a.tif")

    assert seen(tmp_path / "a.tif")[1:].std() > 50


@pytest.mark.parametrize(("bits", "tolerance"), [(12, 20), (14, 5), (16, 1)])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_colours_of_few_bits_in_sixteen_are_not_black(bits, tolerance, suffix, tmp_path):
    deep = (GREY * 2 ** (bits - 8)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), np.dstack([deep] * 3))

    assert np.abs(seen(tmp_path / f"a.{suffix}") - GREY).max() <= tolerance


# What is odd is told


def cut_out(path):
    pixels = np.dstack([GREY] * 4)
    pixels[:, :20, 3] = 0
    return save(path, pixels)


def see_through_palette(path):
    picture = Image.new("P", (10, 10), 0)
    picture.putpalette([10, 200, 30, 0, 0, 0])
    picture.save(path, transparency=0)
    return path


@pytest.mark.parametrize("make", [cut_out, see_through_palette])
@pytest.mark.parametrize("side", [None, 1, 5])
def test_transparent_parts_are_white_and_told(make, side, tmp_path):
    path = make(tmp_path / "a.png")

    assert open_photo(path, side).getpixel((0, 0)) == (255, 255, 255)
    assert look_at(path).remarks == (ON_WHITE,)


def test_a_photo_that_hides_nothing_has_no_remark(tmp_path):
    opaque = np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)])

    assert look_at(save(tmp_path / "a.png", opaque)).remarks == ()


@pytest.mark.parametrize("suffix", ["png", "webp", "gif", "tif"])
def test_of_several_pictures_the_first_is_taken_and_told(suffix, tmp_path):
    red, blue = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 40), "blue")
    red.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[blue])

    assert open_photo(tmp_path / f"a.{suffix}").getpixel((9, 9))[0] > 240
    assert look_at(tmp_path / f"a.{suffix}").remarks == (FIRST_OF_SEVERAL,)


def test_of_a_cameras_several_pictures_the_first_is_taken(tmp_path):
    photo = Image.new("RGB", (400, 300), "red")
    photo.save(tmp_path / "a.mpo", save_all=True, append_images=[photo.rotate(90)])

    assert open_photo(tmp_path / "a.mpo").size == (400, 300)
    assert look_at(tmp_path / "a.mpo").fault == ""


# Memory


def noise(path, side, mode):
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).convert(mode)
    picture.save(path)
    return path


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_a_large_photo_in_bands_is_the_photo(mode, tmp_path, monkeypatch):
    path = noise(tmp_path / "a.png", 201, mode)
    at_once = np.asarray(open_photo(path, 20))
    monkeypatch.setattr(photo_files, "PIXELS_OF_BAND", 3_000)

    in_bands = np.asarray(open_photo(path, 20))

    assert in_bands.shape[0] < 201
    assert np.array_equal(in_bands, at_once)


def test_large_photos_are_decoded_one_after_the_other(tmp_path, monkeypatch):
    inside, most = [], []

    def watched(photo, *_):
        inside.append(photo)
        time.sleep(0.01)
        most.append(len(inside))
        inside.remove(photo)
        return photo

    monkeypatch.setattr(photo_files, "_small_rgb", watched)
    monkeypatch.setattr(photo_files, "PIXELS_AT_ONCE", 1_000)
    monkeypatch.setattr(photo_files.os, "cpu_count", lambda: 8)
    path = save(tmp_path / "large.png")

    list(each_photo(open_photo, [path] * 6, "", progress=False))

    assert most == [1] * 6


def test_a_box_of_a_large_photo_leaves_small(tmp_path):
    path = noise(tmp_path / "a.png", 201, "RGB")

    box = open_photo(f"{path}#xywh=0,0,100,160", 10)

    assert box.size == (20, 32)
    assert look_at(f"{path}#xywh=300,0,9,9").fault.startswith("has 201 x 201 pixels, and none")


def test_small_photos_are_decoded_together(tmp_path, monkeypatch):
    both = threading.Barrier(2, timeout=30)
    monkeypatch.setattr(photo_files, "_small_rgb", lambda photo, *_: (both.wait(), photo)[1])
    monkeypatch.setattr(photo_files.os, "cpu_count", lambda: 2)
    path = save(tmp_path / "small.png")

    assert len(list(each_photo(open_photo, [path] * 2, "", progress=False))) == 2


@pytest.mark.parametrize(
    "values",
    [
        *(np.zeros((90, 90, 3), np.uint8), np.full((90, 90), 255, np.uint8)),
        *(np.full((70, 90, 3), 128, np.uint8), np.full((1, 1, 3), (9, 8, 7), np.uint8)),
        *(np.full((40, 40), np.nan, np.float32), np.full((40, 40), np.inf, np.float32)),
    ],
    ids=["black", "white", "grey", "one pixel", "nan", "infinite"],
)
def test_a_photo_that_shows_nothing_is_told(values, tmp_path):
    Image.fromarray(values).save(tmp_path / "a.tif")

    assert look_at(tmp_path / "a.tif").is_empty


@pytest.mark.parametrize("side", [8, 64, 500])
def test_a_photo_of_noise_shows_something(side, tmp_path):
    noise = np.random.default_rng(0).integers(100, 104, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg", quality=95)

    assert not look_at(tmp_path / "a.jpg").is_empty


@pytest.mark.parametrize(
    ("box", "is_told"),
    [("90,90,50,50", True), ("-5,-5,20,20", True), ("0.2,0.2,0.9,0.9", True),
     ("0,0,201,201", False), ("100,100,102,101", False), ("0.5,0.5,0.5,0.5", False)],
)  # fmt: skip
def test_a_box_that_reaches_out_of_its_photo_may_be_two_corners(box, is_told, tmp_path):
    path = tmp_path / "a.png"
    Image.effect_noise((100, 100) if is_told else (201, 201), 50).save(path)

    found = look_at(f"{path}#xywh={box}")

    assert not found.fault
    assert any("not the two corners" in each for each in found.remarks) == is_told


@pytest.mark.parametrize(
    "segments",
    [
        b"\xff\xe1\x00\x08http:/",  # XMP
        b"\xff\xed\x00\x0aPhotosho",  # IPTC
        b"\xff\xfe\x00\x06reef",  # a comment
        b"\xff\xe1\x00\x02\xff\xfe\x00\x02",  # both empty
        b"\xff\xe2\xff\xff" + bytes(0xFFFD),  # the longest there can be
    ],
)
def test_what_a_program_writes_into_a_jpeg_beside_its_picture_makes_no_other_photo(
    tmp_path, segments
):
    photo, other = save(tmp_path / "a.jpg"), tmp_path / "b.jpg"
    content = photo.read_bytes()

    other.write_bytes(content[:2] + segments + content[2:])

    assert content_checksum(other) == content_checksum(photo)
    assert content_size(other) == content_size(photo)
    assert len(look_at(photo).checksum) == 32


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
@pytest.mark.parametrize("place", [-40, -1])
def test_a_photo_with_another_byte_in_its_picture_is_another_one(tmp_path, name, place):
    photo = save(tmp_path / name)
    before = content_checksum(photo)
    content = bytearray(photo.read_bytes())

    content[place] ^= 1
    photo.write_bytes(content)

    assert content_checksum(photo) != before


@pytest.mark.parametrize("n_bytes", [0, 1, 2, 3, 5, 21, 40, 200])
def test_a_jpeg_that_ends_before_its_picture_is_known_by_all_its_bytes(tmp_path, n_bytes):
    photo = save(tmp_path / "a.jpg")
    content = photo.read_bytes()[:n_bytes]

    photo.write_bytes(content)

    assert content_checksum(photo) == hashlib.blake2b(content, digest_size=16).hexdigest()
    assert content_size(photo) == n_bytes


def test_a_jpeg_of_nothing_but_empty_tables_takes_no_longer_than_its_size(tmp_path):
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"\xff\xd8" + b"\xff\xdb\0\2" * 500_000)  # 2 MB, in hours where quadratic

    assert content_size(photo) == photo.stat().st_size


def test_the_colours_that_a_jpeg_says_it_has_belong_to_its_picture(tmp_path):
    photo = tmp_path / "a.jpg"
    Image.new("CMYK", (40, 30), (9, 80, 120, 3)).save(photo)
    content = photo.read_bytes()
    before = content_checksum(photo)

    photo.write_bytes(content.replace(b"Adobe", b"adobe"))

    assert b"Adobe" in content
    assert content_checksum(photo) != before
