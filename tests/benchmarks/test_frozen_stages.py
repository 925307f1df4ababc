"""The benchmarks of frozen stages run, and compare what they say they compare."""

from common.training import feature_cache

import pytest
from script_runs import load_main, run_elsewhere

pytestmark = pytest.mark.slow


@pytest.fixture
def smoke(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "CACHE_FOLDER", tmp_path / "cache")  # set back afterwards

    def run(script, *flags):
        return load_main(f"tests/benchmarks/{script}")(
            ["--smoke", "--output_dir", str(tmp_path), *flags]
        )

    return run


def test_a_frozen_head_is_trained_in_the_usual_loop_and_from_the_cache(smoke):
    tables = smoke("frozen_head")["tables"]

    views, *loops = tables.values()
    assert len(views) == 10
    looks = {row["views"]: row["photos through the network"] for row in views}
    assert looks["as it is"] == looks["1 random"] < looks["as it is, 2 random"]
    for table in loops:
        assert [row["way"].split(", ")[-1] for row in table[1:]] == ["cold", "warm"]
        assert table[1]["test"] == table[2]["test"]


def test_last_stages_are_trained_in_the_usual_loop_and_from_the_cache(smoke):
    (table,) = smoke("partial_fine_tuning")["tables"].values()

    assert [row["way"] for row in table] == ["usual loop", "cold cache", "warm cache"]
    assert table[0]["test minus usual"] == 0


@pytest.mark.parametrize("script", ["frozen_head", "partial_fine_tuning"])
def test_a_benchmark_says_what_it_asks(script, tmp_path):
    ending = run_elsewhere(f"tests/benchmarks/{script}", tmp_path, "--help")

    assert ending.returncode == 0, ending.stderr
    assert "how much faster" in ending.stdout
