"""The gallery: every index finds what an exact search finds, and a folder is whole or refused."""

import importlib
import json
import shutil

import numpy as np
import pytest

from common.errors import InputError
from common.evaluation.gallery import Gallery
from common.evaluation.gallery_index import FLAT_UP_TO, build_index, find_nearest

KINDS = ("flat", "hnsw", "ivfpq")


def photos_of(n_animals, seed=0, n_each=4, dim=32):
    """Unit embeddings, those of one animal side by side and alike; their identities."""
    generator = np.random.default_rng(seed)
    animals = np.repeat(generator.standard_normal((n_animals, dim)), n_each, axis=0)
    photos = animals + 0.5 * generator.standard_normal(animals.shape)
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    return photos.astype(np.float32), [f"t{i // n_each}" for i in range(len(photos))]


def gallery_of(photos, identities, kind=None):
    gallery = Gallery(photos.shape[1])
    gallery.enrol(photos, identities)
    if kind:
        gallery.build(kind, progress=False)
    return gallery


@pytest.fixture(scope="module")
def herd():
    return photos_of(600)


@pytest.fixture(scope="module")
def built(herd):
    return {kind: gallery_of(*herd, kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_finds_what_an_exact_search_finds(built, herd, kind):
    queries, _ = photos_of(600, seed=1)
    exact_similarity, exact_rows = gallery_of(*herd).search(queries, k=3)

    similarity, rows = built[kind].search(queries, k=3)

    assert np.mean(rows[:, 0] == exact_rows[:, 0]) >= 0.97  # 0.995 was wanted, on other queries
    np.testing.assert_allclose(similarity[:, 0].mean(), exact_similarity[:, 0].mean(), atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_similarities_are_exact_whatever_the_index(built, herd, kind):
    queries, _ = photos_of(20, seed=2)

    similarity, rows = built[kind].search(queries, k=5)

    expected = np.einsum("qd,qkd->qk", queries, herd[0][rows])
    np.testing.assert_allclose(similarity, expected, atol=1e-6)
    assert (np.diff(similarity, axis=1) <= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_tells_the_recall(built, kind):
    report = built[kind].report

    assert (report.kind, report.n_photos) == (kind, 2400)
    assert 0.995 <= report.recall_at_1 <= 1


def test_more_recall_takes_more_effort(herd):
    low = gallery_of(*herd).build("ivfpq", recall=0.3, progress=False)
    high = gallery_of(*herd).build("ivfpq", recall=1.0, progress=False)

    assert low.effort < high.effort
    assert low.recall_at_1 < high.recall_at_1


@pytest.mark.parametrize("kind", KINDS)
def test_photos_enrolled_after_building_are_found(herd, kind):
    gallery = gallery_of(*herd, kind)
    late, _ = photos_of(1, seed=5)

    gallery.enrol(late, ["newcomer"] * len(late))
    similarity, rows = gallery.search(late, k=4)

    assert gallery.identify(late)[0].tolist() == ["newcomer"] * 4
    assert sorted(rows[0]) == [2400, 2401, 2402, 2403]
    np.testing.assert_allclose(similarity[:, 0], 1, atol=1e-6)


def test_the_best_of_the_shards_is_the_answer_of_the_whole(herd):
    photos, names = herd
    queries, _ = photos_of(50, seed=1)
    shards = [gallery_of(photos[i : i + 800], names[i : i + 800]) for i in range(0, 2400, 800)]

    identities, similarity = zip(*(shard.identify(queries) for shard in shards), strict=True)
    best = np.argmax(similarity, axis=0)
    answers = np.array(identities)[best, np.arange(len(queries))]

    assert answers.tolist() == gallery_of(*herd).identify(queries)[0].tolist()


def test_a_small_gallery_is_searched_without_an_index(herd):
    assert gallery_of(*herd).build(progress=False).kind == "flat"
    assert len(herd[0]) <= FLAT_UP_TO


def test_a_query_whose_lists_hold_too_few_photos_meets_all(herd):
    index, _ = build_index(herd[0], "ivfpq", progress=False)
    index.nprobe = 1

    similarity, rows = find_nearest(index, herd[0], herd[0][:5], k=2000)

    assert (rows >= 0).all()
    np.testing.assert_array_equal(rows, find_nearest(None, herd[0], herd[0][:5], k=2000)[1])
    assert np.isfinite(similarity).all()


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_a_saved_gallery_answers_the_same(tmp_path, herd, kind):
    gallery = gallery_of(*herd, kind)
    late, identities = photos_of(3, seed=5)
    gallery.enrol(late, identities)
    queries, _ = photos_of(50, seed=1)

    loaded = Gallery.load(gallery.save(tmp_path / "gallery"))

    for ours, theirs in zip(loaded.search(queries), gallery.search(queries), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert loaded.identify(queries)[0].tolist() == gallery.identify(queries)[0].tolist()
    assert loaded.report == gallery.report


def test_a_loaded_gallery_takes_new_photos_and_is_saved_over_itself(tmp_path, herd):
    folder = gallery_of(*herd, "hnsw").save(tmp_path)
    n_files = len(list(folder.iterdir()))
    gallery = Gallery.load(folder)
    late, _ = photos_of(1, seed=5)

    gallery.enrol(late, ["newcomer"] * len(late))
    gallery.save(folder)

    assert Gallery.load(folder).identify(late)[0].tolist() == ["newcomer"] * 4
    assert len(list(folder.iterdir())) == n_files  # the former parts are gone


def test_embeddings_on_disk_stay_there(tmp_path, herd):
    np.save(tmp_path / "photos.npy", herd[0])
    on_disk = np.load(tmp_path / "photos.npy", mmap_mode="r")
    gallery = gallery_of(on_disk, herd[1], "ivfpq")

    loaded = Gallery.load(gallery.save(tmp_path / "gallery"))

    assert np.shares_memory(gallery._parts.indexed, on_disk)
    assert isinstance(loaded._parts.indexed, np.memmap)


def test_embeddings_on_disk_are_searched_beside_pytorch_metric_learning(tmp_path, herd):
    importlib.import_module("faiss.contrib.torch_utils")  # as that package does
    loaded = Gallery.load(gallery_of(*herd, "flat").save(tmp_path))

    assert loaded.identify(herd[0][:8])[0].tolist() == herd[1][:8]


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.unlink()])
@pytest.mark.parametrize("part", ["indexed", "recent", "identities", "index", "gallery"])
def test_a_damaged_folder_is_refused_in_one_line(tmp_path, herd, part, damage):
    folder = gallery_of(*herd, "ivfpq").save(tmp_path / "gallery")
    damage(next(folder.glob(f"{part}*")))

    with pytest.raises(InputError, match="is no whole gallery") as error:
        Gallery.load(folder)

    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_parts_of_two_galleries_are_refused(tmp_path, herd):
    folder = gallery_of(*herd).save(tmp_path / "one")
    other = gallery_of(*photos_of(5)).save(tmp_path / "other")
    description = json.loads((folder / "gallery.json").read_text())
    theirs = json.loads((other / "gallery.json").read_text())["files"]["identities"]
    shutil.copy(other / theirs, folder)
    description["files"]["identities"] = theirs
    (folder / "gallery.json").write_text(json.dumps(description))

    with pytest.raises(InputError, match="20 identities for 2400 photos"):
        Gallery.load(folder)


def test_a_failed_save_leaves_the_former_gallery(tmp_path, herd, monkeypatch):
    folder = gallery_of(*photos_of(5)).save(tmp_path)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("common.evaluation.gallery_files.write_text", fail)
    with pytest.raises(InputError, match="No space left"):
        gallery_of(*herd).save(folder)

    assert len(Gallery.load(folder)) == 20


@pytest.mark.parametrize(
    ("kind", "n_animals", "message"),
    [("tree", 5, "expected auto, flat, hnsw, ivfpq"), ("ivfpq", 5, "found 20 photos")],
)
def test_an_index_that_cannot_be_built_is_named(kind, n_animals, message):
    with pytest.raises(InputError, match=message):
        gallery_of(*photos_of(n_animals), kind)


def test_embeddings_of_another_length_are_refused(herd):
    with pytest.raises(ValueError, match=r"found \(20, 16\), expected \(n, 32\)"):
        gallery_of(*herd).enrol(photos_of(5, dim=16)[0], ["t1"] * 20)
