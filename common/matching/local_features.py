"""Local features: how many details of two photos are the same, and lie alike.

SIFT finds corners and blobs and describes what is around each (Lowe 2004, doi
10.1023/B:VISI.0000029664.99615.94). Two photos are matched detail by detail, and one affine map
must explain where the details went; the score of the pair is the number of details that obey it.
All of it is OpenCV's, which comes with albumentations: no weights, no download.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from common.data.photo_files import each_photo, open_photo

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

LONGEST_SIDE = 384  # pixels; larger photos are made smaller, smaller ones stay
MOST_DETAILS = 500  # of one photo, those of the strongest contrast
LOWE = {"nOctaveLayers": 3, "contrastThreshold": 0.04, "edgeThreshold": 10, "sigma": 1.6}
RATIO = 0.85  # largest distance to the best detail over that to the second best
FEWEST_MATCHES = 3  # that determine an affine map
INLIER_DISTANCE = 6.0  # pixels between where the map puts a detail and where it lies


@dataclass(frozen=True)
class LocalFeatures:
    """The details of one photo.

    Attributes:
        points: x and y in pixels of the photo as it was searched, float32, shape (n_details, 2).
        descriptors: SIFT's histograms of directions, uint8, shape (n_details, 128).
        size: width and height of that photo, pixels.
    """

    points: np.ndarray
    descriptors: np.ndarray
    size: tuple[int, int]

    @property
    def n_bytes(self) -> int:
        """Memory that they take."""
        return self.points.nbytes + self.descriptors.nbytes


def read_local_features(
    paths: Sequence[str | Path], *, progress: bool = True
) -> list[LocalFeatures]:
    """Find the details of each photo, once; about 50 kB a photo.

    Args:
        paths: photo files, length n_images.
        progress: whether to draw a bar.

    Raises:
        InputError: a photo is missing or cannot be decoded.
    """

    def read_one(path: str | Path) -> LocalFeatures:
        return find_details(np.asarray(small_photo(path).convert("L")))

    return list(each_photo(read_one, paths, "local features", progress=progress))


def small_photo(path: str | Path) -> Image.Image:
    """The whole photo as it is searched, in its own proportions."""
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


def same_details(query: LocalFeatures, candidate: LocalFeatures) -> tuple[np.ndarray, np.ndarray]:
    """Matched details whose places one affine map explains.

    Returns:
        Their points in the query and in the candidate, float32, each shape (n_inliers, 2). Where
        nothing is alike some three may still agree by chance.
    """
    matches = match_details(query, candidate)
    here, there = query.points[matches[:, 0]], candidate.points[matches[:, 1]]
    if len(matches) < FEWEST_MATCHES:
        return here[:0], there[:0]
    # RANSAC draws from a generator that OpenCV starts anew at every call: no seed to be set.
    affine, is_inlier = cv2.estimateAffine2D(
        here, there, method=cv2.RANSAC, ransacReprojThreshold=INLIER_DISTANCE
    )
    if affine is None:
        return here[:0], there[:0]
    is_inlier = is_inlier.ravel().astype(bool)
    return here[is_inlier], there[is_inlier]


def score_shortlists(
    n_alike: Callable[[int, int], float],
    query_rows: np.ndarray,
    candidate_rows: np.ndarray,
    *,
    progress: bool = True,
) -> np.ndarray:
    """Score each query with the candidates on its shortlist, on all cores.

    Args:
        n_alike: rows of a query and of a candidate to a score, high where alike. SIFT's is
            `lambda *rows: len(same_details(*(features[row] for row in rows))[0])`; any other
            matcher of two photos fits as well.
        query_rows: shape (n_query,).
        candidate_rows: shape (n_query, n_candidates).
        progress: whether to draw a bar.

    Returns:
        float64, shape (n_query, n_candidates).
    """

    def score_one(i: int) -> list[float]:
        return [n_alike(int(query_rows[i]), int(row)) for row in candidate_rows[i]]

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        jobs = threads.map(score_one, range(len(query_rows)))
        bar = tqdm(jobs, "matching", len(query_rows), unit="query", disable=not progress)
        return np.array(list(bar), dtype=np.float64).reshape(candidate_rows.shape)
