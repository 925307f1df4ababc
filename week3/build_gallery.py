"""A gallery of known animals: photos in, one folder out that answers questions in the field.

Question: which animals do we know, and what does it cost to add, remove or rename one?

    python week3/build_gallery.py
    python week3/build_gallery.py --data_dir path/to/your/animals --output_dir path/to/gallery
    python week3/build_gallery.py --model efficientnet_lite0
    python week3/build_gallery.py --output_dir path/to/gallery --add --data_dir path/to/new/photos
    python week3/build_gallery.py --output_dir path/to/gallery --rename t001 Anna
    python week3/build_gallery.py --output_dir path/to/gallery --remove Anna
    python week3/build_gallery.py --output_dir path/to/gallery --move path/to/photo.jpg Anna
    python week3/build_gallery.py --output_dir path/to/gallery --forget path/to/photo.jpg
    python week3/build_gallery.py --output_dir path/to/gallery --undo
    python week3/build_gallery.py --output_dir path/to/gallery --list

With no argument: the embedded turtles, seen by the embedding that metric_learning.py trained, in
runs/gallery; half a minute on two laptop cores, and some minutes more where local matching is
installed (the script says how many). The folder holds the embeddings, names, sides and dates, the
index, the network itself, small pictures, the details that local matching compares, and what
likeness means: carry it anywhere and ask it with identify.py. You should see how many animals and
photos are known, and how often validation photos were named right. Adding an animal takes a second,
because nothing is trained and no other photo is looked at again; only where photos have doubled is
it learned anew what their details mean, which takes minutes. Every change is logged in the
folder's changes.jsonl, and can be taken back.
"""

import argparse
import contextlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from common import cli
from common.ending import run_script
from common.errors import InputError
from common.files import MEGABYTE
from common.gallery import embedding, enrolment
from common.gallery.decisions import (
    NOTHING,
    Decided,
    check_decisions,
    in_words,
    near_names,
    refuse_former_names,
    refuse_lookalikes,
    refuse_no_name,
)
from common.gallery.files import part_files, restore_parts
from common.gallery.gallery import Gallery
from common.gallery.history import (
    BUILT,
    LOG,
    TAKEN_BACK,
    change_of,
    ever_renamed,
    forgotten,
    once_decided,
    read_log,
    time_now,
)
from common.gallery.index import INDEXES
from common.gallery.learned_matching import expected_minutes, learn_matching, to_describe
from common.gallery.local_matching import installed, learned_scores
from common.gallery.photos import (
    DECIDED,
    decided_of,
    find_photo,
    names_of_pictures,
    number,
    of_pictures,
    twice_in_photo,
)
from common.gallery.pictures import picture_path
from common.gallery.verdicts import trust_sentence
from common.matching.details import FOLDER as DETAILS
from common.matching.matchers import Matcher
from common.mine import own_functions
from common.names import near_to, storable, tidy_name
from common.own_files import is_foreign, listed_files, read_json
from common.runs import RESULT, Run, start_run
from common.splits.study import open_catalogue
from common.tables import format_table
from common.words import counted, expected_time, few, typed

import pandas as pd

NEVER = "", ""  # decided, and as which animal


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.make_parser(__doc__)
    cli.shared_flags(parser, "data_dir", "weights", "seed", "device", "smoke", "mine")
    cli.shared_flags(parser, image_size=192)
    words = "folder of the gallery (default: runs/gallery in the current folder)"
    cli.add_flag(parser, "output_dir", cli.local_path, "PATH", words)
    network = parser.add_mutually_exclusive_group()
    words = (
        f"embedding that metric_learning.py stored (default: {embedding.TRAINED.as_posix()}, or "
        "where a gallery is changed its own)"
    )
    cli.add_flag(network, "trained", cli.present_file, "FILE", words)
    words = "an untrained backbone instead, with --weights and --image_size"
    cli.add_flag(network, "model", cli.plain_word, "NAME", words)
    parser.add_argument(
        "--index",
        choices=["auto", *INDEXES],
        help="flat compares all photos; hnsw and ivfpq are quicker for hundred thousands, and miss "
        "some; auto: by size. For an existing gallery: index it anew (default: flat)",
    )
    words = (
        "of gallery photos whose most alike one hnsw and ivfpq shall find; it says how good the "
        "search is, not how often a name is right"
    )
    cli.add_flag(parser, "recall", cli.real_number(above=0.0, up_to=1.0), "SHARE", words, 0.995)
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--add", action="store_true", help="photos of --data_dir join the gallery")
    cli.add_flag(change, "remove", cli.plain_word, "ANIMAL", "forget an animal")
    two = {"nargs": 2, "type": cli.plain_word, "metavar": ("OLD", "NEW")}
    change.add_argument("--rename", **two, help="rename an animal")
    two = {"nargs": 2, "type": cli.any_text, "metavar": ("PHOTO", "ANIMAL")}
    change.add_argument("--move", **two, help="say that a photo shows another animal")
    cli.add_flag(change, "forget", cli.any_text, "PHOTO", "take one photo out of the gallery")
    change.add_argument("--undo", action="store_true", help="take the last change back")
    words = "show photos and changes; nothing is written"
    change.add_argument("--list", action="store_true", help=words)
    words = "build anew where there is a gallery already"
    change.add_argument("--replace", action="store_true", help=words)
    words = "with --rename: NEW is in the gallery, and the same"
    parser.add_argument("--join", action="store_true", help=words)
    words = "with --move: ANIMAL is not in the gallery yet"
    parser.add_argument("--new", action="store_true", help=words)
    args = parser.parse_args(argv)
    void = cli.flags_given(argv) & {"weights", "image_size"}
    if void and not (args.model or args.smoke):
        parser.error(f"--{min(void)}: found without --model, expected it, as a stored one has both")
    for name in ("remove", "rename", "move", "forget", "undo", "list"):
        cli.refuse_beside(parser, argv, name, "data_dir", "dataset")
    if args.add and not (args.data_dir or args.dataset or args.smoke):
        parser.error("--add: found no photos, expected --data_dir with those that join")
    if args.join and not args.rename:
        parser.error(
            "--join: found alone, expected --rename OLD NEW beside it, which are one animal"
        )
    if args.new and not args.move:
        parser.error("--new: found alone, expected --move PHOTO ANIMAL beside it, a new animal")
    if args.smoke:
        args.image_size = 64
    name = "gallery_smoke" if args.smoke else "gallery"
    args.output_dir = args.output_dir or Path("runs", name)
    if storable(place := str(args.output_dir.absolute())) != place:
        parser.error(
            f"--output_dir: found {place}, which is no UTF-8, expected a folder whose whole name "
            "is, as libraries read a gallery's files by it; choose another"
        )
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    if args.list:
        return show(args.output_dir)
    yours, mine = own_functions(args, __file__, "enrol")

    # A gallery that is there is changed, never quietly replaced, and by one program at a time.
    if is_change(args):
        refuse_other_model(args)
        enrolment.refuse_none(args.output_dir)
        with enrolment.changing(args.output_dir, older_counts=args.undo) as is_older:
            gallery = enrolment.open_gallery(args.output_dir, args.trained)
            refuse_to_try_on(args)
            run = start_run(__file__, args, may_hold_others=True)
            before, decided = decided_of(gallery), NOTHING
            if is_of_table(args):
                decided = check_decisions(args.data_dir, gallery, args.keep_names or (), run.folder)
            tables, notes = {}, ["The older gallery that was put here counts from now on."]
            if not is_older:
                gallery, tables, notes = change(args, gallery, run, yours.get("enrol"), decided)
            return finish(args, run, gallery, tables, mine, notes, before, decided.unclear)
    refuse_to_replace(args)
    trained = network_of(args)
    run = start_run(__file__, args)
    with enrolment.changing(run.folder, older_counts=args.replace):
        refuse_to_replace(args)
        former = former_photos(run.folder)
        gallery, tables, notes = build(args, trained, run.folder, yours.get("enrol"))
        notes += lost_names(former, names_of_pictures(gallery))
        return finish(args, run, gallery, tables, mine, notes, former)


def is_change(args: argparse.Namespace) -> bool:
    """Whether the flags change a gallery that is there."""
    if args.add or args.remove or args.rename or args.move or args.forget or args.undo:
        return True
    names_photos = args.data_dir or args.dataset or args.model or args.replace
    return bool(args.index and not names_photos and enrolment.has_gallery(args.output_dir))


def finish(
    args: argparse.Namespace,
    run: Run,
    gallery: Gallery,
    tables: dict[str, pd.DataFrame],
    mine: list[str],
    notes: list[str],
    before: Mapping[str, tuple[str, str]],
    unclear: Mapping[str, str] = NOTHING.unclear,
) -> dict:
    """Save the gallery with the line of its log, and say what it holds.

    Args:
        before: the photos that it had, see `decided_of`.
        unclear: see `Decided`.
    """
    # The index finds the most alike of many photos without comparing them all.
    if args.index or not is_change(args):
        gallery.build(args.index or "flat", recall=args.recall, seed=args.seed)

    # What local matching means is learned where photos have joined, and too few had before.
    if args.add or not is_change(args):
        told = learn_matching(gallery, run.folder, matchers_of(args, gallery))
        notes = [*notes, told] if told else notes

    # What a similarity means is stored too: the threshold of a verdict follows from it.
    table = args.data_dir if is_of_table(args) else None
    now = of_pictures(gallery, DECIDED)
    lost = {each: was for each, was in before.items() if was[1] > now.get(each, "")}
    once = once_decided(run.folder) if unclear else {}
    lost |= {each: ("", time) for each, time in unclear.items() if time > once.get(each, NEVER)[1]}
    back = (now.keys() - before.keys()) & forgotten(run.folder)
    back = {each for each in back if not now[each]}  # nobody has decided since
    if back and not args.undo:
        paths, names = (of_pictures(gallery, fact) for fact in ("path", "identity"))
        again = [f"{paths[each]}, of {names[each]} now" for each in sorted(back)]
        notes.append(
            f"Of these, {counted(len(back), 'photo')} had been taken out of this gallery before "
            f"({few(again, '; ')}): --forget what was meant for good."
        )
    gone = sorted(before.keys() - now.keys())
    if args.forget or args.remove:  # a decision, too
        lost |= {each: ("", time_now()) for each in gone}
    made = change_of(run.command, notes, table, args.rename, gone, None if args.undo else lost)
    enrolment.save_gallery(gallery, run.folder, made)
    scores = learned_scores(gallery) or embedding.validation_scores(gallery)
    meaning = (
        f"What a similarity means is learned from {scores.source}: "
        f"{counted(len(scores.photos), 'question')} of one photo, {len(scores.encounters)} of an "
        "encounter's photos together."
    )
    network = embedding.model_name(gallery.model)
    ask = f"Ask it: python week3/identify.py path/to/photo.jpg --gallery {typed(args.output_dir)}"
    held = holdings(gallery, run)
    report = vars(gallery.report) if gallery.report else None
    return run.finish(
        summary=trust_sentence(scores),
        metrics={
            "gallery": held,
            "index": report,
            "model": network,
            "n_changes": len(read_log(run.folder)),
        },
        tables={"The gallery": pd.DataFrame([held]), **tables},
        notes=[*mine, *notes, f"Model: {network}.", meaning, ask],
    )


def build(
    args: argparse.Namespace, trained: Path | None, folder: Path, enrol: Callable | None
) -> tuple[Gallery, dict[str, pd.DataFrame], list[str]]:
    """Enrol all photos of the catalogue: each becomes an embedding beside its animal's name.

    Args:
        enrol: of --mine; None: the gallery's own.
    """
    catalogue = open_catalogue(args, fewest_identities=1)
    backbone = {"model": args.model, "weights": args.weights, "image_size": args.image_size}
    found, why_not = installed(args.device)
    matchers = to_describe(found, len(catalogue.table))
    if args.smoke:
        matchers = dict(list(matchers.items())[:1])  # the quick one
    if matchers:
        minutes = expected_minutes(matchers, catalogue.paths())
        print(f"Photos' details, for local matching: {expected_time(minutes)}.", flush=True)
    gallery, enrolled = enrolment.new_gallery(
        catalogue,
        folder,
        trained,
        **backbone,
        device=args.device,
        enrol=enrol,
        matchers=matchers,
        seed=args.seed,
    )
    gallery.about |= {"is_smoke": args.smoke and not args.data_dir, "details": list(matchers)}
    animals = counted(enrolled.n_animals, "animal")
    notes = [f"{BUILT}{counted(enrolled.n_photos, 'photo')} of {animals}."]
    if why_not:
        notes.append(f"Photos' details are not compared: {why_not}")
    elif len(matchers) < len(found) and not args.smoke:
        notes.append(
            f"{', '.join(found.keys() - matchers)} would take too long here for so many photos, "
            "and is left out; on a GPU it is not."
        )
    return gallery, {"Enrolled": one_row(enrolled)}, notes


def former_photos(folder: Path) -> dict[str, tuple[str, str]]:
    """`decided_of` the gallery that is to be replaced; none where it is damaged."""
    with contextlib.suppress(InputError):
        return decided_of(Gallery.load(folder))
    return {}


def lost_names(before: Mapping[str, tuple[str, str]], now: dict[str, str]) -> list[str]:
    """A note on photos that have another name than in the gallery that was here, or are not in."""
    former = {photo: name for photo, (name, _) in before.items()}
    renamed = {(name, now[photo]) for photo, name in former.items() if now.get(photo, name) != name}
    n_renamed = sum(now.get(photo, name) != name for photo, name in former.items())
    n_gone = len(former.keys() - now.keys())
    if not (n_renamed or n_gone):
        return []
    changes = [f"{was} is {name} now" for was, name in sorted(renamed)]
    more = f" ({few(changes)})" if changes else ""
    return [
        f"Of the gallery that was here, {counted(n_renamed, 'photo')} have another name{more}, and "
        f"{n_gone:,} are not in this one: names given by --rename, --move or decisions stand in no "
        "folder. --undo brings it back."
    ]


def matchers_of(args: argparse.Namespace, gallery: Gallery) -> dict[str, Matcher]:
    """Those whose details of its photos a gallery keeps, as far as they are installed."""
    kept = gallery.about.get("details") or []
    return {name: each for name, each in installed(args.device)[0].items() if name in kept}


def is_of_table(args: argparse.Namespace) -> bool:
    """Whether photos join by a table of their own, perhaps of decisions."""
    return bool(args.add and args.data_dir and args.data_dir.is_file())


def change(
    args: argparse.Namespace, gallery: Gallery, run: Run, enrol: Callable | None, decided: Decided
) -> tuple[Gallery, dict[str, pd.DataFrame], list[str]]:
    """Change a gallery without looking at any other photo; the notes say what was done."""
    if args.add:
        return add(args, gallery, run.folder, enrol, decided)
    notes = [f"Indexed anew: {args.index}."]
    if args.remove:
        animal = held_name(args.remove, gallery)
        notes = [f"{animal} is forgotten: {counted(gallery.remove(animal), 'photo')}."]
    elif args.rename:
        args.rename = [held_name(args.rename[0], gallery), tidy_name(args.rename[1])]
        old, new = args.rename
        refuse_no_name(new, gallery, args.keep_names or ())
        refuse_lookalikes({new}, gallery, (old, *(args.keep_names or ())))
        n_photos = gallery.rename(old, new, join=args.join)
        notes = [f"{old} is {new} now: {counted(n_photos, 'photo')}."]
        notes += told_of_former(new, run.folder)
        if args.join and (twice := twice_in_photo(gallery, new)):
            notes.append(
                f"{new} is in two boxes of one photo now ({twice[0]}), which no animal can be: if "
                "they are two, --undo takes the change back."
            )
    elif args.move:
        photo, animal = args.move[0], tidy_name(args.move[1])
        rows = find_photo(gallery, photo)
        refuse_unknown(animal, gallery, is_new=args.new, kept=args.keep_names or ())
        was = gallery.facts["identity"][rows[0]]
        if was == animal:
            raise InputError(
                f"--move: {photo} is in the gallery as {animal} already, expected another animal; "
                "nothing to do"
            )
        gallery.relabel(rows, animal, {DECIDED: time_now()})
        notes = [f"{photo}: {was} before, {animal} now."]
        notes += told_of_former(animal, run.folder) if args.new else []
    elif args.forget:
        rows = find_photo(gallery, args.forget)
        was = gallery.facts["identity"][rows[0]]
        gallery.forget(rows)
        notes = [f"{args.forget} of {was} is forgotten."]
    elif args.undo and (undone := stopped_undo(run.folder)):
        notes = [
            undone,
            "That was done by an --undo which was stopped before it ended: this one ends it. Once "
            "more takes one more change back.",
        ]
    elif args.undo:
        notes = restore_parts(run.folder, change_of(run.command))
        gallery = enrolment.open_gallery(run.folder)
    return gallery, {}, notes


def stopped_undo(folder: Path) -> str:
    """What the last change took back, if its run was stopped before its result was there; or ""."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, IndexError):
        changes, known = read_log(folder), read_json(folder / RESULT)["metrics"]["n_changes"]
        undone = changes[-1]["what"]
        return undone if undone.startswith(TAKEN_BACK) and known < len(changes) else ""
    return ""


def told_of_former(name: str, folder: Path) -> list[str]:
    """A note where a name given to an animal was another one's before."""
    other = ever_renamed(folder).get(name)
    if not other:
        return []
    return [f"{name} was the name of {other} before: older folders and tables may mean that one."]


def held_name(text: str, gallery: Gallery) -> str:
    """A name as the gallery has it: a folder's may have bytes or spaces that are not kept."""
    return text if text in gallery.identities else tidy_name(text)


def add(
    args: argparse.Namespace,
    gallery: Gallery,
    folder: Path,
    enrol: Callable | None,
    decided: Decided,
) -> tuple[Gallery, dict[str, pd.DataFrame], list[str]]:
    """Photos join; a table may also correct the animal of photos that are there."""
    kept, told, now = args.keep_names or (), [], time_now()
    if decided.unclear:
        photos = counted(len(decided.unclear), "photo")
        them = "it" if len(decided.unclear) == 1 else "them"
        told = [f"{photos} that cannot be told: an older page does not name {them} either."]
        if not decided.asked:
            return gallery, {}, [f"{counted(0, 'photo')} joined.", *told]
    catalogue = open_catalogue(args, fewest_identities=1)
    doubtful = decided.doubtful
    if not decided.asked:
        doubtful = refuse_former_names(catalogue.identities, gallery, folder, kept)
    network, before = embedding.network_of(gallery), set(gallery.identities)
    enrolled = enrolment.enrol_catalogue(
        gallery,
        catalogue,
        network,
        folder,
        device=args.device,
        enrol=enrol,
        decided=decided,
        kept=kept,
        matchers=matchers_of(args, gallery),
    )
    new = sorted(set(gallery.identities) - before)
    notes = [f"{counted(enrolled.n_photos, 'photo')} joined.", *told]
    notes += [*enrolled.moved, *enrolled.notes]
    if len(matchers_of(args, gallery)) < len(gallery.about.get("details") or []):
        notes.append(f"Their details are not found: {installed(args.device)[1]}")
    notes += [f"New animals: {', '.join(new)}."] if new else []
    if doubtful and (enrolled.n_photos or enrolled.moved):
        notes.append(
            f"{', '.join(doubtful)}: before a change of names, or while two were joined, another "
            "animal was called so, and nothing says when these photos were named (column 'asked'). "
            "If it was then, take this back with --undo."
        )
    if ahead := [each for each in decided.asked.values() if max(each.split(), default="") > now]:
        notes.append(
            f"{counted(len(ahead), 'answer')} of the future ({in_words(max(ahead))}): one computer "
            "has a wrong clock. No other page overrules them until then; --move does."
        )
    return gallery, {"Enrolled": one_row(enrolled)}, notes


def refuse_unknown(
    animal: str, gallery: Gallery, *, is_new: bool, kept: Collection[str] = ()
) -> None:
    """A name that the gallery lacks may be a slip of the pen, unless it is said to be new."""
    if animal in gallery.identities:
        if is_new:
            raise InputError(
                f"--new: the gallery has an animal named {animal}, expected another name; leave "
                "--new out if the photo shows that one"
            )
        return
    if not is_new:
        near = near_to(animal, gallery.identities)
        raise InputError(
            f"--move: the gallery has no animal named {animal}{near_names(near)}; correct the "
            "name, or say with --new that it is a new animal"
        )
    refuse_no_name(animal, gallery, kept)
    refuse_lookalikes({animal}, gallery, kept)


def show(folder: Path) -> dict:
    """Print what a gallery holds and how it came to be; nothing is written."""
    gallery = enrolment.open_gallery(folder)
    if is_foreign(folder / LOG):
        print(f"{folder / LOG} was changed by somebody: it may say what was not done.")
    facts, rows = gallery.facts, gallery.can_be_found().nonzero()[0]
    names = {"animal": "identity", "photo": "path", "side": "side", "date": "date"}
    photos = pd.DataFrame({name: facts[fact][rows] for name, fact in names.items()})
    photos["number"] = [number(facts, row) for row in rows]
    photos = photos.sort_values(["animal", "photo"])
    changes = read_log(folder)
    log = pd.DataFrame(changes, columns=["when", "who", "what"])
    for title, table in {"Photos": photos, "Changes": log}.items():
        print(f"\n{title}\n\n{format_table(table)}")
    n_animals = len(gallery.identities)
    print(f"\n{folder}: {counted(len(gallery), 'photo')} of {counted(n_animals, 'animal')}.")
    print(trust_sentence(learned_scores(gallery) or embedding.validation_scores(gallery)))
    return {"photos": photos.to_dict("records"), "changes": changes}


def refuse_to_replace(args: argparse.Namespace) -> None:
    """A gallery may hold names and animals that no folder of photos has any more."""
    if not enrolment.has_gallery(args.output_dir) or args.replace:
        return
    if args.smoke and enrolment.is_throwaway(args.output_dir):
        return
    raise InputError(
        f"--output_dir {args.output_dir} holds a gallery already, expected a change of it; "
        "--add, --remove, --rename, --move or --forget change it, --replace builds it anew"
    )


def refuse_to_try_on(args: argparse.Namespace) -> None:
    """The course's drawn turtles do not join a person's own animals."""
    is_drawn = args.smoke and args.add and not (args.data_dir or args.dataset)
    if is_drawn and not enrolment.is_throwaway(args.output_dir):
        raise InputError(
            f"--smoke: {args.output_dir} is a gallery of your own, which drawn turtles would join, "
            "expected --data_dir with those that join; leave --smoke out"
        )


def refuse_other_model(args: argparse.Namespace) -> None:
    """An existing gallery brings its own network."""
    if args.model:
        raise InputError(
            f"--model {args.model}: the gallery {args.output_dir} brings its own network, which "
            "embeds what joins, expected no other; leave --model out, or build anew with --replace"
        )


def network_of(args: argparse.Namespace) -> Path | None:
    """The stored embedding to use; None for an untrained backbone."""
    if args.smoke and not args.trained:
        args.model = args.model or "small_cnn"
    if args.model or args.trained:
        return args.trained
    return embedding.stored_embedding(", or take an untrained one: --model efficientnet_lite0")


def one_row(enrolled: enrolment.Enrolled) -> pd.DataFrame:
    """A table of what joined."""
    names = {"n_photos": "photos", "n_animals": "animals", "n_present": "there already"}
    cells = {**vars(enrolled), "moved": len(enrolled.moved)}
    return pd.DataFrame([cells]).drop(columns="notes").rename(columns=names)


def holdings(gallery: Gallery, run: Run) -> dict:
    """What the gallery holds now, and what it takes."""
    pictures = gallery.facts["picture"][gallery.can_be_found()]
    files = [*part_files(run.folder), *(picture_path(run.folder, name) for name in pictures)]
    n_bytes = sum(each.stat().st_size for each in files if each.exists())
    n_bytes += sum(each.stat().st_size for each in listed_files(run.folder, f"{DETAILS}/*.npy"))
    held = {"animals": len(gallery.identities), "photos": len(gallery)}
    if gallery.report:
        held["index"] = gallery.report.kind
        if gallery.report.kind != "flat":  # which compares all, and misses none
            held["missed by the index"] = 1 - gallery.report.recall_at_1
    return held | {"MB": n_bytes / MEGABYTE, "seconds": run.seconds}


if __name__ == "__main__":
    run_script(main, "the gallery is whole, with this change or without it: --list shows it")
