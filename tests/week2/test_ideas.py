"""What week 2's scripts show is what its training does: freezing, heads, rates and schedule."""

from common.models.backbones import load_backbone
from common.models.freezing import freeze_stages, stages_of
from common.models.heads import linear_classifier
from common.training.optim import Rates, Schedule, backbone_groups, parameter_group

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from script_runs import load_script
from torch import nn

transfer, tuning = load_script("week2/transfer_learning"), load_script("week2/fine_tuning")


def network():
    return load_backbone("resnet18", weights="none", image_size=32)


def what_trains(backbone):
    return {name for name, parameter in backbone.named_parameters() if parameter.requires_grad}


def test_a_frozen_backbone_neither_learns_nor_follows_its_batches():
    backbone = network()
    transfer.freeze(nn.Sequential(backbone, nn.Linear(1, 1)), 0)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}

    backbone.train()
    backbone(torch.rand(4, 3, 32, 32))

    assert not what_trains(backbone)
    assert all(torch.equal(before[name], now) for name, now in backbone.state_dict().items())


def test_a_new_head_is_the_one_that_comparisons_train():
    torch.manual_seed(0)
    shown = transfer.new_head(8, 3)
    torch.manual_seed(0)
    common = linear_classifier(8, 3)

    assert torch.equal(shown.weight, common.weight)
    assert torch.equal(shown.bias, common.bias)


def test_a_new_head_knows_nothing_yet():
    head = transfer.new_head(64, 10)

    loss = nn.functional.cross_entropy(head(torch.rand(50, 64)), torch.randint(10, (50,)))

    assert loss.item() == pytest.approx(torch.tensor(10.0).log().item(), abs=0.02)


@pytest.mark.parametrize("n_stages", [0, 1, 3, None])
def test_the_last_stages_are_freed_as_in_comparisons(n_stages):
    shown, common = network(), network()

    tuning.free_last_stages(shown, n_stages)
    freeze_stages(common, n_stages)

    assert what_trains(shown) == what_trains(common)


def test_each_stage_gets_the_rate_that_comparisons_give_it():
    args = tuning.parse_args(["--layer_decay", "0.5", "--head_learning_rate", "0.1"])
    backbone, head = network(), nn.Linear(4, 2)
    tuning.free_last_stages(backbone, 2)
    rates = Rates(head=0.1, backbone=args.learning_rate, layer_decay=0.5)
    stages = stages_of(backbone)
    names = [(stage.index, name) for stage in stages for name in stage.parameter_names]
    tail = nn.ParameterList([backbone.network.get_parameter(name) for _, name in names])

    shown = tuning.rate_groups(
        tuning.parts_of(backbone), head, args.learning_rate, 0.1, 0.5, rates.weight_decay
    )
    common = backbone_groups(tail, [index for index, _ in names], len(stages), rates)
    common += parameter_group(head, rates.head, rates.weight_decay)

    assert rate_of_each(shown) == rate_of_each(common)


def rate_of_each(groups):
    return {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }


@given(st.integers(1, 6), st.integers(1, 9), st.sampled_from([0.0, 0.5, 1.0]))
def test_the_formula_of_the_rate_is_the_schedule_that_training_follows(epochs, n_steps, warmup):
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.4)
    warmup = min(warmup, epochs / 2)
    total, n_warmup = epochs * n_steps, round(warmup * n_steps)
    schedule = Schedule(
        "cosine", optimizer, epochs=epochs, steps_per_epoch=n_steps, warmup_epochs=warmup
    )

    for step in range(1, total + 1):
        schedule.before_step(step)
        expected = 0.4 * tuning.rate_at(step, total, n_warmup)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, abs=1e-12)


def test_the_rate_rises_to_its_peak_and_ends_at_nothing():
    rates = [tuning.rate_at(step, 100, 10) for step in range(1, 101)]

    assert rates[9] == max(rates) == 1
    assert rates[-1] == pytest.approx(0)
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
