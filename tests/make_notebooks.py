"""The notebooks, made of the scripts beside them: `python tests/make_notebooks.py`."""

from pathlib import Path

import jupytext
import nbformat

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
SOURCES = sorted(FOLDER.glob("*.py"))


def notebook_of(source: Path) -> nbformat.NotebookNode:
    """The notebook of a script in cells, without any output; equal scripts give equal notebooks."""
    notebook = jupytext.read(source)
    del notebook.metadata["jupytext"]  # names its version
    for number, cell in enumerate(notebook.cells, start=1):
        cell["id"] = f"{source.stem}-{number}"  # else drawn at random
    return notebook


def text_of(source: Path) -> str:
    """What stands in the .ipynb beside a script."""
    return nbformat.writes(notebook_of(source)) + "\n"


if __name__ == "__main__":
    for source in SOURCES:
        source.with_suffix(".ipynb").write_text(text_of(source), encoding="utf-8", newline="\n")
