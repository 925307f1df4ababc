"""Grading gives points for right answers, reasons for others, and survives hostile code."""

import csv
import json
import os
import subprocess
import sys

import pytest
from grading.grade import (
    ROOT,
    Mark,
    grade,
    load_week,
    main,
    other_week,
    passed_over,
    submissions_in,
)
from grading.hostile import HOSTILE, STUBS
from grading.plugin import refuse_foreign_conftest
from grading.process import Limits
from grading.sheet import (
    commonest_mistakes,
    others_in,
    page_of,
    points_table,
    why_not_there,
    write_class_sheet,
    write_grades,
)

QUICK = Limits(seconds=2.0, memory_mb=400)
RIGHT = "def double(numbers):\n    return [2 * n for n in numbers]\n\ntotal = sum\n"


def graded(folder, source, name="somebody", **options):
    path = folder / f"{name}.py"
    path.write_text(source, encoding="utf-8")
    return grade(path, "toy", name=name, limits=QUICK, **options)


def states(grades):
    return [mark.state for mark in grades.marks]


def test_right_answers_have_all_points(tmp_path):
    grades = graded(tmp_path, RIGHT)

    assert states(grades) == ["right", "right"]
    assert grades.points == grades.out_of == 5


@pytest.mark.parametrize("attempt", HOSTILE)
def test_a_hostile_submission_scores_nothing(attempt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").write_text("still here", encoding="utf-8")

    grades = graded(tmp_path, STUBS + HOSTILE[attempt])

    assert grades.points == 0
    assert all(mark.reason for mark in grades.marks)
    assert sorted(os.listdir(tmp_path)) == ["kept", "somebody.py"]


def test_a_neighbour_of_a_hostile_submission_keeps_the_points(tmp_path):
    sources = {"a": HOSTILE["ten gigabytes"] + STUBS, "b": RIGHT, "c": HOSTILE["an endless loop"]}

    points = [graded(tmp_path, source, name).points for name, source in sources.items()]

    assert points == [0, 5, 0]


@pytest.mark.parametrize("end", ["while True: pass", "import os; os._exit(0)", "raise SystemExit"])
def test_an_exercise_that_hangs_or_ends_leaves_the_others_their_points(end, tmp_path):
    grades = graded(tmp_path, f"def double(numbers):\n    {end}\n\ntotal = sum\n")

    assert states(grades) == ["no answer", "right"]
    assert grades.points == 3


def test_a_reason_names_the_learners_line(tmp_path):
    grades = graded(tmp_path, "def double(numbers):\n    return numbers[99]\n\ntotal = sum\n")

    assert grades.marks[0].reason.startswith("line 2: IndexError")


def test_missing_and_unwritten_answers_are_told_apart(tmp_path):
    grades = graded(tmp_path, "def double(numbers):\n    raise NotImplementedError('week')\n")

    assert states(grades) == ["not written", "no answer"]
    assert grades.marks[1].reason == "there is no total"


def test_a_file_that_cannot_be_read_scores_nothing(tmp_path):
    (tmp_path / "latin.py").write_bytes(b"name = '\xe4'\n")

    for name in ("latin.py", "missing.py"):
        grades = grade(tmp_path / name, "toy", limits=QUICK)
        assert grades.points == 0
        assert "the file" in grades.marks[0].reason


def test_python_and_numpy_may_be_imported(tmp_path):
    lines = "import math, collections.abc\nfrom numpy import linalg\n"

    assert graded(tmp_path, lines + RIGHT).points == 5


def test_several_values_that_differ_are_not_mixed_up():
    exercise = load_week("week1")["train_epoch"]

    words = exercise.difference({}, {"loss": 1.0, "accuracy": 0.5}, {"loss": 2.0, "accuracy": 0.25})

    assert words == "loss, accuracy: found 2 for loss, expected 1"


def test_what_the_code_prints_is_shown_where_it_fails(tmp_path):
    grades = graded(
        tmp_path, "def double(numbers):\n    print('len', len(numbers))\n\ntotal = sum\n"
    )

    assert "len 5" in grades.marks[0].printed


def test_another_seed_has_other_numbers(tmp_path):
    known = graded(tmp_path, STUBS, seed=1).marks[0].reason
    source = "def double(numbers):\n    return {}\n\ntotal = sum\n"
    answer = known.split("expected ")[1].replace(" ", ", ").replace("[, ", "[")

    grades = graded(tmp_path, source.format(answer), seed=2)

    assert grades.marks[0].state == "wrong"


def test_a_message_says_more_with_each_hint():
    mark = Mark(3, "total", 0, 3, "wrong", "the answer: found 1, expected 2", "a mistake",
                ("All.", "Add them up.", "numbers.sum()"))  # fmt: skip

    texts = [mark.text("week2", depth) for depth in (1, 2, 3)]

    assert all(text.startswith("Failing at first is the task") for text in texts)
    assert all(text.isascii() and "week 2, exercise 3: total" in text for text in texts)
    assert ["a mistake" in text for text in texts] == [False, True, True]
    assert ["expected 2" in text for text in texts] == [False, False, True]
    assert ["numbers.sum()" in text for text in texts] == [False, False, True]


@pytest.fixture
def a_class(tmp_path):
    """Three submissions: right, half, hostile."""
    half = "def double(numbers):\n    return numbers\n\ntotal = sum\n"
    sources = {"anna": RIGHT, "=berta": half, "carla": HOSTILE["not Python"]}
    return [graded(tmp_path, source, name) for name, source in sources.items()]


def test_grades_are_written_for_programs_and_for_people(a_class, tmp_path):
    sheet, page = write_class_sheet(a_class, tmp_path / "grades.json")
    target = write_grades(a_class, tmp_path / "grades.json", [sheet, page])

    stored = json.loads(target.read_text(encoding="utf-8"))
    rows = list(csv.DictReader(sheet.read_text(encoding="utf-8-sig").splitlines()))
    assert [each["points"] for each in stored["grades"]] == [5, 3, 0]
    assert [row["points"] for row in rows] == ["5", "3", "0"]
    assert rows[1]["name"] == "'=berta"
    assert rows[2]["mistakes"].count("SyntaxError") == 1
    assert page.read_text(encoding="utf-8").count("SyntaxError") == 1
    assert "<script" not in page_of(a_class)


@pytest.mark.parametrize("changed", [".csv", ".html"])
def test_grades_that_somebody_corrected_are_not_replaced(changed, a_class, tmp_path):
    target = tmp_path / "grades.json"
    write_grades(a_class, target, write_class_sheet(a_class, target))
    assert why_not_there(target) == ""

    target.with_suffix(changed).write_text("anna,17", encoding="utf-8")

    assert f"grades{changed} is there" in why_not_there(target)


def test_grades_of_other_people_or_weeks_are_not_replaced(a_class, tmp_path):
    names = [grades.name for grades in a_class]
    target = write_grades(a_class, tmp_path / "grades.json")

    assert others_in(target, "toy", [*names, "late"]) == ""
    assert others_in(target, "toy", names[1:]) == f"it holds grades of {names[0]}, who is not here"
    assert others_in(target, "week2", names) == "it holds grades of toy"


@pytest.mark.parametrize("name", ["ada.py", "grades.csv", "class", "own.json", "own.xml"])
def test_grades_do_not_replace_what_they_did_not_write(name, tmp_path):
    (tmp_path / "class").mkdir()
    (tmp_path / name).touch(exist_ok=True)

    assert why_not_there(tmp_path / name)
    assert why_not_there(tmp_path / "new" / "grades.json") == ""


def test_a_class_is_shown_in_lines(a_class):
    lines = points_table(a_class)

    assert lines[:2] == ["anna     5 of  5 points, 2 of 2 right: 12",
                         "=berta   3 of  5 points, 1 of 2 right: -2"]  # fmt: skip
    assert lines[2].startswith("carla    0 of  5 points: the file cannot be loaded: line ")
    assert ". not written" in lines[3]
    assert points_table(a_class[1:2])[0] == "1 double   0 of  2  wrong"


def test_the_commonest_mistake_of_a_class_is_named(tmp_path):
    source = (
        "import numpy as np\n"
        "def accuracy(scores, labels):\n"
        "    return np.mean(scores.argmin(axis=1) == labels)\n"
    )
    path = tmp_path / "somebody.py"
    path.write_text(source, encoding="utf-8")

    grades = grade(path, "week1")

    [(mistake, count)] = commonest_mistakes([grades])
    assert mistake == "accuracy: the lowest score taken for the answer"
    assert count == 1


def test_submissions_are_found_in_three_kinds_of_folders(tmp_path):
    for name in ("anna.py", "berta/exercises.py", "carla/week2/exercises.py",
                 "dora/week1/exercises.py", "notes.txt"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "emil").mkdir()
    (tmp_path / "fay").mkdir()
    (tmp_path / "fay" / "my_week2.py").touch()
    (tmp_path / "._ada.py").write_bytes(b"\0\5\x16\7")  # of a Mac, beside each file

    found = submissions_in(tmp_path, "week2")

    assert list(found) == ["anna", "berta", "carla", "dora", "emil", "fay"]
    assert [path.exists() for path in found.values()] == [True] * 3 + [False] * 2 + [True]
    assert passed_over(tmp_path) == ["notes.txt"]


def test_who_handed_in_two_files_is_there_twice(tmp_path):
    for name in ("ada.py", "ada/exercises.py", "bo/exercises.py", "bo/week2/exercises.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    found = submissions_in(tmp_path, "week2")

    assert list(found) == ["ada.py", "ada/exercises.py", "bo/exercises.py", "bo/week2/exercises.py"]


@pytest.mark.skipif(sys.platform != "linux", reason="only there names may be any bytes")
def test_a_submissions_name_of_any_bytes_can_be_written(tmp_path):
    (tmp_path / "é\udcff.py").touch()

    assert list(submissions_in(tmp_path, "week2")) == ["é\\udcff"]


def test_a_folder_without_any_submission_is_no_class(tmp_path):
    (tmp_path / "notes").mkdir()

    assert submissions_in(tmp_path, "week2") == {}


def test_who_handed_in_nothing_is_named_with_no_points(tmp_path):
    grades = grade(tmp_path / "emil" / "exercises.py", "toy", name="emil", limits=QUICK)

    assert (grades.points, grades.reason) == (
        0,
        "the file cannot be read: there is no exercises.py",
    )


@pytest.mark.parametrize(
    ("source", "week", "words"),
    [
        ("def enrol(): pass", "week1", "exercises of week 3 and none of week 1"),
        ("def enrol(): pass\ndef accuracy(): pass", "week1", ""),
        ("class EarlyStopping: pass", "week3", "exercises of week 2 and none of week 3"),
        ("def helper(): pass", "week1", ""),
        ("", "week2", ""),
    ],
)
def test_another_weeks_file_is_recognised(source, week, words):
    assert words in other_week(source, week)
    assert bool(other_week(source, week)) == bool(words)


@pytest.mark.parametrize("package", ["sklearn.metrics", "scipy", "pandas", "common.measures"])
@pytest.mark.parametrize("line", ["import {}", "from {} import x", "import math, {}"])
def test_an_exercise_that_imports_what_it_may_not_has_no_points(package, line, tmp_path):
    source = f"def double(numbers):\n    {line.format(package)}\n\ntotal = sum\n"

    grades = graded(tmp_path, source)

    assert states(grades) == ["no answer", "right"]
    root = package.split(".")[0]
    assert f"line 2: ImportError: an exercise may not import {root}: " in grades.marks[0].reason


def test_a_submission_may_not_bring_a_conftest(tmp_path):
    (tmp_path / "conftest.py").touch()

    with pytest.raises(pytest.UsageError, match="may not bring a conftest"):
        refuse_foreign_conftest(tmp_path / "exercises.py")


def test_the_command_grades_one_file(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text("def accuracy(scores, labels):\n    return 0\n", encoding="utf-8")

    main(["week1", str(path), "--json", str(tmp_path / "grades.json")])

    assert "0 of 20 points" in capsys.readouterr().out
    assert json.loads((tmp_path / "grades.json").read_text(encoding="utf-8"))["points"] == 0


def test_a_conftest_is_refused_before_it_runs(tmp_path):
    (tmp_path / "conftest.py").write_text("raise SystemExit('ran')\n", encoding="utf-8")
    (tmp_path / "exercises.py").touch()

    ending = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/week1", "--mine", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "may not bring a conftest" in ending.stderr
    assert "ran" not in ending.stderr.split()


def test_a_class_that_is_graded_in_part_leaves_no_grades(tmp_path):
    (tmp_path / "class").mkdir()
    for name in ("ada", "bob"):
        (tmp_path / "class" / f"{name}.py").write_text("def (", encoding="utf-8")
    flags = (
        "--mine",
        str(tmp_path / "class"),
        "--grade",
        str(tmp_path / "grades" / "week1.json"),
        "-x",
    )

    ending = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/week1", *flags],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "Nothing is written: 1 of 2 are graded" in ending.stdout
    assert not any((tmp_path / "grades").iterdir())


def test_a_mistake_that_nobody_foresaw_is_counted_without_its_values(tmp_path):
    source = "import numpy as np\ndef accuracy(scores, labels):\n    return np.float64(2.0)\n"
    path = tmp_path / "somebody.py"
    path.write_text(source, encoding="utf-8")

    [(mistake, count)] = commonest_mistakes([grade(path, "week1")] * 2)

    assert mistake.startswith("accuracy: ")
    assert "found" not in mistake
    assert count == 2
