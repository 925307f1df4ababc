"""Flags that mean the same in every week, and how a script ends.

A flag that several scripts have stands here, with one meaning.
"""

import argparse
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from common.errors import InputError, StoppedError
from common.machine import processes

MAX_SEED = 2**31 - 1  # the largest seed that every library of the course takes

WHAT_STAYS = (
    "what is finished stays and is whole (drawn photos, cached features, training checkpoints); "
    "run the same command again to continue from there"
)

CLASSES = ("auto", "identity", "side", "mirrored")  # what one class is in training

# Import name -> name in requirements.txt, for the message about a missing package.
REQUIRED_PACKAGES = {
    "accelerate": "accelerate",
    "albumentations": "albumentations",
    "captum": "captum",
    "common": "-e .",
    "cv2": "opencv-python-headless",
    "faiss": "faiss-cpu",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnx_ir": "onnxscript",  # comes with it
    "onnxruntime": "onnxruntime",
    "onnxscript": "onnxscript",
    "pandas": "pandas",
    "PIL": "pillow",
    "psutil": "psutil",
    "pytorch_metric_learning": "pytorch-metric-learning",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "threadpoolctl": "threadpoolctl",
    "timm": "timm",
    "torch": "torch",
    "torchvision": "torchvision",
    "tqdm": "tqdm",
}


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Reader of a flag's whole number between low and high, both allowed."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or not low <= number <= high:
            raise argparse.ArgumentTypeError(
                f"found '{text}', expected a whole number from {low:,} to {high:,}"
            )
        return number

    return read


def real_number(*, above: float, up_to: float) -> Callable[[str], float]:
    """Reader of a flag's number in the range (above, up_to]."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not above < number <= up_to:  # false for nan too
            raise argparse.ArgumentTypeError(
                f"found '{text}', expected a number above {above:g} and at most {up_to:g}"
            )
        return number

    return read


def seed_list(text: str) -> list[int]:
    """Read `--seeds`: different whole numbers with commas between, such as 0,1,2."""
    seeds = [whole_number(0, MAX_SEED)(part.strip()) for part in text.split(",")]
    if len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(
            f"found '{text}', expected different seeds: a repeated one adds no evidence"
        )
    return seeds


def device_name(text: str) -> str:
    """Read `--device`; whether the machine has the device is asked later, by torch."""
    name = text.strip().lower()
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", name):
        raise argparse.ArgumentTypeError(f"found '{text}', expected auto, cpu, cuda, cuda:N or mps")
    return name


def local_path(text: str) -> Path:
    """Read a path; a leading ~ is the home folder."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a path")
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~name without such a user
        raise argparse.ArgumentTypeError(f"found '{text}', but its user has no home") from None


def present_path(text: str) -> Path:
    """Read a path that has to be there; said before anything slow is loaded."""
    path = local_path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(
            f"found '{text}', which does not exist in {Path.cwd()}; check the path"
        )
    return path


def plain_word(text: str) -> str:
    """Read a name (of a model, a split, a column); empty is refused."""
    if not text.strip():
        raise argparse.ArgumentTypeError("found an empty text, expected a name")
    return text.strip()


def weights_source(text: str) -> str:
    """Read `--weights`: imagenet, none, or a file, which is looked for when it is loaded."""
    return text if text in ("imagenet", "none") else str(local_path(text))


# Name -> what argparse needs. A default of None is spelled out in the help text.
_FLAGS: dict[str, dict] = {
    "data_dir": {
        "type": present_path,
        "metavar": "PATH",
        "help": "your animals: a folder of identity folders, a folder with metadata.csv, or a "
        "CSV file (default: the embedded turtles)",
    },
    "dataset": {
        "type": plain_word,
        "metavar": "NAME",
        "help": "a set of the package wildlife-datasets, if you have installed it, such as "
        "NyalaData; instead of --data_dir",
    },
    "download": {
        "action": "store_true",
        "help": "let that package fetch the photos of --dataset first, into data/downloads",
    },
    "model": {
        "type": plain_word,
        "metavar": "NAME",
        "default": "efficientnet_lite0",
        "help": "backbone (default: %(default)s)",
    },
    "weights": {
        "type": weights_source,
        "metavar": "SOURCE",
        "default": "imagenet",
        "help": "imagenet, none (start from random numbers) or a .safetensors or .pth file "
        "(default: %(default)s)",
    },
    "split": {
        "type": plain_word,
        "metavar": "NAME",
        "default": "auto",
        "help": "how photos become train, validation and test: auto, time_aware, encounter, "
        "random, open_set, time_cutoff, disjoint, given or published_closed_set "
        "(default: %(default)s)",
    },
    "split_column": {
        "type": plain_word,
        "metavar": "COLUMN",
        "help": "column of the catalogue that holds the split, with --split given",
    },
    "classes": {
        "choices": CLASSES,
        "default": "auto",
        "help": "what one class is in training: an animal, a side of it, or a side and also its "
        "mirror image; auto: mirrored where the catalogue knows sides (default: %(default)s)",
    },
    "pooling": {
        "choices": ["average", "gem"],
        "default": "average",
        "help": "how maps become a vector; gem: a generalised mean with a learned power "
        "(default: %(default)s)",
    },
    "unfreeze": {
        "type": whole_number(0, 100),
        "metavar": "N",
        "default": 3,
        "help": "last stages of the backbone that train (default: %(default)s)",
    },
    "head_learning_rate": {
        "type": real_number(above=0.0, up_to=10.0),
        "metavar": "RATE",
        "default": 2e-3,
        "help": "step size of the new layers; --learning_rate is the backbone's "
        "(default: %(default)s)",
    },
    "photos_per_identity": {
        "type": whole_number(2, 100),
        "metavar": "N",
        "default": 4,
        "help": "photos of an animal in a batch, for losses that compare photos "
        "(default: %(default)s)",
    },
    "epochs": {
        "type": whole_number(1, 10_000),
        "metavar": "N",
        "default": 20,
        "help": "passes over the training photos (default: %(default)s)",
    },
    "batch_size": {
        "type": whole_number(1, 4_096),
        "metavar": "N",
        "default": 32,
        "help": "photos per training step (default: %(default)s)",
    },
    "learning_rate": {
        "type": real_number(above=0.0, up_to=10.0),
        "metavar": "RATE",
        "default": 1e-3,
        "help": "step size of the optimiser (default: %(default)s)",
    },
    "image_size": {
        "type": whole_number(32, 1_024),
        "metavar": "PIXELS",
        "default": 128,
        "help": "side of the square image that the model sees, in pixels (default: %(default)s)",
    },
    "cached_views": {
        "type": whole_number(0, 1_000),
        "metavar": "N",
        "default": 8,
        "help": "views of each training photo that frozen stages see once and for all, kept in "
        "data/cache; 0: frozen stages run in every epoch (default: %(default)s)",
    },
    "seed": {
        "type": whole_number(0, MAX_SEED),
        "metavar": "N",
        "default": 0,
        "help": "fixes every random choice (default: %(default)s)",
    },
    "seeds": {
        "type": seed_list,
        "metavar": "N,N,...",
        "default": [0, 1, 2],
        "help": "seeds of the repeated runs (default: 0,1,2)",
    },
    "device": {
        "type": device_name,
        "default": "auto",
        "help": "auto, cpu, cuda, cuda:N or mps (default: %(default)s)",
    },
    "mixed_precision": {
        "choices": ["no", "fp16", "bf16", "auto"],
        "default": "no",
        "help": "16-bit numbers where they are safe; auto: if a trial finds them clearly faster "
        "(default: %(default)s)",
    },
    "compile": {
        "action": "store_true",
        "help": "let PyTorch compile the network: minutes at the start, faster epochs",
    },
    "output_dir": {
        "type": local_path,
        "metavar": "PATH",
        "help": "folder of the results (default: runs/<script> in the current folder)",
    },
    "smoke": {
        "action": "store_true",
        "help": "a run of seconds on few photos: proves that everything works, means nothing",
    },
    "mine": {
        "type": present_path,
        "metavar": "FILE",
        "help": "your copy of the week's exercises.py: what is right in it runs in place of the "
        "reference's functions",
    },
    "workers": {
        "type": whole_number(0, 64),
        "metavar": "N",
        "help": "extra processes that prepare photos (default: as many as pay; none on a CPU)",
    },
}


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """Parser whose help shows the script's own docstring.

    Args:
        doc: the script's `__doc__`.
    """
    return argparse.ArgumentParser(
        usage="%(prog)s [--flag value ...]    (--help lists the flags)",
        description=(doc or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # --epoch must not quietly mean --epochs
    )


def shared_flags(parser: argparse.ArgumentParser, *names: str, **defaults: object) -> None:
    """Add shared flags; a keyword adds its flag with this script's own default.

    Args:
        names: flags with their usual default, such as "seed"; with "data_dir" come "dataset"
            and "download", the other way to name photos.
        defaults: flags with another default, such as epochs=5.

    Raises:
        ValueError: a name that is no shared flag, or one given twice.

    >>> parser = make_parser("What the script shows.")
    >>> shared_flags(parser, "seed", epochs=5)
    >>> parser.parse_args(["--seed", "1"])
    Namespace(seed=1, epochs=5)
    """
    for name in [*names, *defaults]:
        if name in names and name in defaults:
            raise ValueError(f"{name!r} is given with and without a default; once is enough")
        if name == "freeze_backbone":
            _add_freeze_flags(parser, bool(defaults.get(name, False)))
        elif name == "data_dir":
            _add_photo_flags(parser, defaults.get(name))
        elif name in _FLAGS:
            changed = {"default": defaults[name]} if name in defaults else {}
            parser.add_argument(f"--{name}", **_FLAGS[name] | changed)
        else:
            known = ", ".join(sorted([*_FLAGS, "freeze_backbone"]))
            raise ValueError(f"{name!r} is no shared flag; expected one of {known}")


def _add_photo_flags(parser: argparse.ArgumentParser, data_dir: object) -> None:
    """Add the two ways to name photos, of which one may be used."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--data_dir", default=data_dir, **_FLAGS["data_dir"])
    either.add_argument("--dataset", **_FLAGS["dataset"])
    parser.add_argument("--download", **_FLAGS["download"])


def _add_freeze_flags(parser: argparse.ArgumentParser, default: bool) -> None:
    """Add `--freeze_backbone` and its opposite."""
    parser.add_argument(
        "--freeze_backbone",
        action="store_true",
        default=default,
        help=f"train the head only (default: {'yes' if default else 'no'})",
    )
    parser.add_argument(
        "--no_freeze_backbone",
        dest="freeze_backbone",
        action="store_false",
        default=default,
        help="train the backbone too",
    )


def run_script(main: Callable[[], object]) -> None:
    """Call a script's main and end as a command should.

    Exit codes: 0 done; 1 another process of the run was lost; 2 something given cannot be used,
    told in one line; 130 stopped with Ctrl-C. Any other exception is a fault of ours and keeps
    its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a console without UTF-8 must not stop a run
            stream.reconfigure(errors="replace")
    try:
        with processes.joined():
            main()
    except InputError as error:
        _end(2, f"error: {error}")
    except KeyboardInterrupt:
        _end(130, f"stopped: {WHAT_STAYS}")
    except StoppedError as error:
        _end(1, f"stopped: {error}; {WHAT_STAYS}")
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ModuleNotFoundError as error:
        package = REQUIRED_PACKAGES.get((error.name or "").split(".")[0])
        if package is None:
            raise
        _end(
            2,
            f"error: the package {package} is not installed; "
            "run `pip install -r requirements.txt` in the course's folder",
        )


def _end(code: int, message: str) -> None:
    """Print one line on the error stream, once for all processes, and leave with this code."""
    sys.stdout.flush()
    if processes.is_first_to_say("how it ended"):
        print(" ".join(message.split()), file=sys.stderr, flush=True)
    sys.exit(code)
