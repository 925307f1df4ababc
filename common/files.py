"""Files that are either whole or absent: written beside their place, then renamed into it.

In a folder with a list (see `common.own_files`) they are noted on it, and never take the place of
a person's file.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.own_files import checksum, note, refuse_to_replace


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
        InputError: a person's file is there, in a folder whose list does not hold it.
    """
    path = Path(path)
    with unfinished_beside(path) as unfinished:
        yield unfinished
        move_into_place(unfinished, path)


@contextmanager
def unfinished_beside(path: Path) -> Iterator[Path]:
    """Give a path to write to in the folder of another; what is left there in the end goes."""
    unfinished = path.with_name(f".{path.stem[:80]}.{secrets.token_hex(6)}.part{path.suffix}")
    note(unfinished, None)
    try:
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)


def move_into_place(unfinished: Path, path: Path) -> None:
    """Give a finished file its name, in one step.

    Raises:
        InputError: a person's file is there, in a folder whose list does not hold it.
    """
    refuse_to_replace(path)
    note(path, checksum(unfinished))  # first: a kill in between leaves nothing unlisted
    os.replace(unfinished, path)


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file in one step; returns its path."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)
    return Path(path)


def write_text(path: str | Path, text: str) -> Path:
    """Write a UTF-8 text file with line feeds in one step; returns its path."""
    return write_bytes(path, text.encode("utf-8"))
