"""The benchmark of the cascade runs, and asks the same queries in both galleries."""

from common.matching.matchers import why_missing

import pytest
from cascade import CASCADE, COSINE, FULL, TITLE
from script_runs import load_main


@pytest.mark.slow
@pytest.mark.skipif(bool(why_missing("aliked")), reason="the matchers' weights are not installed")
def test_it_runs(tmp_path):
    result = load_main("tests/benchmarks/cascade")(["--smoke", "--output_dir", str(tmp_path)])

    small, large = (result["tables"][TITLE][start : start + 5] for start in (0, 5))
    assert [row["way"] for row in small] == [row["way"] for row in large]
    assert {small[0]["way"], small[-1]["way"]} == {COSINE, CASCADE}
    [full] = [row for row in small if row["way"] == FULL]
    assert full["share of its rank-1"] == full["share of its time"] == 1
    assert small[-1]["LightGlue pairs"] <= full["LightGlue pairs"]
