"""The benchmarks of extraction and training run, and compare like with like."""

import pytest
from script_runs import load_main


def test_extraction_gives_the_plain_loops_features_and_is_timed(tmp_path):
    result = load_main("tests/benchmarks/extraction")(["--smoke", "--output_dir", str(tmp_path)])

    rows = {row["way"]: row for row in result["tables"]["Photos to features, efficientnet_lite0"]}
    assert rows["this project"]["lowest cosine"] == pytest.approx(1, abs=1e-3)
    assert rows["this project"]["photos/s"] > 0


def test_training_is_timed_beside_bare_steps(tmp_path):
    main = load_main("tests/benchmarks/training_throughput")

    result = main(["--smoke", "--output_dir", str(tmp_path)])

    rates = result["metrics"]["32"]["photos_per_second"]
    assert set(rates) == {
        "bare steps", "bare steps, memory kept", "this project's fit", "usual PyTorch loop",
    }  # fmt: skip
    assert min(rates.values()) > 0
