"""Re-ranking and details are compared with the embedding, on settings of validation photos."""

import json

from common.cli import run_script
from common.data.images import PhotoDataset, evaluation_transform, read_photos
from common.experiments.answers import ask_embedding
from common.matching.reordering import (
    EMBEDDING,
    EVERYTHING,
    FUSED,
    RERANKED,
    SIFT,
    TOGETHER,
    Settings,
    choose_settings,
    ways_to_order,
)
from common.matching.shortlists import Asked
from common.models.backbones import load_backbone
from common.models.extraction import extract
from common.models.heads import EmbeddingHead, Recogniser, linear_classifier
from common.models.storage import save_recogniser
from common.splits.questions import questions_of
from common.splits.splits import make_split

import numpy as np
import pytest
from script_runs import help_of, load_main

SCRIPT = "week3/compare_rankings"
WAYS = [EMBEDDING, RERANKED, TOGETHER, SIFT, FUSED, EVERYTHING]


@pytest.fixture(scope="module")
def compared(turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rankings")
    return load_main(SCRIPT)(
        ["--smoke", "--data_dir", str(turtles), "--output_dir", str(folder)]
    ), folder  # fmt: skip


def test_a_smoke_run_returns_what_it_stores(compared):
    result, folder = compared

    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result
    assert {path.name for path in folder.iterdir()} == {
        "written.jsonl", "result.json", "report.html", "rankings.png", "details.png",
    }  # fmt: skip


def test_every_way_is_asked_and_priced(compared):
    tables = compared[0]["tables"]

    assert [row["way"] for row in tables["What each way finds"]] == WAYS
    assert [row["way"] for row in tables["What each way costs"]] == WAYS
    assert all(row["ms per query"] > 0 for row in tables["What each way costs"])


def test_every_other_way_is_compared_with_the_embedding_on_both_questions(compared):
    rows = compared[0]["tables"][f"Against {EMBEDDING}"]

    assert [(row["question"], row["way"]) for row in rows] == [
        (question, way) for question in ("known animals", "joined later") for way in WAYS[1:]
    ]
    for row in rows:
        is_apart = row["mAP gained_low"] > 0 or row["mAP gained_high"] < 0
        assert (row["by mAP"] != "not distinguishable") == is_apart


def test_the_embedding_alone_answers_as_in_the_comparison_of_approaches(compared, catalogue):
    [alone] = [row for row in compared[0]["tables"]["What each way finds"]
               if row["way"] == EMBEDDING]  # fmt: skip
    questions = questions_of(catalogue, make_split(catalogue))
    backbone = load_backbone("efficientnet_lite0", image_size=64)
    pixels = read_photos(catalogue.paths(), backbone.preprocessing.stored_size, progress=False)
    photos = PhotoDataset(
        pixels, np.zeros(len(pixels)), evaluation_transform(backbone.preprocessing)
    )
    embeddings = extract(
        Recogniser(backbone, EmbeddingHead(backbone.n_features)), photos, progress=False
    )

    answers = ask_embedding(embeddings, questions, catalogue)

    assert alone["known animals, rank-1"] == pytest.approx(answers.known.mean())
    assert alone["joined later, rank-1"] == pytest.approx(answers.joined.mean())


def made_up(seed, n_query=40, n_gallery=60):
    """Queries whose details tell the truth and whose embedding nearly nothing."""
    generator = np.random.default_rng(seed)
    embeddings = generator.normal(size=(n_query + n_gallery, 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    identity = generator.integers(0, 6, n_query + n_gallery).astype(str)
    rows = np.arange(n_query + n_gallery)
    asked = Asked(
        rows[:n_query], rows[n_query:], embeddings, identity, encounter=rows, n_candidates=20
    )
    n_same = generator.poisson(np.where(asked.is_same, 20, 4)).astype(float)
    return asked, n_same


def mean_map(asked, n_same, settings, way):
    return asked.evaluate(ways_to_order(asked, n_same, settings)[way]).mAP


def test_validation_takes_the_settings_with_the_highest_map():
    asked, n_same = made_up(0)
    settings, tried = choose_settings([asked], [n_same])
    values = {row["way"]: row["validation mAP"] for row in tried}

    assert values[RERANKED] == pytest.approx(mean_map(asked, n_same, settings, RERANKED))
    assert values[FUSED] == pytest.approx(mean_map(asked, n_same, settings, FUSED))
    for other in (Settings(20, 6, 0.3), Settings(5, 2, 0.1), Settings(10, 4, 0.7)):
        assert values[RERANKED] >= mean_map(asked, n_same, other, RERANKED) - 1e-9


def test_details_that_tell_the_truth_help_on_photos_not_chosen_with():
    settings, _ = choose_settings(*([each] for each in made_up(0)))
    asked, n_same = made_up(1)

    alone = mean_map(asked, n_same, settings, EMBEDDING)
    fused = mean_map(asked, n_same, settings, FUSED)

    assert fused > alone + 0.1
    assert settings.n_candidates == 20


def test_without_validation_the_papers_settings_hold_and_nothing_is_fused():
    settings, tried = choose_settings([], [])
    asked, n_same = made_up(1)

    assert (settings.k1, settings.k2, settings.original_share) == (20, 6, 0.3)
    assert tried == []
    assert list(ways_to_order(asked, n_same, settings)) == WAYS[:4]


def stored_model(folder, head):
    backbone = load_backbone("small_cnn", image_size=64)
    model = Recogniser(backbone, head(backbone.n_features))
    return save_recogniser(model, folder / "model.safetensors", ["a", "b"])


def test_a_trained_embedding_is_taken_as_it_is(turtles, tmp_path):
    model = stored_model(tmp_path, EmbeddingHead)

    result = load_main(SCRIPT)(
        ["--smoke", "--trained", str(model), "--data_dir", str(turtles), "--split", "disjoint",
         "--output_dir", str(tmp_path / "run")]
    )  # fmt: skip

    assert any("trained on" in note for note in result["notes"])
    assert "known animals, mAP" not in result["tables"]["What each way finds"][0]


def test_a_classifier_is_refused(turtles, tmp_path, capsys):
    model = stored_model(tmp_path, lambda n_features: linear_classifier(n_features, 2))

    with pytest.raises(SystemExit) as ending:
        run_script(lambda: load_main(SCRIPT)(
            ["--smoke", "--trained", str(model), "--data_dir", str(turtles),
             "--output_dir", str(tmp_path / "run")]
        ))  # fmt: skip

    assert ending.value.code == 2
    assert "expected an embedding" in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("flags", [["--shortlist", "1"], ["--trained", "nowhere.safetensors"]])
def test_what_cannot_be_used_is_named_in_one_line(flags, capsys):
    with pytest.raises(SystemExit) as ending:
        run_script(lambda: load_main(SCRIPT)(flags))

    assert ending.value.code == 2
    assert flags[0] in capsys.readouterr().err.strip().splitlines()[-1]


def test_help_shows_the_flags(capsys):
    assert "--shortlist" in help_of(SCRIPT, capsys)
