"""One table per question: what is counted, and what may be compared."""

from dataclasses import replace

import question_tables as tables
from common.experiments.answers import ask_classifier, ask_embedding
from common.experiments.trials import Trial, chance_alone, difference_table
from common.measures.clustering import clusters_of
from common.splits.questions import questions_of
from common.splits.splits import make_split

import numpy as np
import pytest

SEARCH, CLASSIFIER = "embedding", "classifier"


@pytest.fixture(scope="module")
def asked(catalogue):
    split = make_split(catalogue, "time_aware", validation_newcomer_share=0.2)
    return catalogue, questions_of(catalogue, split, n_enrolled=(1, 2))


@pytest.fixture(scope="module")
def truth(catalogue):
    return catalogue.table["identity"].to_numpy(dtype=str)


def vectors(catalogue, seed, noise=0.6):
    labels = catalogue.table["identity"].map(catalogue.labels).to_numpy()
    perfect = np.eye(len(catalogue.identities))[labels]
    noisy = perfect + noise * np.random.default_rng(seed).normal(size=perfect.shape)
    return (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def trials(asked, truth):
    catalogue, questions = asked
    found = []
    for seed in (0, 1):
        own = vectors(catalogue, seed)
        clusters = clusters_of(own[questions.test].argmax(axis=1), truth[questions.test])
        searched = ask_embedding(own, questions, catalogue)
        found += [
            Trial(SEARCH, seed, replace(searched, clusters=clusters)),
            Trial(CLASSIFIER, seed, ask_classifier(6 * own, questions, catalogue)),
        ]
    return found


def test_both_kinds_of_error_stand_in_the_table(trials, asked):
    questions = asked[1]

    table = tables.unknown_table(trials)

    rejected = table[f"known rejected, of {len(questions.known)}"]
    accepted = table[f"unknown accepted, of {len(questions.unknown)}"]
    reports = [trial.answers.rejection for trial in trials if trial.approach == SEARCH]
    assert list(table["score"]) == ["similarity", "highest probability", "energy"]
    assert rejected[0] == np.mean([np.sum(~each.is_accepted[each.is_known]) for each in reports])
    assert accepted[0] == np.mean([np.sum(each.is_accepted[~each.is_known]) for each in reports])


def test_measures_and_their_intervals_agree_with_the_reports(trials):
    table = tables.unknown_table(trials).set_index("score")

    own = [trial.answers.rejections["energy"] for trial in trials if trial.approach == CLASSIFIER]
    for name, attribute in tables.MEASURES.items():
        expected = np.mean([getattr(each.report, attribute) for each in own])
        assert table.loc["energy", name] == pytest.approx(expected)
        assert table.loc["energy", f"{name}_low"] <= expected <= table.loc["energy", f"{name}_high"]


def test_what_one_seed_alone_was_asked_is_that_seeds(trials):
    first, second = [trial for trial in trials if trial.approach == SEARCH]
    fewer = replace(second.answers, joined_after={2: second.answers.joined_after[2]})

    trend = tables.joining_trend([first, replace(second, answers=fewer)]).set_index("photos")

    assert trend.loc[1, "accuracy"] == pytest.approx(first.answers.joined_after[1].mean())


def test_joining_has_a_column_for_each_number_of_photos(trials):
    trend = tables.joining_trend(trials)
    table = tables.joining_table(trials, trend).set_index("approach")

    for n_photos, name in ((1, "1 photo"), (2, "2 photos")):
        own = [t.answers.joined_after[n_photos] for t in trials if t.approach == SEARCH]
        assert table.loc[SEARCH, name] == pytest.approx(np.mean(own))
        assert table.loc[CLASSIFIER, name] == 0
    assert list(table.columns)[-1] == "adding animals"


def test_balanced_accuracy_weighs_each_animal_alike(trials, asked, truth):
    questions = asked[1]
    table = tables.known_table(trials).set_index("approach")

    own = np.mean([t.answers.known for t in trials if t.approach == SEARCH], axis=0)
    animals = truth[questions.known]
    shares = [own[animals == name].mean() for name in np.unique(animals)]
    assert table.loc[SEARCH, "balanced accuracy"] == pytest.approx(np.mean(shares))


def test_only_what_groups_photos_is_in_the_table_of_groups(trials, asked, truth):
    (row,) = tables.cluster_table(trials).to_dict("records")

    own = [t.answers.clusters.adjusted_rand_index for t in trials if t.answers.clusters]
    assert row["approach"] == SEARCH
    assert row["adjusted Rand index"] == pytest.approx(np.mean(own))
    assert row["animals"] == len(np.unique(truth[asked[1].test]))


def test_differences_are_listed_with_their_verdict(trials):
    pairs = {
        "known animals": [(SEARCH, CLASSIFIER), (SEARCH, "nobody")],
        "AUROC": [((SEARCH, "similarity"), (CLASSIFIER, "energy"))],
    }

    found = tables.compare_all(trials, pairs)
    table = difference_table(found)

    assert list(table["question"]) == ["known animals", "AUROC"]
    for row in table.to_dict("records"):
        is_apart = row["difference_low"] > 0 or row["difference_high"] < 0
        assert (row["better"] == "not distinguishable") != is_apart
    assert f"of {len(found)} differences" in chance_alone(found)


def test_scores_with_other_seeds_are_not_compared(trials):
    with pytest.raises(ValueError, match="expected the same"):
        tables.compare_rejection(
            trials[:-1], (SEARCH, "similarity"), (CLASSIFIER, "energy"), "AUROC"
        )


def test_reliability_pools_all_seeds(trials, asked):
    bins = tables.reliability_bins(trials, [SEARCH, CLASSIFIER, "nobody"])

    assert list(bins) == [
        "embedding, similarity", "classifier, highest probability", "classifier, energy",
    ]  # fmt: skip
    assert all(table["photos"].sum() == 2 * len(asked[1].test) for table in bins.values())


@pytest.mark.parametrize(
    "table",
    [
        tables.known_table,
        tables.joining_trend,
        tables.unknown_table,
        tables.cluster_table,
        lambda trials: tables.joining_table(trials, tables.joining_trend(trials)),
        lambda trials: tables.joining_lines(tables.joining_trend(trials), {SEARCH: SEARCH}),
        lambda trials: tables.separation(tables.unknown_table(trials)),
        lambda trials: difference_table(tables.compare_all(trials, {"AUROC": []})),
    ],
)
def test_without_a_trial_a_table_has_its_columns_all_the_same(table):
    empty = table([])

    assert len(empty) == 0
    assert {"approach", "first"} & set(empty.columns)


def test_where_nobody_joined_or_is_unknown_tables_are_empty(trials):
    closed = [
        replace(trial, answers=replace(trial.answers, joined_after={1: np.zeros(0, bool)},
                                       rejections={}, clusters=None))
        for trial in trials
    ]  # fmt: skip

    trend = tables.joining_trend(closed)
    for table in (trend, tables.joining_table(closed, trend), tables.unknown_table(closed),
                  tables.cluster_table(closed)):  # fmt: skip
        assert len(table) == 0
        assert "approach" in table
