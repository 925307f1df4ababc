"""What persons have said about pairs of photos, and what follows from it.

Who says A = B and B = C has said A = C, too. Who also says A ≠ C has made a mistake somewhere: the
one of these answers that the photos speak against most is left out, and named. An answer that the
photos speak strongly against counts once it is given a second time.
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

    Attributes:
        component: photos that belong together share a number, shape (n_photos,).
        kept: the answers that count.
        contradictions: those that cannot be true together with these.
        doubtful: those to be given a second time.
    """

    def __init__(self, n_photos: int, apart: Iterable[tuple[int, int]] = ()) -> None:
        self.component = np.arange(n_photos)
        self.kept: list[Answer] = []
        self.contradictions: list[Contradiction] = []
        self.doubtful: list[Answer] = []
        self._apart = [tuple(map(int, pair)) for pair in apart]

    @classmethod
    def of(
        cls,
        n_photos: int,
        answers: Sequence[Answer],
        probability: np.ndarray | None = None,
        apart: Iterable[tuple[int, int]] = (),
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
        """
        constraints, votes = cls(n_photos, apart), {}
        for each in answers:
            votes.setdefault(tuple(sorted((each.first, each.second))), []).append(each.is_same)
        counted = []
        for pair, said in votes.items():
            lead = 2 * sum(said) - len(said)  # of "same"
            answer = Answer(*pair, lead > 0 or (lead == 0 and said[-1]))
            is_surprising = probability is not None and _belief(answer, probability) < SURPRISING
            is_doubtful = lead == 0 or (is_surprising and abs(lead) < 2)
            (constraints.doubtful if is_doubtful else counted).append(answer)
        for answer in sorted(counted, key=lambda each: -_belief(each, probability)):
            constraints.add(answer)
        return constraints

    @property
    def apart(self) -> np.ndarray:
        """Pairs of photos that were said to show two animals, int, shape (n_pairs, 2)."""
        return np.array(self._apart, dtype=np.intp).reshape(-1, 2)

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
            self._apart.append((answer.first, answer.second))
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
        wanted = {(one, other), (other, one)}
        found = (p for p in self._apart if (self.component[p[0]], self.component[p[1]]) in wanted)
        return next(found, None)

    def _chain(self, start: int, end: int) -> tuple[int, ...]:
        """The shortest way from a photo to another by answers "same"."""
        came_from, waiting = {start: start}, [start]
        for photo in waiting:
            for each in self.kept:
                if each.is_same and photo in (each.first, each.second):
                    other = each.second if photo == each.first else each.first
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
