"""Look inside a network: what it has learned, where it looks, what fools it, how far it carries.

Question: what do features from ImageNet consist of, and does a network that names an animal look
at the animal?

    python week2/look_inside.py
    python week2/look_inside.py --photo path/to/cat.jpg --target "zebra,tabby"

With no argument: the embedded turtles and efficientnet_lite0, about four minutes on two laptop
cores, most of it for six short trainings. You should see a cat and a zebra emerge from noise once
neighbouring pixels have to agree; a photo renamed by a change that no eye sees, while noise of
the same size does next to nothing; and the lead of a network that trained on a random split shrink
once the background of the test photos is covered. How much of it was background, the table says.

--target takes names or numbers of ImageNet classes and animals of the catalogue; --trained takes
the model.safetensors of a run of transfer_learning.py and looks into that classifier instead of
the one trained here; --more_data NAME=PATH adds sets to the last figure.
"""

import argparse
import copy

from common import cli
from common.data.images import read_photos
from common.ending import run_script
from common.errors import InputError, WeightsNotInReach
from common.inspection.imagenet import class_names, require_class
from common.inspection.pixels import OnPixels
from common.inspection.transfer import TransferTask
from common.machine.device import pick_device
from common.models.backbones import load_backbone, load_imagenet_classifier
from common.models.freezing import freeze_stages, split_at_boundary, stages_of
from common.models.heads import EmbeddingHead, Recogniser
from common.models.storage import load_recogniser
from common.runs import describe_split, start_run
from common.splits.splits import make_split
from common.splits.study import open_study
from common.training.boundary import PhotosAtBoundary
from common.training.loop import TrainingSettings
from common.training.recipes import train_classifier, train_embedding
from inside.attacks import draw_ideals, measure_attacks, push_photo
from inside.attention import measure_background, show_matches
from inside.features import ask_imagenet, find_neighbours, look_at_features, try_other_pictures

import numpy as np

UNFREEZE = 3  # last stages of the backbone that train
N_VIEWS = 3  # random views of each training photo behind the frozen stages
IMAGENET_SIDE = 192  # pixels: near the 224 that the network was trained at, and a quarter faster
DEFAULT_TARGETS = ["tabby", "zebra"]
ASCENT_STEPS = 80  # at each of three scales
# Farthest change of a pixel, in units of 1/255; what is less than 0.5 a stored photo rounds away.
ATTACK = {"n_photos": 50, "budgets": [0.125, 0.25, 0.5, 2, 8], "steps": 10}
SMOKE_ATTACK = {"n_photos": 4, "budgets": [1, 8], "steps": 2}
SMOKE_TASK = TransferTask(n_classes=3, n_train=3, n_test=2, n_draws=2)


def named_path(text: str) -> tuple:
    """Read one NAME=PATH of --more_data."""
    name, sign, path = text.partition("=")
    if not (name.strip() and sign and path.strip()):
        raise argparse.ArgumentTypeError(f"found '{text}', expected NAME=PATH")
    return name.strip(), cli.present_path(path.strip())


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.make_parser(__doc__)
    cli.shared_flags(parser, "data_dir", "model", "weights", "image_size", "seeds", epochs=5)
    cli.shared_flags(parser, "device", "output_dir", "smoke")
    words = "the photo to look at (default: a test photo of the catalogue)"
    cli.add_flag(parser, "photo", cli.present_path, "FILE", words)
    words = (
        "classes of ImageNet or animals: ideal images of them, and what the photo is pushed to "
        f"(default: {','.join(DEFAULT_TARGETS)} and an animal)"
    )
    cli.add_flag(parser, "target", cli.list_of(cli.plain_word), "NAME,...", words, DEFAULT_TARGETS)
    words = "a model.safetensors with a classifier, instead of the one trained here"
    cli.add_flag(parser, "trained", cli.present_file, "FILE", words)
    words = "stages whose maps are drawn, 0 the first (default: four of them)"
    cli.add_flag(parser, "stages", cli.list_of(cli.whole_number(0, 99)), "N,...", words)
    words = (
        "sets for the last figure: folders as for --data_dir, or CIFAR-10's .npz (default: none)"
    )
    cli.add_flag(parser, "more_data", cli.list_of(named_path), "NAME=PATH,...", words, [])
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 1, 64, args.seeds[:1]
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run, device, seed = start_run(__file__, args), pick_device(args.device), args.seeds[0]

    # The catalogue, the photo that is looked at, and what the targets mean.
    study = open_study(argparse.Namespace(**vars(args), seed=seed))
    row = None if args.photo else int(study.rows_known("test")[0])
    path = args.photo or study.catalogue.paths()[row]
    trained = read_trained(args, device)
    animals, classes = read_targets(args, trained[1] if trained else study.catalogue.identities)
    imagenet, notes = imagenet_network(args, device)

    # A backbone whose last stages may train; everything before them is computed once.
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    freeze_stages(backbone, min(UNFREEZE, len(stages_of(backbone))))
    photos = behind_frozen_stages(backbone, study, device)

    # What the network computes as it comes, and what its photos' neighbours are.
    parts = [
        look_at_features(run, backbone, path, args.stages),
        ask_imagenet(imagenet, path),
        find_neighbours(run, study, backbone, photos, path, row),
    ]

    # A classifier for every seed and both splits, and one embedding.
    splits = pairs_of_splits(args, study)
    classifiers, embedding = train_all(args, study, backbone, photos, splits)
    classifier = classifiers[0][study.split.name]

    # Ideal animals, and one photo renamed: by ImageNet's classes and by animals.
    namers = {"animals": trained or (classifier, study.catalogue.identities)}
    targets = {"animals": animals or [other_animal(study, row)]}
    if imagenet and classes:
        namers = {"ImageNet": (imagenet, list(class_names())), **namers}
        targets["ImageNet"] = classes
    steps = 3 if args.smoke else ASCENT_STEPS
    parts.append(draw_ideals(run, namers, targets, steps=steps, seed=seed))
    parts.append(push_photo(run, path, namers, targets))

    # Many photos: who gives way, where they look, how far features carry.
    attack, task = (SMOKE_ATTACK, SMOKE_TASK) if args.smoke else (ATTACK, TransferTask())
    parts += [
        measure_attacks(run, study, photos, classifier, embedding, seed=seed, **attack),
        measure_background(run, study, photos, splits, classifiers, args.seeds),
        show_matches(run, study, photos, embedding, seed),
        try_other_pictures(run, study, backbone, photos, args.more_data, task, seed),
    ]
    return run.finish(
        metrics=merged(parts, "metrics"),
        split=describe_split(study.split, study.leak),
        tables=merged(parts, "tables"),
        figures=merged(parts, "figures"),
        notes=[*notes, *(note for part in parts for note in part.get("notes", []))],
        device=str(device),
    )


def merged(parts: list[dict], name: str) -> dict:
    """One dictionary of what all parts found."""
    return {key: value for part in parts for key, value in part.get(name, {}).items()}


def behind_frozen_stages(backbone, study, device) -> PhotosAtBoundary:
    """All photos as the stages see them that train in some split."""
    pixels = read_photos(study.catalogue.paths(), backbone.preprocessing.stored_size)
    return PhotosAtBoundary(
        backbone,
        pixels,
        study.labels,
        np.arange(len(pixels)),
        flip=not study.catalogue.has_sides,
        n_views=N_VIEWS,
        device=device,
    )


def read_trained(args, device) -> tuple | None:
    """The classifier of another run, and its animals; None where none was named."""
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
    animals = [text for text in args.target if text in identities]
    others = [text for text in args.target if text not in identities]
    return animals, [class_names()[require_class(text, tuple(identities))] for text in others]


def imagenet_network(args, device) -> tuple:
    """The backbone with ImageNet's classifier; else None, and why there is none."""
    side = args.image_size if args.smoke else IMAGENET_SIDE
    try:
        backbone, head = load_imagenet_classifier(args.model, weights=args.weights, image_size=side)
    except WeightsNotInReach as error:
        if args.target != DEFAULT_TARGETS:  # asked for by name
            raise
        return None, [f"ImageNet's classes are skipped: {error}"]
    return OnPixels(Recogniser(backbone, head)).to(device), []


def pairs_of_splits(args, study) -> list[dict]:
    """For each seed the catalogue's split, and a random one with the same counts per animal."""
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

    def train(recipe, split, seed):
        trained = recipe(
            photos,
            train_rows=split.rows("train"),
            validation_rows=[],  # nothing is chosen here: the last epoch is taken
            n_identities=len(study.catalogue.identities),
            settings=TrainingSettings.from_flags(args, seed=seed),
            title=f"seed {seed}, {split.name}, {recipe.__name__.removeprefix('train_')}",
        )
        whole = copy.deepcopy(backbone)  # the next one starts from ImageNet again
        split_at_boundary(whole)[1].load_state_dict(trained.tail.state_dict())
        return OnPixels(Recogniser(whole, trained.head)).to(photos.device)

    classifiers = [
        {name: train(train_classifier, split, seed) for name, split in pair.items()}
        for seed, pair in zip(args.seeds, splits, strict=True)
    ]
    return classifiers, train(train_embedding, study.split, args.seeds[0])


def other_animal(study, row) -> str:
    """The animal with most training photos that the photo does not show."""
    trained = study.identity[study.split.rows("train")]
    shown = None if row is None else study.identity[row]
    names, counts = np.unique(trained[trained != shown], return_counts=True)
    return str(names[counts.argmax()])


if __name__ == "__main__":
    run_script(main)
