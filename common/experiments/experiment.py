"""An experiment trains approaches, each with several seeds, and asks them the same questions.

All get the same photos, classes and settings, are chosen on the same validation photos, and are
asked about the same test photos once.
"""

import copy
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from common.data.class_folders import ClassPhotos
from common.data.images import PhotoSelection, read_photos
from common.data.sampling import IdentityBatchSampler, identity_batches
from common.data.training_classes import ClassedPhotos, by_class, with_mirrors
from common.experiments.answers import ask_closed_set
from common.experiments.trials import Trial
from common.gallery.gallery import identity_scores
from common.machine.device import pick_device
from common.models.backbones import Backbone, restart
from common.models.freezing import split_at_boundary
from common.models.heads import EmbeddingHead, Recogniser, linear_classifier
from common.runs import Run
from common.splits.questions import Questions
from common.splits.study import Study
from common.training.boundary import PhotosAtBoundary
from common.training.loop import TrainingSettings
from common.training.optim import Rates
from common.training.recipes import Trained, train_classifier
from common.training.strategies import Step, fine_tune, photos_for_plan

import numpy as np
import torch
from torch import nn

Validate = Callable[[nn.Module], dict[str, float]]


@dataclass(frozen=True)
class Approach:
    """A backbone under a plan, and what its head learns; see `Experiment.approach`.

    Attributes:
        backbone: pre-trained; stays as it is.
        plan: which stages train when; an embedding is trained in one step.
        rates: of the steps that have none of their own; None: the usual ones.
        new_head: of a classifier, (n_features, n_classes) to a head.
        from_scratch: the backbone begins with the random numbers of each seed.
    """

    name: str
    backbone: Backbone
    plan: Sequence[Step]
    photos: Sequence[PhotosAtBoundary]
    recipe: Callable[..., Trained] = train_classifier
    rates: Rates | None = None
    new_head: Callable[[int, int], nn.Module] = linear_classifier
    from_scratch: bool = False

    @property
    def behind(self) -> PhotosAtBoundary:
        """Photos behind the last step's boundary, where the trained model stands."""
        return self.photos[-1]

    @property
    def untrained(self) -> nn.Module:
        """The backbone as it came, with an embedding's head, behind that boundary."""
        return nn.Sequential(self.behind.tail, EmbeddingHead(self.behind.n_features))

    @property
    def is_classifier(self) -> bool:
        """Whether it has an output for each class, and not an embedding."""
        return self.recipe is train_classifier

    def recogniser(self, trained: Trained) -> Recogniser:
        """The whole network, photos to outputs, with what was trained at its end."""
        backbone = copy.deepcopy(self.backbone)
        trunk, tail = split_at_boundary(backbone)
        chain = [*trunk, *tail]
        end = nn.Sequential(*chain[len(chain) - len(trained.tail) :])
        end.load_state_dict(trained.tail.state_dict())
        return Recogniser(backbone, trained.head)


class Planned(NamedTuple):
    """Trainings that are to come, for `Experiment.expected_minutes`.

    Attributes:
        n_photos: to train on, each time; None: all training photos.
        epochs: None: the plan's.
    """

    approach: Approach
    n_trainings: int = 1
    n_photos: int | None = None
    epochs: int | None = None
    validate: bool = True


@dataclass(frozen=True)
class Experiment:
    """What all approaches share.

    Attributes:
        class_names: of these, label 0 first; identities, breeds or others.
        identity: whom each photo shows, shape (n_images,): what intervals resample.
        flip: whether a mirrored photo still shows the same class.
        run: keeps checkpoints; None: nothing is kept.
        study: catalogue and split; None where photos come from no catalogue.
    """

    classed: ClassedPhotos
    class_names: Sequence[str]
    identity: np.ndarray
    questions: Questions
    settings: TrainingSettings
    flip: bool
    run: Run | None = None
    study: Study | None = None

    @property
    def device(self) -> torch.device:
        """Where to compute."""
        return pick_device(self.settings.device)

    def with_classes(self, classes: str, rows: np.ndarray | None = None) -> "Experiment":
        """The same photos and questions, by other classes of training; see `by_class`.

        Args:
            rows: that may be trained on; None: as before.
        """
        if rows is None:
            rows = self.classed.training_rows
            rows = rows[rows < len(self.identity)]
        pixels = PhotoSelection.of(self.classed.pixels).array
        classed = by_class(self.study.catalogue, pixels, rows, classes)
        return replace(self, classed=classed, class_names=np.unique(classed.names).tolist())

    def training_rows(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Rows to train on, with their mirror images where these are classes; None: all."""
        rows = self.questions.train if rows is None else rows
        return with_mirrors(self.classed, rows, len(self.identity))

    def approach(
        self,
        name: str,
        backbone: Backbone,
        plan: Sequence[Step],
        *,
        recipe: Callable[..., Trained] = train_classifier,
        rates: Rates | None = None,
        new_head: Callable[[int, int], nn.Module] = linear_classifier,
        from_scratch: bool = False,
        **photo_options: object,
    ) -> Approach:
        """An approach behind its frozen stages; further options are those of `PhotosAtBoundary`."""
        asked = None  # everything, where embeddings are searched
        if not self.questions.n_enrolled:
            asked = np.concatenate([self.questions.validation, self.questions.test])
        classed = self.classed
        arguments = (classed.pixels, classed.labels, classed.training_rows)
        options = {"asked_rows": asked, "flip": self.flip, "device": self.device} | photo_options
        photos = photos_for_plan(backbone, plan, *arguments, **options)
        return Approach(name, backbone, plan, photos, recipe, rates, new_head, from_scratch)

    def train(
        self,
        approach: Approach,
        seed: int,
        *,
        title: str | None = None,
        rows: np.ndarray | None = None,
        epochs: int | None = None,
        validate: bool | Validate = True,
        **options: object,
    ) -> Trained:
        """Train an approach with one seed.

        Args:
            seed: of head, batches and views, and from scratch of the backbone.
            title: beside the progress bar and of the checkpoint; None: approach and seed.
            rows: photos to train on; None: all training photos.
            epochs: of each step; None: the plan's.
            validate: validation photos choose the epoch; False: the last one is taken; a function:
                it is asked in their place, of an embedding.
            options: of the recipe and of `common.training.loop.fit`, such as criterion.

        Returns:
            The model behind `approach.behind`.
        """
        title = title or f"{approach.name}, seed {seed}"
        plan = [replace(step, epochs=epochs or step.epochs) for step in approach.plan]
        if approach.from_scratch:
            for photos in approach.photos:
                restart(photos.tail, seed)
        if callable(validate):
            options["validate"] = validate
        common = {
            "train_rows": self.training_rows(rows),
            "validation_rows": self.questions.validation_known[: None if validate else 0],
            "n_identities": self.classed.n_classes,
            "rates": approach.rates,
            "title": title,
            "checkpoint": self.run.checkpoint(title) if self.run else None,
        } | options
        settings, behind = replace(self.settings, seed=seed), approach.behind
        if approach.is_classifier:
            torch.manual_seed(seed)
            head = approach.new_head(behind.n_features, self.classed.n_classes)
            return fine_tune(plan, approach.photos, head=head, settings=settings, **common)
        (step,) = plan
        settings = replace(settings, epochs=step.epochs, **step.settings)
        common["rates"] = step.rates or approach.rates
        return approach.recipe(behind, settings=settings, **common)

    def outputs(
        self, approach: Approach, model: nn.Module, rows: np.ndarray | None = None
    ) -> np.ndarray:
        """What a model behind the approach's boundary gives for photos; None: for all."""
        rows = np.arange(len(self.identity)) if rows is None else rows
        return approach.behind.outputs(model, rows)

    def ask(
        self, approach: Approach, seed: int, trained: Trained, rows: np.ndarray | None = None
    ) -> Trial:
        """Ask who each known photo shows: of the classes, nobody else.

        A classifier names the class with the highest score, an embedding that of the most similar
        training photo.

        Args:
            rows: that it was trained on; None: all training photos.
        """
        labels, names = self.classed.labels, self.class_names
        outputs = scores = partial(approach.behind.outputs, trained.model)
        if not approach.is_classifier:
            own = self.training_rows(rows)
            gallery, facts = outputs(own), {"gallery_labels": labels[own]}

            def scores(asked: np.ndarray) -> np.ndarray:
                return identity_scores(outputs(asked), gallery, n_identities=len(names), **facts)

        answers = ask_closed_set(scores, self.questions, labels, names, self.identity)
        return Trial.of(approach.name, seed, answers, trained)

    def n_with_pairs(self, rows: np.ndarray | None = None) -> int:
        """Classes with at least two photos to train on: without any, no loss compares photos."""
        counts = np.bincount(self.classed.labels[self.training_rows(rows)])
        return int(np.count_nonzero(counts > 1))

    def batches_of_several(
        self, seed: int, rows: np.ndarray | None = None, n_images: int = 4
    ) -> IdentityBatchSampler:
        """Batches with several photos of a class, for losses that compare photos; None: of all."""
        rows, size = self.training_rows(rows), self.settings.batch_size
        labels, encounters = self.classed.labels[rows], self.classed.encounters[rows]
        return identity_batches(labels, encounters, batch_size=size, n_images=n_images, seed=seed)

    def expected_minutes(self, planned: Iterable[Planned]) -> float:
        """Minutes of all that is planned on this machine, from half a second's trials.

        Frozen stages that are in the cache already take less.
        """
        n_all, n_validation = len(self.training_rows()), len(self.questions.validation_known)
        seen: dict[PhotosAtBoundary, np.ndarray] = {}
        for approach, n_trainings, n_photos, epochs, validate in planned:
            n_photos = n_all if n_photos is None else n_photos
            checked = n_validation + (0 if approach.is_classifier else n_photos)
            for step, photos in zip(approach.plan, approach.photos, strict=True):
                n_epochs = n_trainings * (epochs or step.epochs)
                looks = checked * n_epochs * validate
                seen[photos] = seen.get(photos, 0) + np.array([n_photos * n_epochs, looks])
            seen[approach.behind] += np.array([0, n_trainings * len(self.identity)])
        seconds = sum(photos.seconds_to_train(*counts) for photos, counts in seen.items())
        return seconds / 60 + 0.3


def catalogue_experiment(
    study: Study,
    args: Namespace,
    *backbones: Backbone,
    questions: Questions | None = None,
    trained_rows: np.ndarray | None = None,
    run: Run | None = None,
) -> Experiment:
    """An experiment on a catalogue's photos; a class in training is an animal.

    Args:
        args: flags, see `TrainingSettings.from_flags`.
        backbones: photos are as large as the one that wants the largest.
        questions: None: known animals alone are asked about.
        trained_rows: that any approach is trained on; None: the training photos.
    """
    questions = questions or Questions.of_closed_set(
        study.split.rows("train"), study.rows_known("validation"), study.rows_known("test")
    )
    side = max(backbone.preprocessing.stored_size for backbone in backbones)
    pixels = read_photos(study.catalogue.paths(), side)
    rows = questions.train if trained_rows is None else trained_rows
    classed = by_class(study.catalogue, pixels, rows, "identity")
    names = np.unique(classed.names).tolist()
    flip = not study.catalogue.has_sides  # a mirrored left face is an animal that isn't there
    settings = TrainingSettings.from_flags(args)
    return Experiment(classed, names, study.identity, questions, settings, flip, run, study)


def classes_experiment(
    pixels: np.ndarray,
    photos: ClassPhotos,
    parts: Mapping[str, np.ndarray],
    args: Namespace,
    run: Run | None = None,
    **changes: object,
) -> Experiment:
    """An experiment on photos of classes, such as breeds, that have nothing to do with each other.

    Each photo counts as an individual of its own, so that intervals resample photos; a mirrored
    photo shows the same class.

    Args:
        pixels: uint8, shape (n_images, side, side, 3).
        args: flags, see `TrainingSettings.from_flags`; changes too.
    """
    each = np.arange(len(photos.labels))
    questions = Questions.of_closed_set(parts["train"], parts["validation"], parts["test"])
    labels, names, encounters = photos.labels, np.array(photos.names), each.astype(str)
    facts = (names[labels], encounters, questions.train, len(names), "Classes: as the folders.")
    classed = ClassedPhotos(pixels, labels, *facts)
    settings = TrainingSettings.from_flags(args, **changes)
    return Experiment(classed, photos.names, each, questions, settings, flip=True, run=run)
