"""How an experiment asks the course's three questions of what it trained.

The scripts say which approaches, in which order; here is how one of them is asked.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from common.data.images import PhotoDataset, evaluation_transform, read_photos
from common.data.training_classes import identity_of_classes
from common.experiments.answers import (
    PROBABILITY,
    ask_classifier,
    ask_embedding,
    ask_retrained,
    name_by_logits,
)
from common.experiments.experiment import Approach, Experiment
from common.experiments.trials import Trial
from common.gallery.gallery import Gallery
from common.measures.clustering import cluster_test_photos, clusters_of
from common.models.extraction import extract
from common.training.recipes import Trained
from common.words import counted

import numpy as np
from torch import nn


def identity_of_class(experiment: Experiment) -> np.ndarray:
    """Label of the animal that each class names, shape (n_classes,); -1 for none."""
    return identity_of_classes(experiment.classed, experiment.study.labels)


def try_classifier(
    experiment: Experiment, approach: Approach, seed: int, trained: Trained
) -> Trial:
    """Ask a classifier; its groups of photos are those with one verdict."""
    questions = experiment.questions
    logits, classes = experiment.outputs(approach, trained.model), identity_of_class(experiment)
    catalogue = experiment.study.catalogue
    answers = ask_classifier(logits, questions, catalogue, identity_of_class=classes)
    if answers.rejections:
        verdicts = answers.rejections[PROBABILITY].verdict
        clusters = clusters_of(verdicts, experiment.identity[questions.test])
        answers = replace(answers, clusters=clusters)
    return Trial.of(approach.name, seed, answers, trained)


def try_retrained(
    experiment: Experiment, approach: Approach, seed: int, n_enrolled: Sequence[int]
) -> Trial:
    """Train a classifier again with the animals that joined, and ask it.

    It gets what a gallery holds then, validation photos among it, so that none is left to choose
    an epoch: the last one is taken.

    Args:
        n_enrolled: photos of each new animal, ascending; a training for each number. The
            last one's answers about known animals, and its seconds, are the trial's.
    """
    questions, catalogue = experiment.questions, experiment.study.catalogue
    classes, joined_after = identity_of_class(experiment), {}
    for n_photos in n_enrolled:
        title = f"{approach.name}, {counted(n_photos, 'photo')}, seed {seed}"
        rows = np.union1d(questions.searched, questions.first_enrolled(n_photos))
        trained = experiment.train(approach, seed, title=title, rows=rows, validate=False)
        logits, options = experiment.outputs(approach, trained.model), {"n_enrolled": n_photos}
        answers = ask_retrained(logits, questions, catalogue, identity_of_class=classes, **options)
        joined_after |= answers.joined_after
    answers = replace(answers, joined_after=joined_after)
    seconds = trained.fit.seconds
    return Trial.of(approach.name, seed, answers, trained, adding_seconds=seconds)


def embed(experiment: Experiment, approach: Approach, model: nn.Module) -> tuple[np.ndarray, float]:
    """What a model makes of all photos, and what it takes to enrol one animal with it.

    Returns:
        embeddings: shape (n_images, embedding_dim), unit length.
        seconds: from the photo files of one animal that joined to a gallery that knows it;
            nan where nobody joined.
    """
    embeddings = _unit_length(experiment.outputs(approach, model))
    return embeddings, _seconds_to_enrol(experiment, approach, model)


def try_search(
    experiment: Experiment,
    name: str,
    seed: int,
    embedded: tuple[np.ndarray, float],
    trained: Trained | None = None,
    *,
    by_means: bool = False,
) -> Trial:
    """Ask what searches.

    Args:
        trained: where they come from; None: nothing is trained.
    """
    questions, (embeddings, seconds) = experiment.questions, embedded
    answers = ask_embedding(embeddings, questions, experiment.study.catalogue, by_means=by_means)
    if not by_means:  # photos are grouped alike, however one of them is named
        parts = {"validation": questions.validation, "test": questions.test}
        clusters = cluster_test_photos(embeddings, experiment.identity, **parts)
        answers = replace(answers, clusters=clusters)
    if trained is None:
        return Trial(name, seed, answers, adding_seconds=seconds)
    return Trial.of(name, seed, answers, trained, adding_seconds=seconds)


def name_photos(
    experiment: Experiment,
    approach: Approach,
    trained: Trained,
    train: np.ndarray,
    asked: np.ndarray,
) -> np.ndarray:
    """Names of the asked rows, str: the likeliest, or that of the most alike row of `train`."""
    outputs = experiment.outputs(approach, trained.model, asked)
    if approach.is_classifier:
        catalogue = experiment.study.catalogue
        return name_by_logits(outputs, train, catalogue, identity_of_class(experiment))
    gallery = Gallery(outputs.shape[1])
    gallery.enrol(experiment.outputs(approach, trained.model, train), experiment.identity[train])
    return gallery.identify(outputs)[0]


def _seconds_to_enrol(experiment: Experiment, approach: Approach, model: nn.Module) -> float:
    study, photos = experiment.study, approach.behind
    enrolled = experiment.questions.enrolled
    if not len(enrolled):
        return float("nan")
    rows = enrolled[study.identity[enrolled] == study.identity[enrolled[0]]]
    paths = [study.catalogue.paths()[row] for row in rows]
    network = nn.Sequential(photos.trunk, model)
    plain = evaluation_transform(photos.preprocessing)

    start = time.perf_counter()
    pixels = read_photos(paths, photos.preprocessing.stored_size, progress=False)
    dataset = PhotoDataset(pixels, study.labels[rows], plain)
    vectors = extract(network, dataset, device=photos.device, progress=False)
    Gallery(vectors.shape[1]).enrol(_unit_length(vectors), study.identity[rows])
    return time.perf_counter() - start


def _unit_length(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)
