"""What every script begins with: a published division is kept whole, copies among it."""

import shutil
from argparse import Namespace

from common.data.catalogue import load_catalogue
from common.errors import InputError
from common.splits.splits import make_split
from common.splits.study import open_catalogue, open_study

import numpy as np
import pandas as pd
import pytest
from PIL import Image

N_COPIES = 3


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Six animals with seven photos each, and three exact copies; a source's own division."""
    folder = tmp_path_factory.mktemp("published")
    rng = np.random.default_rng(0)
    for row in range(42):
        pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{row}.png")
    for row in range(N_COPIES):
        shutil.copy(folder / f"{row}.png", folder / f"{row}_copy.png")
    names = [*map(str, range(42)), *(f"{row}_copy" for row in range(N_COPIES))]
    table = pd.DataFrame({
        "path": [f"{name}.png" for name in names],
        "identity": [f"animal {int(name.split('_')[0]) % 6}" for name in names],
        "benchmark": ["test" if row % 5 == 0 else "train" for row in range(len(names))],
    })  # fmt: skip
    table.to_csv(folder / "metadata.csv", index=False)
    return folder


def is_test(study):
    return study.split.part == "test"


@pytest.mark.parametrize("split", ["given", "auto"])
def test_a_given_column_is_followed_photo_by_photo(split, published):
    study = open_study(Namespace(data_dir=published, split=split, split_column="benchmark"))

    assert study.catalogue.n_images == 42 + N_COPIES
    assert (is_test(study) == study.catalogue.table["benchmark"].eq("test")).all()
    assert set(study.split.part) == {"train", "validation", "test"}


def test_the_published_recipe_deals_all_photos(published):
    everything = load_catalogue(published)
    division = make_split(everything, "published_closed_set", validation_share=0)

    study = open_study(Namespace(data_dir=published, split="published_closed_set"))

    assert (is_test(study) == (division.part == "test")).all()


def test_kept_copies_are_said(published, capsys):
    open_catalogue(Namespace(data_dir=published, split="published_closed_set"))

    assert f"copies of a photo of the same animal: {N_COPIES}" in (out := capsys.readouterr().out)
    assert "kept, as a published split counts them" in out


def test_other_splits_leave_copies_out(published):
    study = open_study(Namespace(data_dir=published, split="random"))

    assert study.catalogue.n_images == 42


def test_a_column_that_is_not_there_is_named(published):
    with pytest.raises(InputError, match="no column 'challenge'"):
        open_study(Namespace(data_dir=published, split="given", split_column="challenge"))
