"""Oxford-IIIT Pet: 37 breeds of cats and dogs, named by one network.

Question: does a network that names breeds tell cats from dogs, though nobody asked it to?

    python week2/case_studies/oxford_pets.py --data_dir path/to/pets --download
    python week2/case_studies/oxford_pets.py --data_dir path/to/breed_folders --image_size 160

Two ways: a linear head on frozen features, and then the last stages trained too. The family is that
of the breed which the network names. Each seed deals the photos anew, 70, 15 and 15 hundredths of
every breed; intervals resample photos. You should see that most wrong answers stay in the family.
ImageNet has classes for many of these breeds: the network has seen such animals before.
"""

from common.cli import local_path, make_parser, real_number, run_script, shared_flags, whole_number

CAT_BREEDS = {
    "abyssinian", "bengal", "birman", "bombay", "british_shorthair", "egyptian_mau",
    "maine_coon", "persian", "ragdoll", "russian_blue", "siamese", "sphynx",
}  # fmt: skip
MISSING = (
    "--data_dir is missing: name a folder for Oxford-IIIT Pet and add --download (800 MB from "
    "https://www.robots.ox.ac.uk/~vgg/data/pets/), or a folder with one folder per breed"
)


def parse_args(argv: list[str] | None = None):
    parser = make_parser(__doc__)
    parser.add_argument(
        "--data_dir", type=local_path, metavar="PATH",
        help="folder of torchvision's OxfordIIITPet, or with one folder per breed",
    )  # fmt: skip
    parser.add_argument(
        "--download", action="store_true", help="fetch the photos into --data_dir first, 800 MB"
    )
    shared_flags(
        parser, "model", "weights", "batch_size", "device", "mixed_precision", "output_dir",
        "smoke", image_size=160, epochs=10, learning_rate=1e-4, seeds=[0],
    )  # fmt: skip
    parser.add_argument(
        "--head_learning_rate", type=real_number(above=0.0, up_to=10.0), default=2e-3,
        metavar="RATE", help="of the head; --learning_rate is the backbone's (default: 0.002)",
    )  # fmt: skip
    parser.add_argument(
        "--unfreeze", type=whole_number(1, 100), default=2, metavar="N",
        help="last stages that the second way trains (default: %(default)s)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 1, 64, args.seeds[:2]
    return args


def breed_of(path: str) -> str | None:
    """The breed in a path: its folder, or its file name in the published folder `images`.

    None for the published outlines of the animals, which are pictures too.

    >>> breed_of("oxford-iiit-pet/images/Maine_Coon_12.jpg"), breed_of("Maine Coon/12.jpg")
    ('maine_coon', 'maine_coon')
    """
    *folders, file = path.split("/")
    if "annotations" in folders:
        return None
    name = folders[-1] if folders else "images"
    if name == "images":
        name = file.rpartition("_")[0]
    return name.lower().replace(" ", "_")


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    from common.data.class_folders import (
        describe_parts,
        draw_noise_photos,
        read_class_folders,
        stratified_split,
    )
    from common.errors import InputError
    from common.measures.classification import evaluate_classification
    from common.measures.intervals import (
        bootstrap_over_individuals,
        interval_columns,
        paired_bootstrap_over_individuals,
    )
    from common.models.backbones import load_backbone
    from common.runs import start_run
    from common.training.loop import TrainingSettings
    from common.training.optim import Rates
    from common.training.strategies import Step
    from common.visualization.bars import interval_chart
    from common.visualization.confusion import confusion_figure
    from common.visualization.curves import training_curves

    import numpy as np
    import pandas as pd
    from common.experiments.closed_set import class_table, task_of_classes, verdict
    from common.experiments.ways import Way

    if args.data_dir is None and not args.smoke:
        raise InputError(MISSING)
    if args.data_dir and args.download:
        fetch(args.data_dir)

    # Data, and which breeds are cats.
    folder = args.data_dir or draw_noise_photos(["Abyssinian", "Maine Coon", "beagle", "pug"])
    photos = read_class_folders(folder, class_of=breed_of, expected="one folder per breed")
    is_cat = np.array([name in CAT_BREEDS for name in photos.names])
    if is_cat.all() or not is_cat.any():
        raise InputError(
            f"--data_dir {folder}: {is_cat.sum()} of its {len(is_cat)} folders are named after a "
            "cat breed; expected breeds of cats and of dogs, such as Persian and beagle"
        )
    run = start_run(__file__, args)
    print(f"{len(photos.paths)} photos: {is_cat.sum()} breeds of cats, {(~is_cat).sum()} of dogs")

    # Train both ways with each seed, on a split of its own; the test photos are asked once.
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    rates = Rates(head=args.head_learning_rate, backbone=args.learning_rate)
    plans = {
        "head on frozen features": [Step(0, args.epochs)],
        f"last {args.unfreeze} stages too": [  # once the head knows its way
            Step(0, max(1, args.epochs // 3)),
            Step(args.unfreeze, args.epochs),
        ],
    }
    outcomes, asked, pixels = {name: [] for name in plans}, [], None
    for seed in args.seeds:
        parts = stratified_split(photos.labels, seed)
        task = task_of_classes(
            photos, parts, backbone.preprocessing.stored_size, args.device, pixels=pixels
        )
        pixels = task.pixels
        asked.append(task.test)
        for name, plan in plans.items():
            outcome, _ = Way(name, backbone, plan, task).train(
                TrainingSettings(
                    epochs=args.epochs, batch_size=args.batch_size, seed=seed, device=args.device,
                    mixed_precision=args.mixed_precision,
                ),
                rates=rates, title=f"seed {seed}, {name}",
            )  # fmt: skip
            outcomes[name].append(outcome)

    # All seeds together; a photo in the test of two seeds is resampled as one.
    asked = np.concatenate(asked)
    labels, rows, reports = photos.labels[asked], [], {}
    for name, own in outcomes.items():
        report = evaluate_classification(
            scores=np.concatenate([outcome.scores for outcome in own]), labels=labels,
            identities=photos.names,
        )  # fmt: skip
        right = {
            "breed": report.is_correct,
            "top 5": report.rank <= 5,
            "family": is_cat[report.predicted_labels] == is_cat[labels],
        }
        rows.append({"way": name})
        for measure, is_right in right.items():
            rows[-1] |= interval_columns(measure, bootstrap_over_individuals(is_right, asked))
        rows[-1]["training, s"] = float(np.mean([outcome.seconds for outcome in own]))
        reports[name] = report
    table = pd.DataFrame(rows)
    first, second = reports
    gain = paired_bootstrap_over_individuals(
        reports[second].is_correct, reports[first].is_correct, asked
    )

    # Tables and figures.
    best = reports[second]
    figures = {
        "Breed accuracy": interval_chart(
            table, run.figure_path("accuracy.png"), value="breed", label="way",
            value_name="share of test photos whose breed is named",
        ),
        f"Which breed is taken for which, {second}": confusion_figure(
            best.confusion, photos.names, run.figure_path("confusion.png"), kind="breed"
        ),
        f"Training, {second}": training_curves(
            outcomes[second][0].history, run.figure_path("curves.png")
        ),
    }  # fmt: skip
    return run.finish(
        metrics={"outcomes": [outcome.to_dict() for own in outcomes.values() for outcome in own],
                 "gain": gain.to_dict()},
        split=describe_parts(parts, f"stratified by breed, seeds {args.seeds}", args.seeds[-1]),
        tables={f"Test photos of seeds {args.seeds}; intervals over photos": table,
                f"Each breed, {second}": class_table(best, "breed")},
        figures=figures, notes=[verdict(second, first, gain), *photos.notes],
        device=str(task.device),
    )  # fmt: skip


def fetch(folder) -> None:
    """Download the published photos with torchvision, which checks their sums."""
    from common.errors import InputError

    from torchvision.datasets import OxfordIIITPet

    try:
        OxfordIIITPet(folder, download=True)
    except (OSError, RuntimeError) as error:
        raise InputError(f"--download: Oxford-IIIT Pet is not in reach ({error})") from error


if __name__ == "__main__":
    run_script(main)
