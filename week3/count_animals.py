"""How many animals live here? From named photos to capture histories and a number.

Question: how many animals are there, seen or not, and how far can the names be wrong?

    python week3/count_animals.py
    python week3/count_animals.py path/to/individuals.csv --occasion day --side left
    python week3/count_animals.py --data_dir path/to/your/animals --days 2024-05-01,2024-08-31
    python week3/count_animals.py runs/gallery
    python week3/count_animals.py --simulate 200

Seconds; the last one under a minute. With no argument: three years of the embedded turtles, before
any newcomer; 60 could be met, and you should see how many of them were, and a number with an
interval that holds 60. The folder of the run has the histories for MARK (mark.inp), RMark and
marked (rmark.csv), secr (secr_captures.txt, secr_traps.txt), spreadsheets (animals.csv), Camtrap
DP (datapackage.json and its three tables) and a Darwin Core archive (darwin_core.zip).

Photos are sorted with mistakes, and mistakes change the number: a missed match makes one animal
two. sort_photos.py estimates how often, and what its result.json says beside the table is carried
through; --missed_matches and --false_matches name other rates. --simulate shows on surveys of a
known number of animals how often the interval holds it, with and without that.
"""

import argparse
import os
from pathlib import Path

from common import cli
from common.counts import exports, standards
from common.counts.estimators import NONE, Estimate, Rate, doubts, estimate, in_halves, survey_of
from common.counts.histories import OCCASIONS, Histories, histories_of
from common.counts.simulation import World, coverage
from common.data.catalogue import Catalogue
from common.ending import run_script
from common.errors import InputError, first_line
from common.files import write_bytes, write_text
from common.gallery.enrolment import has_gallery, open_gallery
from common.gallery.photos import catalogue_of
from common.groups.choice import AGREEMENT, LITTLE_AGREEMENT
from common.own_files import is_foreign, read_json, remove_own
from common.runs import Run, start_run
from common.splits.study import open_catalogue
from common.visualization import style
from common.words import counted

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

TURTLE_DAYS = ("2019-01-01", "2021-12-31")  # the last years without newcomers
MOST_WRONG = 0.5  # share of encounters named wrongly; with more nothing can be counted
RATES = {"missed_matches": "missed", "false_matches": "false"}
WORLDS = (  # of the simulation
    World(),
    World(missed=0.05),
    World(missed=0.125),
    World(false=0.05),
    World(false=0.125),
    World(missed=0.125, false=0.025),
    World(missed=0.125, false=0.125),
    World(missed=0.125, false=0.025, encounters=2.0),
    World(unequal=0.5),
    World(unequal=1.0),
    World(missed=0.125, false=0.025, unequal=0.5),
)
DAMAGE = (OSError, ValueError, AttributeError, KeyError, TypeError)  # of a result
WITH_PLACES = ("secr_*.txt", "datapackage.json", "deployments.csv", "media.csv", "observations.csv")
FAR = 500  # km between places, above which one may be wrong
COVERAGE = "Coverage with and without the correction"


def read_days(text: str) -> list[str]:
    """Read the first and the last day that count."""
    days = text.split(",")
    dates = pd.to_datetime(pd.Series(days), format="%Y-%m-%d", errors="coerce")
    if len(days) != 2 or dates.isna().any() or dates[0] > dates[1]:
        raise argparse.ArgumentTypeError(
            f"found '{text}', expected the first and the last day, such as 2024-05-01,2024-08-31"
        )
    return [f"{day:%Y-%m-%d}" for day in dates]


def read_rate(text: str) -> list[float]:
    """Read a share of encounters, perhaps with the ends of its interval."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    ends = numbers[1:] or numbers * 2
    if len(numbers) not in (1, 3) or not 0 <= ends[0] <= numbers[0] <= ends[1] <= 1:
        raise argparse.ArgumentTypeError(
            f"found '{text}', expected a share from 0 to 1, such as 0.12, or with its interval "
            "0.12,0.08,0.17"
        )
    return [numbers[0], *ends]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.make_parser(__doc__)
    words = "CSV file, folder or gallery, instead of --data_dir"
    parser.add_argument("table", nargs="?", type=cli.present_path, metavar="TABLE", help=words)
    cli.shared_flags(parser, "data_dir", "output_dir", "smoke")
    words = "what counts as one occasion; a season is three months (default: %(default)s)"
    parser.add_argument("--occasion", choices=tuple(OCCASIONS), default="day", help=words)
    words = "left or right: only photos of this side count"
    cli.add_flag(parser, "side", cli.plain_word, "SIDE", words)
    cli.add_flag(parser, "days", read_days, "FIRST,LAST", "only photos taken between these count")
    for name, what in (
        ("missed_matches", "of an animal seen before that got a new name"),
        ("false_matches", "that were joined to another animal"),
    ):
        words = f"share of encounters {what}, perhaps with its interval (default: as measured)"
        cli.add_flag(parser, name, read_rate, "RATE[,LOW,HIGH]", words)
    cli.add_flag(parser, "species", cli.plain_word, "NAME", "scientific name, for the exports")
    words = "surveys of a known number of animals, instead of a table"
    cli.add_flag(parser, "simulate", cli.whole_number(2, 10_000), "N", words)
    args = parser.parse_args(argv)
    if args.table and (args.data_dir or args.dataset):
        parser.error(f"TABLE: found {args.table} beside another source, expected one of the two")
    args.data_dir = args.table or args.data_dir
    others = ("data_dir", "dataset", "side", "days", *RATES, "species", "occasion")
    cli.refuse_beside(parser, argv, "simulate", *others)
    if args.simulate and args.table:
        parser.error(f"TABLE: found {args.table} beside --simulate, expected one of the two")
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run = start_run(__file__, args)
    if args.simulate:
        return simulated(args, run)
    if args.data_dir and has_gallery(args.data_dir):
        catalogue = catalogue_of(open_gallery(args.data_dir), args.data_dir)
    else:
        catalogue = open_catalogue(args, fewest_identities=1, are_photos_opened=False)
    is_drawn = not (args.data_dir or args.dataset)
    if is_drawn and not args.days:
        args.days = list(TURTLE_DAYS)

    # Who was seen when: a capture is an animal on an occasion, however many photos it had then.
    days = args.days and [pd.Timestamp(day) for day in args.days]
    histories = histories_of(catalogue, args.occasion, side=args.side, days=days)
    if histories.encounters.shape[1] < 2:
        shorter = "" if args.occasion == "day" else "choose a shorter --occasion, or "
        raise InputError(
            f"{catalogue.name}: all photos are of one {args.occasion} "
            f"({histories.encounters.columns[0]}), expected two occasions or more, so that animals "
            f"can be seen again; {shorter}add photos of other days"
        )

    # How many are there, if every name is right, and with the mistakes of naming taken out?
    rates, source, notes = rates_of(args)
    counts = histories.encounters.to_numpy()
    surveys = survey_of(counts), survey_of(in_halves(counts))
    as_named = [estimate(each) for each in surveys]
    corrected = [estimate(each, *rates) for each in surveys] if any(map(is_wrong, rates)) else []
    best = (corrected or as_named)[0]

    notes += [*histories.notes, *doubts(histories, as_named[0], corrected)]
    notes += export(run, histories, catalogue, args.species or "")
    figure = drawn_captures(histories, best)
    path = style.save_figure(figure, run.figure_path("captures.png"))
    summary = sentence(histories, args.occasion, as_named[0], corrected[:1], source)
    is_newcomer = is_drawn and catalogue.table["is_newcomer"] == "True"
    if is_drawn and days[1] < catalogue.table.loc[is_newcomer, "date"].min():
        n_drawn = catalogue.table.loc[~is_newcomer, "identity"].nunique()
        summary += f" {n_drawn} turtles could be met in these years: this number is known."
    return run.finish(
        metrics={
            "n_animals_seen": len(histories.encounters),
            "n_occasions": histories.encounters.shape[1],
            "estimate": best,
            "rates": dict(zip(RATES.values(), rates, strict=True)),
        },
        tables={"Number of animals": estimates_table(as_named, corrected)},
        figures={"Who was seen when": path},
        notes=notes,
        summary=summary,
    )


def is_wrong(rate: Rate) -> bool:
    """Whether encounters may be named wrongly at all."""
    return rate.high > 0


def rates_of(args: argparse.Namespace) -> tuple[list[Rate], str, list[str]]:
    """How often encounters are named wrongly, where that is known from, and notes."""
    measured, source, note = {}, "", ""
    beside = (
        args.data_dir
        and (args.data_dir if args.data_dir.is_dir() else args.data_dir.parent) / "result.json"
    )
    given = [getattr(args, flag) for flag in RATES]
    has_rates = beside and os.path.lexists(beside) and None in given
    if has_rates and is_foreign(args.data_dir):
        note = (
            f"{beside} says how often photos were sorted wrongly in a table that this is not, or "
            "no longer: not used. Sort again with the names that are right, or name the mistakes "
            "of these names with --missed_matches and --false_matches."
        )
    elif has_rates:
        measured, source = measured_rates(beside)
        note = f"How often photos are sorted wrongly was read from {beside}." if measured else ""
    if not (measured or note) and given == [None, None]:
        note = (
            "Every name is taken as right. If photos were sorted by a program, name its mistakes "
            "with --missed_matches and --false_matches: they change the number."
        )
    rates = [
        Rate(*own) if own else measured.get(name, NONE)
        for own, name in zip(given, RATES.values(), strict=True)
    ]
    if (wrong := sum(rate.value for rate in rates)) >= MOST_WRONG:
        where = "--missed_matches and --false_matches" if not measured else beside
        raise InputError(
            f"{where}: found {100 * wrong:.0f} % of encounters named "
            f"wrongly, expected less than {100 * MOST_WRONG:.0f} %; no number follows from such "
            "names: have pairs checked first, or train a better model"
        )
    return rates, source, [note] if note else []


def where_from(n_answers: int, agreed: float) -> str:
    """What the rates of sort_photos.py go by.

    Args:
        agreed: how well its groups of named photos agree with their names, AMI.
    """
    if agreed < LITTLE_AGREEMENT:
        return (
            "The network that sorted hardly knows such animals (sort_photos.py says so), so that "
            "the truth may be far outside this interval: have names checked by people, or sort "
            "again with a network that was trained on photos like yours."
        )
    if not n_answers:
        return (
            "How often names are wrong was learned on other photos than these, and no answer about "
            "these has been given: judge the pairs that sort_photos.py asks about before you "
            "believe the number."
        )
    return (
        "How often names are wrong was learned on other photos, and corrected by "
        f"{counted(n_answers, 'answer')} about these."
    )


def measured_rates(path: Path) -> tuple[dict[str, Rate], str]:
    """Rates that a run has measured, and what they go by; none where its result holds none.

    Raises:
        InputError: the file is damaged.
    """
    try:
        result = read_json(path)
        metrics = result.get("metrics", {}) if isinstance(result, dict) else {}  # else not ours
        found = metrics.get("misidentification") or {}
        n_answers = int((metrics.get("answers") or {}).get("given", 0))
        source = where_from(n_answers, float(metrics.get(AGREEMENT, 1))) if found else ""
        return {
            name: Rate(
                *read_rate(",".join(str(found[name][end]) for end in ("value", "low", "high")))
            )
            for name in RATES.values()
            if name in found
        }, source
    except (*DAMAGE, argparse.ArgumentTypeError) as error:
        raise InputError(
            f"{path}: the rates of wrong names cannot be read ({first_line(error)}), expected "
            "metrics.misidentification as sort_photos.py writes it; run that again, or name the "
            "rates with --missed_matches and --false_matches"
        ) from error


def export(run: Run, histories: Histories, catalogue: Catalogue, species: str) -> list[str]:
    """Write the histories for other programs; returns what could not be written, and why."""
    texts = {
        "mark.inp": exports.mark_text(histories),
        "rmark.csv": exports.rmark_text(histories),
        "animals.csv": exports.animals_text(histories),
    }
    notes = []
    secr = exports.secr_texts(histories)
    if secr:
        texts |= dict(zip(("secr_captures.txt", "secr_traps.txt"), secr, strict=True))
    camtrap = standards.camtrap_files(histories.photos, catalogue.name, species)
    if camtrap:
        texts |= camtrap
    lacking = int(exports.places_of(histories.photos)["latitude"].isna().sum())
    if lacking:
        written = "lack them" if secr else "are not written"
        notes.append(
            f"{counted(lacking, 'photo')} without a place (columns latitude and longitude): the "
            f"files for secr and Camtrap DP {written}."
        )
    if (across := exports.kilometres_across(histories.photos)) > FAR:
        notes.append(
            f"The places lie up to about {across:,.0f} km apart. Are all right? The files for secr "
            "lay them on a plane, which holds for some hundred."
        )
    remove_own(
        run.folder, *WITH_PLACES, keep=texts
    )  # those of another table would pass for its own
    for name, text in texts.items():
        write_text(run.figure_path(name), text)
    archive = standards.darwin_core(histories.photos, species)
    write_bytes(run.figure_path("darwin_core.zip"), archive)
    notes.append(f"For other programs: {', '.join([*texts, 'darwin_core.zip'])}.")
    notes.append('In R: read.csv("rmark.csv", colClasses = c(ch = "character")).')
    if secr:
        notes.append(
            'In R: read.capthist("secr_captures.txt", "secr_traps.txt", detector = "proximity", '
            f"noccasions = {histories.encounters.shape[1]}); add the places at which cameras stood "
            "and saw nobody to secr_traps.txt first."
        )
    return notes


def sentence(
    histories: Histories, occasion: str, as_named: Estimate, corrected: list[Estimate], source: str
) -> str:
    """What was found, for people; and where the rates of wrong names are known from."""
    n_animals, n_occasions = histories.encounters.shape
    best = (corrected or [as_named])[0]
    said = (
        f"{counted(n_animals, 'animal was', 'animals were')} seen "
        f"{'on' if occasion == 'day' else 'in'} {counted(n_occasions, occasion)}; "
        f"{best.text()} live here, if nobody came or left between the first {occasion} and "
        "the last (a closed population), and all are as easy to photograph."
    )
    if corrected:
        said += f" That takes wrong names out; as named it would be {as_named.text()}. {source}"
        said = said.rstrip()
    if histories.warning:
        said += f" {histories.warning}"
    return said


def estimates_table(as_named: list[Estimate], corrected: list[Estimate]) -> pd.DataFrame:
    """Both estimators, as named and corrected."""
    rows = []
    for names, found in {"as they are": as_named, "mistakes taken out": corrected}.items():
        for each in found:
            occasions = "all" if each is found[0] else "two halves"
            row = {"names": names, "occasions": occasions, "method": each.method}
            row |= {"recaptures": round(each.n_recaptures), "animals": each.value}
            rows.append(row | {"animals_low": each.low, "animals_high": each.high})
    return pd.DataFrame(rows)


def drawn_captures(histories: Histories, best: Estimate) -> Figure:
    """Animals by occasion, new and seen before; and how many different ones there were by then."""
    survey = survey_of(histories.encounters.to_numpy())
    figure = style.new_figure(8.4, 5.0)
    above, below = figure.subplots(2, 1, sharex=True)
    places = np.arange(len(survey.captured))
    style.tidy(above, title="Animals seen on each occasion", grid="y")
    again = survey.captured - survey.new
    above.bar(places, again, color=style.COLOURS[0], label="seen before", width=0.8)
    above.bar(places, survey.new, bottom=again, color=style.COLOURS[1], label="new", width=0.8)
    above.set_ylabel("animals")
    style.legend_inside(above)
    style.tidy(below, title="Different animals so far, and how many live here", grid="y")
    if np.isfinite(best.high):
        below.axhspan(best.low, best.high, color=style.COLOURS[2], alpha=0.15, linewidth=0)
    if np.isfinite(best.value):
        line = {"color": style.COLOURS[2], "linestyle": "--"}
        below.axhline(best.value, label=f"{best.text()} ({best.method})", **line)
    below.plot(places, np.cumsum(survey.new), color=style.INK, label="seen")
    below.set(ylabel="animals", ylim=(0, None))
    style.legend_inside(below)
    above.yaxis.set_major_locator(MaxNLocator(integer=True))
    below.set_xticks(*style.legible_ticks(list(histories.encounters.columns), most=8))
    return figure


def simulated(args: argparse.Namespace, run: Run) -> dict:
    """Surveys of a known number of animals: how often does the interval hold it?"""
    table = coverage(WORLDS[:3] if args.smoke else WORLDS, args.simulate)
    path = style.save_figure(drawn_coverage(table), run.figure_path("coverage.png"))
    world = WORLDS[0]
    words = (
        f"Each row: {args.simulate:,} surveys of {world.n_animals} animals on "
        f"{world.n_occasions} occasions, each seen with a probability of {world.capture:g}. An "
        "interval of 95 % should hold the truth in 95 % of them. Errors and widths are medians, as "
        "shares of the truth; unequal is the standard deviation of the animals' log odds of being "
        "seen, encounters how many a seen animal has on an occasion."
    )
    return run.finish(
        metrics={"surveys": args.simulate, "animals": world.n_animals},
        tables={COVERAGE: table},
        figures={COVERAGE: path},
        notes=[words],
    )


def drawn_coverage(table: pd.DataFrame) -> Figure:
    """Coverage and error of each kind of survey, as named and corrected."""
    figure = style.new_figure(8.4, 0.4 * len(table) + 1.6)
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(table))
    for index, name in enumerate(("as named", "corrected")):
        at, look = rows + 0.16 * (2 * index - 1), style.look(index)
        ends = table[f"covered {name}_low"], table[f"covered {name}_high"]
        left.hlines(at, *ends, color=look["color"], alpha=0.6)
        left.scatter(table[f"covered {name}"], at, s=28, label=name, **look)
        right.scatter(table[f"error {name}"], at, s=28, **look)
    style.tidy(left, title="Intervals that hold the truth", grid="x")
    style.tidy(right, title="Median error", grid="x")
    left.axvline(0.95, color=style.SOFT, linestyle="--", linewidth=1)
    right.axvline(0, color=style.SOFT, linestyle="--", linewidth=1)
    for axes in (left, right):
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    left.set(xlim=(0, 1.02), ylim=(len(table) - 0.5, -0.5))
    left.set_yticks(rows, [words_on(row) for _, row in table.iterrows()])
    style.legend_outside(left, 2)
    return figure


def words_on(row: pd.Series) -> str:
    """What a simulated survey is like.

    >>> words_on(pd.Series({"missed": 0.125, "false": 0, "unequal": 0.5, "encounters": 1}))
    '12.5 % missed, unequal animals (0.5)'
    """
    parts = [f"{100 * row[name]:.3g} % {name}" for name in ("missed", "false") if row[name]]
    if row["unequal"]:
        parts.append(f"unequal animals ({row['unequal']:g})")
    if row["encounters"] > 1:
        parts.append(f"{row['encounters']:g} encounters a day")
    return ", ".join(parts) or "no mistakes"


if __name__ == "__main__":
    run_script(main)
