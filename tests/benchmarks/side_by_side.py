"""What every benchmark here shares: ways to one result, taken in turns, and where it is stored.

A machine that is busy for a while is then busy for all of them. Ratios carry over to other
machines far better than seconds, so a table gives both, and a claim rests on the ratio.
"""

import argparse
import re
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from common.cli import make_parser, shared_flags, whole_number
from common.files import write_text
from common.runs import Run, peak_memory_mb, to_json

import pandas as pd

RESULTS = Path(__file__).parent / "results"


def read_flags(doc: str, argv: list[str] | None = None, **extra: dict) -> argparse.Namespace:
    """The flags of a benchmark: rounds, output_dir, smoke, and its own.

    Args:
        doc: the benchmark's docstring.
        argv: None for the command line.
        extra: name of a flag of its own to what argparse needs.
    """
    parser = make_parser(doc)
    shared_flags(parser, "output_dir", "smoke")
    parser.add_argument(
        "--rounds", type=whole_number(1, 100), default=3, metavar="N",
        help="turns of each way; the median counts (default: %(default)s)",
    )  # fmt: skip
    for name, options in extra.items():
        parser.add_argument(f"--{name}", **options)
    args = parser.parse_args(argv)
    if args.smoke:
        args.rounds = 1
    return args


def turtle_photos(n_photos: int, *, is_smoke: bool) -> list[Path]:
    """Paths of some of the embedded turtles, from all over the catalogue; few in a smoke run."""
    from common.data.catalogue import load_catalogue
    from common.splits.study import SMOKE_FOLDER
    from common.turtles.dataset import TurtleParameters, ensure_turtles

    folder = None
    if is_smoke:
        folder = ensure_turtles(SMOKE_FOLDER, TurtleParameters.small(), progress=False)
    paths = load_catalogue(folder).paths()
    return paths[:: max(1, len(paths) // n_photos)][:n_photos]


def seconds_in_turns(
    ways: Mapping[str, Callable[[], object]], n_rounds: int
) -> dict[str, list[float]]:
    """Seconds of each way in each round; all ways have a turn in every round.

    Args:
        ways: name to what is timed; a way that needs warming up does so before.
        n_rounds: turns of each.
    """
    seconds = {name: [] for name in ways}
    for _ in range(n_rounds):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def in_fresh_process(function: Callable, *arguments: object) -> object:
    """What a function gives in a process of its own, where no other way has left anything behind.

    Args:
        function: of the top level of the script that runs.
        arguments: of the function; they and its result are copied between the processes.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def table_of(seconds: Mapping[str, list[float]], *, usual: str) -> pd.DataFrame:
    """One row per way: median, lowest and highest seconds, and how many times faster than usual.

    Args:
        seconds: of `seconds_in_turns`.
        usual: the way that the others are compared with.
    """
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return pd.DataFrame([
        {
            "way": name,
            "seconds": median[name],
            "fastest": min(values),
            "slowest": max(values),
            "times faster": median[usual] / median[name],
        }
        for name, values in seconds.items()
    ])  # fmt: skip


def extra_memory_mb(run: Callable[[], object]) -> float:
    """Most memory that this process holds while it runs, above what it holds before, in MB.

    Only a fresh process gives a figure: a higher peak before would be counted too.
    """
    import psutil

    before = psutil.Process().memory_info().rss / 1e6
    run()
    return max(0.0, peak_memory_mb() - before)


def store(run: Run, **parts: object) -> dict:
    """Finish a run and, unless it is a smoke run, keep its result beside the benchmarks.

    Args:
        run: of `common.runs.start_run`.
        parts: of `common.runs.Run.finish`.
    """
    result = run.finish(**parts)
    if not result["arguments"]["smoke"]:
        # The folder is this machine's own business.
        result["arguments"]["output_dir"] = None
        result["command"] = re.sub(r" --output_dir \S+", "", result["command"])
        RESULTS.mkdir(exist_ok=True)
        write_text(RESULTS / f"{Path(run.script).stem}.json", to_json(result))
    return result
