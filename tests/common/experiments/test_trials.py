"""Trials are pooled by photo and compared in pairs, and a table has its columns without any."""

from common.experiments import trials as tables
from common.experiments.answers import Answers
from common.experiments.trials import Difference, Trial, closed_set_table, compare
from common.measures.classification import evaluate_classification
from common.measures.intervals import Interval
from common.visualization.outcomes import questions_figure

import numpy as np
import pytest

ANIMALS = {"known": np.array(["a", "a", "b", "b"]), "validation": np.array(["a", "a"])}


def trial(name, seed, is_right, seconds=1.0):
    labels = np.array([0, 0, 1, 1])
    named = np.where(is_right, labels, 1 - labels)
    report = evaluate_classification(
        scores=np.eye(2)[named], labels=labels, identities=["a", "b"], top_k=(1,)
    )
    answers = Answers(
        known=report.is_correct,
        animals=ANIMALS,
        validation=np.array(is_right[:2], dtype=bool),
        report=report,
    )
    return Trial(name, seed, answers, seconds)


def test_accuracy_is_the_mean_over_seeds_and_photos():
    trials = [trial("one", 0, [1, 1, 1, 0], 2.0), trial("one", 1, [1, 0, 1, 0], 4.0)]

    (row,) = closed_set_table(trials).to_dict("records")

    assert row["test"] == pytest.approx(5 / 8)
    assert row["validation"] == pytest.approx(3 / 4)
    assert row["training, s"] == pytest.approx(3.0)
    assert row["test_low"] == pytest.approx(0.5)  # only b, twice
    assert row["test_high"] == pytest.approx(0.75)  # only a, twice


def test_two_approaches_are_compared_photo_by_photo():
    trials = [trial("one", 0, [1, 1, 1, 1]), trial("two", 0, [1, 1, 0, 0])]

    interval = compare(trials, "one", "two").interval

    assert (interval.estimate, interval.low, interval.high) == (0.5, 0.0, 1.0)


def test_validation_photos_are_compared_where_something_is_chosen():
    trials = [trial("one", 0, [1, 1, 0, 0]), trial("two", 0, [1, 0, 1, 1])]

    assert compare(trials, "one", "two", "validation photos").interval.estimate == 0.5


def test_what_was_not_asked_of_both_is_not_compared():
    trials = [trial("one", 0, [1, 1, 1, 1]), trial("two", 0, [1, 1, 0, 0])]

    assert compare(trials, "one", "two", "joined later") is None
    assert compare(trials, "one", "three") is None


def test_other_seeds_are_compared_only_where_that_is_wanted():
    trials = [trial("one", 0, [1, 1, 1, 1]), trial("two", 1, [1, 1, 0, 0])]

    assert compare(trials, "one", "two", same_seeds=False).interval.estimate == 0.5
    with pytest.raises(ValueError, match="expected the same"):
        compare(trials, "one", "two")


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((0.1, 0.3), "one is better"),
        ((-0.3, -0.1), "two is better"),
        ((-0.1, 0.1), "not distinguishable"),
    ],
)
def test_the_sentence_says_what_the_interval_allows(ends, words):
    interval = Interval(sum(ends) / 2, *ends, 0.95, 10, 100, is_difference=True)

    sentence = Difference("known animals", "one", "two", interval).sentence()

    assert sentence.startswith(f"one against two: {words} (known animals: ")
    assert sentence.endswith("10 animals, 100 photos).")


@pytest.mark.parametrize(
    "name", ["closed_set_table", "difference_table", "summarise", "summarise_rankings"]
)
def test_without_a_trial_a_table_has_its_columns_all_the_same(name):
    empty = getattr(tables, name)([])

    assert len(empty) == 0
    assert len(empty.columns) > 2


def test_no_question_is_drawn_where_none_was_asked():
    assert questions_figure(None, "answers.png", tables.summarise([])) == {}


def test_an_empty_table_has_the_columns_of_a_full_one():
    full = closed_set_table([trial("one", 0, [1, 1, 1, 0])])

    assert list(closed_set_table([])) == list(full)
