"""Known animals under a published protocol, and under stricter ones.

A published closed-set table lets every gallery photo count. Where a split put photos of one
encounter on both sides, that measures the light of the day too, so the same embedding is asked
again without them; and, where sides are known, with one side of the gallery at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from common.data.catalogue import Catalogue
from common.measures.intervals import bootstrap_over_individuals, interval_columns
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


@dataclass(frozen=True)
class Protocol:
    """Which gallery photos count for a query.

    Attributes:
        name: of the table's row.
        same_encounter_rule: photos of the query's own encounter do not count.
        side_of: the query's side to the side that is searched; None: all photos are.
    """

    name: str
    same_encounter_rule: bool
    side_of: Mapping[str, str] | None = None


AS_PUBLISHED = Protocol("as published", same_encounter_rule=False)
NO_ENCOUNTER = Protocol("same-encounter photos removed", same_encounter_rule=True)
ONE_SIDE = (
    Protocol("the same, same side only", True, {side: side for side in OTHER_SIDE}),
    Protocol("the same, other side only", True, OTHER_SIDE),
)


@dataclass(frozen=True)
class Ranked:
    """What became of each query, each shape (n_query,); zeros where no photo can be right.

    Attributes:
        has_match: bool, a right gallery photo counts.
        is_right: the most alike photo is a right one, 0 or 1.
        average_precision: in [0, 1].
    """

    has_match: np.ndarray
    is_right: np.ndarray
    average_precision: np.ndarray


def known_by_protocol(
    embeddings: Mapping[str, np.ndarray], catalogue: Catalogue, split: Split
) -> pd.DataFrame:
    """Test photos of known animals, ranked under each protocol that the catalogue allows.

    Args:
        embeddings: approach to an array of shape (n_images, embedding_dim), unit length.
        catalogue: the photos.
        split: of that catalogue. Its train and validation photos are the gallery.

    Returns:
        One row per approach and protocol: queries, those without a match, rank-1 and mAP over
        all queries with intervals over animals, and rank-1 over queries with a match. No row
        where no query has a photo of its own encounter in the gallery.
    """
    identity = catalogue.table["identity"].to_numpy(str)
    encounter = catalogue.table["encounter"].to_numpy(str)
    gallery = np.union1d(split.rows("train"), split.rows("validation"))
    query = split.rows("test")
    query = query[np.isin(identity[query], identity[gallery])]
    if not is_met(encounter[query], encounter[gallery]).any():
        return table_of([], BY_PROTOCOL)
    protocols = [AS_PUBLISHED, NO_ENCOUNTER, *(ONE_SIDE if catalogue.has_sides else ())]
    rows = [
        {"approach": approach, "protocol": protocol.name}
        | _row(each, query, gallery, catalogue, protocol)
        for approach, each in embeddings.items()
        for protocol in protocols
    ]
    return table_of([row for row in rows if row.get("queries")], BY_PROTOCOL)


def _row(
    embeddings: np.ndarray,
    query: np.ndarray,
    gallery: np.ndarray,
    catalogue: Catalogue,
    protocol: Protocol,
) -> dict:
    """A table's cells for one approach and protocol; none where nothing can be asked."""
    if protocol.side_of:
        query = query[catalogue.table["orientation"].iloc[query].isin(protocol.side_of)]
    if not len(query):
        return {}
    animals = catalogue.table["identity"].to_numpy(str)[query]
    ranked = rank_known(embeddings, query, gallery, catalogue, protocol)
    row = {"queries": len(query), "without a match": int((~ranked.has_match).sum())}
    row |= interval_columns("rank-1", bootstrap_over_individuals(ranked.is_right, animals))
    row |= interval_columns("mAP", bootstrap_over_individuals(ranked.average_precision, animals))
    answerable = ranked.is_right[ranked.has_match]
    return row | {"rank-1 with a match": answerable.mean() if len(answerable) else np.nan}


def rank_known(
    embeddings: np.ndarray,
    query: np.ndarray,
    gallery: np.ndarray,
    catalogue: Catalogue,
    protocol: Protocol,
) -> Ranked:
    """Rank the gallery for each query under one protocol.

    Args:
        embeddings: shape (n_images, embedding_dim), unit length.
        query: rows, shape (n_query,).
        gallery: rows.
        catalogue: the photos.
        protocol: which gallery photos count; where it is about sides, each query's is known.
    """
    if protocol.side_of is None:
        return _rank_together(embeddings, query, gallery, catalogue, protocol)
    orientation = catalogue.table["orientation"].to_numpy(str)
    ranked = Ranked(np.zeros(len(query), bool), np.zeros(len(query)), np.zeros(len(query)))
    for side, searched in protocol.side_of.items():
        asked = np.flatnonzero(orientation[query] == side)
        among = gallery[orientation[gallery] == searched]
        part = _rank_together(embeddings, query[asked], among, catalogue, protocol)
        for name, values in vars(part).items():
            getattr(ranked, name)[asked] = values
    return ranked


def _rank_together(
    embeddings: np.ndarray,
    query: np.ndarray,
    gallery: np.ndarray,
    catalogue: Catalogue,
    protocol: Protocol,
) -> Ranked:
    identity = catalogue.table["identity"].to_numpy(str)
    encounter = catalogue.table["encounter"].to_numpy(str)

    def facts(side: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {f"{side}_identities": identity[rows], f"{side}_encounters": encounter[rows]}

    searched = facts("gallery", gallery)
    is_answerable = np.isin(identity[query], identity[gallery])
    if protocol.same_encounter_rule:
        is_answerable = has_match(**facts("query", query), **searched)
    is_right, precision = np.zeros(len(query)), np.zeros(len(query))
    if is_answerable.any():
        asked = query[is_answerable]
        report = evaluate_retrieval(
            query_embeddings=embeddings[asked],
            gallery_embeddings=embeddings[gallery],
            **facts("query", asked),
            **searched,
            same_encounter_rule=protocol.same_encounter_rule,
        )
        is_right[is_answerable] = report.is_correct_at_1
        precision[is_answerable] = report.average_precision
    return Ranked(is_answerable, is_right, precision)
