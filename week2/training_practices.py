"""Training practices: what does each buy, here?

Question: warm-up, schedules, smoothing, dropout, mixing of photos and the rest are said to help.
Which of them can be told from chance on a few hundred photos?

    python week2/training_practices.py
    python week2/training_practices.py --switches "no warm-up,MixUp,running mean of weights"

One recipe is the base: the last three stages and a linear head, AdamW, cosine schedule after one
epoch of warm-up, weight decay, smoothed labels, clipped gradients, patches hidden in some photos.
Each row changes one thing and nothing else, with the same seeds. With no argument: the embedded
turtles, three seeds, about half an hour on two laptop cores (the script says how many here
before it starts). You should see few differences that are not zero within their interval: that is
the finding. The base with other seeds is a row too; it shows what "no difference" looks like.
"""

import argparse
from dataclasses import dataclass, field

import numpy as np

from common.cli import make_parser, run_script, shared_flags, whole_number
from common.own_files import remove_own

BASE, CONTROL = "base", "base, other seeds"


@dataclass(frozen=True)
class Switch:
    """One change to the base recipe.

    Attributes:
        name: in tables.
        change: from and to, in words.
        settings: of `TrainingSettings` that differ.
        rates: of `Rates` that differ.
        photos: of `PhotosAtBoundary` that differ.
        special: name of what is no number: "dropout", "plain head", "sharp labels", "balanced",
            "mixup", "cutmix" or "resting norms".
    """

    name: str
    change: str
    settings: dict = field(default_factory=dict)
    rates: dict = field(default_factory=dict)
    photos: dict = field(default_factory=dict)
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
    Switch("dropout", "0 to 0.3 before the head", special="dropout"),
    Switch("PyTorch's head start", "small to uniform weights", special="plain head"),
    Switch("no label smoothing", "0.1 to 0", special="sharp labels"),
    Switch("no gradient clipping", "norm 5 to none", {"clip_norm": None}),
    Switch("no random erasing", "0.3 to 0 of the photos", photos={"erasing": 0.0}),
    Switch("MixUp", "off to α 0.2", photos={"n_views": 0}, special="mixup"),
    Switch("CutMix", "off to α 1", photos={"n_views": 0}, special="cutmix"),
    Switch("weighted sampler", "each photo to each animal alike", special="balanced"),
    Switch("running mean of weights", "off to decay 0.95", {"ema_decay": 0.95}),
    Switch("mixed precision", "32 to 16 bits (bf16)", {"mixed_precision": "bf16"}),
)


def switch_list(text: str) -> list[str]:
    """Read `--switches`: names with commas between."""
    known = [switch.name for switch in SWITCHES]
    names = [part.strip() for part in text.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"found '{unknown[0]}', expected some of {known}")
    return names


def parse_args(argv: list[str] | None = None):
    parser = make_parser(__doc__)
    shared_flags(
        parser,
        "data_dir", "model", "weights", "split", "split_column", "image_size", "batch_size",
        "cached_views", "seeds", "device", "output_dir", "smoke",
        epochs=8, learning_rate=1e-3,
    )  # fmt: skip
    parser.add_argument(
        "--switches", type=switch_list, metavar="NAME,...",
        default=[switch.name for switch in SWITCHES], help="what to try (default: everything)",
    )  # fmt: skip
    parser.add_argument(
        "--unfreeze", type=whole_number(0, 100), default=3, metavar="N",
        help="last stages of the backbone that train (default: %(default)s)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 1, 32, args.seeds[:1]
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    from common.data.study import open_study
    from common.evaluation.closed_set import task_of
    from common.models.backbones import load_backbone
    from common.runs import describe_split, start_run
    from common.visualization.bars import interval_chart

    run = start_run(__file__, args)

    # Data and split, model, the base recipe and every change to it.
    study = open_study(args)
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    task = task_of(study, backbone.preprocessing.stored_size, args.device)
    switches = [switch for switch in SWITCHES if switch.name in args.switches]
    ways = {switch.name: way_of(switch, backbone, task, args) for switch in switches}
    base = way_of(Switch(BASE, ""), backbone, task, args)
    n_ways = 2 + len(ways)
    minutes = base.expected_seconds(len(args.seeds) * n_ways) / 60 + 0.5
    print(f"Expected: about {minutes:.0f} minutes.")

    # Train the base, the base with other seeds, and every change; test once each.
    outcomes = train(Switch(BASE, ""), base, args, args.seeds, run.folder)
    others = [max(args.seeds) + 1 + index for index in range(len(args.seeds))]
    outcomes += train(Switch(CONTROL, ""), base, args, others, run.folder)
    for switch in switches:
        outcomes += train(switch, ways[switch.name], args, args.seeds, run.folder)

    # What each bought.
    table = table_of(outcomes, switches, task)
    bought = table[table["practice"] != BASE]
    return run.finish(
        metrics={"practices": table, "outcomes": [outcome.to_dict() for outcome in outcomes]},
        split=describe_split(study.split, study.leak),
        tables={"One change at a time": table},
        figures={
            "What each change bought": interval_chart(
                bought, run.figure_path("practices.png"), value="bought", label="practice",
                value_name="accuracy on test photos minus the base's (95 % interval over animals)",
                chance=0.0, chance_name="no difference",
                limits=(bought["bought_low"].min() - 0.02, bought["bought_high"].max() + 0.04),
            )
        },
        notes=[
            *conclude(table),
            f"Means over seeds {', '.join(map(str, args.seeds))}; control: seeds "
            f"{', '.join(map(str, others))}. MixUp and CutMix mix photos before the frozen stages, "
            "which therefore run in every epoch and take longer.",
        ],
        device=str(task.device),
    )  # fmt: skip


def way_of(switch: Switch, backbone, task, args):
    """The base's plan, behind the photos that a change asks for."""
    from torch import nn

    from common.data.images import training_transform
    from common.evaluation.ways import Way
    from common.training.strategies import Step

    options = {"n_views": args.cached_views} | switch.photos
    if "erasing" in options:
        options["augment"] = training_transform(
            backbone.preprocessing, flip=task.flip, erasing=options.pop("erasing")
        )
    way = Way(switch.name, backbone, [Step(args.unfreeze, args.epochs)], task, **options)
    if switch.special == "resting norms":
        for module in way.photos[-1].tail.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.requires_grad_(False)  # and so in evaluation mode while others train
    return way


def train(switch: Switch, way, args, seeds: list[int], folder) -> list:
    """The base recipe with one change, with every seed."""
    from dataclasses import replace

    from common.training.loop import TrainingSettings
    from common.training.optim import Rates

    rates = Rates(head=2 * args.learning_rate, backbone=args.learning_rate)
    outcomes = []
    for seed in seeds:
        settings = TrainingSettings(
            epochs=args.epochs, batch_size=args.batch_size, seed=seed, device=args.device
        )
        outcome, _ = way.train(
            replace(settings, **switch.settings), rates=replace(rates, **switch.rates),
            title=f"{switch.name}, seed {seed}", checkpoint=folder / "last.pt",
            **special_options(switch.special, way.task, seed, args.batch_size),
        )  # fmt: skip
        outcomes.append(replace(outcome, name=switch.name))
        remove_own(folder, "last*.pt")  # what is trained need not be resumed
    return outcomes


def special_options(special: str, task, seed: int, batch_size: int) -> dict:
    """What a change passes to training that is no number."""
    from torch import nn
    from torchvision.transforms import v2

    from common.data.sampling import ShuffledBatchSampler
    from common.models.heads import linear_classifier
    from common.training.losses import cross_entropy

    n_classes = len(task.names)
    labels = task.labels[task.train]
    rarity = 1 / np.bincount(labels, minlength=n_classes).clip(1)[labels]
    return {
        "": {},
        "resting norms": {},
        "dropout": {"new_head": lambda n, k: linear_classifier(n, k, dropout=0.3)},
        "plain head": {"new_head": nn.Linear},
        "sharp labels": {"criterion": cross_entropy(label_smoothing=0.0)},
        "balanced": {
            "batch_sampler": ShuffledBatchSampler(len(labels), batch_size, seed, weights=rarity)
        },
        "mixup": {"mix": v2.MixUp(alpha=0.2, num_classes=n_classes)},
        "cutmix": {"mix": v2.CutMix(alpha=1.0, num_classes=n_classes)},
    }[special]


def table_of(outcomes: list, switches: list[Switch], task):
    """One row per change: accuracy, and what it bought against the base."""
    from common.evaluation.closed_set import difference, summarise_outcomes
    from common.tables import interval_columns

    table = summarise_outcomes(outcomes, task.individuals[task.test]).rename(
        columns={"name": "practice"}
    )
    changes = {switch.name: switch.change for switch in switches}
    table.insert(1, "change", [changes.get(name) for name in table["practice"]])
    gaps = [
        interval_columns(
            "bought", difference(outcomes, name, BASE, task.individuals[task.test])
        ) if name != BASE else {}
        for name in table["practice"]
    ]  # fmt: skip
    for column in ("bought", "bought_low", "bought_high"):
        table[column] = [gap.get(column, np.nan) for gap in gaps]
    return table.drop(columns="macro F1")


def conclude(table) -> list[str]:
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
