"""The benchmark of memory runs, and finds no more than is allowed."""

import pytest
from script_runs import load_main


@pytest.mark.slow
def test_metric_learning_holds_its_photos_once(tmp_path):
    result = load_main("tests/benchmarks/memory")(["--smoke", "--output_dir", str(tmp_path)])

    assert result["metrics"]["largest_share_of_what_is_allowed"] <= 1
    assert len(result["tables"]) == 1
