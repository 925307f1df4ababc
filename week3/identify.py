"""Who is this, and do we know it at all? Photos against a gallery.

Question: which animals of the gallery are most alike, how probable is each, and is it known or new?

    python week3/identify.py path/to/photo.jpg
    python week3/identify.py path/to/photos --gallery path/to/gallery --side left
    python week3/identify.py path/to/a.jpg path/to/b.jpg --same_encounter --false_match_rate 0.05

The gallery is one that build_gallery.py built (default: runs/gallery); its own network embeds the
photos, in seconds. You should see a table of ranked animals for each photo, with the cosine
similarity, the probability that it is this animal, and a verdict: "known" or "new individual". The
verdict keeps to the share of new individuals that you accept to be taken for a known one
(--false_match_rate); its threshold was learned on validation animals, never on these photos.
runs/identify/sheet.html shows the candidates to a person, who confirms or rejects them and saves
the decisions.
"""

import argparse
from pathlib import Path

from common.cli import (
    local_path,
    make_parser,
    present_path,
    real_number,
    run_script,
    shared_flags,
    whole_number,
)
from common.errors import InputError

N_DRAWN, N_COLUMNS = 8, 8  # questions, and candidates of each, in the figure; the sheet has all
N_SHOWN = 4  # photos of an encounter that the sheet shows
SHEET_SIDE = 420  # pixels, of a query's longer side in the sheet


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument(
        "photos", nargs="*", type=present_path, metavar="PHOTO",
        help="photo files, or folders of photos",
    )  # fmt: skip
    shared_flags(parser, "device", "output_dir", "smoke")
    parser.add_argument(
        "--gallery", type=local_path, metavar="PATH",
        help="folder that build_gallery.py wrote (default: runs/gallery in the current folder)",
    )  # fmt: skip
    parser.add_argument(
        "--side", choices=["left", "right"],
        help="of the animal that all these photos show; compared with photos of that side alone",
    )  # fmt: skip
    parser.add_argument(
        "--same_encounter",
        action="store_true",
        help="all these photos show one animal in one encounter: one answer",
    )
    parser.add_argument(
        "--false_match_rate", type=real_number(above=0.0, up_to=0.5), default=0.01, metavar="RATE",
        help="share of new individuals that may be taken for a known one (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--k", type=whole_number(1, 50), default=5, metavar="N",
        help="candidates for each question (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--trained", type=present_path, metavar="FILE",
        help="the network that the gallery has to be built with; another one is refused",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if not args.photos and not args.smoke:
        parser.error("PHOTO: no photo is named, expected files or folders of photos")
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    import numpy as np

    from common.evaluation.answers import answer
    from common.evaluation.enrolment import embed, open_gallery, validation_scores
    from common.evaluation.identification import Question, rank_animals
    from common.evaluation.scores import meaning_of
    from common.models.storage import load_recogniser
    from common.runs import start_run

    run = start_run(__file__, args)
    if args.smoke and not args.gallery:
        args.gallery, turtles = few_turtles(run.folder, args.device)
        args.photos = args.photos or turtles
    args.gallery = args.gallery or Path("runs", "gallery")

    # The gallery, and what its similarities mean at the stated rate.
    gallery = open_gallery(args.gallery, args.trained)
    photos = photos_of(args.photos)
    groups = [photos] if args.same_encounter else [[photo] for photo in photos]
    kind = "encounter" if len(groups[0]) > 1 else "photo"
    meaning = meaning_of(validation_scores(gallery), kind, args.false_match_rate)

    # The photos in the gallery's own embedding; the animals ranked for each question.
    network, _ = load_recogniser(gallery.model)
    embeddings = np.split(embed(network, photos, device=args.device), len(groups))
    questions = [Question(each, [args.side or ""] * len(each)) for each in embeddings]
    answers = [answer(each, meaning) for each in rank_animals(gallery, questions, args.k)]

    # Tables, figure, and the sheet for a person.
    return report(args, run, gallery, meaning, groups, answers)


def few_turtles(folder: Path, device: str) -> tuple[Path, list[Path]]:
    """--smoke: a quick gallery in the run's folder; two photos of known animals, one of another."""
    from common.data.catalogue import drop_rows, load_catalogue
    from common.data.study import SMOKE_FOLDER
    from common.data.synthetic import TurtleParameters, ensure_turtles
    from common.evaluation.enrolment import has_gallery, is_throwaway, new_gallery, save_gallery
    from common.own_files import refuse_foreign

    place = folder / "gallery_to_try"
    refuse_foreign(place)
    if has_gallery(place) and not is_throwaway(place):
        raise InputError(
            f"{place} is a gallery of real animals, in whose place --smoke would put its own; "
            "choose another folder with --output_dir"
        )
    ensure_turtles(SMOKE_FOLDER, TurtleParameters.small(), progress=False)
    catalogue = load_catalogue(SMOKE_FOLDER)
    by_animal = dict(list(catalogue.table.groupby("identity")))
    several = [rows for rows in by_animal.values() if rows["encounter"].nunique() > 1]
    known, new = (
        [rows[rows["date"] == rows["date"].max()].index for rows in several[:2]],
        several[2],
    )
    left_out = [*known[0], *known[1], *new.index]
    gallery, _ = new_gallery(
        drop_rows(catalogue, left_out), place, None,
        model="small_cnn", weights="none", image_size=64, device=device,
    )  # fmt: skip
    gallery.about["is_smoke"] = True
    save_gallery(gallery, place)
    paths = catalogue.paths()
    return place, [paths[known[0][0]], paths[known[1][0]], paths[new.index[0]]]


def photos_of(given: list[Path]) -> list[Path]:
    """The photo files that are named, and those in the folders that are named; each once."""
    from common.data.catalogue_folders import find_images

    photos = []
    for path in given:
        photos += [path / name for name in find_images(path)[0]] if path.is_dir() else [path]
    if not photos:
        raise InputError(f"{given[0]}: no photo in this folder; name photo files or their folder")
    return list(dict.fromkeys(path.absolute() for path in photos))


def report(args, run, gallery, meaning, groups, answers) -> dict:
    """What the gallery answers: two tables, a figure, a sheet."""
    import pandas as pd

    from common.evaluation.enrolment import model_name, names_of_pictures
    from common.files import write_text
    from common.visualization.matches import matches_panel
    from common.visualization.sheet import render_sheet

    known = gallery.facts, names_of_pictures(gallery)
    answered = [
        shown(args, *known, number, *each)
        for number, each in enumerate(zip(groups, answers, strict=True), start=1)
    ]
    verdicts = pd.DataFrame(
        {"photo": each["title"], "verdict": each["verdict"],
         "similarity": each["similarities"][0] if each["similarities"] else None,
         "threshold": meaning.threshold.value}
        for each in answered
    )  # fmt: skip
    candidates = pd.DataFrame(
        [(each["title"], rank, *columns) for each in answered for rank, columns in enumerate(
            zip(each["identities"], each["similarities"], each["probabilities"], each["seen"],
                strict=True), start=1)],
        columns=["photo", "rank", "animal", "similarity", "probability", "most alike photo"],
    )  # fmt: skip
    facts = [
        f"Gallery {args.gallery}: {len(gallery.identities)} animals, {len(gallery)} photos. "
        f"Model: {model_name(gallery.model)}.",
        meaning.text(),
    ]
    if not args.side and {"left", "right"} <= set(gallery.facts["side"]):
        facts.append("The gallery knows sides: --side left or right compares like with like.")
    sheet = render_sheet(
        "Who is this?", [f"{run.started:%Y-%m-%d %H:%M} UTC.", *facts],
        [on_sheet(run, args, *each) for each in zip(groups, answered, strict=True)],
        gallery.identities,
    )  # fmt: skip
    path = write_text(run.folder / "sheet.html", sheet)
    drawn = [drawing(*each) for each in zip(groups, answered, strict=True) if each[1]["seen"]]
    figures = {}
    if drawn:
        figures["Each question beside the animals most alike"] = matches_panel(
            drawn[:N_DRAWN], run.figure_path("candidates.png"), n_columns=min(args.k, N_COLUMNS)
        )
    return run.finish(
        metrics={"answers": answered, "meaning": {
            "kind": meaning.kind, "asked_rate": meaning.asked_rate, **meaning.threshold.to_dict(),
            "n_new_animals": meaning.n_new_animals, "highest_rate": meaning.highest_rate,
            "is_too_few": meaning.is_too_few}},
        tables={"Verdicts": verdicts, "Candidates": candidates},
        figures=figures,
        notes=[*facts, *dict.fromkeys(remark for each in answered for remark in each["remarks"]),
               f"To confirm or reject: {path}"],
    )  # fmt: skip


def shown(args, facts, enrolled_as, number, photos, answer) -> dict:
    """One question's answer in plain values, as tables, figure and sheet show it."""
    from common.evaluation.gallery_pictures import photo_name, picture_path

    rows = [each.row for each in answer.candidates]
    pictures = [picture_path(args.gallery, facts["picture"][row]) for row in rows]
    if missing := [picture for picture in pictures if not picture.exists()]:
        raise InputError(
            f"--gallery {args.gallery}: its small picture {missing[0].name} is missing; copy the "
            "whole folder, or build the gallery anew with --replace"
        )
    captions = [[facts[name][row] for name in ("side", "date")] for row in rows]
    names = [(photo.name, enrolled_as.get(photo_name(photo))) for photo in photos]
    more = f" and {len(photos) - 1} more" if len(photos) > 1 else ""
    return {
        "title": f"{number}. {photos[0].name}{more}",
        "photos": [str(photo) for photo in photos],
        "verdict": answer.verdict,
        "identities": [each.identity for each in answer.candidates],
        "similarities": answer.similarities,
        "probabilities": answer.probabilities,
        "n_compared": [each.n_compared for each in answer.candidates],
        "seen": [", ".join(word for word in words if word) or Path(facts["path"][row]).name
                 for words, row in zip(captions, rows, strict=True)],
        "pictures": pictures,
        "remarks": [
            *answer.remarks,
            *(f"{file} itself is in the gallery, as {name}: its likeness proves nothing."
              for file, name in names if name),
        ],
    }  # fmt: skip


def drawing(photos, answered):
    """One row of the figure."""
    from common.visualization.matches import RankedMatches

    return RankedMatches(
        query=photos[0], query_caption=answered["title"], gallery=answered["pictures"],
        gallery_captions=answered["identities"], similarities=answered["similarities"],
        probabilities=answered["probabilities"], verdict=answered["verdict"],
    )  # fmt: skip


def on_sheet(run, args, photos, answered):
    """One section of the sheet."""
    from common.data.photo_files import open_photo
    from common.evaluation.gallery_pictures import small_picture
    from common.visualization.sheet import SheetCandidate, SheetQuestion

    columns = ("identities", "similarities", "probabilities", "pictures", "seen")
    candidates = [
        SheetCandidate(name, similarity, probability, open_photo(picture), caption)
        for name, similarity, probability, picture, caption in zip(
            *(answered[column] for column in columns), strict=True)
    ]  # fmt: skip
    return SheetQuestion(
        title=answered["title"], photos=answered["photos"], side=args.side or "",
        encounter=f"identified {run.started:%Y-%m-%dT%H:%M:%S}",  # of an animal, one encounter
        pictures=[small_picture(photo, SHEET_SIDE) for photo in photos[:N_SHOWN]],
        verdict=answered["verdict"], remarks=answered["remarks"], candidates=candidates,
    )  # fmt: skip


if __name__ == "__main__":
    run_script(main)
