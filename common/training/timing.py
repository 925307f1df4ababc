"""How fast this machine is, tried for a second, and how much memory a run takes."""

import gc
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import psutil
import torch
from torch import nn

if TYPE_CHECKING:
    from common.training.boundary import PhotosAtBoundary  # which times things itself

PROBE_SECONDS = 0.5
LOOK_SECONDS = 0.005  # between two looks at the process's memory


def images_per_second(model: nn.Module, inputs: torch.Tensor, *, is_training: bool) -> float:
    """Inputs a second through a model, forward alone or forward and backward.

    The model's weights, statistics and gradients stay as they were.

    Args:
        model: a batch of inputs to outputs.
        inputs: one batch, on the model's device.
        is_training: backward too.
    """
    model.eval()  # batch norms would follow the probe in training mode
    n_seen, start = -len(inputs), time.perf_counter()  # the first batch warms up
    while n_seen <= 0 or time.perf_counter() - start < PROBE_SECONDS:
        if n_seen == 0:
            start = time.perf_counter()
        with torch.set_grad_enabled(is_training):
            outputs = model(inputs)
        if is_training:
            trainable = [p for p in model.parameters() if p.requires_grad]
            torch.autograd.grad(outputs.square().mean(), trainable, allow_unused=True)
        n_seen += len(inputs)
    return n_seen / (time.perf_counter() - start)


class PeakMemory:
    """Watches memory while a block runs: the highest above what was held at its start.

    On a CUDA GPU it is the GPU's memory, counted by PyTorch; elsewhere the process's own,
    looked at every few milliseconds, so that a shorter peak may be missed.

    Args:
        device: where the block computes.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device, self.megabytes = torch.device(device), 0.0

    def __enter__(self) -> "PeakMemory":
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._start = torch.cuda.memory_allocated(self.device)
            return self
        self._start, self._is_over = _resident_bytes(), threading.Event()
        self._highest = self._start
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_SECONDS):
            self._highest = max(self._highest, _resident_bytes())

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self._highest = torch.cuda.max_memory_allocated(self.device)
        else:
            self._is_over.set()
            self._watcher.join()
            self._highest = max(self._highest, _resident_bytes())
        self.megabytes = (self._highest - self._start) / 2**20


def _resident_bytes() -> int:
    return psutil.Process().memory_info().rss


def rates_in_turns(
    runs: Mapping[str, Callable[[object], object]],
    inputs: object,
    *,
    n_rounds: int = 5,
    seconds: float = 0.3,
) -> dict[str, float]:
    """Inputs a second of several ways to compute the same thing, taken in turns.

    A machine that is busy for a while is then busy for all of them.

    Args:
        runs: name to function of a batch.
        inputs: one batch, with a length.
        n_rounds: turns of each; the median counts.
        seconds: of a turn, at least.
    """
    rates = {name: [] for name in runs}
    for _ in range(n_rounds):
        for name, run in runs.items():
            run(inputs)  # warms up, while threads of the one before come to rest
            n_seen, start = 0, time.perf_counter()
            while n_seen == 0 or time.perf_counter() - start < seconds:
                run(inputs)
                n_seen += len(inputs)
            rates[name].append(n_seen / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


def seconds_to_train(photos: "PhotosAtBoundary", *, n_trained: int, n_looked_at: int = 0) -> float:
    """Seconds that a training takes on this machine, from half a second's trial of each part.

    Frozen stages that are in the cache already take less.

    Args:
        photos: behind the freeze boundary.
        n_trained: photos in all epochs.
        n_looked_at: photos that validation embeds in all epochs.
    """
    side = photos.preprocessing.image_size
    inputs, seconds = torch.zeros(32, 3, side, side, device=photos.device), 0.0
    if len(photos.trunk):
        photos.trunk.to(photos.device)
        seconds += photos.n_looks / images_per_second(photos.trunk, inputs, is_training=False)
        with torch.no_grad():
            inputs = photos.trunk(inputs)
    if len(photos.tail):
        photos.tail.to(photos.device)
        seconds += n_trained / images_per_second(photos.tail, inputs, is_training=True)
        seconds += n_looked_at / images_per_second(photos.tail, inputs, is_training=False)
    return seconds
