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
import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from common.cli import make_parser, shared_flags
from common.data.images import (
    PhotoDataset,
    Preprocessing,
    evaluation_transform,
    read_photos,
    training_transform,
)
from common.ending import run_script
from common.errors import InputError
from common.machine.device import pick_device
from common.measures.classification import ClassificationReport, evaluate_classification
from common.measures.intervals import mean_columns
from common.mine import own_functions
from common.models.extraction import extract
from common.runs import describe_split, start_run
from common.splits.splits import PARTS
from common.splits.study import Study, open_study
from common.training.losses import least_loss
from common.visualization.outcomes import classification_figures

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

IMAGE_SIZE = 64  # pixels: scutes can just be seen, and two cores are enough
HALF_RANGE = (0.5, 0.5, 0.5)  # mean and spread of a pixel: 0 to 1 becomes -1 to 1
SMOOTHING = 0.1  # share of the probability that labels spread evenly over all animals


def block(n_in: int, n_out: int) -> nn.Sequential:
    """Look for n_out small patterns, bring them to one scale, halve height and width."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


def small_cnn(n_identities: int) -> nn.Sequential:
    """The whole network: (n_images, 3, 64, 64) to one score per animal."""
    return nn.Sequential(
        block(3, 32),  # 32 maps of 32 x 32
        block(32, 64),  # 64 maps of 16 x 16
        block(64, 128),  # 128 maps of 8 x 8
        block(128, 256),  # 256 maps of 4 x 4
        nn.AdaptiveAvgPool2d(1),  # where a pattern was does not matter, only how strong
        nn.Flatten(),  # 256 features
        nn.Linear(256, n_identities),
    )


def train_epoch(
    model: nn.Module,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> tuple[float, float]:
    """Show the network each batch once; mean loss and accuracy over photos, before each step."""
    model.train()
    loss_sum, n_right, n_seen = 0.0, 0, 0
    for images, labels in batches:
        scores = model(images)  # forward: (n_images, n_identities)
        loss = criterion(scores, labels)  # how wrong, as one number
        optimizer.zero_grad()  # forget the gradients of the batch before
        loss.backward()  # how the loss would change with each weight
        optimizer.step()  # a small step that makes it smaller
        loss_sum += loss.item() * len(labels)
        n_right += int((scores.argmax(dim=1) == labels).sum())
        n_seen += len(labels)
    return loss_sum / n_seen, n_right / n_seen


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of photos, in [0, 1], whose animal has the highest score."""
    return float(np.mean(scores.argmax(axis=1) == labels))


def train(
    model: nn.Module,
    photos: PhotoDataset,
    validation: PhotoDataset,
    args: argparse.Namespace,
    yours: dict[str, Callable] | None = None,
) -> list[dict]:
    """Show the network all training photos again and again; keep the best validated weights.

    Args:
        photos: to learn from, another random view of each in every epoch.
        validation: photos of the same animals that choose the epoch.
        yours: functions of --mine, by name; others are this script's.

    Returns:
        One row per epoch: epoch (from 1), train_loss, train_accuracy, validation_accuracy.
    """
    device, yours = pick_device(args.device), yours or {}
    loader = DataLoader(photos, args.batch_size, shuffle=True)
    criterion = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    history, best = [], -math.inf
    for epoch in tqdm(range(args.epochs), "training the small CNN", unit="epoch"):
        photos.set_epoch(epoch)
        batches = ((images.to(device), labels.to(device)) for images, labels in loader)
        one_epoch = yours.get("train_epoch", train_epoch)
        loss, share = one_epoch(model, batches, criterion, optimizer)
        if not math.isfinite(loss):
            raise InputError(
                f"training diverges: the loss is not a number by step {len(loader) * (epoch + 1)} "
                f"(epoch {epoch + 1}) at learning rate {optimizer.param_groups[0]['lr']:.3g}; this "
                "training keeps no checkpoints; lower --learning_rate"
            )
        schedule.step()  # smaller steps towards the end
        row = {"epoch": epoch + 1, "train_loss": float(loss), "train_accuracy": float(share)}
        if len(validation):
            row["validation_accuracy"] = share_right(model, validation, device, yours)
        history.append(row)
        if row.get("validation_accuracy", epoch) > best:  # without validation: the last epoch
            best = row.get("validation_accuracy", epoch)
            best_weights = copy.deepcopy(model.state_dict())
    model.load_state_dict(best_weights)
    return history


def share_right(
    model: nn.Module, photos: PhotoDataset, device: torch.device, yours: dict[str, Callable]
) -> float:
    """Accuracy in [0, 1]; nothing is learned, nothing is random."""
    scores = extract(model, photos, device=device, progress=False)
    share = float(yours.get("accuracy", accuracy)(scores, photos.labels))
    if not 0 <= share <= 1:  # only a function of --mine
        raise ValueError(f"accuracy is {share} for {len(scores)} photos, expected 0 to 1")
    return share


def labels_of(study: Study, yours: dict[str, Callable]) -> np.ndarray:
    """Label of each photo, shape (n_images,), by the one label map of the whole catalogue."""
    if "label_map" not in yours:
        return study.labels
    parts = {part: study.identity[study.split.rows(part)].tolist() for part in PARTS}
    labels = yours["label_map"](parts)
    return np.array([labels[identity] for identity in study.identity])


def ask(
    model: nn.Module,
    photos: PhotoDataset,
    identities: list[str],
    device: torch.device,
    yours: dict[str, Callable],
) -> ClassificationReport:
    """Compare the scores that a model gives photos with who they show."""
    scores = extract(model, photos, device=device, progress=False)
    report = evaluate_classification(scores=scores, labels=photos.labels, identities=identities)
    if "balanced_accuracy" in yours:
        value = yours["balanced_accuracy"](scores, photos.labels)
        report = replace(report, balanced_accuracy=float(value))
    return report


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    plumbing = ("data_dir", "split", "split_column", "seed", "device", "output_dir", "smoke")
    defaults = {"epochs": 30, "learning_rate": 2e-3, "image_size": IMAGE_SIZE}
    shared_flags(parser, *plumbing, "batch_size", "mine", **defaults)
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs = 1
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run = start_run(__file__, args)
    exercises = ("label_map", "train_epoch", "accuracy", "balanced_accuracy")
    yours, notes = own_functions(args, __file__, *exercises)

    # Data and split, and how much the split gives away.
    study = open_study(args)
    rows = {part: study.rows_known(part) for part in ("train", "validation", "test")}
    preprocessing = Preprocessing(args.image_size, mean=HALF_RANGE, std=HALF_RANGE)
    pixels = read_photos(study.catalogue.paths(), preprocessing.stored_size)
    plain, labels = evaluation_transform(preprocessing), labels_of(study, yours)
    parts = {part: PhotoDataset(pixels[own], labels[own], plain) for part, own in rows.items()}

    # Model and training: random views of training photos, validation photos as they are.
    torch.manual_seed(args.seed)  # of the first weights and of the order of photos
    model = small_cnn(len(study.catalogue.identities)).to(pick_device(args.device))
    is_sided = study.catalogue.has_sides  # then a mirrored left face is an animal that isn't there
    views = training_transform(preprocessing, flip=not is_sided)
    training_photos = PhotoDataset(parts["train"].photos, parts["train"].labels, views, args.seed)
    history = train(model, training_photos, parts["validation"], args, yours)

    # Evaluate: the test photos are looked at here and nowhere before.
    device, identities = pick_device(args.device), study.catalogue.identities
    reports = {
        part: ask(model, photos, identities, device, yours)
        for part, photos in parts.items()
        if len(photos)
    }
    commonest = np.bincount(parts["train"].labels).argmax()
    guessing = float(np.mean(parts["test"].labels == commonest))

    # Table, figures, result.
    validated = [row.get("validation_accuracy", row["epoch"]) for row in history]
    best_epoch = int(np.argmax(validated)) + 1
    return run.finish(
        metrics={part: report.to_dict() for part, report in reports.items()}
        | {"guessing_accuracy": guessing, "best_epoch": best_epoch, "history": history},
        split=describe_split(study.split, study.leak),
        tables={"Animals with training photos; interval: 95 %, over animals": table_of(reports)},
        figures=classification_figures(
            run,
            reports["test"],
            history,
            best_epoch,
            parts["train"].labels,
            least_loss=least_loss(len(identities), SMOOTHING),
        ),
        notes=[
            f"Always naming the animal with most training photos gives {guessing:.3f} on test.",
            *notes,
        ],
        device=str(pick_device(args.device)),
        answers=study.answers(rows["test"], reports["test"].answered),
    )


def table_of(reports: dict[str, ClassificationReport]) -> pd.DataFrame:
    """One row per part of the split."""
    rows = []
    for part, report in reports.items():
        row = {"photos of": part, "photos": report.n_images, "animals": report.n_identities_present}
        row |= mean_columns("accuracy", report.is_correct, report.labels)
        row |= {"balanced accuracy": report.balanced_accuracy, "top 5": report.top_k[5]}
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    run_script(main)
