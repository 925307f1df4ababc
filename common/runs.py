"""One run of a script: its folder, its figures, and what it leaves behind.

`result.json` holds everything needed to trust or repeat a number: command, arguments, versions,
machine, seconds, split, metrics. `report.html` shows the same to people, in one file. Scripts that
train one model add `answers.csv`, a row for each test photo, which `common.compare_runs` reads.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import math
import numbers
import os
import platform
import re
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from common import ROOT, installed_version
from common.errors import InputError
from common.files import move_into_place, write_text
from common.machine import processes
from common.names import printable
from common.own_files import (
    begin_list,
    claim,
    is_foreign,
    read_json,
    refuse_foreign,
    refuse_others,
    refuse_photos,
    release,
    remove_own,
    sign,
)
from common.report import render_report
from common.tables import csv_text, format_table
from common.words import typed

import numpy as np
import pandas as pd
import psutil

try:
    import resource
except ImportError:  # Windows
    resource = None

CHECKPOINTS = "checkpoints"  # folder in a run's own
# Left alone, and told when training would take them up.
FOREIGN_CHECKPOINTS = ("last*.pt", f"{CHECKPOINTS}/*")
ANSWERS = "answers.csv"  # beside the result, which names it: a table of hundreds of rows
NEW = ".new.part"  # folder in a run's own, of what will take its place at the end
RESULTS = REPORT, RESULT = "report.html", "result.json"
PACKAGES = (  # that may change a number
    *("torch", "torchvision", "timm", "pytorch-metric-learning", "accelerate", "captum"),
    *("scikit-learn", "faiss-cpu", "onnx", "onnxruntime", "onnxscript", "numpy", "pandas"),
    *("albumentations", "opencv-python-headless", "pillow", "pillow-heif", "matplotlib"),
)


@dataclasses.dataclass(frozen=True)
class Run:
    """A started run; see `start_run`.

    Attributes:
        folder: where results go; it exists and can be written to.
        arguments: the flags' values, plain JSON types.
        clock_start: seconds of a clock that never jumps, at the start.
    """

    script: str
    folder: Path
    arguments: dict
    command: str
    started: datetime
    clock_start: float

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.clock_start

    def figure_path(self, name: str) -> Path:
        """Where to write a figure; `finish` puts it, and all else, into the run's folder together.

        Until then the results of a former run stay as they were, and none is replaced alone.

        Raises:
            ValueError: the name is not a plain file name.
        """
        if name in ("", "..") or Path(name).name != name:
            raise ValueError(f"found {name!r}, expected a plain file name such as 'curves.png'")
        (self.folder / NEW).mkdir(exist_ok=True)
        return self.folder / NEW / name

    @property
    def model_path(self) -> Path:
        """Where to write the trained model, likewise."""
        return self.figure_path("model.safetensors")

    def checkpoint(self, title: str) -> Path:
        """File that one training of this run continues from after a kill.

        A run that is whole has nothing to resume: `finish` removes what these files were.
        """
        name = re.sub(r"[^\w.-]+", "_", title)[:60]
        digest = hashlib.sha256(title.encode()).hexdigest()[:8]  # two may differ in a comma alone
        return self.folder / CHECKPOINTS / f"{name}_{digest}.pt"

    def finish(
        self,
        *,
        metrics: Mapping,
        split: Mapping | None = None,
        tables: Mapping[str, pd.DataFrame] | None = None,
        figures: Mapping[str, Path] | None = None,
        notes: Sequence[str] = (),
        device: str | None = None,
        answers: pd.DataFrame | None = None,
        summary: str = "",
    ) -> dict:
        """Write `result.json` and `report.html`, print the tables and where things lie.

        Args:
            metrics: numbers with their n and interval; anything with plain parts
                (numpy values, reports as dicts, paths). NaN is written as null.
            tables: title -> table; columns `x`, `x_low`, `x_high` are shown as one. A table
                without a row is left out.
            device: device that was used, when it is not the one asked for.
            answers: to each test photo, see `common.splits.study.Study.answers`.
            summary: what to know before the tables are read.

        Returns:
            The content of `result.json`.

        Raises:
            InputError: the folder can no longer be written to.
            ValueError: something that JSON cannot hold.
        """
        tables = {title: table for title, table in (tables or {}).items() if len(table)}
        figure_files = {title: path.name for title, path in (figures or {}).items()}
        result = to_plain(
            {
                "script": self.script,
                "command": self.command,
                "arguments": self.arguments,
                "started": self.started,
                "seconds": round(self.seconds, 2),
                "machine": machine_facts(device or self.arguments.get("device")),
                "versions": {package: installed_version(package) for package in PACKAGES},
                "peak_memory_mb": peak_memory_mb(),
                "split": split,
                "summary": summary,
                "metrics": metrics,
                "tables": tables,
                "figures": figure_files,
                "answers": None if answers is None else ANSWERS,
                "notes": list(notes),
            }
        )
        if answers is not None:
            write_text(self.figure_path(ANSWERS), csv_text(answers))
        pictures = {title: self.figure_path(name) for title, name in figure_files.items()}
        write_text(self.figure_path(REPORT), render_report(result, tables, pictures))
        write_text(self.figure_path(RESULT), to_json(result))
        places = self._publish()
        remove_own(self.folder, f"{CHECKPOINTS}/*")
        with contextlib.suppress(OSError):  # there were none, or a person has a file there
            (self.folder / CHECKPOINTS).rmdir()
        release(self.folder)
        if summary:
            print(f"\n{printable(summary)}")
        self._print_ending(tables, figure_files.values(), notes, places)
        return result

    def _publish(self) -> dict[str, Path]:
        """Put everything into its place; last the result, whose presence says that the rest is.

        Returns:
            Each file's name to its place.
        """
        new = sorted((self.folder / NEW).iterdir(), key=lambda path: path.name == RESULT)
        places = {path.name: self._place(path.name) for path in new}
        for path in new:
            move_into_place(path, places[path.name])
        (self.folder / NEW).rmdir()
        if ANSWERS not in {path.name for path in new}:  # another run's would pass for its own
            remove_own(self.folder, ANSWERS)
        return places

    def _place(self, name: str) -> Path:
        """Where a result goes: beside a file of that name that a person has changed."""
        path = self.folder / name
        others = (path.with_stem(f"{path.stem}_{n}") for n in itertools.count(2))
        return next(way for way in itertools.chain([path], others) if not is_foreign(way))

    def _print_ending(
        self,
        tables: Mapping[str, pd.DataFrame],
        figures: Iterable[str],
        notes: Sequence[str],
        places: Mapping[str, Path],
    ) -> None:
        for title, table in tables.items():
            print(f"\n{title}\n\n{format_table(table)}")
        if notes:
            print("", *(f"Note: {printable(note)}" for note in notes), sep="\n")
        print("", *(f"Figure: {places[name]}" for name in figures), sep="\n")
        print(f"Report: {places[REPORT]}")
        print(f"Result: {places[RESULT]} ({self.seconds:.0f} s)")


def start_run(
    script_file: str | Path,
    args: Namespace,
    *,
    may_hold_others: bool = False,
    spared: Sequence[str] = (),
) -> Run:
    """Make the run's folder and print where results go.

    A folder with files that the course did not write is refused, and so is one above or inside
    the photos, or one with another script's results: see `common.own_files`.

    The folder is `--output_dir`, else `runs/<script>` in the current folder; a smoke run has a
    folder of its own, `runs/<script>_smoke`, so that it never replaces a real result. Of several
    processes only the main one has this folder; what the others write is thrown away.

    Args:
        may_hold_others: the folder holds something to be changed, so that a person's files in it
            are left and passed over; a result goes beside one that has its name.
        spared: shell patterns of files that a person saves there, which are left, too; the script
            writes none of such a name.

    Raises:
        InputError: the folder cannot be made or written to, it holds what is a person's, or a
            result in whose place a trial would put its own, or another process is writing there.
    """
    script = Path(script_file)
    is_smoke = bool(getattr(args, "smoke", False))
    folder = getattr(args, "output_dir", None)
    if folder is None:
        folder = Path.cwd() / "runs" / (script.stem + ("_smoke" if is_smoke else ""))
    folder = Path(folder).absolute()
    for photos in _photos_given(args):
        refuse_photos(folder, photos)
    folder = processes.run_folder(folder)
    try:
        if not may_hold_others:
            if is_smoke and _is_no_trial(folder):
                raise InputError(
                    f"--smoke: {folder} holds a result that is no trial, in whose place this one "
                    "would put its own, expected another folder; leave --output_dir out"
                )
            refuse_others(folder, script.name)
            for path in refuse_foreign(folder, (*FOREIGN_CHECKPOINTS, *spared)):
                if not any(map(path.match, spared)):
                    print(f"{path} is no checkpoint of a run here: it stays, training starts anew")
        begin_list(folder)
        claim(folder)
        sign(folder, script.name)
        remove_own(folder, f"{NEW}/*")  # of a run that failed in this very process
    except OSError as error:
        leads_nowhere = folder.is_symlink() and not folder.exists()
        reason = "it is a link that leads nowhere" if leads_nowhere else error.strerror or error
        raise InputError(
            f"results cannot be written to {folder} ({reason}), expected a "
            "folder that takes them; choose another one with --output_dir"
        ) from error
    print(f"{script.stem}: results go to {folder}")
    return Run(
        script=script.name,
        folder=folder,
        arguments=to_plain(vars(args)),
        command=_command(script, args),
        started=datetime.now(UTC).replace(microsecond=0),
        clock_start=time.perf_counter(),
    )


def _is_no_trial(folder: Path) -> bool:
    """Whether a folder holds the result of a run that was meant."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return read_json(folder / RESULT)["arguments"]["smoke"] is False
    return False


def describe_split(split: object, leak: object) -> dict:
    """A split and its leak as `Run.finish` wants them."""
    return split.to_dict() | {"leak": leak.to_dict()}


def to_plain(value: object) -> object:
    """The value in JSON's types: NaN and infinity become None, tables lists of rows.

    Raises:
        ValueError: a type that has no plain form.

    >>> to_plain({"accuracy": np.float32(0.5), "loss": float("nan"), "n": np.arange(2)})
    {'accuracy': 0.5, 'loss': None, 'n': [0, 1]}
    """
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, (str, bool)):
        return value
    if isinstance(value, (np.generic, np.ndarray)):
        return to_plain(value.tolist())
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, (date, pd.Timestamp)):  # a datetime is a date too
        return value.isoformat()
    if isinstance(value, pd.DataFrame):
        named = any(name is not None for name in value.index.names)
        value = (value.reset_index() if named else value).to_dict("records")
    elif isinstance(value, (set, frozenset)):
        value = sorted(value)
    elif hasattr(value, "to_dict"):  # a series; reports and trials know what a result needs
        value = value.to_dict()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [to_plain(part) for part in value]
    raise ValueError(f"a result cannot hold a {type(value).__name__}; give plain values")


def to_json(value: object) -> str:
    """Strict JSON text: no NaN, one line feed at the end."""
    return json.dumps(to_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def machine_facts(device: str | None) -> dict:
    """What the run ran on; the device is None where a script has no such flag."""
    return {
        "platform": platform.platform(),
        "processor": platform.machine(),
        "n_cpu": os.cpu_count(),
        "device": device,
        "python": platform.python_version(),
    }


def peak_memory_mb() -> float:
    """Largest memory this process has held, in MB, 10⁶ bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux, whose getrusage counts the process that started this one too
        peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii", errors="replace"))
        if peak:
            return round(int(peak[1]) * 1024 / 1e6, 1)
    if resource is None:
        memory = psutil.Process().memory_info()
        return round(getattr(memory, "peak_wset", memory.rss) / 1e6, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def _photos_given(args: Namespace) -> list[Path]:
    """The folders, tables and photos that a script's flags name."""
    given = [getattr(args, "data_dir", None), getattr(args, "photo", None)]
    photos = getattr(args, "photos", None)
    given += photos if isinstance(photos, list) else []  # elsewhere it is how many
    return [Path(path) for path in given if path is not None]


def _command(script: Path, args: Namespace) -> str:
    """The command line that repeats the run.

    Started as a script: the line as typed. Called as `main([...])`: every flag written out.
    """
    place = script.absolute()
    above = ROOT if place.is_relative_to(ROOT) else place.parents[1]
    name = place.relative_to(above).as_posix()
    if Path(sys.argv[0]).absolute() == script.absolute():
        return " ".join(map(typed, ["python", name, *sys.argv[1:]]))
    words = ["python", name]
    for flag, value in vars(args).items():
        if value is True:
            words.append(f"--{flag}")
        elif isinstance(value, (list, tuple)):
            words += [f"--{flag}", ",".join(str(part) for part in value)]
        elif value is not None and value is not False:
            words += [f"--{flag}", str(value)]
    return " ".join(map(typed, words))
