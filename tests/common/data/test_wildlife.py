"""Sets of wildlife-datasets by name, with a stand-in that behaves as version 1.0.9 does."""

import sys
import types
from argparse import Namespace
from pathlib import Path

from common.data import wildlife
from common.data.catalogue_checks import leave_out_unusable
from common.errors import InputError
from common.splits.study import open_study

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from script_runs import load_main

SUMMARY = {
    "licenses": "Other", "licenses_url": "https://example.org/terms",
    "url": "https://example.org/newts", "publication_url": "https://example.org/paper",
    "cite": "pond2020newts", "size": 2000,
}  # fmt: skip


class WildlifeDataset:
    """The package's base class, as far as it is used here."""

    summary = types.MappingProxyType({})
    saved_to_system_folder = False
    download_mark_name = "already_downloaded"

    def __init__(self, root=None, check_files=True, **options):
        if not Path(root).exists():
            raise FileNotFoundError(f"Dataset root does not exist: {root}")
        self.root = root
        self.df = self.create_catalogue()

    @classmethod
    def get_data(cls, root, force=False):
        Path(root).mkdir(parents=True, exist_ok=True)
        cls._download(Path(root))
        (Path(root) / "LICENSE_link").write_text(cls.summary["licenses_url"])  # None: TypeError
        cls._extract(Path(root))


class PondNewts(WildlifeDataset):
    """Three newts with four photos each, a left and a right side, in two years."""

    summary = SUMMARY

    @classmethod
    def _download(cls, root):
        (root / "photos.zip").write_bytes(b"")

    @classmethod
    def _extract(cls, root):
        for row in range(12):
            Image.new("RGB", (32, 32), (20 * row, 90, 200)).save(root / f"{row}.png")
        pd.DataFrame({"file": [], "split_open": []}).to_csv(root / "splits.csv", index=False)

    def create_catalogue(self):
        pd.read_csv(Path(self.root) / "splits.csv")  # most sets have a file that is read first
        rows = np.arange(12)
        return pd.DataFrame({
            "image_id": rows, "identity": rows // 4, "path": [f"{row}.png" for row in rows],
            "date": [f"20{20 + row % 2}-05-31" for row in rows],
            "orientation": np.where(rows % 4 < 2, "left", "right"),
            "original_split": np.where(rows % 4 == 3, "test", "train"),
        })  # fmt: skip


class UnlicensedNewts(PondNewts):
    summary = SUMMARY | {"licenses": None, "licenses_url": None, "size": None}


class BoxedNewts(PondNewts):
    def create_catalogue(self):
        table = super().create_catalogue()
        table["bbox"] = [[row, 0, 9, 9] for row in range(12)]
        table.loc[4, "path"] = table.loc[0, "path"]  # two newts on one photo
        table["segmentation"] = [{"size": [32, 32], "counts": "a"}] * 12
        return table


class HubNewts(PondNewts):
    saved_to_system_folder = True


class PrivateNewts(PondNewts):
    @classmethod
    def _download(cls, root):
        raise ValueError("This dataset is private.\nContact the owner for permissions.")


SETS = (WildlifeDataset, PondNewts, UnlicensedNewts, BoxedNewts, HubNewts, PrivateNewts)


@pytest.fixture(autouse=True)
def downloads(tmp_path, monkeypatch):
    monkeypatch.setattr(wildlife, "DOWNLOADS", tmp_path)
    return tmp_path


@pytest.fixture
def installed(monkeypatch):
    datasets = types.ModuleType("wildlife_datasets.datasets")
    for each in SETS:
        setattr(datasets, each.__name__, each)
    monkeypatch.setitem(sys.modules, "wildlife_datasets", types.ModuleType("wildlife_datasets"))
    monkeypatch.setitem(sys.modules, "wildlife_datasets.datasets", datasets)


@pytest.fixture
def fetched(installed):
    wildlife.open_dataset("PondNewts", download=True)


def refused(name, **flags):
    with pytest.raises(InputError) as error:
        open_study(Namespace(dataset=name, **flags))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_without_the_package_one_line_says_how_to_get_it_and_what_else_will_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "wildlife_datasets", None)

    line = refused("NyalaData")

    for words in ("pip install wildlife-datasets", "AGPL-3.0", "not part of this", "--data_dir"):
        assert words in line


def test_a_broken_installation_is_told_apart(monkeypatch):
    broken = types.ModuleType("wildlife_datasets")
    broken.__path__ = []
    monkeypatch.setitem(sys.modules, "wildlife_datasets", broken)

    assert "is not installed" in refused("NyalaData")  # none of it but the name

    def lacks_kaggle(name):
        raise ModuleNotFoundError("No module named 'kaggle'", name="kaggle")

    monkeypatch.setattr(wildlife.importlib, "import_module", lacks_kaggle)
    assert "cannot be imported (No module named 'kaggle')" in refused("NyalaData")


@pytest.mark.parametrize(
    ("typed", "meant"), [("pondnewts", "PondNewts"), ("BoxNewts", "BoxedNewts")]
)
def test_near_names_are_suggested(typed, meant, installed):
    assert f"did you mean {meant}" in refused(typed)


def test_the_packages_base_class_is_no_set(installed):
    assert "no set of this name" in refused("WildlifeDataset")


def test_nothing_is_downloaded_unasked(installed, downloads, capsys):
    line = refused("PondNewts")

    assert "--download" in line
    assert "about 2,000 MB" in line
    assert "https://example.org/newts" in line
    assert list(downloads.iterdir()) == []


def test_licence_and_citation_are_said_before_the_download(installed, capsys, monkeypatch):
    printed = []
    monkeypatch.setattr(
        PondNewts, "_download", lambda root: printed.append(capsys.readouterr().out)
    )

    wildlife.open_dataset("PondNewts", download=True)

    for words in ("Other, https://example.org/terms", "pond2020newts", "https://example.org/paper"):
        assert words in printed[0]


def test_a_set_without_a_licence_is_fetched_whole_and_said_to_have_none(installed, capsys):
    catalogue = wildlife.open_dataset("UnlicensedNewts", download=True)

    assert catalogue.n_images == 12
    assert "all rights reserved" in capsys.readouterr().out


def test_photos_that_are_there_are_not_fetched_again(fetched, monkeypatch):
    monkeypatch.setattr(PondNewts, "_download", lambda root: pytest.fail("fetched again"))

    assert wildlife.open_dataset("PondNewts", download=True).n_images == 12


def test_the_packages_table_becomes_a_catalogue_like_any_other(fetched, downloads):
    catalogue, report = leave_out_unusable(wildlife.open_dataset("PondNewts"))

    assert catalogue.name == "PondNewts"
    assert catalogue.identities == ["0", "1", "2"]
    assert catalogue.has_sides
    assert catalogue.table["date"].notna().any()
    assert catalogue.paths()[5] == downloads / "PondNewts" / "5.png"
    assert report.counts["n_encounters"] == 6


def test_the_packages_own_split_is_the_given_one(fetched):
    study = open_study(Namespace(dataset="PondNewts", split="given"))

    assert study.split.rows("test").tolist() == [3, 7, 11]


def test_a_split_that_only_the_source_has_is_pointed_at(fetched, downloads):
    line = refused("PondNewts", split="given", split_column="split_open")

    assert f"--data_dir {downloads / 'PondNewts' / 'splits.csv'}" in line
    assert "leave the flag out" in refused("PondNewts", split_column="split_secret")


def test_a_missing_photo_is_reported_and_left_out(fetched, downloads):
    (downloads / "PondNewts" / "7.png").unlink()

    catalogue, report = leave_out_unusable(wildlife.open_dataset("PondNewts"))

    assert catalogue.n_images == 11
    assert "photos that cannot be found: 1 (7.png)" in report.text()


def test_boxes_that_are_cut_out_are_said(installed, capsys):
    catalogue = wildlife.open_dataset("BoxedNewts", download=True)

    printed = capsys.readouterr().out
    assert catalogue.n_images == 12
    assert "bbox marks where the animal is, and is cut out" in printed
    assert "segmentation is not used" in printed


def test_what_the_package_cannot_do_is_one_line(installed, downloads):
    assert "model hub's cache" in refused("HubNewts")
    assert "This dataset is private. Contact the owner" in refused("PrivateNewts", download=True)


def test_a_download_that_was_cut_off_is_to_be_removed(installed, downloads):
    (downloads / "PondNewts").mkdir()
    (downloads / "PondNewts" / "photos.zip").write_bytes(b"cut off")

    line = refused("PondNewts", download=True)

    assert f"cannot read {downloads / 'PondNewts'} (FileNotFoundError" in line
    assert "remove the folder and fetch it again with --download" in line


def test_a_download_needs_a_name():
    with pytest.raises(InputError, match="--download without --dataset"):
        open_study(Namespace(download=True, dataset=None, data_dir=None, smoke=True))


def test_a_script_trains_on_a_set_by_name(fetched, tmp_path):
    result = load_main("week1/look_at_data")(
        ["--dataset", "PondNewts", "--split", "given", "--output_dir", str(tmp_path / "run")]
    )

    assert "--dataset PondNewts" in result["command"]
    assert result["split"]["name"] == "given"


def test_photos_are_named_once(turtles, capsys):
    with pytest.raises(SystemExit) as ending:
        load_main("week1/look_at_data")(["--data_dir", str(turtles), "--dataset", "PondNewts"])

    assert ending.value.code == 2
    assert "--dataset: found beside --data_dir, expected one of the two" in capsys.readouterr().err


def scripts_with_photos():
    root = Path(wildlife.__file__).parents[2]
    return [
        script for script in sorted(root.glob("week*/**/*.py"))
        if "shared_flags" in (text := script.read_text(encoding="utf-8"))
        and '"data_dir"' in text
        and 'add_flag(parser, "data_dir"' not in text  # photos of classes, no catalogue
    ]  # fmt: skip


@pytest.mark.parametrize("script", scripts_with_photos(), ids=lambda script: script.stem)
def test_no_script_reads_data_dir_past_the_other_way_to_name_photos(script):
    text = script.read_text(encoding="utf-8")

    assert "open_study(" in text or "open_catalogue(" in text
