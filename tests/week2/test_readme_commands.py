"""Every command of week 2's README runs, as a smoke run on a few turtles."""

import shlex

import pytest
import timm
import torch
from readme_blocks import ROOT
from safetensors.torch import save_file
from script_runs import load_main
from test_readme import commands_of

from common.errors import InputError
from common.models.backbones import load_backbone
from common.models.heads import Recogniser, linear_classifier
from common.models.onnx_export import export_onnx
from common.models.storage import save_recogniser

COMMANDS = [command for command in commands_of(ROOT / "week2" / "README.md")
            if command.startswith("python ")]  # fmt: skip
FROM_THE_HUB = ("resnet50", "efficientnet_b0", "convnext_tiny")  # no test has a network


@pytest.fixture(scope="module")
def stand_ins(turtles, catalogue, tmp_path_factory):
    """What stands in for the reader's own files."""
    folder = tmp_path_factory.mktemp("given")
    torch.manual_seed(0)
    backbone = load_backbone("small_cnn", image_size=32)
    model = Recogniser(backbone, linear_classifier(256, len(catalogue.identities))).eval()
    save_recogniser(model, folder / "model.safetensors", catalogue.identities)
    export_onnx(model, folder / "model.onnx", catalogue.identities)
    save_file(timm.create_model("resnet18").state_dict(), folder / "resnet18.safetensors")
    return {
        "path/to/dataset": turtles,
        "path/to/photo.jpg": catalogue.paths()[0],
        **{f"path/to/{file.name}": file for file in folder.iterdir()},
    }


def flags_of(command, stand_ins):
    """The command's flags, with the stand-ins; case studies draw their own smoke photos."""
    script, *flags = shlex.split(command)[1:]
    for name, file in stand_ins.items():
        flags = [flag.replace(name, str(file)) for flag in flags]
    flags = [flag for flag in flags if flag != "--download"]
    for index, flag in enumerate(flags):
        if flag.startswith("path/to/"):
            assert flags[index - 1] == "--data_dir", f"{command}: nothing stands in for {flag}"
            return script, flags[: index - 1] + flags[index + 1 :]
    return script, flags


def test_the_readme_has_commands():
    assert len(COMMANDS) >= 20


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(command, stand_ins, tmp_path, monkeypatch):
    script, flags = flags_of(command, stand_ins)
    monkeypatch.chdir(tmp_path)  # results without --output_dir go to the current folder
    monkeypatch.setattr("common.data.class_folders.SMOKE_FOLDER", tmp_path / "noise")

    def run():
        return load_main(script.removesuffix(".py"))([*flags, "--smoke"])

    if any(name in command for name in FROM_THE_HUB):
        with pytest.raises(InputError, match="not in reach"):
            run()
    else:
        assert run()
