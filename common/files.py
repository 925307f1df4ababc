"""Files that are either whole or absent: written beside their place, then renamed into it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; on success it replaces `path` in one step.

    When the block raises, the unfinished file is removed and `path` stays as it was. The
    ending is kept, for libraries that choose the format by it.

    Args:
        path: where the file shall be; its folder exists.

    Yields:
        A path in the same folder, not there yet.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.stem[:80]}.{secrets.token_hex(6)}.part{path.suffix}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file in one step; returns its path."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)
    return Path(path)


def write_text(path: str | Path, text: str) -> Path:
    """Write a UTF-8 text file with line feeds in one step; returns its path."""
    return write_bytes(path, text.encode("utf-8"))
