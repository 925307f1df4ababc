"""The course's three questions, asked of every approach on the same photos.

1. Known animals, later photos: which of the animals in training is this?
2. Animals that joined after training: a few photos are enrolled; is a later one recognised?
3. Unknown animals: is the answer "new individual" when it should be?
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from common.data.catalogue import Catalogue
from common.data.gallery_split import places_in_time
from common.data.split_rules import name_animals
from common.data.splits import Split, gallery_and_query
from common.errors import InputError
from common.evaluation.classifier_scores import (
    energy_score,
    highest_probability,
    identity_logits,
)
from common.evaluation.gallery import Gallery
from common.evaluation.open_set import OpenSetReport
from common.evaluation.prototypes import class_means
from common.evaluation.rejection import Queries, Rejection, judge
from common.evaluation.retrieval import RetrievalReport, evaluate_retrieval

PROBABILITY, ENERGY, SIMILARITY = "highest probability", "energy", "similarity"


@dataclass(frozen=True)
class Questions:
    """Rows of a catalogue that ask each question, ascending.

    Attributes:
        train: photos to train on, and the gallery of known animals.
        validation_known: photos of animals in training; choose epochs and thresholds.
        validation_new: photos of animals that are not; choose thresholds.
        known: question 1, test photos of animals in training.
        enrolled: question 2, the first photos of animals that joined later.
        joined: question 2, photos of theirs from later days.
        unknown: question 3, all test photos of animals that are not in training.
        enrolled_place: which photo of its animal each enrolled one is, from 0, in time.
        n_enrolled: numbers of photos that are enrolled, one after the other, ascending; whatever
            the number, the questions are the same.
        reasons: why a question cannot be asked, and which photos it leaves out.
    """

    train: np.ndarray
    validation_known: np.ndarray
    validation_new: np.ndarray
    known: np.ndarray
    enrolled: np.ndarray
    joined: np.ndarray
    unknown: np.ndarray
    enrolled_place: np.ndarray
    n_enrolled: tuple[int, ...]
    reasons: list[str] = field(default_factory=list)

    @property
    def trainable(self) -> np.ndarray:
        """Photos that a classifier is trained on once the animals that joined are enrolled."""
        return np.union1d(self.train, self.enrolled)

    @property
    def validation(self) -> np.ndarray:
        """All photos that may choose something."""
        return np.concatenate([self.validation_known, self.validation_new])

    @property
    def test(self) -> np.ndarray:
        """All photos of question 3, known animals first."""
        return np.concatenate([self.known, self.unknown])

    @property
    def can_reject(self) -> bool:
        """Whether question 3 can be asked, and its threshold be chosen."""
        needed = (self.validation_known, self.validation_new, self.known, self.unknown)
        return all(len(rows) for rows in needed)

    def trained_on_all(self) -> "Questions":
        """The same questions to a model that learns from validation photos, too.

        Nothing can be chosen then, and no threshold learned.
        """
        none = np.empty(0, dtype=np.intp)
        return replace(
            self, train=np.union1d(self.train, self.validation), validation_known=none,
            validation_new=none,
        )  # fmt: skip

    def first_enrolled(self, n_photos: int) -> np.ndarray:
        """The first so many enrolled photos of each animal that joined; all it has, if fewer."""
        return self.enrolled[self.enrolled_place < n_photos]

    def n_photos(self) -> dict[str, int]:
        """How many photos ask each question, and train."""
        names = ("train", "validation_known", "validation_new", "known", "enrolled", "joined",
                 "unknown")  # fmt: skip
        return {name: len(getattr(self, name)) for name in names}


def questions_of(
    catalogue: Catalogue, split: Split, *, n_enrolled: Sequence[int] = (5,), seed: int = 0
) -> Questions:
    """Sort a split's photos by the question that they ask.

    The photos that may be enrolled are those of an animal's first days, whole days until there
    are as many as the largest number asks for. Of these exactly that many are enrolled, the first
    in time, and the photos of all later days are the questions; the rest of the last day is left
    out. So the questions do not depend on how many are enrolled.

    Args:
        catalogue: all photos.
        split: of that catalogue.
        n_enrolled: photos of a new animal that are enrolled, ascending; exactly so many, unless
            its first days have fewer.
        seed: order of encounters where there are no dates.

    Raises:
        InputError: nothing to train on, or no question left.
    """
    known, unknown = split.rows_known("test", catalogue), split.rows_new("test", catalogue)
    most = max(n_enrolled)
    joining = gallery_and_query(catalogue, unknown, n_gallery=most, seed=seed)
    place = places_in_time(catalogue, unknown, seed=seed)
    is_enrolled = np.isin(unknown, joining.gallery) & (place < most)
    identity = _identities(catalogue, unknown[is_enrolled])
    names, n_of_animal = np.unique(identity, return_counts=True)
    few = names[n_of_animal < most].tolist()
    questions = Questions(
        train=split.rows("train"),
        validation_known=split.rows_known("validation", catalogue),
        validation_new=split.rows_new("validation", catalogue),
        known=known, enrolled=unknown[is_enrolled], joined=joining.query, unknown=unknown,
        enrolled_place=place[is_enrolled], n_enrolled=tuple(n_enrolled),
        reasons=[
            *joining.notes,
            *name_animals(f"Fewer than {most} photos to enrol, so enrolled with fewer", few),
        ],
    )  # fmt: skip
    if not len(questions.train) or not (len(known) or len(questions.joined)):
        raise InputError(
            f"--split {split.name}: {len(questions.train)} training photos, {len(known)} test "
            f"photos of known and {len(questions.joined)} of new animals; expected some to train "
            "on and some to ask about: choose another --split"
        )
    if not len(known):
        questions.reasons.append(
            "Retrieval only: no animal of the test photos has a training photo, so that no "
            "classifier has an output for it; only an embedding can be asked."
        )
    elif not questions.can_reject:
        questions.reasons.append(
            "Rejection is not measured: validation or test lacks known or unknown animals."
        )
    return questions


@dataclass(frozen=True)
class Answers:
    """How one trained model answers.

    Attributes:
        known: question 1, bool per row of `Questions.known`: right or wrong.
        joined_after: question 2, number of enrolled photos to bool per row of
            `Questions.joined`; all wrong for a classifier.
        rejections: question 3, by the name of the score; empty if it cannot be asked.
        ranking: every test photo of a new animal as query, among all their photos and the
            training photos, without those of its own encounter; None for a classifier.
    """

    known: np.ndarray
    joined_after: dict[int, np.ndarray]
    rejections: dict[str, Rejection] = field(default_factory=dict)
    ranking: RetrievalReport | None = None

    @property
    def joined(self) -> np.ndarray:
        """Question 2 with as many photos enrolled as were asked for at most."""
        return self.joined_after[max(self.joined_after)]

    @property
    def rejection(self) -> OpenSetReport | None:
        """Question 3 by the first score; None if it cannot be asked."""
        return next((each.report for each in self.rejections.values()), None)


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
        rejections={
            name: rejection for name, each in scores.items()
            if (rejection := _judge(each, predicted, questions, catalogue))
        },
    )  # fmt: skip


def ask_retrained(
    logits: np.ndarray,
    questions: Questions,
    catalogue: Catalogue,
    *,
    n_enrolled: int | None = None,
    identity_of_class: np.ndarray | None = None,
) -> Answers:
    """Ask a classifier that was trained again, with the enrolled photos of the animals that joined.

    Question 3 is about the animals that it now knows, so that it cannot be asked.

    Args:
        n_enrolled: photos of each new animal that it was trained on; None: the most.
    """
    n_enrolled = n_enrolled or max(questions.n_enrolled)
    trained = np.union1d(questions.train, questions.first_enrolled(n_enrolled))
    named = name_by_logits(logits, trained, catalogue, identity_of_class)
    is_right = named == _identities(catalogue)
    return Answers(is_right[questions.known], {n_enrolled: is_right[questions.joined]})


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
    embeddings: np.ndarray, questions: Questions, catalogue: Catalogue, *, by_means: bool = False
) -> Answers:
    """Ask an embedding: the most alike gallery photo, known if alike enough.

    For questions 1 and 3 the gallery holds the training photos; for question 2 the enrolled
    photos of the animals that joined are added, and compete with all the others.

    Args:
        embeddings: shape (n_images, embedding_dim), unit length.
        by_means: compare with the mean of each animal's gallery photos in place of the photos.
    """
    identity = _identities(catalogue)

    def enrol(gallery: Gallery, rows: np.ndarray) -> Gallery:
        entries = embeddings[rows], identity[rows]
        gallery.enrol(*(class_means(*entries) if by_means and len(rows) else entries))
        return gallery

    known_animals = enrol(Gallery(embeddings.shape[1]), questions.train)
    predicted, similarity = known_animals.identify(embeddings)
    joined_after = {}
    for n_photos in questions.n_enrolled:
        gallery = enrol(Gallery(embeddings.shape[1]), questions.train)
        enrol(gallery, questions.first_enrolled(n_photos))
        if len(questions.joined):
            named, _ = gallery.identify(embeddings[questions.joined])
            joined_after[n_photos] = named == identity[questions.joined]
        else:
            joined_after[n_photos] = np.zeros(0, dtype=bool)
    rejection = _judge(similarity, predicted, questions, catalogue)
    return Answers(
        known=(predicted == identity)[questions.known],
        joined_after=joined_after,
        rejections={SIMILARITY: rejection} if rejection else {},
        ranking=None if by_means else _ranking(embeddings, questions, catalogue),
    )


def _ranking(
    embeddings: np.ndarray, questions: Questions, catalogue: Catalogue
) -> RetrievalReport | None:
    """Rank all photos for each photo of a new animal; None where none was seen twice."""
    if not len(questions.joined):
        return None
    query, gallery = questions.unknown, np.union1d(questions.unknown, questions.train)
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


def _judge(
    scores: np.ndarray, predicted: np.ndarray, questions: Questions, catalogue: Catalogue
) -> Rejection | None:
    """Choose threshold and probabilities on validation photos, then judge test photos, once."""
    if not questions.can_reject:
        return None
    truth = _identities(catalogue)
    known = frozenset(truth[questions.train])
    return judge(*(
        Queries(scores[rows], predicted[rows], truth[rows], known)
        for rows in (questions.validation, questions.test)
    ))  # fmt: skip
