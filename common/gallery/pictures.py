"""Small pictures of a gallery's photos, so that a sheet can be drawn wherever the gallery lies.

A picture is named by the checksum of the photo that it was made of: the same photo is recognised,
and a picture that is there need not be made again.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from common.data.photo_files import each_photo, open_photo
from common.data.photo_names import photo_name
from common.errors import InputError
from common.files import replacing
from common.own_files import remove_own

import numpy as np
from PIL import Image

FOLDER = "pictures"
SIDE = 256  # pixels, of the longer side
QUALITY = 85  # of JPEG
LOOK = 16  # pixels of a side


def store_pictures(photos: Sequence[Path], folder: Path, *, progress: bool = True) -> list[str]:
    """Make a picture of each photo file, unless it is there; returns the names of the pictures.

    Raises:
        InputError: a photo cannot be read, or the folder takes no files.
    """

    def store(photo: Path) -> str:
        name = photo_name(photo)
        path = picture_path(folder, name)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as unfinished:
                small_picture(photo).save(unfinished, "JPEG", quality=QUALITY)
        return name

    try:
        return list(each_photo(store, photos, "small pictures", progress=progress))
    except OSError as error:
        raise InputError(
            f"small pictures cannot be written to {folder / FOLDER} ({error.strerror or error}); "
            "free some space or choose another folder"
        ) from error


def picture_path(folder: Path, name: str) -> Path:
    """Where a picture lies; folders of 256 parts, as file systems dislike crowded ones."""
    return Path(folder) / FOLDER / name[:2] / f"{name}.jpg"


def has_picture(folder: Path, name: str) -> bool:
    """Whether a picture lies in a gallery itself, with no link that leads out of it."""
    path = picture_path(folder, name)
    return path.is_file() and path.resolve().is_relative_to(Path(folder).resolve())


def small_picture(photo: Path, side: int = SIDE) -> Image.Image:
    """The whole photo, upright, its longer side of at most so many pixels.

    Raises:
        InputError: the photo cannot be read.
    """
    picture = open_photo(photo, smallest_side=side)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def look_of(folder: Path, name: str) -> np.ndarray | None:
    """A picture's grey values in so few pixels that a copy which was saved anew keeps them.

    Returns:
        int, shape (16, 16), 0 to 255; None where there is no such picture.
    """
    if not has_picture(folder, name):
        return None
    try:
        picture = open_photo(picture_path(folder, name), smallest_side=LOOK)
    except InputError:
        return None
    return np.asarray(picture.convert("L").resize((LOOK, LOOK), Image.Resampling.BOX), dtype=int)


def drop_pictures(folder: Path, keep: Iterable[str]) -> None:
    """Delete all pictures that the course made but some: those of animals that were removed."""
    kept = {picture_path(Path(), name).as_posix() for name in keep}
    remove_own(Path(folder), f"{FOLDER}/*.jpg", keep=kept)
