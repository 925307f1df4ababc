"""OpenMP hears how to wait before torch is loaded, whatever is started, unless a person said so."""

import ast
import os
import subprocess
import sys

import pytest
from script_runs import ROOT

STARTED = [
    path
    for pattern in ("week*/**/*.py", "common/*.py", "tests/benchmarks/*.py")
    for path in sorted(ROOT.glob(pattern))
    if 'if __name__ == "__main__":' in path.read_text("utf-8")
]


def first_import(path):
    """Name of the first package that a file imports and that is not Python's own.

    Of a module beside the script, it is the one that this imports first.
    """
    for node in ast.parse(path.read_text("utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        packages = [name.split(".")[0] for name in names]
        foreign = [name for name in packages if name not in sys.stdlib_module_names]
        if foreign:
            beside = path.with_name(f"{foreign[0]}.py")
            is_other = beside.exists() and foreign[0] != "common"
            return first_import(beside) if is_other else foreign[0]
    return None


@pytest.mark.parametrize("path", STARTED, ids=lambda path: path.stem)
def test_every_script_imports_common_before_any_other_package(path):
    assert first_import(path) == "common"


SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def policy_after_import(**environment):
    known = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    code = (
        "import sys, os, common; "
        f"print(*[os.environ.get(name) for name in {SETTINGS}], 'torch' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=known | environment, cwd=ROOT,
        check=True, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    return ended.stdout.split()


def test_threads_wait_quietly_from_before_torch():
    assert policy_after_import() == ["PASSIVE", "10000", "False"]


def test_what_a_person_has_set_stays():
    assert policy_after_import(OMP_WAIT_POLICY="ACTIVE") == ["ACTIVE", "None", "False"]
