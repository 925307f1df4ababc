"""The re-ranking benchmark runs, and what it compares is the same."""

import numpy as np
import pytest
from ranking_ways import NotInstalled
from reranking import OURS, PUBLISHED, TOLERANCE, counted_mb
from reranking_ways import Case, score_difference
from script_runs import load_main


@pytest.mark.slow
def test_it_runs(tmp_path):
    result = load_main("tests/benchmarks/reranking")(["--smoke", "--output_dir", str(tmp_path)])

    ways = {row["way"]: row for row in result["tables"]["Re-ranking at Market-1501 size"]}
    assert ways[OURS]["seconds"] > 0
    assert ways[OURS]["extra MB"] is not None
    assert ways[PUBLISHED]["MB by counting"] == pytest.approx(20 * 400**2 / 1e6)


def test_the_published_code_needs_seven_gigabytes_at_full_size():
    megabytes = counted_mb({"n_query": 3_368, "n_gallery": 15_913})

    assert megabytes / 1e3 == pytest.approx(7.4, abs=0.1)


def test_every_animal_has_its_photos_on_both_sides():
    case = Case.simulated(n_query=60, n_gallery=340, embedding_dim=32)

    assert len(case.query) == 60
    assert len(case.gallery) == 340
    animals = np.concatenate([case.names["query_identities"], case.names["gallery_identities"]])
    assert (np.bincount(animals) == 20).all()


def test_the_published_code_agrees_or_says_how_to_get_it():
    try:
        difference = score_difference(Case.simulated(n_query=60, n_gallery=340, embedding_dim=32))
    except NotInstalled as missing:
        pytest.skip(f"not installed: {missing}")
    assert difference <= TOLERANCE
