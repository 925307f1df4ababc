"""Optimiser groups with their own learning rates, and schedules."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from common.errors import InputError

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

SCHEDULES = ("cosine", "step", "plateau", "one_cycle", "constant")


@dataclass(frozen=True)
class Rates:
    """Peak learning rates of the parts of a model, and their weight decay.

    Attributes:
        head: of new layers.
        backbone: of pre-trained layers, which need care.
        centres: of ArcFace's centres, one per identity: each is moved by few photos.
        layer_decay: factor from one stage of the backbone to the one before it, (0, 1]: early
            stages hold general features and should move less.
        weight_decay: of weights that are not norms or biases.
        decay_norms: of norms and biases too, as plain PyTorch does.
    """

    head: float = 2e-3
    backbone: float = 1e-3
    centres: float = 1e-2
    layer_decay: float = 1.0
    weight_decay: float = 1e-2
    decay_norms: bool = False


def parameter_group(
    parameters: nn.Module | Iterable[nn.Parameter],
    learning_rate: float,
    weight_decay: float = 0.0,
    *,
    decay_norms: bool = False,
) -> list[dict]:
    """Groups of trainable parameters at one learning rate.

    Weight decay spares biases and norms (one-dimensional tensors): pulling a batch norm's
    scale to zero regularises nothing.

    Args:
        weight_decay: of tensors with two or more dimensions.

    Returns:
        One group with decay and one without; empty ones are left out.
    """
    if isinstance(parameters, nn.Module):
        parameters = parameters.parameters()
    decayed, spared = [], []
    for parameter in parameters:
        if parameter.requires_grad:
            (decayed if decay_norms or parameter.ndim > 1 else spared).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return [{**group, "lr": learning_rate} for group in groups if group["params"]]


def backbone_groups(tail: nn.Module, stages: Sequence[int], n_stages: int, rates: Rates) -> list:
    """Groups of a backbone's trainable tail, one rate per stage; stages are of its parameters."""
    groups = []
    for stage in sorted(set(stages)):
        own = [p for p, s in zip(tail.parameters(), stages, strict=True) if s == stage]
        rate = rates.backbone * rates.layer_decay ** (n_stages - 1 - stage)
        groups += parameter_group(own, rate, rates.weight_decay, decay_norms=rates.decay_norms)
    return groups


def build_optimizer(groups: Iterable[dict], name: str = "adamw") -> torch.optim.Optimizer:
    """AdamW, Adam, or SGD with momentum 0.9, over groups that carry their own rates."""
    groups = list(groups)
    if not groups:
        raise InputError("nothing to train: every parameter is frozen; unfreeze a stage")
    sgd = partial(torch.optim.SGD, momentum=0.9)
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": sgd}
    return kinds[name](groups, fused=True)  # one pass over all tensors


class Schedule:
    """A learning-rate schedule that the loop drives step by step.

    Every group keeps its own peak rate; the schedule scales them alike.

    Args:
        name: one of `SCHEDULES`, or a function: (step from 1, steps of the run, steps of the
            warm-up) to the share of the peak. "step" divides by 10 after each third of the run,
            "plateau" halves when validation has not improved for 3 epochs.
        optimizer: its groups' rates are the peaks.
        warmup_epochs: linear rise from 0 at the start; may be a fraction. "one_cycle" has
            its own.
        final_rate: learning rate that "cosine" ends with, the same for every group.

    Raises:
        ValueError: unknown name.
    """

    def __init__(
        self,
        name: str | Callable[[int, int, int], float],
        optimizer: torch.optim.Optimizer,
        *,
        epochs: int,
        steps_per_epoch: int,
        warmup_epochs: float = 0.0,
        final_rate: float = 0.0,
    ) -> None:
        if not callable(name) and name not in SCHEDULES:
            raise ValueError(f"found schedule {name}, expected one of {', '.join(SCHEDULES)}")
        self.name, self.optimizer, self.final_rate = name, optimizer, final_rate
        self.n_steps = epochs * steps_per_epoch
        self.n_warmup = round(warmup_epochs * steps_per_epoch)
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self._torchs = None
        if name == "one_cycle":
            self._torchs = OneCycleLR(optimizer, self.peaks, total_steps=self.n_steps + 1)
        elif name == "plateau":
            self._torchs = ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=3)

    def before_step(self, step: int) -> None:
        """Set the rates for optimiser step `step`, counted from 1 over the whole run."""
        if self.name == "one_cycle":
            if step > 1:
                self._torchs.step()
        elif self.name != "plateau" or step <= self.n_warmup:
            for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
                group["lr"] = self._rate(step, peak)

    def _rate(self, step: int, peak: float) -> float:
        if callable(self.name):
            return peak * float(self.name(step, self.n_steps, self.n_warmup))
        if step < self.n_warmup:
            return peak * step / self.n_warmup
        if self.name == "cosine":
            progress = (step - self.n_warmup) / max(2, self.n_steps - self.n_warmup)
            share = (1 + math.cos(math.pi * progress)) / 2
            return self.final_rate + (peak - self.final_rate) * share
        return peak * 0.1 ** (step // max(1, self.n_steps // 3)) if self.name == "step" else peak

    def after_epoch(self, validation_value: float) -> None:
        """Tell the schedule how validation went; only "plateau" listens."""
        if self.name == "plateau":
            self._torchs.step(validation_value)

    def state_dict(self) -> dict:
        """What a resumed run needs; most schedules are functions of the step alone."""
        return self._torchs.state_dict() if self._torchs else {}

    def load_state_dict(self, state: dict) -> None:
        """Undo `state_dict`."""
        if self._torchs:
            self._torchs.load_state_dict(state)
