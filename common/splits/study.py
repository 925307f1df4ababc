"""What every script begins with: photos, a split of them, and what the split gives away."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from common.data.catalogue import Catalogue, load_catalogue
from common.data.catalogue_checks import leave_out_copies, leave_out_unusable
from common.data.exif import read_offset
from common.data.wildlife import open_dataset
from common.errors import InputError
from common.splits.leaks import LeakReport, leak_report
from common.splits.splits import Split, make_split
from common.turtles.dataset import DEFAULT_FOLDER, TurtleParameters, ensure_turtles

import numpy as np
import pandas as pd

SMOKE_FOLDER = DEFAULT_FOLDER.with_name("turtles_small")
PUBLISHED_SPLITS = ("given", "published_closed_set")


@dataclass(frozen=True)
class Study:
    """A checked catalogue with its split."""

    catalogue: Catalogue
    split: Split
    leak: LeakReport

    @cached_property
    def labels(self) -> np.ndarray:
        """Label of each photo by the catalogue's one label map, shape (n_images,)."""
        return self.catalogue.table["identity"].map(self.catalogue.labels).to_numpy()

    @cached_property
    def identity(self) -> np.ndarray:
        """Identity of each photo, str, shape (n_images,)."""
        return self.catalogue.table["identity"].to_numpy(dtype=str)

    def rows_known(self, part: str) -> np.ndarray:
        """Rows of a part that show animals with training photos.

        Raises:
            InputError: a test part without any, which leaves a classifier nothing to name.
        """
        rows = self.split.rows_known(part, self.catalogue)
        if part == "test" and not len(rows):
            raise InputError(
                f"--split {self.split.name}: no test photo shows an animal of the training "
                "photos, expected some for a classifier to name; take --split encounter, or "
                "week3/compare_approaches.py"
            )
        return rows

    def answers(
        self, rows: np.ndarray, named: np.ndarray, question: str = "known animals"
    ) -> pd.DataFrame:
        """What a model answered to photos, as `common.runs.Run.finish` keeps it.

        Args:
            rows: of the photos that were asked, shape (n_asked,).
            named: the animal that each was taken for, str, shape (n_asked,).

        Returns:
            Columns photo (path from the folder of the photos), question, animal, answered, right.
        """
        photos, animals = self.catalogue.names(), self.identity[rows]
        table = pd.DataFrame({"photo": [photos[row] for row in rows], "question": question})
        return table.assign(animal=animals, answered=named, right=animals == named)


def open_study(args: Namespace) -> Study:
    """Load, check and split the photos that a script's flags name; print both reports.

    Args:
        args: flags split and seed, and those of `open_catalogue`; those that a script does not
            have count as not given.

    Raises:
        InputError: as `open_catalogue`, or the split cannot be made.
    """
    return study_of(open_catalogue(args), args)


def study_of(catalogue: Catalogue, args: Namespace) -> Study:
    """Split photos as a script's flags say; print how, and what the split gives away.

    Raises:
        InputError: the split cannot be made.
    """
    flags = vars(args)
    column = flags.get("split_column") or "split"
    seed = flags.get("seed") or 0
    split = make_split(catalogue, _split_name(flags), seed=seed, split_column=column)
    leak = leak_report(catalogue, split)
    print(*split.notes, leak.text(), sep="\n")
    return Study(catalogue, split, leak)


def open_catalogue(
    args: Namespace, *, fewest_identities: int = 2, are_photos_opened: bool = True
) -> Catalogue:
    """Load and check the photos that a script's flags name; print what was found.

    Args:
        args: flags data_dir, dataset, download, keep_names, photos_elsewhere, split, split_column
            and smoke; those that a script does not have count as not given. A smoke run that
            names no photos has few turtles.
        fewest_identities: animals that there have to be; 1 where photos join others.
        are_photos_opened: False: names, dates and places of a table are enough, and its photos may
            lie anywhere or nowhere.

    Raises:
        InputError: photos are named twice or cannot be used.
    """
    flags = vars(args)
    reading = {"split_column": flags.get("split_column"), **reading_flags(flags)}
    reading |= {"keep_names": flags.get("keep_names") or ()}
    reading |= {"photos_elsewhere": bool(flags.get("photos_elsewhere")) or not are_photos_opened}
    reading |= {"fewest_identities": fewest_identities}
    if dataset := flags.get("dataset"):
        catalogue = open_dataset(dataset, download=bool(flags.get("download")), **reading)
    else:
        catalogue = load_catalogue(_data_dir(flags), **reading)
    if not are_photos_opened:
        catalogue, copies = leave_out_copies(catalogue)
        print(*(problem.text() for problem in (*catalogue.remarks, *copies)), sep="\n")
        return catalogue
    # A published split is a division of all photos, copies among them.
    drop_copies = _split_name(flags) not in PUBLISHED_SPLITS
    catalogue, report = leave_out_unusable(
        catalogue, fewest_identities=fewest_identities, drop_copies=drop_copies
    )
    print(report.text())
    return catalogue


def reading_flags(flags: Mapping[str, object]) -> dict:
    """How dates and sides are read, as the flags of a script say.

    Raises:
        InputError: one camera has two offsets.
    """
    offsets = tuple(map(read_offset, flags.get("clock_offset") or ()))
    if len(dict(offsets)) < len(offsets):
        raise InputError(
            f"--clock_offset: found {len(offsets)} offsets of {len(dict(offsets))} cameras, "
            "expected one of each"
        )
    return {
        "date_order": flags.get("date_order"),
        "sides_from_names": bool(flags.get("sides_from_names")),
        "clock_offset": offsets,
    }


def _data_dir(flags: dict) -> Path | None:
    if flags.get("download"):
        raise InputError(
            "--download without --dataset: name what to download, such as --dataset NyalaData"
        )
    if flags.get("data_dir") is None and flags.get("smoke"):
        return ensure_turtles(SMOKE_FOLDER, TurtleParameters.small(), progress=False)
    return flags.get("data_dir")


def _split_name(flags: dict) -> str:
    name = flags.get("split") or "auto"
    return "given" if name == "auto" and flags.get("split_column") else name
