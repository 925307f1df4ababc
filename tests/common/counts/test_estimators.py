"""Numbers of animals: textbook examples, exact distributions, mistakes taken out."""

import itertools
import math

from common.counts.estimators import (
    NONE,
    Rate,
    Survey,
    chapman,
    doubts,
    estimate,
    in_halves,
    schnabel,
    seen_moments,
    survey_of,
    true_captured,
    true_new,
)
from common.counts.simulation import World, coverage, survey_from, survey_table

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seen_animals import histories_with

# Sunfish of Gordy Lake, Gerking 1953, as in Krebs, Ecological Methodology, 1989, table 2.2:
# caught, and caught with a mark, on 14 days. Two died on the eleventh and one on later days, which
# a closed population has not: the marked are given as the table has them.
CAUGHT = [10, 27, 17, 7, 1, 5, 6, 15, 9, 18, 16, 5, 7, 19]
MARKED = [0, 10, 37, 54, 61, 62, 67, 71, 85, 89, 102, 112, 115, 119]


def single(captured, new):
    """A survey in which each animal has one encounter on an occasion."""
    captured = np.array(captured)
    return Survey(captured, captured, captured, np.array(new))


def test_schnabel_of_the_sunfish():
    new = np.diff([*MARKED, MARKED[-1] + 16])  # 24 were caught again

    recaptured = sum(CAUGHT) - sum(new)
    by_the_book = 10_740 / 24  # Krebs: 447.5, without the 1 in the denominator

    assert schnabel(CAUGHT, new) * (recaptured + 1) / 24 == pytest.approx(by_the_book)


def test_chapman_of_two_visits():
    # 200 marked, then 150 of which 37: 201 · 151 / 38 - 1.
    assert chapman(200, 150, 37) == pytest.approx(797.71, abs=0.01)


def test_moments_of_the_number_seen_are_those_of_all_draws():
    sets = [list(itertools.combinations(range(5), k)) for k in (2, 1, 3)]
    seen = [len(set().union(*chosen)) for chosen in itertools.product(*sets)]

    mean, variance = seen_moments(np.array([5.0]), np.array([2, 1, 3]))

    assert mean[0] == pytest.approx(np.mean(seen))
    assert variance[0] == pytest.approx(np.var(seen))


def test_the_interval_holds_the_estimate_and_what_was_seen():
    found = estimate(single([20, 18, 22, 19], [20, 14, 12, 8]))

    assert 54 <= found.low <= found.value <= found.high < 200


def test_without_recaptures_there_is_no_upper_end():
    found = estimate(single([5, 6, 4], [5, 6, 4]))

    assert found.value == found.high == math.inf
    assert found.low > 15
    assert found.text() == f"at least {found.low:.0f}"


def test_more_mistakes_make_the_interval_no_narrower():
    survey = single([20, 18, 22, 19], [20, 14, 12, 8])
    sure, unsure = Rate(0.1, 0.1, 0.1), Rate(0.1, 0.02, 0.18)

    one, other = estimate(survey, sure), estimate(survey, unsure)

    assert one.value == other.value
    assert other.low <= one.low
    assert other.high >= one.high


def test_the_first_animals_are_found_again_where_mistakes_are_as_expected():
    encounters, first = np.array([100.0, 100.0, 100.0]), np.array([100.0, 60.0, 30.0])
    named = first * (1 - 0.05) + (encounters - first) * 0.1

    assert true_new(Survey(encounters, encounters, encounters, named), 0.1, 0.05) == pytest.approx(
        first
    )


def test_encounters_named_wrongly_are_taken_off_an_occasion_of_several():
    random = np.random.default_rng(0)
    world = World(missed=0.125, encounters=2.0, n_animals=400, capture=0.3)
    table = survey_table(world, random)
    true = table.groupby("date")["animal"].nunique().to_numpy()
    survey = survey_from(table)

    found = true_captured(survey, 0.125, 0.0)

    assert abs(found.sum() / true.sum() - 1) < 0.05
    assert survey.captured.sum() / true.sum() > 1.1


def test_halves_have_all_animals_once_for_all():
    histories = histories_with(["a", "b", "c"], ["1100", "0110", "0011"])

    halves = survey_of(in_halves(histories.encounters.to_numpy()))

    assert halves.captured.tolist() == [2, 2]
    assert halves.new.tolist() == [2, 1]
    assert halves.n_recaptures == 1
    assert survey_of(histories.encounters.to_numpy()).n_recaptures == 3


def test_few_recaptures_and_long_surveys_are_doubted(monkeypatch):
    monkeypatch.setattr("common.counts.estimators.LONGEST", 2)
    histories = histories_with(["a", "b"], ["101", "011"])

    said = doubts(histories, estimate(survey_of(histories.encounters.to_numpy())))

    assert "2 recaptures alone" in said[0]
    assert "3 days passed" in said[1]


def test_animals_that_are_not_equally_easy_to_photograph_are_suspected():
    days = ["1" * 10] * 8 + [
        "".join("01"[day == other] for day in range(10)) for other in range(10)
    ]
    histories = histories_with([f"a{number}" for number in range(18)], days)

    [said] = doubts(histories, estimate(survey_of(histories.encounters.to_numpy())))

    assert "63 or more (Chao's lower bound)" in said


def test_rates_that_do_not_fit_the_names_are_doubted():
    histories = histories_with(list("abcdefg"), ["1111111111"] * 7)
    survey = survey_of(histories.encounters.to_numpy())
    missed = Rate(0.2, 0.19, 0.21)

    said = doubts(histories, estimate(survey), [estimate(survey, missed)])

    assert said[0].startswith("These names hold fewer mistakes than their rates say")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1)), min_size=2, max_size=8),
    st.floats(0, 0.3),
    st.floats(0, 0.15),
)
def test_every_survey_has_an_estimate_inside_its_interval(days, missed, false):
    captured = np.array([n for n, _ in days])
    new = np.array([round(n * share) for n, share in days])
    new[0] = captured[0]

    found = estimate(single(captured, new), Rate(missed, 0.0, 0.4), Rate(false, 0.0, 0.3))

    assert 1 <= found.low <= found.value <= found.high


def test_mistakes_are_as_frequent_as_a_world_says():
    table = survey_table(World(missed=0.2, n_animals=300), np.random.default_rng(1))
    first = ~table["animal"].duplicated()
    is_new = ~table["identity"].duplicated()

    assert is_new[first].all()
    assert abs(is_new[~first].mean() - 0.2) < 0.06


def test_names_are_right_where_nobody_is_mistaken():
    table = survey_table(World(), np.random.default_rng(1))

    assert table.groupby("animal")["identity"].nunique().max() == 1
    assert table["identity"].nunique() == table["animal"].nunique()
    assert estimate(survey_from(table)) == estimate(survey_from(table), NONE, NONE)


@pytest.mark.slow
def test_the_corrected_interval_holds_the_truth_in_nine_of_ten_surveys():
    worlds = [World(missed=0.125), World(missed=0.125, false=0.125), World(false=0.05)]

    found = coverage(worlds, 200)

    assert (found["covered corrected"] >= 0.9).all()
    assert found["covered as named"].iloc[0] < 0.75
