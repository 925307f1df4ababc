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

from common.cli import make_parser, real_number, run_script, shared_flags, whole_number

LATER_RATE = 0.2  # of the third stage, in units of the second's
SCRATCH_RATE = 1e-3


def parse_args(argv: list[str] | None = None):
    parser = make_parser(__doc__)
    shared_flags(
        parser,
        "data_dir", "model", "weights", "split", "split_column", "image_size", "batch_size",
        "device", "mixed_precision", "output_dir", "smoke",
        epochs=20, learning_rate=5e-5, seeds=[0],
    )  # fmt: skip
    for name, least, default, words in (
        ("head_epochs", 1, 10, "passes of the first stage; --epochs are the second's"),
        ("full_epochs", 0, 0, "passes of the third stage, everything; 0: none"),
        ("unfreeze", 1, 2, "last stages of the backbone that the second stage trains"),
        ("patience", 1, 5, "passes without a better validation before a stage ends"),
    ):
        parser.add_argument(
            f"--{name}", type=whole_number(least, 10_000), metavar="N", default=default,
            help=f"{words} (default: %(default)s)",
        )  # fmt: skip
    for name, default, words in (
        ("head_learning_rate", 1e-3, "of the head in the first stage"),
        ("siamese_learning_rate", 1e-3, "of the Siamese network"),
        ("later_head_rate", 1e-3, "of the head in the second; --learning_rate is the backbone's"),
        ("margin", 1.0, "distance that the Siamese network wants between two cats, up to 2"),
    ):
        parser.add_argument(
            f"--{name}", type=real_number(above=0.0, up_to=10.0), metavar="X", default=default,
            help=f"{words} (default: %(default)s)",
        )  # fmt: skip
    parser.add_argument(
        "--unweighted", action="store_true", help="draw every photo once, also of common cats"
    )
    args = parser.parse_args(argv)
    if args.smoke:
        args.head_epochs = args.epochs = 1
        args.image_size = 64
    return args


def plan_of_stages(args) -> list:
    """The head alone, the last stages too, and, if asked for, everything."""
    from common.training.optim import Rates
    from common.training.strategies import Step

    backbone, head = args.learning_rate, args.later_head_rate
    early = {"patience": args.patience}
    plan = [
        Step(0, args.head_epochs, Rates(head=args.head_learning_rate), early),
        Step(args.unfreeze, args.epochs, Rates(head=head, backbone=backbone), early),
    ]
    if args.full_epochs:
        slower = Rates(head=head * LATER_RATE, backbone=backbone * LATER_RATE)
        plan.append(Step(None, args.full_epochs, slower, early))
    return plan


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    from common.data.sampling import ShuffledBatchSampler
    from common.models.backbones import SCRATCH_CNN, load_backbone
    from common.models.heads import Recogniser, mlp_classifier
    from common.models.storage import save_recogniser
    from common.runs import describe_split, start_run
    from common.splits.study import open_study
    from common.training.loop import TrainingSettings
    from common.training.optim import Rates
    from common.training.strategies import Step, install
    from common.visualization.bars import interval_chart
    from common.visualization.outcomes import outcome_figures

    import numpy as np
    from common.experiments.closed_set import (
        class_table,
        difference,
        summarise_outcomes,
        task_of,
        verdict,
    )
    from common.experiments.ways import Way, train_siamese

    if args.data_dir is None and args.dataset is None:
        print("No --data_dir: the embedded turtles stand in for the cats.")
    run = start_run(__file__, args)

    # Data and split, and how much the split gives away.
    study = open_study(args)
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    scratch = load_backbone(SCRATCH_CNN, image_size=args.image_size)
    task = task_of(study, backbone.preprocessing.stored_size, args.device)

    # The ways to train; the others get as many epochs as the stages together, and never stop early.
    plan = plan_of_stages(args)
    epochs = sum(step.epochs for step in plan)
    from_nothing = Step(None, epochs, Rates(head=SCRATCH_RATE, backbone=SCRATCH_RATE))
    fine_tuned = Way("fine-tuned in stages", backbone, plan, task)
    ways = [
        fine_tuned,
        Way("head alone", backbone, [Step(0, epochs, plan[0].rates)], task),
        Way("from scratch", scratch, [from_nothing], task, from_scratch=True),
    ]

    # Train each with every seed; validation chooses the epoch, the test is asked once.
    counts = np.bincount(task.labels[task.train], minlength=len(task.names))
    weights = None if args.unweighted else 1 / counts[task.labels[task.train]]
    outcomes, first_model = [], None
    for seed in args.seeds:
        settings = TrainingSettings(
            epochs=epochs, batch_size=args.batch_size, seed=seed, device=args.device,
            mixed_precision=args.mixed_precision,
        )  # fmt: skip
        sampler = ShuffledBatchSampler(len(task.train), args.batch_size, seed, weights)
        for way in ways:
            outcome, trained = way.train(
                settings, new_head=mlp_classifier, batch_sampler=sampler,
                title=f"seed {seed}, {way.name}",
            )  # fmt: skip
            outcomes.append(outcome)
            first_model = first_model or trained
        # The Siamese network starts from the same weights and frees the same stages.
        rates = Rates(head=args.siamese_learning_rate, backbone=args.siamese_learning_rate)
        compared = train_siamese(
            fine_tuned.photos[1], task, settings, margin=args.margin, rates=rates,
            name="Siamese network", title=f"seed {seed}, Siamese network",
        )  # fmt: skip
        if compared:
            outcomes.append(compared[0])

    # Tables and figures; those of one model show the first seed, fine-tuned.
    install(first_model.tail, backbone)
    save_recogniser(
        Recogniser(backbone, first_model.head), run.folder / "model.safetensors", task.names
    )
    individuals = task.individuals[task.test]
    table = summarise_outcomes(outcomes, individuals)
    others = [name for name in table["name"] if name != fine_tuned.name]
    gains = {name: difference(outcomes, fine_tuned.name, name, individuals) for name in others}
    figures = {
        "Test accuracy": interval_chart(
            table, run.figure_path("accuracy.png"), value="test", label="name",
            value_name="share of test photos named",
        ),
        **outcome_figures(outcomes[0], task, run, study.catalogue.paths()),
    }  # fmt: skip
    return run.finish(
        metrics={"outcomes": [outcome.to_dict() for outcome in outcomes],
                 "gains": {name: gain.to_dict() for name, gain in gains.items()}},
        split=describe_split(study.split, study.leak),
        tables={f"Test photos of known animals, seeds {args.seeds}": table,
                f"Each animal, {fine_tuned.name}": class_table(outcomes[0].report, "identity")},
        figures=figures,
        notes=[verdict(fine_tuned.name, name, gain) for name, gain in gains.items()],
        device=str(task.device),
    )  # fmt: skip


if __name__ == "__main__":
    run_script(main)
