"""What persons have said of pairs, what follows from it, and what cannot be true together."""

from common.groups.constraints import Answer, Constraints

import numpy as np
import pytest

N_PHOTOS = 12


def random_answers(seed, n=25):
    generator = np.random.default_rng(seed)
    pairs = [sorted(generator.choice(N_PHOTOS, 2, replace=False).tolist()) for _ in range(n)]
    return [Answer(*pair, bool(generator.random() < 0.4)) for pair in pairs]


def test_what_follows_is_known():
    constraints = Constraints.of(4, [Answer(0, 1, True), Answer(1, 2, True), Answer(2, 3, False)])

    known = constraints.are_known(np.array([0, 0, 1]), np.array([2, 3, 3]))
    assert known.all()
    assert constraints.component[0] == constraints.component[2] != constraints.component[3]


def test_what_does_not_follow_is_not_known():
    constraints = Constraints.of(4, [Answer(0, 1, False), Answer(1, 2, False)])

    assert not constraints.are_known(np.array([0, 0]), np.array([2, 3])).any()


@pytest.mark.parametrize("seed", range(20))
def test_kept_answers_never_contradict_each_other(seed):
    constraints = Constraints.of(N_PHOTOS, random_answers(seed))

    for answer in constraints.kept:
        together = constraints.component[answer.first] == constraints.component[answer.second]
        assert together == answer.is_same


@pytest.mark.parametrize("seed", range(20))
def test_an_answer_is_kept_left_out_or_asked_again(seed):
    answers = random_answers(seed)
    constraints = Constraints.of(N_PHOTOS, answers)

    n = len(constraints.kept) + len(constraints.contradictions) + len(constraints.doubtful)
    assert n == len({(each.first, each.second) for each in answers})


def test_a_contradiction_is_named_in_one_line():
    answers = [Answer(0, 1, True), Answer(1, 2, True), Answer(0, 2, False)]

    (found,) = Constraints.of(3, answers).contradictions

    line = found.text(["a.jpg", "b.jpg", "c.jpg"])
    assert line.startswith("a.jpg = b.jpg = c.jpg, but a.jpg ≠ c.jpg: one of these is wrong")
    assert "\n" not in line


def test_same_is_left_out_too_and_its_whole_chain_named():
    answers = [Answer(0, 1, True), Answer(2, 3, True), Answer(0, 3, False), Answer(1, 2, True)]

    (found,) = Constraints.of(4, answers).contradictions

    assert found.left_out == Answer(1, 2, True)
    assert found.text("abcd").startswith("a = b = c = d, but a ≠ d")


def test_of_answers_that_contradict_the_least_probable_is_left_out():
    answers = [Answer(0, 2, False), Answer(0, 1, True), Answer(1, 2, True)]
    probability = np.array([[1, 0.9, 0.8], [0.9, 1, 0.9], [0.8, 0.9, 1]])

    (found,) = Constraints.of(3, answers, probability).contradictions

    assert found.left_out == Answer(0, 2, False)


def test_a_surprising_answer_counts_at_the_second_time():
    probability = np.array([[1, 0.01], [0.01, 1]])

    once = Constraints.of(2, [Answer(0, 1, True)], probability)
    twice = Constraints.of(2, [Answer(0, 1, True), Answer(1, 0, True)], probability)

    assert (once.doubtful, once.kept) == ([Answer(0, 1, True)], [])
    assert twice.kept == [Answer(0, 1, True)]


def test_answers_that_disagree_say_nothing():
    constraints = Constraints.of(2, [Answer(0, 1, True), Answer(0, 1, False)])

    assert constraints.kept == []
    assert len(constraints.doubtful) == 1


def test_two_boxes_of_a_photo_stay_apart_whatever_is_said():
    constraints = Constraints.of(3, [Answer(0, 2, True), Answer(1, 2, True)], apart=[(0, 1)])

    assert len(constraints.contradictions) == 1
    assert constraints.component[0] != constraints.component[1]


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (Answer(0, 2, True), "a = c, but a ≠ c: one of these is wrong; a = c is left out"),
        (Answer(0, 1, False), "a = b, but a ≠ b: one of these is wrong; a ≠ b is left out"),
        (Answer(1, 3, True), "a = b = d = c, but a ≠ c: one of these is wrong; b = d is left out"),
    ],
)
def test_names_come_before_answers(answer, line):
    likely = np.array([[answer.is_same] * 5] * 5, dtype=float)  # whatever the photos say
    known = [Answer(2, 3, True)] if answer.second == 3 else []

    constraints = Constraints.of(5, [*known, answer], likely, names=["X", "X", "Y", "", ""])

    (found,) = constraints.contradictions
    assert found.text("abcde") == line
    assert constraints.doubtful == []
    assert constraints.component[0] == constraints.component[1] != constraints.component[2]


def test_an_answer_that_names_decide_is_not_asked_once_more():
    impossible = np.zeros((2, 2))

    agreeing = Constraints.of(2, [Answer(0, 1, True)], impossible, names=["X", "X"])
    denying = Constraints.of(2, [Answer(0, 1, True)], impossible, names=["X", "Y"])

    assert (len(agreeing.kept), agreeing.doubtful) == (1, [])
    assert (len(denying.contradictions), denying.doubtful) == (1, [])


def test_what_names_say_is_known():
    constraints = Constraints(4, names=["X", "X", "Y", ""])

    known = constraints.are_known(np.array([0, 0, 1, 0]), np.array([1, 2, 2, 3]))

    assert known.tolist() == [True, True, True, False]
