"""Several processes of one run: each computes a share, and one alone prints and writes.

`torchrun` and `accelerate launch` start a script once per process. All processes go through the
same lines; here is where they meet. Without a launcher nothing here does anything: torch is not
even loaded.
"""

import atexit
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType

from common.errors import InputError, StoppedError, first_line

PATIENCE = timedelta(minutes=10)  # for another process; the longest wait is while turtles are drawn
# In which gloo's threads let go of the last tensors: they need the interpreter for it, and a
# process whose interpreter has begun to end would abort.
RELEASE_SECONDS = 0.3


def _group() -> ModuleType | None:
    """torch.distributed where processes have joined, else None."""
    distributed = sys.modules.get("torch.distributed")
    is_joined = distributed and distributed.is_available() and distributed.is_initialized()
    return distributed if is_joined else None


def count() -> int:
    """How many processes share this run."""
    group = _group()
    return group.get_world_size() if group else 1


def index() -> int:
    """Which of them this one is, from 0."""
    group = _group()
    return group.get_rank() if group else 0


def is_main() -> bool:
    """Whether this is the process that prints and writes."""
    return index() == 0


def launched(name: str, default: int) -> int:
    """A number that a launcher of several processes left in the environment.

    Raises:
        InputError: it is none, for somebody else has set it.
    """
    text = os.environ.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise InputError(
            f"the environment variable {name} is '{text}', expected a whole number, which torchrun "
            f"sets; start with torchrun, or unset {name}"
        )
    return int(text)


def join() -> None:
    """Join the processes that a launcher started beside this one, if it did."""
    if launched("WORLD_SIZE", 1) > 1:
        from torch import distributed

        if not distributed.is_initialized():
            launched("RANK", 0)
            try:
                distributed.init_process_group(timeout=PATIENCE)
            except ValueError as error:  # a variable is missing
                raise InputError(
                    f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but this is none of several "
                    f"processes ({first_line(error)}), expected what torchrun sets; start with "
                    "torchrun, or unset WORLD_SIZE"
                ) from error


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Join for the length of a block, in which the main process alone prints.

    Raises:
        StoppedError: another process has ended, or the launcher ends this one.
    """
    join()
    if count() == 1:
        yield
        return
    signal.signal(signal.SIGTERM, _end_by_launcher)
    try:
        with contextlib.nullcontext() if is_main() else _silence():
            yield
            everyones(None)  # nobody leaves while another computes
    except RuntimeError as error:
        if isinstance(error, _group().DistError) or "gloo" in str(error):  # gloo has no type
            raise StoppedError("another process of this run has ended or is out of reach") from None
        raise
    finally:
        time.sleep(RELEASE_SECONDS)
    if sys.modules["torch"].cuda.is_available():  # NCCL asks for it
        _group().destroy_process_group()


def _end_by_launcher(*_: object) -> None:
    raise StoppedError("the launcher ended this process, as it does when another one has failed")


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def is_first_to_say(what: str) -> bool:
    """Whether no other process has asked this before: all may have something to say, one does."""
    group = _group()
    if not group:
        return True
    try:
        store = group.distributed_c10d._get_default_store()  # outlives the connections
        store.set_timeout(timedelta(seconds=5))
        return store.add(f"said {what}", 1) == 1
    except (RuntimeError, AttributeError):  # it went down with the process that kept it
        return True


def everyones(value: object) -> list:
    """The values of all processes, in their order; each waits here for the others."""
    group = _group()
    if not group:
        return [value]
    values = [None] * count()
    group.all_gather_object(values, value)
    return values


def mains(value: object) -> object:
    """The main process's value, for all to go on with the same."""
    group = _group()
    if not group:
        return value
    values = [value]
    group.broadcast_object_list(values, src=0)
    return values[0]


def is_first_here() -> bool:
    """Whether this is the first process of its machine, the one to write files for all there."""
    return not _group() or launched("LOCAL_RANK", 0) == 0


@contextlib.contextmanager
def one_first() -> Iterator[bool]:
    """Let one process of each machine, which gets True, do first what the others find done."""
    is_first = is_first_here()
    if not is_first:
        everyones(None)
    yield is_first
    if is_first:
        everyones(None)


def run_folder(folder: Path) -> Path:
    """The folder itself for the main process; for others one that ends with them."""
    if is_main():
        return folder
    scratch = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return Path(scratch)
