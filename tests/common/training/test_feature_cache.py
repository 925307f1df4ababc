"""Cached activations are what the network gives, and never stale."""

import errno
import os
from dataclasses import replace

from common.data.images import (
    PhotoDataset,
    PhotoSelection,
    Preprocessing,
    evaluation_transform,
    training_transform,
)
from common.errors import InputError
from common.models.backbones import load_backbone
from common.models.extraction import extract
from common.models.freezing import freeze_stages, split_at_boundary
from common.training import feature_cache
from common.training.feature_cache import activation_key, cached_activations

import numpy as np
import pytest
import torch

PIXELS = np.random.default_rng(0).integers(0, 255, (6, 37, 37, 3), dtype=np.uint8)
LABELS = np.array([0, 0, 1, 1, 2, 2])
PLAIN = Preprocessing(32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def frozen_trunk(n_trainable=2, seed=0):
    torch.manual_seed(seed)
    backbone = load_backbone("small_cnn", image_size=32).eval()
    freeze_stages(backbone, n_trainable)
    return split_at_boundary(backbone)[0]


def random_views(**options):
    return training_transform(PLAIN, flip=False, **options)


def dataset_of(pixels=PIXELS, transform=None, seed=0):
    return PhotoDataset(pixels, LABELS, transform or evaluation_transform(PLAIN), seed)


def activations(cache, dataset=None, **options):
    return cached_activations(
        frozen_trunk(), dataset or dataset_of(), folder=cache, progress=False, **options
    )


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def uncomputable(monkeypatch):
    """After this is called nothing may be computed."""

    def refuse(*_, **__):
        raise AssertionError("computed again")

    return lambda: monkeypatch.setattr(feature_cache, "extract", refuse)


def test_stored_views_are_what_the_trunk_gives(cache):
    dataset = dataset_of(transform=random_views())

    stored = activations(cache, dataset, n_views=3)

    assert stored.shape[:2] == (3, len(PIXELS))
    for view in range(3):
        dataset.set_epoch(view)
        now = extract(frozen_trunk(), dataset, progress=False)
        assert stored[view] == pytest.approx(now, abs=5e-3)


def test_pieces_of_any_size_are_stored_alike(cache, tmp_path, monkeypatch):
    dataset = dataset_of(transform=random_views())
    whole = activations(cache, dataset, n_views=2)
    one = whole[0, 0].size * 4  # bytes of a photo's activations in float32

    for n_together in (1, 4):
        monkeypatch.setattr(feature_cache, "PIECE", n_together * one)
        pieces = activations(tmp_path / str(n_together), dataset, n_views=2)
        assert pieces == pytest.approx(whole, abs=5e-3)  # batches of other sizes round otherwise


def test_the_second_time_nothing_is_computed(cache, uncomputable):
    first = activations(cache)
    uncomputable()

    assert np.array_equal(activations(cache), first)


def test_a_damaged_file_is_computed_again(cache):
    first = np.array(activations(cache))
    (file,) = cache.iterdir()
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)

    assert np.array_equal(activations(cache), first)
    assert bytes(content) != file.read_bytes()


def test_a_file_cut_short_is_computed_again(cache):
    first = np.array(activations(cache))
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:-50])

    assert np.array_equal(activations(cache), first)


# Each part of the key alone: a test here fails when that part is left out of `activation_key`.


def one_bit_of_one_photo():
    pixels = PIXELS.copy()
    pixels[3, 10, 10, 1] ^= 1
    return pixels


def other_statistic():
    trunk = frozen_trunk()
    next(module for module in trunk.modules() if hasattr(module, "running_mean")).running_mean += 1
    return trunk


def other_activation():
    trunk = frozen_trunk()
    place, index = next(
        (parent, name)
        for parent in trunk.modules()
        for name, child in parent.named_children()
        if isinstance(child, torch.nn.ReLU)
    )
    setattr(place, index, torch.nn.GELU())
    return trunk


TRUNKS = {
    "weights": lambda: frozen_trunk(seed=1),
    "a batch norm's statistics": other_statistic,
    "a layer without weights": other_activation,
    "boundary": lambda: frozen_trunk(n_trainable=1),
}
PHOTOS = {
    "one bit of one photo": {"pixels": one_bit_of_one_photo()},
    "order of photos": {"pixels": PIXELS[::-1]},
    "one photo mirrored": {"pixels": PhotoSelection(PIXELS, None, np.arange(6) == 3)},
    "other rows": {"pixels": PhotoSelection(PIXELS, np.array([0, 1, 2, 2, 4, 5]))},
    "shape of photos": {"pixels": PIXELS.reshape(6, 37 * 37, 1, 3)},
    "size of the input": {"transform": evaluation_transform(replace(PLAIN, image_size=40))},
    "mean": {"transform": evaluation_transform(replace(PLAIN, mean=(0.4, 0.5, 0.5)))},
    "standard deviation": {"transform": evaluation_transform(replace(PLAIN, std=(0.5, 0.5, 0.4)))},
    "augmentation": {"transform": random_views()},
}


@pytest.mark.parametrize("change", TRUNKS.values(), ids=TRUNKS.keys())
def test_another_trunk_makes_another_key(change):
    before = activation_key(frozen_trunk(), dataset_of(), 1)

    assert activation_key(change(), dataset_of(), 1) != before


@pytest.mark.parametrize("change", PHOTOS.values(), ids=PHOTOS.keys())
def test_other_inputs_make_another_key(change):
    before = activation_key(frozen_trunk(), dataset_of(), 1)

    assert activation_key(frozen_trunk(), dataset_of(**change), 1) != before


@pytest.mark.parametrize(
    "options", [{"smallest_crop": 0.5}, {"erasing": 0.0}], ids=["crop", "erasing"]
)
def test_a_parameter_of_the_augmentation_makes_another_key(options):
    keys = {
        activation_key(frozen_trunk(), dataset_of(transform=random_views(**each)), 1)
        for each in ({}, options)
    }

    assert len(keys) == 2


def test_another_seed_makes_another_key():
    keys = {activation_key(frozen_trunk(), dataset_of(seed=seed), 1) for seed in (0, 1)}

    assert len(keys) == 2


def test_another_number_of_views_makes_another_key():
    keys = {activation_key(frozen_trunk(), dataset_of(), n_views) for n_views in (1, 2)}

    assert len(keys) == 2


def test_another_type_of_numbers_makes_another_key(monkeypatch):
    before = activation_key(frozen_trunk(), dataset_of(), 1)
    monkeypatch.setattr(feature_cache, "STORED_DTYPE", np.dtype(np.float32))

    assert activation_key(frozen_trunk(), dataset_of(), 1) != before


@pytest.mark.parametrize(
    "library", ["torch", "timm", "albumentations", "numpy", "pillow", "opencv-python-headless"]
)
def test_another_version_of_a_library_makes_another_key(library, monkeypatch):
    before = activation_key(frozen_trunk(), dataset_of(), 1)
    installed = feature_cache.importlib.metadata.version

    def other_version(name):
        return "0.0" if name == library else installed(name)

    monkeypatch.setattr(feature_cache.importlib.metadata, "version", other_version)

    assert activation_key(frozen_trunk(), dataset_of(), 1) != before


def test_the_same_inputs_make_the_same_key():
    keys = {activation_key(frozen_trunk(), dataset_of(), 1) for _ in range(2)}

    assert len(keys) == 1


# What a person is told, and what is left behind when something goes wrong.


def test_what_was_stored_is_said_once_with_its_place(cache, capsys):
    for _ in range(2):
        cached_activations(frozen_trunk(), dataset_of(), folder=cache, progress=True)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert str(cache) in lines[0]
    assert "MB" in lines[0]


def test_an_interrupted_computation_leaves_no_entry(cache, monkeypatch):
    def interrupted(*_, **__):
        calls.append(1)
        if len(calls) > 2:  # the first asks for a shape, the second is view 1
            raise KeyboardInterrupt
        return computed(*_, **__)

    calls, computed = [], feature_cache.extract
    monkeypatch.setattr(feature_cache, "extract", interrupted)

    with pytest.raises(KeyboardInterrupt):
        activations(cache, n_views=2)

    assert list(cache.iterdir()) == []


def test_too_small_a_disk_is_told_before_the_work(cache, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda folder: usage)
    pieces = iter(lambda: pytest.fail("computed"), None)
    monkeypatch.setattr(feature_cache, "_pieces", lambda *_, **__: pieces)

    with pytest.raises(InputError, match=r"cannot be stored.*--cached_views 0"):
        activations(cache)


def test_a_disk_that_fills_up_is_told_in_one_line(cache, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(feature_cache, "write_array", full)

    with pytest.raises(InputError, match="No space left") as raised:
        activations(cache)

    assert "\n" not in str(raised.value)


def test_numbers_beyond_16_bits_are_refused_not_stored_wrong(cache):
    trunk = torch.nn.Sequential(torch.nn.Upsample(scale_factor=1), torch.nn.Conv2d(3, 1, 1))
    torch.nn.init.constant_(trunk[1].weight, 1e6)

    with pytest.raises(InputError, match="16 bits"):
        cached_activations(trunk, dataset_of(), folder=cache, progress=False)

    assert list(cache.iterdir()) == []


def test_a_selection_has_the_key_of_its_copy():
    rows = np.array([5, 0, 0, 2, 1, 3])

    keys = {
        activation_key(frozen_trunk(), dataset_of(pixels), 1)
        for pixels in (PhotoSelection(PIXELS, rows), PIXELS[rows])
    }

    assert len(keys) == 1
