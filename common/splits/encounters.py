"""Which gallery photos count for a query: not those of its own encounter, nor of another side.

Photos of one animal in one encounter share water, light and pose. A gallery photo of the query's
identity from the query's own encounter would be found by these, so that it is ignored, here and
wherever something is searched: ranking, shortlists, thresholds, checks during training. A
catalogue's encounter is of one animal; where others are given that several animals share, such as
cameras, only pairs of one identity are asked about.
"""

from collections.abc import Sequence

import numpy as np

SIDES = ("left", "right")  # that are never compared with each other


def same_encounter(query_encounters: np.ndarray, gallery_encounters: np.ndarray) -> np.ndarray:
    """Which gallery photos do not count, because they are of the query's own encounter.

    Args:
        query_encounters: names or codes, any shape.
        gallery_encounters: of photos of the same identity, of a shape that broadcasts to that:
            (n_query, 1) and (n_gallery,) for all pairs, (n_pairs,) twice for some.

    Returns:
        Bool, of the shape that both broadcast to.

    >>> same_encounter(np.array([["may"], ["june"]]), np.array(["may", "may", "july"]))
    array([[ True,  True, False],
           [False, False, False]])
    """
    return query_encounters == gallery_encounters


def comparable(query_sides: Sequence[str], gallery_sides: Sequence[str]) -> np.ndarray:
    """Which photos can be compared: all but left with right, bool (n_query, n_gallery).

    >>> comparable(["left", ""], ["left", "right", "top"])
    array([[ True, False,  True],
           [ True,  True,  True]])
    """
    query = np.asarray(query_sides, dtype=str)[:, None]
    gallery = np.asarray(gallery_sides, dtype=str)[None]
    return (query == gallery) | ~(np.isin(query, SIDES) & np.isin(gallery, SIDES))


def has_match(
    *,
    query_identities: np.ndarray,
    gallery_identities: np.ndarray,
    query_encounters: np.ndarray,
    gallery_encounters: np.ndarray,
) -> np.ndarray:
    """Which queries have a gallery photo of their identity that counts, bool, shape (n_query,)."""
    found = np.zeros(len(query_identities), dtype=bool)
    for identity in np.intersect1d(query_identities, gallery_identities):
        asked = np.flatnonzero(query_identities == identity)
        own = gallery_encounters[gallery_identities == identity]
        found[asked] = ~same_encounter(query_encounters[asked, None], own).all(axis=1)
    return found


def is_met(query_encounters: np.ndarray, gallery_encounters: np.ndarray) -> np.ndarray:
    """Which queries have a gallery photo of their own encounter, bool, shape (n_query,).

    It is these that leak where a split does not keep encounters together.
    """
    return np.isin(query_encounters, gallery_encounters)
