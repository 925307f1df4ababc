"""What persons have said about pairs of photos, and what follows from it.

Who says A = B and B = C has said A = C, too. Who also says A ≠ C has made a mistake somewhere: the
one of these answers that the photos speak against most is left out, and named. An answer that the
photos speak strongly against counts once it is given a second time. Names that photos have come
first: answers are held against them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

SURPRISING = 0.05  # probability of an answer, below which it has to be given twice


@dataclass(frozen=True)
class Answer:
    """What a person said of two photos.

    Attributes:
        first: number of a photo.
        second: of another one.
        is_same: whether they show one animal.
    """

    first: int
    second: int
    is_same: bool


@dataclass(frozen=True)
class Contradiction:
    """An answer that cannot be true together with others.

    Attributes:
        left_out: the answer.
        chain: photos, of which each is said to show the same animal as the next one.
        apart: two of these that are said to show two animals.
    """

    left_out: Answer
    chain: tuple[int, ...]
    apart: tuple[int, int]

    def text(self, names: Sequence[str]) -> str:
        """One line for people.

        >>> Contradiction(Answer(0, 2, False), (0, 1, 2), (0, 2)).text(["A", "B", "C"])
        'A = B = C, but A ≠ C: one of these is wrong; A ≠ C is left out'
        """
        chain, (one, other) = " = ".join(names[i] for i in self.chain), self.apart
        sign = "=" if self.left_out.is_same else "≠"
        out = f"{names[self.left_out.first]} {sign} {names[self.left_out.second]}"
        return (
            f"{chain}, but {names[one]} ≠ {names[other]}: one of these is wrong; {out} is left out"
        )


class Constraints:
    """Photos that belong together, and photos that do not.

    Args:
        n_photos: all of them.
        apart: pairs that cannot be one animal, whatever anybody says: two boxes of one photo.
        names: of the photos' animals, "" where nobody knows it; None: nobody knows any.

    Attributes:
        component: photos that belong together share a number, shape (n_photos,).
        apart: pairs of photos that are said to show two animals, int, shape (n_pairs, 2).
        kept: the answers that count.
        contradictions: those that cannot be true together with these.
        doubtful: those to be given a second time.
    """

    def __init__(
        self,
        n_photos: int,
        apart: Iterable[tuple[int, int]] = (),
        names: Sequence[str] | None = None,
    ) -> None:
        self.component = np.arange(n_photos)
        self._names = np.array([""] * n_photos if names is None else names, dtype=str)
        self.kept: list[Answer] = []
        self.contradictions: list[Contradiction] = []
        self.doubtful: list[Answer] = []
        found, first, codes = np.unique(self._names, return_index=True, return_inverse=True)
        self.component = np.where(self._names == "", self.component, first[codes])
        first = first[found != ""]  # one photo of each name: what is true of it is true of all
        between = first[np.stack(np.triu_indices(len(first), k=1), axis=1)]
        self.apart = np.concatenate([np.array([*apart], dtype=np.intp).reshape(-1, 2), between])

    @classmethod
    def of(
        cls,
        n_photos: int,
        answers: Sequence[Answer],
        probability: np.ndarray | None = None,
        apart: Iterable[tuple[int, int]] = (),
        names: Sequence[str] | None = None,
    ) -> "Constraints":
        """All that follows from answers.

        Args:
            n_photos: all of them.
            answers: in any order; several of one pair are counted, and as many "same" as
                "different" say nothing.
            probability: that two photos show one animal, shape (n_photos, n_photos): the answers
                that are most probable are taken first, surprising ones at the second time. None:
                in the order given.
            apart: see the class.
            names: see the class.
        """
        constraints, votes = cls(n_photos, apart, names), {}
        for each in answers:
            votes.setdefault(tuple(sorted((each.first, each.second))), []).append(each.is_same)
        pairs = np.array([*votes], dtype=np.intp).reshape(-1, 2).T
        counted, settled = [], constraints.are_known(*pairs)  # to ask once more decides nothing
        for (pair, said), is_settled in zip(votes.items(), settled, strict=True):
            lead = 2 * sum(said) - len(said)  # of "same"
            answer = Answer(*pair, lead > 0 or (lead == 0 and said[-1]))
            is_surprising = probability is not None and _belief(answer, probability) < SURPRISING
            is_doubtful = lead == 0 or (is_surprising and abs(lead) < 2)
            is_doubtful &= not is_settled
            (constraints.doubtful if is_doubtful else counted).append(answer)
        for answer in sorted(counted, key=lambda each: -_belief(each, probability)):
            constraints.add(answer)
        return constraints

    def add(self, answer: Answer) -> bool:
        """Take an answer; False, and one more contradiction, where it cannot be true."""
        one, other = self.component[[answer.first, answer.second]]
        if answer.is_same:
            pair = self._said_apart(one, other)
            if pair is not None and one != other:
                start, end = pair if self.component[pair[0]] == one else pair[::-1]
                chain = self._chain(start, answer.first) + self._chain(answer.second, end)
                self.contradictions.append(Contradiction(answer, chain, pair))
                return False
            self.component[self.component == other] = one
        elif one == other:
            pair = answer.first, answer.second
            self.contradictions.append(Contradiction(answer, self._chain(*pair), pair))
            return False
        else:
            self.apart = np.append(self.apart, [[answer.first, answer.second]], axis=0)
        self.kept.append(answer)
        return True

    def are_known(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Whether it follows from the answers what pairs are, bool, shape (n_pairs,)."""
        own, n = self.component, len(self.component)
        apart = own[self.apart]
        said = np.concatenate([apart[:, 0] * n + apart[:, 1], apart[:, 1] * n + apart[:, 0]])
        return (own[first] == own[second]) | np.isin(own[first] * n + own[second], said)

    def _said_apart(self, one: int, other: int) -> tuple[int, int] | None:
        """A pair of photos of two components that was said to show two animals."""
        own = self.component[self.apart]
        is_said = (own == (one, other)).all(axis=1) | (own == (other, one)).all(axis=1)
        return next((tuple(pair.tolist()) for pair in self.apart[is_said][:1]), None)

    def _chain(self, start: int, end: int) -> tuple[int, ...]:
        """The shortest way from a photo to another by answers "same" and by names."""
        came_from, waiting = {start: start}, [start]
        for photo in waiting:
            own = self._names[photo]
            others = np.flatnonzero(self._names == own).tolist() if own else []
            for each in self.kept:
                if each.is_same and photo in (each.first, each.second):
                    others.append(each.second if photo == each.first else each.first)
            for other in others:
                if other not in came_from:
                    came_from[other] = photo
                    waiting.append(other)
        way = [end]
        while way[-1] != start:
            way.append(came_from[way[-1]])
        return tuple(way[::-1])


def _belief(answer: Answer, probability: np.ndarray | None) -> float:
    if probability is None:
        return 0.0
    same = float(probability[answer.first, answer.second])
    return same if answer.is_same else 1 - same
