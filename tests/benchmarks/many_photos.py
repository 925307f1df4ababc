"""What do ten times as many photos cost where nothing is trained?

    python tests/benchmarks/many_photos.py

week1/look_at_data.py, week3/build_gallery.py and week3/identify.py, one after the other, on 2,000
and on 20,000 photos of coloured noise at 80 pixels, 20 of each animal. Each size is a process of
its own, whose peak the system tells. About five minutes on two laptop cores. You should see that
time and memory grow at most twelve times: nothing compares every photo with every other.
"""

import runpy
import sys
import tempfile
import time
from pathlib import Path

from common.ending import run_script
from common.runs import peak_memory_mb, start_run

import memory
import pandas as pd
from side_by_side import in_fresh_process, read_flags, store

ROOT = Path(__file__).resolve().parents[2]
SIDE = 80  # pixels
N_ASKED = 10
UNTRAINED = ("--model=small_cnn", "--weights=none", "--image_size=64")


def main(argv: list[str] | None = None) -> dict:
    args = read_flags(__doc__, argv)
    run = start_run(__file__, args)
    counts = (60, 600) if args.smoke else (2_000, 20_000)
    rows = [in_fresh_process(cost_of, n) for n in counts]
    few, many = rows
    times = {name: many[name] / few[name] for name in few}
    return store(
        run,
        metrics={"times": times},
        tables={"Photos looked at, enrolled and asked": pd.DataFrame([*rows, times])},
        notes=["The last row: how many times as much."],
        device="cpu",
    )


def cost_of(n_photos: int) -> dict:
    """Seconds of each script, and the most that this process has held."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos, gallery = folder / "photos", folder / "gallery"
        memory.draw_noise(photos, n_photos, SIDE)
        data = f"--data_dir={photos}"
        asked = [str(photos / f"{i}.jpg") for i in range(N_ASKED)]
        seconds = {
            "looking, s": seconds_of("week1/look_at_data", data, f"--output_dir={folder / 'look'}"),
            "enrolling, s": seconds_of(
                "week3/build_gallery", data, *UNTRAINED, f"--output_dir={gallery}"
            ),
            f"asking {N_ASKED}, s": seconds_of(
                "week3/identify", *asked, f"--gallery={gallery}", f"--output_dir={folder / 'ask'}"
            ),
        }
    together = sum(seconds.values())
    return {"photos": n_photos, **seconds, "together, s": together, "peak MB": peak_memory_mb()}


def seconds_of(script: str, *flags: str) -> float:
    """How long a script takes, once it is loaded."""
    path = ROOT / f"{script}.py"
    sys.path.insert(0, str(path.parent))  # of the modules beside it
    main_of = runpy.run_path(str(path))["main"]
    start = time.perf_counter()
    main_of(list(flags))
    return time.perf_counter() - start


if __name__ == "__main__":
    run_script(main)
