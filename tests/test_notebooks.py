"""The notebooks are those of the scripts beside them, and run from top to bottom."""

import os
import subprocess
import sys

import nbformat
import pytest
from make_notebooks import SOURCES, notebook_of, text_of
from script_runs import ROOT

MOST_SECONDS = 300  # for a trial
EXECUTE = "from nbclient.cli import main; main()"


def named(source):
    return source.stem


def test_each_week_has_a_notebook():
    assert {named(source) for source in SOURCES} == {"week1", "week2", "week2_analysis", "week3"}


@pytest.mark.parametrize("source", SOURCES, ids=named)
def test_a_notebook_is_the_one_of_its_script(source):
    stored = source.with_suffix(".ipynb").read_text(encoding="utf-8")

    assert stored == text_of(source), "run python tests/make_notebooks.py"


@pytest.mark.parametrize("source", SOURCES, ids=named)
def test_a_notebook_holds_no_output(source):
    code = [cell for cell in notebook_of(source).cells if cell.cell_type == "code"]

    assert not any(cell.outputs or cell.execution_count for cell in code)


def test_all_notebooks_begin_in_colab_alike():
    cells = [notebook_of(source).cells for source in SOURCES]

    assert len({own[1].source for own in cells}) == 1
    assert "google.colab" in cells[0][1].source


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=named)
def test_a_notebook_runs_from_top_to_bottom(source, tmp_path):
    notebook = notebook_of(source)
    [flags] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    flags.source = 'FLAGS = ["--smoke"]'
    nbformat.write(notebook, tmp_path / "trial.ipynb")

    # In a process of its own: a kernel talks through sockets, which are blocked in this one.
    ending = subprocess.run(
        [sys.executable, "-c", EXECUTE, "trial.ipynb"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        timeout=MOST_SECONDS,
    )

    assert ending.returncode == 0, ending.stderr[-3000:]
