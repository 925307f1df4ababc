"""Decisions of a person on a sheet: which can be taken, and which are refused by their row."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.data.catalogue import Catalogue
from common.data.catalogue_cells import as_text, parse_boxes
from common.data.catalogue_folders import OUTSIDE
from common.data.catalogue_tables import match_columns, photos_of_rows, read_csv
from common.data.photo_files import BOX_MARK, file_and_box
from common.data.photo_names import ID_MARK, photo_name
from common.errors import InputError
from common.gallery.gallery import Gallery
from common.gallery.history import ever_renamed, once_decided, renamed_since, undone_names
from common.gallery.photos import DECIDED, names_of_pictures, of_pictures
from common.names import is_unknown, name_key, near_to, number_key, refuse_long, tidy_name
from common.words import few, typed

import pandas as pd

CONFIRMED, OTHER, NEW, UNCLEAR = ("confirmed", "another animal", "new individual", "cannot be told")
ASKED = re.compile(r"identified (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")  # in a sheet's rows
OTHER_PHOTO = (
    "a photo of that name is here, but of other content than the one that was asked about: is it "
    "the right folder? (If a program has changed this photo since, empty the cell 'content' of its "
    "row, of no other)"
)
EMPTY_PHOTO = "the photo is empty (0 bytes): fetch it from its cloud, or copy it again"
SAVED = re.compile(r"saved (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")
NO_PHOTO = (
    "the photo is not there: put this file into the folder of its photos, which the page names, or "
    "the photo back"
)
GONE_PHOTO = (
    "the photo that was asked about is not there, and another one has its name: put it back, or "
    "clear the row's decision"
)
UNDATED = "9999"  # after any change
N_NAMED = 5  # rows, or photos, that a message names


@dataclass(frozen=True)
class Decided:
    """What a file of decisions says.

    Attributes:
        newcomers: animals that are called new.
        asked: pictures of photos that it names, to when it was asked, and saved; "" where nothing
            says so.
        doubtful: names that once stood for another animal, in a file that does not say when.
        unclear: pictures of photos of which it says that nobody can tell, to when that was asked.
    """

    newcomers: frozenset[str] = frozenset()
    asked: Mapping[str, str] = field(default_factory=dict)
    doubtful: tuple[str, ...] = ()
    unclear: Mapping[str, str] = field(default_factory=dict)


NOTHING = Decided()


def check_decisions(
    file: Path, gallery: Gallery, kept: Collection[str] = (), folder: Path | None = None
) -> Decided:
    """Refuse a file with answers that cannot be taken as they are, each by its row.

    Args:
        file: a table; without a column "decision" it has no answers.
        kept: names that are no words for "unknown".
        folder: of the gallery, whose log knows who was renamed; None: nobody was.

    Returns:
        What the file decides.

    Raises:
        InputError: with the first of these rows.
    """
    source = read_csv(file)
    columns = {str(name).strip().lower(): name for name in source}
    if "decision" not in columns:
        if {"verdict", "probability"} <= set(columns):
            raise InputError(
                f"{file}: looks like decisions of a sheet, but has no column 'decision', expected "
                "its columns as the sheet saved them; give the column its name back"
            )
        return NOTHING
    undone = undone_names(folder) if folder else set()
    rows = _rows_of(file, source, columns, gallery, kept, undone)
    # One that this very file has brought, before it was corrected, is no other animal.
    brought = {each.name for each in rows if each.answer == NEW and each.was == each.name}
    known = set(gallery.identities)
    others = known - brought
    faults = [_fault(each, known, others) for each in rows]
    twins = _one_number({n: each.name for n, each in enumerate(rows) if each.answer == NEW}, kept)
    against = _contradictions(rows)
    later = _changed_since(rows, folder) if folder else {}
    for row in range(len(rows)):
        faults[row] = later.get(row) or faults[row] or twins.get(row) or against.get(row, "")
    if n_faults := sum(map(bool, faults)):
        raise InputError(
            f"{file}: {n_faults} of {len(rows)} answers cannot be taken ({_listed(faults)}); "
            "nothing is changed: correct these rows"
        )
    is_dated = not folder or all(each.asked != UNDATED for each in rows)
    doubtful = set() if is_dated else ever_renamed(folder).keys()
    names = {each.name for each in rows if each.answer in (CONFIRMED, OTHER)}
    return Decided(
        frozenset(each.name for each in rows if each.answer == NEW),
        {each.content: each.time for each in rows if each.name},
        tuple(sorted(names & doubtful)),
        {
            each.content: each.time
            for each in rows
            if each.answer == UNCLEAR and each.content and each.time
        },
    )


@dataclass(frozen=True)
class _Decision:
    """A row, and what is there now.

    Attributes:
        path: of the photo, from the file's folder, with its box.
        content: of the photo, as `photo_name` gives it; "" if it is not there.
        name: "" where nobody knows it.
        unknown: the word that says so.
        answer: in small letters.
        asked: when its page was made; `UNDATED` where nothing says so.
        saved: when the page was saved; "" in older ones.
        photo_fault: why the file of that path is not the photo that was asked about.
        was: animal as which the gallery has the photo; None: it has not.
        decided: when a person was asked, or moved the photo, so that it is that animal's; "":
            nobody was.
        shown: animal as which the gallery has the photo that stood for `name` when it was asked; ""
            if it has not, and `name` where nothing says which that was.
        is_shown_so: the photo that stood for `name` is known, and that animal's.
    """

    path: str
    content: str
    name: str
    unknown: str
    answer: str
    asked: str
    saved: str
    photo_fault: str
    was: str | None
    decided: str
    shown: str
    is_shown_so: bool

    @property
    def time(self) -> str:
        """By which decisions are ordered: of a page that was saved twice, the last counts."""
        return "" if self.asked == UNDATED else f"{self.asked} {self.saved}"


def _rows_of(
    file: Path,
    source: pd.DataFrame,
    columns: Mapping[str, str],
    gallery: Gallery,
    kept: Collection[str],
    undone: Collection[tuple[str, str]],
) -> list[_Decision]:
    """Read a table of decisions, and look for its photos.

    Args:
        undone: see `undone_names`.
    """
    matched = match_columns(list(source), str(file))
    answers = as_text(source[columns["decision"]]).str.lower()
    paths, _ = photos_of_rows(
        source, matched, file.parent, str(file), near=file.stem, anywhere=True
    )
    if "bbox" in matched:  # a decision is about one animal of a photo
        boxes = parse_boxes(source[matched["bbox"]], str(file))
        marks = [box and BOX_MARK + box for box in boxes]
        paths = [path and path + mark for path, mark in zip(paths, marks, strict=True)]
    # Older sheets do not say which photo they are about, and which one they showed.
    nothing = [""] * len(source)
    asked, seen = (
        as_text(source[columns[name]]) if name in columns else nothing
        for name in ("content", "seen")
    )
    times = _times_of(source)
    enrolled_as, decided, rows = names_of_pictures(gallery), of_pictures(gallery, DECIDED), []
    for row, text in enumerate(as_text(source[matched["identity"]])):
        refuse_long(text, f"{file}, row {row + 2}")
        name = text if text in kept else "" if is_unknown(text) else tidy_name(text)
        here, fault = _photo_at(paths[row], file.parent, asked[row].removeprefix(ID_MARK))
        photo, _, then = seen[row].removeprefix(ID_MARK).partition(" ")  # older ones: no name
        then = tidy_name(then)
        # Else a person has corrected the name; one that was taken back is no correction.
        is_of_name = photo and (then in ("", name) or (then, name) in undone)
        shown = enrolled_as.get(photo, "") if is_of_name else name
        found = paths[row], here, name, "" if name else text, answers[row], *times[row], fault
        now = enrolled_as.get(here), decided.get(here, "")
        rows.append(_Decision(*found, *now, shown, bool(is_of_name) and shown == name))
    return rows


def _photo_at(path: str, folder: Path, asked: str) -> tuple[str, str]:
    """The content of a photo, "" if it is not there; and why it is none that was asked about.

    Args:
        path: "" where another row's photo is there now.
    """
    if not path:
        return "", GONE_PHOTO
    file = file_and_box(folder / path)[0]
    if not file.is_file():
        return "", "" if OUTSIDE.match(path) else NO_PHOTO  # the one is said where tables are read
    if not file.stat().st_size:
        return "", EMPTY_PHOTO
    here = photo_name(folder / path)
    return here, OTHER_PHOTO if asked and asked != here else ""


def _listed(faults: Sequence[str]) -> str:
    """The first faults in words, each once with its rows."""
    rows_of: dict[str, list[int]] = {}
    for row, fault in enumerate(faults, start=2):
        if fault:
            rows_of.setdefault(fault, []).append(row)
    parts = []
    for fault, rows in rows_of.items():
        named = few([*map(str, rows)], most=N_NAMED)
        parts.append(f"{'rows' if len(rows) > 1 else 'row'} {named}: {fault}")
    return few(parts, "; ", N_NAMED)


def _contradictions(rows: Sequence[_Decision]) -> dict[int, str]:
    """Rows that other rows speak against, and what is wrong: copies are one photo."""
    named = {each.content or each.path: each.name for each in rows if each.name}
    boxes, found = {}, {}
    for row, each in enumerate(rows):
        name = named.get(each.content or each.path)
        if each.answer == UNCLEAR and not each.name and name:
            found[row] = f"'{UNCLEAR}', but another row names that photo {name}"
        elif each.name and each.name != name:
            found[row] = f"'{each.answer}' {each.name}, but another row names that photo {name}"
        file, box = file_and_box(each.path)
        if each.name and boxes.setdefault((file, each.name), box) != box:
            found[row] = (
                f"{each.name} is in two boxes of one photo: correct a name, or delete this row if "
                "both boxes are around one animal"
            )
    return found


def _one_number(new: dict[int, str], kept: Collection[str]) -> dict[int, str]:
    """New names, by row, that a spreadsheet makes one number of: the rows, and what is wrong."""
    first, found = {}, {}
    for row, name in new.items():
        other = first.setdefault(number_key(name), name)
        if other != name and name not in kept:
            found[row] = (
                f"'{NEW}' {name}, and another row has {other}, which a spreadsheet takes for the "
                f"same number: write one of them, or say that they are two: --keep_names {name}"
            )
    return found


def _changed_since(rows: Sequence[_Decision], folder: Path) -> dict[int, str]:
    """Rows that a person's later decision speaks against, and what is wrong.

    Args:
        folder: of the gallery, whose log knows what was changed.
    """
    renamed = {time: renamed_since(folder, time) for time in {each.asked for each in rows}}
    once, found = once_decided(folder), {}
    for row, each in enumerate(rows):
        was, decided = once.get(each.content, ("", ""))
        if each.was is not None and each.decided >= decided:
            was, decided = each.was, each.decided
        is_answer = each.name or each.answer == UNCLEAR
        is_so = each.name == was or (was == "" and each.name == each.was)
        if is_answer and not is_so and decided > each.time:
            back = "--move it back" if each.name else "--forget the photo"
            back = back if was == each.was else "ask anew with identify.py"
            made = f"made the photo one of {was}" if was else f"took it out, or says '{UNCLEAR}'"
            found[row] = (
                f"'{each.answer}'{' ' * bool(each.name)}{each.name}, but a later decision "
                f"({in_words(decided)}) {made}: clear this answer, or {back}"
            )
        elif each.is_shown_so:  # whoever was renamed, or joined and parted, since
            continue
        elif each.answer in (CONFIRMED, OTHER, NEW) and each.name in renamed[each.asked]:
            now = renamed[each.asked][each.name]
            # Of names that were swapped nobody can tell whether the present one was written.
            write = "" if now in renamed[each.asked] else "write the present name, or "
            found[row] = (
                f"'{each.answer}' {each.name}, who was renamed {now} after this was asked: {write}"
                "ask anew with identify.py"
            )
    return found


def _times_of(source: pd.DataFrame) -> list[tuple[str, str]]:
    """For each row, when its sheet was made, `UNDATED` where nothing says so, and saved."""
    texts = source.astype(str).agg(" ".join, axis="columns") if len(source) else []
    asked, saved = (
        [match[1] if (match := when.search(text)) else "" for text in texts]
        for when in (ASKED, SAVED)
    )
    first = min(filter(None, asked), default=UNDATED)  # of the sheet: other rows are from it, too
    return list(zip([each or first for each in asked], saved, strict=True))


def _fault(row: _Decision, known: set[str], others: set[str]) -> str:
    """What is wrong with a row by itself; "" if nothing is.

    Args:
        known: the gallery's animals.
        others: of these, those that the file has not brought itself.
    """
    name, answer = row.name, row.answer
    if answer and row.photo_fault and (name or row.content):
        return row.photo_fault
    if answer == UNCLEAR and row.was and not name:
        return (
            f"'{UNCLEAR}', but the gallery has it as {row.was}: --forget it, or clear this answer"
        )
    if answer in ("", UNCLEAR):
        return f"'{answer or 'no decision'}', but with the name {name}" if name else ""
    if answer not in (CONFIRMED, OTHER, NEW):
        return f"the decision '{answer}', expected {CONFIRMED}, {OTHER}, {NEW} or {UNCLEAR}"
    if not name:
        is_none = f" ('{row.unknown}' is none; --keep_names {typed(row.unknown)} if it is one)"
        return f"'{answer}' without a name{is_none if row.unknown else ''}"
    if answer == NEW:
        alike = [each for each in others if name_key(each) == name_key(name)]
        return f"'{NEW}' {name}, but the gallery holds {alike[0]}" if alike else ""
    if name not in known:
        return f"'{answer}' {name}, which the gallery lacks{near_names(near_to(name, known))}"
    if answer in (CONFIRMED, OTHER) and row.shown != name:
        is_now = f"shows {row.shown} here" if row.shown else "is not in this gallery (any more)"
        return (
            f"'{answer}' {name}, but the photo that stood for {name} {is_now}: if {name} is right, "
            "empty the cell 'seen', or ask anew with identify.py"
        )
    return ""


def in_words(time: str) -> str:
    """When something was decided, for people: `_Decision.time`, or that of a --move."""
    asked, saved = (each[:19].replace("T", " ") for each in time.partition(" ")[::2])
    return f"asked {asked}, saved {saved} UTC" if saved else f"{asked} UTC"


def near_names(near: Sequence[str]) -> str:
    """Words for names that may be meant."""
    return f"; near it: {', '.join(near)}" if near else ""


def refuse_moves(
    catalogue: Catalogue,
    rows: Sequence[int],
    former: Sequence[str],
    known: Collection[str],
    decided: Sequence[str],
) -> None:
    """Refuse photos that are in a gallery under another name, and cannot simply move.

    Args:
        known: animals that photos may move to.
        decided: when a person decided on each photo's former name, which this catalogue, that does
            not say when it was asked, must not undo; "" where it may.

    Raises:
        InputError: folders say so, no table; the new name is of no known animal; or a person has
            decided.
    """
    is_table = catalogue.listed_paths is not None
    for row, was, when in zip(rows, former, decided, strict=True):
        path, name = catalogue.table["path"].iloc[row], catalogue.table["identity"].iloc[row]
        if is_table and when:
            raise InputError(
                f"{catalogue.root / path} shows {name} by this table, but was made one of {was} by "
                f"a decision ({in_words(when)}), expected that name; write it into the table, or "
                "--move the photo"
            )
        if not is_table or name not in known:
            reason = f", and no animal is named {name}" if is_table else ""
            raise InputError(
                f"{catalogue.root / path} shows {name}, but this very photo is in the gallery as "
                f"{was}{reason}; move it with --move PHOTO ANIMAL (--new for an animal that the "
                "gallery lacks), --rename the animal, or correct the catalogue"
            )


def refuse_no_name(name: str, gallery: Gallery, kept: Collection[str] = ()) -> None:
    """Refuse a name given by hand that says nobody knows who; a catalogue leaves those out itself.

    Raises:
        InputError: with the flag for an animal that is truly called so.
    """
    refuse_long(name, "the name given")
    if is_unknown(name) and name not in (*kept, *gallery.identities):
        raise InputError(
            f"found the name {name}, which says that nobody knows who it is, expected an "
            f"animal's; if it is truly called so: --keep_names {typed(name)}"
        )


def refuse_former_names(
    names: Iterable[str], gallery: Gallery, folder: Path, kept: Collection[str] = ()
) -> list[str]:
    """Refuse new names that are old ones of the gallery's animals.

    Args:
        folder: of the gallery, whose log knows who was renamed.
        kept: names that are other animals' all the same.

    Returns:
        Names of the gallery that once were another animal's.

    Raises:
        InputError: with the name that the animal has now.
    """
    held, renamed = set(gallery.identities), ever_renamed(folder)
    now = {number_key(name_key(name)): each for name, each in renamed.items() if each in held}
    given = sorted(set(names) - set(kept))
    for name in given:
        if name not in held and (each := now.get(number_key(name_key(name)))):
            raise InputError(
                f"{name} is new, but the gallery's {each} was called so before, or joined with it, "
                f"expected the name that it has now: {each}, or the one that its photos were given "
                f"since, as --list shows; if they are two animals: --keep_names {typed(name)}"
            )
    return [name for name in given if name in held and name in renamed]


def refuse_lookalikes(names: Iterable[str], gallery: Gallery, kept: Collection[str] = ()) -> None:
    """Refuse new names that a person takes for one of the gallery's.

    Args:
        kept: names that are another's only if they are written exactly so.

    Raises:
        InputError: with both names.
    """
    held = gallery.identities
    known = {number_key(name_key(name)): name for name in held if name not in kept}
    for name in sorted(set(names).difference(held, kept)):
        if alike := known.get(number_key(name_key(name))):
            is_number = name_key(alike) != name_key(name)
            why = "is one number with it to a spreadsheet" if is_number else "looks the same"
            raise InputError(
                f"{name} is new, but the gallery holds {alike}, which {why}, expected that "
                f"spelling; write it so, or say that they are two: --keep_names {typed(name)}"
            )
