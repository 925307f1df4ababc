"""Each file is read back by a reader of its own, written after the format's description."""

import csv
import io
import json
import math
import re

from common.counts import exports, standards
from common.counts.histories import histories_of
from common.names import is_unknown, name_key
from common.tables import unescaped

import numpy as np
import pandas as pd
import pytest
from dwca.read import DwCAReader
from hypothesis import given, settings
from hypothesis import strategies as st
from seen_animals import catalogue_of, histories_with

ODD = ["=cmd()", "Zoë */ x", "Old, Scar", "@SUM", "007", "-1", "Anna;B", 'a "b"', "# 4", "猫"]
TEXTS = ["101", "011", "110", "001", "010", "111", "100", "011", "110", "101"]


@pytest.fixture
def odd():
    return histories_with(ODD, TEXTS)


def drawn(histories):
    return dict(zip(histories.encounters.index, histories.texts, strict=True))


def read_inp(text):
    """As openCR's read.inp: comments go first, then records end at semicolons."""
    text = re.sub(r"/\*.*?\*/", "", text.replace("\n", ""), flags=re.DOTALL)
    return [tuple(record.split()) for record in text.split(";") if record.strip()]


def read_columns(text):
    """As R's read.table: words between blanks, # begins a comment."""
    lines = [line.split("#")[0].split() for line in text.splitlines()]
    return [line for line in lines if line]


def test_mark_reads_each_history_with_frequency_one(odd):
    assert read_inp(exports.mark_text(odd)) == [(text, "1") for text in odd.texts]


def test_comments_of_mark_name_each_animal_once(odd):
    lines = exports.mark_text(odd).splitlines()

    names = [re.fullmatch(r"[01]+ 1; /\* ([A-Za-z0-9._-]+) \*/", line)[1] for line in lines]

    assert len(set(names)) == len(ODD)


def test_leading_zeros_and_names_survive_in_rmark(odd):
    text = exports.rmark_text(odd)
    rows = unescaped(pd.DataFrame(csv.DictReader(io.StringIO(text))))

    assert dict(zip(rows["animal"], rows["ch"], strict=True)) == drawn(odd)
    assert all(line.startswith('"') for line in text.splitlines())


def test_no_cell_is_a_formula(odd):
    for text in (exports.rmark_text(odd), exports.animals_text(odd)):
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@")]


def test_animals_by_date_come_back(odd):
    table = unescaped(pd.read_csv(io.StringIO(exports.animals_text(odd)), dtype=str))

    days = table.drop(columns=["animal", "code"])
    assert list(days) == ["2024-05-01", "2024-05-02", "2024-05-03"]
    assert dict(zip(table["animal"], days.agg("".join, axis="columns"), strict=True)) == drawn(odd)


def test_secr_reads_the_captures_at_their_detectors(odd):
    captures, traps = map(read_columns, exports.secr_texts(odd))
    codes = exports.names_as_codes(odd.encounters.index)
    back = {code: ["0"] * 3 for code in codes}
    for session, animal, occasion, _ in captures:
        assert session == "1"
        back[animal][int(occasion) - 1] = "1"

    assert ["".join(back[code]) for code in codes] == odd.texts
    assert {detector for *_, detector in captures} == {name for name, _, _ in traps}


def test_nobody_is_called_as_secr_calls_nobody():
    assert exports.names_as_codes(["NONE", "None"]) == ["NONE.1", "None"]


def test_detectors_are_metres_apart(odd):
    traps = read_columns(exports.secr_texts(odd)[1])
    north = sorted(float(y) for _, _, y in traps)

    step = 0.01 * math.pi / 180 * 6_371_000  # of 0.01 degrees
    assert np.diff(north) == pytest.approx([step, step], abs=0.2)
    assert all(abs(float(x)) < 0.1 and "_" not in name for name, x, _ in traps)


def test_without_places_there_is_nothing_for_secr_and_camtrap():
    histories = histories_of(catalogue_of([("Anna", "2024-05-01", "e", "")]), "day")

    assert exports.secr_texts(histories) is None
    assert standards.camtrap_files(histories.photos, "bay") is None


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9)
        .map(str.strip)
        .filter(lambda name: name and name_key(name) and not is_unknown(name)),
        st.text("01", min_size=4, max_size=4).filter(lambda text: "1" in text),
        min_size=1,
        max_size=6,
    )
)
def test_any_histories_come_back_from_every_file(animals):
    histories = histories_with(list(animals), list(animals.values()))
    captures, _ = map(read_columns, exports.secr_texts(histories))
    rows = unescaped(pd.DataFrame(csv.DictReader(io.StringIO(exports.rmark_text(histories)))))

    assert [text for text, _ in read_inp(exports.mark_text(histories))] == histories.texts
    assert dict(zip(rows["animal"], rows["ch"], strict=True)) == drawn(histories)
    assert len(captures) == int(histories.seen.sum())


# ---- Camtrap DP 1.0.2: what its table schemas require (camtrap-dp.tdwg.org/data) ----------------

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
ONE_OF = {
    "observationLevel": {"media", "event"},
    "observationType": {"animal", "human", "vehicle", "blank", "unknown", "unclassified"},
    "filePublic": {"true", "false"},
    "timestampIssues": {"true", "false"},
}
REQUIRED = {
    "deployments": ["deploymentID", "latitude", "longitude", "deploymentStart", "deploymentEnd"],
    "media": ["mediaID", "deploymentID", "timestamp", "filePath", "filePublic", "fileMediatype"],
    "observations": [
        "observationID", "deploymentID", "eventStart", "eventEnd", "observationLevel",
        "observationType",
    ],
}  # fmt: skip
OPTIONAL = {
    "deployments": ["coordinateUncertainty", "timestampIssues", "deploymentComments"],
    "media": ["fileName"],
    "observations": ["mediaID", "eventID", "scientificName", "count", "individualID"],
}


@pytest.fixture
def package(odd):
    files = standards.camtrap_files(odd.photos, "bay", "Chelonia mydas")
    about = json.loads(files.pop("datapackage.json"))
    tables = {
        resource["name"]: pd.read_csv(io.StringIO(files[resource["path"]]), dtype=str).fillna("")
        for resource in about["resources"]
    }
    return about, tables


@pytest.mark.parametrize("name", REQUIRED)
def test_camtrap_tables_have_the_columns_of_the_standard(package, name):
    table = package[1][name]

    assert set(REQUIRED[name]) <= set(table) <= {*REQUIRED[name], *OPTIONAL[name]}
    assert table[REQUIRED[name]].ne("").all(axis=None)
    assert table.iloc[:, 0].is_unique
    for column in table:
        if re.search(r"Start$|End$|timestamp$", column):
            assert table[column].map(TIME.fullmatch).all()
        assert set(table[column]) <= ONE_OF.get(column, set(table[column]))


def test_camtrap_identifiers_meet(package):
    deployments, media, observations = (package[1][name] for name in REQUIRED)

    assert set(media["deploymentID"]) == set(deployments["deploymentID"])
    assert set(observations["mediaID"]) == set(media["mediaID"])
    assert media["filePath"].str.match(r"^(?=^[^./~])(^((?!\.{2}).)*$).*$").all()


def test_camtrap_observations_name_the_individual(package, odd):
    observations = unescaped(package[1]["observations"])
    seen = observations["individualID"].value_counts()

    assert seen.to_dict() == {name: text.count("1") for name, text in drawn(odd).items()}


def test_the_package_says_what_the_profile_requires(package):
    about = package[0]

    assert {"created", "contributors", "project", "spatial", "temporal", "taxonomic"} <= set(about)
    assert {"samplingDesign", "captureMethod", "observationLevel"} <= set(about["project"])
    assert about["project"]["individualAnimals"] is True
    assert about["temporal"] == {"start": "2024-05-01", "end": "2024-05-03"}
    assert all("/1.0.2/" in resource["schema"] for resource in about["resources"])


def test_two_animals_of_one_photo_are_one_medium():
    catalogue = catalogue_of(
        [("Anna", "2024-05-01", "a", "", 1.0, 2.0), ("Ben", "2024-05-01", "b", "", 1.0, 2.0)]
    )
    photos = catalogue.table.assign(path="both.jpg")

    files = standards.camtrap_files(photos, "bay")

    assert len(files["media.csv"].splitlines()) == 2
    assert len(files["observations.csv"].splitlines()) == 3


def test_a_darwin_core_reader_finds_the_organisms(odd, tmp_path):
    path = tmp_path / "darwin_core.zip"
    path.write_bytes(standards.darwin_core(odd.photos, "Chelonia mydas"))

    with DwCAReader(path) as archive:
        rows = pd.DataFrame([row.data for row in archive])
        kind = archive.descriptor.core.type

    rows.columns = [name.rsplit("/", 1)[1] for name in rows]
    seen = unescaped(rows)["organismID"].value_counts()
    assert kind == "http://rs.tdwg.org/dwc/terms/Occurrence"
    assert seen.to_dict() == {name: text.count("1") for name, text in drawn(odd).items()}
    assert set(rows["scientificName"]) == {"Chelonia mydas"}
    assert rows["decimalLongitude"].astype(float).eq(55.4).all()


FIJI = [
    ("a", "2024-05-01", "a 1", "", -16.8, 179.999),
    ("a", "2024-05-01", "a 1", "", -16.8, -179.999),
    ("b", "2024-05-02", "b 1", "", -16.8, 179.999),
    ("b", "2024-05-02", "b 1", "", 0.0, 0.0),
]


def test_places_on_both_sides_of_the_date_line_are_near():
    seen = histories_of(catalogue_of(FIJI), "day")
    package = json.loads(standards.camtrap_files(seen.photos, "bay")["datapackage.json"])

    longitudes = [place[0] for place in package["spatial"]["coordinates"][0]]
    assert max(longitudes) - min(longitudes) == pytest.approx(0.002)
    assert exports.kilometres_across(seen.photos) == pytest.approx(0.21, abs=0.01)


def test_an_occurrence_is_where_a_photo_was_taken_and_never_nowhere(tmp_path):
    seen = histories_of(catalogue_of(FIJI), "day")
    (tmp_path / "a.zip").write_bytes(standards.darwin_core(seen.photos))

    with DwCAReader(tmp_path / "a.zip") as archive:
        found = [float(row.data[f"{standards.TERMS}/decimalLongitude"]) for row in archive]

    assert found == [179.999, 179.999]  # zero of both is a receiver without satellites
