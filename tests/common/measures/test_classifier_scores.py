"""A classifier's scores, against loops; and what is never an answer."""

import math

from common.measures.classifier_scores import energy_score, highest_probability, identity_logits

import numpy as np
import pytest

LOGITS = np.random.default_rng(0).normal(size=(6, 5)) * 3


def test_the_energy_is_the_logarithm_of_a_sum():
    naive = [math.log(sum(math.exp(value) for value in row)) for row in LOGITS]

    assert energy_score(LOGITS) == pytest.approx(naive)


def test_large_logits_do_not_overflow():
    assert energy_score(np.array([[1000.0, 1000.0]]))[0] == pytest.approx(1000 + math.log(2))


def test_the_highest_probability_ignores_a_shift_of_all_logits_and_the_energy_does_not():
    assert highest_probability(LOGITS + 7) == pytest.approx(highest_probability(LOGITS))
    assert energy_score(LOGITS + 7) == pytest.approx(energy_score(LOGITS) + 7)


def test_an_animals_probability_is_the_sum_over_its_sides():
    identity_of_class = np.array([0, 0, 1, 2, 2])
    probability = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    naive = [[sum(row[c] for c in range(5) if identity_of_class[c] == animal)
              for animal in range(3)] for row in probability]  # fmt: skip

    joined = identity_logits(LOGITS, identity_of_class, np.ones(3, dtype=bool))

    found = np.exp(joined) / np.exp(joined).sum(axis=1, keepdims=True)
    assert found == pytest.approx(np.array(naive))


def test_a_mirror_image_and_an_animal_without_training_photos_are_never_the_answer():
    logits = np.array([[9.0, 8.0, 1.0, 0.0]])
    identity_of_class = np.array([-1, 0, 1, 2])  # the surest class is a mirror image
    has_output = np.array([False, True, True])

    joined = identity_logits(logits, identity_of_class, has_output)

    assert joined[0].tolist() == [-np.inf, 1.0, 0.0]
