"""Whose file is it? Each output folder has a list of what the course wrote there.

`written.jsonl` has a line for each content that a file got: name and checksum, noted before the
file appears. A file is the course's own if the list holds its name with the checksum of what is in
it now. Anything else belongs to a person and stays: other names, files changed since, and whatever
lies behind a link. A killed run leaves only files that are listed, so it can be started again. The
list says which script wrote, too: no other one puts its results there.

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
from typing import BinaryIO

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
SYSTEM_BEGINNINGS = (".~lock.", "~$", "._")  # of a spreadsheet that is open, and of macOS
DEEPEST = 2  # folders below the one with the list: a gallery has pictures/ab/
N_NAMED = 3  # files of a person that a message names
UNFINISHED = "*.part*"  # names that `common.files` writes to
LOCKED_BYTE = 2**30  # of a list, far behind its end: Windows lets nobody write a locked byte
_claims: dict[Path, int] = {}  # folder to its list, which stays open and locked


def what_else(path: Path) -> str:
    """What is in a file's place: "" for a file, or for nothing at all."""
    if not path.exists() or path.is_file():
        return ""
    return "is a folder" if path.is_dir() else "is a pipe, a socket or a device"


def open_file(path: Path) -> BinaryIO:
    """Open a file to be read; a pipe in its place would let the reader wait for ever.

    Raises:
        OSError: something else is there, or nothing.
    """
    if found := what_else(path):
        raise OSError(errno.EINVAL, f"{found}, expected a file", str(path))
    return path.open("rb")


def read_file(path: Path) -> bytes:
    """The bytes of a file; see `open_file`."""
    with open_file(path) as file:
        return file.read()


def read_json(path: Path) -> object:
    """What a JSON file holds, whoever has written it.

    Raises:
        OSError: as `read_file`.
        ValueError: as `parse_json`.
    """
    return parse_json(read_file(path))


def parse_json(text: str | bytes) -> object:
    """The same of a text.

    Raises:
        ValueError: no JSON, or nested more deeply than anything that this course writes.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def checksum(path: Path) -> str:
    """Of a file's bytes, 32 hexadecimal digits.

    Raises:
        OSError: see `open_file`.
    """
    with open_file(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def has_list(folder: Path) -> bool:
    """Whether a folder has a list that the course began."""
    path = folder / LIST
    try:
        if path.is_symlink():
            return False
        with open_file(path) as file:
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
            reason = f"its {LIST} is none that the course began"
            raise OSError(errno.EEXIST, reason, str(folder)) from None


def sign(folder: Path, script: str) -> None:
    """Note on a folder's list which script, by its file name, writes there from now on."""
    if _scripts(folder)[-1:] != [script]:
        _append(folder, b"\n" + json.dumps({"script": script}).encode())


def writer(folder: Path) -> str | None:
    """File name of the script whose files a folder holds; None where it holds none that is known.

    An older list has no script: a gallery is build_gallery.py's, and a result says whose it is.
    """
    if next(listed_files(folder), None) is None:
        return None
    if scripts := _scripts(folder):
        return scripts[-1]
    if os.path.lexists(folder / "gallery.json"):
        return "build_gallery.py"
    try:
        return str(read_json(folder / "result.json")["script"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def refuse_others(folder: Path, script: str) -> None:
    """Refuse an output folder that holds the files of another script, checkpoints among them.

    Args:
        folder: which may not be there yet.
        script: file name of who is about to write.

    Raises:
        InputError: saying whose they are.
    """
    other = writer(folder)
    if other not in (None, script):
        what = "a gallery" if other == "build_gallery.py" else f"the results of {Path(other).stem}"
        raise InputError(
            f"the output folder {folder} holds {what}, expected an empty folder or one of "
            f"{Path(script).stem}; choose another with --output_dir"
        )


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
    if is_foreign(path):
        raise InputError(_foreign_message(listing_folder(path), [path.name]))


def is_foreign(path: Path) -> bool:
    """Whether a person's file, link or folder has the place of one that a list may hold."""
    folder = listing_folder(path)
    return bool(
        folder and os.path.lexists(path) and not _is_own(path.absolute(), folder, _read(folder))
    )


def refuse_foreign(folder: Path, spared: Collection[str] = ()) -> list[Path]:
    """Refuse an output folder that holds what the course did not write.

    Folders in it that have lists of their own are other runs': they are neither looked into nor
    touched. Empty folders hold nothing of anybody.

    Args:
        spared: shell patterns of names that are no reason to refuse.

    Returns:
        Files of a person that were spared.

    Raises:
        InputError: with the names of some of these files.
        OSError: the folder cannot be looked into.
    """
    found, refused = [], []
    for path in foreign_files(folder) if folder.is_dir() else ():
        name = path.relative_to(folder).as_posix()
        is_spared = any(fnmatch.fnmatch(name, pattern) for pattern in spared)
        (found if is_spared else refused).append(path if is_spared else name)
        if len(refused) == N_NAMED:  # a person's home would be looked through for minutes
            break
    if refused:
        raise InputError(_foreign_message(folder, refused))
    return found


def foreign_files(folder: Path) -> Iterator[Path]:
    """Files and links of a person in a folder; see `refuse_foreign`."""
    listed, has = _read(folder), has_list(folder)
    for path in _files(folder):
        if path == folder / LIST and has:
            continue
        # A run beside this one may have listed it since: look again before it is called foreign.
        if not (_is_own(path, folder, listed) or _is_own(path, folder, _read(folder))):
            yield path
    yield from (folder / name for name in listed if (folder / name).is_dir())


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


def made_by_course(folder: Path) -> set[str]:
    """Absolute paths of the list and its files, in a folder that holds a script's results."""
    folder = folder.absolute()
    return {str(folder / LIST), *map(str, listed_files(folder))} if writer(folder) else set()


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
        elif _is_link(path) or not (
            path.name in SYSTEM_FILES or path.name.startswith(SYSTEM_BEGINNINGS)
        ):
            yield path


def _read(folder: Path) -> dict[str, set[str | None]]:
    """Name to the checksums of all that the course ever wrote under it."""
    listed: dict[str, set[str | None]] = {}
    for entry in _entries(folder):
        try:
            name, content = Path(entry["name"]), entry["checksum"]
        except (KeyError, TypeError):
            continue
        # A folder may come from elsewhere: its list has no say about files outside, and only an
        # unfinished file, whose name is random, may hold anything.
        is_inside = not name.anchor and ".." not in name.parts
        if is_inside and (content is not None or ".part" in name.suffixes):
            listed.setdefault(name.as_posix(), set()).add(content)
    return listed


def _entries(folder: Path) -> Iterator[dict]:
    """The lines of a list."""
    if not has_list(folder):
        return
    for line in (folder / LIST).read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        with contextlib.suppress(ValueError):  # cut off by a kill, before its file appeared
            entry = parse_json(line)
            if isinstance(entry, dict):
                yield entry


def _scripts(folder: Path) -> list[str]:
    """File names of the scripts that have signed a list, the latest last."""
    return [str(entry["script"]) for entry in _entries(folder) if "script" in entry]


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
