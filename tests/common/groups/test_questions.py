"""Which pairs a person should judge, and what the answers change."""

from dataclasses import replace

from common.groups.choice import distance_for
from common.groups.constraints import Answer, Constraints
from common.groups.likeness import Likeness
from common.groups.questions import (
    STRATEGIES,
    Person,
    agreement,
    choose_pairs,
    grouped_again,
    second_grouping,
    simulate,
)

import numpy as np
import pytest
from named_animals import animals
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score


@pytest.fixture(scope="module")
def folder():
    named, folder = animals(), animals(n_animals=20, noise=0.75, seed=1)
    grouping, _ = distance_for(named, Likeness.learned(named.pairs, named.identity), folder.pairs)
    return folder, grouping


def test_agreement_is_sklearns():
    truth, labels = np.array(list("aabbc")), np.array([0, 0, 0, 1, 2])

    assert agreement(truth, labels) == {
        "AMI": adjusted_mutual_info_score(truth, labels),
        "ARI": adjusted_rand_score(truth, labels),
    }


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_pair_is_asked_twice_and_none_that_is_known(folder, strategy):
    named, grouping = folder
    known = Constraints.of(len(named.pairs), [Answer(0, 1, True), Answer(1, 40, False)])
    asked = choose_pairs(strategy, grouping, named.pairs, known, 5)

    again = choose_pairs(strategy, grouping, named.pairs, known, 20, asked=asked)

    assert len(asked) == 5
    assert not {(0, 1), (1, 40), (0, 40)} & {*asked, *again}
    assert not set(asked) & set(again)
    assert len(set(again)) == len(again) <= 20


def test_uncertain_pairs_are_those_nearest_to_a_half(folder):
    named, grouping = folder
    nothing = Constraints(len(named.pairs))

    (first,) = choose_pairs("uncertainty", grouping, named.pairs, nothing, 1)

    above = np.triu_indices(len(named.pairs), k=1)
    assert abs(grouping.probability[first] - 0.5) == pytest.approx(
        np.abs(grouping.probability[above] - 0.5).min()
    )


def test_disagreement_asks_where_two_groupings_differ(folder):
    named, grouping = folder
    other, _ = second_grouping(grouping.probability, named.pairs)

    nothing = Constraints(len(named.pairs))
    pairs = choose_pairs("disagreement", grouping, named.pairs, nothing, 20)

    assert pairs
    assert all(
        (grouping.labels[i] == grouping.labels[j]) != (other[i] == other[j]) for i, j in pairs
    )


def test_photos_of_one_encounter_are_not_joined_by_the_second_grouping(folder):
    named, grouping = folder

    _, nearest = second_grouping(grouping.probability, named.pairs)

    assert (named.pairs.encounter[nearest] != named.pairs.encounter).all()


def test_a_doubtful_answer_is_asked_first(folder):
    named, grouping = folder
    unlikely = tuple(int(i) for i in np.argwhere(grouping.probability < 0.01)[0])
    known = Constraints.of(len(named.pairs), [Answer(*unlikely, True)], grouping.probability)

    pairs = choose_pairs("disagreement", grouping, named.pairs, known, 3, asked=[unlikely])

    assert pairs[0] == tuple(sorted(unlikely))


def test_a_person_who_is_always_right_raises_agreement(folder):
    named, grouping = folder
    person = Person(named.identity, 1.0, seed=0)

    states = simulate("disagreement", named.pairs, grouping, person, 50)

    before, after = (
        agreement(named.identity, own.labels)["AMI"] for _, own in (states[0], states[-1])
    )
    assert after > before


def test_a_person_who_stops_early_gets_what_the_page_so_far_is_worth(folder):
    named, grouping = folder
    known = Constraints(len(named.pairs))
    page = choose_pairs("disagreement", grouping, named.pairs, known, 20)
    right = [Answer(*pair, named.identity[pair[0]] == named.identity[pair[1]]) for pair in page]

    person, options = Person(named.identity, 1.0, seed=0), {"per_page": 20, "every": 5}
    states = simulate("disagreement", named.pairs, grouping, person, 20, **options)

    expected = [grouped_again(named.pairs, grouping, right[:n])[1] for n in (5, 10, 15, 20)]
    for (_, found), wanted in zip(states[1:], expected, strict=True):
        assert (found.labels == wanted.labels).all()
        assert found.distance == wanted.distance


def test_a_person_errs_as_often_as_said():
    person = Person(np.zeros(2), 0.875, seed=0)

    right = [person.judge((0, 1)).is_same for _ in range(4_000)]

    assert np.mean(right) == pytest.approx(0.875, abs=0.02)


def test_two_boxes_of_one_photo_are_no_group(folder):
    named, grouping = folder
    alike = np.argwhere(np.triu(grouping.labels[:, None] == grouping.labels, k=1))[0]

    _, again = grouped_again(named.pairs, grouping, [], [tuple(alike)])

    assert again.labels[alike[0]] != again.labels[alike[1]]


def surprising(named, grouping):
    """An answer that the photos speak strongly against."""
    least = np.where(named.pairs.comparable, grouping.probability, 1)
    one, other = np.unravel_index(least.argmin(), least.shape)
    return Answer(int(one), int(other), True)


def test_an_answer_on_what_is_not_compared_counts_at_once(folder):
    named, grouping = folder
    answer = surprising(named, grouping)
    comparable = named.pairs.comparable.copy()
    comparable[answer.first, answer.second] = comparable[answer.second, answer.first] = False

    waiting, _ = grouped_again(named.pairs, grouping, [answer])
    counted, _ = grouped_again(replace(named.pairs, comparable=comparable), grouping, [answer])

    assert (waiting.doubtful, waiting.kept) == ([answer], [])
    assert (counted.doubtful, counted.kept) == ([], [answer])


def test_an_answer_that_waits_contradicts_no_proposed_names(folder):
    named, grouping = folder
    answer = surprising(named, grouping)
    names = np.full(len(named.pairs), "", dtype=object)
    names[[answer.first, answer.second]] = "animal-001", "animal-002"
    waiting = grouped_again(named.pairs, grouping, [answer])[0].doubtful

    constraints, _ = grouped_again(named.pairs, grouping, [answer], (), names, waiting)

    assert constraints.contradictions == []
    assert constraints.doubtful == [answer]


def test_names_bind_and_teach_no_distance(folder):
    named, grouping = folder
    names = np.where(np.arange(len(named.identity)) % 2, named.identity, "")

    constraints, again = grouped_again(named.pairs, grouping, [], (), names)

    own, labels = names[names != ""], again.labels[names != ""]
    assert ((own[:, None] == own) == (labels[:, None] == labels)).all()
    assert again.distance == grouping.distance
    assert constraints.kept == []
