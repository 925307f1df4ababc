"""What an exercise is, and when an answer to it is right."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
from grading.values import brief, plain, same

# A learner's function or class and the inputs of one case to plain values.
Call = Callable[..., object]


def call_function(function: Callable, **inputs: object) -> object:
    """Call it with the inputs in their order."""
    return function(*inputs.values())


def agree(inputs: dict, expected: object, found: object) -> list[str]:
    """What differs: names of values, or "the answer"; nothing, where the answer is right."""
    if not isinstance(expected, dict) or not isinstance(found, dict):
        return [] if same(expected, found) else ["the answer"]
    return [key for key in expected if key not in found or not same(expected[key], found[key])]


@dataclass(frozen=True)
class Exercise:
    """One function or class that a learner writes.

    Attributes:
        name: of the function or class.
        points: for a right answer; a wrong one has none.
        make: random generator and number of the case to the inputs of that case.
        hints: three, each saying more; plain ASCII.
        call: runs in the learner's process; calls what was written, returns what is compared.
        agrees: runs where nothing of the learner's does: inputs, expected, found to what differs.
        n_cases: how many inputs are tried.
        number: in its week, from 1.
    """

    name: str
    points: int
    make: Callable[[np.random.Generator, int], dict]
    hints: tuple[str, str, str]
    call: Call = call_function
    agrees: Callable[[dict, object, object], list[str]] = agree
    n_cases: int = 4
    number: int = 0

    def inputs(self, seed: int) -> list[dict]:
        """Of all cases; another seed, other inputs."""
        return [
            self.make(np.random.default_rng([seed, self.number, case]), case)
            for case in range(self.n_cases)
        ]

    def values(self, answers: ModuleType, inputs: dict) -> object:
        """Plain values of one case; raises what the answer raises.

        Args:
            answers: the module with the learner's functions.
            inputs: of the case; they stay as they are.
        """
        return plain(self.call(getattr(answers, self.name), **copy.deepcopy(inputs)))

    def difference(self, inputs: dict, expected: object, found: object) -> str | None:
        """What is wrong in one case, in a sentence; None if nothing is."""
        try:
            differs = self.agrees(inputs, expected, found)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError):
            differs = ["the answer"]  # its form is another one altogether
        if not differs:
            return None
        name, which = differs[0], ""
        if isinstance(expected, dict) and isinstance(found, dict) and name in found:
            expected, found = expected[name], found[name]
            which = f" for {name}" if len(differs) > 1 else ""
        return f"{', '.join(differs)}: found {brief(found)}{which}, expected {brief(expected)}"


def numbered(*exercises: Exercise) -> dict[str, Exercise]:
    """A week's exercises by name, numbered in their order."""
    return {
        exercise.name: replace(exercise, number=number)
        for number, exercise in enumerate(exercises, start=1)
    }
