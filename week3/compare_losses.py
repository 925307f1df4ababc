"""Compare losses on equal terms: does it matter what pulls and pushes?

Question: which loss gives the embedding that finds known animals on later days, and which one
that finds animals it never saw? Musgrave et al. 2020, "A metric learning reality check", found the
published gains to shrink once the terms are equal. Here all losses get the same photos and views,
P x K batches, epochs, backbone, head and seeds; validation photos choose each loss's learning
rate and epoch, and for all of them what a class is, by short trainings of the first loss.

    python week3/compare_losses.py
    python week3/compare_losses.py --losses contrastive,triplet,arcface --learning_rates 1e-3

With no argument: the embedded turtles, eight losses, two learning rates, three seeds; about
50 minutes on two laptop cores (the script says how many here before it starts). You should
see every loss above the backbone as it came. The notes at the end say which differences from the
loss that validation prefers are more than chance.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from common import cli
from common.ending import run_script
from common.experiments.answers import Answers, ask_embedding
from common.experiments.class_choice import choose_classes, trial_epochs
from common.experiments.embedding_check import EmbeddingCheck
from common.experiments.experiment import Approach, Experiment, Planned, catalogue_experiment
from common.experiments.trials import (
    JOINED,
    KNOWN,
    Trial,
    by_approach,
    chance_alone,
    compare,
    summarise,
    summarise_rankings,
)
from common.models.backbones import Backbone
from common.runs import Run, describe_split, start_run
from common.splits.questions import questions_of
from common.splits.study import open_study
from common.training.losses import LOSSES, build_loss, loss_table, options_of
from common.training.optim import Rates
from common.training.recipes import Trained, train_embedding
from common.training.strategies import Step
from common.visualization.curves import training_curves
from common.visualization.matches import example_matches
from common.visualization.outcomes import questions_figure
from common.words import counted, expected_time
from metric_learning import BEFORE, new_backbone

import numpy as np
import pandas as pd


@dataclass
class Comparison:
    """What all losses share, and what came out, loss by loss.

    Attributes:
        check: of validation photos, after each epoch.
        trials: every loss with every seed, and the backbone as it came.
        tuning: rows of the table of learning rates.
        value: mean validation value of each loss, over seeds.
        embeddings: of the loss that validation prefers, its last seed's.
    """

    args: argparse.Namespace
    experiment: Experiment
    approach: Approach
    check: EmbeddingCheck
    trials: list[Trial] = field(default_factory=list)
    tuning: list[Mapping] = field(default_factory=list)
    value: dict[str, float] = field(default_factory=dict)
    embeddings: np.ndarray | None = None

    @property
    def preferred(self) -> str:
        """The loss that validation prefers; the first of all where it can be asked of none."""
        return max(self.value, key=self.value.get)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.make_parser(__doc__)
    cli.shared_flags(parser, "data_dir", "model", "weights", "split", "split_column", "image_size")
    cli.shared_flags(parser, "batch_size", "cached_views", "classes", "pooling", "seeds", "device")
    cli.shared_flags(parser, "output_dir", "smoke", epochs=10, unfreeze=4)
    words = "to compare, each with its own margin and scale"
    cli.add_flag(
        parser, "losses", cli.list_of(cli.one_of(LOSSES)), "NAME,...", words, ",".join(LOSSES)
    )
    rates = cli.list_of(cli.real_number(above=0.0, up_to=10.0))
    words = "of the backbone, of which validation chooses each loss's own; the head's is twice it"
    cli.add_flag(parser, "learning_rates", rates, "RATE,...", words, "5e-4,2e-3")
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 2, 64, args.seeds[:1]
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run = start_run(__file__, args)

    # Photos, split, leak, and which photos ask which question.
    study = open_study(args)
    questions = questions_of(study.catalogue, study.split)

    # One backbone for all, whose last stages learn an embedding.
    backbone = new_backbone(args, args.seeds[0])
    experiment = catalogue_experiment(study, args, backbone, questions=questions, run=run)
    trial = partial(try_classes, args, experiment, backbone)
    classes, chosen = choose_classes(args.classes, study.catalogue, trial)
    experiment = experiment.with_classes(classes)
    print(*chosen, experiment.classed.description, sep="\n")
    approach = approach_of(args, experiment, backbone, args.epochs)
    n_runs = len(args.losses) * (len(args.learning_rates) + len(args.seeds) - 1)
    minutes = experiment.expected_minutes([Planned(approach, n_runs)])
    print(f"Expected: {expected_time(minutes)} for {counted(n_runs, 'training')}.")

    # Each loss: validation chooses its rate with the first seed; test photos see that one alone.
    check = EmbeddingCheck(approach.behind, questions, study.catalogue, experiment.classed.names)
    found = Comparison(args, experiment, approach, check)
    found.trials += before_training(experiment, approach, args.seeds)
    for name in args.losses:
        try_loss(name, found)

    # Tables, figures, and what the numbers allow to say.
    table, conclusion = summarise(found.trials), conclude(found)
    seeds = ", ".join(map(str, args.seeds))
    return run.finish(
        metrics={
            "losses": table,
            "tuning": found.tuning,
            "conclusion": conclusion,
            "trials": found.trials,
        },
        split=describe_split(study.split, study.leak),
        tables={
            "Losses on equal terms": table,
            "Animals never trained on, ranked": summarise_rankings(found.trials),
            "Learning rates, chosen on validation": pd.DataFrame(found.tuning),
            "The losses": loss_table({name: options_of(name) for name in args.losses}),
        },
        figures=draw(run, table, found),
        notes=[
            *conclusion,
            f"Means over seeds {seeds}; margins and scales as in the last table, not tuned. "
            "Intervals: 95 %, over animals.",
            *chosen,
            experiment.classed.description,
            *questions.reasons,
        ],
        device=str(experiment.device),
    )


def approach_of(
    args: argparse.Namespace, experiment: Experiment, backbone: Backbone, epochs: int
) -> Approach:
    """An embedding by the classes of an experiment; its loss comes with each training."""
    options = {"recipe": train_embedding, "n_views": args.cached_views}
    return experiment.approach("", backbone, [Step(args.unfreeze, epochs)], **options)


def try_classes(
    args: argparse.Namespace, experiment: Experiment, backbone: Backbone, classes: str
) -> float:
    """Train the first loss for a few epochs; the share of validation photos that it answers right.

    One choice for all losses: they get the same photos.
    """
    own, name = experiment.with_classes(classes), args.losses[0]
    approach = approach_of(args, own, backbone, trial_epochs(args.epochs))
    animals = EmbeddingCheck(approach.behind, own.questions, own.study.catalogue)
    trial, rate = Comparison(args, own, approach, animals), max(args.learning_rates)
    trained = train(name, rate, args.seeds[0], trial, f"{name}, a trial of {classes}")
    return animals.rank_1(trained.model)


def before_training(experiment: Experiment, approach: Approach, seeds: list[int]) -> list[Trial]:
    """The backbone as it came, asked once."""
    answers = ask(experiment, experiment.outputs(approach, approach.untrained))
    return [Trial(BEFORE, seed, answers) for seed in seeds]


def try_loss(name: str, found: Comparison) -> None:
    """Tune one loss with the first seed, train it with the others, and ask it."""
    seeds, experiment, values = found.args.seeds, found.experiment, []
    tried = {rate: train(name, rate, seeds[0], found) for rate in found.args.learning_rates}
    rate = max(tried, key=lambda each: tried[each].fit.best_value)
    for each, trained in tried.items():
        row = {"loss": name, "learning rate": f"{each:g}", "chosen": each == rate}
        row |= {"validation mAP": trained.fit.best_value, "best epoch": trained.fit.best_epoch}
        found.tuning.append(row)
    for seed in seeds:
        trained = tried[rate] if seed == seeds[0] else train(name, rate, seed, found)
        embeddings = experiment.outputs(found.approach, trained.model)
        found.trials.append(Trial.of(name, seed, ask(experiment, embeddings), trained))
        values.append(trained.fit.best_value)
    found.value[name] = float(np.mean(values))
    if found.preferred == name:  # one loss's embeddings are kept
        found.embeddings = embeddings


def train(
    name: str, rate: float, seed: int, found: Comparison, title: str | None = None
) -> Trained:
    """One loss at one learning rate with one seed."""
    experiment, approach, check = found.experiment, found.approach, found.check
    n_classes, n_features = experiment.classed.n_classes, approach.behind.n_features
    return experiment.train(
        replace(approach, rates=Rates(head=2 * rate, backbone=rate)),
        seed,
        title=title or f"{name}, rate {rate:g}, seed {seed}",
        criterion=build_loss(name, n_classes, n_features, seed=seed),
        batch_sampler=experiment.batches_of_several(seed),
        validate=check if check.parts else False,
        choose_by=check.chooser(),
    )


def ask(experiment: Experiment, embeddings: np.ndarray) -> Answers:
    """The course's questions, of an embedding."""
    return ask_embedding(embeddings, experiment.questions, experiment.study.catalogue)


def draw(run: Run, table: pd.DataFrame, found: Comparison) -> dict[str, Path]:
    """Answers with intervals, validation epoch by epoch, and what the preferred loss finds."""
    questions, check = found.experiment.questions, found.check
    figures = questions_figure(run, "losses.png", table)
    if check.parts:
        chooser, seed = check.chooser(), found.trials[0].seed
        firsts = {trial.approach: trial.history for trial in found.trials if trial.seed == seed}
        del firsts[BEFORE]
        epochs = [
            {"epoch": rows[0]["epoch"]}
            | {f"{name}_mAP": row[chooser] for name, row in zip(firsts, rows, strict=True)}
            for rows in zip(*firsts.values(), strict=True)
        ]
        title = f"{chooser.replace('_', ' animals, ')}, seed {seed}"
        path = run.figure_path("curves.png")
        figures["Validation, epoch by epoch"] = training_curves(epochs, path, title=title)
    asked = questions.joined if len(questions.joined) else questions.known
    if len(asked):
        figures[f"{found.preferred}: query, and the most alike photos"] = example_matches(
            found.embeddings,
            asked,
            questions.with_enrolled,
            found.experiment.study,
            run.figure_path("matches.png"),
            title=found.preferred,
        )
    return figures


def conclude(found: Comparison) -> list[str]:
    """The loss that validation prefers against every other, and what chance alone would show."""
    if not found.check.chooser():
        return ["No validation photo can be asked: no loss is preferred."]
    compared = [
        compare(found.trials, found.preferred, other, question)
        for question in (KNOWN, JOINED)
        for other in by_approach(found.trials)
        if other not in (BEFORE, found.preferred)
    ]
    differences = [difference for difference in compared if difference]
    return [
        f"Validation prefers {found.preferred} (mean over seeds).",
        *(difference.sentence() for difference in differences),
        chance_alone(differences),
    ]


if __name__ == "__main__":
    run_script(main)
