"""Compare losses on equal terms: does it matter what pulls and pushes?

Question: which loss gives the embedding that finds known animals on later days, and which one
that finds animals it never saw? Musgrave et al. 2020, "A metric learning reality check", found the
published gains to shrink once the terms are equal. Here all losses get the same photos and views,
P x K batches, epochs, backbone, head and seeds; validation photos choose each loss's learning
rate and epoch.

    python week3/compare_losses.py
    python week3/compare_losses.py --losses contrastive,triplet,arcface --learning_rates 1e-3

With no argument: the embedded turtles, eight losses, two learning rates, three seeds; about
25 minutes on two laptop cores (the script says how many here before it starts). You should
see every loss above the backbone as it came. The notes at the end say which differences from the
loss that validation prefers are more than chance.
"""

import argparse
from typing import NamedTuple

import numpy as np

from common.cli import make_parser, real_number, run_script, shared_flags, whole_number
from common.own_files import remove_own

LOSS_NAMES = (
    "contrastive", "triplet", "multi_similarity", "supcon", "circle", "proxy_anchor", "arcface",
    "subcenter_arcface",
)  # fmt: skip
BEFORE = "before training"


def name_list(text: str) -> list[str]:
    """Read `--losses`: different names with commas between."""
    names = text.split(",")
    unknown = [name for name in names if name not in LOSS_NAMES]
    if unknown or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(
            f"found '{text}', expected different names of {', '.join(LOSS_NAMES)}"
        )
    return names


def rate_list(text: str) -> list[float]:
    """Read `--learning_rates`: different numbers with commas between."""
    rates = [real_number(above=0.0, up_to=10.0)(part) for part in text.split(",")]
    if len(set(rates)) < len(rates):
        raise argparse.ArgumentTypeError(f"found '{text}', expected different numbers")
    return rates


class Preferred(NamedTuple):
    """The loss that validation prefers: mean value over seeds, embeddings of the last of them."""

    name: str
    value: float
    embeddings: np.ndarray


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    shared_flags(
        parser,
        "data_dir", "model", "weights", "split", "split_column", "image_size", "batch_size",
        "cached_views", "classes", "pooling", "seeds", "device", "mixed_precision", "output_dir",
        "smoke", epochs=10,
    )  # fmt: skip
    parser.add_argument(
        "--losses", type=name_list, default=list(LOSS_NAMES), metavar="NAME,...",
        help="to compare, each with its own margin and scale (default: all eight)",
    )  # fmt: skip
    parser.add_argument(
        "--learning_rates", type=rate_list, default=[5e-4, 2e-3], metavar="RATE,...",
        help="of the backbone, from which validation chooses for each loss; the head's is twice "
        "it (default: 5e-4,2e-3)",
    )  # fmt: skip
    parser.add_argument(
        "--unfreeze", type=whole_number(0, 100), default=4, metavar="N",
        help="last stages of the backbone that train (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--photos_per_identity", type=whole_number(2, 100), default=4, metavar="N",
        help="photos of an animal in a batch (default: %(default)s)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 2, 64, args.seeds[:1]
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    import torch
    from torch import nn

    from common.data.images import read_photos
    from common.data.study import open_study
    from common.data.training_classes import by_class
    from common.evaluation.comparison import Trial
    from common.evaluation.embedding_check import EmbeddingCheck
    from common.evaluation.questions import ask_embedding, questions_of
    from common.models.backbones import load_backbone
    from common.models.freezing import freeze_stages
    from common.models.heads import EmbeddingHead
    from common.models.pooling import pool_by_generalised_mean
    from common.runs import start_run
    from common.training.boundary import PhotosAtBoundary
    from common.training.loop import make_accelerator

    run = start_run(__file__, args)

    # Photos, split, leak, and which photos ask which question.
    study = open_study(args)
    catalogue, questions = study.catalogue, questions_of(study.catalogue, study.split)

    # One backbone for all, and what validation asks.
    torch.manual_seed(args.seeds[0])  # of a backbone that begins with random numbers
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    if args.pooling == "gem":
        pool_by_generalised_mean(backbone)
    freeze_stages(backbone, args.unfreeze)
    pixels = read_photos(catalogue.paths(), backbone.preprocessing.stored_size)
    classed = by_class(catalogue, pixels, questions.train, args.classes)
    print(classed.description)
    photos = PhotosAtBoundary(
        backbone, classed.pixels, classed.labels, classed.training_rows,
        flip=not catalogue.has_sides, n_views=args.cached_views,
        device=make_accelerator(args.device).device,
    )  # fmt: skip
    check = EmbeddingCheck(photos, questions, catalogue, classed.names)
    n_runs = len(args.losses) * (len(args.learning_rates) + len(args.seeds) - 1)
    seconds = photos.seconds_to_train(
        n_trained=n_runs * args.epochs * len(classed.training_rows),
        n_looked_at=n_runs * args.epochs * len(check.rows),
    )  # fmt: skip
    print(f"Expected: about {seconds / 60 + 0.3:.0f} minutes for {n_runs} trainings.")

    # Each loss: validation chooses its rate with the first seed; test photos see that one alone.
    untrained = nn.Sequential(photos.tail, EmbeddingHead(backbone.n_features))
    everything = np.arange(catalogue.n_images)
    answers = ask_embedding(photos.outputs(untrained, everything), questions, catalogue)
    trials = [Trial(BEFORE, seed, answers) for seed in args.seeds]
    tuning, preferred = [], None
    for name in args.losses:
        first, values = args.seeds[0], []
        tried = {rate: train(name, rate, first, args, classed, photos, check, run.folder)
                 for rate in args.learning_rates}  # fmt: skip
        rate = max(tried, key=lambda each: tried[each].fit.best_value)
        tuning += [{"loss": name, "learning rate": f"{each:g}", "chosen": each == rate,
                    "validation mAP": tried[each].fit.best_value,
                    "best epoch": tried[each].fit.best_epoch} for each in tried]  # fmt: skip
        for seed in args.seeds:
            trained = tried[rate] if seed == first else train(
                name, rate, seed, args, classed, photos, check, run.folder
            )  # fmt: skip
            embeddings = photos.outputs(trained.model, everything)
            answers = ask_embedding(embeddings, questions, catalogue)
            history = trained.fit.history
            trials.append(Trial(name, seed, answers, trained.fit.seconds, history=history))
            values.append(trained.fit.best_value)
        if not preferred or np.mean(values) > preferred.value:  # one loss's embeddings are kept
            preferred = Preferred(name, np.mean(values), embeddings)

    return report(run, args, study, questions, photos, check, trials, tuning, classed, preferred)


def train(name, rate, seed, args, classed, photos, check, folder):
    """One loss at one learning rate with one seed."""
    from common.data.sampling import identity_batches
    from common.training.loop import TrainingSettings
    from common.training.metric_losses import build_loss
    from common.training.optim import Rates
    from common.training.recipes import train_embedding

    rows = classed.training_rows
    trained = train_embedding(
        photos, photos.n_features, train_rows=rows, n_identities=classed.n_classes,
        criterion=build_loss(name, classed.n_classes, photos.n_features, seed=seed),
        batch_sampler=identity_batches(
            classed.labels[rows], classed.encounters[rows],
            batch_size=args.batch_size, n_images=args.photos_per_identity, seed=seed,
        ),
        validate=check if check.parts else None, choose_by=check.chooser(),
        settings=TrainingSettings(
            epochs=args.epochs, batch_size=args.batch_size, seed=seed, device=args.device,
            mixed_precision=args.mixed_precision,
        ),
        rates=Rates(head=2 * rate, backbone=rate),
        title=f"{name}, rate {rate:g}, seed {seed}", checkpoint=folder / "last.pt",
    )  # fmt: skip
    remove_own(folder, "last.pt")  # what is trained need not be resumed
    return trained


def report(run, args, study, questions, photos, check, trials, tuning, classed, preferred) -> dict:
    """Tables, figures, and what the numbers allow to say."""
    import pandas as pd

    from common.evaluation.comparison import question_by_question, summarise, summarise_rankings
    from common.runs import describe_split
    from common.training.metric_losses import loss_table, options_of
    from common.visualization.bars import interval_chart
    from common.visualization.curves import training_curves
    from common.visualization.examples import example_matches

    table = summarise(trials, questions, study.identity)
    rankings = summarise_rankings(trials, questions, study.identity)
    tuning = pd.DataFrame(tuning)
    figures = {
        "Right answers, with 95 % intervals over animals": interval_chart(
            question_by_question(table), run.figure_path("losses.png"), value="accuracy",
            label="approach", group="question", value_name="share of photos named right",
            limits=(0, 1),
        )
    }  # fmt: skip
    if check.parts:
        firsts = [t for t in trials if t.seed == args.seeds[0] and t.history]
        figures["Validation, epoch by epoch"] = training_curves(
            [{"epoch": rows[0]["epoch"]}
             | {f"{trial.approach}_mAP": row[check.chooser()]
                for trial, row in zip(firsts, rows, strict=True)}
             for rows in zip(*(trial.history for trial in firsts), strict=True)],
            run.figure_path("curves.png"),
            title=f"{check.chooser().replace('_', ' animals, ')}, seed {args.seeds[0]}",
        )  # fmt: skip
    asked = questions.joined if len(questions.joined) else questions.known
    if len(asked):
        figures[f"{preferred.name}: query, and the most alike photos"] = example_matches(
            preferred.embeddings, asked, questions.trainable, study,
            run.figure_path("matches.png"), title=preferred.name,
        )  # fmt: skip
    conclusion = ["No validation photo can be asked: no loss is preferred."]
    if check.chooser():
        conclusion = conclude(trials, preferred.name, questions, study.identity)
    tables = {
        "Losses on equal terms": table,
        "Animals never trained on, ranked": rankings,
        "Learning rates, chosen on validation": tuning,
        "The losses": loss_table({name: options_of(name) for name in args.losses}),
    }
    return run.finish(
        metrics={
            "losses": table, "tuning": tuning, "conclusion": conclusion,
            "trials": [trial.to_dict() for trial in trials],
        },
        split=describe_split(study.split, study.leak),
        tables={title: each for title, each in tables.items() if len(each)},
        figures=figures,
        notes=[
            *conclusion,
            f"Means over seeds {', '.join(map(str, args.seeds))}; margins and scales as in the "
            "last table, not tuned. Intervals: 95 %, over animals.",
            classed.description,
            *questions.reasons,
        ],
        device=str(photos.device),
    )  # fmt: skip


def conclude(trials, preferred, questions, identity) -> list[str]:
    """The loss that validation prefers against every other, and what chance alone would show."""
    from common.evaluation.comparison import QUESTION_COLUMNS, compare

    losses = dict.fromkeys(trial.approach for trial in trials if trial.history)
    verdicts = [
        compare(trials, preferred, other, column, questions, identity)
        for column in QUESTION_COLUMNS for other in losses if other != preferred
    ]  # fmt: skip
    verdicts = [verdict for verdict in verdicts if verdict]
    n_apart = sum(interval.excludes_zero for interval, _ in verdicts)
    return [
        f"Validation prefers {preferred} (mean over seeds).",
        *(sentence for _, sentence in verdicts),
        f"{n_apart} of {len(verdicts)} comparisons can be told from chance at 95 %; of so many, "
        f"{0.05 * len(verdicts):.1f} would seem so by chance alone.",
    ]


if __name__ == "__main__":
    run_script(main)
