"""How this machine computes a network: memory, precision, compiler, folded batch norms.

A stopwatch decides nothing unless asked: a run must give the same numbers tomorrow. What is
always faster is always done; `--mixed_precision auto` asks for a trial of 16-bit numbers, which
win only where they are clearly faster, and `--compile` for PyTorch's compiler.
"""

import copy
import functools
import itertools
from dataclasses import dataclass

from common.errors import InputError, first_line
from common.machine.timing import rates_in_turns

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
CLEAR_GAIN = 1.2  # times faster: a smaller lead could be another one's in the next run
FOLD_TOLERANCE = 1e-3  # of the largest output; rounding stays far below, a wrong pair far above


@dataclass(frozen=True)
class Compute:
    """What training runs with.

    Attributes:
        precision: "no" (32 bits), "bf16" or "fp16"; "auto" until a trial has settled it.
        gain: photos per second in 16 bits over those in 32; None where it was not tried.
    """

    precision: str = "no"
    gain: float | None = None
    is_compiled: bool = False

    def __str__(self) -> str:
        precision = "float32" if self.precision == "no" else self.precision
        tried = f" (16 bits measured {self.gain:.1f}×)" if self.gain is not None else ""
        compiled = ", compiled" if self.is_compiled else ""
        return f"compute: channels-last, {precision}{tried}, fused optimiser{compiled}"


@functools.cache  # once in a process, however many trainings follow
def say(compute: Compute) -> None:
    """Print what is computed with."""
    print(compute)


def choose_precision(model: nn.Module, inputs: torch.Tensor) -> Compute:
    """Try 32 and 16 bits for some seconds; 16 bits must be clearly faster to be taken.

    The model's weights, statistics and gradients stay as they were.
    """
    device = inputs.device.type
    has_bf16 = device != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    name = "bf16" if has_bf16 else "fp16"
    trainable = [p for p in model.parameters() if p.requires_grad]
    model.eval()  # batch norms would follow the trial in training mode

    def step(batch: torch.Tensor, *, is_half: bool) -> None:
        with torch.autocast(device, HALF[name], enabled=is_half):
            loss = model(batch).float().square().mean()
        gradients = torch.autograd.grad(loss, trainable, allow_unused=True)
        next(g for g in gradients if g is not None).sum().item()  # waits for a GPU to be done

    rates = rates_in_turns(
        {"no": functools.partial(step, is_half=False), name: functools.partial(step, is_half=True)},
        inputs,
        n_rounds=3,
    )
    gain = rates[name] / rates["no"]
    return Compute(name if gain >= CLEAR_GAIN else "no", gain)


def compiled(model: nn.Module) -> nn.Module:
    """The model behind PyTorch's compiler, sharing its weights; compiling takes minutes.

    Raises:
        InputError: no compiler works here. It is tried, because many things can be missing.
    """
    device = next(model.parameters()).device
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.ones(8, device=device))
    except Exception as error:  # whatever a missing or broken compiler brings
        reason = first_line(error)
        raise InputError(
            f"--compile: no compiler works here ({reason}); expected a C++ compiler and, on a "
            "GPU, Triton: install one, or leave --compile out"
        ) from error
    return torch.compile(model)


@torch.no_grad()
def folded(network: nn.Module, inputs: torch.Tensor) -> nn.Module:
    """The same function with batch norms folded into the convolutions before them.

    Args:
        network: in evaluation mode; stays as it is.

    Returns:
        A copy, equal to rounding; the network itself where there is nothing to fold, or where
        its modules don't run in the order in which they are listed.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network
    copied = copy.deepcopy(network)
    if not sum(_fold_children(module) for module in list(copied.modules())):
        return network
    expected, found = network(inputs), copied(inputs)
    largest_error = (found - expected).abs().max()
    return copied if largest_error <= FOLD_TOLERANCE * expected.abs().max() else network


def _fold_children(parent: nn.Module) -> int:
    """Fold each convolution with the batch norm listed behind it, in place; how many."""
    n_folded = 0
    for (conv_name, conv), (norm_name, norm) in itertools.pairwise(list(parent.named_children())):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            if norm.running_mean is None or norm.num_features != conv.out_channels:
                continue
            setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
            # timm's batch norms hold the activation, too.
            setattr(parent, norm_name, getattr(norm, "act", nn.Identity()))
            n_folded += 1
    return n_folded
