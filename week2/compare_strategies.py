"""Compare strategies: freeze, unfreeze some, unfreeze all; and is pre-training needed at all?

Two questions. How much of a pre-trained network should learn, when photos are few? And when is a
classifier over pre-trained features better than training from scratch, or than a Siamese network
that learns to compare?

    python week2/compare_strategies.py
    python week2/compare_strategies.py --data_dir path/to/dataset --photos_per_identity 1,3,9
    python week2/compare_strategies.py --learning_rates 1e-3,1e-4,1e-5 --epochs 15

With no argument: the embedded turtles, efficientnet_lite0, three seeds; about 35 minutes
on two laptop cores (the script says how many minutes here before it starts). You should see full
fine-tuning ahead, at several times the cost of a partial one; and all approaches rise with the
photos per animal, from scratch far below the others. A claim to test: that comparing wins where
photos are few. The notes at the end say which lead changes hands, and where.
"""

import argparse
import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from common import cli
from common.ending import run_script
from common.experiments.experiment import Approach, Experiment, Planned, catalogue_experiment
from common.experiments.trials import Trial, by_approach, closed_set_table, compare, mean_right
from common.measures.classification import class_table
from common.measures.intervals import NOT_DISTINGUISHABLE, Interval, mean_columns
from common.models.backbones import SCRATCH_CNN, Backbone, load_backbone
from common.models.freezing import stages_of
from common.runs import Run, describe_split, start_run
from common.splits.study import open_study
from common.tables import table_of
from common.training.losses import contrastive
from common.training.optim import Rates
from common.training.recipes import train_embedding
from common.training.strategies import STRATEGIES, Step, plan_of, read_plan
from common.visualization.bars import interval_chart
from common.visualization.charts import trend_chart
from common.visualization.outcomes import trial_figures
from common.words import counted, expected_time

import numpy as np
import pandas as pd

RATED = STRATEGIES[:3]  # progressive ends with all stages free, and has the rate of full
SCRATCH, SIAMESE = "from scratch", "Siamese"
FROZEN, TUNED = "transfer, frozen", "transfer, fine-tuned"
APPROACHES = (SCRATCH, FROZEN, TUNED, SIAMESE)
SCRATCH_SIDE = 64  # pixels; a network from scratch learns no more from larger photos here


class Size(NamedTuple):
    """Question 2 at one number of photos per animal: what it is in words, and what came out."""

    words: str
    photos_per_animal: list[float]  # the mean, seed by seed
    trials: list[Trial]


def rate_list(text: str) -> dict[str, float]:
    """Read `--learning_rates`: one for each strategy."""
    rates = [cli.real_number(above=0.0, up_to=10.0)(part) for part in text.split(",")]
    if len(rates) != len(RATED):
        raise argparse.ArgumentTypeError(
            f"found '{text}', expected {len(RATED)} rates: {', '.join(RATED)}"
        )
    return dict(zip(STRATEGIES, [*rates, rates[-1]], strict=True))


def counts_or_none(text: str) -> list[int]:
    """Read `--photos_per_identity`: rising whole numbers with commas between, or none at all."""
    return [] if text == "none" else cli.list_of(cli.whole_number(1, 1_000), is_rising=True)(text)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.make_parser(__doc__)
    cli.shared_flags(parser, "data_dir", "models", "weights", "split", "split_column", "image_size")
    cli.shared_flags(parser, "batch_size", "unfreeze", "cached_views", "seeds", "device")
    cli.shared_flags(parser, "output_dir", "smoke", epochs=8)
    words = (
        "of freeze (the head's), partial, full and progressive (the backbone's; the head's is "
        "twice it)"
    )
    cli.add_flag(parser, "learning_rates", rate_list, "RATE,RATE,RATE", words, "2e-3,1e-3,1e-3")
    parser.add_argument(
        "--plans",
        nargs="+",
        default=[],
        metavar="PLAN",
        help="more rows of the table: plans as fine_tuning.py reads them, such as 0:1,3:1,all:8",
    )
    words = (
        "training photos per animal in the second question, of the first model; all of them come "
        "too; none: leave that question out"
    )
    cli.add_flag(parser, "photos_per_identity", counts_or_none, "N,...", words, "2,4,8")
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 3, 32, args.seeds[:1]
        args.photos_per_identity = args.photos_per_identity[:1]
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run = start_run(__file__, args)

    # Data and split, and how much the split gives away.
    study = open_study(args)
    models = {
        name: load_backbone(name, weights=args.weights, image_size=args.image_size)
        for name in args.models
    }
    experiment = catalogue_experiment(study, args, models[args.models[0]], run=run)

    # The strategies and plans of question 1, and the approaches of question 2.
    strategies = {
        (name, strategy): approach_by(strategy, name, backbone, args, experiment)
        for name, backbone in models.items()
        for strategy in (*STRATEGIES, *args.plans)
    }
    rivals = rivals_of(strategies, args, experiment)
    minutes = experiment.expected_minutes(planned(strategies, rivals, args))
    print(f"Expected: {expected_time(minutes)}.")

    # Train with every seed; validation chooses the epoch, the test photos are asked once.
    trials = [
        experiment.ask(approach, seed, experiment.train(approach, seed))
        for approach in strategies.values()
        for seed in args.seeds
    ]
    counts = [*args.photos_per_identity, None] if args.photos_per_identity else []
    sizes = [try_size(n_photos, rivals, args, experiment) for n_photos in counts]

    # Tables, figures, sentences that the numbers allow.
    table, trend = strategy_table(trials, strategies.values()), trend_table(sizes)
    best = by_approach(trials)[table.loc[table["validation"].idxmax(), "name"]][0]
    each_animal = class_table(best.answers.report, "identity")
    seeds = ", ".join(map(str, args.seeds))
    return run.finish(
        metrics={"strategies": table, "photos_per_identity": trend, "trials": trials},
        split=describe_split(study.split, study.leak),
        tables={
            "Strategies": table,
            f"Each animal: {best.approach}, seed {best.seed}": each_animal,
            "Approaches by photos per animal": trend,
        },
        figures=draw(run, table, trend, best, experiment),
        notes=[
            *conclude_strategies(trials, args),
            *conclude_crossover(sizes),
            f"Means over seeds {seeds}. Question 2 takes the same number of training steps at "
            "every number of photos.",
        ],
        device=str(experiment.device),
    )


def approach_by(
    strategy: str, name: str, backbone: Backbone, args: argparse.Namespace, experiment: Experiment
) -> Approach:
    """A strategy, or a plan that is spelled out, on a backbone."""
    if strategy in STRATEGIES:
        plan = plan_of(strategy, args.epochs, min(args.unfreeze, len(stages_of(backbone))))
    else:
        plan = read_plan(strategy)
    rates, title = rates_of(strategy, args), f"{name}, {strategy}"
    return experiment.approach(title, backbone, plan, rates=rates, n_views=args.cached_views)


def rates_of(strategy: str, args: argparse.Namespace) -> Rates:
    """Learning rates of a strategy; a plan that is spelled out has those of full."""
    rate = args.learning_rates.get(strategy, args.learning_rates["full"])
    return Rates(head=rate if strategy == "freeze" else 2 * rate, backbone=rate)


def rivals_of(
    strategies: dict[tuple[str, str], Approach], args: argparse.Namespace, experiment: Experiment
) -> list[Approach]:
    """The approaches of question 2; the Siamese network frees the stages that partial frees."""
    frozen, tuned = (strategies[args.models[0], strategy] for strategy in ("freeze", "partial"))
    scratch = load_backbone(SCRATCH_CNN, image_size=min(SCRATCH_SIDE, args.image_size))
    plan, rates = [Step(None, args.epochs)], rates_of("partial", args)
    return [
        experiment.approach(SCRATCH, scratch, plan, rates=rates, from_scratch=True),
        replace(frozen, name=FROZEN),
        replace(tuned, name=TUNED),
        replace(tuned, name=SIAMESE, recipe=train_embedding),
    ]


def planned(
    strategies: dict[tuple[str, str], Approach], rivals: list[Approach], args: argparse.Namespace
) -> list[Planned]:
    """All trainings; in question 2 as many steps with few photos as with all of them."""
    n_seeds, n_sizes = len(args.seeds), len(args.photos_per_identity) + 1
    first = [Planned(approach, n_seeds) for approach in strategies.values()]
    if not args.photos_per_identity:
        return first
    return first + [Planned(approach, n_seeds * n_sizes) for approach in rivals]


def try_size(
    n_photos: int | None, rivals: list[Approach], args: argparse.Namespace, experiment: Experiment
) -> Size:
    """Question 2 at one number of photos of each animal, None being all, with every seed."""
    words = counted(n_photos, "photo") if n_photos else "all photos"
    size, train = Size(words, [], []), experiment.questions.train
    for seed in args.seeds:
        rows = first_photos(experiment, n_photos, seed)
        size.photos_per_animal.append(len(rows) / len(np.unique(experiment.classed.labels[rows])))
        epochs = max(1, round(args.epochs * len(train) / len(rows)))  # as many steps
        for approach in rivals:
            options = {}
            if not approach.is_classifier:
                if not experiment.n_with_pairs(rows):
                    continue  # no animal has two photos: there is no pair to pull together
                batches = experiment.batches_of_several(seed, rows)
                options = {"criterion": contrastive(), "batch_sampler": batches}
            title = f"{approach.name}, {words}, seed {seed}"
            trained = experiment.train(
                approach, seed, title=title, rows=rows, epochs=epochs, **options
            )
            size.trials.append(experiment.ask(approach, seed, trained, rows))
    return size


def first_photos(experiment: Experiment, n_photos: int | None, seed: int) -> np.ndarray:
    """Training rows with at most so many photos of each animal; more contain fewer."""
    train, labels = experiment.questions.train, experiment.classed.labels
    if n_photos is None:
        return train
    order = np.random.default_rng(seed).permutation(train)
    kept = [order[labels[order] == label][:n_photos] for label in np.unique(labels)]
    return np.sort(np.concatenate(kept))


def strategy_table(trials: list[Trial], approaches: Iterable[Approach]) -> pd.DataFrame:
    """The table of question 1, with epochs and rates."""
    table, approaches = closed_set_table(trials), list(approaches)
    epochs = [sum(step.epochs for step in approach.plan) for approach in approaches]
    table.insert(1, "epochs", epochs)
    rates = [f"{approach.rates.backbone:.0e}" for approach in approaches]
    table.insert(2, "learning rate", rates)
    return table


def trend_table(sizes: list[Size]) -> pd.DataFrame:
    """The table of question 2: one row per approach and number of photos."""
    rows = []
    for approach in APPROACHES:
        for size in sizes:
            if own := by_approach(size.trials).get(approach):
                row = {"approach": approach, "photos per animal": np.mean(size.photos_per_animal)}
                rows.append(row | mean_columns("accuracy", *mean_right(own)))
    return table_of(rows, ("approach", "photos per animal", "accuracy±"))


def draw(
    run: Run, table: pd.DataFrame, trend: pd.DataFrame, best: Trial, experiment: Experiment
) -> dict[str, Path]:
    """Both questions, and what the best model of question 1 does."""
    path = run.figure_path("strategies.png")
    words = "accuracy on test photos (95 % interval over animals)"
    figures = {
        "How much of the backbone learns": interval_chart(
            table, path, value="test", label="name", limits=(0, 1.09), value_name=words
        ),
        **trial_figures(run, best, experiment),
    }
    if len(trend):
        figures["Photos per animal"] = trend_chart(
            trend,
            run.figure_path("photos_per_animal.png"),
            quantity="photos per animal",
            quantity_name="training photos per animal (mean)",
            value_name="accuracy on test photos",
        )
    return figures


def conclude_strategies(trials: list[Trial], args: argparse.Namespace) -> list[str]:
    """What can be told about the strategies and further plans, backbone by backbone."""
    further = itertools.product(args.plans, ("full", "progressive"))
    pairs = [*itertools.pairwise(STRATEGIES[::-1]), *further]
    return [
        compare(trials, f"{name}, {first}", f"{name}, {second}").sentence()
        for name in args.models
        for first, second in pairs
    ]


def conclude_crossover(sizes: list[Size]) -> list[str]:
    """Who leads at each number of photos, pair by pair, and whether the lead changes hands."""
    sentences = []
    for pair in itertools.combinations(APPROACHES[::-1], 2) if sizes else ():
        found = {size.words: compare(size.trials, *pair) for size in sizes}
        gaps = {words: difference.interval for words, difference in found.items() if difference}
        sentences.append(lead_of(*pair, gaps))
    return sentences


def lead_of(first: str, second: str, gaps: dict[str, Interval]) -> str:
    """One sentence on a pair: a crossover is a lead that changes hands, beyond both intervals.

    The gaps are first minus second, by words for a number of photos.
    """
    leaders = {gap.better_of(first, second) for gap in gaps.values()} - {NOT_DISTINGUISHABLE}
    if len(leaders) == 2:
        words = "a crossover"
    elif leaders:
        words = f"no crossover, {leaders.pop()} leads wherever the two can be told apart"
    else:
        words = "not distinguishable at any number"
    numbers = "; ".join(f"{n_photos} {gap.text()}" for n_photos, gap in gaps.items())
    return f"{first} minus {second}, per animal: {numbers}: {words}."


if __name__ == "__main__":
    run_script(main)
