"""What a score means, as a probability."""

import json

from common.measures.calibration import Calibration, calibrate, calibration_error, reliability

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

ANSWERS = st.lists(
    st.tuples(st.floats(-1, 1, allow_subnormal=False), st.booleans()), min_size=2, max_size=60
)


@given(ANSWERS, st.lists(st.integers(-150, 150), min_size=2, max_size=20, unique=True))
def test_a_higher_score_is_always_more_probable(answers, hundredths):
    calibration = calibrate(*map(np.array, zip(*answers, strict=True)))
    probabilities = calibration(np.sort(hundredths) / 100)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert (np.diff(probabilities) >= 0).all()


def test_level_rates_still_order_scores():
    calibration = calibrate(np.array([0.1, 0.2, 0.3]), np.array([False, False, False]))
    assert (np.diff(calibration(np.linspace(0.1, 0.3, 9))) > 0).all()


def test_probabilities_are_the_shares_that_come_true():
    generator = np.random.default_rng(0)
    scores = generator.normal(size=20_000)
    chance = 1 / (1 + np.exp(-2 * scores))
    calibration = calibrate(scores, generator.random(20_000) < chance)
    assert np.abs(calibration(scores) - chance).mean() < 0.02


def test_few_photos_that_were_all_right_are_no_certainty():
    assert calibrate(np.array([0.5, 0.6]), np.array([True, True]))(np.array([0.6])) < 0.8


def test_a_calibration_survives_a_json_file():
    calibration = calibrate(np.array([0.1, 0.5, 0.9]), np.array([False, True, True]))
    assert Calibration(**json.loads(json.dumps(calibration.to_dict()))) == calibration


@pytest.mark.parametrize("scores", [[], [np.nan]])
def test_scores_that_are_none_are_refused(scores):
    with pytest.raises(ValueError, match="expected at least one"):
        calibrate(np.array(scores), np.ones(len(scores), dtype=bool))


def naive_error(probability, is_right, n_bins):
    """Guo et al.'s sum, bin by bin, with a loop over photos."""
    total = 0.0
    for k in range(n_bins):
        low, high = k / n_bins, (k + 1) / n_bins
        own = [(p, right) for p, right in zip(probability, is_right, strict=True)
               if low <= p < high or (p == 1 and k == n_bins - 1)]  # fmt: skip
        if own:
            said = sum(p for p, _ in own) / len(own)
            came_true = sum(right for _, right in own) / len(own)
            total += len(own) / len(probability) * abs(said - came_true)
    return total


@pytest.mark.parametrize("n_bins", [1, 4, 8])
def test_the_calibration_error_is_that_of_a_loop(n_bins):
    generator = np.random.default_rng(0)
    probability = np.append(generator.random(200), [0.0, 0.25, 0.5, 1.0])
    is_right = generator.random(204) < 0.5

    expected = naive_error(probability, is_right, n_bins)
    assert calibration_error(probability, is_right, n_bins) == pytest.approx(expected)


def test_certainty_that_is_always_wrong_has_the_largest_error():
    assert calibration_error(np.ones(5), np.zeros(5, dtype=bool)) == 1


def test_the_bins_hold_every_photo_once():
    bins = reliability(np.array([0.05, 0.06, 0.95, 1.0]), np.array([False, True, True, True]))

    assert bins["photos"].tolist() == [2, 2]
    assert bins["right"].tolist() == [0.5, 1.0]
