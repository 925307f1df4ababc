"""Who is who without any name: photos grouped into animals, their number not given.

The task of AnimalCLEF 2026. Photos are joined bottom up, those first that are most alike on
average (agglomerative clustering, average linkage, cosine distance). When to stop is a distance,
chosen on validation photos, whose animals are known; the photos of the test are then grouped once.
Groups are compared with the animals by the adjusted Rand index: 1 for the same partition, 0 for
what chance gives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

MOST_PHOTOS = 10_000  # whose pairs are held in memory: 400 MB
MOST_CANDIDATES = 200  # distances that are tried on validation photos


@dataclass(frozen=True)
class Clusters:
    """Test photos in groups.

    Attributes:
        labels: integers, shape (n_photos,); photos of one group share one.
        distance: mean cosine distance, in [0, 2], above which two groups stay apart; nan where
            none was chosen.
        adjusted_rand_index: at most 1; 0 is chance.
    """

    labels: np.ndarray
    distance: float
    adjusted_rand_index: float

    @property
    def n_clusters(self) -> int:
        """How many groups there are."""
        return len(np.unique(self.labels))

    def to_dict(self) -> dict:
        """Plain values, without the labels."""
        return {
            "distance": None if np.isnan(self.distance) else self.distance,
            "adjusted_rand_index": self.adjusted_rand_index,
            "n_clusters": self.n_clusters,
            "n_photos": len(self.labels),
        }


def cluster_test_photos(
    embeddings: np.ndarray, identities: np.ndarray, *, validation: np.ndarray, test: np.ndarray
) -> Clusters | None:
    """Choose the distance on validation photos, then group the test photos with it, once.

    Args:
        embeddings: of all photos, shape (n_images, embedding_dim), unit length.
        identities: str, shape (n_images,).

    Returns:
        The groups; None where either has fewer than two photos, or more than memory is meant for.
    """
    if not all(2 <= len(rows) <= MOST_PHOTOS for rows in (validation, test)):
        return None
    distance = choose_distance(embeddings[validation], identities[validation])
    labels = cluster(embeddings[test], distance)
    return clusters_of(labels, identities[test], distance)


def clusters_of(
    labels: Sequence, identities: np.ndarray, distance: float = float("nan")
) -> Clusters:
    """Groups that come from elsewhere, such as a classifier's verdicts."""
    _, numbers = np.unique(labels, return_inverse=True)
    return Clusters(numbers, distance, float(adjusted_rand_score(identities, numbers)))


def choose_distance(embeddings: np.ndarray, identities: np.ndarray) -> float:
    """The distance with the highest adjusted Rand index on VALIDATION photos, never on test ones.

    Candidates lie midway between the distances at which groups join, 200 of them at most; of
    tied ones the middle one is taken.
    """
    tree = _tree(embeddings)
    joins = np.unique(tree[:, 2])
    candidates = np.concatenate([joins[:1] / 2, (joins[:-1] + joins[1:]) / 2, joins[-1:] + 0.01])
    spread = np.linspace(0, len(candidates) - 1, min(len(candidates), MOST_CANDIDATES))
    candidates = candidates[np.unique(spread.round().astype(int))]
    indices = np.array(
        [adjusted_rand_score(identities, fcluster(tree, each, "distance")) for each in candidates]
    )
    tied = np.flatnonzero(indices >= indices.max() - 1e-9)
    return float(candidates[tied[(len(tied) - 1) // 2]])


def cluster(embeddings: np.ndarray, distance: float) -> np.ndarray:
    """Groups, integers (n_photos,), joined up to a mean cosine distance of `distance`."""
    return fcluster(_tree(embeddings), distance, "distance")


def _tree(embeddings: np.ndarray) -> np.ndarray:
    """Which groups join at which distance, shape (n_photos - 1, 4)."""
    points = np.asarray(embeddings, dtype=np.float64)
    similarity = np.clip(points @ points.T, -1, 1)
    above = np.triu_indices(len(points), k=1)
    return linkage(1 - similarity[above], method="average")


def rand_index_statistic(
    clusterings: Sequence[np.ndarray], identities: np.ndarray
) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """The adjusted Rand index as `bootstrap_of_statistic` wants it: with a weight per animal.

    An animal that is drawn twice counts as two animals, whose photos are never compared: they
    are the same ones.

    Args:
        clusterings: one (n_photos,) per seed; the index is averaged over them.
        identities: shape (n_photos,).

    Returns:
        Weights (n_draws, n_animals) to indices (n_draws,); and the number of animals.

    Source: Hubert & Arabie 1985, equation 5, its numbers of pairs being sums over animals.
    """
    tables = [contingency_matrix(identities, labels).astype(float) for labels in clusterings]

    def index(weights: np.ndarray) -> np.ndarray:
        return np.mean([_weighted_index(table, weights) for table in tables], axis=0)

    return index, len(tables[0])


def _weighted_index(table: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The index of a table (n_animals, n_groups) of photos, for weights (n_draws, n_animals)."""
    n_photos = table.sum(axis=1)

    def pairs_between(counts: np.ndarray) -> np.ndarray:
        """Pairs of photos of two different animals in the same column, (n_draws,)."""
        squares = (weights @ counts) ** 2 - weights**2 @ counts**2
        return squares.sum(axis=1) / 2

    same_both = weights @ (table * (table - 1) / 2).sum(axis=1)
    same_animal = weights @ (n_photos * (n_photos - 1) / 2)
    same_group = same_both + pairs_between(table)
    n_pairs = same_animal + pairs_between(n_photos[:, None])
    expected = same_animal * same_group / n_pairs
    highest = (same_animal + same_group) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(highest == expected, 1.0, (same_both - expected) / (highest - expected))
