"""Batch norms that see the whole batch, however many processes share it.

PyTorch's SyncBatchNorm is for GPUs, and would count a borrowed photo twice; here the same formula
serves every device. No module is replaced, so that models are stored and copied as ever.
"""

from contextlib import AbstractContextManager, nullcontext

from common.machine import processes

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode


def whole_batch_norms(n_photos: int) -> AbstractContextManager:
    """A block in which batch norms in training take mean and variance over all shares of a batch.

    All processes have to go through the same batch norms in the same order.

    Args:
        n_photos: of the whole batch, dealt by `common.machine.shares.share_of`.
    """
    if processes.count() == 1:
        return nullcontext()
    return _SharedStatistics(len(range(processes.index(), n_photos, processes.count())))


class _SharedStatistics(TorchFunctionMode):
    def __init__(self, n_own: int) -> None:
        super().__init__()
        self.n_own = n_own

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is functional.batch_norm:
            return _batch_norm(self.n_own, *args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _batch_norm(
    n_own: int,
    inputs: torch.Tensor,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> torch.Tensor:
    """`torch.nn.functional.batch_norm`, its statistics over the first n_own rows of each share."""
    if not training:
        return functional.batch_norm(
            inputs, running_mean, running_var, weight, bias, training, momentum, eps
        )
    own = inputs[:n_own].float()
    over = [dim for dim in range(inputs.ndim) if dim != 1]
    count = own.new_full(own.shape[1:2], own.numel() / own.shape[1])
    own_var, own_mean = torch.var_mean(own, over, correction=0) if n_own else (0 * count, 0 * count)
    counts, means, variances = _of_every_process(torch.stack([count, own_mean, own_var])).unbind(1)

    shares = counts / counts.sum(0)
    mean = (shares * means).sum(0)
    var = (shares * (variances + (means - mean).square())).sum(0)
    if running_mean is not None:
        n_values = counts.sum(0).detach()
        unbiased = var.detach() * n_values / (n_values - 1).clamp(min=1)
        running_mean.lerp_(mean.detach().to(running_mean), momentum)
        running_var.lerp_(unbiased.to(running_var), momentum)

    scale = torch.rsqrt(var + eps) * (1 if weight is None else weight)
    shift = (0 if bias is None else bias) - mean * scale
    along_channels = [1, -1] + [1] * (inputs.ndim - 2)
    normalised = inputs * scale.view(along_channels) + shift.view(along_channels)
    return normalised.to(inputs.dtype)


def _of_every_process(values: torch.Tensor) -> torch.Tensor:
    """The values of all processes stacked in their order; gradients flow back to each."""
    rows = [torch.zeros_like(values)] * processes.count()
    rows[processes.index()] = values
    return _SumOverProcesses.apply(torch.stack(rows))


class _SumOverProcesses(torch.autograd.Function):
    """Forward the sum, backward the sum of the gradients: each process's loss depends on it."""

    @staticmethod
    def forward(context, values: torch.Tensor) -> torch.Tensor:
        return _summed(values)

    @staticmethod
    def backward(context, gradient: torch.Tensor) -> torch.Tensor:
        return _summed(gradient)


def _summed(values: torch.Tensor) -> torch.Tensor:
    values = values.contiguous().clone()
    torch.distributed.all_reduce(values)
    return values
