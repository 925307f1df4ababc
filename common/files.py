"""Files that are either whole or absent: written beside their place, then renamed into it.

In a folder with a list (see `common.own_files`) they are noted on it, and never take the place of
a person's file.

An array's file is NumPy's own .npy with a checksum behind it, which `numpy.load` passes over.
"""

import hashlib
import io
import itertools
import mmap
import os
import platform
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import InputError
from common.own_files import checksum, note, open_file, refuse_to_replace

import numpy as np
import psutil

MEGABYTE = 1_000_000  # bytes
BLOCK = 2**20  # bytes read at a time
WHOLE = 0x2144DF1C  # the CRC-32 of anything with its own CRC-32 behind it
MACHINE = hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()
PART = re.compile(r"\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.part")  # who writes: machine, process
LONGEST = 86_400  # seconds that a process of another machine may take to write a file


class UnwritableError(InputError):
    """A file cannot be written: no room, no permission. What was there before is whole."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; on success it replaces `path` in one step.

    When the block raises, the unfinished file is removed and `path` stays as it was. The
    ending is kept, for libraries that choose the format by it.

    Args:
        path: where the file shall be; its folder exists.

    Yields:
        A path in the same folder, not there yet.

    Raises:
        UnwritableError: for any OSError of the block.
        InputError: a person's file is there, in a folder whose list does not hold it.
    """
    path = Path(path)
    with unfinished_beside(path) as unfinished:
        yield unfinished
        move_into_place(unfinished, path)


@contextmanager
def unfinished_beside(path: Path) -> Iterator[Path]:
    """Give a path to write to in the folder of another; what is left there in the end goes.

    Raises:
        UnwritableError: for any OSError of the block.
    """
    unfinished = path.with_name(f".{path.stem[:40]}{part_mark()}{path.suffix}")
    try:
        note(unfinished, None)
        yield unfinished
    except OSError as error:
        raise UnwritableError(
            f"{path} cannot be written ({error.strerror or error}); expected a folder "
            "with room that takes files: make room, or choose another, such as with --output_dir; "
            "what was there before is whole"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def part_mark() -> str:
    """The part of a name that says who is writing what bears it."""
    return f".{MACHINE}-{os.getpid()}-{secrets.token_hex(4)}.part"


def remove_leftovers(folder: Path, pattern: str) -> None:
    """Remove what killed processes have left unfinished in a folder without a list."""
    for path in folder.glob(pattern):
        mark = PART.search(path.name)
        if not mark or path.is_symlink() or not _is_left(path, *mark.groups()):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_left(path: Path, machine: str, process: str) -> bool:
    """Whether nobody writes any more what bears a mark."""
    if machine == MACHINE:
        return not psutil.pid_exists(int(process))
    try:
        return time.time() - path.stat().st_mtime > LONGEST
    except OSError:
        return False


def move_into_place(unfinished: Path, path: Path) -> None:
    """Give a finished file its name, in one step.

    Raises:
        InputError: a person's file is there, in a folder whose list does not hold it.
    """
    refuse_to_replace(path)
    with unfinished.open("rb+") as file:
        os.fsync(file)  # or a power cut could leave the name with nothing behind it
    note(path, checksum(unfinished))  # first: a kill in between leaves nothing unlisted
    os.replace(unfinished, path)


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file in one step; returns its path."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)
    return Path(path)


def write_text(path: str | Path, text: str) -> Path:
    """Write a UTF-8 text file with line feeds in one step; returns its path.

    Bytes of a file name that are no UTF-8 become escapes, which JSON reads as what they were.
    """
    return write_bytes(path, text.encode("utf-8", "backslashreplace"))


@contextmanager
def storing(folder: Path, what: str, advice: str) -> Iterator[None]:
    """Make a folder for files of a block; where it takes no more, one line says so.

    Args:
        folder: of the files, made if it is not there.
        what: is stored, for the line.
        advice: behind "make room, or".

    Raises:
        InputError: the disk is full or takes no files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, UnwritableError) as error:
        reason = error.__cause__ or error
        raise InputError(
            f"{folder}: {what} cannot be stored ({getattr(reason, 'strerror', None) or reason}); "
            f"make room, or {advice}"
        ) from error


def write_array(
    path: Path, pieces: Iterable[np.ndarray], shape: tuple[int, ...], dtype: np.dtype
) -> None:
    """Write an array that need not fit into memory.

    A plain file, not a memory map: where the disk is full, a write raises, a map kills Python.

    Args:
        pieces: one after another the array's rows, in C order.

    Raises:
        UnwritableError: the disk is full or takes no files.
    """
    header = io.BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, facts)
    checksum = 0
    with replacing(path) as unfinished, open(unfinished, "wb") as file:
        for part in itertools.chain([header.getvalue()], map(np.ascontiguousarray, pieces)):
            checksum = zlib.crc32(part, checksum)
            file.write(part)
        file.write(checksum.to_bytes(4, "little"))


def read_array(path: Path) -> np.ndarray | None:
    """An array of `write_array`, read from disk as needed; None if missing, cut or damaged."""
    checksum = 0
    try:
        with open_file(path) as file:
            while block := file.read(BLOCK):
                checksum = zlib.crc32(block, checksum)
    except OSError:
        return None
    return np.load(path, mmap_mode="r") if checksum == WHOLE else None


def let_go(array: np.ndarray) -> None:
    """Count the pages of a mapped array as this process's memory no longer.

    The system keeps what it has room for; the next read finds it there, or on the disk.
    """
    mapping = array
    while isinstance(mapping, np.ndarray):
        mapping = mapping.base
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        mapping.madvise(mmap.MADV_DONTNEED)
