"""The training loop: plain PyTorch, on a `common.machine.machine.Machine`.

All randomness of an epoch comes from (seed, epoch): a run that is killed and started again
continues from its last checkpoint to the same result, with no generator state to store.
"""

import copy
import math
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import FunctionType
from typing import NoReturn

from common.data.images import view_seed
from common.data.sampling import ShuffledBatchSampler
from common.errors import InputError
from common.machine import processes
from common.machine.machine import Machine
from common.machine.precision import say
from common.models.backbones import rest_frozen_modules
from common.training.checkpoints import Checkpoint, key_of, named_groups
from common.training.optim import Schedule, build_optimizer

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.utils.data import Dataset, Sampler
from tqdm import tqdm


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Attributes:
        batch_size: photos in a batch, over all processes.
        optimizer: "adamw", "adam" or "sgd".
        schedule: "cosine", "step", "plateau", "one_cycle" or "constant".
        warmup_epochs: linear rise of the learning rate; may be a fraction.
        final_rate: learning rate that "cosine" ends with.
        clip_norm: longest gradient allowed, L2 norm; None: no limit.
        ema_decay: of the running mean of the weights, which is then validated and kept, (0, 1);
            None: off.
        patience: epochs without a better validation before training stops; None: never.
        mixed_precision: "no", "bf16", "fp16", or "auto": what a trial finds clearly faster.
        workers: processes that prepare photos; None: as many as pay.
        device: "auto", "cpu", "cuda", "mps".
    """

    epochs: int
    batch_size: int = 32
    optimizer: str = "adamw"
    schedule: str = "cosine"
    warmup_epochs: float = 1.0
    final_rate: float = 0.0
    clip_norm: float | None = 5.0
    accumulation: int = 1
    ema_decay: float | None = None
    patience: int | None = None
    mixed_precision: str = "no"
    compile: bool = False
    workers: int | None = None
    device: str = "auto"
    seed: int = 0

    @classmethod
    def from_flags(cls, args: Namespace, **changes: object) -> "TrainingSettings":
        """Settings as a script's flags name them.

        Args:
            args: flags with the names of these attributes; those that a script lacks keep their
                default.
            changes: what the script decides itself, such as seed=1.
        """
        names = {each.name for each in fields(cls)} & vars(args).keys()
        return cls(**{name: getattr(args, name) for name in names} | changes)


@dataclass
class FitResult:
    """What training leaves behind, beside the trained model.

    Attributes:
        history: one row per epoch: epoch (from 1), train_loss, learning_rate, validation values.
        best_value: validation value there, a loss with a minus; nan without validation.
        images_per_second: training photos through the network.
    """

    history: list[dict] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float = float("nan")
    seconds: float = 0.0
    images_per_second: float = float("nan")


def fit(
    model: nn.Module,
    criterion: nn.Module,
    dataset: Dataset,
    groups: Iterable[dict],
    settings: TrainingSettings,
    *,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    choose_by: str = "validation_accuracy",
    batch_sampler: Sampler | None = None,
    mix: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]] | None = None,
    checkpoint: Path | None = None,
    depends_on: object = None,
    title: str = "training",
    progress: bool = True,
) -> FitResult:
    """Train a model in place; it ends with the weights of its best validated epoch.

    Args:
        criterion: (outputs, labels) to a mean loss; may hold weights, named in `groups`.
        dataset: items (input, label); its `set_epoch`, where it has one, is called with the epoch.
        groups: of the optimiser, see `common.training.optim.parameter_group`.
        validate: called after each epoch with the model in evaluation mode; pooled values.
        choose_by: the validation value that picks the best epoch; higher is better, unless its
            name ends in "loss".
        batch_sampler: yields lists of indices; None: all photos, shuffled.
        mix: (inputs, labels) to mixed inputs and shares of each label, as torchvision's MixUp
            and CutMix do; the criterion must take such shares.
        checkpoint: file that a killed training continues from, see
            `common.training.checkpoints`; removed by the caller when done.
        depends_on: what the result depends on beside the other arguments, such as the photos
            that the function `validate` asks; an object that validates is looked into.

    Raises:
        InputError: no photos, or a device or precision that is not there.
    """
    if len(dataset) == 0:
        raise InputError("no photo to train on: the split leaves the training part empty")
    sampler = batch_sampler or ShuffledBatchSampler(
        len(dataset), settings.batch_size, settings.seed
    )
    machine = Machine(
        settings.device,
        settings.mixed_precision,
        accumulation=settings.accumulation,
        compile=settings.compile,
        workers=settings.workers,
    )
    machine.try_precisions(model, dataset, settings.batch_size)
    groups, key = list(groups), ""
    if checkpoint:
        named = named_groups(groups, model=model, criterion=criterion)
        how = [settings, machine.compute.precision, choose_by, depends_on]
        how += [] if isinstance(validate, FunctionType) else [validate]
        key = key_of(model, criterion, named, dataset, sampler, mix, how)
    run = _Training(machine, model, criterion, groups, settings, len(sampler))
    run.restore(Checkpoint(checkpoint, key))
    try:
        run.train(dataset, sampler, mix, validate, choose_by, title if progress else None)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):  # of a batch norm
            raise
        raise InputError(
            f"--batch_size {settings.batch_size}: found a step of one photo, expected two or more "
            "for batch norm to compare; raise --batch_size, or --image_size where it is small"
        ) from error
    run.keep_best()
    return run.result


class _Training:
    """One training under way, and what its checkpoint holds."""

    def __init__(
        self,
        machine: Machine,
        model: nn.Module,
        criterion: nn.Module,
        groups: list[dict],
        settings: TrainingSettings,
        n_batches: int,
    ) -> None:
        self.machine, self.model, self.settings = machine, model, settings
        self.criterion, self.prepared = criterion, machine.prepare(model, criterion)
        self.optimizer = build_optimizer(groups, settings.optimizer)
        self.steps_per_epoch = -(-n_batches // settings.accumulation)
        self.schedule = Schedule(
            settings.schedule,
            self.optimizer,
            epochs=settings.epochs,
            steps_per_epoch=self.steps_per_epoch,
            warmup_epochs=min(settings.warmup_epochs, settings.epochs / 2),
            final_rate=settings.final_rate,
        )
        self.ema = ModelEmaV3(model, settings.ema_decay) if settings.ema_decay else None
        self.result, self.best_state = FitResult(), {}
        self.checkpoint, self.saved_epoch = Checkpoint(None, ""), 0

    def train(
        self,
        dataset: Dataset,
        sampler: Sampler,
        mix: Callable | None,
        validate: Callable | None,
        choose_by: str,
        title: str | None,
    ) -> None:
        """The loop of week 1; what differs from machine to machine is left to the machine."""
        machine, optimizer, result = self.machine, self.optimizer, self.result
        network, criterion = self.prepared
        candidate = self.ema.module if self.ema else self.model
        for epoch in self.epochs(title):
            self.begin(epoch, dataset, sampler)
            network.train()
            rest_frozen_modules(network)
            start, loss_sum, n_seen = time.perf_counter(), 0.0, 0
            for inputs, labels in machine.batches(dataset, sampler):
                if mix is not None:
                    inputs, labels = mix(inputs, labels)
                with machine.autocast():
                    outputs, labels = machine.pooled(network(inputs), labels)
                    loss = criterion(outputs, labels)
                machine.backward(loss)
                if machine.is_step:
                    self.n_steps += 1
                    self.schedule.before_step(self.n_steps)
                    machine.clip(optimizer, self.settings.clip_norm)
                    machine.step(optimizer)
                    optimizer.zero_grad()
                    if self.ema:
                        self.ema.update(self.model)
                if not math.isfinite(value := loss.item()):
                    self.stop_diverging(epoch)
                loss_sum += value * len(labels)
                n_seen += len(labels)
            row = self.describe(epoch, loss_sum, n_seen, time.perf_counter() - start)

            row |= machine.evaluate(candidate, validate)
            value = _value_of(row, choose_by if validate else None)
            self.schedule.after_epoch(value)
            if np.isnan(result.best_value) or value > result.best_value:
                result.best_value, result.best_epoch = value, row["epoch"]
                self.best_state = copy.deepcopy(candidate.state_dict())
            result.history.append(row)
            self.save()

    def epochs(self, title: str | None) -> Iterator[int]:
        """Epochs to go, from 0, until patience has run out; beside a bar where it has a title."""
        is_shown = title is not None and processes.is_main()
        if is_shown:
            say(self.machine.compute)
        done, total = len(self.result.history), self.settings.epochs
        with tqdm(total=total, initial=done, desc=title, unit="epoch", disable=not is_shown) as bar:
            for epoch in range(done, total):
                if self.is_over:
                    break
                yield epoch
                row = self.result.history[-1]
                bar.set_postfix({key: f"{row[key]:.3g}" for key in row if key != "epoch"})
                bar.update()

    @property
    def is_over(self) -> bool:
        """Whether all epochs are trained, or validation has not improved for too long."""
        n_done, patience = len(self.result.history), self.settings.patience
        is_hopeless = patience is not None and n_done - self.result.best_epoch >= patience
        return n_done == self.settings.epochs or is_hopeless

    def begin(self, epoch: int, dataset: Dataset, sampler: Sampler) -> None:
        """Let all chance of an epoch come from the seed and its number."""
        for part in (dataset, sampler):
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
        torch.manual_seed(view_seed(self.settings.seed, epoch, processes.index()))
        self.n_steps = epoch * self.steps_per_epoch

    def describe(self, epoch: int, loss_sum: float, n_seen: int, seconds: float) -> dict:
        """The row of the history; the loss is pooled over photos, not over batches."""
        if not all(bool(each.isfinite().all()) for each in self.model.parameters()):
            self.stop_diverging(epoch)  # the last step went wrong, which no loss has seen yet
        self.result.seconds += seconds
        self.result.images_per_second = n_seen / seconds
        return {"epoch": epoch + 1, "train_loss": loss_sum / n_seen, "learning_rate": self.rate}

    @property
    def rate(self) -> float:
        """The learning rate of the last step, the largest of all groups."""
        return max(group["lr"] for group in self.optimizer.param_groups)

    def stop_diverging(self, epoch: int) -> NoReturn:
        """End a training whose loss or weights are no numbers any more; nothing of it is kept.

        Raises:
            InputError: with the step, its rate, and the last good checkpoint.
        """
        saved, path = self.saved_epoch, self.checkpoint.path
        kept = f"{path} holds epoch {saved}" if saved and path else "there is none yet"
        raise InputError(
            f"training diverges: the loss or a weight is not a number after step {self.n_steps} "
            f"(epoch {epoch + 1}) at learning rate {self.rate:.3g}; last good checkpoint: {kept}; "
            "lower --learning_rate, or train with --mixed_precision no"
        )

    def keep_best(self) -> None:
        """Put the best validated weights into the model."""
        if self.best_state:
            self.model.load_state_dict(self.best_state)
        self.model.eval()

    def save(self) -> None:
        """Save what a killed training needs; of one that is over, what it came to."""
        if not processes.is_main() or not (self.is_over or self.checkpoint.is_due):
            return
        state = {
            "best": self.best_state,
            "criterion": self.criterion.state_dict(),
            "result": asdict(self.result),
        }
        if not self.is_over:
            state |= {name: part.state_dict() for name, part in self._going_on().items()}
        self.checkpoint.save(state)
        self.saved_epoch = len(self.result.history)

    def _going_on(self) -> dict:
        """What moves from step to step, by name."""
        parts = {
            "model": self.model,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.machine.scaler,
        }
        return parts | ({"ema": self.ema} if self.ema else {})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint, if there is one of this training."""
        self.checkpoint = checkpoint
        state = processes.mains(checkpoint.read() if processes.is_main() else None)
        if state is None:
            return
        self.best_state, self.result = state["best"], FitResult(**state["result"])
        self.saved_epoch = len(self.result.history)
        self.criterion.load_state_dict(state["criterion"])
        if not self.is_over:
            for name, part in self._going_on().items():
                part.load_state_dict(state[name])


def _value_of(row: dict, choose_by: str | None) -> float:
    """What the best epoch has most of; None: nothing to choose by, the last one is taken."""
    if choose_by is None:
        return float(row["epoch"])
    return -row[choose_by] if choose_by.endswith("loss") else row[choose_by]
