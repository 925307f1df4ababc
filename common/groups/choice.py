"""When to stop joining: a distance that photos with names choose, and answers correct.

Joined up to a larger distance, groups swallow each other; up to a smaller one, animals fall apart.
The distance is the one whose groups agree best with the animals of validation photos, by adjusted
mutual information (AMI): 1 for the same partition, 0 for what chance gives. (The adjusted Rand
index cares most for large groups and joins too much: AnimalCLEF 2026's entrants.) Where the folder
has fewer photos of an animal than validation has, the best distance is another: validation photos
are thinned to as many. How many the folder has nobody knows, so that it is grouped first with the
distance of all validation photos, its photos a group are counted, and again. Answers about the
folder's own pairs say more than other photos can, and may show that more belongs together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from common.groups.constraints import Answer, Constraints
from common.groups.likeness import Likeness, Pairs
from common.groups.linkage import NEVER, cut, merge_tree
from common.measures.intervals import LEVEL

import numpy as np
from scipy.cluster.hierarchy import cophenet
from scipy.spatial.distance import squareform
from scipy.special import expit, logit
from sklearn.metrics import adjusted_mutual_info_score

MOST_CANDIDATES = 100  # distances that are tried
N_ROUNDS = 4  # of grouping and counting
N_THINNED = 5  # drawings of validation photos, whose median distance counts
SWALLOWED = 1 / 3  # of all photos in one group: more is suspicious
# What answers teach; chosen on drawn cards and new turtles.
SPREAD = 1.0  # log odds, by which the distance of a folder differs from that of named photos
STEEPNESS = 3.0  # log odds that two photos are one animal, by log odds of where they join
ERRING = 0.1  # share of answers that are thought wrong
AGREEMENT = "agreement of named photos"  # in the result of a run
LITTLE_AGREEMENT = 0.5  # AMI; new cows have 0.8, nyalas, where answers mend nothing, 0.3
FEWEST_TO_SWALLOW = 8  # photos of which that is a question


@dataclass(frozen=True, eq=False)
class Named:
    """Photos whose animals are known, and that the network has not learned from.

    Attributes:
        pairs: of these photos.
        identity: of each, str, shape (n_photos,).
        pattern: what one group shall be: an animal, or a side of it, str, shape (n_photos,).
    """

    pairs: Pairs
    identity: np.ndarray
    pattern: np.ndarray

    @classmethod
    def of(cls, pairs: Pairs, identity: np.ndarray, sides: np.ndarray) -> "Named":
        """The same, where the left and the right of an animal are two patterns."""
        return cls(pairs, identity, patterns(identity, sides))

    def rows(self, rows: np.ndarray) -> "Named":
        """Some of the photos."""
        return Named(self.pairs.of(rows), self.identity[rows], self.pattern[rows])


@dataclass(frozen=True, eq=False)
class Grouping:
    """A folder's photos in groups.

    Attributes:
        labels: photos of one group share a number, from 0 by size, shape (n_photos,).
        distance: up to which groups were joined, in [0, 1].
        probability: that two photos show one animal, shape (n_photos, n_photos).
        tree: of `merge_tree`.
        agreement: AMI of named photos with their names, grouped up to their best distance.
    """

    labels: np.ndarray
    distance: float
    probability: np.ndarray
    tree: np.ndarray
    agreement: float = 1.0

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return int(self.labels.max()) + 1

    def swallowed(self) -> str:
        """A warning where one group holds suspiciously many photos; "" where none does."""
        largest, n_photos = int(np.bincount(self.labels).max()), len(self.labels)
        if n_photos < FEWEST_TO_SWALLOW or largest <= SWALLOWED * n_photos:
            return ""
        return (
            f"The largest group holds {largest} of {n_photos} photos: either one animal was "
            "photographed very often, or the group has swallowed others. Look through it before "
            "you believe any number here."
        )


def patterns(identity: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Animals, or their sides where both occur; a photo of no known side counts with the animal."""
    is_sided = {"left", "right"} <= set(sides)
    return np.char.add(np.char.add(identity, " "), sides) if is_sided else identity


def regrouped(
    grouping: Grouping, pairs: Pairs, constraints: Constraints, distance: float
) -> Grouping:
    """The same photos, with what is known of them, up to another distance."""
    tree = merge_tree(grouping.probability, pairs.comparable, constraints)
    return replace(grouping, labels=by_size(cut(tree, distance)), distance=distance, tree=tree)


def by_size(labels: np.ndarray) -> np.ndarray:
    """The same groups, numbered from 0, the largest first."""
    _, first, codes, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    place = np.empty(len(sizes), dtype=np.intp)
    place[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return place[codes]


def best_distance(named: Named, probability: np.ndarray) -> tuple[float, float]:
    """The distance of the highest AMI with the patterns of photos with names, and that AMI.

    Candidates lie midway between the distances at which groups join; of tied ones the middle one
    is taken.
    """
    tree = merge_tree(probability, named.pairs.comparable)
    joins = np.unique(tree[:, 2][tree[:, 2] < NEVER])
    if not len(joins):
        return 0.5, 0.0
    candidates = np.concatenate([joins[:1] / 2, (joins[:-1] + joins[1:]) / 2, joins[-1:] + 0.01])
    spread = np.linspace(0, len(candidates) - 1, min(len(candidates), MOST_CANDIDATES))
    candidates = candidates[np.unique(spread.round().astype(int))]
    scores = np.array(
        [adjusted_mutual_info_score(named.pattern, cut(tree, each)) for each in candidates]
    )
    tied = np.flatnonzero(scores >= scores.max() - 1e-9)
    return float(candidates[tied[(len(tied) - 1) // 2]]), float(scores.max())


def distance_for(
    named: Named, likeness: Likeness, pairs: Pairs, *, seed: int = 0
) -> tuple[Grouping, list[float]]:
    """Choose the distance on photos with names, as dense as the folder, and group the folder.

    Args:
        named: photos with names.
        likeness: learned from them.
        pairs: of the folder's photos.
        seed: of the thinning.

    Returns:
        The groups; and photos a group in each round, of which the last is the folder's.
    """
    probability, own = likeness.probability(named.pairs), likeness.probability(pairs)
    tree = merge_tree(own, pairs.comparable)
    (distance, agreement), counts = best_distance(named, probability), []
    for _ in range(N_ROUNDS):
        labels = cut(tree, distance)
        counts.append(len(labels) / len(np.unique(labels)))
        if len(counts) > 1 and counts[-1] == counts[-2]:
            break
        thinned = [thin(named.pattern, counts[-1], seed + drawing) for drawing in range(N_THINNED)]
        if len(thinned[0]) == len(named.pattern):
            break  # the folder is as dense or denser
        chosen = [best_distance(named.rows(r), probability[np.ix_(r, r)])[0] for r in thinned]
        distance = float(np.median(chosen))
    return Grouping(by_size(cut(tree, distance)), distance, own, tree, agreement), counts


def thin(pattern: np.ndarray, per_group: float, seed: int) -> np.ndarray:
    """Rows of some photos, ascending, so that a pattern has so many in the mean; all if fewer.

    >>> len(thin(np.repeat(["a", "b"], 10), 4, seed=0))
    8
    """
    names, codes, sizes = np.unique(pattern, return_inverse=True, return_counts=True)
    share = min(1.0, per_group * len(names) / len(pattern))
    if share == 1:
        return np.arange(len(pattern))
    generator, kept = np.random.default_rng(seed), []
    for code, size in enumerate(sizes):
        n = max(1, int(size * share + generator.random()))
        kept.append(generator.permutation(np.flatnonzero(codes == code))[:n])
    return np.sort(np.concatenate(kept))


def possible_distances(
    grouping: Grouping, answers: Sequence[Answer]
) -> tuple[np.ndarray, np.ndarray]:
    """The distances at which to stop, and how probable each is, by Bayes' rule.

    Photos with names come from other cameras and places, so that their distance is a first guess,
    `SPREAD` wide. Two photos that join right at the distance are one animal as often as not, those
    that join below it more often; a person errs now and then.

    Args:
        grouping: without any answer.
        answers: all of them: to leave out surprising ones would confirm the first guess.

    Returns:
        Log odds of distances, ascending, and their weights, which sum to 1.
    """
    first = log_odds(grouping.distance)
    tried = first + SPREAD * np.linspace(-4, 4, 161)
    weight = -(((tried - first) / SPREAD) ** 2) / 2
    if answers:
        joins = squareform(cophenet(grouping.tree))
        at = np.array([joins[each.first, each.second] for each in answers])
        is_same = np.array([each.is_same for each in answers])
        same = share_right(at, tried)
        right = np.where(is_same, same, 1 - same)
        weight += np.log(ERRING + (1 - 2 * ERRING) * right).sum(axis=1)
    weight = np.exp(weight - weight.max())
    return tried, weight / weight.sum()


def distance_by_answers(grouping: Grouping, answers: Sequence[Answer]) -> float:
    """The distance that answers about the folder's own pairs teach; arguments as above.

    It is never below that of named photos. Where likeness says little, most pairs are different at
    the best distance, too; to stop earlier would take groups apart that are right.
    """
    if not answers:
        return grouping.distance
    tried, weight = possible_distances(grouping, answers)
    return max(grouping.distance, float(expit(tried @ weight)))


def misidentified(
    first: Grouping, grouping: Grouping, answers: Sequence[Answer], encounter: np.ndarray
) -> dict[str, dict[str, float]]:
    """How many encounters of the folder are probably named wrongly.

    Of the joins that were made some are wrong, of those that were not some are missing: by each
    distance that is possible, the more, the nearer they are to it. What persons said is believed.

    Args:
        first: the folder's groups without any answer.
        grouping: with the answers.
        answers: all of them.
        encounter: of each photo.

    Returns:
        "missed", a share of encounters of animals seen before, and "false", of animals that are
        taken for another one: value, low and high, and n encounters.
    """
    tried, weight = possible_distances(first, answers)
    ends = np.interp([0.5, 0.5 - LEVEL / 2, 0.5 + LEVEL / 2], np.cumsum(weight), tried)
    joins = grouping.tree[:, 2]
    joins = joins[(joins > 0) & (joins < NEVER)]
    right, is_made = share_right(joins, ends), joins <= grouping.distance
    n_missing, n_wrong = right[:, ~is_made].sum(axis=1), (1 - right[:, is_made]).sum(axis=1)
    n_encounters = len(set(zip(grouping.labels, encounter, strict=True)))
    n_animals = np.clip(grouping.n_groups + n_wrong - n_missing, 1, n_encounters)
    again = np.maximum(n_encounters - n_animals, 1)
    found = {}
    for name, shares in {"missed": n_missing / again, "false": n_wrong / n_animals}.items():
        value, *both = np.clip(shares, 0, 1).tolist()
        found[name] = {"value": value, "low": min(both), "high": max(both), "n": n_encounters}
    return found


def share_right(joins: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Share of joins at some distances that are of one animal, if it is right to stop at others.

    Args:
        joins: shape (n_joins,).
        distances: in log odds, shape (n_distances,).

    Returns:
        Shape (n_distances, n_joins).
    """
    return expit(STEEPNESS * (distances[:, None] - log_odds(joins)))


def log_odds(distance: float | np.ndarray) -> np.ndarray:
    """Log odds of a distance, kept from infinity."""
    return logit(np.clip(distance, 0.01, 0.99))
