"""Names that a file system allows and nobody expects, in what a script prints and writes."""

import json
import os
import sys

import numpy as np
import pytest
from PIL import Image
from script_runs import load_main

LOOK = "week1/look_at_data"


def photo(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_of_any_bytes_reach_figures_and_pages(tmp_path, capsys):
    names = [b"Zo\xeb", "Zoë", "日本🐢", "-rf", "a\nb\x1b[31m", "$x_{1}$", "<b>"]
    for index, name in enumerate(names * 2):
        folder = os.path.join(os.fsencode(tmp_path), b"data", os.fsencode(name))
        os.makedirs(folder, exist_ok=True)
        photo(tmp_path / "photo.jpg", index)
        os.rename(tmp_path / "photo.jpg", os.path.join(folder, b"\xff%d.jpg" % index))

    load_main(LOOK)(["--data_dir", str(tmp_path / "data"), "--output_dir", str(tmp_path / "run")])

    printed = capsys.readouterr().out
    assert "Zoë" in printed
    assert "\x1b" not in printed
    result = json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))
    assert result["script"] == "look_at_data.py"
    assert "6 animals" in printed
    assert "<b>" not in (tmp_path / "run" / "report.html").read_text("utf-8")
