"""Ideal animals: the same climb from noise, with and without the variation loss."""

from common.inspection.ideal import AscentSettings, ideal_images, variation_loss
from common.inspection.pixels import to_pictures
from common.visualization.pictures import PictureRow, full_contrast, picture_grid

import pandas as pd
import torch

MEASURED = ("probability", "variation", "variation_weight")
VARIATION_WEIGHT = 2_500.0  # of the variation loss, against the logit of the class


def draw_ideals(run, namers, targets, *, steps, seed) -> dict:
    """The same climb from noise, without and with the variation loss."""
    rows, records = [], []
    for weight in (0.0, VARIATION_WEIGHT):
        settings = AscentSettings(steps=steps, variation_weight=weight)
        pictures, captions = [], []
        for kind, (model, names) in namers.items():
            labels = [names.index(name) for name in targets[kind]]
            climb = {"image_size": model.image_size, "settings": settings, "seed": seed}
            images, weights = ideal_images(model, labels, **climb)
            with torch.no_grad():
                probabilities = model(images).softmax(dim=1)[range(len(labels)), labels].tolist()
            variations = (variation_loss(images) * 255).tolist()
            pictures += list(to_pictures(images))
            for values in zip(targets[kind], probabilities, variations, weights, strict=True):
                captions.append(f"probability {values[1]:.3f}\nvariation {values[2]:.1f} of 255")
                measured = dict(zip(("class", *MEASURED), values, strict=True))
                records.append({**measured, "variation_loss": bool(weight)})
        rows.append(PictureRow(f"{'with' if weight else 'no'} variation loss", pictures, captions))
    stretched = [full_contrast(picture) for picture in rows[-1].pictures]
    rows.append(PictureRow("the same, full contrast", stretched, [""] * len(stretched)))
    titles = [f"ideal {name}" for kind in namers for name in targets[kind]]
    figure = picture_grid(rows, run.figure_path("ideal.png"), cell=2.4, column_titles=titles)
    by_class = {}
    for record in records:
        with_or_without = "with" if record["variation_loss"] else "without"
        row = by_class.setdefault(record["class"], {"class": record["class"]})
        row[f"probability {with_or_without}"] = record["probability"]
        row[f"variation {with_or_without} (1/255)"] = record["variation"]
    return {
        "figures": {"Ideal animals, from noise": figure},
        "tables": {"Ideal images": pd.DataFrame(by_class.values())},
        "metrics": {"ideal_images": records},
    }
