"""Week 2's exercises: inputs of their checks, how they are called, and hints."""

import math

import numpy as np
import torch
from grading.exercise import Exercise, numbered
from torch import nn


def stages_and_head(rng: np.random.Generator, case: int) -> dict:
    n_stages = int(rng.integers(3, 6))
    return {
        "n_stages": n_stages,
        "n_trainable": (0, n_stages, 1, 2)[case % 4],
        "rested_before": rng.random(n_stages + 1) < 0.5,
        "photos": rng.normal(1, 2, (6, 4)).astype(np.float32),
    }


def call_freeze(freeze, n_stages, n_trainable, rested_before, photos) -> dict:
    """Freeze a network in training mode, show it a batch, and see what moved."""
    torch.manual_seed(0)
    stages = [nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)) for _ in range(n_stages)]
    model = nn.Sequential(*stages, nn.Linear(4, 3))
    model.train()
    for part, rested in zip(model, rested_before, strict=True):
        part.requires_grad_(not rested)
        part.train(not rested)
    freeze(model, n_trainable)
    norms = [stage[1] for stage in stages]
    before = [norm.running_mean.clone() for norm in norms]
    scores = model(torch.from_numpy(photos))
    return {
        "gradients of each part": [
            {each.requires_grad for each in part.parameters()} == {True} for part in model
        ],
        "parts at rest": [
            not any(each.requires_grad for each in part.parameters()) for part in model
        ],
        "norms that moved": [
            not torch.equal(norm.running_mean, mean)
            for norm, mean in zip(norms, before, strict=True)
        ],
        "scores": scores,
    }


def features_of_photos(rng: np.random.Generator, case: int) -> dict:
    n_identities = int(rng.integers(20, 40))
    return {
        "n_features": 200,
        "n_identities": n_identities,
        "features": np.abs(rng.normal(0, 1, (30, 200))).astype(np.float32),
        "labels": rng.integers(n_identities, size=30),
    }


def call_new_head(new_head, n_features, n_identities, features, labels) -> dict:
    torch.manual_seed(0)
    head = new_head(n_features, n_identities)
    photos = torch.from_numpy(features)
    scores = head(photos)
    [linear] = [module for module in head.modules() if isinstance(module, nn.Linear)]
    own = photos @ linear.weight.T + linear.bias
    return {
        "shape of the scores": list(scores.shape),
        "whether all of it learns": all(each.requires_grad for each in head.parameters()),
        "spread of the weights": linear.weight.std(),
        "share of the weights beyond two spreads": (linear.weight.abs() > 0.02).float().mean(),
        "mean of the weights": linear.weight.mean(),
        "largest bias": linear.bias.abs().max(),
        "what is between features and scores, beside the layer": (scores - own).abs().max(),
        "first loss": nn.functional.cross_entropy(scores, torch.from_numpy(labels)),
    }


def agree_on_head(inputs: dict, expected: dict, found: dict) -> list[str]:
    """The weights are random: their spread and what follows from it are compared."""
    first = math.log(inputs["n_identities"])
    is_right = {
        "shape of the scores": found["shape of the scores"] == expected["shape of the scores"],
        "whether all of it learns": found["whether all of it learns"],
        "share of the weights beyond two spreads": 0.03
        < found["share of the weights beyond two spreads"]
        < 0.06,
        "spread of the weights": 0.008 < found["spread of the weights"] < 0.012,
        "mean of the weights": abs(found["mean of the weights"]) < 0.002,
        "largest bias": found["largest bias"] == 0,
        "what is between features and scores, beside the layer": found[
            "what is between features and scores, beside the layer"
        ]
        < 1e-4,
        "first loss": abs(found["first loss"] - first) < 0.2,
    }
    return [name for name, right in is_right.items() if not right]


def plan_of_steps(rng: np.random.Generator, case: int) -> dict:
    """Steps of different lengths; the last case frees fewer stages again, as its plan says."""
    numbers = rng.choice(np.arange(1, 9), size=4, replace=False)
    steps = [0, *sorted(numbers.tolist())] if case < 3 else sorted(numbers.tolist())[::-1]
    return {"plan": [[n, int(rng.integers(1, 5))] for n in steps]}


def call_stages_at(stages_at, plan) -> list:
    """In every epoch of the plan, and in three behind its end."""
    plan = [tuple(step) for step in plan]
    return [stages_at(plan, epoch) for epoch in range(sum(n for _, n in plan) + 3)]


def stages_with_rates(rng: np.random.Generator, case: int) -> dict:
    n_stages = int(rng.integers(3, 6))
    return {
        "n_stages": n_stages,
        "resting": ([], [0], [1], list(range(n_stages)))[case % 4],
        "rates": [float(rate) for rate in rng.uniform(1e-4, 1e-2, 2)],
        "layer_decay": float(rng.uniform(0.5, 0.9)),
        "weight_decay": float(rng.uniform(0.001, 0.1)),
    }


def call_rate_groups(rate_groups, n_stages, resting, rates, layer_decay, weight_decay) -> dict:
    """How often each parameter is in a group, and with what."""
    stages = [nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)) for _ in range(n_stages)]
    head = nn.Linear(3, 2)
    for place in resting:
        stages[place].requires_grad_(False)
    groups = rate_groups(stages, head, *rates, layer_decay, weight_decay)
    members = [(each, group) for group in groups for each in list(group["params"])]
    own = [parameter for part in [*stages, head] for parameter in part.parameters()]
    of_each = [[group for each, group in members if each is parameter] for parameter in own]
    return {
        "how often each parameter is in a group": [len(its) for its in of_each],
        "parameters in all groups": len(members),
        "rates": [its[0]["lr"] if its else 0.0 for its in of_each],
        "weight decays": [its[0].get("weight_decay", -1.0) if its else 0.0 for its in of_each],
    }


def steps_of_a_training(rng: np.random.Generator, case: int) -> dict:
    n_warmup = 0 if case == 0 else int(rng.integers(3, 12))
    return {"n_steps": n_warmup + int(rng.integers(9, 40)), "n_warmup": n_warmup}


def call_rate_at(rate_at, n_steps, n_warmup) -> dict:
    rates = [rate_at(step, n_steps, n_warmup) for step in range(1, n_steps + 1)]
    return {"first": rates[0], "last": rates[-1], "all": np.array(rates, dtype=float)}


def values_of_epochs(rng: np.random.Generator, case: int) -> dict:
    """A rise that pauses for as long as patience allows, ties, and an end without improvement."""
    patience, best = int(rng.integers(2, 5)), 0.5
    values = [best]
    for n_waited in (patience - 1, 1, patience + 2):
        best += float(rng.uniform(0.01, 0.05))
        values += [best, *rng.choice([best, best - 0.01, best - 0.02], size=n_waited).tolist()]
    values[-1] = best  # equal is not better
    sign = -1 if case % 2 else 1
    return {"values": [sign * value for value in values], "patience": patience,
            "lower_is_better": bool(case % 2)}  # fmt: skip


def call_early_stopping(early_stopping, values, patience, lower_is_better) -> dict:
    """Follow a model whose only weight is the number of the epoch."""
    stopping, model = early_stopping(patience, lower_is_better), nn.Linear(1, 1)
    answers = []
    for epoch, value in enumerate(values, start=1):
        model.weight.data.fill_(epoch)
        answers.append(bool(stopping.step(value, model.state_dict())))
        if answers[-1]:
            break
    model.weight.data.fill_(-1)
    return {
        "whether to stop": answers,
        "best_value": stopping.best_value,
        "epoch of best_weights": float(stopping.best_weights["weight"]),
    }


EXERCISES = numbered(
    Exercise(
        "freeze",
        4,
        stages_and_head,
        (
            "Three things make a stage rest or learn: the gradients of its parameters, its mode, "
            "and which end of the chain you count from.",
            "The head is the last part and always learns. What rests must be put into evaluation "
            "mode, or its batch norms follow the batch; what learns may have rested before.",
            "first = len(model) - 1 - n_trainable; for each part: part.requires_grad_(index >= "
            "first) and part.train(index >= first).",
        ),
        call=call_freeze,
    ),
    Exercise(
        "new_head",
        2,
        features_of_photos,
        (
            "Look at the first loss of your head: is it ln(n_identities)?",
            "PyTorch's own start is too large. Set the weights and the biases yourself, and leave "
            "softmax to the loss.",
            "nn.init.normal_(head.weight, std=0.01) and nn.init.zeros_(head.bias).",
        ),
        call=call_new_head,
        agrees=agree_on_head,
        n_cases=2,
    ),
    Exercise(
        "stages_at",
        3,
        plan_of_steps,
        (
            "Write down, for a plan of two steps, the first and the last epoch of each.",
            "Epochs count from 0: a step that ends after 2 epochs holds epochs 0 and 1. Behind "
            "the end the last step goes on.",
            "Add up the lengths; the first step with epoch < sum is the one.",
        ),
        call=call_stages_at,
    ),
    Exercise(
        "rate_groups",
        4,
        stages_with_rates,
        (
            "Go through the parameters one by one: is it in exactly one group, with which rate and "
            "which decay?",
            "The last stage has the full rate, each earlier one layer_decay times that of the "
            "stage behind it. What rests is in no group; what has one dimension has no decay.",
            "rate * layer_decay ** (len(stages) - 1 - index); keep parameters with requires_grad, "
            "and part them by ndim > 1.",
        ),
        call=call_rate_groups,
    ),
    Exercise(
        "rate_at",
        3,
        steps_of_a_training,
        (
            "Draw it: from which height, up to which step, down to which?",
            "The first step is 1, and its rate is not 0. The cosine begins where the warm-up ends, "
            "goes through half a turn, and is 0 at the last step.",
            "step / n_warmup, then (1 + cos(pi * (step - n_warmup) / (n_steps - n_warmup))) / 2.",
        ),
        call=call_rate_at,
    ),
    Exercise(
        "EarlyStopping",
        4,
        values_of_epochs,
        (
            "Follow one list of values with a pencil: what is the best, how long have you waited, "
            "and which weights do you hold?",
            "Equal is not better. A better value ends the waiting. A loss is better when it is "
            "lower. state_dict() holds the weights themselves, which go on changing: copy them.",
            "copy.deepcopy(weights) when the value is better, and n_waited = 0; else n_waited += "
            "1; return n_waited >= patience.",
        ),
        call=call_early_stopping,
    ),
)
