"""The last line of a script, whatever ends it."""

import os
import subprocess
import sys

from common import ending
from common.ending import run_script
from common.errors import InputError

import pytest
from script_runs import ROOT


def ending_of(main, capsys):
    with pytest.raises(SystemExit) as ending:
        run_script(main)
    return ending.value.code, capsys.readouterr().err.splitlines()


def test_an_input_error_ends_with_its_one_line_and_exit_code_2(capsys):
    def main():
        raise InputError("found 3 photos,\n expected 4; add one to --data_dir")

    code, lines = ending_of(main, capsys)

    assert code == 2
    assert lines == ["error: found 3 photos, expected 4; add one to --data_dir"]


def test_ctrl_c_ends_with_one_line_and_exit_code_130(capsys):
    def main():
        raise KeyboardInterrupt

    code, lines = ending_of(main, capsys)

    assert code == 130
    assert len(lines) == 1
    assert "continue" in lines[0]


@pytest.mark.parametrize(
    ("module", "package"), [("cv2", "opencv-python-headless"), ("timm", "timm")]
)
def test_a_missing_package_is_told_with_the_command_that_installs_it(module, package):
    code = f"import sys, common; sys.modules[{module!r}] = None; import {module}.parts"

    ending = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert ending.returncode == 2
    assert ending.stderr.splitlines() == [
        f"error: the package {package} is not installed; run `pip install -r requirements.txt` in "
        "the course's folder"
    ]


@pytest.mark.parametrize(
    ("variable", "package"), [("TQDM_MININTERVAL", "tqdm"), ("TIMM_FUSED_ATTN", "timm")]
)
def test_a_variable_that_a_package_cannot_read_is_one_line(variable, package):
    ending = subprocess.run(
        [sys.executable, "week1/baseline_cnn.py", "--help"],
        capture_output=True,
        text=True,
        env=os.environ | {variable: "abc"},
        cwd=ROOT,
    )

    assert ending.returncode == 2
    assert package in ending.stderr
    assert len(ending.stderr.splitlines()) == 1
    assert "ValueError" in ending.stderr


@pytest.mark.parametrize(
    "fault", [ValueError("ours"), ModuleNotFoundError("x", name="tests.unheard_of")]
)
def test_a_fault_of_ours_keeps_its_traceback(fault):
    def main():
        raise fault

    with pytest.raises(type(fault)):
        run_script(main)


def test_a_script_that_succeeds_just_returns():
    calls = []

    run_script(lambda: calls.append("called"))

    assert calls == ["called"]


@pytest.mark.parametrize("number", sorted(ending.LIMITS))
def test_what_the_machine_runs_out_of_is_one_line(number, capsys):
    def main():
        raise OSError(number, os.strerror(number), "data/photo.jpg")

    with pytest.raises(SystemExit) as ending:
        run_script(main)

    (line,) = capsys.readouterr().err.splitlines()
    assert ending.value.code == 2
    assert line.startswith("error: data/photo.jpg: ")


RUN = """
import sys
from pathlib import Path
from common.ending import run_script
from tqdm import tqdm
def main():
    for i in tqdm(range(2_000), mininterval=0):
        print("a line", i, "café \u2192")
    Path(sys.argv[1]).write_text("done")
run_script(main)
"""
STREAMS = {
    "output closed": ">&-",
    "all closed": "<&- >&- 2>&-",
    "both full": ">/dev/full 2>/dev/full",
    "a reader that leaves": "2>&1 | head -1",
}


@pytest.mark.parametrize("kind", STREAMS)
def test_no_stream_ends_a_run(kind, tmp_path):
    (tmp_path / "run.py").write_text(RUN, encoding="utf-8")
    command = f"'{sys.executable}' run.py done {STREAMS[kind]}"
    plain = {"PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    environment = os.environ | plain
    for name in ("HOME", "TMPDIR"):
        environment.pop(name, None)

    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; ulimit -n 64; {command}"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    # All is done, but words that a full disk lost are told; who leaves or closes wants none.
    assert ended.returncode == (2 if kind == "both full" else 0), ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "done").read_text() == "done"
