"""Divide photos of animals that join later into a gallery to search and queries to ask about."""

from typing import NamedTuple

from common.data.catalogue import Catalogue
from common.splits import rules

import numpy as np
import pandas as pd

GALLERY_OR_QUERY = r"(?:^|[_-])(gallery|query)(?:$|[_-])"


class GalleryAndQuery(NamedTuple):
    """Rows of a catalogue: known photos to search, photos to ask about, and remarks."""

    gallery: np.ndarray
    query: np.ndarray
    notes: list[str]


def gallery_and_query(
    catalogue: Catalogue, rows: np.ndarray, *, n_gallery: int = 5, seed: int = 0
) -> GalleryAndQuery:
    """Divide photos of animals that join later into a gallery and later queries.

    An animal's gallery photos are those of its earliest days (of its encounters in random order
    where it has no dates), taken whole until there are n_gallery or one day is left; its other
    photos are queries. An animal seen once gives gallery photos only. Where the source itself names
    an animal's photos gallery and query, that counts instead.

    Args:
        rows: shape (n_rows,), the photos to divide.
        n_gallery: photos per animal that are enough, at least 1.

    Returns:
        Gallery rows and query rows, each ascending, without a photo or encounter in common.
    """
    subset = catalogue.table.iloc[np.sort(rows)].sort_values("image_id")
    table = subset.reset_index(drop=True)
    rank = rules.rank_days_or_encounters(table, seed)
    n_units = pd.Series(rank).groupby(table["identity"].to_numpy()).transform("max") + 1
    in_gallery = (rank >= 0) & (rank < _n_gallery_units(table["identity"], rank, n_gallery))
    is_query = (rank >= 0) & ~in_gallery
    given = divided_by_source(table)
    in_gallery = np.where(given == "", in_gallery, given == "gallery")
    is_query = np.where(given == "", is_query, given == "query")
    rank = np.where(given == "", rank, 0)
    seen_once = sorted(table["identity"][(n_units == 1) & (given == "")].unique())
    notes = rules.name_animals("Seen once, so in the gallery and never a query", seen_once)
    as_given = sorted(table["identity"][given != ""].unique())
    notes += rules.name_animals("Gallery and queries as the source names them", as_given)
    if n_undated := int((rank < 0).sum()):
        notes.append(f"Photos without a date of animals with dates are not used: {n_undated:,}.")
    position = subset.index.to_numpy()
    return GalleryAndQuery(np.sort(position[in_gallery]), np.sort(position[is_query]), notes)


def divided_by_source(table: pd.DataFrame) -> np.ndarray:
    """What the source calls each photo of an animal of which it names both, else "".

    Returns:
        "gallery", "query" or "", shape (n_rows,).
    """
    if "split" not in table:
        return np.full(len(table), "")
    named = table["split"].astype(str).str.extract(GALLERY_OR_QUERY, expand=False).fillna("")
    n_names = named[named != ""].groupby(table["identity"]).nunique()
    return np.where(table["identity"].map(n_names) == 2, named, "")


def places_in_time(catalogue: Catalogue, rows: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Number each animal's photos in the order in which `gallery_and_query` takes them, from 0.

    By day (encounter in random order where an animal has no dates), within it by image_id; photos
    without a date of animals with dates come last. A gallery that the source divides off is taken
    whole: each of its photos is number 0.

    Args:
        rows: shape (n_rows,), ascending.

    Returns:
        Shape (n_rows,).
    """
    subset = catalogue.table.iloc[rows].sort_values("image_id")
    table = subset.reset_index(drop=True)
    rank = rules.rank_days_or_encounters(table, seed)
    table["rank"] = np.where(rank < 0, len(table), rank)
    places = table.sort_values(["rank", "image_id"]).groupby("identity").cumcount().sort_index()
    places = np.where(divided_by_source(table) == "", places, 0)
    return pd.Series(places, index=subset.index).loc[rows].to_numpy()


def _n_gallery_units(identity: pd.Series, rank: np.ndarray, n_gallery: int) -> np.ndarray:
    """Return, for each row, how many of its animal's units go to the gallery."""

    def n_units(ranks: pd.Series) -> int:
        n_photos = np.cumsum(np.bincount(ranks))  # of the first unit, the first two, ...
        return max(1, min(int(np.searchsorted(n_photos, n_gallery)) + 1, len(n_photos) - 1))

    is_used = rank >= 0
    n_of_animal = pd.Series(rank[is_used]).groupby(identity.to_numpy()[is_used]).agg(n_units)
    return identity.map(n_of_animal).to_numpy()
