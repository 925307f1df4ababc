"""Whatever a field of a stored gallery or model is changed to: one line, and nothing is written."""

import contextlib
import copy
import json
import shutil

from common.ending import run_script
from common.errors import InputError
from common.gallery.enrolment import open_gallery
from common.gallery.files import DESCRIPTION, former_pictures
from common.gallery.scores import ValidationScores
from common.gallery.verdicts import meaning_of
from common.models.backbones import load_backbone
from common.models.heads import EmbeddingHead, Recogniser
from common.models.storage import save_recogniser

import numpy as np
import pytest
import torch
from PIL import Image
from script_runs import load_main

BUILD, IDENTIFY = "week3/build_gallery", "week3/identify"
ODD = (None, [], {}, "x", -1, 7, 1e300, True, [None], [[]], ["x"], {"x": 1})
ASKED = {"similarities": [[0.9, 0.2], [0.3], [0.1]], "right_place": [0, -1, -1]}
ASKED |= {"animal": [0, 1, 2], "is_known": [True, False, False]}
SCORES = {"photos": ASKED, "encounters": ASKED, "source": "3 photos"}
SCORES |= {"chance": 0.2, "untrained_place": [-1, 0, 1]}


def fields(value, way=()):
    """The way to each field of nested dictionaries and lists, of a list's entries the first."""
    if way:
        yield way
    entries = value.items() if isinstance(value, dict) else ()
    for key, each in enumerate(value[:1]) if isinstance(value, list) else entries:
        yield from fields(each, (*way, key))


def mutants(value):
    """Copies of a value with one field of another kind, and with one field left out."""
    for *way, last in fields(value):
        for odd in (*ODD, "left out"):
            changed = copy.deepcopy(value)
            place = changed
            for key in way:
                place = place[key]
            if odd == "left out":
                del place[last]
            else:
                place[last] = odd
            if changed != value:
                yield changed


def ending_of(script, *flags):
    """Exit code of a script; a traceback fails the test."""
    try:
        run_script(lambda: load_main(script)([str(flag) for flag in flags]))
    except SystemExit as ending:
        return ending.code
    return 0


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Photos of four animals, an embedding with scores, and a gallery that was changed once."""
    folder = tmp_path_factory.mktemp("place")
    for i, name in enumerate(["anna", "berta", "carla", "dora"] * 2):
        noise = np.random.default_rng(i).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        (folder / "photos" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).save(folder / "photos" / name / f"{i}.png")
    torch.manual_seed(0)
    network = Recogniser(load_backbone("small_cnn", image_size=32), EmbeddingHead(256))
    save_recogniser(network, folder / "model.safetensors", ["anna"], SCORES)
    build = ("--output_dir", folder / "gallery", "--data_dir", folder / "photos")
    assert ending_of(BUILD, *build, "--trained", folder / "model.safetensors") == 0
    assert ending_of(BUILD, "--output_dir", folder / "gallery", "--rename", "anna", "eva") == 0
    return folder


@pytest.mark.parametrize("kind", ["photo", "encounter"])
def test_scores_with_a_damaged_field_are_refused_or_can_be_used(kind):
    n_refused = 0
    for scores in mutants(SCORES):
        try:
            read = ValidationScores.from_dict(json.loads(json.dumps(scores)))
        except InputError:
            n_refused += 1
            continue
        with contextlib.suppress(InputError):  # no question about a new animal, said in one line
            meaning_of(read, kind, 0.01, 0.05)
    assert n_refused > 200


@pytest.mark.parametrize(
    "change",
    [{"similarities": None}, {"similarities": [[], [], []]}, {"right_place": [0]}, {"animal": "x"}],
    ids=str,
)
def test_damaged_scores_of_a_model_are_refused_before_a_gallery_is_touched(change, place, tmp_path):
    torch.manual_seed(0)
    network = Recogniser(load_backbone("small_cnn", image_size=32), EmbeddingHead(256))
    gallery = shutil.copytree(place / "gallery", tmp_path / "gallery")
    before = {path: each for path, each in contents(gallery).items() if "written" not in path.name}
    replace = ("--output_dir", gallery, "--data_dir", place / "photos", "--replace", "--trained")

    scores = SCORES | {"photos": ASKED | change}
    save_recogniser(network, tmp_path / "odd.safetensors", ["anna"], scores)

    assert ending_of(BUILD, *replace, tmp_path / "odd.safetensors") == 2
    after = contents(gallery)
    assert before == {path: after[path] for path in before}


def test_a_damaged_description_of_a_gallery_is_refused_or_can_be_used(place, tmp_path):
    gallery = shutil.copytree(place / "gallery", tmp_path / "gallery")
    described = json.loads((gallery / DESCRIPTION).read_text())
    n_refused = 0
    for changed in list(mutants(described))[::7]:
        (gallery / DESCRIPTION).write_text(json.dumps(changed))
        try:
            open_gallery(gallery)
            former_pictures(gallery)
        except InputError:
            n_refused += 1
    assert n_refused > 20


@pytest.mark.parametrize("damage", [{"files": 7}, {"logged": "x"}, {"about": None}], ids=str)
def test_a_script_ends_in_one_line_over_a_damaged_description(damage, place, tmp_path):
    gallery = shutil.copytree(place / "gallery", tmp_path / "gallery")
    described = json.loads((gallery / DESCRIPTION).read_text())
    (gallery / DESCRIPTION).write_text(json.dumps(described | damage))

    for flags in (["--list"], ["--undo"]):
        assert ending_of(BUILD, "--output_dir", gallery, *flags) == 2
    flags = ("--gallery", gallery, "--output_dir", tmp_path / "run")
    assert ending_of(IDENTIFY, next((place / "photos").rglob("*.png")), *flags) == 2
