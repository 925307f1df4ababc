"""How a script ends: done, or with one line that says why not and what to do next."""

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import TextIO

from common.errors import InputError, StoppedError
from common.machine import processes
from common.names import printable

ROOM = "make room there, or choose another folder"
RIGHTS = "check who may read and write there, or choose another folder"
# What a machine may run out of, and what to do then.
LIMITS = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EFBIG: ROOM,
    errno.EROFS: RIGHTS,
    errno.EACCES: RIGHTS,
    errno.EPERM: RIGHTS,
    errno.EMFILE: "close other programs, or allow more open files with ulimit -n 1024",
    errno.ENFILE: "close other programs",
    errno.ENOMEM: "close other programs, or choose a smaller --batch_size or --image_size",
}
GIVEN_CODE: set[str] = set()  # files of a person whose functions take part in this run
CODE_FAILED = (
    "it is right in the week's checks, but not for what this script gives it or goes on with; mend "
    "it, or leave --mine out"
)
WHAT_STAYS = (
    "what is finished stays and is whole (drawn photos, cached features, training checkpoints); "
    "run the same command again to continue from there"
)


class _Lasting:
    """A text stream whose reader may leave, and whose disk may fill up: the run goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self.fault = stream, ""

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or lose the text."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or lose what was not shown yet."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Send this text and all to come nowhere; that a reader has left is no fault."""
        if error.errno not in (errno.EPIPE, errno.EBADF):
            self.fault = error.strerror or str(error)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


class _Plain(_Lasting):
    """The same, and no name that is printed steers the terminal."""

    def write(self, text: str) -> int:
        """Write lines; see `common.names.printable`."""
        return super().write("\n".join(map(printable, text.split("\n"))))


@contextlib.contextmanager
def _lasting_streams() -> Iterator[None]:
    """Standard streams that never end a run, for the length of a block."""
    for number in range(3):  # a closed one's number would go to the next file that is opened
        with contextlib.suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)
    streams = []
    for stream, kind in ((sys.stdout, _Plain), (sys.stderr, _Lasting)):  # bars steer the latter
        stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, until the end
        if hasattr(stream, "reconfigure"):  # a console without UTF-8 must not stop a run
            stream.reconfigure(errors="replace")
        streams.append(kind(stream))
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        try:
            yield
        finally:
            for stream in streams:
                stream.flush()


def run_script(main: Callable[[], object], stays: str = WHAT_STAYS) -> None:
    """Call a script's main and end as a command should.

    Exit codes: 0 done; 1 another process of the run was lost; 2 something given cannot be used,
    or the machine has no more room, told in one line; 130 stopped with Ctrl-C. Any other exception
    is a fault of ours and keeps its traceback, unless a learner's own functions took part.

    Args:
        stays: what there is after a stop, and what to do next.
    """
    GIVEN_CODE.clear()
    with _lasting_streams():
        try:
            with processes.joined():
                main()
            sys.stdout.flush()
            if fault := getattr(sys.stdout, "fault", ""):
                raise InputError(
                    f"not all words could be printed ({fault}), expected a screen or file that "
                    f"takes them: make room, or send them elsewhere; otherwise all is done"
                )
        except InputError as error:
            end(2, f"error: {error}")
        except KeyboardInterrupt:
            end(130, f"stopped: {stays}")
        except StoppedError as error:
            end(1, f"stopped: {error}; {stays}")
        except OSError as error:
            if error.errno not in LIMITS:
                raise
            place = f"{error.filename}: " if error.filename else ""
            end(2, f"error: {place}{error.strerror}; {LIMITS[error.errno]}; {stays}")
        except Exception as error:
            if not GIVEN_CODE:
                raise
            end(2, f"error: {_where(error)}: {type(error).__name__}: {error}; {CODE_FAILED}")


def _where(error: Exception) -> str:
    """The last line of a person's code that an error came through, else whose code it may be."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if each.filename in GIVEN_CODE]
    if own:
        return f"{own[-1].filename}, line {own[-1].lineno}, in {own[-1].name}"
    return f"with functions of {', '.join(sorted(GIVEN_CODE))}"


def end(code: int, message: str) -> None:
    """Print one line on the error stream, once for all processes, and leave with this code."""
    sys.stdout.flush()
    if processes.is_first_to_say("how it ended"):
        print(printable(" ".join(message.split())), file=sys.stderr, flush=True)
    sys.exit(code)
