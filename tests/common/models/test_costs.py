"""Costs are counted as by hand."""

from itertools import pairwise

from common.machine.freed_memory import keep_freed_memory
from common.machine.memory import PeakMemory
from common.machine.timing import images_per_second
from common.models.backbones import load_backbone

import numpy as np
import pytest
import torch
from script_runs import load_script

gflops_of = load_script("week2/compare_architectures").gflops_of


def test_operations_are_those_of_the_layers():
    widths, side = (3, 32, 64, 128, 256), 32
    pairs = list(pairwise(widths))
    sides = [side, side // 2, side // 4, side // 8]  # each block halves the map behind it

    gflops = gflops_of(load_backbone("small_cnn", image_size=side))

    by_hand = sum(
        2 * 9 * n_in * n_out * s * s for (n_in, n_out), s in zip(pairs, sides, strict=True)
    )
    assert gflops == pytest.approx(by_hand / 1e9)


def test_memory_that_a_block_takes_is_seen():
    keep_freed_memory()
    freed = np.ones(30_000_000)  # kept by the process, and yet seen again
    del freed

    with PeakMemory() as memory:
        held = np.ones(30_000_000)  # 240 MB
        del held

    assert 200 < memory.megabytes < 400


def test_a_trial_leaves_gradients_and_weights_alone():
    model = torch.nn.Linear(4, 2)
    before = model.weight.clone()

    rate = images_per_second(model, torch.ones(8, 4), is_training=True)

    assert rate > 0
    assert model.weight.grad is None
    assert torch.equal(model.weight, before)
