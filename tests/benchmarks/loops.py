"""One recipe of transfer learning, run in the usual loop and from the cache of frozen stages.

The usual loop is plain PyTorch with default data loaders: in every epoch each photo is decoded,
transformed and sent through the whole network. Optimiser, schedule, loss, transforms and the
choice of the epoch are this project's in both, so that only the repeated work differs.
"""

import copy
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from side_by_side import seconds_in_turns
from torch import nn
from torch.utils.data import DataLoader, Dataset

from common.data.images import Transform, evaluation_transform, read_photos, training_transform
from common.data.photo_files import squashed_photo
from common.evaluation.classification import evaluate_classification
from common.evaluation.closed_set import Outcome, Task, difference, mean_correct
from common.evaluation.ways import Way
from common.models.backbones import Backbone
from common.models.freezing import freeze_stages, split_at_boundary
from common.models.heads import linear_classifier
from common.tables import interval_columns
from common.training import feature_cache
from common.training.loop import TrainingSettings
from common.training.losses import cross_entropy
from common.training.optim import Rates, Schedule, build_optimizer, parameter_group
from common.training.strategies import Step


class PhotoFiles(Dataset):
    """Photos that are decoded and transformed whenever they are asked for."""

    def __init__(
        self, paths: Sequence[Path], labels: np.ndarray, side: int, transform: Transform
    ) -> None:
        self.paths, self.labels, self.side, self.transform = paths, labels, side, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        photo = np.asarray(squashed_photo(self.paths[index], self.side))
        return self.transform(image=photo)["image"], int(self.labels[index])


@dataclass(frozen=True)
class Recipe:
    """What to train, on what, and how.

    Attributes:
        backbone: pre-trained; stays as it is.
        step: how many last stages train, for how many epochs.
        task: whose photos.
        paths: of all its photos.
        settings: their seed and epochs do not count.
        rates: of head and backbone.
    """

    backbone: Backbone
    step: Step
    task: Task
    paths: Sequence[Path]
    settings: TrainingSettings
    rates: Rates

    def from_cache(
        self, name: str, seed: int, *, is_cold: bool, **photo_options: object
    ) -> Outcome:
        """This project's way, from photo files to answers.

        Args:
            name: of the outcome.
            seed: of training and of the views.
            is_cold: the cache is emptied first.
            photo_options: of `common.training.boundary.PhotosAtBoundary`.
        """
        if is_cold:
            shutil.rmtree(feature_cache.CACHE_FOLDER, ignore_errors=True)
        size = self.backbone.preprocessing.stored_size
        task = replace(self.task, pixels=read_photos(self.paths, size, progress=False))
        way = Way(
            name, self.backbone, [self.step], task, seed=seed, progress=False, **photo_options
        )
        return way.train(replace(self.settings, seed=seed), rates=self.rates, progress=False)[0]

    def usually(self, name: str, seed: int, *, is_augmented: bool = True) -> Outcome:
        """The usual way, from photo files to answers.

        Args:
            name: of the outcome.
            seed: of training and of the views.
            is_augmented: training photos are seen in new random views, not as they are.
        """
        torch.manual_seed(seed)
        task, backbone, settings = self.task, copy.deepcopy(self.backbone), self.settings
        freeze_stages(backbone, self.step.n_trainable)
        trunk, tail = split_at_boundary(backbone)
        head = linear_classifier(backbone.n_features, len(task.names))
        model, criterion = nn.Sequential(tail, head), cross_entropy()
        plain = evaluation_transform(backbone.preprocessing)
        random = training_transform(backbone.preprocessing, flip=task.flip)
        random.set_random_seed(seed)

        def photos(rows: np.ndarray, transform: Transform, **options: object) -> DataLoader:
            paths = [self.paths[row] for row in rows]
            files = PhotoFiles(paths, task.labels[rows], backbone.preprocessing.stored_size,
                               transform)  # fmt: skip
            return DataLoader(files, settings.batch_size, **options)

        batches = photos(task.train, random if is_augmented else plain, shuffle=True)
        parts = ((head, self.rates.head), (tail, self.rates.backbone))
        decay = self.rates.weight_decay
        optimizer = build_optimizer(
            group for part, rate in parts for group in parameter_group(part, rate, decay)
        )
        schedule = Schedule(
            settings.schedule, optimizer, epochs=self.step.epochs, steps_per_epoch=len(batches),
            warmup_epochs=settings.warmup_epochs,
        )  # fmt: skip
        trunk.eval()

        @torch.no_grad()
        def scores(rows: np.ndarray) -> np.ndarray:
            model.eval()
            return np.concatenate([model(trunk(images)) for images, _ in photos(rows, plain)])

        n_steps, best, validation, best_state = 0, -1.0, None, {}
        for _ in range(self.step.epochs):
            model.train()
            for images, labels in batches:
                n_steps += 1
                schedule.before_step(n_steps)
                with torch.no_grad():
                    activations = trunk(images)
                loss = criterion(model(activations), labels)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
                optimizer.step()
            is_right = scores(task.validation).argmax(axis=1) == task.labels[task.validation]
            if is_right.mean() > best:
                best, validation = is_right.mean(), is_right
                best_state = copy.deepcopy(model.state_dict())
        model.load_state_dict(best_state)
        report = evaluate_classification(
            scores=scores(task.test), labels=task.labels[task.test], identities=task.names
        )
        return Outcome(name, seed, report, validation, seconds=0.0)


def train_in_turns(
    ways: Mapping[str, Callable[[str, int], Outcome]], n_rounds: int
) -> tuple[dict[str, list[float]], list[Outcome]]:
    """Seconds and outcomes of ways to train, given their name and a seed, a seed a round."""
    seconds, outcomes = {name: [] for name in ways}, []
    for seed in range(n_rounds):
        turns = {
            name: lambda name=name, run=run, seed=seed: outcomes.append(run(name, seed))
            for name, run in ways.items()
        }
        for name, taken in seconds_in_turns(turns, 1).items():
            seconds[name] += taken
    return seconds, outcomes


def accuracy_columns(
    names: Sequence[str], outcomes: Sequence[Outcome], usual: str, task: Task
) -> pd.DataFrame:
    """One row per way: validation and test accuracy, and each minus the usual way's, paired."""
    rows = []
    for name in names:
        own = [outcome for outcome in outcomes if outcome.name == name]
        row = {"validation": np.mean([outcome.validation for outcome in own]),
               "test": mean_correct(own).mean()}  # fmt: skip
        for part, photos in (("validation", task.validation), ("test", task.test)):
            gap = difference(outcomes, name, usual, task.individuals[photos], part=part)
            row |= interval_columns(f"{part} minus usual", gap)
        rows.append(row)
    return pd.DataFrame(rows)
