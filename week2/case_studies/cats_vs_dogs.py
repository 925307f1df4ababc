"""Cats against dogs: features of ImageNet and one layer on top.

Question: if a network has learned a thousand things, what does it cost to teach it two more?

    python week2/case_studies/cats_vs_dogs.py --data_dir path/to/PetImages --n_photos 1000
    python week2/case_studies/cats_vs_dogs.py --data_dir path/to/dataset --model vgg16

The backbone stays frozen, a linear head learns in seconds once the features are computed. Folders:
cat and dog, or train/cat, train/dog, test/cat, test/dog; validation comes out of the training
photos. The figure shows the mistakes that the network is surest of: look whether the photo, the
label or the network is to blame. ImageNet holds over a hundred breeds of dogs and several of cats,
so that nothing here is new to it.
"""

from common.cli import make_parser, present_path, run_script, shared_flags, whole_number

MOST_MISTAKES = 6  # of each class in the figure
MISSING = (
    "--data_dir is missing: download Cats and Dogs (about 800 MB) from "
    "https://www.microsoft.com/download/details.aspx?id=54765, unpack it, and name its folder with "
    "--data_dir path/to/PetImages"
)


def parse_args(argv: list[str] | None = None):
    parser = make_parser(__doc__)
    parser.add_argument(
        "--data_dir", type=present_path, metavar="PATH",
        help="folder with cat and dog, or with train and test above them",
    )  # fmt: skip
    shared_flags(
        parser, "model", "weights", "image_size", "batch_size", "seed", "device",
        "mixed_precision", "output_dir", "smoke", epochs=10, learning_rate=2e-3,
    )  # fmt: skip
    parser.add_argument(
        "--n_photos", type=whole_number(4, 1_000_000), metavar="N",
        help="use so many photos, drawn by chance (default: all)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size = 1, 64
    return args


def animal_of(path: str) -> str | None:
    """Cat or dog, by the folder that a photo lies in.

    >>> animal_of("train/Cats/1.jpg"), animal_of("train/horse/1.jpg")
    ('cat', None)
    """
    folder = path.split("/")[-2].lower() if "/" in path else ""
    return folder.removesuffix("s") if folder.removesuffix("s") in ("cat", "dog") else None


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    from common.data.class_folders import (
        describe_parts,
        draw_noise_photos,
        read_class_folders,
        split_given,
    )
    from common.errors import InputError
    from common.models.backbones import load_backbone
    from common.runs import start_run
    from common.training.loop import TrainingSettings
    from common.training.optim import Rates
    from common.training.strategies import Step
    from common.visualization.confusion import confusion_figure
    from common.visualization.contact_sheet import contact_sheet
    from common.visualization.curves import training_curves

    import numpy as np
    from common.experiments.closed_set import class_table, summarise_outcomes, task_of_classes
    from common.experiments.ways import Way
    from scipy.special import softmax

    if args.data_dir is None and not args.smoke:
        raise InputError(MISSING)

    # Data: the source's own test photos where it has them.
    photos = read_class_folders(
        args.data_dir or draw_noise_photos(["cat", "dog"]), class_of=animal_of,
        expected="folders cat and dog with photos, or train and test above them",
    )  # fmt: skip
    if args.n_photos:
        photos = photos.some(args.n_photos, args.seed)
    parts = split_given(photos, args.seed)
    run = start_run(__file__, args)
    counts = ", ".join(f"{len(rows):,} {part}" for part, rows in parts.items())
    print(f"{len(photos.paths):,} photos: {counts}")

    # Train a head on frozen features; validation chooses the epoch, the test is asked once.
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    task = task_of_classes(photos, parts, backbone.preprocessing.stored_size, args.device)
    way = Way(f"{args.model}, frozen", backbone, [Step(0, args.epochs)], task)
    outcome, trained = way.train(
        TrainingSettings(
            epochs=args.epochs, batch_size=args.batch_size, seed=args.seed, device=args.device,
            mixed_precision=args.mixed_precision,
        ),
        rates=Rates(head=args.learning_rate),
    )  # fmt: skip

    # Tables and figures; the mistakes with the highest probability first.
    report = outcome.report
    confidence = softmax(outcome.scores, axis=1).max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    mistakes = [index for index in order if not report.is_correct[index]]
    figures = {
        "Training": training_curves(
            outcome.history, run.figure_path("curves.png"), chosen_epoch=trained.fit.best_epoch
        ),
        "Who is taken for whom": confusion_figure(
            report.confusion, task.names, run.figure_path("confusion.png"), kind="class"
        ),
    }
    if mistakes:
        figures["The most confident mistakes"] = contact_sheet(
            [photos.paths[task.test[index]] for index in mistakes],
            run.figure_path("mistakes.png"),
            identities=[f"is a {task.names[report.labels[index]]}" for index in mistakes],
            captions=[f"{task.names[report.predicted_labels[index]]}? {confidence[index]:.3f}"
                      for index in mistakes],
            n_columns=MOST_MISTAKES, title="The most confident mistakes, with their probability",
        )  # fmt: skip
    return run.finish(
        metrics={**outcome.to_dict(), "n_mistakes": len(mistakes)},
        split=describe_parts(parts, "the folders' own test or stratified", args.seed),
        tables={
            f"{len(task.test):,} test photos; interval over photos": summarise_outcomes(
                [outcome], task.individuals[task.test]
            ),
            "Each class": class_table(report),
        },
        figures=figures, notes=photos.notes, device=str(task.device),
    )  # fmt: skip


if __name__ == "__main__":
    run_script(main)
