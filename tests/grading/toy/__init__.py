"""A week of two small exercises, without torch: what tests of the grading itself run on."""

import numpy as np
from grading.exercise import Exercise, numbered


def some_numbers(rng: np.random.Generator, case: int) -> dict:
    return {"numbers": rng.normal(0, 1, 5)}


EXERCISES = numbered(
    Exercise("double", 2, some_numbers, ("Twice.", "Times two.", "2 * numbers"), n_cases=2),
    Exercise("total", 3, some_numbers, ("All.", "Add them up.", "numbers.sum()"), n_cases=2),
)
