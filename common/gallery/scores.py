"""What similarities mean, learned from validation photos: a threshold and probabilities.

Photos whose answer is known are asked as if it were not. Photos of known animals are compared
without those of their own encounter; photos of animals that count as new, without any photo of
that animal. What the best candidates got is stored with the model or the gallery; threshold and
probabilities follow from it when a question is asked, at the rate that is asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from common.data.catalogue import Catalogue
from common.errors import InputError
from common.gallery.identification import best_per_animal, comparable, mean_over_photos
from common.measures.calibration import Calibration, calibrate
from common.measures.open_set import Queries, Threshold, choose_threshold
from common.splits.encounters import same_encounter
from common.splits.questions import Questions
from common.words import counted

import numpy as np
from scipy.stats import beta

N_CANDIDATES = 5  # stored for each question
HIGHEST = 1e6  # above any score
BLOCK = 256  # photos compared at a time
CERTAINTY = 0.95  # of the bound on a rate
FEW_ANIMALS = 20  # below, a rate among new animals depends on which animals they are


def _is_whole(value: object, least: int) -> bool:
    return type(value) is int and value >= least


def _are_similarities(values: object) -> bool:
    """Whether these are similarities of candidates, best first."""
    return (
        isinstance(values, list)
        and 1 <= len(values) <= N_CANDIDATES
        and all(type(each) in (int, float) and abs(each) < HIGHEST for each in values)
        and sorted(values, reverse=True) == values
    )


FIELDS = {  # of `AskedScores`: what an entry may be, in a file that anybody may have changed
    "similarities": _are_similarities,
    "right_place": lambda value: _is_whole(value, -1) and value < N_CANDIDATES,
    "animal": lambda value: _is_whole(value, 0),
    "is_known": lambda value: type(value) is bool,
}


@dataclass(frozen=True)
class AskedScores:
    """Validation questions and what their best candidates got.

    Attributes:
        similarities: of each question's candidates, best first, at most `N_CANDIDATES`.
        right_place: of the right animal among them, from 0; -1 where it is not among them.
        animal: a number for the animal that the question shows.
        is_known: whether that animal could be found at all.
    """

    similarities: list[list[float]]
    right_place: list[int]
    animal: list[int]
    is_known: list[bool]

    def __len__(self) -> int:
        return len(self.similarities)

    @classmethod
    def read(cls, values: Mapping, part: str) -> "AskedScores":
        """A part of `ValidationScores.to_dict`, of which any field may be damaged.

        Raises:
            InputError: with the name of the field.
        """
        given = values.get(part)
        lists = {each.name: None for each in fields(cls)}
        if isinstance(given, Mapping) and set(given) == set(lists):
            lists |= given
        n = len(lists["similarities"]) if isinstance(lists["similarities"], list) else -1
        for name, is_sound in FIELDS.items():
            found = lists[name]
            if not isinstance(found, list) or len(found) != n or not all(map(is_sound, found)):
                raise InputError(f"{name} of {part} is not as this course writes it")
        return cls(**lists)


@dataclass(frozen=True)
class ValidationScores:
    """What validation photos got, one by one and fused.

    Attributes:
        photos: every question is one photo.
        encounters: every question is all photos of an encounter, two or more.
        source: whose photos they are, in words.
    """

    photos: AskedScores
    encounters: AskedScores
    source: str

    def to_dict(self) -> dict:
        """Plain JSON types, which `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping) -> "ValidationScores":
        """Read what `to_dict` gave.

        Raises:
            InputError: the values are other than `to_dict` gives.
        """
        if not isinstance(values, Mapping) or not isinstance(values.get("source"), str):
            raise InputError("it does not say whose photos they are")
        photos, encounters = (AskedScores.read(values, part) for part in ("photos", "encounters"))
        return cls(photos, encounters, values["source"])


def ask_validation(
    embeddings: np.ndarray,
    facts: Mapping[str, np.ndarray],
    *,
    gallery: np.ndarray,
    known: np.ndarray,
    new: np.ndarray,
    source: str,
) -> ValidationScores:
    """Ask validation photos, alone and fused, and keep what their best candidates got.

    Photos of known animals that nothing of their animal can be compared with, such as the only
    photos of a side, are not asked: nobody could name them.

    Args:
        embeddings: float, shape (n_images, embedding_dim), unit length.
        facts: "identity", "encounter" and "side", str, each of shape (n_images,).
        gallery: rows that are searched.
        known: rows asked about without the photos of their own encounter.
        new: rows asked about without any photo of their animal.
        source: whose photos they are, in words.
    """
    names, labels = np.unique(facts["identity"], return_inverse=True)
    rows = np.concatenate([known, new]).astype(np.intp)
    is_new = np.arange(len(rows)) >= len(known)
    scores, searched = np.empty((len(rows), len(names))), embeddings[gallery]
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        query = rows[block]
        allowed = comparable(facts["side"][query], facts["side"][gallery])
        is_own = labels[query][:, None] == labels[gallery]
        is_same = same_encounter(facts["encounter"][query][:, None], facts["encounter"][gallery])
        allowed &= ~(is_own & (is_new[block, None] | is_same))
        similarity = embeddings[query] @ searched.T  # (n_query, n_gallery)
        scores[block] = best_per_animal(similarity, labels[gallery], len(names), allowed)
    groups: dict[tuple, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault((is_new[i], labels[row], facts["encounter"][row]), []).append(i)
    together = [group for group in groups.values() if len(group) > 1]
    first = [group[0] for group in together]
    fused = np.array([mean_over_photos(scores[group]) for group in together])
    fused = fused.reshape(len(together), len(names))  # where no encounter has several, too
    return ValidationScores(
        photos=_asked(scores, labels[rows], is_new),
        encounters=_asked(fused, labels[rows[first]], is_new[first]),
        source=source,
    )


def validation_scores_of(
    embed: Callable[[np.ndarray], np.ndarray], questions: Questions, catalogue: Catalogue
) -> ValidationScores | None:
    """What validation photos get from a trained embedding; no other photo but training's is seen.

    Animals that were trained on are known, those held out are new. Where the split has no
    validation photo of the former, those held out are asked both ways.

    Args:
        embed: rows of the catalogue to their embeddings, shape (n_rows, embedding_dim).
        questions: of the catalogue's split.
        catalogue: all photos.

    Returns:
        None where no animal was held out for validation.
    """
    train, known, new = questions.train, questions.validation_known, questions.validation_new
    if not len(new):
        return None
    rows = np.unique(np.concatenate([train, known, new]))
    table = catalogue.table.iloc[rows]
    gallery, asked = (train, known) if len(known) else (np.union1d(train, new), new)
    names = {"identity": "identity", "encounter": "encounter", "side": "orientation"}
    return ask_validation(
        embed(rows),
        {fact: table[name].to_numpy(dtype=str) for fact, name in names.items()},
        gallery=np.searchsorted(rows, gallery),
        known=np.searchsorted(rows, asked),
        new=np.searchsorted(rows, new),
        source=f"{len(known) + len(new)} validation photos of {catalogue.name}",
    )


def _asked(scores: np.ndarray, labels: np.ndarray, is_new: np.ndarray) -> AskedScores:
    """The best candidates of each question, of those that can be answered.

    Args:
        scores: shape (n_questions, n_animals); nan where an animal cannot be compared.
        labels: of the right animals, shape (n_questions,).
        is_new: bool, shape (n_questions,).
    """
    asked = AskedScores([], [], [], [])
    for row, label, new in zip(scores, labels, is_new, strict=True):
        can_be_answered = np.isfinite(row).any() if new else np.isfinite(row[label])
        if not can_be_answered:
            continue
        order = np.argsort(-row, kind="stable")[: min(N_CANDIDATES, np.isfinite(row).sum())]
        place = np.flatnonzero(order == label)
        asked.similarities.append([float(each) for each in row[order]])
        asked.right_place.append(int(place[0]) if len(place) else -1)
        asked.animal.append(int(label))
        asked.is_known.append(not new)
    return asked


@dataclass(frozen=True)
class Meaning:
    """What similarities mean for questions of one kind, at a stated rate.

    Attributes:
        threshold: from which the first candidate is "known".
        asked_rate: wanted share of photos of new animals that are called known.
        first: similarity of the first candidate to the probability that it is right.
        later: the same for the candidates after it; None where there never was one.
        n_new_animals: animals that counted as new.
        kind: "photo" or "encounter".
    """

    threshold: Threshold
    asked_rate: float
    first: Calibration
    later: Calibration | None
    n_new_animals: int
    kind: str

    def is_known(self, similarities: Sequence[float]) -> bool:
        """Whether the first of these candidates reaches the threshold."""
        return len(similarities) > 0 and similarities[0] >= self.threshold.value

    def probabilities(self, similarities: Sequence[float]) -> list[float]:
        """Probability of each candidate, best first; what is left of 1 is "none of these".

        None is above that of the candidate before it. They hold among questions like validation's,
        with its share of new animals.
        """
        left, most, probabilities = 1.0, 1.0, []
        for place, similarity in enumerate(similarities):
            learned = self.later if place and self.later else self.first
            most = min(float(learned(np.array(similarity))), left, most)
            probabilities.append(most)
            left -= most
        return probabilities

    @property
    def highest_rate(self) -> float:
        """Rate of false matches, in [0, 1], that validation cannot exclude with 95 % certainty.

        Source: Clopper & Pearson 1934, one-sided, as if photos were independent.
        """
        n_unknown = self.threshold.n_unknown
        n_accepted = round(self.threshold.false_match_rate * n_unknown)
        if n_accepted == n_unknown:
            return 1.0
        return float(beta.ppf(CERTAINTY, n_accepted + 1, n_unknown - n_accepted))

    @property
    def share_new(self) -> float:
        """Share of validation's questions that show new animals, in [0, 1]."""
        return self.threshold.n_unknown / (self.threshold.n_unknown + self.threshold.n_known)

    @property
    def is_too_few(self) -> bool:
        """Whether the asked rate is less than one of validation's unknown questions."""
        return self.asked_rate * self.threshold.n_unknown < 1

    def text(self) -> str:
        """What the threshold rests on, in a few sentences."""
        chosen, rate = self.threshold, f"{self.asked_rate:.3g}"
        n_accepted = round(chosen.false_match_rate * chosen.n_unknown)
        sentence = (
            f"Known from a similarity of {chosen.value:.3f} for {_one(self.kind)}: of "
            f"{counted(chosen.n_unknown, f'validation {self.kind}')} of "
            f"{counted(self.n_new_animals, 'new animal')}, "
            f"{n_accepted} would be taken for known (asked: a share of {rate}); of "
            f"{counted(chosen.n_known, self.kind)} of known animals, a share of "
            f"{chosen.baks:.2f} accepted and named right, each animal counting the same. "
            f"Probabilities hold where, as there, a share of {self.share_new:.2f} of the "
            f"{self.kind}s shows new animals."
        )
        if self.is_too_few:
            sentence += (
                f" {counted(chosen.n_unknown, self.kind)} cannot show a rate of {rate}: the "
                f"threshold is just above all of them, and a rate up to {self.highest_rate:.2g} "
                "cannot be excluded."
            )
        if self.n_new_animals < FEW_ANIMALS:
            sentence += (
                f" So few new animals ({self.n_new_animals}) cannot show much: photos of one "
                "animal go together, so that among others the rate may well be twice as high."
            )
        return sentence


def _one(kind: str) -> str:
    return "one photo" if kind == "photo" else "the photos of an encounter together"


def meaning_of(
    scores: ValidationScores,
    kind: str,
    false_match_rate: float,
    choose: Callable[[Queries], Threshold] | None = None,
) -> Meaning:
    """Learn threshold and probabilities for questions of one kind.

    Args:
        scores: of validation photos; nothing else is looked at.
        kind: "photo" or "encounter".
        false_match_rate: wanted share of questions about new animals that are called known.
        choose: the threshold, whatever rate is wanted; None: by that rate.

    Raises:
        InputError: validation has no question about a known or about a new animal.
    """
    asked = scores.photos if kind == "photo" else scores.encounters
    is_known, right_place = np.array(asked.is_known, dtype=bool), np.array(asked.right_place)
    if not is_known.any() or is_known.all():
        other_way = "" if kind == "photo" else ", or leave --same_encounter out"
        raise InputError(
            f"{scores.source}: {counted(is_known.sum(), 'question')} ({_one(kind)}) about known "
            f"and {(~is_known).sum()} about new animals, expected some of both to learn what a "
            "similarity means; add photos of several encounters per animal, or train with a "
            f"--split that holds animals out{other_way}"
        )
    first = np.array([each[0] for each in asked.similarities])
    names = np.where(is_known, "known ", "new ").astype(object) + [str(i) for i in asked.animal]
    is_right = right_place == 0
    predicted, can_be_named = np.where(is_right, names, "another"), {*names[is_known], "another"}
    queries = Queries(first, predicted, names, can_be_named)
    if choose:
        threshold = choose(queries)
        false_match_rate = threshold.false_match_rate
    else:
        threshold = choose_threshold(queries, "false_match_rate", false_match_rate)
    later = [
        (similarity, place == right)
        for similarities, right in zip(asked.similarities, right_place, strict=True)
        for place, similarity in enumerate(similarities)
        if place
    ]
    return Meaning(
        threshold=threshold,
        asked_rate=false_match_rate,
        first=calibrate(first, is_right),
        later=calibrate(*map(np.array, zip(*later, strict=True))) if later else None,
        n_new_animals=len(set(names[~is_known])),
        kind=kind,
    )
