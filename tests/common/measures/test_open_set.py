"""Open-set metrics and the threshold: hand cases, naive loops, invariances and traps."""

import json

from common.errors import InputError
from common.measures.open_set import (
    Queries,
    choose_threshold,
    evaluate_open_set,
    highest_new,
    lowest_known,
    threshold_by,
)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

# Known: a, b, c. New: x, y. Worked by hand below.
HAND_CASE = {
    "scores": [0.9, 0.8, 0.7, 0.4, 0.6, 0.3, 0.85, 0.2],
    "truth": ["a", "a", "a", "b", "b", "x", "x", "y"],
    "predicted": ["a", "a", "b", "b", "b", "a", "b", "b"],
    "known": ["a", "b", "c"],
}


def random_case(seed, n_queries=80, n_values=None):
    """Known t0–t4, new t5–t7; `n_values` distinct scores give ties."""
    generator = np.random.default_rng(seed)
    identity = np.concatenate([[0, 7], generator.integers(0, 8, n_queries - 2)])
    guess = np.where(generator.random(n_queries) < 0.7, identity, 0)
    scores = generator.standard_normal(n_queries) + (identity < 5)
    if n_values is not None:
        scores = generator.integers(0, n_values, n_queries).astype(float)
    return {
        "scores": scores,
        "truth": [f"t{each}" for each in identity],
        "predicted": [f"t{each}" for each in np.where(guess < 5, guess, 1)],
        "known": [f"t{each}" for each in range(5)],
    }


def naive_rates(case, threshold):
    """BAKS, BAUS and share of unknown queries accepted, photo by photo."""
    known, new, accepted = {}, {}, []
    for score, truth, name in zip(case["scores"], case["truth"], case["predicted"], strict=True):
        answer = name if score >= threshold else "new"
        if truth in case["known"]:
            known.setdefault(truth, []).append(answer == truth)
        else:
            new.setdefault(truth, []).append(answer == "new")
            accepted.append(answer != "new")
    baks = np.mean([np.mean(right) for right in known.values()])
    return baks, np.mean([np.mean(right) for right in new.values()]), np.mean(accepted)


def test_numbers_worked_by_hand():
    report = evaluate_open_set(Queries(**HAND_CASE), threshold=0.5)

    # a: 2 of 3 (one named b). b: 1 of 2 (one rejected). x: 1 of 2 (one accepted). y: 1 of 1.
    assert report.baks == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert report.baus == pytest.approx((1 / 2 + 1) / 2)
    assert report.geometric_mean == pytest.approx((7 / 12 * 3 / 4) ** 0.5)
    assert (report.n_known, report.n_unknown) == (5, 3)
    assert (report.n_known_identities, report.n_unknown_identities) == (2, 2)
    assert (report.n_known_rejected, report.n_unknown_accepted) == (1, 1)
    assert report.is_correct.tolist() == [True, True, False, False, True, True, False, True]


def test_areas_and_rates_worked_by_hand():
    report = evaluate_open_set(Queries(**HAND_CASE), threshold=0.5)

    # Known 0.9 0.8 0.7 0.6 0.4 beat new 0.85 0.3 0.2 in 3 + 2 + 2 + 2 + 2 of 15 pairs.
    assert report.auroc == pytest.approx(11 / 15)
    # No new photo may pass: the threshold lies above 0.85, only 0.9 is accepted.
    assert report.true_accept_rate_at_false_accept_rate == pytest.approx(1 / 5)
    # All known photos must pass: the threshold is 0.4, one of three new ones comes along.
    assert report.fpr_at_95_tpr == pytest.approx(1 / 3)


@pytest.mark.parametrize("seed", range(5))
def test_report_equals_naive_loop(seed):
    case = random_case(seed)

    report = evaluate_open_set(Queries(**case), threshold=0.4)

    baks, baus, accepted = naive_rates(case, 0.4)
    assert report.baks == pytest.approx(baks)
    assert report.baus == pytest.approx(baus)
    assert report.n_unknown_accepted / report.n_unknown == pytest.approx(accepted)


@pytest.mark.parametrize("n_values", [None, 4])
def test_auroc_equals_counting_pairs(n_values):
    case = random_case(1, n_values=n_values)

    report = evaluate_open_set(Queries(**case), threshold=0.0)

    known, new = case["scores"][report.is_known], case["scores"][~report.is_known]
    wins = (known[:, None] > new).sum() + (known[:, None] == new).sum() / 2
    assert report.auroc == pytest.approx(wins / (len(known) * len(new)))


def test_score_equal_to_the_threshold_counts_as_known():
    report = evaluate_open_set(Queries(**HAND_CASE), threshold=0.4)

    assert report.is_accepted[3]
    assert report.baks == pytest.approx((2 / 3 + 1) / 2)


def test_rejecting_a_known_animal_is_an_error_even_if_named_right():
    report = evaluate_open_set(Queries(**HAND_CASE), threshold=1.0)

    assert (report.baks, report.baus, report.geometric_mean) == (0, 1, 0)


def test_known_identity_without_a_query_does_not_enter_the_mean():
    fewer = HAND_CASE | {"known": ["a", "b"]}

    with_c = evaluate_open_set(Queries(**HAND_CASE), threshold=0.5)

    assert with_c.baks == evaluate_open_set(Queries(**fewer), threshold=0.5).baks


@pytest.mark.parametrize(("part", "missing"), [(slice(0, 5), "baus"), (slice(5, 8), "baks")])
def test_one_sided_queries_give_nan_with_a_note(part, missing):
    lists = {name: HAND_CASE[name][part] for name in HAND_CASE if name != "known"}

    report = evaluate_open_set(Queries(**HAND_CASE | lists), threshold=0.5)

    assert np.isnan(getattr(report, missing))
    assert np.isnan(report.auroc)
    assert np.isnan(report.geometric_mean)
    assert len(report.notes) == 1
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))[missing] is None


@pytest.mark.parametrize("n_values", [None, 5])
@pytest.mark.parametrize("seed", range(4))
def test_threshold_is_the_best_of_a_naive_sweep(seed, n_values):
    case = random_case(seed, n_values=n_values)

    chosen = choose_threshold(Queries(**case))

    sweep = [*case["scores"], case["scores"].max() + 1]
    best = max(np.sqrt(np.prod(naive_rates(case, each)[:2])) for each in sweep)
    baks, baus, accepted = naive_rates(case, chosen.value)
    assert chosen.geometric_mean == pytest.approx(best)
    assert (chosen.baks, chosen.baus) == pytest.approx((baks, baus))
    assert chosen.false_match_rate == pytest.approx(accepted)


def naive_bound(scores, individuals, is_wrong):
    """Upper end of the one-sided interval of the mean over animals, animal by animal."""
    shares = [np.mean([is_wrong(score) for score, own in zip(scores, individuals, strict=True)
                       if own == each]) for each in sorted(set(individuals))]  # fmt: skip
    return np.mean(shares) + 1.644854 * np.std(shares) / np.sqrt(len(shares)), np.mean(shares)


def photos_of_animals(seed, n_animals, n_values=None):
    """Scores whose animals differ, with unequal numbers of photos."""
    generator = np.random.default_rng(seed)
    individuals = np.repeat(np.arange(n_animals), generator.integers(1, 12, n_animals))
    scores = generator.normal(size=n_animals)[individuals] + generator.normal(size=len(individuals))
    return (scores if n_values is None else scores.round(0)), individuals


@pytest.mark.parametrize("n_values", [None, 5])
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.3])
def test_known_begins_where_a_naive_loop_over_strangers_says(rate, n_values):
    scores, individuals = photos_of_animals(1, 12, n_values)

    lowest = lowest_known(scores, individuals, rate)

    def bound(threshold):
        return naive_bound(scores, individuals, lambda score: score >= threshold)[0]

    below = scores[scores < lowest]
    assert bound(lowest) <= rate
    assert len(below) == 0 or bound(below.max()) > rate


@pytest.mark.parametrize("n_values", [None, 5])
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
def test_new_ends_where_a_naive_loop_over_known_animals_says(rate, n_values):
    scores, individuals = photos_of_animals(2, 60, n_values)

    highest = highest_new(scores, individuals, rate)

    def bound(threshold):
        upper, mean = naive_bound(scores, individuals, lambda score: score < threshold)
        return upper + (1 - mean) / 61  # one more animal, of which all photos lie below

    above = scores[scores >= highest]
    assert bound(highest) <= rate
    assert len(above) == 0 or bound(np.nextafter(above.min(), np.inf)) > rate


@pytest.mark.parametrize(("n_animals", "may_be_new"), [(18, False), (19, True)])
def test_few_known_animals_show_no_low_rate_so_that_nothing_is_new(n_animals, may_be_new):
    scores = np.repeat(np.linspace(0.5, 0.9, n_animals), 20)
    individuals = np.repeat(np.arange(n_animals), 20)

    assert np.isfinite(highest_new(scores, individuals, 0.05)) == may_be_new


@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_both_rates_hold_for_other_animals(rate):
    passed, failed = [], []
    for seed in range(60):
        chosen, others = photos_of_animals(seed, 40), photos_of_animals(seed + 1_000, 400)
        passed.append(np.mean(others[0] >= lowest_known(*chosen, rate)))
        failed.append(np.mean(others[0] < highest_new(*chosen, rate)))

    for shares in (passed, failed):
        assert np.mean(shares) <= rate
        assert np.mean(np.array(shares) <= rate) > 0.8


def test_threshold_lies_in_the_middle_of_the_gap():
    case = {
        "scores": [0.9, 0.8, 0.4, 0.2],
        "truth": ["a", "a", "x", "x"],
        "predicted": ["a"] * 4,
        "known": ["a"],
    }

    chosen = choose_threshold(Queries(**case))

    assert chosen.value == pytest.approx(0.6)
    assert chosen.geometric_mean == 1.0


def test_middle_one_of_tied_thresholds_is_taken():
    # Known animals named wrong at 0.7, 0.6 and 0.5 change nothing: 0.75 to 0.35 all tie.
    case = {
        "scores": [0.9, 0.8, 0.7, 0.6, 0.5, 0.2],
        "truth": ["a", "a", "b", "b", "b", "x"],
        "predicted": ["a"] * 6,
        "known": ["a", "b"],
    }

    assert choose_threshold(Queries(**case)).value == pytest.approx(
        0.55
    )  # the lower of the middle two


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbouring_floats_are_told_apart(dtype):
    low = dtype(0.5)
    scores = np.array([np.nextafter(low, dtype(1)), low])

    queries = Queries(scores, predicted=["a", "a"], truth=["a", "x"], known=["a"])
    chosen = choose_threshold(queries)

    assert (scores.astype(float) >= chosen.value).tolist() == [True, False]


def test_rejecting_all_holds_in_float32_too():
    scores = np.array([0.3, 1.0], dtype=np.float32)

    assert not (scores >= lowest_known(scores, np.array(["x", "y"]), 0.01)).any()


@pytest.mark.parametrize(
    ("part", "counts"), [(slice(0, 5), "5 .*known and 0"), (slice(5, 8), "0 .*known and 3")]
)
def test_validation_needs_known_and_new_animals(part, counts):
    lists = {name: HAND_CASE[name][part] for name in HAND_CASE if name != "known"}

    with pytest.raises(InputError, match=counts):
        choose_threshold(Queries(**HAND_CASE | lists))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n_values=st.sampled_from([None, 3, 20]))
def test_order_and_names_change_nothing(seed, n_values):
    case = random_case(seed, n_values=n_values)
    order = np.random.default_rng(seed).permutation(len(case["scores"]))
    moved = {"scores": case["scores"][order]}
    for name in ("truth", "predicted"):
        moved[name] = [f"turtle {9 - int(case[name][i][1:])}" for i in order]
    moved["known"] = {f"turtle {9 - i}" for i in range(5)}

    plain, changed = choose_threshold(Queries(**case)), choose_threshold(Queries(**moved))

    assert changed.value == plain.value
    first = evaluate_open_set(Queries(**case), threshold=plain.value)
    second = evaluate_open_set(Queries(**moved), threshold=plain.value)
    np.testing.assert_array_equal(second.is_correct, first.is_correct[order])
    assert (second.baks, second.baus) == pytest.approx((first.baks, first.baus))
    assert second.auroc == pytest.approx(first.auroc)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.25, 2.0, 1024.0]))
def test_threshold_scales_with_the_scores(seed, scale):
    case = random_case(seed)

    plain = choose_threshold(Queries(**case))
    scaled = choose_threshold(Queries(**case | {"scores": case["scores"] * scale}))

    assert scaled.geometric_mean == plain.geometric_mean
    assert scaled.value == pytest.approx(plain.value * scale, rel=1e-6)


def test_dictionaries_are_plain_json():
    chosen = choose_threshold(Queries(**random_case(0)))
    report = evaluate_open_set(Queries(**random_case(1)), threshold=chosen.value)

    for each in (chosen, report):
        assert json.loads(json.dumps(each.to_dict(), allow_nan=False)) == each.to_dict()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": [0.1, 0.2]}, "8 predicted"),
        ({"scores": [np.nan] * 8}, "8 of 8 scores are not finite"),
        ({"known": ["a", "c"]}, r"1 predicted .* \(b\)"),
    ],
)
def test_misuse_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        Queries(**HAND_CASE | changes)


def test_no_query_is_an_input_error():
    with pytest.raises(InputError, match="no query"):
        Queries(scores=[], predicted=[], truth=[], known=["a"])


@pytest.mark.parametrize("seed", range(5))
def test_a_threshold_that_another_function_chose_says_what_it_achieves(seed):
    queries = Queries(**random_case(seed))
    own = choose_threshold(queries)

    def choose(scores, identities, is_known, is_named_right, is_validation):
        assert len({*map(len, (scores, identities, is_known, is_named_right))}) == 1
        assert is_validation.all()
        return own.value

    assert threshold_by(choose, queries).to_dict() == pytest.approx(own.to_dict())
