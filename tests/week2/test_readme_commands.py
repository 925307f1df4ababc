"""Every command of week 2's pages runs, as a smoke run on a few turtles."""

from common.errors import InputError

import pytest
from readme_blocks import ROOT
from readme_commands import (
    STAND_INS,
    a_classifier,
    as_tests,
    python_commands_of,
    run_command,
    stand_ins_for,
)

PAGES = sorted((ROOT / "week2").glob("*.md"))
# A page may repeat a command of the lesson: once is enough.
COMMANDS = list(dict.fromkeys(command for page in PAGES for command in python_commands_of(page)))
FROM_THE_HUB = ("resnet50", "efficientnet_b0", "convnext_tiny")  # no test has a network


@pytest.fixture(scope="module")
def stand_ins(catalogue, tmp_path_factory):
    table = STAND_INS | {"path/to/model.safetensors": a_classifier}
    return stand_ins_for(COMMANDS, tmp_path_factory.mktemp("given"), catalogue, table)


def test_the_pages_have_commands():
    assert len(COMMANDS) >= 20


@pytest.mark.parametrize("command", as_tests(COMMANDS))
def test_a_command_runs(command, stand_ins, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # results without --output_dir go to the current folder
    monkeypatch.setattr("common.data.class_folders.SMOKE_FOLDER", tmp_path / "noise")

    if any(name in command for name in FROM_THE_HUB):
        with pytest.raises(InputError, match="not in reach"):
            run_command(command, stand_ins)
    else:
        assert run_command(command, stand_ins)
