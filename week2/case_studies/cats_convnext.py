"""Individual cats: transfer learning in stages, against a Siamese network and a start from nothing.

Question: with few photos of each cat, does a fine-tuned classifier beat learning to compare?

    python week2/case_studies/cats_convnext.py --data_dir path/to/dataset --model convnext_tiny
    python week2/case_studies/cats_convnext.py --data_dir path/to/dataset --full_epochs 10

The recipe: a head of two layers alone first (rate 1e-3), then the last stages too (backbone 5e-5,
head 1e-3), then, with --full_epochs, everything at a fifth of these; random views, rare cats drawn
as often as common ones, early stopping. Beside it: the head alone, a Siamese network (contrastive
loss on pairs, answered by the most similar photo) and a small network from scratch, with the same
photos and as many epochs. One folder per cat, or any catalogue. With no --data_dir the embedded
turtles stand in for the cats, with no --model a network that needs no download. The recipe's
author expects transfer to win while cats are few; the last lines say whether your photos can tell.
"""

import argparse
from dataclasses import replace

from common.cli import add_flag, make_parser, shared_flags, whole_number
from common.data.sampling import ShuffledBatchSampler
from common.ending import run_script
from common.experiments.experiment import Approach, Experiment, catalogue_experiment
from common.experiments.trials import closed_set_table, compare
from common.measures.classification import class_table
from common.models.backbones import SCRATCH_CNN, Backbone, load_backbone
from common.models.heads import mlp_classifier
from common.models.storage import save_recogniser
from common.runs import describe_split, start_run
from common.splits.study import open_study
from common.training.losses import contrastive
from common.training.optim import Rates
from common.training.recipes import train_embedding
from common.training.strategies import Step
from common.visualization.bars import interval_chart
from common.visualization.outcomes import trial_figures

import numpy as np

FIRST_HEAD_RATE = LATER_HEAD_RATE = 1e-3  # of the head, in the first stage and in the second
LATER_RATE = 0.2  # of the third stage, in units of the second's
PATIENCE = 5  # passes without a better validation before a stage ends
SCRATCH_RATE = SIAMESE_RATE = 1e-3
MARGIN = 1.0  # distance that the Siamese network wants between two cats, up to 2


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    shared_flags(parser, "data_dir", "model", "weights", "split", "split_column", "image_size")
    shared_flags(parser, "batch_size", "device", "output_dir", "smoke")
    shared_flags(parser, head_epochs=10, epochs=20, learning_rate=5e-5, unfreeze=2, seeds="0")
    words = "passes of the third stage, everything; 0: none"
    add_flag(parser, "full_epochs", whole_number(0, 10_000), "N", words, 0)
    args = parser.parse_args(argv)
    if args.smoke:
        args.head_epochs = args.epochs = 1
        args.image_size = 64
    return args


def plan_of_stages(args: argparse.Namespace) -> list[Step]:
    """The head alone, the last stages too, and, if asked for, everything."""
    later = Rates(head=LATER_HEAD_RATE, backbone=args.learning_rate)
    early = {"patience": PATIENCE}
    plan = [
        Step(0, args.head_epochs, Rates(head=FIRST_HEAD_RATE), early),
        Step(args.unfreeze, args.epochs, later, early),
    ]
    if args.full_epochs:
        slower = Rates(head=later.head * LATER_RATE, backbone=later.backbone * LATER_RATE)
        plan.append(Step(None, args.full_epochs, slower, early))
    return plan


def approaches_of(
    args: argparse.Namespace, backbone: Backbone, experiment: Experiment
) -> list[Approach]:
    """The recipe, and three others with as many epochs, which never stop early."""
    plan = plan_of_stages(args)
    epochs = sum(step.epochs for step in plan)
    scratch = load_backbone(SCRATCH_CNN, image_size=args.image_size)
    from_nothing = Step(None, epochs, Rates(head=SCRATCH_RATE, backbone=SCRATCH_RATE))
    head = {"new_head": mlp_classifier}
    fine_tuned = experiment.approach("fine-tuned in stages", backbone, plan, **head)
    return [
        fine_tuned,
        experiment.approach("head alone", backbone, [Step(0, epochs, plan[0].rates)], **head),
        experiment.approach("from scratch", scratch, [from_nothing], from_scratch=True, **head),
        # The Siamese network starts from the same weights and frees the same stages.
        replace(
            fine_tuned,
            name="Siamese network",
            plan=[Step(args.unfreeze, epochs, Rates(head=SIAMESE_RATE, backbone=SIAMESE_RATE))],
            photos=fine_tuned.photos[1:2],
            recipe=train_embedding,
        ),
    ]


def batches_of(experiment: Experiment, approach: Approach, seed: int) -> dict:
    """Rare cats as often as common ones; for the Siamese network, several photos of each."""
    if not approach.is_classifier:
        batches = experiment.batches_of_several(seed)
        return {"criterion": contrastive(margin=MARGIN), "batch_sampler": batches}
    labels = experiment.classed.labels[experiment.questions.train]
    weights, size = 1 / np.bincount(labels)[labels], experiment.settings.batch_size
    return {"batch_sampler": ShuffledBatchSampler(len(labels), size, seed, weights)}


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    if args.data_dir is None and args.dataset is None:
        print("No --data_dir: the embedded turtles stand in for the cats.")
    run = start_run(__file__, args)

    # Data and split, and how much the split gives away.
    study = open_study(args)
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    experiment = catalogue_experiment(study, args, backbone, run=run)

    # Train each approach with every seed; validation chooses the epoch, the test is asked once.
    approaches = approaches_of(args, backbone, experiment)
    if not experiment.n_with_pairs():
        approaches.pop()  # no cat has two photos: the Siamese network has no pair to pull together
    trials, models = [], []
    for seed in args.seeds:
        for approach in approaches:
            options = batches_of(experiment, approach, seed)
            models.append(experiment.train(approach, seed, **options))
            trials.append(experiment.ask(approach, seed, models[-1]))
            del models[1:]  # the first one is stored

    # Tables and figures; those of one model show the first seed, fine-tuned.
    recogniser, names = approaches[0].recogniser(models[0]), experiment.class_names
    save_recogniser(recogniser, run.model_path, names)
    table, best = closed_set_table(trials), trials[0]
    gains = [compare(trials, best.approach, name) for name in table["name"][1:]]
    path, words = run.figure_path("accuracy.png"), "share of test photos named"
    accuracy = interval_chart(table, path, value="test", label="name", value_name=words)
    return run.finish(
        metrics={"trials": trials, "gains": {gain.second: gain.interval for gain in gains}},
        split=describe_split(study.split, study.leak),
        tables={
            f"Test photos of known animals, seeds {args.seeds}": table,
            f"Each animal, {best.approach}": class_table(best.answers.report, "identity"),
        },
        figures={"Test accuracy": accuracy, **trial_figures(run, best, experiment)},
        notes=[gain.sentence() for gain in gains],
        device=str(experiment.device),
    )


if __name__ == "__main__":
    run_script(main)
