"""Make weekN/exercises.py from weekN/solutions.py.

    python tests/grading/generate.py

What stands between the marks is what a learner writes.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WEEKS = (1, 2, 3)
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def exercises_of(solutions: str, week: int) -> str:
    """The text of exercises.py.

    Raises:
        ValueError: a mark without its other.
    """
    lines, number, name, is_hidden = [], 0, "", False
    for line in solutions.splitlines():
        if found := re.match(r"(?:def|class) (\w+)", line):
            number, name = number + 1, found[1]
        mark = line.strip()
        if mark in (BEGIN, END):
            if is_hidden == (mark == BEGIN):
                raise ValueError(f"{name}: found {mark} twice in a row, expected pairs")
            is_hidden = mark == BEGIN
            if is_hidden:
                indent = line[: len(line) - len(line.lstrip())]
                text = f"week {week}, exercise {number}: {name}"
                lines.append(f'{indent}raise NotImplementedError("{text}")')
        elif not is_hidden:
            lines.append(line)
    if is_hidden:
        raise ValueError(f"{name}: {BEGIN} without {END}")
    return "\n".join(lines) + "\n"


def main() -> None:
    for week in WEEKS:
        solutions = (ROOT / f"week{week}" / "solutions.py").read_text(encoding="utf-8")
        target = ROOT / f"week{week}" / "exercises.py"
        target.write_text(exercises_of(solutions, week), encoding="utf-8", newline="\n")
        print(f"written: {target}")


if __name__ == "__main__":
    main()
