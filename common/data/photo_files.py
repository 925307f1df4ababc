"""Photos from files, without torch: what training reads and what an exported network reads."""

from pathlib import Path

from common.errors import InputError

import numpy as np
from PIL import Image, ImageOps


def open_photo(path: str | Path, smallest_side: int | None = None) -> Image.Image:
    """Open a photo upright, as 8-bit red, green and blue.

    Args:
        path: any file that Pillow reads. Turned by its EXIF orientation; CMYK, palette, grey and
            16-bit pictures are converted; transparent parts become white.
        smallest_side: pixels; a JPEG is decoded at the smallest scale whose sides are both
            at least this, which is several times faster for camera photos. None: full size.

    Raises:
        InputError: the file is missing, or is no picture that can be decoded.
    """
    try:
        with Image.open(path) as photo:
            if smallest_side and photo.format == "JPEG" and photo.mode != "CMYK":
                photo.draft("RGB", (smallest_side, smallest_side))
            return _to_rgb(ImageOps.exif_transpose(photo))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such photo; check the path, or the folder that --data_dir names"
        ) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path}: cannot be read as a photo ({error}); expected a whole JPEG, PNG or TIFF "
            "file: replace it, or take it out of the catalogue"
        ) from error


def _to_rgb(photo: Image.Image) -> Image.Image:
    if photo.mode.startswith("I") or photo.mode == "F":  # 16 or 32 bits a pixel
        values = np.asarray(photo, dtype=np.float32)
        full_range = 65_535.0 if values.max(initial=0) > 255 else 255.0
        photo = Image.fromarray((values / full_range * 255).clip(0, 255).astype(np.uint8))
    if "transparency" in photo.info or photo.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        photo = photo.convert("RGBA")
        white = Image.new("RGBA", photo.size, "white")
        photo = Image.alpha_composite(white, photo)
    return photo.convert("RGB")


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
