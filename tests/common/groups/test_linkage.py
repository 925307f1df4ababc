"""Average linkage that keeps to what persons have said."""

from common.groups.constraints import Answer, Constraints
from common.groups.linkage import NEVER, cut, merge_tree

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_rand_score

DISTANCES = (0.0, 0.2, 0.5, 0.8, 1.0)


def likely(seed, n=30):
    """Probabilities of pairs, symmetric; and all can be compared."""
    probability = np.random.default_rng(seed).random((n, n))
    probability = (probability + probability.T) / 2
    np.fill_diagonal(probability, 1)
    return probability, np.ones((n, n), dtype=bool)


def random_answers(seed, n=30):
    generator = np.random.default_rng(seed)
    pairs = [generator.choice(n, 2, replace=False).tolist() for _ in range(40)]
    return [Answer(*pair, bool(generator.random() < 0.3)) for pair in pairs]


@pytest.mark.parametrize("seed", range(5))
def test_without_answers_it_is_scipys(seed):
    probability, comparable = likely(seed)

    tree = merge_tree(probability, comparable)

    theirs = linkage(squareform(1 - probability, checks=False), "average")
    np.testing.assert_allclose(tree[:, 2], theirs[:, 2], rtol=1e-5)
    for distance in (0.3, 0.45, 0.5):
        groups = fcluster(theirs, distance, "distance")
        assert adjusted_rand_score(groups, cut(tree, distance)) == 1


@pytest.mark.parametrize("seed", range(10))
def test_what_belongs_together_always_is(seed):
    constraints = Constraints.of(30, random_answers(seed))

    tree = merge_tree(*likely(seed), constraints)

    for distance in DISTANCES:
        groups = cut(tree, distance)
        assert all(groups[e.first] == groups[e.second] for e in constraints.kept if e.is_same)


@pytest.mark.parametrize("seed", range(10))
def test_what_does_not_belong_together_never_is(seed):
    constraints = Constraints.of(30, random_answers(seed), apart=[(0, 1), (4, 9)])

    tree = merge_tree(*likely(seed), constraints)

    for distance in DISTANCES:
        groups = cut(tree, distance)
        assert all(groups[i] != groups[j] for i, j in constraints.apart)


def test_left_and_right_have_no_say_and_are_joined_by_a_person_alone():
    probability = np.full((4, 4), 0.9)
    is_left = np.array([True, True, False, False])
    comparable = is_left[:, None] == is_left
    joined = Constraints.of(4, [Answer(0, 2, True)])

    alone = cut(merge_tree(probability, comparable), 1.0)
    together = cut(merge_tree(probability, comparable, joined), 0.2)

    assert len(set(alone)) == 2
    assert len(set(together)) == 1  # the other left joins by the left, the right by the right


def test_who_cannot_be_compared_with_anybody_stays_alone():
    tree = merge_tree(np.ones((3, 3)), np.eye(3, dtype=bool))

    assert (tree[:, 2] == NEVER).all()
    assert len(set(cut(tree, 1.0))) == 3


def test_distances_of_merges_never_fall():
    tree = merge_tree(*likely(3, n=60), Constraints.of(60, random_answers(3, n=60)))

    assert (np.diff(tree[:, 2]) >= -1e-6).all()
