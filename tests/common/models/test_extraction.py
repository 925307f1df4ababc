"""One pass of a network gives numbers, or says that it cannot."""

from common.errors import InputError
from common.models.extraction import extract

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

INPUTS = torch.ones(5, 2)
DATASET = TensorDataset(INPUTS, torch.zeros(5))


def test_all_outputs_are_given_in_order():
    outputs = extract(nn.Identity(), DATASET, batch_size=2, progress=False)

    assert (outputs == INPUTS.numpy()).all()


@pytest.mark.parametrize("weight", [float("nan"), 3e38])  # the latter is finite, its sums are not
def test_a_network_that_gives_no_numbers_is_refused_in_one_line(weight):
    network = nn.Linear(2, 3)
    nn.init.constant_(network.weight, weight)

    with pytest.raises(InputError, match="5 photos of 5 is not finite, expected numbers; .+ model"):
        extract(network, DATASET, batch_size=2, progress=False)
