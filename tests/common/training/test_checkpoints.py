"""A checkpoint is taken up by the very same training, and by no other."""

import importlib.metadata
import pickle
from dataclasses import replace

from common.data.images import PhotoDataset, Preprocessing, training_transform
from common.data.sampling import IdentityBatchSampler, ShuffledBatchSampler
from common.training import checkpoints
from common.training.checkpoints import key_of
from common.training.loop import TrainingSettings, fit
from common.training.losses import arcface, contrastive, cross_entropy
from common.training.optim import parameter_group

import numpy as np
import pytest
import torch
from torch import nn

SETTINGS = TrainingSettings(epochs=3, batch_size=4, device="cpu", warmup_epochs=0)
LABELS = np.arange(12) % 3
PIXELS = np.random.default_rng(0).integers(0, 255, (12, 9, 9, 3), dtype=np.uint8)


class KilledError(Exception):
    pass


class Validation:
    """Rows whose photos are asked; ends the training, if told to, after so many epochs."""

    def __init__(self, rows=(0, 1), killed_after=99):
        self.rows, self._left = rows, killed_after

    def __call__(self, model):
        self._left -= 1
        if self._left < 0:
            raise KilledError
        return {"validation_accuracy": 0.5, "validation_loss": 0.1}


def transform(image_size=8, erasing=0.3):
    expected = Preprocessing(image_size, (0.5,) * 3, (0.25,) * 3)
    return training_transform(expected, flip=False, erasing=erasing)


def sampler_of(n_images=2, seed=0):
    return IdentityBatchSampler(
        LABELS, np.arange(12), n_identities=2, n_images=n_images, seed=seed
    )  # fmt: skip


def train(
    checkpoint=None, *, rate=0.01, decay=0.1, image_size=8, erasing=0.3, pixels=PIXELS,
    labels=LABELS, view_seed=0, start=0, criterion=cross_entropy, settings=None, **options,
):  # fmt: skip
    """A training of the same thing every time, but for what is named; each starts from scratch."""
    torch.manual_seed(start)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    criterion = criterion()
    dataset = PhotoDataset(pixels, labels, transform(image_size, erasing), view_seed)
    groups = parameter_group(model, rate, decay) + parameter_group(criterion, rate)
    options = {"validate": Validation()} | options
    result = fit(
        model, criterion, dataset, groups, replace(SETTINGS, **settings or {}),
        checkpoint=checkpoint, progress=False, **options,
    )  # fmt: skip
    weights = [value.clone() for part in (model, criterion) for value in part.state_dict().values()]
    return result, weights


@pytest.fixture
def interrupted(tmp_path, monkeypatch, capsys):
    """A function that kills a training in its third epoch and gives its checkpoint."""
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)

    def interrupt(**options):
        path = tmp_path / "last.pt"
        with pytest.raises(KilledError):
            train(path, validate=Validation(killed_after=2), **options)
        capsys.readouterr()
        return path

    return interrupt


def curve(outcome):
    return [row["train_loss"] for row in outcome[0].history]


def is_same(one, other):
    return curve(one) == curve(other) and all(map(torch.equal, one[1], other[1]))


def one_pixel():
    pixels = PIXELS.copy()
    pixels[7, 4, 4, 1] ^= 1
    return pixels


LOSS = {"criterion": lambda: arcface(3, 3, margin=0.3)}
BY_IDENTITY = {"criterion": contrastive}
CHANGES = {
    "rate": ({}, {"rate": 0.011}),
    "weight decay": ({}, {"decay": 0.2}),
    "batch size": ({}, {"settings": {"batch_size": 5}}),
    "epochs": ({}, {"settings": {"epochs": 4}}),
    "image size": ({}, {"image_size": 7}),
    "transform": ({}, {"erasing": 0.4}),
    "one pixel of one photo": ({}, {"pixels": one_pixel()}),
    "one label": ({}, {"labels": np.roll(LABELS, 1)}),
    "seed of the views": ({}, {"view_seed": 1}),
    "start weights": ({}, {"start": 1}),
    "margin": (LOSS, {"criterion": lambda: arcface(3, 3, margin=0.31)}),
    "smoothing of labels": ({}, {"criterion": lambda: cross_entropy(0.2)}),
    "K of the batches": (
        BY_IDENTITY | {"batch_sampler": sampler_of(2)}, {"batch_sampler": sampler_of(3)},
    ),
    "seed of the batches": (
        BY_IDENTITY | {"batch_sampler": sampler_of()}, {"batch_sampler": sampler_of(seed=1)},
    ),
    "weights of the batches": (
        {}, {"batch_sampler": ShuffledBatchSampler(12, 4, weights=np.arange(1, 13))}
    ),
    "mix": ({}, {"mix": lambda inputs, labels: (inputs, labels)}),
    "what chooses": ({}, {"choose_by": "validation_loss"}),
    "validation rows": ({}, {"validate": Validation(rows=(0, 2))}),
    "what a function validates": ({}, {"depends_on": [np.array([0, 2])]}),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_one_change_starts_anew(name, interrupted, capsys):
    base, change = CHANGES[name]
    path = interrupted(**base)

    outcome = train(path, **base | change)

    assert "training starts anew" in capsys.readouterr().out
    assert is_same(outcome, train(None, **base | change))
    assert len(outcome[0].history) == outcome[0].history[-1]["epoch"]


@pytest.mark.parametrize("library", ["torch", "albumentations"])
def test_another_version_of_a_library_starts_anew(library, interrupted, capsys, monkeypatch):
    path, real = interrupted(), importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.0" if name == library else real(name)
    )

    train(path)

    assert "training starts anew" in capsys.readouterr().out


def test_other_code_of_the_course_starts_anew(interrupted, capsys, monkeypatch):
    path = interrupted()
    monkeypatch.setattr(checkpoints, "_code", lambda: b"edited")

    train(path)

    assert "training starts anew" in capsys.readouterr().out


@pytest.mark.parametrize("base", [{}, LOSS, BY_IDENTITY | {"batch_sampler": sampler_of()}],
                         ids=["cross-entropy", "ArcFace", "pairs"])  # fmt: skip
def test_unchanged_goes_on_to_the_same_result(base, interrupted, capsys):
    path = interrupted(**base)
    validation = Validation(killed_after=1)  # one epoch is left

    resumed = train(path, validate=validation, **base)

    assert capsys.readouterr().out == ""
    assert is_same(resumed, train(None, **base))


def test_a_finished_training_is_taken_up_without_training_again(tmp_path):
    path = tmp_path / "last.pt"
    whole = train(path, criterion=lambda: arcface(3, 3))
    again = train(path, criterion=lambda: arcface(3, 3), validate=Validation(killed_after=0))

    assert is_same(whole, again)
    state = torch.load(path, weights_only=True)
    assert state.keys() == {"key", "best", "criterion", "result"}


def test_one_that_ended_early_is_finished_too(tmp_path):
    path, patient = tmp_path / "last.pt", {"settings": {"epochs": 9, "patience": 2}}

    whole = train(path, **patient)
    again = train(path, validate=Validation(killed_after=0), **patient)

    assert len(whole[0].history) == 3
    assert is_same(whole, again)


class Code:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code of a checkpoint ran')",))


def write_tensor_list(path):
    torch.save([torch.zeros(2)], path)


DAMAGED = {
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"\x00garbage" * 99),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-99]),
    "a list": write_tensor_list,
    "another dictionary": lambda path: torch.save({"model": {}}, path),
    "code": lambda path: path.write_bytes(pickle.dumps(Code())),
    "code behind torch": lambda path: torch.save({"key": Code()}, path),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_cannot_be_read_is_said_in_one_line_and_stays(kind, interrupted, capsys):
    path = interrupted()
    DAMAGED[kind](path)
    before = path.read_bytes() if path.is_file() else None

    outcome = train(path)

    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "is no checkpoint of this course" in said
    assert "training starts anew" in said
    assert is_same(outcome, train(None))
    assert before == (path.read_bytes() if path.is_file() else None)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("[enforce fail at write]")]
)
def test_a_full_disk_is_said_once_and_training_goes_on(error, tmp_path, capsys, monkeypatch):
    def fail(state, path):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(torch, "save", fail)

    outcome = train(tmp_path / "deep" / "last.pt")

    assert is_same(outcome, train(None))
    assert capsys.readouterr().out.count("no checkpoint can be written") == 1
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_place_that_cannot_be_is_no_reason_to_stop(tmp_path, capsys):
    (tmp_path / "file").touch()

    outcome = train(tmp_path / "file" / "last.pt")

    assert is_same(outcome, train(None))
    assert capsys.readouterr().out.count("no checkpoint can be written") == 1


def test_equal_things_have_equal_keys():
    def key():
        return key_of(nn.CrossEntropyLoss(), {"a": np.arange(3)}, transform(), {1, 2}, SETTINGS)

    assert key() == key()


def test_an_array_that_nobody_can_write_to_is_read_once(monkeypatch):
    array = np.arange(6)
    array.flags.writeable = False
    first, other = key_of(array), key_of(np.arange(6))
    monkeypatch.setattr(np, "ascontiguousarray", None)

    assert key_of(array) == first == other


def test_what_holds_itself_has_a_key():
    class Held:
        pass

    held = Held()
    held.itself, held.value = [held], 1
    first = key_of(held)
    held.value = 2

    assert first != key_of(held)
