"""What every script begins with: photos, a split of them, and what the split gives away."""

from argparse import Namespace
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common.data.catalogue import Catalogue, load_checked_catalogue
from common.data.leaks import LeakReport, leak_report
from common.data.splits import Split, make_split
from common.data.synthetic import DEFAULT_FOLDER, TurtleParameters, ensure_turtles
from common.errors import InputError

SMOKE_FOLDER = DEFAULT_FOLDER.with_name("turtles_small")


@dataclass(frozen=True)
class Study:
    """A checked catalogue with its split.

    Attributes:
        catalogue: the photos that can be used.
        split: train, validation and test.
        leak: what the split gives away.
    """

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
                "photos, so that a classifier has nothing to name; take --split encounter, or "
                "week3/compare_approaches.py"
            )
        return rows


def open_study(args: Namespace) -> Study:
    """Load, check and split the photos that a script's flags name; print both reports.

    Args:
        args: flags data_dir, split, split_column, seed and smoke; those that a script
            does not have count as not given. A smoke run without data_dir has few turtles.
    """
    flags = vars(args)
    data_dir = flags.get("data_dir")
    if data_dir is None and flags.get("smoke"):
        data_dir = ensure_turtles(SMOKE_FOLDER, TurtleParameters.small(), progress=False)
    split_column = flags.get("split_column")
    catalogue, report = load_checked_catalogue(data_dir, split_column=split_column)
    print(report.text())
    name = flags.get("split") or "auto"
    if name == "auto" and split_column:
        name = "given"
    split = make_split(catalogue, name, seed=flags.get("seed") or 0)
    leak = leak_report(catalogue, split)
    print(*split.notes, leak.text(), sep="\n")
    return Study(catalogue, split, leak)
