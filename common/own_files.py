"""Whose file is it? Each output folder has a list of what the course wrote there.

`written.jsonl` has a line for each content that a file got: name and checksum, noted before the
file appears. A file is the course's own if the list holds its name with the checksum of what is in
it now. Anything else belongs to a person and stays: other names, files changed since, and whatever
lies behind a link. A killed run leaves only files that are listed, so it can be started again.
"""

import contextlib
import fnmatch
import hashlib
import json
import os
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

from common.errors import InputError

LIST = "written.jsonl"
# The first line tells a list from a person's file of that name: another text, and all older lists
# would be a person's.
ABOUT = "Files that the animal re-identification course wrote. It removes and replaces no other."
HEADER = json.dumps({"about": ABOUT}) + "\n"
SYSTEM_FILES = {".DS_Store", "Thumbs.db", "desktop.ini"}  # that a system puts into any folder
DEEPEST = 2  # folders below the one with the list: a gallery has pictures/ab/
N_NAMED = 3  # files of a person that a message names


def checksum(path: Path) -> str:
    """Of a file's bytes, 32 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def has_list(folder: Path) -> bool:
    """Whether a folder has a list that the course began."""
    path = folder / LIST
    try:
        if path.is_symlink():
            return False
        with path.open("rb") as file:
            return file.readline(2 * len(HEADER)) == HEADER.encode()
    except OSError:
        return False


def begin_list(folder: Path) -> None:
    """Make a folder and its list, unless they are there; proves that the folder takes files.

    Raises:
        OSError: the folder takes no files, or has a file of that name which is a person's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if has_list(folder):
        _append(folder, b"\n")  # whatever line a kill has cut off ends here
        return
    try:
        with (folder / LIST).open("xb") as file:
            file.write(HEADER.encode())
    except FileExistsError:
        if not has_list(folder):  # else a run beside this one was quicker
            raise


def list_everything(folder: Path) -> None:
    """Begin the list of a folder in which everything is the course's, and note it all."""
    paths = list(_files(folder))
    begin_list(folder)
    for path in paths:
        note(path, checksum(path))


def listing_folder(path: Path) -> Path | None:
    """The folder whose list a file belongs on; None where there is none.

    Raises:
        InputError: a link lies between the two.
    """
    folders = path.absolute().parents
    for depth, folder in enumerate(folders[: DEEPEST + 1]):
        if has_list(folder):
            for between in folders[:depth]:
                if _is_link(between):
                    raise InputError(
                        f"{between} is a link, expected a folder: nothing is written through it; "
                        "put a folder in its place, or choose another --output_dir"
                    )
            return folder
    return None


def note(path: Path, content: str | None) -> None:
    """List a file that is about to appear; without a list above it, nothing is noted.

    Args:
        path: of the file.
        content: checksum of what will be in it; None: anything, for a name that is random.
    """
    if folder := listing_folder(path):
        name = path.absolute().relative_to(folder).as_posix()
        _append(folder, json.dumps({"name": name, "checksum": content}).encode() + b"\n")


def refuse_to_replace(path: Path) -> None:
    """Refuse to put a file in the place of a person's, in a folder that has a list.

    Raises:
        InputError: a file or link is there that the list does not hold.
    """
    folder = listing_folder(path)
    if folder and os.path.lexists(path) and not _is_own(path.absolute(), folder, _read(folder)):
        raise InputError(_foreign_message(folder, [path.name]))


def refuse_foreign(folder: Path, names: Collection[str] | None = None) -> None:
    """Refuse an output folder that holds what the course did not write.

    Folders in it that have lists of their own are other runs': they are neither looked into nor
    touched. Empty folders hold nothing of anybody.

    Args:
        folder: which may not be there yet.
        names: only these files, which are about to be written, are looked at; None: all.

    Raises:
        InputError: with the names of some of these files.
        OSError: the folder cannot be looked into.
    """
    if folder.is_dir():
        found = islice(foreign_files(folder, names), N_NAMED)
        if shown := [path.relative_to(folder).as_posix() for path in found]:
            raise InputError(_foreign_message(folder, shown))


def foreign_files(folder: Path, names: Collection[str] | None = None) -> Iterator[Path]:
    """Files and links of a person in a folder; see `refuse_foreign`."""
    listed, has = _read(folder), has_list(folder)
    for path in _files(folder):
        is_course = path == folder / LIST and has
        if is_course or (names is not None and path.relative_to(folder).as_posix() not in names):
            continue
        # A run beside this one may have listed it since: look again before it is called foreign.
        if not (_is_own(path, folder, listed) or _is_own(path, folder, _read(folder))):
            yield path


def refuse_photos(folder: Path, given: Path) -> None:
    """Refuse an output folder that lies above or inside the photos, or is theirs.

    Beside photos that are named one by one, or in a table, a folder for results may be made.

    Args:
        folder: which may not be there yet.
        given: folder of photos, or a file: a photo, or a table of photos.

    Raises:
        InputError: saying which of the three it is.
    """
    results, photos = folder.resolve(), given.resolve()
    if photos == results:
        where = "is"
    elif results in photos.parents:
        where = "holds"
    elif photos in results.parents:
        where = "lies inside"
    else:
        return
    raise InputError(
        f"the output folder {folder} {where} {given}, where the photos are; expected a folder "
        "apart from them: choose another with --output_dir"
    )


def listed_files(folder: Path, *patterns: str) -> Iterator[Path]:
    """The files of the list that are there, changed or not, in the order of their names.

    Args:
        folder: with the list; without one it has no such files.
        patterns: names, or shell patterns of them; none: all files.
    """
    for name in sorted(_read(folder)):
        wanted = not patterns or any(
            name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns
        )
        if wanted and (folder / name).is_file():
            yield folder / name


def remove_own(folder: Path, *patterns: str, keep: Collection[str] = ()) -> None:
    """Remove files that the course wrote; a person's stay, whatever they are called.

    Args:
        folder: with the list.
        patterns: of names in the folder, such as "last*.pt"; none: all.
        keep: names that stay.
    """
    listed = _read(folder)
    for path in listed_files(folder, *patterns):
        is_kept = path.relative_to(folder).as_posix() in keep
        if not is_kept and _is_own(path, folder, listed):
            with contextlib.suppress(PermissionError):  # mapped (Windows); the next call removes it
                path.unlink(missing_ok=True)


def _is_link(path: Path) -> bool:
    """Whether a path leads elsewhere: a link, or a junction of Windows."""
    return path.is_symlink() or getattr(os.path, "isjunction", lambda _: False)(path)


def _is_own(path: Path, folder: Path, listed: dict[str, set[str | None]]) -> bool:
    """Whether a file is one that the list holds, unchanged, with no link on the way to it."""
    relative = path.relative_to(folder)
    contents = listed.get(relative.as_posix(), set())
    way = [folder.joinpath(*relative.parts[: n + 1]) for n in range(len(relative.parts))]
    if not contents or any(map(_is_link, way)):
        return False
    try:
        return None in contents or checksum(path) in contents
    except FileNotFoundError:
        return True  # another run has just removed it
    except OSError:
        return False  # a folder in its place, or nothing that may be read


def _files(folder: Path) -> Iterator[Path]:
    """All files and links below a folder, but those of runs that have lists of their own."""
    with os.scandir(folder) as entries:
        paths = sorted(Path(entry.path) for entry in entries)
    for path in paths:
        if path.is_dir() and not _is_link(path):
            if not has_list(path):
                yield from _files(path)
        elif path.name not in SYSTEM_FILES or _is_link(path):
            yield path


def _read(folder: Path) -> dict[str, set[str | None]]:
    """Name to the checksums of all that the course ever wrote under it."""
    listed: dict[str, set[str | None]] = {}
    if not has_list(folder):
        return listed
    for line in (folder / LIST).read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        try:
            entry = json.loads(line)
            name, content = Path(entry["name"]), entry["checksum"]
        except (ValueError, KeyError, TypeError):
            continue  # cut off by a kill, before its file appeared
        # A folder may come from elsewhere: its list has no say about files outside, and only an
        # unfinished file, whose name is random, may hold anything.
        is_inside = not name.anchor and ".." not in name.parts
        if is_inside and (content is not None or ".part" in name.suffixes):
            listed.setdefault(name.as_posix(), set()).add(content)
    return listed


def _append(folder: Path, line: bytes) -> None:
    """Add a line in one step, so that several threads may."""
    file = os.open(folder / LIST, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def _foreign_message(folder: Path, names: list[str]) -> str:
    """What to do about files that a list does not hold."""
    return (
        f"the output folder {folder} holds files that no run of the course wrote, or that were "
        f"changed since ({', '.join(names)}); expected an empty folder, or one of results alone: "
        "choose another with --output_dir, or move these files away; none was touched"
    )
