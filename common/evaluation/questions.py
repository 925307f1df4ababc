"""The course's three questions, asked of every approach on the same photos.

1. Known animals, later photos: which of the animals in training is this?
2. Animals that joined after training: a few photos are enrolled; is a later one recognised?
3. Unknown animals: is the answer "new individual" when it should be?
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from common.data.catalogue import Catalogue
from common.data.splits import Split, gallery_and_query
from common.errors import InputError
from common.evaluation.gallery import Gallery
from common.evaluation.open_set import OpenSetReport, choose_threshold, evaluate_open_set
from common.evaluation.retrieval import RetrievalReport, evaluate_retrieval


@dataclass(frozen=True)
class Questions:
    """Rows of a catalogue that ask each question, ascending.

    Attributes:
        train: photos to train on, and the gallery of known animals.
        validation_known: photos of animals in training; choose epochs and thresholds.
        validation_new: photos of animals that are not; choose thresholds.
        known: question 1, test photos of animals in training.
        enrolled: question 2, the first photos of animals that joined later.
        joined: question 2, their later photos.
        unknown: question 3, all test photos of animals that are not in training.
        reasons: why a question cannot be asked, and which photos it leaves out.
    """

    train: np.ndarray
    validation_known: np.ndarray
    validation_new: np.ndarray
    known: np.ndarray
    enrolled: np.ndarray
    joined: np.ndarray
    unknown: np.ndarray
    reasons: list[str] = field(default_factory=list)

    @property
    def trainable(self) -> np.ndarray:
        """Photos that a classifier is trained on once the animals that joined are enrolled."""
        return np.union1d(self.train, self.enrolled)

    @property
    def can_reject(self) -> bool:
        """Whether question 3 can be asked, and its threshold be chosen."""
        needed = (self.validation_known, self.validation_new, self.known, self.unknown)
        return all(len(rows) for rows in needed)


def questions_of(
    catalogue: Catalogue, split: Split, *, n_enrolled: int = 5, seed: int = 0
) -> Questions:
    """Sort a split's photos by the question that they ask.

    Args:
        catalogue: all photos.
        split: of that catalogue.
        n_enrolled: photos of a new animal that are enrolled, at least; whole encounters.
        seed: order of encounters where there are no dates.

    Raises:
        InputError: nothing to train on, or no question left.
    """
    known, unknown = split.rows_known("test", catalogue), split.rows_new("test", catalogue)
    joining = gallery_and_query(catalogue, unknown, n_gallery=n_enrolled, seed=seed)
    questions = Questions(
        train=split.rows("train"),
        validation_known=split.rows_known("validation", catalogue),
        validation_new=split.rows_new("validation", catalogue),
        known=known, enrolled=joining.gallery, joined=joining.query, unknown=unknown,
        reasons=[*joining.notes],
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
        joined: question 2, bool per row of `Questions.joined`; all wrong for a classifier.
        rejection: question 3; None if it cannot be asked.
        ranking: every test photo of a new animal as query, among all their photos and the
            training photos, without those of its own encounter; None for a classifier.
    """

    known: np.ndarray
    joined: np.ndarray
    rejection: OpenSetReport | None
    ranking: RetrievalReport | None = None


def ask_classifier(
    probabilities: np.ndarray, questions: Questions, catalogue: Catalogue
) -> Answers:
    """Ask a classifier: the most probable animal, known if probable enough.

    An animal without an output cannot be named, so that question 2 is wrong throughout, by
    construction, until the classifier is trained again.

    Args:
        probabilities: shape (n_images, n_identities), over the catalogue's label map.
    """
    predicted, scores = _most_probable(probabilities, questions.train, catalogue)
    return _answers(predicted, scores, predicted, questions, catalogue)


def ask_retrained(probabilities: np.ndarray, questions: Questions, catalogue: Catalogue) -> Answers:
    """Ask a classifier that was trained again, with the enrolled photos of the animals that joined.

    Question 3 is about the animals that it now knows, so that it cannot be asked.
    """
    predicted, _ = _most_probable(probabilities, questions.trainable, catalogue)
    truth = _identities(catalogue, np.arange(catalogue.n_images))
    is_right = predicted == truth
    return Answers(is_right[questions.known], is_right[questions.joined], None)


def _most_probable(
    probabilities: np.ndarray, trained_rows: np.ndarray, catalogue: Catalogue
) -> tuple[np.ndarray, np.ndarray]:
    """Name and probability of the best output among the animals that were trained on."""
    has_output = np.isin(catalogue.identities, _identities(catalogue, trained_rows))
    probabilities = np.where(has_output, probabilities, -np.inf)
    predicted = np.asarray(catalogue.identities)[probabilities.argmax(axis=1)]
    return predicted, probabilities.max(axis=1)


def ask_embedding(embeddings: np.ndarray, questions: Questions, catalogue: Catalogue) -> Answers:
    """Ask an embedding: the most alike gallery photo, known if alike enough.

    For questions 1 and 3 the gallery holds the training photos; for question 2 the enrolled
    photos of the animals that joined are added, and compete with all the others.

    Args:
        embeddings: shape (n_images, embedding_dim), unit length.
    """
    gallery = Gallery(embeddings.shape[1])
    gallery.enrol(embeddings[questions.train], _identities(catalogue, questions.train))
    before, similarity = gallery.identify(embeddings)
    gallery.enrol(embeddings[questions.enrolled], _identities(catalogue, questions.enrolled))
    after, _ = gallery.identify(embeddings)
    answers = _answers(before, similarity, after, questions, catalogue)
    return replace(answers, ranking=_ranking(embeddings, questions, catalogue))


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


def _identities(catalogue: Catalogue, rows: np.ndarray) -> np.ndarray:
    return catalogue.table["identity"].to_numpy(dtype=str)[rows]


def _answers(
    predicted: np.ndarray,
    scores: np.ndarray,
    predicted_after_joining: np.ndarray,
    questions: Questions,
    catalogue: Catalogue,
) -> Answers:
    truth = catalogue.table["identity"].to_numpy(dtype=str)
    return Answers(
        known=(predicted == truth)[questions.known],
        joined=(predicted_after_joining == truth)[questions.joined],
        rejection=_rejection(predicted, scores, truth, questions),
    )


def _rejection(
    predicted: np.ndarray, scores: np.ndarray, truth: np.ndarray, questions: Questions
) -> OpenSetReport | None:
    """Choose the threshold on validation photos, then judge test photos with it, once."""
    if not questions.can_reject:
        return None
    known_identities = set(truth[questions.train])

    def queries(*parts: Sequence[int]) -> dict:
        rows = np.concatenate(parts)
        return {
            "scores": scores[rows],
            "predicted_identities": predicted[rows],
            "true_identities": truth[rows],
            "known_identities": known_identities,
        }

    threshold = choose_threshold(**queries(questions.validation_known, questions.validation_new))
    return evaluate_open_set(
        **queries(questions.known, questions.unknown), threshold=threshold.value
    )
