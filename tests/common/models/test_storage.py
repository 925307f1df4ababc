"""A stored model gives what the trained one gave, and nothing else is loaded."""

from common.errors import InputError
from common.models.backbones import load_backbone
from common.models.heads import EmbeddingHead, Recogniser, linear_classifier, mlp_classifier
from common.models.storage import load_recogniser, read_description, save_recogniser

import pytest
import torch


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
