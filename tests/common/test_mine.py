"""--mine: what is right in a learner's file runs in the script, and nothing else of it."""

from argparse import Namespace
from pathlib import Path

from common.data.catalogue import load_catalogue
from common.ending import run_script
from common.errors import InputError
from common.gallery.gallery import Gallery
from common.mine import N_LINES, own_functions

import numpy as np
import pytest
import torch
from PIL import Image
from script_runs import ROOT, load_main, load_script

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
        "Exercises that this script uses: arcface_logits, cosine_similarity, keep_mask",
        "cosine_similarity: wrong; the reference's runs in its place",
        "keep_mask: no answer (there is no keep_mask); the reference's runs in its place",
        *notes,
    ]


def test_a_file_that_cannot_be_graded_is_said_in_a_line(half, monkeypatch):
    monkeypatch.setattr("common.mine.sys.executable", "/bin/false")

    with pytest.raises(InputError, match="could not be graded"):
        own_functions(Namespace(mine=half), SCRIPT, "keep_mask")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def accuracy(scores, labels): pass\n", "holds exercises of week 1 and none of week 3"),
        ("this is no Python\n", "SyntaxError"),
        ("import sklearn\n", "an exercise may not import sklearn"),
    ],
)
def test_a_file_that_cannot_run_at_all_is_refused_with_the_reason(source, reason, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(source, encoding="utf-8")

    with pytest.raises(InputError, match=reason):
        own_functions(Namespace(mine=path), SCRIPT, "keep_mask")


def test_of_what_a_learners_functions_print_a_run_shows_the_first_lines(tmp_path, capsys):
    path = tmp_path / "mine.py"
    lines = "print('loaded')\n" + HALF.replace(
        "n_calls += 1", "n_calls += 1; print(n_calls, 'x\\ny')"
    )
    path.write_text(lines, encoding="utf-8")
    functions, _ = own_functions(Namespace(mine=path), SCRIPT, "arcface_logits")

    for _ in range(50):
        functions["arcface_logits"](torch.ones(1, 2), torch.eye(2), torch.tensor([0]), 0.1, 8)

    said = capsys.readouterr().out.partition("reference: none\n")[2].splitlines()
    assert said[:3] == ["loaded", "1 x", "y"]
    assert len(said) == N_LINES + 1
    assert said[-1].startswith("(Your file prints more than 20 lines")


@pytest.mark.parametrize(
    ("given", "words"),
    [(torch.ones(1, 3), "mine.py, line "), (torch.ones(1, 2), "with functions of ")],
)
def test_what_fails_by_a_learners_function_is_said_in_a_line(half, given, words, capfd):
    def main():
        functions, _ = own_functions(Namespace(mine=half), SCRIPT, "arcface_logits")
        functions["arcface_logits"](given, torch.eye(2), torch.tensor([0]), 0.1, 8)
        raise ValueError("what follows cannot use it")

    with pytest.raises(SystemExit) as ending:
        run_script(main)

    line = capfd.readouterr().err
    assert (ending.value.code, line.count("\n")) == (2, 1)
    assert words.replace("mine.py", half.name) in line
    assert "leave --mine out" in line


def test_a_clone_without_tests_is_said_in_a_line(half, tmp_path):
    with pytest.raises(InputError, match="grades your file, and is missing"):
        own_functions(Namespace(mine=half), tmp_path / "week3" / "script.py", "keep_mask")


@pytest.mark.slow
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


# What each script takes of its week's exercises, where the reference's function would run.
SEAMS = {
    "week1/look_at_data": {"leak_share", "split_by_day"},
    "week1/baseline_cnn": {"label_map", "train_epoch", "accuracy", "balanced_accuracy"},
    "week1/split_pitfalls": {"interval_over_animals"},
    "week3/metric_learning": {
        "arcface_logits", "cosine_similarity", "keep_mask", "cmc_and_ap", "choose_threshold"
    },
    "week3/build_gallery": {"enrol"},
    "week3/identify": {"choose_threshold"},
}  # fmt: skip
QUICK = {"week3/metric_learning": ["--model", "small_cnn", "--unfreeze", "1", "--batch_size", "12"]}


@pytest.fixture
def called(monkeypatch):
    """Names of the solutions that a script calls, which all pass for a learner's."""
    names = set()

    def counted(name, function):
        def count(*inputs, **named):
            names.add(name)
            return function(*inputs, **named)

        return count

    def take_all(args, script, *wanted):
        solutions = load_script(f"{Path(script).parent.name}/solutions")
        return {name: counted(name, getattr(solutions, name)) for name in wanted}, ["all yours"]

    monkeypatch.setattr("common.mine.own_functions", take_all)
    return names


@pytest.mark.parametrize("script", SEAMS)
def test_what_is_taken_is_called_and_said_in_the_notes(script, called, turtles, tmp_path):
    flags = [] if script == "week3/identify" else ["--data_dir", str(turtles)]

    result = load_main(script)(
        ["--smoke", *QUICK.get(script, []), *flags, "--output_dir", str(tmp_path / "run")]
    )

    assert called == SEAMS[script]
    assert "all yours" in result["notes"]


def without_mine(script, *flags):
    """A run of the reference alone, while `called` is in force."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.mine.own_functions", lambda *_: ({}, []))
        return load_main(script)([str(flag) for flag in flags])


def test_the_table_of_splits_is_the_references(called, turtles, tmp_path):
    script, flags = "week1/look_at_data", ["--data_dir", str(turtles), "--output_dir"]

    theirs = load_main(script)([*flags, str(tmp_path / "a")])
    reference = without_mine(script, *flags, tmp_path / "b")

    assert called == SEAMS[script]
    assert theirs["tables"] == reference["tables"]


def test_a_gallery_that_grows_holds_the_references_embeddings(called, turtles, tmp_path):
    script, flags = "week3/build_gallery", ["--smoke", "--data_dir"]
    more = tmp_path / "more" / load_catalogue(turtles).identities[0]
    more.mkdir(parents=True)
    Image.new("RGB", (90, 120), "teal").save(more / "one.png")
    for data, change in ((turtles, []), (more.parent, ["--add"])):
        load_main(script)([*flags, str(data), *change, "--output_dir", str(tmp_path / "a")])
        without_mine(script, *flags, data, *change, "--output_dir", tmp_path / "b")

    theirs, reference = (Gallery.load(tmp_path / name) for name in "ab")

    rows = np.arange(len(reference))
    assert len(theirs) == len(reference)
    assert theirs.embeddings_at(rows) == pytest.approx(reference.embeddings_at(rows), abs=1e-6)
