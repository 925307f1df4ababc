"""Week 3 in your own lines: likeness, two losses, a ranking and its measures, a gallery.

Copy `exercises.py`, write in the copy, and ask how far you are:

    cp week3/exercises.py my_week3.py
    pytest tests/week3 --mine my_week3.py
    pytest tests/week3 --mine my_week3.py --hint 2

At first everything fails: that is the task. NumPy, PyTorch and Python's own library are all you
need, and all that you may import: an exercise that imports anything else has no points.
`exercises.py` is made from `solutions.py`, which holds the lines that are asked for.
"""

import math

import numpy as np
import torch
from torch.nn import functional


def cosine_similarity(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """How alike each query is to each gallery photo (2 points, 10 minutes).

    Args:
        query: embeddings of any length but 0, shape (n_query, embedding_dim).
        gallery: the same, shape (n_gallery, embedding_dim).

    Returns:
        Cosines of the angles between them, in [-1, 1], shape (n_query, n_gallery).

    >>> cosine_similarity(np.array([[3.0, 4.0]]), np.array([[0.0, 2.0], [-6.0, -8.0]]))
    array([[ 0.8, -1. ]])
    """
    raise NotImplementedError("week 3, exercise 1: cosine_similarity")


def batch_hard(embeddings: torch.Tensor, labels: torch.Tensor, margin: float) -> torch.Tensor:
    """Triplet loss of each anchor's hardest pairs (4 points, 30 minutes).

    The loss of an anchor is max(0, d(its farthest positive) - d(its nearest negative) + margin),
    where d is the Euclidean distance of embeddings that were scaled to unit length. A photo
    without another one of its animal is no anchor.

    Args:
        embeddings: of any length but 0, shape (n_images, embedding_dim).
        labels: whose photos they are, shape (n_images,); two animals at least.
        margin: of distance, 0 to 2.

    Returns:
        Mean over the anchors that cost something, 0 where none does; with a gradient, shape ().

    >>> photos = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> round(batch_hard(photos, torch.tensor([7, 7, 8]), margin=0.5).item(), 3)
    0.5
    """
    raise NotImplementedError("week 3, exercise 2: batch_hard")


def arcface_logits(
    embeddings: torch.Tensor,
    centres: torch.Tensor,
    labels: torch.Tensor,
    margin: float,
    scale: float,
) -> torch.Tensor:
    """Scores that name a photo right only by a margin (4 points, 30 minutes).

    A score is the scale times the cosine of the angle between a photo and an animal's centre. The
    angle to the photo's own centre is first made larger by the margin.

    Args:
        embeddings: of any length but 0, shape (n_images, embedding_dim).
        centres: one per animal, of any length but 0, shape (n_identities, embedding_dim).
        labels: whose photos they are, shape (n_images,).
        margin: radians.
        scale: what cosines are multiplied with.

    Returns:
        Shape (n_images, n_identities), with a gradient.

    >>> photo, centres = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, -1.0]])
    >>> arcface_logits(photo, centres, torch.tensor([1]), margin=math.pi / 6, scale=10).round()
    tensor([[10., -5.]])
    """
    raise NotImplementedError("week 3, exercise 3: arcface_logits")


def cmc_and_ap(similarity: np.ndarray, is_match: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where right photos stand when the gallery is ranked (4 points, 30 minutes).

    Average precision is the mean, over a query's right photos, of the share of right photos among
    all photos up to that one. A query without any right photo has 0, and counts as a miss.

    Args:
        similarity: high where alike, shape (n_query, n_gallery).
        is_match: whether a gallery photo shows the query's animal, bool, shape
            (n_query, n_gallery).

    Returns:
        cmc: shape (n_gallery,): at k - 1 the share of all queries with a right photo among the
            first k.
        average_precision: shape (n_query,), in [0, 1].

    >>> cmc_and_ap(np.array([[0.9, 0.8, 0.7]]), np.array([[False, True, True]]))
    (array([0., 1., 1.]), array([0.58333333]))
    """
    raise NotImplementedError("week 3, exercise 4: cmc_and_ap")


def keep_mask(
    query_identities: np.ndarray,
    query_encounters: np.ndarray,
    gallery_identities: np.ndarray,
    gallery_encounters: np.ndarray,
) -> np.ndarray:
    """The same-encounter rule: which photos may answer a query (2 points, 10 minutes).

    A photo of the query's own animal from the query's own encounter proves nothing, and is left
    out. All others stay, also other animals that were met at the same place and time.

    Args:
        query_identities: str, shape (n_query,).
        query_encounters: str, shape (n_query,).
        gallery_identities: str, shape (n_gallery,).
        gallery_encounters: str, shape (n_gallery,).

    Returns:
        Whether a photo may answer a query, bool, shape (n_query, n_gallery).

    >>> keep_mask(np.array(["anna"]), np.array(["bay"]),
    ...           np.array(["anna", "anna", "rosa"]), np.array(["bay", "reef", "bay"]))
    array([[False,  True,  True]])
    """
    raise NotImplementedError("week 3, exercise 5: keep_mask")


def choose_threshold(
    scores: np.ndarray,
    identities: np.ndarray,
    is_known: np.ndarray,
    is_named_right: np.ndarray,
    is_validation: np.ndarray,
) -> float:
    """From which similarity on a name is believed (3 points, 30 minutes).

    A query is accepted if its score is the threshold or more. Right is: a known animal accepted
    and named right, a new animal rejected. BAKS is the mean over known animals of the share of
    their photos that are right, BAUS the same over new animals; both over validation photos only.

    Args:
        scores: similarity of the most alike gallery photo, shape (n_queries,).
        identities: who is shown, str, shape (n_queries,).
        is_known: whether the animal is in the gallery, bool, shape (n_queries,).
        is_named_right: whether the most alike photo shows it, bool, shape (n_queries,).
        is_validation: whether a query may be used to choose; the others are for the test.

    Returns:
        A threshold with the largest sqrt(BAKS * BAUS).

    >>> known = np.array([True, True, False])
    >>> 0.6 < choose_threshold(np.array([0.9, 0.8, 0.6]), np.array(["anna", "rosa", "new"]),
    ...                        known, known, np.array([True, True, True])) <= 0.8
    True
    """
    raise NotImplementedError("week 3, exercise 6: choose_threshold")


def enrol(
    gallery: dict[str, np.ndarray], identity: str, embeddings: np.ndarray
) -> dict[str, np.ndarray]:
    """Add photos of an animal to a gallery, with no training (1 point, 10 minutes).

    Args:
        gallery: identity to embeddings of unit length, shape (n_images, embedding_dim).
        identity: whose photos are added; it may be in the gallery already, or new.
        embeddings: of any length but 0, shape (n_new, embedding_dim); they stay as they are.

    Returns:
        The gallery with the new photos, scaled to unit length, behind those that were there.

    >>> gallery = enrol({"anna": np.array([[1.0, 0.0]])}, "anna", np.array([[0.0, 5.0]]))
    >>> gallery["anna"]
    array([[1., 0.],
           [0., 1.]])
    """
    raise NotImplementedError("week 3, exercise 7: enrol")
