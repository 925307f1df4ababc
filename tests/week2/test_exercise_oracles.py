"""Week 2's solutions and the course give the same answers, each in its own way."""

from common.models.heads import linear_classifier
from common.training.loop import TrainingSettings, fit
from common.training.optim import Rates, Schedule, backbone_groups, parameter_group
from common.training.strategies import plan_of

import pytest
import torch
from grading import week2
from script_runs import load_script
from torch import nn
from torch.utils.data import TensorDataset

solutions, transfer = load_script("week2/solutions"), load_script("week2/transfer_learning")
tuning = load_script("week2/fine_tuning")
SEEDS = range(5)


@pytest.mark.parametrize("exercise", ["freeze", "new_head", "stages_at", "rate_groups", "rate_at"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_scripts_answer_as_the_solutions_do(exercise, seed):
    script = transfer if hasattr(transfer, exercise) else tuning
    checks = week2.EXERCISES[exercise]

    for inputs in checks.inputs(seed):
        own, shown = (checks.values(module, inputs) for module in (solutions, script))
        assert checks.difference(inputs, own, shown) is None


def test_a_new_head_spreads_as_the_courses():
    heads = [make(400, 60).weight for make in (solutions.new_head, linear_classifier)]

    assert heads[0].std().item() == pytest.approx(heads[1].std().item(), rel=0.05)


@pytest.mark.parametrize("strategy", ["partial", "progressive"])
def test_stages_are_freed_when_the_strategy_frees_them(strategy):
    steps = plan_of(strategy, epochs=12, unfreeze=3)
    plan = [(7 if step.n_trainable is None else step.n_trainable, step.epochs) for step in steps]

    stages = [solutions.stages_at(plan, epoch) for epoch in range(12)]

    assert stages == [n for n, length in plan for _ in range(length)]


def test_groups_have_the_rates_of_the_comparisons():
    stages = [nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)) for _ in range(4)]
    head = nn.Linear(3, 2)
    stages[0].requires_grad_(False)
    rates = Rates(head=0.1, backbone=0.01, layer_decay=0.5, weight_decay=0.02)
    numbers = [number for number, stage in enumerate(stages) for _ in stage.parameters()]
    course = backbone_groups(nn.Sequential(*stages), numbers, 4, rates)
    course += parameter_group(head, rates.head, rates.weight_decay)

    own = solutions.rate_groups(stages, head, 0.01, 0.1, 0.5, 0.02)

    assert facts(own) == facts(course)


def facts(groups):
    return {
        id(each): (pytest.approx(group["lr"]), group["weight_decay"])
        for group in groups
        for each in group["params"]
    }


@pytest.mark.parametrize("n_warmup", [0, 3, 8])
def test_the_rate_is_that_of_the_schedule_by_name_and_by_function(n_warmup):
    def rates_with(schedule):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
        driver = Schedule(
            schedule, optimizer, epochs=5, steps_per_epoch=8, warmup_epochs=n_warmup / 8
        )
        rates = []
        for step in range(1, 41):
            driver.before_step(step)
            optimizer.step()
            rates.append(optimizer.param_groups[0]["lr"])
        return rates

    expected = [0.4 * solutions.rate_at(step, 40, n_warmup) for step in range(1, 41)]

    assert rates_with("cosine") == pytest.approx(expected, abs=1e-9)
    assert rates_with(solutions.rate_at) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("case", [0, 1])
def test_training_stops_when_the_loop_stops(seed, case):
    inputs = week2.EXERCISES["EarlyStopping"].inputs(seed)[case]
    values, name = inputs["values"], "loss" if inputs["lower_is_better"] else "accuracy"
    waiting, model = iter(values), nn.Linear(1, 2)
    photos = TensorDataset(torch.ones(2, 1), torch.tensor([0, 1]))
    settings = TrainingSettings(len(values), patience=inputs["patience"], device="cpu")

    result = fit(
        model, nn.CrossEntropyLoss(), photos, parameter_group(model, 0.1), settings,
        validate=lambda _: {name: next(waiting)}, choose_by=name, progress=False,
    )  # fmt: skip

    stopping = solutions.EarlyStopping(inputs["patience"], inputs["lower_is_better"])
    n_epochs = next(i for i, value in enumerate(values, start=1) if stopping.step(value, {}))
    assert len(result.history) == n_epochs
    assert values[result.best_epoch - 1] == stopping.best_value
