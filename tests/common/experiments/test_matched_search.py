"""An embedding proposes and details decide; without the matcher's weights, a sentence says why."""

from types import SimpleNamespace

from common.errors import InputError
from common.experiments import matched_search
from common.experiments.matched_search import Details, try_matched
from common.splits.questions import questions_of
from common.splits.splits import make_split
from common.splits.study import Study
from common.training.loop import FitResult

import numpy as np
import pytest


class Oracle:
    """A matcher whose details are the animal itself."""

    def scores(self, query, candidates):
        return np.array([float(9 * (query == each)) for each in candidates])

    def describe(self, paths):
        return [""] * len(paths)


@pytest.fixture(scope="module")
def experiment(catalogue):
    split = make_split(catalogue, "time_aware", validation_newcomer_share=0.2)
    study = Study(catalogue, split, leak=None)
    questions = questions_of(catalogue, split, n_enrolled=(1, 3))
    facts = {"identity": study.identity, "questions": questions}
    return SimpleNamespace(study=study, device="cpu", **facts)


def noise(n_images):
    vectors = np.random.default_rng(0).normal(size=(n_images, 30))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def matched(experiment):
    identity = experiment.identity
    details = Details(Oracle(), experiment.study.catalogue.paths(), list(identity))
    trained = SimpleNamespace(fit=FitResult(seconds=3.0))
    return try_matched(experiment, "both", 0, (noise(len(identity)), 0.5), trained, details)


def test_details_find_every_animal_that_the_shortlist_holds(experiment):
    answers = matched(experiment).answers
    questions, identity = experiment.questions, experiment.identity
    n_candidates = min(matched_search.N_CANDIDATES, len(questions.searched))

    assert answers.known.all() or n_candidates < len(questions.searched)
    assert answers.joined_after[3].mean() > 0.9
    assert answers.rejection.auroc > 0.9
    assert answers.animals["known"].tolist() == identity[questions.known].tolist()


def test_what_searches_costs_its_own_training_and_the_details_of_who_joins(experiment):
    trial = matched(experiment)

    assert trial.training_seconds == 3.0
    assert trial.adding_seconds >= 0.5


def test_without_weights_a_sentence_says_why(experiment, monkeypatch):
    def missing(name, device):
        raise InputError("the weights of xfeat are not installed")

    monkeypatch.setattr(matched_search, "load_matcher", missing)

    assert Details.of(experiment) == (None, "the weights of xfeat are not installed")
