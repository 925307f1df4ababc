"""The sheet for the field: whole in one file, and safe for any name."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

from common.data.photo_files import BOX_MARK, BOXED
from common.visualization import sheet
from common.visualization.sheet import SheetCandidate, SheetQuestion, render_sheet

import numpy as np
import pytest
from PIL import Image

EVIL = '</script><script>alert("1")</script> & "Anna\'s" <b>'


def picture():
    return Image.fromarray(np.full((20, 30, 3), 128, dtype=np.uint8))


def sheet_of(name, n_candidates=2):
    candidates = [
        SheetCandidate(
            f"{name}{i}", 0.8 - i / 10, 0.6 - i / 10, picture(), f"left, {name}", f"photo-{i}"
        )
        for i in range(n_candidates)
    ]
    question = SheetQuestion(
        f"1. {name}", [f"/photos/{name}.jpg"], [f"photo-{name}"], "left", [""], "e1",
        [picture()], f"known: {name}", [f"{name} is a remark"], candidates,
    )  # fmt: skip
    return render_sheet(f"Who? {name}", [f"Gallery {name}."], [question], {name: "photo-9"})


class Elements(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.values, self.script = [], [], {}
        self._inside = None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.values += [value for _, value in attributes if value]
        if tag == "script":
            self._inside = dict(attributes).get("type", "code")

    def handle_endtag(self, tag):
        self._inside = None if tag == "script" else self._inside

    def handle_data(self, data):
        if self._inside:
            self.script[self._inside] = self.script.get(self._inside, "") + data


def test_text_is_never_taken_for_markup():
    plain, evil = Elements(sheet_of("anna")), Elements(sheet_of(EVIL))

    assert evil.tags == plain.tags
    assert "b" not in evil.tags
    assert evil.script["code"] == plain.script["code"]


def test_names_come_back_from_the_pages_data_as_they_are():
    [question] = json.loads(Elements(sheet_of(EVIL)).script["application/json"])

    assert question["candidates"][0][0] == f"{EVIL}0"
    assert question["photos"] == [f"/photos/{EVIL}.jpg"]


@pytest.mark.skipif(not shutil.which("node"), reason="this system runs no JavaScript")
@pytest.mark.parametrize(
    ("ticked", "dates", "encounter", "seen"),
    [
        ("0", ["2024-05-31T10:11:00", "2024-05-31"], "anna0:2024-05-31", "photo-0 anna0"),
        ("0", ["2024-05-31T23:59:00", "2024-06-01T00:01:00"], "e1", "photo-0 anna0"),
        ("0", ["", ""], "e1", "photo-0 anna0"),
        ("other", ["", ""], "e1", "photo-9 anna"),
        ("new", ["", ""], "e1", ""),
        ("unclear", ["2024-05-31T10:11:00", ""], "", ""),
        (None, ["", ""], "", ""),
    ],
)
def test_saved_rows_have_times_encounters_and_the_photo_that_stood_for_a_name(
    ticked, dates, encounter, seen
):
    [question] = json.loads(Elements(sheet_of("anna")).script["application/json"])
    question |= {"photos": ["a.jpg", "b.jpg"], "ids": ["1", "2"], "dates": dates}
    radio = "null" if ticked is None else json.dumps({"value": ticked})
    code = (
        'const known = [{value: "anna", dataset: {photo: "photo-9"}}];'
        "const document = {querySelectorAll: () => known};"
        + re.search(r"const savedNow.*", sheet_of("anna"))[0]
        + f"const questions = [{json.dumps(question)}];"
        "const sections = [{querySelector: (which) =>"
        f'which.includes("radio") ? {radio} : {{value: which.includes("for=") ? "anna" : ""}}}}];'
        f"{sheet._SCRIPT.replace('BOXED', BOXED)}\nconsole.log(JSON.stringify(rowsToSave()))"
    )

    said = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True).stdout

    names, *rows = json.loads(said)
    saved = [dict(zip(names, row, strict=True)) for row in rows]
    assert [row["date"] for row in saved] == dates
    assert {row["encounter"] for row in saved} == {encounter}
    assert {row["seen"] for row in saved} == {seen}
    assert all(re.fullmatch(r"e1, saved 20[-\dT:]{17}", row["asked"]) for row in saved)


@pytest.mark.skipif(not shutil.which("node"), reason="this system runs no JavaScript")
@pytest.mark.parametrize(("name", "is_fault"), [("N/A", True), ("neu", True), ("Nala", False)])
def test_a_word_for_nobody_is_no_name_to_the_page(name, is_fault):
    script = re.search(r"(?s)function faultOf.*?\n}", sheet_of("anna"))[0]
    answer = json.dumps({"decision": "new individual", "identity": name})
    code = f"const animals = new Map(); {script}\nconsole.log(faultOf({answer}))"

    said = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True).stdout

    assert ("nobody knows" in said) == is_fault


def test_the_page_needs_no_other_file_and_no_network():
    page = sheet_of("anna")

    assert not re.search(r"https?://|src=\"(?!data:)|<link|@import", page)
    assert page.count("data:image/jpeg;base64,") == 3


def test_every_candidate_can_be_ticked_and_so_can_none_of_them():
    values = Elements(sheet_of("anna", n_candidates=3)).values

    for answer in ("0", "1", "2", "other", "new", "unclear"):
        assert answer in values


def test_similarity_probability_and_verdict_are_shown():
    page = sheet_of("anna")

    for text in ("similarity 0.800", "probability 60 %", "known: anna", "anna is a remark"):
        assert text in page


def test_a_question_without_candidates_can_be_answered_all_the_same():
    assert 'value="new"' in sheet_of("anna", n_candidates=0)


@pytest.mark.parametrize("name", ["Zoë", "海龟", "a,b;c"])
def test_names_of_any_script_are_kept(name):
    assert name in sheet_of(name)


def test_answers_are_remembered_for_one_sheet_alone():
    keys = [re.search(r'data-key="(\w+)"', sheet_of(name))[1] for name in ("anna", "berta", "anna")]

    assert keys[0] == keys[2] != keys[1]


@pytest.mark.parametrize(
    ("photo", "parts"),
    [
        ("a.jpg", None),
        ("a#xywh=1,2,30,40.jpg", None),
        (f"a.jpg{BOX_MARK}1,2,30.5,1e-05", ("a.jpg", "1,2,30.5,1e-05")),
        ("a#xywh=1,2,3,4.jpg#xywh=-1,0,2,1", ("a#xywh=1,2,3,4.jpg", "-1,0,2,1")),
    ],
)
def test_a_box_is_told_from_a_file_name_on_the_page_as_elsewhere(photo, parts):
    found = re.fullmatch(BOXED, photo)

    assert (found and found.groups()) == parts
    assert f"each.match(/^{BOXED}$/)" in sheet_of("anna")
