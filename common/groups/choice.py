"""When to stop joining: a distance that photos with names choose, and the mistakes that it makes.

Joined up to a larger distance, groups swallow each other; up to a smaller one, animals fall apart.
The distance is the one whose groups agree best with the animals of validation photos, by adjusted
mutual information (AMI): 1 for the same partition, 0 for what chance gives. (The adjusted Rand
index cares most for large groups and joins too much: AnimalCLEF 2026's entrants.) Where the folder
has fewer photos of an animal than validation has, the best distance is another: validation photos
are thinned to as many. How many the folder has nobody knows, so that it is grouped first with the
distance of all validation photos, its photos a group are counted, and again. Answers about the
folder's own pairs say more than other photos can, and move the distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from common.groups.constraints import Answer, Constraints
from common.groups.likeness import Likeness, Pairs
from common.groups.linkage import NEVER, cut, merge_tree
from common.measures.intervals import LEVEL, bootstrap_over_individuals

import numpy as np
from scipy.cluster.hierarchy import cophenet
from scipy.spatial.distance import squareform
from scipy.special import expit, logit
from sklearn.metrics import adjusted_mutual_info_score

MOST_CANDIDATES = 100  # distances that are tried
N_ROUNDS = 4  # of grouping and counting
N_THINNED = 5  # drawings of validation photos, whose median distance counts
SWALLOWED = 1 / 3  # of all photos in one group: more is suspicious
# What answers teach; chosen on drawn cards and new turtles, cows untouched.
SPREAD = 1.0  # log odds, by which the distance of a folder differs from that of named photos
STEEPNESS = 3.0  # log odds that two photos are one animal, by log odds of where they join
ERRING = 0.1  # share of answers that are thought wrong
FEWEST_TO_SWALLOW = 20  # photos of which that is a question


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
    """

    labels: np.ndarray
    distance: float
    probability: np.ndarray
    tree: np.ndarray

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


def best_distance(named: Named, probability: np.ndarray) -> float:
    """The distance of the highest AMI with the patterns of photos with names.

    Candidates lie midway between the distances at which groups join; of tied ones the middle one
    is taken.
    """
    tree = merge_tree(probability, named.pairs.comparable)
    joins = np.unique(tree[:, 2][tree[:, 2] < NEVER])
    if not len(joins):
        return 0.5
    candidates = np.concatenate([joins[:1] / 2, (joins[:-1] + joins[1:]) / 2, joins[-1:] + 0.01])
    spread = np.linspace(0, len(candidates) - 1, min(len(candidates), MOST_CANDIDATES))
    candidates = candidates[np.unique(spread.round().astype(int))]
    scores = np.array(
        [adjusted_mutual_info_score(named.pattern, cut(tree, each)) for each in candidates]
    )
    tied = np.flatnonzero(scores >= scores.max() - 1e-9)
    return float(candidates[tied[(len(tied) - 1) // 2]])


def distance_for(
    named: Named,
    likeness: Likeness,
    pairs: Pairs,
    *,
    seed: int = 0,
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
    distance, counts = best_distance(named, probability), []
    for _ in range(N_ROUNDS):
        labels = cut(tree, distance)
        counts.append(len(labels) / len(np.unique(labels)))
        if len(counts) > 1 and counts[-1] == counts[-2]:
            break
        thinned = [thin(named.pattern, counts[-1], seed + drawing) for drawing in range(N_THINNED)]
        if len(thinned[0]) == len(named.pattern):
            break  # the folder is as dense or denser
        chosen = [best_distance(named.rows(r), probability[np.ix_(r, r)]) for r in thinned]
        distance = float(np.median(chosen))
    return Grouping(by_size(cut(tree, distance)), distance, own, tree), counts


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


def distance_by_answers(grouping: Grouping, answers: Sequence[Answer]) -> float:
    """The distance that answers about the folder's own pairs teach, by Bayes' rule.

    Photos with names come from other cameras and places, so that their distance is a first guess,
    `SPREAD` wide. Two photos that join right at the distance are one animal as often as not, those
    that join below it more often; a person errs now and then.

    Args:
        grouping: without any answer.
        answers: that count.

    Returns:
        In (0, 1): the mean over the distances that are possible, in log odds.
    """
    if not answers:
        return grouping.distance
    joins = squareform(cophenet(grouping.tree))
    at = [joins[each.first, each.second] for each in answers]
    is_same = np.array([each.is_same for each in answers])
    first, joined = (logit(np.clip(each, 0.01, 0.99)) for each in (grouping.distance, at))
    tried = first + SPREAD * np.linspace(-4, 4, 161)
    same = expit(STEEPNESS * (tried[:, None] - joined))
    right = np.where(is_same, same, 1 - same)
    weight = np.log(ERRING + (1 - 2 * ERRING) * right).sum(axis=1)
    weight -= ((tried - first) / SPREAD) ** 2 / 2
    return float(expit(np.average(tried, weights=np.exp(weight - weight.max()))))


@dataclass(frozen=True)
class Sightings:
    """What became of an encounter's photos of one pattern; all of shape (n_sightings,).

    Attributes:
        animal: who it was.
        was_seen: whether the pattern had been seen before.
        is_missed: it had, and got a new identity: a ghost.
        is_false: it was joined to another animal.
    """

    animal: np.ndarray
    was_seen: np.ndarray
    is_missed: np.ndarray
    is_false: np.ndarray

    def rates(self) -> dict[str, dict[str, float]]:
        """Shares "missed", of sightings of patterns that were seen before, and "false", of all.

        Each has a value, low, high and n; it is left out where too few animals say anything. Where
        no mistake was seen at all, the upper end is the exact one of that many animals.
        """
        shares = {
            "missed": (self.is_missed[self.was_seen], self.animal[self.was_seen]),
            "false": (self.is_false, self.animal),
        }
        found = {}
        for name, (values, animals) in shares.items():
            if (n_animals := len(np.unique(animals))) > 1:
                each = bootstrap_over_individuals(values.astype(float), animals)
                high = each.high if values.any() else 1 - (0.5 - LEVEL / 2) ** (1 / n_animals)
                ends = {"value": each.estimate, "low": each.low, "high": high}
                found[name] = ends | {"n": len(values)}
        return found

    @classmethod
    def joined(cls, parts: Sequence["Sightings"]) -> "Sightings":
        """Those of several groupings of different animals."""
        names = cls.__dataclass_fields__
        return cls(*(np.concatenate([getattr(each, name) for each in parts]) for name in names))


def sightings_of(named: Named, labels: np.ndarray, order: np.ndarray) -> Sightings:
    """Go through encounters in time: does each get the identity that it should?

    Args:
        named: photos with names.
        labels: their groups.
        order: of each photo, ascending in time; shape (n_photos,).
    """
    owner: dict[int, str] = {}  # the pattern that a group was first seen as
    seen: set[str] = set()
    keys: dict[tuple[str, str], list[int]] = {}
    for row in np.argsort(order, kind="stable"):
        keys.setdefault((named.pairs.encounter[row], named.pattern[row]), []).append(row)
    found = []
    for (_, pattern), rows in keys.items():
        own = int(np.bincount(labels[rows]).argmax())
        was_seen, is_new = pattern in seen, own not in owner
        is_false = not is_new and owner[own] != pattern
        found.append((named.identity[rows[0]], was_seen, was_seen and is_new, is_false))
        owner.setdefault(own, pattern)
        seen.add(pattern)
    return Sightings(*(np.array(column) for column in zip(*found, strict=True)))


def misidentified(named: Named, order: np.ndarray, per_group: float, *, seed: int = 0) -> Sightings:
    """What the procedure does to animals that it was not learned from.

    The named animals are divided in two halves; each half is grouped with what the other one has
    taught, as a folder is.

    Args:
        named: photos with names.
        order: of each photo, ascending in time.
        per_group: photos of a pattern in the folder, to which all are thinned.
        seed: of the halves.
    """
    names = np.unique(named.identity)
    is_first = np.isin(named.identity, np.random.default_rng(seed).permutation(names)[::2])
    parts = []
    for own in (is_first, ~is_first):
        teaching, asked = named.rows(np.flatnonzero(~own)), np.flatnonzero(own)
        asked = asked[thin(named.pattern[asked], per_group, seed)]
        likeness = Likeness.learned(teaching.pairs, teaching.identity)
        grouping, _ = distance_for(teaching, likeness, named.pairs.of(asked), seed=seed)
        parts.append(sightings_of(named.rows(asked), grouping.labels, order[asked]))
    return Sightings.joined(parts)
