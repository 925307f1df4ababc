"""The exceptions that end a script with one line instead of a traceback."""

import re


class InputError(ValueError):
    """What a person gave cannot be used.

    The message is one line: what was found, what was expected, what to do next, naming the
    flag or the file. Scripts print it and end with exit code 2 (see `common.ending.run_script`);
    any other exception is a fault of ours and keeps its traceback.
    """


class WeightsNotInReach(InputError):  # noqa: N818, a state of the machine more than a fault
    """A backbone's weights cannot be had here; another backbone's may be."""


class StoppedError(RuntimeError):
    """The run was ended from outside, as when another of its processes has died.

    The message says in half a line what happened; what to do is said by `run_script`.
    """


def first_line(error: Exception) -> str:
    """What an error says, in one line of some 120 characters; its kind if it says nothing."""
    text = re.sub(r"\x1b\[\d*m", "", str(error)).strip()  # torch writes in bold
    line = (text or type(error).__name__).splitlines()[0]
    return line if len(line) <= 120 else f"{line[:118].rsplit(' ', 1)[0]} …"
