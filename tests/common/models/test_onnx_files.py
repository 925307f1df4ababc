"""An ONNX file alone gives what its network gives, and says how to use it."""

import json

from common.data.images import Preprocessing, evaluation_transform, read_photos
from common.errors import InputError
from common.models.backbones import load_backbone
from common.models.heads import EmbeddingHead, Recogniser, linear_classifier
from common.models.onnx_export import describe, export_onnx, weight_bytes
from common.models.onnx_files import METADATA_KEY, open_onnx, prepare, read_input

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

NAMES = ["änna", "berta", "clara"]


def small_model(head):
    torch.manual_seed(0)
    return Recogniser(load_backbone("small_cnn", image_size=32), head).eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = small_model(linear_classifier(256, len(NAMES)))
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(model, path, NAMES)
    return model, path


@pytest.mark.parametrize("n_images", [1, 2, 7, 100])
def test_any_batch_gives_what_pytorch_gives(exported, n_images):
    model, path = exported
    images = torch.randn(n_images, 3, 32, 32)

    with torch.no_grad():
        expected = model(images).numpy()

    np.testing.assert_allclose(open_onnx(path).run(images.numpy()), expected, rtol=0, atol=1e-4)


def test_an_embedding_is_exported_with_unit_length(tmp_path):
    model = small_model(EmbeddingHead(256, 16))
    images = torch.randn(3, 3, 32, 32)

    export_onnx(model, tmp_path / "model.onnx", NAMES)
    network = open_onnx(tmp_path / "model.onnx")

    assert network.description.output == "embedding"
    outputs = network.run(images.numpy())
    np.testing.assert_allclose(outputs, model(images).detach(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(outputs, axis=1), 1, atol=1e-5)


def test_one_file_holds_the_weights_and_nothing_of_this_machine(exported):
    model, path = exported

    assert abs(path.stat().st_size / weight_bytes(model) - 1) < 0.05
    assert [each.name for each in path.parent.iterdir()] == ["model.onnx"]
    assert b"site-packages" not in path.read_bytes()  # the exporter notes source lines


def test_labels_and_preprocessing_are_read_from_the_file_alone(exported):
    model, path = exported

    stored = {each.key: each.value for each in onnx.load(path).metadata_props}

    fields = json.loads(stored[METADATA_KEY])
    assert fields["identities"] == NAMES
    assert (fields["image_size"], fields["mean"]) == (32, [0.5, 0.5, 0.5])
    assert open_onnx(path).description == describe(model, NAMES)


@pytest.mark.parametrize("size", [(40, 60), (700, 500)])
def test_a_photo_is_prepared_as_in_training(size, tmp_path):
    preprocessing = Preprocessing(48, (0.4, 0.5, 0.6), (0.2, 0.25, 0.5))
    model = small_model(linear_classifier(256, len(NAMES)))
    model.backbone.preprocessing = preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")

    prepared = read_input(tmp_path / "photo.jpg", describe(model, NAMES))

    stored = read_photos([tmp_path / "photo.jpg"], preprocessing.stored_size, progress=False)[0]
    expected = evaluation_transform(preprocessing)(image=stored)["image"].numpy()
    np.testing.assert_allclose(prepared[0], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(prepared, prepare(stored, describe(model, NAMES)))


@pytest.mark.parametrize("content", [None, b"", b"turtles"], ids=["missing", "empty", "text"])
def test_what_is_no_network_is_named(content, tmp_path):
    if content is not None:
        (tmp_path / "model.onnx").write_bytes(content)

    with pytest.raises(InputError, match=r"model\.onnx: (cannot be read|is no ONNX)") as error:
        open_onnx(tmp_path / "model.onnx")

    assert "\n" not in str(error.value)


@pytest.mark.parametrize("metadata", [{}, {METADATA_KEY: "{"}, {METADATA_KEY: '{"backbone": "a"}'}])
def test_a_network_that_does_not_name_its_labels_is_refused(metadata, exported, tmp_path):
    network = onnx.load(exported[1])
    onnx.helper.set_model_props(network, metadata)
    onnx.save(network, tmp_path / "model.onnx")

    with pytest.raises(InputError, match=r"without this course's label map and preprocessing"):
        open_onnx(tmp_path / "model.onnx")


def test_a_cut_off_file_is_named(exported, tmp_path):
    content = exported[1].read_bytes()
    (tmp_path / "half.onnx").write_bytes(content[: len(content) // 2])

    with pytest.raises(InputError, match=r"half\.onnx.*no ONNX network"):
        open_onnx(tmp_path / "half.onnx")


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_file_whose_weights_were_damaged_is_refused(place, exported, tmp_path):
    content = bytearray(exported[1].read_bytes())
    content[int(place * len(content))] ^= 1
    (tmp_path / "damaged.onnx").write_bytes(content)

    with pytest.raises(InputError, match=r"damaged\.onnx: its bytes are not those"):
        open_onnx(tmp_path / "damaged.onnx")


def test_a_file_without_a_checksum_is_taken(exported, tmp_path):
    network = onnx.load(exported[1])
    notes = {note.key: note.value for note in network.metadata_props if note.key == METADATA_KEY}
    onnx.helper.set_model_props(network, notes)
    onnx.save(network, tmp_path / "older.onnx")

    assert list(open_onnx(tmp_path / "older.onnx").description.identities) == NAMES


def test_a_file_without_its_weights_is_refused(exported, tmp_path):
    onnx.save(onnx.load(exported[1]), tmp_path / "bare.onnx", save_as_external_data=True,
              location="weights.data", size_threshold=0)  # fmt: skip

    assert (tmp_path / "bare.onnx").stat().st_size < weight_bytes(exported[0]) / 20
    with pytest.raises(InputError, match=r"bare\.onnx.*with its weights inside"):
        open_onnx(tmp_path / "bare.onnx")
