"""Scripts find the course's own package, whatever is installed."""

import os
import subprocess
import sys

import pytest
from script_runs import ROOT

FOLDERS = ("week1", "week2", "week2/case_studies", "week3")


@pytest.fixture
def another_course(tmp_path):
    """An environment in which another package of that name is installed."""
    (tmp_path / "common.py").write_text("raise SystemExit('the other one')", encoding="utf-8")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_script_finds_the_package_of_its_own_copy_of_the_course(folder, another_course, tmp_path):
    code = f"import sys; sys.path[0] = {str(ROOT / folder)!r}; import common.words as found"
    code += "; print(found.__file__)"

    said = subprocess.run(
        [sys.executable, "-c", code], env=another_course, cwd=tmp_path, capture_output=True,
        encoding="utf-8",
    )  # fmt: skip

    assert said.stdout.strip() == str(ROOT / "common" / "words.py"), said.stderr


def test_a_script_starts_without_an_install(another_course, tmp_path):
    ended = subprocess.run(
        [sys.executable, str(ROOT / "week1" / "look_at_data.py"), "--help"],
        env=another_course, cwd=tmp_path, capture_output=True, encoding="utf-8",
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr


def test_all_folders_say_it_in_the_same_words():
    assert len({(ROOT / folder / "common.py").read_text("utf-8") for folder in FOLDERS}) == 1
