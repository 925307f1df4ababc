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
from collections.abc import Callable

from common.cli import add_flag, make_parser, plain_word, present_file, shared_flags
from common.ending import run_script
from common.errors import InputError, WeightsNotInReach
from common.experiments.experiment import Approach, Experiment, Planned, catalogue_experiment
from common.experiments.trials import VALIDATION, Trial, closed_set_table, compare
from common.machine.memory import PeakMemory
from common.machine.timing import rates_in_turns
from common.models.backbones import SCRATCH_CNN, Backbone, load_backbone
from common.models.freezing import stages_of
from common.runs import describe_split, start_run
from common.splits.study import open_study
from common.training.optim import Rates
from common.training.strategies import Step
from common.visualization.charts import cost_scatter
from common.words import expected_time

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

BUNDLED = ["small_cnn", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
MODELS = [*BUNDLED, "resnet18", "resnet50", "efficientnet_b0", "efficientnet_b3"]
SKIPPED = "skipped: weights not in reach; run with network, or --weights"
BATCH = 32  # photos, when speed is measured
COLUMNS = ["model", "mode", "parameters, M", "GFLOPs", "validation", "test", "test_low"]
COLUMNS += ["test_high", "training, s", "photos/s", "memory, MB"]
FROZEN_EPOCHS = 20  # a head behind cached features costs next to nothing
FROZEN_VIEWS = 2  # random views per training photo at most; a head alone needs fewer
SCRATCH_SIDE = 64  # pixels; a network from scratch learns no more from larger photos here


def weight_files(text: str) -> dict[str, str]:
    """Read `--weights`: NAME=FILE, several with commas between."""
    pairs = [part.split("=", 1) for part in text.split(",")]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise argparse.ArgumentTypeError(f"found '{text}', expected NAME=FILE,NAME=FILE")
    return {plain_word(name): str(present_file(file)) for name, file in pairs}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    shared_flags(parser, "data_dir", "split", "split_column", "image_size", "batch_size")
    shared_flags(parser, "unfreeze", "cached_views", "seeds", "device", "output_dir", "smoke")
    shared_flags(parser, epochs=8, learning_rate=1e-3, models=",".join(MODELS))
    words = "weights of some of the models from files (default: installed or from the hub)"
    add_flag(parser, "weights", weight_files, "NAME=FILE,...", words, {})
    args = parser.parse_args(argv)
    if lost := sorted(set(args.weights) - set(args.models)):
        parser.error(
            f"--weights: found {lost[0]}, which is not compared, expected some of --models: "
            f"{', '.join(args.models)}"
        )
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 1, 32, args.seeds[:1]
        args.models = args.models[:2] + args.models[4:5]  # scratch, one installed, one from the hub
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run = start_run(__file__, args)

    # Backbones whose weights are in reach; the others become rows that say why not.
    backbones, skipped = load_backbones(args)

    # Data and split, and how much the split gives away.
    study = open_study(args)
    experiment = catalogue_experiment(study, args, *backbones.values(), run=run)

    # Train each backbone in each mode with every seed; validation chooses, the test is asked once.
    approaches = [
        approach
        for name, backbone in backbones.items()
        for approach in approaches_with(name, backbone, args, experiment)
    ]
    planned = [Planned(approach, len(args.seeds)) for approach in approaches]
    print(f"Expected: {expected_time(experiment.expected_minutes(planned))}.")
    trials, costs = [], {}
    for approach in approaches:
        own, costs[approach.name] = measure(experiment, approach, args.seeds)
        trials += own
    speeds = photos_per_second(backbones, experiment.device)

    # Table, figure, recommendation.
    table = architecture_table(trials, costs, speeds, skipped)
    recommendation = recommend(trials, costs)
    columns = {"cost": "GFLOPs", "value": "test", "label": "model", "group": "mode"}
    figure = cost_scatter(
        table,
        run.figure_path("scatter.png"),
        **columns,
        cost_name="billions of operations per photo, forward",
        value_name="accuracy on test photos (95 % interval over animals)",
    )
    note = (
        f"Means over seeds {', '.join(map(str, args.seeds))}. Training: seconds behind the frozen "
        "stages, whose outputs are computed once before. Photos per second: the whole network "
        "forward, batches of 32. Memory: the highest while training, above what the process held "
        "before."
    )
    return run.finish(
        metrics={"models": table, "recommendation": recommendation, "trials": trials},
        split=describe_split(study.split, study.leak),
        tables={"Architectures": table},
        figures={"Accuracy against arithmetic": figure},
        notes=[*recommendation, note],
        device=str(experiment.device),
    )


def load_backbones(args: argparse.Namespace) -> tuple[dict[str, Backbone], list[str]]:
    """The backbones whose weights are in reach by name, and the names of the others."""
    backbones, skipped = {}, []
    for name in args.models:
        weights, side = args.weights.get(name, "imagenet"), args.image_size
        if name == SCRATCH_CNN:
            weights, side = "none", min(SCRATCH_SIDE, side)
        try:
            backbones[name] = load_backbone(name, weights=weights, image_size=side)
        except WeightsNotInReach:
            print(f"{name}: {SKIPPED}")
            skipped.append(name)
    if not backbones:
        raise InputError(
            f"--models {','.join(args.models)}: no model's weights are in reach; run with network, "
            "name files with --weights NAME=FILE,..., or take efficientnet_lite0"
        )
    return backbones, skipped


def approaches_with(
    name: str, backbone: Backbone, args: argparse.Namespace, experiment: Experiment
) -> list[Approach]:
    """A pre-trained backbone frozen and fine-tuned; the small network from scratch."""
    rates = Rates(head=2 * args.learning_rate, backbone=args.learning_rate)
    if name == SCRATCH_CNN:
        plan = [Step(None, args.epochs * 2)]  # it learns slower, and an epoch costs little
        title = f"{name}, from scratch"
        return [experiment.approach(title, backbone, plan, rates=rates, from_scratch=True)]
    n_trainable = min(args.unfreeze, len(stages_of(backbone)))
    n_epochs, n_views = min(FROZEN_EPOCHS, args.epochs * 3), min(FROZEN_VIEWS, args.cached_views)
    return [
        experiment.approach(f"{name}, {mode}", backbone, [step], rates=rates, n_views=views)
        for mode, step, views in (
            ("frozen", Step(0, n_epochs), n_views),
            ("fine-tuned", Step(n_trainable, args.epochs), args.cached_views),
        )
    ]


def measure(
    experiment: Experiment, approach: Approach, seeds: list[int]
) -> tuple[list[Trial], dict[str, float]]:
    """Train one approach with every seed; also what it costs."""
    photos, one = approach.behind, experiment.questions.train[:1]
    photos.training_dataset(one)  # frozen stages first: they are no training
    photos.plain_dataset(one)
    with PeakMemory(experiment.device) as memory:
        trials = [
            experiment.ask(approach, seed, experiment.train(approach, seed)) for seed in seeds
        ]
    n_parameters = sum(each.numel() for each in approach.backbone.parameters())
    costs = {"parameters, M": n_parameters / 1e6, "GFLOPs": gflops_of(approach.backbone)}
    return trials, costs | {"memory, MB": memory.megabytes}


@torch.no_grad()
def gflops_of(backbone: Backbone) -> float:
    """Billions of operations for one photo at the backbone's own size; a multiply-add is two."""
    side, device = backbone.preprocessing.image_size, next(backbone.parameters()).device
    with FlopCounterMode(display=False) as counter:
        backbone.eval()(torch.zeros(1, 3, side, side, device=device))
    return counter.get_total_flops() / 1e9


def photos_per_second(backbones: dict[str, Backbone], device: torch.device) -> dict[str, float]:
    """Photos a second through each backbone, forward, in turns: a busy moment hits all alike."""

    def forward(backbone: Backbone) -> Callable[[int], float]:
        side = backbone.preprocessing.image_size
        images = torch.zeros(BATCH, 3, side, side, device=device)
        network = backbone.eval().to(device, memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)

        def run(_: int) -> float:
            with torch.no_grad():  # and bring a number back, so that a GPU has really finished
                return network(images)[0, 0].item()

        return run

    return rates_in_turns({name: forward(each) for name, each in backbones.items()}, range(BATCH))


def architecture_table(
    trials: list[Trial], costs: dict, speeds: dict[str, float], skipped: list[str]
) -> pd.DataFrame:
    """One row per backbone and mode; what was skipped at the end."""
    rows = []
    for row in closed_set_table(trials).to_dict("records"):
        model, mode = row["name"].split(", ")
        row |= costs[row["name"]] | {"model": model, "mode": mode, "photos/s": speeds[model]}
        rows.append(row)
    rows += [{"model": name, "mode": SKIPPED} for name in skipped]
    return pd.DataFrame(rows, columns=COLUMNS)


def recommend(trials: list[Trial], costs: dict) -> list[str]:
    """The cheapest approach that validation cannot tell from the best one, and why."""
    accuracy = closed_set_table(trials).set_index("name")["validation"]
    if accuracy.isna().all():
        return ["No validation photo can be asked: nothing is recommended."]
    best = accuracy.idxmax()
    gaps = [compare(trials, name, best, VALIDATION) for name in accuracy.index if name != best]
    rivals = [gap.first for gap in gaps if not gap.interval.excludes_zero]
    chosen = min([best, *rivals], key=lambda name: costs[name]["GFLOPs"])
    sentences = [f"Best on validation photos: {best}."]
    if rivals:
        sentences.append(f"Not distinguishable from it there: {'; '.join(rivals)}.")
    reason = "the cheapest of these" if rivals else "all others are worse there"
    sentences.append(f"Recommended: {chosen}, {reason}.")
    return sentences + [
        f"On test photos: {compare(trials, chosen, name).sentence()}"
        for name in (best, *rivals)
        if name != chosen
    ]


if __name__ == "__main__":
    run_script(main)
