"""Two changes at once: the comparison runs, and the stored one lost nothing."""

import json

import pytest
from script_runs import ROOT, run_elsewhere

NOTHING = ("refused", "lost", "not_logged", "reads_not_whole")


def test_the_stored_run_lost_nothing_in_fifty_pairs():
    stored = ROOT / "tests/benchmarks/results/simultaneous_changes.json"
    metrics = json.loads(stored.read_text(encoding="utf-8"))["metrics"]

    assert metrics["pairs"] == 50
    assert metrics["reads"] > 50
    assert [metrics[name] for name in NOTHING] == [0, 0, 0, 0]


@pytest.mark.slow
def test_of_two_changes_at_once_none_is_lost(tmp_path):
    ending = run_elsewhere("tests/benchmarks/simultaneous_changes", tmp_path, "--smoke",
                           "--output_dir", str(tmp_path / "run"))  # fmt: skip

    assert ending.returncode == 0, ending.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert [result["metrics"][name] for name in NOTHING] == [0, 0, 0, 0]
