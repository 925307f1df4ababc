"""The benchmark of memory runs, and finds no more than is allowed."""

import memory  # as a module, so that a fresh process finds its function
import pytest


@pytest.mark.slow
def test_metric_learning_holds_its_photos_once(tmp_path):
    result = memory.main(["--smoke", "--output_dir", str(tmp_path)])

    assert result["metrics"]["largest_share_of_what_is_allowed"] <= 1
    assert len(result["tables"]) == 1
