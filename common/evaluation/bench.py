"""Where approaches are trained and asked on equal terms: same photos, classes, settings, questions.

The scripts say which approaches, in which order; here is how one of them is trained and asked.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from common.data.images import PhotoDataset, evaluation_transform, read_photos
from common.data.sampling import identity_batches
from common.data.study import Study
from common.data.training_classes import ClassedPhotos, identity_of_classes, with_mirrors
from common.evaluation.clustering import cluster_test_photos, clusters_of
from common.evaluation.comparison import Trial
from common.evaluation.gallery import Gallery
from common.evaluation.questions import (
    PROBABILITY,
    Answers,
    Questions,
    ask_classifier,
    ask_embedding,
    ask_retrained,
    name_by_logits,
)
from common.training.boundary import PhotosAtBoundary
from common.training.feature_cache import extract
from common.training.loop import TrainingSettings
from common.training.losses import BatchHardTriplet
from common.training.recipes import Trained, train_classifier

MOST_OF_ONE = 4  # photos of one animal in a batch of the triplet loss


@dataclass(frozen=True)
class Bench:
    """What all trainings share.

    Attributes:
        study: photos with their split.
        questions: which photos train, and which ask what.
        classed: the same photos by the classes of training.
        photos: name to the photos behind a backbone's frozen stages.
        settings: how to train; the seed is that of each training.
        folder: of checkpoints.
    """

    study: Study
    questions: Questions
    classed: ClassedPhotos
    photos: dict[str, PhotosAtBoundary]
    settings: TrainingSettings
    folder: Path

    def training_rows(self, rows: np.ndarray) -> np.ndarray:
        """Rows of the catalogue, with their mirror images where these are classes."""
        return with_mirrors(self.classed, rows, self.study.catalogue.n_images)

    @property
    def identity_of_class(self) -> np.ndarray:
        """Label of the animal that each class names, shape (n_classes,); -1 for none."""
        return identity_of_classes(self.classed, self.study.labels)

    def checkpoint(self, title: str, seed: int) -> Path:
        """File of an approach's training, until the run is whole."""
        return self.folder / f"checkpoint_{title}_{seed}.pt"

    def outputs(self, name: str, model: nn.Module, rows: np.ndarray | None = None) -> np.ndarray:
        """What a model gives for photos of the catalogue, none of them mirrored; None: all."""
        everything = np.arange(self.study.catalogue.n_images)
        return self.photos[name].outputs(model, everything if rows is None else rows)

    def train(
        self,
        recipe: Callable[..., Trained],
        name: str,
        title: str,
        seed: int,
        *,
        rows: np.ndarray | None = None,
        epochs: int | None = None,
        validate: bool = True,
        **options: object,
    ) -> Trained:
        """Train one approach with one seed.

        Args:
            recipe: of `common.training.recipes`.
            name: of the photos.
            title: beside the progress bar, and of the checkpoint.
            seed: of training.
            rows: of the catalogue to train on; None: the training photos.
            epochs: None: as many as the settings say.
            validate: False: the last epoch is taken.
            options: of the recipe.
        """
        photos, questions = self.photos[name], self.questions
        return recipe(
            photos, photos.n_features,
            train_rows=self.training_rows(questions.train if rows is None else rows),
            validation_rows=questions.validation_known[: None if validate else 0],
            n_identities=self.classed.n_classes,
            settings=replace(self.settings, seed=seed, epochs=epochs or self.settings.epochs),
            title=f"seed {seed}, {title}", checkpoint=self.checkpoint(title, seed),
            **options,
        )  # fmt: skip

    def ask_classifier(self, name: str, title: str, seed: int, trained: Trained) -> Trial:
        """Ask a classifier; its groups of photos are those with one verdict."""
        logits = self.outputs(name, trained.model)
        answers = ask_classifier(
            logits, self.questions, self.study.catalogue, identity_of_class=self.identity_of_class
        )
        clusters = None
        if answers.rejections:
            verdicts = answers.rejections[PROBABILITY].verdict
            clusters = clusters_of(verdicts, self.study.identity[self.questions.test])
        fit = trained.fit
        return Trial(title, seed, answers, fit.seconds, history=fit.history, clusters=clusters)

    def retrain_classifier(
        self, name: str, title: str, seed: int, n_enrolled: tuple[int, ...]
    ) -> Trial:
        """Train a classifier again with the animals that joined, and ask it.

        Args:
            n_enrolled: photos of each new animal, ascending; a training for each number. The
                last one's answers about known animals, and its seconds, are the trial's.
        """
        joined_after = {}
        for n_photos in n_enrolled:
            rows = np.union1d(self.questions.train, self.questions.first_enrolled(n_photos))
            trained = self.train(
                train_classifier, name, f"{title}, {n_photos} photos", seed, rows=rows
            )
            answers = ask_retrained(
                self.outputs(name, trained.model), self.questions, self.study.catalogue,
                n_enrolled=n_photos, identity_of_class=self.identity_of_class,
            )  # fmt: skip
            joined_after |= answers.joined_after
        fit, answers = trained.fit, Answers(answers.known, joined_after)
        return Trial(title, seed, answers, fit.seconds, fit.seconds, fit.history)

    def embed(self, name: str, model: nn.Module) -> tuple[np.ndarray, float]:
        """What a model makes of all photos, and what it takes to enrol one animal with it.

        Returns:
            embeddings: shape (n_images, embedding_dim), unit length.
            seconds: from the photo files of one animal that joined to a gallery that knows it;
                nan where nobody joined.
        """
        embeddings = _unit_length(self.outputs(name, model))
        return embeddings, self._seconds_to_enrol(name, model)

    def search(
        self,
        title: str,
        seed: int,
        embeddings: np.ndarray,
        enrolling: float,
        trained: Trained | None = None,
        *,
        by_means: bool = False,
    ) -> Trial:
        """Ask what searches.

        Args:
            title: of the approach.
            seed: of training.
            embeddings, enrolling: what `embed` gives.
            trained: where they come from; None: nothing is trained.
            by_means: compare with each animal's mean in place of its photos.
        """
        questions = self.questions
        answers = ask_embedding(embeddings, questions, self.study.catalogue, by_means=by_means)
        clusters = None
        if not by_means:  # photos are grouped alike, however one of them is named
            clusters = cluster_test_photos(
                embeddings, self.study.identity,
                validation=questions.validation, test=questions.test,
            )  # fmt: skip
        seconds, history = (trained.fit.seconds, trained.fit.history) if trained else (0.0, ())
        return Trial(title, seed, answers, seconds, enrolling, history, clusters)

    def name_by_classifier(self, name: str, trained: Trained, train: np.ndarray, asked: np.ndarray):
        """Names of the asked photos by a classifier that was trained on some rows."""
        logits = self.outputs(name, trained.model, asked)
        return name_by_logits(logits, train, self.study.catalogue, self.identity_of_class)

    def name_by_search(self, name: str, trained: Trained, train: np.ndarray, asked: np.ndarray):
        """Names of the asked photos by the most alike training photo."""
        gallery = Gallery(trained.head.embedding_dim)
        gallery.enrol(self.outputs(name, trained.model, train), self.study.identity[train])
        return gallery.identify(self.outputs(name, trained.model, asked))[0]

    @property
    def can_form_triplets(self) -> bool:
        """Whether two classes at least have two training photos each."""
        labels = self.classed.labels[self.training_rows(self.questions.train)]
        return np.count_nonzero(np.bincount(labels) > 1) > 1

    def triplets(self, seed: int) -> dict:
        """Triplet loss, and batches with several photos of an animal, without which it is blind."""
        rows = self.training_rows(self.questions.train)
        batches = identity_batches(
            self.classed.labels[rows], self.classed.encounters[rows],
            batch_size=self.settings.batch_size, n_images=MOST_OF_ONE, seed=seed,
        )  # fmt: skip
        return {"criterion": BatchHardTriplet(), "batch_sampler": batches}

    def _seconds_to_enrol(self, name: str, model: nn.Module) -> float:
        study, enrolled, photos = self.study, self.questions.enrolled, self.photos[name]
        if not len(enrolled):
            return float("nan")
        rows = enrolled[study.identity[enrolled] == study.identity[enrolled[0]]]
        paths = [study.catalogue.paths()[row] for row in rows]
        network = nn.Sequential(photos.trunk, model)
        plain = evaluation_transform(photos.preprocessing)

        start = time.perf_counter()
        pixels = read_photos(paths, photos.preprocessing.stored_size, progress=False)
        dataset = PhotoDataset(pixels, study.labels[rows], plain)
        vectors = extract(network, dataset, device=photos.device, progress=False)
        Gallery(vectors.shape[1]).enrol(_unit_length(vectors), study.identity[rows])
        return time.perf_counter() - start


def _unit_length(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)
