"""A gallery as a folder: embeddings and index to be memory-mapped, names as JSON, no code.

Each part's file carries its checksum in its name, and `gallery.json`, replaced last and in one
step, says which files belong together. A stop in between therefore leaves the former gallery, and
a part that did not change is not written again. It names the files of the last few states, too,
which stay: `restore_parts` goes back to them, and who reads meanwhile has what was begun.
"""

import contextlib
import itertools
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from common.errors import InputError, first_line
from common.files import move_into_place, unfinished_beside, write_text
from common.gallery.history import (
    LOG,
    TAKEN_BACK,
    append_to_log,
    change_of,
    changes_since,
    time_now,
)
from common.gallery.index import IndexReport
from common.names import storable
from common.own_files import (
    begin_list,
    checksum,
    has_list,
    is_foreign,
    note,
    parse_json,
    read_file,
    read_json,
    remove_own,
    what_else,
)

import faiss
import numpy as np

DESCRIPTION = "gallery.json"
FORMAT = 2
OLDER = f"an older {DESCRIPTION} was put here"  # as the command of changes in the log
ENDINGS = dict.fromkeys(("indexed", "recent", "kept"), ".npy")
ENDINGS |= {"facts": ".json", "index": ".faiss", "model": ".safetensors"}
STATE = ("files", "report", "about", "change")  # of a gallery
LARGEST = 1e12  # above any number of photos, or of seconds
MAPPED_FROM = 100_000_000  # bytes of an index
N_FORMER = 5  # states that a gallery can go back to
PICTURE_NAME = re.compile(r"[\w-]{1,80}")  # no path
DAMAGE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError),
    *(ArithmeticError, MemoryError),
)


@dataclass(frozen=True)
class GalleryParts:
    """What a gallery is made of.

    Attributes:
        indexed: float32, shape (n_indexed, embedding_dim); photos that the index covers.
        recent: float32, shape (n_recent, embedding_dim); enrolled since.
        is_kept: bool, shape (n_indexed,); False for photos removed since the index was built.
        facts: of each photo, the indexed ones first: name, "identity" among them, to texts.
        index: over the indexed photos; None if they are compared one by one.
        report: on the index; None if none was built.
    """

    indexed: np.ndarray
    recent: np.ndarray
    is_kept: np.ndarray
    facts: dict[str, list[str]]
    index: faiss.Index | None
    report: IndexReport | None


def write_parts(
    folder: str | Path,
    parts: GalleryParts,
    about: dict,
    model: Path | None,
    change: Mapping | None = None,
) -> Path:
    """Write a gallery and return its folder, whose former one stays whole until the new one is.

    Args:
        about: what else to store, plain JSON types.
        model: file of the network that made the embeddings, to be copied; None: not stored.
        change: that led here, for the log; None: the states before are forgotten.

    Raises:
        InputError: the folder cannot be written to.
    """
    folder = Path(folder)
    facts = json.dumps(parts.facts, ensure_ascii=False)
    writers: dict[str, Callable[[Path], object]] = {
        "indexed": lambda path: np.save(path, parts.indexed),
        "recent": lambda path: np.save(path, parts.recent),
        "kept": lambda path: np.save(path, parts.is_kept),
        "facts": lambda path: path.write_text(storable(facts), encoding="utf-8"),
    }
    if model is not None:
        writers["model"] = lambda path: shutil.copyfile(model, path)
    if parts.index is not None:
        writers["index"] = lambda path: faiss.write_index(parts.index, str(path))
    try:
        begin_gallery_list(folder)
        files = {part: write_named(folder, part, write) for part, write in writers.items()}
        report = None if parts.report is None else asdict(parts.report)
        state = {"files": files, "report": report, "about": about}
        former = _states(folder) if change else []
        is_new = not former or any(former[0].get(key) != state[key] for key in state)
        is_new |= bool(change and "decided" in change)  # of photos that it does not hold
        if is_new:
            _put(folder, [{**state, "change": change}, *former], change)
    except (OSError, RuntimeError) as error:  # FAISS raises the latter
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(
            f"the gallery cannot be written to {folder} ({reason}); free some space or choose "
            "another folder"
        ) from error
    _remove_unused(folder)
    return folder


def restore_parts(folder: Path, change: Mapping) -> list[str]:
    """Put the state before the last change in its place; returns what is undone.

    Raises:
        InputError: there is no state to go back to, or it is not whole.
    """
    current, *former = _states(folder) or [{}]
    if not former:
        raise InputError(
            f"--undo: {folder} keeps no former state; the last {N_FORMER} changes since it was "
            "built can be taken back"
        )
    read_state(folder, former[0])
    undone = " ".join((current.get("change") or {}).get("what", ["a change"]))
    change = {**change, "what": [f"{TAKEN_BACK}{undone}"]}
    _put(folder, former, change)
    _remove_unused(folder)
    return change["what"]


def former_pictures(folder: Path) -> set[str]:
    """Names of the pictures of the states that a gallery can go back to."""
    names: set[str] = set()
    for state in _states(folder)[1:]:
        with contextlib.suppress(InputError):  # what is not whole cannot come back
            parts = read_state(folder, state, verify=False)[0]
            present = [*parts.is_kept, *[True] * len(parts.recent)]
            names.update(itertools.compress(parts.facts.get("picture", []), present))
    return names


def part_files(folder: Path) -> list[Path]:
    """The files of a gallery as it is now."""
    names = [DESCRIPTION, *(name for state in _states(folder)[:1] for name in _names(state))]
    return [folder / name for name in names]


def told_if_older(folder: Path) -> str:
    """A sentence where the log knows of later changes than a gallery holds; else ""."""
    description = _description(folder) or {}
    if not description.get("logged"):
        return ""
    gone, back = changes_since(folder, description["logged"], description["files"])
    what = [*(each["what"] for each in gone), *(f"{TAKEN_BACK}{each['what']}" for each in back)]
    if not what:
        return ""
    return (
        f"{folder}: {LOG} tells of changes that this gallery does not hold: {' '.join(what)} An "
        f"older {DESCRIPTION} was put here, perhaps by a program that keeps folders equal, "
        "expected the newest; put that back, or say with --undo that the older one counts, and "
        "make these changes again"
    )


def complete_log(folder: Path, *, older_counts: bool = False) -> bool:
    """Log the last change, which a kill may have kept from its line.

    Args:
        older_counts: where an older gallery was put in the place of a newer one, what it lacks was
            taken back; else it is refused, so that the newer one's files stay.

    Returns:
        Whether an older gallery counts from now on.

    Raises:
        InputError: a person has changed the log, or put an older gallery there.
    """
    if is_foreign(folder / LOG):
        raise InputError(
            f"{folder / LOG}, the log of this gallery, {what_else(folder / LOG) or 'was changed'} "
            "by somebody, expected it as the last change left it; put that back, or give this one "
            "another name, so that a new log begins"
        )
    description = _description(folder)
    if description and description.get("logged"):
        if not (folder / LOG).exists():
            print(f"{folder / LOG}, the log of former changes, is gone: a new one begins")
        if text := told_if_older(folder):
            if not older_counts:
                raise InputError(text)
            _log_that_older(folder, description)
            return True
        append_to_log(folder, description["logged"], description["files"])
    return False


def _log_that_older(folder: Path, description: Mapping) -> None:
    files = description["files"]
    gone, back = changes_since(folder, description["logged"], files)
    changes = [change_of(OLDER, [f"{TAKEN_BACK}{each['what']}"]) for each in reversed(gone)]
    changes += [{**e, "command": OLDER, "when": time_now(), "what": [e["what"]]} for e in back]
    for each in changes[:-1]:
        append_to_log(folder, each, files)
    _put(folder, _states(folder), changes[-1])


def _names(state: dict) -> list[str]:
    return [Path(name).name for name in state["files"].values()]


def _description(folder: Path) -> dict | None:
    """What `gallery.json` says; None where it is missing or damaged."""
    try:
        return _checked(read_json(folder / DESCRIPTION))
    except DAMAGE:
        return None


def _checked(description: dict) -> dict:
    """A description of a gallery, whose fields anybody may have changed.

    Former states are left out from the first on that is damaged: the present one needs none.

    Raises:
        ValueError or another one of `DAMAGE`: a field is not as `write_parts` writes it.
    """
    logged = {"change": description.get("logged")}
    if not (_is_sound(description) and _is_sound({**description, **logged})):
        raise ValueError(f"{DESCRIPTION} is not as this course writes it")
    former = description.get("former")
    former = itertools.takewhile(_is_sound, former if isinstance(former, list) else ())
    return {**description, "former": list(former)}


def _is_sound(state: object) -> bool:
    """Whether a state of a gallery has files, and words about its change."""
    try:
        change = state.get("change") or {"what": []}
        texts = [*_names(state), *change["what"]]
        tables = (state["files"], state.get("about", {}), change)
    except DAMAGE:
        return False
    is_text = all(isinstance(text, str) for text in texts)
    return bool(texts) and is_text and all(isinstance(table, dict) for table in tables)


def _states(folder: Path) -> list[dict]:
    """The present state of a gallery and those before it, the latest first."""
    description = _description(folder)
    if description is None:
        return []
    states = [description, *description["former"]]
    return [{name: each[name] for name in STATE if name in each} for each in states]


def _put(folder: Path, states: list[dict], logged: Mapping | None) -> None:
    """Let states take the place of those that are there, in one step; then log what led here."""
    former = states[1 : N_FORMER + 1]
    present = {"format": FORMAT, **states[0], "former": former, "logged": logged}
    write_text(folder / DESCRIPTION, json.dumps(present, indent=2) + "\n")
    if logged:
        append_to_log(folder, logged, present["files"])


def _remove_unused(folder: Path) -> None:
    used = {name for state in _states(folder) for name in _names(state)}
    remove_own(folder, *(f"{part}-*{ending}" for part, ending in ENDINGS.items()), keep=used)


def write_named(folder: Path, part: str, write: Callable[[Path], object]) -> str:
    """Write a part's file beside its place and name it by its content; returns the name."""
    with unfinished_beside(folder / f"{part}{ENDINGS[part]}") as unfinished:
        write(unfinished)
        name = f"{part}-{checksum(unfinished)}{ENDINGS[part]}"
        if not (folder / name).exists():  # else it may be mapped, and is the same
            move_into_place(unfinished, folder / name)
    return name


def begin_gallery_list(folder: Path) -> None:
    """Make a gallery's folder and its list, unless they are there.

    A gallery of an earlier version has no list: its own description names its files.

    Raises:
        InputError: there is a gallery without a list, and it is not whole.
    """
    if has_list(folder):
        return
    former = []
    if (folder / DESCRIPTION).exists():
        read_parts(folder)
        names = [name for state in _states(folder) for name in _names(state)]
        former = [name for name in (DESCRIPTION, LOG, *names) if (folder / name).is_file()]
    begin_list(folder)
    for name in former:
        note(folder / name, checksum(folder / name))


def read_parts(folder: str | Path) -> tuple[GalleryParts, dict, Path | None]:
    """Read what `write_parts` wrote; embeddings and index stay on disk until they are used.

    All files are compared with their checksums, about a second per gigabyte.

    Returns:
        parts, about and model, as they were written.

    Raises:
        InputError: no gallery, or one whose files are missing, damaged or do not fit together.
    """
    folder, seen = Path(folder), None
    while True:
        try:
            content = None
            content = read_file(folder / DESCRIPTION)
            description = parse_json(content)
            if description.get("format", FORMAT) != FORMAT:
                raise ValueError(f"its format is {description['format']}, expected {FORMAT}")
            return read_state(folder, _checked(description))
        except DAMAGE as error:
            if content not in (None, seen):  # another program may have just put a new one there
                seen = content
                continue
            if isinstance(error, InputError):
                raise
            raise _not_whole(folder, error) from error


def read_state(
    folder: Path, state: dict, *, verify: bool = True
) -> tuple[GalleryParts, dict, Path | None]:
    """One of the states of a gallery; see `read_parts`."""
    try:
        paths = {part: folder / Path(name).name for part, name in state["files"].items()}
        for part, path in paths.items():
            if found := "is a link" if path.is_symlink() else what_else(path):
                raise ValueError(f"{path.name} {found}, expected a file")
            if verify and path.name != f"{part}-{checksum(path)}{ENDINGS[part]}":
                raise ValueError(f"{path.name} is damaged")
        parts = GalleryParts(
            indexed=_read_array(paths["indexed"]),
            recent=np.array(_read_array(paths["recent"])),
            is_kept=np.array(_read_array(paths["kept"])),
            facts=read_json(paths["facts"]),
            index=_read_index(paths["index"]) if "index" in paths else None,
            report=IndexReport(**state["report"]) if state["report"] else None,
        )
        _check_fit(parts)
        sizes = list(asdict(parts.report).values())[1:] if parts.report else []
        if not all(type(size) in (int, float) and 0 <= size < LARGEST for size in sizes):
            raise ValueError("what it says of its index is no number")
        return parts, dict(state.get("about", {})), paths.get("model")
    except DAMAGE as error:
        raise _not_whole(folder, error) from error


def _not_whole(folder: Path, error: Exception) -> InputError:
    if isinstance(error, PermissionError):
        return InputError(
            f"{folder}: this gallery may not be read ({error.filename or folder}); ask its owner "
            "to let you read all files of the folder"
        )
    reason = first_line(error)
    if isinstance(error, OSError) and error.filename:
        reason = f"{Path(error.filename).name}: {error.strerror}"
    elif isinstance(error, KeyError):
        reason = f"{reason} is missing"
    return InputError(
        f"{folder}: is no whole gallery ({reason}), expected a folder as build_gallery.py wrote "
        "it; restore it from a copy, or build it anew"
    )


def _read_array(path: Path) -> np.ndarray:
    """An array on disk; one whose header promises more than the file holds is refused."""
    with np.errstate(over="ignore"):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def _read_index(path: Path) -> faiss.Index:
    """The index; nothing in it is larger than its file.

    A large one is memory-mapped where the system can; FAISS then crashes if it ends early.
    """
    size = path.stat().st_size
    faiss.set_deserialization_vector_byte_limit(size)
    faiss.set_deserialization_loop_limit(size)
    if size < MAPPED_FROM:
        return faiss.read_index(str(path))
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError:
        return faiss.read_index(str(path))


def _check_fit(parts: GalleryParts) -> None:
    """Refuse parts that are whole, but not of one gallery."""
    n_photos = len(parts.indexed) + len(parts.recent)
    for name in {"identity", *parts.facts}:
        if len(parts.facts[name]) != n_photos:
            raise ValueError(f"{len(parts.facts[name])} of {name} for {n_photos} photos")
        values = parts.facts[name]
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise ValueError(f"{name} that is no text")
    if odd := [name for name in parts.facts.get("picture", ()) if not PICTURE_NAME.fullmatch(name)]:
        raise ValueError(f"a picture named {odd[0][:80]}")
    if parts.is_kept.shape != parts.indexed.shape[:1] or parts.is_kept.dtype != bool:
        raise ValueError(f"{parts.is_kept.shape} marks for {len(parts.indexed)} photos")
    if parts.indexed.shape[1] != parts.recent.shape[1]:
        raise ValueError(f"embeddings of shapes {parts.indexed.shape} and {parts.recent.shape}")
    if not parts.indexed.dtype == parts.recent.dtype == np.float32:
        raise ValueError("embeddings that are not float32")
    index = parts.index
    if index is not None and (index.ntotal, index.d) != parts.indexed.shape:
        raise ValueError(f"an index of {(index.ntotal, index.d)} for {parts.indexed.shape}")
