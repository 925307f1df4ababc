"""How far frozen features carry: sets of pictures ever less like ImageNet."""

from common.inspection.textures import texture_photos
from common.inspection.transfer import PhotoSet, measure_transfer, read_photo_set
from common.models.backbones import load_backbone, restart
from common.visualization.bars import interval_chart
from common.words import counted

import numpy as np


def try_other_pictures(run, study, backbone, photos, more_data, task, seed) -> dict:
    """The same small task on sets ever less like ImageNet, with its features and random ones."""
    side = backbone.preprocessing.stored_size
    encounters = study.catalogue.table["encounter"].to_numpy(dtype=str)
    textures, labels = texture_photos(2 * task.n_classes, task.n_train + task.n_test, side, seed)
    sets = [
        PhotoSet(study.catalogue.name, photos.pixels, study.identity, encounters),
        PhotoSet("random textures", textures, labels, np.arange(len(labels))),
        *(read_photo_set(name, path, side, seed) for name, path in more_data),
    ]
    image_size = backbone.preprocessing.image_size
    floor = load_backbone(backbone.name, weights="none", image_size=image_size)
    restart(floor, seed)
    known = backbone.weights if backbone.weights in ("imagenet", "none") else "given"
    backbones = {f"{known} weights": backbone, "random start": floor}
    table, reasons = measure_transfer(sets, backbones, task, seed=seed, device=photos.device)
    if table.empty:
        return {"notes": reasons}
    figure = interval_chart(
        table,
        run.figure_path("transfer.png"),
        value="accuracy",
        label="set",
        group="features",
        chance=task.chance,
        limits=(0, 1.09),
        value_name=f"accuracy among {task.n_classes} classes, "
        f"{counted(task.n_train, 'photo')} each to learn",
    )
    return {
        "figures": {"How far frozen features carry": figure},
        "tables": {"Transfer": table},
        "metrics": {"transfer": table.to_dict("records")},
        "notes": [
            f"Transfer: {counted(task.n_draws, 'draw')} of {task.n_classes} classes, "
            f"{counted(task.n_train, 'photo')} "
            f"of each to train a linear head and {task.n_test} of other encounters to test it; "
            "intervals over classes.",
            *reasons,
        ],
    }
