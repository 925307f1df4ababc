"""The three questions are asked of the right photos, and thresholds never see the test."""

import numpy as np
import pytest

from common.data.splits import make_split
from common.evaluation.comparison import Trial, compare, summarise, summarise_rankings
from common.evaluation.gallery import Gallery
from common.evaluation.questions import (
    ask_classifier,
    ask_embedding,
    ask_retrained,
    questions_of,
)
from common.evaluation.retrieval import evaluate_retrieval


@pytest.fixture(scope="module")
def asked(catalogue):
    split = make_split(catalogue, "time_aware", validation_newcomer_share=0.2)
    return catalogue, questions_of(catalogue, split, n_enrolled=(3,))


@pytest.fixture(scope="module")
def truth(asked):
    return asked[0].table["identity"].to_numpy(dtype=str)


def perfect_embeddings(catalogue):
    labels = catalogue.table["identity"].map(catalogue.labels).to_numpy()
    return np.eye(len(catalogue.identities), dtype=np.float32)[labels]


def noisy_embeddings(catalogue, noise, seed=0):
    embeddings = perfect_embeddings(catalogue)
    embeddings = embeddings + noise * np.random.default_rng(seed).normal(size=embeddings.shape)
    return (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)


def test_no_photo_is_both_trained_on_and_asked_about(asked):
    _, questions = asked

    learned = {*questions.train, *questions.validation_known, *questions.validation_new}
    assert learned.isdisjoint({*questions.known, *questions.enrolled, *questions.joined})
    assert set(questions.enrolled).isdisjoint(questions.joined)


def test_animals_that_joined_have_no_training_photo(asked, truth):
    _, questions = asked

    assert set(truth[questions.unknown]).isdisjoint(truth[questions.train])
    assert set(truth[questions.joined]) <= set(truth[questions.enrolled])


def test_a_perfect_embedding_answers_everything(asked):
    catalogue, questions = asked

    answers = ask_embedding(perfect_embeddings(catalogue), questions, catalogue)

    assert answers.known.all()
    assert answers.joined.all()
    assert answers.rejection.geometric_mean == pytest.approx(1.0)


def test_a_perfect_classifier_cannot_name_an_animal_that_joined(asked):
    catalogue, questions = asked

    answers = ask_classifier(perfect_embeddings(catalogue), questions, catalogue)

    assert answers.known.all()
    assert not answers.joined.any()


def test_a_classifier_trained_again_can(asked):
    catalogue, questions = asked

    answers = ask_retrained(perfect_embeddings(catalogue), questions, catalogue)

    assert answers.joined.all()
    assert answers.rejection is None


def test_searching_agrees_with_the_ranking_evaluation(asked, truth):
    catalogue, questions = asked
    embeddings = noisy_embeddings(catalogue, 0.5)

    answers = ask_embedding(embeddings, questions, catalogue)
    report = evaluate_retrieval(
        query_embeddings=embeddings[questions.joined],
        gallery_embeddings=embeddings[questions.trainable],
        query_identities=truth[questions.joined],
        gallery_identities=truth[questions.trainable],
    )

    assert 0 < answers.joined.mean() < 1
    assert np.array_equal(answers.joined, report.is_correct_at_1)


def test_the_threshold_does_not_see_the_test(asked):
    catalogue, questions = asked
    embeddings = noisy_embeddings(catalogue, 0.5)
    test_rows = np.concatenate([questions.known, questions.unknown])
    disturbed = embeddings.copy()
    disturbed[test_rows] = noisy_embeddings(catalogue, 3.0, seed=1)[test_rows]

    first = ask_embedding(embeddings, questions, catalogue).rejection
    second = ask_embedding(disturbed, questions, catalogue).rejection

    assert first.threshold == second.threshold
    assert first.geometric_mean != second.geometric_mean


def test_a_disjoint_split_leaves_retrieval_only_and_says_why(catalogue):
    questions = questions_of(catalogue, make_split(catalogue, "disjoint"))

    assert len(questions.known) == 0
    assert any("Retrieval only" in reason for reason in questions.reasons)


def test_a_gallery_finds_the_most_alike_photo():
    gallery = Gallery(2)
    gallery.enrol(np.eye(2), ["a", "b"])

    identities, similarity = gallery.identify(np.array([[0.6, 0.8], [1.0, 0.0]]))

    assert identities.tolist() == ["b", "a"]
    assert similarity == pytest.approx([0.8, 1.0])


def test_an_empty_gallery_is_an_error():
    with pytest.raises(ValueError, match="no photo may be found"):
        Gallery(2).search(np.eye(2))


def trials_of(asked, noises):
    catalogue, _ = asked
    return [
        Trial(name, seed, ask_embedding(noisy_embeddings(catalogue, noise, seed), *asked[::-1]))
        for name, noise in noises.items()
        for seed in (0, 1)
    ]


def test_the_table_holds_means_over_seeds_with_intervals(asked, truth):
    trials = trials_of(asked, {"good": 0.2, "bad": 3.0})

    table = summarise(trials, asked[1], truth).set_index("approach")

    expected = np.mean([trial.answers.known.mean() for trial in trials if trial.approach == "bad"])
    assert table.loc["bad", "known animals"] == pytest.approx(expected)
    assert table.loc["bad", "known animals_low"] <= expected
    assert table.loc["good", "known animals"] > table.loc["bad", "known animals"]


def test_rankings_leave_the_querys_own_encounter_out(asked):
    catalogue, questions = asked
    encounters = catalogue.table["encounter"].to_numpy()
    n_same = sum((encounters[questions.unknown] == encounters[row]).sum()
                 for row in questions.unknown)  # fmt: skip

    ranking = ask_embedding(perfect_embeddings(catalogue), questions, catalogue).ranking

    assert ranking.n_ignored == n_same
    assert ranking.mAP_answerable == pytest.approx(1.0)


def test_the_table_of_rankings_counts_queries_without_a_match_as_misses(asked, truth):
    trials = trials_of(asked, {"perfect": 0.0})

    (row,) = summarise_rankings(trials, asked[1], truth).to_dict("records")

    n_queries = len(asked[1].unknown)
    assert row["queries"] == n_queries
    assert row["rank-1"] == pytest.approx(1 - row["without a match"] / n_queries)


def test_a_clear_difference_is_named_and_none_is_not_distinguishable(asked, truth):
    trials = trials_of(asked, {"good": 0.1, "bad": 5.0, "also good": 0.1})

    _, clear = compare(trials, "good", "bad", "known animals", asked[1], truth)
    _, none = compare(trials, "good", "also good", "known animals", asked[1], truth)

    assert "good is better" in clear
    assert "not distinguishable" in none
