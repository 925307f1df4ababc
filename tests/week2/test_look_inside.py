"""The look inside keeps what it promises."""

import json
from argparse import Namespace

from common.errors import InputError

import pytest
from script_runs import help_of, load_main

SCRIPT = "week2/look_inside"


@pytest.fixture(scope="module")
def looked(turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("look")
    flags = ["--smoke", "--data_dir", str(turtles), "--output_dir", str(folder)]
    return load_main(SCRIPT)(flags), folder


def test_a_smoke_run_returns_what_it_stores(looked):
    result, folder = looked

    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result
    assert len(result["figures"]) == 9
    assert all((folder / name).is_file() for name in result["figures"].values())


def test_the_background_is_counted_for_both_splits(looked):
    splits = looked[0]["metrics"]["where"]["splits"]

    assert set(splits) == {"time_aware", "random"}
    for measures in splits.values():
        assert 0 <= measures["background_share"]["estimate"] <= 1
        assert measures["area_share"]["estimate"] > 0


def test_classifier_embedding_and_noise_stand_in_one_table(looked):
    rates = looked[0]["metrics"]["adversarial"]["rates"]

    assert [rate["budget (1/255)"] for rate in rates] == [1.0, 8.0]
    assert {"classifier", "embedding", "classifier_noise", "embedding_noise"} <= set(rates[0])


def test_ideal_images_are_made_with_and_without_the_variation_loss(looked):
    images = looked[0]["metrics"]["ideal_images"]

    assert {(image["class"], image["variation_loss"]) for image in images} >= {
        ("tabby", False), ("tabby", True), ("zebra", False), ("zebra", True)
    }  # fmt: skip


def test_help_shows_the_flags(capsys):
    assert "--target" in help_of(SCRIPT, capsys)


def imagenet_network(weights, model="efficientnet_lite0"):
    args = Namespace(
        smoke=True, image_size=64, model=model, weights=str(weights), target=["tabby", "zebra"]
    )
    return load_main(SCRIPT).__globals__["imagenet_network"](args, "cpu")


def test_without_imagenets_classes_they_are_skipped_and_the_reason_is_told():
    network, [reason] = imagenet_network("none")

    assert network is None
    assert "names no ImageNet class" in reason


def test_weights_that_are_damaged_are_not_taken_for_weights_out_of_reach(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"damaged")

    with pytest.raises(InputError, match=r"weights\.pth: cannot be read"):
        imagenet_network(tmp_path / "weights.pth")


def test_an_unknown_target_is_one_line(turtles, tmp_path):
    flags = ["--smoke", "--data_dir", str(turtles), "--output_dir", str(tmp_path)]

    with pytest.raises(InputError, match="--target unicorn: no such class"):
        load_main(SCRIPT)([*flags, "--target", "unicorn"])


def test_a_missing_photo_is_one_line(capsys):
    with pytest.raises(SystemExit) as ending:
        load_main(SCRIPT)(["--photo", "nowhere.jpg"])

    assert ending.value.code == 2
    assert "nowhere.jpg" in capsys.readouterr().err
