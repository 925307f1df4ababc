"""The background trap, counted: what a network still knows when the animal is covered.

Photos of one encounter share their background. A network that has such photos in training can
name an animal by its background; this asks how much it does.
"""

from functools import reduce

from common.data.catalogue import Catalogue
from common.errors import InputError
from common.inspection.attention import grad_cam, keep_only, map_layer, share_on_background
from common.inspection.pixels import OnPixels
from common.measures import intervals
from common.splits.splits import Split
from common.turtles.dataset import read_parameters, true_pictures

import numpy as np
import pandas as pd
import torch
from PIL import Image

# What is asked about each photo, and the words for it.
MEASURES = {
    "background_share": "attention on the background",
    "area_share": "background's share of the area",
    "accuracy": "accuracy, whole photo",
    "accuracy_animal_alone": "accuracy, animal alone",
    "accuracy_background_alone": "accuracy, background alone",
    "lost_without_background": "accuracy lost without background",
}


def photos_to_test(catalogue: Catalogue, splits: list[Split]) -> np.ndarray:
    """Rows that are test photos of known animals in every split: no model has seen them.

    Raises:
        InputError: there is none.
    """
    rows = reduce(np.intersect1d, (split.rows_known("test", catalogue) for split in splits))
    if not len(rows):
        raise InputError(
            f"--data_dir: found no photo that is a test photo in each of the splits "
            f"{', '.join(split.name for split in splits)}, expected some to compare them on; add "
            "photos"
        )
    return rows


def true_masks(catalogue: Catalogue, rows: np.ndarray, side: int) -> dict[int, np.ndarray]:
    """Where photos show the animal, as far as that is known: for generated turtles.

    Args:
        side: of a mask, pixels.

    Returns:
        Row to mask, bool, shape (side, side); empty for other photos than generated ones.
    """
    try:
        read_parameters(catalogue.root)
    except InputError:
        return {}
    table = catalogue.table.iloc[rows].sort_values(["encounter", "image_id"])  # quickest in a row
    pictures = true_pictures(catalogue.root, table["image_id"])
    return {
        row: np.array(Image.fromarray(picture.mask).resize((side, side)))
        for row, picture in zip(table.index, pictures, strict=True)
    }


def ask_about_background(
    model: OnPixels, pixels: torch.Tensor, labels: np.ndarray, masks: np.ndarray | None
) -> tuple[pd.DataFrame, torch.Tensor]:
    """Ask a classifier who is shown, what told it so, and who it is with one part covered.

    Args:
        model: pixels to one score per identity.
        pixels: in [0, 1], shape (n_images, 3, side, side).
        labels: true, shape (n_images,).
        masks: bool, True on the animal, shape (n_images, side, side); None if not known.

    Returns:
        answers: one row per photo, the columns of `MEASURES`; nan where nothing is known.
        maps: Grad-CAM for the identity that was named, shape (n_images, cells, cells).
    """
    said = _named(model, pixels)
    maps = grad_cam(model, map_layer(model), pixels, said.to(pixels.device)).cpu()
    answers = pd.DataFrame({"accuracy": (said.numpy() == labels).astype(float)})
    if masks is not None:
        answers["background_share"] = share_on_background(maps, masks)
        answers["area_share"] = 1 - masks.mean(axis=(1, 2))
        for part in ("animal", "background"):
            left = keep_only(pixels, masks, animal=part == "animal")
            is_right = _named(model, left).numpy() == labels
            answers[f"accuracy_{part}_alone"] = is_right.astype(float)
        answers["lost_without_background"] = answers["accuracy"] - answers["accuracy_animal_alone"]
    return answers.reindex(columns=list(MEASURES)), maps


def _named(model: OnPixels, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([model(part).argmax(dim=1) for part in pixels.split(64)]).cpu()


def summarise_answers(answers: pd.DataFrame) -> dict[str, dict[str, intervals.Interval]]:
    """Every measure of every split, over animals.

    Args:
        answers: of `ask_about_background`, with columns split and identity.

    Returns:
        Split to measure to interval; measures that are not known are left out.
    """
    summary: dict[str, dict[str, intervals.Interval]] = {}
    for name, table in answers.groupby("split", sort=False):
        summary[name] = {}
        for measure in MEASURES:
            known = table.dropna(subset=measure)
            if len(known):
                values, animals = known[measure], known["identity"]
                summary[name][measure] = intervals.bootstrap_over_individuals(values, animals)
    return summary


def compare_answers(
    answers: pd.DataFrame, first: str, second: str
) -> dict[str, intervals.Interval]:
    """Measure to the difference, first split minus second, on the same photos.

    Args:
        answers: of `ask_about_background`, with columns split, seed, row and identity.
    """
    key = ["seed", "row", "identity"]
    one, other = (answers[answers["split"] == name].set_index(key) for name in (first, second))
    pairs = one.merge(other, left_index=True, right_index=True, suffixes=("_first", "_second"))
    differences = {}
    for measure in MEASURES:
        values = pairs[[f"{measure}_first", f"{measure}_second"]].astype(float).dropna()
        if len(values) and measure != "area_share":  # the same photos have the same area
            differences[measure] = intervals.paired_bootstrap_over_individuals(
                values.iloc[:, 0], values.iloc[:, 1], values.index.get_level_values("identity")
            )
    return differences
