"""The metric learning script trains with every loss, stores what it learned, and names misuse."""

import json
import shutil
from argparse import Namespace

from common.ending import run_script
from common.models.storage import load_recogniser, read_description
from common.splits.study import open_study
from common.training.losses import LOSSES

import numpy as np
import pytest
from PIL import Image
from script_runs import load_main, run_elsewhere

SCRIPT = "week3/metric_learning"
# The smallest network; losses don't know which one it is.
QUICK = ["--smoke", "--model", "small_cnn", "--unfreeze", "1", "--batch_size", "12"]
QUICK += ["--classes", "side"]  # without it, there are three short trainings more


def run(turtles, folder, *flags):
    return load_main(SCRIPT)(
        [*QUICK, *flags, "--data_dir", str(turtles), "--output_dir", str(folder)]
    )


@pytest.fixture(scope="module", params=LOSSES)
def trained(request, turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return run(turtles, folder, "--loss", request.param), folder


def test_every_loss_trains_and_is_stored_whole(trained):
    result, folder = trained

    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result
    names = {path.name for path in folder.iterdir()}
    assert names == {"written.jsonl", "result.json", "report.html", "answers.csv",
                     "model.safetensors", "curves.png", "matches_known.png",
                     "matches_new.png"}  # fmt: skip


def test_curves_hold_what_the_embedding_is_for(trained):
    history = trained[0]["metrics"]["trials"][-1]["history"]

    assert len(history) == 2
    for measure in ("rank_1", "mAP", "positive_similarity", "negative_similarity"):
        assert all(np.isfinite(row[f"known_{measure}"]) for row in history)


def test_the_table_says_which_loss_with_which_unit(trained):
    [row] = trained[0]["tables"]["The loss"]

    assert row["unit of the margin"] == LOSSES[row["loss"]].unit
    assert row["scale"] == LOSSES[row["loss"]].scale


def test_the_stored_model_is_the_one_that_was_asked(turtles, tmp_path):
    from common.data.images import PhotoDataset, evaluation_transform, read_photos
    from common.experiments.answers import ask_embedding
    from common.models.extraction import extract
    from common.splits.questions import questions_of

    flags = ["--loss", "triplet", "--pooling", "gem", "--embedding_size", "16"]
    result = run(turtles, tmp_path, *flags)
    model, identities = load_recogniser(tmp_path / "model.safetensors")

    study = open_study(Namespace(data_dir=turtles, seed=0))
    preprocessing = model.backbone.preprocessing
    pixels = read_photos(study.catalogue.paths(), preprocessing.stored_size)
    embeddings = extract(
        model, PhotoDataset(pixels, study.labels, evaluation_transform(preprocessing))
    )
    answers = ask_embedding(embeddings, questions_of(study.catalogue, study.split), study.catalogue)
    assert identities == study.catalogue.identities
    assert embeddings.shape[1] == 16
    trial = result["metrics"]["trials"][-1]
    # Activations behind the freeze boundary are kept in 16 bits: one photo may change sides.
    assert np.mean(answers.known) == pytest.approx(trial["known"], abs=1.01 / len(answers.known))
    assert answers.ranking.mAP == pytest.approx(trial["ranking"]["mAP"], abs=0.01)


def test_what_a_similarity_means_is_learned_without_the_test_photos(turtles, tmp_path):
    """With noise in the place of every test photo, the stored scores are bit-equal."""
    study = open_study(Namespace(data_dir=turtles, seed=0))
    noisy = shutil.copytree(turtles, tmp_path / "noisy")
    for row in study.split.rows("test"):
        noise = np.random.default_rng(row).integers(0, 255, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(noise).save(noisy / study.catalogue.table["path"][row])

    result = run(turtles, tmp_path / "a")
    other = run(noisy, tmp_path / "b")

    stored, again = (read_description(tmp_path / name / "model.safetensors")["scores"]
                     for name in ("a", "b"))  # fmt: skip
    assert again["photos"] == stored["photos"]
    assert again["encounters"] == stored["encounters"]
    assert len(stored["photos"]["similarities"]) > 10
    assert other["metrics"]["trials"][-1]["ranking"] != result["metrics"]["trials"][-1]["ranking"]


@pytest.mark.slow
def test_a_run_depends_on_its_seed_alone(turtles, tmp_path):
    def loss_of(seed, folder):
        result = run(turtles, tmp_path / folder, "--loss", "supcon", "--seed", seed)
        return [row["train_loss"] for row in result["metrics"]["trials"][-1]["history"]]

    assert loss_of("1", "a") == loss_of("1", "b")
    assert loss_of("1", "a") != loss_of("2", "c")


def test_disjoint_animals_are_trained_on_and_ranked(turtles, tmp_path):
    result = run(turtles, tmp_path, "--split", "disjoint")

    assert any("Retrieval only" in note for note in result["notes"])
    assert {row["approach"] for row in result["tables"]["Animals never trained on, ranked"]} == {
        "before training", "arcface",
    }  # fmt: skip


def test_a_split_that_leaks_encounters_is_reported_by_protocol(turtles, tmp_path):
    result = run(turtles, tmp_path, "--split", "published_closed_set")

    rows = result["tables"]["Known animals, by protocol"]
    counts = result["split"]["leak"]["n_images"]
    published, removed = rows[0], rows[1]
    assert {row["approach"] for row in rows} == {"before training", "arcface"}
    assert len(rows) == 2 * 4  # two approaches; all photos, and those of one side, two ways
    assert published["queries"] == removed["queries"] == counts["test"]
    assert published["rank-1"] > removed["rank-1"]
    assert any("By protocol" in note for note in result["notes"])


def test_validation_chooses_what_a_class_is(turtles, tmp_path):
    result = run(turtles, tmp_path, "--classes", "auto")

    [sentence] = [note for note in result["notes"] if note.startswith("What a class is")]
    assert all(f"{kind} 0." in sentence for kind in ("identity", "side", "mirrored"))


def test_a_split_that_keeps_encounters_together_has_no_such_table(trained):
    assert "Known animals, by protocol" not in trained[0]["tables"]


def test_training_on_all_comes_after_validation_has_chosen(turtles, tmp_path):
    chosen = run(turtles, tmp_path / "chosen")
    result = run(turtles, tmp_path / "all", "--for_the_field")

    assert result["metrics"]["trials"][-1]["history"] == chosen["metrics"]["trials"][-1]["history"]
    found = (each["tables"]["Photos named right"][-1]["known animals"] for each in (chosen, result))
    assert len(set(found)) == 1  # the test was asked before
    scores = [read_description(tmp_path / name / "model.safetensors")["scores"]
              for name in ("chosen", "all")]  # fmt: skip
    fewer, more = (set(each.pop("trained_photos")) for each in scores)
    assert fewer < more
    assert len(more) == 104
    assert scores[0] == scores[1]  # a gallery learns its threshold from them
    assert result["summary"].startswith("Of 100 photos of animals that it knows, about ")
    assert any("on all other photos too" in note for note in result["notes"])


def test_for_the_field_leaves_the_test_of_a_published_split_alone(turtles, tmp_path):
    flags = "--split", "published_closed_set", "--for_the_field", "--classes", "identity"
    result = run(turtles, tmp_path, *flags)

    history = result["metrics"]["trials"][-1]["history"]
    assert "known_mAP" not in history[0]
    assert any("on validation photos too" in note for note in result["notes"])
    assert result["summary"]


BAD = [
    (["--loss", "softmax"], "--loss"),
    (["--loss", "arcface", "--margin", "28.6"], "28.6 degrees are 0.499"),
    (["--loss", "supcon", "--margin", "0.2"], "has no margin"),
    (["--loss", "contrastive", "--scale", "20"], "has no scale"),
    (["--loss", "triplet", "--margin", "-1"], "--margin"),
    (["--scale", "0"], "--scale"),
    (["--embedding_size", "1"], "--embedding_size"),
    (["--pooling", "maximum"], "--pooling"),
    (["--photos_per_identity", "1"], "--photos_per_identity"),
    (["--model", "vit_tiny_patch16_224", "--weights", "none", "--pooling", "gem"], "--pooling gem"),
]


@pytest.mark.parametrize(("flags", "words"), BAD)
def test_what_cannot_be_used_is_named_in_one_line(flags, words, turtles, tmp_path, capsys):
    with pytest.raises(SystemExit) as ending:
        run_script(lambda: run(turtles, tmp_path, *flags))

    assert ending.value.code == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.slow  # a run of its own, for the folder alone
def test_the_script_runs_from_any_folder(turtles, tmp_path):
    ending = run_elsewhere(SCRIPT, tmp_path, "--smoke", "--data_dir", str(turtles))

    assert ending.returncode == 0, ending.stderr
    assert "Expected: " in ending.stdout
    assert "Result:" in ending.stdout


def test_help_names_every_loss(capsys):
    with pytest.raises(SystemExit):
        load_main(SCRIPT)(["--help"])

    assert "{" + ",".join(LOSSES) + "}" in "".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_week_2s_model_is_where_the_embedding_begins(turtles, tmp_path, capsys):
    flags = ["--smoke", "--model", "small_cnn", "--data_dir", str(turtles), "--output_dir"]
    load_main("week2/fine_tuning")([*flags, str(tmp_path / "fine_tuning")])
    model = tmp_path / "fine_tuning" / "model.safetensors"

    result = load_main(SCRIPT)([*flags, str(tmp_path / "embedding"), "--weights", str(model)])

    assert f"Weights: the backbone of {model}" in capsys.readouterr().out
    assert result["arguments"]["weights"] == str(model)
    before, _ = result["metrics"]["trials"]
    again = load_main(SCRIPT)([*flags, str(tmp_path / "imagenet")])
    assert before != again["metrics"]["trials"][0]
