"""Week 1's scripts run from anywhere, refuse bad flags, and keep what they promise."""

import json
from dataclasses import replace

from common.data.catalogue import load_catalogue
from common.errors import InputError
from common.splits.leaks import leak_report
from common.splits.splits import make_split
from common.turtles.card import draw_card

import pandas as pd
import pytest
from script_runs import help_of, load_main, refusal_of, run_elsewhere

SCRIPTS = ("look_at_data", "baseline_cnn", "split_pitfalls")
FIGURES = {
    "look_at_data": {"contact_sheet.png", "overview.png"},
    "baseline_cnn": {"curves.png", "confusion.png", "recall.png"},
    "split_pitfalls": {"pitfalls.png"},
}


def run_smoke(script, turtles, folder, *flags):
    main = load_main(f"week1/{script}")
    return main(["--smoke", "--data_dir", str(turtles), "--output_dir", str(folder), *flags])


@pytest.fixture(scope="module")
def results(turtles, tmp_path_factory):
    """Result of each script's smoke run, run once for all tests."""
    folder = tmp_path_factory.mktemp("runs")
    return {script: run_smoke(script, turtles, folder / script) for script in SCRIPTS}, folder


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_smoke_run_returns_what_it_stores(results, script):
    result, folder = results[0][script], results[1] / script

    stored = json.loads((folder / "result.json").read_text(encoding="utf-8"))

    assert stored == result
    assert set(result["figures"].values()) == FIGURES[script]
    names = {path.name for path in folder.iterdir()}
    answers = {"answers.csv"} if result["answers"] else set()
    assert names == {"written.jsonl", "result.json", "report.html", *answers, *FIGURES[script]}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_result_names_its_split_and_its_leak(results, script):
    split = results[0][script]["split"]

    assert split["name"] == "time_aware"
    assert split["leak"]["test"]["n_same_encounter"] == 0
    assert split["leak"]["n_images"]["train"] > 0


def test_the_random_split_leaks_and_has_the_same_counts(results):
    random, honest, mirrored = results[0]["split_pitfalls"]["metrics"]["conditions"]

    assert random["of the same encounter"] > 0.2
    assert honest["of the same encounter"] == mirrored["of the same encounter"] == 0
    assert random["test photos"] == honest["test photos"]
    assert random["animals"] == honest["animals"]


def test_the_difference_of_two_splits_is_that_of_their_accuracies(results):
    metrics = results[0]["split_pitfalls"]["metrics"]
    random, honest = metrics["conditions"][:2]

    gap = metrics["random_minus_honest"]

    assert gap["estimate"] == pytest.approx(random["accuracy"] - honest["accuracy"])
    assert gap["low"] <= gap["estimate"] <= gap["high"]


def test_the_baseline_tests_known_animals_only(results):
    result = results[0]["baseline_cnn"]
    leak = result["split"]["leak"]["test"]

    test = result["metrics"]["test"]

    assert test["n_images"] == leak["n_known"] < leak["n_images"]
    assert test["n_identities_present"] == leak["n_identities"] - leak["n_new_identities"]
    assert 0 <= test["accuracy"] <= 1


def test_the_baselines_guess_is_the_share_of_the_commonest_animal(results, turtles):
    catalogue = load_catalogue(turtles)
    split = make_split(catalogue, "time_aware")
    identity = catalogue.table["identity"]
    commonest = identity[split.rows("train")].value_counts().index[0]
    tested = identity[split.rows_known("test", catalogue)]

    guess = results[0]["baseline_cnn"]["metrics"]["guessing_accuracy"]

    assert guess == pytest.approx((tested == commonest).mean())


def test_a_repeated_run_gives_the_same_numbers(results, turtles, tmp_path):
    again = run_smoke("baseline_cnn", turtles, tmp_path)

    first = results[0]["baseline_cnn"]
    assert again["metrics"]["test"] == first["metrics"]["test"]


def test_the_splits_table_shows_each_possible_split_once(results):
    _, table = results[0]["look_at_data"]["tables"].values()

    assert [row["split"] for row in table] == ["random", "encounter", "time_aware", "time_cutoff"]
    assert [row["of the same encounter"] > 0 for row in table] == [True, False, False, False]


def test_the_leak_that_week_1_shows_is_the_one_that_every_run_reports(catalogue):
    leak_of = load_main("week1/look_at_data").__globals__["leak_of"]
    undated = replace(
        catalogue, table=catalogue.table.assign(date=pd.Series(pd.NaT, catalogue.table.index))
    )

    for given, name in ((catalogue, "random"), (catalogue, "time_cutoff"), (undated, "random")):
        split = make_split(given, name)
        reported = leak_report(given, split).test
        train, test = (given.table.iloc[split.rows(part)] for part in ("train", "test"))

        shown = leak_of(train, test)

        assert shown["of the same encounter"] == reported.share_same_encounter
        has_days = given is catalogue
        assert has_days == (shown["of the same day"] == reported.share_same_day)


def test_photos_without_dates_are_shown_with_a_reason_for_missing_splits(turtles, tmp_path):
    lines = (turtles / "metadata.csv").read_text(encoding="utf-8").splitlines()
    (turtles / "undated.csv").write_text(
        "\n".join(line.rsplit(",", 9)[0] for line in lines), encoding="utf-8"
    )  # image_id, identity, path

    result = load_main("week1/look_at_data")(
        ["--data_dir", str(turtles / "undated.csv"), "--output_dir", str(tmp_path)]
    )

    assert result["split"]["name"] == "random"
    assert [note.split(" found")[0] for note in result["notes"]] == [
        "Not possible here: --split encounter",
        "Not possible here: --split time_aware",
        "Not possible here: --split time_cutoff",
    ]


def test_animals_of_one_photo_each_are_looked_at_without_a_split(turtles, tmp_path):
    table = pd.read_csv(turtles / "metadata.csv", dtype=str)
    table.drop_duplicates("identity").to_csv(turtles / "single.csv", index=False)
    flags = ["--data_dir", str(turtles / "single.csv"), "--output_dir", str(tmp_path)]

    result = load_main("week1/look_at_data")(flags)

    assert result["split"] is None
    assert list(result["tables"]) == ["What is there"]
    assert all(note.startswith("Not possible here: --split") for note in result["notes"])
    with pytest.raises(InputError, match="--split random"):
        load_main("week1/look_at_data")([*flags, "--split", "random"])


def test_a_random_split_is_not_compared_with_itself(turtles, tmp_path):
    with pytest.raises(InputError, match="--split random"):
        run_smoke("split_pitfalls", turtles, tmp_path, "--split", "random")


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_runs_from_any_folder_with_no_data_but_its_own(script, tmp_path):
    ending = run_elsewhere(f"week1/{script}", tmp_path, "--smoke")

    assert ending.returncode == 0, ending.stderr
    assert (tmp_path / "runs" / f"{script}_smoke" / "report.html").is_file()
    assert "Result:" in ending.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unknown_flag_or_folder_ends_with_exit_code_2(script, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    line = refusal_of(f"week1/{script}", capsys, "--data_dir", "nowhere", "--smoke")

    assert "--data_dir: found 'nowhere'" in line
    with pytest.raises(SystemExit) as ending:
        load_main(f"week1/{script}")(["--no_such_flag"])
    assert ending.value.code == 2


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_shows_the_question_and_the_flags(script, capsys):
    shown = help_of(f"week1/{script}", capsys)

    assert "Question:" in shown
    assert "--smoke" in shown


def test_look_at_data_says_the_first_and_the_last_day(results):
    result = results[0]["look_at_data"]

    [there] = result["tables"]["What is there"]
    days = [result["metrics"][name] for name in ("first_day", "last_day")]
    assert [there["first day"], there["last day"]] == days
    assert days[0] < days[1]


def test_look_at_data_shows_a_card_of_unnamed_photos(tmp_path):
    draw_card(tmp_path / "card", tmp_path / "truth.csv", 24, 5, photo_size=32, progress=False)
    flags = "--clock_offset", "GoPro HERO9=24:00", "--gap_minutes", "15"

    folder = tmp_path / "out"
    result = run_smoke("look_at_data", tmp_path / "card", folder, *flags)

    truth = pd.read_csv(tmp_path / "truth.csv")
    cameras = {each["camera"]: each for each in result["tables"]["By camera"]}
    own = truth[truth["path"].str.contains("GOPR")]
    next_day = pd.Timestamp(own["date"].min()) + pd.Timedelta(days=1)
    assert cameras["GoPro HERO9"]["first"] == f"{next_day:%Y-%m-%d %H:%M}"
    assert result["metrics"]["n_files"] == 24
    assert result["metrics"]["n_unnamed"] == len(truth)
    assert any("sort_photos.py" in note for note in result["notes"])
