"""The gallery benchmark runs, continues after a stop, and its animals are as it says."""

import json

from common.files import write_text
from common.own_files import begin_list

import numpy as np
import pytest
from gallery_measures import ask_gallery, build_gallery
from script_runs import load_main
from simulated_animals import PHOTOS_PER_ANIMAL, Population

MEASURES = (
    *("recall_at_1", "recall_at_1_known", "recall_at_1_strangers", "recall_it_reported"),
    *("rank_1_known", "build_seconds", "index_mb", "peak_mb_building", "peak_mb_asking"),
    *("p50_ms", "p99_ms", "queries_per_second"),
)


@pytest.fixture(scope="module")
def population():
    return Population(64)


@pytest.fixture
def folder(tmp_path, population):
    population.write_gallery(tmp_path / "embeddings.npy", 2_000)
    np.save(tmp_path / "queries.npy", population.queries(2_000, 30))
    np.save(tmp_path / "animals_of_queries.npy", population.animals_of_queries(2_000, 30))
    return tmp_path


@pytest.mark.slow
def test_it_runs_and_goes_on_from_what_is_finished(tmp_path):
    kept = tmp_path / "gallery_of_3000"
    begin_list(kept)
    write_text(kept / "hnsw.json", json.dumps(dict.fromkeys(MEASURES, 0.5)))

    result = load_main("tests/benchmarks/million_gallery")(
        ["--smoke", "--output_dir", str(tmp_path)]
    )

    found = result["tables"]["A simulated gallery: what is found"]
    assert {row["index"]: row["recall@1"] for row in found} == {
        "flat": 1,
        "hnsw": 0.5,  # not measured again
        "ivfpq": pytest.approx(1, abs=0.05),
    }
    assert not kept.exists()


def test_a_flat_search_finds_everything(folder):
    build_gallery(folder, "flat")

    asked = ask_gallery(folder, 5)

    assert asked["recall_at_1"] == 1
    assert asked["p50_ms"] <= asked["p99_ms"]


def test_an_index_is_measured_against_the_flat_search(folder):
    build_gallery(folder, "flat")
    ask_gallery(folder, 5)
    truth = np.load(folder / "nearest_similarity.npy")
    np.save(folder / "nearest_similarity.npy", truth + 0.1)  # as if a nearer photo existed

    build_gallery(folder, "hnsw")

    assert ask_gallery(folder, 5)["recall_at_1"] == 0


def test_the_same_animals_are_drawn_again(population):
    np.testing.assert_array_equal(
        population.gallery_block(1), Population(64, seed=0).gallery_block(1)
    )
    assert not np.allclose(population.gallery_block(1), population.gallery_block(2))


def test_embeddings_have_unit_length(folder):
    for name in ("embeddings", "queries"):
        lengths = np.linalg.norm(np.load(folder / f"{name}.npy"), axis=1)
        np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_known_queries_resemble_their_animal_and_strangers_nobody(folder, population):
    embeddings, queries = (np.load(folder / f"{name}.npy") for name in ("embeddings", "queries"))
    animals = population.animals_of_queries(2_000, 30)

    similarity = (queries @ embeddings.T).reshape(60, -1, PHOTOS_PER_ANIMAL).mean(axis=2)

    own = similarity[np.arange(30), animals]
    assert own.mean() == pytest.approx(0.4, abs=0.05)
    assert abs(similarity[30:].mean()) < 0.05


def test_cosines_within_an_encounter_are_higher(population):
    photos = population.gallery_block(0).reshape(-1, 4, 5, 64)

    same_encounter = np.einsum("aed,aed->ae", photos[:, :, 0], photos[:, :, 1]).mean()
    other_encounter = np.einsum("ad,ad->a", photos[:, 0, 0], photos[:, 1, 0]).mean()

    assert same_encounter == pytest.approx(0.7, abs=0.05)
    assert other_encounter == pytest.approx(0.4, abs=0.05)
