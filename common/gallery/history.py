"""Who changed a gallery, when and how: a log that only grows."""

import contextlib
import getpass
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import takewhile
from pathlib import Path

from common.files import write_text
from common.own_files import checksum, parse_json

LOG = "changes.jsonl"
TAKEN_BACK = "Taken back: "  # before what an --undo has undone
BUILT = "Built of "  # before what a gallery was built of, anew perhaps


def time_now() -> str:
    """The time in UTC, as the log and a page of questions write it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def change_of(
    command: str,
    what: Sequence[str] = (),
    table: Path | None = None,
    renamed: Sequence[str] | None = None,
    forgotten: Sequence[str] = (),
    decided: Mapping[str, Sequence[str]] | None = None,
) -> dict:
    """What the log shall say of a change, but for what the gallery knows.

    Args:
        table: of decisions, or of photos, by which it was done.
        renamed: an animal's former name and its new one.
        forgotten: names of the pictures of photos that are taken out.
        decided: what the gallery no longer knows of persons' decisions, see `once_decided`.
    """
    try:
        who = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a system without a name for this user
        who = "unknown"
    change = {"when": time_now()}
    change |= {"who": f"{who}@{platform.node()}", "what": list(what), "command": command}
    if renamed:
        change["renamed"] = list(renamed)
    if forgotten:
        change["forgotten"] = list(forgotten)
    if decided:
        change["decided"] = dict(decided)
    if table:
        change |= {"decisions": str(table.absolute()), "decisions_checksum": checksum(table)}
    return change


def append_to_log(folder: Path, change: Mapping, files: Mapping[str, str]) -> None:
    """Add a change to the log, unless it is its last.

    Args:
        files: of the gallery after it; their names hold their checksums.
    """
    lines, line = _lines(folder), _line(change, files)
    if line not in lines[-1:]:
        write_text(folder / LOG, "".join(f"{each}\n" for each in [*lines, line]))


def changes_since(
    folder: Path, change: Mapping, files: Mapping[str, str]
) -> tuple[list[dict], list[dict]]:
    """Changes that the log knows of after one, and those before it that were taken back since.

    Args:
        change: the last one of a gallery, if it is the newest.
        files: as for `append_to_log`.
    """
    lines, line = _lines(folder), _line(change, files)
    if line not in lines:  # it is still to be logged
        return [], []
    n_then = len(lines) - lines[::-1].index(line)
    then, now = (_lasting(_changes(each)) for each in (lines[:n_then], lines))
    same = zip(then, now, strict=False)
    n_same = len([*takewhile(lambda pair: pair[0] == pair[1], same)])
    return now[n_same:], then[n_same:]


def read_log(folder: Path) -> list[dict]:
    """All changes, the oldest first; "what" as one text."""
    return _changes(_lines(folder))


def _changes(lines: Sequence[str]) -> list[dict]:
    changes = []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError):  # a person has written in it
            change = parse_json(line)
            if "renamed" in change:
                old, new = change["renamed"]
                change["renamed"] = [str(old), str(new)]
            changes.append({**change, "what": " ".join(change["what"])})
    return changes


def forgotten(folder: Path) -> set[str]:
    """Names of the pictures of photos that were taken out of a gallery at any time."""
    lists = [change.get("forgotten") for change in read_log(folder)]
    return {str(name) for each in lists if isinstance(each, list) for name in each}


def once_decided(folder: Path) -> dict[str, tuple[str, str]]:
    """What persons had decided of photos that are not in the gallery, or were enrolled anew.

    Returns:
        Name of the picture to the animal, as it was called then, "" where that cannot be told or it
        was taken out, and when that was decided last.
    """
    parts = [each.get("decided") for each in _lasting(read_log(folder))]
    pairs = (item for each in parts if isinstance(each, dict) for item in each.items())
    found = [
        (str(was[1]), picture, str(was[0]))
        for picture, was in pairs
        if isinstance(was, list) and len(was) == 2
    ]
    return {picture: (animal, when) for when, picture, animal in sorted(found)}


def undone_names(folder: Path) -> set[tuple[str, str]]:
    """Former and new name of each renaming, or joining, that was taken back."""
    changes = read_log(folder)
    lasting = {id(each) for each in _lasting(changes)}
    gone = (each["renamed"] for each in changes if id(each) not in lasting and "renamed" in each)
    return {(old, new) for old, new in gone}


def renamed_since(folder: Path, time: str) -> dict[str, str]:
    """Names that stood for an animal at a time, to the name that it has now.

    Args:
        time: UTC, such as "2026-05-31T12:00:00".
    """
    changes = read_log(folder)
    return _renamed(changes, sum(change["when"][: len(time)] <= time for change in changes))


def ever_renamed(folder: Path) -> dict[str, str]:
    """Names that once stood for an animal, also if only until it was taken back, to that of now."""
    changes, now = read_log(folder), {}
    undone = [n for n, each in enumerate(changes) if each["what"].startswith(TAKEN_BACK)]
    for n_then in [0, *undone]:
        now = _renamed(changes, n_then) | now
    return now


def _renamed(changes: Sequence[dict], n_then: int) -> dict[str, str]:
    """`renamed_since` a time at which the log had so many changes."""
    then, lasting = _lasting(changes[:n_then]), _lasting(changes)
    n_same = sum(one is other for one, other in zip(then, lasting, strict=False))
    # What was taken back since is a renaming, too, from the new name to the old one.
    moves = [each["renamed"][::-1] for each in reversed(then[n_same:]) if "renamed" in each]
    for change in lasting[n_same:]:
        if change["what"].startswith(BUILT):  # with the names that its photos have elsewhere
            moves.clear()
        elif "renamed" in change:
            moves.append(change["renamed"])
    now: dict[str, str] = {}
    for old, new in moves:
        now = {name: new if each == old else each for name, each in now.items()}
        now.setdefault(old, new)
    return {name: each for name, each in now.items() if name != each}


def _lasting(changes: Sequence[dict]) -> list[dict]:
    """Changes that no later one has taken back."""
    lasting: list[dict] = []
    for change in changes:
        if not change["what"].startswith(TAKEN_BACK):
            lasting.append(change)
        elif lasting:
            lasting.pop()
    return lasting


def _line(change: Mapping, files: Mapping[str, str]) -> str:
    digest = blake2b(json.dumps(files, sort_keys=True).encode(), digest_size=16).hexdigest()
    return json.dumps({**change, "model": files.get("model"), "checksum": digest})


def _lines(folder: Path) -> list[str]:
    path = folder / LOG
    # A person may have saved it in another encoding.
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
