"""Local features: what details a photo has; and SIFT, which needs no weights.

SIFT finds corners and blobs and describes what is around each (Lowe 2004, doi
10.1023/B:VISI.0000029664.99615.94). Two photos are matched detail by detail, and one affine map
must explain where the details went; the score of the pair is the number of details that obey it.
All of it is OpenCV's, which comes with albumentations: no weights, no download.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from common.data.photo_files import each_photo, open_photo

import cv2
import numpy as np
from PIL import Image

LONGEST_SIDE = 384  # pixels; larger photos are made smaller, smaller ones stay
MOST_DETAILS = 500  # of one photo, those of the strongest contrast
LOWE = {"nOctaveLayers": 3, "contrastThreshold": 0.04, "edgeThreshold": 10, "sigma": 1.6}
RATIO = 0.85  # largest distance to the best detail over that to the second best
FEWEST_MATCHES = 3  # that determine an affine map
INLIER_DISTANCE = 6.0  # pixels between where the map puts a detail and where it lies


MIDDLE = ((0.2, 0.15), (0.8, 0.65))  # x and y, where most photographers put an animal's body


@dataclass(frozen=True)
class LocalFeatures:
    """The details of one photo.

    Attributes:
        points: x and y in pixels of the photo as it was searched, float32, shape (n_details, 2).
        descriptors: what each looks like, shape (n_details, length); of SIFT histograms of
            directions, uint8; of a network vectors of unit length, float16.
        size: width and height of that photo, pixels.
    """

    points: np.ndarray
    descriptors: np.ndarray
    size: tuple[int, int]

    @property
    def n_bytes(self) -> int:
        """Memory that they take."""
        return self.points.nbytes + self.descriptors.nbytes

    def take(self, rows: slice | np.ndarray) -> "LocalFeatures":
        """Some of the details; networks give the strongest first, so `slice(256)` keeps those."""
        return replace(self, points=self.points[rows], descriptors=self.descriptors[rows])

    def shares(self, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Where details lie, as shares of the photo's width and height, float64."""
        return self.points[rows] / np.array(self.size, dtype=np.float64)

    def in_middle(self) -> "LocalFeatures":
        """The details in the middle of the photo, where the animal is rather than the place."""
        shares, (low, high) = self.shares(), MIDDLE
        return self.take(((shares > low) & (shares < high)).all(axis=1))

    def inside(self, mask: str | Path | None) -> "LocalFeatures":
        """The details on the animal.

        Args:
            mask: a picture of the photo's proportions, bright where the animal is; a box of it
                like the photo's. None: all of the photo.
        """
        if mask is None:
            return self
        bright = np.asarray(open_photo(mask).convert("L").resize(self.size)) > 127
        x, y = self.points.round().astype(np.intp).T
        return self.take(bright[y.clip(0, self.size[1] - 1), x.clip(0, self.size[0] - 1)])


class Sift:
    """SIFT as a matcher, see `common.matching.matchers.Matcher`; the score counts details."""

    name = "sift"
    n_points = MOST_DETAILS
    descriptor = np.dtype((np.uint8, 128))

    def __init__(self) -> None:
        self.recipe = f"sift {LONGEST_SIDE} {MOST_DETAILS} {sorted(LOWE.items())}"

    def describe(
        self, paths: Sequence[str | Path], masks: Sequence[str | Path] | None = None
    ) -> list[LocalFeatures]:
        """Find the details of each photo."""

        def read_one(path: str | Path) -> LocalFeatures:
            return find_details(np.asarray(small_photo(path).convert("L")))

        found = each_photo(read_one, paths, "SIFT", progress=False)
        masks = masks or [None] * len(paths)
        return [features.inside(mask) for features, mask in zip(found, masks, strict=True)]

    def scores(self, query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> np.ndarray:
        """How many details agree with each candidate's, float64, shape (n_candidates,)."""
        with ThreadPoolExecutor(os.cpu_count()) as threads:  # OpenCV frees the GIL
            jobs = threads.map(lambda each: len(self.matches(query, each)), candidates)
            return np.array(list(jobs), dtype=np.float64)

    def matches(self, query: LocalFeatures, candidate: LocalFeatures) -> np.ndarray:
        """Numbers of the details that agree, int, shape (n_matches, 2)."""
        return explained(query, candidate, match_details(query, candidate), INLIER_DISTANCE)


def small_photo(path: str | Path) -> Image.Image:
    """The whole photo as SIFT searches it, in its own proportions."""
    photo = open_photo(path, smallest_side=LONGEST_SIDE)
    photo.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return photo


def find_details(grey: np.ndarray) -> LocalFeatures:
    """SIFT's details of one photo.

    Args:
        grey: uint8, shape (height, width).
    """
    sift = cv2.SIFT_create(MOST_DETAILS, **LOWE, descriptorType=cv2.CV_8U)  # a byte a number
    keypoints, descriptors = sift.detectAndCompute(grey, None)
    if descriptors is None:  # a photo without any contrast
        descriptors = np.empty((0, 128), dtype=np.uint8)
    points = cv2.KeyPoint.convert(keypoints) if keypoints else np.empty((0, 2))
    return LocalFeatures(np.asarray(points, dtype=np.float32), descriptors, grey.shape[::-1])


def root_sift(descriptors: np.ndarray) -> np.ndarray:
    """Square roots of the histograms' shares, unit length, float32, shape (n_details, 128).

    Source: Arandjelović and Zisserman 2012, "Three things everyone should know to improve object
    retrieval": the Euclidean distance then compares histograms as histograms should be.

    >>> root_sift(np.array([[1, 3, 0, 0]], dtype=np.uint8)).round(3).tolist()
    [[0.5, 0.8659999966621399, 0.0, 0.0]]
    """
    histograms = descriptors.astype(np.float32)
    return np.sqrt(histograms / np.maximum(histograms.sum(axis=1, keepdims=True), 1))


def match_details(query: LocalFeatures, candidate: LocalFeatures) -> np.ndarray:
    """Details that are each other's nearest, and clearly nearer than the second.

    Returns:
        Their numbers in the query and in the candidate, int, shape (n_matches, 2).
    """
    if min(len(query.points), len(candidate.points)) < 2:  # no second to compare with
        return np.empty((0, 2), dtype=np.intp)
    described = root_sift(query.descriptors), root_sift(candidate.descriptors)
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    back = {(match.trainIdx, match.queryIdx) for match in matcher.match(*described[::-1])}
    found = [
        (best.queryIdx, best.trainIdx)
        for best, second in matcher.knnMatch(*described, k=2)
        if best.distance < RATIO * second.distance and (best.queryIdx, best.trainIdx) in back
    ]
    return np.array(found, dtype=np.intp).reshape(-1, 2)


def explained(
    query: LocalFeatures, candidate: LocalFeatures, matches: np.ndarray, distance: float
) -> np.ndarray:
    """The matches whose places one affine map explains.

    Args:
        matches: numbers of details in both, shape (n_matches, 2).
        distance: between where the map puts a detail and where it may lie, pixels.

    Returns:
        Some of the matches, in their order. Where nothing is alike some three may still agree by
        chance.
    """
    if len(matches) < FEWEST_MATCHES:
        return matches[:0]
    # RANSAC draws from a generator that OpenCV starts anew at every call: no seed to be set.
    _, is_inlier = cv2.estimateAffine2D(
        query.points[matches[:, 0]], candidate.points[matches[:, 1]],
        method=cv2.RANSAC, ransacReprojThreshold=distance,
    )  # fmt: skip
    return matches[:0] if is_inlier is None else matches[is_inlier.ravel().astype(bool)]
