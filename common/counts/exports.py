"""Capture histories as the programs that estimate numbers read them.

- MARK: `0110 1; /* name */`, one line an animal (RMark's `convert.inp` and openCR's `read.inp` read
  the same; a comment ends at the first `*/`, and a program that removes it must leave one blank).
- RMark and marked: a table whose column `ch` is text. R takes digits for numbers, quoted or not, so
  it has to be read with `colClasses = c(ch = "character")`.
- secr: captures (session, animal, occasion, detector) and detectors (name, x, y in metres) in
  columns between blanks; `#` begins a comment, names hold no blank and no comma, and those of
  detectors no underscore (secr's vignette "Data input for secr").
"""

import csv
import re
import unicodedata
from collections.abc import Iterable

from common.counts.histories import PLACES, Histories, places_of, without_date_line
from common.tables import csv_text, harmless

import numpy as np
import pandas as pd

PLACE_DECIMALS = 3  # of a degree: photos within some 100 m are of one detector
EARTH = 6_371_000.0  # radius in metres


def mark_text(histories: Histories) -> str:
    """MARK's .inp: each animal's history, its frequency 1, and its name as a comment."""
    names = names_as_codes(histories.encounters.index)
    rows = zip(histories.texts, names, strict=True)
    return "".join(f"{text} 1; /* {name} */\n" for text, name in rows)


def rmark_text(histories: Histories) -> str:
    """A CSV for RMark and marked: ch, freq, animal; every text is quoted."""
    identities = [harmless(name) for name in histories.encounters.index]
    table = pd.DataFrame({"ch": histories.texts, "freq": 1, "animal": identities})
    return table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)


def animals_text(histories: Histories) -> str:
    """A CSV for spreadsheets: animal × occasion, 1 where seen, and the name in secr and MARK."""
    seen = histories.encounters.gt(0).astype(int)
    table = seen.rename_axis("animal", axis="index").reset_index()
    table.insert(1, "code", names_as_codes(histories.encounters.index))
    return csv_text(table)


def secr_texts(histories: Histories) -> tuple[str, str] | None:
    """Secr's captures and detectors; None where no photo's place is known.

    A detector is a place at which some animal was seen, rounded to `PLACE_DECIMALS`; x and y are
    metres east and north of the middle of all, on a plane that touches the Earth there.
    """
    places = places_of(histories.photos).round(PLACE_DECIMALS)
    photos = histories.photos.assign(**places).dropna(subset=list(PLACES))
    if not len(photos):
        return None
    detectors = photos[list(PLACES)].drop_duplicates().sort_values(list(PLACES))
    detectors = detectors.reset_index(drop=True)
    names = [f"D{number + 1}" for number in range(len(detectors))]
    codes = dict(
        zip(histories.encounters.index, names_as_codes(histories.encounters.index), strict=True)
    )
    occasions = {each: number + 1 for number, each in enumerate(histories.encounters.columns)}
    place = pd.MultiIndex.from_frame(detectors).get_indexer(
        pd.MultiIndex.from_frame(photos[list(PLACES)])
    )
    rows = {
        (codes[identity], occasions[occasion], names[at])
        for identity, occasion, at in zip(
            photos["identity"], photos["occasion"], place, strict=True
        )
    }
    captures = [f"1 {animal} {occasion} {name}" for animal, occasion, name in sorted(rows)]
    x, y = _on_a_plane(detectors)
    places = [f"{name} {x:.1f} {y:.1f}" for name, x, y in zip(names, x, y, strict=True)]
    return (
        _lines(f"# session animal occasion detector; {len(occasions)} occasions", captures),
        _lines("# detector x y, metres; add detectors at which no animal was seen", places),
    )


def _on_a_plane(detectors: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Metres east and north of the middle."""
    latitude, longitude = (detectors[name].to_numpy() for name in PLACES)
    latitude, longitude = np.radians(latitude), np.radians(without_date_line(longitude))
    east = EARTH * np.cos(latitude.mean()) * (longitude - longitude.mean())
    return east, EARTH * (latitude - latitude.mean())


def kilometres_across(photos: pd.DataFrame) -> float:
    """How far apart the places of photos lie, about; 0 where fewer than two are known."""
    places = places_of(photos).dropna().drop_duplicates()
    if len(places) < 2:
        return 0.0
    return float(np.hypot(*map(np.ptp, _on_a_plane(places)))) / 1000


def _lines(first: str, others: Iterable[str]) -> str:
    return "\n".join([first, *others, ""])


def names_as_codes(identities: Iterable[str]) -> list[str]:
    """Each identity as letters, digits, dots and dashes, no two alike; others get a number too.

    >>> names_as_codes(["t001", "Old Zoë", "old zoë", "*/", "Old.Zoe"])
    ['t001', 'Old.Zoe.2', 'old.zoe.3', 'animal.4', 'Old.Zoe']
    """
    identities = list(identities)
    codes = []
    taken = {name.casefold() for name in identities}
    for number, name in enumerate(identities, start=1):
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        plain = re.sub(r"[^A-Za-z0-9]+", ".", plain).strip(".")
        code = name
        # secr takes the animal NONE for "nobody was caught".
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name == "NONE":
            code = f"{plain or 'animal'}.{number}"
            while code.casefold() in taken:
                code += ".x"
        taken.add(code.casefold())
        codes.append(code)
    return codes
