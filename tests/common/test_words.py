"""Tests of words in sentences."""

import shlex
import shutil
import subprocess

from common.words import typed

import pytest

ODD = ["plain/a-b_1.csv", "Gal erie „Ä“", "it's", 'say "a"', "$HOME", "`b`", "!", "~a", "a;b", "*"]


@pytest.mark.parametrize("word", [*ODD, ""])
def test_a_word_of_a_command_is_one_word_when_it_is_typed(word):
    assert shlex.split(typed(word)) == [word]


@pytest.mark.skipif(not shutil.which("sh"), reason="this system has no POSIX shell")
def test_a_shell_changes_no_word_of_a_command():
    line = " ".join(["printf", "'%s\\n'", *map(typed, ODD)])

    said = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout

    assert said.splitlines() == ODD
