"""Weights load whatever surrounds them in a file, and those of another network are refused."""

import io
import random
import zipfile

from common.errors import InputError
from common.models.backbones import load_backbone, load_imagenet_classifier
from common.models.heads import EmbeddingHead, Recogniser, mlp_classifier
from common.models.storage import save_recogniser
from common.models.weights import load_into

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

NAME = "mobilenetv3_small_050"  # of timm, with a layer behind the pooling


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return timm.create_model(NAME, pretrained=False).eval()


@pytest.fixture(scope="module")
def features(network):
    with torch.no_grad():
        return network.forward_head(network.forward_features(images()), pre_logits=True)


def images():
    return torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)


def features_of(file, name=NAME):
    backbone = load_backbone(name, weights=str(file), image_size=32).eval()
    with torch.no_grad():
        return backbone(images())


def headless(state):
    return {key: each for key, each in state.items() if not key.startswith("classifier.")}


def with_head(state, n_classes):
    head = {"weight": torch.zeros(n_classes, 1024), "bias": torch.zeros(n_classes)}
    return headless(state) | {f"classifier.{key}": each for key, each in head.items()}


def before(prefix, state):
    return {prefix + key: each for key, each in state.items()}


AROUND = {
    "as it is": lambda state: state,
    "without head": headless,
    "head of 7 classes": lambda state: with_head(state, 7),
    "DataParallel": lambda state: before("module.", state),
    "compiled": lambda state: before("_orig_mod.", state),
    "compiled and parallel": lambda state: before("module._orig_mod.", headless(state)),
    "a part of a network": lambda state: before("backbone.", headless(state)),
    "beside a head": lambda state: (
        before("model.encoder.", headless(state)) | {"neck.weight": torch.ones(3)}
    ),
    "in halves of the precision": lambda state: {
        key: each.half().float() if each.is_floating_point() else each
        for key, each in state.items()
    },
    "without counters": lambda state: {
        key: each for key, each in state.items() if "num_batches" not in key
    },
}


@pytest.mark.parametrize("ending", ["pth", "pt", "safetensors"])
@pytest.mark.parametrize("around", AROUND)
def test_what_stands_around_the_names_is_no_matter(around, ending, network, features, tmp_path):
    state = {key: each.contiguous() for key, each in AROUND[around](network.state_dict()).items()}
    file = tmp_path / f"weights.{ending}"
    save_file(state, file) if ending == "safetensors" else torch.save(state, file)

    found = features_of(file)

    assert torch.allclose(found, features, atol=0.05 if "halves" in around else 0)


CONTENTS = {
    "fast-reid": lambda state: {"model": state, "iteration": 9, "optimizer": adam(state)},
    "timm": lambda state: {"epoch": 3, "arch": NAME, "state_dict": state},
    "torchreid": lambda state: {"state_dict": before("module.", with_head(state, 5)), "rank1": 0.9},
    "in a list of parts": lambda state: {"state": {"net": state, "ema": None}, 4: [1, 2]},
    "beside numbers": lambda state: state | {"epoch": 3, 7: torch.ones(2), None: "x"},
}


def adam(state):
    steps = {i: {"step": 1, "exp_avg": each} for i, each in enumerate(state.values())}
    return {"state": steps, "param_groups": [{"lr": 0.1, "params": list(steps)}]}


@pytest.mark.parametrize("content", CONTENTS)
def test_a_checkpoints_network_is_found(content, network, features, tmp_path):
    torch.save(CONTENTS[content](network.state_dict()), tmp_path / "checkpoint.pth")

    assert torch.equal(features_of(tmp_path / "checkpoint.pth"), features)


def test_what_stays_behind_is_said(network, tmp_path, capsys):
    torch.save(with_head(network.state_dict(), 7), tmp_path / "seven.pth")

    load_backbone(NAME, weights=str(tmp_path / "seven.pth"), image_size=32)

    assert "seven.pth; 2 tensors of its head are left out" in capsys.readouterr().out


@pytest.mark.parametrize("head", [EmbeddingHead(1024), EmbeddingHead(1024, 8),
                                  mlp_classifier(1024, 3, hidden=8)])  # fmt: skip
def test_a_model_of_this_course_loads_without_its_head(head, network, tmp_path, capsys):
    backbone = load_backbone(NAME, weights="none", image_size=32).eval()
    with torch.no_grad():
        expected = backbone(images())
    save_recogniser(Recogniser(backbone, head), tmp_path / "model.safetensors", ["a", "b", "c"])

    found = features_of(tmp_path / "model.safetensors")

    assert torch.equal(found, expected)
    assert "learned 3 animals; its head is left out" in capsys.readouterr().out


def test_torchvisions_names_load_without_their_classifier(tmp_path):
    model = torchvision.models.mobilenet_v2(weights=None).eval()
    state = {key: each for key, each in model.state_dict().items() if "classifier" not in key}
    save_file(before("module.", state), tmp_path / "mobilenet.safetensors")

    found = features_of(tmp_path / "mobilenet.safetensors", "mobilenet_v2")

    with torch.no_grad():
        assert torch.allclose(found, model.features(images()).mean(dim=(2, 3)), atol=1e-5)


def others_names(state):
    """Another library's names, in the same order."""
    return {f"layer_{n}.{key.split('.')[-1]}": each for n, (key, each) in enumerate(state.items())}


def test_other_names_in_the_same_order_are_taken(network, features, tmp_path):
    torch.save(others_names(network.state_dict()), tmp_path / "other.pth")

    assert torch.equal(features_of(tmp_path / "other.pth"), features)


def test_other_names_in_another_order_are_refused(network, tmp_path):
    bias_first = dict(sorted(others_names(network.state_dict()).items(), key=lambda e: e[0][::-1]))
    torch.save(bias_first, tmp_path / "bias_first.pth")
    save_file(others_names(network.state_dict()), tmp_path / "unordered.safetensors")

    for name in ("bias_first.pth", "unordered.safetensors"):
        with pytest.raises(InputError, match="neither the names nor the order"):
            features_of(tmp_path / name)


def test_a_head_of_another_layout_is_refused(network, tmp_path):
    state = network.state_dict()
    state |= {"classifier.weight": state["classifier.weight"].to_sparse()}
    torch.save(state, tmp_path / "sparse.pth")

    with pytest.raises(InputError, match=r"classifier\.weight holds .* no training leaves"):
        load_imagenet_classifier(NAME, weights=str(tmp_path / "sparse.pth"), image_size=32)


def test_a_deeper_network_of_the_same_kind_is_refused(tmp_path):
    save_file(timm.create_model("resnet34").state_dict(), tmp_path / "deeper.safetensors")

    with pytest.raises(InputError, match=r"is no part of resnet18.*another architecture"):
        load_backbone("resnet18", weights=str(tmp_path / "deeper.safetensors"), image_size=32)


def test_a_classifier_of_other_classes_names_no_imagenet_class(network, tmp_path):
    for n, state in enumerate([headless(network.state_dict()), with_head(network.state_dict(), 7)]):
        torch.save(state, tmp_path / f"{n}.pth")

        with pytest.raises(InputError, match="no classifier of ImageNet's 1,000 classes"):
            load_imagenet_classifier(NAME, weights=str(tmp_path / f"{n}.pth"), image_size=32)


@pytest.mark.parametrize("part", ["archive", "pickle"])
def test_a_file_with_flipped_bits_is_read_or_refused(part, tmp_path):
    """The archive's own bytes, and those of the pickle in it with a valid checksum around."""
    small = load_backbone("small_cnn").network
    torch.save(small.state_dict(), tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    rng = random.Random(0)

    for _ in range(100):
        content = (flipped if part == "archive" else with_flipped_pickle)(whole, rng)
        (tmp_path / "flipped.pth").write_bytes(content)
        try:
            load_into(small, tmp_path / "flipped.pth", "small_cnn")
        except InputError as error:
            assert "flipped.pth" in str(error)  # noqa: PT017, either end is right


def flipped(content, rng):
    content = bytearray(content)
    for _ in range(rng.randint(1, 20)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def with_flipped_pickle(whole, rng):
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(file, "w") as new:
        for each in old.infolist():
            data = old.read(each)
            new.writestr(each.filename, flipped(data, rng) if "data.pkl" in each.filename else data)
    return file.getvalue()
