"""Running a learner's code in a process of its own, with limits, and reading what comes back."""

import contextlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from grading.values import decode, encode

TESTS = Path(__file__).resolve().parents[1]
LONGEST_REPLY = 4_000_000  # characters
KEPT = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True)
class Limits:
    """What a learner's code may use.

    Attributes:
        start_seconds: until the libraries are loaded; nothing of the learner's runs yet.
        seconds: for loading the file, and for each exercise.
        memory_mb: beside what the libraries hold, in 2**20 bytes.
    """

    start_seconds: float = 240.0
    seconds: float = 15.0
    memory_mb: int = 1_500


@dataclass(frozen=True)
class Reply:
    """What came back of one case: plain values, or a reason why there are none.

    Attributes:
        values: of the call; None with a reason.
        reason: in a line; "" with values.
        is_written: False where the stub still stands.
        printed: the last lines that the code printed.
    """

    values: object = None
    reason: str = ""
    is_written: bool = True
    printed: str = ""


class Child:
    """One process: started with a job, read line by line, ended with all that it started."""

    def __init__(self, job: dict) -> None:
        self.token = secrets.token_hex(16)
        self.printed = tempfile.TemporaryFile()  # noqa: SIM115, closed in `end`
        self.n_shown = 0  # bytes of it
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("child.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.printed,
            env={name: os.environ[name] for name in KEPT if name in os.environ}
            | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "MKL_NUM_THREADS": "1"},
            start_new_session=True,  # a group of its own, to end all of it
        )
        self.lines: queue.Queue[bytes] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            self.process.stdin.write(json.dumps(job | {"token": self.token}).encode("ascii"))
            self.process.stdin.close()
        except OSError:  # it has ended already; reading tells
            pass

    def _read(self) -> None:
        while line := self.process.stdout.readline(LONGEST_REPLY):
            self.lines.put(line)
        self.lines.put(b"")

    def next(self, seconds: float) -> dict | str:
        """The next report, or why there is none."""
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            return f"it took longer than {seconds:.0f} seconds: an endless loop?"
        if not line:
            return "it ended the process, by os._exit, a crash or too much memory"
        try:
            report = json.loads(line)
            is_ours = secrets.compare_digest(str(report.pop("token")), self.token)
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            is_ours = False
        return report if is_ours else "its report is torn or forged"

    def printed_until(self, n_printed: object = None) -> str:
        """The last lines that it printed since this was asked before.

        Args:
            n_printed: bytes by then, as it says; None: all there is.
        """
        if not hasattr(os, "pread"):  # Windows; any other read would move the writer's place
            return ""
        size = os.fstat(self.printed.fileno()).st_size
        end = max(0, min(size, n_printed)) if isinstance(n_printed, int) else size
        start, self.n_shown = max(self.n_shown, end - 2_000), end
        text = os.pread(self.printed.fileno(), max(0, end - start), start).decode(errors="replace")
        return "\n".join(text.splitlines()[-12:])

    def end(self) -> None:
        """Kill it, with all that it started."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):  # only a zombie is left
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.reader.join(timeout=1)
        if not self.reader.is_alive():  # else something that escaped holds the other end
            self.process.stdout.close()
        self.printed.close()


def replies_of(
    source: str, week: str, checks: Sequence[tuple[str, dict]], limits: Limits
) -> list[Reply]:
    """Call a learner's functions; one reply for each check.

    An exercise that hangs or ends the process has no value in all of its checks; those behind it
    get another process.

    Args:
        source: the learner's file.
        week: "week1", "week2" or "week3".
        checks: exercises by name and inputs, those of one exercise side by side.
        limits: of each process.
    """
    replies: list[Reply] = []
    while len(replies) < len(checks):
        rest = checks[len(replies) :]
        job = {
            "week": week,
            "tests": str(TESTS),
            "source": source,
            "checks": [(name, encode(inputs)) for name, inputs in rest],
            "memory_mb": limits.memory_mb,
            "cpu_seconds": int(60 + limits.start_seconds + limits.seconds * len(rest)),
        }
        child = Child(job)
        try:
            replies += _read_all(child, rest, limits)
        finally:
            child.end()
    return replies


def _read_all(child: Child, checks: Sequence[tuple[str, dict]], limits: Limits) -> list[Reply]:
    """Replies up to the end of the first exercise that hung or ended the process."""
    started = child.next(limits.start_seconds)
    if not isinstance(started, dict):
        raise RuntimeError(f"the grading process did not start: {child.printed_until()}")
    loaded = child.next(limits.seconds)
    if not isinstance(loaded, dict) or "error" in loaded:
        reason = loaded if isinstance(loaded, str) else str(loaded["error"])
        reply = Reply(reason=f"the file cannot be loaded: {reason}", printed=child.printed_until())
        return [reply] * len(checks)
    replies, _ = [], child.printed_until(loaded.get("n_printed"))  # while it was loaded
    for name, _ in checks:
        report = child.next(limits.seconds)
        if isinstance(report, str):
            n_lost = sum(other == name for other, _ in checks)
            n_before = sum(other == name for other, _ in checks[: len(replies)])
            own = [Reply(reason=report, printed=child.printed_until())] * n_lost
            return replies[: len(replies) - n_before] + own
        replies.append(
            replace(_reply(report), printed=child.printed_until(report.get("n_printed")))
        )
    return replies


def _reply(report: dict) -> Reply:
    if "values" not in report:
        reason = str(report.get("error", "its report is torn or forged"))
        return Reply(reason=reason, is_written=report.get("is_written") is not False)
    try:
        return Reply(values=decode(report["values"]))
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError):
        return Reply(reason="its report is torn or forged")
