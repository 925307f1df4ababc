"""Training learns, keeps its best epoch, and continues to the same result after a kill."""

import functools

from common.data.sampling import ShuffledBatchSampler
from common.errors import InputError
from common.machine import machine
from common.machine.precision import Compute
from common.training import checkpoints
from common.training.loop import TrainingSettings, fit
from common.training.optim import parameter_group

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

SETTINGS = TrainingSettings(epochs=4, batch_size=8, device="cpu", warmup_epochs=0)


def two_clouds(n_images=41, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n_images) % 2
    inputs = torch.randn(n_images, 5, generator=generator) + 2.0 * labels[:, None]
    return TensorDataset(inputs, labels)


def new_model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))


def train(model, settings=SETTINGS, dataset=None, criterion=None, **options):
    criterion = criterion or nn.CrossEntropyLoss()
    groups = parameter_group(model, 0.02) + parameter_group(criterion, 0.02)
    return fit(
        model,
        criterion,
        two_clouds() if dataset is None else dataset,
        groups,
        settings,
        progress=False,
        **options,
    )


def changed(**values):
    return TrainingSettings(**{**vars(SETTINGS), **values})


def accuracy_on(dataset):
    inputs, labels = dataset.tensors

    def validate(model):
        return {"validation_accuracy": float((model(inputs).argmax(1) == labels).float().mean())}

    return validate


def test_a_separable_task_is_learned():
    dataset = two_clouds()

    result = train(new_model(), changed(epochs=15), dataset, validate=accuracy_on(dataset))

    assert result.best_value > 0.95
    assert result.history[-1]["train_loss"] < 0.5 * result.history[0]["train_loss"]


class KilledError(Exception):
    pass


def kill_after(n_epochs):
    measure, seen = accuracy_on(two_clouds(seed=1)), []

    def validate(model):
        if len(seen) == n_epochs:
            raise KilledError
        seen.append(model)
        return measure(model)

    return validate


@pytest.mark.parametrize("schedule", ["cosine", "plateau", "one_cycle"])
@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_a_killed_run_continues_to_the_same_result(schedule, ema_decay, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    settings = changed(schedule=schedule, ema_decay=ema_decay)
    whole, resumed = new_model(), new_model()

    expected = train(whole, settings, validate=kill_after(99))
    with pytest.raises(KilledError):
        train(resumed, settings, validate=kill_after(2), checkpoint=tmp_path / "last.pt")
    fresh = new_model()  # nothing of the killed process is left
    result = train(fresh, settings, validate=kill_after(99), checkpoint=tmp_path / "last.pt")

    assert [row["train_loss"] for row in result.history] == [
        row["train_loss"] for row in expected.history
    ]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, fresh.state_dict()[name]), name


def test_the_best_validated_epoch_is_kept():
    states, values = [], iter([0.2, 0.9, 0.5, 0.6])

    def validate(model):
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {"validation_accuracy": next(values)}

    model = new_model()
    result = train(model, validate=validate)

    assert (result.best_epoch, result.best_value) == (2, 0.9)
    assert all(torch.equal(t, states[1][name]) for name, t in model.state_dict().items())


def test_training_stops_when_validation_no_longer_improves():
    values = iter([0.5, 0.6, 0.6, 0.1, 0.1, 0.1])

    result = train(
        new_model(),
        changed(epochs=6, patience=2),
        validate=lambda model: {"validation_accuracy": next(values)},
    )

    assert len(result.history) == 4


def test_the_loss_is_pooled_over_photos_not_over_batches():
    dataset = two_clouds(n_images=11)  # batches of 8 and 3
    model, criterion = nn.Linear(5, 2), nn.CrossEntropyLoss()
    inputs, labels = dataset.tensors
    groups = [{"params": list(model.parameters()), "lr": 0.0}]

    result = fit(model, criterion, dataset, groups, changed(epochs=1), progress=False)

    assert result.history[0]["train_loss"] == pytest.approx(
        criterion(model(inputs), labels).item(), rel=1e-5
    )


def test_accumulated_small_batches_are_one_large_batch():
    dataset = two_clouds(n_images=32)
    models = [nn.Linear(5, 2) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    settings = {"optimizer": "sgd", "schedule": "constant", "clip_norm": None, "epochs": 2}

    train(models[0], changed(batch_size=16, **settings), dataset)
    train(models[1], changed(batch_size=8, accumulation=2, **settings), dataset)

    assert torch.allclose(models[0].weight, models[1].weight, atol=1e-6)


def test_the_lowest_loss_is_chosen_where_a_loss_is_asked_for():
    values = iter([0.9, 0.2, 0.5, 0.6])

    result = train(
        new_model(), validate=lambda model: {"validation_loss": next(values)},
        choose_by="validation_loss",
    )  # fmt: skip

    assert result.best_epoch == 2


def test_mixed_photos_are_learned_with_mixed_labels():
    seen = []

    def mix(inputs, labels):
        seen.append(len(labels))
        return inputs, torch.full((len(labels), 2), 0.5)

    dataset = two_clouds()
    result = train(new_model(), changed(epochs=20), dataset, mix=mix)

    assert sum(seen) == 20 * len(dataset)
    assert result.history[-1]["train_loss"] == pytest.approx(np.log(2), abs=0.02)


def test_what_is_frozen_rests_while_the_others_train():
    norm = nn.BatchNorm1d(5)
    norm.requires_grad_(False)
    model = nn.Sequential(norm, nn.Linear(5, 2))

    train(model)

    assert torch.equal(norm.running_mean, torch.zeros(5))


def test_running_means_of_the_weights_are_what_is_validated():
    seen = []
    model = new_model()

    train(model, changed(ema_decay=0.99, epochs=1), validate=lambda m: seen.append(m) or
          {"validation_accuracy": 1.0})  # fmt: skip

    assert seen[0] is not model


def test_a_loss_that_explodes_is_said_in_one_line():
    dataset = TensorDataset(torch.full((8, 5), float("inf")), torch.zeros(8, dtype=torch.int64))

    with pytest.raises(InputError, match="lower --learning_rate"):
        train(new_model(), dataset=dataset)


def test_nothing_to_train_on_is_said_in_one_line():
    empty = TensorDataset(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64))

    with pytest.raises(InputError, match="no photo to train on"):
        train(new_model(), dataset=empty)


@pytest.mark.parametrize(
    ("device", "precision"), [("mps", "no"), ("cuda", "no"), ("cuda:1", "no"), ("cpu", "fp16")]
)
def test_a_device_that_is_not_there_is_said_in_one_line(device, precision, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    with pytest.raises(InputError, match=r"--device|--mixed_precision"):
        train(new_model(), changed(device=device, mixed_precision=precision))


@pytest.mark.parametrize(("n_images", "sizes"), [(10, [4, 4, 2]), (9, [4, 5]), (3, [3]), (1, [1])])
def test_no_batch_of_one_photo_is_left_over(n_images, sizes):
    sampler = ShuffledBatchSampler(n_images, 4)

    batches = list(sampler)

    assert [len(batch) for batch in batches] == sizes
    assert len(sampler) == len(sizes)
    assert sorted(np.concatenate(batches).tolist()) == list(range(n_images))


def test_the_order_of_batches_follows_from_seed_and_epoch():
    first, second = ShuffledBatchSampler(20, 4, seed=3), ShuffledBatchSampler(20, 4, seed=3)

    second.set_epoch(1)

    assert list(first) == list(ShuffledBatchSampler(20, 4, seed=3))
    assert list(first) != list(second)


def test_the_precision_that_a_trial_finds_faster_is_trained_with(monkeypatch):
    monkeypatch.setattr(machine, "choose_precision", lambda *_: Compute("bf16", 1.9))
    outputs = []
    model = new_model()
    model[0].register_forward_hook(lambda module, inputs, output: outputs.append(output.dtype))

    train(model, changed(mixed_precision="auto", epochs=1))

    assert set(outputs) == {torch.bfloat16}


def test_a_compiled_model_trains_to_the_same_loss(monkeypatch):
    # The compiler's front alone: its back needs a C++ compiler and minutes.
    front = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(machine, "compiled", front)
    dataset = two_clouds()

    plain = train(new_model(), dataset=dataset, validate=accuracy_on(dataset))
    result = train(new_model(), changed(compile=True), dataset, validate=accuracy_on(dataset))

    expected = [row["train_loss"] for row in plain.history]
    assert [row["train_loss"] for row in result.history] == pytest.approx(expected, abs=1e-5)


class Breaking(nn.Module):
    """A loss, or its gradient, that is multiplied by something bad in one step."""

    def __init__(self, step, by, *, gradient=False):
        super().__init__()
        self.step, self.by, self.gradient, self.n_steps = step, by, gradient, 0

    def forward(self, outputs, labels):
        self.n_steps += 1
        if self.n_steps == self.step and self.gradient:
            outputs.register_hook(lambda gradient: gradient * self.by)
        loss = nn.functional.cross_entropy(outputs, labels)
        return loss * self.by if self.n_steps == self.step and not self.gradient else loss


@pytest.mark.parametrize("by", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_stops_at_its_step(by, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    path = tmp_path / "last.pt"

    with pytest.raises(InputError, match=r"step 8 \(epoch 2\) at learning rate 0\.0") as raised:
        train(new_model(), criterion=Breaking(8, by), checkpoint=path)

    assert f"last good checkpoint: {path} holds epoch 1" in str(raised.value)
    assert all(each.isfinite().all() for each in torch.load(path)["model"].values())


def test_weights_that_the_last_step_spoilt_are_not_validated():
    with pytest.raises(InputError, match=r"step 20 \(epoch 4\).*there is none yet"):
        train(new_model(), criterion=Breaking(20, float("nan"), gradient=True))
