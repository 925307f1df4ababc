"""Grade a learner's file: points for each exercise, and what a wrong answer got wrong.

    python tests/grading/grade.py week2 path/to/exercises.py

`pytest tests/week2 --mine path/to/exercises.py` does the same, and says more.
"""

import functools
import importlib
import json
import os
import re
import sys
import types
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

if __name__ == "__main__":
    # So that grading is found, and common before the folder of its tests, which has that name, too.
    HERE = Path(__file__).resolve()
    sys.path[:0] = [str(HERE.parents[2]), str(HERE.parents[1])]

from common.cli import add_flag, local_path, make_parser, shared_flags
from common.ending import run_script
from common.errors import InputError
from common.files import write_text

from grading.exercise import Exercise
from grading.process import Limits, Reply, replies_of
from grading.wrong import WRONG, wrong_module

ROOT = Path(__file__).resolve().parents[2]
WEEKS = ("week1", "week2", "week3")
LARGEST_FILE = 1_000_000  # bytes
FIRST_LINE = "Failing at first is the task"


@dataclass(frozen=True)
class Mark:
    """What one exercise got.

    Attributes:
        number: of the exercise in its week, from 1.
        name: of the function or class.
        points: all of them, or 0.
        out_of: points of a right answer.
        state: "right", "wrong", "not written" or "no answer" (an error, too late, ended, torn).
        reason: why there are no points, in a line.
        misconception: the known wrong answer that gives the same values, in words; "" for none.
        hints: three, each saying more.
        printed: the last lines that the code printed.
    """

    number: int
    name: str
    points: int
    out_of: int
    state: str
    reason: str = ""
    misconception: str = ""
    hints: tuple[str, ...] = ()
    printed: str = ""

    def text(self, week: str, depth: int = 1) -> str:
        """What a learner reads, plain ASCII.

        Args:
            week: such as "week2".
            depth: 1 to 3, how much is given away.
        """
        title = f"{week[:4]} {week[4:]}, exercise {self.number}: {self.name}"
        points = points_of(self.out_of)
        state = "not written" if self.state == "not written" else "not right"
        lines = [f"{FIRST_LINE}. {title} ({points}) is {state} yet."]
        if self.state == "not written":
            lines.append("It still raises NotImplementedError: write your lines in its place.")
        elif self.state == "no answer":
            lines.append(f"It gave no answer: {self.reason}.")
        elif depth < 3:
            lines.append(f"Other than expected: {self.reason.split(': found')[0]}.")
        else:
            lines.append(f"Other than expected: {self.reason}.")
        if self.misconception and depth > 1:
            lines.append(f"Your values are those of this mistake: {self.misconception}.")
        lines += [f"Hint {i}: {hint}" for i, hint in enumerate(self.hints[:depth], start=1)]
        if depth < 3:
            lines.append(f"More: --hint {depth + 1}")
        if self.printed:
            lines += ["It printed:", *(f"    {line}" for line in self.printed.splitlines())]
        return "\n".join(lines).encode("ascii", "backslashreplace").decode("ascii")


@dataclass(frozen=True)
class Grades:
    """All marks of one file.

    Attributes:
        name: whose it is.
        week: such as "week2".
        seed: of the inputs.
        marks: one per exercise.
    """

    name: str
    week: str
    seed: int
    marks: tuple[Mark, ...]

    @property
    def points(self) -> int:
        return sum(mark.points for mark in self.marks)

    @property
    def out_of(self) -> int:
        return sum(mark.out_of for mark in self.marks)

    @property
    def reason(self) -> str:
        """Why no exercise was asked: one reason for all of them; "" where they differ."""
        reasons = {mark.reason if mark.state == "no answer" else "" for mark in self.marks}
        return reasons.pop() if len(reasons) == 1 else ""

    def to_dict(self) -> dict:
        """Plain JSON types."""
        totals = {"points": self.points, "out_of": self.out_of, "reason": self.reason}
        return totals | asdict(self)


def points_of(number: int) -> str:
    """Such as "1 point"."""
    return f"{number} point{'s' * (number != 1)}"


def load_week(week: str) -> dict[str, Exercise]:
    """The exercises of a week by name."""
    return importlib.import_module(f"grading.{week}").EXERCISES


def read_module(source: str, name: str) -> types.ModuleType:
    """A module of our own from its text; never a learner's."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    return module


@functools.cache
def solutions_of(week: str) -> str:
    """The text of a week's solutions."""
    folder = ROOT / week if week in WEEKS else Path(__file__).parent / week  # of tests: "toy"
    return (folder / "solutions.py").read_text(encoding="utf-8")


@functools.cache
def expected_of(week: str, seed: int) -> dict[str, list[tuple[dict, object]]]:
    """Inputs and expected values of each exercise's cases, by the reference solutions."""
    solutions = read_module(solutions_of(week), f"solutions_of_{week}")
    return {
        name: [(inputs, exercise.values(solutions, inputs)) for inputs in exercise.inputs(seed)]
        for name, exercise in load_week(week).items()
    }


@functools.cache
def wrong_values(week: str, seed: int, name: str, mistake: str) -> list | None:
    """What a known wrong answer gives; None where it fails."""
    exercise, module = load_week(week)[name], wrong_module(solutions_of(week), name, mistake)
    try:
        return [exercise.values(module, inputs) for inputs, _ in expected_of(week, seed)[name]]
    except Exception:  # whatever a wrong answer raises, it has no values
        return None


def misconception_of(week: str, seed: int, exercise: Exercise, found: Sequence[object]) -> str:
    """The known wrong answer with the same values; "" if there is none, or more than one."""
    alike = []
    for mistake in WRONG.get(exercise.name, ()):
        values = wrong_values(week, seed, exercise.name, mistake)
        if values is not None and not any(
            exercise.difference(inputs, value, own)
            for (inputs, _), value, own in zip(
                expected_of(week, seed)[exercise.name], values, found, strict=True
            )
        ):
            alike.append(mistake)
    return alike[0] if len(alike) == 1 else ""


def mark_of(week: str, seed: int, exercise: Exercise, replies: Sequence[Reply]) -> Mark:
    """Judge the replies to one exercise's cases."""
    facts = (exercise.number, exercise.name)
    printed = "\n".join(reply.printed for reply in replies if reply.printed)
    lost = {"hints": exercise.hints, "printed": "\n".join(printed.splitlines()[-12:])}
    for reply in replies:
        if reply.reason:
            state = "no answer" if reply.is_written else "not written"
            return Mark(*facts, 0, exercise.points, state, reply.reason, **lost)
    found = [reply.values for reply in replies]
    for (inputs, expected), own in zip(expected_of(week, seed)[exercise.name], found, strict=True):
        if difference := exercise.difference(inputs, expected, own):
            mistake = misconception_of(week, seed, exercise, found)
            return Mark(
                *facts, 0, exercise.points, "wrong", difference, misconception=mistake, **lost
            )
    return Mark(*facts, exercise.points, exercise.points, "right")


def grade(
    path: Path, week: str, seed: int = 0, *, name: str = "", limits: Limits | None = None
) -> Grades:
    """Grade one file.

    Args:
        path: of a learner's exercises.
        week: such as "week2".
        seed: of the inputs; another seed, other inputs.
        name: whose it is; default: the file's.
        limits: of the process that it runs in.
    """
    expected = expected_of(week, seed)
    checks = [(each, inputs) for each, cases in expected.items() for inputs, _ in cases]
    try:
        source = read_source(path)
        if reason := other_week(source, week):
            raise ValueError(reason)
        replies = replies_of(source, week, checks, limits or Limits())
    except ValueError as error:
        replies = [Reply(reason=str(error))] * len(checks)
    marks, start = [], 0
    for exercise in load_week(week).values():
        own = replies[start : start + exercise.n_cases]
        marks.append(mark_of(week, seed, exercise, own))
        start += exercise.n_cases
    return Grades(name or path.stem, week, seed, tuple(marks))


def read_source(path: Path) -> str:
    """The text of a learner's file.

    Raises:
        ValueError: it cannot be read as text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ValueError("the file is larger than a megabyte")
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        reason = (
            f"there is no {path.name}" if isinstance(error, FileNotFoundError) else error.strerror
        )
        raise ValueError(f"the file cannot be read: {reason}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"the file is not text in UTF-8: {error.reason}") from error


def other_week(source: str, week: str) -> str:
    """Whose exercises a file holds that has none of this week, in a sentence; else ""."""
    written = set(re.findall(r"^(?:def|class) (\w+)", source, flags=re.MULTILINE))
    own = [each for each in WEEKS if written & load_week(each).keys()]
    if not own or week in own or week not in WEEKS:
        return ""
    return (
        f"the file holds exercises of {own[0][:4]} {own[0][4:]} and none of {week[:4]} {week[4:]}; "
        f"expected a copy of {week}/exercises.py"
    )


def submissions_in(folder: Path, week: str) -> dict[str, Path]:
    """Files of a class by name: NAME.py, NAME/exercises.py or NAME/week2/exercises.py.

    A folder NAME with one file is that file, whatever its name, as learning platforms hand it out.
    A folder NAME without such a file is named with the one that is missing: its grade says so.
    Who handed in two files is there twice, with what each is called.
    """
    files: dict[str, list[Path]] = {}
    for pattern in ("*.py", "*/exercises.py", f"*/{week}/exercises.py"):
        for path in folder.glob(pattern):
            name = re.sub(r"\.py$", "", path.relative_to(folder).parts[0])
            if name not in ("conftest", "__init__") and not name.startswith("."):  # a Mac's ._
                files.setdefault(name, []).append(path)
    for path in folder.iterdir() if files else ():
        if path.is_dir() and not path.name.startswith((".", "__")):
            only = list(path.glob("*.py"))
            files.setdefault(path.name, only if len(only) == 1 else [path / "exercises.py"])
    found = {
        name if len(own) == 1 else path.relative_to(folder).as_posix(): path
        for name, own in files.items()
        for path in own
    }
    # A name whose bytes are no text could not be written to any file.
    return {
        name.encode("utf-8", "backslashreplace").decode(): found[name] for name in sorted(found)
    }


def passed_over(folder: Path) -> list[str]:
    """Files beside the submissions that are none, such as NAME.zip: somebody may miss them."""
    names = [path.name for path in folder.iterdir() if path.is_file() and path.suffix != ".py"]
    return sorted(name for name in names if not name.startswith("."))


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("week", choices=WEEKS)
    parser.add_argument("file", type=local_path, metavar="FILE")
    shared_flags(parser, "seed")
    add_flag(parser, "json", local_path, "FILE", "new file for the grades")
    args = parser.parse_args(argv)
    grades = grade(args.file, args.week, args.seed)
    for mark in grades.marks:
        print(f"{mark.number} {mark.name}: {mark.points} of {points_of(mark.out_of)}, {mark.state}")
    why = f": {grades.reason}" if grades.reason else ""
    print(f"{grades.points} of {points_of(grades.out_of)}{why}")
    if args.json:
        if os.path.lexists(args.json):
            raise InputError(f"--json: {args.json} is there already, expected a new file")
        write_text(args.json, json.dumps(grades.to_dict(), indent=2) + "\n")


if __name__ == "__main__":
    run_script(main)
