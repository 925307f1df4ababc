"""Compare architectures: which backbone is worth its cost?

Question: does a larger network tell animals apart better, and what does it ask in return?

    python week2/compare_architectures.py
    python week2/compare_architectures.py --data_dir path/to/dataset --output_dir runs/comparison
    python week2/compare_architectures.py --models resnet18,mobilenet_v2 \
        --weights mobilenet_v2=path/to/mobilenet_v2.safetensors

With no argument: the embedded turtles; week 1's network from scratch, the three backbones that are
installed, and four more where their weights are in reach (a row says "skipped" where they are
not); each frozen and with its last stages trained, three seeds. Less than ten minutes on two laptop
cores; the script says how many here before it starts. You should see fine-tuning matter more than
the choice of the backbone. The recommendation is made on validation photos; test photos confirm it.
"""

import argparse

from common.cli import local_path, make_parser, plain_word, run_script, shared_flags, whole_number
from common.own_files import remove_own

MODELS = (
    "small_cnn", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2",
    "resnet18", "resnet50", "efficientnet_b0", "efficientnet_b3",
)  # fmt: skip
BATCH = 32  # photos, when speed is measured
FROZEN_EPOCHS = 20  # a head behind cached features costs next to nothing
FROZEN_VIEWS = 2  # random views per training photo at most; a head alone needs fewer
SCRATCH_SIDE = 64  # pixels; a network from scratch learns no more from larger photos here


def name_list(text: str) -> list[str]:
    """Read `--models`: different names with commas between."""
    names = [plain_word(part) for part in text.split(",")]
    if len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"found '{text}', expected different models")
    return names


def weight_files(text: str) -> dict[str, str]:
    """Read `--weights`: NAME=FILE, several with commas between."""
    pairs = [part.split("=", 1) for part in text.split(",")]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise argparse.ArgumentTypeError(f"found '{text}', expected NAME=FILE,NAME=FILE")
    return {plain_word(name): str(local_path(file)) for name, file in pairs}


def parse_args(argv: list[str] | None = None):
    parser = make_parser(__doc__)
    shared_flags(
        parser,
        "data_dir", "split", "split_column", "image_size", "batch_size", "cached_views", "seeds",
        "device", "mixed_precision", "output_dir", "smoke", epochs=8, learning_rate=1e-3,
    )  # fmt: skip
    parser.add_argument(
        "--models", type=name_list, default=list(MODELS), metavar="NAME,...",
        help=f"backbones to compare (default: {','.join(MODELS)})",
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=weight_files, default={}, metavar="NAME=FILE,...",
        help="weights of some of the models from files (default: installed or from the hub)",
    )  # fmt: skip
    parser.add_argument(
        "--unfreeze", type=whole_number(1, 100), default=3, metavar="N",
        help="last stages that fine-tuning trains (default: %(default)s)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 1, 32, args.seeds[:1]
        args.models = args.models[:2] + args.models[4:5]  # scratch, one installed, one from the hub
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    from common.data.study import open_study
    from common.errors import InputError
    from common.evaluation.closed_set import task_of
    from common.models.backbones import SCRATCH_CNN, load_backbone
    from common.runs import describe_split, start_run
    from common.visualization.scatter import cost_scatter

    run = start_run(__file__, args)

    # Backbones whose weights are in reach; the others become rows that say why not.
    backbones, skipped = {}, {}
    for name in args.models:
        is_scratch = name == SCRATCH_CNN
        side = min(SCRATCH_SIDE, args.image_size) if is_scratch else args.image_size
        backbones[name] = load_or_skip(
            load_backbone, name, skipped, image_size=side,
            weights="none" if is_scratch else args.weights.get(name, "imagenet"),
        )  # fmt: skip

    if len(skipped) == len(backbones):
        raise InputError(
            f"--models {','.join(args.models)}: no model's weights are in reach; run with network, "
            "name files with --weights NAME=FILE,..., or take efficientnet_lite0"
        )

    # Data and split, and how much the split gives away.
    study = open_study(args)
    sides = [backbone.preprocessing.stored_size for backbone in backbones.values() if backbone]
    task = task_of(study, max(sides), args.device)

    # Each backbone in each mode, with every seed; validation chooses, test is asked once.
    ways = [way for name, backbone in backbones.items() if backbone
            for way in ways_of(name, backbone, args, task)]  # fmt: skip
    seconds = sum(way.expected_seconds(len(args.seeds)) for way in ways)
    print(f"Expected: about {seconds / 60 + 0.5:.0f} minutes.")
    outcomes, costs = [], {}
    for way in ways:
        outcomes_of_way, costs[way.name] = measure(way, args, run.folder)
        outcomes += outcomes_of_way
    in_reach = {name: backbone for name, backbone in backbones.items() if backbone}
    speeds = photos_per_second(in_reach, task.device)

    # Table, figure, recommendation.
    table = table_of(outcomes, costs, speeds, skipped, task)
    recommendation = recommend(outcomes, costs, task)
    return run.finish(
        metrics={
            "models": table,
            "recommendation": recommendation,
            "outcomes": [outcome.to_dict() for outcome in outcomes],
        },
        split=describe_split(study.split, study.leak),
        tables={"Architectures": table},
        figures={
            "Accuracy against arithmetic": cost_scatter(
                table, run.figure_path("scatter.png"), cost="GFLOPs", value="test", label="model",
                group="mode", cost_name="billions of operations per photo, forward",
                value_name="accuracy on test photos (95 % interval over animals)",
            )
        },
        notes=[
            *recommendation,
            f"Means over seeds {', '.join(map(str, args.seeds))}. Training: seconds behind the "
            "frozen stages, whose outputs are computed once before. Photos per second: the whole "
            "network forward, batches of 32. Memory: the highest while training, above what the "
            "process held before.",
        ],
        device=str(task.device),
    )  # fmt: skip


def load_or_skip(load_backbone, name: str, skipped: dict, **options):
    """The backbone, or None with the reason noted."""
    from common.errors import InputError

    try:
        return load_backbone(name, **options)
    except InputError as error:
        if "not in reach" not in str(error):
            raise
        skipped[name] = "skipped: weights not in reach; run with network, or --weights"
        print(f"{name}: {skipped[name]}")
        return None


def ways_of(name: str, backbone, args, task) -> list:
    """A pre-trained backbone frozen and fine-tuned; the small network from scratch."""
    from common.evaluation.ways import Way
    from common.models.backbones import SCRATCH_CNN
    from common.models.freezing import stages_of
    from common.training.strategies import Step

    if name == SCRATCH_CNN:
        plan = [Step(None, args.epochs * 2)]  # it learns slower, and an epoch costs little
        return [Way(f"{name}, from scratch", backbone, plan, task, from_scratch=True)]
    n_trainable = min(args.unfreeze, len(stages_of(backbone)))
    plans = {"frozen": [Step(0, min(FROZEN_EPOCHS, args.epochs * 3))],
             "fine-tuned": [Step(n_trainable, args.epochs)]}  # fmt: skip
    n_views = {"frozen": min(FROZEN_VIEWS, args.cached_views), "fine-tuned": args.cached_views}
    return [Way(f"{name}, {mode}", backbone, plan, task, n_views=n_views[mode])
            for mode, plan in plans.items()]  # fmt: skip


def measure(way, args, folder) -> tuple[list, dict]:
    """Train one way with every seed; also what it costs."""
    from common.models.costs import cost_of
    from common.training.loop import TrainingSettings
    from common.training.memory import PeakMemory
    from common.training.optim import Rates

    photos = way.photos[-1]
    photos.training_dataset(way.task.train[:1])  # frozen stages first: they are no training
    photos.plain_dataset(way.task.train[:1])
    outcomes, stem = [], way.name.replace(", ", "_")
    with PeakMemory(way.task.device) as memory:
        for seed in args.seeds:
            settings = TrainingSettings(
                epochs=args.epochs, batch_size=args.batch_size, seed=seed, device=args.device,
                mixed_precision=args.mixed_precision,
            )  # fmt: skip
            outcome, _ = way.train(
                settings, rates=Rates(head=2 * args.learning_rate, backbone=args.learning_rate),
                title=f"{way.name}, seed {seed}",
                checkpoint=folder / f"{stem}_{seed}.pt",
            )  # fmt: skip
            outcomes.append(outcome)
    remove_own(folder, f"{stem}_*.pt")  # the way is whole: nothing to resume
    cost = cost_of(way.backbone)
    return outcomes, {
        "parameters, M": cost.n_parameters / 1e6,
        "GFLOPs": cost.gflops,
        "memory, MB": memory.megabytes,
    }


def photos_per_second(backbones: dict, device) -> dict[str, float]:
    """Photos a second through each backbone, forward, in turns: a busy moment hits all alike."""
    import torch

    from common.training.timing import rates_in_turns

    def forward(backbone):
        side = backbone.preprocessing.image_size
        images = torch.zeros(BATCH, 3, side, side, device=device)
        network = backbone.eval().to(device, memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)

        def run(_):
            with torch.no_grad():  # and bring a number back, so that a GPU has really finished
                return network(images)[0, 0].item()

        return run

    return rates_in_turns({name: forward(each) for name, each in backbones.items()}, range(BATCH))


def table_of(outcomes, costs: dict, speeds: dict, skipped: dict, task):
    """One row per backbone and mode; what was skipped at the end."""
    import pandas as pd

    from common.evaluation.closed_set import summarise_outcomes

    measured = summarise_outcomes(outcomes, task.individuals[task.test])
    rows = []
    for row in measured.to_dict("records"):
        model, mode = row["name"].split(", ")
        own = costs[row["name"]]
        rows.append({"model": model, "mode": mode, "parameters, M": own["parameters, M"],
                     "GFLOPs": own["GFLOPs"],
                     **{key: row[key] for key in ("validation", "test", "test_low", "test_high",
                                                  "training, s")},
                     "photos/s": speeds[model], "memory, MB": own["memory, MB"]})  # fmt: skip
    rows += [{"model": name, "mode": reason} for name, reason in skipped.items()]
    return pd.DataFrame(rows)


def recommend(outcomes, costs: dict, task) -> list[str]:
    """The cheapest way that validation cannot tell from the best one, and why."""
    import numpy as np

    from common.evaluation.closed_set import difference, verdict

    names = list(dict.fromkeys(outcome.name for outcome in outcomes))
    accuracy = {
        name: np.mean([o.validation_accuracy for o in outcomes if o.name == name]) for name in names
    }
    best = max(accuracy, key=accuracy.get)
    individuals = task.individuals[task.validation]
    gaps = {name: difference(outcomes, name, best, individuals, part="validation")
            for name in names if name != best}  # fmt: skip
    rivals = [name for name, gap in gaps.items() if not gap.excludes_zero]
    chosen = min([best, *rivals], key=lambda name: costs[name]["GFLOPs"])
    sentences = [f"Best on validation photos: {best}."]
    if rivals:
        sentences.append(f"Not distinguishable from it there: {'; '.join(rivals)}.")
    reason = "the cheapest of these" if rivals else "all others are worse there"
    sentences.append(f"Recommended: {chosen}, {reason}.")
    others = [name for name in (best, *rivals) if name != chosen]
    test_individuals = task.individuals[task.test]
    sentences += [
        "On test photos: "
        + verdict(chosen, name, difference(outcomes, chosen, name, test_individuals))
        for name in others
    ]
    return sentences


if __name__ == "__main__":
    run_script(main)
