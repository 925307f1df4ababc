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

from common.errors import InputError


def own_functions(
    args: argparse.Namespace, script: str | Path, *names: str
) -> tuple[dict[str, Callable], list[str]]:
    """Those of a learner's functions that a script uses and that are right.

    Args:
        args: the script's flags; without `mine` there are no such functions.
        script: the script's `__file__`; its folder is the week.
        names: of the functions that the script would take.

    Returns:
        Name to function, and a note for the result: none without `--mine`.

    Raises:
        InputError: the file cannot be graded.
    """
    if args.mine is None:
        return {}, []
    week = Path(script).resolve().parent
    marks = {mark["name"]: mark for mark in _grades(args.mine, week)["marks"]}
    own = [name for name in names if marks[name]["state"] == "right"]
    rest = [name for name in names if name not in own]
    print(f"Exercises that this script uses: {', '.join(names)}")
    for name in rest:
        print(f"{name}: {marks[name]['state']}; the reference's runs in its place")
    note = f"yours: {', '.join(own) or 'none'}; reference: {'the rest' if rest else 'none'}"
    print(note)
    if not own:
        return {}, [note]
    spec = importlib.util.spec_from_file_location("mine", args.mine)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: getattr(module, name) for name in own}, [note]


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
