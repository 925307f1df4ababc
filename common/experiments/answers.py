"""How an approach answers the course's three questions, all on the same photos.

1. Known animals, later photos: which of the animals in training is this?
2. Animals that joined after training: a few photos are enrolled; is a later one recognised?
3. Unknown animals: is the answer "new individual" when it should be?
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from common.data.catalogue import Catalogue
from common.gallery.gallery import Gallery
from common.measures.classification import ClassificationReport, evaluate_classification
from common.measures.classifier_scores import energy_score, highest_probability, identity_logits
from common.measures.clustering import Clusters
from common.measures.open_set import OpenSetReport, Threshold, choose_threshold
from common.measures.prototypes import class_means
from common.measures.rejection import Queries, Rejection, judge
from common.measures.retrieval import RetrievalReport, evaluate_retrieval
from common.splits.questions import Questions

import numpy as np

PROBABILITY, ENERGY, SIMILARITY = "highest probability", "energy", "similarity"


@dataclass(frozen=True)
class Answers:
    """How one trained model answered; what was not asked is empty, or None.

    Attributes:
        known: question 1, bool per row of `Questions.known`: right or wrong.
        joined_after: question 2, number of enrolled photos to bool per row of
            `Questions.joined`; all wrong for a classifier.
        animals: whom the photos of "known", "joined", "unknown" and "validation" show.
        named: the animal that each photo of "known" and "joined" was taken for, where an embedding
            answered.
        rejections: question 3, by the name of the score; empty if it cannot be asked.
        ranking: every test photo of a new animal as query, among all their photos and those of
            known animals, without those of its own encounter; None for a classifier.
        clusters: the test photos in groups, by an approach that can.
        validation: question 1 of the validation photos that chose the epoch.
        report: question 1 as a classification: confusion, recall of each class.
        scores: behind it, shape (n_known, n_classes).
    """

    known: np.ndarray
    joined_after: Mapping[int, np.ndarray] = field(default_factory=dict)
    animals: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    named: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    rejections: Mapping[str, Rejection] = field(default_factory=dict)
    ranking: RetrievalReport | None = None
    clusters: Clusters | None = None
    validation: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    report: ClassificationReport | None = None
    scores: np.ndarray | None = field(default=None, repr=False)

    @property
    def joined(self) -> np.ndarray:
        """Question 2 with as many photos enrolled as were asked for at most."""
        return self.joined_after[max(self.joined_after)] if self.joined_after else np.zeros(0, bool)

    @property
    def rejection(self) -> OpenSetReport | None:
        """Question 3 by the first score; None if it cannot be asked."""
        return next((each.report for each in self.rejections.values()), None)

    def to_dict(self) -> dict:
        """Plain values for a result file."""
        if self.report:
            test = self.report.to_dict()
            del test["per_identity"]  # in a table of its own
            return {"validation_accuracy": _share(self.validation), "test": test}
        return {
            "known": _share(self.known),
            "joined": _share(self.joined),
            "joined_after": {n: _share(each) for n, each in self.joined_after.items()},
            "rejection": {score: each.to_dict() for score, each in self.rejections.items()},
            "clusters": self.clusters.to_dict() if self.clusters else None,
            "ranking": self.ranking.to_dict() if self.ranking else None,
        }


def _share(is_right: np.ndarray) -> float:
    return float(np.mean(is_right)) if len(is_right) else float("nan")


def ask_closed_set(
    scores: Callable[[np.ndarray], np.ndarray],
    questions: Questions,
    labels: np.ndarray,
    names: Sequence[str],
    identity: np.ndarray,
) -> Answers:
    """Ask question 1 alone, of every class that has an output: the highest score is the answer.

    Args:
        scores: rows to their scores, shape (n_rows, n_classes).
        labels: of all photos, shape (n_images,) or longer.
        names: of the classes, label 0 first.
        identity: whom each photo shows, shape (n_images,).
    """
    test, validation = questions.known, questions.validation_known
    given = scores(test)
    report = evaluate_classification(scores=given, labels=labels[test], identities=names)
    named_right = np.zeros(0, dtype=bool)
    if len(validation):
        named_right = scores(validation).argmax(axis=1) == labels[validation]
    return Answers(
        known=report.is_correct,
        animals={"known": identity[test], "validation": identity[validation]},
        validation=named_right,
        report=report,
        scores=given,
    )


def ask_classifier(
    logits: np.ndarray,
    questions: Questions,
    catalogue: Catalogue,
    *,
    identity_of_class: np.ndarray | None = None,
) -> Answers:
    """Ask a classifier: the most probable animal, known if probable enough.

    An animal without an output cannot be named, so that question 2 is wrong throughout, by
    construction, until the classifier is trained again.

    Args:
        logits: shape (n_images, n_classes).
        identity_of_class: of each class, see `identity_logits`; None: classes are the catalogue's
            animals.
    """
    logits = _own_logits(logits, questions.train, catalogue, identity_of_class)
    predicted = np.asarray(catalogue.identities)[logits.argmax(axis=1)]
    is_right = predicted == _identities(catalogue)
    scores = {PROBABILITY: highest_probability(logits), ENERGY: energy_score(logits)}
    return Answers(
        known=is_right[questions.known],
        joined_after=dict.fromkeys(questions.n_enrolled, is_right[questions.joined]),
        animals=_animals(questions, catalogue),
        rejections=_judged(scores, predicted, questions, catalogue),
    )


def ask_retrained(
    logits: np.ndarray,
    questions: Questions,
    catalogue: Catalogue,
    *,
    n_enrolled: int | None = None,
    identity_of_class: np.ndarray | None = None,
) -> Answers:
    """Ask a classifier that was trained again, on every photo that what searches would have.

    Question 1 is asked among known animals, as of the others. Question 3 is about the animals that
    it now knows, so that it cannot be asked.

    Args:
        n_enrolled: photos of each new animal that it was trained on; None: the most.
    """
    n_enrolled = n_enrolled or max(questions.n_enrolled)
    everybody = np.union1d(questions.train, questions.first_enrolled(n_enrolled))
    truth = _identities(catalogue)
    among_known, among_all = (
        name_by_logits(logits, rows, catalogue, identity_of_class) == truth
        for rows in (questions.train, everybody)
    )
    return Answers(
        known=among_known[questions.known],
        joined_after={n_enrolled: among_all[questions.joined]},
        animals=_animals(questions, catalogue),
    )


def name_by_logits(
    logits: np.ndarray,
    trained_rows: np.ndarray,
    catalogue: Catalogue,
    identity_of_class: np.ndarray | None = None,
) -> np.ndarray:
    """The most probable of the animals that were trained on, str, shape (n_images,)."""
    own = _own_logits(logits, trained_rows, catalogue, identity_of_class)
    return np.asarray(catalogue.identities)[own.argmax(axis=1)]


def _own_logits(
    logits: np.ndarray,
    trained_rows: np.ndarray,
    catalogue: Catalogue,
    identity_of_class: np.ndarray | None,
) -> np.ndarray:
    """Logits of the animals that were trained on, -inf for the others."""
    has_output = np.isin(catalogue.identities, _identities(catalogue, trained_rows))
    if identity_of_class is None:
        identity_of_class = np.arange(len(has_output))
    return identity_logits(logits, identity_of_class, has_output)


def ask_embedding(
    embeddings: np.ndarray,
    questions: Questions,
    catalogue: Catalogue,
    *,
    by_means: bool = False,
    choose: Callable[[Queries], Threshold] = choose_threshold,
) -> Answers:
    """Ask an embedding: the most alike gallery photo, known if alike enough.

    Args:
        embeddings: shape (n_images, embedding_dim), unit length.
        by_means: compare with the mean of each animal's gallery photos in place of the photos.
        choose: the threshold of question 3, of validation queries.
    """
    identity = _identities(catalogue)

    def search(asked: np.ndarray, *galleries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gallery = Gallery(embeddings.shape[1])
        for rows in galleries:
            entries = embeddings[rows], identity[rows]
            gallery.enrol(*(class_means(*entries) if by_means and len(rows) else entries))
        return gallery.identify(embeddings[asked])

    answers = ask_search(search, questions, catalogue, choose=choose)
    return replace(
        answers, ranking=None if by_means else _ranking(embeddings, questions, catalogue)
    )


def ask_search(
    search: Callable[..., tuple[np.ndarray, np.ndarray]],
    questions: Questions,
    catalogue: Catalogue,
    *,
    score: str = SIMILARITY,
    choose: Callable[[Queries], Threshold] = choose_threshold,
) -> Answers:
    """Ask whatever searches a gallery: the name it finds, known if its score is high enough.

    Validation photos are searched among the training photos; test photos among those and
    validation's, see `Questions.searched`. For question 2 the enrolled photos of the animals that
    joined are added, and compete with all the others.

    Args:
        search: asked rows, and one or more arrays of rows to search, to the names and scores of
            what it finds, each shape (n_asked,).
        choose: the threshold of question 3, of validation queries.
    """
    identity, joined_after = _identities(catalogue), {}
    predicted, scores = identity.copy(), np.zeros(len(identity))
    for asked, gallery in (
        (questions.validation, questions.train),
        (questions.test, questions.searched),
    ):
        if len(asked):
            predicted[asked], scores[asked] = search(asked, gallery)
    named, joined = {"known": predicted[questions.known]}, questions.joined
    for n_photos in questions.n_enrolled:
        named["joined"] = identity[joined]
        if len(joined):
            enrolled = questions.first_enrolled(n_photos)
            named["joined"], _ = search(joined, questions.searched, enrolled)
        joined_after[n_photos] = named["joined"] == identity[joined]
    return Answers(
        known=named["known"] == identity[questions.known],
        joined_after=joined_after,
        animals=_animals(questions, catalogue),
        named=named,
        rejections=_judged({score: scores}, predicted, questions, catalogue, choose),
    )


def _ranking(
    embeddings: np.ndarray, questions: Questions, catalogue: Catalogue
) -> RetrievalReport | None:
    """Rank all photos for each photo of a new animal; None where none was seen twice."""
    if not len(questions.joined):
        return None
    query, gallery = questions.unknown, np.union1d(questions.unknown, questions.searched)
    encounters = catalogue.table["encounter"].to_numpy(dtype=str)
    return evaluate_retrieval(
        query_embeddings=embeddings[query],
        gallery_embeddings=embeddings[gallery],
        query_identities=_identities(catalogue, query),
        gallery_identities=_identities(catalogue, gallery),
        query_encounters=encounters[query],
        gallery_encounters=encounters[gallery],
        query_names=catalogue.table["image_id"].to_numpy(dtype=str)[query],
    )


def _identities(catalogue: Catalogue, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    return catalogue.table["identity"].to_numpy(dtype=str)[rows]


def _animals(questions: Questions, catalogue: Catalogue) -> dict[str, np.ndarray]:
    """Whom the photos of each question show."""
    return {
        name: _identities(catalogue, getattr(questions, name))
        for name in ("known", "joined", "unknown")
    }


def _judged(
    scores: Mapping[str, np.ndarray],
    predicted: np.ndarray,
    questions: Questions,
    catalogue: Catalogue,
    choose: Callable[[Queries], Threshold] = choose_threshold,
) -> dict[str, Rejection]:
    """Choose threshold and probabilities on validation photos, then judge test photos, once."""
    if not questions.can_reject:
        return {}
    truth = _identities(catalogue)
    known = frozenset(truth[questions.train])
    parts = (questions.validation, questions.test)
    return {
        name: judge(
            *(Queries(each[rows], predicted[rows], truth[rows], known) for rows in parts), choose
        )
        for name, each in scores.items()
    }
