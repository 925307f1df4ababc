"""Week 2's scripts run from anywhere and keep what they promise."""

import json
import shutil

from common.data.catalogue import load_catalogue
from common.measures.intervals import Interval
from common.models.storage import load_recogniser
from common.training import feature_cache

import pytest
import torch
from PIL import Image, ImageOps
from script_runs import load_main, run_elsewhere


@pytest.fixture(scope="module")
def transfer(turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    flags = ["--smoke", "--data_dir", str(turtles), "--output_dir", str(folder)]
    return load_main("week2/transfer_learning")(flags), folder


def test_a_smoke_run_returns_what_it_stores(transfer):
    result, folder = transfer

    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result
    names = {path.name for path in folder.iterdir()}
    assert names == {"written.jsonl", "result.json", "report.html", "answers.csv",
                     "model.safetensors", "curves.png", "confusion.png", "recall.png"}  # fmt: skip


def test_the_stored_model_names_every_animal_of_the_catalogue(transfer, catalogue):
    model, identities = load_recogniser(transfer[1] / "model.safetensors")

    assert identities == catalogue.identities
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, len(identities))


def test_a_frozen_backbone_is_stored_as_it_came(transfer):
    from common.models.backbones import load_backbone

    model, _ = load_recogniser(transfer[1] / "model.safetensors")

    original = load_backbone("efficientnet_lite0", image_size=64)
    for name, tensor in original.state_dict().items():
        assert torch.equal(tensor, model.backbone.state_dict()[name]), name


def test_the_whole_network_can_train(turtles, tmp_path):
    result = load_main("week2/transfer_learning")(
        ["--smoke", "--data_dir", str(turtles), "--output_dir", str(tmp_path), "--weights",
         "none", "--model", "resnet18", "--no_freeze_backbone"]
    )  # fmt: skip

    assert result["tables"]["Test photos of known animals"][0]["trained"] == "all"


@pytest.mark.slow
def test_a_second_run_computes_nothing_and_a_changed_photo_everything_that_saw_it(
    turtles, tmp_path, monkeypatch
):
    animals, cache = tmp_path / "animals", tmp_path / "cache"
    shutil.copytree(turtles, animals)
    monkeypatch.setattr(feature_cache, "CACHE_FOLDER", cache)

    def entries():
        result = smoke("week2/transfer_learning", animals, tmp_path / "run")
        return result["metrics"]["accuracy"], {file.name for file in cache.iterdir()}

    first, second = entries(), entries()
    path = load_catalogue(animals).paths()[0]
    ImageOps.invert(Image.open(path)).save(path)
    _, changed = entries()

    assert second == first
    assert len(first[1]) == 2  # photos as they are, and random views of the training photos
    assert len(changed - first[1]) == 2


def smoke(script, turtles, folder, *flags):
    flags = ["--smoke", "--data_dir", str(turtles), "--output_dir", str(folder), *flags]
    return load_main(script)(flags)


def test_a_fine_tuned_model_is_stored_as_it_was_trained(turtles, tmp_path):
    result = smoke("week2/fine_tuning", turtles, tmp_path, "--plan", "0:1,2:1", "--head", "mlp")

    model, identities = load_recogniser(tmp_path / "model.safetensors")
    from common.models.backbones import load_backbone

    original = load_backbone("efficientnet_lite0", image_size=64).state_dict()
    moved = {
        name.split(".")[2]
        for name, tensor in model.backbone.state_dict().items()
        if name.startswith("network.blocks") and not torch.equal(tensor, original[name])
    }
    assert moved == {"5", "6"}
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, len(identities))
    assert [row["step"] for row in result["metrics"]["history"]] == [1, 2]


def test_every_step_shows_which_stages_train_at_which_rate(turtles, tmp_path, capsys):
    smoke("week2/fine_tuning", turtles, tmp_path, "--strategy", "partial", "--unfreeze", "2",
          "--learning_rate", "0.0004", "--layer_decay", "0.5")  # fmt: skip

    shown = capsys.readouterr().out
    assert "head and last 2 stages" in shown
    assert shown.count("4.0e-04") == shown.count("2.0e-04") == 1


@pytest.fixture(scope="module")
def architectures(turtles, tmp_path_factory):
    return smoke("week2/compare_architectures", turtles, tmp_path_factory.mktemp("runs"))


def test_weights_out_of_reach_are_a_row_that_says_so(architectures):
    rows = {row["model"]: row for row in architectures["tables"]["Architectures"]}

    assert rows["resnet18"]["mode"].startswith("skipped: weights not in reach; run with network")
    assert rows["resnet18"]["test"] is None


def test_each_backbone_is_frozen_and_fine_tuned(architectures):
    rows = architectures["tables"]["Architectures"]

    modes = [row["mode"] for row in rows if row["model"] == "efficientnet_lite0"]
    assert modes == ["frozen", "fine-tuned"]
    assert all(row["GFLOPs"] > 0 and row["photos/s"] > 0 for row in rows[:3])


def test_the_recommendation_is_made_on_validation_photos(architectures):
    sentences = architectures["metrics"]["recommendation"]
    rows = architectures["tables"]["Architectures"][:3]
    best = max(rows, key=lambda row: row["validation"])

    assert f"Best on validation photos: {best['model']}, {best['mode']}." in sentences
    assert any(sentence.startswith("Recommended: ") for sentence in sentences)


@pytest.mark.slow
def test_weights_may_come_from_a_file(turtles, tmp_path):
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("resnet18").state_dict(), tmp_path / "resnet18.safetensors")
    result = smoke("week2/compare_architectures", turtles, tmp_path / "run", "--models", "resnet18",
                   "--weights", f"resnet18={tmp_path / 'resnet18.safetensors'}")  # fmt: skip

    assert [row["mode"] for row in result["tables"]["Architectures"]] == ["frozen", "fine-tuned"]


@pytest.mark.slow
def test_strategies_and_approaches_are_compared_in_one_run(turtles, tmp_path):
    result = smoke("week2/compare_strategies", turtles, tmp_path, "--photos_per_identity", "1")

    names = [row["name"].split(", ")[1] for row in result["tables"]["Strategies"]]
    assert names == ["freeze", "partial", "full", "progressive"]
    trend = result["tables"]["Approaches by photos per animal"]
    assert {row["approach"] for row in trend} == {
        "from scratch", "transfer, frozen", "transfer, fine-tuned", "Siamese"
    }  # fmt: skip
    photos = {name: [row["photos per animal"] for row in trend if row["approach"] == name]
              for name in ("from scratch", "Siamese")}  # fmt: skip
    assert len(photos["from scratch"]) == 2
    assert photos["Siamese"] == photos["from scratch"][1:]  # one photo makes no pair


def test_every_practice_is_measured_against_the_base(turtles, tmp_path):
    result = smoke("week2/training_practices", turtles, tmp_path, "--model", "small_cnn",
                   "--unfreeze", "2")  # fmt: skip

    rows = result["tables"]["One change at a time"]
    assert [row["practice"] for row in rows[:2]] == ["base", "base, other seeds"]
    assert len(rows) == 22
    base = rows[0]["test"]
    for row in rows[1:]:
        assert row["bought"] == pytest.approx(row["test"] - base)


@pytest.mark.slow
def test_a_script_runs_from_any_folder(turtles, tmp_path):
    flags = ["--smoke", "--data_dir", str(turtles)]  # the others: test_readme_commands.py
    ending = run_elsewhere("week2/transfer_learning", tmp_path, *flags)

    assert ending.returncode == 0, ending.stderr
    assert "Result:" in ending.stdout


@pytest.mark.parametrize(
    ("ends", "words"),
    [([(-0.3, -0.1), (0.1, 0.3)], "a crossover"),
     ([(-0.3, -0.1), (-0.1, 0.3)], "no crossover, slow leads"),
     ([(-0.1, 0.1), (-0.1, 0.3)], "not distinguishable at any number")],
)  # fmt: skip
def test_a_crossover_is_a_lead_that_changes_hands_for_sure(ends, words):
    lead_of = load_main("week2/compare_strategies").__globals__["lead_of"]
    gaps = {
        str(n_photos): Interval((low + high) / 2, low, high, 0.95, 9, 99, is_difference=True)
        for n_photos, (low, high) in enumerate(ends)
    }

    assert words in lead_of("quick", "slow", gaps)
