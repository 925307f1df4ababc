"""Who is this, and do we know it at all? Photos against a gallery.

Question: which animals of the gallery are most alike, how probable is each, and is it one of them?

    python week3/identify.py path/to/photo.jpg
    python week3/identify.py path/to/photos --gallery path/to/gallery --side left
    python week3/identify.py path/to/a.jpg path/to/b.jpg --same_encounter --false_match_rate 0.05

The gallery is one that build_gallery.py built (default: runs/gallery); its own network embeds the
photos, in seconds. You should see how far the answers can be trusted, then a table of ranked
animals for each photo, with the cosine similarity, the probability that it is this animal, and a
verdict: "known", "look yourself" or "probably new". You state how many of new animals' photos may
be called known (--false_match_rate), and of known ones' probably new (--false_new_rate); the two
thresholds were learned on validation animals, never on these photos. runs/identify/sheet.html
shows the candidates to a person, who confirms or rejects them and saves the decisions.
"""

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache, partial
from pathlib import Path

from common import cli
from common.data.catalogue import load_catalogue, read_card
from common.data.catalogue_cells import normalise_orientation
from common.data.catalogue_checks import drop_rows, fault_lines, sort_out
from common.data.catalogue_folders import BOXES, NO_PHOTOS, TABLES, find_images
from common.data.catalogue_tables import match_columns, read_csv
from common.data.exif import time_taken
from common.data.photo_files import file_and_box
from common.data.photo_names import ID_MARK
from common.ending import run_script
from common.errors import InputError
from common.files import write_text
from common.gallery import embedding, enrolment
from common.gallery.gallery import Gallery
from common.gallery.identification import Question, rank_animals
from common.gallery.local_matching import SECONDS, open_matching
from common.gallery.photos import names_of_pictures
from common.gallery.verdicts import (
    FALSE_MATCH_RATE,
    FALSE_NEW_RATE,
    Meaning,
    meaning_of,
    trust_sentence,
    verdict_on,
)
from common.measures.open_set import threshold_by
from common.mine import own_functions
from common.names import refuse_long
from common.own_files import refuse_foreign
from common.runs import Run, start_run
from common.splits.encounters import SIDES
from common.splits.study import SMOKE_FOLDER
from common.turtles.dataset import TurtleParameters, ensure_turtles
from common.visualization.detail_matches import DetailPair, detail_panel
from common.visualization.matches import matches_panel
from common.visualization.sheet import render_sheet
from common.words import counted
from shown_answers import answer_tables, common_folder, drawing, first_pair, on_sheet, shown

import numpy as np
import pandas as pd

GALLERY, SHEET = Path("runs", "gallery"), "sheet.html"
ABOVE = 3  # folders, from a photo's own, whose table may have boxes: a card's lies above DCIM
NIGHT = timedelta(days=1)  # an encounter may go over midnight
N_DRAWN, N_COLUMNS = 8, 8  # questions, and candidates of each, in the figure; the sheet has all


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.make_parser(__doc__)
    words = "photo files, or folders of photos"
    parser.add_argument("photos", nargs="*", type=cli.present_path, metavar="PHOTO", help=words)
    cli.shared_flags(parser, "device", "output_dir", "smoke", "mine")
    words = "folder that build_gallery.py wrote (default: runs/gallery in the current folder)"
    cli.add_flag(parser, "gallery", cli.local_path, "PATH", words)
    words = "of the animal that all these photos show; left is never compared with right"
    cli.add_flag(parser, "side", cli.plain_word, "SIDE", words)
    parser.add_argument(
        "--same_encounter",
        action="store_true",
        help="all these photos show one animal in one encounter: one answer",
    )
    rates = {"false_match_rate": FALSE_MATCH_RATE, "false_new_rate": FALSE_NEW_RATE}
    cli.shared_flags(parser, **rates)
    cli.add_flag(parser, "k", cli.whole_number(1, 50), "N", "candidates for each question", 5)
    words = "for one question, on comparing details: more time finds more"
    seconds = cli.real_number(above=0.0, up_to=3_600.0)
    cli.add_flag(parser, "seconds_per_query", seconds, "SECONDS", words, SECONDS)
    words = "the network that the gallery has to be built with; another one is refused"
    cli.add_flag(parser, "trained", cli.present_file, "FILE", words)
    args = parser.parse_args(argv)
    if not args.photos and not args.smoke:
        parser.error("PHOTO: no photo is named, expected files or folders of photos")
    gallery, place = (args.gallery or GALLERY).resolve(), args.output_dir and Path(args.output_dir)
    if place and gallery in (place.resolve(), *place.resolve().parents):
        parser.error(
            f"--output_dir: found {place}, which is the gallery or lies in it, expected a folder "
            "of its own for the answers"
        )
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run = start_run(__file__, args, spared=["[Dd]ecisions*"])  # a browser saves it here
    yours, notes = own_functions(args, __file__, "choose_threshold")
    if args.smoke and not args.gallery:
        args.gallery, turtles = few_turtles(run.folder, args.device)
        args.photos = args.photos or turtles
    args.gallery = args.gallery or GALLERY

    # The gallery: photos whose animals are known, in the embedding of the network beside them.
    gallery = enrolment.open_gallery(args.gallery, args.trained)
    if not len(gallery):
        raise InputError(
            f"the gallery {args.gallery} is empty, expected photos of an animal or more; add some "
            "with python week3/build_gallery.py --add"
        )
    network = embedding.network_of(gallery)
    args.side, without = side_of(args.side, gallery)

    # The queries: each photo asks by itself, or all photos of one encounter ask together.
    photos, passed_over = photos_of(args.photos)
    notes += [*passed_over, *without]
    if args.same_encounter:
        refuse_two_of_one(photos)
        notes += days_of(photos)
    groups = [photos] if args.same_encounter else [[photo] for photo in photos]
    queries = np.split(embedding.embed(network, photos, device=args.device), len(groups))
    questions = [Question(each, [args.side] * len(each)) for each in queries]

    # Details find more than the embedding does, and take longer: a cascade of matchers compares
    # those of the photos most alike, where the gallery has them and the matchers are installed.
    matching, why_not = open_matching(gallery, args.gallery, args.device)
    plan = matching and matching.plan_within(args.seconds_per_query, photos[0], len(groups[0]))
    if plan:
        notes.append(plan.text(len(gallery)))
    elif matching:
        why_not = (
            f"--seconds_per_query {args.seconds_per_query:g} suffices for the embedding alone."
        )
    notes += filter(None, [why_not])

    # Two thresholds: from the upper one on an animal is known, below the lower one it is probably
    # new, and a person looks at what lies between. Validation animals taught them, so that of new
    # animals' photos no more than the stated share are called known, and of known ones' new.
    kind = "encounter" if len(groups[0]) > 1 else "photo"
    choose = None
    if yours:
        choose = partial(threshold_by, yours["choose_threshold"])
        notes.append("Your threshold goes by √(BAKS·BAUS): --false_match_rate has no say.")
    scores = plan.scores if plan else embedding.validation_scores(gallery)
    meaning = meaning_of(scores, kind, args.false_match_rate, args.false_new_rate, choose)
    trust = trust_sentence(scores, meaning)

    # The answer: the animals whose most alike photos come first, and whether the first one is
    # alike enough.
    if plan:
        rankings = matching.rank(gallery, questions, groups, plan, args.k)
    else:
        rankings = rank_animals(gallery, questions, args.k)
    verdicts = [verdict_on(ranking, meaning) for ranking in rankings]

    # Tables, figure, and the sheet for a person.
    known = gallery.facts, names_of_pictures(gallery)
    answered = [
        shown(args.gallery, *known, number, *each)
        for number, each in enumerate(zip(groups, verdicts, strict=True), start=1)
    ]
    answered = list(zip(groups, answered, strict=True))
    lines = []
    if plan:
        asked = list(zip(groups, verdicts, strict=True))[:N_DRAWN]
        lines = [first_pair(matching, plan, args.gallery, known[0], *each) for each in asked]
    return report(args, run, gallery, meaning, trust, answered, lines, notes)


def few_turtles(folder: Path, device: str) -> tuple[Path, list[Path]]:
    """--smoke: a quick gallery in the run's folder; two photos of known animals, one of another."""
    place = folder / "gallery_to_try"
    refuse_foreign(place)
    if enrolment.has_gallery(place) and not enrolment.is_throwaway(place):
        raise InputError(
            f"{place} is a gallery of real animals, in whose place --smoke would put its own; "
            "choose another folder with --output_dir"
        )
    ensure_turtles(SMOKE_FOLDER, TurtleParameters.small(), progress=False)
    catalogue = load_catalogue(SMOKE_FOLDER)
    by_animal = dict(list(catalogue.table.groupby("identity")))
    several = [rows for rows in by_animal.values() if rows["encounter"].nunique() > 1]
    known = [rows[rows["date"] == rows["date"].max()].index for rows in several[:2]]
    new = several[2]
    left_out = [*known[0], *known[1], *new.index]
    enrolled = drop_rows(catalogue, left_out)
    network = {"model": "small_cnn", "weights": "none", "image_size": 64, "device": device}
    gallery, _ = enrolment.new_gallery(enrolled, place, None, **network)
    gallery.about["is_smoke"] = True
    enrolment.save_gallery(gallery, place)
    paths = catalogue.paths()
    return place, [paths[known[0][0]], paths[known[1][0]], paths[new.index[0]]]


def side_of(side: str | None, gallery: Gallery) -> tuple[str, list[str]]:
    """`--side` as the gallery writes it, "" where none is given; a note where it has no sides."""
    held = set(gallery.facts["side"]) - {""}
    known = sorted({*SIDES, *held})
    meant = normalise_orientation(pd.Series([side or ""])).item()  # in the words of tables
    written = {each.casefold(): each for each in known}
    why = "" if held else "which side a photo of the gallery shows is not known"
    if meant and meant not in written:
        refuse_long(side, "--side")
        raise InputError(
            f"--side {side}: {why or 'the gallery has no such side'}, expected one of "
            f"{', '.join(known)}; name one of them, or leave --side out"
        )
    note = f"--side {side} leaves out no animal: {why}."
    return written.get(meant, ""), [note] if meant and why else []


def photos_of(given: list[Path]) -> tuple[list[Path], list[str]]:
    """The photos that are named or lie in folders that are, each once; and what is passed over.

    Where a table has boxes, each animal of a photo is one.
    """
    photos, problems, boxes = [], [], lru_cache(boxed)
    for path in given:
        if os.path.isdir(path):
            found = find_images(path)
            photos += found.photos and (boxes(path) or [path / name for name in found.photos])
            problems += [each for each in found.problems() if each.kind not in NO_PHOTOS]
        else:
            photo = Path(os.path.abspath(path))
            near = [boxes(photo.parent)]
            near += [boxes(folder, is_above=True) for folder in photo.parents[1:ABOVE]]
            cut = [each for part in near for each in part if file_and_box(each)[0] == photo]
            photos += cut or [path]
    what = "none of these photos can be read" if photos else "no photo in this folder"
    photos, odd = sort_out(list(dict.fromkeys(Path(os.path.abspath(path)) for path in photos)))
    notes = [each.text() for each in [*problems, *odd]]
    if not photos:
        reasons = "; ".join([*notes, *fault_lines(odd)[1:]][:3])
        raise InputError(
            f"{given[0]}: {what}{f' ({reasons})' if reasons else ''}, expected one or more; name "
            "photo files or their folder"
        )
    return photos, notes + fault_lines(odd)


def refuse_two_of_one(photos: list[Path]) -> None:
    """--same_encounter: two animals of one photo are not one."""
    file, n_boxes = Counter(file_and_box(photo)[0] for photo in photos).most_common(1)[0]
    if n_boxes > 1:
        raise InputError(
            f"--same_encounter: {file} has boxes of {counted(n_boxes, 'animal')}, expected photos "
            "of one animal; leave the flag out, and each is asked about by itself"
        )


def days_of(photos: Sequence[Path]) -> list[str]:
    """--same_encounter: a word where the camera's dates say that there were several."""
    days = sorted(filter(None, (time_taken(file_and_box(photo)[0])[:10] for photo in photos)))
    if not days or date.fromisoformat(days[-1]) - date.fromisoformat(days[0]) <= NIGHT:
        return []
    return [
        f"By their cameras these photos are of {days[0]} to {days[-1]}: if that is so, ask about "
        "them without --same_encounter, which is for photos of one meeting."
    ]


def boxed(folder: Path, *, is_above: bool = False) -> list[Path]:
    """The photos of a folder, with the boxes of a table in it; none where no table has boxes.

    Args:
        is_above: it holds the folder of the photos, and a table there may be of anything.
    """
    try:
        tables = [folder / name for name in os.listdir(folder) if name.lower() in TABLES]
        names = []
        for table in tables:  # without boxes in boxes.csv, whole photos would be asked about
            needed = ("path", "bbox") if table.name.lower() == BOXES else ()
            names.append(match_columns(list(read_csv(table)), str(table), required=needed))
        if not any("bbox" in each for each in names):
            return []
        card = read_card(folder, date_order="day")  # no date is asked for
    except (OSError, InputError) as error:
        if is_above or isinstance(error, OSError):  # one that may not be read
            return []
        raise
    return card.paths() if "bbox" in card.table else []


def new_sheet(folder: Path) -> Path:
    """Where the sheet goes: never in the place of another, whose answers somebody's browser has."""
    names = (SHEET, *(f"sheet_{n}.html" for n in range(2, 100_000)))
    return next(folder / name for name in names if not os.path.lexists(folder / name))


def report(
    args: argparse.Namespace,
    run: Run,
    gallery: Gallery,
    meaning: Meaning,
    trust: str,
    answered: list[tuple[list[Path], dict]],
    lines: list[DetailPair | None],
    notes: list[str],
) -> dict:
    """What the gallery answers: two tables, a figure, a sheet."""
    facts = [
        f"Gallery {args.gallery}: {counted(len(gallery.identities), 'animal')}, "
        f"{counted(len(gallery), 'photo')}. "
        f"Model: {embedding.model_name(gallery.model)}.",
        meaning.text(),
        *notes,
    ]
    if not args.side and set(SIDES) <= set(gallery.facts["side"]):
        facts.append("The gallery knows sides: --side left or right compares like with like.")
    folder = common_folder([photo for photos, _ in answered for photo in photos])
    photo_of = {name: ID_MARK + photo for photo, name in names_of_pictures(gallery).items()}
    sheet = render_sheet(
        "Who is this?",
        [f"{run.started:%Y-%m-%d %H:%M} UTC.", *facts],
        [on_sheet(run.started, args.side, folder, *each) for each in answered],
        {name: photo_of[name] for name in gallery.identities},
        "" if folder is None else str(folder),
        trust,
    )
    path, stays = new_sheet(run.folder), ""
    if path.name != SHEET:
        stays = f"; {SHEET} exists and may have answers, so that it is not replaced"
    write_text(run.figure_path(path.name), sheet)  # it takes its place with the result
    drawn = [drawing(photos, answer) for photos, answer in answered if answer["seen"]][:N_DRAWN]
    figures = {}
    if drawn:
        figures["Each question beside the animals most alike"] = matches_panel(
            drawn, run.figure_path("candidates.png"), n_columns=min(args.k, N_COLUMNS)
        )
    if pairs := [[pair] for pair in lines if pair]:
        figures["The details that are the same in the first animal's photo"] = detail_panel(
            pairs, run.figure_path("details.png"), column_names=["the question, and the answer"]
        )
    answers = [answer for _, answer in answered]
    remarks = dict.fromkeys(remark for answer in answers for remark in answer["remarks"])
    return run.finish(
        metrics={"answers": answers, "meaning": meaning.to_dict()},
        tables=answer_tables(answers, meaning),
        figures=figures,
        summary=trust,
        notes=[*facts, *remarks, f"To confirm or reject: {path}{stays}"],
    )


if __name__ == "__main__":
    run_script(main, "no sheet was written; run the same command again")
