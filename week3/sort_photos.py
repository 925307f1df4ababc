"""A folder of unnamed photos becomes proposed individuals.

Question: who is who, when nobody has a name yet, and which pairs of photos should a person look at?

    python week3/sort_photos.py
    python week3/sort_photos.py path/to/photos
    python week3/sort_photos.py path/to/photos --trained path/to/model.safetensors --questions 50
    python week3/sort_photos.py path/to/photos --answers path/to/answers.csv
    python week3/sort_photos.py path/to/photos --data_dir path/to/named/animals --trained theirs

With no folder: a drawn memory card of 300 photos, whose turtles are known apart, in data/card.
Photos are read as they come from a camera: dates and places from the files, a table with boxes or
sides where there is one. The embedding that metric_learning.py stored compares them, and details
where local matching is installed; animals with names that it was not trained on (--data_dir with
its --split and --seed) teach what likeness means and when to stop joining. A minute for a hundred
photos on two laptop cores, most of it for details, which are kept. You should see the number of
groups, a picture of them, and how many are probably named wrongly. individuals.csv in
runs/sort_photos proposes who is who: look through it, rename the animals, and copy it as
metadata.csv into the folder. pairs.html (and pairs.csv) asks about the pairs that are worth most:
judge them, save, and give the file back with --answers, as often as you like.
"""

import argparse
import hashlib
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from common import cli
from common.data.catalogue import Catalogue
from common.data.catalogue_checks import load_checked_card
from common.data.catalogue_folders import TABLE_FILE
from common.data.catalogue_tables import CONTENT, make_image_ids
from common.data.exif import time_texts
from common.data.photo_files import file_and_box
from common.data.photo_names import photo_id
from common.ending import run_script
from common.errors import InputError
from common.files import write_text
from common.gallery import embedding
from common.gallery.local_matching import installed
from common.gallery.pictures import small_picture
from common.gallery.scores import short_names
from common.groups.choice import AGREEMENT, LITTLE_AGREEMENT, Named, distance_for, misidentified
from common.groups.constraints import Answer, Constraints
from common.groups.likeness import Likeness, embed_stored, pairs_of
from common.groups.questions import BEST, PER_PAGE, agreement, choose_pairs, grouped_again
from common.models.storage import read_description
from common.own_files import is_foreign
from common.runs import Run, start_run
from common.splits.questions import questions_of
from common.splits.study import Study, open_study, reading_flags
from common.tables import csv_text
from common.turtles.card import ensure_card
from common.visualization.contact_sheet import contact_sheet
from common.visualization.pair_sheet import PairQuestion, render_pairs
from common.words import counted, few
from pair_answers import fewer_than_before, learned_from, pairs_in, read_answers, told

import numpy as np
import pandas as pd

INDIVIDUALS, PAIRS, SHEET = "individuals.csv", "pairs.csv", "pairs.html"
FEWEST_ANIMALS = 4  # that the embedding has not learned from
# As `names_of` writes it, or a person who types it.
PROPOSED = re.compile(r"animal\W*(\d{1,9})(-\w{4})?", re.IGNORECASE)
N_NAMED = 5  # names in a note
N_DRAWN = 14  # groups in the picture
PICTURE_SIDE = 480  # pixels, on the page of pairs
COPIED = ("image_id", "path", "identity", "date", "encounter", "orientation", "bbox")
PLACES = ("latitude", "longitude")
MADE_HERE = ("encounter_known",)  # columns that are no table's
TRUTH = "Against the truth, which is known of this card"
READING = ("keep_names", "photos_elsewhere", "date_order", "sides_from_names")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.make_parser(__doc__)
    words = "folder of photos whose animals have no names yet"
    parser.add_argument("photo", nargs="?", type=cli.present_path, metavar="FOLDER", help=words)
    words = (
        "animals with names, that the embedding was trained on others of; see metric_learning.py"
    )
    cli.add_flag(parser, "data_dir", cli.present_path, "PATH", f"{words} (default: the turtles)")
    words = f"embedding that metric_learning.py stored (default: {embedding.TRAINED.as_posix()})"
    cli.add_flag(parser, "trained", cli.present_file, "FILE", words)
    words = "pairs that a person has judged: files that pairs.html saved, or pairs.csv filled in"
    cli.add_flag(parser, "answers", cli.list_of(cli.present_file), "FILE,...", words)
    cli.add_flag(parser, "questions", cli.whole_number(0, 1_000), "N", "pairs on a page", PER_PAGE)
    cli.shared_flags(parser, "clock_offset", "gap_minutes", *READING, "split", "split_column")
    cli.shared_flags(parser, "seed", "device", "output_dir", "smoke")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    model, truth = args.trained, None
    if not (model or args.smoke):  # a smoke run has a network with random weights
        model = embedding.stored_embedding()
    if args.photo is None:
        args.photo, truth = ensure_card(is_small=args.smoke)
    run = start_run(__file__, args, may_hold_others=True)  # pairs.csv that a person has filled in
    reading = reading_flags(vars(args)) | {"gap_minutes": args.gap_minutes}
    reading |= {"keep_names": args.keep_names or (), "photos_elsewhere": args.photos_elsewhere}
    card, report = load_checked_card(args.photo, **reading)
    print(report.text())
    if card.n_images < 2:
        raise InputError(f"{args.photo}: one photo that can be used, expected two or more to group")
    answers, asked, given, passed = read_answers(args.answers or (), card)

    # What likeness means, and when to stop joining, is learned from animals with names.
    network, matchers = embedding.open_network(model, args.seed), installed(args.device)
    matcher = next(iter(matchers[0].values()), None)
    named, notes = teaching(args, network, model, matcher)
    likeness = Likeness.learned(named.pairs, named.identity)

    # The folder's photos are compared and grouped; then what persons have said comes in: names that
    # its table has, and answers.
    rows = np.arange(card.n_images)
    embeddings = embed_stored(network, model, card.paths(), device=args.device)
    pairs = pairs_of(card, rows, embeddings, matcher)
    first, per_group = distance_for(named, likeness, pairs, seed=args.seed)
    notes.append(told_of_agreement(first.agreement))
    boxes, names = boxes_of_one_photo(card), card.table["identity"].tolist()
    by_person = ["" if PROPOSED.fullmatch(name) else name for name in names]
    proved = constraints, grouping = grouped_again(pairs, first, answers, boxes, by_person)
    kept = names
    if names != by_person:  # an earlier sorting's names hold groups together, and prove nothing
        denied = denied_proposals(constraints.kept, names)
        kept = ["" if name in denied else name for name in names]
        waiting = constraints.doubtful
        constraints, grouping = grouped_again(pairs, first, answers, boxes, kept, waiting)
        notes += told_of_proposals(names, denied, proved[1].n_groups)
    labels = grouping.labels
    individuals, told_of_names = names_of(card, labels, kept)
    mistakes = misidentified(first, proved[1], answers, pairs.encounter)

    # The next pairs to judge: those on which most hangs.
    options = {"asked": asked, "seed": args.seed}
    asking = proved[1], pairs, proved[0], args.questions
    chosen = choose_pairs(BEST, *asking, **options)
    if not chosen and proved[1].swallowed():  # one group by any rule, and probably a wrong one
        chosen = choose_pairs("random", *asking, **options)
    when = f"{run.started:%Y-%m-%d %H:%M:%S} UTC"
    questions = [ask(card, pair, when, grouping.probability, proved[0]) for pair in chosen]
    warnings = list(filter(None, [grouping.swallowed(), *passed, *told(constraints, card)]))
    notes += [f"Details are not compared: {matchers[1]}"] if matchers[1] else []
    n_left = len(constraints.doubtful) + len(constraints.contradictions)
    n_pairs = len({(each.first, each.second) for each in answers})
    notes.append(learned_from(n_pairs, n_left, first.distance, grouping.distance))
    facts = {
        "groups": counts_of(card, labels),
        "distance": grouping.distance,
        "distance by named photos": first.distance,
        "photos a group": per_group,
        "answers": {"given": len(answers), "kept": len(constraints.kept), "pairs": pairs_in(given)},
        "misidentification": mistakes,
        AGREEMENT: first.agreement,
    }
    facts |= {"truth": against_truth(card, labels, truth)} if truth else {}
    lost = fewer_than_before(run.folder, given)
    notes = [*lost, *warnings, *notes, *told_of_names]
    return finish(run, card, labels, individuals, facts, questions, given, notes)


def denied_proposals(answers: Sequence[Answer], names: Sequence[str]) -> set[str]:
    """Names that an earlier sorting proposed, and answers speak against."""
    denied = set()
    for each in answers:
        pair = {names[each.first], names[each.second]}
        if "" not in pair and (len(pair) == 1) != each.is_same:
            denied |= {name for name in pair if PROPOSED.fullmatch(name)}
    return denied


def told_of_proposals(names: Sequence[str], denied: Collection[str], n_groups: int) -> list[str]:
    """What becomes of names that a sorting proposed; without them there are so many groups."""
    n_proposed = sum(map(bool, map(PROPOSED.fullmatch, names)))
    notes = [
        f"{counted(n_proposed, 'photo')} with a name that a sorting proposed, such as animal-001: "
        "they stay together, but mistakes are counted, and pairs asked, as if nobody had named "
        f"them, in {counted(n_groups, 'group')}. Rename the animals that you know."
    ]
    if denied:
        given_up = few(sorted(denied), most=N_NAMED)
        notes.append(f"Proposed names that answers speak against are given up: {given_up}.")
    return notes


def teaching(
    args: argparse.Namespace, network: object, model: Path | None, matcher: object
) -> tuple[Named, list[str]]:
    """Named photos of animals that the embedding never saw; notes."""
    study = open_study(argparse.Namespace(**vars(args) | {"clock_offset": None}))  # the card's
    rows = unseen_rows(study, model)
    n_animals, notes = len(np.unique(study.identity[rows])), []
    if n_animals < FEWEST_ANIMALS:
        rows = np.arange(study.catalogue.n_images)
        notes.append(
            f"The embedding was not trained on {counted(n_animals, 'animal')} of "
            f"{study.catalogue.name}, which is too few to learn from; it knows the others, so that "
            "likeness is flattered, animals may fall apart, and mistakes are more than is said."
        )
    paths = study.catalogue.paths()
    embeddings = embed_stored(network, model, [paths[i] for i in rows], device=args.device)
    pairs = pairs_of(study.catalogue, rows, embeddings, matcher)
    named = Named.of(pairs, study.identity[rows], study.catalogue.sides[rows])
    n_named = counted(len(np.unique(named.identity)), "animal")
    notes.append(
        f"What likeness means is learned from {counted(len(rows), 'photo')} of {n_named} of "
        f"{study.catalogue.name}."
    )
    return named, notes


def told_of_agreement(agreed: float) -> str:
    """What the groups of named photos say of the network; a warning where it is little."""
    text = (
        f"Put together in the same way, these named photos agree with their names by {agreed:.2f} "
        "(AMI: 1 as named, 0 as chance would)."
    )
    if agreed >= LITTLE_AGREEMENT:
        return text
    return (
        f"{text} That is little: the network hardly knows such animals, so that groups, mistakes "
        "and what is counted from them may be far from the truth, also outside their intervals. "
        "Train one on photos like yours before you count."
    )


def unseen_rows(study: Study, model: Path | None) -> np.ndarray:
    """Photos of animals that the embedding has not learned from, as it says itself, or by split."""
    scores = model and read_description(model)["scores"]
    trained_photos = scores and scores.get("trained_photos")
    if not trained_photos:
        questions = questions_of(study.catalogue, study.split)
        return np.union1d(questions.validation_new, questions.unknown)
    everybody = np.arange(study.catalogue.n_images)
    is_trained = np.isin(short_names(study.catalogue, everybody), trained_photos)
    return np.flatnonzero(~np.isin(study.identity, study.identity[is_trained]))


def boxes_of_one_photo(card: Catalogue) -> list[tuple[int, int]]:
    """Pairs of rows that are two boxes of one photo, which cannot show one animal."""
    rows_of = card.table.groupby("path").indices.values()
    return [(int(i), int(j)) for rows in rows_of for n, i in enumerate(rows) for j in rows[:n]]


def ask(
    card: Catalogue,
    pair: tuple[int, int],
    asked: str,
    probability: np.ndarray,
    constraints: Constraints,
) -> PairQuestion:
    """A pair with its pictures."""
    table, paths, names = card.table, card.paths(), card.names()
    again = {tuple(sorted((each.first, each.second))) for each in constraints.doubtful}
    when = [table["date"].iloc[row] for row in pair]
    captions = tuple("" if pd.isna(day) else f"{day:%Y-%m-%d %H:%M}" for day in when)
    return PairQuestion(
        ids=tuple(photo_id(paths[row]) for row in pair),
        paths=tuple(names[row] for row in pair),
        captions=captions,
        pictures=tuple(small_picture(paths[row], PICTURE_SIDE) for row in pair),
        probability=float(probability[pair]),
        asked=asked,
        remark="Your answer was surprising: please look once more." if pair in again else "",
    )


def counts_of(card: Catalogue, labels: np.ndarray) -> dict[str, int]:
    """Photos and groups, and groups of each side."""
    counts = {"photos": card.n_images, "groups": int(labels.max()) + 1}
    for side in ("left", "right"):
        counts[f"groups with {side} sides"] = len(np.unique(labels[card.sides == side]))
    sided = [set(card.sides[labels == label]) for label in range(counts["groups"])]
    counts["groups with both"] = sum({"left", "right"} <= own for own in sided)
    counts["groups of one photo"] = int((np.bincount(labels) == 1).sum())
    counts["photos in the largest group"] = int(np.bincount(labels).max())
    return counts


def against_truth(card: Catalogue, labels: np.ndarray, truth: Path) -> dict[str, float]:
    """How well groups agree with who is on the drawn card."""
    known = pd.read_csv(truth, dtype=str, keep_default_na=False).set_index(["path", "bbox"])
    rows = known.loc[list(zip(card.table["path"], card.table["bbox"], strict=True))]
    patterns = (rows["identity"] + rows["orientation"]).to_numpy()
    n_shown = {"animals": rows["identity"].nunique(), "patterns": len(np.unique(patterns))}
    return n_shown | agreement(patterns, labels)


def sides_sentence(counts: dict[str, int]) -> str:
    """What the number of groups says about the number of animals."""
    left, right = counts["groups with left sides"], counts["groups with right sides"]
    both, groups = counts["groups with both"], counted(counts["groups"], "group")
    if left and right:
        return (
            f"{groups}, {left} with left and {right} with right sides, {both} with both. A left "
            "and a right side that nobody joined are two groups and one animal: there are at "
            f"least {max(left, right)} animals. Join those you know with rows of --answers, or "
            "count one side only."
        )
    return (
        f"{groups}. The folder does not say which side a photo shows: if your animals' left and "
        "right differ, one animal may be two groups, and there are fewer animals than groups."
    )


def finish(
    run: Run,
    card: Catalogue,
    labels: np.ndarray,
    names: np.ndarray,
    facts: dict,
    questions: Sequence[PairQuestion],
    given: Sequence[dict[str, str]],
    notes: Sequence[str],
) -> dict:
    """Tables, picture and page.

    Args:
        given: rows that have been answered; the next file has them, too.
    """
    encounters = card.table["encounter"].where(card.table["encounter_known"], "")
    individuals = card.table.assign(identity=names, encounter=encounters)
    empty = [name for name in PLACES if individuals[name].isna().all()]
    # Made from paths, it would keep tables of two cards from being put together.
    keys = individuals["path"] + individuals.get("bbox", "")
    if individuals["image_id"].eq(make_image_ids(keys)).all():
        empty.append("image_id")
    others = individuals.columns.drop([*COPIED, *empty, *MADE_HERE], errors="ignore")
    copied = [name for name in COPIED if name in individuals and name not in empty]
    individuals = individuals[[*copied, *others]]
    # Files may be numbered anew before this table is read again.
    contents = [photo_id(file_and_box(path)[0]) for path in card.paths()]
    dates = time_texts(individuals["date"])
    individuals = individuals.assign(date=dates, **{CONTENT: contents})
    individuals = individuals.sort_values(["identity", "date", "path"])
    # What a person has changed or may be answering stays; the new one is written beside it.
    who, rows, sheet = (
        new_name(run.folder, name) if name == SHEET or is_foreign(run.folder / name) else name
        for name in (INDIVIDUALS, PAIRS, SHEET)
    )
    write_text(run.figure_path(who), csv_text(individuals))
    if questions:
        table = pd.DataFrame([*given, *(each.row() for each in questions)])
        write_text(run.figure_path(rows), csv_text(table))
        told = [f"{run.started:%Y-%m-%d %H:%M} UTC. Photos: {card.root}."]
        write_text(run.figure_path(sheet), render_pairs("One animal?", told, questions, given))
    drawn = np.flatnonzero(labels < N_DRAWN)
    drawn = drawn[np.lexsort((card.table["date"].iloc[drawn], labels[drawn]))]
    paths, there = card.paths(), ""
    if (card.root / TABLE_FILE).exists():
        there = (
            "; keep a copy of the one that is there, which may have rows of photos that were not "
            "found or read"
        )
    days = card.table["date"].dt.strftime("%Y-%m-%d").fillna("").to_numpy()
    figure = contact_sheet(
        [paths[row] for row in drawn],
        run.figure_path("groups.png"),
        identities=names[drawn],
        captions=days[drawn],
    )
    tables = {"Groups": pd.DataFrame([facts["groups"]]), "Mistakes": mistakes_table(facts)}
    tables |= {TRUTH: pd.DataFrame([facts["truth"]])} if "truth" in facts else {}
    asked = (
        f"To judge {counted(len(questions), 'pair')}: {run.folder / sheet}, or {rows} beside it."
    )
    return run.finish(
        metrics=facts,
        tables=tables,
        figures={f"The {min(N_DRAWN, labels.max() + 1)} largest groups": figure},
        summary=sides_sentence(facts["groups"]),
        notes=[
            *notes,
            f"Who is who, proposed: {run.folder / who}. Rename the animals, and copy it as "
            f"metadata.csv into the folder{there}.",
            asked if questions else "No pair is left that is worth asking.",
        ],
    )


def names_of(
    card: Catalogue, labels: np.ndarray, kept: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
    """A name for each photo: the one that the folder's table has for its group, or a new one.

    A new one has a number beyond those of earlier proposals that the table has, and four digits of
    these groups: the first animal of another card, or of this one sorted otherwise, is another one.
    And a note.

    Args:
        kept: names of the photos, as the table has them; "" where it has none that counts.
    """
    name_of = {label: name for label, name in zip(labels.tolist(), kept, strict=True) if name}
    n_named, own = sum(map(bool, kept)), set(card.table["identity"])
    taken = [int(match[1]) for match in map(PROPOSED.fullmatch, own) if match]
    others = [label for label in range(int(labels.max()) + 1) if label not in name_of]
    first = max(taken, default=0) + 1
    width = max(3, len(str(first + len(others) - 1)))
    mark = mark_of(card, labels)
    name_of |= {each: f"animal-{n:0{width}}-{mark}" for n, each in enumerate(others, start=first)}
    note = f"Names that the folder's table has are kept: {counted(n_named, 'photo')}."
    return np.array([name_of[label] for label in labels.tolist()]), [note] if n_named else []


def mark_of(card: Catalogue, labels: np.ndarray) -> str:
    """Four digits that other photos than these, or other groups of them, would hardly have."""
    sizes = [file_and_box(path)[0].stat().st_size for path in card.paths()]
    dates = card.table["date"].astype(str)
    photos = sorted(zip(card.names(), dates, sizes, labels.tolist(), strict=True))
    return hashlib.blake2b(repr(photos).encode(), digest_size=2).hexdigest()


def mistakes_table(facts: dict) -> pd.DataFrame:
    """How many encounters are probably named wrongly."""
    words = {
        "missed": "encounters of an animal seen before that got a new identity",
        "false": "animals that were joined to another one",
    }
    rows = [
        {"mistake": words[name], "share": rate["value"], "share_low": rate["low"]}
        | {"share_high": rate["high"]}
        for name, rate in facts["misidentification"].items()
    ]
    return pd.DataFrame(rows)


def new_name(folder: Path, name: str) -> str:
    """A name that no file has: a browser may hold answers to the page of that name."""
    stem, ending = name.split(".")
    names = (name, *(f"{stem}_{n}.{ending}" for n in range(2, 100_000)))
    return next(each for each in names if not os.path.lexists(folder / each))


if __name__ == "__main__":
    run_script(main, "what was compared is kept; run the same command again to go on")
