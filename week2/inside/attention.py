"""Where networks look: on the animal or beside it, and what makes two photos a match."""

from common.data.sampling import spread_over_animals
from common.inspection import background
from common.inspection.attention import SimilarityToPhoto, grad_cam, map_layer, share_on_background
from common.inspection.pixels import to_pictures, to_pixels
from common.measures.intervals import interval_columns
from common.visualization.bars import interval_chart
from common.visualization.pictures import PictureRow, picture_grid, with_heat
from common.words import counted
from inside.attacks import outputs_of

import numpy as np
import pandas as pd


def measure_background(run, study, photos, splits, classifiers, seeds) -> dict:
    """How much of each network's trust lies in the background, split by split."""
    side = photos.preprocessing.image_size
    # The same photos for both splits: those that are test photos in both.
    rows = [background.photos_to_test(study.catalogue, list(pair.values())) for pair in splits]
    masks = background.true_masks(study.catalogue, np.unique(np.concatenate(rows)), side)
    tables, maps = [], {}
    for seed, models, seed_rows in zip(seeds, classifiers, rows, strict=True):
        pixels = to_pixels(photos.pixels[seed_rows], side).to(photos.device)
        seed_masks = np.stack([masks[row] for row in seed_rows]) if masks else None
        for name, model in models.items():
            labels, who = study.labels[seed_rows], study.identity[seed_rows]
            answers, heat = background.ask_about_background(model, pixels, labels, seed_masks)
            tables.append(answers.assign(split=name, seed=seed, row=seed_rows, identity=who))
            maps.setdefault(name, heat)
    answers = pd.concat(tables, ignore_index=True)

    # By split, over animals; the difference on the same photos.
    summary = background.summarise_answers(answers)
    records, lines = [], []
    for name, of_split in summary.items():
        records.append({"split": name})
        for measure, interval in of_split.items():
            records[-1] |= interval_columns(measure, interval)
            line = {"measure": background.MEASURES[measure], "split": name}
            lines.append(line | interval_columns("share", interval))
    differences = (
        background.compare_answers(answers, "random", study.split.name) if len(summary) > 1 else {}
    )
    figures = {
        "Where the classifiers look": draw_maps(run, study, photos, rows[0], maps, masks),
        "The background, counted": interval_chart(
            pd.DataFrame(lines),
            run.figure_path("background.png"),
            value="share",
            label="measure",
            group="split",
            limits=(0, 1.09),
            value_name="share of attention, of area, or of photos named right",
        ),
    }
    cells = next(iter(maps.values())).shape[1]
    notes = [
        f"Where it looks: {len(answers) // len(summary)} answers per split about photos that are "
        f"test photos in both, of "
        f"{counted(answers['identity'].nunique(), 'animal')}, seeds "
        f"{', '.join(map(str, seeds))}. Attention is Grad-CAM's for the animal that was named, "
        f"{cells} × {cells} cells.",
        *(
            f"Random minus {study.split.name}, {background.MEASURES[measure]}: {difference.text()}."
            for measure, difference in differences.items()
        ),
    ]
    if not masks:
        notes.append("The background is only known for generated turtles: not counted.")
    by_seed = answers.groupby(["split", "seed"])[list(background.MEASURES)].mean().reset_index()
    return {
        "figures": figures,
        "tables": {"Where it looks": pd.DataFrame(records)},
        "metrics": {
            "where": {
                "splits": {
                    name: {measure: interval.to_dict() for measure, interval in each.items()}
                    for name, each in summary.items()
                },
                "random_minus_aware": {k: v.to_dict() for k, v in differences.items()},
                "by_seed": by_seed.to_dict("records"),
            }
        },
        "notes": notes,
    }


def draw_maps(run, study, photos, rows, maps, masks):
    """Some photos, each with the map of every split's classifier."""
    grid = []
    for row in spread_over_animals(rows, study.identity, 4, seed=0):
        place = np.flatnonzero(rows == row)
        picture = photos.pixels[row] / 255
        pictures, captions = [picture], [study.identity[row]]
        for heat in maps.values():
            pictures.append(with_heat(picture, heat[place[0]].numpy()))
            is_known = bool(masks) and heat[place].sum() > 0
            share = share_on_background(heat[place], masks[row][None])[0] if is_known else None
            captions.append(f"{share:.0%} on the background" if is_known else "")
        grid.append(PictureRow("", pictures, captions))
    titles = ["photo", *(f"trained on: {name.replace('_', '-')}" for name in maps)]
    return picture_grid(grid, run.figure_path("where.png"), column_titles=titles)


def show_matches(run, study, photos, embedding, seed) -> dict:
    """Which parts of two photos made them a match for the embedding."""
    train, test = study.split.rows("train"), study.rows_known("test")
    queries = spread_over_animals(test, study.identity, 40, seed)
    similarity = outputs_of(embedding, photos, queries) @ outputs_of(embedding, photos, train).T
    highest, nearest = similarity.max(dim=1)
    layer, rows = map_layer(embedding, smallest_map=7), []  # fine enough for scutes
    for i in highest.argsort(descending=True)[:3].tolist():  # the surest
        pair = [queries[i], train[nearest[i]]]
        pixels = to_pixels(photos.pixels[pair], embedding.image_size).to(photos.device)
        pictures, captions = [], []
        for own, other in ((0, 1), (1, 0)):
            to_other = SimilarityToPhoto(embedding, pixels[other])
            heat = grad_cam(to_other, layer, pixels[[own]])[0].cpu().numpy()
            picture = to_pictures(pixels[[own]])[0]
            pictures += [picture, with_heat(picture, heat)]
            captions += [study.identity[pair[own]], f"similarity {highest[i]:.2f}"]
        rows.append(PictureRow("", pictures, captions))
    titles = ["test photo", "what is alike", "training photo", "what is alike"]
    figure = picture_grid(rows, run.figure_path("matches.png"), column_titles=titles)
    return {"figures": {"What made two photos a match": figure}}
