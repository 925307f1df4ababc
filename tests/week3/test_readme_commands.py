"""Every command of week 3's pages runs, as a smoke run on a few turtles."""

import pytest
from readme_blocks import ROOT
from readme_commands import STAND_INS, as_tests, python_commands_of, run_command, stand_ins_for

PAGES = sorted((ROOT / "week3").glob("*.md"))
EVERY_COMMAND = list(
    dict.fromkeys(command for page in PAGES for command in python_commands_of(page))
)
OF_ONE_GALLERY = [command for command in EVERY_COMMAND if "path/to/gallery" in command]
COMMANDS = [command for command in EVERY_COMMAND if command not in OF_ONE_GALLERY]
# Many trainings: the smallest network, as nothing in them knows which one it is.
SMALLEST = ["--model", "small_cnn", "--unfreeze", "1", "--batch_size", "12"]


@pytest.fixture(scope="module")
def stand_ins(catalogue, tmp_path_factory):
    return stand_ins_for(EVERY_COMMAND, tmp_path_factory.mktemp("given"), catalogue)


def test_the_readme_has_commands():
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("name", STAND_INS)
def test_every_stand_in_can_be_made(name, catalogue, tmp_path):
    made = stand_ins_for([f"python week3/script.py {name}"], tmp_path, catalogue)

    assert made[name].exists() or name == "path/to/gallery"  # which its first command builds


@pytest.mark.parametrize("command", as_tests(COMMANDS))
def test_a_command_runs(command, stand_ins, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # results without --output_dir go to the current folder

    is_long = "compare_losses.py" in command or "compare_approaches.py" in command
    assert run_command(command, stand_ins, *(SMALLEST if is_long else ()))


@pytest.mark.slow
def test_the_commands_about_one_gallery_run_one_after_the_other(stand_ins, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert len(OF_ONE_GALLERY) >= 6
    for command in OF_ONE_GALLERY:
        assert run_command(command, stand_ins), command
