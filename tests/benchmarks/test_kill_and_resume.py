"""Work that is killed and started again ends as if nobody had killed it."""

import json
from pathlib import Path

import pytest
from script_runs import load_main

STORED = Path(__file__).parent / "results" / "kill_and_resume.json"
GOOD = {"torn_files": 0, "lost_answers": 0, "left_over": 0}


@pytest.mark.slow
def test_one_kill_of_each_kind_of_work(tmp_path):
    result = load_main("tests/benchmarks/kill_and_resume")(
        ["--smoke", "--output_dir", str(tmp_path)]
    )

    assert result["metrics"] == GOOD | {"kills": 5, "equal_results": 5}


def test_fifty_kills_lost_nothing():
    metrics = json.loads(STORED.read_text(encoding="utf-8"))["metrics"]

    assert metrics == GOOD | {"kills": 50, "equal_results": 50}
