"""Known animals under a published protocol, and under stricter ones.

A published closed-set table lets every gallery photo count. Where a split put photos of one
encounter on both sides, that measures the light of the day too, so the same embedding is asked
again without them; and, where sides are known, with one side of the gallery at a time.
"""

from collections.abc import Mapping
from typing import NamedTuple

from common.data.catalogue import Catalogue
from common.measures.intervals import mean_columns
from common.measures.retrieval import evaluate_retrieval
from common.splits.encounters import has_match, is_met
from common.splits.splits import Split
from common.tables import table_of

import numpy as np
import pandas as pd

COUNTS, RANKS = ("queries", "without a match"), ("rank-1±", "mAP±", "rank-1 with a match")
BY_PROTOCOL = ("approach", "protocol", *COUNTS, *RANKS)
OTHER_SIDE = {"left": "right", "right": "left"}
PROTOCOL_NOTE = (
    "By protocol: every test photo of an animal that has others is a query; the gallery is the "
    "train and validation photos together, which are a published split's train part. Queries "
    "without a match count as misses. The rows of one side ask photos whose side is known, among "
    "photos of the same or of the other side, without those of the query's encounter."
)


class Protocol(NamedTuple):
    """Which gallery photos count for a query.

    Attributes:
        same_encounter_rule: photos of the query's own encounter do not count.
        side_of: the query's side to the side that is searched; None: all photos are.
    """

    name: str
    same_encounter_rule: bool
    side_of: Mapping[str, str] | None = None


PROTOCOLS = (
    Protocol("as published", same_encounter_rule=False),
    Protocol("same-encounter photos removed", same_encounter_rule=True),
    Protocol("the same, same side only", True, {side: side for side in OTHER_SIDE}),
    Protocol("the same, other side only", True, OTHER_SIDE),
)


def known_by_protocol(
    embeddings: Mapping[str, np.ndarray], catalogue: Catalogue, split: Split
) -> pd.DataFrame:
    """Test photos of known animals, ranked under each protocol that the catalogue allows.

    Args:
        embeddings: approach to an array of shape (n_images, embedding_dim), unit length.
        split: of that catalogue. Its train and validation photos are the gallery.

    Returns:
        One row per approach and protocol: queries, those without a match, rank-1 and mAP over
        all queries with intervals over animals, and rank-1 over queries with a match. No row
        where no query has a photo of its own encounter in the gallery.
    """
    photos = catalogue.table[["identity", "encounter", "orientation"]].astype(str)
    gallery = photos.iloc[np.union1d(split.rows("train"), split.rows("validation"))]
    query = photos.iloc[split.rows("test")]
    query = query[query["identity"].isin(gallery["identity"])]
    if not is_met(query["encounter"].to_numpy(), gallery["encounter"].to_numpy()).any():
        return table_of([], BY_PROTOCOL)
    rows = []
    for approach, each in embeddings.items():
        for protocol in PROTOCOLS if catalogue.has_sides else PROTOCOLS[:2]:
            pairs = [(query, gallery)]
            if protocol.side_of:
                pairs = [
                    (
                        query[query["orientation"] == own],
                        gallery[gallery["orientation"] == searched],
                    )
                    for own, searched in protocol.side_of.items()
                ]
            ranked = pd.concat([_rank(each, *pair, protocol.same_encounter_rule) for pair in pairs])
            if len(ranked):
                place = {"approach": approach, "protocol": protocol.name}
                rows.append(place | _cells(ranked.sort_index()))
    return table_of(rows, BY_PROTOCOL)


def _cells(ranked: pd.DataFrame) -> dict:
    """A table's cells for one approach and protocol."""
    has_match, animals = ranked["has_match"], ranked["identity"]
    return {
        "queries": len(ranked),
        "without a match": int((~has_match).sum()),
        **mean_columns("rank-1", ranked["is_right"], animals),
        **mean_columns("mAP", ranked["precision"], animals),
        "rank-1 with a match": ranked["is_right"][has_match].mean(),
    }


def _rank(
    embeddings: np.ndarray, query: pd.DataFrame, gallery: pd.DataFrame, same_encounter_rule: bool
) -> pd.DataFrame:
    """Queries with has_match, is_right and precision; the last two 0 where no photo can be right.

    Args:
        embeddings: shape (n_images, embedding_dim), unit length.
    """
    photos = {}
    for side, own in (("query", query), ("gallery", gallery)):
        photos[f"{side}_identities"] = own["identity"].to_numpy()
        photos[f"{side}_encounters"] = own["encounter"].to_numpy()
    is_answerable = query["identity"].isin(gallery["identity"])
    if same_encounter_rule:
        is_answerable = has_match(**photos)
    if not is_answerable.any():
        return query.assign(has_match=False, is_right=0.0, precision=0.0)
    report = evaluate_retrieval(
        query_embeddings=embeddings[query.index],
        gallery_embeddings=embeddings[gallery.index],
        **photos,
        same_encounter_rule=same_encounter_rule,
    )
    is_right, precision = report.is_correct_at_1.astype(float), report.average_precision
    return query.assign(has_match=report.has_match, is_right=is_right, precision=precision)
