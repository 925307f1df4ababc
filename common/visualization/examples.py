"""Examples of what an embedding finds: some right answers and some wrong ones."""

from pathlib import Path

from common.gallery.gallery import Gallery
from common.splits.study import Study
from common.visualization.matches import RankedMatches, matches_panel

import numpy as np

N_RIGHT, N_WRONG, N_FOUND = 2, 3, 5  # queries of each kind, and gallery photos beside each


def example_matches(
    embeddings: np.ndarray,
    query: np.ndarray,
    gallery: np.ndarray,
    study: Study,
    path: str | Path,
    *,
    title: str = "",
) -> Path:
    """Draw a few queries with the gallery photos most alike, so that mistakes can be looked at.

    Args:
        embeddings: of all photos of the study, shape (n_images, embedding_dim), unit length.
        query: rows that are asked about; some whose most alike photo is right, some not.
        gallery: rows to search.
        study: whose photos they are.
        path: PNG to write.
        title: above the panel.
    """
    searched = Gallery(embeddings.shape[1])
    searched.enrol(embeddings[gallery], study.identity[gallery])
    similarity, found = searched.search(embeddings[query], k=N_FOUND)
    rows = gallery[found]  # (n_query, n_found)
    is_match = study.identity[rows] == study.identity[query][:, None]
    right, wrong = np.flatnonzero(is_match[:, 0]), np.flatnonzero(~is_match[:, 0])
    paths = study.catalogue.paths()
    return matches_panel(
        [
            RankedMatches(
                query=paths[query[index]],
                query_caption=study.identity[query[index]],
                gallery=[paths[row] for row in rows[index]],
                gallery_captions=list(study.identity[rows[index]]),
                similarities=similarity[index].tolist(),
                is_match=is_match[index].tolist(),
            )
            for index in [*spread(right, N_RIGHT), *spread(wrong, N_WRONG)]
        ],
        path, title=title,
    )  # fmt: skip


def spread(chosen: np.ndarray, n: int) -> np.ndarray:
    """So many of the values, evenly over all of them."""
    return chosen[np.unique(np.linspace(0, len(chosen) - 1, min(n, len(chosen))).astype(int))]
