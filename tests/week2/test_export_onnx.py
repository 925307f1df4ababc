"""The exported file is the network: weights, names and preprocessing inside, same answers."""

import ast
import json
import os
import subprocess
import sys

from common.ending import run_script
from common.models.backbones import load_backbone
from common.models.heads import EmbeddingHead, Recogniser, linear_classifier
from common.models.onnx_files import open_onnx
from common.models.storage import save_recogniser

import pytest
from PIL import Image
from script_runs import ROOT, help_of, load_main, run_elsewhere

SCRIPT = "week2/export_onnx"


@pytest.fixture(scope="module")
def run(turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    flags = [
        "--smoke",
        "--model",
        "small_cnn",
        "--data_dir",
        str(turtles),
        "--output_dir",
        str(folder),
    ]
    return load_main(SCRIPT)(flags), folder


@pytest.fixture
def photo(catalogue):
    return str(catalogue.paths()[0])


def export_trained(head, identities, turtles, folder):
    """Run the script with a model that was stored before."""
    model = Recogniser(load_backbone("small_cnn", image_size=32), head)
    trained = save_recogniser(model, folder / "model.safetensors", identities)
    return load_main(SCRIPT)(
        ["--smoke", "--data_dir", str(turtles), "--output_dir", str(folder / "run"),
         "--trained", str(trained)]
    )  # fmt: skip


def test_a_smoke_run_returns_what_it_stores(run):
    result, folder = run

    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "result.json", "report.html", "model.onnx", "model_int8.onnx", "accuracy.png",
        "written.jsonl",
    }  # fmt: skip


def test_the_file_is_as_large_as_its_weights_and_gives_pytorchs_outputs(run):
    row = run[0]["tables"]["File against network"][0]

    assert abs(row["file / weights"] - 1) < 0.05
    assert max(run[0]["metrics"]["differences"].values()) <= 1e-4


def test_eight_bits_keep_names_and_preprocessing_in_a_third_of_the_size(run):
    path, int8_path = run[1] / "model.onnx", run[1] / "model_int8.onnx"

    assert open_onnx(int8_path).description == open_onnx(path).description
    assert int8_path.stat().st_size < path.stat().st_size / 3


def test_the_cost_of_eight_bits_is_a_difference_on_the_same_photos(run):
    metrics = run[0]["metrics"]
    accuracy, cost = metrics["accuracy"], metrics["minus_pytorch"]["ONNX int8"]

    expected = accuracy["ONNX int8"]["estimate"] - accuracy["PyTorch"]["estimate"]
    assert cost["estimate"] == pytest.approx(expected)
    assert cost["low"] <= cost["estimate"] <= cost["high"]


def test_a_stored_embedding_is_judged_by_its_most_alike_photo(turtles, catalogue, tmp_path, photo):
    result = export_trained(EmbeddingHead(256), catalogue.identities, turtles, tmp_path)

    assert result["metrics"]["description"]["output"] == "embedding"
    assert result["metrics"]["accuracy"]["ONNX"]["n_observations"] > 0
    file = tmp_path / "run" / "model_int8.onnx"
    answer = load_main(SCRIPT)(["--check", photo, "--onnx", str(file)])
    assert answer["embedding_dim"] == 256


def test_names_of_other_animals_give_no_accuracy(turtles, tmp_path):
    result = export_trained(linear_classifier(256, 2), ["anna", "berta"], turtles, tmp_path)

    assert result["metrics"]["accuracy"] == {}
    assert any("names other animals" in note for note in result["notes"])
    assert max(result["metrics"]["differences"].values()) <= 1e-4


@pytest.mark.slow
def test_the_file_alone_names_a_photo_from_any_folder(run, photo, tmp_path):
    ending = run_elsewhere(SCRIPT, tmp_path, "--check", photo, "--onnx", run[1] / "model.onnx")

    assert ending.returncode == 0, ending.stderr
    assert "t001" in ending.stdout


def test_a_file_is_asked_without_torch(run, photo):
    code = (
        "import sys\n"
        "from common.models.onnx_files import most_likely, open_onnx, read_input\n"
        f"network = open_onnx({str(run[1] / 'model.onnx')!r})\n"
        f"outputs = network.run(read_input({photo!r}, network.description))\n"
        "print(most_likely(outputs[0], network.description.identities))\n"
        "print('LOADED', *sys.modules)"
    )

    ending = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert ending.returncode == 0, ending.stderr
    answer, modules = ending.stdout.split("LOADED")
    assert len(ast.literal_eval(answer)) == 5
    assert not {"torch", "pandas", "onnx"} & set(modules.split())


def refused(*flags, capsys):
    """The one line that the script ends with."""
    with pytest.raises(SystemExit) as ending:
        run_script(lambda: load_main(SCRIPT)([str(flag) for flag in flags]))
    assert ending.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_what_cannot_be_checked_is_named(run, photo, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8 cut off")
    Image.new("RGB", (20, 20)).save(tmp_path / "photo.png")
    onnx = run[1] / "model.onnx"

    assert "run python week2/export_onnx.py" in refused("--check", photo, capsys=capsys)
    assert "cut.jpg" in refused("--check", "cut.jpg", "--onnx", onnx, capsys=capsys)
    assert "no such photo" in refused("--check", "none.jpg", "--onnx", onnx, capsys=capsys)
    assert "photo.png" in refused("--check", photo, "--onnx", "photo.png", capsys=capsys)
    assert "--check IMAGE" in refused("--onnx", onnx, capsys=capsys)
    assert "--trained" in refused("--trained", "nowhere.safetensors", capsys=capsys)


def test_help_shows_the_flags(capsys):
    assert "--check IMAGE" in help_of(SCRIPT, capsys)
