"""The embedded turtles: drawn once, from the seed alone, with the truth known."""

import errno
import json
import os
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path

from common import files
from common.errors import InputError
from common.turtles import dataset as synthetic
from common.turtles.dataset import TurtleParameters, ensure_turtles, true_pictures
from common.turtles.population import plan_population
from common.turtles.skin import paint_skin, positions, seam_distance

import cv2
import numpy as np
import pandas as pd
import psutil
import pytest
from script_runs import ROOT

TINY = TurtleParameters(
    n_known=3,
    n_newcomers=1,
    photo_size=48,
    one_day_share=0.34,
    most_encounters=3,
    fewest_photos=2,
    most_photos=3,
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return ensure_turtles(tmp_path_factory.mktemp("set") / "turtles", TINY, progress=False)


@pytest.fixture(scope="module")
def table(tiny):
    return pd.read_csv(tiny / "metadata.csv")


@pytest.fixture(scope="module")
def population():
    return plan_population(TurtleParameters())


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def days_of(animal):
    return [encounter.day for encounter in animal.encounters]


def test_same_parameters_give_the_same_bytes(tiny, tmp_path):
    again = ensure_turtles(tmp_path / "again", TINY, progress=False)

    assert files_of(again) == files_of(tiny)


def test_number_of_workers_changes_no_byte(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "FEWEST_PHOTOS_FOR_WORKERS", 0)

    drawn = ensure_turtles(tmp_path / "two", TINY, progress=False, n_workers=2)

    assert files_of(drawn) == files_of(tiny)


def test_drawing_goes_on_here_when_workers_break(tiny, tmp_path, monkeypatch):
    def break_after_one(folder, animals, parameters, n_workers):
        yield synthetic.draw_animal(folder, animals[2], parameters)
        raise synthetic.BrokenProcessPool

    monkeypatch.setattr(synthetic, "FEWEST_PHOTOS_FOR_WORKERS", 0)
    monkeypatch.setattr(synthetic, "draw_in_workers", break_after_one)

    drawn = ensure_turtles(tmp_path / "broken", TINY, progress=False, n_workers=2)

    assert files_of(drawn) == files_of(tiny)


def test_other_seed_gives_other_photos(tiny, tmp_path):
    other = ensure_turtles(tmp_path / "other", replace(TINY, seed=1), progress=False)

    assert not set(files_of(other).values()) & set(files_of(tiny).values())


def test_drawn_set_is_left_alone(tmp_path):
    folder = ensure_turtles(tmp_path / "turtles", TINY, progress=False)
    (folder / "note.txt").write_text("still here")

    ensure_turtles(folder, TINY, progress=False)

    assert (folder / "note.txt").exists()


def test_changed_parameters_redraw_the_set(tmp_path):
    folder = ensure_turtles(tmp_path / "turtles", TINY, progress=False)
    changed = replace(TINY, haze=0.5)

    ensure_turtles(folder, changed, progress=False)

    assert json.loads((folder / "parameters.json").read_text())["parameters"]["haze"] == 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["turtles"]


def test_new_drawing_version_redraws_the_set(tmp_path, monkeypatch):
    folder = ensure_turtles(tmp_path / "turtles", TINY, progress=False)
    monkeypatch.setattr(synthetic, "DRAWING_VERSION", synthetic.DRAWING_VERSION + 1)

    ensure_turtles(folder, TINY, progress=False)

    assert synthetic.stored_description(folder) == synthetic.describe(TINY)


def test_a_set_that_a_person_put_a_file_into_is_not_drawn_anew(tmp_path, monkeypatch):
    folder = ensure_turtles(tmp_path / "turtles", TINY, progress=False)
    (folder / "note.txt").write_text("mine")
    monkeypatch.setattr(synthetic, "DRAWING_VERSION", synthetic.DRAWING_VERSION + 1)

    with pytest.raises(InputError, match="found other files"):
        ensure_turtles(folder, TINY, progress=False)

    assert (folder / "note.txt").read_text() == "mine"


def test_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "store_jpeg", interrupt)

    with pytest.raises(KeyboardInterrupt):
        ensure_turtles(tmp_path / "turtles", TINY, progress=False)

    assert list(tmp_path.iterdir()) == []


def test_interrupted_redrawing_keeps_the_old_set(tmp_path, monkeypatch):
    folder = ensure_turtles(tmp_path / "turtles", TINY, progress=False)
    before = files_of(folder)

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "store_jpeg", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ensure_turtles(folder, replace(TINY, seed=5), progress=False)

    assert files_of(folder) == before


def test_set_drawn_meanwhile_by_another_process_is_used(tiny, tmp_path, monkeypatch):
    folder = tmp_path / "turtles"
    draw_set = synthetic.draw_set

    def draw_slowly(drawing, *args, **kwargs):
        draw_set(drawing, *args, **kwargs)
        monkeypatch.setattr(synthetic, "draw_set", draw_set)
        ensure_turtles(folder, TINY, progress=False)

    monkeypatch.setattr(synthetic, "draw_set", draw_slowly)
    ensure_turtles(folder, TINY, progress=False)

    assert files_of(folder) == files_of(tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["turtles"]


def test_folder_with_other_files_is_refused_and_kept(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")

    with pytest.raises(InputError, match="found other files"):
        ensure_turtles(tmp_path, TINY, progress=False)

    assert (tmp_path / "holiday.jpg").read_bytes() == b"mine"


def test_metadata_lists_exactly_the_stored_photos(tiny, table):
    stored = sorted(path.relative_to(tiny).as_posix() for path in tiny.rglob("*.jpg"))

    assert sorted(table["path"]) == stored
    assert table["image_id"].is_unique
    assert set(table["orientation"]) == {"left", "right"}


def test_photos_have_the_wanted_size_and_use_the_tones(tiny, table):
    for path in table["path"]:
        image = cv2.imread(str(tiny / path))

        assert image.shape == (48, 48, 3)
        assert image.std() > 8


def test_each_encounter_is_one_animal_on_one_day(table):
    per_encounter = table.groupby("encounter")

    assert (per_encounter["identity"].nunique() == 1).all()
    assert (per_encounter["date"].nunique() == 1).all()
    assert len(table.groupby(["identity", "date"])) == table["encounter"].nunique()


def test_newcomers_are_first_seen_after_all_known_animals(population):
    known = [min(days_of(animal)) for animal in population if not animal.is_newcomer]
    newcomers = [min(days_of(animal)) for animal in population if animal.is_newcomer]

    assert len(known) == 60
    assert len(newcomers) == 20
    assert max(known) < min(newcomers)


def test_encounters_have_a_long_tail(population):
    counts = Counter(len(animal.encounters) for animal in population if not animal.is_newcomer)

    assert max(counts) == 10
    assert counts[1] == 6
    assert counts[2] + counts[3] > 2 * (counts[9] + counts[10])


def test_animals_seen_again_are_seen_in_several_years(population):
    for animal in population:
        if not animal.is_newcomer and len(animal.encounters) > 1:
            assert len({day.year for day in days_of(animal)}) > 1


def test_most_encounters_show_both_sides(population):
    encounters = list(chain.from_iterable(animal.encounters for animal in population))
    both = [len({photo.orientation for photo in day.photos}) == 2 for day in encounters]

    assert 0.6 < np.mean(both) < 0.95


def test_plan_of_the_default_set_has_about_1500_photos(population):
    assert 1300 <= sum(animal.n_photos for animal in population) <= 1700


def test_two_sides_of_an_animal_have_different_scutes():
    skin = paint_skin(plan_population(TINY)[0], TINY)

    assert scute_agreement(skin["left"], skin["right"]) < 0.6


def scute_agreement(pelt, other):
    """Share of neighbouring texels that both faces place inside, or both across, a seam."""
    first, second = ((one.scutes[:, 1:] != one.scutes[:, :-1])[40:140] for one in (pelt, other))
    return (first & second).sum() / (first | second).sum()


def test_same_side_keeps_its_scutes_in_all_encounters():
    parameters = replace(TINY, photo_size=64, slow_change=0.0)
    animal = max(plan_population(parameters), key=lambda animal: len(animal.encounters))
    skin = paint_skin(animal, parameters)

    faces = [
        synthetic.make_face(animal, encounter, skin, parameters) for encounter in animal.encounters
    ]

    assert len(faces) == 3
    for side in ("left", "right"):
        np.testing.assert_array_equal(faces[0].paint[side], faces[-1].paint[side])


def test_faces_change_slowly_over_the_years():
    animal = max(plan_population(TINY), key=lambda animal: len(animal.encounters))
    skin = paint_skin(animal, TINY)

    first, last = (
        synthetic.make_face(animal, animal.encounters[number], skin, TINY).paint["left"]
        for number in (0, -1)
    )

    change = np.abs(last - first).max(axis=2)
    assert 0 < (change > 0.05).mean() < 0.35


def test_texel_belongs_to_the_nearest_of_all_scutes():
    centres = np.random.default_rng(4).uniform((0.0, -0.4), (1.6, 0.4), (80, 2))
    along, around = positions()

    distance, scutes = seam_distance(centres, along, around)

    for row, column in [(60, 40), (94, 100), (120, 200), (80, 300)]:
        place = np.array([along[row, column], around[row, column]])
        reached = np.linalg.norm(centres - place, axis=1)
        nearest, second = np.sort(reached)[:2]
        assert scutes[row, column] == reached.argmin()
        assert distance[row, column] == pytest.approx((second - nearest) / 2, abs=1e-5)


def test_mask_covers_a_sensible_share_of_each_photo(table):
    assert table["animal_share"].between(0.10, 0.80).all()
    assert table["visible_share"].between(0.3, 1.0).all()


def test_mask_of_a_stored_photo_can_be_had_again(tiny, table):
    for row in table.iloc[::5].itertuples():
        mask = next(true_pictures(tiny, [row.image_id])).mask

        assert mask.shape == (48, 48)
        assert mask.dtype == bool
        assert mask.mean() == pytest.approx(row.animal_share, abs=0.0006)


def test_redrawn_picture_is_the_stored_photo(tiny, table):
    redrawn = true_pictures(tiny, table["image_id"])

    for picture, path in zip(redrawn, table["path"], strict=True):
        stored = cv2.imread(str(tiny / path))[..., ::-1].astype(float)
        assert np.abs(stored - picture.image).mean() < 12  # what JPEG takes away


def test_mask_lies_on_the_animal(tmp_path):
    parameters = replace(TINY, haze=0.0, noise=0.0, occlusion_share=0.0, photo_size=96)
    folder = ensure_turtles(tmp_path / "clear", parameters, progress=False)
    rows = pd.read_csv(folder / "metadata.csv").query("background == 'open water'")

    for picture in true_pictures(folder, rows["image_id"]):
        detail = np.abs(cv2.Laplacian(picture.image.astype(np.float32), cv2.CV_32F)).sum(axis=2)
        assert detail[picture.mask].mean() > 2 * detail[~picture.mask].mean()


def test_unknown_image_id_is_named(tiny):
    with pytest.raises(InputError, match="found image_id nobody"):
        next(true_pictures(tiny, ["nobody"]))


def test_mask_of_a_folder_without_turtles_is_refused(tmp_path):
    with pytest.raises(InputError, match="found no turtles"):
        next(true_pictures(tmp_path, ["t001_2015-05-01_1"]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_known": 0},
        {"seed": "ada"},
        {"photo_size": 5},
        {"occlusion_share": 1.5},
        {"fewest_photos": 5, "most_photos": 4},
        {"first_year": 2023},
        {"yaw_range": float("nan")},
    ],
)
def test_impossible_parameters_are_refused_in_one_line(tmp_path, wrong):
    with pytest.raises(InputError, match=r"^found [^\n]*expected[^\n]*$"):
        ensure_turtles(tmp_path / "turtles", replace(TINY, **wrong), progress=False)

    assert list(tmp_path.iterdir()) == []


def test_small_preset_has_about_a_hundred_photos():
    animals = plan_population(TurtleParameters.small())

    assert len(animals) == 11
    assert 80 <= sum(animal.n_photos for animal in animals) <= 120


def test_drawing_goes_on_here_when_workers_may_open_no_files(tiny, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        yield

    monkeypatch.setattr(synthetic, "FEWEST_PHOTOS_FOR_WORKERS", 0)
    monkeypatch.setattr(synthetic, "draw_in_workers", refuse)

    drawn = ensure_turtles(tmp_path / "few", TINY, progress=False, n_workers=2)

    assert files_of(drawn) == files_of(tiny)


def test_photos_that_a_worker_has_begun_are_drawn_again(tiny, tmp_path, monkeypatch):
    def break_off(folder, animals, parameters, n_workers):
        first = folder / synthetic.photo_path(animals[0], animals[0].encounters[0].photos[0])
        first.parent.mkdir(parents=True)
        first.write_bytes(b"half")
        raise synthetic.BrokenProcessPool
        yield

    monkeypatch.setattr(synthetic, "FEWEST_PHOTOS_FOR_WORKERS", 0)
    monkeypatch.setattr(synthetic, "draw_in_workers", break_off)

    drawn = ensure_turtles(tmp_path / "begun", TINY, progress=False, n_workers=2)

    assert files_of(drawn) == files_of(tiny)


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)

    with pytest.raises(InputError, match="No space left"):
        ensure_turtles(tmp_path / "turtles", TINY, progress=False, n_workers=1)

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_drawing_left_is_removed(tiny, tmp_path):
    left = [f"turtles.{files.MACHINE}-4194305-01234567.part{end}" for end in ("", "-old")]
    for name in left:
        (tmp_path / name / "photos").mkdir(parents=True)

    ensure_turtles(tmp_path / "turtles", TINY, progress=False)

    assert [path.name for path in tmp_path.iterdir()] == ["turtles"]


DRAW = """
import sys
from common.turtles import dataset
if __name__ == "__main__":
    dataset.FEWEST_PHOTOS_FOR_WORKERS = 0
    folder, large = dataset.Path(sys.argv[1]), dataset.TurtleParameters()
    dataset.ensure_turtles(folder, large, progress=False, n_workers=2)
"""


@pytest.mark.slow
def test_workers_end_with_a_killed_process(tmp_path):
    (tmp_path / "draw.py").write_text(DRAW)
    command = [sys.executable, str(tmp_path / "draw.py"), str(tmp_path / "turtles")]
    parent = psutil.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    wait_for(lambda: any(tmp_path.rglob("*.jpg")))
    workers = parent.children(recursive=True)

    parent.kill()
    parent.wait()

    assert len(workers) >= 2
    wait_for(lambda: all(has_ended(worker) for worker in workers))


def has_ended(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def wait_for(is_so, seconds=60):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)
