"""What gradients make of pixels: ideal animals, one photo renamed, and how many at which budget."""

from common.data.sampling import spread_over_animals
from common.inspection import adversarial
from common.inspection.ideal import AscentSettings, ideal_images, variation_loss
from common.inspection.pixels import to_pictures, to_pixels
from common.measures.intervals import paired_bootstrap_over_individuals
from common.visualization.charts import trend_chart
from common.visualization.pictures import PictureRow, full_contrast, picture_grid
from common.words import counted
from inside.features import pixels_of

import pandas as pd
import torch

MEASURED = ("probability", "variation", "variation_weight")
VARIATION_WEIGHT = 2_500.0  # of the variation loss, against the logit of the class
PICTURE_BUDGET, PICTURE_STEPS = 4, 30  # of the photo that is shown; budget in 1/255


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


def push_photo(run, path, namers, targets) -> dict:
    """One photo pushed to a class and to an animal, by one step and by several."""
    scale = 0.5 * 255 / PICTURE_BUDGET  # the whole budget fills the whole range
    rows, records = [], []
    for kind, (model, names) in namers.items():
        original, wanted = pixels_of([path], model), targets[kind][-1]
        target = torch.tensor([names.index(wanted)], device=original.device)
        for steps in (1, PICTURE_STEPS):
            changed = adversarial.push_to_target(
                model, original, target, adversarial.Attack(PICTURE_BUDGET, steps)
            )
            with torch.no_grad():
                both = model(torch.cat([original, changed])).softmax(dim=1).cpu()
            said = [f"{names[int(each.argmax())]} {each.max():.2f}" for each in both]
            share = both[:, target.item()].tolist()
            pictures = (original, 0.5 + (changed - original) * scale, changed)
            captions = [
                f"{said[0]}\n{wanted} {share[0]:.2f}",
                f"within ±{PICTURE_BUDGET}/255\nshown ×{scale:.0f}",
                f"{said[1]}\n{wanted} {share[1]:.2f}",
            ]
            method = f"{'FGSM' if steps == 1 else 'PGD'}, {counted(steps, 'step')}"
            shown = [to_pictures(each)[0] for each in pictures]
            rows.append(PictureRow(f"{kind}\n{method}", shown, captions))
            records.append((kind, method, *said, wanted, *share))
    titles = ["original", "difference around grey", "result"]
    figure = picture_grid(rows, run.figure_path("adversarial.png"), column_titles=titles)
    title, ends = "One photo, pushed to another name", ("before", "after")
    columns = ["names", "method", *ends, "target", *(f"target {end}" for end in ends)]
    return {"figures": {title: figure}, "tables": {title: pd.DataFrame(records, columns=columns)}}


def measure_attacks(
    run, study, photos, classifier, embedding, *, n_photos, budgets, steps, seed
) -> dict:
    """How often classifier and embedding give way, budget by budget; noise as the control."""
    # The embedding answers with the identity whose mean training photo is most alike.
    train, labels = study.split.rows("train"), torch.tensor(study.labels)
    gallery = outputs_of(embedding, photos, train)
    means = adversarial.SimilarityToMeans(
        embedding, gallery, labels[train], len(study.catalogue.identities)
    )
    models = {"classifier": classifier, "embedding": means.to(photos.device)}

    # The same photos, targets, budgets and steps for both.
    rows = spread_over_animals(study.rows_known("test"), study.identity, n_photos, seed)
    pixels = to_pixels(photos.pixels[rows], classifier.image_size).to(photos.device)
    with torch.no_grad():
        said = [model(pixels).argmax(dim=1).cpu() for model in models.values()]
    targets = adversarial.choose_targets(labels[rows], said, labels[train], seed).to(photos.device)
    reached = {
        name: adversarial.success_by_budget(model, pixels, targets, budgets, steps=steps, seed=seed)
        for name, model in models.items()
    }

    # Rates over animals, and the difference between the two on the same photos.
    animals = study.identity[rows]
    table = adversarial.success_table(reached, budgets, animals)
    budget, *names = (name for name in table if not name.endswith(("_low", "_high")))
    lines = [
        table[[budget, name, f"{name}_low", f"{name}_high"]]
        .set_axis([budget, "share", "share_low", "share_high"], axis=1)
        .assign(pushed=name.replace("_one_step", ", one step (FGSM)").replace("_", ", "))
        for name in names
    ]
    figure = trend_chart(
        pd.concat(lines),
        run.figure_path("adversarial_rates.png"),
        quantity=budget,
        value="share",
        group="pushed",
        quantity_name="budget: farthest change of a pixel, in units of 1/255",
        value_name="share of photos renamed as their target",
    )
    differences = {
        f"{budget:g}/255": paired_bootstrap_over_individuals(
            reached["classifier"]["pgd"][i], reached["embedding"]["pgd"][i], animals
        )
        for i, budget in enumerate(budgets)
    }
    right = [(each == labels[rows]).float().mean().item() for each in said]
    return {
        "figures": {"Renamed photos, budget by budget": figure},
        "tables": {"Adversarial photos": table},
        "metrics": {
            "adversarial": {
                "n_photos": len(rows),
                "n_individuals": len(set(animals)),
                "steps": steps,
                "accuracy_before": dict(zip(models, right, strict=True)),
                "rates": table.to_dict("records"),
                "classifier_minus_embedding": {k: v.to_dict() for k, v in differences.items()},
            }
        },
        "notes": [
            f"Adversarial photos: {counted(len(rows), 'test photo')} of "
            f"{counted(len(set(animals)), 'animal')}, each "
            f"pushed to an animal drawn by lot among those with {adversarial.FEWEST_PHOTOS} "
            f"training photos, in {counted(steps, 'step')}. Before that the classifier names "
            f"{right[0]:.0%} of them right, the embedding {right[1]:.0%}.",
            "Classifier minus embedding, share renamed: "
            + "; ".join(f"{k} {v.text()}" for k, v in differences.items())
            + ".",
        ],
    }


def outputs_of(model, photos, rows):
    """Outputs of a model on pixels for some photos of the catalogue, on the CPU."""
    pixels = to_pixels(photos.pixels[rows], model.image_size)
    with torch.no_grad():
        return torch.cat([model(part.to(photos.device)).cpu() for part in pixels.split(64)])
