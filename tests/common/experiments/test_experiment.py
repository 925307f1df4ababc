"""One experiment, several approaches: each is trained alike and asked about the same photos."""

from argparse import Namespace
from dataclasses import replace

from common.data.class_folders import ClassPhotos
from common.data.images import PhotoDataset, evaluation_transform
from common.experiments.experiment import Planned, catalogue_experiment, classes_experiment
from common.models.backbones import load_backbone
from common.models.extraction import extract
from common.splits.splits import make_split
from common.splits.study import Study
from common.training import feature_cache
from common.training.losses import contrastive
from common.training.recipes import train_embedding
from common.training.strategies import Step

import numpy as np
import pytest
import torch

FLAGS = Namespace(epochs=1, batch_size=4, device="cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "CACHE_FOLDER", tmp_path / "cache")


def experiment_on_noise():
    rng = np.random.default_rng(0)
    labels, place = np.repeat(np.arange(3), 6), np.arange(18) % 6
    photos = ClassPhotos([], labels, ["a", "b", "c"], np.repeat("", 18), [])
    parts = {"train": place < 3, "validation": place == 3, "test": place > 3}
    return classes_experiment(
        rng.integers(0, 255, (18, 37, 37, 3), dtype=np.uint8),
        photos,
        {part: np.flatnonzero(is_in) for part, is_in in parts.items()},
        FLAGS,
    )


def small_cnn():
    torch.manual_seed(0)
    return load_backbone("small_cnn", image_size=32)


def test_an_approach_is_asked_about_the_test_photos():
    experiment = experiment_on_noise()
    approach = experiment.approach("one", small_cnn(), [Step(1, 1)], n_views=1)

    trained = experiment.train(approach, 0, progress=False)
    trial = experiment.ask(approach, 0, trained)

    assert trial.answers.report.n_images == len(experiment.questions.known) == 6
    assert len(trial.answers.validation) == 3
    chosen = trained.fit.history[trial.best_epoch - 1]
    assert np.mean(trial.answers.validation) == pytest.approx(chosen["validation_accuracy"])


def test_from_scratch_every_seed_has_its_own_start():
    experiment = experiment_on_noise()
    approach = experiment.approach("scratch", small_cnn(), [Step(None, 1)], from_scratch=True)

    first, second, again = (
        experiment.ask(approach, seed, experiment.train(approach, seed, progress=False))
        for seed in (0, 1, 0)
    )

    assert not np.allclose(first.answers.scores, second.answers.scores)
    assert np.array_equal(first.answers.scores, again.answers.scores)


def siamese_of(experiment):
    return experiment.approach(
        "Siamese", small_cnn(), [Step(1, 1)], recipe=train_embedding, n_views=1
    )


def test_an_embedding_answers_with_the_most_alike_training_photo():
    experiment = experiment_on_noise()
    siamese, labels = siamese_of(experiment), experiment.classed.labels
    train, test = experiment.questions.train, experiment.questions.known

    trained = experiment.train(
        siamese, 0, criterion=contrastive(), progress=False,
        batch_sampler=experiment.batches_of_several(0),
    )  # fmt: skip
    trial = experiment.ask(siamese, 0, trained)

    outputs = siamese.behind.outputs
    nearest = (outputs(trained.model, test) @ outputs(trained.model, train).T).argmax(axis=1)
    assert np.array_equal(trial.answers.known, labels[train][nearest] == labels[test])


def test_a_pair_needs_two_photos_of_a_class():
    experiment = experiment_on_noise()

    assert experiment.n_with_pairs() == 3
    assert experiment.n_with_pairs(np.array([0, 6, 12])) == 0
    assert experiment.n_with_pairs(np.array([0, 1, 12])) == 1


def test_some_rows_and_epochs_are_trained_without_validation():
    experiment = experiment_on_noise()
    approach = experiment.approach("one", small_cnn(), [Step(1, 1)], n_views=1)

    trained = experiment.train(
        approach, 0, rows=np.array([0, 6]), epochs=3, validate=False, progress=False
    )

    assert [row["epoch"] for row in trained.fit.history] == [1, 2, 3]
    assert "validation_accuracy" not in trained.fit.history[0]
    assert trained.fit.best_epoch == 3


def test_a_step_has_settings_of_its_own_also_for_an_embedding():
    experiment = experiment_on_noise()
    step = Step(1, 4, settings={"patience": 1})

    siamese = replace(siamese_of(experiment), plan=[step])
    trained = experiment.train(
        siamese, 0, validate=lambda model: {"validation_accuracy": 0.5}, progress=False
    )

    assert len(trained.fit.history) == 2


def test_what_was_trained_is_the_end_of_a_whole_network():
    experiment = experiment_on_noise()
    plan = [Step(0, 1), Step(2, 1)]
    approach = experiment.approach("one", small_cnn(), plan, n_views=1)
    trained = experiment.train(approach, 0, progress=False)
    rows = experiment.questions.known

    recogniser = approach.recogniser(trained).eval()

    dataset = PhotoDataset(
        experiment.classed.pixels[rows], rows, evaluation_transform(approach.backbone.preprocessing)
    )
    expected = approach.behind.outputs(trained.model, rows)
    assert np.allclose(extract(recogniser, dataset, progress=False), expected, atol=1e-2)


def test_minutes_grow_with_what_is_planned():
    experiment = experiment_on_noise()
    approach = experiment.approach("one", small_cnn(), [Step(1, 1)], n_views=1)

    few, many = (
        experiment.expected_minutes([Planned(approach, n), Planned(approach, n, 3, 50)])
        for n in (1, 10_000)
    )

    assert 0 < few < many


def test_known_animals_of_a_catalogue_are_asked_and_nobody_else(catalogue):
    split = make_split(catalogue, "time_aware")
    study = Study(catalogue, split, leak=None)

    experiment = catalogue_experiment(study, FLAGS, small_cnn())

    assert experiment.class_names == catalogue.identities
    assert np.array_equal(experiment.classed.labels, study.labels)
    assert np.array_equal(experiment.questions.known, study.rows_known("test"))
    assert not len(experiment.questions.unknown)
    assert experiment.flip is not catalogue.has_sides
