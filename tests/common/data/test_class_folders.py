"""Folders of classes: what is read, what is left out, how photos are dealt."""

from common.data.class_folders import read_class_folders, split_given, stratified_split
from common.errors import InputError

import numpy as np
import pytest
from PIL import Image


def photo(path, shade):
    """A picture of noise: one of a single colour would count as empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(shade).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def folders(root, counts, above=""):
    for number, (name, n) in enumerate(counts.items()):
        for index in range(n):
            photo(root / above / name / f"{index}.png", 20 * number + index + 100 * len(above) // 5)


def test_photos_get_the_label_of_their_folder(tmp_path):
    folders(tmp_path, {"Dog": 2, "cat": 3})

    photos = read_class_folders(tmp_path)

    assert photos.names == ["cat", "dog"]
    for path, label in zip(photos.paths, photos.labels, strict=True):
        assert path.parent.name.lower() == photos.names[label]


def test_copies_and_files_that_are_no_pictures_are_left_out_and_told(tmp_path):
    folders(tmp_path, {"cat": 2, "dog": 2})
    (tmp_path / "dog" / "copy.png").write_bytes((tmp_path / "cat" / "0.png").read_bytes())
    (tmp_path / "dog" / "empty.jpg").write_bytes(b"")

    photos = read_class_folders(tmp_path)

    assert len(photos.paths) == 4
    assert "dog/empty.jpg" in photos.notes[0]
    assert "1 exact copy of" in photos.notes[1]


def test_a_class_function_passes_photos_over(tmp_path):
    folders(tmp_path, {"beagle": 1, "poodle": 1, "turtle": 1})

    photos = read_class_folders(
        tmp_path, class_of=lambda path: None if "turtle" in path else path.split("/")[0]
    )

    assert photos.names == ["beagle", "poodle"]


@pytest.mark.parametrize("counts", [{}, {"cat": 3}])
def test_fewer_than_two_classes_are_refused(counts, tmp_path):
    folders(tmp_path, counts)

    with pytest.raises(InputError, match="expected one folder per class"):
        read_class_folders(tmp_path)


def test_parts_are_disjoint_whole_and_in_the_same_shares_for_every_class():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [100, 40, 20]))

    parts = stratified_split(labels, seed=3)

    assert sorted(np.concatenate(list(parts.values()))) == list(range(160))
    for label, n in enumerate([100, 40, 20]):
        sizes = [np.sum(labels[rows] == label) for rows in parts.values()]
        assert sizes == [0.7 * n, 0.15 * n, 0.15 * n]


def test_the_five_breeds_are_dealt_as_in_the_published_recipe():
    """Classes of 195, 151, 152, 150 and 151 photos: 557, 117 and 125."""
    parts = stratified_split(np.repeat(np.arange(5), [195, 151, 152, 150, 151]), seed=0)

    assert [len(rows) for rows in parts.values()] == [557, 117, 125]


def test_a_class_with_one_photo_is_trained_on():
    parts = stratified_split(np.array([0, 1, 1, 1, 1]), seed=0)

    assert 0 in parts["train"]


def test_a_seed_gives_one_split_and_another_seed_another():
    labels = np.repeat([0, 1], 50)

    first, again, other = (stratified_split(labels, seed)["test"] for seed in (0, 0, 1))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_given_test_photos_stay_and_validation_comes_out_of_training(tmp_path):
    folders(tmp_path, {"cat": 12, "dog": 12}, above="train")
    folders(tmp_path, {"cat": 2, "dog": 2}, above="test_set")
    photos = read_class_folders(tmp_path)

    parts = split_given(photos, seed=0)

    assert [len(parts[part]) for part in ("train", "validation", "test")] == [20, 4, 4]
    assert all(photos.given[row] == "test" for row in parts["test"])
    assert all(photos.given[row] == "train" for row in parts["validation"])


def test_some_photos_keep_the_shares_of_the_classes(tmp_path):
    folders(tmp_path, {"cat": 12, "dog": 6})

    few = read_class_folders(tmp_path).some(9, seed=0)

    assert np.bincount(few.labels).tolist() == [6, 3]
    assert len(few.paths) == len(few.given) == 9
