"""Photos from files, without torch: what training reads and what an exported network reads.

This is the one place that decodes: `open_photo` for all who want the picture, `is_whole` for who
wants to know whether there is one.
"""

import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

from common.errors import InputError

import numpy as np
from PIL import ExifTags, Image, ImageOps
from tqdm import tqdm

PIXELS_AT_ONCE = 100_000_000  # being decoded by all threads together, at 4 to 8 bytes a pixel
UNDECODABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
Result = TypeVar("Result")


def open_photo(path: str | Path | BinaryIO, smallest_side: int | None = None) -> Image.Image:
    """Open a photo upright, as 8-bit red, green and blue.

    Args:
        path: any file that Pillow reads, or its content. Turned by its EXIF orientation; CMYK,
            palette, grey and 16-bit pictures are converted; transparent parts become white.
        smallest_side: pixels; a JPEG is decoded at the smallest scale whose sides are both
            at least this, which is several times faster for camera photos. None: full size.

    Raises:
        InputError: the file is missing, or is no picture that can be decoded.
    """
    name = path if isinstance(path, str | Path) else "a photo's content"
    try:
        with Image.open(path) as photo:
            _shrink(photo, smallest_side)
            photo.load()
            ImageOps.exif_transpose(photo, in_place=True)  # a copy of a large photo is large
            return _to_rgb(photo)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such photo; check the path, or the folder that --data_dir names"
        ) from None
    except UNDECODABLE as error:
        raise InputError(
            f"{name}: cannot be read as a photo ({error}); expected a whole JPEG, PNG or TIFF "
            "file: replace it, or take it out of the catalogue"
        ) from error


def _shrink(photo: Image.Image, smallest_side: int | None) -> None:
    """Let a JPEG be decoded at a fraction of its size."""
    if smallest_side and photo.format == "JPEG" and photo.mode != "CMYK":
        photo.draft("RGB", (smallest_side, smallest_side))


def _to_rgb(photo: Image.Image) -> Image.Image:
    if photo.mode.startswith("I") or photo.mode == "F":  # 16 or 32 bits a pixel
        values = np.asarray(photo, dtype=np.float32)
        full_range = 65_535.0 if values.max(initial=0) > 255 else 255.0
        photo = Image.fromarray((values / full_range * 255).clip(0, 255).astype(np.uint8))
    if photo.has_transparency_data:
        white = Image.new("RGBA", photo.size, "white")
        photo = Image.alpha_composite(white, photo.convert("RGBA"))
    return photo if photo.mode == "RGB" else photo.convert("RGB")


def is_whole(content: bytes) -> bool:
    """Whether a file's content is a picture that can be decoded to its end."""
    try:
        with Image.open(io.BytesIO(content)) as photo:
            photo.draft("L", (1, 1))  # JPEG decodes at an eighth of its size
            photo.load()
    except UNDECODABLE:
        return False
    return True


def pixels_of(path: str | Path, smallest_side: int | None = None) -> int:
    """How many pixels `open_photo` decodes, as the file's first bytes say; 0: it is no picture."""
    try:
        with Image.open(path) as photo:
            _shrink(photo, smallest_side)
            return photo.width * photo.height
    except UNDECODABLE:
        return 0


def squashed_photo(path: str | Path, size: int) -> np.ndarray:
    """The whole photo as a square.

    Squashing keeps the whole animal; a centre crop would cut beaks and shell edges away.

    Args:
        path: photo file.
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
    smallest_side: int | None = None,
    progress: bool = True,
) -> Iterator[Result]:
    """What a function makes of each photo file, in order, on all cores.

    Large photos wait for each other, so that memory does not grow with the number of cores.

    Args:
        read: from a path; decodes the photo.
        paths: photo files, length n_images.
        title: beside the progress bar.
        smallest_side: that `read` gives to `open_photo`.
        progress: whether to draw one.
    """
    room = _Room(PIXELS_AT_ONCE)

    def read_in_room(path: str | Path) -> Result:
        with room.for_pixels(pixels_of(path, smallest_side)):
            return read(path)

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # Pillow and OpenCV free the GIL
        jobs = threads.map(read_in_room, paths)
        yield from tqdm(jobs, title, len(paths), unit="photo", disable=not progress)


class _Room:
    """So many pixels at once for all threads; a photo that has more than that waits to be alone."""

    def __init__(self, n_pixels: int) -> None:
        self.limit, self.taken, self.changed = n_pixels, 0, threading.Condition()

    @contextmanager
    def for_pixels(self, n_pixels: int) -> Iterator[None]:
        n_pixels = min(n_pixels, self.limit)
        with self.changed:
            self.changed.wait_for(lambda: self.taken + n_pixels <= self.limit)
            self.taken += n_pixels
        try:
            yield
        finally:
            with self.changed:
                self.taken -= n_pixels
                self.changed.notify_all()


def sort_out(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Until hard-a comes."""
    good, bad = [], []
    for path in paths:
        try:
            open_photo(path, 1)
            good.append(path)
        except InputError as error:
            bad.append(str(error))
    return good, bad


def day_taken(path: str | Path) -> str:
    """The day on which the camera says that it took a photo, "2024-05-31"; "" where it does not."""
    try:
        with Image.open(path) as photo:
            exif = photo.getexif().get_ifd(ExifTags.IFD.Exif)
        taken = str(exif.get(ExifTags.Base.DateTimeOriginal, ""))[:10]
        return datetime.strptime(taken, "%Y:%m:%d").date().isoformat()
    except Exception:  # no date, or whatever Pillow raises at odd EXIF
        return ""
