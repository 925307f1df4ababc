"""Intervals: hand cases, a naive loop, coverage on simulated animals, and traps."""

import json

from common.errors import InputError
from common.measures import intervals
from common.measures.intervals import (
    Interval,
    bootstrap_of_statistic,
    bootstrap_over_individuals,
    jackknife_over_individuals,
    paired_bootstrap_over_individuals,
)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student_t

VALUES = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.25])
ANIMALS = np.array(["b", "a", "b", "a", "c", "b"])


def naive_bootstrap(values, individuals, statistic, n_resamples):
    """Draw animals, pool or average their photos, one resample at a time."""
    names = sorted(set(individuals))
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(len(names), [1 / len(names)] * len(names), size=n_resamples)
    results = []
    for times in drawn:
        groups = []
        for name, count in zip(names, times, strict=True):
            groups += [
                [v for v, who in zip(values, individuals, strict=True) if who == name]
            ] * count
        if statistic == "mean_over_individuals":
            results.append(np.mean([np.mean(group) for group in groups]))
        else:
            results.append(np.mean([value for group in groups for value in group]))
    return np.percentile(results, [2.5, 97.5])


@pytest.mark.parametrize("statistic", ["mean_over_observations", "mean_over_individuals"])
def test_interval_equals_naive_loop_over_resamples(statistic, monkeypatch):
    monkeypatch.setattr(intervals, "N_RESAMPLES", 300)
    values, animals = np.random.default_rng(1).random(40), np.arange(40) ** 2 % 11
    expected = naive_bootstrap(values, animals, statistic, 300)

    found = bootstrap_over_individuals(values, animals, statistic=statistic)

    np.testing.assert_allclose([found.low, found.high], expected, rtol=1e-12)


def test_estimates_worked_by_hand():
    # a: 0, 1; b: 1, 1, 0.25; c: 0. Photos: 3.25 / 6. Animals: (0.5 + 0.75 + 0) / 3.
    over_photos = bootstrap_over_individuals(VALUES, ANIMALS)
    over_animals = bootstrap_over_individuals(VALUES, ANIMALS, statistic="mean_over_individuals")

    assert over_photos.estimate == pytest.approx(3.25 / 6)
    assert over_animals.estimate == pytest.approx(1.25 / 3)
    assert (over_photos.n_individuals, over_photos.n_observations) == (3, 6)


def test_two_animals_give_the_four_possible_resamples():
    # aa, ab, ba, bb have means 0, 1/2, 1/2, 1: each tail of 2.5 % is inside aa or bb.
    found = bootstrap_over_individuals([0, 0, 0, 1, 1, 1], list("aaabbb"))

    assert (found.low, found.estimate, found.high) == (0, 0.5, 1)


def test_equal_values_give_an_interval_of_no_width():
    found = bootstrap_over_individuals(np.full(6, 0.3), ANIMALS)

    assert found.low == pytest.approx(0.3)
    assert found.high == pytest.approx(0.3)


def test_one_animal_has_an_estimate_but_no_interval():
    found = bootstrap_over_individuals([1, 0, 1, 1], ["a"] * 4)

    assert found.estimate == 0.75
    assert np.isnan(found.low)
    assert np.isnan(found.high)
    assert not found.excludes_zero
    assert found.text() == "75.0 % [no interval: one individual]"
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["low"] is None


def test_photos_of_few_animals_give_a_wider_interval_than_photos_of_many():
    values = np.repeat([0.0, 1.0], 50)

    few = bootstrap_over_individuals(values, np.repeat(np.arange(4), 25))
    many = bootstrap_over_individuals(values, np.arange(100))

    assert few.high - few.low > 2 * (many.high - many.low)


def test_interval_covers_the_true_accuracy_about_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(intervals, "N_RESAMPLES", 300)
    generator = np.random.default_rng(11)
    animals = np.repeat(np.arange(40), 6)
    covered = 0
    for _ in range(200):
        skill = generator.beta(2, 2, size=40)  # an animal's own accuracy, mean 0.5
        found = bootstrap_over_individuals(generator.random(240) < skill[animals], animals)
        covered += found.low <= 0.5 <= found.high

    assert 0.9 <= covered / 200 <= 0.99


def test_resampling_photos_instead_would_claim_too_much():
    generator = np.random.default_rng(11)
    animals = np.repeat(np.arange(20), 20)
    skill = generator.beta(0.5, 0.5, size=20)
    values = generator.random(400) < skill[animals]

    honest = bootstrap_over_individuals(values, animals)
    naive = bootstrap_over_individuals(values, np.arange(400))

    assert honest.high - honest.low > 1.5 * (naive.high - naive.low)


def test_paired_difference_uses_the_same_resamples_for_both():
    generator = np.random.default_rng(2)
    hard = generator.random(200)

    found = paired_bootstrap_over_individuals(hard + 0.05, hard, np.arange(200) % 30)

    assert found.estimate == pytest.approx(0.05)
    assert found.high - found.low < 1e-12
    assert found.excludes_zero
    assert found.is_difference


def test_paired_estimate_is_the_difference_of_the_estimates():
    other = np.array([0.0, 0.0, 1.0, 0.5, 0.5, 0.0])

    found = paired_bootstrap_over_individuals(VALUES, other, ANIMALS)

    a, b = (bootstrap_over_individuals(values, ANIMALS) for values in (VALUES, other))
    assert found.estimate == pytest.approx(a.estimate - b.estimate)


def test_equal_methods_do_not_exclude_zero():
    assert not paired_bootstrap_over_individuals(VALUES, VALUES, ANIMALS).excludes_zero


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.01, 0.2, True), (-0.2, -0.01, True), (-0.1, 0.1, False), (0.0, 0.2, False)],
)
def test_zero_is_excluded_only_when_outside(low, high, expected):
    assert Interval(0.1, low, high, 0.95, 5, 9).excludes_zero is expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.01, 0.2, "one"), (-0.2, -0.01, "other"), (0.0, 0.2, "not distinguishable"),
     (float("nan"), float("nan"), "not distinguishable")],
)  # fmt: skip
def test_who_is_better_is_said_only_where_zero_is_outside(low, high, expected):
    assert Interval(0.1, low, high, 0.95, 5, 9).better_of("one", "other") == expected


def test_texts_for_people():
    assert Interval(0.5634, 0.51, 0.612, 0.95, 60, 300).text() == "56.3 % [51.0, 61.2]"
    assert (
        Interval(0.5634, 0.51, 0.612, 0.95, 60, 300).text(percent=False) == "0.563 [0.510, 0.612]"
    )
    difference = Interval(0.032, -0.0001, 0.051, 0.95, 60, 300, is_difference=True)
    assert difference.text() == "+3.2 points [+0.0, +5.1]"


def test_memory_blocks_do_not_change_the_interval(monkeypatch):
    whole = bootstrap_over_individuals(VALUES, ANIMALS)
    monkeypatch.setattr(intervals, "N_WEIGHTS_AT_ONCE", 21)

    assert bootstrap_over_individuals(VALUES, ANIMALS) == whole


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.floats(-1, 1), min_size=4, max_size=20),
    scale=st.floats(0.1, 10),
    shuffle_seed=st.integers(0, 99),
)
def test_order_of_photos_and_scale_of_values_carry_through(values, scale, shuffle_seed):
    values, animals = np.array(values), np.arange(len(values)) % 3
    order = np.random.default_rng(shuffle_seed).permutation(len(values))

    plain = bootstrap_over_individuals(values, animals)
    scaled = bootstrap_over_individuals(values[order] * scale, animals[order])

    np.testing.assert_allclose(scaled.low, plain.low * scale, atol=1e-9)
    np.testing.assert_allclose(scaled.high, plain.high * scale, atol=1e-9)
    assert plain.low - 1e-9 <= plain.high <= max(values) + 1e-9


@pytest.mark.parametrize(
    ("values", "animals", "message"),
    [([1.0, np.nan], ["a", "b"], "1 of 2 values are nan"), ([1.0, 2.0], ["a"], r"\(2,\).*\(1,\)")],
)
def test_misuse_is_named(values, animals, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_over_individuals(values, animals)


def test_no_photo_is_an_input_error():
    with pytest.raises(InputError, match="no value"):
        bootstrap_over_individuals([], [])


def test_pairs_of_different_length_are_refused():
    with pytest.raises(ValueError, match="expected pairs"):
        paired_bootstrap_over_individuals([1, 0], [1], ["a", "b"])


def test_a_mean_written_with_weights_has_the_interval_of_the_mean(monkeypatch):
    names, animal = np.unique(ANIMALS, return_inverse=True)
    sums, counts = np.bincount(animal, weights=VALUES), np.bincount(animal)
    monkeypatch.setattr(intervals, "N_WEIGHTS_AT_ONCE", 30)  # in pieces of ten draws

    found = bootstrap_of_statistic(
        lambda weights: (weights @ sums) / (weights @ counts), [len(names)], n_observations=6
    )

    expected = bootstrap_over_individuals(VALUES, ANIMALS)
    assert (found.estimate, found.low, found.high) == pytest.approx(
        (expected.estimate, expected.low, expected.high)
    )


def test_groups_are_resampled_each_for_itself():
    def smallest_group(first, second):
        return np.minimum(first.sum(axis=1), second.sum(axis=1))

    interval = bootstrap_of_statistic(smallest_group, [4, 9], n_observations=13)

    assert (interval.low, interval.high) == (4, 4)


def test_a_group_of_one_animal_has_no_interval():
    interval = bootstrap_of_statistic(lambda *w: w[0].sum(axis=1), [1, 9], n_observations=10)

    assert interval.estimate == 1
    assert np.isnan([interval.low, interval.high]).all()


def test_leaving_one_out_gives_the_interval_of_a_mean():
    values = np.random.default_rng(0).normal(size=30)
    names = np.arange(30)

    found = jackknife_over_individuals([lambda rows: values[rows].mean()], [names])

    half = student_t.ppf(0.975, 29) * values.std(ddof=1) / np.sqrt(30)
    assert found.estimate == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))


def test_seeds_of_the_same_animals_are_no_more_animals():
    values = np.random.default_rng(0).normal(size=30)
    names = np.arange(30)

    one = jackknife_over_individuals([lambda rows: values[rows].mean()], [names])
    three = jackknife_over_individuals([lambda rows: values[rows].mean()] * 3, [names] * 3)

    assert (three.low, three.high) == pytest.approx((one.low, one.high))
    assert np.isnan(jackknife_over_individuals([lambda rows: 1.0], [np.zeros(3)]).low)
