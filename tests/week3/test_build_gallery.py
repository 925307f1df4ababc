"""Photos in, gallery out; animals come, go and are renamed without a look at any other photo."""

import csv
import json
import shutil

from common.gallery.embedding import validation_scores
from common.gallery.enrolment import open_gallery
from common.gallery.files import N_FORMER

import numpy as np
import pytest
from PIL import Image
from script_runs import help_of, load_main, refusal_of, run_elsewhere

SCRIPT = "week3/build_gallery"


def build(folder, *flags):
    return load_main(SCRIPT)(["--smoke", "--output_dir", str(folder), *map(str, flags)])


@pytest.fixture(scope="module")
def built(turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    return build(folder, "--data_dir", turtles), folder


@pytest.fixture
def gallery(built, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(built[1], tmp_path / "gallery")
    return tmp_path / "gallery"


@pytest.fixture
def embedded(monkeypatch):
    """The photos that are embedded from now on."""
    from common.gallery import enrolment

    seen, embed = [], enrolment.embed

    def embed_and_tell(model, photos, **options):
        seen.extend(photos)
        return embed(model, photos, **options)

    monkeypatch.setattr(enrolment, "embed", embed_and_tell)
    return seen


def animal_folder(folder, name="nemo", n_photos=3):
    """Photos of one animal that nobody knows."""
    (folder / name).mkdir(parents=True)
    for i in range(n_photos):
        noise = np.random.default_rng(i).integers(0, 255, (90, 120, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name / f"{i}.png")
    return folder


def test_a_smoke_run_returns_what_it_stores(built):
    result, folder = built

    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result


def test_every_photo_of_the_catalogue_is_enrolled_with_what_is_known_of_it(built, catalogue):
    gallery, table = open_gallery(built[1]), catalogue.table

    assert gallery.identities == catalogue.identities
    for fact, column in (("identity", "identity"), ("side", "orientation"), ("path", "path"),
                         ("encounter", "encounter")):  # fmt: skip
        assert gallery.facts[fact].tolist() == table[column].tolist()
    assert gallery.facts["date"].tolist() == table["date"].dt.strftime("%Y-%m-%d").tolist()


def test_the_folder_alone_is_enough(built, tmp_path, turtles):
    """Moved elsewhere, it has its network and its pictures, and embeds as it did."""
    from common.data.catalogue import load_catalogue
    from common.gallery.embedding import embed
    from common.gallery.pictures import picture_path
    from common.models.storage import load_recogniser

    moved = shutil.copytree(built[1], tmp_path / "elsewhere")
    gallery = open_gallery(moved)
    network, _ = load_recogniser(gallery.model)

    photos = load_catalogue(turtles).paths()[:8]
    similarity, rows = gallery.search(embed(network, photos, device="cpu"), k=1)
    assert rows[:, 0].tolist() == list(range(8))
    np.testing.assert_allclose(similarity[:, 0], 1, atol=1e-5)
    for name in gallery.facts["picture"]:
        with Image.open(picture_path(moved, name)) as picture:
            assert max(picture.size) <= 256


def test_features_are_centred_so_that_strangers_are_not_all_alike(built):
    gallery = open_gallery(built[1])
    embeddings = gallery.embeddings_at(np.arange(len(gallery)))

    assert abs((embeddings @ embeddings.T).mean()) < 0.1


@pytest.mark.parametrize("index", ["hnsw", "auto"])
def test_an_index_says_what_it_finds(gallery, index, embedded):
    result = build(gallery, "--index", index)

    [row] = result["tables"]["The gallery"]
    assert row["index"] == ("hnsw" if index == "hnsw" else "flat")
    assert ("missed by the index" in row) == (index == "hnsw")
    assert 0 <= row.get("missed by the index", 0) < 0.1
    assert embedded == []


def test_an_animal_joins_and_only_its_photos_are_embedded(gallery, embedded, tmp_path):
    before = open_gallery(gallery)

    result = build(gallery, "--add", "--data_dir", animal_folder(tmp_path / "new"))

    after = open_gallery(gallery)
    assert after.identities == sorted([*before.identities, "nemo"])
    assert len(after) == len(before) + 3
    assert {photo.parent.name for photo in embedded} == {"nemo"}
    [joined] = result["tables"]["Enrolled"]
    assert (joined["photos"], joined["animals"]) == (3, 1)
    assert joined["seconds"] > 0


def test_what_joined_twice_is_there_once(gallery, embedded, tmp_path):
    photos = animal_folder(tmp_path / "new")
    build(gallery, "--add", "--data_dir", photos)
    n_photos, n_embedded = len(open_gallery(gallery)), len(embedded)

    result = build(gallery, "--add", "--data_dir", photos)

    assert len(open_gallery(gallery)) == n_photos
    assert len(embedded) == n_embedded
    assert result["tables"]["Enrolled"][0]["there already"] == 3


def test_a_removed_animal_is_forgotten_with_its_pictures(gallery, embedded):
    before = open_gallery(gallery)
    own = set(before.facts["picture"][before.facts["identity"] == "t002"])

    build(gallery, "--remove", "t002")

    after = open_gallery(gallery)
    assert "t002" not in after.identities
    assert len(after) == len(before) - len(own)
    assert embedded == []
    for n in range(N_FORMER):  # as long as --undo can bring it back, its pictures stay
        assert own <= {path.stem for path in gallery.rglob("*.jpg")}
        build(gallery, "--rename", "t001" if n == 0 else f"name {n - 1}", f"name {n}")
    assert len(list(gallery.rglob("*.jpg"))) == len(after)


def test_an_animal_is_renamed_and_two_are_joined_only_when_asked(gallery, embedded, capsys):
    build(gallery, "--rename", "t001", "Anna")
    assert "Anna" in open_gallery(gallery).identities

    line = refused(capsys, "--output_dir", gallery, "--rename", "t002", "Anna")
    assert "Anna is the name of another animal" in line

    n_photos = len(open_gallery(gallery))
    build(gallery, "--rename", "t002", "Anna", "--join")
    assert "t002" not in open_gallery(gallery).identities
    assert len(open_gallery(gallery)) == n_photos
    assert embedded == []


def test_the_gallerys_own_animals_say_what_a_similarity_means(gallery):
    before = validation_scores(open_gallery(gallery))
    build(gallery, "--remove", "t002")
    after = validation_scores(open_gallery(gallery))

    n_known = sum(before.photos.is_known)
    assert 0 < n_known < len(before.photos)
    assert len(set(before.photos.animal)) - len(set(after.photos.animal)) == 1
    assert len(before.encounters) > 5


def test_a_sheets_decisions_are_a_catalogue_that_can_join(gallery, tmp_path):
    photos = sorted(animal_folder(tmp_path / "new", n_photos=2).rglob("*.png"))
    with open(tmp_path / "decisions.csv", "w", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "identity", "orientation", "encounter", "decision"])
        rows.writerow([photos[0], "t001", "left", "2026 question 1", "confirmed"])
        rows.writerow([photos[1], "", "left", "2026 question 2", "cannot be told"])

    build(gallery, "--add", "--data_dir", tmp_path / "decisions.csv")

    facts = open_gallery(gallery).facts
    assert (facts["identity"][-1], facts["side"][-1]) == ("t001", "left")
    assert str(photos[1]) not in facts["path"]


def refused(capsys, *flags):
    return refusal_of(SCRIPT, capsys, *flags)


FLAGS = [
    (["--add"], "--data_dir"),
    (["--join"], "--rename OLD NEW"),
    (["--rename", "t001"], "--rename"),
    (["--add", "--remove", "t001"], "found beside --add"),
    (["--trained", "nowhere.safetensors"], "--trained"),
    (["--index", "annoy"], "--index"),
    (["--recall", "1.5"], "--recall"),
    (["--recall", "0"], "--recall"),
    (["--data_dir", "nowhere"], "--data_dir"),
]


@pytest.mark.parametrize(("flags", "words"), FLAGS)
def test_an_absurd_flag_is_named(flags, words, capsys):
    assert words in refused(capsys, *flags)


CHANGES = [
    (["--remove", "t0O1"], "named t0O1; near it: t0"),
    (["--rename", "nobody", "somebody"], "no animal of this gallery is named nobody"),
    (["--rename", "t001", "t002"], "--join"),
    (["--rename", "t001", " "], "--rename"),
    (["--model", "small_cnn", "--add", "--data_dir", "."], "brings its own network"),
    ([], "--replace builds it anew"),
    (["--data_dir", ".", "--index", "hnsw"], "--replace builds it anew"),
]


@pytest.mark.parametrize(("flags", "words"), CHANGES)
def test_a_change_that_cannot_be_made_is_named_and_leaves_the_gallery(flags, words, built, capsys):
    before = sorted(path.name for path in built[1].iterdir())

    assert words in refused(capsys, "--output_dir", built[1], *flags)
    assert sorted(path.name for path in built[1].iterdir()) == before


def test_a_photo_of_another_name_is_named(gallery, turtles, tmp_path, capsys):
    photo = next((turtles / "photos" / "t001").iterdir())
    (tmp_path / "new" / "somebody").mkdir(parents=True)
    shutil.copy(photo, tmp_path / "new" / "somebody")

    line = refused(capsys, "--output_dir", gallery, "--add", "--data_dir", tmp_path / "new")

    assert "is in the gallery as t001" in line


def test_without_a_trained_embedding_the_line_says_how_to_get_one(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    line = refused(capsys, "--output_dir", tmp_path / "gallery")

    assert "python week3/metric_learning.py" in line
    assert "--model" in line
    assert not (tmp_path / "gallery").exists()


@pytest.mark.parametrize("change", [["--remove", "t001"], ["--rename", "t001", "Anna"]])
def test_where_there_is_no_gallery_the_line_says_so(change, tmp_path, capsys):
    line = refused(capsys, "--output_dir", tmp_path / "none", *change)

    assert "holds no gallery" in line


def test_a_damaged_gallery_is_not_changed(gallery, capsys):
    facts = next(gallery.glob("facts-*.json"))
    facts.write_text(facts.read_text(encoding="utf-8")[:-20], encoding="utf-8")

    line = refused(capsys, "--output_dir", gallery, "--remove", "t001")

    assert "is no whole gallery" in line


def test_a_classifier_is_refused(tmp_path, turtles, capsys):
    from common.models.backbones import load_backbone
    from common.models.heads import Recogniser, linear_classifier
    from common.models.storage import save_recogniser

    model = Recogniser(load_backbone("small_cnn", image_size=32), linear_classifier(256, 2))
    path = save_recogniser(model, tmp_path / "model.safetensors", ["a", "b"])

    line = refused(
        capsys, "--trained", path, "--data_dir", turtles, "--output_dir", tmp_path / "gallery"
    )

    assert "is a classifier" in line


@pytest.mark.slow
def test_the_script_runs_from_any_folder(turtles, tmp_path):
    ending = run_elsewhere(SCRIPT, tmp_path, "--smoke", "--data_dir", str(turtles))

    assert ending.returncode == 0, ending.stderr
    assert "Of 100 photos of animals that it knows" in ending.stdout
    assert (tmp_path / "runs" / "gallery_smoke" / "gallery.json").exists()


def test_help_shows_the_flags(capsys):
    assert "--rename OLD NEW" in help_of(SCRIPT, capsys)
