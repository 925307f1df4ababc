"""Backbones get the weights that were asked for, or an error that says what to do."""

import json
import pickle

from common.errors import InputError, WeightsNotInReach
from common.models import backbones
from common.models.backbones import BUNDLED, load_backbone
from common.models.heads import EmbeddingHead, Recogniser
from common.models.storage import load_recogniser, save_recogniser

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def torchvision_mobilenet(tmp_path_factory):
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v2(weights=None).eval()
    folder = tmp_path_factory.mktemp("weights")
    save_file(model.state_dict(), folder / "mobilenet.safetensors")
    torch.save(model.state_dict(), folder / "mobilenet.pth")
    return model, folder


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_weights_are_the_packages_own(name):
    file = torch.load(backbones._bundled_file(name), weights_only=True)

    backbone = load_backbone(name, image_size=64)

    tensors = list(backbone.state_dict().values())
    for loaded, stored in zip(tensors, file.values(), strict=False):  # the file has a classifier
        assert torch.equal(loaded, stored)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_with_another_librarys_names_gives_the_same_network(suffix, torchvision_mobilenet):
    model, folder = torchvision_mobilenet
    images = torch.randn(2, 3, 64, 64)

    backbone = load_backbone(
        "mobilenet_v2", weights=str(folder / f"mobilenet.{suffix}"), image_size=64
    ).eval()

    with torch.no_grad():
        expected = model.features(images).mean(dim=(2, 3))
        assert torch.allclose(backbone(images), expected, atol=1e-5)


def test_features_have_the_promised_length():
    for name in ("small_cnn", "resnet18", "vgg11", "convnext_atto", "vit_tiny_patch16_224"):
        backbone = load_backbone(name, weights="none", image_size=64).eval()

        with torch.no_grad():
            assert backbone(torch.zeros(1, 3, 64, 64)).shape == (1, backbone.n_features)


def test_preprocessing_is_the_backbones_own():
    assert load_backbone("efficientnet_lite0").preprocessing.mean == (0.5, 0.5, 0.5)
    assert load_backbone("resnet18", weights="none").preprocessing.mean[0] == pytest.approx(0.485)


def test_weights_of_another_architecture_are_refused(torchvision_mobilenet):
    _, folder = torchvision_mobilenet

    with pytest.raises(InputError, match="another architecture"):
        load_backbone("resnet18", weights=str(folder / "mobilenet.pth"))


def test_weights_that_cannot_be_had_are_an_error_not_a_random_start(monkeypatch):
    monkeypatch.setattr(backbones, "_is_hub_in_reach", lambda: False)

    with pytest.raises(WeightsNotInReach, match=r"not in reach.*--weights FILE"):
        load_backbone("resnet50")


def test_an_unknown_name_gets_suggestions():
    with pytest.raises(InputError, match="did you mean.*resnet50"):
        load_backbone("resnet5o")


def test_a_pickle_with_code_in_it_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": Trap()}, tmp_path / "trap.pth")

    with pytest.raises(InputError, match="weights alone"):
        load_backbone("resnet18", weights=str(tmp_path / "trap.pth"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", pickle.dumps([1, 2], protocol=2)],
    ids=["empty", "garbage", "pickled list"],
)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_damaged_file_is_one_clear_line(content, suffix, tmp_path):
    (tmp_path / f"bad.{suffix}").write_bytes(content)

    with pytest.raises(InputError, match=r"bad\.") as error:
        load_backbone("resnet18", weights=str(tmp_path / f"bad.{suffix}"))
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match="nowhere.pth: no such file"):
        load_backbone("resnet18", weights="nowhere.pth")


MEGADESCRIPTOR = "hf-hub:BVRA/MegaDescriptor-T-224"
MEAN, STD = [0.4, 0.5, 0.6], [0.1, 0.2, 0.3]  # of nobody else, so that they can be recognised


def put_into_hub_cache(folder, with_weights="pytorch_model.bin"):
    """A cache that holds a Swin laid out as MegaDescriptor is, and small; its network."""
    repository = folder / "models--BVRA--MegaDescriptor-T-224"
    snapshot = repository / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abcd", encoding="utf-8")
    architecture = "swin_tiny_patch4_window7_224"
    size = {"embed_dim": 24, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8]}
    config = {
        "architecture": architecture, "num_classes": 0, "num_features": 192, "global_pool": "avg",
        "model_args": size,
        "pretrained_cfg": {
            "input_size": [3, 224, 224], "fixed_input_size": True, "interpolation": "bicubic",
            "mean": MEAN, "std": STD, "num_classes": 0, "pool_size": [7, 7],
            "first_conv": "patch_embed.proj", "classifier": "head.fc",
        },
    }  # fmt: skip
    (snapshot / "config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.manual_seed(5)
    network = timm.create_model(architecture, num_classes=0, **size).eval()
    if with_weights == "pytorch_model.bin":
        torch.save(network.state_dict(), snapshot / with_weights)
    elif with_weights:
        save_file(network.state_dict(), snapshot / with_weights)
    return network


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(backbones, "_is_hub_in_reach", lambda: False)
    return tmp_path


@pytest.mark.parametrize("file_name", ["pytorch_model.bin", "model.safetensors"])
def test_a_repository_in_the_hubs_cache_needs_no_network(file_name, hub_cache):
    network = put_into_hub_cache(hub_cache, file_name)
    images = torch.randn(2, 3, 224, 224)

    backbone = load_backbone(MEGADESCRIPTOR, image_size=224).eval()

    with torch.no_grad():
        assert torch.allclose(backbone(images), network(images), atol=1e-5)
    assert backbone.n_features == 192


def test_a_repositorys_configuration_fixes_size_mean_and_spread(hub_cache, capsys):
    put_into_hub_cache(hub_cache)

    preprocessing = load_backbone(MEGADESCRIPTOR, image_size=128).preprocessing

    assert preprocessing.image_size == 224
    assert preprocessing.mean == tuple(MEAN)
    assert preprocessing.std == tuple(STD)
    assert "at 224 pixels" in capsys.readouterr().out


def test_a_model_with_such_a_backbone_is_read_again(hub_cache, tmp_path):
    put_into_hub_cache(hub_cache)
    model = Recogniser(load_backbone(MEGADESCRIPTOR), EmbeddingHead(192)).eval()
    save_recogniser(model, tmp_path / "model.safetensors", ["anna", "berta"])

    read, _ = load_recogniser(tmp_path / "model.safetensors")

    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(read(images), model(images), atol=1e-5)


@pytest.mark.parametrize("weights", ["imagenet", "none"])
def test_a_repository_out_of_reach_is_one_clear_line(weights, hub_cache):
    with pytest.raises(WeightsNotInReach, match="MegaDescriptor-T-224: not in reach") as error:
        load_backbone(MEGADESCRIPTOR, weights=weights)
    assert "\n" not in str(error.value)


def test_a_cache_without_weights_is_no_random_start(hub_cache):
    put_into_hub_cache(hub_cache, with_weights=None)

    with pytest.raises(WeightsNotInReach, match="not in reach"):
        load_backbone(MEGADESCRIPTOR)
