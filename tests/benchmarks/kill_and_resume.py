"""Killed at any moment and started again: is the result the same, and is nothing lost?

    python tests/benchmarks/kill_and_resume.py

Five kinds of work, ten kills each: drawing turtles, caching frozen stages, training, changing a
gallery, writing a sheet and a report. Each runs undisturbed once; then it is killed (SIGKILL) at a
random moment of its work, what lies there is opened, the same command runs again, and every file
is compared with the undisturbed run's. Left out of that are times and memory, and of a gallery's
result what this very run has changed: what was done before the kill is not done twice. About four
minutes on one core. You should see no torn file, nothing lost, nothing left over, and as many
equal results as kills. Needs `os.fork`, which Windows lacks.
"""

import contextlib
import json
import os
import re
import runpy
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from common.ending import run_script
from common.files import PART, read_array
from common.gallery.gallery import Gallery
from common.gallery.history import LOG
from common.own_files import LIST
from common.runs import start_run
from common.training import checkpoints, feature_cache
from common.turtles.dataset import TurtleParameters, ensure_turtles

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.numpy import load_file
from side_by_side import read_flags, store
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
N_KILLS = 10  # of each kind of work
OWN = re.compile(r"second|MB|peak|started|when|, s$")  # keys of what no two runs share
NETWORK = ("--model=small_cnn", "--weights=none", "--device=cpu")


@dataclass(frozen=True)
class Job:
    """One kind of work.

    Attributes:
        name: for people.
        work: called with the folder in which everything lies.
        written: where in that folder the work writes.
    """

    name: str
    work: Callable[[Path], object]
    written: str


def script(name: str) -> Callable[[list[str]], object]:
    """The main function of a week's script; what it imports is loaded now."""
    path = ROOT / f"{name}.py"
    sys.path.insert(0, str(path.parent))  # of the modules beside it
    return runpy.run_path(str(path))["main"]


def jobs() -> list[Job]:
    """All kinds of work, each on the same few turtles."""
    train, embed = script("week2/transfer_learning"), script("week3/metric_learning")
    build, identify = script("week3/build_gallery"), script("week3/identify")

    def draw(folder: Path) -> None:
        ensure_turtles(
            folder / "out",
            replace(TurtleParameters.small(), n_known=4),
            progress=False,
            n_workers=1,
        )

    def cache(folder: Path) -> None:
        feature_cache.CACHE_FOLDER = folder / "cache"
        flags = ["--smoke", f"--data_dir={folder / 'photos'}", f"--output_dir={folder / 'out'}"]
        train([*flags, *NETWORK])

    def training(folder: Path) -> None:
        feature_cache.CACHE_FOLDER = folder / "cache"
        flags = [f"--data_dir={folder / 'photos'}", f"--output_dir={folder / 'out'}"]
        embed(
            [*flags, *NETWORK, "--image_size=32", "--epochs=8", "--unfreeze=2", "--cached_views=2"]
        )

    def change(folder: Path) -> None:
        gallery = f"--output_dir={folder / 'gallery'}"
        build([gallery, "--add", f"--data_dir={folder / 'photos'}", "--device=cpu"])

    def ask(folder: Path) -> None:
        photos = sorted(map(str, (folder / "photos" / "photos").glob("*/*.jpg")))[::12]
        where = [f"--gallery={folder / 'gallery'}", f"--output_dir={folder / 'out'}"]
        identify([*photos, *where, "--device=cpu"])

    return [
        Job("drawing", draw, "out"),
        Job("caching", cache, "."),
        Job("training", training, "out"),
        Job("a gallery's change", change, "gallery"),
        Job("sheet and report", ask, "out"),
    ]


def main(argv: list[str] | None = None) -> dict:
    args = read_flags(__doc__, argv)
    run = start_run(__file__, args)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        start, work = Path(name) / "start", Path(name) / "work"
        works = jobs()
        prepare(start)
        rows = [
            row_of(job, start, work, rng, n_kills=1 if args.smoke else N_KILLS) for job in works
        ]
    table = pd.DataFrame(rows)
    counts = ("kills", "torn files", "lost answers", "left over", "equal results")
    return store(
        run,
        metrics={count.replace(" ", "_"): int(table[count].sum()) for count in counts},
        tables={"Killed and started again": table},
        notes=[
            "Answers: rows of answers.csv and metadata.csv, photos of the gallery with their "
            "names, questions on the sheet."
        ],
        device="cpu",
    )


def prepare(start: Path) -> None:
    """Photos, and a gallery that lacks one animal of theirs."""
    photos = ensure_turtles(start / "photos", TurtleParameters.small(), progress=False, n_workers=1)
    build = script("week3/build_gallery")
    gallery = f"--output_dir={start / 'gallery'}"

    def make() -> None:
        flags = ["--image_size=64", f"--data_dir={photos}", gallery]
        build([*flags, *NETWORK])
        build([gallery, "--remove=t001", "--device=cpu"])

    finish(in_child(make))


def row_of(job: Job, start: Path, work: Path, rng: np.random.Generator, *, n_kills: int) -> dict:
    """Kill one kind of work so many times, and count what came of it."""
    seconds = undisturbed(job, start, work)
    expected = contents(work / job.written)
    row = {"work": job.name, "seconds": seconds, "kills": 0, "torn files": 0, "lost answers": 0}
    row |= {"left over": 0, "equal results": 0}
    while row["kills"] < n_kills:
        fresh(start, work)
        if not killed(job, work, rng.uniform(0, seconds)):
            continue  # it was done before
        row["kills"] += 1
        found = contents(work / job.written)
        row["torn files"] += sum(value is None for value in found.values())
        finish(in_child(lambda: job.work(work)))
        found = contents(work / job.written)
        row["left over"] += sum(bool(PART.search(path)) for path in found)
        row["lost answers"] += len(answers(expected) - answers(found))
        row["equal results"] += found == expected
        tell_difference(job, expected, found)
    return row


def undisturbed(job: Job, start: Path, work: Path) -> float:
    """Do the work once; its seconds."""
    fresh(start, work)
    began = time.perf_counter()
    finish(in_child(lambda: job.work(work)))
    return time.perf_counter() - began


def fresh(start: Path, work: Path) -> None:
    """The same folder as it was before any work, at the same path."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(start, work)


def killed(job: Job, work: Path, seconds: float) -> bool:
    """Kill the work after so many seconds; False if it was done by then."""
    child = in_child(lambda: job.work(work))
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def in_child(work: Callable[[], object]) -> int:
    """Work in a forked process, which has everything loaded already; its number."""
    child = os.fork()
    if child:
        return child
    tqdm.set_lock(threading.RLock())  # its own outlives the processes, and a killed one may hold it
    checkpoints.CHECKPOINT_SECONDS = 0.0  # so that kills fall between checkpoints, too
    code = 1
    try:
        with (
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            work()
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def finish(child: int) -> None:
    """Wait for a process that has to succeed."""
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("a command failed that should end well, see above")


def contents(folder: Path) -> dict[str, object]:
    """What each file says; None: it is torn. What was half-written has another name."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != LIST]
    return {path.relative_to(folder).as_posix(): content(path) for path in paths}


def content(path: Path) -> object:
    """What a file says, without what no two runs share; None if it is torn."""
    if PART.search(str(path)):
        return "unfinished"
    try:
        if path.name == "gallery.json":
            return photos_of(path.parent)
        if path.name == LOG:  # who changed a gallery, and when
            lines = path.read_text(encoding="utf-8").splitlines()
            return [json.loads(line)["what"] for line in lines]
        if path.suffix == ".json":
            said = untimed(json.loads(path.read_text(encoding="utf-8")))
            is_change = path.name == "result.json" and (path.parent / "gallery.json").exists()
            return said["metrics"] if is_change else said
        if path.suffix == ".jsonl":
            lines = path.read_text(encoding="utf-8").splitlines()
            return [untimed(json.loads(line)) for line in lines]
        if path.suffix == ".html":
            text = path.read_text(encoding="utf-8")
            asked = sorted(set(re.findall(r'data-(?!key)[a-z]+="[^"]*"', text)))
            return asked if "</html>" in text else None
        if path.suffix == ".csv":
            return pd.read_csv(path).to_csv()
        return bytes_of(path)
    except Exception as error:
        print(f"torn: {path} ({error})", file=sys.stderr)
        return None


def bytes_of(path: Path) -> bytes | str:
    """All bytes of a file that its own library can read."""
    if path.suffix in (".jpg", ".png"):
        Image.open(path).load()
    elif path.suffix == ".safetensors":
        load_file(path)
    elif path.suffix == ".npy" and path.parent.name == "cache" and read_array(path) is None:
        raise ValueError("its checksum is wrong")
    elif path.suffix == ".npy":
        np.load(path)
    elif path.suffix == ".pt":
        torch.load(path, weights_only=True)
    return path.read_bytes()


def photos_of(folder: Path) -> list[tuple[str, str]]:
    """Whom each photo of a gallery shows."""
    facts = Gallery.load(folder).facts
    return sorted(zip(facts["path"].tolist(), facts["identity"].tolist(), strict=True))


def untimed(value: object) -> object:
    """A result without what no two runs share."""
    if isinstance(value, dict):
        return {key: untimed(part) for key, part in value.items() if not OWN.search(key)}
    return [untimed(part) for part in value] if isinstance(value, list) else value


def answers(found: dict[str, object]) -> set:
    """What a person would miss: lines of tables, photos under their names, questions."""
    kept = set()
    for path, said in found.items():
        if path.endswith(".csv"):
            kept |= set(str(said).splitlines())
        elif path.endswith(("gallery.json", ".html")) and isinstance(said, list):
            kept |= set(said)
    return kept


def tell_difference(job: Job, expected: dict[str, object], found: dict[str, object]) -> None:
    """Name the files that are not as they should be."""
    names = {path for path in expected | found if expected.get(path) != found.get(path)}
    if names:
        print(f"{job.name}: {', '.join(sorted(names))} differ", file=sys.stderr)


if __name__ == "__main__":
    run_script(main)
