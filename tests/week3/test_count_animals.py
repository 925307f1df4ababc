"""count_animals.py: from a table to a number, files for other programs, and one line of refusal."""

import json

from common import own_files
from common.counts.simulation import World, survey_table
from common.groups.choice import AGREEMENT

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from script_runs import help_of, load_main, load_script, refusal_of

COUNT = "week3/count_animals"
EVERYWHERE = {"mark.inp", "rmark.csv", "animals.csv", "darwin_core.zip", "captures.png"}
WITH_PLACES = {
    "secr_captures.txt", "secr_traps.txt", "datapackage.json", "deployments.csv", "media.csv",
    "observations.csv",
}  # fmt: skip


@pytest.fixture
def table(tmp_path):
    """A survey of 80 animals, sorted with mistakes, as sort_photos.py leaves it."""
    random = np.random.default_rng(0)
    rows = survey_table(World(missed=0.125), random).drop(columns="animal")
    rows["path"] = [f"DCIM/IMG_{number:04d}.JPG" for number in range(len(rows))]
    rows["latitude"], rows["longitude"] = -4.6 + 0.01 * (np.arange(len(rows)) % 4), 55.4
    folder = tmp_path / "sorted"
    folder.mkdir()
    rows.to_csv(folder / "individuals.csv", index=False)
    return folder / "individuals.csv"


def write_rates(table, n_answers=0, agreed=1.0, **rates):
    metrics = {"misidentification": rates} if rates else {}
    metrics[AGREEMENT] = agreed
    metrics["answers"] = {"given": n_answers, "kept": n_answers}
    (table.parent / "result.json").write_text(json.dumps({"metrics": metrics}), encoding="utf-8")


def count(tmp_path, *flags):
    folder = tmp_path / "run"
    result = load_main(COUNT)([*map(str, flags), "--output_dir", str(folder)])
    return result, {path.name for path in folder.iterdir()}


def test_the_turtles_are_counted_beside_their_known_number(tmp_path):
    result, names = count(tmp_path, "--smoke", "--occasion", "year")

    assert names >= EVERYWHERE
    assert "8 turtles could be met in these years" in result["summary"]


def test_a_gallery_counts_as_the_photos_that_it_was_built_of(turtles, tmp_path):
    gallery = tmp_path / "gallery"
    load_main("week3/build_gallery")(
        ["--smoke", "--data_dir", str(turtles), "--output_dir", str(gallery)]
    )

    by_photos, _ = count(tmp_path / "photos", turtles, "--occasion", "year")
    by_gallery, _ = count(tmp_path / "held", gallery, "--occasion", "year")

    assert by_gallery["metrics"] == by_photos["metrics"]
    texts = [(tmp_path / each / "run" / "animals.csv").read_text() for each in ("photos", "held")]
    assert texts[0] == texts[1]


def test_a_gallery_counts_an_encounter_over_midnight_once(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    rows = ["path,identity,date,encounter"]
    for number, (name, time) in enumerate(
        [("Anna", "01 23:50"), ("Anna", "02 00:20"), ("Berta", "02 23:00"), ("Berta", "03 23:00")]
    ):
        Image.new("RGB", (20, 20), (60 * number, 90, 0)).save(photos / f"{number}.png")
        rows.append(f"{number}.png,{name},2024-05-{time},night")
    (photos / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    load_main("week3/build_gallery")(
        ["--smoke", "--data_dir", str(photos), "--output_dir", str(tmp_path / "gallery")]
    )

    count(tmp_path, tmp_path / "gallery")

    held = pd.read_csv(tmp_path / "run" / "animals.csv", index_col="animal").drop(columns="code")
    assert held.loc["Anna"].tolist() == [1, 0, 0]
    assert held.loc["Berta"].tolist() == [0, 1, 1]


def test_one_photo_in_the_tables_of_two_sorts_is_no_second_animal(table, tmp_path):
    rows = pd.read_csv(table, dtype=str)
    rows["content"] = [f"photo-{number:032x}" for number in range(len(rows))]
    again = rows.iloc[:20].assign(path="B/" + rows["path"], identity="x" + rows["identity"])
    pd.concat([rows, again]).to_csv(table, index=False)

    result, _ = count(tmp_path, table)

    seen = rows["identity"].iloc[20:].nunique()
    assert result["metrics"]["n_animals_seen"] == seen


def test_a_table_without_its_photos_is_enough(table, tmp_path):
    result, names = count(tmp_path, table)

    assert names >= EVERYWHERE | WITH_PLACES
    assert result["metrics"]["n_occasions"] == 10
    assert "if nobody came or left between the first day and the last" in result["summary"]
    assert any("Every name is taken as right" in note for note in result["notes"])


@pytest.mark.parametrize(
    "cell", ["45000", "1714521600", "2024-05-01 24:00:00", "2099-01-01", "0001-01-01", "soon"]
)
def test_dates_that_cannot_be_read_are_quoted_where_none_is_left(cell, table, tmp_path, capsys):
    pd.read_csv(table).assign(date=cell).to_csv(table, index=False)

    line = refusal_of(COUNT, capsys, table, "--output_dir", tmp_path / "run")

    assert f"(row 2: '{cell}', row 3" in line


def test_measured_rates_beside_the_table_change_the_number(table, tmp_path):
    write_rates(
        table,
        missed={"value": 0.125, "low": 0.08, "high": 0.18},
        false={"value": 0.0, "low": 0.0, "high": 0.02},
    )

    result, _ = count(tmp_path, table)

    rows = result["tables"]["Number of animals"]
    assert [row["names"] for row in rows] == ["as they are"] * 2 + ["mistakes taken out"] * 2
    assert rows[2]["animals"] < rows[0]["animals"]
    assert result["metrics"]["rates"]["missed"]["value"] == 0.125
    assert result["metrics"]["estimate"]["value"] == rows[2]["animals"]


@pytest.mark.parametrize(("agreed", "is_told"), [(0.3, True), (0.8, False)])
def test_groups_of_a_network_that_hardly_knows_the_animals_are_no_ground_for_a_number(
    agreed, is_told, table, tmp_path
):
    write_rates(table, agreed=agreed, missed={"value": 0.01, "low": 0.0, "high": 0.02})

    result, _ = count(tmp_path, table)

    assert ("hardly knows such animals" in result["summary"]) == is_told


def test_rates_of_a_table_that_was_changed_since_are_not_used(table, tmp_path):
    own_files.begin_list(table.parent)
    own_files.note(table, own_files.checksum(table))
    write_rates(table, missed={"value": 0.125, "low": 0.08, "high": 0.18})
    assert count(tmp_path, table)[0]["metrics"]["rates"]["missed"]["value"] == 0.125

    pd.read_csv(table).assign(note="looked at").to_csv(table, index=False)

    result, _ = count(tmp_path, table)
    assert result["metrics"]["rates"]["missed"]["value"] == 0
    assert any("no longer: not used" in note for note in result["notes"])


def test_copies_of_photos_are_counted_as_the_check_of_photos_takes_them(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    contents = {"a": b"1", "b": b"2", "b_copy": b"2", "c": b"3", "c_copy": b"3", "d": b"4444"}
    rows = [("a", "A", 1), ("a2", "A", 2), ("b", "B", 1), ("b_copy", "C", 2), ("c", "D", 1),
            ("c_copy", "D", 2), ("d", "E", 2)]  # fmt: skip
    for name, content in contents.items():
        (tmp_path / "photos" / f"{name}.jpg").write_bytes(content)
    lines = [f"{path}.jpg,{animal},2024-05-0{day}" for path, animal, day in rows]
    table = tmp_path / "photos" / "metadata.csv"
    table.write_text("\n".join(["path,identity,date", *lines]), encoding="utf-8")

    result, _ = count(tmp_path, table)

    said = capsys.readouterr().out
    assert "identical photos under different identities: 2 (b.jpg, b_copy.jpg); left out" in said
    assert "further copies of a photo of the same animal: 1 (c_copy.jpg); left out" in said
    assert result["metrics"]["n_animals_seen"] == 3


@pytest.mark.parametrize(
    ("n_answers", "words"),
    [(0, "no answer about these has been given"), (50, "corrected by 50 answers about these")],
)
def test_it_is_said_whether_answers_about_these_photos_taught_the_rates(
    table, tmp_path, n_answers, words
):
    write_rates(table, n_answers, missed={"value": 0.1, "low": 0.0, "high": 0.2})

    assert words in count(tmp_path, table)[0]["summary"]


def test_a_rate_by_flag_stands_above_the_measured_one(table, tmp_path):
    write_rates(table, missed={"value": 0.3, "low": 0.2, "high": 0.4})

    result, _ = count(tmp_path, table, "--missed_matches", "0.1,0.05,0.2")

    assert result["metrics"]["rates"]["missed"] == {"value": 0.1, "low": 0.05, "high": 0.2}


def test_no_measured_rates_are_no_mistakes(table, tmp_path):
    write_rates(table)

    assert len(count(tmp_path, table)[0]["tables"]["Number of animals"]) == 2


def test_photos_without_places_are_counted_and_told(table, tmp_path):
    pd.read_csv(table).drop(columns="latitude").to_csv(table, index=False)

    result, names = count(tmp_path, table)

    assert not names & WITH_PLACES
    assert any("files for secr and Camtrap DP are not written" in each for each in result["notes"])


def test_simulated_surveys_are_told_with_and_without_the_correction(tmp_path):
    result, names = count(tmp_path, "--simulate", "4", "--smoke")

    rows = result["tables"]["Coverage with and without the correction"]
    assert {"covered as named", "covered corrected", "error corrected"} <= set(rows[0])
    assert "coverage.png" in names


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--missed_matches", "1.6"], "--missed_matches: found '1.6', expected a share"),
        (["--missed_matches", "0.6"], "found 60 % of encounters named wrongly"),
        (["--missed_matches", "0.1,0.2,0.3"], "--missed_matches"),
        (["--false_matches", "some"], "--false_matches"),
        (["--missed_matches", "0.4", "--false_matches", "0.2"], "found 60 % of encounters named"),
        (["--days", "2024-05-31"], "--days: found '2024-05-31', expected the first and the last"),
        (["--days", "2024-05-31,2024-05-01"], "--days"),
        (["--days", "2024-13-01,2024-14-01"], "--days"),
        (["--occasion", "week"], "--occasion: found 'week', expected one of"),
        (["--simulate", "0"], "--simulate"),
        (["--simulate", "20"], "beside --simulate"),
        (["--side", "top"], "--side top: no photo shows it"),
        (["--occasion", "year"], "all photos are of one year (2024)"),
        (["--days", "1999-01-01,1999-12-31"], "no photo of a known animal is left"),
        (["--data_dir", "."], "beside another source"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(table, tmp_path, capsys, flags, words):
    line = refusal_of(COUNT, capsys, table, *flags, "--output_dir", tmp_path / "run")

    assert words in line


@pytest.mark.parametrize(
    "metrics", ["3", '{"misidentification": {"missed": {"value": "often"}}}', "[" * 100_000]
)
def test_rates_that_cannot_be_read_are_refused(metrics, table, tmp_path, capsys):
    (table.parent / "result.json").write_text(f'{{"metrics": {metrics}}}', encoding="utf-8")

    line = refusal_of(COUNT, capsys, table, "--output_dir", tmp_path / "run")

    assert "result.json: the rates of wrong names cannot be read" in line


def test_a_table_that_is_not_there_is_refused(tmp_path, capsys):
    assert "'nowhere.csv', which does not exist" in refusal_of(COUNT, capsys, "nowhere.csv")


def test_help_names_every_file_that_is_written(capsys):
    words = help_of(COUNT, capsys)

    assert not [name for name in EVERYWHERE - {"captures.png"} if name not in words]


def test_a_simulated_survey_is_named_in_words():
    words_on = load_script(COUNT).words_on
    row = {"missed": 0.125, "false": 0, "unequal": 0.5, "encounters": 2}

    assert words_on(pd.Series(row)) == ("12.5 % missed, unequal animals (0.5), 2 encounters a day")


def test_a_simulation_takes_nothing_that_it_does_not_use(capsys):
    line = refusal_of(COUNT, capsys, "--simulate", 3, "--missed_matches", 0.4)

    assert "--simulate: found beside --missed_matches" in line
