"""Did my change help? Two stored runs, photo by photo.

    python -m common.compare_runs runs/baseline_cnn runs/with_my_change

Each run is a folder, or its result.json, of a script that trains one model: baseline_cnn,
transfer_learning, fine_tuning or metric_learning. Both have to be asked the same photos. The
difference is the second run minus the first, its interval one over animals; where it spans zero,
the two are not distinguishable. What else differs between the runs is printed first.
"""

import argparse
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.cli import make_parser, present_path
from common.ending import run_script
from common.errors import InputError, first_line
from common.experiments.trials import Difference, difference_table
from common.measures.intervals import paired_bootstrap_over_individuals
from common.own_files import read_file, read_json
from common.runs import RESULT
from common.tables import MISSING, format_table, unescaped
from common.words import counted

import pandas as pd

SCRIPTS = "baseline_cnn, transfer_learning, fine_tuning or metric_learning"
COLUMNS = ["photo", "question", "animal", "answered", "right"]


@dataclass(frozen=True)
class StoredRun:
    """A run that was read from its folder; its answers are texts, one row per test photo."""

    name: str
    result: Mapping
    answers: pd.DataFrame


def read_run(path: Path) -> StoredRun:
    """Read a run with its answers.

    Raises:
        InputError: no result there, one without answers, or answers that cannot be read.
    """
    file = path / RESULT if path.is_dir() else path
    try:
        result = read_json(file)
        script, named = str(result["script"]), result.get("answers")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} holds no result of a run ({first_line(error)}); expected a run's folder, or "
            f"the {RESULT} in it"
        ) from error
    if not isinstance(named, str) or not named:
        raise InputError(
            f"{file} keeps no answers to single photos (it comes from {script}); expected a run of "
            f"{SCRIPTS}: run it again, with an --output_dir of its own"
        )
    answers = file.parent / Path(named).name
    try:  # an animal may be named 007, or NA
        content = io.BytesIO(read_file(answers))
        table = unescaped(pd.read_csv(content, dtype=str, keep_default_na=False)[COLUMNS])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{answers}, which {file} names, cannot be read ({first_line(error)}); keep the two "
            "files together, or run the script again"
        ) from error
    right = table["right"].str.casefold()
    if (odd := ~right.isin(["true", "false"])).any():
        raise InputError(
            f"{answers}, row {int(odd.argmax()) + 2}: right is '{table['right'][odd.argmax()]}', "
            "expected True or False, as the run wrote it; run the script again"
        )
    return StoredRun(str(path), result, table.assign(right=right == "true"))


def differences_of(first: StoredRun, second: StoredRun) -> list[Difference]:
    """Second minus first, for each question that both were asked.

    Raises:
        InputError: they were asked different photos.
    """
    questions = [
        question
        for question in first.answers["question"].unique()
        if question in set(second.answers["question"])
    ]
    if not questions:
        raise InputError(f"{first.name} and {second.name} were asked no question in common")
    differences = []
    for question in questions:
        own, other = (
            run.answers[run.answers["question"] == question].sort_values(["photo", "animal"])
            for run in (first, second)
        )
        asked = [set(zip(table["photo"], table["animal"], strict=True)) for table in (own, other)]
        if asked[0] != asked[1] or len(own) != len(other):
            raise InputError(
                f"{question}: {first.name} answered {counted(len(own), 'photo')}, {second.name} "
                f"{len(other)}, of which {len(asked[0] & asked[1])} are the same; expected the "
                "same photos: run both with the same --data_dir, --split and --seed"
            )
        right = [table["right"].to_numpy() for table in (other, own)]
        interval = paired_bootstrap_over_individuals(*right, own["animal"].to_numpy())
        differences.append(Difference(question, second.name, first.name, interval))
    return differences


def facts_of(result: Mapping) -> dict[str, object]:
    """What may make a run differ from another one: script, flags, split, machine, versions."""
    parts = {name: result.get(name) for name in ("arguments", "split", "machine", "versions")}
    parts = {name: each if isinstance(each, dict) else {} for name, each in parts.items()}
    flags = {f"--{name}": value for name, value in parts["arguments"].items()}
    flags.pop("--output_dir", None)
    facts = {"script": result["script"], **flags}
    facts |= {f"split: {name}": parts["split"].get(name) for name in ("name", "seed", "parameters")}
    return facts | parts["machine"] | parts["versions"]


def what_differs(first: StoredRun, second: StoredRun) -> pd.DataFrame:
    """One row for each fact that the two runs don't share."""
    facts = [facts_of(run.result) for run in (first, second)]
    rows = []
    for name in dict.fromkeys([*facts[0], *facts[1]]):
        values = [each.get(name) for each in facts]
        if values[0] != values[1]:
            shown = [MISSING if value is None else str(value) for value in values]
            rows.append({"differs": name, "first": shown[0], "second": shown[1]})
    return pd.DataFrame(rows, columns=["differs", "first", "second"])


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    for name in ("first", "second"):
        words = f"folder of the {name} run, or its {RESULT}"
        parser.add_argument(name, type=present_path, metavar="RUN", help=words)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    first, second = read_run(args.first), read_run(args.second)
    differences = differences_of(first, second)
    facts = what_differs(first, second)
    if len(facts):
        print(f"{format_table(facts)}\n")
    else:
        print("The two runs share script, flags, split, machine and versions.\n")
    # Each difference is named as elsewhere, "first minus second"; here the second run comes first.
    named = {"first": "second run", "second": "minus first run"}
    print(f"{format_table(difference_table(differences).rename(columns=named))}\n")
    print(*(each.sentence() for each in differences), sep="\n")
    return {
        "differs": facts.to_dict("records"),
        "differences": [each._asdict() | {"better": each.better} for each in differences],
    }


if __name__ == "__main__":
    run_script(main)
