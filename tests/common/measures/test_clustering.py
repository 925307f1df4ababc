"""Photos grouped without names: right groups, a right score, and a distance that sees no test."""

import itertools

from common.measures import clustering
from common.measures.clustering import (
    choose_distance,
    cluster,
    cluster_test_photos,
    clusters_of,
    rand_index_statistic,
)
from common.measures.intervals import bootstrap_of_statistic

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

RNG = np.random.default_rng(0)


def animals(n_animals=8, n_photos=6, noise=0.6, seed=0):
    """Unit vectors around one direction per animal, and the animals' names."""
    rng = np.random.default_rng(seed)
    identities = np.repeat([f"t{i}" for i in range(n_animals)], n_photos)
    directions = np.repeat(rng.normal(size=(n_animals, 16)), n_photos, axis=0)
    vectors = directions + noise * rng.normal(size=directions.shape)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), identities


def naive_index(identities, labels, weight_of):
    """Hubert and Arabie's index over all pairs; those of two animals weigh both weights."""
    same_both = same_animal = same_group = n_pairs = 0.0
    photos = list(zip(identities, labels, strict=True))
    for (a, group_a), (b, group_b) in itertools.combinations(photos, 2):
        weight = weight_of[a] if a == b else weight_of[a] * weight_of[b]
        n_pairs += weight
        same_animal += weight * (a == b)
        same_group += weight * (group_a == group_b)
        same_both += weight * (a == b) * (group_a == group_b)
    expected = same_animal * same_group / n_pairs
    return (same_both - expected) / ((same_animal + same_group) / 2 - expected)


def test_the_index_of_a_table_that_is_worked_by_hand():
    # Pairs of one animal 2, of one group 1, of both 1, of 6: (1 - 1/3) / (3/2 - 1/3) = 4/7.
    found = clusters_of([0, 0, 1, 2], np.array(["a", "a", "b", "b"]))

    assert found.adjusted_rand_index == pytest.approx(4 / 7)
    assert found.n_clusters == 3


def test_with_every_animal_once_the_statistic_is_the_usual_index():
    _, identities = animals()
    clusterings = [RNG.integers(0, 5, len(identities)) for _ in range(3)]

    index, n_animals = rand_index_statistic(clusterings, identities)

    expected = np.mean([adjusted_rand_score(identities, labels) for labels in clusterings])
    assert n_animals == 8
    assert index(np.ones((1, 8)))[0] == pytest.approx(expected)


def test_an_animal_drawn_twice_is_two_animals_whose_photos_are_never_compared():
    _, identities = animals(5, 4)
    labels = RNG.integers(0, 4, len(identities))
    weights = np.array([2.0, 0.0, 1.0, 3.0, 1.0])

    index, _ = rand_index_statistic([labels], identities)

    weight_of = dict(zip(np.unique(identities), weights, strict=True))
    assert index(weights[None])[0] == pytest.approx(naive_index(identities, labels, weight_of))


def test_the_interval_holds_the_index():
    vectors, identities = animals()
    index, n_animals = rand_index_statistic([cluster(vectors, 0.4)], identities)

    interval = bootstrap_of_statistic(index, [n_animals], n_observations=len(identities))

    assert interval.low <= interval.estimate <= interval.high


@pytest.mark.parametrize("distance", [0.1, 0.3, 0.6, 1.2])
def test_groups_are_those_of_scikit_learn(distance):
    vectors, _ = animals()
    library = AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="average", distance_threshold=distance
    )

    assert adjusted_rand_score(library.fit_predict(vectors), cluster(vectors, distance)) == 1


def test_no_other_distance_groups_validation_photos_better():
    vectors, identities = animals(noise=0.9)

    chosen = choose_distance(vectors, identities)

    best = max(adjusted_rand_score(identities, cluster(vectors, each))
               for each in np.linspace(0.01, 2, 150))  # fmt: skip
    assert adjusted_rand_score(identities, cluster(vectors, chosen)) >= best


def test_well_parted_animals_are_found_and_counted():
    vectors, identities = animals(noise=0.05)
    validation, test = np.arange(24), np.arange(24, 48)

    found = cluster_test_photos(vectors, identities, validation=validation, test=test)

    assert found.adjusted_rand_index == 1
    assert found.n_clusters == 4


def test_the_distance_does_not_see_the_test():
    vectors, identities = animals(noise=0.8)
    validation, test = np.arange(24), np.arange(24, 48)
    disturbed = vectors.copy()
    disturbed[test] = animals(noise=3.0, seed=1)[0][test]

    first, second = (
        cluster_test_photos(each, identities, validation=validation, test=test)
        for each in (vectors, disturbed)
    )

    assert first.distance == second.distance
    assert first.adjusted_rand_index != second.adjusted_rand_index


@pytest.mark.parametrize("n_validation", [0, 1, 30])
def test_too_few_photos_or_too_many_are_not_grouped(n_validation, monkeypatch):
    monkeypatch.setattr(clustering, "MOST_PHOTOS", 24)
    vectors, identities = animals()

    found = cluster_test_photos(
        vectors, identities, validation=np.arange(n_validation), test=np.arange(40, 48)
    )

    assert found is None
