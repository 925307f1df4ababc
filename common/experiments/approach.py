"""An approach: what is trained, whatever the seed."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.models.backbones import Backbone
from common.models.freezing import split_at_boundary
from common.models.heads import Recogniser, linear_classifier
from common.training.boundary import PhotosAtBoundary
from common.training.optim import Rates
from common.training.recipes import Trained, train_classifier
from common.training.strategies import Step

from torch import nn


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
