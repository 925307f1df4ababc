"""Grades as files: JSON for a program, and a class sheet (CSV and one HTML page) for a person."""

import csv
import html
import io
import json
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from common.files import write_text
from common.own_files import checksum, read_json
from common.tables import harmless

from grading.grade import Grades, Mark, points_of

LEGEND = "for each exercise: its number where right, . not written, - wrong, ! no answer"
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto;
  padding: 0 1rem; max-width: 90rem; }
table { border-collapse: collapse; margin: 1rem 0; width: 100%; }
th, td { border: 1px solid #8886; padding: .35rem .5rem; text-align: left; vertical-align: top; }
th { background: #8882; }
td.right { background: #2a93; } td.wrong { background: #d803; } td.none { background: #d333; }
td.points { text-align: right; white-space: nowrap; } small { display: block; opacity: .85; }
"""


def points_table(graded: Sequence[Grades]) -> list[str]:
    """Points in lines: of one file by exercise, of a class by name."""
    if len(graded) == 1:
        rows = [
            (f"{m.number} {m.name}", m.points, m.out_of, f"  {m.state}") for m in graded[0].marks
        ]
        rows.append(("all", graded[0].points, graded[0].out_of, ""))
    else:
        rows = [(each.name, each.points, each.out_of, _states(each)) for each in graded]
    width = max(len(name) for name, *_ in rows)
    lines = [f"{name:<{width}}  {n:>2} of {most:>2}{words}" for name, n, most, words in rows]
    return lines if len(graded) == 1 else [*lines, LEGEND]


def _states(grades: Grades) -> str:
    """How many are right and which, in a letter for each exercise; or why none was asked."""
    if reason := one_reason(grades):
        return f" points: {reason}"
    signs = {"not written": ".", "wrong": "-", "no answer": "!"}
    letters = "".join(signs.get(mark.state, str(mark.number)) for mark in grades.marks)
    n_right = sum(mark.state == "right" for mark in grades.marks)
    return f" points, {n_right} of {len(grades.marks)} right: {letters}"


def commonest_mistakes(graded: Sequence[Grades]) -> list[tuple[str, int]]:
    """Mistakes of a class with how many made them, commonest first.

    One that is not known beforehand is named by what differs, without the values.
    """
    found = Counter(
        f"{mark.name}: {mark.misconception or mark.reason.partition(': found')[0]}"
        for grades in graded
        for mark in grades.marks
        if mark.state == "wrong"
    )
    return found.most_common()


def why_not_there(path: Path) -> str:
    """Why grades can't be written to a file and beside it, in a sentence; else "".

    What somebody corrected, or wrote before this command, is not replaced.
    """
    if path.suffix != ".json" or path.is_dir():
        return "expected a file with .json at its end; what else is written lies beside it"
    try:
        written = read_json(path)["written"]
    except (OSError, ValueError, KeyError, TypeError):
        written = None
    for each in (path, *(path.with_suffix(end) for end in (".xml", ".csv", ".html"))):
        is_known = written is not None and written.get(each.name, "") in ("", checksum_of(each))
        if os.path.lexists(each) and not is_known:
            return f"{each.name} is there and was written or changed by somebody; take another name"
    return ""


def others_in(path: Path, week: str, names: Collection[str]) -> str:
    """Whose grades would be lost if these were written in their place; "" if nobody's."""
    if not path.is_file():
        return ""
    former = read_json(path)
    if former["week"] != week:
        return f"it holds grades of {former['week']}"
    lost = [each["name"] for each in former["grades"] if each["name"] not in names]
    return f"it holds grades of {lost[0]}, who is not here" if lost else ""


def checksum_of(path: Path) -> str | None:
    """Of a file that may not be there."""
    return checksum(path) if path.is_file() else None


def write_grades(graded: Sequence[Grades], path: Path, beside: Sequence[Path] = ()) -> Path:
    """Write JSON with everything that is known.

    Args:
        beside: the class sheet's files, whose checksums tell later whether somebody changed them.
    """
    content = {
        "week": graded[0].week,
        "seed": graded[0].seed,
        "commonest_mistakes": [list(each) for each in commonest_mistakes(graded)],
        "grades": [grades.to_dict() for grades in graded],
        "written": {each.name: checksum(each) for each in beside},
    }
    return write_text(path, json.dumps(content, indent=2) + "\n")


def write_class_sheet(graded: Sequence[Grades], path: Path) -> list[Path]:
    """Write the same for people: a table for a spreadsheet, and a page."""
    names, sheet = [mark.name for mark in graded[0].marks], io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow(["name", "points", "out of", *names, "seed", "mistakes"])
    for grades in graded:
        said = one_reason(grades) or "; ".join(
            f"{mark.name}: {why_not(mark)}" for mark in grades.marks if mark.state != "right"
        )
        each = [mark.points for mark in grades.marks]
        row = [grades.name, grades.points, grades.out_of, *each, grades.seed, said]
        writer.writerow(map(harmless, row))
    return [
        write_text(path.with_suffix(".csv"), "\ufeff" + sheet.getvalue()),
        write_text(path.with_suffix(".html"), page_of(graded)),
    ]


def one_reason(grades: Grades) -> str:
    """Why there are no points at all, where one reason says it; else ""."""
    is_empty = all(mark.state == "not written" for mark in grades.marks)
    return "nothing is written yet" if is_empty else grades.reason


def why_not(mark: Mark) -> str:
    """Why there are no points, in a line."""
    if mark.state == "not written":
        return "not written"
    return mark.misconception or mark.reason


def page_of(graded: Sequence[Grades]) -> str:
    """The class sheet: who has which points, what failed, and what most have misunderstood."""
    first, n = graded[0], len(graded)
    title = f"Week {first.week[4:]}: {n} submission{'s' * (n > 1)}, seed {first.seed}"
    solved = [sum(grades.marks[i].points > 0 for grades in graded) for i in range(len(first.marks))]
    names = [_text(mark.name).replace("_", "_<wbr>") for mark in first.marks]
    head = "".join(
        f"<th>{mark.number} {name}<small>{points_of(mark.out_of)}; {right} of {n} right"
        "</small></th>"
        for mark, name, right in zip(first.marks, names, solved, strict=True)
    )
    rows = "\n".join(_row(grades) for grades in sorted(graded, key=lambda each: -each.points))
    mistakes = "\n".join(
        f"<li>{count} of {n}: {_text(text)}</li>" for text, count in commonest_mistakes(graded)[:8]
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>
<body><h1>{title}</h1>
<h2>What most have misunderstood</h2>
<ol>{mistakes or "<li>No answer is wrong.</li>"}</ol>
<h2>Points</h2>
<table><thead><tr><th>name</th><th>points</th>{head}</tr></thead><tbody>
{rows}
</tbody></table></body></html>
"""


def _row(grades: Grades) -> str:
    kinds = {"right": "right", "wrong": "wrong"}
    cells = "".join(
        f'<td class="{kinds.get(mark.state, "none")}">{mark.points}{_why(mark)}</td>'
        for mark in grades.marks
    )
    if reason := one_reason(grades):
        cells = f'<td class="none" colspan="{len(grades.marks)}">{_text(reason)}</td>'
    points = f'<td class="points"><b>{grades.points}</b> of {grades.out_of}</td>'
    return f"<tr><td>{_text(grades.name)}</td>{points}{cells}</tr>"


def _why(mark: Mark) -> str:
    if mark.state == "right":
        return ""
    hint = f" Hint: {mark.hints[0]}" if mark.hints and mark.state == "wrong" else ""
    why = why_not(mark)[:200]
    return f"<small>{_text(why if why.endswith('?') else why + '.')}{_text(hint)}</small>"


def _text(text: str) -> str:
    return html.escape(text)
