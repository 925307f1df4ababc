"""What the READMEs promise: commands that exist, flags that are known, numbers from stored runs."""

import re
import shlex

import pytest
from readme_blocks import READMES, ROOT, refreshed
from readme_commands import commands_of
from script_runs import load_main

IDS = [str(readme.relative_to(ROOT)) for readme in READMES]


def python_commands():
    return sorted(
        {command for readme in READMES for command in commands_of(readme)
         if command.startswith("python week")}
    )  # fmt: skip


def test_there_are_commands_to_check():
    assert len(python_commands()) >= 6


@pytest.mark.parametrize("command", python_commands())
def test_a_scripts_command_is_understood(command, capsys):
    _, script, *flags = shlex.split(command, comments=True)
    assert (ROOT / script).is_file(), script

    with pytest.raises(SystemExit) as ending:  # the flags are read, then help ends the run
        load_main(script.removesuffix(".py"))([*existing(flags), "--help"])

    assert ending.value.code == 0


def existing(flags):
    """The flags with a file or folder that exists in place of the reader's own."""

    def place(match: re.Match) -> str:
        return str(ROOT / "README.md" if "." in match[0] else ROOT)

    return [re.sub(r"path/to/[\w./]+|my_week\d\.py", place, flag) for flag in flags]


@pytest.mark.parametrize("readme", READMES, ids=IDS)
def test_every_quoted_table_is_a_stored_result(readme):
    text = readme.read_text(encoding="utf-8")

    assert refreshed(text) == text, "run python tests/readme_blocks.py"


@pytest.mark.parametrize("readme", READMES, ids=IDS)
def test_every_linked_file_is_there(readme):
    text = readme.read_text(encoding="utf-8")

    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (readme.parent / target).exists(), target


@pytest.mark.parametrize("readme", READMES, ids=IDS)
def test_no_share_is_quoted_outside_a_stored_table(readme):
    """A measured percentage belongs into a table that a run wrote."""
    text = re.sub(r"<!-- table.*?<!-- end -->", "", readme.read_text(encoding="utf-8"), flags=re.S)

    measured = re.findall(r"\d+\.\d ?%", text)

    assert measured == []
