"""The page of pairs to judge: whole in one file, and safe for any name."""

import json
import re

from common.visualization.pair_sheet import COLUMNS, PairQuestion, render_pairs

import numpy as np
from PIL import Image

EVIL = '</script><script>alert("1")</script> & <b>'


def page_of(name):
    picture = Image.fromarray(np.full((20, 30, 3), 128, dtype=np.uint8))
    names = (f"{name}1", f"{name}2")
    question = PairQuestion(names, names, ("2024", ""), (picture, picture), 0.42, f"{name} again")
    return render_pairs(f"One animal? {name}", [f"Photos {name}."], [question])


def test_text_is_never_taken_for_markup():
    plain, evil = page_of("anna"), page_of(EVIL)

    assert len(re.findall("<script", evil)) == len(re.findall("<script", plain)) == 2
    assert "<b>" not in evil


def test_the_page_needs_nothing_from_elsewhere():
    assert "http" not in page_of("anna")


def test_what_is_saved_has_the_columns_that_are_read():
    data = json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', page_of("anna"))[1])

    assert tuple(data[0]) == COLUMNS
    assert data[0]["answer"] == ""
