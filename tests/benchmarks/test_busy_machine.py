"""The benchmark of a busy machine runs, with a neighbour that ends with it."""

import pytest
from script_runs import load_main


@pytest.mark.slow
def test_training_is_timed_quietly_and_beside_a_busy_process(tmp_path):
    main = load_main("tests/benchmarks/busy_machine")

    result = main(["--smoke", "--output_dir", str(tmp_path)])

    (rows,) = result["tables"].values()
    assert [(row["threads"], row["place"]) for row in rows] == [
        ("as PyTorch comes", "quiet machine"),
        ("as PyTorch comes", "beside a busy process"),
        ("waiting quietly", "quiet machine"),
        ("waiting quietly", "beside a busy process"),
    ]
    assert min(row["photos/s"] for row in rows) > 0
