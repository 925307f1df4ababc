"""Fine-tuning: let the pre-trained network itself learn, from its last stages upwards.

Question: which part of the network should move, how far, and in which order?

    python week2/fine_tuning.py --data_dir path/to/dataset --model efficientnet_b0 \
        --learning_rate 0.0001 --output_dir runs/fine_tuning
    python week2/fine_tuning.py --strategy partial --unfreeze 3
    python week2/fine_tuning.py --plan 0:2,2:2,4:3,all:5 --layer_decay 0.7

With no argument: the embedded turtles and the classic recipe in three steps (the head alone, the
head with the last stages, everything), three to four minutes on two laptop cores. You should see
accuracy jump each time that more stages are freed, far above a frozen backbone.
`compare_strategies.py` tells how sure that is.
"""

import argparse
import math
from collections.abc import Callable, Sequence

from common.cli import add_flag, make_parser, plain_word, real_number, refuse_beside, shared_flags
from common.data.images import read_photos
from common.ending import run_script
from common.machine.device import pick_device
from common.measures.classification import class_table, evaluate_classification
from common.measures.intervals import mean_columns
from common.mine import own_functions
from common.models.backbones import Backbone, load_backbone
from common.models.freezing import freeze_stages, stages_of
from common.models.heads import HEADS, Recogniser
from common.models.storage import save_recogniser
from common.runs import Run, describe_split, start_run
from common.splits.study import Study, open_study
from common.tables import format_table
from common.training import strategies
from common.training.boundary import PhotosAtBoundary
from common.training.loop import FitResult, TrainingSettings
from common.training.optim import parameter_group
from common.training.recipes import Trained, train_classifier
from common.visualization.curves import rate_curves
from common.visualization.outcomes import classification_figures
from common.words import counted

import numpy as np
import pandas as pd
import torch
from torch import nn

WARMUP_EPOCHS = 1  # in which rates rise from 0; half of a step that has one epoch
WEIGHT_DECAY = 1e-2  # share of a weight, times its rate, that every step takes away


def stages_at(plan: Sequence[tuple[int, int]], epoch: int) -> int:
    """Stages that learn in an epoch, from 0, of a plan of (stages, epochs)."""
    end = 0
    for n_trainable, n_epochs in plan:
        end += n_epochs
        if epoch < end:
            return n_trainable
    return plan[-1][0]


def parts_of(backbone: Backbone) -> list[nn.ParameterList]:
    """The parameters of each stage, photo first."""
    return [
        nn.ParameterList(backbone.network.get_parameter(name) for name in stage.parameter_names)
        for stage in stages_of(backbone)
    ]


def free_last_stages(backbone: Backbone, n_stages: int | None) -> None:
    """Let the last n stages learn and the earlier ones rest; None frees all of them."""
    stages = stages_of(backbone)
    first = 0 if n_stages is None else len(stages) - n_stages
    for stage in stages:
        for name in stage.parameter_names:
            backbone.network.get_parameter(name).requires_grad = stage.index >= first


def rate_groups(
    stages: Sequence[nn.Module],
    head: nn.Module,
    rate: float,
    head_rate: float,
    layer_decay: float,
    weight_decay: float,
) -> list[dict]:
    """Who learns how fast: large steps for the new head, small ones for what is known already.

    Early stages hold edges and colours, which suit any photo: with --layer_decay below 1, each
    stage moves slower than the one behind it. Frozen parameters are in no group, and weight decay
    spares norms and biases (`parameter_group`).
    """
    groups = []
    for index, stage in enumerate(stages):
        n_behind = len(stages) - 1 - index
        groups += parameter_group(stage, rate * layer_decay**n_behind, weight_decay)
    return groups + parameter_group(head, head_rate, weight_decay)


def rate_at(step: int, n_steps: int, n_warmup: int) -> float:
    """Share of its peak that each rate has at one step, from 1 to n_steps: warm-up, then cosine.

    At first the optimiser knows nothing of the gradients' size, so that steps begin small and grow
    in a straight line. Then half a cosine lets them shrink, slowly, fast, slowly, to 0.
    """
    if step < n_warmup:
        return step / n_warmup
    progress = (step - n_warmup) / max(2, n_steps - n_warmup)
    return (1 + math.cos(math.pi * progress)) / 2


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    plumbing = ("data_dir", "split", "split_column", "seed", "device", "output_dir", "smoke")
    machine = ("mixed_precision", "compile", "workers")
    model = ("model", "weights", "image_size", "batch_size", "cached_views", "unfreeze")
    rates = {"learning_rate": 1e-3, "head_learning_rate": 2e-3}
    shared_flags(parser, *plumbing, *machine, *model, "mine", epochs=12, **rates)
    words = "stages that train: none, the last --unfreeze, all, or ever more (default: progressive)"
    names = strategies.STRATEGIES
    parser.add_argument("--strategy", choices=names, default="progressive", help=words)
    words = "a plan of your own instead of --strategy and --epochs, such as 0:2,2:2,all:8"
    add_flag(parser, "plan", plain_word, "N:EPOCHS,...", words)
    words = "learning rate of a stage over that of the stage behind it"
    add_flag(parser, "layer_decay", real_number(above=0.0, up_to=1.0), "FACTOR", words, 1.0)
    words = "one layer, or linear, ReLU, dropout, linear (default: %(default)s)"
    parser.add_argument("--head", choices=HEADS, default="linear", help=words)
    args = parser.parse_args(argv)
    refuse_beside(parser, argv, "plan", "strategy", "epochs", "unfreeze")
    if args.strategy in ("freeze", "full"):
        refuse_beside(parser, argv, "strategy", "unfreeze")
    if args.smoke:
        args.epochs, args.image_size = 3, 64
    return args


def fine_tune(
    plan: list[strategies.Step],
    backbone: Backbone,
    head: nn.Module,
    study: Study,
    run: Run,
    args: argparse.Namespace,
    yours: dict[str, Callable],
) -> tuple[Trained, PhotosAtBoundary, FitResult, dict, list]:
    """Free stages, give each its rate, train; the next step goes on with what was learned.

    Returns:
        The model after the last step, the photos that it reads, how all steps went, a table of
        stages for each step, and the rates at each step of the optimiser.
    """
    train, validation = study.split.rows("train"), study.rows_known("validation")
    pixels = read_photos(study.catalogue.paths(), backbone.preprocessing.stored_size)
    parts, fits, tables, rates, n_done = parts_of(backbone), [], {}, [], 0
    steps = [
        (len(parts) if step.n_trainable is None else step.n_trainable, step.epochs) for step in plan
    ]
    peaks = (args.learning_rate, args.head_learning_rate, args.layer_decay)
    schedule = {"schedule": yours["rate_at"]} if "rate_at" in yours else {}
    for number, step in enumerate(plan, start=1):
        title = f"Step {number}, {strategies.words_of(step)}: {counted(step.epochs, 'epoch')}"
        free_last_stages(backbone, yours.get("stages_at", stages_at)(steps, n_done))
        made = yours.get("rate_groups", rate_groups)(parts, head, *peaks, WEIGHT_DECAY)
        groups = [{**group, "params": list(group["params"])} for group in made]
        tables[title] = strategies.stage_table(backbone, head, groups)
        print(f"\n{title}\n\n{format_table(tables[title])}\n")
        photos = PhotosAtBoundary(
            backbone,
            pixels,
            study.labels,
            train,
            asked_rows=np.union1d(validation, study.rows_known("test")),
            flip=not study.catalogue.has_sides,
            n_views=args.cached_views,
            device=pick_device(args.device),
        )
        trained = train_classifier(
            photos,
            tail=photos.tail,  # the end of the backbone that trains
            head=head,
            groups=groups,
            train_rows=train,
            validation_rows=validation,  # choose the epoch
            settings=TrainingSettings.from_flags(args, epochs=step.epochs, **schedule),
            checkpoint=run.checkpoint(title),
            title=strategies.words_of(step),
        )
        fits.append(trained.fit)
        n_done += step.epochs
        rates += rates_of(step, len(train), args, yours.get("rate_at", rate_at))
    return trained, photos, strategies.joined(fits), tables, rates


def rates_of(
    step: strategies.Step,
    n_photos: int,
    args: argparse.Namespace,
    share_at: Callable[[int, int, int], float],
) -> list[dict]:
    """Learning rates at each step of the optimiser, in one step of the plan, for the figure."""
    peaks = {"head": args.head_learning_rate}
    if step.n_trainable != 0:
        peaks["last stage"] = args.learning_rate
    n_steps = math.ceil(n_photos / args.batch_size)  # of an epoch
    n_warmup = round(n_steps * min(WARMUP_EPOCHS, step.epochs / 2))
    shares = [
        share_at(i + 1, n_steps * step.epochs, n_warmup) for i in range(n_steps * step.epochs)
    ]
    return [{name: peak * share for name, peak in peaks.items()} for share in shares]


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run = start_run(__file__, args)
    yours, notes = own_functions(args, __file__, "stages_at", "rate_groups", "rate_at")
    plan = (
        strategies.read_plan(args.plan)
        if args.plan
        else strategies.plan_of(args.strategy, args.epochs, args.unfreeze)
    )

    # Data and split, and how much the split gives away.
    study = open_study(args)
    identities, test = study.catalogue.identities, study.rows_known("test")

    # Model: a backbone, and a new head.
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    freeze_stages(backbone, max(step.n_trainable or 0 for step in plan))  # are there so many?
    torch.manual_seed(args.seed)
    head = HEADS[args.head](backbone.n_features, len(identities))

    # Train, step by step; then test, once.
    trained, photos, fit, stage_tables, rates = fine_tune(
        plan, backbone, head, study, run, args, yours
    )
    report = evaluate_classification(
        scores=photos.outputs(trained.model, test), labels=study.labels[test], identities=identities
    )

    # Tables, figures, the model itself.
    labels = study.labels[study.split.rows("train")]
    paths = [study.catalogue.paths()[index] for index in test]
    row = {"name": args.plan or args.strategy, "validation": fit.best_value}
    row |= mean_columns("test", report.is_correct, study.identity[test])
    row |= {"balanced": report.balanced_accuracy, "macro F1": report.macro_f1}
    row |= {"training, s": fit.seconds}
    save_recogniser(Recogniser(backbone, head), run.model_path, identities)
    figures = {"Learning rates, step by step": rate_curves(rates, run.figure_path("rates.png"))}
    return run.finish(
        metrics={"name": row["name"], "seed": args.seed, "validation_accuracy": fit.best_value}
        | {"seconds": fit.seconds, "best_epoch": fit.best_epoch, "test": report.to_dict()}
        | {"history": fit.history, "stages": stage_tables},
        split=describe_split(study.split, study.leak),
        tables={
            "Test photos of known animals": pd.DataFrame([row]),
            "Each animal": class_table(report, "identity"),
        },
        figures=figures
        | classification_figures(run, report, fit.history, fit.best_epoch, labels, paths),
        notes=notes,
        device=str(photos.device),
        answers=study.answers(test, report.answered),
    )


if __name__ == "__main__":
    run_script(main)
