"""What similarities mean: learned on validation photos alone, and honest about few of them."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from common.errors import InputError
from common.gallery import embedding
from common.gallery.scores import (
    N_CANDIDATES,
    ValidationScores,
    ask_validation,
    short_names,
    validation_scores_of,
)
from common.splits.questions import questions_of
from common.splits.splits import make_split

import numpy as np
import pytest


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


def test_scores_come_back_from_json_bit_equal(asked, catalogue):
    embeddings = embeddings_of(catalogue)
    scores = validation_scores_of(lambda rows: embeddings[rows], asked, catalogue)

    assert ValidationScores.from_dict(json.loads(json.dumps(scores.to_dict()))) == scores


def test_a_split_without_animals_held_out_gives_no_scores(catalogue):
    questions = questions_of(catalogue, make_split(catalogue, "random"))
    questions = replace(questions, validation_new=np.empty(0, dtype=int))

    assert validation_scores_of(lambda rows: rows, questions, catalogue) is None


def test_scores_of_an_earlier_version_are_read(asked, catalogue):
    embeddings = embeddings_of(catalogue)
    scores = validation_scores_of(lambda rows: embeddings[rows], asked, catalogue)
    earlier = {name: scores.to_dict()[name] for name in ("photos", "encounters", "source")}

    read = ValidationScores.from_dict(earlier)

    assert read.photos == scores.photos
    assert (read.chance, read.untrained_place) == (None, None)


def test_the_untrained_network_is_asked_the_same_questions(asked, catalogue):
    trained, untrained = embeddings_of(catalogue), embeddings_of(catalogue, noise=50.0)

    scores = validation_scores_of(
        lambda rows: trained[rows], asked, catalogue, untrained=lambda rows: untrained[rows]
    )

    alone = validation_scores_of(lambda rows: untrained[rows], asked, catalogue)
    assert scores.untrained_place == alone.photos.right_place
    assert len(scores.untrained_place) == len(scores.photos)


def test_a_guess_is_right_as_often_as_animals_are_compared():
    facts = {"identity": np.array([*"aabbc"]), "side": np.full(5, ""),
             "encounter": np.array([*"12345"])}  # fmt: skip
    rows = np.arange(5)

    scores = ask_validation(
        np.eye(5), facts, gallery=rows, known=rows, new=rows[:0], source="five photos"
    )

    # Four photos can be named, among three animals each; c has no other photo.
    assert len(scores.photos) == 4
    assert scores.chance == pytest.approx(1 / 3)


@pytest.mark.parametrize("damage", [{"chance": "much"}, {"untrained_place": [0, 1]}])
def test_damaged_scores_are_refused(asked, catalogue, damage):
    embeddings = embeddings_of(catalogue)
    scores = validation_scores_of(lambda rows: embeddings[rows], asked, catalogue)

    with pytest.raises(ValueError, match="share of right guesses|answers before training"):
        ValidationScores.from_dict(scores.to_dict() | damage)


@pytest.mark.parametrize(("asked_from", "is_refused"), [(0, True), (38, False), (40, False)])
def test_a_network_is_not_asked_about_photos_that_it_learned_from(
    asked_from, is_refused, catalogue, monkeypatch
):
    names = short_names(catalogue, np.arange(40))
    description = {"scores": {"trained_photos": names}}
    monkeypatch.setattr(embedding, "read_description", lambda path: description)
    rows = np.arange(asked_from, asked_from + 50)

    with pytest.raises(InputError, match="40 of the 50") if is_refused else nullcontext():
        embedding.refuse_seen(Path("model.safetensors"), catalogue, rows)
