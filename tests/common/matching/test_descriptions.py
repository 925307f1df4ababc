"""Details are found once; what is read is what was found, to the last bit."""

from common.errors import InputError
from common.files import read_array, write_array
from common.matching import descriptions
from common.matching.descriptions import describe_photos, from_records, to_records
from common.matching.local_features import Sift

import numpy as np
import pytest
from patterns import pattern
from PIL import Image


class CountingSift(Sift):
    """Notes what it looks at; may be stopped after some photos."""

    def __init__(self):
        super().__init__()
        self.seen, self.patience = [], 1_000

    def describe(self, paths, masks=None):
        if len(self.seen) >= self.patience:
            raise KeyboardInterrupt
        self.seen += [str(path) for path in paths]
        return super().describe(paths, masks)


@pytest.fixture
def matcher(tmp_path, monkeypatch):
    monkeypatch.setattr(descriptions, "CACHE_FOLDER", tmp_path / "cache")
    monkeypatch.setattr(descriptions, "PHOTOS_PER_FILE", 2)
    return CountingSift()


@pytest.fixture
def paths(tmp_path):
    found = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(found):
        Image.fromarray(pattern(i, side=80 + 10 * i)).save(path)
    return found


def described(matcher, paths, masks=None):
    return describe_photos(matcher, paths, masks)


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.size == other.size
        for ours, theirs in ((one.points, other.points), (one.descriptors, other.descriptors)):
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours, theirs)


def test_from_the_cache_they_are_equal_bit_by_bit_and_no_photo_is_looked_at(matcher, paths):
    expected = Sift().describe(paths)

    assert_equal(described(matcher, paths), expected)
    matcher.seen.clear()

    assert_equal(described(matcher, paths), expected)
    assert_equal(described(matcher, paths[::-1]), expected[::-1])
    assert matcher.seen == []


def test_a_run_that_was_stopped_goes_on_where_it_was(matcher, paths):
    matcher.patience = 4
    with pytest.raises(KeyboardInterrupt):
        described(matcher, paths)
    matcher.seen.clear()

    assert_equal(described(matcher, paths), Sift().describe(paths))
    assert matcher.seen == [str(paths[4])]


def test_a_changed_photo_is_looked_at_anew(matcher, paths):
    described(matcher, paths)
    Image.fromarray(pattern(9)).save(paths[1])
    matcher.seen.clear()

    assert_equal(described(matcher, paths), Sift().describe(paths))
    assert matcher.seen == [str(paths[1])]


def test_another_box_or_mask_is_another_photo(matcher, paths):
    box = f"{paths[4]}#xywh=0,0,60,60"

    whole, part = described(matcher, [paths[4], box])
    masked = described(matcher, [paths[4]], [paths[0]])[0]

    assert (whole.size, part.size) == ((120, 120), (60, 60))
    assert len(masked.points) < len(whole.points)
    assert len(matcher.seen) == 3


def test_copies_of_a_photo_are_looked_at_once(matcher, paths):
    first, second = described(matcher, [paths[0], paths[0]])

    assert np.array_equal(first.points, second.points)
    assert matcher.seen == [str(paths[0])]


def test_other_settings_are_other_details(matcher, paths):
    described(matcher, paths)
    matcher.seen.clear()
    matcher.recipe += " other weights"

    described(matcher, paths)

    assert len(matcher.seen) == 5


def test_a_damaged_file_is_made_anew(matcher, paths):
    described(matcher, paths)
    for file in descriptions.CACHE_FOLDER.glob("*.npy"):
        file.write_bytes(file.read_bytes()[:-100])
    matcher.seen.clear()

    assert_equal(described(matcher, paths), Sift().describe(paths))
    assert len(matcher.seen) == 5


def test_a_missing_photo_is_named(matcher, tmp_path):
    with pytest.raises(InputError, match=r"gone\.png"):
        described(matcher, [tmp_path / "gone.png"])


def test_a_cache_that_takes_nothing_is_named(matcher, paths, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")

    with pytest.raises(InputError, match="cannot be stored"):
        described(matcher, paths)


def test_a_gallery_can_keep_them(paths, tmp_path):
    matcher, file = Sift(), tmp_path / "details.npy"
    expected = matcher.describe(paths)
    records = to_records(matcher, expected)

    write_array(file, [records], records.shape, records.dtype)

    assert_equal(from_records(read_array(file)), expected)
    assert_equal(from_records(read_array(file)[2:4]), expected[2:4])
