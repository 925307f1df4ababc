"""Five dog breeds: freeze, free the last blocks, or free everything.

Question: with some hundred photos, how much of a pre-trained network should be trained?

    python week2/case_studies/stanford_dogs.py --data_dir path/to/Images --image_size 128
    python week2/case_studies/stanford_dogs.py --data_dir path/to/Images \
        --models resnet50,efficientnet_b0

The recipe: Adam, batches of 32, a rate that is halved when validation stands still; the head alone
(rate 1e-3, 15 epochs), the last blocks too (1e-4, 15 epochs: two of a ResNet, one of any other), or
all (1e-5, 20 epochs); flips, rotations and colours. Its author reports 100 per cent of 125 test
photos for ResNet-50 under every strategy, and 92 to 99.2 for EfficientNet-B0. Before you believe
in transfer: all photos of Stanford Dogs come from ImageNet, whose labels those networks learned.
The official folders hold three kinds of poodle; `--breeds` says which names to look for.
"""

from common.cli import (
    make_parser,
    plain_word,
    present_path,
    real_number,
    run_script,
    shared_flags,
    whole_number,
)

BREEDS = ["beagle", "boxer", "german_shepherd", "golden_retriever", "poodle"]
CAVEAT = (
    "Stanford Dogs was taken from ImageNet's training photos: a network with ImageNet weights has "
    "probably seen these very photos with their breeds, so that even 100 per cent is no proof of "
    "transfer."
)
MISSING = (
    "--data_dir is missing: download http://vision.stanford.edu/aditya86/ImageNetDogs/images.tar "
    "(about 750 MB), unpack it, and name its folder Images with --data_dir path/to/Images"
)


def words(text: str) -> list[str]:
    """Read names with commas between."""
    return [plain_word(part) for part in text.split(",")]


def parse_args(argv: list[str] | None = None):
    parser = make_parser(__doc__)
    parser.add_argument(
        "--data_dir", type=present_path, metavar="PATH",
        help="any folder in which folders of photos are named after breeds",
    )  # fmt: skip
    parser.add_argument(
        "--breeds", type=words, default=BREEDS, metavar="NAME,...",
        help=f"parts of the folders' names (default: {','.join(BREEDS)})",
    )  # fmt: skip
    parser.add_argument(
        "--models", type=words, default=["efficientnet_lite0"], metavar="NAME,...",
        help="backbones (default: efficientnet_lite0, which needs no download)",
    )  # fmt: skip
    shared_flags(
        parser, "weights", "batch_size", "seed", "device", "mixed_precision", "output_dir", "smoke",
        image_size=224,
    )  # fmt: skip
    parser.add_argument(
        "--unfreeze", type=whole_number(1, 100), metavar="N",
        help="last blocks that partial trains (default: 2 of a ResNet, 1 of any other)",
    )  # fmt: skip
    for strategy, epochs, rate in (("freeze", 15, 1e-3), ("partial", 15, 1e-4), ("full", 20, 1e-5)):
        parser.add_argument(
            f"--{strategy}_epochs", type=whole_number(1, 10_000), default=epochs, metavar="N",
            help=f"passes of {strategy} (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument(
            f"--{strategy}_rate", type=real_number(above=0.0, up_to=10.0), default=rate,
            metavar="RATE", help=f"learning rate of {strategy} (default: %(default)s)",
        )  # fmt: skip
    args = parser.parse_args(argv)
    if args.smoke:
        args.freeze_epochs = args.partial_epochs = args.full_epochs = 1
        args.image_size = 64
    return args


def breed_finder(breeds: list[str]):
    """A function from a photo's path to the breed that a folder above it is named after."""

    def breed_of(path: str) -> str | None:
        for folder in reversed(path.split("/")[:-1]):
            name = folder.lower().replace(" ", "_")
            for breed in breeds:
                if breed in name:
                    return breed
        return None

    return breed_of


def plans_of(args, model: str) -> dict:
    """The three strategies, each a plan of one step with its own rate."""
    from common.training.optim import Rates
    from common.training.strategies import Step

    last = args.unfreeze or (2 if "resnet" in model else 1)
    return {
        strategy: [Step(n, epochs, Rates(head=rate, backbone=rate, weight_decay=0.0))]
        for strategy, n, epochs, rate in (
            ("freeze", 0, args.freeze_epochs, args.freeze_rate),
            ("partial", last, args.partial_epochs, args.partial_rate),
            ("full", None, args.full_epochs, args.full_rate),
        )
    }


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    from common.data.class_folders import (
        describe_parts,
        draw_noise_photos,
        read_class_folders,
        stratified_split,
    )
    from common.data.images import training_transform
    from common.errors import InputError
    from common.models.backbones import load_backbone
    from common.runs import start_run
    from common.training.loop import TrainingSettings
    from common.training.losses import cross_entropy
    from common.visualization.bars import interval_chart
    from common.visualization.confusion import confusion_figure
    from common.visualization.curves import training_curves

    import pandas as pd
    from common.experiments.closed_set import class_table, summarise_outcomes, task_of_classes
    from common.experiments.ways import Way

    if args.data_dir is None and not args.smoke:
        raise InputError(MISSING)

    # Data: 70, 15 and 15 hundredths of each breed.
    photos = read_class_folders(
        args.data_dir or draw_noise_photos(BREEDS), class_of=breed_finder(args.breeds),
        expected=f"folders named after {', '.join(args.breeds)}",
    )  # fmt: skip
    parts = stratified_split(photos.labels, args.seed)
    run = start_run(__file__, args)
    counts = ", ".join(f"{len(rows)} {part}" for part, rows in parts.items())
    print(f"{len(photos.paths)} photos of {', '.join(photos.names)}: {counts}")

    # Train: every model under every strategy; validation chooses the epoch, the test is asked once.
    outcomes, facts, skipped, pixels = [], [], {}, None
    for model in args.models:
        try:  # weights that are not in reach stop a comparison of one, not of several
            backbone = load_backbone(model, weights=args.weights, image_size=args.image_size)
        except InputError as error:
            if len(args.models) == 1:
                raise
            skipped[model] = str(error)
            continue
        preprocessing = backbone.preprocessing
        task = task_of_classes(photos, parts, preprocessing.stored_size, args.device, pixels=pixels)
        pixels = task.pixels
        for strategy, plan in plans_of(args, model).items():
            # No crop and no hidden patch: flips, rotations, colours.
            views = training_transform(preprocessing, flip=True, smallest_crop=1.0, erasing=0.0)
            way = Way(f"{model}, {strategy}", backbone, plan, task, augment=views)
            outcome, _ = way.train(
                TrainingSettings(
                    epochs=plan[0].epochs, batch_size=args.batch_size, optimizer="adam",
                    schedule="plateau", warmup_epochs=0, clip_norm=None, seed=args.seed,
                    device=args.device, mixed_precision=args.mixed_precision,
                ),
                criterion=cross_entropy(0.0), title=way.name,
            )  # fmt: skip
            outcomes.append(outcome)
            facts.append({"model": model, "strategy": strategy, "epochs": str(plan[0].epochs),
                          "rate": f"{plan[0].rates.head:.0e}"})  # fmt: skip
    if not outcomes:
        raise InputError("; ".join(skipped.values()))

    # Tables and figures.
    summary = summarise_outcomes(outcomes, task.individuals[task.test])
    columns = {"validation": "best validation", "training, s": "seconds"}
    shown = [*columns, "test", "test_low", "test_high"]
    facts += [{"model": model, "strategy": "skipped: see the notes"} for model in skipped]
    table = pd.concat([pd.DataFrame(facts), summary[shown].rename(columns=columns)], axis=1)
    per_breed = pd.concat(
        {outcome.name: class_table(outcome.report, "breed") for outcome in outcomes}, names=["way"]
    )
    figures = {
        "Test accuracy": interval_chart(
            summary, run.figure_path("accuracy.png"), value="test", label="name",
            value_name="test accuracy",
        )
    }  # fmt: skip
    for outcome in outcomes:
        stem = outcome.name.replace(", ", "_").replace("/", "_")
        figures[f"Training, {outcome.name}"] = training_curves(
            outcome.history, run.figure_path(f"curves_{stem}.png")
        )
        figures[f"Which breed is taken for which, {outcome.name}"] = confusion_figure(
            outcome.report.confusion, task.names, run.figure_path(f"confusion_{stem}.png"),
            kind="breed",
        )  # fmt: skip
    notes = [CAVEAT, *photos.notes, *[f"{model} skipped: {why}" for model, why in skipped.items()]]
    return run.finish(
        metrics={"outcomes": [outcome.to_dict() for outcome in outcomes], "skipped": skipped,
                 "caveat": CAVEAT},
        split=describe_parts(parts, "stratified by breed", args.seed),
        tables={f"{len(task.test)} test photos; intervals over photos": table,
                "Each breed": per_breed},
        figures=figures, notes=notes, device=str(task.device),
    )  # fmt: skip


if __name__ == "__main__":
    run_script(main)
