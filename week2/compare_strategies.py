"""Compare strategies: freeze, unfreeze some, unfreeze all; and is pre-training needed at all?

Two questions. How much of a pre-trained network should learn, when photos are few? And when is a
classifier over pre-trained features better than training from scratch, or than a Siamese network
that learns to compare?

    python week2/compare_strategies.py
    python week2/compare_strategies.py --data_dir path/to/dataset --photos_per_identity 1,3,9
    python week2/compare_strategies.py --learning_rates 1e-3,1e-4,1e-5 --epochs 15

With no argument: the embedded turtles, efficientnet_lite0, three seeds; about 25 minutes
on two laptop cores (the script says how many minutes here before it starts). You should see full
fine-tuning ahead, at several times the cost of a partial one; and all approaches rise with the
photos per animal, from scratch far below the others. A claim to test: that comparing wins where
photos are few. The notes at the end say which lead changes hands, and where.
"""

import argparse
import itertools
from dataclasses import replace

import numpy as np

from common.cli import make_parser, real_number, run_script, shared_flags, whole_number
from common.own_files import remove_own

STRATEGIES = ("freeze", "partial", "full", "progressive")
RATED = STRATEGIES[:3]  # progressive ends with all stages free, and has the rate of full
APPROACHES = ("from scratch", "transfer, frozen", "transfer, fine-tuned", "Siamese")
SCRATCH_SIDE = 64  # pixels; a network from scratch learns no more from larger photos here


def rate_list(text: str) -> dict[str, float]:
    """Read `--learning_rates`: one for each strategy."""
    read = real_number(above=0.0, up_to=10.0)
    rates = [read(part) for part in text.split(",")]
    if len(rates) != len(RATED):
        raise argparse.ArgumentTypeError(
            f"found '{text}', expected {len(RATED)} rates: {', '.join(RATED)}"
        )
    return dict(zip(STRATEGIES, [*rates, rates[-1]], strict=True))


def count_list(text: str) -> list[int]:
    """Read `--photos_per_identity`: rising whole numbers with commas between, or none at all."""
    if text == "none":
        return []
    counts = [whole_number(1, 1_000)(part) for part in text.split(",")]
    if sorted(set(counts)) != counts:
        raise argparse.ArgumentTypeError(f"found '{text}', expected rising numbers such as 2,4,8")
    return counts


def parse_args(argv: list[str] | None = None):
    parser = make_parser(__doc__)
    shared_flags(
        parser,
        "data_dir", "weights", "split", "split_column", "image_size", "batch_size",
        "cached_views", "seeds", "device", "mixed_precision", "output_dir", "smoke",
    )  # fmt: skip
    parser.add_argument(
        "--epochs", type=whole_number(3, 10_000), default=8, metavar="N",
        help="passes over the training photos, in as many steps as a strategy has "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--models", type=lambda text: text.split(","), default=["efficientnet_lite0"],
        metavar="NAME,...", help="backbones of the table; the first one answers the second "
        "question (default: efficientnet_lite0)",
    )  # fmt: skip
    parser.add_argument(
        "--learning_rates", type=rate_list, metavar="RATE,RATE,RATE",
        default=rate_list("2e-3,1e-3,1e-3"),
        help="of freeze (the head's), partial, full and progressive (the backbone's; the head's is "
        "twice it) "
        "(default: 2e-3,1e-3,1e-3)",
    )  # fmt: skip
    parser.add_argument(
        "--unfreeze", type=whole_number(1, 100), default=3, metavar="N",
        help="last stages that partial trains (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--plans", nargs="+", default=[], metavar="PLAN",
        help="more rows of the table: plans as fine_tuning.py reads them, such as 0:1,3:1,all:8",
    )  # fmt: skip
    parser.add_argument(
        "--photos_per_identity", type=count_list, default=[2, 4, 8], metavar="N,...",
        help="training photos per animal in the second question; all of them come too; "
        "none: leave that question out (default: 2,4,8)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 3, 32, args.seeds[:1]
        args.photos_per_identity = args.photos_per_identity[:1]
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    from common.data.study import open_study
    from common.evaluation.closed_set import class_table, task_of
    from common.evaluation.ways import Way
    from common.models.backbones import SCRATCH_CNN, load_backbone
    from common.runs import describe_split, start_run
    from common.training.strategies import Step
    from common.visualization.bars import interval_chart
    from common.visualization.outcomes import outcome_figures
    from common.visualization.trends import trend_chart

    run = start_run(__file__, args)

    # Data and split, and how much the split gives away.
    study = open_study(args)
    backbones = {
        name: load_backbone(name, weights=args.weights, image_size=args.image_size)
        for name in args.models
    }
    backbone = backbones[args.models[0]]
    scratch = load_backbone(SCRATCH_CNN, image_size=min(SCRATCH_SIDE, args.image_size))
    task = task_of(study, backbone.preprocessing.stored_size, args.device)
    individuals = task.individuals[task.test]
    ways = {
        (name, strategy): way_of(name, strategy, each, args, task)
        for name, each in backbones.items()
        for strategy in (*STRATEGIES, *args.plans)
    }
    from_scratch = Way(APPROACHES[0], scratch, [Step(None, args.epochs)], task, from_scratch=True)
    print(f"Expected: about {expected_minutes(args, ways, from_scratch):.0f} minutes.")

    # Question 1: how much of the backbone learns.
    outcomes = [train(way, strategy, args, seed, run.folder)
                for (_, strategy), way in ways.items() for seed in args.seeds]  # fmt: skip
    table = strategy_table(outcomes, ways, args, individuals)

    # Question 2: which approach, at how many photos per animal.
    answers = photos_per_identity_study(ways, from_scratch, args, task, run.folder)
    trend = trend_table(answers, individuals)

    # Tables, figures, sentences that the numbers allow.
    best_name = table.loc[table["validation"].idxmax(), "name"]
    best = next(outcome for outcome in outcomes if outcome.name == best_name)
    figures = {
        "How much of the backbone learns": interval_chart(
            table, run.figure_path("strategies.png"), value="test", label="name",
            limits=(0, 1.09), value_name="accuracy on test photos (95 % interval over animals)",
        ),
        **outcome_figures(best, task, run, study.catalogue.paths()),
    }  # fmt: skip
    tables = {
        "Strategies": table,
        f"Each animal: {best.name}, seed {best.seed}": class_table(best.report, "identity"),
    }
    if answers:
        tables["Approaches by photos per animal"] = trend
        figures["Photos per animal"] = trend_chart(
            trend, run.figure_path("photos_per_animal.png"), quantity="photos per animal",
            value="accuracy", group="approach", quantity_name="training photos per animal (mean)",
            value_name="accuracy on test photos",
        )  # fmt: skip
    return run.finish(
        metrics={
            "strategies": table,
            "photos_per_identity": trend,
            "outcomes": [outcome.to_dict() for outcome in outcomes],
        },
        split=describe_split(study.split, study.leak),
        tables=tables,
        figures=figures,
        notes=[
            *conclude_strategies(outcomes, args, individuals),
            *conclude_crossover(answers, individuals),
            f"Means over seeds {', '.join(map(str, args.seeds))}. Question 2 takes the same number "
            "of training steps at every number of photos.",
        ],
        device=str(task.device),
    )  # fmt: skip


def way_of(name: str, strategy: str, backbone, args, task):
    """A strategy, or a plan that is spelled out, on a backbone, ready to be trained."""
    from common.evaluation.ways import Way
    from common.models.freezing import stages_of
    from common.training.strategies import plan_of, read_plan

    if strategy in STRATEGIES:
        plan = plan_of(strategy, args.epochs, min(args.unfreeze, len(stages_of(backbone))))
    else:
        plan = read_plan(strategy)
    return Way(f"{name}, {strategy}", backbone, plan, task, n_views=args.cached_views)


def train(way, strategy: str, args, seed: int, folder, *, epochs=None, train_rows=None):
    """One way with one seed; its checkpoint lives until it is trained."""
    if epochs:
        way.plan = [replace(step, epochs=epochs) for step in way.plan]
    outcome, _ = way.train(
        settings_of(args, seed), rates=rates_of(args, strategy), checkpoint=folder / "last.pt",
        title=f"{way.name}, seed {seed}", train_rows=train_rows,
    )  # fmt: skip
    remove_own(folder, "last*.pt")  # what is trained need not be resumed
    return outcome


def settings_of(args, seed: int):
    """How every model of this script is trained."""
    from common.training.loop import TrainingSettings

    return TrainingSettings(
        epochs=args.epochs, batch_size=args.batch_size, seed=seed, device=args.device,
        mixed_precision=args.mixed_precision,
    )  # fmt: skip


def rates_of(args, strategy: str):
    """Learning rates of a strategy; a plan that is spelled out has those of full."""
    from common.training.optim import Rates

    rate = args.learning_rates.get(strategy, args.learning_rates["full"])
    return Rates(head=rate if strategy == "freeze" else 2 * rate, backbone=rate)


def first_photos(task, n_photos: int | None, seed: int) -> np.ndarray:
    """Training rows with at most so many photos of each animal; more contain fewer."""
    order = np.random.default_rng(seed).permutation(task.train)
    if n_photos is None:
        return task.train
    kept = [order[task.labels[order] == label][:n_photos] for label in np.unique(task.labels)]
    return np.sort(np.concatenate(kept))


def photos_per_identity_study(ways: dict, from_scratch, args, task, folder) -> list[tuple]:
    """Every approach at every number of photos: (approach, number, mean number, outcome)."""
    from common.evaluation.ways import train_siamese

    model = args.models[0]
    classifiers = dict(zip(
        APPROACHES,
        [(from_scratch, "partial"), (ways[model, "freeze"], "freeze"),
         (ways[model, "partial"], "partial")], strict=False,
    ))  # fmt: skip
    answers = []
    for n_photos in [*args.photos_per_identity, None] if args.photos_per_identity else ():
        for seed in args.seeds:
            rows = first_photos(task, n_photos, seed)
            mean = len(rows) / len(np.unique(task.labels[rows]))
            epochs = max(1, round(args.epochs * len(task.train) / len(rows)))  # as many steps
            for approach, (way, strategy) in classifiers.items():
                outcome = train(way, strategy, args, seed, folder, epochs=epochs, train_rows=rows)
                answers.append((approach, n_photos, mean, replace(outcome, name=approach)))
            compared = train_siamese(
                ways[model, "partial"].photos[-1], task,
                replace(settings_of(args, seed), epochs=epochs), train_rows=rows,
                rates=rates_of(args, "partial"), title=f"Siamese, seed {seed}",
            )  # fmt: skip
            if compared:
                answers.append(("Siamese", n_photos, mean, compared[0]))
    return answers


def expected_minutes(args, ways: dict, from_scratch) -> float:
    """Minutes of everything on this machine, from trials of half a second."""
    n_seeds, n_sizes = len(args.seeds), len(args.photos_per_identity) + 1
    seconds = sum(way.expected_seconds(n_seeds) for way in ways.values())
    if not args.photos_per_identity:
        return seconds / 60 + 0.5
    classifier = ways[args.models[0], "partial"]
    seconds += 2 * classifier.expected_seconds(n_seeds * n_sizes)  # and the Siamese network
    return (seconds + from_scratch.expected_seconds(n_seeds * n_sizes)) / 60 + 0.5


def strategy_table(outcomes, ways: dict, args, individuals: np.ndarray):
    """The table of question 1, with epochs and rates."""
    from common.evaluation.closed_set import summarise_outcomes

    table = summarise_outcomes(outcomes, individuals)
    rates = [rates_of(args, strategy).backbone for _, strategy in ways]
    table.insert(1, "epochs", [sum(step.epochs for step in way.plan) for way in ways.values()])
    table.insert(2, "learning rate", [f"{rate:.0e}" for rate in rates])
    return table


def trend_table(answers, individuals: np.ndarray):
    """The table of question 2: one row per approach and number of photos."""
    import pandas as pd

    from common.evaluation.closed_set import mean_correct
    from common.evaluation.intervals import bootstrap_over_individuals
    from common.tables import interval_columns

    rows = []
    for approach in APPROACHES:
        for n_photos in dict.fromkeys(n for _, n, _, _ in answers):
            own = [(mean, outcome) for name, n, mean, outcome in answers
                   if (name, n) == (approach, n_photos)]  # fmt: skip
            if own:
                interval = bootstrap_over_individuals(mean_correct([o for _, o in own]),
                                                      individuals)  # fmt: skip
                rows.append({"approach": approach,
                             "photos per animal": float(np.mean([mean for mean, _ in own])),
                             **interval_columns("accuracy", interval)})  # fmt: skip
    return pd.DataFrame(rows)


def conclude_strategies(outcomes, args, individuals: np.ndarray) -> list[str]:
    """What can be told about the strategies and further plans, backbone by backbone."""
    from common.evaluation.closed_set import difference, verdict

    further = itertools.product(args.plans, ("full", "progressive"))
    compared = [*itertools.pairwise(STRATEGIES[::-1]), *further]
    pairs = [(f"{name}, {a}", f"{name}, {b}") for name in args.models for a, b in compared]
    return [verdict(*pair, difference(outcomes, *pair, individuals)) for pair in pairs]


def conclude_crossover(answers, individuals: np.ndarray) -> list[str]:
    """Who leads at each number of photos, pair by pair, and whether the lead changes hands."""
    from common.evaluation.closed_set import difference

    counts = list(dict.fromkeys(n for _, n, _, _ in answers))
    sentences = []
    if not answers:
        return sentences
    for first, second in itertools.combinations(APPROACHES[::-1], 2):
        leaders = {}
        for n_photos in counts:
            own = [outcome for _, n, _, outcome in answers if n == n_photos]
            if {first, second} <= {outcome.name for outcome in own}:
                gap = difference(own, first, second, individuals)
                words = f"{n_photos} photos" if n_photos else "all photos"
                leader = first if gap.estimate > 0 else second
                leaders[words] = (leader if gap.excludes_zero else "nobody", gap)
        sentences.append(lead_of(first, second, leaders))
    return sentences


def lead_of(first: str, second: str, leaders: dict) -> str:
    """One sentence on a pair: a crossover is a lead that changes hands, beyond both intervals.

    Args:
        first: an approach.
        second: another.
        leaders: words for a number of photos, to who leads there beyond the interval ("nobody"
            where that cannot be told) and the difference, first minus second.
    """
    names = [leader for leader, _ in leaders.values() if leader != "nobody"]
    if len(set(names)) == 2:
        words = "a crossover"
    elif names:
        words = f"no crossover, {names[0]} leads wherever the two can be told apart"
    else:
        words = "not distinguishable at any number"
    gaps = "; ".join(f"{n_photos} {gap.text()}" for n_photos, (_, gap) in leaders.items())
    return f"{first} minus {second}, per animal: {gaps}: {words}."


if __name__ == "__main__":
    run_script(main)
