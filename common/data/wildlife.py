"""Sets of the package wildlife-datasets by name, where a person has installed it.

The package knows where 60 sets of animal photos lie and how each is laid out. It is AGPL-3.0 since
version 1.0.9 and no part of this course: only `--dataset NAME` imports it. Its tables are read as
any other table is.
"""

import difflib
import importlib
from pathlib import Path

from common.data.catalogue import Catalogue, catalogue_from_table
from common.errors import InputError
from common.machine import processes
from common.words import typed

import pandas as pd

PACKAGE = "wildlife_datasets"
DOWNLOADS = Path(__file__).parents[2] / "data" / "downloads"
GIVEN_SPLIT = "original_split"  # the package's column for a source's own split
NO_LICENCE = "none stated: treat it as all rights reserved"


def open_dataset(
    name: str, *, download: bool = False, split_column: str | None = None, **reading: object
) -> Catalogue:
    """Read a set of wildlife-datasets, after its terms are printed.

    Args:
        name: the package's name of the set, such as "NyalaData".
        download: let the package fetch the photos where they are not there yet.
        split_column: the table's column that holds the given split, instead of the package's own.

    Raises:
        InputError: the package is not installed, does not know the name or cannot fetch or read
            the set; the photos are not there; a column is missing.
    """
    dataset = find_dataset(name)
    print(terms_of(dataset))
    root = DOWNLOADS / name
    with processes.one_first():
        _require_photos(dataset, root, download)
    table = _read_table(dataset, root)
    if split_column and split_column not in table:
        raise InputError(_other_column(name, root, table, split_column))
    print(*_what_is_not_used(table), sep="", end="")
    has_own_split = GIVEN_SPLIT in table and "split" not in table
    reading |= {"columns": {"split": GIVEN_SPLIT} if has_own_split else None}
    return catalogue_from_table(table, root, name, split_column=split_column, **reading)


def find_dataset(name: str) -> type:
    """Return the package's class of a set.

    Raises:
        InputError: the package is not installed, or has no set of this name.
    """
    datasets = _import_datasets(name)
    known = {
        each.__name__: each
        for each in vars(datasets).values()
        if isinstance(each, type) and issubclass(each, datasets.WildlifeDataset) and each.summary
    }
    if name not in known:
        by_lower = {each.lower(): each for each in known}
        near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(by_lower[each] for each in near)}? " if near else ""
        raise InputError(
            f"--dataset {name}: wildlife-datasets has no set of this name among its {len(known)}; "
            f"{hint}For photos of your own take --data_dir"
        )
    return known[name]


def _import_datasets(name: str) -> object:
    try:
        return importlib.import_module(f"{PACKAGE}.datasets")
    except ImportError as error:
        found = "is not installed"
        if (error.name or "").split(".")[0] != PACKAGE:
            found = f"cannot be imported ({error})"
        raise InputError(
            f"--dataset {name} needs the package wildlife-datasets, which {found}: pip install "
            "wildlife-datasets (AGPL-3.0 since its version 1.0.9; it is not part of this course), "
            "or name photos that you have with --data_dir, see data/README.md"
        ) from error


def terms_of(dataset: type) -> str:
    """Say, for people, under which licence a set may be used, and what to cite."""
    facts = dataset.summary
    licence = ", ".join(facts[key] for key in ("licenses", "licenses_url") if facts.get(key))
    cite = ", ".join(facts[key] for key in ("publication_url", "cite") if facts.get(key))
    return (
        f"Data set {dataset.__name__}, as wildlife-datasets describes it; read the terms at the "
        f"source.\n  - licence: {licence or NO_LICENCE}\n  - cite: {cite or 'see the source'}\n"
        f"  - source: {facts.get('url') or 'not stated'}"
    )


def _require_photos(dataset: type, root: Path, download: bool) -> None:
    """Fetch the photos if asked to; otherwise say what would."""
    name = dataset.__name__
    if dataset.saved_to_system_folder:
        raise InputError(
            f"--dataset {name}: its photos come out of the model hub's cache, not as files, which "
            "this course cannot read; save them as files and name their table with --data_dir"
        )
    if root.is_dir() and any(root.iterdir()):
        return
    if not download:
        size = dataset.summary.get("size")
        raise InputError(
            f"--dataset {name}: no photos in {root}; add --download to fetch "
            f"{f'about {size:,} MB' if size else 'them'}, or put there what you have downloaded "
            f"from {dataset.summary.get('url') or 'the source'}"
        )
    try:
        _fetchable(dataset).get_data(str(root))
    except Exception as error:  # the package raises nothing narrower
        raise InputError(
            f"--dataset {name} --download: wildlife-datasets could not fetch it "
            f"({_reason(error)}); put that right, remove {root} if it is there, and run it again"
        ) from error


def _fetchable(dataset: type) -> type:
    """The class with a link to a licence, without which version 1.0.9 ends before it unpacks."""
    if dataset.summary.get("licenses_url", "") is not None:
        return dataset
    described = dataset.summary | {"licenses_url": NO_LICENCE}
    return type(dataset.__name__, (dataset,), {"summary": described})


def _read_table(dataset: type, root: Path) -> pd.DataFrame:
    try:
        return dataset(str(root), check_files=False).df  # missing photos are reported later
    except Exception as error:  # whatever a file that is missing or cut off leads to
        raise InputError(
            f"--dataset {dataset.__name__}: wildlife-datasets cannot read {root} "
            f"({_reason(error)}); if its download was cut off, remove the folder and fetch it "
            "again with --download"
        ) from error


def _reason(error: Exception) -> str:
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return words if len(words) <= 160 else f"{words[:159]}…"


def _other_column(name: str, root: Path, table: pd.DataFrame, split_column: str) -> str:
    """Why a split cannot be followed; some sources have more splits than the package's table."""
    text = (
        f"--split_column {split_column}: the table that wildlife-datasets makes of {name} has the "
        f"columns {', '.join(map(str, table.columns))}; "
    )
    for file in sorted(root.rglob("*.csv")):
        with file.open(encoding="utf-8-sig", errors="replace") as lines:
            if split_column in lines.readline().strip().split(","):
                return (
                    f"{text}the source's own table has it, so take --data_dir "
                    f"{typed(file)} instead of --dataset"
                )
    return text + "take one of them, or leave the flag out"


def _what_is_not_used(table: pd.DataFrame) -> list[str]:
    """Sentences, each ending its line, about what the package knows and this course passes over."""
    lines = []
    if "bbox" in table:
        lines.append(
            "  - The column bbox marks where the animal is, and is cut out: set the figures beside "
            "those of cropped photos.\n"
        )
    if "segmentation" in table:
        lines.append(
            "  - The column segmentation is not used: what lies around the animal stays.\n"
        )
    if "bbox" not in table and (n_shared := int(table["path"].duplicated(keep=False).sum())):
        lines.append(
            f"  - {n_shared:,} rows share their photo with another: without a crop, the animals on "
            "one photo cannot be told apart.\n"
        )
    return lines
