"""What a network computes for one photo, what ImageNet calls it, and how far its features carry."""

from common.data.images import PhotoDataset, evaluation_transform, read_photos
from common.errors import InputError
from common.inspection.features import first_filters, nearest_photos, stage_maps, strongest_channels
from common.inspection.imagenet import top_classes
from common.inspection.pixels import to_pixels
from common.inspection.transfer import PhotoSet, measure_transfer, read_photo_set, texture_photos
from common.models.backbones import load_backbone, restart
from common.splits.encounters import same_encounter
from common.visualization.bars import interval_chart
from common.visualization.matches import RankedMatches, matches_panel
from common.visualization.pictures import features_figure
from common.words import counted

import numpy as np
import torch


def look_at_features(run, backbone, path, stages=None) -> dict:
    """First filters, and the maps of some stages for one photo."""
    photo = read_photos([path], backbone.preprocessing.stored_size, progress=False)
    maps = stage_maps(backbone, normalised(photo, backbone)[0])
    stages = stages or sorted({round(i) for i in np.linspace(0, len(maps) - 1, 4)})
    if max(stages) >= len(maps):
        raise InputError(
            f"--stages {max(stages)}: {backbone.name} has maps of stages 0 to {len(maps) - 1}"
        )
    sheets = {f"stage {stage}": strongest_channels(maps[stage], 16) for stage in stages}
    drawn = run.figure_path("features.png")
    figure = features_figure(first_filters(backbone), photo[0], sheets, drawn)
    return {"figures": {"First filters, and one photo as some stages see it": figure}}


def normalised(photos, backbone):
    """Photos as the backbone expects them, shape (n_images, 3, side, side)."""
    plain = PhotoDataset(photos, [0] * len(photos), evaluation_transform(backbone.preprocessing))
    return torch.stack([plain[i][0] for i in range(len(photos))])


def ask_imagenet(imagenet, path) -> dict:
    """The five most probable classes of the photo."""
    if imagenet is None:
        return {}
    with torch.no_grad():
        best = top_classes(imagenet(pixels_of([path], imagenet))[0].cpu())
    words = ", ".join(f"{name} {probability:.2f}" for name, probability in best)
    return {
        "metrics": {"imagenet_names": [{"name": n, "probability": p} for n, p in best]},
        "notes": [f"ImageNet's names for {path.name}, with probability: {words}."],
    }


def pixels_of(paths, model):
    """Photos as a model on pixels sees them, shape (n_images, 3, side, side), in [0, 1]."""
    expected = model.model.backbone.preprocessing
    photos = read_photos(paths, expected.stored_size, progress=False)
    return to_pixels(photos, expected.image_size).to(model.mean.device)


def find_neighbours(run, study, backbone, photos, path, row) -> dict:
    """Nearest photos in the frozen feature space: of all, then without the same encounter."""
    features = photos.outputs(photos.tail)  # not trained yet: ImageNet's own
    photo = read_photos([path], backbone.preprocessing.stored_size, progress=False)
    with torch.no_grad():
        query = backbone(normalised(photo, backbone).to(photos.device))[0].cpu().numpy()
    asked = {"all other photos": np.arange(len(features)) != row}
    if row is not None:
        encounter = study.catalogue.table["encounter"].to_numpy(dtype=str)
        asked["other encounters"] = ~same_encounter(encounter[row], encounter)
    rankings, paths = [], study.catalogue.paths()
    for words, is_asked in asked.items():
        gallery = np.flatnonzero(is_asked)
        nearest, similarities = nearest_photos(query, features[gallery])
        names = study.identity[gallery[nearest]]
        rankings.append(
            RankedMatches(
                query=path,
                query_caption=path.name if row is None else study.identity[row],
                gallery=[paths[i] for i in gallery[nearest]],
                gallery_captions=list(names),
                similarities=list(similarities),
                verdict=words,
                is_match=None if row is None else list(names == study.identity[row]),
            )
        )
    figure = matches_panel(rankings, run.figure_path("neighbours.png"))
    return {"figures": {"Nearest photos in the frozen feature space": figure}}


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
