"""Decisions of a person on a sheet: which can be taken, and which are refused by their row."""

import difflib
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from common.data.catalogue import Catalogue
from common.data.catalogue_tables import (
    UNKNOWN_WORDS,
    as_text,
    match_columns,
    normalise_paths,
    read_csv,
)
from common.errors import InputError
from common.gallery.gallery import Gallery
from common.gallery.photos import names_of_pictures
from common.gallery.pictures import photo_name

CONFIRMED, OTHER, NEW, UNCLEAR = ("confirmed", "another animal", "new individual", "cannot be told")
N_NAMED = 5  # rows, or photos, that a message names


def check_decisions(file: Path, gallery: Gallery, *, elsewhere: bool = False) -> set[str]:
    """Refuse a file with answers that cannot be taken as they are, each by its row.

    Args:
        file: a table; without a column "decision" it has no answers.
        gallery: which they are about.
        elsewhere: whether photos may lie outside the table's folder.

    Returns:
        Animals that are called new.

    Raises:
        InputError: with the first of these rows.
    """
    source = read_csv(file)
    columns = {str(name).strip().lower(): name for name in source}
    if "decision" not in columns:
        return set()
    matched = match_columns(list(source), str(file))
    names = as_text(source[matched["identity"]])
    paths = normalise_paths(as_text(source[matched["path"]]), file.parent)
    answers = as_text(source[columns["decision"]]).str.lower()
    enrolled_as = names_of_pictures(gallery)
    new, held = set(names[answers == NEW]), set(gallery.identities)
    # One that this very file has brought, before it was corrected, is no other animal.
    for path, name in zip(paths[answers == NEW], names[answers == NEW], strict=True):
        photo = file.parent / path
        if name in held and photo.is_file() and enrolled_as.get(photo_name(photo)) == name:
            held.remove(name)
    known = set(gallery.identities)
    faults = []
    for row, (path, name, answer) in enumerate(zip(paths, names, answers, strict=True), start=2):
        fault = _fault(name, answer, known, held)
        if not elsewhere and (Path(path).is_absolute() or path.split("/")[0] == ".."):
            fault = f"{path} lies outside the table's folder; --photos_elsewhere allows that"
        faults += [f"row {row}: {fault}"] if fault else []
    if faults:
        more = "; …" if len(faults) > N_NAMED else ""
        raise InputError(
            f"{file}: {len(faults)} of {len(names)} answers cannot be taken "
            f"({'; '.join(faults[:N_NAMED])}{more}); nothing is changed: correct these rows"
        )
    return new


def _fault(name: str, answer: str, known: set[str], held: set[str]) -> str:
    """What is wrong with an answer; "" if nothing is."""
    is_named = name.lower() not in UNKNOWN_WORDS
    if answer in ("", UNCLEAR):
        return f"'{answer or 'no decision'}', but with the name {name}" if is_named else ""
    if answer not in (CONFIRMED, OTHER, NEW):
        return f"the decision '{answer}', expected {CONFIRMED}, {OTHER}, {NEW} or {UNCLEAR}"
    if not is_named:
        return f"'{answer}' without a name"
    if answer == NEW:
        return f"'{NEW}' {name}, but the gallery holds an animal of that name" * (name in held)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        return f"'{answer}' {name}, which the gallery lacks{near_names(near)}"
    return ""


def near_names(near: Sequence[str]) -> str:
    """Words for names that may be meant."""
    return f"; near it: {', '.join(near)}" if near else ""


def refuse_moves(
    catalogue: Catalogue, rows: Sequence[int], former: Sequence[str], known: Collection[str]
) -> None:
    """Refuse photos that are in a gallery under another name, and cannot simply move.

    Args:
        catalogue: that is to join.
        rows: of these photos in it.
        former: the names that they have in the gallery.
        known: animals that photos may move to.

    Raises:
        InputError: folders say so, no table; or the new name is of no known animal.
    """
    is_table = catalogue.listed_paths is not None
    for row, was in zip(rows, former, strict=True):
        path, name = catalogue.table["path"].iloc[row], catalogue.table["identity"].iloc[row]
        if not is_table or name not in known:
            reason = f", and no animal is named {name}" if is_table else ""
            raise InputError(
                f"{catalogue.root / path} shows {name}, but this very photo is in the gallery as "
                f"{was}{reason}; move it with --move PHOTO ANIMAL (--new for an animal that the "
                "gallery lacks), --rename the animal, or correct the catalogue"
            )


def refuse_lookalikes(names: Iterable[str], gallery: Gallery, but: str = "") -> None:
    """Refuse new names that a person takes for one of the gallery's.

    Args:
        names: that animals shall have.
        gallery: which they join.
        but: an animal of the gallery whose name does not count.

    Raises:
        InputError: with both names.
    """
    held = gallery.identities
    known = {_seen(name): name for name in held if name != but}
    for name in sorted(set(names).difference(held)):
        if alike := known.get(_seen(name)):
            raise InputError(
                f"{name} is new, but the gallery holds {alike}, which looks the same; write it "
                "like that, or choose a name that differs by more"
            )


def _seen(name: str) -> str:
    """A name without case, spaces, Unicode's other forms and what cannot be seen."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c) != "Cf")
