"""Week 2's exercises: graded with --mine; else proof that the checks tell right from wrong."""

from grading.suite import ExerciseTests


class TestExercises(ExerciseTests):
    week = "week2"
