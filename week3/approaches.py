"""The approaches that `compare_approaches.py` trains, and the terms that validation chooses.

Classifier and embedding get the same backbone, and choose their learning rate and what a class is
from the same few, each by a short training.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace

from common.experiments import three_questions
from common.experiments.class_choice import kinds_to_try, trial_epochs
from common.experiments.experiment import Approach, Experiment
from common.models.backbones import SCRATCH_CNN, Backbone, load_backbone
from common.training.optim import Rates
from common.training.recipes import train_embedding
from common.training.strategies import Step

import numpy as np

FROZEN_VIEWS = 2  # random views per training photo at most; a head alone needs fewer
SCRATCH_SIDE = 64  # pixels; a network from scratch learns no more from larger photos here
RATES = (1e-3, 2e-3)  # of the backbone, of which validation chooses; the head's is twice it

SCRATCH, FROZEN_HEAD = "small CNN from scratch", "frozen, linear head"
CLASSIFIER, AGAIN = "classifier", "classifier, trained again"
TRIPLET, ARCFACE = "triplet embedding", "ArcFace embedding"


@dataclass(frozen=True)
class Terms:
    """How an approach is trained."""

    experiment: Experiment
    approaches: Mapping[str, Approach]

    @classmethod
    def of(
        cls, args: argparse.Namespace, experiment: Experiment, backbone: Backbone, rate: float
    ) -> "Terms":
        """All approaches, the tuned ones at a rate of `RATES`."""
        scratch = load_backbone(SCRATCH_CNN, image_size=min(SCRATCH_SIDE, args.image_size))
        views, few = args.cached_views, min(FROZEN_VIEWS, args.cached_views)
        everything, head = ([Step(n_stages, args.epochs)] for n_stages in (None, 0))
        options = {"from_scratch": True, "n_views": views}
        floors = [
            experiment.approach(SCRATCH, scratch, everything, **options),
            experiment.approach(FROZEN_HEAD, backbone, head, n_views=few),
        ]
        tuned = tuned_approaches(args, experiment, backbone, rate, args.epochs)
        return cls(experiment, {own.name: own for own in floors} | tuned)


def tuned_approaches(
    args: argparse.Namespace, experiment: Experiment, backbone: Backbone, rate: float, epochs: int
) -> dict[str, Approach]:
    """Those on the same last stages, which differ in what the head learns."""
    options = {"rates": Rates(head=2 * rate, backbone=rate), "n_views": args.cached_views}
    tuned = experiment.approach(CLASSIFIER, backbone, [Step(args.unfreeze, epochs)], **options)
    embeddings = {
        name: replace(tuned, name=name, recipe=train_embedding) for name in (TRIPLET, ARCFACE)
    }
    return {CLASSIFIER: tuned, AGAIN: replace(tuned, name=AGAIN)} | embeddings


def choose_terms(
    args: argparse.Namespace, experiment: Experiment, backbone: Backbone, name: str
) -> tuple[Terms, list[dict]]:
    """Let validation choose an approach's learning rate, and then what a class is.

    Without validation photos of known animals, the first rate is taken, and the classes that learn
    from most photos.

    Returns:
        The terms, and a row for each short training.
    """
    kinds, right = kinds_to_try(args.classes, experiment.study.catalogue), {}

    def best(*terms: tuple[str, float]) -> tuple[str, float]:
        for each in terms:
            if each not in right:
                right[each] = share_right(args, experiment, backbone, name, *each)
        return max(terms, key=right.get)

    chosen = kinds[-1], RATES[0]
    if len(experiment.questions.validation_known):
        _, rate = best(*((kinds[0], each) for each in RATES))
        chosen = best(*((kind, rate) for kind in kinds))
    rows = [
        {"approach": name, "classes": classes, "learning rate": f"{rate:g}"}
        | {"validation photos named right": share, "chosen": (classes, rate) == chosen}
        for (classes, rate), share in right.items()
    ]
    return Terms.of(args, experiment.with_classes(chosen[0]), backbone, chosen[1]), rows


def share_right(
    args: argparse.Namespace,
    experiment: Experiment,
    backbone: Backbone,
    name: str,
    classes: str,
    rate: float,
) -> float:
    """Share of validation photos of known animals, of any side, named right after few epochs."""
    own, questions = experiment.with_classes(classes), experiment.questions
    approach = tuned_approaches(args, own, backbone, rate, trial_epochs(args.epochs))[name]
    title = f"a trial of {name}, {classes}, rate {rate:g}"
    trained, asked = own.train(approach, args.seeds[0], title=title), questions.validation_known
    named = three_questions.name_photos(own, approach, trained, questions.train, asked)
    return float(np.mean(named == own.identity[asked]))
