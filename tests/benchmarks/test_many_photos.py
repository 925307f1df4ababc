"""Ten times as many photos cost at most twelve times as much where nothing is trained."""

import json

import many_photos  # as a module, so that a fresh process finds its function
import pytest
from side_by_side import RESULTS


@pytest.mark.slow
def test_every_script_is_timed_and_the_peak_told(tmp_path):
    result = many_photos.main(["--smoke", "--output_dir", str(tmp_path)])

    assert all(times > 0 for times in result["metrics"]["times"].values())


def test_the_stored_run_grew_at_most_twelve_times():
    stored = json.loads((RESULTS / "many_photos.json").read_text(encoding="utf-8"))

    times = stored["metrics"]["times"]

    assert times["photos"] == 10
    assert times["together, s"] <= 12
    assert times["peak MB"] <= 12
