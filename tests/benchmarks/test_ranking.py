"""The ranking benchmark runs, and what it compares is the same."""

import pytest
from ranking import TOLERANCE, largest_difference
from ranking_ways import Case, NotInstalled, careful_user, fastreid_cython, torchreid_python
from script_runs import load_main


@pytest.mark.slow
def test_it_runs(tmp_path):
    result = load_main("tests/benchmarks/ranking")(["--smoke", "--output_dir", str(tmp_path)])

    ways = {row["way"]: row for row in result["tables"]["Ranking at Market-1501 size"]}
    assert ways["this course"]["seconds"] > 0
    assert ways["this course"]["extra MB"] is not None
    assert ways["NumPy, argsort in chunks"]["largest difference"] <= TOLERANCE


def test_figures_that_differ_end_the_benchmark():
    case = Case.tiny()
    figures = careful_user(case)

    with pytest.raises(RuntimeError, match="a peer and this course differ"):
        largest_difference(case, "a peer", figures | {"mAP": figures["mAP"] + 1e-5})


@pytest.mark.parametrize("way", [fastreid_cython, torchreid_python])
def test_a_peer_agrees_or_says_how_to_get_it(way):
    case = Case.tiny()
    try:
        assert largest_difference(case, "a peer", way(case)) <= TOLERANCE
    except NotInstalled as missing:
        pytest.skip(f"not installed: {missing}")
