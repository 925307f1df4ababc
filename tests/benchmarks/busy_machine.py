"""How fast is training beside another busy program, and what does it cost on a quiet machine?

    python tests/benchmarks/busy_machine.py                 (about 8 minutes on two cores)
    python tests/benchmarks/busy_machine.py --main_job      (about 35 more)

PyTorch's OpenMP threads spin while they wait for each other. `common` tells them to wait quietly
after a short spin (OMP_WAIT_POLICY, GOMP_SPINCOUNT), before torch is loaded. Here training runs as
PyTorch comes and waiting quietly, each on a quiet machine and beside one busy process that has as
many threads as there are cores: half the speed is all that one can hope for there. Each turn is a
process of its own.

`--main_job` times week 3's comparison, quiet and beside the busy process; 2.5 times is the limit.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from common.cli import whole_number
from common.ending import run_script
from common.runs import start_run

import pandas as pd
from side_by_side import read_flags, store

ROOT = Path(__file__).resolve().parents[2]
AS_IT_COMES, QUIETLY = "as PyTorch comes", "waiting quietly"
ALONE, BESIDE = "quiet machine", "beside a busy process"
LIMIT = 2.5  # times the quiet machine's seconds

TRAINING = """
from argparse import Namespace
from training_throughput import this_project
from side_by_side import turtle_photos
args = Namespace(model="efficientnet_lite0", batch_size={batch_size}, device="cpu",
                 mixed_precision="no")
paths = turtle_photos({photos}, is_smoke={smoke})
print(this_project(args, paths, {side}))
"""
NEIGHBOUR = """
import torch
matrix = torch.randn(1000, 1000)
print("busy", flush=True)
while True:
    matrix @ matrix
"""


def main(argv: list[str] | None = None) -> dict:
    args = read_flags(
        __doc__, argv,
        photos={"type": whole_number(2, 1_000_000), "default": 192, "metavar": "N",
                "help": "photos of an epoch (default: %(default)s)"},
        main_job={"action": "store_true", "help": "also time week3/compare_approaches.py"},
    )  # fmt: skip
    run = start_run(__file__, args)
    rates = {
        (waiting, place): [] for waiting in (AS_IT_COMES, QUIETLY) for place in (ALONE, BESIDE)
    }
    for _ in range(args.rounds):
        for waiting, place in rates:
            with neighbour(place, is_smoke=args.smoke):
                rates[waiting, place].append(photos_per_second(waiting, args))
    rate = {turn: statistics.median(values) for turn, values in rates.items()}
    table = pd.DataFrame(
        {
            "threads": waiting,
            "place": place,
            "photos/s": rate[waiting, place],
            "slowest": min(values),
            "fastest": max(values),
            "share of quiet": rate[waiting, place] / rate[waiting, ALONE],
            "times as it comes": rate[waiting, place] / rate[AS_IT_COMES, place],
        }
        for (waiting, place), values in rates.items()
    )
    metrics, tables = {"photos_per_second": table.to_dict("records")}, {"Training": table}
    if args.main_job:
        seconds = {place: seconds_of_main_job(place, args.smoke) for place in (ALONE, BESIDE)}
        ratio = seconds[BESIDE] / seconds[ALONE]
        metrics["main_job"] = {"seconds": seconds, "ratio": ratio, "is_within": ratio <= LIMIT}
        tables["Main job, waiting quietly"] = pd.DataFrame(
            {"place": place, "seconds": value, "times quiet": value / seconds[ALONE]}
            for place, value in seconds.items()
        )
    return store(
        run,
        metrics=metrics,
        tables=tables,
        notes=[f"The busy process multiplies matrices on {os.cpu_count()} threads, as it comes."],
        device="cpu",
    )


def environment(*, is_smoke: bool) -> dict[str, str]:
    """This one for processes that start from scratch, without what says anything to OpenMP.

    A smoke run has one thread each: it shows that this script works, not how slow it can get.
    """
    spoken = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))
    }
    folders = [str(ROOT), str(Path(__file__).parent)]
    one_thread = {"OMP_NUM_THREADS": "1"} if is_smoke else {}
    return spoken | one_thread | {"PYTHONPATH": os.pathsep.join(folders)}


@contextlib.contextmanager
def neighbour(place: str, *, is_smoke: bool) -> Iterator[None]:
    """One busy process for the length of a block, where the place asks for it."""
    if place == ALONE:
        yield
        return
    with subprocess.Popen(
        [sys.executable, "-c", NEIGHBOUR],
        env=environment(is_smoke=is_smoke),
        stdout=subprocess.PIPE,
    ) as process:
        try:
            process.stdout.readline()
            yield
        finally:
            process.kill()


def photos_per_second(waiting: str, args) -> float:
    """Photos a second of the second of two epochs, in a process of its own."""
    options = {"photos": args.photos, "batch_size": 32, "side": 128, "smoke": args.smoke}
    if args.smoke:
        options |= {"photos": 8, "batch_size": 4, "side": 32}
    # OpenMP reads its settings when torch is loaded: before `common` can say anything.
    first = "import torch\n" if waiting == AS_IT_COMES else ""
    ended = subprocess.run(
        [sys.executable, "-c", first + TRAINING.format(**options)],
        env=environment(is_smoke=args.smoke), check=True, stdout=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    return float(ended.stdout.splitlines()[-1])


def seconds_of_main_job(place: str, is_smoke: bool) -> float:
    """Seconds of week 3's comparison from start to end; its drawn photos are there already."""
    script = ROOT / "week3" / "compare_approaches.py"
    with tempfile.TemporaryDirectory() as folder, neighbour(place, is_smoke=is_smoke):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, str(script), "--output_dir", folder] + ["--smoke"] * is_smoke,
            env=environment(is_smoke=is_smoke), check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        return time.perf_counter() - start


if __name__ == "__main__":
    run_script(main)
