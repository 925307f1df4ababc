"""A stored model gives what the trained one gave, and nothing else is loaded."""

from common.errors import InputError
from common.models.backbones import load_backbone
from common.models.heads import EmbeddingHead, Recogniser, linear_classifier, mlp_classifier
from common.models.pooling import pool_by_generalised_mean
from common.models.storage import load_recogniser, read_description, save_recogniser

import pytest
import torch

NAMES = ["a", "b", "c"]


@pytest.mark.parametrize(
    "head",
    [linear_classifier(256, 3), linear_classifier(256, 3, dropout=0.2),
     mlp_classifier(256, 3, hidden=8), EmbeddingHead(256), EmbeddingHead(256, 16)],
    ids=["classifier", "classifier with dropout", "mlp", "embedding", "projected embedding"],
)  # fmt: skip
def test_a_stored_model_gives_the_same_outputs(head, tmp_path):
    model = Recogniser(load_backbone("small_cnn", image_size=32), head).eval()
    images = torch.randn(2, 3, 32, 32)

    save_recogniser(model, tmp_path / "model.safetensors", ["a", "b", "c"])
    loaded, identities = load_recogniser(tmp_path / "model.safetensors")

    assert identities == ["a", "b", "c"]
    assert torch.equal(loaded(images), model(images))
    assert loaded.backbone.preprocessing == model.backbone.preprocessing


def test_what_validation_photos_got_is_stored_and_given_back(tmp_path):
    model = Recogniser(load_backbone("small_cnn", image_size=32), EmbeddingHead(256))
    scores = {"photos": {"similarities": [[0.1, 1 / 3]]}, "source": "two photos"}

    save_recogniser(model, tmp_path / "with.safetensors", ["a"], scores)
    save_recogniser(model, tmp_path / "without.safetensors", ["a"])

    assert read_description(tmp_path / "with.safetensors")["scores"] == scores
    assert read_description(tmp_path / "without.safetensors")["scores"] is None
    assert load_recogniser(tmp_path / "with.safetensors")[1] == ["a"]


@pytest.mark.parametrize("content", [b"", b"garbage", None], ids=["empty", "garbage", "missing"])
def test_what_is_no_model_is_refused(content, tmp_path):
    if content is not None:
        (tmp_path / "model.safetensors").write_bytes(content)

    with pytest.raises(InputError, match="no model that this course saved"):
        load_recogniser(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("name", "pooled"), [("small_cnn", False), ("efficientnet_lite0", False), ("resnet18", True)]
)
def test_the_backbone_of_a_stored_model_is_where_another_training_begins(name, pooled, tmp_path):
    torch.manual_seed(0)
    weights = "imagenet" if name == "efficientnet_lite0" else "none"
    backbone = load_backbone(name, weights=weights, image_size=64).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = backbone(images)
    if pooled:  # chosen anew by the next training
        pool_by_generalised_mean(backbone)
    file = tmp_path / "model.safetensors"
    save_recogniser(Recogniser(backbone, linear_classifier(backbone.n_features, 3)), file, NAMES)

    start = load_backbone(name, weights=str(file), image_size=64).eval()

    with torch.no_grad():
        assert torch.equal(start(images), expected)


def test_a_model_of_another_backbone_is_named_with_the_flag(tmp_path):
    file = tmp_path / "model.safetensors"
    model = Recogniser(load_backbone("small_cnn", image_size=64), linear_classifier(256, 3))
    save_recogniser(model, file, NAMES)

    with pytest.raises(InputError, match="add --model small_cnn"):
        load_backbone("efficientnet_lite0", weights=str(file), image_size=64)
