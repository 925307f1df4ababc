"""Memory of this process: kept between batches, handed back, and how much a run takes."""

import ctypes
import gc
import sys
import threading
from collections.abc import Callable

import psutil
import torch

LOOK_SECONDS = 0.005  # between two looks at the process's memory


def keep_freed_memory() -> None:
    """Keep what one batch frees for the next one, instead of handing it back to the system.

    glibc maps large tensors anew for every batch, and the system fills each with zeros first:
    a fifth of the time of training and up to a half of inference. Keeping costs up to a fifth
    more memory. Where there is no glibc nothing happens.

    Source: mallopt(3), M_MMAP_MAX and M_TRIM_THRESHOLD.
    """
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        mallopt(-4, 0)  # M_MMAP_MAX: never map
        mallopt(-1, -1)  # M_TRIM_THRESHOLD: never hand back


def hand_back_freed_memory() -> None:
    """Give the system what nobody uses, also where `keep_freed_memory` holds on to it."""
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc(name: str) -> Callable | None:
    """A function of the GNU C library; None where there is another one."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


class PeakMemory:
    """Watches memory while a block runs: the highest above what was held at its start.

    On a CUDA GPU it is the GPU's memory, counted by PyTorch; elsewhere the process's own,
    looked at every few milliseconds, so that a shorter peak may be missed.

    Args:
        device: where the block computes.

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
