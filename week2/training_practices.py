"""Training practices: what does each buy, here?

Question: warm-up, schedules, smoothing, dropout, mixing of photos and the rest are said to help.
Which of them can be told from chance on a few hundred photos?

    python week2/training_practices.py
    python week2/training_practices.py --switches "no warm-up,MixUp,running mean of weights"

One recipe is the base: the last three stages and a linear head, AdamW, cosine schedule after one
epoch of warm-up, weight decay, smoothed labels, clipped gradients, patches hidden in some photos.
Each row changes one thing and nothing else, with the same seeds. With no argument: the embedded
turtles, three seeds, about 40 minutes on two laptop cores (the script says how many here
before it starts). You should see few differences that are not zero within their interval: that is
the finding. The base with other seeds is a row too; it shows what "no difference" looks like.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from common.cli import add_flag, list_of, make_parser, one_of, shared_flags
from common.data.images import training_transform
from common.data.sampling import ShuffledBatchSampler
from common.ending import run_script
from common.experiments.experiment import Approach, Experiment, Planned, catalogue_experiment
from common.experiments.trials import Trial, closed_set_table, compare
from common.measures.intervals import interval_columns
from common.models.backbones import Backbone, load_backbone
from common.models.heads import linear_classifier
from common.runs import describe_split, start_run
from common.splits.study import open_study
from common.training.losses import cross_entropy
from common.training.optim import Rates
from common.training.strategies import Step
from common.visualization.bars import interval_chart
from common.words import expected_time

import numpy as np
import pandas as pd
from torch import nn
from torchvision.transforms import v2

BASE, CONTROL = "base", "base, other seeds"
HEAD_WITH_DROPOUT = partial(linear_classifier, dropout=0.3)


@dataclass(frozen=True)
class Switch:
    """One change to the base recipe.

    Attributes:
        settings, rates: fields of `TrainingSettings` and of `Rates`.
        approach: options of `Experiment.approach`, and "erasing".
        special: what needs the experiment: "sharp labels", "balanced", "mixup", "cutmix" or
            "resting norms".
    """

    name: str
    change: str = ""
    settings: Mapping = field(default_factory=dict)
    rates: Mapping = field(default_factory=dict)
    approach: Mapping = field(default_factory=dict)
    special: str = ""


SWITCHES = (
    Switch("no warm-up", "1 to 0 epochs", {"warmup_epochs": 0.0}),
    Switch("step schedule", "cosine to a tenth after each third", {"schedule": "step"}),
    Switch("plateau schedule", "cosine to half when validation stalls", {"schedule": "plateau"}),
    Switch("one-cycle schedule", "cosine to one cycle", {"schedule": "one_cycle"}),
    Switch("constant rate", "cosine to constant", {"schedule": "constant"}),
    Switch("early stopping", "never to 2 epochs of patience", {"patience": 2}),
    Switch("no weight decay", "0.01 to 0", rates={"weight_decay": 0.0}),
    Switch("strong weight decay", "0.01 to 0.3", rates={"weight_decay": 0.3}),
    Switch("layer-wise decay", "rate × 1 to × 0.7 per stage", rates={"layer_decay": 0.7}),
    Switch("batch norm at rest", "batches' to ImageNet's means", special="resting norms"),
    Switch("dropout", "0 to 0.3 before the head", approach={"new_head": HEAD_WITH_DROPOUT}),
    Switch("PyTorch's head start", "small to uniform weights", approach={"new_head": nn.Linear}),
    Switch("no label smoothing", "0.1 to 0", special="sharp labels"),
    Switch("no gradient clipping", "norm 5 to none", {"clip_norm": None}),
    Switch("no random erasing", "0.3 to 0 of the photos", approach={"erasing": 0.0}),
    Switch("MixUp", "off to α 0.2", approach={"n_views": 0}, special="mixup"),
    Switch("CutMix", "off to α 1", approach={"n_views": 0}, special="cutmix"),
    Switch("weighted sampler", "each photo to each animal alike", special="balanced"),
    Switch("running mean of weights", "off to decay 0.95", {"ema_decay": 0.95}),
    Switch("mixed precision", "32 to 16 bits (bf16)", {"mixed_precision": "bf16"}),
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    shared_flags(parser, "data_dir", "model", "weights", "split", "split_column", "image_size")
    shared_flags(parser, "batch_size", "unfreeze", "cached_views", "seeds", "device", "output_dir")
    shared_flags(parser, "smoke", epochs=8, learning_rate=1e-3)
    names = [switch.name for switch in SWITCHES]
    words = "what to try (default: everything)"
    add_flag(parser, "switches", list_of(one_of(names)), "NAME,...", words, names)
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 1, 32, args.seeds[:1]
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run = start_run(__file__, args)

    # Data and split, and how much the split gives away.
    study = open_study(args)
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    experiment = catalogue_experiment(study, args, backbone, run=run)

    # The base recipe, the same with other seeds as a control, and every change to it.
    changes = [switch for switch in SWITCHES if switch.name in args.switches]
    switches = [Switch(BASE), Switch(CONTROL), *changes]
    approaches = [approach_with(switch, backbone, args, experiment) for switch in switches]
    planned = [Planned(approach, len(args.seeds)) for approach in approaches]
    print(f"Expected: {expected_time(experiment.expected_minutes(planned))}.")

    # Train each with every seed; validation chooses the epoch, the test is asked once.
    other_seeds = [max(args.seeds) + 1 + index for index in range(len(args.seeds))]
    trials = []
    for switch, approach in zip(switches, approaches, strict=True):
        for seed in other_seeds if switch.name == CONTROL else args.seeds:
            options = special_options(switch.special, experiment, seed)
            trained = experiment.train(approach, seed, **options)
            trials.append(experiment.ask(approach, seed, trained))

    # What each bought.
    table = practice_table(trials, changes)
    bought = table[table["practice"] != BASE]
    figure = interval_chart(
        bought,
        run.figure_path("practices.png"),
        value="bought",
        label="practice",
        value_name="accuracy on test photos minus the base's (95 % interval over animals)",
        chance=0.0,
        chance_name="no difference",
        limits=(bought["bought_low"].min() - 0.02, bought["bought_high"].max() + 0.04),
    )
    seeds, others = (", ".join(map(str, own)) for own in (args.seeds, other_seeds))
    return run.finish(
        metrics={"practices": table, "trials": trials},
        split=describe_split(study.split, study.leak),
        tables={"One change at a time": table},
        figures={"What each change bought": figure},
        notes=[
            *conclude(table),
            f"Means over seeds {seeds}; control: seeds {others}. MixUp and CutMix mix photos "
            "before the frozen stages, which therefore run in every epoch and take longer.",
        ],
        device=str(experiment.device),
    )


def approach_with(
    switch: Switch, backbone: Backbone, args: argparse.Namespace, experiment: Experiment
) -> Approach:
    """The base's plan with one change, behind the photos that the change asks for."""
    rates = Rates(head=2 * args.learning_rate, backbone=args.learning_rate)
    step = Step(args.unfreeze, args.epochs, replace(rates, **switch.rates), switch.settings)
    options = {"n_views": args.cached_views} | switch.approach
    if "erasing" in options:
        options["augment"] = training_transform(
            backbone.preprocessing, flip=experiment.flip, erasing=options.pop("erasing")
        )
    approach = experiment.approach(switch.name, backbone, [step], **options)
    if switch.special == "resting norms":
        for module in approach.behind.tail.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.requires_grad_(False)  # and so in evaluation mode while others train
    return approach


def special_options(special: str, experiment: Experiment, seed: int) -> dict:
    """What a change passes to training that is no number."""
    n_classes = len(experiment.class_names)
    if special == "sharp labels":
        return {"criterion": cross_entropy(label_smoothing=0.0)}
    if special == "balanced":
        labels = experiment.classed.labels[experiment.questions.train]
        rarity = 1 / np.bincount(labels, minlength=n_classes).clip(1)[labels]
        batch_size = experiment.settings.batch_size
        sampler = ShuffledBatchSampler(len(labels), batch_size, seed, weights=rarity)
        return {"batch_sampler": sampler}
    if special == "mixup":
        return {"mix": v2.MixUp(alpha=0.2, num_classes=n_classes)}
    if special == "cutmix":
        return {"mix": v2.CutMix(alpha=1.0, num_classes=n_classes)}
    return {}


def practice_table(trials: list[Trial], changes: list[Switch]) -> pd.DataFrame:
    """One row per change: accuracy, and what it bought against the base."""
    table = closed_set_table(trials).rename(columns={"name": "practice"}).drop(columns="macro F1")
    words = {switch.name: switch.change for switch in changes}
    table.insert(1, "change", [words.get(name) for name in table["practice"]])
    gaps = [
        interval_columns("bought", compare(trials, name, BASE, same_seeds=name != CONTROL).interval)
        if name != BASE
        else dict.fromkeys(("bought", "bought_low", "bought_high"), np.nan)
        for name in table["practice"]
    ]
    return table.join(pd.DataFrame(gaps))


def conclude(table: pd.DataFrame) -> list[str]:
    """Which changes can be told from nothing."""
    changed = table[~table["practice"].isin([BASE, CONTROL])]
    better = changed[changed["bought_low"] > 0]["practice"]
    worse = changed[changed["bought_high"] < 0]["practice"]
    unclear = len(changed) - len(better) - len(worse)
    return [
        f"Better than the base: {', '.join(better) or 'none'}.",
        f"Worse than the base: {', '.join(worse) or 'none'}.",
        f"Not distinguishable from the base: {unclear} of {len(changed)} changes. Of so many, one "
        "in twenty would look different by chance alone.",
    ]


if __name__ == "__main__":
    run_script(main)
