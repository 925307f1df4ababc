"""build_gallery.py and identify.py with a cascade beside the embedding, and without."""

import shutil

from common.gallery import local_matching
from common.gallery.enrolment import open_gallery
from common.matching.details import FOLDER

import numpy as np
import pytest
from PIL import Image
from quick_matchers import two_stages
from script_runs import load_main, refusal_of


@pytest.fixture(scope="module", autouse=True)
def quick():
    with two_stages():
        yield


def build(folder, *flags):
    return load_main("week3/build_gallery")(["--output_dir", str(folder), *map(str, flags)])


def identify(gallery, place, *flags):
    flags = ["--gallery", gallery, "--output_dir", place, *flags]
    return load_main("week3/identify")([str(flag) for flag in flags])


@pytest.fixture(scope="module")
def built(turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    network = ("--model", "small_cnn", "--weights", "none", "--image_size", "64")
    return build(folder, *network, "--data_dir", turtles), folder


@pytest.fixture
def gallery(built, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(built[1], tmp_path / "gallery")
    return tmp_path / "gallery"


@pytest.fixture(scope="module")
def photo(catalogue):
    return catalogue.paths()[0]


def test_what_local_matching_means_is_learned_when_a_gallery_is_built(built):
    result, folder = built
    assert any("local matching means" in note for note in result["notes"])
    assert {file.name.split("-")[0] for file in (folder / FOLDER).iterdir()} == {"colours"}


def test_the_cascade_answers_and_says_what_it_compared(built, photo, tmp_path):
    result = identify(built[1], tmp_path, photo)
    [answer] = result["metrics"]["answers"]
    assert any(note.startswith("Compared: by the embedding") for note in result["notes"])
    assert all(0 < each < 1 for each in answer["similarities"])
    assert answer["similarities"] == sorted(answer["similarities"], reverse=True)
    assert answer["probabilities"] == sorted(answer["probabilities"], reverse=True)
    assert (tmp_path / "details.png").is_file()


def test_photos_of_one_encounter_are_asked_together(built, catalogue, tmp_path):
    result = identify(built[1], tmp_path, *catalogue.paths()[:2], "--same_encounter")
    [answer] = result["metrics"]["answers"]
    assert answer["n_compared"][0] == 2


def test_no_time_leaves_the_embedding_and_a_note_says_so(built, photo, tmp_path):
    result = identify(built[1], tmp_path, photo, "--seconds_per_query", "0.001")
    assert any("suffices for the embedding alone" in note for note in result["notes"])
    [answer] = result["metrics"]["answers"]
    assert answer["similarities"][0] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "1e9"])
def test_a_time_that_is_none_is_refused(built, photo, capsys, seconds):
    flags = ["--gallery", built[1], photo, "--seconds_per_query", seconds]
    assert "--seconds_per_query" in refusal_of("week3/identify", capsys, *flags)


def test_damaged_details_are_named_in_one_line_and_the_embedding_answers(gallery, photo, tmp_path):
    file = next((gallery / FOLDER).iterdir())
    file.write_bytes(file.read_bytes()[:100])
    result = identify(gallery, tmp_path / "answers", photo)
    [note] = [note for note in result["notes"] if "The embedding answers alone" in note]
    assert file.name in note
    assert result["metrics"]["answers"][0]["similarities"][0] == pytest.approx(1, abs=1e-4)


def test_damaged_details_are_found_anew_when_the_photos_are_added_again(
    gallery, photo, turtles, tmp_path
):
    file = next((gallery / FOLDER).iterdir())
    file.write_bytes(file.read_bytes()[:100])
    build(gallery, "--add", "--data_dir", turtles)
    result = identify(gallery, tmp_path / "answers", photo)
    assert any(note.startswith("Compared: by the embedding") for note in result["notes"])


def test_what_is_added_is_compared_by_its_details_too_and_undone(gallery, photo, tmp_path):
    (tmp_path / "new" / "nemo").mkdir(parents=True)
    for i in range(2):
        noise = np.random.default_rng(i).integers(0, 255, (90, 120, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "new" / "nemo" / f"{i}.png")
    build(gallery, "--add", "--data_dir", tmp_path / "new")
    asked = tmp_path / "new" / "nemo" / "0.png"
    answer = identify(gallery, tmp_path / "answers", asked)["metrics"]["answers"][0]
    assert answer["identities"][0] == "nemo"
    build(gallery, "--undo")
    result = identify(gallery, tmp_path / "after", photo)
    assert any(note.startswith("Compared: by the embedding") for note in result["notes"])


def test_a_photo_that_is_forgotten_is_compared_no_more(gallery, photo, tmp_path):
    build(gallery, "--forget", photo)
    result = identify(gallery, tmp_path / "answers", photo)
    assert any(note.startswith("Compared: by the embedding") for note in result["notes"])
    assert "itself is in the gallery" not in " ".join(result["notes"])


def test_without_matchers_a_gallery_is_built_and_asked_as_before(
    turtles, photo, tmp_path, monkeypatch
):
    from common.matching import networks

    monkeypatch.setitem(networks.WEIGHTS, "xfeat", ("no_such_package", "weights.pt"))
    monkeypatch.setattr(local_matching, "CASCADE", ("xfeat",))
    local_matching.installed.cache_clear()
    result = build(tmp_path / "gallery", "--smoke", "--data_dir", turtles)
    [note] = [note for note in result["notes"] if "pip install" in note]
    assert note.startswith("Photos' details are not compared")
    assert not open_gallery(tmp_path / "gallery").about["details"]
    answers = identify(tmp_path / "gallery", tmp_path / "answers", photo)["metrics"]["answers"]
    assert answers[0]["similarities"][0] == pytest.approx(1, abs=1e-4)
    local_matching.installed.cache_clear()
