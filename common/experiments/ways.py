"""Ways to answer a closed-set task: a classifier under any plan, and a Siamese network."""

from collections.abc import Callable, Sequence

from common.data.sampling import identity_batches
from common.experiments.closed_set import Outcome, Task
from common.gallery.gallery import identity_scores
from common.measures.classification import evaluate_classification
from common.models.backbones import Backbone, restart
from common.models.heads import linear_classifier
from common.training.boundary import PhotosAtBoundary
from common.training.loop import TrainingSettings
from common.training.losses import Contrastive
from common.training.recipes import Trained, train_embedding
from common.training.strategies import Step, fine_tune, photos_for_plan

import numpy as np
import torch

WITH_VALIDATION = 1.2  # seconds of an epoch with its validation, over those without
MOST_OF_ONE = 4  # photos of one animal in a Siamese batch


class Way:
    """A backbone under a plan, ready to be trained with any seed.

    Args:
        name: in tables.
        backbone: pre-trained; stays as it is.
        plan: which stages train when.
        task: what to learn.
        from_scratch: the backbone begins with the random numbers of each seed.
        photo_options: n_views, plain_first, augment of `PhotosAtBoundary`.
    """

    def __init__(
        self,
        name: str,
        backbone: Backbone,
        plan: Sequence[Step],
        task: Task,
        *,
        from_scratch: bool = False,
        **photo_options: object,
    ) -> None:
        self.name, self.backbone, self.task = name, backbone, task
        self.plan, self.from_scratch = plan, from_scratch
        self.photos = photos_for_plan(
            backbone, plan, task.pixels, task.labels, task.train,
            asked_rows=np.concatenate([task.validation, task.test]),
            flip=task.flip, device=task.device, **photo_options,
        )  # fmt: skip

    def train(
        self,
        settings: TrainingSettings,
        *,
        train_rows: np.ndarray | None = None,
        new_head: Callable[[int, int], torch.nn.Module] = linear_classifier,
        **options: object,
    ) -> tuple[Outcome, Trained]:
        """Train, choose on validation photos, and ask about the test photos.

        Args:
            settings: how to train; its seed fixes the head and, from scratch, the backbone.
            train_rows: some of the task's; None: all of them.
            new_head: (n_features, n_classes) to a head.
            options: of `common.training.recipes.train_classifier`.

        Returns:
            The outcome, and the model behind the last step's boundary, `self.photos[-1]`.
        """
        task, behind = self.task, self.photos[-1]
        if self.from_scratch:
            for photos in self.photos:
                restart(photos.tail, settings.seed)
        torch.manual_seed(settings.seed)
        trained = fine_tune(
            self.plan, self.photos, head=new_head(behind.n_features, len(task.names)),
            settings=settings, train_rows=task.train if train_rows is None else train_rows,
            validation_rows=task.validation, n_identities=len(task.names), **options,
        )  # fmt: skip
        scores = behind.outputs(trained.model, task.test)
        outcome = Outcome(
            name=self.name,
            seed=settings.seed,
            report=evaluate_classification(
                scores=scores, labels=task.labels[task.test], identities=task.names
            ),
            validation=self._named_right(trained.model, task.validation),
            seconds=trained.fit.seconds,
            history=trained.fit.history,
            best_epoch=trained.fit.best_epoch,
            scores=scores,
        )
        return outcome, trained

    def expected_seconds(self, n_runs: int) -> float:
        """Seconds of so many trainings on this machine, from half a second's trial of each part.

        Frozen stages that are in the cache already take less.
        """
        n_seen = WITH_VALIDATION * n_runs * len(self.task.train)
        return sum(
            photos.seconds_to_train(n_seen * step.epochs)
            for step, photos in zip(self.plan, self.photos, strict=True)
        )

    def _named_right(self, model: torch.nn.Module, rows: np.ndarray) -> np.ndarray:
        if not len(rows):
            return np.zeros(0, dtype=bool)
        return self.photos[-1].outputs(model, rows).argmax(axis=1) == self.task.labels[rows]


def train_siamese(
    photos: PhotosAtBoundary,
    task: Task,
    settings: TrainingSettings,
    *,
    train_rows: np.ndarray | None = None,
    margin: float = 1.0,
    name: str = "Siamese",
    **options: object,
) -> tuple[Outcome, Trained] | None:
    """Train a network that compares, and answer with the most similar training photo's class.

    Args:
        photos: behind the freeze boundary.
        task: what to learn.
        settings: how to train; a batch holds up to 4 photos of each animal.
        train_rows: some of the task's; None: all of them.
        margin: distance that photos of two animals should keep, up to 2.
        name: of the outcome.
        options: of `common.training.recipes.train_embedding`.

    Returns:
        The outcome and the model; None where no animal has two photos, as there is then no pair
        to pull together.
    """
    rows = task.train if train_rows is None else train_rows
    labels = task.labels[rows]
    if np.bincount(labels).max() < 2:
        return None
    sampler = identity_batches(
        labels, task.encounters[rows], batch_size=settings.batch_size, n_images=MOST_OF_ONE,
        seed=settings.seed,
    )  # fmt: skip
    trained = train_embedding(
        photos, photos.n_features, train_rows=rows, validation_rows=task.validation,
        n_identities=len(task.names), settings=settings, batch_sampler=sampler,
        criterion=Contrastive(negative_margin=margin), **options,
    )  # fmt: skip
    gallery = photos.outputs(trained.model, rows)

    def scores(asked: np.ndarray) -> np.ndarray:
        return identity_scores(
            photos.outputs(trained.model, asked), gallery,
            gallery_labels=labels, n_identities=len(task.names),
        )  # fmt: skip

    right = np.zeros(0, dtype=bool)
    if len(task.validation):
        right = scores(task.validation).argmax(axis=1) == task.labels[task.validation]
    report = evaluate_classification(
        scores=scores(task.test), labels=task.labels[task.test], identities=task.names
    )
    outcome = Outcome(
        name, settings.seed, report, right,
        trained.fit.seconds, trained.fit.history, trained.fit.best_epoch,
    )  # fmt: skip
    return outcome, trained
