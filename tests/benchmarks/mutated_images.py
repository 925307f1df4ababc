"""Does the check of a catalogue say of damaged photos what the training will meet?

    python tests/benchmarks/mutated_images.py

10,000 photos of every kind that is read, damaged by chance: flipped bits, cut, zeroed, a part taken
out or put in twice, EXIF of every type and none. The catalogue's check looks at each, then the
training's reader reads it. Both have to say the same; nothing may crash, wait for more than
seconds, or take more than 1 GB. About a minute on two laptop cores.
"""

import io
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common.data.catalogue import catalogue_from_table
from common.data.catalogue_checks import check_catalogue
from common.data.photo_files import squashed_photo
from common.ending import run_script
from common.errors import InputError
from common.runs import peak_memory_mb, start_run

import numpy as np
import pandas as pd
from PIL import Image
from side_by_side import in_fresh_process, read_flags, store

N_PHOTOS, N_AT_ONCE = 10_000, 500
SIZES = (73, 256)  # pixels, to which the training squashes photos: small and usual
SIDES = (90, 120)  # pixels, of the photos that are damaged
ALLOWED_MB, ALLOWED_SECONDS = 1_000, 10


def main(argv: list[str] | None = None) -> dict:
    args = read_flags(__doc__, argv)
    run = start_run(__file__, args)
    n_photos = 300 if args.smoke else N_PHOTOS
    table, facts = in_fresh_process(ask_both, n_photos, 0)
    return store(
        run,
        metrics=facts,
        tables={f"{n_photos:,} damaged photos": table},
        notes=[
            f"Allowed: no disagreement, {ALLOWED_SECONDS} seconds for a photo, {ALLOWED_MB} MB."
        ],
        device="cpu",
    )


def ask_both(n_photos: int, seed: int) -> tuple[pd.DataFrame, dict]:
    """Damage photos, ask the check and the reader about each, and count."""
    rng = np.random.default_rng(seed)
    originals, rows, slowest = make_originals(), [], 0.0
    kinds = [(name, damage) for name in originals for damage in DAMAGES]
    for start in range(0, n_photos, N_AT_ONCE):
        with tempfile.TemporaryDirectory() as name:
            folder, part = Path(name), []
            for i in range(start, min(start + N_AT_ONCE, n_photos)):
                original, damage = kinds[i % len(kinds)]
                damaged = DAMAGES[damage](originals[original], rng)
                (folder / f"{i}.jpg").write_bytes(damaged)
                part.append({"path": f"{i}.jpg", "identity": f"a{i}", "damage": damage})
            seconds, faults = check(folder, part)
            slowest = max(slowest, seconds)
            for row in part:
                seconds, answers = read(folder / row["path"])
                slowest = max(slowest, seconds)
                is_bad = row["path"] in faults
                rows.append(row | {"refused": is_bad, "agree": answers == {is_bad}})
    table = pd.DataFrame(rows)
    facts = {
        "n_photos": len(table),
        "n_disagreements": int((~table["agree"]).sum()),
        "slowest_seconds": slowest,
        "peak_memory_mb": peak_memory_mb(),
    }
    counts = table.groupby("damage", sort=False).agg(
        photos=("agree", "size"), refused=("refused", "sum"), agree=("agree", "sum")
    )
    return counts.reset_index(), facts


def check(folder: Path, rows: list[dict]) -> tuple[float, set[str]]:
    """Seconds of a photo in the catalogue's check, and the photos that it refuses."""
    start = time.perf_counter()
    report = check_catalogue(catalogue_from_table(pd.DataFrame(rows), folder, "damaged"))
    seconds = (time.perf_counter() - start) / len(rows)
    broken = [problem.names for problem in report.problems if problem.kind == "unreadable_file"]
    return seconds, {name for names in broken for name in names}


def read(path: Path) -> tuple[float, set[bool]]:
    """Seconds of the slowest reading, and whether the training's reader refuses the photo."""
    answers, slowest = set(), 0.0
    for size in SIZES:
        start = time.perf_counter()
        try:
            answers.add(squashed_photo(path, size).shape != (size, size, 3))
        except InputError:
            answers.add(True)
        slowest = max(slowest, time.perf_counter() - start)
    return slowest, answers


def make_originals() -> dict[str, bytes]:
    """A small photo of each kind that is read."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8))
    photo = coarse.resize(SIDES[::-1], Image.Resampling.BICUBIC)
    grey = np.asarray(photo.convert("L"))
    seen_through = photo.copy()
    seen_through.putalpha(Image.fromarray(grey))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    exif.get_ifd(0x8825)[6] = 12.5  # altitude
    exif.get_ifd(0x8769)[0x9003] = "2024:05:31 10:00:00"
    several = {"save_all": True, "append_images": [photo.rotate(90)]}
    deep = Image.fromarray(grey.astype(np.uint16) * 16)
    saved = {
        "jpeg": (photo, "JPEG", {"exif": exif}),
        "progressive jpeg": (photo, "JPEG", {"progressive": True, "exif": exif}),
        "cmyk jpeg": (photo.convert("CMYK"), "JPEG", {}),
        "grey jpeg": (photo.convert("L"), "JPEG", {"restart_marker_blocks": 4}),
        "mpo": (photo, "MPO", several),
        "png": (photo, "PNG", {"exif": exif}),
        "palette png": (photo.quantize(16), "PNG", {"transparency": 3}),
        "alpha png": (seen_through, "PNG", {}),
        "16-bit png": (deep, "PNG", {}),
        "animated png": (photo, "PNG", several),
        "tiff": (photo, "TIFF", {"exif": exif}),
        "lzw tiff": (photo, "TIFF", {"compression": "tiff_lzw"}),
        "float tiff": (Image.fromarray(grey.astype(np.float32) / 255), "TIFF", {}),
        "16-bit tiff": (deep, "TIFF", {"compression": "tiff_deflate"}),
        "webp": (seen_through, "WEBP", {"exif": exif}),
        "animated webp": (photo, "WEBP", several),
        "bmp": (photo, "BMP", {}),
        "gif": (
            photo.quantize(16),
            "GIF",
            {"save_all": True, "append_images": [photo.quantize(8)]},
        ),
    }
    originals = {}
    for name, (picture, file_format, options) in saved.items():
        content = io.BytesIO()
        picture.save(content, file_format, **options)
        originals[name] = content.getvalue()
    return originals


def flip_bits(content: bytes, rng: np.random.Generator) -> bytes:
    """One to 60 bits anywhere."""
    return _flipped(content, rng, len(content))


def flip_bits_of_the_header(content: bytes, rng: np.random.Generator) -> bytes:
    """One to 60 bits where sizes and tables stand."""
    return _flipped(content, rng, min(len(content), 300))


def _flipped(content: bytes, rng: np.random.Generator, end: int) -> bytes:
    bits = np.unpackbits(np.frombuffer(content, dtype=np.uint8))
    bits[rng.integers(0, end * 8, int(rng.integers(1, 60)))] ^= 1
    return np.packbits(bits).tobytes()


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    """The first part of the file, or nothing of it."""
    return content[: int(rng.integers(0, len(content)))]


def cut_a_little(content: bytes, rng: np.random.Generator) -> bytes:
    """All but the last bytes."""
    return content[: -int(rng.integers(1, 20))]


def zero(content: bytes, rng: np.random.Generator) -> bytes:
    """A part of the file reads as zeros, as from a damaged card."""
    start, end = sorted(rng.integers(0, len(content), 2))
    return content[:start] + bytes(int(end - start)) + content[end:]


def take_out_or_repeat(content: bytes, rng: np.random.Generator) -> bytes:
    """A part of the file is missing, or there twice."""
    start, end = sorted(rng.integers(0, len(content), 2))
    return (
        content[:start] + content[end:] if rng.random() < 0.5 else content[:end] + content[start:]
    )


def odd_exif(content: bytes, rng: np.random.Generator) -> bytes:
    """EXIF with fields of every type, also of none that exists, in front of a JPEG's picture."""
    order = "<" if rng.random() < 0.5 else ">"
    tags = [0x0112, 0x011A, 0x8769, 0x8825, 0x010F, 0x0100, 0x0131, 0x927C, 0x9286, 6]
    fields = b""
    n_fields = int(rng.integers(1, 12))
    for _ in range(n_fields):
        tag, kind = int(rng.choice(tags)), int(rng.integers(0, 20))
        count = int(rng.choice([0, 1, 2, 4, 300, 2**31, 2**32 - 1]))
        value = int(rng.choice([1, 6, 8, 9, 26, 60, 2**31, 2**32 - 10]))
        fields += struct.pack(f"{order}HHLL", tag, kind, count, value)
    rest = rng.bytes(int(rng.integers(0, 80)))
    ifd = struct.pack(f"{order}H", n_fields) + fields + struct.pack(f"{order}L", 0) + rest
    magic = b"II*\0" if order == "<" else b"MM\0*"
    exif = b"Exif\0\0" + magic + struct.pack(f"{order}L", 8) + ifd
    if content[:2] != b"\xff\xd8":  # another format: the same bytes behind it
        return content + exif
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]


DAMAGES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "bits flipped": flip_bits,
    "bits flipped in the header": flip_bits_of_the_header,
    "cut": cut,
    "cut a little": cut_a_little,
    "a part zeroed": zero,
    "a part missing or twice": take_out_or_repeat,
    "odd EXIF": odd_exif,
}


if __name__ == "__main__":
    run_script(main)
