"""The tests that every week's exercises have."""

import ast
import doctest
import re

import pytest
from grading.exercise import Exercise
from grading.generate import BEGIN, END, exercises_of
from grading.grade import ROOT, expected_of, load_week, read_module, solutions_of
from grading.plugin import grades_of
from grading.wrong import WRONG, body_of, wrong_module

SEEDS = (0, 7)  # the tests' own and another one; more were tried once
MOST_LINES = 25  # of a solution, between its marks
NOT_PLAIN = {"common", "sklearn", "timm", "pytorch_metric_learning", "scipy", "pandas"}


def is_rejected(week: str, name: str, answers: object, seed: int) -> bool:
    """Whether an answer fails in any of its cases."""
    exercise: Exercise = load_week(week)[name]
    for inputs, expected in expected_of(week, seed)[name]:
        try:
            found = exercise.values(answers, inputs)
        except Exception:  # whatever a wrong answer raises, it is one
            return True
        if exercise.difference(inputs, expected, found):
            return True
    return False


class ExerciseTests:
    """Of one week; a subclass names it."""

    week: str

    def test_exercise(self, request, submission, exercise):
        """Asks the learner's code, with --mine; else the reference solutions."""
        grades = grades_of(request.config, submission, self.week)
        if grades.reason and exercise != "all":  # said once, and no hint would help
            is_first = exercise == grades.marks[0].name
            pytest.fail(grades.reason if is_first else "For the same reason.", pytrace=False)
        for mark in grades.marks:
            if exercise in (mark.name, "all") and mark.state != "right":
                pytest.fail(mark.text(self.week, request.config.option.hint), pytrace=False)

    def test_exercises_are_made_from_solutions(self):
        made = exercises_of(solutions_of(self.week), int(self.week[4:]))

        assert (ROOT / self.week / "exercises.py").read_bytes() == made.encode("utf-8"), (
            "run python tests/grading/generate.py"
        )

    def test_no_line_of_a_solution_stands_in_the_exercises(self):
        stubs = set((ROOT / self.week / "exercises.py").read_text(encoding="utf-8").splitlines())
        solutions = re.findall(rf"{BEGIN}\n(.*?){END}", solutions_of(self.week), flags=re.DOTALL)

        lines = {line for text in solutions for line in text.splitlines() if line.strip()}

        assert len(solutions) >= 6
        assert not lines & stubs

    def test_solutions_are_plain(self):
        tree = ast.parse(solutions_of(self.week))
        imports = {
            (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
        }

        assert not imports & NOT_PLAIN

    def test_an_exercise_is_short_and_says_its_points_and_minutes(self, exercise):
        text = solutions_of(self.week)
        body = text[slice(*body_of(text, exercise))]
        n_lines = sum(len(part.split(END)[0].splitlines()) - 2 for part in body.split(BEGIN)[1:])
        points = load_week(self.week)[exercise].points

        assert n_lines <= MOST_LINES
        assert re.search(rf"\({points} points?, \d+ minutes\)", body)
        assert ">>> " in body

    def test_the_values_to_see_are_right(self):
        solutions = read_module(solutions_of(self.week), f"seen_{self.week}")
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

        failed, tried = doctest.testmod(solutions, optionflags=flags)

        assert tried >= len(load_week(self.week))
        assert failed == 0

    def test_the_stub_fails(self, exercise):
        text = (ROOT / self.week / "exercises.py").read_text(encoding="utf-8")

        stubs = read_module(text, f"stubs_{self.week}")

        assert is_rejected(self.week, exercise, stubs, seed=0)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_wrong_answers_are_rejected(self, exercise, seed):
        accepted = [
            mistake
            for mistake in WRONG[exercise]
            if not is_rejected(
                self.week, exercise, wrong_module(solutions_of(self.week), exercise, mistake), seed
            )
        ]

        assert len(WRONG[exercise]) >= 5
        assert accepted == []

    @pytest.mark.parametrize("style", ["loops", "libraries"])
    def test_other_styles_pass(self, exercise, style):
        path = ROOT / "tests" / "grading" / "styles" / f"{self.week}_{style}.py"

        answers = read_module(path.read_text(encoding="utf-8"), path.stem)

        assert not any(is_rejected(self.week, exercise, answers, seed) for seed in SEEDS)

    def test_hints_are_plain_ascii_and_say_more_and_more(self, exercise):
        hints = load_week(self.week)[exercise].hints

        assert len(set(hints)) == 3
        assert "".join([*hints, *WRONG[exercise]]).isascii()

    def test_other_seeds_have_other_inputs(self, exercise):
        first, other = (load_week(self.week)[exercise].inputs(seed) for seed in SEEDS)

        assert repr(first) != repr(other)
