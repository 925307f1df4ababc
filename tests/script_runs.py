"""Running the weeks' scripts, in this process or as a learner would."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from common.ending import run_script

import pytest

ROOT = Path(__file__).resolve().parents[1]


def load_script(script):
    """The module of a script such as "week1/look_at_data"."""
    path = ROOT / f"{script}.py"
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # as Python does: a script finds the modules beside it
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_main(script):
    """The main function of a script."""
    return load_script(script).main


def refusal_of(script, capsys, *flags):
    """The one line that a script ends with when it cannot use what it was given."""
    with pytest.raises(SystemExit) as ending:
        run_script(lambda: load_main(script)([str(flag) for flag in flags]))
    lines = capsys.readouterr().err.strip().splitlines()
    assert ending.value.code == 2
    assert [line for line in lines if line.startswith(("error:", "Traceback"))] == lines[-1:]
    return lines[-1]


def help_of(script, capsys):
    """What --help prints."""
    with pytest.raises(SystemExit) as ending:
        load_main(script)(["--help"])
    assert ending.value.code == 0
    return capsys.readouterr().out


def run_elsewhere(script, folder, *flags):
    """Run a script from another folder, as a process of its own."""
    return _run([str(ROOT / f"{script}.py"), *flags], folder)


def _run(arguments, folder):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        timeout=240,
    )
