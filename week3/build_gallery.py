"""A gallery of known animals: photos in, one folder out that answers questions in the field.

Question: which animals do we know, and what does it cost to add, remove or rename one?

    python week3/build_gallery.py
    python week3/build_gallery.py --data_dir path/to/your/animals --output_dir path/to/gallery
    python week3/build_gallery.py --model efficientnet_lite0
    python week3/build_gallery.py --output_dir path/to/gallery --add --data_dir path/to/new/photos
    python week3/build_gallery.py --output_dir path/to/gallery --rename t001 Anna
    python week3/build_gallery.py --output_dir path/to/gallery --remove Anna

With no argument: the embedded turtles, seen by the embedding that metric_learning.py trained, in
runs/gallery; half a minute on two laptop cores. The folder holds the embeddings, names, sides and
dates, the index, the network itself, small pictures, and what a similarity means: carry it anywhere
and ask it with identify.py. You should see how many animals and photos are known, and the recall
of the index. Adding an animal takes a second, because nothing is trained and no other photo is
looked at again.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from common import cli
from common.errors import InputError
from common.files import MEGABYTE
from common.gallery import enrolment
from common.gallery.gallery import Gallery
from common.gallery.index import INDEXES
from common.mine import own_functions
from common.models.storage import load_recogniser
from common.own_files import listed_files
from common.runs import Run, start_run
from common.splits.study import open_catalogue
from common.words import counted

import pandas as pd

TRAINED = Path("runs", "metric_learning", "model.safetensors")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.make_parser(__doc__)
    cli.shared_flags(
        parser, "data_dir", "weights", "seed", "device", "smoke", "mine", image_size=192
    )
    words = "folder of the gallery (default: runs/gallery in the current folder)"
    cli.add_flag(parser, "output_dir", cli.local_path, "PATH", words)
    network = parser.add_mutually_exclusive_group()
    words = (
        f"embedding that metric_learning.py stored (default: {TRAINED.as_posix()}, or for an "
        "existing gallery its own)"
    )
    cli.add_flag(network, "trained", cli.present_path, "FILE", words)
    words = "an untrained backbone instead, with --weights and --image_size"
    cli.add_flag(network, "model", cli.plain_word, "NAME", words)
    parser.add_argument(
        "--index",
        choices=["auto", *INDEXES],
        help="flat compares all photos; hnsw and ivfpq are quicker for hundred thousands, and miss "
        "some; auto: by size. For an existing gallery: index it anew (default: flat)",
    )
    words = "of queries whose most alike photo hnsw and ivfpq shall find"
    cli.add_flag(parser, "recall", cli.real_number(above=0.0, up_to=1.0), "SHARE", words, 0.995)
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--add", action="store_true", help="photos of --data_dir join the gallery")
    change.add_argument("--remove", type=cli.plain_word, metavar="ANIMAL", help="forget an animal")
    change.add_argument(
        "--rename", nargs=2, type=cli.plain_word, metavar=("OLD", "NEW"), help="rename an animal"
    )
    words = "build anew where there is a gallery already"
    change.add_argument("--replace", action="store_true", help=words)
    words = "with --rename: NEW is in the gallery, and the same"
    parser.add_argument("--join", action="store_true", help=words)
    args = parser.parse_args(argv)
    if args.add and not (args.data_dir or args.dataset or args.smoke):
        parser.error("--add: whose photos? Name them with --data_dir")
    if args.join and not args.rename:
        parser.error("--join: goes with --rename OLD NEW, which are one animal")
    if args.smoke:
        args.image_size = 64
    name = "gallery_smoke" if args.smoke else "gallery"
    args.output_dir = args.output_dir or Path("runs", name)
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    yours, mine = own_functions(args, __file__, "enrol")

    # A gallery that is there is changed, never quietly replaced.
    is_change = bool(args.add or args.remove or args.rename)
    names_photos = bool(args.data_dir or args.dataset)
    only_index = bool(args.index) and not (names_photos or args.model or args.replace)
    if is_change or (only_index and enrolment.has_gallery(args.output_dir)):
        refuse_other_model(args)
        gallery = enrolment.open_to_change(args.output_dir, args.trained)
        run = start_run(__file__, args, may_hold_others=True)
        tables, notes = change(args, gallery, run.folder, yours.get("enrol"))
    else:
        refuse_to_replace(args)
        trained = network_of(args)
        run = start_run(__file__, args)
        gallery, tables, notes = build(args, trained, run.folder, yours.get("enrol"))

    # The index finds the most alike of many photos without comparing them all.
    if args.index or not is_change:
        gallery.build(args.index or "flat", recall=args.recall, seed=args.seed)

    # What a similarity means is stored too: the threshold of a verdict follows from it.
    enrolment.save_gallery(gallery, run.folder)
    scores = enrolment.validation_scores(gallery)
    meaning = (
        f"What a similarity means is learned from {scores.source}: "
        f"{counted(len(scores.photos), 'question')} of one photo, {len(scores.encounters)} of an "
        "encounter's photos together."
    )
    network = enrolment.model_name(gallery.model)
    ask = f"Ask it: python week3/identify.py path/to/photo.jpg --gallery {args.output_dir}"
    held = holdings(gallery, run)
    return run.finish(
        metrics={
            "gallery": held,
            "index": vars(gallery.report),
            "model": enrolment.model_name(gallery.model),
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
    catalogue = open_catalogue(args)
    backbone = {"model": args.model, "weights": args.weights, "image_size": args.image_size}
    gallery, enrolled = enrolment.new_gallery(
        catalogue, folder, trained, **backbone, device=args.device, enrol=enrol, seed=args.seed
    )
    gallery.about["is_smoke"] = args.smoke
    return gallery, {"Enrolled": one_row(enrolled)}, []


def change(
    args: argparse.Namespace, gallery: Gallery, folder: Path, enrol: Callable | None
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Add, remove or rename, without looking at any other photo."""
    if args.add:
        catalogue = open_catalogue(args, fewest_identities=1)
        network, _ = load_recogniser(gallery.model)
        enrolled = enrolment.enrol_catalogue(
            gallery, catalogue, network, folder, device=args.device, enrol=enrol
        )
        return {"Enrolled": one_row(enrolled)}, []
    if args.remove:
        n_photos = gallery.remove(args.remove)
        return {}, [f"{args.remove} is forgotten: {counted(n_photos, 'photo')}."]
    if args.rename:
        old, new = args.rename
        n_photos = gallery.rename(old, new, join=args.join)
        return {}, [f"{old} is {new} now: {counted(n_photos, 'photo')}."]
    return {}, []


def refuse_to_replace(args: argparse.Namespace) -> None:
    """A gallery may hold names and animals that no folder of photos has any more."""
    if not enrolment.has_gallery(args.output_dir) or args.replace:
        return
    if args.smoke and enrolment.is_throwaway(args.output_dir):
        return
    raise InputError(
        f"--output_dir {args.output_dir} holds a gallery already; --add, --remove or --rename "
        "change it, --replace builds it anew"
    )


def refuse_other_model(args: argparse.Namespace) -> None:
    """An existing gallery brings its own network."""
    if args.model:
        raise InputError(
            f"--model {args.model}: the gallery {args.output_dir} brings its own network, which "
            "embeds what joins; leave --model out, or build anew with --replace"
        )


def network_of(args: argparse.Namespace) -> Path | None:
    """The stored embedding to use; None for an untrained backbone."""
    if args.smoke and not args.trained:
        args.model = args.model or "small_cnn"
    if args.model or args.trained:
        return args.trained
    if not TRAINED.exists():
        raise InputError(
            f"no trained embedding at {TRAINED.as_posix()} in the current folder; "
            f"{enrolment.TRAIN_ONE}, "
            "name one with --trained FILE, or take an untrained backbone with "
            "--model efficientnet_lite0"
        )
    return TRAINED


def one_row(enrolled: enrolment.Enrolled) -> pd.DataFrame:
    """A table of what joined."""
    names = {"n_photos": "photos", "n_animals": "animals", "n_present": "there already"}
    return pd.DataFrame([vars(enrolled)]).rename(columns=names)


def holdings(gallery: Gallery, run: Run) -> dict:
    """What the gallery holds now, and what it takes."""
    n_bytes = sum(each.stat().st_size for each in listed_files(run.folder))
    held = {"animals": len(gallery.identities), "photos": len(gallery)}
    held |= {"index": gallery.report.kind, "recall@1": gallery.report.recall_at_1}
    return held | {"MB": n_bytes / MEGABYTE, "seconds": run.seconds}


if __name__ == "__main__":
    cli.run_script(main)
