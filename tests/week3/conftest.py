"""A small gallery, built once for each file of tests, and a copy for each test."""

import shutil

import pytest
from small_galleries import build, save_photos


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Three photos each of anna and berta."""
    folder = tmp_path_factory.mktemp("animals")
    for seed, name in enumerate(["anna", "berta"]):
        save_photos(folder / "data" / name, 3, seed)
    build(folder / "gallery", "--data_dir", folder / "data")
    return folder


@pytest.fixture
def gallery(built, tmp_path):
    """A copy that a test may change; photos that it does not hold lie in new/ beside it."""
    save_photos(tmp_path / "new", 3, seed=7)
    return shutil.copytree(built / "gallery", tmp_path / "gallery")
