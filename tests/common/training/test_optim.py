"""Groups keep their own rates, and schedules have the shape that they promise."""

import math

from common.errors import InputError
from common.training.optim import (
    SCHEDULES,
    Rates,
    Schedule,
    backbone_groups,
    build_optimizer,
    parameter_group,
)

import pytest
import torch
from torch import nn


def rates_of(name, *, epochs=4, steps=5, warmup=1.0, groups=((1.0,), (0.1,)), final_rate=0.0):
    parameters = [nn.Parameter(torch.zeros(1)) for _ in groups]
    optimizer = torch.optim.SGD(
        [{"params": [p], "lr": rate[0]} for p, rate in zip(parameters, groups, strict=True)]
    )
    schedule = Schedule(
        name, optimizer, epochs=epochs, steps_per_epoch=steps, warmup_epochs=warmup,
        final_rate=final_rate,
    )  # fmt: skip
    rates = []
    for step in range(1, epochs * steps + 1):
        schedule.before_step(step)
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if step % steps == 0:
            schedule.after_epoch(0.5)  # validation never improves
    return rates


def test_weight_decay_spares_biases_and_norms():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))

    decayed, spared = parameter_group(module, 1e-3, weight_decay=0.1)

    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 3)]
    assert decayed["weight_decay"] == 0.1
    assert [tuple(p.shape) for p in spared["params"]] == [(4,), (4,), (4,)]
    assert spared["weight_decay"] == 0
    assert decayed["lr"] == spared["lr"] == 1e-3


def test_frozen_parameters_are_in_no_group():
    module = nn.Linear(2, 2)
    module.weight.requires_grad = False

    (group,) = parameter_group(module, 1e-3)

    assert len(group["params"]) == 1


def test_warm_up_rises_linearly_to_the_peak():
    rates = [rate for rate, _ in rates_of("constant")]

    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:] == pytest.approx([1.0] * 15)


def test_cosine_falls_from_the_peak_to_nothing():
    rates = [rate for rate, _ in rates_of("cosine")]

    for step in range(5, 20):  # steps 6 to 20
        expected = 0.5 * (1 + math.cos(math.pi * (step + 1 - 5) / 15))
        assert rates[step] == pytest.approx(expected, abs=1e-6)


def test_step_divides_by_ten_after_each_third():
    rates = [rate for rate, _ in rates_of("step", epochs=3, steps=4, warmup=0)]

    assert rates == pytest.approx([1.0] * 3 + [0.1] * 4 + [0.01] * 4 + [0.001])


def test_plateau_halves_when_validation_stands_still():
    rates = [rate for rate, _ in rates_of("plateau", epochs=6, steps=2, warmup=0)]

    assert rates == pytest.approx([1.0] * 10 + [0.5] * 2)


def test_one_cycle_peaks_once_at_the_groups_rate():
    rates = [rate for rate, _ in rates_of("one_cycle")]

    assert max(rates) == pytest.approx(1.0, rel=0.02)
    assert rates[0] < 0.2
    assert rates[-1] < 0.02


def test_cosine_can_end_above_nothing():
    rates = [rate for rate, _ in rates_of("cosine", final_rate=0.01)]

    assert rates[-1] == pytest.approx(0.01)


def test_every_stage_of_a_backbone_has_its_own_rate():
    tail = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    rates = Rates(backbone=1.0, layer_decay=0.5, weight_decay=0.1)

    groups = backbone_groups(tail, [1, 1, 3], n_stages=4, rates=rates)

    rate_of = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert [rate_of[id(p)] for p in tail.parameters()] == [0.25, 0.25, 1.0]


def test_a_recipe_may_decay_norms_too():
    (group,) = parameter_group(nn.BatchNorm1d(3), 1.0, 0.1, decay_norms=True)

    assert group["weight_decay"] == 0.1


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_group_is_scaled_alike(name):
    for first, second in rates_of(name):
        assert second == pytest.approx(0.1 * first, abs=1e-5)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="schedule sometimes"):
        rates_of("sometimes")


def test_nothing_to_train_is_said_so():
    with pytest.raises(InputError, match="every parameter is frozen"):
        build_optimizer([])
