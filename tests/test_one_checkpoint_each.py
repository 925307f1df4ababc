"""Each training of a script continues from a file of its own, never from another row's."""

from collections import defaultdict

from common.training import loop

import pytest
from script_runs import load_main

SCRIPTS = [
    "week1/split_pitfalls",
    "week2/compare_strategies",
    "week2/fine_tuning",
    "week2/training_practices",
    "week3/compare_losses",
]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_no_two_trainings_share_a_checkpoint(script, turtles, tmp_path, monkeypatch):
    """Once took training_practices another row's weights, and compare_losses another rate's."""
    keys = defaultdict(list)

    class Watched(loop.Checkpoint):
        def __init__(self, path, key):
            super().__init__(path, key)
            keys[path].append(key)

    monkeypatch.setattr(loop, "Checkpoint", Watched)
    where = ["--data_dir", str(turtles), "--output_dir", str(tmp_path / "out")]

    load_main(script)(["--smoke", *where])

    trained = {path: len(each) for path, each in keys.items() if path}
    assert len(trained) >= 2
    assert set(trained.values()) == {1}
