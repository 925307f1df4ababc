"""Photos of a gallery: which rows they are, under which animal, and who was seen when."""

from collections import Counter
from pathlib import Path

from common.data.catalogue import Catalogue, catalogue_from_table
from common.data.photo_files import file_and_box
from common.data.photo_names import boxed_name, photo_name
from common.errors import InputError
from common.gallery.gallery import Gallery
from common.gallery.pictures import picture_path
from common.names import near_to, storable

import numpy as np
import pandas as pd

DECIDED = "decided"  # fact: when a person was asked whose photo it is, or moved it; else ""
N_DIGITS = 8  # of a picture's name that tell photos apart for people
N_NAMED = 3  # photos that a message names


def names_of_pictures(gallery: Gallery) -> dict[str, str]:
    """Under which animal each photo is in the gallery: name of its picture to identity.

    `common.data.photo_names.photo_name` gives the same name for the same photo.
    """
    return of_pictures(gallery, "identity")


def of_pictures(gallery: Gallery, fact: str) -> dict[str, str]:
    """A fact of each photo, by the name of its picture."""
    facts, present = gallery.facts, gallery.can_be_found()
    unknown = np.zeros(len(present), dtype=str)
    pictures, values = (facts.get(name, unknown)[present] for name in ("picture", fact))
    return dict(zip(pictures, values, strict=True))


def catalogue_of(gallery: Gallery, folder: Path) -> Catalogue:
    """Who was seen when, as a gallery in a folder keeps it; its photos are its small pictures."""
    facts, present = gallery.facts, gallery.can_be_found()
    columns = {each: each for each in ("identity", "date", "encounter")} | {"orientation": "side"}
    table = pd.DataFrame({ours: facts[fact][present] for ours, fact in columns.items()})
    table["path"] = [picture_path(Path(), name).as_posix() for name in facts["picture"][present]]
    reading = {"keep_names": gallery.identities, "fewest_identities": 1}
    return catalogue_from_table(table, folder, folder.absolute().name, **reading)


def decided_of(gallery: Gallery) -> dict[str, tuple[str, str]]:
    """Of each photo, by the name of its picture, the animal and when a person decided; else ""."""
    times = of_pictures(gallery, DECIDED)
    return {each: (name, times[each]) for each, name in names_of_pictures(gallery).items()}


def rows_of(gallery: Gallery, picture: str) -> np.ndarray:
    """Rows of `Gallery.facts` that are a photo, by the name of its picture."""
    return np.flatnonzero((gallery.facts["picture"] == picture) & gallery.can_be_found())


def twice_in_photo(gallery: Gallery, animal: str) -> list[str]:
    """Photos of which an animal has two boxes, as no animal can."""
    facts = gallery.facts
    rows = np.flatnonzero((facts["identity"] == animal) & gallery.can_be_found())
    places = [(file_and_box(facts["path"][row]), facts["date"][row]) for row in rows]
    boxed = Counter((file.as_posix(), date) for (file, box), date in places if box)
    return sorted(file for (file, _), n in boxed.items() if n > 1)


def find_photo(gallery: Gallery, photo: str) -> np.ndarray:
    """Rows of the one photo that a person means.

    Args:
        photo: its file, its path or name as the gallery has it, or first digits of its number.

    Raises:
        InputError: no photo, or several.
    """
    facts, present = gallery.facts, gallery.can_be_found()
    name = storable(photo).replace("\\", "/")  # as it is kept, whatever its bytes on the disk
    paths = np.strings.replace(facts["path"], "\\", "/")
    places = [file_and_box(path) for path in paths]
    files = np.array([file.as_posix() for file, _ in places], dtype=str)
    file, box = file_and_box(Path(photo))
    if box and file.is_file():
        ways = [facts["picture"] == photo_name(Path(photo))]
    elif file.is_file():  # not another one, to which the gallery gave the same path
        own = photo_name(file)
        boxed = np.array([boxed_name(own, box) for _, box in places], dtype=str)
        ways = [facts["picture"] == boxed]
    else:
        ways = [paths == name, files == name]
        ways += [np.strings.endswith(each, f"/{name}") for each in (paths, files)]
    if len(name) >= N_DIGITS:
        ways.append(np.strings.startswith(facts["picture"], name.lower()))
    rows = next((np.flatnonzero(way & present) for way in ways if (way & present).any()), [])
    if len(set(facts["picture"][rows])) == 1:
        return rows
    if len(rows):
        shown = _shown(facts, rows[:N_NAMED])
        is_apart = not file.is_file() and all(places[row][1] is None for row in rows)
        way = "its file, or " * is_apart
        raise InputError(
            f"{photo}: found {len(rows)} photos of that name ({shown}), expected one; "
            f"give {way}its number, which --list shows"
        )
    names = np.array([Path(path).name for path in files])
    near = near_to(Path(name).name, names[present])[:N_NAMED]
    shown = _shown(facts, np.flatnonzero(np.isin(names, near) & present)[:N_NAMED])
    raise InputError(
        f"{photo}: the gallery has no such photo{', near it: ' if near else ''}{shown}, expected "
        "one that --list shows; give its file, or its number"
    )


def _shown(facts: dict[str, np.ndarray], rows: np.ndarray) -> str:
    """Photos with what tells them apart, for a message."""
    each = (f"{facts['path'][i]} of {facts['identity'][i]} ({number(facts, i)})" for i in rows)
    return ", ".join(each)


def number(facts: dict[str, np.ndarray], row: int) -> str:
    """First digits of a photo's checksum, for people to name it by."""
    return str(facts["picture"][row])[:N_DIGITS]
