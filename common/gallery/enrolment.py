"""Photos in, gallery out: what a gallery folder needs to be used in the field.

The folder is whole: embeddings, names and facts, index, the network that made the embeddings, what
its similarities mean, and a small picture of each photo.
"""

import contextlib
import errno
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from common.data.catalogue import Catalogue
from common.data.catalogue_cells import as_text
from common.data.catalogue_tables import CONTENT
from common.data.exif import ALONE, time_texts
from common.data.photo_files import BOX_MARK, file_and_box, same_place
from common.data.photo_names import boxed_name, written_name
from common.errors import InputError
from common.gallery.decisions import NOTHING, Decided, refuse_lookalikes, refuse_moves
from common.gallery.embedding import (
    check_embedding,
    embed,
    model_name,
    scores_of_gallery,
    stored_scores,
    untrained_embedding,
    validation_scores,
)
from common.gallery.files import (
    DESCRIPTION,
    begin_gallery_list,
    complete_log,
    former_pictures,
    told_if_older,
    write_named,
)
from common.gallery.gallery import Gallery
from common.gallery.history import BUILT, read_log
from common.gallery.photos import DECIDED, names_of_pictures, of_pictures, rows_of
from common.gallery.pictures import drop_pictures, look_of, picture_path, store_pictures
from common.machine import processes
from common.matching.details import FOLDER as DETAILS
from common.matching.details import drop_details, store_details
from common.matching.matchers import Matcher
from common.models.heads import Recogniser
from common.models.storage import load_recogniser, read_description, save_recogniser
from common.own_files import checksum, claim, release
from common.words import counted, few, typed

import numpy as np

SAME_PIXELS = 0.9999  # cosine of a photo's embeddings, computed twice
# Copies that were saved anew differ by up to 3 grey values, at half the size by 12; photos of other
# animals of one set, of turtles, cows and nyalas, by more than 50.
SAME_LOOK = 12
N_LIKE = 10  # photos of the gallery that a new one is compared with
N_LOOKS = 10_000
FACTS = {"path", "picture", "side", "date", "encounter"}  # of each photo, in every gallery here
DAY = len("2024-05-31")  # of a date, before its time
PATIENCE = 600  # seconds to wait for another program's change


@dataclass(frozen=True)
class Enrolled:
    """What joined a gallery.

    Attributes:
        n_present: photos that were there already, under the same name.
        moved: sentences on those that were there under another name.
        notes: sentences on what was filled in, and what was not taken over.
        seconds: from photo files to embeddings in the gallery.
    """

    n_photos: int
    n_animals: int
    n_present: int
    moved: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float


def has_gallery(folder: Path) -> bool:
    """Whether a folder holds a gallery, whole or not."""
    return os.path.exists(Path(folder) / DESCRIPTION)


def refuse_none(folder: Path) -> None:
    """Refuse a folder without a gallery."""
    if not has_gallery(folder):
        raise InputError(
            f"{folder} holds no gallery, expected one; build it with python "
            f"week3/build_gallery.py --output_dir {typed(folder)}, or name its folder"
        )


def is_throwaway(folder: Path) -> bool:
    """Whether a folder's gallery comes from a smoke run, and nobody has changed it since."""
    is_changed = any(not each["what"].startswith(BUILT) for each in read_log(folder))
    return bool(Gallery.load(folder).about.get("is_smoke")) and not is_changed


def open_gallery(folder: Path, trained: Path | None = None) -> Gallery:
    """Read a gallery that brings its network along.

    Args:
        trained: network that it has to be built with; None: whichever it is.

    Raises:
        InputError: no gallery there, a damaged one, one without a network, or of another network.
    """
    refuse_none(folder)
    if text := told_if_older(folder):
        print(text, flush=True)
    gallery = Gallery.load(folder)
    has_facts = set(gallery.facts) >= FACTS
    if gallery.model is None or not has_facts or stored_scores(gallery) is None:
        raise InputError(
            f"{folder}: this gallery was stored without its network or its photos' facts, expected "
            "both; build it with python week3/build_gallery.py"
        )
    _refuse_torn(folder, gallery)
    validation_scores(gallery)
    if trained is not None and checksum(trained) != checksum(gallery.model):
        raise InputError(
            f"--trained {trained} is {model_name(trained)}, but the gallery {folder} was built "
            f"with {model_name(gallery.model)}: their embeddings cannot be compared; leave "
            "--trained out, or build a gallery with it"
        )
    return gallery


def _refuse_torn(folder: Path, gallery: Gallery) -> None:
    """Refuse a copy whose disk was full: a change of it would stand in no whole one."""
    names = gallery.facts["picture"][gallery.can_be_found()].tolist()
    pictures = (picture_path(folder, name) for name in names)
    files = [*pictures, *(folder / DETAILS).glob("*.npy")]
    if empty := [file for file in files if file.is_file() and not file.stat().st_size]:
        raise InputError(
            f"{folder}: {len(empty)} of {counted(len(files), 'file')} are empty "
            f"({empty[0].relative_to(folder).as_posix()}{', …' if len(empty) > 1 else ''}), as in "
            "a copy that found no space, expected a whole gallery; copy it anew, or, where this is "
            "the only one, delete the empty files and give its photos to --add once more"
        )


@contextlib.contextmanager
def changing(folder: Path, *, older_counts: bool = False) -> Iterator[bool]:
    """Change a gallery while no other program does; one of an earlier version gets its list.

    What it yields, and its argument, are those of `common.gallery.files.complete_log`.

    Others wait until a program that changes it has ended, or was killed.

    Raises:
        InputError: another program takes too long, or the folder cannot be written to.
    """
    if not processes.is_main():  # the others write nothing there
        yield False
        return
    try:
        begin_gallery_list(folder)
    except FileExistsError as error:
        raise InputError(
            f"{folder}: {error.strerror}, expected the list of a gallery's own files; move "
            "that one elsewhere, so that a new list begins"
        ) from error
    except OSError:
        pass  # a folder that takes no files is told by the claim
    try:
        try:
            claim(folder)
        except InputError:
            print(f"{folder} is being changed by another program: waiting for it", flush=True)
            claim(folder, patience=PATIENCE)
        yield complete_log(folder, older_counts=older_counts)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise InputError(
            f"the gallery {folder} cannot be changed ({error.strerror}); ask its owner, or copy "
            "the folder"
        ) from error
    finally:
        release(folder)


def new_gallery(
    catalogue: Catalogue,
    folder: Path,
    trained: Path | None,
    *,
    device: str,
    enrol: Callable | None = None,
    matchers: Mapping[str, Matcher] | None = None,
    **untrained: object,
) -> tuple[Gallery, Enrolled]:
    """Make a gallery of a catalogue's photos, without an index yet, to be saved.

    Args:
        folder: of the gallery; it gets the pictures and an untrained network.
        trained: stored embedding; None: an untrained backbone.
    """
    if trained is not None:
        check_embedding(trained)
    begin_gallery_list(folder)
    if trained is None:
        network = untrained_embedding(catalogue.paths(), device=device, **untrained)
    else:
        network, _ = load_recogniser(trained)
    gallery = Gallery(network.head.embedding_dim)
    enrolled = enrol_catalogue(
        gallery, catalogue, network, folder, device=device, enrol=enrol, matchers=matchers
    )
    gallery.about = {"catalogue": catalogue.name}
    gallery.model = trained or folder / write_named(
        folder, "model", lambda path: save_recogniser(network, path, [])
    )
    return gallery, enrolled


def enrol_catalogue(
    gallery: Gallery,
    catalogue: Catalogue,
    network: Recogniser,
    folder: Path,
    *,
    device: str,
    enrol: Callable | None = None,
    decided: Decided = NOTHING,
    kept: Collection[str] = (),
    matchers: Mapping[str, Matcher] | None = None,
) -> Enrolled:
    """Add a catalogue's photos to a gallery; those that are there already are passed over.

    A photo that is there under another name moves where a table says so, which is a correction.

    Args:
        enrol: puts an animal's embeddings into a dictionary of them, as the exercise of that name
            does; None: they are kept as they come.
        decided: by the catalogue's table, where it is one of decisions.
        kept: names that are another's only if they are written exactly so.
        matchers: whose details of the photos the gallery keeps; None: no details.

    Raises:
        InputError: a photo is there already, under another name, and cannot move; or a new name is
            nearly one of the gallery's.
    """
    started = time.perf_counter()
    table, paths = catalogue.table, catalogue.paths()
    refuse_lookalikes(table["identity"].unique(), gallery, kept)
    now = store_pictures(paths, folder, progress=len(paths) > 100)
    written, notes = _as_written(gallery, catalogue, now)
    pictures = _as_before(gallery, catalogue, written, network, device)
    times = decided.asked
    asked = {was: times[each] for each, was in zip(now, pictures, strict=True) if each in times}
    decided = replace(decided, asked=asked)
    enrolled_as = names_of_pictures(gallery)
    is_there = [enrolled_as.get(picture) for picture in pictures]
    rows = [i for i, was in enumerate(is_there) if was is None]
    facts = _facts_of(catalogue, pictures)
    facts[DECIDED] = [decided.asked.get(picture, "") for picture in pictures]
    moved = _move(gallery, catalogue, facts, is_there, decided)
    same = [i for i, was in enumerate(is_there) if was == table["identity"].iloc[i]]
    notes += _complete(gallery, facts, same, table["encounter_known"].to_numpy())
    if rows:
        joining = table.iloc[rows]
        embeddings = embed(network, [paths[i] for i in rows], device=device)
        if enrol:
            embeddings = _kept_by(enrol, gallery, embeddings, joining["identity"].to_numpy(str))
        joined = {name: [values[i] for i in rows] for name, values in facts.items()}
        gallery.enrol(embeddings, joining["identity"].tolist(), joined)
        notes += _shown_twice(gallery, folder, len(rows))
    for matcher in (matchers or {}).values():
        store_details(matcher, paths, pictures, folder)
    n_present = len(paths) - len(rows) - len(moved)
    n_animals, seconds = table["identity"].iloc[rows].nunique(), time.perf_counter() - started
    return Enrolled(len(rows), n_animals, n_present, moved, notes, seconds)


def save_gallery(gallery: Gallery, folder: Path, change: dict | None = None) -> None:
    """Save a gallery, and forget pictures and details that it can no longer go back to.

    Where the network never learned any animal, the gallery's own photos say anew what a similarity
    means.
    """
    if read_description(gallery.model)["scores"] is None:
        gallery.about["scores"] = scores_of_gallery(gallery).to_dict()
    gallery.save(folder, change)
    kept = {*gallery.facts["picture"][gallery.can_be_found()], *former_pictures(folder)}
    drop_pictures(folder, kept)
    drop_details(folder, kept)


def _as_written(
    gallery: Gallery, catalogue: Catalogue, pictures: list[str]
) -> tuple[list[str], tuple[str, ...]]:
    """Pictures by which photos are known; a changed file's by what its table says that it showed.

    See `common.data.photo_names.follow`. And a sentence on those that have changed.
    """
    if CONTENT not in catalogue.table:
        return pictures, ()
    enrolled_as, known, changed = names_of_pictures(gallery), [*pictures], []
    left = enrolled_as.keys() - set(pictures)
    asked = as_text(catalogue.table[CONTENT]).map(written_name)
    for i, (now, was, path) in enumerate(zip(pictures, asked, catalogue.paths(), strict=True)):
        box = file_and_box(path)[1]
        former = {was, boxed_name(was, box)} & left
        if former and now not in enrolled_as:
            known[i] = former.pop()
            left.discard(known[i])
            changed.append(catalogue.names()[i])
    if not changed:
        return known, ()
    return known, (
        f"{counted(len(changed), 'photo')} that a program has changed since: the gallery keeps "
        f"what was there ({few(changed)}).",
    )


def _as_before(
    gallery: Gallery, catalogue: Catalogue, pictures: list[str], network: Recogniser, device: str
) -> list[str]:
    """Pictures by which photos are known; by their former ones where only a file has changed.

    A program that writes keywords into a photo changes its file, not what it shows; of JPEGs
    `content_checksum` knows that already.
    """
    enrolled_as, facts = names_of_pictures(gallery), gallery.facts
    present, names, paths = (
        np.flatnonzero(gallery.can_be_found()),
        catalogue.names(),
        catalogue.paths(),
    )
    former = dict(zip(facts["path"][present], present, strict=True)) if len(present) else {}
    changed = [
        i for i, name in enumerate(names) if name in former and pictures[i] not in enrolled_as
    ]
    if not changed:
        return pictures
    rows = np.array([former[names[i]] for i in changed])
    now = embed(network, [paths[i] for i in changed], device=device)
    before, pictures = gallery.embeddings_at(rows), [*pictures]
    lengths = np.linalg.norm(now, axis=1) * np.linalg.norm(before, axis=1)
    cosines = (now * before).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    for i, row, cosine in zip(changed, rows, cosines, strict=True):
        if cosine > SAME_PIXELS:
            pictures[i] = str(facts["picture"][row])
    return pictures


def _move(
    gallery: Gallery,
    catalogue: Catalogue,
    facts: dict[str, list[str]],
    is_there: list[str | None],
    decided: Decided,
) -> tuple[str, ...]:
    """Move photos to the animals that a catalogue names; a sentence on each.

    Args:
        is_there: the animal that each of them has in the gallery; None: it is not there.
    """
    names, has_encounter = catalogue.table["identity"], catalogue.table["encounter_known"]
    moving = [i for i, was in enumerate(is_there) if was not in (None, names.iloc[i])]
    known = {*gallery.identities, *decided.newcomers}
    before, pictures = of_pictures(gallery, DECIDED), facts["picture"]
    times = [(before[pictures[i]], decided.asked.get(pictures[i], "")) for i in moving]
    fixed = [old * (old > new) for old, new in times]
    refuse_moves(catalogue, moving, [is_there[i] for i in moving], known, fixed)
    for i in moving:
        given = {name: values[i] for name, values in facts.items() if values[i]}
        rows = rows_of(gallery, pictures[i])
        if str(gallery.facts["date"][rows[0]]).startswith(given.get("date", "")):
            given.pop("date", None)  # the gallery knows the time, too
        if not has_encounter.iloc[i]:
            del given["encounter"]
        gallery.relabel(rows, names.iloc[i], given)
    return tuple(f"{facts['path'][i]}: {is_there[i]} before, {names.iloc[i]} now." for i in moving)


def _complete(
    gallery: Gallery, facts: dict[str, list[str]], same: list[int], has_encounter: np.ndarray
) -> tuple[str, ...]:
    """Fill in what was not known of photos that are there; sentences for how many, and on others.

    Args:
        same: photos that the gallery has under the same name.
        has_encounter: whether the encounter of each photo is known.
    """
    known, n_completed, otherwise = gallery.facts, 0, []
    row_of = {str(known["picture"][row]): row for row in np.flatnonzero(gallery.can_be_found())}
    for i in same:
        row = row_of[facts["picture"][i]]
        old = {fact: str(values[row]) for fact, values in known.items()}
        new = {fact: facts[fact][i] for fact in ("side", "date") if facts[fact][i]}
        if old["date"].startswith(new.get("date", "")):  # a day is no news where its time is known
            new.pop("date", None)
        is_more = {"side": not old["side"], "date": new.get("date", "").startswith(old["date"])}
        given = {fact: value for fact, value in new.items() if is_more[fact] and value != old[fact]}
        encounter, was = facts["encounter"][i], old["encounter"]
        if has_encounter[i] and was.startswith(ALONE) and was != encounter:
            given["encounter"] = encounter
        n_completed += bool(given)
        if any(old[fact] != value for fact, value in new.items() if fact not in given):
            otherwise.append(facts["path"][i])
        if facts[DECIDED][i] > old.get(DECIDED, ""):
            given[DECIDED] = facts[DECIDED][i]  # decided again, and the same
        if given:
            gallery.relabel([row], old["identity"], given)
    notes = []
    if n_completed:
        filled_in = "were there already, and got a side, a date or an encounter from here"
        notes.append(f"{counted(n_completed, 'photo')} {filled_in}.")
    if otherwise:
        notes.append(
            f"{counted(len(otherwise), 'photo')} with another side or date here than in the "
            f"gallery, which keeps its own ({few(otherwise)}): if the new one is right, --forget "
            "the photo and add it again by a folder or a table."
        )
    return tuple(notes)


def _shown_twice(gallery: Gallery, folder: Path, n_joined: int) -> tuple[str, ...]:
    """A sentence on the last photos that the gallery seems to have already.

    A box that somebody has corrected by a little would else show its animal twice, as would a photo
    that was cropped, and a copy that was saved anew be a second animal's photo.
    """
    facts, present = gallery.facts, gallery.can_be_found()
    rows = range(len(present) - n_joined, len(present))
    pairs = {*_same_places(facts, present, rows), *_same_looks(gallery, folder, rows)}
    if not pairs:
        return ()
    paths, names = facts["path"], facts["identity"]
    found = [" beside ".join(f"{paths[i]} of {names[i]}" for i in pair) for pair in sorted(pairs)]
    return (
        f"{counted(len(found), 'photo')} that the gallery seems to have had already "
        f"({few(found, '; ')}): if both show one animal, --forget one of the two, by its number "
        "in --list.",
    )


def _same_places(
    facts: Mapping[str, np.ndarray], present: np.ndarray, rows: range
) -> Iterator[tuple[int, int]]:
    """Photos whose place in the photo file had joined before, each with the one that had."""
    split = [path.rpartition(BOX_MARK)[0] or path for path in facts["path"].tolist()]
    days = [date[:DAY] for date in facts["date"].tolist()]
    photos = list(zip(split, days, strict=True))
    before: dict[tuple[str, str], list[int]] = {}
    for row in np.flatnonzero(present[: rows.start]):
        before.setdefault(photos[row], []).append(row)
    for row in rows:
        for other in before.get(photos[row], ()):
            boxes = [file_and_box(facts["path"][each])[1] for each in (row, other)]
            are_whole = boxes == [None, None] and days[row] != ""  # else any two IMG_0001.jpg
            if are_whole or boxes.count(None) == 1 or (None not in boxes and same_place(*boxes)):
                yield row, int(other)


def _same_looks(gallery: Gallery, folder: Path, rows: range) -> Iterator[tuple[int, int]]:
    """Photos that look in every part as one of another animal, or of their path, does."""
    pictures, names, paths = (gallery.facts[name] for name in ("picture", "identity", "path"))
    look = lru_cache(maxsize=N_LOOKS)(lambda row: look_of(folder, pictures[row]))
    _, alike = gallery.search(gallery.embeddings_at(np.array(rows)), k=N_LIKE)
    for row, near in zip(rows, alike.tolist(), strict=True):
        others = [i for i in near if i < row and (names[i] != names[row] or paths[i] == paths[row])]
        yield from [(row, each) for each in others if _is_near(look(row), look(each))][:1]


def _is_near(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is not None and other is not None and np.abs(one - other).max() <= SAME_LOOK


def _facts_of(catalogue: Catalogue, pictures: list[str]) -> dict[str, list[str]]:
    """What a gallery keeps of each photo beside its animal."""
    table = catalogue.table
    return {
        "side": table["orientation"].tolist(),
        "encounter": table["encounter"].tolist(),
        "date": time_texts(table["date"]).tolist(),
        "path": catalogue.names(),
        "picture": pictures,
    }


def _kept_by(
    enrol: Callable, gallery: Gallery, embeddings: np.ndarray, identities: np.ndarray
) -> np.ndarray:
    """New embeddings as a function keeps them behind those that their animals have already."""
    kept, known = np.empty_like(embeddings), gallery.facts["identity"]
    for identity in np.unique(identities):
        rows = np.flatnonzero(gallery.can_be_found() & (known == identity))
        own = identities == identity
        before = {str(identity): gallery.embeddings_at(rows)} if len(rows) else {}
        kept[own] = enrol(before, str(identity), embeddings[own])[str(identity)][len(rows) :]
    return kept
