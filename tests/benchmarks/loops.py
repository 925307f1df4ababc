"""One recipe of transfer learning, run in the usual loop and from the cache of frozen stages.

The usual loop is plain PyTorch with default data loaders: in every epoch each photo is decoded,
transformed and sent through the whole network. Optimiser, schedule, loss, transforms, the order of
photos and the choice of the epoch are this project's in both, so that only the repeated work
differs. Every run has a fresh process, as a command has: what one does to the memory must not help
another.
"""

import copy
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from common.data.images import Transform, evaluation_transform, read_photos, training_transform
from common.data.photo_files import squashed_photo
from common.data.sampling import ShuffledBatchSampler
from common.experiments.answers import ask_closed_set
from common.experiments.experiment import Experiment
from common.experiments.trials import KNOWN, VALIDATION, Trial, by_approach, compare, mean_right
from common.measures.intervals import interval_columns
from common.models.backbones import Backbone, load_backbone
from common.models.freezing import freeze_stages, split_at_boundary
from common.models.heads import linear_classifier
from common.training import feature_cache
from common.training.losses import cross_entropy
from common.training.optim import Rates, Schedule, build_optimizer, parameter_group
from common.training.strategies import Step

import numpy as np
import pandas as pd
import torch
from side_by_side import in_fresh_process
from torch import nn
from torch.utils.data import DataLoader, Dataset


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
        image_size: side of the photos, pixels.
        step: how many last stages train, for how many epochs.
        experiment: whose photos; the seed and epochs of its settings do not count.
        paths: of all its photos.
        rates: of head and backbone.
        cache: folder of the cache.
    """

    image_size: int
    step: Step
    experiment: Experiment
    paths: Sequence[Path]
    rates: Rates
    cache: Path

    @cached_property
    def backbone(self) -> Backbone:
        """Pre-trained; stays as it is."""
        return load_backbone("efficientnet_lite0", image_size=self.image_size)

    def from_cache(self, name: str, seed: int, *, is_cold: bool, **photo_options: object) -> Trial:
        """This project's way, from photo files to answers.

        Args:
            name: of the approach.
            seed: of training and of the views.
            is_cold: the cache is emptied first.
            photo_options: of `common.training.boundary.PhotosAtBoundary`.
        """
        feature_cache.CACHE_FOLDER = self.cache
        if is_cold:
            shutil.rmtree(self.cache, ignore_errors=True)
        size = self.backbone.preprocessing.stored_size
        pixels = read_photos(self.paths, size, progress=False)
        experiment = replace(
            self.experiment, classed=replace(self.experiment.classed, pixels=pixels)
        )
        options = {"rates": self.rates, "seed": seed, "progress": False, **photo_options}
        approach = experiment.approach(name, self.backbone, [self.step], **options)
        return experiment.ask(approach, seed, experiment.train(approach, seed, progress=False))

    def usually(self, name: str, seed: int, *, is_augmented: bool = True) -> Trial:
        """The usual way, from photo files to answers.

        Args:
            name: of the approach.
            seed: of training and of the views.
            is_augmented: training photos are seen in new random views, not as they are.
        """
        torch.manual_seed(seed)
        experiment, backbone = self.experiment, copy.deepcopy(self.backbone)
        questions, settings = experiment.questions, experiment.settings
        all_labels = experiment.classed.labels
        freeze_stages(backbone, self.step.n_trainable)
        trunk, tail = split_at_boundary(backbone)
        head = linear_classifier(backbone.n_features, experiment.classed.n_classes)
        model, criterion = nn.Sequential(tail, head), cross_entropy()
        plain = evaluation_transform(backbone.preprocessing)
        random = training_transform(backbone.preprocessing, flip=experiment.flip)
        random.set_random_seed(seed)

        def photos(rows: np.ndarray, transform: Transform, **options: object) -> DataLoader:
            paths = [self.paths[row] for row in rows]
            files = PhotoFiles(paths, all_labels[rows], backbone.preprocessing.stored_size,
                               transform)  # fmt: skip
            return DataLoader(files, **options or {"batch_size": settings.batch_size})

        order = ShuffledBatchSampler(len(questions.train), settings.batch_size, seed)
        batches = photos(questions.train, random if is_augmented else plain, batch_sampler=order)
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

        n_steps, best, best_state = 0, -1.0, {}
        validation = questions.validation_known
        for epoch in range(self.step.epochs):
            order.set_epoch(epoch)
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
            is_right = scores(validation).argmax(axis=1) == all_labels[validation]
            if is_right.mean() > best:
                best = is_right.mean()
                best_state = copy.deepcopy(model.state_dict())
        model.load_state_dict(best_state)
        answers = ask_closed_set(
            scores, questions, all_labels,
            names=experiment.class_names, identity=experiment.identity,
        )  # fmt: skip
        return Trial(name, seed, answers)


def train_in_turns(
    recipe: Recipe, ways: Mapping[str, Callable[..., Trial]], n_rounds: int, *, is_smoke: bool
) -> tuple[dict[str, list[float]], list[Trial]]:
    """Seconds and trials of ways to train, in turns; a seed a round, a process a turn.

    Args:
        recipe: of all.
        ways: name to a function of the recipe, the name and the seed.
        n_rounds: turns of each.
        is_smoke: all in this process, which saves the starts.
    """
    seconds, trials = {name: [] for name in ways}, []
    for seed in range(n_rounds):
        for name, run in ways.items():
            turn = (_timed, run, recipe, name, seed)
            taken, trial = _timed(*turn[1:]) if is_smoke else in_fresh_process(*turn)
            seconds[name].append(taken)
            trials.append(trial)
    return seconds, trials


def _timed(run: Callable[..., Trial], recipe: Recipe, name: str, seed: int) -> tuple[float, Trial]:
    recipe.backbone  # noqa: B018 - loaded before the clock starts, as all ways need it
    start = time.perf_counter()
    trial = run(recipe, name, seed)
    return time.perf_counter() - start, trial


def accuracy_columns(names: Sequence[str], trials: Sequence[Trial], usual: str) -> pd.DataFrame:
    """One row per way: validation and test accuracy, and each minus the usual way's, paired."""
    rows, groups = [], by_approach(trials)
    for name in names:
        parts = {"validation": VALIDATION, "test": KNOWN}
        row = {
            part: mean_right(groups[name], question)[0].mean() for part, question in parts.items()
        }
        for part, question in parts.items():
            gap = compare(trials, name, usual, question).interval
            row |= interval_columns(f"{part} minus usual", gap)
        rows.append(row)
    return pd.DataFrame(rows)
