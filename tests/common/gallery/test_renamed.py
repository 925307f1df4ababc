"""A sheet older than a renaming: whose name it was then, and whose it is now."""

from common.errors import InputError
from common.gallery.decisions import check_decisions
from common.gallery.gallery import Gallery
from common.gallery.history import (
    LOG,
    TAKEN_BACK,
    append_to_log,
    ever_renamed,
    once_decided,
    renamed_since,
    undone_names,
)

import numpy as np
import pandas as pd
import pytest

TIMES = [f"2026-05-31T12:00:0{second}" for second in range(8)]


def write_log(folder, *changes):
    """A log with a change each second from the first on: two names, or None to take one back."""
    for time, renamed in zip(TIMES[1:], changes, strict=False):
        what = {"what": [f"{TAKEN_BACK}x" if renamed is None else "x"]}
        extra = {"renamed": list(renamed)} if renamed else {}
        append_to_log(folder, {"when": f"{time}+00:00", **what, **extra}, {})


@pytest.mark.parametrize(
    ("changes", "asked", "now"),
    [
        ([("bella", "anna"), ("carlo", "bella")], 0, {"bella": "anna", "carlo": "bella"}),
        ([("bella", "anna"), ("carlo", "bella")], 1, {"carlo": "bella"}),
        ([("bella", "anna"), ("carlo", "bella")], 2, {}),
        ([("a", "x"), ("b", "a"), ("x", "b")], 0, {"a": "b", "b": "a", "x": "b"}),
        ([("bella", "anna"), None], 0, {}),
        ([("bella", "anna"), None], 1, {"anna": "bella"}),
        ([("bella", "anna"), ("anna", "bella")], 0, {"anna": "bella"}),
        ([], 0, {}),
    ],
)
def test_the_log_knows_whose_name_moved(changes, asked, now, tmp_path):
    write_log(tmp_path, *changes)

    assert renamed_since(tmp_path, TIMES[asked]) == now


@pytest.mark.parametrize(
    ("changes", "now"),
    [
        ([("anna", "bella"), None, ("anna", "carla")], {"anna": "carla", "bella": "carla"}),
        ([("a", "b"), ("b", "c"), None, None], {"b": "a", "c": "a"}),
        ([("a", "b"), None, ("c", "b")], {"b": "a", "c": "b"}),
        ([("a", "b"), None, ("a", "b")], {"a": "b"}),
    ],
)
def test_a_name_that_stood_for_an_animal_until_it_was_taken_back_is_known(changes, now, tmp_path):
    write_log(tmp_path, *changes)

    assert ever_renamed(tmp_path) == now


@pytest.mark.parametrize("column", ["encounter", "asked"])
@pytest.mark.parametrize(("answer", "name"), [("confirmed", "bella"), ("another animal", "carlo")])
def test_a_row_with_a_name_that_moved_is_refused(column, answer, name, tmp_path):
    gallery = Gallery(2)
    names = ["anna", "bella", "carlo"]
    gallery.enrol(np.eye(3, 2, dtype=np.float32) + 0.1, names, {"picture": names})
    write_log(tmp_path, ("bella", "anna"), ("carlo", "bella"), ("dora", "carlo"))
    rows = {"path": ["a.jpg", "b.jpg"], "identity": [name, "anna"], "decision": [answer] * 2}
    for path in rows["path"]:
        (tmp_path / path).write_bytes(path.encode())
    rows[column] = [f"identified {TIMES[0]}", ""]
    pd.DataFrame(rows).to_csv(tmp_path / "decisions.csv", index=False)

    with pytest.raises(InputError, match=f"1 of 2 answers .*row 2: '{answer}' {name}, who was"):
        check_decisions(tmp_path / "decisions.csv", gallery, (), tmp_path)

    rows[column] = [f"identified {TIMES[5]}", ""]
    pd.DataFrame(rows).to_csv(tmp_path / "decisions.csv", index=False)
    check_decisions(tmp_path / "decisions.csv", gallery, (), tmp_path)


@pytest.mark.parametrize(
    ("is_swapped", "words"), [(True, "asked: ask anew"), (False, "asked: write")]
)
def test_the_present_name_is_asked_for_only_where_it_would_be_taken(is_swapped, words, tmp_path):
    gallery = Gallery(2)
    gallery.enrol(np.eye(2, dtype=np.float32), ["anna", "bella"], {"picture": ["1", "2"]})
    changes = [("anna", "x"), ("bella", "anna"), ("x", "bella")] if is_swapped else [("bella", "c")]
    write_log(tmp_path, *changes)
    (tmp_path / "a.jpg").write_bytes(b"a")
    row = f"path,identity,decision,asked\na.jpg,bella,confirmed,identified {TIMES[0]}\n"
    (tmp_path / "decisions.csv").write_text(row, encoding="utf-8")

    with pytest.raises(InputError, match=words):
        check_decisions(tmp_path / "decisions.csv", gallery, (), tmp_path)


@pytest.mark.parametrize(
    "line", ['{"what": ["x"], "renamed": 5}', '{"what": ["x"], "decided": {"a": 7, "b": ["c"]}}']
)
def test_what_a_person_has_written_into_the_log_stops_nothing(line, tmp_path):
    (tmp_path / LOG).write_text(f"{line}\n", encoding="utf-8")

    assert ever_renamed(tmp_path) == once_decided(tmp_path) == {}
    assert undone_names(tmp_path) == set()
