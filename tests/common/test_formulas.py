"""Names that a spreadsheet would run or a terminal obey: harmless where shown, and kept as is."""

import io
import re

from common.data.catalogue_tables import read_csv
from common.ending import run_script
from common.errors import InputError
from common.report import render_report
from common.tables import FORMULA, csv_text, format_table, harmless
from common.visualization.pair_sheet import render_pairs
from common.visualization.sheet import render_sheet

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

EVIL = ["=cmd|' /C calc'!A0", "=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "'=1", "''@x", "＝1", "-"]
ESCAPES = ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "a\rb", "\x08\x08"]


@pytest.mark.parametrize("name", EVIL)
def test_no_cell_is_a_formula_and_each_name_comes_back(name, tmp_path):
    text = csv_text(pd.DataFrame({"animal": [name], "n": [-1]}))
    (tmp_path / "table.csv").write_bytes(text.encode())

    assert harmless(name)[0] == "'"
    [found] = read_csv(tmp_path / "table.csv").to_dict("records")
    assert (found["animal"], found["n"]) == (name, "-1")


@pytest.mark.parametrize(
    "name", ["anna", "'t hart", "O'Neill", "a=b", "a-1", "", "1", "Zoë", "' x"]
)
def test_other_names_are_written_as_they_are(name):
    assert harmless(name) == name


@settings(max_examples=200, deadline=None)
@given(names=st.lists(st.text(alphabet="'=+-@a1 ", max_size=6), min_size=1, max_size=5))
def test_any_names_come_back(names, tmp_path_factory):
    file = tmp_path_factory.mktemp("csv") / "table.csv"
    names = [name.lstrip() for name in names]  # as all names are
    file.write_text(csv_text(pd.DataFrame({"animal": names, "row": "x"})))

    assert read_csv(file)["animal"].tolist() == names


@pytest.mark.parametrize("page", [render_sheet("t", [], [], {}), render_pairs("t", [], [])])
def test_the_pages_own_writers_have_the_same_rule(page):
    assert page.count(f"const formula = /{FORMULA.pattern}/;") == 1
    assert "/" not in FORMULA.pattern
    assert re.compile(FORMULA.pattern)


@pytest.mark.parametrize("name", ESCAPES)
def test_a_name_steers_no_terminal(name, monkeypatch, capfd):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)

    def main():
        print(name, f"second line of {name}", sep="\n")
        print(format_table(pd.DataFrame({"animal": [name]})))
        raise InputError(f"no animal is named {name}")

    with pytest.raises(SystemExit):
        run_script(main)

    for text in (out.getvalue(), err.getvalue()):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert len(out.getvalue().splitlines()) == 5


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=y>', "&lt;b"])
def test_a_name_is_no_markup_in_a_report(name):
    result = {"script": f"{name}.py", "command": name, "started": "2026", "seconds": 1,
              "notes": [name], "machine": {"device": name}, "metrics": {name: name}}  # fmt: skip

    page = render_report(result, {name: pd.DataFrame({name: [name]})}, {})

    assert name not in page
