"""The three questions are asked of the right photos, and thresholds never see the test."""

from common.data.images import read_photos
from common.data.training_classes import by_class, identity_of_classes, with_mirrors
from common.experiments.answers import ask_classifier, ask_embedding, ask_retrained, name_by_logits
from common.experiments.trials import Trial, compare, summarise, summarise_rankings
from common.gallery.gallery import Gallery
from common.measures.retrieval import evaluate_retrieval
from common.splits.questions import questions_of
from common.splits.splits import make_split

import numpy as np
import pytest


@pytest.fixture(scope="module")
def asked(catalogue):
    split = make_split(catalogue, "time_aware", validation_newcomer_share=0.2)
    return catalogue, questions_of(catalogue, split, n_enrolled=(1, 3))


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
        gallery_embeddings=embeddings[questions.with_enrolled],
        query_identities=truth[questions.joined],
        gallery_identities=truth[questions.with_enrolled],
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


def test_test_photos_are_searched_among_validation_photos_of_known_animals_too(asked, truth):
    _, questions = asked

    added = np.setdiff1d(questions.searched, questions.train)

    assert added.tolist() == questions.validation_known.tolist()
    assert set(truth[added]) <= set(truth[questions.train])
    assert set(questions.with_enrolled) == {*questions.searched, *questions.enrolled}


def test_what_validation_lends_the_gallery_answers_the_test_and_never_itself(asked, truth):
    catalogue, questions = asked
    animal = np.intersect1d(truth[questions.known], truth[questions.validation_known])[0]
    shown = np.concatenate([questions.validation_known, questions.known])
    embeddings = np.random.default_rng(0).normal(size=(catalogue.n_images, 60))
    embeddings[shown[truth[shown] == animal]] = 1.0  # alike, and like no photo of training
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)

    answers = ask_embedding(embeddings, questions, catalogue)

    assert answers.known[truth[questions.known] == animal].all()
    assert answers.rejection.threshold < 0.9  # a photo that found itself would have 1


def test_what_is_trained_on_all_chooses_nothing_and_asks_the_same(asked):
    questions = asked[1]

    on_all = questions.trained_on_all()

    assert set(on_all.train) == {*questions.train, *questions.validation}
    assert not len(on_all.validation)
    assert not on_all.can_reject
    assert np.array_equal(on_all.joined, questions.joined)


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


def test_the_table_holds_means_over_seeds_with_intervals(asked):
    trials = trials_of(asked, {"good": 0.2, "bad": 3.0})

    table = summarise(trials).set_index("approach")

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


def test_the_table_of_rankings_counts_queries_without_a_match_as_misses(asked):
    trials = trials_of(asked, {"perfect": 0.0})

    (row,) = summarise_rankings(trials).to_dict("records")

    n_queries = len(asked[1].unknown)
    assert row["queries"] == n_queries
    assert row["rank-1"] == pytest.approx(1 - row["without a match"] / n_queries)


def test_a_clear_difference_is_named_and_none_is_not_distinguishable(asked):
    trials = trials_of(asked, {"good": 0.1, "bad": 5.0, "also good": 0.1})

    clear = compare(trials, "good", "bad", "known animals")
    none = compare(trials, "good", "also good", "known animals")

    assert "good is better" in clear.sentence()
    assert "not distinguishable" in none.sentence()


def test_exactly_so_many_photos_are_enrolled_the_first_in_time(asked, truth):
    catalogue, questions = asked
    date = catalogue.table["date"].to_numpy()

    for n_photos in (1, 3):
        rows = questions.first_enrolled(n_photos)
        for name in np.unique(truth[questions.enrolled]):
            own = rows[truth[rows] == name]
            others = np.setdiff1d(questions.unknown[truth[questions.unknown] == name], own)
            n_first = np.sum(truth[questions.enrolled] == name)
            assert len(own) == min(n_photos, n_first)
            assert not len(others) or date[own].max() <= date[others].min()


def test_questions_do_not_depend_on_how_many_photos_are_enrolled(asked):
    catalogue, questions = asked

    answers = ask_embedding(noisy_embeddings(catalogue, 0.5), questions, catalogue)

    assert {n: len(each) for n, each in answers.joined_after.items()} == dict.fromkeys(
        (1, 3), len(questions.joined)
    )
    assert set(questions.first_enrolled(1)) < set(questions.first_enrolled(3))
    assert answers.joined is answers.joined_after[3]


def test_animals_with_fewer_photos_are_counted(catalogue):
    split = make_split(catalogue, "time_aware", validation_newcomer_share=0.2)

    questions = questions_of(catalogue, split, n_enrolled=(500,))

    assert any("Fewer than 500 photos" in reason for reason in questions.reasons)


def test_asking_by_means_is_asking_a_gallery_of_means(asked, truth):
    catalogue, questions = asked
    embeddings = noisy_embeddings(catalogue, 0.8)
    names, rows = np.unique(truth[questions.train]), questions.searched
    means = [embeddings[rows][truth[rows] == name].mean(axis=0) for name in names]
    means = np.array([mean / np.linalg.norm(mean) for mean in means])

    answers = ask_embedding(embeddings, questions, catalogue, by_means=True)

    nearest = names[(embeddings[questions.known] @ means.T).argmax(axis=1)]
    assert answers.known.tolist() == (nearest == truth[questions.known]).tolist()
    assert answers.ranking is None


def test_thresholds_and_meanings_of_a_classifiers_scores_do_not_see_the_test(asked):
    catalogue, questions = asked
    logits = 5 * noisy_embeddings(catalogue, 0.5)
    disturbed = logits.copy()
    disturbed[questions.test] = 9 * noisy_embeddings(catalogue, 3.0, seed=1)[questions.test]

    first, second = (ask_classifier(each, questions, catalogue) for each in (logits, disturbed))

    assert list(first.rejections) == ["highest probability", "energy"]
    for score, own in first.rejections.items():
        other = second.rejections[score]
        assert own.report.threshold == other.report.threshold
        assert own.report.auroc != other.report.auroc


def test_a_classifier_over_sides_names_the_animal_and_never_a_mirror_image(asked, truth):
    catalogue, questions = asked
    pixels = read_photos(catalogue.paths(), 32, progress=False)
    classed = by_class(catalogue, pixels, questions.with_enrolled, "mirrored")
    labels = catalogue.table["identity"].map(catalogue.labels).to_numpy()
    classes = identity_of_classes(classed, labels)
    logits = np.zeros((catalogue.n_images, classed.n_classes))
    logits[:, classes == -1] = 9.0  # surest of all
    logits[np.arange(catalogue.n_images), classed.labels[: catalogue.n_images]] = 5.0

    named = name_by_logits(logits, questions.with_enrolled, catalogue, classes)

    seen = np.isin(classed.names[: catalogue.n_images], classed.names[questions.train])
    rows = np.intersect1d(questions.known, np.flatnonzero(seen))
    assert (classes == -1).sum() == len(np.unique(classed.labels[catalogue.n_images :]))
    assert named[rows].tolist() == truth[rows].tolist()


def test_a_photo_is_trained_on_together_with_its_mirror_image(asked):
    catalogue, questions = asked
    pixels = read_photos(catalogue.paths(), 32, progress=False)
    classed = by_class(catalogue, pixels, questions.with_enrolled, "mirrored")

    rows = with_mirrors(classed, questions.train, catalogue.n_images)

    plain, mirrored = rows[: len(questions.train)], rows[len(questions.train) :]
    assert plain.tolist() == questions.train.tolist()
    for image, photo in zip(mirrored, plain, strict=True):
        assert np.array_equal(classed.pixels[image], classed.pixels[photo][:, ::-1])


def test_approaches_with_other_seeds_are_not_compared(asked):
    trials = trials_of(asked, {"good": 0.1, "bad": 5.0})

    with pytest.raises(ValueError, match="expected the same"):
        compare(trials[:-1], "good", "bad", "known animals")
