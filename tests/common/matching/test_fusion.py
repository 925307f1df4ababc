"""Scores are fused by what they mean, learned from validation pairs."""

from dataclasses import replace

from common.matching.fusion import fuse, learn_meanings
from common.matching.shortlists import Asked

import numpy as np
import pytest


def pairs(n=4000, seed=0):
    """Two independent scores of pairs: log-odds with noise, one of them counted in whole steps."""
    generator = np.random.default_rng(seed)
    is_same = generator.random(n) < 0.4
    cosine = np.tanh(generator.normal(size=n) + is_same)
    details = np.floor(10 ** (generator.normal(size=n) * 0.4 + 0.4 * is_same))
    return {"cosine": cosine, "details": details}, is_same


def pair_order(scores, is_same):
    """Chance that a pair of one animal scores above a pair of two; ties count half."""
    right, wrong = scores[is_same][:, None], scores[~is_same]
    return (right > wrong).mean() + (right == wrong).mean() / 2


def learn(seed=0):
    scores, is_same = pairs(seed=seed)
    return learn_meanings({name: [values] for name, values in scores.items()}, [is_same])


def test_two_scores_say_more_than_one():
    scores, is_same = pairs(seed=1)

    together = pair_order(fuse(scores, learn()), is_same)

    assert together > max(pair_order(values, is_same) for values in scores.values()) + 0.02


def test_a_fused_score_is_the_share_that_comes_true():
    scores, is_same = pairs(seed=1)

    meant = fuse({"details": scores["details"]}, learn())

    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 1.0)):
        chosen = (meant >= low) & (meant < high)
        assert is_same[chosen].mean() == pytest.approx(meant[chosen].mean(), abs=0.06)


def test_the_unit_of_a_score_does_not_matter():
    scores, is_same = pairs()
    stretched = {"cosine": scores["cosine"], "details": 7 * scores["details"] + 3}
    meanings = learn_meanings({name: [each] for name, each in stretched.items()}, [is_same])

    assert fuse(stretched, meanings) == pytest.approx(fuse(scores, learn()), abs=1e-3)


def test_alone_a_score_keeps_its_order():
    scores, _ = pairs(seed=1)
    values = np.unique(scores["details"])

    assert (np.diff(fuse({"details": values}, learn())) >= 0).all()


def test_sets_of_queries_are_learned_from_together():
    scores, is_same = pairs()
    halves = {name: [values[:1000], values[1000:].reshape(30, 100)]
              for name, values in scores.items()}  # fmt: skip

    meanings = learn_meanings(halves, [is_same[:1000], is_same[1000:].reshape(30, 100)])

    assert meanings == learn()


def encounters():
    return np.array(["e0", "e1", "e2", "e3", "e4", "e5"])


def asked(n_candidates=3):
    """Two queries at 0 and 90 degrees, four gallery photos at 10, 40, 70 and 80 degrees."""
    angles = np.deg2rad([0, 90, 10, 40, 70, 80])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    identity = np.array(["a", "b", "b", "a", "b", "a"])
    return Asked(
        np.array([0, 1]), np.arange(2, 6), embeddings, identity, encounters(), n_candidates
    )


def test_a_shortlist_holds_the_most_alike_and_whether_they_are_right():
    assert asked().shortlist.tolist() == [[0, 1, 2], [3, 2, 1]]
    assert asked().is_same.tolist() == [[False, True, False], [False, True, False]]


def test_a_shortlist_is_no_longer_than_the_gallery():
    assert asked(n_candidates=50).shortlist.shape == (2, 4)


def test_photos_of_the_querys_own_encounter_are_no_candidates_and_are_ignored():
    cases = asked(n_candidates=4)
    shared = encounters()
    shared[3] = shared[0]  # the only photo at 40 degrees shows the first query's animal
    cases = replace(cases, encounter=shared)

    assert cases.shortlist.tolist() == [[0, 2, 3, 1], [3, 2, 1, 0]]
    assert cases.is_candidate.tolist() == [[True, True, True, False], [True] * 4]
    assert cases.evaluate(cases.cosines).first_rank.tolist() == [3, 2]


def test_the_first_of_a_way_is_not_of_the_querys_own_encounter():
    cases = asked()
    shared = encounters()
    shared[2] = shared[0]  # the most alike photo of the first query

    cases = replace(cases, encounter=shared)

    assert cases.first_rows(cases.cosines).tolist() == [3, 5]


def test_the_best_right_photo_of_a_way_is_none_where_none_counts():
    cases = asked()
    alone = replace(cases, identity=np.array(["c", *cases.identity[1:]]))

    assert cases.first_rows(cases.cosines, right=True).tolist() == [3, 4]
    assert alone.first_rows(alone.cosines, right=True).tolist() == [-1, 4]


def test_one_large_encounter_does_not_shorten_the_shortlists_of_others():
    generator = np.random.default_rng(0)
    embeddings = generator.normal(size=(62, 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    encounter = np.arange(62)
    encounter[2:57] = encounter[0]  # 55 of 60 gallery photos are of the first query's encounter
    large = Asked(np.arange(2), np.arange(2, 62), embeddings, np.full(62, "a"), encounter, 24)

    assert large.is_candidate.sum(axis=1).tolist() == [5, 24]
    assert set(large.shortlist[0, :5]) == set(range(55, 60))
    most_alike = np.argsort(-large.cosines(1, 2)[0], kind="stable")[:24]
    assert np.array_equal(large.shortlist[1], most_alike)


def test_the_other_side_is_no_candidate_and_stays_in_the_ranking():
    sides = np.array(["left", "", "right", "left", "front", "right"])
    cases = replace(asked(n_candidates=4), side=sides)

    assert cases.shortlist[0, :2].tolist() == [1, 2]
    assert cases.is_candidate.tolist() == [[True, True, False, False], [True] * 4]
    assert cases.evaluate(cases.cosines).first_rank.tolist() == [2, 2]


def test_scores_are_looked_up_at_the_candidates():
    cases = asked()

    found = cases.at_shortlist(cases.cosines)

    assert found == pytest.approx(-np.sort(-cases.cosines(0, 2), axis=1)[:, :3])
