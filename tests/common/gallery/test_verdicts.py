"""Three verdicts at two stated rates, and words about them that a biologist can take."""

from dataclasses import replace

from common.errors import InputError
from common.gallery.scores import AskedScores, ValidationScores
from common.gallery.verdicts import KNOWN, LOOK, NEW, meaning_of, trust_sentence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

NOBODY = AskedScores([], [], [], [])


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
def test_both_stated_rates_are_kept_on_validation(rate):
    generator = np.random.default_rng(1)
    known, new = generator.normal(0.6, 0.2, 300), generator.normal(0.3, 0.15, 200)

    meaning = meaning_of(scores_of(known, new), "photo", rate, rate)

    assert np.mean([meaning.verdict([each]) == KNOWN for each in new]) <= rate
    assert np.mean([meaning.verdict([each]) == NEW for each in known]) <= rate


def test_between_the_two_thresholds_a_person_looks():
    generator = np.random.default_rng(1)
    known, new = generator.normal(0.6, 0.15, 300), generator.normal(0.4, 0.1, 200)

    meaning = meaning_of(scores_of(known, new))

    low, high = meaning.new_below, meaning.threshold.value
    verdicts = [meaning.verdict([each]) for each in (low - 1e-6, low, high - 1e-6, high)]
    assert verdicts == [NEW, LOOK, LOOK, KNOWN]
    assert meaning.verdict([]) == "cannot be compared"
    assert "between the two, look yourself" in meaning.text()


def test_where_the_thresholds_cross_nothing_is_left_between():
    scores = scores_of(np.linspace(0.7, 0.9, 100), np.linspace(0.1, 0.3, 100))

    meaning = meaning_of(scores, "photo", 0.1, 0.1)

    assert meaning.new_below == meaning.threshold.value < 0.7
    assert {meaning.verdict([each]) for each in np.linspace(0, 1, 101)} == {KNOWN, NEW}
    assert "nothing between" in meaning.text()


def test_where_few_known_animals_are_accepted_nothing_is_new_without_a_look():
    generator = np.random.default_rng(5)
    same = generator.normal(0.4, 0.1, (2, 300))

    meaning = meaning_of(scores_of(*same))

    assert NEW not in {meaning.verdict([each]) for each in np.linspace(-1, 1, 201)}
    assert "Nothing is called new without a look" in meaning.text()
    assert meaning.to_dict()["new_below"] is None


def test_few_known_animals_in_validation_call_nobody_new():
    meaning = meaning_of(scores_of(np.linspace(0.7, 0.9, 10), np.linspace(0.1, 0.3, 100)))

    assert meaning.verdict([-1.0]) == LOOK
    assert "10 known animals in validation cannot show" in meaning.text()


def test_lookalikes_among_known_animals_raise_the_upper_threshold():
    scores = scores_of(np.linspace(0.4, 0.9, 50), np.linspace(0.1, 0.3, 50))
    alike = [[first, first - 0.01] for [first] in scores.photos.similarities[:50]]
    photos = replace(scores.photos, similarities=[*alike, *scores.photos.similarities[50:]])

    plain, raised = (
        meaning_of(replace(scores, photos=each), "photo", 0.1) for each in (scores.photos, photos)
    )

    assert plain.threshold.value < 0.4
    assert raised.threshold.value > 0.8  # of 50 wrong animals, up to 0.89, few reach it


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
    assert "30 photos cannot show a rate of 0.01" in strict.text()
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


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    asked=st.lists(st.lists(st.floats(-1, 1), max_size=6), min_size=1, max_size=4),
)
def test_a_probability_never_falls_while_similarity_rises(seed, asked):
    generator = np.random.default_rng(seed)
    similarities = np.sort(generator.random((80, 3)), axis=1)[:, ::-1]
    is_known = np.arange(80) % 3 > 0
    right_place = np.where(is_known, generator.integers(-1, 3, 80), -1)
    photos = AskedScores(
        similarities.tolist(), right_place.tolist(), list(range(80)), is_known.tolist()
    )
    meaning = meaning_of(ValidationScores(photos, NOBODY, "a test"))

    # Whatever question a candidate is of, and whatever its place in it.
    pairs = []
    for each in asked:
        pairs += zip(each, meaning.probabilities(each), strict=True)

    for similarity, probability in pairs:
        assert 0 < probability < 1
        assert all(probability <= other for alike, other in pairs if alike >= similarity)


def test_photos_and_encounters_have_their_own_threshold():
    photos = scores_of([0.5, 0.6, 0.7], [0.1, 0.2, 0.3]).photos
    encounters = scores_of([0.8, 0.9], [0.6, 0.7]).photos
    scores = ValidationScores(photos, encounters, "a test")

    assert meaning_of(scores, "photo").threshold.value == pytest.approx(0.3)
    assert meaning_of(scores, "encounter").threshold.value == pytest.approx(0.7)


@pytest.mark.parametrize("missing", ["known", "new"])
def test_without_both_kinds_of_animals_nothing_is_learned(missing):
    scores = scores_of(*(([], [0.2]) if missing == "known" else ([0.5], [])))

    with pytest.raises(InputError, match="expected some of both"):
        meaning_of(scores, "photo", 0.01)


def test_the_sentence_counts_what_happened_to_100_photos():
    right = [0] * 29 + [2] * 39 + [-1] * 32
    asked = AskedScores(
        similarities=[[0.5, 0.4, 0.3]] * 100 + [[0.2]] * 50,
        right_place=[*right, *[-1] * 50],
        animal=[*range(100), *range(100, 150)],
        is_known=[True] * 100 + [False] * 50,
    )

    words = trust_sentence(ValidationScores(asked, NOBODY, "a test"))

    assert words.startswith(
        "Of 100 photos of animals that it knows, about 29 are named right at first, 68 among five."
    )
    assert "100 photos of 100 known animals and 50 of 50 new ones" in words


def test_without_new_animals_names_alone_are_counted():
    photos = scores_of([0.5, 0.6], []).photos

    words = trust_sentence(ValidationScores(photos, NOBODY, "a test"))

    assert "about 100 are named right at first" in words
    assert LOOK not in words
    assert "unknown" in trust_sentence(ValidationScores(NOBODY, NOBODY, "a test"))


def judged(share_right, share_before, chance):
    """The sentence about a model, by how many of 60 animals were named right."""
    right, before = (np.where(np.arange(60) < 60 * each, 0, -1)
                     for each in (share_right, share_before))  # fmt: skip
    scores = scores_of(np.full(60, 0.5), np.full(60, 0.4), (right == 0).tolist())
    return trust_sentence(replace(scores, chance=chance, untrained_place=[*before, *[-1] * 60]))


def test_a_model_that_learned_nothing_is_called_so():
    assert "NO BETTER THAN CHANCE" in judged(0.05, 0.05, 0.05)
    assert "NO BETTER THAN UNTRAINED: before training, the same network named 30" in judged(
        0.3, 0.3, 0.02
    )
    assert "NO BETTER" not in judged(0.6, 0.3, 0.02)
