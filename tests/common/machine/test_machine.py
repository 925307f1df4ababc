"""One object for device, precision and processes; building another one changes no live one."""

from common.errors import InputError
from common.machine.device import pick_device
from common.machine.machine import Machine, _sharing_tensors

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import nn
from torch.utils.data import BatchSampler, TensorDataset


def precision_of(machine):
    with machine.autocast():
        return nn.Linear(3, 2)(torch.randn(4, 3)).dtype


def test_a_device_and_another_machine_leave_a_live_one_at_its_precision():
    live = Machine("cpu", "bf16", accumulation=3)

    pick_device("cpu")
    other = Machine("cpu", "no")

    assert (precision_of(live), precision_of(other)) == (torch.bfloat16, torch.float32)
    assert (live.accumulation, other.accumulation) == (3, 1)


def test_one_process_leaves_accelerates_state_as_it_is():
    before = dict(AcceleratorState._shared_state), dict(PartialState._shared_state)

    pick_device("auto")
    Machine("cpu", "bf16")

    assert (AcceleratorState._shared_state, PartialState._shared_state) == before


def test_sixteen_bits_end_where_the_loss_begins():
    machine = Machine("cpu", "bf16")

    with machine.autocast():
        outputs, labels = machine.pooled(nn.Linear(3, 2)(torch.randn(4, 3)), torch.arange(4))

    assert (outputs.dtype, labels.dtype) == (torch.float32, torch.int64)


def test_fp16_without_a_gpu_is_refused():
    with pytest.raises(InputError, match="--mixed_precision fp16: needs a CUDA GPU"):
        Machine("cpu", "fp16")


@pytest.mark.parametrize(
    ("accumulation", "steps"), [(1, [1, 1, 1, 1]), (2, [0, 1, 0, 1]), (3, [0, 0, 1, 1])]
)
def test_an_epoch_ends_with_a_step(accumulation, steps):
    machine = Machine("cpu", accumulation=accumulation)
    dataset = TensorDataset(torch.arange(10.0), torch.arange(10))
    sampler = BatchSampler(range(10), 3, drop_last=False)

    seen = [(machine.is_step, machine.n_photos) for _ in machine.batches(dataset, sampler)]

    assert seen == list(zip(steps, [3, 3, 3, 1], strict=True))


def test_norms_are_synchronised_in_a_copy_that_shares_every_tensor():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), BatchNormAct2d(4), nn.Conv2d(4, 2, 1))

    network = convert_sync_batchnorm(_sharing_tensors(model))

    assert isinstance(network[1], nn.SyncBatchNorm)
    assert isinstance(model[1], BatchNormAct2d)  # is stored and folded as ever
    assert type(network[1].act) is type(model[1].act) is nn.ReLU
    own, shared = model.state_dict(keep_vars=True), network.state_dict(keep_vars=True)
    assert own.keys() == shared.keys()
    assert all(own[name] is shared[name] for name in own)
