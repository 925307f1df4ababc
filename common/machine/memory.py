"""How much memory a part of a run takes."""

import gc
import threading

from common.machine.freed_memory import hand_back_freed_memory

import psutil
import torch

LOOK_SECONDS = 0.005  # between two looks at the process's memory


class PeakMemory:
    """Watches memory while a block runs: the highest above what was held at its start.

    On a CUDA GPU it is the GPU's memory, counted by PyTorch; elsewhere the process's own,
    looked at every few milliseconds, so that a shorter peak may be missed.

    Attributes:
        megabytes: MB, 10⁶ bytes, once the block is over.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device, self.megabytes = torch.device(device), 0.0

    def __enter__(self) -> "PeakMemory":
        gc.collect()
        hand_back_freed_memory()  # or what is kept would be used again, unseen
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
        self.megabytes = (self._highest - self._start) / 1e6


def _resident_bytes() -> int:
    return psutil.Process().memory_info().rss
