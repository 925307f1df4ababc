"""Transfer learning: put a new head on a network that has seen a million photos.

Question: how far do features learned on ImageNet carry, when no photo of a turtle was among them?

    python week2/transfer_learning.py --data_dir path/to/dataset --model efficientnet_lite0 \
        --freeze_backbone --output_dir runs/transfer_learning

With no argument: the embedded turtles, efficientnet_lite0, all of the backbone frozen; less than a
minute on two laptop cores. With --no_freeze_backbone the whole network trains, which takes several
times as long. You should see a frozen backbone learn a head in a second once its features are
computed, and score above week 1's network from scratch; how sure that is, the intervals say.
"""

from common.cli import make_parser, run_script, shared_flags
from common.own_files import remove_own


def parse_args(argv: list[str] | None = None):
    parser = make_parser(__doc__)
    shared_flags(
        parser,
        "data_dir", "model", "weights", "split", "split_column", "image_size", "batch_size",
        "seed", "device", "mixed_precision", "output_dir", "smoke",
        freeze_backbone=True, cached_views=3, epochs=20, learning_rate=2e-3,
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
    from common.models.backbones import load_backbone
    from common.models.freezing import freeze_stages
    from common.models.heads import Recogniser
    from common.models.storage import save_recogniser
    from common.runs import describe_split, start_run
    from common.training.boundary import PhotosAtBoundary
    from common.training.loop import TrainingSettings, make_accelerator
    from common.training.recipes import Rates, train_classifier
    from common.visualization.confusion import confusion_figure
    from common.visualization.curves import training_curves

    run = start_run(__file__, args)
    if args.smoke:
        args.epochs, args.image_size = 2, 64

    # Data and split, and how much the split gives away.
    study = open_study(args)
    catalogue, labels = study.catalogue, study.labels
    train, validation = study.split.rows("train"), study.rows_known("validation")
    test = study.rows_known("test")

    # Model: a backbone with or without frozen stages, and a new head.
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    freeze_stages(backbone, 0 if args.freeze_backbone else None)
    pixels = read_photos(catalogue.paths(), backbone.preprocessing.stored_size)
    photos = PhotosAtBoundary(
        backbone, pixels, labels, train, asked_rows=np.concatenate([validation, test]),
        flip=not catalogue.has_sides, n_views=args.cached_views, plain_first=True,
        device=make_accelerator(args.device).device,
    )  # fmt: skip

    # Train; validation chooses the epoch.
    trained = train_classifier(
        photos, backbone.n_features,
        train_rows=train, validation_rows=validation, n_identities=len(catalogue.identities),
        settings=TrainingSettings(
            epochs=args.epochs, batch_size=args.batch_size, seed=args.seed, device=args.device,
            mixed_precision=args.mixed_precision,
        ),
        rates=Rates(head=args.learning_rate, backbone=args.learning_rate / 10),
        checkpoint=run.folder / "last.pt",
        title="training the head" if args.freeze_backbone else "training the network",
    )  # fmt: skip

    # Test, once.
    evaluation = evaluate_classification(
        scores=photos.outputs(trained.model, test), labels=labels[test],
        identities=catalogue.identities,
    )  # fmt: skip
    accuracy = bootstrap_over_individuals(evaluation.is_correct, labels[test])

    # Tables, figures, the model itself.
    photos.tail.load_state_dict(trained.tail.state_dict())  # the backbone's own last stages
    save_recogniser(
        Recogniser(backbone, trained.head), run.folder / "model.safetensors", catalogue.identities
    )
    table = pd.DataFrame(
        [{"model": args.model, "trained": "head" if args.freeze_backbone else "all",
          "accuracy": accuracy.text(), "balanced accuracy": evaluation.balanced_accuracy,
          "top 5": evaluation.top_k[5], "macro F1": evaluation.macro_f1,
          "seconds of training": trained.fit.seconds}]
    )  # fmt: skip
    named = np.unique(labels[train])  # animals that joined later have an output, but no photo
    figures = {
        "Training": training_curves(
            trained.fit.history, run.figure_path("curves.png"), chosen_epoch=trained.fit.best_epoch
        ),
        "Who is taken for whom": confusion_figure(
            evaluation.confusion[np.ix_(named, named)],
            [catalogue.identities[label] for label in named],
            run.figure_path("confusion.png"),
        ),
    }
    result = run.finish(
        metrics={"accuracy": accuracy.to_dict(), "test": evaluation.to_dict(),
                 "history": trained.fit.history, "best_epoch": trained.fit.best_epoch},
        split=describe_split(study.split, study.leak),
        tables={"Test photos of known animals": table},
        figures=figures,
        device=str(photos.device),
    )  # fmt: skip
    remove_own(run.folder, "last.pt")  # the run is whole: nothing to resume
    return result


if __name__ == "__main__":
    run_script(main)
