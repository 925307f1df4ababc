"""A cascade: cheap scores look at many pairs of photos, dear ones where the decision is open.

The embedding's cosine costs nothing and compares a question with the whole gallery. XFeat takes
half a millisecond a pair, LightGlue a tenth of a second. So each stage puts the photos in order for
the next one, which compares the first of them, animal by animal, and stops as soon as nothing that
is still to be compared could change who comes first.

A score means nothing by itself: it is turned into the probability that a pair with this score shows
one animal, learned from validation pairs (`common.matching.fusion`). A pair's probability is the
mean of what its scores mean, as far as it was compared, and what such a mean is worth is learned,
too; so pairs that came far and pairs that did not can stand in one list.

Source: the mean of calibrated scores, Cermak et al. 2024, WildFusion, arXiv 2408.12934.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from common.matching.fusion import ROUNDING, fuse
from common.measures.calibration import Calibration, calibrate

import numpy as np
from tqdm import tqdm

COSINE = "cosine"
PHOTOS_PER_ANIMAL = 3  # on a shortlist, at most: a burst would fill it
ANIMALS = 10  # at least on a shortlist, before an animal has several photos there
CLEAR = 0.98  # from which the first animal needs no further stage, where all others are below 2 %

# Name of a stage, number of the question's photo, numbers of gallery photos -> their scores.
Compare = Callable[[str, int, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Stage:
    """One score of a cascade, and how much of it a question may have.

    Attributes:
        name: of the score: one of `common.matching.matchers.MATCHERS`.
        n_pairs: most gallery photos that it compares with each photo of a question.
        step: that it compares with each before the decision is looked at again.
    """

    name: str
    n_pairs: int
    step: int


@dataclass(frozen=True, eq=False)
class Pairs:
    """The photos of a question, all of one animal, and the gallery's photos.

    Attributes:
        cosines: of the embedding, shape (n_photos, n_gallery).
        allowed: bool, shape (n_photos, n_gallery): pairs that count; the others are left with
            right, and for validation the question's own encounter, or its animal.
        labels: of the gallery's animals, integers from 0, shape (n_gallery,).
        compare: what a later stage says of some pairs.
    """

    cosines: np.ndarray
    allowed: np.ndarray
    labels: np.ndarray
    compare: Compare


@dataclass(eq=False)
class Found:
    """What is known of a question's pairs so far.

    Attributes:
        labels: of the gallery's animals, shape (n_gallery,).
        scores: name to scores, shape (n_photos, n_gallery); nan where a pair was not compared.
        probability: that a pair shows one animal, in (0, 1), of that shape; nan where it does not
            count.
    """

    labels: np.ndarray
    scores: dict[str, np.ndarray]
    probability: np.ndarray

    @property
    def counting(self) -> np.ndarray:
        """The probabilities that count for an animal, of that shape; the others are -inf.

        They are those of its pairs that came furthest: where LightGlue found nothing in the three
        most alike photos, a fourth one that only the embedding saw proves nothing.
        """
        stage = sum(np.isfinite(each).astype(np.int8) for each in self.scores.values())
        furthest = animal_best(stage, self.labels)[:, self.labels]
        return np.where((stage == furthest) & (stage > 0), self.probability, -np.inf)

    def animals(self) -> np.ndarray:
        """Score in (0, 1) of each animal: its best pair's, the mean over the question's photos.

        Shape (n_animals,); nan for an animal that nothing can be compared with.
        """
        return mean_of_photos(animal_best(self.counting, self.labels))

    @property
    def n_pairs(self) -> dict[str, int]:
        """How many pairs each stage has compared."""
        compared = {name: np.isfinite(each).sum() for name, each in self.scores.items()}
        return {name: int(n) for name, n in compared.items() if name != COSINE}


def animal_best(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The highest of each animal for each photo, shape (n_photos, n_animals).

    Args:
        values: shape (n_photos, n_gallery).
        labels: integers from 0, each of them there, shape (n_gallery,).

    >>> animal_best(np.array([[0.2, 0.9, 0.5]]), np.array([0, 0, 1]))
    array([[0.9, 0.5]])
    """
    best = np.full((len(values), labels.max(initial=-1) + 1), values.dtype.type(0))
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    if len(present):
        best[:, present] = np.maximum.reduceat(values[:, order], starts, axis=1)
    return best


def mean_of_photos(best: np.ndarray) -> np.ndarray:
    """One score of each animal: the mean over the photos that have one, else nan.

    Args:
        best: of each photo and animal, -inf where there is none, shape (n_photos, n_animals).
    """
    has_one = np.isfinite(best)
    total = np.where(has_one, best, 0).sum(axis=0)
    return np.where(has_one.any(axis=0), total / np.maximum(has_one.sum(axis=0), 1), np.nan)


def shortlist(
    probability: np.ndarray, labels: np.ndarray, n_pairs: int, per_animal: int = PHOTOS_PER_ANIMAL
) -> np.ndarray:
    """The most probable gallery photos for one photo, of each animal a few at most.

    Args:
        probability: shape (n_gallery,), nan where a photo may not be taken.
        labels: of the gallery's animals, shape (n_gallery,).

    Returns:
        Columns, most probable first, int, shape (at most n_pairs,).

    >>> shortlist(np.array([0.9, 0.8, 0.1]), np.array([0, 0, 1]), 2, per_animal=1)
    array([0, 2])
    """
    order = np.argsort(-probability, kind="stable")[: np.isfinite(probability).sum()]  # nan is last
    # The place of each photo among its animal's, which a stable sort keeps in order.
    together = np.argsort(labels[order], kind="stable")
    starts = np.flatnonzero(np.diff(labels[order][together], prepend=-1))
    place = np.empty(len(order), dtype=np.intp)
    place[together] = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
    return order[place < per_animal][:n_pairs]


@dataclass(frozen=True)
class Cascade:
    """What scores and their means say, learned from validation pairs.

    Attributes:
        meanings: "cosine" and the name of each stage to what its score means, in that order.
        levels: what the mean of the first two of them is worth, of the first three, and so on.
        clear: probability of the first animal from which no further stage is asked, where all
            others have at most the rest of 1; above 1: all stages are asked.
    """

    meanings: Mapping[str, Calibration]
    levels: Sequence[Calibration] = ()
    clear: float = CLEAR

    def probability(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """Of pairs with these scores, in (0, 1); never lower where no score is lower.

        Args:
            scores: the first of `meanings`, one or more, all of one shape.
        """
        mean = fuse(scores, self.meanings)
        return mean if len(scores) == 1 else self.levels[len(scores) - 2](mean)

    def ask(self, pairs: Pairs, stages: Sequence[Stage]) -> Found:
        """Compare a question with a gallery, stage after stage, while the decision is open.

        Args:
            stages: the first of `meanings` after the cosine, in that order; none: cosine alone.
        """
        found = self.by_cosine(pairs)
        for stage in stages:
            if self._is_clear(found.animals()):
                break
            self.compare(found, pairs, stage)
        return found

    def by_cosine(self, pairs: Pairs) -> Found:
        """What the embedding says of a question."""
        cosines = np.where(pairs.allowed, pairs.cosines, np.nan)
        return Found(pairs.labels, {COSINE: cosines}, self.probability({COSINE: cosines}))

    def compare(self, found: Found, pairs: Pairs, stage: Stage) -> None:
        """Ask the next stage about the first of a question's pairs; `found` is changed."""
        before = np.isfinite([*found.scores.values()][-1])
        allowed = np.where(before, found.probability, np.nan)
        n_most = before.sum(axis=1).max(initial=0)
        few = int(np.clip(stage.n_pairs // ANIMALS, 1, PHOTOS_PER_ANIMAL))
        most = n_most if n_most <= stage.n_pairs else few
        columns = [shortlist(each, found.labels, stage.n_pairs, most) for each in allowed]
        known = dict(found.scores)
        new = found.scores[stage.name] = np.full(before.shape, np.nan)
        for start in range(0, max(map(len, columns), default=0), stage.step):
            for photo, own in enumerate(columns):
                if len(now := own[start : start + stage.step]):
                    new[photo, now] = pairs.compare(stage.name, photo, now)
            if stage.name not in self.meanings:  # they are being learned
                continue
            at = np.isfinite(new)
            found.probability[at] = self.probability({k: v[at] for k, v in found.scores.items()})
            rest = [own[start + stage.step :] for own in columns]
            waiting = np.repeat(np.arange(len(rest)), [*map(len, rest)]), np.concatenate(rest)
            if not self._is_open(found, waiting, stage.name, known):
                break

    def _is_clear(self, animals: np.ndarray) -> bool:
        """Whether one animal is probable and no other is possible."""
        ordered = np.sort(animals[np.isfinite(animals)])[::-1]
        return not len(ordered) or (
            ordered[0] >= self.clear and (ordered[1:2] <= 1 - self.clear).all()
        )

    def _is_open(
        self, found: Found, at: tuple[np.ndarray, np.ndarray], name: str, known: Mapping
    ) -> bool:
        """Whether pairs that wait could change who comes first, if they were as alike as can be."""
        highest = {each: scores[at] for each, scores in known.items()}
        highest[name] = np.full(len(at[0]), np.inf)
        most = counting = found.counting
        if len(at[0]):
            most = counting.copy()
            most[at] = np.maximum(most[at], self.probability(highest))
        now, most = (mean_of_photos(animal_best(each, found.labels)) for each in (counting, most))
        # An animal that came as far as this stage, by all its photos, can only rise.
        came_far = animal_best(np.isfinite(found.scores[name]), found.labels)
        has_pairs = animal_best(np.isfinite(found.scores[COSINE]), found.labels)
        least = np.where((came_far | ~has_pairs).all(axis=0), now, 0.0)
        first = int(np.nanargmax(np.where(np.isnan(now), -1.0, least)))
        return bool((np.delete(most, first) >= least[first]).any())

    def to_dict(self) -> dict:
        """Plain JSON types, which `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping) -> "Cascade":
        """Read what `to_dict` gave."""
        meanings = {name: Calibration(**each) for name, each in values["meanings"].items()}
        return cls(meanings, [Calibration(**each) for each in values["levels"]], values["clear"])


def learn_cascade(
    questions: Sequence[Pairs], labels: Sequence[int], stages: Sequence[Stage]
) -> tuple[Cascade, list[Found]]:
    """Learn what scores mean; every stage compares all its pairs, however clear the decision is.

    Args:
        questions: of validation photos, known animals and new ones.
        labels: of the animal that each question shows, as in `Pairs.labels`; of new animals any.

    Returns:
        cascade.
        found: of each question, all pairs of all stages.

    Raises:
        ValueError: no question, or scores that are not finite.
    """
    is_same = [np.equal(each.labels, label) for each, label in zip(questions, labels, strict=True)]
    truth = [each.allowed & same for each, same in zip(questions, is_same, strict=True)]

    def at_compared(found: Sequence[Found], values: Iterable[np.ndarray]) -> np.ndarray:
        last = (np.isfinite([*each.scores.values()][-1]) for each in found)
        return np.concatenate([each[at] for each, at in zip(values, last, strict=True)])

    def learned(found: Sequence[Found], values: Iterable[np.ndarray]) -> Calibration:
        return calibrate(at_compared(found, values).round(ROUNDING), at_compared(found, truth))

    cosines = [np.where(each.allowed, each.cosines, np.nan) for each in questions]
    pairs_of = zip(questions, cosines, strict=True)
    first = [Found(each.labels, {COSINE: own}, own) for each, own in pairs_of]
    cascade = Cascade({COSINE: learned(first, cosines)})
    found = [cascade.by_cosine(each) for each in questions]
    for stage in stages:
        for each, pairs in zip(found, tqdm(questions, f"{stage.name}, validation"), strict=True):
            cascade.compare(each, pairs, stage)
        meaning = learned(found, [each.scores[stage.name] for each in found])
        cascade = Cascade({**cascade.meanings, stage.name: meaning}, cascade.levels)
        means = [fuse(each.scores, cascade.meanings) for each in found]
        cascade = Cascade(cascade.meanings, [*cascade.levels, learned(found, means)])
        for each in found:
            at = np.isfinite(each.scores[stage.name])
            each.probability[at] = cascade.probability(
                {name: scores[at] for name, scores in each.scores.items()}
            )
    return cascade, found
