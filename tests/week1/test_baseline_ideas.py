"""What baseline_cnn.py shows is what it does: its layers and its loop."""

from common.data.images import PhotoDataset, Preprocessing, evaluation_transform
from common.models.backbones import SmallCNN

import numpy as np
import pytest
import torch
from script_runs import load_script
from torch import nn

baseline = load_script("week1/baseline_cnn")
HALF = (0.5, 0.5, 0.5)


def coloured_photos(n_of_each=8):
    """Red, green and blue noise: what a network learns in a few epochs."""
    labels = np.repeat(np.arange(3), n_of_each)
    photos = np.random.default_rng(0).integers(0, 80, (len(labels), 36, 36, 3), dtype=np.uint8)
    photos[np.arange(len(labels)), :, :, labels] += 150
    return PhotoDataset(photos, labels, evaluation_transform(Preprocessing(32, HALF, HALF)))


def flags(**changes):
    args = baseline.parse_args(["--epochs", "3", "--batch_size", "6", "--device", "cpu"])
    return baseline.argparse.Namespace(**vars(args) | changes)


def test_the_layers_are_those_that_later_weeks_call_small_cnn():
    shown, common = baseline.small_cnn(5).eval(), SmallCNN().eval()
    names = list(common.state_dict())
    tensors = list(shown.state_dict().values())
    common.load_state_dict(dict(zip(names, tensors[: len(names)], strict=True)))
    photos = torch.rand(2, 3, 64, 64)

    assert torch.equal(common(photos), shown[:-1](photos))
    assert shown(photos).shape == (2, 5)


def test_the_loop_learns():
    torch.manual_seed(0)
    model = baseline.small_cnn(3)

    history = baseline.train(model, coloured_photos(), coloured_photos(4), flags())

    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert [row["epoch"] for row in history] == [1, 2, 3]


def test_the_loop_ends_with_the_weights_that_validation_liked_best(monkeypatch):
    values, seen = iter([0.2, 0.9, 0.5]), []

    def validate(model, *_):
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return next(values)

    monkeypatch.setattr(baseline, "share_right", validate)
    model = baseline.small_cnn(3)

    baseline.train(model, coloured_photos(), coloured_photos(4), flags())

    assert all(torch.equal(seen[1][name], now) for name, now in model.state_dict().items())


def test_without_validation_photos_the_last_epoch_is_kept():
    photos = coloured_photos()
    nobody = PhotoDataset(photos.photos[:0], photos.labels[:0], photos.transform)
    model = baseline.small_cnn(3)

    history = baseline.train(model, photos, nobody, flags())

    assert "validation_accuracy" not in history[-1]


def test_a_loss_that_is_no_number_is_said_with_what_to_change():
    model = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32 * 3, 3))
    nn.init.constant_(model[1].weight, float("nan"))

    with pytest.raises(baseline.InputError, match="lower --learning_rate"):
        baseline.train(model, coloured_photos(), coloured_photos(4), flags())
