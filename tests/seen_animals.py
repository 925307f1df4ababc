"""Small catalogues with known histories."""

from common.counts.histories import histories_of
from common.data.catalogue import catalogue_from_table

import pandas as pd


def catalogue_of(rows):
    """A catalogue of (identity, date, encounter, side, latitude, longitude), the last optional."""
    names = ("identity", "date", "encounter", "orientation", "latitude", "longitude")
    table = pd.DataFrame([dict(zip(names, row, strict=False)) for row in rows])
    table["path"] = [f"DCIM/IMG_{number:04d}.JPG" for number in range(len(table))]
    return catalogue_from_table(table, "/photos", "bay", fewest_identities=1)


def histories_with(names, texts):
    """Histories of animals with these names, such as "0110", one encounter a day."""
    rows = [
        (name, f"2024-05-{day + 1:02d}", f"{name} {day}", "", -4.6 + 0.01 * (day % 3), 55.4)
        for name, text in zip(names, texts, strict=True)
        for day, seen in enumerate(text)
        if seen == "1"
    ]
    return histories_of(catalogue_of(rows), "day")
