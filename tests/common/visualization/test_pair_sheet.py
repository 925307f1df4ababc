"""The page of pairs to judge: whole in one file, and safe for any name."""

import json
import re
import shutil
import subprocess

from common.visualization.pair_sheet import COLUMNS, PairQuestion, render_pairs

import numpy as np
import pytest
from PIL import Image

EVIL = '</script><script>alert("1")</script> & <b>'


def page_of(name, former=()):
    picture = Image.fromarray(np.full((20, 30, 3), 128, dtype=np.uint8))
    names = (f"{name}1", f"{name}2")
    question = PairQuestion(names, names, ("2024", ""), (picture, picture), 0.42, f"{name} again")
    return render_pairs(f"One animal? {name}", [f"Photos {name}."], [question], former)


def test_text_is_never_taken_for_markup():
    plain, evil = page_of("anna"), page_of(EVIL)

    assert len(re.findall("<script", evil)) == len(re.findall("<script", plain)) == 2
    assert "<b>" not in evil


@pytest.mark.skipif(not shutil.which("node"), reason="this system runs no JavaScript")
def test_a_page_saves_when_and_the_answers_of_the_pages_before():
    before = dict(
        zip(COLUMNS, ["a", "b", "same", "0.5", "a.jpg", "b.jpg", "then", ""], strict=True)
    )
    page = page_of("anna", [before])
    [question] = json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', page)[1])
    radio = '{value: "different"}'
    code = (
        "const document = {querySelectorAll: () => [], getElementById: () => ({})};"
        f"const questions = [{json.dumps(question)}];"
        "const sections = [{querySelector: (of) =>"
        f'of.includes("radio") ? {radio} : {{value: ""}}}}];'
        + re.search(r"const savedNow.*", page)[0]
        + re.search(r"function rowsToSave[\s\S]*?\n}", page)[0]
        + "console.log(JSON.stringify(rowsToSave()))"
    )

    said = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True).stdout

    names, former, own = json.loads(said)
    assert dict(zip(names, former, strict=True)) == before
    assert own[names.index("answer")] == "different"
    assert re.fullmatch(r".*, saved 20[-\dT:]{17}", own[names.index("asked")])


def test_the_page_needs_nothing_from_elsewhere():
    assert "http" not in page_of("anna")


def test_what_is_saved_has_the_columns_that_are_read():
    data = json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', page_of("anna"))[1])

    assert tuple(data[0]) == COLUMNS
    assert data[0]["answer"] == ""
