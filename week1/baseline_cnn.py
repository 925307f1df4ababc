"""A small CNN, trained from nothing: the number that everything later has to beat.

Question: how well does a convolutional neural network (CNN) recognise a known animal on a later
day, when all it ever saw are these photos?

    python week1/baseline_cnn.py
    python week1/baseline_cnn.py --split random

About two minutes on two laptop cores. You should see an accuracy on training photos far above the
one on later days, some animals found nearly always and many never. The second command asks the
same of a random split: split_pitfalls.py shows why its better number is worth less.
Exercises 1.3 and 1.4 of week1/README.md start here.
"""

import argparse

from common.cli import make_parser, run_script, shared_flags
from common.own_files import remove_own

IMAGE_SIZE = 64  # pixels: scutes can just be seen, and two cores are enough


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    shared_flags(
        parser, "data_dir", "split", "split_column", "batch_size", "seed", "device",
        "mixed_precision", "compile", "workers", "output_dir", "smoke",
        epochs=30, learning_rate=2e-3, image_size=IMAGE_SIZE,
    )  # fmt: skip
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    import numpy as np
    import pandas as pd

    from common.data.images import read_photos
    from common.data.study import open_study
    from common.evaluation.classification import evaluate_classification
    from common.evaluation.intervals import bootstrap_over_individuals
    from common.models.backbones import SCRATCH_CNN, load_backbone, restart
    from common.runs import describe_split, start_run
    from common.tables import interval_columns
    from common.training.boundary import PhotosAtBoundary
    from common.training.loop import TrainingSettings, make_accelerator
    from common.training.recipes import Rates, train_classifier
    from common.visualization.confusion import confusion_figure, recall_bars
    from common.visualization.curves import training_curves

    run = start_run(__file__, args)
    if args.smoke:
        args.epochs, args.image_size = 1, 64
    device = make_accelerator(args.device).device

    # Data and split, and how much the split gives away.
    study = open_study(args)
    identities, labels = study.catalogue.identities, study.labels
    parts = {part: study.rows_known(part) for part in ("train", "validation", "test")}

    # Model: four blocks of convolution, then one output per animal of the catalogue.
    backbone = load_backbone(SCRATCH_CNN, weights="none", image_size=args.image_size)
    restart(backbone, args.seed)
    photos = PhotosAtBoundary(
        backbone, read_photos(study.catalogue.paths(), backbone.preprocessing.stored_size),
        labels, parts["train"], device=device,
        flip=not study.catalogue.has_sides,  # a mirrored left face is an animal that isn't there
    )  # fmt: skip

    # Train; validation photos choose the epoch.
    trained = train_classifier(
        photos, backbone.n_features, n_identities=len(identities),
        train_rows=parts["train"], validation_rows=parts["validation"],
        settings=TrainingSettings(
            epochs=args.epochs, batch_size=args.batch_size, seed=args.seed, device=args.device,
            mixed_precision=args.mixed_precision, compile=args.compile, workers=args.workers,
        ),
        rates=Rates(head=args.learning_rate, backbone=args.learning_rate),
        checkpoint=run.folder / "last.pt",
        title="training the small CNN",
    )  # fmt: skip

    # Evaluate: the test photos are looked at here and nowhere before.
    reports, rows = {}, []
    for part, photo_rows in parts.items():
        if not len(photo_rows):
            continue
        report = evaluate_classification(
            scores=photos.outputs(trained.model, photo_rows), labels=labels[photo_rows],
            identities=identities,
        )  # fmt: skip
        accuracy = bootstrap_over_individuals(report.is_correct, labels[photo_rows])
        reports[part] = report
        rows.append(
            {"photos of": part, "photos": report.n_images, "animals": report.n_identities_present,
             **interval_columns("accuracy", accuracy),
             "balanced accuracy": report.balanced_accuracy, "top 5": report.top_k[5]}
        )  # fmt: skip
    commonest = np.bincount(labels[parts["train"]]).argmax()
    guessing = float(np.mean(labels[parts["test"]] == commonest))

    # Table and figures.
    test = reports["test"]
    per_animal = test.per_identity
    recalls, counts = ([facts[key] for facts in per_animal.values()] for key in ("recall", "n"))
    figures = {
        "Loss and accuracy, epoch by epoch": training_curves(
            trained.fit.history, run.figure_path("curves.png"), chosen_epoch=trained.fit.best_epoch
        ),
        "Test photos: which animal is taken for which": confusion_figure(
            test.confusion[np.ix_(*[np.unique(labels[parts["train"]])] * 2)],
            [identities[label] for label in np.unique(labels[parts["train"]])],
            run.figure_path("confusion.png"),
        ),
        "Test photos: recall of each animal": recall_bars(
            np.array(recalls), np.array(counts), list(per_animal), run.figure_path("recall.png")
        ),
    }

    # Result.
    result = run.finish(
        metrics={
            **{part: report.to_dict() for part, report in reports.items()},
            "guessing_accuracy": guessing,
            "best_epoch": trained.fit.best_epoch,
            "history": trained.fit.history,
            "training_seconds": trained.fit.seconds,
        },
        split=describe_split(study.split, study.leak),
        tables={"Animals with training photos; interval: 95 %, over animals": pd.DataFrame(rows)},
        figures=figures,
        notes=[
            f"Always naming the animal with most training photos gives {guessing:.3f} on test.",
        ],
        device=str(device),
    )
    remove_own(run.folder, "last.pt")  # the run is whole: nothing to resume
    return result


if __name__ == "__main__":
    run_script(main)
