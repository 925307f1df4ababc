"""Which device computes."""

from common.errors import InputError
from common.machine import processes

import torch


def pick_device(name: str = "auto") -> torch.device:
    """The device that `--device` names; nothing else is touched by asking.

    Several processes on GPUs get one each.

    Args:
        name: auto (a CUDA GPU, an Apple GPU, else the CPU), cpu, cuda, cuda:N or mps.

    Raises:
        InputError: this machine has no such device, or several processes cannot share it.
    """
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name.startswith("cuda") and not has_cuda:
        raise InputError(
            f"--device {name}: no CUDA GPU is in reach, expected one; take --device cpu or auto"
        )
    if name == "mps" and not has_mps:
        raise InputError("--device mps: this is no Apple GPU; take --device cpu or auto")
    processes.join()
    if processes.count() > 1 and name.startswith(("cuda:", "mps")):
        raise InputError(
            f"--device {name}: {processes.count()} processes cannot share it, each takes a GPU "
            "of its own; take --device auto, cuda or cpu"
        )
    if name.startswith("cuda:"):
        return torch.device(name)
    if has_cuda and name in ("auto", "cuda"):
        return torch.device("cuda", processes.launched("LOCAL_RANK", 0))
    if has_mps and name in ("auto", "mps") and processes.count() == 1:
        return torch.device("mps")
    return torch.device("cpu")
