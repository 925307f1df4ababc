"""Whose file is it? Each output folder has a list of what the course wrote there.

`written.jsonl` has a line for each content that a file got: name and checksum, noted before the
file appears. A file is the course's own if the list holds its name with the checksum of what is in
it now. Anything else belongs to a person and stays: other names, files changed since, and whatever
lies behind a link. A killed run leaves only files that are listed, so it can be started again.

Who writes into such a folder claims it, so that two runs do not mix their files. A claim ends with
its process, however that ends.
"""

import contextlib
import errno
import fnmatch
import hashlib
import json
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from common.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    fcntl = None

LIST = "written.jsonl"
# The first line tells a list from a person's file of that name: another text, and all older lists
# would be a person's.
ABOUT = "Files that the animal re-identification course wrote. It removes and replaces no other."
HEADER = json.dumps({"about": ABOUT}) + "\n"
SYSTEM_FILES = {".DS_Store", "Thumbs.db", "desktop.ini"}  # that a system puts into any folder
DEEPEST = 2  # folders below the one with the list: a gallery has pictures/ab/
N_NAMED = 3  # files of a person that a message names
UNFINISHED = "*.part*"  # names that `common.files` writes to
LOCKED_BYTE = 2**30  # of a list, far behind its end: Windows lets nobody write a locked byte
_claims: dict[Path, int] = {}  # folder to its list, which stays open and locked


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
            # Empty: a kill or a full disk has come between the file and its first line.
            return file.readline(2 * len(HEADER)) in (HEADER.encode(), b"")
    except OSError:
        return False


def begin_list(folder: Path) -> None:
    """Make a folder and its list, unless they are there; proves that the folder takes files.

    Raises:
        OSError: the folder takes no files, or has a file of that name which is a person's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if has_list(folder):
        _append(folder, b"\n" if (folder / LIST).stat().st_size else HEADER.encode())
        return
    try:
        with (folder / LIST).open("xb") as file:
            file.write(HEADER.encode())
    except FileExistsError:
        if not has_list(folder):  # else a run beside this one was quicker
            raise


def claim(folder: Path, *, patience: float = 0.0) -> None:
    """Keep other processes from changing a folder with a list, until `release` or this one's end.

    What killed runs have left half-written in it is removed.

    Only those that claim it too are kept away: reading needs no claim. A process may claim again
    what it has. On a drive that knows no locks nobody is kept away.

    Args:
        patience: seconds to wait for another process that has it.

    Raises:
        InputError: another process has it still.
        OSError: the list cannot be opened.
    """
    key, deadline = folder.resolve(), time.monotonic() + patience
    if key in _claims and os.path.samestat(os.fstat(_claims[key]), os.stat(folder / LIST)):
        return
    release(folder)  # of a folder that was deleted and made anew
    file = os.open(folder / LIST, os.O_RDWR)
    while not _is_locked(file):
        if time.monotonic() >= deadline:
            os.close(file)
            raise InputError(
                f"{folder} is in use: another process is writing there; expected one at a time: "
                "run this command again when that one has ended, or choose another --output_dir"
            )
        time.sleep(0.05)
    _claims[key] = file
    remove_own(folder, UNFINISHED)  # nobody else writes here: killed runs have left them


def release(folder: Path) -> None:
    """Let other processes claim a folder, if this one has."""
    if (file := _claims.pop(folder.resolve(), None)) is not None:
        os.close(file)


def _is_locked(file: int) -> bool:
    """Lock an open file for this process; False where another one has locked it."""
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(file, LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


def _forget_claims() -> None:
    """In a forked process, which would keep its parent's claims beyond the parent's end."""
    for folder in list(_claims):
        release(folder)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_claims)


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
        content: checksum of what will be in it; None: anything, for a name that is random.
    """
    if folder := listing_folder(path):
        name = path.absolute().relative_to(folder).as_posix()
        # A line feed first: a line that a kill or a full disk has cut off ends here.
        _append(folder, b"\n" + json.dumps({"name": name, "checksum": content}).encode())


def refuse_to_replace(path: Path) -> None:
    """Refuse to put a file in the place of a person's, in a folder that has a list.

    Raises:
        InputError: a file or link is there that the list does not hold.
    """
    folder = listing_folder(path)
    if folder and os.path.lexists(path) and not _is_own(path.absolute(), folder, _read(folder)):
        raise InputError(_foreign_message(folder, [path.name]))


def refuse_foreign(
    folder: Path, names: Collection[str] | None = None, spared: Collection[str] = ()
) -> list[Path]:
    """Refuse an output folder that holds what the course did not write.

    Folders in it that have lists of their own are other runs': they are neither looked into nor
    touched. Empty folders hold nothing of anybody.

    Args:
        names: only these files, which are about to be written, are looked at; None: all.

    Returns:
        Files of a person that were spared.

    Raises:
        InputError: with the names of some of these files.
        OSError: the folder cannot be looked into.
    """
    found = list(foreign_files(folder, names)) if folder.is_dir() else []
    shown = {path: path.relative_to(folder).as_posix() for path in found}
    refused = [name for name in shown.values() if not any(fnmatch.fnmatch(name, p) for p in spared)]
    if refused:
        raise InputError(_foreign_message(folder, refused[:N_NAMED]))
    return found


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
    """The files of the list that are there, by name; only those like a pattern, if any."""
    for name in sorted(_read(folder)):
        wanted = not patterns or any(
            name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns
        )
        if wanted and (folder / name).is_file():
            yield folder / name


def remove_own(folder: Path, *patterns: str, keep: Collection[str] = ()) -> None:
    """Remove files that the course wrote, those like a pattern if any; a person's stay."""
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
        if os.write(file, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)  # on the disk before the file that it lists
    finally:
        os.close(file)


def _foreign_message(folder: Path, names: list[str]) -> str:
    """What to do about files that a list does not hold."""
    return (
        f"the output folder {folder} holds files that no run of the course wrote, or that were "
        f"changed since ({', '.join(names)}); expected an empty folder, or one of results alone: "
        "choose another with --output_dir, or move these files away; none was touched"
    )
