"""All losses on equal terms: every one is tuned on validation, asked, and compared."""

import json

from common.ending import run_script
from common.training.losses import LOSSES

import pytest
from script_runs import load_main

SCRIPT = "week3/compare_losses"
QUICK = ["--smoke", "--model", "small_cnn", "--unfreeze", "1", "--batch_size", "12"]


@pytest.fixture(scope="module")
def compared(turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("losses")
    return load_main(SCRIPT)(
        [*QUICK, "--data_dir", str(turtles), "--output_dir", str(folder)]
    ), folder  # fmt: skip


def test_a_smoke_run_returns_what_it_stores(compared):
    result, folder = compared

    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result
    assert {path.name for path in folder.iterdir()} == {
        "written.jsonl", "result.json", "report.html", "losses.png", "curves.png", "matches.png",
    }  # fmt: skip


def test_every_loss_is_asked_beside_the_backbone_as_it_came(compared):
    rows = compared[0]["tables"]["Losses on equal terms"]

    assert [row["approach"] for row in rows] == ["before training", *LOSSES]


def test_each_loss_keeps_the_rate_that_is_best_on_validation(compared):
    rows = compared[0]["tables"]["Learning rates, chosen on validation"]

    for name in LOSSES:
        own = [row for row in rows if row["loss"] == name]
        [chosen] = [row for row in own if row["chosen"]]
        assert chosen["validation mAP"] == max(row["validation mAP"] for row in own)
        assert len(own) == 2


def test_the_preferred_loss_is_compared_with_every_other_on_both_questions(compared):
    conclusion = compared[0]["metrics"]["conclusion"]

    assert "Validation prefers" in conclusion[0]
    assert sum(" against " in sentence for sentence in conclusion) == 2 * (len(LOSSES) - 1)


BAD = [
    (["--losses", "arcface,softmax"], "--losses"),
    (["--losses", "triplet,triplet"], "--losses"),
    (["--learning_rates", "0.001,0.001"], "--learning_rates"),
    (["--learning_rates", "fast"], "--learning_rates"),
]


@pytest.mark.parametrize(("flags", "words"), BAD)
def test_what_cannot_be_used_is_named_in_one_line(flags, words, capsys):
    with pytest.raises(SystemExit) as ending:
        run_script(lambda: load_main(SCRIPT)(flags))

    assert ending.value.code == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("script", ["week3/metric_learning", "week3/compare_losses"])
def test_a_script_offers_every_loss_that_there_is(script, capsys):
    with pytest.raises(SystemExit):
        load_main(script)(["--help"])

    shown = "".join(capsys.readouterr().out.split())
    assert ",".join(LOSSES) in shown
