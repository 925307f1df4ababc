"""The named photos as Camtrap DP and as a Darwin Core archive, for databases and other programs.

Camtrap DP 1.0.2 (camtrap-dp.tdwg.org) is datapackage.json beside three tables, with the animal in
`individualID`. Each needs a place; a deployment here is a place at which animals were photographed.
The clock's time zone is unknown: times end in Z, and `timestampIssues` says that they are wrong by
it. A Darwin Core archive (dwc.tdwg.org/text) is a table of occurrences and meta.xml in one ZIP
file, with the animal in `organismID`.
"""

import io
import json
import mimetypes
import re
import zipfile
from datetime import UTC, datetime
from pathlib import PurePosixPath
from xml.sax.saxutils import quoteattr

from common.counts.exports import PLACE_DECIMALS
from common.counts.histories import PLACES, places_of, without_date_line
from common.tables import csv_text

import pandas as pd

SOURCE = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2"
TABLES = ("deployments", "media", "observations")
FILE_PATH = re.compile(r"^(?=^[^./~])(^((?!\.{2}).)*$).*$")  # what Camtrap DP allows
TERMS = "http://rs.tdwg.org/dwc/terms"


def camtrap_files(photos: pd.DataFrame, title: str, species: str = "") -> dict[str, str] | None:
    """Camtrap DP: file name to text; None where no photo has a date and a place.

    Args:
        photos: rows of a catalogue, with image_id, identity, path, date, encounter and places.
        title: of the project.
        species: scientific name of all animals, "" where it is not said.
    """
    places = places_of(photos).round(PLACE_DECIMALS)
    photos = photos.assign(**places).dropna(subset=[*PLACES, "date"])
    if not len(photos):
        return None
    photos = photos.sort_values([*PLACES, "date", "path"], kind="stable")
    number = photos.groupby(list(PLACES)).ngroup() + 1
    photos = photos.assign(deploymentID=[f"place-{each}" for each in number])
    tables = {
        "deployments": _deployments(photos),
        "media": _media(photos),
        "observations": _observations(photos, species),
    }
    texts = {f"{name}.csv": csv_text(table) for name, table in tables.items()}
    about = json.dumps(_package(photos, title, species), indent=2, ensure_ascii=False)
    return {"datapackage.json": f"{about}\n"} | texts


def _deployments(photos: pd.DataFrame) -> pd.DataFrame:
    places = photos.groupby("deploymentID", sort=False)
    table = places[list(PLACES)].first().reset_index()
    return table.assign(
        coordinateUncertainty=round(111_000 * 10**-PLACE_DECIMALS),  # metres
        deploymentStart=_times(places["date"].min()).tolist(),
        deploymentEnd=_times(places["date"].max()).tolist(),
        timestampIssues="true",
        deploymentComments="start and end are the first and the last photo",
    )


def _media(photos: pd.DataFrame) -> pd.DataFrame:
    """One row a photo file, which may show several animals."""
    files = photos.drop_duplicates("path")
    kinds = files["path"].map(lambda path: mimetypes.guess_type(path)[0] or "image/heic")
    names = files["path"].map(lambda path: PurePosixPath(path).name)
    fits = files["path"].map(lambda path: bool(FILE_PATH.match(path)))
    plain = names.str.replace("..", ".").str.lstrip("./~")
    table = files[["image_id", "deploymentID"]].rename(columns={"image_id": "mediaID"})
    return table.assign(
        timestamp=_times(files["date"]),
        filePath=files["path"].where(fits, plain.where(plain != "", files["image_id"])),
        filePublic="false",
        fileName=names,
        fileMediatype=kinds,
    )


def _observations(photos: pd.DataFrame, species: str) -> pd.DataFrame:
    """One row an animal of a photo."""
    encounters = photos.groupby(["encounter", "deploymentID"])["date"]
    return pd.DataFrame(
        {
            "observationID": photos["image_id"],
            "deploymentID": photos["deploymentID"],
            "mediaID": photos.groupby("path")["image_id"].transform("first"),
            "eventID": photos["encounter"],
            "eventStart": _times(encounters.transform("min")),
            "eventEnd": _times(encounters.transform("max")),
            "observationLevel": "media",
            "observationType": "animal",
            "scientificName": species,
            "count": 1,
            "individualID": photos["identity"],
        }
    )


def _package(photos: pd.DataFrame, title: str, species: str) -> dict:
    """What datapackage.json says."""
    latitude, longitude = (photos[name].to_numpy() for name in PLACES)
    longitude = without_date_line(longitude)
    south, north = float(latitude.min()), float(latitude.max())
    west, east = float(longitude.min()), float(longitude.max())
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    resource = {"profile": "tabular-data-resource", "format": "csv", "mediatype": "text/csv"}
    return {
        "resources": [
            {"name": name, "path": f"{name}.csv"}
            | resource
            | {"encoding": "utf-8", "schema": f"{SOURCE}/{name}-table-schema.json"}
            for name in TABLES
        ],
        "profile": f"{SOURCE}/camtrap-dp-profile.json",
        "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "title": title,
        "contributors": [{"title": "Write here who took the photos", "role": "rightsHolder"}],
        "project": {
            "title": title,
            "samplingDesign": "opportunistic",
            "captureMethod": ["activityDetection"],
            "individualAnimals": True,
            "observationLevel": ["media"],
        },
        "coordinatePrecision": 10**-PLACE_DECIMALS,
        "spatial": {"type": "Polygon", "coordinates": [corners]},
        "temporal": {
            "start": f"{photos['date'].min():%Y-%m-%d}",
            "end": f"{photos['date'].max():%Y-%m-%d}",
        },
        "taxonomic": [{"scientificName": species}] if species else [],
    }


def _times(dates: pd.Series) -> pd.Series:
    return dates.dt.strftime("%Y-%m-%dT%H:%M:%SZ")


def darwin_core(photos: pd.DataFrame, species: str = "") -> bytes:
    """A Darwin Core archive with one occurrence for each encounter of an animal.

    Args:
        photos: as for `camtrap_files`; a place may lack.
    """
    photos = photos.assign(**places_of(photos))
    encounters = photos.groupby("encounter", sort=False)
    first, last = (encounters["date"].agg(end).dt.strftime("%Y-%m-%d") for end in ("min", "max"))
    table = pd.DataFrame(
        {
            "occurrenceID": first.index,
            "basisOfRecord": "Occurrence",
            "occurrenceStatus": "present",
            "eventDate": first.where(first == last, first + "/" + last).to_numpy(),
            "individualCount": 1,
            "organismID": encounters["identity"].first().to_numpy(),
            "scientificName": species,
            "decimalLatitude": encounters["latitude"].first().to_numpy(),  # of a photo, no mean
            "decimalLongitude": encounters["longitude"].first().to_numpy(),
            "geodeticDatum": "WGS84",
            "associatedMedia": encounters["path"].agg(" | ".join).to_numpy(),
        }
    )
    table["geodeticDatum"] = table["geodeticDatum"].where(table["decimalLatitude"].notna(), "")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {
            "meta.xml": _meta(list(table)),
            "occurrence.csv": csv_text(table),
        }.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return packed.getvalue()


def _meta(columns: list[str]) -> str:
    """What the archive's table holds; column 0 is both the row's id and a term."""
    fields = "".join(
        f"    <field index={quoteattr(str(index))} term={quoteattr(f'{TERMS}/{name}')}/>\n"
        for index, name in enumerate(columns)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<archive xmlns="http://rs.tdwg.org/dwc/text/">\n'
        f'  <core encoding="UTF-8" rowType="{TERMS}/Occurrence" fieldsTerminatedBy="," '
        'linesTerminatedBy="\\n" fieldsEnclosedBy="&quot;" ignoreHeaderLines="1">\n'
        "    <files><location>occurrence.csv</location></files>\n"
        '    <id index="0"/>\n'
        f"{fields}  </core>\n</archive>\n"
    )
