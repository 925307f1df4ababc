"""Fifty answers: which pairs of photos should a person judge?

Question: photos of unnamed animals are grouped by likeness, with mistakes. A person may look at
some pairs and say "same" or "different". Which pairs are worth the look, and what if the person
errs?

    python week3/check_pairs.py
    python week3/check_pairs.py --trained path/to/model.safetensors
    python week3/check_pairs.py --trained a.safetensors,b.safetensors --seeds 0,1
    python week3/check_pairs.py --data_dir path/to/your/animals --trained path/to/theirs.safetensors

With no argument: the embedded turtles that nobody trained on, seen by the embedding that
metric_learning.py stored, as if they had no names; some minutes on two laptop cores. A simulated
person knows the truth, is right 100, 95 or 87.5 % of the time, and answers pages of pairs as
sort_photos.py asks them. You should see that pairs at which two groupings disagree are worth most,
whoever judges; that where the embedding alone compares, ten answers already teach when to stop
joining; and that careless answers about random or uncertain pairs do harm.
Validation animals teach what likeness means and, at first, when to stop joining; the animals that
are grouped are the test's.
Take the --data_dir, --split and seed that the embedding was trained with.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from common import cli
from common.ending import run_script
from common.errors import InputError
from common.gallery import embedding
from common.gallery.local_matching import installed
from common.groups.choice import Grouping, Named, distance_for, patterns, regrouped
from common.groups.constraints import Answer, Constraints
from common.groups.likeness import Likeness, Pairs, embed_stored, pairs_of
from common.groups.questions import (
    BEST,
    PER_PAGE,
    STRATEGIES,
    Person,
    agreement,
    second_grouping,
    simulate,
)
from common.matching.matchers import Matcher
from common.measures.intervals import Interval, interval_columns, jackknife_over_individuals
from common.runs import describe_split, start_run
from common.splits.questions import questions_of
from common.splits.study import Study, open_study
from common.visualization import style
from common.visualization.answers import answer_curves
from common.words import counted

import numpy as np
import pandas as pd
from tqdm import tqdm

COSINE, BOTH = "embedding", "embedding and details"
RIGHT = (1.0, 0.95, 0.875)  # shares of a person's answers that are right
ANSWERS, EVERY, JUDGED = 100, 10, 50  # in all; between groupings; for stated gains
USUAL = 0.95  # share of right answers that is shown with intervals, and where gains come from


@dataclass(frozen=True, eq=False)
class Folder:
    """Photos of the test's new animals, grouped as if they had no names, by one model.

    Attributes:
        pairs: of the photos.
        grouping: without any answer.
        truth: what a group shall be, str, shape (n_photos,).
        animal: whom each photo shows.
        likeness: what scores mean: `COSINE` or `BOTH`.
        seed: of the model's split and of the person.
    """

    pairs: Pairs
    grouping: Grouping
    truth: np.ndarray
    animal: np.ndarray
    likeness: str
    seed: int


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.make_parser(__doc__)
    cli.shared_flags(parser, "data_dir", "split", "split_column", "device", "output_dir", "smoke")
    words = f"embeddings that metric_learning.py stored (default: {embedding.TRAINED.as_posix()})"
    cli.add_flag(parser, "trained", cli.list_of(cli.present_file), "FILE,...", words)
    cli.shared_flags(parser, seeds="0")
    args = parser.parse_args(argv)
    n_models = len(args.trained or [embedding.TRAINED])
    if n_models != len(args.seeds):
        parser.error(
            f"--seeds: found {len(args.seeds)} for {counted(n_models, 'model')}, expected the seed "
            "that each model was trained with"
        )
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    models = args.trained or [None if args.smoke else embedding.stored_embedding()]
    run = start_run(__file__, args)
    matchers, why_not = installed(args.device)
    matcher = next(iter(matchers.values()), None)

    # Each model's own split: validation's new animals teach, the test's new animals are grouped.
    folders: list[Folder] = []
    for model, seed in zip(models, args.seeds, strict=True):
        args.seed = seed
        study = open_study(args)
        folders += folders_of(study, model, matcher, args)

    # A simulated person judges pages of pairs, as sort_photos.py asks them, and may stop early.
    kinds = list(dict.fromkeys(each.likeness for each in folders))
    n_answers = 2 * EVERY if args.smoke else ANSWERS
    curves, gains = [], []
    persons = list(product(kinds, RIGHT, STRATEGIES))
    for kind, right, strategy in tqdm(persons, "simulated persons", unit="person"):
        own = [each for each in folders if each.likeness == kind]
        found = [judged(each, strategy, right, n_answers) for each in own]
        states = [[grouping.labels for _, grouping in each] for each in found]
        named = {"similarity": kind, "strategy": strategy, "person right": right}
        curves += [named | row for row in curve(own, states, with_intervals=right == USUAL)]
        gains.append(named | gain(own, states))
    curves, gains = pd.DataFrame(curves), pd.DataFrame(gains)
    groups = pd.DataFrame([before_row(each) for each in folders])
    sources = pd.DataFrame(
        [source_row(kind, [e for e in folders if e.likeness == kind]) for kind in kinds]
    )

    figures = {
        f"What answers are worth: {kind}": style.save_figure(
            answer_curves(curves[curves["similarity"] == kind]),
            run.figure_path(f"{kind.replace(' ', '_')}.png"),
        )
        for kind in kinds
    }
    return run.finish(
        metrics={"curves": curves, "gains": gains, "groups": groups, "sources": sources},
        split=describe_split(study.split, study.leak),
        tables={
            "Groups before any answer": groups,
            f"What {JUDGED} answers are worth": gains,
            "Where the gain comes from": sources,
        },
        figures=figures,
        notes=notes_on(folders[0], why_not),
    )


def notes_on(first: Folder, why_not: str) -> list[str]:
    """What a reader needs to judge the numbers."""
    n_animals, n_patterns = (len(np.unique(each)) for each in (first.animal, first.truth))
    return [
        f"{counted(len(first.animal), 'photo')} of {counted(n_animals, 'animal')} that no model "
        f"was trained on, {counted(n_patterns, 'pattern')} (the left and the right side of an "
        "animal are two); AMI and ARI say how well groups agree with these.",
        f"Intervals: 95 %, over animals, each left out once; gained: AMI after {JUDGED} answers "
        f"minus before, paired. Pairs are asked in pages of {PER_PAGE}, or as many as there are; "
        "a further page comes of the groups that the answers before have made.",
        *([f"Details are not compared: {why_not}"] if why_not else []),
    ]


def folders_of(
    study: Study, model: Path | None, matcher: Matcher | None, args: argparse.Namespace
) -> list[Folder]:
    """Group the test's new animals by one model, by the embedding alone and with details."""
    questions = questions_of(study.catalogue, study.split)
    network, known, folders = embedding.open_network(model, args.seed), [], []
    if model:
        asked = np.union1d(questions.validation_new, questions.unknown)
        embedding.refuse_seen(model, study.catalogue, asked)
    taught = questions.validation_new
    if args.smoke:  # too few photos for an honest answer
        taught = np.union1d(questions.train, questions.validation)
    for rows in (taught, questions.unknown):
        if len(np.unique(study.identity[rows])) < 2:
            raise InputError(
                f"--split {study.split.name}: {counted(len(rows), 'photo')} of animals that are "
                "not trained on, expected two animals or more in validation and in test; take "
                "another --split"
            )
        paths = [study.catalogue.paths()[row] for row in rows]
        embeddings = embed_stored(network, model, paths, device=args.device)
        pairs = pairs_of(study.catalogue, rows, embeddings, matcher)
        known.append((pairs, study.identity[rows], study.catalogue.sides[rows]))
    (teaching, names, sides), (pairs, animal, own_sides) = known
    for kind in (COSINE, BOTH) if matcher else (COSINE,):
        own, asked = (e if kind == BOTH else e.by_cosine() for e in (teaching, pairs))
        named, likeness = Named.of(own, names, sides), Likeness.learned(own, names)
        grouping, _ = distance_for(named, likeness, asked, seed=args.seed)
        truth = patterns(animal, own_sides)
        folders.append(Folder(asked, grouping, truth, animal, kind, args.seed))
    return folders


def judged(
    folder: Folder, strategy: str, right: float, n_answers: int
) -> list[tuple[Constraints, Grouping]]:
    """What is known and the groups, before any answer and after every ten."""
    person = Person(folder.truth, right, folder.seed)
    options = {"every": EVERY, "seed": folder.seed}
    return simulate(strategy, folder.pairs, folder.grouping, person, n_answers, **options)


def curve(
    folders: Sequence[Folder], states: Sequence[Sequence[np.ndarray]], *, with_intervals: bool
) -> list[dict]:
    """A row for each round: agreement and number of groups, mean over models."""
    rows = []
    for number, labels in enumerate(zip(*states, strict=True)):
        parts = zip(folders, labels, strict=True)
        measured = [
            agreement(folder.truth, own) | {"groups": int(own.max()) + 1} for folder, own in parts
        ]
        means = pd.DataFrame(measured).mean().to_dict()
        truth = np.mean([len(np.unique(folder.truth)) for folder in folders])
        if with_intervals:
            means |= interval_columns("AMI", ami_interval(folders, labels))
        rows.append({"answers": number * EVERY, **means, "patterns": truth})
    return rows


def gain(folders: Sequence[Folder], states: Sequence[Sequence[np.ndarray]]) -> dict:
    """Agreement before any answer and after `JUDGED`, and the difference with its interval."""
    at = min(JUDGED // EVERY, len(states[0]) - 1)
    before, after = [own[0] for own in states], [own[at] for own in states]
    rows = {}
    for name in ("AMI", "ARI"):
        for when, labels in (("before", before), ("after", after)):
            values = [agreement(f.truth, own)[name] for f, own in zip(folders, labels, strict=True)]
            rows[f"{name} {when}"] = float(np.mean(values))
    rows["groups before"] = float(np.mean([own.max() + 1 for own in before]))
    rows["groups after"] = float(np.mean([own.max() + 1 for own in after]))
    rows["patterns"] = float(np.mean([len(np.unique(each.truth)) for each in folders]))
    return rows | interval_columns("AMI gained", ami_interval(folders, after, before))


def ami_interval(
    folders: Sequence[Folder],
    labels: Sequence[np.ndarray],
    before: Sequence[np.ndarray] | None = None,
) -> Interval:
    """AMI of groups, or by how much it is above that of others; mean over models."""

    def of_one(
        folder: Folder, own: np.ndarray, other: np.ndarray | None, rows: np.ndarray
    ) -> float:
        value = agreement(folder.truth[rows], own[rows])["AMI"]
        return value if other is None else value - agreement(folder.truth[rows], other[rows])["AMI"]

    others = before or [None] * len(labels)
    statistics = [partial(of_one, *each) for each in zip(folders, labels, others, strict=True)]
    animals = [folder.animal for folder in folders]
    return jackknife_over_individuals(statistics, animals, is_difference=before is not None)


def before_row(folder: Folder) -> dict:
    """Groups against the truth, before any answer."""
    labels = folder.grouping.labels
    measured = agreement(folder.truth, labels)
    whole = agreement(folder.animal, labels)["AMI"]
    return {
        "similarity": folder.likeness,
        "seed": folder.seed,
        "distance": folder.grouping.distance,
        "groups": folder.grouping.n_groups,
        "patterns": len(np.unique(folder.truth)),
        "animals": len(np.unique(folder.animal)),
        **measured,
        "AMI against animals": whole,
        "AMI of the second grouping": agreement(
            folder.truth, second_grouping(folder.grouping.probability, folder.pairs)[0]
        )["AMI"],
    }


def source_row(kind: str, folders: Sequence[Folder]) -> dict:
    """What the answers bring that bind, of each kind alone; and then the distance they teach."""
    rows, labels = [], {"after": [], "bound": []}
    for folder in folders:
        known, grouping = judged(folder, BEST, USUAL, JUDGED)[-1]
        own = {"after": grouping.labels, "before": folder.grouping.labels}
        for word, kinds in {"same": {True}, "different": {False}, "bound": {True, False}}.items():
            told = Constraints.of(len(own["after"]), [e for e in known.kept if e.is_same in kinds])
            named = folder.grouping.distance
            own[word] = regrouped(folder.grouping, folder.pairs, told, named).labels
        ami = {word: agreement(folder.truth, each)["AMI"] for word, each in own.items()}
        rows.append(
            {'answers "same"': sum(each.is_same for each in known.kept)}
            | {"AMI gained": ami["after"] - ami["before"]}
            | {f'by "{word}" alone': ami[word] - ami["before"] for word in ("same", "different")}
            | {"distance before": folder.grouping.distance, "distance after": grouping.distance}
            | moved(folder, known.kept)
        )
        for word, lists in labels.items():
            lists.append(own[word])
    distance = ami_interval(folders, labels["after"], labels["bound"])
    row = {"similarity": kind, "strategy": BEST} | pd.DataFrame(rows).mean().to_dict()
    return row | interval_columns("by the distance", distance)


def moved(folder: Folder, answers: Sequence[Answer]) -> dict:
    """How many answers joined groups of one animal, parted different ones, or said what was so."""
    labels, truth = folder.grouping.labels, folder.truth
    pairs = np.array([(e.first, e.second) for e in answers], dtype=int).reshape(-1, 2).T
    was_joined, are_one = (np.equal(*each[pairs]) for each in (labels, truth))
    is_same = np.array([e.is_same for e in answers], dtype=bool)  # there may be none
    is_right = are_one == is_same
    return {
        "split animals joined": int((~was_joined & is_same & is_right).sum()),
        "merged animals parted": int((was_joined & ~is_same & is_right).sum()),
        "wrong answers": int((~is_right).sum()),
    }


if __name__ == "__main__":
    run_script(main)
