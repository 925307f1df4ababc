"""The run folder: what a result holds, and how it is written and shown."""

import json
import os
import re
import shlex
from argparse import Namespace
from contextlib import nullcontext
from html.parser import HTMLParser
from pathlib import Path

from common import files, runs
from common.errors import InputError
from common.measures.intervals import Interval, interval_columns
from common.tables import format_table, table_cells

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image


@pytest.fixture
def args(tmp_path):
    return Namespace(output_dir=tmp_path / "out", epochs=3, smoke=True, seeds=[0, 1], device="cpu")


@pytest.fixture
def run(args):
    return runs.start_run("week9/look_closely.py", args)


TABLE = pd.DataFrame(
    {
        "split": ["random", "time_aware"],
        "n": [1200, 900],
        "accuracy": [0.5613, 0.39],
        "accuracy_low": [0.5, np.nan],
        "accuracy_high": [0.62, np.nan],
    }
)


def save_square(path):
    Image.new("RGB", (4, 4), "white").save(path)
    return path


@pytest.mark.parametrize("is_trial", [True, False])
def test_a_trial_takes_no_real_results_place(is_trial, args):
    args.smoke = is_trial
    runs.start_run("script.py", args).finish(metrics={})
    args.smoke = True

    with nullcontext() if is_trial else pytest.raises(InputError, match="result that is no trial"):
        runs.start_run("script.py", args)


def test_a_result_holds_command_versions_split_and_metrics(run):
    result = run.finish(metrics={"accuracy": np.float32(0.25)}, split={"name": "random", "seed": 3})

    assert result["script"] == "look_closely.py"
    assert result["arguments"]["epochs"] == 3
    assert result["machine"]["device"] == "cpu"
    assert result["versions"]["numpy"] == np.__version__
    assert result["split"] == {"name": "random", "seed": 3}
    assert result["metrics"] == {"accuracy": 0.25}
    assert result["seconds"] >= 0
    assert result["peak_memory_mb"] > 10


def test_the_file_is_strict_json_and_equals_the_returned_result(run):
    result = run.finish(
        metrics={"accuracy": float("nan"), "worst": np.float64("inf"), "n": np.int64(4)}
    )

    def refuse(constant):
        raise AssertionError(constant)

    text = (run.folder / "result.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse) == result
    assert result["metrics"] == {"accuracy": None, "worst": None, "n": 4}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
        max_leaves=8,
    )
)
def test_any_nested_value_becomes_strict_json(value):
    text = runs.to_json(value)

    assert json.loads(text) == runs.to_plain(value)


def test_dates_paths_sets_and_tables_become_plain():
    value = {
        "when": pd.Timestamp("2020-05-01"),
        "never": pd.NaT,
        "where": Path("a") / "b",
        "parts": {"test", "train"},
        "table": pd.DataFrame({"n": [1]}, index=pd.Index(["t1"], name="identity")),
    }

    assert runs.to_plain(value) == {
        "when": "2020-05-01T00:00:00",
        "never": None,
        "where": "a/b",
        "parts": ["test", "train"],
        "table": [{"identity": "t1", "n": 1}],
    }


def test_a_value_without_a_plain_form_is_refused():
    with pytest.raises(ValueError, match="function"):
        runs.to_plain({"metric": lambda: 1})


def test_the_default_folder_is_runs_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    run = runs.start_run("week9/look_closely.py", Namespace(output_dir=None))

    assert run.folder == tmp_path / "runs" / "look_closely"
    assert [path.name for path in run.folder.iterdir()] == ["written.jsonl"]


def test_a_smoke_run_never_replaces_a_real_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    real = runs.start_run("look_closely.py", Namespace(smoke=False)).finish(metrics={"n": 1})

    runs.start_run("look_closely.py", Namespace(smoke=True)).finish(metrics={"n": 2})

    stored = json.loads((tmp_path / "runs" / "look_closely" / "result.json").read_text())
    assert stored == real


@pytest.mark.parametrize("place", ["taken", "taken/below"])
def test_a_file_in_the_way_is_told_with_the_flag(tmp_path, place):
    (tmp_path / "taken").write_text("a file")

    with pytest.raises(InputError, match="--output_dir"):
        runs.start_run("look_closely.py", Namespace(output_dir=tmp_path / place))


def test_a_folder_that_takes_no_files_is_told_with_the_flag(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(runs, "begin_list", refuse)

    with pytest.raises(InputError, match=r"Permission denied.*--output_dir"):
        runs.start_run("look_closely.py", Namespace(output_dir=tmp_path))


def test_a_second_run_replaces_the_first_and_leaves_no_other_file(args):
    for n in (1, 2):
        runs.start_run("look_closely.py", args).finish(metrics={"n": n})

    names = sorted(path.name for path in args.output_dir.iterdir())
    assert names == ["report.html", "result.json", "written.jsonl"]
    assert json.loads((args.output_dir / "result.json").read_text())["metrics"] == {"n": 2}


def test_a_failed_write_keeps_the_old_file_and_leaves_no_rest(tmp_path, monkeypatch):
    path = files.write_text(tmp_path / "result.json", "old")

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match="disk full"):
        files.write_text(path, "new")

    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("failing", ["render_report", "to_json", "move_into_place"])
def test_a_run_that_fails_at_its_end_leaves_the_results_before_it(failing, args, monkeypatch):
    def results_of(seed):
        run = runs.start_run("look_closely.py", args)
        files.write_text(run.model_path, f"model {seed}")
        with files.replacing(run.figure_path("square.png")) as unfinished:
            save_square(unfinished)
        answers = pd.DataFrame({"answered": [seed]})
        figures = {"Square": run.figure_path("square.png")}
        run.finish(metrics={"seed": seed}, figures=figures, answers=answers)

    def fail(*_):
        raise OSError(28, "No space left on device")

    def whole():
        paths = sorted(path for path in args.output_dir.rglob("*") if path.is_file())
        return {path: path.read_bytes() for path in paths if path.name != "written.jsonl"}

    results_of(1)
    before = whole()
    with monkeypatch.context() as patch:
        patch.setattr(runs, failing, fail)
        with pytest.raises(OSError, match="No space"):
            results_of(2)
    after = {path: each for path, each in whole().items() if path.parent == args.output_dir}
    results_of(1)

    assert after == before
    assert {path.name for path in whole()} == {path.name for path in before}
    assert (args.output_dir / "model.safetensors").read_text() == "model 1"


def test_a_name_that_is_no_utf8_can_be_written_and_read_again(tmp_path):
    name = os.fsdecode(b"Zo\xeb")

    path = files.write_text(tmp_path / "a.json", runs.to_json({"animal": name}))

    assert json.loads(path.read_text(encoding="utf-8")) == {"animal": name}


def test_the_command_of_a_called_main_repeats_its_flags(run):
    words = shlex.split(run.command)

    assert words[:2] == ["python", "week9/look_closely.py"]
    assert words[words.index("--seeds") + 1] == "0,1"
    assert "--smoke" in words


def test_the_command_of_a_started_script_is_the_line_as_typed(args, monkeypatch, tmp_path):
    script = tmp_path / "week9" / "look_closely.py"
    monkeypatch.setattr("sys.argv", [str(script), "--epochs", "3"])

    run = runs.start_run(script, args)

    assert run.command == "python week9/look_closely.py --epochs 3"


@pytest.mark.parametrize("name", ["../curves.png", "a/b.png", "", ".."])
def test_a_figure_stays_in_the_runs_folder(run, name):
    with pytest.raises(ValueError, match="plain file name"):
        run.figure_path(name)


def test_answers_stand_beside_the_result_that_names_them(run):
    answers = pd.DataFrame({"photo": ["a.jpg"], "animal": ["007"], "right": [True]})

    result = run.finish(metrics={}, answers=answers)

    assert result["answers"] == "answers.csv"
    text = (run.folder / "answers.csv").read_text(encoding="utf-8")
    assert text == "photo,animal,right\na.jpg,007,True\n"


def test_a_run_without_answers_leaves_none_of_the_run_before(args):
    runs.start_run("look_closely.py", args).finish(metrics={}, answers=TABLE)

    result = runs.start_run("look_closely.py", args).finish(metrics={})

    assert result["answers"] is None
    assert not (args.output_dir / "answers.csv").exists()


def test_figures_are_listed_by_title_and_file_name(run):
    path = save_square(run.figure_path("training_curves.png"))

    result = run.finish(metrics={}, figures={"Training": path})

    assert result["figures"] == {"Training": "training_curves.png"}


class Links(HTMLParser):
    """Collects every address that a page would ask for."""

    def __init__(self):
        super().__init__()
        self.addresses, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        wanted = ("src", "href", "action")
        self.addresses += [value for name, value in attributes if name in wanted]


def test_the_report_is_one_file_that_asks_for_nothing(run):
    path = save_square(run.figure_path("square.png"))
    run.finish(metrics={"n": 1}, tables={"Scores": TABLE}, figures={"A square": path})

    text = (run.folder / "report.html").read_text(encoding="utf-8")
    page = Links()
    page.feed(text)
    assert len(page.addresses) == 1
    assert page.addresses[0].startswith("data:image/png;base64,")
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "@import" not in text
    assert "url(" not in text


def test_the_report_escapes_everything_it_shows(run):
    evil = "<script>alert('x')</script>&\""
    path = save_square(run.figure_path("square.png"))

    run.finish(
        metrics={evil: evil},
        split={
            "name": evil,
            "description": evil,
            "notes": [evil],
            "leak": {"n_images": {evil: 1}, "n_identities": {evil: 1}},
        },
        tables={evil: pd.DataFrame({evil: [evil]})},
        figures={evil: path},
        notes=[evil],
    )

    text = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_the_report_shows_photos_animals_and_leaks_of_each_part_in_a_row(run):
    part = {"n_new_identities": 2, "n_same_encounter": 7, "n_same_day": 9}
    counts = {"train": 40, "validation": 0, "test": 30}
    leak = {"n_images": counts, "n_identities": {"train": 8, "validation": 0, "test": 6}}

    run.finish(metrics={}, split={"name": "random", "leak": leak | {"test": part}})

    text = (run.folder / "report.html").read_text(encoding="utf-8")
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", text)]
    assert ["train", "40", "8", "–", "–", "–"] in rows
    assert ["test", "30", "6", "2", "7", "9"] in rows
    assert not [row for row in rows if row[:1] == ["validation"]]


def test_the_report_shows_value_and_interval_together(run):
    run.finish(metrics={}, tables={"Scores": TABLE})

    text = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "0.561 [0.500, 0.620]" in text
    assert "accuracy low" not in text


def test_the_ending_prints_tables_notes_and_paths(run, capsys):
    path = save_square(run.figure_path("square.png"))

    figures = {"Curves": path}
    run.finish(metrics={}, tables={"Scores": TABLE}, figures=figures, notes=["Small sample."])

    shown = capsys.readouterr().out
    for expected in (
        "Scores", "0.390", "Note: Small sample.", str(run.folder / "square.png"), "report.html"
    ):  # fmt: skip
        assert expected in shown


def test_a_table_keeps_its_interval_columns_in_the_result(run):
    result = run.finish(metrics={}, tables={"Scores": TABLE})

    assert result["tables"]["Scores"][0]["accuracy_low"] == 0.5
    assert result["tables"]["Scores"][1]["accuracy_low"] is None


def test_a_terminal_table_stands_in_columns():
    lines = format_table(TABLE).splitlines()

    assert lines == [
        "split           n              accuracy",
        "----------  -----  --------------------",
        "random      1,200  0.561 [0.500, 0.620]",
        "time_aware    900                 0.390",
    ]


def test_an_interval_becomes_three_columns_and_one_cell():
    interval = Interval(-0.02, -0.05, 0.01, level=0.95, n_individuals=9, n_observations=40)

    table = pd.DataFrame([interval_columns("gain", interval)])

    assert table_cells(table)[0] == ["gain"]
    assert table_cells(table)[1] == [["-0.020 [-0.050, 0.010]"]]


def test_missing_values_dates_and_truth_are_shown_in_words():
    table = pd.DataFrame(
        {
            "score": [np.nan, 1.0],
            "date": pd.to_datetime(["2020-05-01", None]),
            "known": [True, False],
            "note": [None, "two\nlines"],
        }
    )

    rows = table_cells(table)[1]

    assert rows == [["–", "2020-05-01", "yes", "–"], ["1.000", "–", "no", "two lines"]]


def test_a_whole_run_keeps_no_checkpoints_and_a_persons_files(run):
    first, second = run.checkpoint("seed 0, all stages"), run.checkpoint("seed 0, all, stages")
    steps = first.with_stem(f"{first.stem}_0")  # a plan's first step
    own = first.with_name("mine.pt")
    first.parent.mkdir()
    own.touch()
    for file in (first, second, steps):
        files.write_text(file, "")

    run.finish(metrics={})

    assert first != second
    assert list(first.parent.iterdir()) == [own]
    own.unlink()
    run.finish(metrics={})
    assert not first.parent.exists()


def test_memory_is_told_in_millions_of_bytes():
    held = np.ones(60_000_000)  # 480 MB, so that the peak is now

    assert runs.peak_memory_mb() * 1e6 >= psutil.Process().memory_info().rss - 1e6
    assert held.nbytes == 480e6
