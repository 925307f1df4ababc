"""Who is this: ranked animals against a naive loop, sides kept apart, photos fused."""

import math

from common.gallery.gallery import Gallery
from common.gallery.identification import Question, best_per_animal, rank_animals
from common.gallery.scores import ask_validation
from common.gallery.verdicts import INCOMPARABLE, LOOK, meaning_of, verdict_on
from common.matching.cascade import mean_of_photos

import numpy as np
import pytest

SIDES = ("left", "right", "top", "")


def unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def random_photos(n, seed, n_animals=12, dim=8):
    generator = np.random.default_rng(seed)
    return (
        unit(generator.standard_normal((n, dim))),
        [f"t{i:02}" for i in generator.integers(0, n_animals, n)],
        generator.choice(SIDES, n).tolist(),
    )


def gallery_of(embeddings, identities, sides):
    gallery = Gallery(embeddings.shape[1])
    gallery.enrol(embeddings, identities, {"side": sides})
    return gallery


def naive_scores(query, query_sides, embeddings, identities, sides):
    """Animal by animal, photo by photo, pair by pair: name to mean of best similarities."""
    scores = {}
    for name in sorted(set(identities)):
        best_of_photos = []
        for photo, side in zip(query, query_sides, strict=True):
            best = None
            for other, owner, other_side in zip(embeddings, identities, sides, strict=True):
                if owner == name and {side, other_side} != {"left", "right"}:
                    likeness = sum(float(a) * float(b) for a, b in zip(photo, other, strict=True))
                    best = likeness if best is None else max(best, likeness)
            if best is not None:
                best_of_photos.append(best)
        if best_of_photos:
            scores[name] = sum(best_of_photos) / len(best_of_photos)
    return scores


@pytest.mark.parametrize("n_photos", [1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_the_ranking_is_that_of_a_naive_loop(n_photos, seed):
    known = random_photos(40, seed)
    query, _, query_sides = random_photos(n_photos, 100 + seed)

    [ranking] = rank_animals(gallery_of(*known), [Question(query, query_sides)], k=99)

    expected = naive_scores(query, query_sides, *known)
    found = {each.identity: each.similarity for each in ranking.candidates}
    assert found == pytest.approx(expected, abs=1e-6)
    assert [each.identity for each in ranking.candidates] == sorted(
        expected, key=expected.get, reverse=True
    )
    assert set(ranking.not_judged) == set(known[1]) - set(expected)


def test_only_so_many_candidates_are_given():
    [ranking] = rank_animals(
        gallery_of(*random_photos(40, 0)), [Question(*random_photos(1, 1)[::2])], k=3
    )

    assert len(ranking.candidates) == 3


def test_a_left_face_is_never_compared_with_a_right_one():
    same = unit([[1, 0], [1, 0.2]])
    gallery = gallery_of(same, ["anna", "berta"], ["right", "left"])

    [sided, unsided] = rank_animals(
        gallery, [Question(same[:1], ["left"]), Question(same[:1], [""])]
    )

    assert [each.identity for each in sided.candidates] == ["berta"]
    assert sided.not_judged == ["anna"]
    assert unsided.candidates[0].identity == "anna"
    assert unsided.not_judged == []


def test_the_most_alike_photo_is_one_that_may_be_compared():
    gallery = gallery_of(unit([[1, 0], [0.5, 1]]), ["anna", "anna"], ["right", "left"])

    [ranking] = rank_animals(gallery, [Question(unit([[1, 0]]), ["left"])])

    assert ranking.candidates[0].row == 1
    assert ranking.candidates[0].similarity == pytest.approx(0.5 / math.sqrt(1.25))


def test_an_animal_is_judged_by_the_photos_that_can_be_compared():
    gallery = gallery_of(unit([[1, 0], [0, 1]]), ["anna", "berta"], ["left", "right"])
    query = Question(unit([[1, 0], [1, 0]]), ["left", "right"])

    [ranking] = rank_animals(gallery, [query])

    assert {each.identity: (each.similarity, each.n_compared) for each in ranking.candidates} == {
        "anna": (1.0, 1), "berta": (0.0, 1),
    }  # fmt: skip


def test_two_middling_photos_beat_one_good_one():
    """One photo of the encounter is most like the wrong animal; together they name the right."""
    gallery = gallery_of(unit(np.eye(2)), ["anna", "berta"], ["", ""])
    photos = unit([[0.6, 0.8], [1.0, 0.1]])

    alone, together = rank_animals(
        gallery, [Question(photos[:1], [""]), Question(photos, ["", ""])]
    )

    assert alone.candidates[0].identity == "berta"
    assert together.candidates[0].identity == "anna"


def test_removed_and_renamed_animals_answer_so():
    embeddings, identities, sides = random_photos(40, 5)
    gallery = gallery_of(embeddings, identities, sides)
    gallery.build("flat")
    gallery.remove("t03")
    gallery.rename("t04", "nemo")

    [ranking] = rank_animals(gallery, [Question(embeddings[:1], [""])], k=99)

    names = {each.identity for each in ranking.candidates} | set(ranking.not_judged)
    assert names == {*identities, "nemo"} - {"t03", "t04"}


def test_through_an_index_the_same_animals_are_found_with_the_same_scores():
    generator = np.random.default_rng(0)
    animals = np.repeat(generator.standard_normal((300, 16)), 4, axis=0)
    known = unit(animals + 0.3 * generator.standard_normal(animals.shape))
    identities = [f"t{i // 4}" for i in range(len(known))]
    sides = ["left", "right"] * 600
    gallery = gallery_of(known, identities, sides)
    questions = [Question(unit(known[i : i + 2] + 0.1), ["left", "left"]) for i in range(0, 80, 4)]
    exact = rank_animals(gallery, questions, k=1)

    gallery.build("hnsw")
    found = rank_animals(gallery, questions, k=1)

    assert [each.candidates[0].identity for each in found] == [
        each.candidates[0].identity for each in exact
    ]
    np.testing.assert_allclose(
        [each.candidates[0].similarity for each in found],
        [each.candidates[0].similarity for each in exact], rtol=1e-5,
    )  # fmt: skip


def test_the_order_of_the_gallery_does_not_matter():
    embeddings, identities, sides = random_photos(40, 7)
    question = Question(*random_photos(2, 8)[::2])
    shuffled = np.random.default_rng(0).permutation(40)

    [one] = rank_animals(gallery_of(embeddings, identities, sides), [question])
    [other] = rank_animals(
        gallery_of(
            embeddings[shuffled], [identities[i] for i in shuffled], [sides[i] for i in shuffled]
        ),
        [question],
    )

    assert [each.identity for each in one.candidates] == [
        each.identity for each in other.candidates
    ]


def test_what_cannot_be_compared_is_nan_and_not_low():
    scores = best_per_animal(
        np.array([[-0.9, 0.4]]), np.array([0, 1]), 3, np.array([[True, False]])
    )

    np.testing.assert_array_equal(scores, [[-0.9, np.nan, np.nan]])
    np.testing.assert_array_equal(mean_of_photos(scores), [-0.9, np.nan, np.nan])


@pytest.fixture(scope="module")
def meaning():
    embeddings, identities, _ = random_photos(60, 3, dim=4)
    facts = {"identity": np.array(identities), "side": np.full(60, ""),
             "encounter": np.array([str(i) for i in range(60)])}  # fmt: skip
    rows = np.arange(60)
    scores = ask_validation(
        embeddings, facts, gallery=rows, known=rows, new=rows, source="random photos"
    )
    return meaning_of(scores, "photo", 0.1)


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "known: anna"), (-1e-6, LOOK)])
def test_a_similarity_at_the_threshold_is_known_and_one_below_is_not(meaning, shift, verdict):
    from common.gallery.identification import Candidate, Ranking

    similarity = meaning.threshold.value + shift

    given = verdict_on(Ranking([Candidate("anna", similarity, 0, 1)], []), meaning)

    assert given.text == verdict


def test_without_anything_to_compare_nothing_is_claimed(meaning):
    gallery = gallery_of(unit([[1, 0, 0, 0]]), ["anna"], ["right"])
    [ranking] = rank_animals(gallery, [Question(unit([[1, 0, 0, 0]]), ["left"])])

    given = verdict_on(ranking, meaning)

    assert given.text == INCOMPARABLE
    assert "anna" in given.remarks[0]
