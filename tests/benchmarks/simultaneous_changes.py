"""Two people change one gallery at the same time, while a third one reads it: is anything lost?

    python tests/benchmarks/simultaneous_changes.py

Two processes each make one change of a small gallery at the same moment, fifty times: both add
photos, both rename an animal, one moves a photo while the other forgets one, one adds while the
other renames, one removes an animal while the other moves a photo. Meanwhile another process opens
the gallery without pause. About two minutes on two cores. You should see no change lost, each one
in the log, and each read whole: as it was before, between or after the two changes.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from threading import BrokenBarrierError

from common.ending import run_script
from common.errors import InputError
from common.gallery.embedding import network_of
from common.gallery.enrolment import open_gallery
from common.gallery.history import LOG
from common.gallery.pictures import has_picture
from common.runs import start_run

import numpy as np
import pandas as pd
from kill_and_resume import script
from PIL import Image
from side_by_side import read_flags, store

N_PAIRS = 10  # of each kind
ANIMALS = ("anna", "berta", "carla")
NEW = {"new_1/nina": "nina/0.png", "new_2/nora": "nora/0.png"}  # folder of a photo, and its path

# Each kind: two changes, and what each of them makes of the photos: path to animal, "" if gone.
ADD_1 = (["--add", "--data_dir", "new_1"], {"nina/0.png": "nina"})
ADD_2 = (["--add", "--data_dir", "new_2"], {"nora/0.png": "nora"})
ANNA, BERTA = (
    (
        ["--rename", name, name.upper()[::-1]],
        {f"{name}/{i}.png": name.upper()[::-1] for i in (0, 1)},
    )
    for name in ("anna", "berta")
)
MOVE = (["--move", "carla/0.png", "anna"], {"carla/0.png": "anna"})
FORGET = (["--forget", "berta/1.png"], {"berta/1.png": ""})
REMOVE = (["--remove", "berta"], {"berta/0.png": "", "berta/1.png": ""})
PAIRS = {
    "add, add": (ADD_1, ADD_2),
    "rename, rename": (ANNA, BERTA),
    "move, forget": (MOVE, FORGET),
    "add, rename": (ADD_1, BERTA),
    "remove, move": (REMOVE, MOVE),
}


def main(argv: list[str] | None = None) -> dict:
    args = read_flags(__doc__, argv)
    run = start_run(__file__, args)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        prepare(place)
        with Changers(place) as changers:
            rows = [
                row_of(kind, pair, place, changers, n_pairs=1 if args.smoke else N_PAIRS)
                for kind, pair in PAIRS.items()
            ]
    table = pd.DataFrame(rows)
    counts = [name for name in table if name != "changes"]
    return store(
        run,
        metrics={name.replace(" ", "_"): int(table[name].sum()) for name in counts},
        tables={"Two changes at once": table},
        notes=["A read opens the gallery, its network and the small picture of each photo."],
        device="cpu",
    )


def prepare(place: Path) -> None:
    """A gallery of two photos each of three animals, and photos that it lacks."""
    photos = [f"data/{name}/{i}.png" for name in ANIMALS for i in (0, 1)]
    photos += [f"{folder}/0.png" for folder in NEW]
    for seed, photo in enumerate(photos):
        noise = np.random.default_rng(seed).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        (place / photo).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).save(place / photo)
    with silence():
        build = script("week3/build_gallery")
        build(["--smoke", f"--output_dir={place / 'start'}", f"--data_dir={place / 'data'}"])


class Changers:
    """Two processes that change a gallery, and one that reads it, all started once."""

    def __init__(self, place: Path) -> None:
        spawn = get_context("spawn")
        self.start, self.is_over = spawn.Barrier(3), spawn.Event()
        self.tasks = [spawn.SimpleQueue() for _ in range(2)]
        self.ended, self.reads = spawn.Queue(), spawn.Queue()
        self.processes = [
            spawn.Process(target=change, args=(place, tasks, self.start, self.ended))
            for tasks in self.tasks
        ]
        reading = (place / "gallery", self.start, self.is_over, self.reads)
        self.processes.append(spawn.Process(target=read, args=reading))

    def __enter__(self) -> "Changers":
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        for tasks in self.tasks:
            tasks.put(None)
        self.start.abort()
        for process in self.processes:
            process.join()

    def do(self, pair: tuple) -> tuple[list[str], list[object]]:
        """Make two changes at once; what they said in the end, and what was read meanwhile."""
        self.is_over.clear()
        for tasks, (flags, _) in zip(self.tasks, pair, strict=True):
            tasks.put(flags)
        said = [self.ended.get(timeout=600) for _ in pair]
        self.is_over.set()
        return said, self.reads.get(timeout=60)


def change(place: Path, tasks: object, start: Barrier, ended: object) -> None:
    """Make the changes that are told, each at the same moment as the other process."""
    build = script("week3/build_gallery")
    os.chdir(place)
    while flags := tasks.get():
        start.wait()
        try:
            with silence():
                build(["--output_dir=gallery", "--device=cpu", *flags])
            ended.put("")
        except InputError as error:
            ended.put(str(error))


def read(gallery: Path, start: Barrier, is_over: Event, reads: object) -> None:
    """Open a gallery without pause while it is changed."""
    while True:
        try:
            start.wait()
        except BrokenBarrierError:
            return
        found = []
        while not is_over.is_set():
            try:
                found.append(photos_of(gallery))
            except InputError as error:
                found.append(str(error))
        reads.put(found)


def photos_of(folder: Path) -> dict[str, str]:
    """Whom each photo of a gallery shows, if all of the gallery is there."""
    gallery = open_gallery(folder)
    network_of(gallery)
    present = gallery.can_be_found()
    paths, names, pictures = (gallery.facts[f][present] for f in ("path", "identity", "picture"))
    if missing := [name for name in pictures if not has_picture(folder, name)]:
        raise InputError(f"the picture {missing[0]} is missing")
    return dict(zip(paths.tolist(), names.tolist(), strict=True))


def row_of(kind: str, pair: tuple, place: Path, changers: Changers, *, n_pairs: int) -> dict:
    """Make two changes at once so many times, each time from the same gallery."""
    row = dict.fromkeys(("refused", "lost", "not logged", "reads", "reads not whole"), 0)
    gallery, before = place / "gallery", photos_of(place / "start")
    states = [before, *(after(before, effect) for _, effect in pair)]
    states.append(after(states[1], pair[1][1]))
    for _ in range(n_pairs):
        shutil.rmtree(gallery, ignore_errors=True)
        shutil.copytree(place / "start", gallery)
        said, found = changers.do(pair)
        lines = (gallery / LOG).read_text(encoding="utf-8").splitlines()
        row["refused"] += sum(map(bool, said))
        row["lost"] += photos_of(gallery) != states[-1]
        row["not logged"] += 3 - len({json.loads(line)["checksum"] for line in lines})
        row["reads"] += len(found)
        row["reads not whole"] += sum(each not in states for each in found)
        for each in [*said, *(each for each in found if each not in states)]:
            if each:
                print(f"{kind}: {each}")
    return {"changes": kind, "pairs": n_pairs, **row}


def after(photos: Mapping[str, str], effect: Mapping[str, str]) -> dict[str, str]:
    """The photos after a change."""
    return {path: name for path, name in {**photos, **effect}.items() if name}


@contextlib.contextmanager
def silence() -> object:
    """No words on the terminal."""
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


if __name__ == "__main__":
    run_script(main)
