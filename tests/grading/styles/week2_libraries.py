"""Week 2 as someone writes it who knows the libraries."""

import bisect
import itertools
import math
from dataclasses import dataclass, field

import torch
from torch import nn


def freeze(model, n_trainable):
    model.requires_grad_(False).eval()
    for part in list(model)[len(model) - 1 - n_trainable :]:
        part.requires_grad_(True).train()


class Head(nn.Linear):
    """Starts small."""

    def reset_parameters(self):
        nn.init.trunc_normal_(self.weight, std=0.01)
        nn.init.constant_(self.bias, 0.0)


def new_head(n_features, n_identities):
    return Head(n_features, n_identities)


def stages_at(plan, epoch):
    ends = list(itertools.accumulate(length for _, length in plan))
    return plan[min(bisect.bisect_right(ends, epoch), len(plan) - 1)][0]


def rate_groups(stages, head, rate, head_rate, layer_decay, weight_decay):
    def group(module, lr):
        own = [p for p in module.parameters() if p.requires_grad]
        yield {"params": (p for p in own if p.dim() > 1), "lr": lr, "weight_decay": weight_decay}
        yield {"params": (p for p in own if p.dim() < 2), "lr": lr, "weight_decay": 0.0}

    parts = [
        (stage, rate * math.pow(layer_decay, n_behind))
        for n_behind, stage in enumerate(stages[::-1])
    ]
    return list(itertools.chain.from_iterable(group(*part) for part in [*parts, (head, head_rate)]))


def rate_at(step, n_steps, n_warmup):
    rise = step / max(n_warmup, 1e-12)
    fall = math.cos(math.pi / 2 * max(0, step - n_warmup) / (n_steps - n_warmup)) ** 2
    return min(rise, fall) if step <= n_warmup else fall


@dataclass
class EarlyStopping:
    patience: int
    lower_is_better: bool
    best_value: float | None = None
    best_weights: dict | None = None
    since: list = field(default_factory=list)

    def step(self, value, weights):
        value = torch.tensor(value, dtype=torch.float64)
        limit = math.inf if self.lower_is_better else -math.inf
        best = limit if self.best_value is None else self.best_value
        if (value < best) if self.lower_is_better else (value > best):
            self.best_value = value.item()
            self.best_weights = {name: each.detach().clone() for name, each in weights.items()}
            self.since.clear()
        else:
            self.since.append(value)
        return torch.tensor(len(self.since) >= self.patience)
