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

from common.cli import make_parser, real_number, run_script, shared_flags, whole_number
from common.own_files import remove_own


def parse_args(argv: list[str] | None = None):
    parser = make_parser(__doc__)
    shared_flags(
        parser,
        "data_dir", "model", "weights", "split", "split_column", "image_size", "batch_size",
        "cached_views", "seed", "device", "mixed_precision", "compile", "workers", "output_dir",
        "smoke", epochs=12, learning_rate=1e-3,
    )  # fmt: skip
    parser.add_argument(
        "--strategy", choices=["freeze", "partial", "full", "progressive"], default="progressive",
        help="which stages train: none, the last --unfreeze, all, or ever more "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--unfreeze", type=whole_number(1, 100), default=3, metavar="N",
        help="last stages of the backbone that partial trains (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--plan", metavar="N:EPOCHS,...",
        help="a plan of your own instead of --strategy and --epochs, such as 0:2,2:2,all:8",
    )  # fmt: skip
    parser.add_argument(
        "--head_learning_rate", type=real_number(above=0.0, up_to=10.0), default=2e-3,
        metavar="RATE", help="of the new layers; --learning_rate is the backbone's "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--layer_decay", type=real_number(above=0.0, up_to=1.0), default=1.0, metavar="FACTOR",
        help="learning rate of a stage over that of the stage behind it (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--head", choices=["linear", "mlp"], default="linear",
        help="one layer, or linear, ReLU, dropout, linear (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=whole_number(1, 10_000), metavar="N",
        help="stop a step after N epochs without a better validation (default: never)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size = 3, 64
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.

    from common.data.study import open_study
    from common.evaluation.closed_set import class_table, summarise_outcomes, task_of
    from common.evaluation.ways import Way
    from common.models.backbones import load_backbone
    from common.models.heads import Recogniser, linear_classifier, mlp_classifier
    from common.models.storage import save_recogniser
    from common.runs import describe_split, start_run
    from common.tables import format_table
    from common.training.loop import TrainingSettings
    from common.training.optim import Rates
    from common.training.strategies import install, plan_of, read_plan, stage_table, words_of
    from common.visualization.outcomes import outcome_figures

    run = start_run(__file__, args)
    plan = read_plan(args.plan) if args.plan else plan_of(args.strategy, args.epochs, args.unfreeze)

    # Data and split, and how much the split gives away.
    study = open_study(args)

    # Model: who trains in which step, at which rate.
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    new_head = {"linear": linear_classifier, "mlp": mlp_classifier}[args.head]
    rates = Rates(
        head=args.head_learning_rate, backbone=args.learning_rate, layer_decay=args.layer_decay
    )
    stages = {}
    for number, step in enumerate(plan, start=1):
        head = new_head(backbone.n_features, len(study.catalogue.identities))
        title = f"Step {number}, {words_of(step)}: {step.epochs} epochs"
        stages[title] = stage_table(backbone, head, step.n_trainable, rates)
        print(f"\n{title}\n\n{format_table(stages[title])}\n")

    # Train; validation chooses the epoch of each step, and the test photos are asked once.
    task = task_of(study, backbone.preprocessing.stored_size, args.device)
    way = Way(args.plan or args.strategy, backbone, plan, task, n_views=args.cached_views)
    outcome, trained = way.train(
        TrainingSettings(
            epochs=args.epochs, batch_size=args.batch_size, seed=args.seed, device=args.device,
            mixed_precision=args.mixed_precision, compile=args.compile, workers=args.workers,
            patience=args.patience,
        ),
        new_head=new_head, rates=rates, checkpoint=run.folder / "last.pt", title=way.name,
    )  # fmt: skip

    # Tables, figures, the model itself.
    install(trained.tail, backbone)
    save_recogniser(
        Recogniser(backbone, trained.head), run.folder / "model.safetensors", task.names
    )
    table = summarise_outcomes([outcome], task.individuals[task.test])
    result = run.finish(
        metrics={**outcome.to_dict(), "stages": stages},
        split=describe_split(study.split, study.leak),
        tables={"Test photos of known animals": table,
                "Each animal": class_table(outcome.report, "identity")},
        figures=outcome_figures(outcome, task, run, study.catalogue.paths()),
        device=str(task.device),
    )  # fmt: skip
    remove_own(run.folder, "last_*.pt")  # the run is whole: nothing to resume
    return result


if __name__ == "__main__":
    run_script(main)
