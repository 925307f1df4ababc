"""GeM lies between average and maximum, fits every backbone that averages, and is stored."""

from common.errors import InputError
from common.models.backbones import load_backbone
from common.models.freezing import freeze_stages, split_at_boundary, stages_of
from common.models.heads import EmbeddingHead, Recogniser
from common.models.pooling import GeM, has_generalised_mean, pool_by_generalised_mean
from common.models.storage import load_recogniser, save_recogniser

import pytest
import torch
from torch import nn

AVERAGING = ["small_cnn", "efficientnet_lite0", "resnet18", "convnext_atto", "swin_tiny"]


def with_gem(name, image_size=64):
    weights = "imagenet" if name == "small_cnn" else "none"
    backbone = load_backbone(name, weights=weights, image_size=image_size).eval()
    pool_by_generalised_mean(backbone)
    return backbone


def pooled(maps, power):
    return GeM(nn.AdaptiveAvgPool2d(1), power)(maps).flatten(1)


def test_power_1_is_the_average_and_a_large_one_nearly_the_maximum():
    maps = torch.rand(2, 3, 4, 4) + 0.1

    assert torch.allclose(pooled(maps, 1.0), maps.mean(dim=(2, 3)), atol=1e-6)
    assert torch.allclose(pooled(maps, 60.0), maps.amax(dim=(2, 3)), rtol=0.06)


def test_the_generalised_mean_equals_its_formula():
    maps = torch.rand(2, 3, 4, 4)

    expected = (maps.pow(3).sum(dim=(2, 3)) / 16).pow(1 / 3)

    assert torch.allclose(pooled(maps, 3.0), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_map_of_zeros_has_a_gradient(dtype):
    maps = torch.zeros(1, 2, 3, 3, dtype=dtype, requires_grad=True)
    pool = GeM(nn.AdaptiveAvgPool2d(1))

    pool(maps).sum().backward()

    assert torch.isfinite(maps.grad).all()
    assert torch.isfinite(pool.power.grad).all()


@pytest.mark.parametrize("name", AVERAGING)
def test_features_keep_their_length(name):
    backbone = with_gem(name)

    features = backbone(torch.zeros(2, 3, 64, 64))

    assert features.shape == (2, backbone.n_features)


@pytest.mark.parametrize("name", AVERAGING)
def test_the_power_belongs_to_the_last_stage(name):
    plain = load_backbone(name, weights="imagenet" if name == "small_cnn" else "none",
                          image_size=64)  # fmt: skip

    stages = stages_of(with_gem(name))

    assert len(stages) == len(stages_of(plain))
    assert any(parameter.endswith("global_pool.power") for parameter in stages[-1].parameter_names)


def test_the_power_learns_behind_the_freeze_boundary():
    backbone = with_gem("efficientnet_lite0")
    freeze_stages(backbone, 1)

    trunk, tail = split_at_boundary(backbone)

    assert len(trunk) > 0
    assert any(isinstance(module, GeM) for module in tail)


def test_a_backbone_without_an_average_is_refused():
    with pytest.raises(InputError, match="--pooling gem: vit_tiny_patch16_224"):
        with_gem("vit_tiny_patch16_224", image_size=224)


def test_a_stored_model_keeps_its_pooling(tmp_path):
    model = Recogniser(with_gem("small_cnn", 32), EmbeddingHead(256)).eval()
    images = torch.randn(2, 3, 32, 32)

    save_recogniser(model, tmp_path / "model.safetensors", ["a", "b"])
    loaded, _ = load_recogniser(tmp_path / "model.safetensors")

    assert has_generalised_mean(loaded.backbone)
    assert torch.equal(loaded(images), model(images))
