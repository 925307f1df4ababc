"""Week 2 as a beginner writes it: loops, counters, no tricks."""

import math

import torch
from torch import nn


def freeze(model, n_trainable):
    children = list(model.children())
    head = children[-1]
    stages = children[:-1]
    resting = stages[: len(stages) - n_trainable]
    learning = stages[len(stages) - n_trainable :]
    for stage in resting:
        for p in stage.parameters():
            p.requires_grad = False
        for module in stage.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()
    for stage in [*learning, head]:
        for p in stage.parameters():
            p.requires_grad = True
        for module in stage.modules():
            module.training = True


def new_head(n_features, n_identities):
    head = nn.Linear(n_features, n_identities)
    with torch.no_grad():
        head.weight.copy_(torch.randn(n_identities, n_features) * 0.01)
        head.bias.fill_(0)
    return head


def stages_at(plan, epoch):
    every_epoch = []
    for n_trainable, n_epochs in plan:
        for _ in range(n_epochs):
            every_epoch.append(n_trainable)
    if epoch >= len(every_epoch):
        return every_epoch[-1]
    return every_epoch[epoch]


def rate_groups(stages, head, rate, head_rate, layer_decay, weight_decay):
    groups = []
    for p in head.parameters():
        decay = weight_decay if len(p.shape) >= 2 else 0
        groups.append({"params": [p], "lr": head_rate, "weight_decay": decay})
    current = rate
    for stage in reversed(stages):
        for p in stage.parameters():
            if not p.requires_grad:
                continue
            decay = weight_decay if len(p.shape) >= 2 else 0
            groups.append({"params": [p], "lr": current, "weight_decay": decay})
        current = current * layer_decay
    return groups


def rate_at(step, n_steps, n_warmup):
    if n_warmup > 0 and step <= n_warmup:
        return step / n_warmup
    done = (step - n_warmup) / (n_steps - n_warmup)
    return 0.5 + 0.5 * math.cos(done * math.pi)


class EarlyStopping:
    def __init__(self, patience, lower_is_better):
        self.patience = patience
        self.lower = lower_is_better
        self.best_value = None
        self.best_weights = None
        self.bad_epochs = 0

    def step(self, value, weights):
        if self.best_value is None:
            better = True
        elif self.lower:
            better = value < self.best_value
        else:
            better = value > self.best_value
        if better:
            self.best_value = value
            self.best_weights = {}
            for name in weights:
                self.best_weights[name] = weights[name].clone()
            self.bad_epochs = 0
            return False
        self.bad_epochs = self.bad_epochs + 1
        return self.bad_epochs == self.patience
