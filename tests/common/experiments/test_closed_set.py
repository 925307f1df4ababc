"""One task, several ways: outcomes are pooled by photo and compared in pairs."""

from common.experiments.closed_set import (
    Outcome,
    Task,
    difference,
    summarise_outcomes,
    verdict,
)
from common.experiments.ways import Way, train_siamese
from common.measures.classification import evaluate_classification
from common.measures.intervals import Interval
from common.models.backbones import load_backbone
from common.training import feature_cache
from common.training.loop import TrainingSettings
from common.training.strategies import Step

import numpy as np
import pytest
import torch

INDIVIDUALS = np.array(["a", "a", "b", "b"])
SETTINGS = TrainingSettings(epochs=1, batch_size=4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "CACHE_FOLDER", tmp_path / "cache")


def outcome(name, seed, is_right, seconds=1.0):
    labels = np.array([0, 0, 1, 1])
    named = np.where(is_right, labels, 1 - labels)
    report = evaluate_classification(
        scores=np.eye(2)[named], labels=labels, identities=["a", "b"], top_k=(1,)
    )
    return Outcome(name, seed, report, np.array(is_right[:2], dtype=bool), seconds)


def task_of_noise():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 6)
    return Task(
        pixels=rng.integers(0, 255, (18, 37, 37, 3), dtype=np.uint8), labels=labels,
        names=["a", "b", "c"], train=np.flatnonzero(np.arange(18) % 6 < 3),
        validation=np.flatnonzero(np.arange(18) % 6 == 3),
        test=np.flatnonzero(np.arange(18) % 6 > 3), individuals=labels,
        encounters=np.arange(18).astype(str), flip=True, device=torch.device("cpu"),
    )  # fmt: skip


def small_cnn():
    torch.manual_seed(0)
    return load_backbone("small_cnn", image_size=32)


def test_accuracy_is_the_mean_over_seeds_and_photos():
    outcomes = [outcome("one", 0, [1, 1, 1, 0], 2.0), outcome("one", 1, [1, 0, 1, 0], 4.0)]

    (row,) = summarise_outcomes(outcomes, INDIVIDUALS).to_dict("records")

    assert row["test"] == pytest.approx(5 / 8)
    assert row["validation"] == pytest.approx(3 / 4)
    assert row["training, s"] == pytest.approx(3.0)
    assert row["test_low"] == pytest.approx(0.5)  # only b, twice
    assert row["test_high"] == pytest.approx(0.75)  # only a, twice


def test_two_ways_are_compared_photo_by_photo():
    outcomes = [outcome("one", 0, [1, 1, 1, 1]), outcome("two", 0, [1, 1, 0, 0])]

    interval = difference(outcomes, "one", "two", INDIVIDUALS)

    assert (interval.estimate, interval.low, interval.high) == (0.5, 0.0, 1.0)


def test_validation_photos_are_compared_where_something_is_chosen():
    outcomes = [outcome("one", 0, [1, 1, 0, 0]), outcome("two", 0, [1, 0, 1, 1])]

    interval = difference(outcomes, "one", "two", INDIVIDUALS[:2], part="validation")

    assert interval.estimate == 0.5


@pytest.mark.parametrize(
    ("ends", "words"),
    [((0.1, 0.3), "one is better"), ((-0.3, -0.1), "two is better"),
     ((-0.1, 0.1), "not distinguishable")],
)  # fmt: skip
def test_the_sentence_says_what_the_interval_allows(ends, words):
    interval = Interval(sum(ends) / 2, *ends, 0.95, 10, 100, is_difference=True)

    assert words in verdict("one", "two", interval)


def test_a_way_is_asked_about_the_test_photos():
    task = task_of_noise()

    result, trained = Way("a way", small_cnn(), [Step(1, 1)], task, n_views=1).train(
        SETTINGS, progress=False
    )

    assert result.report.n_images == len(task.test)
    assert len(result.validation) == len(task.validation)
    chosen = trained.fit.history[result.best_epoch - 1]
    assert result.validation_accuracy == pytest.approx(chosen["validation_accuracy"])


def test_from_scratch_every_seed_has_its_own_start():
    way = Way("scratch", small_cnn(), [Step(None, 1)], task_of_noise(), from_scratch=True)

    first, second = (
        way.train(TrainingSettings(epochs=1, seed=seed), progress=False)[0].scores
        for seed in (0, 1)
    )
    again = way.train(TrainingSettings(epochs=1, seed=0), progress=False)[0].scores

    assert not np.allclose(first, second)
    assert np.array_equal(first, again)


def test_a_siamese_network_answers_with_the_most_alike_training_photo():
    task = task_of_noise()
    photos = Way("behind", small_cnn(), [Step(1, 1)], task, n_views=1).photos[-1]

    result, trained = train_siamese(photos, task, SETTINGS, progress=False)

    similarity = (
        photos.outputs(trained.model, task.test) @ photos.outputs(trained.model, task.train).T
    )
    nearest = task.labels[task.train][similarity.argmax(axis=1)]
    assert np.array_equal(result.report.is_correct, nearest == task.labels[task.test])


def test_a_siamese_network_needs_two_photos_of_an_animal():
    task = task_of_noise()
    photos = Way("behind", small_cnn(), [Step(1, 1)], task, n_views=1).photos[-1]

    assert train_siamese(photos, task, SETTINGS, train_rows=np.array([0, 6, 12])) is None
