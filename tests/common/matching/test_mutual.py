"""Mutual nearest neighbours: all photos at once give what the usual loop gives, ties included."""

from common.matching.mutual import count_mutual_neighbours, count_on_gpu, mutual_neighbours

import numpy as np
import pytest
import torch

LEAST = 0.5


def descriptors(n, seed, length=8):
    """Short ones: many are alike, and rounded so that some are equal."""
    values = np.random.default_rng(seed).standard_normal((n, length)).round(1)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return (values / np.maximum(lengths, 0.1)).astype(np.float16)


def usual_loop(query, candidate):
    """The pairs, one row after the other, as the field's code finds them."""
    if not len(query) or not len(candidate):
        return []
    similarity = query.astype(np.float32) @ candidate.astype(np.float32).T
    columns, rows = similarity.argmax(axis=1), similarity.argmax(axis=0)
    return [
        [i, int(j)]
        for i, j in enumerate(columns)
        if rows[j] == i and similarity[i, j] > np.float32(LEAST)
    ]


@pytest.fixture(scope="module")
def photos():
    """Of 0 to 200 details, some twice in one photo and in several photos."""
    found = [descriptors(n, seed) for seed, n in enumerate((0, 1, 31, 32, 33, 100, 200, 64, 17))]
    found.append(np.concatenate([found[5], found[5], found[6][:50]]))
    return found


def test_pairs_are_those_of_the_usual_loop(photos):
    for query in photos:
        for candidate in photos:
            similarity = query.astype(np.float32) @ candidate.astype(np.float32).T

            assert mutual_neighbours(similarity, LEAST).tolist() == usual_loop(query, candidate)


@pytest.mark.parametrize("n_times", [1, 30])
def test_counts_are_those_of_the_usual_loop(photos, n_times):
    """One photo after the other, and on several threads."""
    for query in photos:
        expected = [len(usual_loop(query, each)) for each in photos] * n_times

        counts = count_mutual_neighbours(query, photos * n_times, LEAST)

        assert counts.tolist() == expected


def test_a_gpu_counts_the_same(photos):
    """Its code, on a CPU: torch too takes the first of several as high."""
    for query in photos:
        expected = [len(usual_loop(query, each)) for each in photos]

        assert (
            count_on_gpu(torch.tensor(query), [*map(torch.tensor, photos)], LEAST).tolist()
            == expected
        )


def test_none_is_counted_against_nothing():
    assert count_mutual_neighbours(descriptors(5, 0), [], LEAST).shape == (0,)


def test_two_details_alike_to_one_make_one_pair():
    similarity = np.array([[0.9, 0.2], [0.9, 0.3]], dtype=np.float32)

    assert mutual_neighbours(similarity, LEAST).tolist() == [[0, 0]]
