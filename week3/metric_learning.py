"""Metric learning: train one embedding, so that likeness means identity.

Question: which loss should pull photos of one animal together, and does what it learns hold for
animals that it never saw?

    python week3/metric_learning.py
    python week3/metric_learning.py --loss triplet --margin 0.3
    python week3/metric_learning.py --data_dir path/to/your/animals --loss supcon --pooling gem

With no argument: the embedded turtles, ArcFace, about three minutes on two laptop cores (the
script says how many here before it starts). You should see the similarity of photos of one animal
and of two animals part, for animals that are trained on far more than for animals that are held
out; and the second gap is the one that counts in the field. The model is stored: export_onnx.py
reads it with --trained.
"""

import argparse

from common.cli import make_parser, real_number, run_script, shared_flags, whole_number
from common.own_files import remove_own

LOSS_NAMES = (
    "contrastive", "triplet", "multi_similarity", "supcon", "circle", "proxy_anchor", "arcface",
    "subcenter_arcface",
)  # fmt: skip


def margin_of(text: str) -> float:
    """Read `--margin`; which range it has is a matter of the loss."""
    return 0.0 if text == "0" else real_number(above=0.0, up_to=360.0)(text)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    shared_flags(
        parser,
        "data_dir", "model", "weights", "split", "split_column", "batch_size", "cached_views",
        "classes", "pooling", "seed", "device", "mixed_precision", "output_dir", "smoke",
        epochs=12, image_size=192, learning_rate=1e-3,
    )  # fmt: skip
    parser.add_argument("--loss", choices=LOSS_NAMES, default="arcface",
                        help="what pulls and pushes (default: %(default)s)")  # fmt: skip
    parser.add_argument(
        "--margin", type=margin_of, metavar="X",
        help="in radians for arcface and subcenter_arcface (library: degrees), in distance of unit "
        "vectors, 0 to 2, for contrastive and triplet, in cosine similarity for multi_similarity, "
        "circle and proxy_anchor (default: the loss's own)",
    )  # fmt: skip
    parser.add_argument(
        "--scale", type=real_number(above=0.0, up_to=1_000.0), metavar="X",
        help="what cosines are multiplied with before an exponential; 1 / temperature of supcon "
        "(default: the loss's own)",
    )  # fmt: skip
    parser.add_argument(
        "--embedding_size", type=whole_number(2, 8_192), metavar="N",
        help="length after a projection (default: none, the length of the backbone's features: "
        "where photos are few a new projection loses more than it learns)",
    )  # fmt: skip
    parser.add_argument(
        "--unfreeze", type=whole_number(0, 100), default=4, metavar="N",
        help="last stages of the backbone that train; --learning_rate is theirs, the head's is "
        "twice it (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--photos_per_identity", type=whole_number(2, 100), default=4, metavar="N",
        help="photos of an animal in a batch, for losses that compare photos "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--choose_by", choices=["new", "known"], default="new",
        help="animals whose mAP on validation photos chooses the epoch: held out, or trained on "
        "(default: %(default)s, where the split holds any out)",
    )  # fmt: skip
    parser.add_argument(
        "--train_on_all", action="store_true",
        help="train on validation photos too, and take the last epoch: for a published split, "
        "whose training part has no validation, once everything is chosen",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size = 2, 64
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    import torch

    from common.data.images import read_photos
    from common.data.sampling import identity_batches
    from common.data.study import open_study
    from common.data.training_classes import by_class
    from common.evaluation.embedding_check import EmbeddingCheck
    from common.evaluation.questions import questions_of
    from common.evaluation.scores import validation_scores_of
    from common.models.backbones import load_backbone
    from common.models.freezing import freeze_stages
    from common.models.heads import Recogniser
    from common.models.pooling import pool_by_generalised_mean
    from common.models.storage import save_recogniser
    from common.runs import start_run
    from common.training.boundary import PhotosAtBoundary
    from common.training.loop import TrainingSettings, make_accelerator
    from common.training.metric_losses import LOSSES, build_loss, options_of
    from common.training.optim import Rates
    from common.training.recipes import train_embedding
    from common.training.strategies import install

    options = options_of(args.loss, margin=args.margin, scale=args.scale)
    run = start_run(__file__, args)

    # Photos, split, leak, and which photos ask which question.
    study = open_study(args)
    catalogue, questions = study.catalogue, questions_of(study.catalogue, study.split)
    if args.train_on_all:
        questions = questions.trained_on_all()

    # Model: the last stages of a backbone learn; a head puts their features on the unit sphere.
    torch.manual_seed(args.seed)  # of a backbone that begins with random numbers
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    if args.pooling == "gem":
        pool_by_generalised_mean(backbone)
    freeze_stages(backbone, args.unfreeze)
    pixels = read_photos(catalogue.paths(), backbone.preprocessing.stored_size)
    classed = by_class(catalogue, pixels, questions.train, args.classes)
    print(classed.description)
    train = classed.training_rows
    photos = PhotosAtBoundary(
        backbone, classed.pixels, classed.labels, train, flip=not catalogue.has_sides,
        n_views=args.cached_views, device=make_accelerator(args.device).device,
    )  # fmt: skip

    # Loss: one that compares photos needs several of an animal in each batch.
    embedding_dim = args.embedding_size or backbone.n_features
    criterion = build_loss(args.loss, classed.n_classes, embedding_dim, seed=args.seed, **options)
    batches = None
    if LOSSES[args.loss].compares == "photos":
        batches = identity_batches(
            classed.labels[train], classed.encounters[train],
            batch_size=args.batch_size, n_images=args.photos_per_identity, seed=args.seed,
        )  # fmt: skip

    # Train; validation photos, of animals held out where there are any, choose the epoch.
    check = EmbeddingCheck(photos, questions, catalogue, classed.names)
    choose_by = check.chooser(args.choose_by)
    seconds = photos.seconds_to_train(
        n_trained=args.epochs * len(train), n_looked_at=args.epochs * len(check.rows)
    )
    print(f"Expected: about {seconds / 60 + 0.3:.0f} minutes.")
    trained = train_embedding(
        photos, backbone.n_features, embedding_dim=args.embedding_size, criterion=criterion,
        train_rows=train, n_identities=classed.n_classes, batch_sampler=batches,
        validate=check if choose_by else None, choose_by=choose_by,
        settings=TrainingSettings(
            epochs=args.epochs, batch_size=args.batch_size, seed=args.seed, device=args.device,
            mixed_precision=args.mixed_precision,
        ),
        rates=Rates(head=2 * args.learning_rate, backbone=args.learning_rate),
        title=args.loss, checkpoint=run.folder / "last.pt",
    )  # fmt: skip

    # What a similarity means is learned before any test photo is looked at.
    scores = validation_scores_of(
        lambda rows: photos.outputs(trained.model, rows), questions, catalogue
    )

    # Ask the test photos once; tables, figures, the model itself.
    result = report(run, args, options, study, questions, photos, trained, choose_by, classed)
    install(trained.tail, backbone)
    save_recogniser(
        Recogniser(backbone, trained.head), run.folder / "model.safetensors",
        catalogue.identities, scores.to_dict() if scores else None,
    )  # fmt: skip
    remove_own(run.folder, "last.pt")  # the run is whole: nothing to resume
    return result


def report(run, args, options, study, questions, photos, trained, choose_by, classed) -> dict:
    """What the embedding answers about test photos, beside the backbone as it came."""
    import numpy as np
    from torch import nn

    from common.evaluation.comparison import Trial, compare, summarise, summarise_rankings
    from common.evaluation.protocols import PROTOCOL_NOTE, known_by_protocol
    from common.evaluation.questions import ask_embedding
    from common.models.heads import EmbeddingHead
    from common.runs import describe_split
    from common.training.metric_losses import loss_table
    from common.visualization.curves import training_curves
    from common.visualization.examples import example_matches

    fit, before = trained.fit, "before training"
    untrained = nn.Sequential(photos.tail, EmbeddingHead(photos.n_features))
    rows = np.arange(study.catalogue.n_images)
    models = {before: untrained, args.loss: trained.model}
    embeddings = {name: photos.outputs(model, rows) for name, model in models.items()}
    answers = {name: ask_embedding(each, questions, study.catalogue)
               for name, each in embeddings.items()}  # fmt: skip
    trials = [
        Trial(before, args.seed, answers[before]),
        Trial(args.loss, args.seed, answers[args.loss], fit.seconds, history=fit.history),
    ]
    verdicts = [compare(trials, args.loss, before, column, questions, study.identity)
                for column in ("known animals", "joined later")]  # fmt: skip
    figures = {
        "Training": training_curves(
            fit.history, run.figure_path("curves.png"), chosen_epoch=fit.best_epoch
        )
    }
    for title, file_name, query in (
        ("Known animals", "matches_known.png", questions.known),
        ("Animals that joined after training", "matches_new.png", questions.joined),
    ):
        if len(query):
            figures[f"{title}: query, and the most alike photos"] = example_matches(
                embeddings[args.loss], query, questions.trainable, study,
                run.figure_path(file_name), title=title,
            )  # fmt: skip
    by_protocol = known_by_protocol(
        {name: [each] for name, each in embeddings.items()}, study.catalogue, study.split
    )
    tables = {
        "The loss": loss_table({args.loss: options}),
        "Known animals, by protocol": by_protocol,
        "Photos named right": summarise(trials, questions, study.identity),
        "Animals never trained on, ranked": summarise_rankings(trials, questions, study.identity),
    }
    chosen = "the last: no validation photo can be asked"
    if choose_by:
        chosen = f"chosen by {choose_by.replace('_', ' animals, ')}, on validation photos"
    return run.finish(
        metrics={
            "loss": {"name": args.loss, **options},
            "best_epoch": fit.best_epoch, "chosen_by": choose_by,
            "trials": [trial.to_dict() for trial in trials],
        },
        split=describe_split(study.split, study.leak),
        tables={title: table for title, table in tables.items() if len(table)},
        figures=figures,
        notes=[
            *(verdict[1] for verdict in verdicts if verdict),
            f"Epoch {fit.best_epoch} of {len(fit.history)}, {chosen}.",
            classed.description,
            *([PROTOCOL_NOTE] if len(by_protocol) else []),
            *questions.reasons,
        ],
        device=str(photos.device),
    )  # fmt: skip


if __name__ == "__main__":
    run_script(main)
