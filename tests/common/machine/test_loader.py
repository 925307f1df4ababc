"""Batches are the data set's items, however they are prepared."""

import sys

from common.data.images import PhotoDataset, Preprocessing, training_transform
from common.machine import loader
from common.machine.loader import make_loader, workers_that_pay

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

PREPROCESSING = Preprocessing(32, (0.4, 0.5, 0.6), (0.2, 0.25, 0.5))


def new_photos(n_photos=7, seed=3):
    pixels = np.random.default_rng(0).integers(0, 255, (n_photos, 37, 37, 3), dtype=np.uint8)
    transform = training_transform(PREPROCESSING, flip=False)
    return PhotoDataset(pixels, np.arange(n_photos), transform, seed)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_views_of_a_batch_are_those_of_single_photos():
    photos, singly = new_photos(), new_photos()

    for epoch in (0, 1):
        photos.set_epoch(epoch), singly.set_epoch(epoch)
        images, labels = next(iter(make_loader(photos, "cpu", batch_size=7)))

        assert labels.tolist() == list(range(7))
        assert torch.equal(images, torch.stack([singly[index][0] for index in range(7)]))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes start Python anew")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12 on forking with threads
def test_worker_processes_prepare_the_same_views():
    photos, singly = new_photos(), new_photos()

    for epoch in (0, 1):
        photos.set_epoch(epoch), singly.set_epoch(epoch)
        batches = make_loader(photos, "cpu", workers=1, batch_size=4)

        for found, expected in zip(batches, make_loader(singly, "cpu", batch_size=4), strict=True):
            assert torch.equal(found[0], expected[0])


def test_images_lie_in_memory_channels_last():
    images, _ = next(iter(make_loader(new_photos(), "cpu", batch_size=3)))

    assert images.shape == (3, 3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_inputs_that_are_no_images_are_batched_too():
    rows = TensorDataset(torch.arange(10.0).reshape(5, 2), torch.arange(5))

    inputs, labels = next(iter(make_loader(rows, "cpu", batch_size=5)))

    assert torch.equal(inputs, rows.tensors[0])
    assert torch.equal(labels, rows.tensors[1])


class Photos(list):
    """Photos that take some seconds each, by a clock of their own."""

    def __init__(self, n_photos: int, seconds: float, monkeypatch):
        super().__init__(range(n_photos))
        self.seconds, self.now = seconds, 0.0
        monkeypatch.setattr(loader.time, "perf_counter", lambda: self.now)

    def __getitem__(self, index: int) -> int:
        self.now += self.seconds
        return index


@pytest.mark.parametrize(
    ("device", "platform", "n_photos", "seconds"),
    [
        ("cpu", "linux", 10**6, 0.01),
        ("cuda", "win32", 10**6, 0.01),
        ("cuda", "linux", 100, 0.01),
        ("cuda", "linux", 10_000, 1e-4),
        ("cuda", "linux", 0, 0.01),
    ],
    ids=["the network needs the cores", "Windows", "few photos", "quick photos", "none"],
)
def test_no_processes_where_they_do_not_pay(device, platform, n_photos, seconds, monkeypatch):
    monkeypatch.setattr(loader.sys, "platform", platform)

    photos = Photos(n_photos, seconds, monkeypatch)

    assert workers_that_pay(torch.device(device), photos) == 0


@pytest.mark.parametrize(("n_photos", "seconds"), [(10**6, 1e-3), (1_000, 0.03)])
def test_photos_that_take_long_have_processes_but_for_one_core(n_photos, seconds, monkeypatch):
    monkeypatch.setattr(loader.sys, "platform", "linux")
    monkeypatch.setattr(loader.os, "sched_getaffinity", lambda _: set(range(6)), raising=False)

    assert workers_that_pay(torch.device("cuda"), Photos(n_photos, seconds, monkeypatch)) == 5
