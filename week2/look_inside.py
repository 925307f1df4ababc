"""Look inside a network: what it has learned, where it looks, what fools it, how far it carries.

Question: what do features from ImageNet consist of, and does a network that names an animal look
at the animal?

    python week2/look_inside.py
    python week2/look_inside.py --photo path/to/cat.jpg --target "zebra,tabby"

With no argument: the embedded turtles and efficientnet_lite0, about four minutes on two laptop
cores, most of it for six short trainings. You should see a cat and a zebra emerge from noise once
neighbouring pixels have to agree; a photo renamed by a change that no eye sees, while noise of
the same size does nothing; and a network that was tested on a random split put more of its trust
in the background. How much more, and how sure that is, the table says.

--target takes names or numbers of ImageNet classes and animals of the catalogue; --trained takes
the model.safetensors of a run of transfer_learning.py and looks into that classifier instead of
the one trained here; --more_data NAME=PATH adds sets to the last figure.
"""

import argparse
import copy

from common.cli import (
    make_parser,
    present_path,
    run_script,
    shared_flags,
    whole_number,
)

UNFREEZE = 3  # last stages of the backbone that train
N_VIEWS = 4  # random views of each training photo behind the frozen stages
IMAGENET_SIDE = 192  # pixels: near the 224 that the network was trained at, and a quarter faster
DEFAULT_TARGETS = "tabby,zebra"
ASCENT_STEPS = 80  # at each of three scales
VARIATION_WEIGHT = 2_500.0  # of the variation loss, against the logit of the class
BUDGETS = [0.5, 1, 2, 4, 8]  # farthest change of a pixel, in units of 1/255
PGD_STEPS = 10
N_ATTACKED = 50  # photos
PICTURE_BUDGET, PICTURE_STEPS = 4, 30  # of the photo that is shown; budget in 1/255


def named_path(text: str) -> tuple:
    """Read one NAME=PATH of --more_data."""
    name, sign, path = text.partition("=")
    if not (name.strip() and sign and path.strip()):
        raise argparse.ArgumentTypeError(f"found '{text}', expected NAME=PATH")
    return name.strip(), present_path(path.strip())


def parse_args(argv: list[str] | None = None):
    parser = make_parser(__doc__)
    shared_flags(
        parser,
        "data_dir", "model", "weights", "image_size", "batch_size", "seeds", "device",
        "output_dir", "smoke", epochs=5,
    )  # fmt: skip
    parser.add_argument(
        "--photo", type=present_path, metavar="FILE",
        help="the photo to look at (default: a test photo of the catalogue)",
    )  # fmt: skip
    parser.add_argument(
        "--target", type=lambda text: [part.strip() for part in text.split(",") if part.strip()],
        default=DEFAULT_TARGETS.split(","), metavar="NAME,NAME,...",
        help="classes of ImageNet or animals: ideal images of them, and what the photo is pushed "
        f"to (default: {DEFAULT_TARGETS} and an animal)",
    )  # fmt: skip
    parser.add_argument(
        "--trained", type=present_path, metavar="FILE",
        help="a model.safetensors with a classifier, instead of the one trained here",
    )  # fmt: skip
    parser.add_argument(
        "--stages", type=lambda text: [whole_number(0, 99)(part) for part in text.split(",")],
        metavar="N,N,...", help="stages whose maps are drawn, 0 the first (default: four of them)",
    )  # fmt: skip
    parser.add_argument(
        "--more_data", type=lambda text: [named_path(part) for part in text.split(",")],
        default=[], metavar="NAME=PATH,...",
        help="further sets for the last figure: folders as for --data_dir, or CIFAR-10's .npz",
    )  # fmt: skip
    args = parser.parse_args(argv)
    args.n_photos, args.steps = N_ATTACKED, ASCENT_STEPS
    args.budgets, args.attack_steps = BUDGETS, PGD_STEPS
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 1, 64, args.seeds[:1]
        args.n_photos, args.steps, args.budgets, args.attack_steps = 4, 3, [1, 8], 2
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    import numpy as np

    from common.data.images import read_photos
    from common.data.study import open_study
    from common.models.backbones import load_backbone
    from common.models.freezing import freeze_stages, stages_of
    from common.runs import describe_split, start_run
    from common.training.feature_cache import PhotosAtBoundary
    from common.training.loop import make_accelerator

    run = start_run(__file__, args)
    device = make_accelerator(args.device).device

    # The catalogue, the photo that is looked at, and what the targets mean.
    study = open_study(argparse.Namespace(**vars(args), seed=args.seeds[0]))
    row = None if args.photo else int(study.rows_known("test")[0])
    path = args.photo or study.catalogue.paths()[row]
    trained = read_trained(args, device)
    animals, classes = read_targets(args, trained[1] if trained else study.catalogue.identities)
    imagenet, reason = imagenet_network(args, device)

    # A backbone whose last stages may train; everything before them is computed once.
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    freeze_stages(backbone, min(UNFREEZE, len(stages_of(backbone))))
    pixels = read_photos(study.catalogue.paths(), backbone.preprocessing.stored_size)
    photos = PhotosAtBoundary(
        backbone, pixels, study.labels, np.arange(len(pixels)),  # each trains in some split
        flip=not study.catalogue.has_sides, n_views=N_VIEWS, device=device,
    )  # fmt: skip

    # What the network computes as it comes, and what its photos' neighbours are.
    parts = [look_at_features(args, run, backbone, path), ask_imagenet(imagenet, path)]
    parts.append(find_neighbours(run, study, backbone, photos, path, row))

    # A classifier for every seed and both splits, and one embedding.
    splits = pairs_of_splits(args, study)
    classifiers, embedding = train_all(args, study, backbone, photos, splits)
    classifier = classifiers[0][study.split.name]

    # Ideal animals, and one photo renamed: by ImageNet's classes and by animals.
    namers = {"animals": trained or (classifier, study.catalogue.identities)}
    targets = {"animals": animals or [other_animal(study, row)]}
    if imagenet and classes:
        from common.inspection.imagenet import class_names

        namers = {"ImageNet": (imagenet, list(class_names())), **namers}
        targets["ImageNet"] = classes
    parts.append(draw_ideals(args, run, namers, targets))
    parts.append(push_photo(args, run, path, namers, targets))

    # Many photos: who gives way, where they look, how far features carry.
    parts.append(measure_attacks(args, run, study, photos, classifier, embedding))
    parts.append(measure_background(args, run, study, photos, splits, classifiers))
    parts.append(show_matches(args, run, study, photos, embedding))
    parts.append(try_other_pictures(args, run, study, backbone, photos))

    return run.finish(
        metrics=merged(parts, "metrics"),
        split=describe_split(study.split, study.leak),
        tables=merged(parts, "tables"),
        figures=merged(parts, "figures"),
        notes=[*reason, *(note for part in parts for note in part.get("notes", []))],
        device=str(device),
    )


def merged(parts: list[dict], name: str) -> dict:
    """One dictionary of what all parts found."""
    return {key: value for part in parts for key, value in part.get(name, {}).items()}


def read_trained(args, device) -> tuple | None:
    """The classifier of another run, and its animals; None where none was named."""
    from common.errors import InputError
    from common.inspection.pixels import OnPixels
    from common.models.heads import EmbeddingHead
    from common.models.storage import load_recogniser

    if args.trained is None:
        return None
    model, identities = load_recogniser(args.trained)
    if isinstance(model.head, EmbeddingHead):
        raise InputError(
            f"--trained {args.trained}: holds an embedding, expected a classifier, such as the "
            "model.safetensors of week2/transfer_learning.py"
        )
    return OnPixels(model).to(device), identities


def read_targets(args, identities: list[str]) -> tuple[list[str], list[str]]:
    """Which targets are animals, and which are classes of ImageNet (by their first name)."""
    from common.inspection.imagenet import class_names, require_class

    animals = [text for text in args.target if text in identities]
    others = [text for text in args.target if text not in identities]
    return animals, [class_names()[require_class(text, tuple(identities))] for text in others]


def imagenet_network(args, device) -> tuple:
    """The backbone with ImageNet's classifier; else None, and why there is none."""
    from common.errors import InputError
    from common.inspection.pixels import OnPixels
    from common.models.backbones import load_imagenet_classifier
    from common.models.heads import Recogniser

    side = args.image_size if args.smoke else IMAGENET_SIDE
    try:
        backbone, head = load_imagenet_classifier(args.model, weights=args.weights, image_size=side)
    except InputError as error:
        if args.target != DEFAULT_TARGETS.split(","):  # asked for by name
            raise
        return None, [f"ImageNet's classes are skipped: {error}"]
    return OnPixels(Recogniser(backbone, head)).to(device), []


def look_at_features(args, run, backbone, path) -> dict:
    """First filters, and the maps of some stages for one photo."""
    import numpy as np

    from common.data.images import read_photos
    from common.errors import InputError
    from common.inspection.features import first_filters, stage_maps, strongest_channels
    from common.visualization.features import features_figure

    photo = read_photos([path], backbone.preprocessing.stored_size, progress=False)
    maps = stage_maps(backbone, normalised(photo, backbone)[0])
    stages = args.stages or sorted({round(i) for i in np.linspace(0, len(maps) - 1, 4)})
    if max(stages) >= len(maps):
        raise InputError(
            f"--stages {max(stages)}: {args.model} has maps of stages 0 to {len(maps) - 1}"
        )
    sheets = {f"stage {stage}": strongest_channels(maps[stage], 16) for stage in stages}
    figure = features_figure(
        first_filters(backbone), photo[0], sheets, run.figure_path("features.png")
    )
    return {"figures": {"First filters, and one photo as some stages see it": figure}}


def normalised(photos, backbone):
    """Photos as the backbone expects them, shape (n_images, 3, side, side)."""
    import torch

    from common.data.images import PhotoDataset, evaluation_transform

    plain = PhotoDataset(photos, [0] * len(photos), evaluation_transform(backbone.preprocessing))
    return torch.stack([plain[i][0] for i in range(len(photos))])


def ask_imagenet(imagenet, path) -> dict:
    """The five most probable classes of the photo."""
    import torch

    from common.inspection.imagenet import top_classes

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
    from common.data.images import read_photos
    from common.inspection.pixels import to_pixels

    expected = model.model.backbone.preprocessing
    photos = read_photos(paths, expected.stored_size, progress=False)
    return to_pixels(photos, expected.image_size).to(model.mean.device)


def find_neighbours(run, study, backbone, photos, path, row) -> dict:
    """Nearest photos in the frozen feature space: of all, then without the same encounter."""
    import numpy as np
    import torch

    from common.data.images import read_photos
    from common.inspection.features import nearest_photos
    from common.visualization.matches import RankedMatches, matches_panel

    features = photos.outputs(photos.tail)  # not trained yet: ImageNet's own
    photo = read_photos([path], backbone.preprocessing.stored_size, progress=False)
    with torch.no_grad():
        query = backbone(normalised(photo, backbone).to(photos.device))[0].cpu().numpy()
    asked = {"all other photos": np.arange(len(features)) != row}
    if row is not None:
        encounter = study.catalogue.table["encounter"].to_numpy(dtype=str)
        asked["other encounters"] = encounter != encounter[row]
    rankings, paths = [], study.catalogue.paths()
    for words, is_asked in asked.items():
        gallery = np.flatnonzero(is_asked)
        nearest, similarities = nearest_photos(query, features[gallery])
        names = study.identity[gallery[nearest]]
        rankings.append(
            RankedMatches(
                query=path, query_caption=path.name if row is None else study.identity[row],
                gallery=[paths[i] for i in gallery[nearest]], gallery_captions=list(names),
                similarities=list(similarities), verdict=words,
                is_match=None if row is None else list(names == study.identity[row]),
            )
        )  # fmt: skip
    figure = matches_panel(rankings, run.figure_path("neighbours.png"))
    return {"figures": {"Nearest photos in the frozen feature space": figure}}


def pairs_of_splits(args, study) -> list[dict]:
    """For each seed the catalogue's split, and a random one with the same counts per animal."""
    from common.data.splits import make_split

    pairs = []
    for seed in args.seeds:
        aware = make_split(study.catalogue, study.split.name, seed=seed)
        pair = {aware.name: aware}
        if aware.name != "random":  # else there is nothing to compare it with
            pair["random"] = make_split(study.catalogue, "random", seed=seed, like=aware)
        pairs.append(pair)
    return pairs


def train_all(args, study, backbone, photos, splits) -> tuple[list[dict], object]:
    """A classifier for every seed and split, and an embedding, all with the same settings."""
    from common.inspection.pixels import OnPixels
    from common.models.freezing import split_at_boundary
    from common.models.heads import Recogniser
    from common.training.loop import TrainingSettings
    from common.training.recipes import train_classifier, train_embedding

    def train(recipe, split, seed):
        trained = recipe(
            photos, backbone.n_features, train_rows=split.rows("train"),
            validation_rows=[],  # nothing is chosen here: the last epoch is taken
            n_identities=len(study.catalogue.identities),
            settings=TrainingSettings(
                epochs=args.epochs, batch_size=args.batch_size, seed=seed, device=args.device
            ),
            title=f"seed {seed}, {split.name}, {recipe.__name__.removeprefix('train_')}",
        )  # fmt: skip
        whole = copy.deepcopy(backbone)  # the next one starts from ImageNet again
        split_at_boundary(whole)[1].load_state_dict(trained.tail.state_dict())
        return OnPixels(Recogniser(whole, trained.head)).to(photos.device)

    classifiers = [
        {name: train(train_classifier, split, seed) for name, split in pair.items()}
        for seed, pair in zip(args.seeds, splits, strict=True)
    ]
    return classifiers, train(train_embedding, study.split, args.seeds[0])


def other_animal(study, row) -> str:
    """The first animal in training that the photo does not show."""
    shown = None if row is None else study.identity[row]
    return min(set(study.identity[study.split.rows("train")]) - {shown})


def draw_ideals(args, run, namers, targets) -> dict:
    """The same climb from noise, without and with the variation loss."""
    import pandas as pd
    import torch

    from common.inspection.ideal import AscentSettings, ideal_images, variation_loss
    from common.inspection.pixels import to_pictures
    from common.visualization.pictures import PictureRow, picture_grid

    rows, records = [], []
    for weight in (0.0, VARIATION_WEIGHT):
        settings = AscentSettings(steps=args.steps, variation_weight=weight)
        pictures, captions = [], []
        for kind, (model, names) in namers.items():
            labels = [names.index(name) for name in targets[kind]]
            images = ideal_images(
                model, labels, image_size=model.image_size, settings=settings, seed=args.seeds[0]
            )
            with torch.no_grad():
                probabilities = model(images).softmax(dim=1)[range(len(labels)), labels].tolist()
            variations = (variation_loss(images) * 255).tolist()
            pictures += list(to_pictures(images))
            for values in zip(targets[kind], probabilities, variations, strict=True):
                captions.append(f"probability {values[1]:.3f}\nvariation {values[2]:.1f} of 255")
                records.append({"class": values[0], "variation_loss": bool(weight),
                                "probability": values[1], "variation": values[2]})  # fmt: skip
        rows.append(PictureRow(f"{'with' if weight else 'no'} variation loss", pictures, captions))
    figure = picture_grid(
        rows, run.figure_path("ideal.png"), cell=2.4,
        column_titles=[f"ideal {name}" for kind in namers for name in targets[kind]],
    )  # fmt: skip
    by_class = {}
    for record in records:
        with_or_without = "with" if record["variation_loss"] else "without"
        row = by_class.setdefault(record["class"], {"class": record["class"]})
        row[f"probability {with_or_without}"] = record["probability"]
        row[f"variation {with_or_without} (1/255)"] = record["variation"]
    return {"figures": {"Ideal animals, from noise": figure},
            "tables": {"Ideal images": pd.DataFrame(by_class.values())},
            "metrics": {"ideal_images": records}}  # fmt: skip


def push_photo(args, run, path, namers, targets) -> dict:
    """One photo pushed to a class and to an animal, by one step and by several."""
    import pandas as pd
    import torch

    from common.inspection.adversarial import Attack, push_to_target
    from common.inspection.pixels import to_pictures
    from common.visualization.pictures import PictureRow, picture_grid

    scale = 0.5 * 255 / PICTURE_BUDGET  # the whole budget fills the whole range
    rows, records = [], []
    for kind, (model, names) in namers.items():
        original, wanted = pixels_of([path], model), targets[kind][-1]
        target = torch.tensor([names.index(wanted)], device=original.device)
        for steps in (1, PICTURE_STEPS):
            changed = push_to_target(model, original, target, Attack(PICTURE_BUDGET, steps))
            with torch.no_grad():
                both = model(torch.cat([original, changed])).softmax(dim=1).cpu()
            said = [f"{names[int(each.argmax())]} {each.max():.2f}" for each in both]
            share = both[:, target.item()].tolist()
            pictures = (original, 0.5 + (changed - original) * scale, changed)
            captions = [f"{said[0]}\n{wanted} {share[0]:.2f}",
                        f"within ±{PICTURE_BUDGET}/255\nshown ×{scale:.0f}",
                        f"{said[1]}\n{wanted} {share[1]:.2f}"]  # fmt: skip
            method = "FGSM, 1 step" if steps == 1 else f"PGD, {steps} steps"
            rows.append(
                PictureRow(
                    f"{kind}\n{method}", [to_pictures(each)[0] for each in pictures], captions
                )
            )
            records.append({"names": kind, "method": method, "before": said[0], "after": said[1],
                            "target": wanted, "target before": share[0],
                            "target after": share[1]})  # fmt: skip
    titles = ["original", "difference around grey", "result"]
    figure = picture_grid(rows, run.figure_path("adversarial.png"), column_titles=titles)
    return {"figures": {"One photo, pushed to another name": figure},
            "tables": {"One photo, pushed to another name": pd.DataFrame(records)}}  # fmt: skip


def measure_attacks(args, run, study, photos, classifier, embedding) -> dict:
    """How often classifier and embedding give way, budget by budget; noise as the control."""
    import torch

    from common.data.sampling import spread_over_animals
    from common.evaluation.intervals import paired_bootstrap_over_individuals
    from common.inspection.adversarial import (
        SimilarityToMeans,
        choose_targets,
        success_by_budget,
        success_table,
    )
    from common.inspection.pixels import to_pixels
    from common.visualization.rates import rate_chart

    # The embedding answers with the identity whose mean training photo is most alike.
    train, labels = study.split.rows("train"), torch.tensor(study.labels)
    gallery = outputs_of(embedding, photos, train)
    means = SimilarityToMeans(embedding, gallery, labels[train], len(study.catalogue.identities))
    models = {"classifier": classifier, "embedding": means.to(photos.device)}

    # The same photos, targets, budgets and steps for both.
    seed = args.seeds[0]
    rows = spread_over_animals(study.rows_known("test"), study.identity, args.n_photos, seed)
    pixels = to_pixels(photos.pixels[rows], args.image_size).to(photos.device)
    with torch.no_grad():
        said = [model(pixels).argmax(dim=1).cpu() for model in models.values()]
    targets = choose_targets(labels[rows], said, labels[train].unique(), seed).to(photos.device)
    reached = {
        name: success_by_budget(
            model, pixels, targets, args.budgets, steps=args.attack_steps, seed=seed
        )
        for name, model in models.items()
    }

    # Rates over animals, and the difference between the two on the same photos.
    animals = study.identity[rows]
    table = success_table(reached, args.budgets, animals)
    series = {
        column: column.replace("_one_step", ", one step (FGSM)").replace("_", ", ")
        for column in table.columns[1:]
        if not column.endswith(("_low", "_high"))
    }
    figure = rate_chart(
        table, run.figure_path("adversarial_rates.png"), x="budget (1/255)", series=series,
        x_name="budget: farthest change of a pixel, in units of 1/255",
        y_name="share of photos renamed as their target",
    )  # fmt: skip
    differences = {
        f"{budget:g}/255": paired_bootstrap_over_individuals(
            reached["classifier"]["pgd"][i], reached["embedding"]["pgd"][i], animals
        )
        for i, budget in enumerate(args.budgets)
    }
    right = [(each == labels[rows]).float().mean().item() for each in said]
    return {
        "figures": {"Renamed photos, budget by budget": figure},
        "tables": {"Adversarial photos": table},
        "metrics": {"adversarial": {
            "n_photos": len(rows), "n_individuals": len(set(animals)), "steps": args.attack_steps,
            "accuracy_before": dict(zip(models, right, strict=True)),
            "rates": table.to_dict("records"),
            "classifier_minus_embedding": {k: v.to_dict() for k, v in differences.items()},
        }},
        "notes": [
            f"Adversarial photos: {len(rows)} test photos of {len(set(animals))} animals, each "
            f"pushed to an animal drawn by lot in {args.attack_steps} steps. Before that the "
            f"classifier names {right[0]:.0%} of them right, the embedding {right[1]:.0%}.",
            "Classifier minus embedding, share renamed: "
            + "; ".join(f"{k} {v.text()}" for k, v in differences.items()) + ".",
        ],
    }  # fmt: skip


def outputs_of(model, photos, rows):
    """Outputs of a model on pixels for some photos of the catalogue, on the CPU."""
    import torch

    from common.inspection.pixels import to_pixels

    pixels = to_pixels(photos.pixels[rows], model.image_size)
    with torch.no_grad():
        return torch.cat([model(part.to(photos.device)).cpu() for part in pixels.split(64)])


def measure_background(args, run, study, photos, splits, classifiers) -> dict:
    """How much of each network's trust lies in the background, split by split."""
    import numpy as np
    import pandas as pd

    from common.inspection.background import (
        MEASURES,
        ask_about_background,
        compare_answers,
        photos_to_test,
        summarise_answers,
        true_masks,
    )
    from common.inspection.pixels import to_pixels
    from common.tables import interval_columns
    from common.visualization.bars import interval_chart

    # The same photos for both splits: those that are test photos in both.
    rows = [photos_to_test(study.catalogue, list(pair.values())) for pair in splits]
    masks = true_masks(study.catalogue, np.unique(np.concatenate(rows)), args.image_size)
    tables, maps = [], {}
    for seed, models, seed_rows in zip(args.seeds, classifiers, rows, strict=True):
        pixels = to_pixels(photos.pixels[seed_rows], args.image_size).to(photos.device)
        seed_masks = np.stack([masks[row] for row in seed_rows]) if masks else None
        for name, model in models.items():
            answers, heat = ask_about_background(model, pixels, study.labels[seed_rows], seed_masks)
            tables.append(answers.assign(split=name, seed=seed, row=seed_rows,
                                         identity=study.identity[seed_rows]))  # fmt: skip
            maps.setdefault(name, heat)
    answers = pd.concat(tables, ignore_index=True)

    # By split, over animals; the difference on the same photos.
    summary = summarise_answers(answers)
    records = [{"split": name} | {key: cell for measure, interval in of_split.items()
                                  for key, cell in interval_columns(measure, interval).items()}
               for name, of_split in summary.items()]  # fmt: skip
    lines = [{"measure": MEASURES[measure], "split": name, **interval_columns("share", interval)}
             for name, of_split in summary.items()
             for measure, interval in of_split.items()]  # fmt: skip
    differences = compare_answers(answers, "random", study.split.name) if len(summary) > 1 else {}
    figures = {
        "Where the classifiers look": draw_maps(run, study, photos, rows[0], maps, masks),
        "The background, counted": interval_chart(
            pd.DataFrame(lines), run.figure_path("background.png"), value="share",
            label="measure", group="split", limits=(0, 1.09),
            value_name="share of attention, of area, or of photos named right",
        ),
    }  # fmt: skip
    cells = next(iter(maps.values())).shape[1]
    notes = [
        f"Where it looks: {len(answers) // len(summary)} answers per split about photos that are "
        f"test photos in both, of {answers['identity'].nunique()} animals, seeds "
        f"{', '.join(map(str, args.seeds))}. Attention is Grad-CAM's for the animal that was named, {cells} × {cells} cells.",
        *(f"Random minus {study.split.name}, {MEASURES[measure]}: {difference.text()}."
          for measure, difference in differences.items()),
    ]  # fmt: skip
    if not masks:
        notes.append("The background is only known for generated turtles: not counted.")
    by_seed = answers.groupby(["split", "seed"])[list(MEASURES)].mean().reset_index()
    return {
        "figures": figures,
        "tables": {"Where it looks": pd.DataFrame(records)},
        "metrics": {"where": {
            "splits": {name: {measure: interval.to_dict() for measure, interval in each.items()}
                       for name, each in summary.items()},
            "random_minus_aware": {k: v.to_dict() for k, v in differences.items()},
            "by_seed": by_seed.to_dict("records"),
        }},
        "notes": notes,
    }  # fmt: skip


def draw_maps(run, study, photos, rows, maps, masks):
    """Some photos, each with the map of every split's classifier."""
    import numpy as np

    from common.data.sampling import spread_over_animals
    from common.inspection.attention import share_on_background
    from common.visualization.pictures import PictureRow, picture_grid, with_heat

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


def show_matches(args, run, study, photos, embedding) -> dict:
    """Which parts of two photos made them a match for the embedding."""
    from common.data.sampling import spread_over_animals
    from common.inspection.attention import SimilarityToPhoto, grad_cam, map_layer
    from common.inspection.pixels import to_pictures, to_pixels
    from common.visualization.pictures import PictureRow, picture_grid, with_heat

    train, test = study.split.rows("train"), study.rows_known("test")
    queries = spread_over_animals(test, study.identity, 40, args.seeds[0])
    similarity = outputs_of(embedding, photos, queries) @ outputs_of(embedding, photos, train).T
    highest, nearest = similarity.max(dim=1)
    layer, rows = map_layer(embedding, smallest_map=7), []  # fine enough for scutes
    for i in highest.argsort(descending=True)[:3].tolist():  # the surest
        pair = [queries[i], train[nearest[i]]]
        pixels = to_pixels(photos.pixels[pair], args.image_size).to(photos.device)
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


def try_other_pictures(args, run, study, backbone, photos) -> dict:
    """The same small task on sets ever less like ImageNet, with its features and random ones."""
    import numpy as np

    from common.data.textures import texture_photos
    from common.inspection.transfer import PhotoSet, Task, measure_transfer, read_photo_set
    from common.models.backbones import load_backbone, restart
    from common.visualization.bars import interval_chart

    seed, side = args.seeds[0], backbone.preprocessing.stored_size
    task = Task(n_classes=3, n_train=3, n_test=2, n_draws=2) if args.smoke else Task()
    encounters = study.catalogue.table["encounter"].to_numpy(dtype=str)
    textures, labels = texture_photos(2 * task.n_classes, task.n_train + task.n_test, side, seed)
    sets = [
        PhotoSet(study.catalogue.name, photos.pixels, study.identity, encounters),
        PhotoSet("random textures", textures, labels, np.arange(len(labels))),
        *(read_photo_set(name, path, side, seed) for name, path in args.more_data),
    ]
    floor = load_backbone(args.model, weights="none", image_size=args.image_size)
    restart(floor, seed)
    known = args.weights if args.weights in ("imagenet", "none") else "given"
    table, reasons = measure_transfer(
        sets, {f"{known} weights": backbone, "random start": floor}, task, seed=seed,
        device=photos.device,
    )  # fmt: skip
    if table.empty:
        return {"notes": reasons}
    figure = interval_chart(
        table, run.figure_path("transfer.png"), value="accuracy", label="set", group="features",
        chance=task.chance, limits=(0, 1.09),
        value_name=f"accuracy among {task.n_classes} classes, {task.n_train} photos each to learn",
    )  # fmt: skip
    return {
        "figures": {"How far frozen features carry": figure},
        "tables": {"Transfer": table},
        "metrics": {"transfer": table.to_dict("records")},
        "notes": [
            f"Transfer: {task.n_draws} draws of {task.n_classes} classes, {task.n_train} photos "
            f"of each to train a linear head and {task.n_test} of other encounters to test it; "
            "intervals over classes.",
            *reasons,
        ],
    }


if __name__ == "__main__":
    run_script(main)
