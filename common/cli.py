"""Flags that mean the same in every week, and the readers of their values."""

import argparse
import difflib
import errno
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from common.data.exif import read_offset
from common.data.training_classes import CLASSES
from common.ending import end
from common.own_files import what_else
from common.splits.splits import SPLIT_NAMES

MAX_SEED = 2**31 - 1  # the largest seed that every library of the course takes


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


def list_of(read: Callable[[str], object], *, is_rising: bool = False) -> Callable[[str], list]:
    """Reader of a flag's list of different values, such as 1,2,5; rising ones if asked for.

    A file that is there is one, whatever commas its path has.
    """

    def read_all(text: str) -> list:
        is_one = read is present_file and os.path.isfile(text)
        values = [read(part.strip()) for part in ([text] if is_one else text.split(","))]
        if is_rising and sorted(set(values)) != values:
            raise argparse.ArgumentTypeError(f"found '{text}', expected rising values: 1,2,5")
        if len(set(values)) < len(values):
            raise argparse.ArgumentTypeError(f"found '{text}', expected different values")
        return values

    return read_all


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """Reader of one of some names, for `list_of`; a flag of one name has argparse's choices."""

    def read(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(
                f"found '{text}', expected some of: {', '.join(names)}"
            )
        return text

    return read


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
        path = Path(text).expanduser()
        os.stat(path)
    except RuntimeError:  # ~name without such a user
        raise argparse.ArgumentTypeError(f"found '{text}', expected a user's home") from None
    except OSError as error:  # one that may not be there is asked for later, where it has to be
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            raise argparse.ArgumentTypeError(
                f"found '{text}', expected a path; {error.strerror}: choose another"
            ) from None
    return path


def present_path(text: str) -> Path:
    """Read a path that has to be there; said before anything slow is loaded."""
    path = local_path(text)
    if not os.path.exists(path):  # not Path.exists, which fails in folders that may not be read
        raise argparse.ArgumentTypeError(
            f"found '{text}', which does not exist in {Path.cwd()}, expected a file or folder "
            "that is there; check the path"
        )
    return path


def present_file(text: str) -> Path:
    """The same of a file, which is no folder, pipe or device."""
    path = present_path(text)
    if found := what_else(path):
        raise argparse.ArgumentTypeError(
            f"found '{text}', which {found}, expected a file; check the path"
        )
    return path


def clock_offset(text: str) -> str:
    """Check a part of `--clock_offset`; `common.data.exif.read_offset` reads it."""
    try:
        read_offset(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def gap_minutes(text: str) -> float | None:
    """Read `--gap_minutes`; None: by folder."""
    return None if text == "folder" else real_number(above=0.0, up_to=100_000.0)(text)


def any_text(text: str) -> str:
    """Read a text as it is, such as a photo's path; empty is refused."""
    if not text.strip():
        raise argparse.ArgumentTypeError("found an empty text, expected a name")
    return text


def plain_word(text: str) -> str:
    """Read a name (of a model, a split, a column); empty is refused."""
    return any_text(text).strip()


def weights_source(text: str) -> str:
    """Read `--weights`: imagenet, none, or a file, which is looked for when it is loaded."""
    return text if text in ("imagenet", "none") else str(local_path(text))


def _flag(read: Callable | None, metavar: str, text: str, default: object = None) -> dict:
    """What argparse needs for a flag with a value; a default is added to its help."""
    is_plain = default is not None and "(default" not in text
    return {
        "type": read,
        "metavar": metavar,
        "default": default,
        "help": text + (" (default: %(default)s)" if is_plain else ""),
    }


def add_flag(
    parser: argparse.ArgumentParser,
    name: str,
    read: Callable[[str], object],
    metavar: str,
    text: str,
    default: object = None,
) -> None:
    """Add a flag with a value that one script alone has.

    Args:
        read: reader of the value, such as `whole_number(1, 9)`.
        text: of the help; the default is added, unless the text says what it is.
        default: of a list as it is typed, such as "1,2,5".
    """
    parser.add_argument(f"--{name}", **_flag(read, metavar, text, default))


def flags_given(argv: Sequence[str] | None) -> set[str]:
    """Names of the flags that a command line holds; None: this process's own."""
    words = sys.argv[1:] if argv is None else argv
    return {word[2:].split("=")[0] for word in words if word.startswith("--")}


def refuse_beside(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, flag: str, *void: str
) -> None:
    """End where a flag is given beside one that has no say then."""
    given = flags_given(argv)
    if flag in given and (beside := [each for each in void if each in given]):
        parser.error(
            f"--{flag}: found beside --{beside[0]}, which has no say then, expected one of the two"
        )


def _choice(choices: Sequence[str], text: str) -> dict:
    """The same for one of some words, the first of which is the default."""
    default = f"{text} (default: %(default)s)"
    return {"choices": choices, "default": choices[0], "help": default}


def _switch(text: str) -> dict:
    """The same for a flag without a value."""
    return {"action": "store_true", "help": text}


PHOTO_FLAGS = ("download", "keep_names", "photos_elsewhere", "date_order", "sides_from_names")
_RATE = real_number(above=0.0, up_to=10.0)
_FLAGS: dict[str, dict] = {
    "data_dir": _flag(
        present_path,
        "PATH",
        "your animals: a folder of identity folders, a folder with metadata.csv, or a CSV file "
        "(default: the embedded turtles)",
    ),
    "dataset": _flag(
        plain_word,
        "NAME",
        "a set of the package wildlife-datasets, if you have installed it, such as NyalaData; "
        "instead of --data_dir",
    ),
    "download": _switch(
        "let that package fetch the photos of --dataset first, into data/downloads"
    ),
    "keep_names": _flag(
        list_of(plain_word),
        "NAME,...",
        "animals truly called by a word for unknown, such as NA or New, and names that differ in "
        "capitals or spaces alone and are two animals",
    ),
    "photos_elsewhere": _switch("paths in the table of --data_dir may lead out of its folder"),
    "date_order": {
        "choices": ("day", "month"),
        "help": "what 05/06/2024 begins with, where no date of the table says so",
    },
    "sides_from_names": _switch("left and right, where names of photos say them and no table does"),
    "clock_offset": _flag(
        list_of(clock_offset),
        "CAMERA=H:MM,...",
        'what is added to the time in the photo files, such as "Canon EOS 70D=-1:00"; '
        "--clock_offset=-1:00 for all cameras",
    ),
    "gap_minutes": _flag(
        gap_minutes,
        "MINUTES",
        "of photos without names: longest time between two of one encounter, by one camera in one "
        "folder; folder: each folder is an encounter",
        "30",
    ),
    "model": _flag(plain_word, "NAME", "backbone", "efficientnet_lite0"),
    "models": _flag(list_of(plain_word), "NAME,...", "backbones to compare", "efficientnet_lite0"),
    "weights": _flag(
        weights_source,
        "SOURCE",
        "imagenet, none (start from random numbers) or a .safetensors or .pth file",
        "imagenet",
    ),
    "split": _flag(
        plain_word,
        "NAME",
        f"how photos become train, validation and test: {', '.join(SPLIT_NAMES)}",
        "auto",
    ),
    "split_column": _flag(
        plain_word, "COLUMN", "column of the catalogue that holds the split, with --split given"
    ),
    "classes": _choice(
        CLASSES,
        "what one class is in training: an animal, a side of it, or a side and also its mirror "
        "image, which doubles the minutes; auto: validation chooses, by a short training of each",
    ),
    "pooling": _choice(
        ("average", "gem"), "how maps become a vector; gem: a generalised mean with a learned power"
    ),
    "unfreeze": _flag(whole_number(0, 100), "N", "last stages of the backbone that train", 3),
    "photos_per_identity": _flag(
        whole_number(2, 100),
        "N",
        "photos of an animal in a batch, for losses that compare photos",
        4,
    ),
    "head_epochs": _flag(whole_number(1, 10_000), "N", "passes with the head alone first", 8),
    "epochs": _flag(whole_number(1, 10_000), "N", "passes over the training photos", 20),
    "batch_size": _flag(
        whole_number(2, 4_096), "N", "photos per training step; one teaches batch norm nothing", 32
    ),
    "learning_rate": _flag(_RATE, "RATE", "step size of the optimiser", 1e-3),
    "head_learning_rate": _flag(
        _RATE, "RATE", "step size of the new layers; --learning_rate is the backbone's", 2e-3
    ),
    "image_size": _flag(
        whole_number(32, 1_024),
        "PIXELS",
        "side of the square image that the model sees, in pixels",
        128,
    ),
    "cached_views": _flag(
        whole_number(0, 1_000),
        "N",
        "views of each training photo that frozen stages see once and for all, kept in "
        "data/cache; 0: frozen stages run in every epoch",
        8,
    ),
    "seed": _flag(whole_number(0, MAX_SEED), "N", "fixes every random choice", 0),
    "seeds": _flag(
        list_of(whole_number(0, MAX_SEED)), "N,N,...", "seeds of the repeated runs", "0,1,2"
    ),
    "device": _flag(device_name, "NAME", "auto, cpu, cuda, cuda:N or mps", "auto"),
    "mixed_precision": _choice(
        ("no", "fp16", "bf16", "auto"),
        "16-bit numbers where they are safe; auto: if a trial finds them clearly faster",
    ),
    "compile": _switch("let PyTorch compile the network: minutes at the start, faster epochs"),
    "output_dir": _flag(
        local_path, "PATH", "folder of the results (default: runs/<script> in the current folder)"
    ),
    "smoke": _switch("a run of seconds on few photos: proves that everything works, means nothing"),
    "mine": _flag(
        present_file,
        "FILE",
        "your copy of the week's exercises.py: what is right in it runs in place of the "
        "reference's functions",
    ),
    "false_match_rate": _flag(
        real_number(above=0.0, up_to=0.5),
        "RATE",
        'share of new animals\' photos that may be called "known" (default: %(default)s)',
    ),
    "false_new_rate": _flag(
        real_number(above=0.0, up_to=0.5),
        "RATE",
        'share of known animals\' photos that may be called "probably new" (default: %(default)s)',
    ),
    "workers": _flag(
        whole_number(0, 64),
        "N",
        "extra processes that prepare photos (default: as many as pay; none on a CPU)",
    ),
}


DASH = ' (one that begins with - is written in quotes with a space before it: " -value")'
# argparse's words → found and expected.
_IN_OUR_WORDS = (
    (r"^argument ", ""),
    (r"invalid choice: (.+) \(choose from (.+)\)", r"found \1, expected one of \2"),
    (r"expected one argument", f"found no value, expected one{DASH}"),
    (r"expected (\d+) arguments", rf"found another number of values, expected \1{DASH}"),
    (r"not allowed with argument (\S+)", r"found beside \1, expected one of the two"),
    (r"the following arguments are required: (.+)", r"found no \1, expected a value of each"),
    (r"unrecognized arguments: (.+)", r"found \1, expected the flags of this script"),
)
# What --help lists after a script's own flags, whatever the script.
_GROUPS = {
    "photos and their split": (
        *("data_dir", *PHOTO_FLAGS, "clock_offset", "gap_minutes", "split", "split_column"),
    ),
    "machine and results": (
        *("seed", "seeds", "device", "mixed_precision", "compile", "workers", "cached_views"),
        *("output_dir", "smoke"),
    ),
}


class Parser(argparse.ArgumentParser):
    """Flags in groups, and a refusal in one line."""

    def __init__(self, doc: str | None):
        super().__init__(
            usage="%(prog)s [--flag value ...]    (--help lists the flags)",
            description=(doc or "").strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # --epoch must not quietly mean --epochs
        )
        self.group_of = {}
        for title, names in _GROUPS.items():
            self.group_of |= dict.fromkeys(names, self.add_argument_group(title))

    def error(self, message: str) -> NoReturn:
        """End with one line, as for everything else that a person gives."""
        for theirs, ours in _IN_OUR_WORDS:
            message = re.sub(theirs, ours, message, flags=re.DOTALL)
        near, known = [], re.findall(r"--\w+", self.format_help())
        if "the flags" in message:
            near = difflib.get_close_matches(message.split()[1], known, n=1, cutoff=0.7)
        hint = f"did you mean {near[0]}? " if near else ""
        end(2, f"error: {message}; {hint}--help lists the flags and what they take")


def make_parser(doc: str | None) -> Parser:
    """Parser whose help shows the script's own docstring, and which refuses in one line."""
    return Parser(doc)


def shared_flags(parser: Parser, *names: str, **defaults: object) -> None:
    """Add shared flags; a keyword adds its flag with this script's own default.

    Args:
        names: flags with their usual default, such as "seed"; with "data_dir" come "dataset",
            the other way to name photos, and `PHOTO_FLAGS`, which say how they are read.
        defaults: flags with another default, such as epochs=5.

    >>> parser = make_parser("What the script shows.")
    >>> shared_flags(parser, "seed", epochs=5)
    >>> parser.parse_args(["--seed", "1"])
    Namespace(seed=1, epochs=5)
    """
    for name in [*names, *defaults]:
        if name == "freeze_backbone":
            _add_freeze_flags(parser, bool(defaults.get(name, False)))
        elif name == "data_dir":
            _add_photo_flags(parser, defaults.get(name))
        else:
            changed = {"default": defaults[name]} if name in defaults else {}
            group = parser.group_of.get(name, parser)
            group.add_argument(f"--{name}", **_FLAGS[name] | changed)


def _add_photo_flags(parser: Parser, data_dir: object) -> None:
    """Add the two ways to name photos, of which one may be used."""
    group = parser.group_of["data_dir"]
    either = group.add_mutually_exclusive_group()
    either.add_argument("--data_dir", **_FLAGS["data_dir"] | {"default": data_dir})
    either.add_argument("--dataset", **_FLAGS["dataset"])
    for name in PHOTO_FLAGS:
        group.add_argument(f"--{name}", **_FLAGS[name])


def _add_freeze_flags(parser: argparse.ArgumentParser, default: bool) -> None:
    """Add `--freeze_backbone` and its opposite."""
    words = f"train the head only (default: {'yes' if default else 'no'})"
    one = {"dest": "freeze_backbone", "default": default}
    parser.add_argument("--freeze_backbone", action="store_true", help=words, **one)
    words = "train the backbone too"
    parser.add_argument("--no_freeze_backbone", action="store_false", help=words, **one)
