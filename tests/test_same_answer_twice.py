"""The same command gives the same numbers again, and with other numbers of processes too."""

import re

from common.data.class_folders import draw_noise_photos

import pytest
from script_runs import load_main

CASES = {
    "stanford_dogs": ["n01-beagle", "Boxer", "toy_poodle", "pug"],
    "oxford_pets": ["Maine Coon", "beagle", "pug"],
    "cats_vs_dogs": ["Cat", "Dog"],
}
ON_TURTLES = [
    "week1/look_at_data", "week1/baseline_cnn", "week1/split_pitfalls", "week2/transfer_learning",
    "week2/fine_tuning", "week2/compare_architectures", "week2/compare_strategies",
    "week2/training_practices", "week2/look_inside", "week2/export_onnx",
    "week2/case_studies/cats_convnext", "week3/metric_learning", "week3/compare_approaches",
    "week3/compare_losses", "week3/compare_rankings", "week3/known_or_new",
    "week3/build_gallery",
]  # fmt: skip
# What a clock, a process's memory or a file's place makes, and may be another every time; and the
# size of an ONNX file, in which torch's exporter may write one network in a few nodes more.
OF_THE_CLOCK = re.compile(
    r"second|minute|(, |_|^)m?s$|^m?s per|^s once$|started|memory|photos/s|adding|MB"
    r"|^(bytes|path|photo|pictures)$",
    re.I,
)


def without_clock(value):
    """A result without what may differ."""
    if isinstance(value, dict):
        return {
            key: without_clock(each) for key, each in value.items() if not OF_THE_CLOCK.search(key)
        }
    if isinstance(value, str):
        return re.sub(r"\d[\d.,]* s\b", "… s", value)
    return [without_clock(each) for each in value] if isinstance(value, list) else value


def numbers_of(script, folder, *flags):
    flags = ["--smoke", "--output_dir", folder, *flags]
    return without_clock(load_main(script)([str(flag) for flag in flags])["metrics"])


@pytest.mark.slow
@pytest.mark.parametrize("script", ON_TURTLES)
def test_a_second_run_gives_equal_metrics(script, turtles, tmp_path):
    first = numbers_of(script, tmp_path / "first", "--data_dir", turtles)
    second = numbers_of(script, tmp_path / "second", "--data_dir", turtles)

    assert first == second
    assert first


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_second_run_of_a_case_study_gives_equal_metrics(name, tmp_path, monkeypatch):
    monkeypatch.setattr("common.data.class_folders.SMOKE_FOLDER", tmp_path / "photos")
    photos, script = draw_noise_photos(CASES[name]), f"week2/case_studies/{name}"

    first = numbers_of(script, tmp_path / "first", "--data_dir", photos)

    assert first == numbers_of(script, tmp_path / "second", "--data_dir", photos)


@pytest.mark.slow
def test_a_second_identification_gives_equal_answers(tmp_path):
    first = numbers_of("week3/identify", tmp_path / "first")

    assert first == numbers_of("week3/identify", tmp_path / "second")


@pytest.mark.slow
def test_photos_prepared_by_more_processes_give_equal_metrics(turtles, tmp_path):
    flags = ["--data_dir", turtles, "--cached_views", "0", "--workers"]
    alone = numbers_of("week2/fine_tuning", tmp_path / "alone", *flags, "0")

    assert alone == numbers_of("week2/fine_tuning", tmp_path / "two", *flags, "2")
