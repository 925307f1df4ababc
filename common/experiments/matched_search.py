"""An embedding proposes, details decide: a search with local matching behind it.

The embedding's most alike photos are compared detail by detail. What a cosine and a number of same
details mean, as probabilities that two photos show one animal, is learned on validation photos;
the candidate with the highest mean of both is the answer.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import InputError
from common.experiments.answers import PROBABILITY, ask_search
from common.experiments.experiment import Experiment
from common.experiments.trials import Trial
from common.matching.descriptions import describe_photos
from common.matching.fusion import fuse, learn_meanings
from common.matching.local_features import LocalFeatures
from common.matching.matchers import Matcher, load_matcher, score_shortlists
from common.matching.shortlists import Asked
from common.measures.calibration import Calibration
from common.training.recipes import Trained

import numpy as np

MATCHER, N_CANDIDATES = "xfeat", 50
N_TRIED = 4  # photos that are described to see how long it takes


@dataclass(frozen=True)
class Details:
    """The details of a catalogue's photos, found once for all embeddings."""

    matcher: Matcher
    paths: Sequence[Path]
    features: Sequence[LocalFeatures] = ()

    @classmethod
    def of(cls, experiment: Experiment) -> "tuple[Details | None, str]":
        """What finds them and ""; or None, and why: the weights' package is missing, say."""
        if not len(experiment.questions.validation_known):
            return None, "no validation photo can teach what a score means"
        try:
            matcher = load_matcher(MATCHER, experiment.device)
        except InputError as error:
            return None, str(error)
        return cls(matcher, experiment.study.catalogue.paths()), ""

    def described(self) -> "Details":
        """With the details of all photos, most of the time from the cache."""
        return Details(self.matcher, self.paths, describe_photos(self.matcher, self.paths))

    def minutes(self, n_searches: int) -> float:
        """Minutes to describe all photos and to search so often, from a trial of a few photos."""
        start = time.perf_counter()
        few = self.matcher.describe(self.paths[:N_TRIED])
        middle = time.perf_counter()
        self.matcher.scores(few[0], few)
        seconds_a_photo = (middle - start) / N_TRIED
        seconds_a_pair = (time.perf_counter() - middle) / N_TRIED
        pairs = n_searches * N_CANDIDATES
        return (len(self.paths) * seconds_a_photo + pairs * seconds_a_pair) / 60

    def scores(self, asked: Asked) -> dict[str, np.ndarray]:
        """Cosine and same details of each query and candidate, like `Asked.shortlist`."""
        candidates = asked.gallery[asked.shortlist]
        details = score_shortlists(self.matcher, self.features, asked.query, candidates)
        return {"cosine": asked.at_shortlist(asked.cosines), "details": details}


def try_matched(
    experiment: Experiment,
    name: str,
    seed: int,
    embedded: tuple[np.ndarray, float],
    trained: Trained,
    details: Details,
) -> Trial:
    """Ask what `three_questions.embed` gives; the candidates' details are compared."""
    (embeddings, seconds), questions = embedded, experiment.questions
    catalogue, identity = experiment.study.catalogue, experiment.identity
    encounter = catalogue.table["encounter"].to_numpy(dtype=str)

    def shortlist(query: np.ndarray, gallery: np.ndarray) -> Asked:
        return Asked(query, gallery, embeddings, identity, encounter, N_CANDIDATES)

    def search(asked: np.ndarray, *galleries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        short = shortlist(asked, np.concatenate(galleries))
        probability = fuse(details.scores(short), meanings)
        probability[~short.is_candidate] = -1.0  # of the query's own encounter
        best = probability.argmax(axis=1)[:, None]
        rows = short.gallery[np.take_along_axis(short.shortlist, best, axis=1)[:, 0]]
        return identity[rows], np.take_along_axis(probability, best, axis=1)[:, 0]

    meanings = meanings_of(shortlist(questions.validation_known, questions.train), details)
    answers = ask_search(search, questions, catalogue, score=PROBABILITY)
    if len(enrolled := questions.enrolled):
        own = enrolled[identity[enrolled] == identity[enrolled[0]]]
        start = time.perf_counter()
        details.matcher.describe([details.paths[row] for row in own])
        seconds += time.perf_counter() - start
    return Trial.of(name, seed, answers, trained, adding_seconds=seconds)


def meanings_of(asked: Asked, details: Details) -> dict[str, Calibration]:
    """What each score says of a query and its candidate, learned on these."""
    scores = {name: [asked.of_candidates(own)] for name, own in details.scores(asked).items()}
    return learn_meanings(scores, [asked.of_candidates(asked.is_same)])
