"""When to stop joining, and what mistakes that makes."""

from dataclasses import replace

from common.errors import InputError
from common.groups.choice import (
    LITTLE_AGREEMENT,
    Grouping,
    best_distance,
    by_size,
    distance_by_answers,
    distance_for,
    misidentified,
    patterns,
    thin,
)
from common.groups.constraints import Answer
from common.groups.likeness import Likeness, at_share
from common.groups.linkage import cut, merge_tree

import numpy as np
import pytest
from named_animals import animals
from sklearn.metrics import adjusted_mutual_info_score


def test_animals_that_look_different_are_found():
    named, folder = animals(noise=0.2), animals(n_animals=12, noise=0.2, seed=1)

    grouping, _ = distance_for(named, Likeness.learned(named.pairs, named.identity), folder.pairs)

    assert adjusted_mutual_info_score(folder.identity, grouping.labels) > 0.95
    assert grouping.n_groups == 12


def test_the_distance_is_that_of_the_highest_agreement():
    named = animals(noise=0.6)
    probability = Likeness.learned(named.pairs, named.identity).probability(named.pairs)

    distance, best = best_distance(named, probability)

    tree = merge_tree(probability, named.pairs.comparable)
    agreement = [
        adjusted_mutual_info_score(named.identity, cut(tree, each))
        for each in (distance, *np.linspace(0, 1, 101))
    ]
    assert agreement[0] == pytest.approx(best)
    assert best >= max(agreement) - 1e-9


@pytest.mark.parametrize(("noise", "is_little"), [(0.2, False), (30.0, True)])
def test_photos_with_names_say_whether_their_groups_mean_anything(noise, is_little):
    named = animals(noise=noise)

    likeness = Likeness.learned(named.pairs, named.identity)
    grouping, _ = distance_for(named, likeness, named.pairs)

    assert (grouping.agreement < LITTLE_AGREEMENT) == is_little


def test_photos_are_thinned_to_as_many_of_a_pattern_as_asked():
    pattern = np.repeat([f"p{i}" for i in range(50)], 8)

    kept = thin(pattern, 3, seed=0)

    assert len(set(pattern[kept])) == 50
    assert len(kept) / 50 == pytest.approx(3, abs=0.3)


def test_a_folder_that_is_denser_leaves_all_photos():
    assert len(thin(np.repeat(["a", "b"], 5), 9, seed=0)) == 10


def test_the_left_and_the_right_of_an_animal_are_two_patterns():
    identity, sides = np.array(["a", "a", "b"]), np.array(["left", "right", "left"])

    assert len(set(patterns(identity, sides))) == 3
    assert patterns(identity, np.array(["", "", ""])).tolist() == ["a", "a", "b"]


def test_too_few_pairs_of_one_animal_are_refused():
    named = animals(n_animals=2, n_encounters=1)

    with pytest.raises(InputError, match="name a catalogue with more photos"):
        Likeness.learned(named.pairs, named.identity)


def test_a_group_that_swallows_the_rest_is_told():
    labels = np.array([0] * 15 + list(range(1, 16)))
    whole = Grouping(labels, 0.5, np.zeros((30, 30)), np.zeros((29, 4)))

    assert "holds 15 of 30 photos" in whole.swallowed()
    assert not Grouping(np.arange(30), 0.5, whole.probability, whole.tree).swallowed()


def test_groups_are_numbered_by_size():
    assert by_size(np.array([7, 3, 3, 9, 3, 9])).tolist() == [2, 0, 0, 1, 0, 1]


def test_probabilities_keep_where_the_share_stays_and_fall_among_many():
    generator = np.random.default_rng(0)
    is_same = generator.random(20_000) < 0.2
    scores = generator.normal(size=20_000) + 2 * is_same
    odds = np.exp(2 * scores - 2) * 0.2 / 0.8
    learned = odds / (1 + odds)
    seldom = np.concatenate([np.flatnonzero(is_same)[:400], np.flatnonzero(~is_same)])

    assert at_share(learned, 0.2) == pytest.approx(learned, abs=0.02)
    assert at_share(learned[seldom], 0.2).sum() == pytest.approx(400, rel=0.1)


def grouped_at(distance, heights):
    """Two photos for each height, at which they join, and what never joins."""
    n_pairs, n_photos = len(heights), 2 * len(heights)
    tree = [(2 * n, 2 * n + 1, height, 2) for n, height in enumerate(heights)]
    for n in range(1, n_pairs):
        before = n_photos + (n_pairs + n - 2 if n > 1 else 0)
        tree.append((before, n_photos + n, 2, 2 * n + 2))
    labels, nothing = np.arange(n_photos), np.zeros((n_photos, n_photos))
    return Grouping(labels, distance, nothing, np.array(tree, dtype=float))


def test_without_answers_the_distance_is_that_of_photos_with_names():
    assert distance_by_answers(grouped_at(0.6, [0.5, 0.7]), []) == 0.6


def test_answers_that_pairs_beyond_the_distance_are_one_animal_raise_it():
    answers = [Answer(2 * n, 2 * n + 1, True) for n in range(10)]

    assert distance_by_answers(grouped_at(0.6, np.linspace(0.65, 0.85, 10)), answers) > 0.75


def test_answers_that_pairs_within_the_distance_are_different_do_not_lower_it():
    answers = [Answer(2 * n, 2 * n + 1, False) for n in range(10)]

    assert distance_by_answers(grouped_at(0.6, np.linspace(0.35, 0.55, 10)), answers) == 0.6


def test_one_wrong_answer_hardly_moves_the_distance():
    heights = np.linspace(0.2, 0.9, 15)
    answers = [Answer(2 * n, 2 * n + 1, bool(height < 0.6)) for n, height in enumerate(heights)]
    wrong = [Answer(0, 1, False), *answers[1:]]

    distances = [distance_by_answers(grouped_at(0.6, heights), each) for each in (answers, wrong)]

    assert distances == pytest.approx([0.6, 0.6], abs=0.05)


def in_groups(whole, distance):
    """The same photos joined up to a distance."""
    return replace(whole, labels=by_size(cut(whole.tree, distance)), distance=distance)


def test_without_answers_so_many_names_may_be_wrong_as_folders_differ():
    whole = in_groups(grouped_at(0.6, np.linspace(0.1, 0.9, 30)), 0.6)

    rates = misidentified(whole, whole, [], np.arange(60))

    for rate in rates.values():
        assert rate["low"] < 0.05 < rate["value"] < rate["high"]
        assert rate["high"] > 0.2


def test_answers_narrow_the_share_of_wrong_names():
    heights = np.linspace(0.1, 0.9, 30)
    whole = in_groups(grouped_at(0.6, heights), 0.6)
    answers = [Answer(2 * n, 2 * n + 1, bool(height < 0.6)) for n, height in enumerate(heights)]

    guess, known = (misidentified(whole, whole, each, np.arange(60)) for each in ([], answers))

    for name in ("missed", "false"):
        widths = [rates[name]["high"] - rates[name]["low"] for rates in (guess, known)]
        assert widths[1] < widths[0] / 2


def test_where_nothing_is_near_the_distance_no_name_is_wrong():
    whole = in_groups(grouped_at(0.6, [0.02] * 10), 0.6)

    rates = misidentified(whole, whole, [], np.arange(20))

    assert max(rate["high"] for rate in rates.values()) < 0.05
