"""The comparison of one process with two runs, and finds them alike."""

import pytest
from script_runs import load_main


@pytest.mark.slow
def test_one_process_and_two_come_to_the_same(tmp_path):
    result = load_main("tests/benchmarks/processes")(["--smoke", "--output_dir", str(tmp_path)])

    assert result["metrics"]["largest_difference_of_losses"] < 1e-5
    assert result["metrics"]["largest_difference_of_embeddings"] == 0
    assert result["metrics"]["losses_one_process"].keys() == (
        result["metrics"]["losses_two_processes"].keys()
    )
