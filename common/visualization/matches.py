"""Ranked matches: each query beside the gallery photos that are most like it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.data.sampling import spread
from common.gallery.gallery import Gallery
from common.splits.study import Study
from common.visualization import style

import numpy as np
from matplotlib.axes import Axes

N_RIGHT, N_WRONG, N_FOUND = 2, 3, 5  # example queries of each kind, and gallery photos beside each


@dataclass(frozen=True)
class RankedMatches:
    """One query and its best gallery photos, best first.

    Attributes:
        gallery: the photos found, length k.
        gallery_captions: identity of each, length k.
        similarities: cosine similarity in [-1, 1] of each to the query, length k.
        is_match: whether each shows the query's identity; None where nobody knows.
        verdict: beneath the query, such as "probably new".
        probabilities: in [0, 1], of each showing the query's identity; None where not known.
    """

    query: Path
    query_caption: str
    gallery: Sequence[Path]
    gallery_captions: Sequence[str]
    similarities: Sequence[float]
    is_match: Sequence[bool] | None = None
    verdict: str = ""
    probabilities: Sequence[float] | None = None


def matches_panel(
    rankings: Sequence[RankedMatches], path: str | Path, *, n_columns: int = 5, title: str = ""
) -> Path:
    """Draw one row per query: the query, then its ranked gallery photos.

    A right photo has a green frame and a tick, a wrong one an orange-red frame and a cross.

    Raises:
        InputError: a photo cannot be read.
    """
    n_columns = max(1, min(n_columns, max(len(ranking.gallery) for ranking in rankings)))
    figure = style.new_figure(1.5 * (n_columns + 1) + 0.3, 1.9 * len(rankings) + 0.5)
    widths = [1.0, 0.12, *[1.0] * n_columns]  # a gap parts the query from what was found
    cells = figure.subplots(len(rankings), len(widths), squeeze=False, width_ratios=widths)
    for line, ranking in zip(cells, rankings, strict=True):
        _draw_query(line[0], ranking)
        line[1].set_axis_off()
        _draw_gallery(line[2:], ranking)
    cells[0][0].set_title("query", fontsize=9, color=style.SOFT)
    for rank, axes in enumerate(cells[0][2:], start=1):
        axes.set_title(f"rank {rank}", fontsize=9, color=style.SOFT)
    return style.save_figure(figure, path, title)


def _draw_query(axes: Axes, ranking: RankedMatches) -> None:
    style.show_photo(axes, ranking.query)
    style.frame(axes, style.INK, 1.2)
    lines = [style.shortened(ranking.query_caption), ranking.verdict]
    _caption(axes, "\n".join(line for line in lines if line), style.INK)


def _draw_gallery(line: Sequence[Axes], ranking: RankedMatches) -> None:
    for axes in line[len(ranking.gallery) :]:
        axes.set_axis_off()
    for rank, axes in zip(range(len(ranking.gallery)), line, strict=False):
        style.show_photo(axes, ranking.gallery[rank])
        mark, colour = "", style.LINE
        if ranking.is_match is not None:
            mark, colour = ("✓ ", style.RIGHT) if ranking.is_match[rank] else ("✗ ", style.WRONG)
        style.frame(axes, colour, 3)
        caption = style.shortened(ranking.gallery_captions[rank], 18)
        likeness = f"{ranking.similarities[rank]:.3f}"
        if ranking.probabilities is not None:
            likeness += f" · {percent(ranking.probabilities[rank])}"
        _caption(axes, f"{mark}{caption}\n{likeness}", colour if mark else style.INK)


def percent(probability: float) -> str:
    """A probability for people; a small one is not called impossible.

    >>> percent(0.934), percent(0.0004), percent(0.9996)
    ('93 %', '< 1 %', '> 99 %')
    """
    if probability < 0.01:
        return "< 1 %"
    return "> 99 %" if probability > 0.99 else f"{probability:.0%}".replace("%", " %")


def _caption(axes: Axes, text: str, colour: str) -> None:
    axes.set_xlabel(text, fontsize=8, color=colour, labelpad=3, parse_math=False)


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
    """
    searched = Gallery(embeddings.shape[1])
    searched.enrol(embeddings[gallery], study.identity[gallery])
    similarity, found = searched.search(embeddings[query], k=N_FOUND)
    rows = gallery[found]  # (n_query, n_found)
    is_match = study.identity[rows] == study.identity[query][:, None]
    right, wrong = np.flatnonzero(is_match[:, 0]), np.flatnonzero(~is_match[:, 0])
    paths = study.catalogue.paths()
    examples = [
        RankedMatches(
            paths[query[index]],
            study.identity[query[index]],
            gallery=[paths[row] for row in rows[index]],
            gallery_captions=list(study.identity[rows[index]]),
            similarities=similarity[index].tolist(),
            is_match=is_match[index].tolist(),
        )
        for index in [*spread(right, N_RIGHT), *spread(wrong, N_WRONG)]
    ]
    return matches_panel(examples, path, title=title)
