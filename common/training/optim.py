"""Optimiser groups with their own learning rates, and schedules."""

from collections.abc import Iterable

import torch
from timm.scheduler import CosineLRScheduler, StepLRScheduler
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from common.errors import InputError

SCHEDULES = ("cosine", "step", "plateau", "one_cycle", "constant")


def parameter_group(
    module: nn.Module, learning_rate: float, weight_decay: float = 0.0
) -> list[dict]:
    """Groups of one module's trainable parameters at one learning rate.

    Weight decay spares biases and norms (one-dimensional tensors): pulling a batch norm's
    scale to zero regularises nothing.

    Returns:
        One group with decay and one without; empty ones are left out.
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [{**group, "lr": learning_rate} for group in groups if group["params"]]


def build_optimizer(groups: Iterable[dict], name: str = "adamw") -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum 0.9, over groups that carry their own rates."""
    groups = list(groups)
    if not groups:
        raise InputError("nothing to train: every parameter is frozen; unfreeze a stage")
    if name == "adamw":
        return torch.optim.AdamW(groups, fused=True)  # one pass over all tensors
    if name == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True)
    raise InputError(f"--optimizer {name}: expected adamw or sgd")


class Schedule:
    """A learning-rate schedule that the loop drives step by step.

    Every group keeps its own peak rate; the schedule scales them alike.

    Args:
        name: one of `SCHEDULES`. "step" divides by 10 after each third of the run, "plateau"
            halves when validation has not improved for 3 epochs.
        optimizer: its groups' rates are the peaks.
        epochs: length of the run.
        steps_per_epoch: optimiser steps in one epoch.
        warmup_epochs: linear rise from 0 at the start; may be a fraction. "one_cycle" has
            its own.

    Raises:
        InputError: unknown name, or a warm-up as long as the run.
    """

    def __init__(
        self,
        name: str,
        optimizer: torch.optim.Optimizer,
        *,
        epochs: int,
        steps_per_epoch: int,
        warmup_epochs: float = 0.0,
    ) -> None:
        if name not in SCHEDULES:
            raise InputError(f"--schedule {name}: expected one of {', '.join(SCHEDULES)}")
        if not 0 <= warmup_epochs < epochs:
            raise InputError(
                f"--warmup_epochs {warmup_epochs}: expected at least 0 and less than the "
                f"{epochs} epochs of the run"
            )
        self.name = name
        total = epochs * steps_per_epoch
        warmup = {"warmup_t": round(warmup_epochs * steps_per_epoch), "warmup_lr_init": 0.0}
        self._plateau = ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=3)
        if name == "one_cycle":
            peaks = [group["lr"] for group in optimizer.param_groups]
            self._by_step = OneCycleLR(optimizer, peaks, total_steps=total + 1)
        elif name == "cosine":
            self._by_step = CosineLRScheduler(
                optimizer, max(2, total - warmup["warmup_t"]), t_in_epochs=False,
                warmup_prefix=True, **warmup,
            )  # fmt: skip
        else:
            decay_rate = 0.1 if name == "step" else 1.0
            self._by_step = StepLRScheduler(
                optimizer, max(1, total // 3), decay_rate, t_in_epochs=False, **warmup
            )

    def before_step(self, step: int) -> None:
        """Set the rates for optimiser step `step`, counted from 1 over the whole run."""
        if isinstance(self._by_step, OneCycleLR):
            if step > 1:
                self._by_step.step()
        elif self.name != "plateau" or step <= self._by_step.warmup_t:
            self._by_step.step_update(step)

    def after_epoch(self, validation_value: float) -> None:
        """Tell the schedule how validation went; only "plateau" listens."""
        if self.name == "plateau":
            self._plateau.step(validation_value)

    def state_dict(self) -> dict:
        """What a resumed run needs; cosine and step are functions of the step alone."""
        one_cycle = self._by_step.state_dict() if self.name == "one_cycle" else {}
        return {"plateau": self._plateau.state_dict(), "one_cycle": one_cycle}

    def load_state_dict(self, state: dict) -> None:
        """Undo `state_dict`."""
        self._plateau.load_state_dict(state["plateau"])
        if self.name == "one_cycle":
            self._by_step.load_state_dict(state["one_cycle"])
