"""--mine: what is right in a learner's file runs in the script, and nothing else of it."""

from argparse import Namespace
from pathlib import Path

from common.errors import InputError
from common.mine import own_functions

import pytest
from script_runs import ROOT, load_main

SCRIPT = ROOT / "week3" / "metric_learning.py"
# Right: the margin, which counts its calls. Wrong: the cosine. Missing: all others.
HALF = """
import torch
from pathlib import Path
from torch.nn import functional

n_calls = 0

def arcface_logits(embeddings, centres, labels, margin, scale):
    global n_calls
    n_calls += 1
    cosine = functional.normalize(embeddings) @ functional.normalize(centres).T
    own = functional.one_hot(labels, len(centres))
    return scale * torch.cos(torch.acos(cosine.clamp(-1, 1)) + own * margin)

def cosine_similarity(query, gallery):
    return query @ gallery.T
"""


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    path = tmp_path_factory.mktemp("mine") / "my_week3.py"
    path.write_text(HALF, encoding="utf-8")
    return path


def test_without_the_flag_all_is_the_references():
    assert own_functions(Namespace(mine=None), SCRIPT, "keep_mask") == ({}, [])


def test_right_functions_are_taken_and_others_named(half, capsys):
    functions, notes = own_functions(
        Namespace(mine=half), SCRIPT, "arcface_logits", "cosine_similarity", "keep_mask"
    )

    assert list(functions) == ["arcface_logits"]
    assert notes == ["yours: arcface_logits; reference: the rest"]
    assert capsys.readouterr().out.splitlines() == [
        "cosine_similarity: wrong; the reference's runs in its place",
        "keep_mask: no answer; the reference's runs in its place",
        *notes,
    ]


def test_a_file_that_cannot_be_graded_is_said_in_a_line(half, monkeypatch):
    monkeypatch.setattr("common.mine.sys.executable", "/bin/false")

    with pytest.raises(InputError, match="could not be graded"):
        own_functions(Namespace(mine=half), SCRIPT, "keep_mask")


def test_a_clone_without_tests_is_said_in_a_line(half, tmp_path):
    with pytest.raises(InputError, match="grades your file, and is missing"):
        own_functions(Namespace(mine=half), tmp_path / "week3" / "script.py", "keep_mask")


def test_the_loss_trains_with_the_learners_margin(half, turtles, tmp_path):
    flags = ["--smoke", "--model", "small_cnn", "--unfreeze", "1", "--batch_size", "12"]
    flags += ["--data_dir", str(turtles)]
    main = load_main("week3/metric_learning")

    theirs = main([*flags, "--output_dir", str(tmp_path / "a"), "--mine", str(half)])
    reference = main([*flags, "--output_dir", str(tmp_path / "b")])

    losses = [
        [row["train_loss"] for row in result["metrics"]["trials"][-1]["history"]]
        for result in (theirs, reference)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert "yours: arcface_logits; reference: the rest" in theirs["notes"]
    assert Path(theirs["arguments"]["mine"]) == half
