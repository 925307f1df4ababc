"""Photos joined bottom up, those first that are most probably one animal: average linkage.

The same as scipy's, and two things more. What a person has said holds: photos that belong together
are joined first, and groups with photos that do not are never joined. And a pair that cannot be
compared, a left and a right profile, has no say: the distance of two groups is the mean over the
pairs that can be.
"""

import itertools

from common.groups.constraints import Constraints

import numpy as np
from scipy.cluster.hierarchy import fcluster

NEVER = 2.0  # the distance of what is never joined; others are at most 1


def merge_tree(
    probability: np.ndarray, comparable: np.ndarray, constraints: Constraints | None = None
) -> np.ndarray:
    """Which groups join at which distance, 1 − the mean probability of one animal.

    Args:
        probability: that two photos show one animal, shape (n_photos, n_photos).
        comparable: bool, like it: which pairs count.
        constraints: what is known; None: nothing.

    Returns:
        Merges as `scipy.cluster.hierarchy.linkage` gives them, shape (n_photos - 1, 4); what
        belongs together joins at 0, what must not, and what cannot be compared, at `NEVER`.
    """
    groups = _Groups(probability, comparable)
    if constraints is not None:
        groups.forbid(constraints.apart)
        order = np.argsort(constraints.component, kind="stable")
        for i, j in itertools.pairwise(order):
            if constraints.component[i] == constraints.component[j]:
                groups.join(groups.place[i], groups.place[j], 0.0)
    while (pair := groups.nearest()) is not None:
        groups.join(*pair)
    return groups.tree()


def cut(tree: np.ndarray, distance: float) -> np.ndarray:
    """Groups, integers (n_photos,), joined up to a distance in [0, 1]."""
    return fcluster(tree, distance, "distance")


class _Groups:
    """Groups of photos and the distances between them; a group stands at its first photo's row."""

    def __init__(self, probability: np.ndarray, comparable: np.ndarray) -> None:
        n = len(probability)
        self.n_pairs = comparable.astype(np.float32)
        np.fill_diagonal(self.n_pairs, 0)
        self.total = np.where(self.n_pairs > 0, 1 - probability, 0).astype(np.float32)
        self.distance = np.full((n, n), np.inf, dtype=np.float32)
        np.divide(self.total, self.n_pairs, out=self.distance, where=self.n_pairs > 0)
        self.number, self.size = np.arange(n), np.ones(n, dtype=np.intp)
        self.is_there, self.place = np.ones(n, dtype=bool), np.arange(n)
        self.closest = self.distance.argmin(axis=1)
        self.least = self.distance[np.arange(n), self.closest]
        self.merges: list[tuple[float, float, float, float]] = []

    def forbid(self, pairs: np.ndarray) -> None:
        """No groups with these photos join: an infinite distance stays so in every mean."""
        for one, other in (pairs.T, pairs.T[::-1]):
            self.total[one, other] = self.distance[one, other] = np.inf
        for row in np.unique(pairs):
            self._look(row)

    def nearest(self) -> tuple[int, int, float] | None:
        """The two groups that join next, and their distance; None where none may."""
        i = int(self.least.argmin())
        return (i, int(self.closest[i]), float(self.least[i])) if self.least[i] < np.inf else None

    def join(self, i: int, j: int, distance: float) -> None:
        """Make one group of two."""
        i, j = min(i, j), max(i, j)
        self._note(i, j, distance)
        self.place[self.place == j] = i
        self.is_there[j] = False
        self.total[i] += self.total[j]
        self.n_pairs[i] += self.n_pairs[j]
        own = np.full(len(self.size), np.inf, dtype=np.float32)
        counts = self.is_there & (self.n_pairs[i] > 0)
        counts[i] = False
        np.divide(self.total[i], self.n_pairs[i], out=own, where=counts)
        self.total[:, i], self.n_pairs[:, i] = self.total[i], self.n_pairs[i]
        self.distance[i] = self.distance[:, i] = own
        self.distance[j] = self.distance[:, j] = np.inf
        self.least[j] = np.inf
        # A mean is never below the lesser of its parts: only who was nearest to one of the two has
        # to look again.
        stale = (self.closest == i) | (self.closest == j)
        for row in np.flatnonzero(stale & self.is_there):
            self._look(row)
        self._look(i)

    def tree(self) -> np.ndarray:
        """All merges; what is left over joins at `NEVER`, so that the tree is whole."""
        first, *others = np.flatnonzero(self.is_there)
        for row in others:
            self._note(first, row, NEVER)
        return np.array(self.merges, dtype=np.float64).reshape(-1, 4)

    def _look(self, row: int) -> None:
        self.closest[row] = self.distance[row].argmin()
        self.least[row] = self.distance[row, self.closest[row]]

    def _note(self, i: int, j: int, distance: float) -> None:
        n_photos = self.size[i] + self.size[j]
        self.merges.append((self.number[i], self.number[j], distance, n_photos))
        self.number[i], self.size[i] = len(self.size) + len(self.merges) - 1, n_photos
