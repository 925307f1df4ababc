"""Two stored runs, photo by photo: their difference, what else differs, and what is refused."""

import json
from argparse import Namespace
from pathlib import Path

from common import compare_runs, runs
from common.ending import run_script
from common.measures.intervals import NOT_DISTINGUISHABLE, paired_bootstrap_over_individuals

import numpy as np
import pandas as pd
import pytest

ANIMALS = ["007"] * 4 + ["NA"] * 4 + ["anna"] * 4 + ["rosa"] * 4
RIGHT = [[True] * 8 + [False] * 8, [True] * 12 + [False] * 4]


def answers_of(right, question="known animals", first_photo=0):
    photos = [f"{animal}/{first_photo + i}.jpg" for i, animal in enumerate(ANIMALS)]
    table = pd.DataFrame({"photo": photos, "question": question, "animal": ANIMALS})
    answered = np.where(right, ANIMALS, "nobody")
    return table.assign(answered=answered, right=right)


def store(folder, answers, **flags):
    args = Namespace(output_dir=folder, device="cpu", **flags)
    runs.start_run("week1/baseline_cnn.py", args).finish(metrics={}, answers=answers)
    return str(folder)


@pytest.fixture
def pair(tmp_path):
    return [
        store(tmp_path / name, answers_of(right), epochs=epochs)
        for name, right, epochs in zip("ab", RIGHT, (1, 2), strict=True)
    ]


def test_the_difference_is_the_second_run_minus_the_first_over_animals(pair):
    [difference] = compare_runs.main(pair)["differences"]

    expected = paired_bootstrap_over_individuals(RIGHT[1], RIGHT[0], ANIMALS)
    assert difference["interval"] == expected
    assert difference["interval"].estimate == 0.25
    assert difference["interval"].n_individuals == 4


@pytest.mark.parametrize("ending", ["", "result.json"])
def test_a_run_is_named_by_its_folder_or_its_result(pair, ending):
    paths = [str(Path(path) / ending) for path in pair]

    assert compare_runs.main(paths)["differences"][0]["first"] == paths[1]


def test_a_run_beside_itself_is_not_distinguishable(pair, capsys):
    [difference] = compare_runs.main([pair[0], pair[0]])["differences"]

    assert difference["better"] == NOT_DISTINGUISHABLE
    assert "share script, flags, split, machine and versions" in capsys.readouterr().out


def test_the_order_of_photos_does_not_count(pair, tmp_path):
    shuffled = store(tmp_path / "c", answers_of(RIGHT[1]).sample(frac=1, random_state=0))

    differences = [
        compare_runs.main([pair[0], each])["differences"] for each in (pair[1], shuffled)
    ]

    assert differences[0][0]["interval"] == differences[1][0]["interval"]


def test_flags_and_versions_that_differ_are_shown_and_folders_are_not(pair):
    file = Path(pair[1]) / "result.json"
    result = json.loads(file.read_text(encoding="utf-8"))
    result["versions"]["torch"] = "1.0"
    file.write_text(json.dumps(result), encoding="utf-8")

    shown = {row["differs"]: row["second"] for row in compare_runs.main(pair)["differs"]}

    assert shown == {"--epochs": "2", "torch": "1.0"}


def test_each_question_that_both_were_asked_has_its_difference(tmp_path):
    both = pd.concat([answers_of(RIGHT[0]), answers_of(RIGHT[0], "joined later", 50)])
    paths = [store(tmp_path / "a", both), store(tmp_path / "b", both)]
    paths.append(store(tmp_path / "c", answers_of(RIGHT[1])))

    asked = [
        [each["question"] for each in compare_runs.main([paths[0], other])["differences"]]
        for other in paths[1:]
    ]

    assert asked == [["known animals", "joined later"], ["known animals"]]


def refusal(capsys, *flags):
    with pytest.raises(SystemExit) as ending:
        run_script(lambda: compare_runs.main([str(flag) for flag in flags]))
    assert ending.value.code == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    return line


def test_other_photos_are_refused_with_how_many_are_the_same(pair, tmp_path, capsys):
    other = store(tmp_path / "c", answers_of(RIGHT[1])[2:])

    assert "answered 16 photos" in (line := refusal(capsys, pair[0], other))
    assert "14, of which 14 are the same" in line


def test_a_photo_of_another_name_is_another_photo(pair, tmp_path, capsys):
    other = store(tmp_path / "c", answers_of(RIGHT[1]).replace({"animal": {"007": "7"}}))

    assert "of which 12 are the same" in refusal(capsys, pair[0], other)


def test_a_run_without_answers_is_refused_with_the_scripts_that_keep_them(pair, tmp_path, capsys):
    without = store(tmp_path / "c", None)

    assert "expected a run of baseline_cnn" in refusal(capsys, pair[0], without)


@pytest.mark.parametrize("content", [None, "no json", "[]", "{}"])
def test_what_is_no_result_is_refused(pair, content, tmp_path, capsys):
    if content is not None:
        (tmp_path / "result.json").write_text(content, encoding="utf-8")

    assert "holds no result of a run" in refusal(capsys, pair[0], tmp_path)


@pytest.mark.parametrize("content", [None, "", "photo,right\n1,True\n", "\xff\x00"])
def test_answers_that_are_lost_or_damaged_are_named(pair, content, capsys):
    file = Path(pair[1]) / "answers.csv"
    file.unlink()
    if content is not None:
        file.write_text(content, encoding="latin-1")

    assert str(file) in refusal(capsys, *pair)


@pytest.mark.parametrize(("word", "is_read"), [("TRUE", True), ("WAHR", False), ("2", False)])
def test_an_answer_is_right_or_wrong_in_the_runs_own_words(pair, word, is_read, capsys):
    file = Path(pair[0]) / "answers.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("True", word), encoding="utf-8")

    if is_read:  # as a spreadsheet writes it
        assert compare_runs.main(pair)["differences"][0]["interval"].estimate == 0.25
    else:
        assert f"right is '{word}', expected True or False" in refusal(capsys, *pair)


@pytest.mark.parametrize("answers", ["3", "[]", "null", '{"a": 1}'])
def test_a_result_that_names_its_answers_oddly_keeps_none(pair, answers, tmp_path, capsys):
    (tmp_path / "result.json").write_text(f'{{"script": "a.py", "answers": {answers}}}')

    assert "keeps no answers" in refusal(capsys, pair[0], tmp_path)


@pytest.mark.parametrize("part", ["arguments", "split", "machine", "versions"])
def test_facts_of_another_kind_count_as_missing(pair, part):
    file = Path(pair[0]) / "result.json"
    result = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(result | {part: [3]}), encoding="utf-8")

    assert compare_runs.main(pair)["differences"]
