"""Question 3: both errors are counted, and nothing that chooses ever sees a test photo."""

from common.measures.rejection import NEW, Queries, WeightedMeasures, judge

import numpy as np
import pytest

KNOWN = frozenset({"anna", "berta", "carla"})


def queries(n=120, seed=0, noise=0.5):
    """Photos of three known and two unknown animals; known ones score higher, with noise."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(["anna", "berta", "carla", "uwe", "vera"], n)
    predicted = np.where(rng.random(n) < 0.7, truth, "anna")
    predicted = np.where(np.isin(predicted, [*KNOWN]), predicted, "berta")
    scores = np.isin(truth, [*KNOWN]) + noise * rng.normal(size=n)
    return Queries(scores.round(1), predicted, truth, KNOWN)  # rounded: some scores are tied


@pytest.fixture(scope="module")
def judged():
    return [judge(queries(seed=seed), queries(seed=10)) for seed in (0, 1)]


def test_neither_threshold_nor_probabilities_see_the_test():
    validation = queries()
    first, second = judge(validation, queries(seed=1)), judge(validation, queries(seed=2, noise=5))

    # What a score means is fixed by validation alone: equal scores, equal probabilities.
    meaning = dict(zip(first.scores, first.probability, strict=True))
    shared = [score for score in second.scores if score in meaning]
    assert first.report.threshold == second.report.threshold
    assert len(shared) > 20
    assert all(probability == meaning[score]
               for score, probability in zip(second.scores, second.probability, strict=True)
               if score in meaning)  # fmt: skip
    assert first.report.geometric_mean != second.report.geometric_mean


def test_rejected_known_and_accepted_unknown_photos_are_both_counted(judged):
    asked, found = queries(seed=10), judged[0]
    is_known = np.isin(asked.truth, [*KNOWN])
    accepted = asked.scores >= found.report.threshold

    assert found.report.n_known_rejected == sum(is_known & ~accepted) > 0
    assert found.report.n_unknown_accepted == sum(~is_known & accepted) > 0
    assert [name == NEW for name in found.verdict] == (~accepted).tolist()


def test_an_unknown_animal_is_never_named_right(judged):
    is_known = judged[0].report.is_known

    assert not judged[0].is_named_right[~is_known].any()
    assert judged[0].is_named_right[is_known].any()


@pytest.mark.parametrize("name", ["auroc", "geometric_mean"])
def test_with_every_animal_once_the_measures_are_those_of_the_reports(judged, name):
    measures = WeightedMeasures(judged)
    once = [np.ones((1, 3)), np.ones((1, 2))]

    expected = np.mean([getattr(each.report, name) for each in judged])
    assert getattr(measures, name)(*once)[0] == pytest.approx(expected)
    assert measures.interval(name).estimate == pytest.approx(expected)


def test_weights_are_copies_of_animals(judged):
    weights = {"anna": 2, "berta": 0, "carla": 1, "uwe": 1, "vera": 3}
    measures = WeightedMeasures(judged[:1])
    drawn = [np.array([[2.0, 0.0, 1.0]]), np.array([[1.0, 3.0]])]
    copies = np.repeat(np.arange(120), [weights[name] for name in judged[0].truth])
    scores, is_known = judged[0].scores[copies], judged[0].report.is_known[copies]

    pairs = [1.0 if a > b else 0.5 if a == b else 0.0
             for a in scores[is_known] for b in scores[~is_known]]  # fmt: skip
    right = judged[0].report.is_correct
    share = {name: right[judged[0].truth == name].mean() for name in weights}
    assert measures.auroc(*drawn)[0] == pytest.approx(np.mean(pairs))
    baks, baus = (2 * share["anna"] + share["carla"]) / 3, (share["uwe"] + 3 * share["vera"]) / 4
    assert measures.geometric_mean(*drawn)[0] == pytest.approx((baks * baus) ** 0.5)


def test_a_score_does_not_differ_from_itself_and_differs_from_a_clearly_worse_one(judged):
    same = WeightedMeasures(judged).difference(WeightedMeasures(judged), "auroc")
    blind = [judge(queries(noise=50), queries(seed=10, noise=50))] * 2
    better = WeightedMeasures(judged).difference(WeightedMeasures(blind), "auroc")

    assert (same.low, same.estimate, same.high) == (0, 0, 0)
    assert better.is_difference
    assert better.estimate > 0
    assert better.excludes_zero


def test_probabilities_that_come_true_have_a_small_error():
    truthful = judge(queries(4_000, seed=3), queries(4_000, seed=4))

    assert truthful.calibration_error < 0.05
    assert truthful.to_dict()["calibration_error"] == truthful.calibration_error
