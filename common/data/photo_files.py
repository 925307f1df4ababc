"""Photos from files, without torch: what training reads and what an exported network reads.

This is the one place that decodes: `open_photo` for all who want the picture, `look_at` for who
wants to know whether there is one. Both go the same way, so that what passes the check is read
by the training.
"""

import errno
import hashlib
import os
import re
import stat
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, TypeVar

from common.errors import InputError, first_line
from common.machine.freed_memory import hand_back_freed_memory
from common.own_files import open_file

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from tqdm import tqdm

BOX_MARK = "#xywh="  # behind a path: of this photo only a box, as in the W3C's media fragments
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?"
BOXED = rf"([\s\S]*){BOX_MARK}({NUMBER}(?:,{NUMBER}){{3}})"  # in Python and on the sheet's page
MOST_SHARED = 0.5  # of the area that two boxes cover; above, they show the same animal
MOST_PIXELS = 200_000_000  # of one photo, as the largest cameras have
PIXELS_AT_ONCE = 100_000_000  # being decoded by all threads together, at 4 to 8 bytes a pixel
N_PHOTOS_WITH_BAR = 500  # a check of fewer takes seconds
PIXELS_OF_BAND = 4_000_000  # that are converted at a time
BYTES_AT_ONCE = 2**20
# Markers of a JPEG's segments; APP14 says how its colours are to be read.
JPEG_BEGINS, JPEG_PIXELS = b"\xff\xd8", b"\xda"
JPEG_METADATA = {bytes([0xE0 + n]) for n in range(16) if n != 14} | {b"\xfe"}
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # Pillow refuses twice as many
# Odd metadata: the photo is read all the same, or refused with a reason.
warnings.filterwarnings("ignore", module=r"PIL\.")

# Nothing else, whatever a file is called: some of Pillow's readers start other programs.
FORMATS = ("PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF")  # and JPEG
pillow_heif.register_heif_opener(thumbnails=False)  # photos of phones; Pillow turns them upright
PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    *(".png", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".heif", ".hif"),
)
NOT_READ = r"avif|jxl"
RAW = r"3fr|arw|cr[23w]|dcr|dng|erf|fff|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|ra[fw]|rw.|sr.|x3f"
TO_CONVERT = re.compile(rf"\.({NOT_READ}|{RAW})", re.IGNORECASE)  # endings
AVIF_FILE = re.compile(rb"....ftypavi", re.DOTALL)  # its beginning
HOW_TO_CONVERT = (
    "save them as JPEG with a photo program, or with ImageMagick: magick mogrify -format jpg FILES"
)
LOOK = 64  # pixels of the smallest side, in which a photo has more than one colour
FIRST_PHOTO = date(1826, 1, 1)
# Days 0 of spreadsheets and of computers, which stand where there is no date.
NO_DAYS = {date(1899, 12, 30), date(1899, 12, 31), date(1900, 1, 1), date(1970, 1, 1)}
EMPTY = "is black, grey or white all over, so that it shows nothing; copy it anew, or take it away"
NO_SUCH_PHOTO = "no such photo; check the path"

# Highest values of pictures with more than 8 bits: of shares, of 8, 10, 12, 14 and 16 bits.
FULL_RANGES = (1, 255, 1_023, 4_095, 16_383, 65_535)
ROUNDED = 0.01  # of a photo's longer side: by so much may a detector's box reach out of it
LEAST_SHARE = 1 / 8  # of its range that a picture's values fill, or its contrast is stretched
OUTLIERS = (0.1, 99.9)  # percentiles that become black and white then
SAMPLED_SIDE = 1_000  # pixels of each row and column that are asked for it

# What is done about odd photos; `catalogue_checks` says of how many.
ON_WHITE = "transparent parts; shown on white"
FIRST_OF_SEVERAL = "several pictures in one file; the first one is taken"
STRETCHED = "little contrast in more than 8 bits; stretched"
ODD_EXIF = "EXIF that cannot be read; taken as upright"
REACHES_OUT = (
    "a box that reaches out of the photo; cut at its edge; a bbox is x, y, width, height, not the "
    "two corners"
)

TURNS = (  # of the EXIF orientations from 2 on
    *(Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180),
    *(Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270),
    *(Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90),
)
Result = TypeVar("Result")
Box = tuple[float, ...]  # left, top, width, height


def is_to_convert(path: str | Path) -> bool:
    """Whether a file, by its ending, holds a photo in a format that is not read here."""
    return bool(TO_CONVERT.fullmatch(os.path.splitext(path)[1]))


class _NoPhotoError(Exception):
    """Why a file gives no photo, in words that follow its name."""


@dataclass(frozen=True)
class Look:
    """What a file holds.

    Attributes:
        fault: why there is no photo in it; "" where there is one.
        checksum: see `content_checksum`; "" where there is no photo.
        remarks: what is odd about the photo and what was done about it.
        is_empty: whether it is black, grey or white all over. It can be read, but shows nothing.
    """

    fault: str = ""
    checksum: str = ""
    remarks: tuple[str, ...] = ()
    is_empty: bool = False


def open_photo(path: str | Path | BinaryIO, smallest_side: int | None = None) -> Image.Image:
    """Open a photo upright, as 8-bit red, green and blue.

    Transparent parts become white; of several pictures in a file the first is taken. Of pictures
    with 16 or 32 bits or fractions, the smallest of `FULL_RANGES` that holds all values becomes
    0 to 255; where the values fill little of it, the lowest and the highest do.

    Args:
        path: a JPEG, HEIC, PNG, TIFF, BMP, WebP or GIF file, whatever its ending, or its content.
            Turned by its EXIF orientation. A box behind `BOX_MARK` is cut out.
        smallest_side: pixels; the photo may come out smaller than it is, both sides at least
            this. A JPEG is then decoded several times faster. None: full size.

    Raises:
        InputError: the file is missing, may not be read, or is no picture that can be decoded.
    """
    try:
        return _read(path, smallest_side, [])
    except _NoPhotoError as fault:
        name = path if isinstance(path, str | Path) else "a photo's content"
        raise InputError(f"{name}: {fault}") from fault.__cause__


def look_at(path: str | Path) -> Look:
    """Whether `open_photo` can open a file, and what is odd about it."""
    remarks = []
    try:
        _read(path, LOOK, remarks)
        is_empty, odd = EMPTY in remarks, tuple(each for each in remarks if each != EMPTY)
        return Look("", content_checksum(file_and_box(path)[0]), odd, is_empty)
    except _NoPhotoError as fault:
        return Look(str(fault))
    except OSError as error:  # gone in between
        return Look(f"may not be read ({error.strerror or error})")


def content_checksum(file: Path) -> str:
    """Of a photo's bytes, 32 hexadecimal digits; of a JPEG's without its metadata.

    A program that writes keywords, a rating or a place into a photo does not make another one.

    Raises:
        OSError: the file cannot be read.
    """
    with open_file(file) as photo:
        digest = hashlib.blake2b(_tables_of_jpeg(photo), digest_size=16)
        while part := photo.read(BYTES_AT_ONCE):
            digest.update(part)
    return digest.hexdigest()


def content_size(file: Path) -> int:
    """The bytes of which `content_checksum` is the checksum.

    Raises:
        OSError: the file cannot be read.
    """
    with open_file(file) as photo:
        n_tables = len(_tables_of_jpeg(photo))
        return n_tables + os.fstat(photo.fileno()).st_size - photo.tell()


def _tables_of_jpeg(photo: BinaryIO) -> bytes:
    """What stands before a JPEG's pixels but for metadata; its pixels are what is read next.

    Of another file nothing, and all of it is read next. See ITU-T T.81, B.1.1.
    """
    tables = bytearray(photo.read(2))
    if tables == JPEG_BEGINS:
        while (head := photo.read(4))[:1] == JPEG_BEGINS[:1]:
            marker, length = head[1:2], int.from_bytes(head[2:]) - 2
            if marker == JPEG_PIXELS:
                photo.seek(-len(head), os.SEEK_CUR)
                return bytes(tables)
            if marker in JPEG_METADATA:
                photo.seek(max(length, 0), os.SEEK_CUR)
            else:
                tables += head + photo.read(max(length, 0))
    photo.seek(0)
    return b""


def _read(
    path: str | Path | BinaryIO, smallest_side: int | None, remarks: list[str]
) -> Image.Image:
    if not isinstance(path, str | Path):
        return _decode(path, smallest_side, remarks)
    path, box = file_and_box(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
            raise _NoPhotoError("is a folder, a pipe or a device, expected a photo file")
        with open(path, "rb") as file:
            start = file.read(32)
            if not start:
                raise _NoPhotoError("is empty (0 bytes), expected a photo: copy it anew")
            if is_to_convert(path) or AVIF_FILE.match(start):
                raise _NoPhotoError(
                    "is an AVIF, JPEG XL or raw photo, expected JPEG, HEIC, PNG or TIFF; "
                    f"{HOW_TO_CONVERT.replace('them', 'it').replace('FILES', 'FILE')}"
                )
            file.seek(0)
            return _decode(file, smallest_side, remarks, box)
    except FileNotFoundError:
        raise _NoPhotoError(NO_SUCH_PHOTO) from None
    except (OSError, ValueError) as error:  # ValueError: no name that the system allows
        reason = getattr(error, "strerror", None) or first_line(error)
        advice = "change its permissions" if isinstance(error, PermissionError) else "copy it anew"
        if getattr(error, "errno", None) == errno.ELOOP:
            reason, advice = "it is a link that leads to itself", "take it away"
        raise _NoPhotoError(f"may not be read ({reason}); {advice}") from error


def file_and_box(path: str | Path) -> tuple[Path, Box | None]:
    """The file of a photo, and the box of it that is meant: left, top, width, height.

    >>> file_and_box("a#xywh=1,2.jpg#xywh=1,2,30,40")[1], file_and_box("a#xywh=1,2,3,4.jpg")[1]
    ((1.0, 2.0, 30.0, 40.0), None)
    """
    found = re.fullmatch(BOXED, str(path))
    if not found or os.path.exists(path):
        return Path(path), None
    return Path(found[1]), tuple(map(float, found[2].split(",")))


def same_place(one: Box | None, other: Box | None) -> bool:
    """Whether two boxes of a photo share most of what they show; None is the whole photo.

    >>> same_place((0, 0, 30, 40), (1, 2, 30, 40)), same_place((0, 0, 30, 40), None)
    (True, False)
    """
    if one is None or other is None:
        return one is other
    sides = [
        min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i]) for i in (0, 1)
    ]
    shared = max(0, sides[0]) * max(0, sides[1])
    return shared > MOST_SHARED * (one[2] * one[3] + other[2] * other[3] - shared)


def _cut_out(photo: Image.Image, box: Box, remarks: list[str]) -> Image.Image:
    """A box of an upright photo; numbers up to 1 are shares of its sides, others are pixels."""
    is_share = max(box) <= 1
    left, top, width, height = (
        number * (photo.size[place % 2] if is_share else 1) for place, number in enumerate(box)
    )
    corners = (left, top, left + width, top + height)
    left, top, right, bottom = (
        min(max(round(corner), 0), photo.size[place % 2]) for place, corner in enumerate(corners)
    )
    beyond = np.subtract(corners, (left, top, right, bottom))
    if np.abs(beyond).max() > max(1, ROUNDED * max(photo.size)):
        remarks.append(REACHES_OUT)
    if left >= right or top >= bottom:
        words = ", ".join(f"{number:g}" for number in box)
        raise _NoPhotoError(
            f"has {photo.width} x {photo.height} pixels, and none in its box [{words}]; correct "
            "the box: x, y, width, height in pixels"
        )
    return photo.crop((left, top, right, bottom))


def _decode(
    file: BinaryIO, smallest_side: int | None, remarks: list[str], box: Box | None = None
) -> Image.Image:
    """The photo of an open file, or a box of it; all that is odd goes to the remarks."""
    try:
        with opened(file) as photo:
            if getattr(photo, "is_animated", False):
                remarks.append(FIRST_OF_SEVERAL)
            return _upright_rgb(photo, smallest_side, remarks, box)
    except _NoPhotoError:
        raise
    except Image.DecompressionBombError:
        raise _NoPhotoError(
            f"has more than {MOST_PIXELS / 1e6:.0f} million pixels; make a smaller copy of it"
        ) from None
    except Exception as error:  # Pillow raises whatever damaged bytes lead to
        is_unknown = isinstance(error, UnidentifiedImageError)  # whose words name a Python object
        reason = "no format that is known" if is_unknown else first_line(error)
        raise _NoPhotoError(
            f"cannot be read as a photo ({reason}); expected a whole JPEG, PNG, TIFF or HEIC file: "
            "replace it, or take it out of the catalogue"
        ) from error


def _upright_rgb(
    photo: Image.Image, smallest_side: int | None, remarks: list[str], box: Box | None
) -> Image.Image:
    whole_side = smallest_side if box is None else None  # a box counts pixels of the full size
    n_pixels = photo.width * photo.height
    if n_pixels > MOST_PIXELS:
        raise Image.DecompressionBombError
    if whole_side and isinstance(photo, JpegImageFile) and photo.mode != "CMYK":
        photo.draft("RGB", (whole_side, whole_side))
        if "progressive" not in photo.info:  # those are held whole while they are decoded
            n_pixels = photo.width * photo.height
    with _ROOM.for_pixels(n_pixels):
        # Of 16 bits of a colour Pillow will keep the upper 8.
        is_wide = len(photo.getbands()) >= 3 and ";16" in str(photo.tile)
        photo.load()
        is_empty = smallest_side == LOOK and box is None and _has_one_colour(photo)
        turn = _turn(photo, remarks)
        small = _small_rgb(photo, whole_side, is_wide, remarks)
        small = small if turn is None else small.transpose(turn)
        if box is not None:
            small = _cut_out(small, box, remarks)
            is_empty = smallest_side == LOOK and _has_one_colour(small)
            small = small.reduce(_shrinking(small, smallest_side))
        # Black, grey or white, as what was never exposed or written is; one pixel may be blue.
        if is_empty and (len(set(small.getpixel((0, 0)))) == 1 or n_pixels == 1):
            remarks.append(EMPTY)
        if small is not photo:
            photo.close()  # frees its pixels before the next photo's are decoded
    return small


def opened(file: BinaryIO) -> Image.Image:
    """The picture of a file, not decoded yet: its EXIF can be asked for."""
    start = file.read(3)
    file.seek(0)
    # Not by Image.open, which fails where a camera's list of further pictures (MPO) is broken.
    return JpegImageFile(file) if start == b"\xff\xd8\xff" else Image.open(file, formats=FORMATS)


def _turn(photo: Image.Image, remarks: list[str]) -> Image.Transpose | None:
    """How to put a photo upright."""
    try:
        orientation = photo.getexif().get(ExifTags.Base.Orientation)
        return TURNS[orientation - 2] if orientation in range(2, 9) else None
    except Exception:  # Pillow raises whatever odd EXIF leads to
        remarks.append(ODD_EXIF)
        return None


def _small_rgb(
    photo: Image.Image, smallest_side: int | None, is_wide: bool, remarks: list[str]
) -> Image.Image:
    """A decoded photo in red, green and blue, band by band: a copy of a large photo is large."""
    rows = max(1, PIXELS_OF_BAND // photo.width)  # of a band
    factor = min(rows, _shrinking(photo, smallest_side))
    limits = _limits(photo, is_wide)
    if limits is not None and limits[0] != 0:
        remarks.append(STRETCHED)
    has_alpha = photo.has_transparency_data
    if photo.mode == "RGB" and factor == 1 and limits is None and not has_alpha:
        return photo
    (width, height), is_seen_through = photo.size, False
    small = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    step = rows // factor * factor
    for top in range(0, height, step):
        band = photo.crop((0, top, width, min(top + step, height)))
        if limits is not None:
            band = _eight_bits(band, *limits)
        if has_alpha and band.has_transparency_data:
            band = band.convert("RGBA")
            is_seen_through |= band.getchannel("A").getextrema()[0] < 255
            band = Image.alpha_composite(Image.new("RGBA", band.size, "white"), band)
        small.paste(band.convert("RGB").reduce(factor), (0, top // factor))
    if is_seen_through:
        remarks.append(ON_WHITE)
    return small


def _shrinking(photo: Image.Image, smallest_side: int | None) -> int:
    """By how much a photo's sides may be divided, so that twice the smallest side is left."""
    return max(1, min(photo.size) // (2 * smallest_side)) if smallest_side else 1


def _limits(photo: Image.Image, is_wide: bool) -> tuple[float, float] | None:
    """The values that become black and white; None for a picture of 8 bits."""
    if is_wide:
        bands = photo.getextrema()[:3]
        highest = max(high for _, high in bands)
        return None if highest > 63 else (0.0, 63.0 if highest > 15 else 15.0)  # 14 or 12 bits
    if photo.mode != "F" and not photo.mode.startswith("I"):
        return None
    values = _sampled_values(photo)
    if not len(values):
        return 0.0, 1.0
    low, high = np.percentile(values, OUTLIERS)
    full = next((full for full in FULL_RANGES if values.max() <= full), np.finfo(np.float32).max)
    is_filled = high - low >= full * LEAST_SHARE or high == low
    if values.min() >= 0 and is_filled:
        return 0.0, float(full)
    return (low, high) if high > low else (low, low + 1)


def _sampled_values(photo: Image.Image) -> np.ndarray:
    """Values of a picture of one band that are numbers, of some rows and columns of a large one."""
    width, height = (min(side, SAMPLED_SIDE) for side in photo.size)
    sampled = photo.resize((width, height), Image.Resampling.NEAREST)
    values = np.asarray(sampled, dtype=np.float64)
    return values[np.isfinite(values)]


def _has_one_colour(photo: Image.Image) -> bool:
    """Whether all pixels are the same, or none is a number."""
    if photo.mode == "F" or photo.mode.startswith("I"):
        values = _sampled_values(photo)
        return not len(values) or values.min() == values.max()
    return all(band.getextrema()[0] == band.getextrema()[1] for band in photo.split())


def _eight_bits(band: Image.Image, low: float, high: float) -> Image.Image:
    """Values from low to high as 0 to 255."""
    if len(band.getbands()) > 1:
        colours = [min(255, round(value / high * 255)) for value in range(256)]
        keep = list(range(256)) * (len(band.getbands()) - 3)  # how far one sees through
        return band.point(colours * 3 + keep)
    values = np.nan_to_num(np.asarray(band, np.float64), nan=low, posinf=high, neginf=low)
    shares = ((values - low) / (high - low)).clip(0, 1)
    return Image.fromarray(np.rint(shares * 255).astype(np.uint8))


def squashed_photo(path: str | Path, size: int) -> np.ndarray:
    """The whole photo as a square.

    Squashing keeps the whole animal; a centre crop would cut beaks and shell edges away.

    Args:
        size: side of the square, pixels.

    Returns:
        uint8, shape (size, size, 3).

    Raises:
        InputError: the photo is missing or cannot be decoded.
    """
    photo = open_photo(path, smallest_side=size)
    return np.asarray(photo.resize((size, size), Image.Resampling.BILINEAR))


def each_photo(
    read: Callable[[str | Path], Result],
    paths: Sequence[str | Path],
    title: str,
    *,
    progress: bool | None = None,
) -> Iterator[Result]:
    """What a function makes of each photo file, in order, on all cores.

    Args:
        progress: whether to draw one; None: where there are many photos.
    """
    has_bar = len(paths) > N_PHOTOS_WITH_BAR if progress is None else progress
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # Pillow and OpenCV free the GIL
        jobs = threads.map(read, paths)
        yield from tqdm(jobs, title, len(paths), unit="photo", disable=not has_bar)


class _Room:
    """So many pixels at once for all threads, so that memory does not grow with the cores.

    A photo that has more than that waits to be alone.
    """

    def __init__(self) -> None:
        self.taken, self.changed = 0, threading.Condition()

    @contextmanager
    def for_pixels(self, n_pixels: int) -> Iterator[None]:
        n_pixels = min(n_pixels, PIXELS_AT_ONCE)
        with self.changed:
            self.changed.wait_for(lambda: self.taken + n_pixels <= PIXELS_AT_ONCE)
            self.taken += n_pixels
        try:
            yield
        finally:
            if n_pixels > PIXELS_OF_BAND * 5:  # else each thread holds on to as much
                hand_back_freed_memory()
            with self.changed:
                self.taken -= n_pixels
                self.changed.notify_all()


def can_be_true(day: datetime) -> bool:
    """Whether a photo may have been taken then: there was photography, and it is past."""
    is_past = FIRST_PHOTO <= day.date() <= date.today() + timedelta(days=1)  # anywhere on Earth
    return is_past and day.date() not in NO_DAYS


_ROOM = _Room()
