"""Week 2's scripts run from anywhere and keep what they promise."""

import json

import pytest
import torch
from script_runs import load_main, modules_behind_help, run_elsewhere

from common.models.storage import load_recogniser

SCRIPTS = ("week2/transfer_learning",)


@pytest.fixture(scope="module")
def transfer(turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    flags = ["--smoke", "--data_dir", str(turtles), "--output_dir", str(folder)]
    return load_main("week2/transfer_learning")(flags), folder


def test_a_smoke_run_returns_what_it_stores(transfer):
    result, folder = transfer

    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result
    names = {path.name for path in folder.iterdir()}
    assert names == {"result.json", "report.html", "model.safetensors", "curves.png",
                     "confusion.png"}  # fmt: skip


def test_the_stored_model_names_every_animal_of_the_catalogue(transfer, catalogue):
    model, identities = load_recogniser(transfer[1] / "model.safetensors")

    assert identities == catalogue.identities
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, len(identities))


def test_a_frozen_backbone_is_stored_as_it_came(transfer):
    from common.models.backbones import load_backbone

    model, _ = load_recogniser(transfer[1] / "model.safetensors")

    original = load_backbone("efficientnet_lite0", image_size=64)
    for name, tensor in original.state_dict().items():
        assert torch.equal(tensor, model.backbone.state_dict()[name]), name


def test_the_whole_network_can_train(turtles, tmp_path):
    result = load_main("week2/transfer_learning")(
        ["--smoke", "--data_dir", str(turtles), "--output_dir", str(tmp_path), "--weights",
         "none", "--model", "resnet18", "--no_freeze_backbone"]
    )  # fmt: skip

    assert result["tables"]["Test photos of known animals"][0]["trained"] == "all"


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_runs_from_any_folder(script, turtles, tmp_path):
    ending = run_elsewhere(script, tmp_path, "--smoke", "--data_dir", str(turtles))

    assert ending.returncode == 0, ending.stderr
    assert "Result:" in ending.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_answers_without_loading_anything_heavy(script, tmp_path):
    shown, modules = modules_behind_help(script, tmp_path)

    assert "--freeze_backbone" in shown
    assert not {"torch", "pandas", "matplotlib"} & modules
