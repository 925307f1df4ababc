"""Transfer learning: put a new head on a network that has seen a million photos.

Question: how far do features learned on ImageNet carry, when no photo of a turtle was among them?

    python week2/transfer_learning.py
    python week2/transfer_learning.py --data_dir path/to/dataset --model efficientnet_lite0 \
        --freeze_backbone --output_dir runs/transfer_learning

With no argument: the embedded turtles, efficientnet_lite0, all of the backbone frozen; less than a
minute on two laptop cores. With --no_freeze_backbone the whole network trains, which takes several
times as long. You should see a frozen backbone learn a head in a second once its features are
computed, and score above week 1's network from scratch; how sure that is, the intervals say.
"""

import argparse

from common.cli import make_parser, shared_flags
from common.data.images import read_photos
from common.ending import run_script
from common.machine.device import pick_device
from common.measures.classification import ClassificationReport, evaluate_classification
from common.measures.intervals import Interval, bootstrap_over_individuals
from common.mine import own_functions
from common.models.backbones import load_backbone
from common.models.heads import Recogniser
from common.models.storage import save_recogniser
from common.runs import describe_split, start_run
from common.splits.study import open_study
from common.training.boundary import PhotosAtBoundary
from common.training.loop import FitResult, TrainingSettings
from common.training.optim import Rates
from common.training.recipes import train_classifier
from common.visualization.outcomes import classification_figures

import numpy as np
import pandas as pd
import torch
from torch import nn


def freeze(model: nn.Sequential, n_trainable: int) -> None:
    """Let the head and the last stages learn, and nothing that the others know move.

    Without a gradient weights stand still. Batch norms have running means besides, which follow
    every batch in training mode: a backbone of this course keeps what is frozen in evaluation
    mode, whoever calls train().

    Args:
        model: stages, photo first, then the head.
        n_trainable: stages that learn, counted from the head.
    """
    first = len(model) - 1 - n_trainable
    for index, part in enumerate(model):
        part.requires_grad_(index >= first)
        part.train(index >= first)


def new_head(n_features: int, n_identities: int) -> nn.Linear:
    """One score per animal, all even at first, so that the first loss is ln(n_identities).

    Larger random weights would begin with confident errors, and their gradients would damage what
    a backbone that trains along knows.
    """
    head = nn.Linear(n_features, n_identities)
    nn.init.trunc_normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)
    return head


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    plumbing = ("data_dir", "split", "split_column", "seed", "device", "output_dir", "smoke")
    model = {"freeze_backbone": True, "cached_views": 3, "epochs": 20, "learning_rate": 2e-3}
    shared_flags(parser, *plumbing, "model", "weights", "image_size", "batch_size", "mine", **model)
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size = 2, 64
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run = start_run(__file__, args)
    yours, notes = own_functions(args, __file__, "freeze", "new_head")

    # Data and split, and how much the split gives away.
    study = open_study(args)
    identities, labels = study.catalogue.identities, study.labels
    train, validation = study.split.rows("train"), study.rows_known("validation")
    test = study.rows_known("test")

    # Model: take a backbone, put a new head on it, freeze the backbone as a whole.
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    torch.manual_seed(args.seed)
    head = yours.get("new_head", new_head)(backbone.n_features, len(identities))
    if args.freeze_backbone:
        yours.get("freeze", freeze)(nn.Sequential(backbone, head), 0)

    # Train; what is frozen gives the same for a photo in every epoch, so it is computed once.
    photos = PhotosAtBoundary(
        backbone,
        read_photos(study.catalogue.paths(), backbone.preprocessing.stored_size),
        labels,
        train,
        asked_rows=np.concatenate([validation, test]),
        flip=not study.catalogue.has_sides,
        n_views=args.cached_views,
        plain_first=True,
        device=pick_device(args.device),
    )
    trained = train_classifier(
        photos,
        tail=photos.tail,  # the end of the backbone that trains; empty where all is frozen
        head=head,
        train_rows=train,
        validation_rows=validation,  # choose the epoch
        settings=TrainingSettings.from_flags(args),
        rates=Rates(head=args.learning_rate, backbone=args.learning_rate / 10),
        checkpoint=run.checkpoint("training"),
        title="training the head" if args.freeze_backbone else "training the network",
    )

    # Test, once.
    fit, scores = trained.fit, photos.outputs(trained.model, test)
    report = evaluate_classification(scores=scores, labels=labels[test], identities=identities)
    accuracy = bootstrap_over_individuals(report.is_correct, labels[test])

    # Table, figures, the model itself.
    save_recogniser(Recogniser(backbone, head), run.model_path, identities)
    return run.finish(
        metrics={"accuracy": accuracy.to_dict(), "test": report.to_dict()}
        | {"history": fit.history, "best_epoch": fit.best_epoch},
        split=describe_split(study.split, study.leak),
        tables={"Test photos of known animals": table_of(args, report, accuracy, fit)},
        figures=classification_figures(run, report, fit.history, fit.best_epoch, labels[train]),
        notes=notes,
        device=str(photos.device),
        answers=study.answers(test, report.answered),
    )


def table_of(
    args: argparse.Namespace, report: ClassificationReport, accuracy: Interval, fit: FitResult
) -> pd.DataFrame:
    """What was trained, how well it does and how long it took."""
    row = {"model": args.model, "trained": "head" if args.freeze_backbone else "all"}
    row |= {"accuracy": accuracy.text(), "balanced accuracy": report.balanced_accuracy}
    row |= {"top 5": report.top_k[5], "macro F1": report.macro_f1}
    return pd.DataFrame([row | {"seconds of training": fit.seconds}])


if __name__ == "__main__":
    run_script(main)
