"""An answer as `identify.py` shows it: in tables, in a figure, and on the sheet for a person."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from common.data.exif import time_taken
from common.data.photo_files import open_photo
from common.data.photo_names import ID_MARK, photo_id, photo_name
from common.errors import InputError
from common.gallery.local_matching import LocalMatching, Plan
from common.gallery.pictures import has_picture, picture_path, small_picture
from common.gallery.verdicts import Meaning, Verdict
from common.names import printable, storable
from common.visualization.detail_matches import DetailPair
from common.visualization.matches import RankedMatches
from common.visualization.sheet import SheetCandidate, SheetQuestion
from common.words import counted

import numpy as np
import pandas as pd

DAY = len("2024-05-31")
N_SHOWN = 4  # photos of an encounter that the sheet shows
SHEET_SIDE = 420  # pixels, of a query's longer side in the sheet


def shown(
    gallery: Path,
    facts: Mapping[str, np.ndarray],
    enrolled_as: Mapping[str, str],
    number: int,
    photos: Sequence[Path],
    verdict: Verdict,
) -> dict:
    """One question's answer in plain values.

    Args:
        enrolled_as: name of a photo's picture to the animal that it is enrolled as.
        number: of the question, from 1.

    Raises:
        InputError: a small picture is missing.
    """
    rows = [each.row for each in verdict.candidates]
    names = [facts["picture"][row] for row in rows]
    if missing := [name for name in names if not has_picture(gallery, name)]:
        raise InputError(
            f"--gallery {gallery}: its small picture {missing[0]}.jpg is missing, or a link; copy "
            "the whole folder, or build the gallery anew with --replace"
        )
    pictures = [picture_path(gallery, name) for name in names]
    seen = [
        ", ".join(filter(None, (facts["side"][row], facts["date"][row][:DAY])))
        or Path(facts["path"][row]).name
        for row in rows
    ]
    itself = [
        f"{printable(photo.name)} itself is in the gallery, as {name}: its likeness proves nothing."
        for photo in photos
        if (name := enrolled_as.get(photo_name(photo)))
    ]
    more = f" and {len(photos) - 1} more" if len(photos) > 1 else ""
    return {
        "title": f"{number}. {printable(photos[0].name)}{more}",
        "photos": [storable(str(photo)) for photo in photos],
        "verdict": verdict.text,
        "identities": [each.identity for each in verdict.candidates],
        "similarities": verdict.similarities,
        "probabilities": verdict.probabilities,
        "n_compared": [each.n_compared for each in verdict.candidates],
        "seen": seen,
        "pictures": pictures,
        "remarks": [*verdict.remarks, *itself],
    }


def answer_tables(answers: Sequence[dict], meaning: Meaning) -> dict[str, pd.DataFrame]:
    """The verdict on each question with its two thresholds, and its candidates."""
    verdicts, candidates = [], []
    for each in answers:
        best = each["similarities"][0] if each["similarities"] else None
        limits = meaning.threshold.value, meaning.new_below
        verdicts.append((each["title"], each["verdict"], best, *limits))
        columns = (each[name] for name in ("identities", "similarities", "probabilities", "seen"))
        for rank, cells in enumerate(zip(*columns, strict=True), start=1):
            candidates.append((each["title"], rank, *cells))
    return {
        "Verdicts": pd.DataFrame(
            verdicts, columns=["photo", "verdict", "similarity", "known from", "probably new below"]
        ).replace(-np.inf, np.nan),
        "Candidates": pd.DataFrame(
            candidates,
            columns=["photo", "rank", "animal", "similarity", "probability", "most alike photo"],
        ),
    }


def drawing(photos: Sequence[Path], answer: dict) -> RankedMatches:
    """One row of the figure."""
    return RankedMatches(
        query=photos[0],
        query_caption=answer["title"],
        gallery=answer["pictures"],
        gallery_captions=answer["identities"],
        similarities=answer["similarities"],
        probabilities=answer["probabilities"],
        verdict=answer["verdict"],
    )


def first_pair(
    matching: LocalMatching,
    plan: Plan,
    gallery: Path,
    facts: Mapping[str, np.ndarray],
    photos: Sequence[Path],
    verdict: Verdict,
) -> DetailPair | None:
    """A question's photo beside the first animal's, with the details that are the same."""
    if not verdict.candidates:
        return None
    first = verdict.candidates[0]
    points = matching.lines(plan, photos[0], first.row)
    caption = f"{photos[0].name}, {first.identity}: {counted(len(points[0]), 'detail')}"
    picture = picture_path(gallery, facts["picture"][first.row])
    return DetailPair(photos[0], picture, points, printable(caption), is_match=None)


def common_folder(photos: Sequence[Path]) -> Path | None:
    """The folder that all photos lie in, at any depth; None where they share but a disk."""
    try:
        folder = Path(os.path.commonpath([photo.parent for photo in photos]))
    except ValueError:
        return None
    return None if folder == folder.parent else folder


def on_sheet(
    asked: datetime, side: str, folder: Path | None, photos: Sequence[Path], answer: dict
) -> SheetQuestion:
    """One section of the sheet.

    Args:
        asked: when, which names the encounter of photos without a date.
        folder: that the paths of the decisions start from; None: they are whole.
    """
    columns = ("identities", "similarities", "probabilities", "pictures", "seen")
    candidates = [
        SheetCandidate(
            name, similarity, probability, open_photo(picture), caption, ID_MARK + picture.stem
        )
        for name, similarity, probability, picture, caption in zip(
            *(answer[column] for column in columns), strict=True
        )
    ]
    return SheetQuestion(
        title=answer["title"],
        photos=[(photo.relative_to(folder) if folder else photo).as_posix() for photo in photos],
        ids=[photo_id(photo) for photo in photos],
        side=side,
        dates=[time_taken(photo) for photo in photos],
        encounter=f"identified {asked:%Y-%m-%dT%H:%M:%S}",  # of an animal, one encounter
        pictures=[small_picture(photo, SHEET_SIDE) for photo in photos[:N_SHOWN]],
        verdict=answer["verdict"],
        remarks=answer["remarks"],
        candidates=candidates,
    )
