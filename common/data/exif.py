"""What cameras write into photos: when, where and with what each was taken. No pixel is decoded.

Times are those of the camera's clock, plus what a person says that it is wrong by. Time zones are
left aside, as in tables: the local day is what makes an encounter.
"""

import math
import re
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from common.data.catalogue_cells import Problem
from common.data.photo_files import can_be_true, each_photo, file_and_box, opened
from common.errors import InputError
from common.names import tidy_name
from common.own_files import open_file

import pandas as pd
from PIL import ExifTags

TIMES = "%Y:%m:%d %H:%M:%S"
ALONE = "photo:"  # how an encounter that nobody knows begins: it is the photo alone
NO_TIME = "T00:00:00"  # what a day becomes that nobody knows the time of
# Folders that cameras make on a card (DCF, the design rule for camera file systems).
CAMERA_FOLDER = re.compile(r"dcim|\d{3}(?!\d{5})[a-z0-9_]{5}", re.IGNORECASE)
Offset = tuple[str, timedelta]  # a camera, "" for all, and what is added to its clock


class Taken(NamedTuple):
    """What a photo file says about its photo.

    Attributes:
        date: local day and time; None where none is there that can be true.
        latitude: degrees north; nan where it is not known.
        longitude: degrees east, likewise.
        camera: maker and model, and a serial number in brackets where there is one; or "".
        no_date: what is written as the date and cannot be one; or "".
    """

    date: datetime | None = None
    latitude: float = math.nan
    longitude: float = math.nan
    camera: str = ""
    no_date: str = ""


def taken(photo: str | Path, clock_offset: Sequence[Offset] = ()) -> Taken:
    """Date and time, place and camera of a photo, as far as its EXIF says; it never fails.

    Args:
        photo: any file; a box behind its path is passed over.
        clock_offset: what is added to the clocks of cameras.
    """
    try:
        path, _ = file_and_box(photo)
        with open_file(path) as file, opened(file) as picture:
            exif = picture.getexif()
            details, gps = (exif.get_ifd(ifd) for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo))
    except Exception:  # whatever Pillow raises at odd files and odd EXIF
        return Taken()
    camera = _camera(exif, details)
    date, text = _date(details, camera, clock_offset)
    return Taken(date, *_place(gps), camera, "" if date or not re.search(r"\w", text) else text)


def read_offset(text: str) -> Offset:
    """Read what is added to the clock of a camera, or without "=" to all clocks.

    Raises:
        ValueError: it is written otherwise.

    >>> read_offset("Canon EOS 70D=-1:00")[0], read_offset("+0:30")[1].seconds
    ('Canon EOS 70D', 1800)
    """
    camera, _, time = text.rpartition("=")
    match = re.fullmatch(r"([+-]?)(\d{1,6}):([0-5]\d)(?::([0-5]\d))?", time.strip())
    if not match:
        raise ValueError(
            f'found {text!r}, expected CAMERA=H:MM, such as "Canon EOS 70D=-1:00", of less than a '
            "million hours"
        )
    sign, hours, minutes, seconds = match.groups("0")
    offset = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds))
    return camera.strip(), -offset if sign == "-" else offset


def time_texts(dates: pd.Series) -> pd.Series:
    """Dates as "2024-05-31T10:11:00"; the day where only that is known, "" where nothing is.

    >>> dates = pd.Series([pd.Timestamp(2024, 5, 31), pd.Timestamp(2024, 5, 31, 10), None])
    >>> time_texts(dates).tolist()
    ['2024-05-31', '2024-05-31T10:00:00', '']
    """
    return dates.dt.strftime("%Y-%m-%dT%H:%M:%S").fillna("").str.removesuffix(NO_TIME)


def time_taken(photo: str | Path) -> str:
    """When the camera says that it took a photo, "2024-05-31T10:11:00"; "" if it does not say it.

    Where only a day is known, it is the day.
    """
    date = taken(photo).date
    return f"{date:%Y-%m-%dT%H:%M:%S}".removesuffix(NO_TIME) if date else ""


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return tidy_name(str(value or "").split("\0")[0])


def _camera(exif: dict, details: dict) -> str:
    tags = ExifTags.Base
    make, model = _text(exif.get(tags.Make)), _text(exif.get(tags.Model))
    if not model.casefold().startswith(make.split(" ")[0].casefold()):
        model = f"{make} {model}".strip()
    serial = _text(details.get(tags.BodySerialNumber))
    return f"{model} ({serial})" if model and serial.strip("0 ") else model


def _date(
    details: dict, camera: str, clock_offset: Sequence[Offset]
) -> tuple[datetime | None, str]:
    """The day and time that may be true, and what is written."""
    tags = ExifTags.Base
    text = _text(details.get(tags.DateTimeOriginal)).replace("-", ":")
    try:
        has_time = re.fullmatch(r"[\d:]{10} \d\d:\d\d:\d\d.*", text)
        date = datetime.strptime(text[: 19 if has_time else 10], TIMES[: 17 if has_time else 8])
        fraction = _text(details.get(tags.SubsecTimeOriginal))
        if fraction.isascii() and fraction.isdigit():
            date += timedelta(seconds=float(f"0.{fraction}"))
        for name, offset in clock_offset:
            if _is_meant(name, camera):
                text += f" and --clock_offset of {offset / timedelta(hours=1):,.2f} hours"
                date += offset
    except (ValueError, OverflowError):
        return None, text
    return date if can_be_true(date) else None, text


def _is_meant(name: str, camera: str) -> bool:
    """Whether a person's name for a camera, "" for all, means this one, whatever its number."""
    return name.casefold() in ("", camera.casefold(), camera.split(" (")[0].casefold())


def _place(gps: dict) -> tuple[float, float]:
    """Degrees north and east, nan where they are not known; 0, 0 is what is written without."""
    tags = ExifTags.GPS
    place = []
    for tag, negative, most in ((tags.GPSLatitude, "S", 90), (tags.GPSLongitude, "W", 180)):
        try:
            parts = [float(part) for part in gps[tag]]
            degrees = sum(part / 60**power for power, part in enumerate(parts))
            degrees *= -1 if _text(gps.get(tag - 1)).upper().startswith(negative) else 1
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            degrees = math.nan
        place.append(round(degrees, 6) if abs(degrees) <= most else math.nan)
    is_known = all(map(math.isfinite, place)) and any(place)
    return (place[0], place[1]) if is_known else (math.nan, math.nan)


def fill_from_photos(
    table: pd.DataFrame,
    root: Path,
    clock_offset: Sequence[Offset] = (),
    unreadable: pd.Series | None = None,
    changed: Collection[str] = (),
) -> list[Problem]:
    """Fill in place the dates, places and cameras that a table lacks, from the photos.

    Args:
        table: with path and date; latitude, longitude and camera where the source has them.
        clock_offset: see `taken`; times that the table has are not touched.
        unreadable: bool, rows whose date somebody wrote that cannot be read: it stays unknown.
        changed: photos that a program has changed since the table was written.

    Returns:
        What was filled, and dates that cannot be true, for people; some without names.

    Raises:
        InputError: an offset is of a camera that took none of these photos.
    """
    paths = list(dict.fromkeys(table["path"]))
    read = partial(taken, clock_offset=clock_offset)
    found = each_photo(read, [root / path for path in paths], "dates and places")
    rows = [*map(dict(zip(paths, found, strict=True)).get, table["path"])]
    cameras = sorted({each.camera for each in rows} - {""})
    for name, _ in clock_offset:
        if name and not any(_is_meant(name, camera) for camera in cameras):
            raise InputError(
                f"--clock_offset {name}: none of these photos names that camera in its EXIF, "
                f"expected one of {', '.join(cameras) or 'none: leave the camera out'}"
            )
    has_date = table["date"].notna()
    for name in ("date", "latitude", "longitude", "camera"):
        own = pd.Series([getattr(each, name) for each in rows], index=table.index)
        if name == "date":
            own = pd.to_datetime(own).astype("datetime64[us]")
            own = own if unreadable is None else own.mask(unreadable)
        if name in table:
            table[name] = table[name].where(table[name].notna() & (table[name] != ""), own)
        elif (own.notna() & (own != "")).any():
            table[name] = own
    filled = table["path"][~has_date & table["date"].notna()]
    words = "photos whose date no table has", tuple(dict.fromkeys(filled))
    odd = {
        f"{p}: {each.no_date}" for p, each in zip(table["path"], rows, strict=True) if each.no_date
    }
    odd_words = "dates in photo files that cannot be true", tuple(sorted(odd))
    is_meant = pd.Series(
        [any(_is_meant(name, each.camera) for name, _ in clock_offset) for each in rows],
        index=table.index,
        dtype=bool,
    )
    moved = table[is_meant & ~has_date & table["date"].notna()]
    now = [f"{p}: {d:%Y-%m-%d %H:%M}" for p, d in zip(moved["path"], moved["date"], strict=True)]
    kept = tuple(dict.fromkeys(table["path"][is_meant & has_date]))
    kept_words = "photos of a wrong clock whose dates are the table's", kept
    by_camera = dict(zip(table["path"], rows, strict=True))
    days = dict(zip(table["path"], table["date"].dt.date, strict=True))
    other = [
        f"{path}: {each.date:%Y-%m-%d}"
        for path, each in by_camera.items()
        if path in changed and each.date and days[path] not in (each.date.date(), pd.NaT)
    ]
    other_words = "of these, photos whose camera says another day than the table", tuple(other)
    return [
        Problem(
            "clock_moved",
            "photos of a wrong clock",
            tuple(dict.fromkeys(now)),
            action="moved by --clock_offset to these times",
        ),
        Problem("clock_kept", *kept_words, action="not moved: correct them there"),
        Problem(
            "other_day",
            *other_words,
            action="may be other photos: take their rows out, unless the camera's clock was wrong",
        ),
        Problem("exif_date", *words, action="taken from the photo files"),
        Problem("no_exif_date", *odd_words, action="taken as unknown; write a column date"),
    ]


def name_events(table: pd.DataFrame, gap_minutes: float | None) -> pd.Series:
    """Name the event that each photo of nobody in particular belongs to; several may be in one.

    Args:
        table: with path, date and perhaps camera.
        gap_minutes: longest time between two photos of one event, by one camera in one folder
            (of a person: what lies in DCIM/100CANON lies above it); None: a folder is an event.
    """
    folders = table["path"].map(_own_folder)
    alone = ALONE + table["path"]
    if gap_minutes is None:
        return folders.where(folders != "", alone)
    keys = [table.get("camera", pd.Series("", index=table.index)), folders]
    order = table.assign(camera=keys[0], folder=folders).sort_values(
        ["camera", "folder", "date", "path"]
    )
    new = order[["camera", "folder"]].ne(order[["camera", "folder"]].shift()).any(axis=1)
    new |= order["date"].diff() > pd.Timedelta(minutes=gap_minutes)
    start = order["date"].where(new).ffill().dt.strftime("%Y-%m-%d %H:%M:%S").fillna("")
    names = (start + " " + order["camera"] + " " + order["folder"]).map(tidy_name)
    return names.reindex(table.index).where(table["date"].notna(), alone)


def _own_folder(path: str) -> str:
    """The folder of a photo without those that the camera made."""
    return "/".join(each for each in path.split("/")[:-1] if not CAMERA_FOLDER.fullmatch(each))
