"""What a class is in training is chosen on validation photos, and only where there is a choice."""

import math

from common.experiments.class_choice import choose_classes, trial_epochs

import pytest


def test_the_kind_that_validation_photos_find_again_most_often_is_chosen(catalogue):
    values = {"identity": 0.2, "side": 0.5, "mirrored": 0.4}

    chosen, [sentence] = choose_classes("auto", catalogue, values.get)

    assert chosen == "side"
    assert "identity 0.200, side 0.500, mirrored 0.400" in sentence


def test_of_equal_kinds_the_one_with_fewer_classes_is_chosen(catalogue):
    assert choose_classes("auto", catalogue, lambda kind: 0.5)[0] == "identity"


def test_what_is_named_is_taken_untried(catalogue):
    assert choose_classes("side", catalogue, None) == ("side", [])


def test_where_no_validation_photo_can_be_asked_most_is_learned_from(catalogue):
    assert choose_classes("auto", catalogue, lambda kind: math.nan) == ("mirrored", [])


@pytest.mark.parametrize(("epochs", "of_a_trial"), [(12, 4), (8, 3), (2, 1), (1, 1)])
def test_a_trial_has_a_third_of_the_epochs(epochs, of_a_trial):
    assert trial_epochs(epochs) == of_a_trial
