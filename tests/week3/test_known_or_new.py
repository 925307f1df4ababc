"""A threshold is chosen on validation photos, and test photos are judged once at it."""

import numpy as np
import pytest
from script_runs import load_main, refusal_of

SCRIPT = "week3/known_or_new"


@pytest.fixture(scope="module")
def result(turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    flags = ["--smoke", "--data_dir", str(turtles), "--output_dir", str(folder)]
    return load_main(SCRIPT)(flags)


def photos_of(result, part):
    columns = result["metrics"]["photos"]
    rows = zip(*columns.values(), strict=True)
    return [row for row in (dict(zip(columns, each, strict=True)) for each in rows)
            if row["part"] == part]  # fmt: skip


def balanced(rows, is_right):
    own = {}
    for row in rows:
        own.setdefault(row["identity"], []).append(is_right(row))
    return np.mean([np.mean(each) for each in own.values()])


def test_no_other_threshold_is_better_on_validation_photos(result):
    rows = photos_of(result, "validation")
    known, new = ([row for row in rows if (row["kind"] == "new") == is_new]
                  for is_new in (False, True))  # fmt: skip

    def value(threshold):
        right = balanced(known, lambda row: row["similarity"] >= threshold
                         and row["named"] == row["identity"])  # fmt: skip
        return np.sqrt(right * balanced(new, lambda row: row["similarity"] < threshold))

    chosen = value(result["metrics"]["threshold"])
    assert chosen == pytest.approx(max(value(row["similarity"]) for row in rows))
    table = {row["photos of"]: row for row in result["tables"]["Known or new, at one threshold"]}
    assert table["validation"]["√(BAKS·BAUS)"] == pytest.approx(chosen)


def test_every_photo_is_of_one_kind(result):
    for part in ("validation", "test"):
        kinds = {row["kind"] for row in photos_of(result, part)}
        assert kinds <= {"known, named right", "known, named wrong", "new"}
        assert "new" in kinds


def test_the_three_verdicts_share_the_photos_of_each_kind(result):
    rows = result["tables"]["Three verdicts, at two thresholds"]

    assert [row["photos of"] for row in rows] == [
        f"{part}, {who} animals" for part in ("validation", "test") for who in ("known", "new")
    ]
    for row in rows:
        assert row["photos"] >= row["animals"] > 0
        shares = [row[verdict] for verdict in ("known", "look yourself", "probably new")]
        assert sum(shares) == pytest.approx(1)
    assert rows[1]["known"] <= result["arguments"]["false_match_rate"]


def test_ranked_photos_come_most_alike_first_and_never_show_the_query_itself(result):
    assert result["metrics"]["ranked"]
    for own in result["metrics"]["ranked"]:
        assert own["similarity"] == sorted(own["similarity"], reverse=True)
        assert own["query"] not in own["gallery"]


def test_without_a_trained_embedding_it_says_how_to_train_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert "python week3/metric_learning.py" in refusal_of(SCRIPT, capsys)


def test_a_split_without_new_animals_is_refused(turtles, tmp_path, capsys):
    flags = ["--smoke", "--data_dir", turtles, "--output_dir", tmp_path, "--split", "disjoint"]

    assert "take another --split" in refusal_of(SCRIPT, capsys, *flags)
