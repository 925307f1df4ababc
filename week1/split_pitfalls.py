"""Two ways to a number that is too good or too bad, measured with one model.

Question: how much of a score comes from the split, and does mirroring photos help or harm when
an animal's two sides differ?

    python week1/split_pitfalls.py
    python week1/split_pitfalls.py --model small_cnn --image_size 64 --epochs 20

About four minutes on two laptop cores; the second command, with week 1's own network, takes
about ten. You should see the same model score far better on a random split, where most test
photos have a neighbour from the same encounter in training, than on later days. Whether the
mirror does harm is for you to read off: an interval that spans zero says "cannot be told".
Exercises 1.5 and 1.6 of week1/README.md start here.
"""

import argparse

from common.cli import make_parser, run_script, shared_flags, whole_number

N_VIEWS = 4  # random views per training photo behind frozen stages


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    shared_flags(
        parser, "data_dir", "model", "weights", "split", "split_column", "image_size", "seeds",
        "batch_size", "device", "mixed_precision", "output_dir", "smoke",
        epochs=10, learning_rate=1e-3,
    )  # fmt: skip
    parser.add_argument(
        "--unfreeze",
        type=whole_number(0, 100),
        metavar="N",
        help="last stages of the backbone that train (default: 2; all of small_cnn)",
    )
    return parser.parse_args(argv)


def train_and_test(
    condition: str, args: argparse.Namespace, seed: int, *, study, split, photos, n_features: int
):
    """Train under one condition and ask about the test photos of known animals.

    Args:
        condition: its name.
        args: the script's flags.
        seed: of the training.
        study: photos and labels.
        split: which of them train, choose and test.
        photos: the same photos behind the backbone's frozen stages.
        n_features: of the backbone.

    Returns:
        A table with one row per test photo: condition, identity, is_correct, and the share of
        all test photos that have a training photo of the same encounter.
    """
    from common.models.backbones import SCRATCH_CNN, restart
    from common.splits.leaks import leak_report
    from common.training.loop import TrainingSettings
    from common.training.recipes import Rates, train_classifier

    import pandas as pd

    if args.model == SCRATCH_CNN:
        restart(photos.tail, seed)
    trained = train_classifier(
        photos,
        n_features,
        train_rows=split.rows("train"),
        validation_rows=split.rows_known("validation", study.catalogue),
        n_identities=len(study.catalogue.identities),
        settings=TrainingSettings(
            epochs=args.epochs, batch_size=args.batch_size, seed=seed, device=args.device,
            mixed_precision=args.mixed_precision,
        ),
        rates=Rates(head=2 * args.learning_rate, backbone=args.learning_rate),
        title=f"{condition}, seed {seed}",
    )  # fmt: skip
    rows = split.rows_known("test", study.catalogue)
    leak = leak_report(study.catalogue, split).test
    return pd.DataFrame(
        {
            "condition": condition,
            "seed": seed,
            "identity": study.identity[rows],
            "is_correct": photos.outputs(trained.model, rows).argmax(1) == study.labels[rows],
            "same_encounter": leak.n_same_encounter / leak.n_known,
        }
    )


def summarise(answers, condition: str) -> dict:
    """One line of a table: a condition's accuracy over all seeds."""
    from common.measures.intervals import bootstrap_over_individuals, interval_columns

    asked = answers[answers["condition"] == condition]
    accuracy = bootstrap_over_individuals(asked["is_correct"], asked["identity"])
    return {
        "condition": condition,
        "test photos": len(asked) // asked["seed"].nunique(),
        "animals": asked["identity"].nunique(),
        "of the same encounter": float(asked["same_encounter"].mean()),
        **interval_columns("accuracy", accuracy),
    }


def difference(answers, first: str, second: str):
    """Accuracy under the first condition minus the second, with its interval over animals.

    Both test the same number of photos of each animal, so that sorted by animal they pair up.
    """
    from common.measures.intervals import paired_bootstrap_over_individuals

    ordered = answers.sort_values("identity", kind="stable")
    pair = [ordered[ordered["condition"] == condition] for condition in (first, second)]
    return paired_bootstrap_over_individuals(
        pair[0]["is_correct"], pair[1]["is_correct"], pair[0]["identity"]
    )


def verdict(words: str, interval) -> str:
    """A sentence on a difference."""
    ending = "" if interval.excludes_zero else "; it cannot be told from zero"
    return f"{words}: {interval.text()}{ending}."


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    from common.data.images import read_photos
    from common.errors import InputError
    from common.machine.device import pick_device
    from common.models.backbones import SCRATCH_CNN, load_backbone
    from common.models.freezing import freeze_stages
    from common.runs import describe_split, start_run
    from common.splits.splits import make_split
    from common.splits.study import open_study
    from common.training.boundary import PhotosAtBoundary
    from common.visualization.bars import interval_chart

    import numpy as np
    import pandas as pd

    run = start_run(__file__, args)
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 1, 64, args.seeds[:1]
    device = pick_device(args.device)

    # Data: an honest split, and for each seed a random one with the same counts per animal.
    study = open_study(args)
    catalogue, honest = study.catalogue, study.split
    if honest.name == "random":
        raise InputError(
            "--split random: this script compares a random split with a better one; add dates or "
            "encounters to the catalogue, or name another --split"
        )
    study.rows_known("test")  # says so if there is nothing to test
    randoms = {seed: make_split(catalogue, "random", seed=seed, like=honest) for seed in args.seeds}

    # Model: what is frozen is computed once for all trainings, with and without mirrored photos.
    is_scratch = args.model == SCRATCH_CNN
    backbone = load_backbone(
        args.model, weights="none" if is_scratch else args.weights, image_size=args.image_size
    )
    n_trainable = args.unfreeze if args.unfreeze is not None else None if is_scratch else 2
    freeze_stages(backbone, n_trainable)
    pixels = read_photos(catalogue.paths(), backbone.preprocessing.stored_size)
    ever_trained = np.unique([row for s in (honest, *randoms.values()) for row in s.rows("train")])
    n_views = 1 if args.smoke else N_VIEWS

    def behind_frozen_stages(rows: np.ndarray, flip: bool) -> PhotosAtBoundary:
        return PhotosAtBoundary(
            backbone, pixels, study.labels, rows, flip=flip, n_views=n_views, device=device
        )

    plain = behind_frozen_stages(ever_trained, flip=False)
    mirrored = behind_frozen_stages(honest.rows("train"), flip=True)

    # Train and test under each condition, with each seed; validation chooses the epoch.
    later, later_mirrored = honest.name, f"{honest.name}, mirrored"
    answers = []
    for seed in args.seeds:
        conditions = [("random", randoms[seed], plain), (later, honest, plain)]
        if catalogue.has_sides:
            conditions.append((later_mirrored, honest, mirrored))
        answers += [
            train_and_test(
                name,
                args,
                seed,
                study=study,
                split=split,
                photos=photos,
                n_features=backbone.n_features,
            )
            for name, split, photos in conditions
        ]
    answers = pd.concat(answers, ignore_index=True)

    # Compare, and say what can be told.
    table = pd.DataFrame([summarise(answers, name) for name in answers["condition"].unique()])
    gap = difference(answers, "random", later)
    metrics = {"conditions": table, "random_minus_honest": gap.to_dict()}
    tables = {"The same model on two splits": table.iloc[:2]}
    notes = [
        f"Means over {len(args.seeds)} seeds; intervals: 95 %, over animals.",
        verdict(f"Random minus {later}", gap),
    ]
    if catalogue.has_sides:
        harm = difference(answers, later_mirrored, later)
        metrics["mirrored_minus_plain"] = harm.to_dict()
        tables["No training photo mirrored, or half of them"] = table.iloc[1:]
        notes.append(verdict("Mirrored minus plain", harm))
    else:
        notes.append("Mirroring is not measured: no photo is known to show a left or right side.")

    # Figure and result.
    figure = interval_chart(
        table, run.figure_path("pitfalls.png"), value="accuracy", label="condition",
        value_name="accuracy on test photos (95 % interval over animals)",
    )  # fmt: skip
    return run.finish(
        metrics=metrics, split=describe_split(honest, study.leak), tables=tables,
        figures={"The same model, asked in different ways": figure}, notes=notes,
        device=str(device),
    )  # fmt: skip


if __name__ == "__main__":
    run_script(main)
