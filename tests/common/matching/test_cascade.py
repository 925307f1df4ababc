"""A cascade: what it compares, where it stops, and what its probabilities keep to."""

import json
from dataclasses import replace

from common.matching.cascade import COSINE, Cascade, Found, Pairs, Stage, learn_cascade, shortlist

import numpy as np
import pytest

N_ANIMALS, N_OF_EACH = 12, 3
LABELS = np.repeat(np.arange(N_ANIMALS), N_OF_EACH)
CHEAP, DEAR = Stage("cheap", len(LABELS), len(LABELS)), Stage("dear", 15, 2)


def question(seed, label, *, n_photos=1):
    """Scores that know ever more about who it is; and what was compared."""
    noise = np.random.default_rng(seed)
    is_same = np.tile(label == LABELS, (n_photos, 1))
    scores = {
        name: quality * is_same + noise.normal(size=is_same.shape)
        for name, quality in ((COSINE, 1.0), ("cheap", 2.0), ("dear", 6.0))
    }
    compared = []

    def compare(name, photo, columns):
        compared.append((name, len(columns)))
        return scores[name][photo, columns]

    allowed = np.ones(is_same.shape, dtype=bool)
    return Pairs(scores[COSINE], allowed, LABELS, compare), compared


@pytest.fixture(scope="module")
def learned():
    animals = [seed % N_ANIMALS for seed in range(60)]
    questions = [question(seed, label)[0] for seed, label in enumerate(animals)]
    return learn_cascade(questions, animals, [CHEAP, DEAR])


def first(found):
    return int(np.nanargmax(found.animals()))


def test_who_comes_first_is_who_full_matching_puts_first(learned):
    cascade, _ = learned
    step_by_step = replace(cascade, clear=2.0)
    n_spared = 0
    for seed in range(100, 160):
        pairs, compared = question(seed, seed % N_ANIMALS)
        everything = step_by_step.ask(pairs, [CHEAP, replace(DEAR, step=DEAR.n_pairs)])
        compared.clear()
        assert first(step_by_step.ask(pairs, [CHEAP, DEAR])) == first(everything)
        n_spared += DEAR.n_pairs - sum(n for name, n in compared if name == "dear")
    assert n_spared > 60 * DEAR.n_pairs / 4


def test_where_nothing_is_open_no_further_stage_is_asked(learned):
    pairs, compared = question(0, 0)
    sure = replace(pairs, cosines=np.where(LABELS == 3, 9.0, -9.0)[None])
    highest = learned[0].probability({COSINE: np.array(9.0)}).item()
    assert first(replace(learned[0], clear=highest).ask(sure, [CHEAP, DEAR])) == 3
    assert not compared


def test_where_all_is_open_each_stage_compares_all_its_pairs(learned):
    questions = [question(seed, 5)[0] for seed in range(3)]
    _, found = learn_cascade(questions, [5, 5, 5], [CHEAP, DEAR])
    assert [each.n_pairs for each in found] == [{"cheap": 36, "dear": N_ANIMALS}] * 3


def test_a_probability_never_falls_while_all_scores_rise(learned):
    cascade, _ = learned
    generator = np.random.default_rng(1)
    low = {name: generator.normal(size=500) * 4 for name in (COSINE, "cheap", "dear")}
    high = {name: each + generator.exponential(size=500) for name, each in low.items()}
    for names in ((COSINE,), (COSINE, "cheap"), (COSINE, "cheap", "dear")):
        before, after = ({name: each[name] for name in names} for each in (low, high))
        assert (cascade.probability(after) > cascade.probability(before)).all()


def test_each_stage_finds_more(learned):
    cascade, _ = learned
    hits = {n: [] for n in range(3)}
    for seed in range(200, 260):
        pairs, _ = question(seed, seed % N_ANIMALS)
        for n in hits:
            hits[n].append(first(cascade.ask(pairs, [CHEAP, DEAR][:n])) == seed % N_ANIMALS)
    assert np.mean(hits[0]) < np.mean(hits[1]) < np.mean(hits[2])


def test_several_photos_of_an_encounter_find_more_than_one(learned):
    cascade, _ = learned
    hits = {1: [], 3: []}
    for seed in range(300, 340):
        for n_photos, own in hits.items():
            pairs, _ = question(seed, seed % N_ANIMALS, n_photos=n_photos)
            own.append(first(cascade.ask(pairs, [CHEAP])) == seed % N_ANIMALS)
    assert np.mean(hits[1]) < np.mean(hits[3])


def test_pairs_that_do_not_count_are_not_compared(learned):
    pairs, _ = question(1, 1)
    allowed = np.tile(LABELS != 1, (1, 1))
    found = learned[0].ask(replace(pairs, allowed=allowed), [CHEAP, DEAR])
    assert np.isnan(found.animals()[1])
    assert not any(np.isfinite(each[:, LABELS == 1]).any() for each in found.scores.values())


def test_a_gallery_that_has_nothing_to_compare_gives_no_answer(learned):
    pairs, compared = question(1, 1)
    found = learned[0].ask(replace(pairs, allowed=np.zeros((1, 36), dtype=bool)), [CHEAP, DEAR])
    assert np.isnan(found.animals()).all()
    assert not compared


def test_a_short_list_holds_animals_rather_than_photos_of_one(learned):
    pairs, _ = question(3, 3)
    found = learned[0].by_cosine(pairs)
    found.scores[CHEAP.name] = found.scores[COSINE]
    learned[0].compare(found, pairs, replace(DEAR, n_pairs=10, step=10))
    compared = LABELS[np.isfinite(found.scores[DEAR.name][0])]
    assert len(compared) == len(set(compared)) == 10


def test_a_burst_of_one_animal_does_not_fill_the_shortlist():
    labels = np.array([0] * 10 + [1, 2])
    chosen = shortlist(np.linspace(1, 0, 12), labels, 5)
    assert labels[chosen].tolist() == [0, 0, 0, 1, 2]


def test_what_only_the_embedding_saw_does_not_outweigh_what_details_say():
    labels = np.array([0, 0, 1])
    scores = {COSINE: np.array([[0.9, 0.8, 0.1]]), "cheap": np.array([[0.0, np.nan, np.nan]])}
    found = Found(labels, scores, np.array([[0.01, 0.7, 0.2]]))
    assert found.animals().tolist() == [0.01, 0.2]


def test_what_was_learned_is_stored_as_json(learned):
    cascade, _ = learned
    again = Cascade.from_dict(json.loads(json.dumps(cascade.to_dict())))
    scores = {name: np.linspace(-3, 9, 50) for name in cascade.meanings}
    assert np.array_equal(again.probability(scores), cascade.probability(scores))
