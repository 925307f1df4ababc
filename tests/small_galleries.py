"""A gallery of a few photos for tests: it is built, asked what it holds, and changed."""

from common.gallery.enrolment import open_gallery

import numpy as np
from PIL import Image
from script_runs import load_main, refusal_of

SCRIPT = "week3/build_gallery"


def build(folder, *flags):
    return load_main(SCRIPT)(["--smoke", "--output_dir", str(folder), *map(str, flags)])


def save_photos(folder, n, seed=0):
    """Photos that nobody has seen; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        noise = np.random.default_rng([seed, i]).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    return [f"{i}.png" for i in range(n)]


def held(folder):
    """Path to animal."""
    gallery = open_gallery(folder)
    present = gallery.can_be_found()
    paths, names = (gallery.facts[fact][present].tolist() for fact in ("path", "identity"))
    assert len(set(paths)) == len(paths)
    return dict(zip(paths, names, strict=True))


def decide(gallery, *rows, columns="path,identity,decision", name="decisions.csv"):
    file = gallery.parent / name
    file.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return ["--add", "--data_dir", file]


def refused(capsys, gallery, *flags):
    before = held(gallery)
    line = refusal_of(SCRIPT, capsys, "--output_dir", gallery, *flags)
    assert held(gallery) == before
    return line
