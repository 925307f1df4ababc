"""What similarities mean: learned on validation photos alone, and honest about few of them."""

import json
from dataclasses import replace

from common.errors import InputError
from common.gallery.scores import (
    N_CANDIDATES,
    AskedScores,
    ValidationScores,
    ask_validation,
    meaning_of,
    validation_scores_of,
)
from common.splits.questions import questions_of
from common.splits.splits import make_split

import numpy as np
import pytest

NOBODY = AskedScores([], [], [], [])


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def embeddings_of(catalogue, seed=0, noise=2.0):
    """An animal's photos around one direction, with much noise."""
    generator = np.random.default_rng(seed)
    labels = catalogue.table["identity"].map(catalogue.labels)
    centres = generator.standard_normal((len(catalogue.identities), 8))
    return unit(centres[labels] + noise * generator.standard_normal((len(labels), 8)))


@pytest.fixture(scope="module", params=["time_aware", "disjoint"])
def asked(request, catalogue):
    return questions_of(catalogue, make_split(catalogue, request.param))


def naive_candidates(embeddings, catalogue, gallery, row, is_new):
    """Animals by their best photo that counts, loop by loop."""
    table = catalogue.table
    best = {}
    for other in gallery:
        same_animal = table["identity"][other] == table["identity"][row]
        same_encounter = table["encounter"][other] == table["encounter"][row]
        if same_animal and (is_new or same_encounter):
            continue
        if {table["orientation"][other], table["orientation"][row]} == {"left", "right"}:
            continue
        name = table["identity"][other]
        best[name] = max(best.get(name, -2.0), float(embeddings[row] @ embeddings[other]))
    return sorted(best.items(), key=lambda each: -each[1])


def test_validation_photos_get_what_a_naive_loop_finds(asked, catalogue):
    embeddings = embeddings_of(catalogue)

    scores = validation_scores_of(lambda rows: embeddings[rows], asked, catalogue).photos

    known, gallery = asked.validation_known, asked.train
    if not len(known):
        known, gallery = asked.validation_new, np.union1d(asked.train, asked.validation_new)
    expected = []
    for row, is_new in [*((r, False) for r in known), *((r, True) for r in asked.validation_new)]:
        ranked = naive_candidates(embeddings, catalogue, gallery, row, is_new)
        names = [name for name, _ in ranked]
        own = catalogue.table["identity"][row]
        if is_new or own in names:
            place = names.index(own) if own in names[:N_CANDIDATES] else -1
            expected.append(([s for _, s in ranked[:N_CANDIDATES]], place, not is_new))
    assert len(scores) == len(expected) > 10
    for i, (similarities, place, is_known) in enumerate(expected):
        assert scores.similarities[i] == pytest.approx(similarities, abs=1e-9)
        assert (scores.right_place[i], scores.is_known[i]) == (place, is_known)


def test_no_test_photo_has_a_say(asked, catalogue):
    embeddings = embeddings_of(catalogue)
    poisoned, seen = embeddings.copy(), []
    test = np.concatenate([asked.known, asked.unknown])
    poisoned[test] = unit(np.random.default_rng(9).standard_normal((len(test), 8)))

    def embed(rows):
        seen.extend(rows)
        return poisoned[rows]

    scores = validation_scores_of(embed, asked, catalogue)

    assert scores == validation_scores_of(lambda rows: embeddings[rows], asked, catalogue)
    assert not set(seen) & set(test)


def test_a_new_animal_is_never_among_its_candidates(asked, catalogue):
    embeddings = embeddings_of(catalogue)

    scores = validation_scores_of(lambda rows: embeddings[rows], asked, catalogue)

    for part in (scores.photos, scores.encounters):
        assert {place for place, known in zip(part.right_place, part.is_known, strict=True)
                if not known} == {-1}  # fmt: skip


def test_photos_of_an_encounter_are_fused_by_the_mean_of_each_animals_best():
    embeddings = unit(np.array([[1, 0], [0, 1], [1, 0.2], [0.3, 1]], dtype=float))
    facts = {"identity": np.array(["a", "b", "a", "a"]), "side": np.full(4, ""),
             "encounter": np.array(["1", "2", "3", "3"])}  # fmt: skip

    scores = ask_validation(
        embeddings, facts, gallery=np.array([0, 1]), known=np.array([2, 3]), new=np.array([], int),
        source="four photos",
    )  # fmt: skip

    table = embeddings[2:] @ embeddings[:2].T
    assert scores.encounters.similarities == [
        pytest.approx(sorted(table.mean(axis=0), reverse=True))
    ]
    assert len(scores.photos) == 2


def scores_of(known, new, right=None):
    """Questions with one candidate each."""
    right = [True] * len(known) if right is None else right
    asked = AskedScores(
        similarities=[[score] for score in [*known, *new]],
        right_place=[*(0 if each else -1 for each in right), *[-1] * len(new)],
        animal=list(range(len(known) + len(new))),
        is_known=[True] * len(known) + [False] * len(new),
    )
    return ValidationScores(asked, NOBODY, "a test")


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.3])
def test_the_stated_rate_is_kept_and_not_undercut_without_need(rate):
    generator = np.random.default_rng(1)
    known, new = generator.normal(0.6, 0.2, 300), generator.normal(0.3, 0.15, 200)

    threshold = meaning_of(scores_of(known, new), "photo", rate).threshold.value

    accepted = sorted((score for score in new if score >= threshold), reverse=True)
    assert len(accepted) <= rate * len(new)
    # The next unknown photo below would be one too many.
    assert len(accepted) + 1 > rate * len(new)


def test_a_lower_rate_never_gives_a_lower_threshold():
    generator = np.random.default_rng(2)
    scores = scores_of(generator.normal(0.6, 0.2, 80), generator.normal(0.3, 0.2, 80))

    thresholds = [meaning_of(scores, "photo", rate).threshold.value
                  for rate in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)]  # fmt: skip

    assert thresholds == sorted(thresholds, reverse=True)
    assert len(set(thresholds)) > 3


def test_too_few_photos_for_a_rate_are_called_too_few():
    scores = scores_of(np.linspace(0.4, 0.9, 30), np.linspace(0.1, 0.5, 30))

    strict, loose = (meaning_of(scores, "photo", rate) for rate in (0.01, 0.1))

    assert strict.is_too_few
    assert "too few to show a rate of 0.01" in strict.text()
    # None of 30: the chance of that is 5 % at the rate p with (1 - p)^30 = 0.05.
    assert (1 - strict.highest_rate) ** 30 == pytest.approx(0.05)
    assert not loose.is_too_few
    assert "too few" not in loose.text()


def test_few_new_animals_are_called_few_however_many_their_photos():
    many = scores_of(np.linspace(0.4, 0.9, 200), np.linspace(0.1, 0.5, 200))
    photos = replace(many.photos, animal=[i % 6 for i in range(400)])

    few = meaning_of(replace(many, photos=photos), "photo", 0.1)

    assert few.n_new_animals == 6
    assert "So few new animals (6)" in few.text()
    assert "are few" not in meaning_of(many, "photo", 0.1).text()


def test_probabilities_are_what_validation_found():
    known = np.concatenate([np.full(80, 0.8), np.full(20, 0.4)])
    right = [True] * 80 + [False] * 20
    meaning = meaning_of(scores_of(known, np.full(60, 0.4), right), "photo", 0.1)

    high, low = (meaning.probabilities([score])[0] for score in (0.8, 0.4))

    assert high == pytest.approx(81 / 82, abs=0.01)
    assert low == pytest.approx(1 / 82, abs=0.01)


def test_candidates_share_one_probability_at_most_in_their_order():
    generator = np.random.default_rng(4)
    similarities = np.sort(generator.random((200, 3)), axis=1)[:, ::-1]
    is_known = generator.random(200) < 0.7
    right_place = np.where(is_known, generator.integers(-1, 3, 200), -1)
    asked = AskedScores(
        similarities.tolist(), right_place.tolist(), list(range(200)), is_known.tolist()
    )
    meaning = meaning_of(ValidationScores(asked, NOBODY, "a test"), "photo", 0.1)

    for each in similarities:
        probabilities = meaning.probabilities(each)
        assert 0 <= sum(probabilities) <= 1 + 1e-12
        assert probabilities == sorted(probabilities, reverse=True)
    assert meaning.probabilities([]) == []


def test_photos_and_encounters_have_their_own_threshold():
    photos = scores_of([0.5, 0.6, 0.7], [0.1, 0.2, 0.3]).photos
    encounters = scores_of([0.8, 0.9], [0.6, 0.7]).photos
    scores = ValidationScores(photos, encounters, "a test")

    assert meaning_of(scores, "photo", 0.1).threshold.value == pytest.approx(0.4)
    assert meaning_of(scores, "encounter", 0.1).threshold.value == pytest.approx(0.75)


@pytest.mark.parametrize("missing", ["known", "new"])
def test_without_both_kinds_of_animals_nothing_is_learned(missing):
    scores = scores_of(*(([], [0.2]) if missing == "known" else ([0.5], [])))

    with pytest.raises(InputError, match="expected some of both"):
        meaning_of(scores, "photo", 0.01)


def test_scores_come_back_from_json_bit_equal(asked, catalogue):
    embeddings = embeddings_of(catalogue)
    scores = validation_scores_of(lambda rows: embeddings[rows], asked, catalogue)

    assert ValidationScores.from_dict(json.loads(json.dumps(scores.to_dict()))) == scores


def test_a_split_without_animals_held_out_gives_no_scores(catalogue):
    questions = questions_of(catalogue, make_split(catalogue, "random"))
    questions = replace(questions, validation_new=np.empty(0, dtype=int))

    assert validation_scores_of(lambda rows: rows, questions, catalogue) is None
