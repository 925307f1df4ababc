"""Who is this: ranked, probable, known or new at the stated rate, and a sheet for the field."""

import json
import re
import shutil
from types import SimpleNamespace

from common.data.catalogue import load_catalogue
from common.data.exif import time_taken
from common.ending import run_script
from common.errors import InputError
from common.gallery.embedding import validation_scores
from common.gallery.enrolment import open_gallery
from common.models.storage import read_description
from common.words import counted

import numpy as np
import pytest
from PIL import Image
from script_runs import help_of, load_main, load_script, refusal_of, run_elsewhere

SCRIPT = "week3/identify"
side_of = load_script(SCRIPT).side_of


def identify(*flags):
    return load_main(SCRIPT)([str(flag) for flag in flags])


@pytest.fixture(scope="module")
def trained(turtles, tmp_path_factory):
    """An embedding that metric_learning.py stored."""
    folder = tmp_path_factory.mktemp("trained")
    load_main("week3/metric_learning")(
        ["--smoke", "--model", "small_cnn", "--unfreeze", "1", "--batch_size", "12",
         "--data_dir", str(turtles), "--output_dir", str(folder)]
    )  # fmt: skip
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def gallery(turtles, trained, tmp_path_factory):
    """Built with it, of all turtles."""
    folder = tmp_path_factory.mktemp("gallery")
    load_main("week3/build_gallery")(
        ["--trained", str(trained), "--data_dir", str(turtles), "--output_dir", str(folder)]
    )
    return folder


@pytest.fixture(scope="module")
def photos(turtles):
    return load_catalogue(turtles).paths()


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smoke")
    return identify("--smoke", "--output_dir", folder), folder


def test_a_smoke_run_returns_what_it_stores(smoke):
    result, folder = smoke

    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result
    assert {"candidates.png", "sheet.html", "report.html"} <= {
        path.name for path in folder.iterdir()
    }


def test_every_photo_gets_a_verdict_by_the_threshold(smoke):
    result = smoke[0]

    threshold = result["metrics"]["meaning"]["value"]
    for row in result["tables"]["Verdicts"]:
        assert row["known from"] == threshold
        assert row["verdict"].startswith("known") == (row["similarity"] >= threshold)
    assert len(result["tables"]["Verdicts"]) == 3


def test_how_far_answers_can_be_trusted_stands_above_them(smoke):
    result, folder = smoke

    assert result["summary"].startswith("Of 100 photos of animals that it knows, about ")
    for page in ("sheet.html", "report.html"):
        text = (folder / page).read_text(encoding="utf-8")
        assert 0 < text.index("Of 100 photos") < text.index("similarity")


def test_a_photo_of_the_gallery_is_found_and_its_likeness_is_called_no_proof(
    gallery, photos, tmp_path
):
    result = identify(photos[0], "--gallery", gallery, "--output_dir", tmp_path)

    [answer] = result["metrics"]["answers"]
    assert answer["identities"][0] == photos[0].parent.name
    assert answer["similarities"][0] == pytest.approx(1, abs=1e-5)
    assert any("itself is in the gallery" in remark for remark in answer["remarks"])


def test_the_table_is_what_a_naive_search_finds(gallery, photos, tmp_path):
    result = identify(photos[5], "--gallery", gallery, "--output_dir", tmp_path, "--k", "3")

    known = open_gallery(gallery)
    embeddings, names = known.embeddings_at(np.arange(len(known))), known.facts["identity"]
    likeness = embeddings @ embeddings[5]
    best = {name: likeness[names == name].max() for name in set(names)}
    expected = sorted(best, key=best.get, reverse=True)[:3]
    assert [row["animal"] for row in result["tables"]["Candidates"]] == expected
    assert [row["similarity"] for row in result["tables"]["Candidates"]] == pytest.approx(
        [float(best[name]) for name in expected], abs=1e-4
    )


def test_with_a_side_only_that_side_is_compared(gallery, photos, tmp_path):
    result = identify(
        photos[0], "--gallery", gallery, "--side", "right", "--k", "50", "--output_dir", tmp_path
    )

    [answer] = result["metrics"]["answers"]
    facts = open_gallery(gallery).facts
    of_side = set(facts["identity"][facts["side"] == "right"])
    assert set(answer["identities"]) == of_side
    assert all(text.startswith("right") for text in answer["seen"])
    missing = set(facts["identity"]) - of_side
    assert any(
        f"{counted(len(missing), 'animal')} not judged" in each for each in answer["remarks"]
    ) == bool(missing)


def test_photos_of_one_encounter_get_one_answer_with_its_own_threshold(gallery, photos, tmp_path):
    flags = [*photos[:3], "--gallery", gallery, "--output_dir", tmp_path, "--k", "50"]

    apart, together = identify(*flags), identify(*flags, "--same_encounter")

    assert len(apart["metrics"]["answers"]) == 3
    [answer] = together["metrics"]["answers"]
    single = [dict(zip(each["identities"], each["similarities"], strict=True))
              for each in apart["metrics"]["answers"]]  # fmt: skip
    expected = {name: np.mean([each[name] for each in single]) for name in single[0]}
    found = dict(zip(answer["identities"], answer["similarities"], strict=True))
    assert found == pytest.approx(expected, abs=1e-6)
    assert apart["metrics"]["meaning"]["kind"] == "photo"
    assert together["metrics"]["meaning"]["kind"] == "encounter"


@pytest.mark.parametrize(
    ("later", "is_told"), [("2024:06:01 00:10:00", False), ("2026:06:01", True)]
)
def test_photos_of_several_years_are_no_encounter_unsaid(later, is_told, gallery, photos, tmp_path):
    for name, taken in {"a.jpg": "2024:05:31 23:50:00", "b.jpg": later}.items():
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = taken
        Image.open(photos[0]).save(tmp_path / name, exif=exif)
    flags = tmp_path / "a.jpg", tmp_path / "b.jpg", "--gallery", gallery, "--same_encounter"

    notes = identify(*flags, "--output_dir", tmp_path / "out")["notes"]

    assert any("of 2024-05-31 to 2026-06-01" in note for note in notes) == is_told


def test_the_threshold_keeps_to_the_stated_rate_on_validation(gallery, photos, tmp_path):
    scores = validation_scores(open_gallery(gallery)).photos
    new = [each[0] for each, known in zip(scores.similarities, scores.is_known, strict=True)
           if not known]  # fmt: skip

    for rate in (0.05, 0.5):
        result = identify(photos[0], "--gallery", gallery, "--output_dir", tmp_path,
                          "--false_match_rate", rate)  # fmt: skip
        threshold = result["metrics"]["meaning"]["value"]
        assert np.mean(np.array(new) >= threshold) <= rate


def test_the_gallery_means_what_the_models_validation_photos_say(gallery, trained):
    stored = read_description(trained)["scores"]

    assert validation_scores(open_gallery(gallery)).to_dict() == stored
    assert "validation photos" in stored["source"]


def test_a_folder_of_photos_is_asked_photo_by_photo(gallery, turtles, tmp_path):
    folder = turtles / "photos" / "t003"

    result = identify(folder, "--gallery", gallery, "--output_dir", tmp_path)

    assert [each["photos"] for each in result["metrics"]["answers"]] == [
        [str(path)] for path in sorted(folder.iterdir())
    ]


def test_the_sheet_holds_every_question_and_candidate(smoke):
    result, folder = smoke
    page = (folder / "sheet.html").read_text(encoding="utf-8")

    n_candidates = sum(len(each["identities"]) for each in result["metrics"]["answers"])
    assert page.count("<section") == 3
    assert page.count("data:image/jpeg") == 3 + n_candidates


def test_the_right_network_may_be_named_and_another_is_refused_by_name(
    gallery, trained, photos, smoke, tmp_path, capsys
):
    identify(photos[0], "--gallery", gallery, "--output_dir", tmp_path, "--trained", trained)
    other = next((smoke[1] / "gallery_to_try").glob("model-*.safetensors"))

    line = refused(
        capsys, photos[0], "--gallery", gallery, "--trained", other, "--output_dir", tmp_path
    )

    assert "small_cnn at 64 pixels, untrained" in line
    assert "small_cnn at 64 pixels, trained on a catalogue of 11 animals" in line


def refused(capsys, *flags):
    return refusal_of(SCRIPT, capsys, *flags)


FLAGS = [
    ([], "PHOTO"),
    ([".", "--gallery", ".", "--output_dir", "answers"], "or lies in it"),
    ([".", "--gallery", "g", "--output_dir", "./g"], "is the gallery"),
    (["nowhere.jpg"], "nowhere.jpg"),
    (["--false_match_rate", "0"], "--false_match_rate"),
    (["--false_match_rate", "5"], "--false_match_rate"),
    (["--false_match_rate", "few"], "--false_match_rate"),
    (["--k", "0"], "--k"),
    (["--trained", "nowhere.safetensors"], "--trained"),
]


@pytest.mark.parametrize(("flags", "words"), FLAGS)
def test_an_absurd_flag_is_named(flags, words, capsys):
    assert words in refused(capsys, *flags)


def test_a_missing_gallery_is_named_with_how_to_build_one(photos, tmp_path, capsys):
    line = refused(capsys, photos[0], "--gallery", tmp_path / "none", "--output_dir", tmp_path)

    assert "holds no gallery, expected one; build it with python week3/build_gallery.py" in line


@pytest.mark.parametrize("part", ["facts", "recent", "model"])
def test_a_damaged_gallery_is_refused(part, smoke, photos, tmp_path, capsys):
    damaged = shutil.copytree(smoke[1] / "gallery_to_try", tmp_path / "gallery")
    file = next(damaged.glob(f"{part}-*"))
    file.write_bytes(file.read_bytes()[:-8] + b"8 wrong.")

    line = refused(capsys, photos[0], "--gallery", damaged, "--output_dir", tmp_path)

    assert "is no whole gallery" in line


def test_a_gallery_without_its_pictures_is_named(smoke, photos, tmp_path, capsys):
    cut = shutil.copytree(smoke[1] / "gallery_to_try", tmp_path / "gallery")
    shutil.rmtree(cut / "pictures")

    line = refused(capsys, photos[0], "--gallery", cut, "--output_dir", tmp_path)

    assert "copy the whole folder" in line


def test_a_gallery_that_lacks_its_network_is_named(photos, tmp_path, capsys):
    from common.gallery.gallery import Gallery

    bare = Gallery(2)
    bare.enrol(np.eye(2, dtype=np.float32), ["a", "b"])
    bare.save(tmp_path / "gallery")

    line = refused(capsys, photos[0], "--gallery", tmp_path / "gallery", "--output_dir", tmp_path)

    assert "without its network" in line


def test_a_photo_that_cannot_be_read_is_named(smoke, tmp_path, capsys):
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8 cut off")

    line = refused(
        capsys,
        tmp_path / "cut.jpg",
        "--gallery",
        smoke[1] / "gallery_to_try",
        "--output_dir",
        tmp_path / "run",
    )

    assert "cut.jpg: cannot be read as a photo" in line


def test_a_folder_without_photos_is_named(smoke, tmp_path, capsys):
    (tmp_path / "empty").mkdir()

    line = refused(
        capsys,
        tmp_path / "empty",
        "--gallery",
        smoke[1] / "gallery_to_try",
        "--output_dir",
        tmp_path / "run",
    )

    assert "no photo in this folder" in line


def test_where_no_animal_was_seen_twice_nothing_can_be_said(tmp_path, capsys):
    for i, name in enumerate(["anna", "berta", "carla"]):
        (tmp_path / "data" / name).mkdir(parents=True)
        noise = np.random.default_rng(i).integers(0, 255, (60, 60, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "data" / name / "a.png")
    load_main("week3/build_gallery")(
        ["--smoke", "--data_dir", str(tmp_path / "data"), "--output_dir", str(tmp_path / "g")]
    )

    line = refused(
        capsys,
        tmp_path / "data" / "anna",
        "--gallery",
        tmp_path / "g",
        "--output_dir",
        tmp_path / "run",
    )

    assert "photos of several encounters per animal" in line


@pytest.mark.slow
def test_the_script_runs_from_any_folder(tmp_path):
    ending = run_elsewhere(SCRIPT, tmp_path, "--smoke")

    assert ending.returncode == 0, ending.stderr
    assert "Verdicts" in ending.stdout
    assert (tmp_path / "runs" / "identify_smoke" / "sheet.html").exists()


def test_help_shows_the_flags(capsys):
    assert "--false_match_rate" in help_of(SCRIPT, capsys)


def data_of(sheet):
    [text] = re.findall(
        r'id="data" data-key="[0-9a-f]+">(.*?)</script>', sheet.read_text(encoding="utf-8")
    )
    return json.loads(text)


def test_a_sheet_is_never_replaced(gallery, photos, tmp_path):
    first = identify(photos[0], "--gallery", gallery, "--output_dir", tmp_path)
    sheet = (tmp_path / "sheet.html").read_bytes()

    again = identify(photos[1], "--gallery", gallery, "--output_dir", tmp_path)
    identify(photos[2], "--gallery", gallery, "--output_dir", tmp_path)

    assert (tmp_path / "sheet.html").read_bytes() == sheet
    assert not any("not replaced" in note for note in first["notes"])
    assert any("sheet_2.html; sheet.html exists" in note for note in again["notes"])
    assert data_of(tmp_path / "sheet_3.html")[0]["photos"] == [photos[2].name]


def test_a_sheet_that_a_person_has_saved_with_answers_stays(gallery, photos, tmp_path, capsys):
    identify(photos[0], "--gallery", gallery, "--output_dir", tmp_path)
    (tmp_path / "sheet.html").write_text("with my answers")

    line = refused(capsys, photos[1], "--gallery", gallery, "--output_dir", tmp_path)

    assert "sheet.html" in line
    assert (tmp_path / "sheet.html").read_text() == "with my answers"


def test_decisions_have_paths_from_the_photos_folder_and_their_time(gallery, photos, tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2024:05:31 10:00:00"
    (tmp_path / "season" / "east").mkdir(parents=True)
    Image.open(photos[0]).save(tmp_path / "season" / "east" / "dated.jpg", exif=exif)
    shutil.copy(photos[1], tmp_path / "season" / "undated.jpg")

    identify(tmp_path / "season", "--gallery", gallery, "--output_dir", tmp_path / "run")

    dated, undated = data_of(tmp_path / "run" / "sheet.html")
    assert (dated["photos"], dated["dates"]) == (["east/dated.jpg"], ["2024-05-31T10:00:00"])
    assert (undated["photos"], undated["dates"]) == (["undated.jpg"], [""])
    assert undated["encounter"].startswith("identified 20")
    page = (tmp_path / "run" / "sheet.html").read_text(encoding="utf-8")
    assert f"<b>{tmp_path / 'season'}</b>" in page


@pytest.mark.parametrize("taken", ["0000:00:00 00:00:00", "yesterday", "2024:13:01", b"\xff", 7])
def test_an_odd_day_is_no_day(tmp_path, taken):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = taken
    Image.new("RGB", (20, 20)).save(tmp_path / "a.jpg", exif=exif)

    assert time_taken(tmp_path / "a.jpg") == ""


def test_an_interrupted_run_claims_nothing(gallery, photos, tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ending:
        run_script(interrupt, "no sheet was written")

    assert ending.value.code == 130
    assert capsys.readouterr().err == "stopped: no sheet was written\n"


def test_a_picture_that_a_gallery_has_elsewhere_is_not_shown(smoke, photos, tmp_path, capsys):
    hostile = shutil.copytree(smoke[1] / "gallery_to_try", tmp_path / "gallery")
    for picture in hostile.rglob("*.jpg"):
        picture.unlink()
        picture.symlink_to(photos[0])

    line = refused(capsys, photos[0], "--gallery", hostile, "--output_dir", tmp_path / "run")

    assert "is missing, or a link" in line


def test_decisions_that_a_browser_saved_beside_its_page_stay_and_block_nothing(
    gallery, photos, tmp_path
):
    identify(photos[0], "--gallery", gallery, "--output_dir", tmp_path)
    names = "decisions.csv", "decisions (1).csv", "decisions.xlsx"
    for name in names:
        (tmp_path / name).write_text("mine")

    identify(photos[1], "--gallery", gallery, "--output_dir", tmp_path)

    assert [(tmp_path / name).read_text() for name in names] == ["mine"] * 3
    assert (tmp_path / "sheet_2.html").exists()


@pytest.mark.parametrize("word", ["links", "L", "gauche", "LEFT"])
def test_a_side_is_understood_as_in_a_table(word):
    gallery = SimpleNamespace(facts={"side": np.array(["left", "right", ""])})

    assert side_of(word, gallery) == ("left", [])


def test_that_a_gallery_has_no_sides_is_said():
    gallery = SimpleNamespace(facts={"side": np.array([""])})

    with pytest.raises(InputError, match="--side top: which side a photo of the gallery shows is"):
        side_of("top", gallery)
    side, (note,) = side_of("Rechts", gallery)

    assert side == "right"
    assert note.startswith("--side Rechts leaves out no animal: which side a photo of the gallery")
    assert side_of(None, gallery) == ("", [])
