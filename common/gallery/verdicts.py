"""The verdict on "who is this?": known, to be looked at, or probably new.

Two thresholds part the three. From the upper one on an animal is known: it lets no more than a
stated share of new animals' photos pass. Below the lower one an animal is probably new: there lies
no more than a stated share of known animals' photos. Between them a person has to look. Where the
two cross, because the network tells known from new so well, the upper one parts them and nothing
is left between. Both are learned from validation photos, and so are the probabilities.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.errors import InputError
from common.gallery.identification import Candidate, Ranking
from common.gallery.scores import AskedScores, ValidationScores
from common.measures.calibration import Calibration, calibrate
from common.measures.intervals import paired_bootstrap_over_individuals
from common.measures.open_set import (
    CERTAINTY,
    Queries,
    Threshold,
    highest_new,
    lowest_known,
    threshold_at,
)
from common.words import counted

import numpy as np
from scipy.stats import beta

KNOWN, LOOK, NEW = "known", "look yourself", "probably new"
INCOMPARABLE = "cannot be compared"
FALSE_MATCH_RATE, FALSE_NEW_RATE = 0.01, 0.05  # where nothing else is asked for
FEW_ACCEPTED = 0.1  # share of known animals' photos; below, nothing is called new without a look
FEW_ANIMALS = 20  # below, a rate among new animals depends on which animals they are
N_NAMED = 5  # animals that a remark names


@dataclass(frozen=True)
class Meaning:
    """What similarities mean for questions of one kind, at two stated rates.

    Attributes:
        threshold: from which the first candidate is "known".
        new_below: below which it is "probably new"; -inf where nothing is.
        false_match_rate: wanted share of photos of new animals that are called known.
        false_new_rate: wanted share of photos of known animals that are called probably new.
        probability: similarity of a candidate to the share of such candidates that are right.
    """

    threshold: Threshold
    new_below: float
    false_match_rate: float
    false_new_rate: float
    probability: Calibration
    asked: AskedScores
    kind: str

    def verdict(self, similarities: Sequence[float]) -> str:
        """KNOWN, LOOK or NEW by the first candidate's similarity; INCOMPARABLE without one."""
        if not len(similarities):
            return INCOMPARABLE
        if similarities[0] >= self.threshold.value:
            return KNOWN
        return NEW if similarities[0] < self.new_below else LOOK

    def probabilities(self, similarities: Sequence[float]) -> list[float]:
        """Of each candidate, in (0, 1): how many of validation's candidates that alike were right.

        Each is for itself, whatever its place and its rivals: it never falls while similarity
        rises. They hold among questions like validation's, with its share of new animals.
        """
        return [float(self.probability(np.array(each))) for each in similarities]

    @property
    def n_new_animals(self) -> int:
        """Animals that counted as new."""
        return n_animals(self.asked, is_known=False)

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
        return self.threshold.n_unknown / len(self.asked)

    @property
    def is_too_few(self) -> bool:
        """Whether no new animal's photo passes, and even so validation shows no such rate."""
        is_none = self.threshold.false_match_rate == 0
        return is_none and self.highest_rate > self.false_match_rate

    def to_dict(self) -> dict:
        """Plain values for a result file."""
        return {
            "kind": self.kind,
            "asked_rate": self.false_match_rate,
            "asked_new_rate": self.false_new_rate,
            "new_below": self.new_below if np.isfinite(self.new_below) else None,
            "n_new_animals": self.n_new_animals,
            "highest_rate": self.highest_rate,
            "is_too_few": self.is_too_few,
            **self.threshold.to_dict(),
        }

    def text(self) -> str:
        """What the two thresholds rest on, in a few sentences."""
        return " ".join([self._text_of_known(), self._text_of_new()])

    def _text_of_known(self) -> str:
        chosen, rate = self.threshold, f"{self.false_match_rate:.3g}"
        n_accepted = round(chosen.false_match_rate * chosen.n_unknown)
        sentence = (
            f"Known from a similarity of {chosen.value:.3f} for {_one(self.kind)}: of "
            f"{counted(chosen.n_unknown, f'validation {self.kind}')} of "
            f"{counted(self.n_new_animals, 'new animal')}, "
            f"{n_accepted} would be taken for known (asked: a share of {rate}, of known animals' "
            f"{self.kind}s without their animal, too, and with a margin for others); of "
            f"{counted(chosen.n_known, self.kind)} of known animals, a share of "
            f"{chosen.baks:.2f} accepted and named right, each animal counting the same. "
            f"Probabilities hold where, as there, a share of {self.share_new:.2f} of the "
            f"{self.kind}s shows new animals."
        )
        if self.is_too_few:
            sentence += (
                f" {counted(chosen.n_unknown, self.kind)} cannot show a rate of {rate}: the "
                f"threshold is above all of them, and a rate up to {self.highest_rate:.2g} "
                "cannot be excluded."
            )
        if self.n_new_animals < FEW_ANIMALS:
            sentence += (
                f" So few new animals ({self.n_new_animals}) cannot show much: photos of one "
                "animal go together, so that among others the rate may well be twice as high."
            )
        return sentence

    def _text_of_new(self) -> str:
        rate, known = f"{self.false_new_rate:.3g}", n_animals(self.asked, is_known=True)
        if share_accepted(self.asked, self.threshold) < FEW_ACCEPTED:
            return (
                "Nothing is called new without a look: of known animals' photos, fewer than "
                f"{100 * FEW_ACCEPTED:.0f} in 100 reach that similarity."
            )
        if not np.isfinite(self.new_below):
            return (
                f"Nothing is called new without a look: {counted(known, 'known animal')} in "
                f"validation cannot show that no more than a share of {rate} would be."
            )
        if self.new_below >= self.threshold.value:
            return (
                "Below it probably new, with nothing between: of known animals' photos, less than "
                f"a share of {rate} lies there."
            )
        return (
            f"Probably new below {self.new_below:.3f}, where no more than a share of {rate} of "
            f"known animals' photos lies, by {counted(known, 'animal')}; between the two, look "
            "yourself."
        )


def _one(kind: str) -> str:
    return "one photo" if kind == "photo" else "the photos of an encounter together"


def n_animals(asked: AskedScores, *, is_known: bool) -> int:
    """Known, or new, animals that are asked about."""
    pairs = zip(asked.animal, asked.is_known, strict=True)
    return len({animal for animal, known in pairs if known == is_known})


def share_accepted(asked: AskedScores, threshold: Threshold) -> float:
    """Share of known animals' questions whose first candidate reaches a threshold, in [0, 1]."""
    pairs = zip(asked.similarities, asked.is_known, strict=True)
    return float(np.mean([each[0] >= threshold.value for each, known in pairs if known]))


def _without_own(asked: AskedScores) -> list[tuple[np.ndarray, np.ndarray]]:
    """What known animals' photos get where their animal is left out: similarities, and animals.

    New animals are few in validation, and others may look more like somebody: these are many.
    """
    strangers = []
    for each, place, animal, known in zip(*vars(asked).values(), strict=True):
        wrong = each[1:] if place == 0 else each
        if known and wrong:
            strangers.append((wrong[0], animal))
    return [tuple(map(np.array, zip(*strangers, strict=True)))] if strangers else []


def meaning_of(
    scores: ValidationScores,
    kind: str = "photo",
    false_match_rate: float = FALSE_MATCH_RATE,
    false_new_rate: float = FALSE_NEW_RATE,
    choose: Callable[[Queries], Threshold] | None = None,
) -> Meaning:
    """Learn both thresholds and the probabilities for questions of one kind.

    Args:
        scores: of validation photos; nothing else is looked at.
        false_match_rate: wanted share of questions about new animals that are called known.
        false_new_rate: wanted share of questions about known animals that are called probably new.
        choose: the upper threshold, whatever rate is wanted; None: by that rate.

    Raises:
        InputError: validation has no question about a known or about a new animal.
    """
    asked = scores.photos if kind == "photo" else scores.encounters
    queries = _queries(asked, kind, scores.source)
    known, first, animals = queries.is_known, queries.scores, np.array(asked.animal)
    if choose:
        threshold = choose(queries)
        false_match_rate = threshold.false_match_rate
    else:
        strangers = [(first[~known], animals[~known]), *_without_own(asked)]
        value = max(lowest_known(*each, false_match_rate) for each in strangers)
        threshold = threshold_at(value, queries)
    new_below = highest_new(first[known], animals[known], false_new_rate)
    if share_accepted(asked, threshold) < FEW_ACCEPTED:
        new_below = -np.inf
    n_candidates = [len(each) for each in asked.similarities]
    place = np.concatenate([np.arange(n) for n in n_candidates])
    is_right = place == np.repeat(asked.right_place, n_candidates)
    return Meaning(
        threshold=threshold,
        new_below=min(new_below, threshold.value),
        false_match_rate=false_match_rate,
        false_new_rate=false_new_rate,
        probability=calibrate(np.concatenate(asked.similarities), is_right),
        asked=asked,
        kind=kind,
    )


def _queries(asked: AskedScores, kind: str, source: str) -> Queries:
    """Validation questions as an open set; refused where known or new animals are missing."""
    is_known = np.array(asked.is_known, dtype=bool)
    if not is_known.any() or is_known.all():
        other_way = "" if kind == "photo" else ", or leave --same_encounter out"
        raise InputError(
            f"{source}: {counted(is_known.sum(), 'question')} ({_one(kind)}) about known "
            f"and {(~is_known).sum()} about new animals, expected some of both to learn what a "
            "similarity means; add photos of several encounters per animal, or train with a "
            f"--split that holds animals out{other_way}"
        )
    names = np.where(is_known, "known ", "new ").astype(object) + [str(i) for i in asked.animal]
    predicted = np.where(np.array(asked.right_place) == 0, names, "another")
    first = [each[0] for each in asked.similarities]
    return Queries(first, predicted, names, {*names[is_known], "another"})


def trust_sentence(scores: ValidationScores, meaning: Meaning | None = None) -> str:
    """What a biologist may expect of the answers, by validation photos, in few sentences.

    Args:
        meaning: learned from them, at the rates asked for; None: for one photo, at the usual ones.
    """
    asked = scores.encounters if meaning and meaning.kind == "encounter" else scores.photos
    kind = meaning.kind if meaning else "photo"
    known = np.array(asked.is_known, dtype=bool)
    if not known.any():
        return (
            f"No {kind} of a known animal could be asked: how often a name is right is unknown, "
            "and identify.py needs to know. Add photos of another encounter of some animals, or "
            "build with a model that metric_learning.py trained."
        )
    place = np.array(asked.right_place)[known]
    sentences = [
        f"Of 100 {_named(kind)} of animals that it knows, about {_in_100(place == 0)} are named "
        f"right at first, {_in_100(place >= 0)} among five."
    ]
    if not known.all():
        meaning = meaning or meaning_of(scores)
        verdicts = np.array([meaning.verdict(each) for each in asked.similarities])
        is_wrong = (verdicts[known] == KNOWN) & (place != 0)
        sentences.append(
            f"Of these it calls {_shares(verdicts[known])}; by a wrong name {_in_100(is_wrong)}. "
            f"Of 100 of animals that it does not know, {_shares(verdicts[~known])}."
        )
    sentences.append(
        f"So it was with {counted(int(known.sum()), kind)} of "
        f"{counted(n_animals(asked, is_known=True), 'known animal')} and {int((~known).sum())} of "
        f"{counted(n_animals(asked, is_known=False), 'new one')}, in validation."
    )
    return " ".join([*sentences, *_doubts(scores)])


def _named(kind: str) -> str:
    return "photos" if kind == "photo" else "encounters with several photos"


def _in_100(is_so: np.ndarray) -> int:
    return round(100 * float(np.mean(is_so)))


def _shares(verdicts: np.ndarray) -> str:
    """How many in 100 get each verdict."""
    known, new = _in_100(verdicts == KNOWN), _in_100(verdicts == NEW)
    return f'{known} "{KNOWN}", {100 - known - new} "{LOOK}" and {new} "{NEW}"'


def _doubts(scores: ValidationScores) -> list[str]:
    """A sentence where names are no better than a guess, or than before training."""
    known = np.array(scores.photos.is_known, dtype=bool)
    is_right = (np.array(scores.photos.right_place) == 0)[known].astype(float)
    animal = np.array(scores.photos.animal)[known]
    if scores.chance is not None:
        guess = np.full(len(is_right), scores.chance)
        if not paired_bootstrap_over_individuals(is_right, guess, animal).low > 0:
            return [
                "THIS MODEL IS NO BETTER THAN CHANCE: a guess names about "
                f"{100 * scores.chance:.2g} of 100 right."
            ]
    if scores.untrained_place is not None:
        before = (np.array(scores.untrained_place) == 0)[known].astype(float)
        if not paired_bootstrap_over_individuals(is_right, before, animal).low > 0:
            return [
                "THIS MODEL IS NO BETTER THAN UNTRAINED: before training, the same network named "
                f"{_in_100(before)} of 100 right."
            ]
    return []


@dataclass(frozen=True)
class Verdict:
    """What is said about one question, and on what it rests.

    Attributes:
        text: "known: NAME", "look yourself", "probably new" or "cannot be compared".
        probabilities: of each candidate, in (0, 1), see `Meaning.probabilities`.
    """

    text: str
    candidates: list[Candidate]
    probabilities: list[float]
    remarks: list[str]

    @property
    def similarities(self) -> list[float]:
        """Cosine in [-1, 1] of each candidate."""
        return [each.similarity for each in self.candidates]


def verdict_on(ranking: Ranking, meaning: Meaning) -> Verdict:
    """Judge a ranking."""
    similarities = [each.similarity for each in ranking.candidates]
    text = meaning.verdict(similarities)
    if text == KNOWN:
        text = f"{KNOWN}: {ranking.candidates[0].identity}"
    remarks = []
    if n_missing := len(ranking.not_judged):
        named = ", ".join(ranking.not_judged[:N_NAMED])
        remarks.append(
            f"{counted(n_missing, 'animal')} not judged, for want of a photo of this side: {named}"
            f"{', …' if n_missing > N_NAMED else ''}."
        )
    return Verdict(text, ranking.candidates, meaning.probabilities(similarities), remarks)
