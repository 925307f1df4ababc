"""Wrong answers that tests must reject: what learners write who have misunderstood something.

Each is the solution with one change. They stand here as data, because two things need them: the
proof that every check rejects them, and the sentence that tells a learner, and a class, which
mistake gives the values that they found.
"""

import functools
import sys
import types

from grading.wrong_week1 import WRONG as WRONG_WEEK1
from grading.wrong_week2 import WRONG as WRONG_WEEK2
from grading.wrong_week3 import WRONG as WRONG_WEEK3

# Exercise to mistake, in words, to changes: texts of the solution and what stands there instead.
WRONG: dict[str, dict[str, list[tuple[str, str]]]] = {**WRONG_WEEK1, **WRONG_WEEK2, **WRONG_WEEK3}


def body_of(solutions: str, name: str) -> tuple[int, int]:
    """Where a function or class begins and ends in the text of the solutions."""
    starts = [
        solutions.find(f"\n{kind} {name}{mark}") for kind, mark in (("def", "("), ("class", ":"))
    ]
    start = max(starts)
    ends = [solutions.find(f"\n\n\n{kind} ", start) for kind in ("def", "class")]
    return start, min((end for end in ends if end > 0), default=len(solutions))


def wrong_source(solutions: str, name: str, mistake: str) -> str:
    """The text of the solutions with one mistake in it.

    Raises:
        ValueError: what the mistake changes does not stand in the solution exactly once.
    """
    start, end = body_of(solutions, name)
    body = solutions[start:end]
    for old, new in WRONG[name][mistake]:
        if body.count(old) != 1:
            raise ValueError(f"{name}, {mistake}: found {old!r} {body.count(old)} times, not once")
        body = body.replace(old, new)
    return solutions[:start] + body + solutions[end:]


@functools.cache
def wrong_module(solutions: str, name: str, mistake: str) -> types.ModuleType:
    """The solutions with one mistake, as a module."""
    module = types.ModuleType(f"wrong_{name}")
    sys.modules[module.__name__] = module
    exec(compile(wrong_source(solutions, name, mistake), module.__name__, "exec"), module.__dict__)
    return module
