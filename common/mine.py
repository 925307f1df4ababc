"""A learner's own functions in place of a script's: `--mine FILE`.

The tests of the week grade the file first, in a process of their own. What is right there runs in
the script; what is missing or wrong is left to the reference.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from common.ending import GIVEN_CODE
from common.errors import InputError

N_LINES = 20  # that a learner's own functions may print into a run


def own_functions(
    args: argparse.Namespace, script: str | Path, *names: str
) -> tuple[dict[str, Callable], list[str]]:
    """Those of a learner's functions that a script uses and that are right.

    Returns:
        Name to function, and a note for the result: none without `--mine`.

    Raises:
        InputError: the file cannot be graded, or not be loaded.
    """
    if args.mine is None:
        return {}, []
    week = Path(script).resolve().parent
    grades = _grades(args.mine, week)
    if grades["reason"]:
        raise InputError(f"--mine {args.mine}: {grades['reason']}")
    marks = {mark["name"]: mark for mark in grades["marks"]}
    own = [name for name in names if marks[name]["state"] == "right"]
    rest = [name for name in names if name not in own]
    print(f"Exercises that this script uses: {', '.join(names)}")
    for name in rest:
        why = f" ({marks[name]['reason']})" if marks[name]["state"] == "no answer" else ""
        print(f"{name}: {marks[name]['state']}{why}; the reference's runs in its place")
    note = f"yours: {', '.join(own) or 'none'}; reference: {'the rest' if rest else 'none'}"
    print(note)
    if not own:
        return {}, [note]
    spec = importlib.util.spec_from_file_location("mine", args.mine)
    module = importlib.util.module_from_spec(spec)
    module.print = few_lines()  # thousands, from within a loop, would hide the results
    GIVEN_CODE.add(str(args.mine))
    spec.loader.exec_module(module)
    return {name: getattr(module, name) for name in own}, [note]


def few_lines(n_left: int = N_LINES) -> Callable[..., None]:
    """A `print` for a learner's file: the first lines, then a word that there were more."""

    def show(*values: object, sep: str = " ", **options: object) -> None:
        nonlocal n_left
        lines = (sep or " ").join(map(str, values)).split("\n")
        for line in lines[: max(0, n_left)]:
            print(line, **options)
        if n_left >= 0 and len(lines) > n_left:
            print(f"(Your file prints more than {N_LINES} lines; the others are left out.)")
        n_left = -1 if len(lines) > n_left else n_left - len(lines)

    return show


def _grades(file: Path, week: Path) -> dict:
    """What the tests of the week say about the file."""
    grader = week.parent / "tests" / "grading" / "grade.py"
    if not grader.is_file():
        raise InputError(f"--mine: {grader} grades your file, and is missing; clone the course")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "grades.json"
        command = [sys.executable, str(grader), week.name, str(file), "--json", str(target)]
        ending = subprocess.run(command, capture_output=True, text=True, check=False)
        if ending.returncode:
            last = (ending.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"--mine {file}: it could not be graded ({last})")
        return json.loads(target.read_text(encoding="utf-8"))
