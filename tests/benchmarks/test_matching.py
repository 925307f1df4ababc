"""The matching benchmark runs, and what it compares is the same."""

from common.matching.matchers import MATCHERS, why_missing

import pytest
from script_runs import load_main


@pytest.mark.slow
@pytest.mark.skipif(any(map(why_missing, MATCHERS)), reason="weights are not installed")
def test_it_runs(tmp_path):
    result = load_main("tests/benchmarks/matching")(["--smoke", "--output_dir", str(tmp_path)])

    ways = {row["way"]: row for row in result["tables"]["One photo against many, XFeat"]}
    assert ways["bare products"]["times the bare products"] == 1
    costs = result["tables"]["What each matcher takes"]
    assert [row["matcher"] for row in costs] == list(MATCHERS)
    assert result["metrics"]["many"]["photos"] == 100
