"""What is frozen stays bit-equal, what is free trains, and the cut between them is exact."""

from common.errors import InputError
from common.models.backbones import load_backbone
from common.models.freezing import freeze_stages, split_at_boundary, stages_of

import pytest
import torch
from torch import nn

CHAINS = ("efficientnet_lite0", "resnet18", "mobilenet_v2", "convnext_atto", "vgg11", "small_cnn")


def untrained(name):
    torch.manual_seed(0)
    return load_backbone(name, weights="none", image_size=64)


def take_a_step(backbone):
    backbone.train()
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1)
    backbone(torch.randn(4, 3, 64, 64)).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("name", [*CHAINS, "vit_tiny_patch16_224"])
def test_only_the_last_stages_train(name):
    backbone = untrained(name)
    before = {key: tensor.clone() for key, tensor in backbone.network.state_dict().items()}
    free = {key for stage in stages_of(backbone)[-2:] for key in stage.parameter_names}

    freeze_stages(backbone, 2)
    take_a_step(backbone)

    trainable = {key for key, p in backbone.network.named_parameters() if p.requires_grad}
    assert trainable == free
    for key, tensor in backbone.network.named_parameters():
        if key not in free:
            assert torch.equal(tensor, before[key]), key


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "mobilenet_v2"])
def test_frozen_batch_norms_keep_their_statistics(name):
    backbone = untrained(name)
    freeze_stages(backbone, 0)
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}

    backbone.train()
    backbone(torch.randn(8, 3, 64, 64))

    assert all(torch.equal(tensor, before[key]) for key, tensor in backbone.state_dict().items())


def test_every_parameter_belongs_to_one_stage():
    for name in CHAINS:
        backbone = untrained(name)
        names = [key for stage in stages_of(backbone) for key in stage.parameter_names]

        assert sorted(names) == sorted(key for key, _ in backbone.network.named_parameters())


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("n_trainable", [0, 2, None])
def test_trunk_and_tail_are_the_backbone(name, n_trainable):
    backbone = untrained(name).eval()
    freeze_stages(backbone, n_trainable)

    trunk, tail = split_at_boundary(backbone)

    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(tail(trunk(images)), backbone(images))
    assert not any(p.requires_grad for p in trunk.parameters())
    assert bool(len(trunk)) == (n_trainable is not None)


def test_a_transformer_is_not_cut_but_still_right():
    backbone = untrained("vit_tiny_patch16_224").eval()
    freeze_stages(backbone, 2)

    trunk, tail = split_at_boundary(backbone)

    assert len(trunk) == 0
    assert isinstance(tail[0], nn.Module)


def test_a_last_norm_is_no_stage_of_its_own():
    assert len(stages_of(untrained("convnext_atto"))) == 5  # stem and four stages


def test_more_stages_than_there_are_is_refused():
    with pytest.raises(InputError, match="--unfreeze 9, .* small_cnn has 4 stages"):
        freeze_stages(untrained("small_cnn"), 9)
