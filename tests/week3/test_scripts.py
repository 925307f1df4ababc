"""Week 3's scripts run from anywhere and keep what they promise."""

import json

import numpy as np
import pytest
from script_runs import load_main, run_elsewhere

CLASSIFIERS = ("small CNN from scratch", "frozen, linear head", "classifier")
SEARCHED = (
    "frozen, searched", "classifier's features, searched", "classifier's features, class means",
    "triplet embedding", "ArcFace embedding, class means", "ArcFace embedding",
)  # fmt: skip


@pytest.fixture(scope="module")
def finding(turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    flags = ["--smoke", "--classes", "side", "--model", "small_cnn", "--data_dir", str(turtles)]
    flags += ["--output_dir", str(folder)]
    return load_main("week3/compare_approaches")(flags), folder


def rows_of(result):
    return {row["approach"]: row for row in result["metrics"]["approaches"]}


def test_a_smoke_run_returns_what_it_stores(finding):
    result, folder = finding

    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "written.jsonl", "result.json", "report.html", "approaches.png", "joined.png",
        "unknown.png", "reliability.png", "curves.png", "matches.png",
    }  # fmt: skip


def test_every_approach_is_asked(finding):
    assert set(rows_of(finding[0])) == {*CLASSIFIERS, *SEARCHED, "classifier, trained again"}


def test_every_approach_has_every_seed(finding):
    seeds = {}
    for trial in finding[0]["metrics"]["trials"]:
        seeds.setdefault(trial["approach"], []).append(trial["seed"])

    assert set(map(tuple, seeds.values())) == {(0, 1)}


@pytest.mark.parametrize("approach", CLASSIFIERS)
def test_a_classifier_never_names_an_animal_that_joined(finding, approach):
    assert rows_of(finding[0])[approach]["joined later"] == 0


def test_the_table_is_the_mean_of_the_trials(finding):
    result = finding[0]
    known = [trial["known"] for trial in result["metrics"]["trials"]
             if trial["approach"] == "ArcFace embedding"]  # fmt: skip

    assert len(known) == 2
    assert rows_of(result)["ArcFace embedding"]["known animals"] == pytest.approx(np.mean(known))


def test_enrolling_and_training_again_have_their_price(finding):
    rows = rows_of(finding[0])

    assert float(rows["ArcFace embedding"]["adding animals"].removesuffix(" s")) > 0
    assert float(rows["classifier, trained again"]["adding animals"].removesuffix(" s")) > 0
    assert rows["classifier"]["adding animals"] is None


@pytest.mark.slow
def test_disjoint_animals_are_retrieved_only_and_the_reason_is_said(turtles, tmp_path):
    result = load_main("week3/compare_approaches")(
        ["--smoke", "--seeds", "0", "--data_dir", str(turtles), "--split", "disjoint",
         "--output_dir", str(tmp_path)]
    )  # fmt: skip

    assert set(rows_of(result)) == {*SEARCHED, "classifier, trained again"}
    assert any("Retrieval only" in note for note in result["notes"])
    assert "known animals" not in result["tables"]["Three questions, every approach"][0]


@pytest.mark.slow  # a run of its own, for the folder alone
def test_the_script_runs_from_any_folder(turtles, tmp_path):
    ending = run_elsewhere(
        "week3/compare_approaches", tmp_path, "--smoke", "--seeds", "0", "--data_dir", str(turtles)
    )

    assert ending.returncode == 0, ending.stderr
    assert "Expected: " in ending.stdout
    assert "Result:" in ending.stdout
