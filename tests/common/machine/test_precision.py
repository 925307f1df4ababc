"""What makes computing faster leaves the numbers as they are."""

import copy
import platform

from common.errors import InputError
from common.machine import precision as compute
from common.machine.freed_memory import keep_freed_memory
from common.machine.precision import Compute, choose_precision, compiled, folded
from common.models.backbones import load_backbone

import pytest
import torch
from torch import nn


def with_statistics(network):
    """Batch norms as after training: means and variances of their own."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.5, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return network.eval()


def n_batch_norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["small_cnn", "efficientnet_lite0", "resnet18", "vgg11_bn"])
@torch.no_grad()
def test_folding_removes_every_batch_norm_and_changes_no_output(name):
    torch.manual_seed(0)
    network = with_statistics(load_backbone(name, weights="none", image_size=32))

    fast = folded(network, IMAGES)

    assert n_batch_norms(network) > 0
    assert n_batch_norms(fast) == 0
    expected = network(IMAGES)
    assert torch.allclose(fast(IMAGES), expected, atol=1e-5 * float(expected.abs().max()))


def test_folding_leaves_the_network_itself_alone():
    network = with_statistics(load_backbone("small_cnn", image_size=32))
    before = copy.deepcopy(network.state_dict())

    folded(network, IMAGES)

    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


class NormFirst(nn.Module):
    """Lists its norm behind the convolution, but runs it before."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, images):
        return self.conv(self.norm(images))


def test_a_network_that_runs_in_another_order_is_not_folded():
    network = with_statistics(NormFirst())

    assert folded(network, IMAGES) is network


def test_without_batch_norms_nothing_is_copied():
    network = nn.Linear(4, 2)

    assert folded(network, torch.randn(3, 4)) is network


@pytest.mark.parametrize(("gain", "chosen"), [(0.6, "no"), (1.1, "no"), (1.9, "bf16")])
def test_sixteen_bits_are_taken_where_they_are_clearly_faster(gain, chosen, monkeypatch):
    monkeypatch.setattr(compute, "rates_in_turns", lambda *_, **__: {"no": 10, "bf16": 10 * gain})

    choice = choose_precision(nn.Linear(4, 2), torch.randn(3, 4))

    assert choice.precision == chosen
    assert f"measured {gain:.1f}×" in str(choice)


def test_a_trial_of_precisions_leaves_the_model_as_it_was(monkeypatch):
    def once(ways, inputs, **_):
        for way in ways.values():
            way(inputs)
        return dict.fromkeys(ways, 1.0)

    monkeypatch.setattr(compute, "rates_in_turns", once)
    model = load_backbone("small_cnn", image_size=32)
    before = copy.deepcopy(model.state_dict())

    choose_precision(model, IMAGES)

    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_missing_compiler_is_said_in_one_line(monkeypatch):
    def fail(*_):
        raise RuntimeError("no g++ found\nand a long traceback")

    monkeypatch.setattr(torch, "compile", fail)

    with pytest.raises(InputError, match=r"--compile: .*no g\+\+ found\)"):
        compiled(nn.Linear(2, 2))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_that_is_freed_is_taken_again_without_asking_the_system():
    from resource import RUSAGE_SELF, getrusage

    keep_freed_memory()
    for _ in range(10):  # glibc holds back some small pieces between large ones at first
        torch.zeros(20_000_000)  # 80 MB, freed at once

    before = getrusage(RUSAGE_SELF).ru_minflt
    torch.zeros(20_000_000)

    assert getrusage(RUSAGE_SELF).ru_minflt - before < 2_000  # of 19,532 pages of 4 KiB


def test_what_is_computed_with_is_said_once(capsys):
    compute.say.cache_clear()

    for _ in range(3):
        compute.say(Compute("bf16", 1.9))

    assert capsys.readouterr().out == (
        "compute: channels-last, bf16 (16 bits measured 1.9×), fused optimiser\n"
    )
