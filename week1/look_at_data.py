"""Look before you train: who is in the photos, how often, from which side, and when.

Question: what could a model learn from these photos that is not the animal?

    python week1/look_at_data.py
    python week1/look_at_data.py --data_dir path/to/your/animals
    python week1/look_at_data.py --data_dir path/to/memory_card --clock_offset "Canon EOS 70D=-1:00"

Half a minute on two laptop cores, of which most is drawing the embedded turtles the first time.
You should see a few animals with many photos and many with few, photos of one encounter that
look alike in light, water and pose, and a table that says how much each split gives away.
Exercises 1.1 and 1.2 of week1/README.md start here.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import replace

from common.cli import make_parser, shared_flags
from common.data.catalogue import Catalogue, is_unnamed
from common.data.catalogue_checks import count_rows, load_checked_card
from common.data.sampling import spread
from common.ending import run_script
from common.errors import InputError
from common.mine import own_functions
from common.runs import Run, describe_split, start_run
from common.splits.splits import Split, make_split
from common.splits.study import open_catalogue, reading_flags, study_of
from common.visualization.contact_sheet import catalogue_overview, contact_sheet
from common.words import typed

import numpy as np
import pandas as pd

N_ANIMALS = 6  # on the contact sheet, those seen most often
MOST_ENCOUNTERS = 4  # of each there, two photos of one
LEAKS = "Splits: photos, and the share of test photos that have a training photo"
COMPARED = ("random", "encounter", "time_aware", "time_cutoff")  # splits, side by side


def leak_share(identities: np.ndarray, encounters: np.ndarray, is_test: np.ndarray) -> float:
    """Share of test photos, in [0, 1], with a training photo of the same animal and encounter.

    Photos of one encounter are alike in light, water and pose: who has seen one of them in
    training can name the others without knowing the animal.
    """
    photos = pd.MultiIndex.from_arrays([identities, encounters])
    return float(photos[is_test].isin(photos[~is_test]).mean())


def leak_of(
    train: pd.DataFrame, test: pd.DataFrame, share: Callable[..., float] = leak_share
) -> dict:
    """The share of test photos that share an encounter, or a day, with a training photo.

    Returns:
        Two shares in [0, 1]; nan where no encounter, or no date, is known.
    """
    photos = pd.concat([train, test])
    is_test = np.arange(len(photos)) >= len(train)
    identities, encounters = (photos[name].to_numpy(str) for name in ("identity", "encounter"))
    # A photo of an unknown day has a day of its own.
    days = photos["date"].dt.strftime("%Y-%m-%d").fillna(photos["image_id"].astype(str))
    shares = [
        float(share(identities, each, is_test)) if len(test) else math.nan
        for each in (encounters, days.to_numpy(str))
    ]
    may_leak = test[test["identity"].isin(train["identity"])]
    is_seen = may_leak["encounter_known"].any() or may_leak.empty
    return {
        "of the same encounter": shares[0] if is_seen else math.nan,
        "of the same day": shares[1] if test["date"].notna().any() else math.nan,
    }


def tested_by_day(split: Split, catalogue: Catalogue, split_by_day: Callable) -> Split:
    """A time-aware split whose test photos of known animals another function chooses."""
    table = catalogue.table
    is_asked = table["identity"].isin(split.known_identities(catalogue)) & table["date"].notna()
    asked, part = table[is_asked], split.part.copy()
    days = (asked["date"].dt.normalize() - pd.Timestamp(0)).dt.days.to_numpy()
    is_test = split_by_day(asked["identity"].to_numpy(str), days, split.parameters["train_share"])
    stays = np.where(part[is_asked] == "test", "train", part[is_asked])
    part[is_asked] = np.where(is_test, "test", stays)
    return replace(split, part=part)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    shared_flags(parser, "data_dir", "split", "split_column", "seed", "output_dir", "smoke", "mine")
    shared_flags(parser, "clock_offset", "gap_minutes")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run = start_run(__file__, args)
    yours, notes = own_functions(args, __file__, "leak_share", "split_by_day")
    if is_unnamed(args.data_dir):
        return look_at_card(args, run)

    # Data: what is there, what is wrong with it, how it would be split.
    catalogue, study = open_catalogue(args), None
    table = catalogue.table
    try:
        study = study_of(catalogue, args)
    except InputError:  # nearly all animals have one photo; `compare_splits` tells why
        if args.split != "auto" or args.split_column:
            raise

    # Splits side by side: the last two columns are what a test photo shares with training.
    given = ["given"] if args.split_column or "split" in table else []
    names = list(dict.fromkeys([*COMPARED, *given, *([study.split.name] if study else [])]))
    splits, reasons = compare_splits(
        catalogue, names, yours, split_column=args.split_column, seed=args.seed
    )

    # Figures.
    shown = choose_photos(table, N_ANIMALS)
    sheet = contact_sheet(
        [catalogue.paths()[row] for row in shown.index],
        run.figure_path("contact_sheet.png"),
        identities=shown["identity"].tolist(),
        captions=captions_of(shown),
        n_columns=2 * MOST_ENCOUNTERS,
    )
    part = study.split.part if study else None
    overview = catalogue_overview(table, run.figure_path("overview.png"), part=part)

    # Result.
    is_met = table["encounter_known"].any()
    pairs = "two photos of one encounter stand side by side" if is_met else "encounters not known"
    per_animal = table.groupby("identity").size()
    return run.finish(
        metrics={
            **count_rows(table),
            "photos_per_identity": {
                "fewest": int(per_animal.min()),
                "median": float(per_animal.median()),
                "most": int(per_animal.max()),
            },
        },
        split=describe_split(study.split, study.leak) if study else None,
        tables={"What is there": what_is_there(table)} | ({LEAKS: splits} if study else {}),
        figures={
            f"A few animals; {pairs}": sheet,
            f"Photos per animal{f', and the split {study.split.name}' if study else ''}": overview,
        },
        notes=[*notes, *reasons],
    )


def what_is_there(table: pd.DataFrame) -> pd.DataFrame:
    """One row: how much there is, from when to when, by which cameras, at how many places."""
    counts = count_rows(table)
    cells = {"photos": counts["n_files"], "animals": counts["n_identities"]}
    cells |= {"encounters": counts["n_encounters"], "dated": counts["n_dated"]}
    cells |= {"first day": counts["first_day"], "last day": counts["last_day"]}
    cells |= {"cameras": counts["n_cameras"], "places": counts["n_places"]}
    return pd.DataFrame([{name: cell for name, cell in cells.items() if cell not in (0, "")}])


def look_at_card(args: argparse.Namespace, run: Run) -> dict:
    """The same of photos that nobody has named yet: what, when, where, and the first photos."""
    gap = args.gap_minutes
    card, report = load_checked_card(args.data_dir, gap_minutes=gap, **reading_flags(vars(args)))
    print(report.text())
    table = card.table.sort_values(["encounter", "date", "path"])
    encounters = table["encounter"].unique()
    numbers = {name: number for number, name in enumerate(encounters, start=1)}
    few = spread(encounters, N_ANIMALS)
    shown = table[table["encounter"].isin(few)].groupby("encounter", sort=False)
    shown, paths = shown.head(2 * MOST_ENCOUNTERS), card.paths()
    sheet = contact_sheet(
        [paths[row] for row in shown.index],
        run.figure_path("contact_sheet.png"),
        identities=[f"encounter {numbers[name]}" for name in shown["encounter"]],
        captions=shown["date"].dt.strftime("%Y-%m-%d %H:%M").fillna("").tolist(),
        n_columns=2 * MOST_ENCOUNTERS,
    )
    times = table["date"].dt.strftime("%Y-%m-%d %H:%M")
    named = table.assign(time=times, camera=table["camera"].replace("", "not known"))
    cameras = named.groupby("camera").agg(
        photos=("path", "nunique"), first=("time", "min"), last=("time", "max")
    )
    return run.finish(
        metrics=count_rows(table),
        tables={"What is there": what_is_there(table), "By camera": cameras.reset_index()},
        figures={"A few encounters": sheet},
        notes=[
            *(problem.text() for problem in report.problems),
            "No animal is named here: python week3/sort_photos.py "
            f"{typed(args.data_dir)} proposes names.",
        ],
    )


def compare_splits(
    catalogue: Catalogue,
    names: list[str],
    yours: dict[str, Callable],
    *,
    split_column: str | None,
    seed: int,
) -> tuple[pd.DataFrame, list[str]]:
    """One row per split that the catalogue allows, a sentence for each that it does not."""
    rows, reasons = [], []
    for name in names:
        try:
            split = make_split(catalogue, name, seed=seed, split_column=split_column or "split")
        except InputError as reason:
            reasons.append(f"Not possible here: {reason}")
            continue
        if name == "time_aware" and "split_by_day" in yours:
            split = tested_by_day(split, catalogue, yours["split_by_day"])
        of_split = ("train", "validation", "test")
        parts = {part: catalogue.table.iloc[split.rows(part)] for part in of_split}
        train, test = parts["train"], parts["test"]
        is_new = ~test["identity"].isin(train["identity"])
        rows.append(
            {"split": name}
            | {part: len(photos) for part, photos in parts.items()}
            | {"new animals in test": test["identity"][is_new].nunique()}
            | leak_of(train, test, yours.get("leak_share", leak_share))
        )
    return pd.DataFrame(rows), reasons


def choose_photos(table: pd.DataFrame, n_animals: int) -> pd.DataFrame:
    """Rows of photos for the contact sheet: often seen animals, two photos of each encounter.

    An animal's encounters are spread evenly over its years; the two photos are neighbours.
    """
    counts = table.groupby("identity").agg(n=("encounter", "nunique"), photos=("path", "size"))
    often = counts.sort_values(["n", "photos"], ascending=False, kind="stable").index[:n_animals]
    rows = []
    for identity in sorted(often):
        photos = table[table["identity"] == identity].sort_values(["date", "orientation"])
        encounters = photos["encounter"].unique()
        is_single = len(encounters) == len(photos)  # no encounters known: more photos instead
        for encounter in spread(encounters, MOST_ENCOUNTERS * (2 if is_single else 1)):
            pair = photos[photos["encounter"] == encounter]
            rows.append(pair.iloc[sorted({0, len(pair) - 1})])
    return pd.concat(rows)


def captions_of(rows: pd.DataFrame) -> list[str]:
    """Side and day of each photo, as far as they are known."""
    days = rows["date"].dt.strftime("%Y-%m-%d").fillna("")
    parts = zip(rows["orientation"], days, strict=True)
    return [" · ".join(part for part in pair if part) for pair in parts]


if __name__ == "__main__":
    run_script(main)
