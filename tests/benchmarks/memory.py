"""How much memory does metric learning take, beside its photos?

    python tests/benchmarks/memory.py

week3/metric_learning.py as it comes, frozen stages cached and mirrored classes, on 2,000 and on
8,000 photos of coloured noise at 160 pixels. Allowed are one and a half times the decoded photos,
and 1.5 GB for PyTorch and a step of training. Each run is a process of its own, whose peak the
system tells. About eight minutes on two laptop cores, and 2 GB of disk meanwhile. You should see a
peak that hardly grows with the photos: they lie in a file, and a batch of them in memory.
"""

import runpy
import sys
import tempfile
from pathlib import Path

from common.data.images import STORED_RATIO
from common.ending import run_script
from common.runs import start_run
from common.training import feature_cache

import numpy as np
import pandas as pd
from PIL import Image
from side_by_side import in_fresh_process, read_flags, store

SCRIPT = Path(__file__).resolve().parents[2] / "week3" / "metric_learning.py"
IMAGE_SIZE = 160  # pixels
FLAGS = ("--device=cpu", "--classes=mirrored", "--epochs=1", "--cached_views=1")
SHARE, BESIDE = 1.5, 1.5  # of the pixels, and GB beside them, that the process may hold
PHOTOS_OF_ONE = 20  # in five encounters of four


def main(argv: list[str] | None = None) -> dict:
    args = read_flags(__doc__, argv)
    run = start_run(__file__, args)
    counts, size = ((60, 120), 64) if args.smoke else ((2_000, 8_000), IMAGE_SIZE)
    table = pd.DataFrame([in_fresh_process(memory_of, n, size) for n in counts])
    return store(
        run,
        metrics={"largest_share_of_what_is_allowed": max(table["peak GB"] / table["allowed GB"])},
        tables={"Metric learning with frozen stages cached and mirrored classes": table},
        notes=[f"Allowed: {SHARE} of the pixels and {BESIDE} GB."],
        device="cpu",
    )


def memory_of(n_photos: int, image_size: int) -> dict:
    """Train once on so many photos, and tell what this process has held at most."""
    side = round(image_size * STORED_RATIO)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_noise(folder / "photos", n_photos, side)
        feature_cache.CACHE_FOLDER = folder / "cache"
        sys.path.insert(0, str(SCRIPT.parent))  # of the modules beside it
        options = [
            f"--image_size={image_size}",
            f"--data_dir={folder / 'photos'}",
            f"--output_dir={folder / 'run'}",
        ]
        result = runpy.run_path(str(SCRIPT))["main"]([*FLAGS, *options])
        n_cached = sum(file.stat().st_size for file in feature_cache.CACHE_FOLDER.glob("*.npy"))
    pixels = n_photos * side * side * 3
    return {
        "photos": n_photos,
        "pixels GB": pixels / 1e9,
        "cached GB, on disk": n_cached / 1e9,
        "peak GB": result["peak_memory_mb"] / 1e3,
        "allowed GB": (SHARE * pixels) / 1e9 + BESIDE,
    }


def draw_noise(folder: Path, n_photos: int, side: int) -> None:
    """Draw animals that are a colour each, in encounters of some photos, from left and right."""
    rng = np.random.default_rng(0)
    index = np.arange(n_photos)
    encounter = index // 4
    table = pd.DataFrame(
        {
            "image_id": index,
            "identity": index // PHOTOS_OF_ONE,
            "path": [f"{i}.jpg" for i in index],
            "encounter": encounter,
            "date": pd.Timestamp("2020-01-01") + pd.to_timedelta(encounter % 5 * 100, unit="D"),
            "orientation": np.where(index % 2, "left", "right"),
        }
    )
    folder.mkdir()
    table.to_csv(folder / "metadata.csv", index=False)
    colours = rng.integers(40, 215, (n_photos // PHOTOS_OF_ONE, 3))
    for i, identity in zip(index, table["identity"], strict=True):
        pixels = (colours[identity] + rng.normal(0, 30, (12, 12, 3))).clip(0, 255)
        Image.fromarray(pixels.astype(np.uint8)).resize((side, side)).save(folder / f"{i}.jpg")


if __name__ == "__main__":
    run_script(main)
