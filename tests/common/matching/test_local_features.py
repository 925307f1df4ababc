"""Details are found again where the same pattern is seen, and nowhere else."""

from common.errors import InputError
from common.matching.local_features import (
    LONGEST_SIDE,
    Sift,
    find_details,
    match_details,
    root_sift,
    small_photo,
)

import numpy as np
import pytest
from patterns import TURN, pattern, seen_again
from PIL import Image


@pytest.fixture(scope="module")
def photos():
    first, other = pattern(0), pattern(1)
    return [find_details(grey) for grey in (first, seen_again(first), other)]


def test_the_same_pattern_seen_again_has_many_details_in_common(photos):
    first, again, other = photos

    n_same, n_other = len(Sift().matches(first, again)), len(Sift().matches(first, other))

    assert n_same > 40
    assert n_other < 8


def test_common_details_lie_where_the_pattern_went(photos):
    rows = Sift().matches(*photos[:2]).T
    here, there = (each.points[own] for each, own in zip(photos[:2], rows, strict=True))

    expected = here @ TURN[:, :2].T + TURN[:, 2]

    assert np.median(np.linalg.norm(there - expected, axis=1)) < 1  # pixel


def test_matches_are_mutual_and_pass_the_ratio_test(photos):
    """Against all distances, written down."""
    first, again = photos[:2]
    described = [root_sift(each.descriptors).astype(float) for each in (first, again)]
    distance = np.linalg.norm(described[0][:, None] - described[1], axis=2)
    expected = []
    for i, line in enumerate(distance):
        best, second = np.argsort(line)[:2]
        if line[best] < 0.85 * line[second] and distance[:, best].argmin() == i:
            expected.append([i, best])

    found = match_details(first, again)

    agree = {tuple(each) for each in found.tolist()} & {tuple(map(int, each)) for each in expected}
    assert len(agree) >= 0.98 * max(len(found), len(expected))  # ties by rounding
    assert len(found) > 40


def test_the_score_is_the_same_every_time(photos):
    first = [len(Sift().matches(photos[0], photos[i])) for i in (1, 2)]

    assert first == [len(Sift().matches(photos[0], photos[i])) for i in (1, 2)]


def test_root_sift_has_unit_length():
    descriptors = np.random.default_rng(0).integers(0, 256, (5, 128)).astype(np.uint8)

    assert np.linalg.norm(root_sift(descriptors), axis=1) == pytest.approx(np.ones(5), abs=1e-6)


def test_a_photo_without_contrast_has_no_details_and_matches_nothing(photos):
    blank = find_details(np.full((60, 80), 100, dtype=np.uint8))

    assert blank.size == (80, 60)
    assert len(blank.points) == 0
    assert len(Sift().matches(blank, photos[0])) == len(Sift().matches(photos[0], blank)) == 0


def test_a_large_photo_is_made_smaller_in_its_own_proportions(tmp_path):
    Image.fromarray(pattern(0, 800)[:600]).save(tmp_path / "large.png")

    assert small_photo(tmp_path / "large.png").size == (LONGEST_SIDE, LONGEST_SIDE * 3 // 4)


def test_photos_are_read_in_their_order(tmp_path):
    paths = []
    for i in range(4):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(pattern(i)).save(paths[-1])

    found = Sift().describe(paths)

    for i, features in enumerate(found):
        assert np.array_equal(features.descriptors, find_details(pattern(i)).descriptors)


def test_a_missing_photo_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.png"):
        Sift().describe([tmp_path / "gone.png"])


def test_a_turtle_is_told_from_others_by_its_details(catalogue):
    """Two photos of one encounter and side against a photo of another animal."""
    table = catalogue.table
    groups = [rows.index[:2] for _, rows in table.groupby(["encounter", "orientation"])
              if len(rows) >= 2][:12]  # fmt: skip
    paths = catalogue.paths()
    pairs = [Sift().describe([paths[row] for row in rows]) for rows in groups]
    animals = [table["identity"][rows[0]] for rows in groups]

    same = [len(Sift().matches(*pair)) for pair in pairs]
    other = [len(Sift().matches(pairs[i][0], pairs[j][0]))
             for i in range(len(pairs)) for j in range(i) if animals[i] != animals[j]]  # fmt: skip

    assert len(other) > 5
    assert np.median(same) > 2 * np.median(other)
