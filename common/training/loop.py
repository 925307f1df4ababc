"""The training loop: plain PyTorch over Accelerate, for one process or many.

All randomness of an epoch comes from (seed, epoch): a run that is killed and started again
continues from its last checkpoint to the same result, with no generator state to store.
"""

import copy
import hashlib
import time
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from common.data.images import view_seed
from common.data.sampling import ShuffledBatchSampler
from common.errors import InputError
from common.files import replacing
from common.machine import processes
from common.machine.device import pick_device
from common.machine.loader import make_loader, stacked
from common.machine.memory import keep_freed_memory
from common.machine.precision import Compute, choose_precision, compiled, say
from common.machine.shares import BatchShares, pooled
from common.machine.whole_batch import whole_batch_norms
from common.models.backbones import rest_frozen_modules
from common.training.optim import Schedule, build_optimizer

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from accelerate.state import AcceleratorState
from timm.utils import ModelEmaV3
from torch import nn
from torch.utils.data import Dataset, Sampler
from tqdm import tqdm

CHECKPOINT_SECONDS = 15.0  # at most this much work is lost when a run is killed


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Attributes:
        epochs: passes over the training photos.
        batch_size: photos in a batch, over all processes.
        optimizer: "adamw", "adam" or "sgd".
        schedule: "cosine", "step", "plateau", "one_cycle" or "constant".
        warmup_epochs: linear rise of the learning rate; may be a fraction.
        final_rate: learning rate that "cosine" ends with.
        clip_norm: longest gradient allowed, L2 norm; None: no limit.
        accumulation: batches whose gradients are added up before a step.
        ema_decay: of the running mean of the weights, which is then validated and kept, (0, 1);
            None: off.
        patience: epochs without a better validation before training stops; None: never.
        mixed_precision: "no", "bf16", "fp16", or "auto": what a trial finds clearly faster.
        compile: by PyTorch's compiler, which takes minutes before the first step.
        workers: processes that prepare photos; None: as many as pay.
        device: "auto", "cpu", "cuda", "mps".
        seed: of batch order, random views and dropout.
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
        best_epoch: whose weights the model now holds.
        best_value: validation value there, a loss with a minus; nan without validation.
        seconds: of training, over all starts of the run.
        images_per_second: training photos through the network.
    """

    history: list[dict] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float = float("nan")
    seconds: float = 0.0
    images_per_second: float = float("nan")


def make_accelerator(
    device: str = "auto", mixed_precision: str = "no", accumulation: int = 1
) -> Accelerator:
    """Accelerate's handle on device, precision and processes.

    Raises:
        InputError: a device or precision that this machine does not have.
    """
    chosen = pick_device(device)
    if mixed_precision == "fp16" and chosen.type != "cuda":
        raise InputError("--mixed_precision fp16: needs a CUDA GPU; take bf16 or no")
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    # The library keeps device and precision for the whole process; two runs may differ.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(
        cpu=chosen.type == "cpu",
        mixed_precision=mixed_precision,
        gradient_accumulation_steps=accumulation,
    )


def choose_compute(model: nn.Module, dataset: Dataset, settings: TrainingSettings) -> Compute:
    """What training runs with; all processes do as the first one.

    Args:
        model: inputs to outputs.
        dataset: its first items are what "auto" tries precisions with.
        settings: of the run.
    """
    compute = Compute(settings.mixed_precision)
    if settings.mixed_precision == "auto":
        device = pick_device(settings.device)
        items = [dataset[index] for index in range(min(len(dataset), settings.batch_size))]
        model.to(device, memory_format=torch.channels_last)
        compute = choose_precision(model, stacked(items)[0].to(device))
        compute = processes.mains(compute)
    return replace(compute, is_compiled=settings.compile)


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
    title: str = "training",
    progress: bool = True,
) -> FitResult:
    """Train a model in place; it ends with the weights of its best validated epoch.

    Args:
        model: inputs to outputs.
        criterion: (outputs, labels) to a mean loss; may hold weights, named in `groups`.
        dataset: items (input, label); its `set_epoch`, where it has one, is called with the epoch.
        groups: of the optimiser, see `common.training.optim.parameter_group`.
        settings: how to train.
        validate: called after each epoch with the model in evaluation mode; pooled values.
        choose_by: the validation value that picks the best epoch; higher is better, unless its
            name ends in "loss".
        batch_sampler: yields lists of indices; None: all photos, shuffled.
        mix: (inputs, labels) to mixed inputs and shares of each label, as torchvision's MixUp
            and CutMix do; the criterion must take such shares.
        checkpoint: file that a killed run continues from; removed by the caller when done.
        title: beside the progress bar.
        progress: whether to draw one.

    Raises:
        InputError: no photos; a checkpoint of other settings is ignored, not an error.
    """
    if len(dataset) == 0:
        raise InputError("no photo to train on: the split leaves the training part empty")
    compute = choose_compute(model, dataset, settings)
    settings = replace(settings, mixed_precision=compute.precision)
    accelerator = make_accelerator(settings.device, settings.mixed_precision, settings.accumulation)
    sampler = batch_sampler or ShuffledBatchSampler(
        len(dataset), settings.batch_size, settings.seed
    )
    loader = make_loader(
        dataset, accelerator.device, workers=settings.workers, batch_sampler=BatchShares(sampler)
    )
    keep_freed_memory()
    model.to(accelerator.device, memory_format=torch.channels_last)  # convolutions: 1.3 to 1.6×
    criterion.to(accelerator.device)
    optimizer = build_optimizer(groups, settings.optimizer)
    steps_per_epoch = -(-len(loader) // settings.accumulation)
    schedule = Schedule(
        settings.schedule, optimizer, epochs=settings.epochs, steps_per_epoch=steps_per_epoch,
        warmup_epochs=min(settings.warmup_epochs, settings.epochs / 2),
        final_rate=settings.final_rate,
    )  # fmt: skip
    # Batches are dealt already: each process goes through all that its loader gives.
    loader = prepare_data_loader(
        loader, accelerator.device, num_processes=1, process_index=0, put_on_device=True,
        non_blocking=loader.pin_memory,
    )  # fmt: skip
    wrapped = compiled(model) if settings.compile else model
    wrapped, optimizer = accelerator.prepare(wrapped, optimizer)
    run = _Training(accelerator, model, wrapped, criterion, optimizer, schedule, settings)
    run.mix = mix
    run.fingerprint = fingerprint(model, criterion, dataset, settings)
    run.restore(checkpoint)

    if progress and accelerator.is_main_process:
        say(compute)
    epochs = range(len(run.result.history), settings.epochs)
    with tqdm(
        total=settings.epochs, initial=epochs.start, desc=title, unit="epoch",
        disable=not (progress and accelerator.is_main_process),
    ) as bar:  # fmt: skip
        for epoch in epochs:
            if run.is_out_of_patience():
                break
            row = run.train_epoch(epoch, loader, dataset, sampler)
            run.end_epoch(row, validate, choose_by, checkpoint)
            bar.set_postfix({key: f"{row[key]:.3g}" for key in row if key != "epoch"})
            bar.update()
    run.keep_best()
    return run.result


class _Training:
    """State of one run: what a checkpoint holds."""

    def __init__(self, accelerator, model, wrapped, criterion, optimizer, schedule, settings):
        self.accelerator, self.model, self.wrapped = accelerator, model, wrapped
        self.criterion, self.optimizer, self.schedule = criterion, optimizer, schedule
        has_weights = any(True for _ in criterion.parameters())
        self.measure = accelerator.prepare(criterion) if has_weights else criterion
        self.settings, self.result = settings, FitResult()
        self.n_steps, self.fingerprint, self.mix = 0, "", None
        self.ema = ModelEmaV3(model, settings.ema_decay) if settings.ema_decay else None
        self.best_state: dict[str, torch.Tensor] | None = None
        self.saved_at = time.monotonic()

    def train_epoch(self, epoch: int, loader, dataset, sampler) -> dict[str, float]:
        """One pass; the loss is pooled over photos, so a ragged last batch weighs its share."""
        for part in (dataset, loader):  # the prepared loader counts epochs of its own
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
        torch.manual_seed(view_seed(self.settings.seed, epoch, self.accelerator.process_index))
        self.wrapped.train()
        rest_frozen_modules(self.wrapped)
        start, loss_sum, n_seen = time.perf_counter(), 0.0, 0
        for batch, (inputs, labels) in zip(sampler, loader, strict=True):
            if self.mix is not None:
                inputs, labels = self.mix(inputs, labels)
            if inputs.ndim == 4:
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            with self.accelerator.accumulate(self.wrapped, self.measure):
                loss = self._step(inputs, labels, len(batch))
            n_seen += len(batch)
            loss_sum += loss.item() * len(batch)
        if not np.isfinite(loss_sum):
            raise InputError(
                f"the training loss is not a number after epoch {epoch + 1}; lower "
                "--learning_rate, or train with --mixed_precision no"
            )
        seconds = time.perf_counter() - start
        self.result.seconds += seconds
        self.result.images_per_second = n_seen / seconds
        rate = max(group["lr"] for group in self.optimizer.param_groups)
        return {"epoch": epoch + 1, "train_loss": loss_sum / n_seen, "learning_rate": rate}

    def _step(self, inputs: torch.Tensor, labels: torch.Tensor, n_photos: int) -> torch.Tensor:
        if self.accelerator.sync_gradients:
            self.n_steps += 1
            self.schedule.before_step(self.n_steps)
        with self.accelerator.autocast():
            with whole_batch_norms(n_photos):
                outputs = self.wrapped(inputs)
            outputs = pooled(outputs, n_photos)
            loss = self.measure(outputs, pooled(labels, n_photos))
        self.accelerator.backward(loss)
        if self.accelerator.sync_gradients and self.settings.clip_norm:
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            self.accelerator.clip_grad_norm_(parameters, self.settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.ema and self.accelerator.sync_gradients:
            self.ema.update(self.model)
        return loss.detach()

    def end_epoch(self, row: dict, validate, choose_by: str, checkpoint: Path | None) -> None:
        """Validate, remember the best weights, save what a killed run needs."""
        candidate = self.ema.module if self.ema else self.model
        if validate is not None:
            candidate.eval()
            with torch.no_grad():
                row |= processes.mains(validate(candidate))
            value = -row[choose_by] if choose_by.endswith("loss") else row[choose_by]
            self.schedule.after_epoch(value)
        else:
            value = float(row["epoch"])  # nothing to choose by: the last epoch is the result
        best = self.result.best_value
        if np.isnan(best) or value > best:
            self.result.best_value, self.result.best_epoch = value, row["epoch"]
            self.best_state = copy.deepcopy(candidate.state_dict())
        self.result.history.append(row)
        is_due = time.monotonic() - self.saved_at >= CHECKPOINT_SECONDS
        if checkpoint and (is_due or row["epoch"] == self.settings.epochs):
            self.save(checkpoint)

    def is_out_of_patience(self) -> bool:
        """Whether validation has not improved for too long."""
        waited = len(self.result.history) - self.result.best_epoch
        return self.settings.patience is not None and waited >= self.settings.patience

    def keep_best(self) -> None:
        """Put the best validated weights into the model."""
        if self.best_state is not None:
            self.model.load_state_dict(self.best_state)
        self.model.eval()

    def save(self, checkpoint: Path) -> None:
        """Write beside and rename: a kill in between leaves the older checkpoint whole."""
        self.saved_at = time.monotonic()
        if not self.accelerator.is_main_process:
            return
        state = {
            "fingerprint": self.fingerprint,
            "model": self.model.state_dict(),
            "criterion": self.criterion.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "ema": self.ema.state_dict() if self.ema else {},
            "best": self.best_state or {},
            "n_steps": self.n_steps,
            "result": asdict(self.result),
        }
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with replacing(checkpoint) as unfinished:
            torch.save(state, unfinished)

    def restore(self, checkpoint: Path | None) -> None:
        """Continue from a checkpoint of the same settings, if there is one."""
        state = None
        if processes.is_main() and checkpoint and checkpoint.is_file():
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        state = processes.mains(state)
        if state is None or state["fingerprint"] != self.fingerprint:
            return
        self.model.load_state_dict(state["model"])
        self.criterion.load_state_dict(state["criterion"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        self.best_state, self.n_steps = state["best"] or None, state["n_steps"]
        self.result = FitResult(**state["result"])


def fingerprint(
    model: nn.Module, criterion: nn.Module, dataset: Dataset, settings: TrainingSettings
) -> str:
    """Of everything that a run starts from: another start must not take up its checkpoint."""
    digest = hashlib.sha256(repr([asdict(settings), repr(criterion), len(dataset)]).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    digest.update(np.asarray(getattr(dataset, "labels", ())).tobytes())
    return digest.hexdigest()
