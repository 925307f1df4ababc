"""Metric learning: train one embedding, so that likeness means identity.

Question: which loss should pull photos of one animal together, and does what it learns hold for
animals that it never saw?

    python week3/metric_learning.py
    python week3/metric_learning.py --loss triplet --margin 0.3
    python week3/metric_learning.py --weights runs/fine_tuning/model.safetensors
    python week3/metric_learning.py --data_dir path/to/your/animals --loss supcon --pooling gem
    python week3/metric_learning.py --data_dir path/to/your/animals --for_the_field

With no argument: the embedded turtles, ArcFace, about five minutes on two laptop cores (the
script says how many here before each training): short ones first, by which validation chooses what
a class is, unless --classes names it. You should see the similarity of photos of one animal
and of two animals part, for animals that are trained on far more than for animals that are held
out; and the second gap is the one that counts in the field. The model is stored: export_onnx.py
reads it with --trained. The third command begins with what week 2's fine_tuning.py has learned, in
place of ImageNet: its backbone, without its head. Take the same --split and --seed for both. The
last one is for a gallery: it says in a sentence how far to trust the answers, and trains once more
on all photos.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

from common.cli import add_flag, flags_given, make_parser, real_number, shared_flags, whole_number
from common.ending import run_script
from common.experiments.answers import Answers, ask_embedding
from common.experiments.class_choice import choose_classes, trial_epochs
from common.experiments.embedding_check import EmbeddingCheck
from common.experiments.experiment import Approach, Experiment, Planned, catalogue_experiment
from common.experiments.trials import (
    JOINED,
    KNOWN,
    QUESTIONS,
    Trial,
    compare,
    summarise,
    summarise_rankings,
)
from common.gallery.scores import short_names, validation_scores_of
from common.gallery.verdicts import trust_sentence
from common.measures.open_set import choose_threshold, threshold_by
from common.mine import own_functions
from common.models.backbones import Backbone, load_backbone
from common.models.pooling import pool_by_generalised_mean
from common.models.storage import save_recogniser
from common.runs import Run, describe_split, start_run
from common.splits.questions import Questions, questions_of
from common.splits.study import PUBLISHED_SPLITS, Study, open_study
from common.training.loop import FitResult
from common.training.losses import LOSSES, build_loss, loss_table, options_of
from common.training.optim import Rates
from common.training.recipes import Trained, train_embedding
from common.training.strategies import Step
from common.visualization.curves import training_curves
from common.visualization.matches import example_matches
from common.words import counted, expected_time
from protocols import PROTOCOL_NOTE, known_by_protocol

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

BEFORE = "before training"
ON_ALL = (
    "Trained once more, from the start and for as many epochs, on {} too. What a similarity means "
    "is what validation photos got before that."
)
NOT_ASKED = "no validation photo of a known animal could be asked; add photos of other encounters."


def arcface_logits(
    embeddings: torch.Tensor,
    centres: torch.Tensor,
    labels: torch.Tensor,
    margin: float = 0.3,
    scale: float = 24.0,
) -> torch.Tensor:
    """ArcFace: a classifier on the sphere, made harder for the photo's own animal.

    Each animal has a centre, and what counts is the angle between a photo and a centre. The angle
    to the own centre is made larger by the margin before scores are compared: to be named right
    even so, a photo has to come nearer to its own centre than to all others by that much. Softmax
    and cross-entropy of these logits are the loss; pytorch-metric-learning's, which
    `build_loss("arcface")` hands to the training, is the same in value and gradient up to angles
    of pi minus the margin (beyond, a cosine would rise again, and the library goes on downwards).

    Args:
        embeddings: shape (n_images, embedding_dim).
        centres: one per class, shape (n_classes, embedding_dim), learned.
        labels: whose photos they are, shape (n_images,).
        margin: radians.
        scale: how sharply the softmax tells cosines apart, which differ by 2 at most.

    Returns:
        Shape (n_images, n_classes).

    Source: Deng et al. 2019, "ArcFace", equation 3.
    """
    cosine = functional.normalize(embeddings) @ functional.normalize(centres).T
    angle = cosine.clamp(-1, 1).acos()  # radians, 0 to pi: (n_images, n_classes)
    is_own = functional.one_hot(labels, len(centres)).bool()
    return scale * torch.where(is_own, (angle + margin).cos(), cosine)


class OwnLoss(nn.Module):
    """The loss around a function of --mine: `arcface_logits` or `batch_hard`.

    Args:
        reference: the loss that it stands in for; its centres, if it has any, are the start.
    """

    def __init__(self, function: Callable, reference: nn.Module, options: dict) -> None:
        super().__init__()
        self.function, self.options, self.centres = function, options, None
        if hasattr(reference.loss, "W"):  # arcface's centres
            self.centres = nn.Parameter(reference.loss.W.detach().T.clone())

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.centres is None:
            return self.function(embeddings, labels, **self.options)
        logits = self.function(embeddings, self.centres, labels, **self.options)
        return functional.cross_entropy(logits, labels)


def cosine_similarity(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Cosines of embeddings of unit length, shape (n_query, n_gallery)."""
    return query @ gallery.T


def keep_mask(
    query_identities: np.ndarray,
    query_encounters: np.ndarray,
    gallery_identities: np.ndarray,
    gallery_encounters: np.ndarray,
) -> np.ndarray:
    """Which gallery photos may answer a query, bool, shape (n_query, n_gallery).

    Photos of one encounter share light, water and pose: to find one of them proves nothing. The
    query itself is among them.
    """
    is_same_animal = query_identities[:, None] == gallery_identities
    return ~(is_same_animal & (query_encounters[:, None] == gallery_encounters))


def cmc_and_ap(similarity: np.ndarray, is_match: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank the gallery for each query: where are the right photos?

    Args:
        similarity: shape (n_query, n_gallery).
        is_match: whether a photo shows the query's animal, bool, of the same shape.

    Returns:
        cmc: shape (n_gallery,): at k - 1 the share of queries with a right photo among the
            first k.
        average_precision: shape (n_query,): mean, over the right photos, of the share of right
            photos up to there; 0 without any.
    """
    # Of equally alike photos the wrong ones come first: embeddings that say nothing earn nothing.
    order = np.lexsort((is_match, -similarity.round(6)))
    ranked = np.take_along_axis(is_match, order, axis=1)  # most alike first
    cmc = np.maximum.accumulate(ranked, axis=1).mean(axis=0)
    precision = ranked.cumsum(axis=1) / np.arange(1, ranked.shape[1] + 1)
    return cmc, (precision * ranked).sum(axis=1) / np.maximum(ranked.sum(axis=1), 1)


def margin_of(text: str) -> float:
    """Read `--margin`; which range it has is a matter of the loss."""
    return 0.0 if text == "0" else real_number(above=0.0, up_to=360.0)(text)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    plumbing = ("data_dir", "split", "split_column", "seed", "device", "output_dir", "smoke")
    model = ("model", "weights", "pooling", "batch_size", "cached_views", "mixed_precision")
    defaults = {"epochs": 12, "image_size": 192, "learning_rate": 1e-3, "unfreeze": 4}
    shared_flags(parser, *plumbing, *model, "classes", "photos_per_identity", "mine", **defaults)
    words = "what pulls and pushes (default: %(default)s)"
    parser.add_argument("--loss", choices=LOSSES, default="arcface", help=words)
    words = (
        "in radians for arcface and subcenter_arcface (library: degrees), in distance of unit "
        "vectors, 0 to 2, for contrastive and triplet, in cosine similarity for multi_similarity, "
        "circle and proxy_anchor (default: the loss's own)"
    )
    add_flag(parser, "margin", margin_of, "X", words)
    words = "factor of cosines in an exponential; supcon: 1 / temperature (default: the loss's own)"
    add_flag(parser, "scale", real_number(above=0.0, up_to=1_000.0), "X", words)
    words = "length after a new projection, for many photos (default: none, the features' length)"
    add_flag(parser, "embedding_size", whole_number(2, 8_192), "N", words)
    words = "animals, held out or trained on, whose validation mAP chooses the epoch (default: new)"
    parser.add_argument("--choose_by", choices=["new", "known"], default="new", help=words)
    words = (
        "once validation has chosen classes and epochs, and the test is done, train again on all "
        "photos; with a --split that is given or published, on all but its test"
    )
    parser.add_argument("--for_the_field", action="store_true", help=words)
    args = parser.parse_args(argv)
    if LOSSES[args.loss].compares != "photos" and "photos_per_identity" in flags_given(argv):
        parser.error(
            f"--photos_per_identity: has no say in --loss {args.loss}, expected it left out"
        )
    if args.smoke:
        args.epochs, args.image_size = 2, 64
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    options = options_of(args.loss, margin=args.margin, scale=args.scale)
    run = start_run(__file__, args)
    own_loss = {"arcface": ("arcface_logits",), "triplet": ("batch_hard",)}.get(args.loss, ())
    asking = ("cosine_similarity", "keep_mask", "cmc_and_ap", "choose_threshold")
    yours, mine = own_functions(args, __file__, *own_loss, *asking)

    # Photos, split, leak, and which photos ask which question.
    study = open_study(args)
    catalogue, questions = study.catalogue, questions_of(study.catalogue, study.split)

    # Model: the last stages of a backbone learn; a head puts their features on the unit sphere.
    backbone = new_backbone(args, args.seed)
    experiment = catalogue_experiment(study, args, backbone, questions=questions, run=run)

    # Train; validation photos, of animals held out where there are any, choose what a class is,
    # and the epoch.
    train = partial(learn, args, backbone, options, yours)
    trial = partial(try_classes, args, experiment, train)
    classes, chosen = choose_classes(args.classes, catalogue, trial)
    learned = tested = train(experiment.with_classes(classes), args.epochs)
    notes = [learned.chosen_by(args.choose_by), *chosen]

    # What a similarity means is learned before any test photo is looked at.
    scores = validation_scores_of(
        learned.embed, questions, catalogue, untrained=learned.before.__getitem__
    )
    if args.for_the_field:
        # Published figures are of the published test; else no photo with a name is left unused.
        has_own_test = study.split.name in PUBLISHED_SPLITS
        on_all = questions.trained_on_all(() if has_own_test else np.arange(catalogue.n_images))
        experiment = replace(experiment.with_classes(classes, on_all.train), questions=on_all)
        learned = train(experiment, learned.fit.best_epoch, "on all photos")
        tested = learned if has_own_test else tested
        notes.append(ON_ALL.format("validation photos" if has_own_test else "all other photos"))
        if scores:  # a gallery asks none of the photos that were learned from
            scores = replace(scores, trained_photos=short_names(catalogue, on_all.train))

    # The model itself; then the test photos are asked once.
    whole, means = learned.approach.recogniser(learned.trained), scores and scores.to_dict()
    save_recogniser(whole, run.model_path, catalogue.identities, means)
    trust = trust_sentence(scores) if scores else "How far to trust it is unknown: " + NOT_ASKED
    notes = [*notes, learned.experiment.classed.description, *([trust] if scores else [])]
    notes = [*mine, *found_again(tested, yours), *notes]
    return report(args, run, tested, options, yours, notes, trust if args.for_the_field else "")


def new_backbone(args: argparse.Namespace, seed: int) -> Backbone:
    """The network that training starts from, with the pooling that was asked for."""
    torch.manual_seed(seed)  # of a backbone that begins with random numbers
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    if args.pooling == "gem":
        pool_by_generalised_mean(backbone)
    return backbone


@dataclass(frozen=True)
class Learned:
    """A trained embedding.

    Attributes:
        check: of validation photos, after each epoch.
    """

    experiment: Experiment
    approach: Approach
    check: EmbeddingCheck
    trained: Trained

    @property
    def fit(self) -> FitResult:
        """History and chosen epoch."""
        return self.trained.fit

    def embed(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Embeddings of some photos, None: of all, shape (n_rows, embedding_dim)."""
        return self.experiment.outputs(self.approach, self.trained.model, rows)

    @cached_property
    def before(self) -> np.ndarray:
        """The same of all photos, by the backbone as it came."""
        return self.experiment.outputs(self.approach, self.approach.untrained)

    def chosen_by(self, choose_by: str) -> str:
        """Which epoch was taken, and why."""
        why = "the last: no validation photo can be asked"
        if value := self.check.chooser(choose_by):
            why = f"chosen by {value.replace('_', ' animals, ')}, on validation photos"
        return f"Epoch {self.fit.best_epoch} of {len(self.fit.history)}, {why}."


def learn(
    args: argparse.Namespace,
    backbone: Backbone,
    options: dict,
    yours: dict[str, Callable],
    experiment: Experiment,
    epochs: int,
    title: str = "",
) -> Learned:
    """Train with the loss that was asked for, in batches that suit it."""
    catalogue, classed = experiment.study.catalogue, experiment.classed
    print(classed.description)
    rates = Rates(head=2 * args.learning_rate, backbone=args.learning_rate)
    made = {"recipe": train_embedding, "rates": rates, "n_views": args.cached_views}
    approach = experiment.approach(args.loss, backbone, [Step(args.unfreeze, epochs)], **made)
    check = EmbeddingCheck(approach.behind, experiment.questions, catalogue, classed.names)
    title = f"{args.loss}, {title}" if title else args.loss
    minutes = experiment.expected_minutes([Planned(approach)])
    print(f"Expected: {expected_time(minutes)} for {title}.")

    batches = None
    if LOSSES[args.loss].compares == "photos":  # then each batch needs several of an animal
        batches = experiment.batches_of_several(args.seed, n_images=args.photos_per_identity)
    embedding_dim = args.embedding_size or approach.behind.n_features
    loss = build_loss(args.loss, classed.n_classes, embedding_dim, seed=args.seed, **options)
    for name in {"arcface_logits", "batch_hard"} & yours.keys():  # at most one: the loss asked for
        loss = OwnLoss(yours[name], loss, options)
    trained = experiment.train(
        approach,
        args.seed,
        title=title,
        embedding_dim=args.embedding_size,
        criterion=loss,
        batch_sampler=batches,
        validate=check if check.parts else False,
        choose_by=check.chooser(args.choose_by),
    )
    return Learned(experiment, approach, check, trained)


def try_classes(
    args: argparse.Namespace, experiment: Experiment, train: Callable[..., Learned], classes: str
) -> float:
    """Train for a few epochs; the share of validation photos that then find their animal."""
    own, title = experiment.with_classes(classes), f"a trial of {classes}"
    tried = train(own, trial_epochs(args.epochs), title)
    # Asked for the animal, whatever is taught.
    animals = EmbeddingCheck(tried.approach.behind, own.questions, own.study.catalogue)
    return animals.rank_1(tried.trained.model, args.choose_by)


def report(
    args: argparse.Namespace,
    run: Run,
    tested: Learned,
    options: dict,
    yours: dict[str, Callable],
    notes: list[str],
    summary: str,
) -> dict:
    """What the embedding answers about test photos, beside the backbone as it came."""
    study, questions, fit = tested.experiment.study, tested.experiment.questions, tested.fit
    choose = choose_threshold
    if "choose_threshold" in yours:
        choose = partial(threshold_by, yours["choose_threshold"])
    embeddings = {BEFORE: tested.before, args.loss: tested.embed()}
    before, after = (
        ask_embedding(each, questions, study.catalogue, choose=choose)
        for each in embeddings.values()
    )
    trials = [
        Trial(BEFORE, args.seed, before),
        Trial(args.loss, args.seed, after, fit.seconds, history=fit.history),
    ]
    differences = [compare(trials, args.loss, BEFORE, each) for each in (KNOWN, JOINED)]
    by_protocol = known_by_protocol(embeddings, study.catalogue, study.split)
    return run.finish(
        metrics={"loss": {"name": args.loss, **options}, "best_epoch": fit.best_epoch}
        | {"trials": trials},
        split=describe_split(study.split, study.leak),
        tables={
            "The loss": loss_table({args.loss: options}),
            "Known animals, by protocol": by_protocol,
            "Photos named right": summarise(trials),
            "Animals never trained on, ranked": summarise_rankings(trials),
        },
        figures=draw(run, questions, study, embeddings[args.loss], fit),
        notes=[
            *(difference.sentence() for difference in differences if difference),
            *notes,
            *([PROTOCOL_NOTE] if len(by_protocol) else []),
            *questions.reasons,
        ],
        summary=summary,
        device=str(tested.experiment.device),
        answers=answer_table(after, questions, study),
    )


def answer_table(answers: Answers, questions: Questions, study: Study) -> pd.DataFrame:
    """Each photo of known animals and of those that joined: whom it shows, who was named."""
    return pd.concat(
        study.answers(getattr(questions, name), answers.named[name], question)
        for question, name in QUESTIONS.items()
        if len(answers.named.get(name, ()))
    )


def found_again(learned: Learned, yours: dict[str, Callable]) -> list[str]:
    """In one sentence, how often a photo of a new animal is most like another one of it."""
    study, questions = learned.experiment.study, learned.experiment.questions
    query = questions.unknown
    if not len(query):
        return []
    gallery = np.union1d(query, questions.searched)
    identity, embeddings = study.identity, learned.embed()
    encounter = study.catalogue.table["encounter"].to_numpy(dtype=str)
    cosines = yours.get("cosine_similarity", cosine_similarity)
    similarity = cosines(embeddings[query], embeddings[gallery])
    keep = np.asarray(
        yours.get("keep_mask", keep_mask)(
            identity[query], encounter[query], identity[gallery], encounter[gallery]
        )
    )
    is_match = keep & (identity[query][:, None] == identity[gallery])
    cmc, average_precision = yours.get("cmc_and_ap", cmc_and_ap)(
        np.where(keep, similarity, -np.inf), is_match
    )
    n_right = round(float(cmc[0]) * len(query))
    return [
        f"Of {counted(len(query), 'photo')} of animals never trained on, {n_right} most resemble a "
        f"photo of the same animal from another encounter, among {counted(len(gallery), 'photo')}; "
        f"mean average precision {np.mean(np.asarray(average_precision)):.3f}."
    ]


def draw(
    run: Run, questions: Questions, study: Study, embeddings: np.ndarray, fit: FitResult
) -> dict:
    """Curves, and queries of known and of new animals with the photos most like them."""
    curves = training_curves(
        fit.history, run.figure_path("curves.png"), chosen_epoch=fit.best_epoch
    )
    figures = {"Training": curves}
    for title, file_name, query in (
        ("Known animals", "matches_known.png", questions.known),
        ("Animals that joined after training", "matches_new.png", questions.joined),
    ):
        if len(query):
            figures[f"{title}: query, and the most alike photos"] = example_matches(
                embeddings,
                query,
                questions.with_enrolled,
                study,
                run.figure_path(file_name),
                title=title,
            )
    return figures


if __name__ == "__main__":
    run_script(main)
