"""Cached activations are what the network gives, and never stale."""

import numpy as np
import pytest
import torch

from common.data.images import PhotoDataset, evaluation_transform, training_transform
from common.models.backbones import load_backbone
from common.models.freezing import freeze_stages
from common.training import feature_cache
from common.training.feature_cache import PhotosAtBoundary, activation_key, cached_activations

PIXELS = np.random.default_rng(0).integers(0, 255, (6, 37, 37, 3), dtype=np.uint8)
LABELS = np.array([0, 0, 1, 1, 2, 2])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "CACHE_FOLDER", tmp_path / "cache")
    return tmp_path / "cache"


def small_backbone(n_trainable=2, seed=0):
    torch.manual_seed(seed)
    backbone = load_backbone("small_cnn", image_size=32).eval()
    freeze_stages(backbone, n_trainable)
    return backbone


def photos_of(backbone, pixels=PIXELS, n_views=2):
    return PhotosAtBoundary(
        backbone, pixels, LABELS, np.arange(4), flip=False, n_views=n_views, progress=False
    )


def test_outputs_behind_the_boundary_are_the_backbones_own():
    backbone = small_backbone()
    photos = photos_of(backbone)
    plain = PhotoDataset(PIXELS, LABELS, evaluation_transform(backbone.preprocessing))

    features = photos.outputs(photos.tail, np.array([4, 1]))

    with torch.no_grad():
        expected = backbone(torch.stack([plain[4][0], plain[1][0]])).numpy()
    assert features == pytest.approx(expected, abs=2e-3)  # stored in half precision


def test_each_epoch_sees_another_view_until_they_repeat():
    dataset = photos_of(small_backbone()).training_dataset(np.array([0, 3]))

    views = []
    for epoch in range(3):
        dataset.set_epoch(epoch)
        views.append(dataset[1][0])

    assert not torch.equal(views[0], views[1])
    assert torch.equal(views[0], views[2])
    assert dataset[1][1] == LABELS[3]


def test_where_nothing_is_frozen_the_photos_are_handed_on():
    photos = photos_of(small_backbone(n_trainable=None))

    dataset = photos.training_dataset(np.array([0, 3]))

    assert isinstance(dataset, PhotoDataset)
    assert dataset[0][0].shape == (3, 32, 32)


def test_the_second_time_nothing_is_computed(cache, monkeypatch):
    first = photos_of(small_backbone()).outputs(torch.nn.Identity())
    monkeypatch.setattr(feature_cache, "extract", _refuse_unless_identity(feature_cache.extract))

    second = photos_of(small_backbone()).outputs(torch.nn.Identity())

    assert np.array_equal(first, second)


def _refuse_unless_identity(extract):
    def guarded(network, dataset, **options):
        if not isinstance(network, torch.nn.Identity):
            raise AssertionError("computed again")
        return extract(network, dataset, **options)

    return guarded


def key_of(backbone=None, pixels=PIXELS, transform=None, seed=0, n_views=1):
    backbone = backbone or small_backbone()
    photos = photos_of(backbone)
    transform = transform or evaluation_transform(backbone.preprocessing)
    return activation_key(photos.trunk, PhotoDataset(pixels, LABELS, transform, seed), n_views)


def changed_pixels():
    pixels = PIXELS.copy()
    pixels[3, 10, 10, 1] ^= 1  # one bit of one photo
    return pixels


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": lambda: small_backbone(seed=1)},
        {"backbone": lambda: small_backbone(n_trainable=1)},
        {"pixels": changed_pixels},
        {"pixels": lambda: PIXELS[::-1]},
        {"transform": lambda: training_transform(small_backbone().preprocessing, flip=False)},
        {"seed": lambda: 1},
        {"n_views": lambda: 2},
    ],
    ids=["weights", "boundary", "one bit", "order", "transform", "seed", "views"],
)
def test_whatever_changes_makes_another_key(change):
    changed = {name: value() for name, value in change.items()}

    assert key_of(**changed) != key_of()


def test_another_library_version_makes_another_key(monkeypatch):
    before = key_of()
    monkeypatch.setattr(feature_cache.importlib.metadata, "version", lambda name: "0.0")

    assert key_of() != before


def test_the_same_inputs_make_the_same_key():
    assert key_of() == key_of()


def test_an_interrupted_computation_leaves_no_entry(cache, monkeypatch):
    photos = photos_of(small_backbone())
    dataset = PhotoDataset(PIXELS, LABELS, evaluation_transform(small_backbone().preprocessing))
    monkeypatch.setattr(np, "save", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))

    with pytest.raises(KeyboardInterrupt):
        cached_activations(photos.trunk, dataset, folder=cache, progress=False)

    assert list(cache.glob("*")) == []
