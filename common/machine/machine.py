"""What a training computes on and with, behind one object, so that its loop is plain PyTorch."""

import copy
import itertools
from collections.abc import Callable, Iterator

from common.errors import InputError
from common.machine import processes
from common.machine.device import pick_device
from common.machine.freed_memory import keep_freed_memory
from common.machine.loader import make_loader, stacked
from common.machine.precision import HALF, Compute, choose_precision, compiled

import torch
from accelerate.data_loader import BatchSamplerShard
from accelerate.state import PartialState
from accelerate.utils import broadcast, gather
from timm.layers import convert_sync_batchnorm
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset, Sampler

FEWEST = 2  # photos in a share of a batch: a batch norm cannot train on one


class Machine:
    """Device, precision, compiler, worker processes and several processes of one training.

    Several processes do as one does. A batch is the same photos whatever their number: each
    process runs an equal share through the network, and the loss is computed on the outputs of
    all, so that it sees every negative, and averages a ragged batch over its photos. Two things
    differ. Dropout and mixed photos draw other random numbers in each process. Batch norms that
    train see the whole batch on GPUs only, where a photo that fills up a ragged share counts
    twice; on CPUs they see their own share, and the main process's running means are kept. Where
    norms rest, or there are none, one process and several differ by rounding alone.

    Args:
        mixed_precision: "no", "bf16", "fp16", or "auto", see `try_precisions`.
        workers: processes that prepare photos; None: as many as pay.

    Attributes:
        is_step: whether the batch at hand ends with a step of the optimiser.
        n_photos: in the batch at hand, over all processes.

    Raises:
        InputError: a device or precision that this machine does not have.
    """

    def __init__(
        self,
        device: str = "auto",
        mixed_precision: str = "no",
        *,
        accumulation: int = 1,
        compile: bool = False,
        workers: int | None = None,
    ) -> None:
        self.device = pick_device(device)
        if mixed_precision == "fp16" and self.device.type != "cuda":
            raise InputError("--mixed_precision fp16: needs a CUDA GPU; take bf16 or no")
        self.accumulation, self.workers = accumulation, workers
        self.is_step, self.n_photos = True, 0
        self._compute_with(Compute(mixed_precision, is_compiled=compile))
        keep_freed_memory()
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if processes.count() > 1:
            PartialState(cpu=self.device.type == "cpu")  # what Accelerate's `gather` asks

    def _compute_with(self, compute: Compute) -> None:
        self.compute = compute
        # Small gradients would vanish in fp16, so that its loss is scaled up meanwhile.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=compute.precision == "fp16")

    def try_precisions(self, model: nn.Module, dataset: Dataset, batch_size: int) -> None:
        """Settle "auto" by a trial of some seconds; all processes do as the main one."""
        if self.compute.precision == "auto":
            items = [dataset[index] for index in range(min(len(dataset), batch_size))]
            tried = choose_precision(self.place(model), stacked(items)[0].to(self.device))
            tried = processes.mains(tried)
            self._compute_with(Compute(tried.precision, tried.gain, self.compute.is_compiled))

    def place(self, module: nn.Module) -> nn.Module:
        """The module itself, on the device, in the layout that convolutions read fastest."""
        return module.to(self.device, memory_format=torch.channels_last)

    def prepare(self, model: nn.Module, criterion: nn.Module) -> tuple[nn.Module, nn.Module]:
        """Model and loss as the loop calls them; their weights are those of the given ones."""
        network, criterion = self.place(model), criterion.to(self.device)
        if processes.count() > 1 and self.device.type == "cuda":
            network = convert_sync_batchnorm(_sharing_tensors(model))
        if self.compute.is_compiled:
            network = compiled(network)
        return self._averaged(network), self._averaged(criterion)

    def _averaged(self, module: nn.Module) -> nn.Module:
        """The module, its gradients averaged over the processes."""
        has_gradients = any(parameter.requires_grad for parameter in module.parameters())
        if processes.count() == 1 or not has_gradients:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices)

    def batches(
        self, dataset: Dataset, sampler: Sampler
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """This process's inputs and labels of each batch, on the device; all have one sampler."""
        shares, n_processes = sampler, processes.count()
        if n_processes > 1:
            shares = BatchSamplerShard(
                _Shares(sampler, n_processes), n_processes, processes.index(), even_batches=False
            )
        loader = make_loader(dataset, self.device, workers=self.workers, batch_sampler=shares)
        for index, (batch, (inputs, labels)) in enumerate(zip(sampler, loader, strict=True)):
            self.n_photos = len(batch)
            is_last = index + 1 == len(loader)
            self.is_step = is_last or (index + 1) % self.accumulation == 0
            layout = torch.channels_last if inputs.ndim == 4 else torch.preserve_format
            to_device = {"device": self.device, "non_blocking": loader.pin_memory}
            yield inputs.to(memory_format=layout, **to_device), labels.to(**to_device)

    def autocast(self) -> torch.autocast:
        """A block that computes in the precision of the run."""
        half = HALF.get(self.compute.precision)
        return torch.autocast(self.device.type, half, enabled=half is not None)

    def pooled(
        self, outputs: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs, in 32 bits, and labels of the whole batch, from the shares of all processes.

        pytorch-metric-learning's `DistributedLossWrapper` gathers too, but multiplies the loss
        itself by the number of processes, and with it the gradient of ArcFace's centres.

        Args:
            outputs: of this process's share, shape (n_share, ...).

        Returns:
            Both with n_photos rows. Gradients flow through this process's own rows.
        """
        outputs, n_processes = outputs.float(), processes.count()
        if n_processes == 1:
            return outputs, labels
        everyones, labels = gather((outputs.detach(), labels))
        if outputs.requires_grad:
            # The mean over processes is taken afterwards, where a loss in common asks for the sum.
            outputs.register_hook(lambda gradient: gradient * n_processes)
            first = processes.index() * len(outputs)
            everyones[first : first + len(outputs)] = outputs
        return everyones[: self.n_photos], labels[: self.n_photos]

    def backward(self, loss: torch.Tensor) -> None:
        """Add the loss's gradients to those at hand, averaged over the batches of a step."""
        self.scaler.scale(loss / self.accumulation).backward()

    def clip(self, optimizer: torch.optim.Optimizer, longest: float | None) -> None:
        """Shorten the gradient of all parameters together to this L2 norm; None: never."""
        if longest:
            self.scaler.unscale_(optimizer)
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, longest)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the optimiser step."""
        self.scaler.step(optimizer)
        self.scaler.update()

    @torch.no_grad()
    def evaluate(
        self, model: nn.Module, validate: Callable[[nn.Module], dict[str, float]] | None
    ) -> dict[str, float]:
        """What a function finds of the model at rest; all go on with the main process's values."""
        if processes.count() > 1:
            broadcast(list(model.buffers()))  # running means of batch norms
        model.eval()
        return processes.mains(validate(model)) if validate else {}


class _Shares(Sampler):
    """Each batch cut into equal shares, one per process, which Accelerate deals out in turn.

    Accelerate cuts batches too, but only those of a fixed size; ours end raggedly, or have as
    many photos as their animals have. A ragged batch is filled up from its own beginning.
    """

    def __init__(self, batches: Sampler, n_processes: int) -> None:
        self.batches, self.n_processes = batches, n_processes

    def __len__(self) -> int:
        return len(self.batches) * self.n_processes

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            size = max(FEWEST, -(-len(batch) // self.n_processes))
            filled = list(itertools.islice(itertools.cycle(batch), size * self.n_processes))
            for first in range(0, len(filled), size):
                yield filled[first : first + size]


def _sharing_tensors(model: nn.Module) -> nn.Module:
    """A copy whose modules may be replaced while its weights and buffers are the model's own."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
