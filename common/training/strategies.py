"""Fine-tuning strategies: which stages of a backbone train, in which epochs.

A plan is a list of steps, "so many last stages for so many epochs"; every strategy is one.
"""

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.errors import InputError
from common.models.backbones import Backbone
from common.models.freezing import freeze_stages, stages_of
from common.training.boundary import PhotosAtBoundary
from common.training.loop import FitResult, TrainingSettings
from common.training.optim import Rates
from common.training.recipes import Trained, train_classifier

import pandas as pd
from torch import nn

STRATEGIES = ("freeze", "partial", "full", "progressive")


@dataclass(frozen=True)
class Step:
    """One step of a plan.

    Attributes:
        n_trainable: last stages of the backbone that train; 0: the head alone, None: all.
        rates: of this step alone; None: those of the whole plan.
        settings: fields of `TrainingSettings` that this step alone has otherwise, by name.
    """

    n_trainable: int | None
    epochs: int
    rates: Rates | None = field(default=None, repr=False)
    settings: Mapping[str, object] = field(default_factory=dict, repr=False)


def plan_of(strategy: str, epochs: int, unfreeze: int) -> list[Step]:
    """The plan of one of `STRATEGIES`.

    "progressive" is the classic recipe in three steps: the head alone, so that no gradient of
    a random head reaches the backbone; then the last stages too; then everything. The first
    two steps prepare the third and are short: a twelfth and a sixth of the epochs.

    Args:
        unfreeze: last stages that "partial", and the second step of "progressive", train.

    Raises:
        InputError: fewer epochs than steps.

    >>> [(step.n_trainable, step.epochs) for step in plan_of("progressive", 12, unfreeze=3)]
    [(0, 1), (3, 2), (None, 9)]
    """
    if strategy != "progressive":
        return [Step({"freeze": 0, "partial": unfreeze, "full": None}[strategy], epochs)]
    if epochs < 3:
        raise InputError(f"--epochs {epochs}: a progressive plan has three steps, give 3 or more")
    first, second = max(1, epochs // 12), max(1, epochs // 6)
    return [Step(0, first), Step(unfreeze, second), Step(None, epochs - first - second)]


def read_plan(text: str) -> list[Step]:
    """Read a plan such as "0:2,3:4,all:6": last stages that train, and for how many epochs.

    Raises:
        InputError: not of this form, or a later step that trains fewer stages.

    >>> read_plan("0:2,all:6")[1]
    Step(n_trainable=None, epochs=6)
    """
    try:
        parts = [part.split(":") for part in text.replace(" ", "").split(",")]
        plan = [Step(None if n == "all" else int(n), int(epochs)) for n, epochs in parts]
    except ValueError:
        plan = []
    if not plan or any(step.epochs < 1 or (step.n_trainable or 0) < 0 for step in plan):
        raise InputError(
            f"--plan {text}: expected steps such as 0:2,3:4,all:6 (last stages that train, 0 for "
            "the head alone, and for how many epochs)"
        )
    for step, following in itertools.pairwise(plan):
        earlier, later = step.n_trainable, following.n_trainable
        if earlier is None or (later is not None and later <= earlier):
            raise InputError(f"--plan {text}: every step must free more stages than the one before")
    return plan


def photos_for_plan(
    backbone: Backbone, plan: Sequence[Step], *arguments: object, **options: object
) -> list[PhotosAtBoundary]:
    """The photos behind the freeze boundary of each step; the backbone stays as it is."""
    photos = []
    for step in plan:
        own = copy.deepcopy(backbone)
        freeze_stages(own, step.n_trainable)
        photos.append(PhotosAtBoundary(own, *arguments, **options))
    return photos


def fine_tune(
    plan: Sequence[Step],
    photos: Sequence[PhotosAtBoundary],
    *,
    head: nn.Module,
    settings: TrainingSettings,
    checkpoint: Path | None = None,
    title: str = "training",
    **options: object,
) -> Trained:
    """Train head and backbone step by step; each goes on with the best weights of the last.

    Args:
        photos: of `photos_for_plan`; their pre-trained tails stay as they are.
        head: features to scores; trained in place.
        settings: of each step, unless the step says otherwise; its epochs are the plan's, and
            each step has its own schedule.
        checkpoint: file that a killed run continues from; one per step is written beside it.

    Returns:
        The model behind the last step's boundary; its history counts epochs through all steps.
    """
    tail, fits = None, []
    for index, (step, behind) in enumerate(zip(plan, photos, strict=True)):
        tail = _grown(behind.tail, tail)
        trained = train_classifier(
            behind, tail=tail, head=head,
            settings=replace(settings, epochs=step.epochs, **step.settings),
            title=f"{title}, {words_of(step)}" if len(plan) > 1 else title,
            checkpoint=checkpoint and checkpoint.with_stem(f"{checkpoint.stem}_{index}"),
            **options | ({"rates": step.rates} if step.rates else {}),
        )  # fmt: skip
        fits.append(trained.fit)
    return Trained(tail, head, joined(fits))


def words_of(step: Step) -> str:
    """What trains in a step, for people.

    >>> words_of(Step(3, epochs=1))
    'head and last 3 stages'
    """
    if step.n_trainable is None:
        return "all stages"
    stages = f"last {step.n_trainable} stages" if step.n_trainable > 1 else "last stage"
    return f"head and {stages}" if step.n_trainable else "head alone"


def _grown(pristine: nn.Sequential, trained: nn.Sequential | None) -> nn.Sequential:
    """A longer tail whose end has been trained already."""
    tail = copy.deepcopy(pristine)
    if trained is not None:
        end = nn.Sequential(*list(tail)[len(tail) - len(trained) :])
        end.load_state_dict(nn.Sequential(*trained).state_dict())
    return tail


def joined(fits: Sequence[FitResult]) -> FitResult:
    """One history of all steps; what was chosen is the last step's."""
    history = []
    for index, part in enumerate(fits):
        offset = len(history)
        history += [
            row | {"epoch": offset + row["epoch"], "step": index + 1} for row in part.history
        ]
    last = fits[-1]
    return replace(
        last,
        history=history,
        best_epoch=len(history) - len(last.history) + last.best_epoch,
        seconds=sum(part.seconds for part in fits),
    )


def stage_table(backbone: Backbone, head: nn.Module, groups: Sequence[dict]) -> pd.DataFrame:
    """What is frozen, how many parameters train, and at which rate, stage by stage.

    Args:
        groups: of the optimiser; what is in none of them rests.

    Returns:
        Columns stage, first and last layer, parameters, trained, learning rate; the head last.
    """
    rate_of = {id(each): group["lr"] for group in groups for each in group["params"]}
    rows = []
    for stage in stages_of(backbone):
        own = [backbone.network.get_parameter(name) for name in stage.parameter_names]
        name = "stem" if stage.index == 0 else str(stage.index)
        rows.append({"stage": name, "layers": _span(stage.parameter_names)} | _count(own, rate_of))
    rows.append({"stage": "head", "layers": "new"} | _count(list(head.parameters()), rate_of))
    return pd.DataFrame(rows)


def _count(parameters: Sequence[nn.Parameter], rate_of: Mapping[int, float]) -> dict:
    rates = [rate_of[id(each)] for each in parameters if id(each) in rate_of]
    return {
        "parameters": sum(each.numel() for each in parameters),
        "trained": sum(each.numel() for each in parameters if id(each) in rate_of),
        "learning rate": f"{max(rates):.1e}" if rates else None,
    }


def _span(parameter_names: Sequence[str]) -> str:
    """First and last layer of a stage: "blocks.1.0.conv_pw to blocks.1.1.bn3"."""
    first, last = (name.rsplit(".", 1)[0] for name in (parameter_names[0], parameter_names[-1]))
    return first if first == last else f"{first} to {last}"
