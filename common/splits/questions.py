"""Which photos ask each of the course's three questions.

1. Known animals, later photos: which of the animals in training is this?
2. Animals that joined after training: a few photos are enrolled; is a later one recognised?
3. Unknown animals: is the answer "new individual" when it should be?
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from common.data.catalogue import Catalogue
from common.errors import InputError
from common.splits.gallery_query import gallery_and_query, places_in_time
from common.splits.rules import name_animals
from common.splits.splits import Split
from common.words import counted

import numpy as np


@dataclass(frozen=True)
class Questions:
    """Rows of a catalogue that ask each question, ascending.

    Attributes:
        train: photos to train on, and all that validation photos are searched among.
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

    @classmethod
    def of_closed_set(
        cls, train: np.ndarray, validation: np.ndarray, test: np.ndarray
    ) -> "Questions":
        """Question 1 alone: every photo that is asked about shows somebody of the training."""
        none = np.empty(0, dtype=np.intp)
        nobody_new = dict.fromkeys(("enrolled", "joined", "unknown", "enrolled_place"), none)
        return cls(train, validation, none, test, **nobody_new, n_enrolled=())

    @property
    def searched(self) -> np.ndarray:
        """Photos of known animals, which test photos are searched among: validation's belong there.

        They have chosen epochs and thresholds, and are photos with names, as a field worker has
        them: to enrol them trains nothing. No test photo had a say in either.
        """
        return np.union1d(self.train, self.validation_known)

    @property
    def with_enrolled(self) -> np.ndarray:
        """The same, and the first photos of animals that joined, once they are enrolled."""
        return np.union1d(self.searched, self.enrolled)

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

    def trained_on_all(self, more: Sequence[int] = ()) -> "Questions":
        """The same questions to a model that learns from validation photos, too, and from more.

        Nothing can be chosen then, and no threshold learned.
        """
        none = np.empty(0, dtype=np.intp)
        train = np.union1d(self.train, [*self.validation, *more]).astype(np.intp)
        return replace(self, train=train, validation_known=none, validation_new=none)

    def first_enrolled(self, n_photos: int) -> np.ndarray:
        """The first so many enrolled photos of each animal that joined; all it has, if fewer."""
        return self.enrolled[self.enrolled_place < n_photos]

    def n_photos(self) -> dict[str, int]:
        """How many photos ask each question, and train."""
        no_photos = ("enrolled_place", "n_enrolled", "reasons")
        return {name: len(rows) for name, rows in vars(self).items() if name not in no_photos}


def questions_of(
    catalogue: Catalogue, split: Split, *, n_enrolled: Sequence[int] = (5,), seed: int = 0
) -> Questions:
    """Sort a split's photos by the question that they ask.

    The photos that may be enrolled are those of an animal's first days, whole days until there
    are as many as the largest number asks for. Of these exactly that many are enrolled, the first
    in time, and the photos of all later days are the questions; the rest of the last day is left
    out. So the questions do not depend on how many are enrolled.

    Args:
        n_enrolled: photos of a new animal that are enrolled, ascending; exactly so many, unless
            its first days have fewer.

    Raises:
        InputError: nothing to train on, or no question left.
    """
    known, unknown = split.rows_known("test", catalogue), split.rows_new("test", catalogue)
    most = max(n_enrolled)
    joining = gallery_and_query(catalogue, unknown, n_gallery=most, seed=seed)
    place = places_in_time(catalogue, unknown, seed=seed)
    is_enrolled = np.isin(unknown, joining.gallery) & (place < most)
    identity = catalogue.table["identity"].to_numpy(dtype=str)[unknown[is_enrolled]]
    names, n_of_animal = np.unique(identity, return_counts=True)
    few = names[n_of_animal < most].tolist()
    questions = Questions(
        train=split.rows("train"),
        validation_known=split.rows_known("validation", catalogue),
        validation_new=split.rows_new("validation", catalogue),
        known=known,
        enrolled=unknown[is_enrolled],
        joined=joining.query,
        unknown=unknown,
        enrolled_place=place[is_enrolled],
        n_enrolled=tuple(n_enrolled),
        reasons=joining.notes
        + name_animals(
            f"Fewer than {counted(most, 'photo')} to enrol, so enrolled with fewer", few
        ),
    )
    if not len(questions.train) or not (len(known) or len(questions.joined)):
        raise InputError(
            f"--split {split.name}: {counted(len(questions.train), 'training photo')}, "
            f"{len(known)} test photos of known and {len(questions.joined)} of new animals; "
            "expected some to train on and some to ask about: choose another --split"
        )
    questions.reasons.extend(_not_asked(questions))
    return questions


def _not_asked(questions: Questions) -> list[str]:
    """Why a question cannot be asked of these photos."""
    if not len(questions.known):
        return [
            "Retrieval only: no animal of the test photos has a training photo, so that no "
            "classifier has an output for it; only an embedding can be asked."
        ]
    if not questions.can_reject:
        return ["Rejection is not measured: validation or test lacks known or unknown animals."]
    return []
