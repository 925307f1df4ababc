"""Which pairs should a person judge? And what do the answers change?

- uncertainty: the pairs whose probability of one animal is nearest to a half.
- disagreement: a second grouping, by another rule, joins each photo with its most probable one of
  another encounter, and so on. Where the two groupings differ, one of them is wrong; first come the
  pairs on which most photos hang.
- random: any pairs.

Of each two groups one pair is asked at a time, and none whose answer follows from others. What was
answered against all appearance is asked once more, first of all.
"""

from collections.abc import Iterable, Sequence

from common.groups.choice import Grouping, distance_by_answers, regrouped
from common.groups.constraints import Answer, Constraints
from common.groups.likeness import Pairs

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

N_TRIED = 40  # candidates for each question
PER_PAGE = 10  # of more, the later pairs know nothing of what the first have taught
STRATEGIES = ("uncertainty", "disagreement", "random")
BEST = "disagreement"  # by week3/check_pairs.py


def choose_pairs(
    strategy: str,
    grouping: Grouping,
    pairs: Pairs,
    constraints: Constraints,
    n_questions: int,
    *,
    asked: Sequence[tuple[int, int]] = (),
    seed: int = 0,
) -> list[tuple[int, int]]:
    """Pairs to be judged next, the most telling first.

    Args:
        strategy: one of `STRATEGIES`.
        grouping: of the photos now.
        pairs: of the photos.
        constraints: what is known already.
        n_questions: at most.
        asked: pairs that were asked before, also without an answer.
        seed: of random ones.
    """
    first, second, block = {
        "uncertainty": _uncertain,
        "disagreement": _disagreed,
        "random": _drawn,
    }[strategy](grouping, pairs, n_questions * N_TRIED, np.random.default_rng(seed))
    is_open = ~constraints.are_known(first, second)
    before, used = {tuple(sorted(each)) for each in asked}, set()
    chosen = [tuple(sorted((e.first, e.second))) for e in constraints.doubtful][:n_questions]
    for i in np.flatnonzero(is_open):
        if len(chosen) >= n_questions:
            break
        pair = tuple(sorted((int(first[i]), int(second[i]))))
        key = tuple(sorted((int(block[first[i]]), int(block[second[i]]))))
        if pair in before or key in used:
            continue
        chosen.append(pair)
        used.add(key)
    return chosen


def _uncertain(
    grouping: Grouping, pairs: Pairs, n: int, generator: np.random.Generator
) -> tuple[np.ndarray, ...]:
    doubt = np.abs(grouping.probability - 0.5)
    doubt[~pairs.comparable | np.tri(len(pairs), dtype=bool)] = np.inf
    n = min(n, int(np.isfinite(doubt).sum()))
    flat = np.argpartition(doubt, n - 1, axis=None)[:n] if n else np.empty(0, dtype=np.intp)
    flat = flat[np.argsort(doubt.flat[flat], kind="stable")]
    return *np.unravel_index(flat, doubt.shape), grouping.labels


def _drawn(
    grouping: Grouping, pairs: Pairs, n: int, generator: np.random.Generator
) -> tuple[np.ndarray, ...]:
    one, other = generator.integers(len(pairs), size=(2, n))
    at = pairs.comparable[one, other] & (one != other)
    return one[at], other[at], np.arange(len(pairs))


def _disagreed(
    grouping: Grouping, pairs: Pairs, n: int, generator: np.random.Generator
) -> tuple[np.ndarray, ...]:
    own, other, nearest = grouping.labels, *second_grouping(grouping.probability, pairs)
    size, probability = np.bincount(own), grouping.probability
    found = []  # first, second, photos' pairs that hang on it
    for i in np.flatnonzero(nearest >= 0):
        j = nearest[i]
        if own[i] != own[j]:
            found.append((i, j, size[own[i]] * size[own[j]] * probability[i, j]))
    block = own * (int(other.max()) + 1) + other
    for label in np.flatnonzero(size > 1):
        rows = np.flatnonzero(own == label)
        parts, counts = np.unique(block[rows], return_counts=True)
        main = rows[block[rows] == parts[counts.argmax()]]
        for part in np.delete(parts, counts.argmax()):
            apart = rows[block[rows] == part]
            at = np.ix_(apart, main)
            if not pairs.comparable[at].any():
                continue
            likely = np.where(pairs.comparable[at], probability[at], -1)
            i, j = np.unravel_index(likely.argmax(), likely.shape)
            doubt = 1 - likely[likely >= 0].mean()
            found.append((apart[i], main[j], len(apart) * len(main) * doubt))
    found.sort(key=lambda each: -each[2])
    first, second = np.array([each[:2] for each in found], dtype=np.intp).reshape(-1, 2).T
    return first, second, block


def second_grouping(probability: np.ndarray, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Each photo joined with the most probable one of another encounter.

    Args:
        probability: that two photos show one animal, shape (n_photos, n_photos).
        pairs: of the photos.

    Returns:
        Groups, and the photo that each was joined with, -1 where there is none.

    Source: the first partition of Sarfraz et al. 2019, FINCH, arXiv 1902.11266.
    """
    allowed = pairs.comparable & (pairs.encounter[:, None] != pairs.encounter)
    likely = np.where(allowed, probability, -1)
    nearest = np.where(allowed.any(axis=1), likely.argmax(axis=1), -1)
    rows = np.flatnonzero(nearest >= 0)
    links = coo_array((np.ones(len(rows)), (rows, nearest[rows])), shape=probability.shape)
    return connected_components(links, directed=False)[1], nearest


class Person:
    """A simulated person, who is right with some probability.

    Args:
        truth: what each photo shows, shape (n_photos,).
        right: share of answers that are right, in [0, 1].
        seed: of the mistakes.
    """

    def __init__(self, truth: np.ndarray, right: float, seed: int) -> None:
        self.truth, self.right = truth, right
        self.generator = np.random.default_rng(seed)

    def judge(self, pair: tuple[int, int]) -> Answer:
        """What the person says of a pair."""
        is_same = bool(self.truth[pair[0]] == self.truth[pair[1]])
        is_right = self.generator.random() < self.right
        return Answer(*pair, is_same if is_right else not is_same)


def agreement(truth: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """AMI and ARI with the truth, each at most 1."""
    return {
        "AMI": float(adjusted_mutual_info_score(truth, labels)),
        "ARI": float(adjusted_rand_score(truth, labels)),
    }


def simulate(
    strategy: str,
    pairs: Pairs,
    grouping: Grouping,
    person: Person,
    n_answers: int,
    *,
    per_page: int = PER_PAGE,
    every: int = 10,
    seed: int = 0,
) -> list[tuple[Constraints, Grouping]]:
    """Let a simulated person judge pairs page by page, as `week3/sort_photos.py` asks them.

    Args:
        strategy: one of `STRATEGIES`.
        pairs: of the photos.
        grouping: of them without any answer.
        person: who judges.
        n_answers: in all, a multiple of every; where no pair is left to ask about, fewer.
        per_page: pairs on a page; a page comes of the groups that the pages before have made.
        every: answers after which photos are grouped, as if the person had stopped there.
        seed: of random pairs.

    Returns:
        What is known and the groups, without an answer and after each so many.
    """
    answers: list[Answer] = []
    state = Constraints(len(pairs)), grouping
    while len(answers) < n_answers:
        asked = [(each.first, each.second) for each in answers]
        options = {"asked": asked, "seed": seed + len(answers)}
        n_asked = min(per_page, n_answers - len(answers))
        page = choose_pairs(strategy, state[1], pairs, state[0], n_asked, **options)
        if not page:
            break
        answers += [person.judge(pair) for pair in page]
        state = grouped_again(pairs, grouping, answers)
    stops = range(every, n_answers + 1, every)
    states = [grouped_again(pairs, grouping, answers[:number]) for number in stops]
    return [(Constraints(len(pairs)), grouping), *states]


def grouped_again(
    pairs: Pairs,
    grouping: Grouping,
    answers: Sequence[Answer],
    apart: Iterable[tuple[int, int]] = (),
    names: Sequence[str] | None = None,
    waiting: Sequence[Answer] = (),
) -> tuple[Constraints, Grouping]:
    """What follows from answers, and the groups with them, up to the distance that they teach.

    Args:
        pairs: of the photos.
        grouping: of them without any answer.
        answers: of persons.
        apart: pairs that cannot be one animal, see `Constraints`.
        names: of the photos' animals where they are known, see `Constraints`. They teach no
            distance: nobody chose these pairs because they are hard to tell.
        waiting: answers that are doubtful whatever the names are: they join and part nothing.
    """
    # Of a left and a right profile, which are not compared, no answer is surprising.
    belief = np.where(pairs.comparable, grouping.probability, 0.5)
    pairs_waiting = {frozenset((each.first, each.second)) for each in waiting}
    counting = [e for e in answers if frozenset((e.first, e.second)) not in pairs_waiting]
    constraints = Constraints.of(len(pairs), counting, belief, apart, names)
    constraints.doubtful += waiting
    distance = distance_by_answers(grouping, answers)
    return constraints, regrouped(grouping, pairs, constraints, distance)
