"""Which pairs a person should judge: a small run, and its refusals."""

from types import SimpleNamespace

import numpy as np
import pytest
from named_animals import few_trials  # noqa: F401, pytest takes it
from script_runs import load_main, load_script, refusal_of


@pytest.fixture(scope="module")
def result(turtles, tmp_path_factory):
    flags = ["--smoke", "--data_dir", str(turtles), "--output_dir"]
    return load_main("week3/check_pairs")([*flags, str(tmp_path_factory.mktemp("runs") / "pairs")])


def test_every_strategy_meets_every_person(result):
    gains = result["metrics"]["gains"]

    assert {(row["strategy"], row["person right"]) for row in gains} == {
        (strategy, right)
        for strategy in ("uncertainty", "disagreement", "random")
        for right in (1.0, 0.95, 0.875)
    }


def test_all_curves_begin_with_the_same_groups(result):
    starts = [row["AMI"] for row in result["metrics"]["curves"] if row["answers"] == 0]

    assert len(starts) == 9
    assert len(set(starts)) == 1


def test_it_is_shown_where_the_gain_comes_from(result):
    (row,) = result["metrics"]["sources"]

    assert {"split animals joined", "merged animals parted", "wrong answers"} <= set(row)


def test_no_answer_at_all_moves_nothing():
    one = np.array([0, 1])
    folder = SimpleNamespace(grouping=SimpleNamespace(labels=one), truth=one.astype(str))

    assert set(load_script("week3/check_pairs").moved(folder, []).values()) == {0}


def test_models_without_their_seeds_are_refused(capsys, tmp_path):
    line = refusal_of("week3/check_pairs", capsys, "--seeds", "0,1", "--output_dir", tmp_path)

    assert "found 2 for 1 model, expected the seed" in line
