"""Local matchers by name: what is the same in two photos, detail by detail.

    matcher = load_matcher("xfeat")
    features = describe_photos(matcher, paths)
    scores = matcher.scores(features[0], features[1:])

To add one, write its class and its line in `MATCHERS`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from common.errors import InputError
from common.matching.local_features import LocalFeatures, Sift
from common.matching.networks import LightGlueMatcher, XFeatMatcher

import numpy as np
import torch


class Matcher(Protocol):
    """What all matchers can do.

    Attributes:
        n_points: most details of a photo.
        descriptor: dtype of what one detail looks like.
        recipe: everything but the photo that a description depends on, versions of libraries left
            out; descriptions of two recipes cannot be compared.
    """

    name: str
    n_points: int
    descriptor: np.dtype
    recipe: str

    def describe(
        self, paths: Sequence[str | Path], masks: Sequence[str | Path] | None = None
    ) -> list[LocalFeatures]:
        """Find the details of photos; see `common.matching.descriptions.describe_photos`."""

    def scores(self, query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> np.ndarray:
        """How alike a photo and others are, float64, shape (n_candidates,), 0 or more."""

    def matches(self, query: LocalFeatures, candidate: LocalFeatures) -> np.ndarray:
        """Numbers of the details that are the same in both, int, shape (n_matches, 2)."""


MATCHERS: dict[str, Callable[[torch.device | str], Matcher]] = {
    "sift": lambda device: Sift(),
    "xfeat": XFeatMatcher,
    "xfeat_verified": lambda device: XFeatMatcher(device, is_verified=True),
    "aliked": lambda device: LightGlueMatcher("aliked", device),
    "disk": lambda device: LightGlueMatcher("disk", device),
}


def load_matcher(name: str, device: torch.device | str = "cpu") -> Matcher:
    """A matcher with its weights.

    Args:
        name: sift; xfeat, and with an affine map that has to explain the matches; aliked or disk,
            both matched by LightGlue.

    Raises:
        InputError: the package with its weights is not installed; the message says how to get it.
    """
    return MATCHERS[name](device)


def why_missing(name: str) -> str:
    """Why a matcher cannot be had here, and how to get it; "" where it can."""
    try:
        load_matcher(name)
    except InputError as error:
        return str(error)
    return ""


def matched_points(
    matcher: Matcher, query: LocalFeatures, candidate: LocalFeatures
) -> tuple[np.ndarray, np.ndarray]:
    """Where the details that are the same lie, for lines between two photos.

    Returns:
        x and y in the query and in the candidate, as shares of the photo's width and height, each
        shape (n_matches, 2).
    """
    here, there = matcher.matches(query, candidate).T
    return query.shares(here), candidate.shares(there)


def score_shortlists(
    matcher: Matcher,
    features: Sequence[LocalFeatures],
    query_rows: np.ndarray,
    candidate_rows: np.ndarray,
) -> np.ndarray:
    """Score each query with the candidates on its shortlist.

    Args:
        features: of photos, or row to the photo's.
        query_rows: shape (n_query,).
        candidate_rows: shape (n_query, n_candidates).

    Returns:
        float64, shape (n_query, n_candidates).
    """
    scores = [
        matcher.scores(features[query], [features[row] for row in rows])
        for query, rows in zip(query_rows.tolist(), candidate_rows.tolist(), strict=True)
    ]
    return np.array(scores, dtype=np.float64).reshape(candidate_rows.shape)
