"""Counts, times and what is typed, in sentences: "1 photo" is no "1 photos"."""

import os
import re
import shlex
from collections.abc import Sequence

N_NAMED = 3  # things that a sentence names


def counted(number: int, thing: str, things: str = "") -> str:
    """How many there are of a thing.

    >>> counted(1, "photo"), counted(1200, "photo"), counted(0, "query", "queries")
    ('1 photo', '1,200 photos', '0 queries')
    """
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def expected_time(minutes: float) -> str:
    """How long something will take, as far as that is known beforehand.

    >>> expected_time(0.4), expected_time(1.2), expected_time(17.6)
    ('less than a minute', 'about 1 minute', 'about 18 minutes')
    """
    return "less than a minute" if minutes < 1 else f"about {counted(round(minutes), 'minute')}"


def few(things: Sequence[str], between: str = ", ", most: int = N_NAMED) -> str:
    """The first things of a list, and a sign where there are more.

    >>> few(["a", "b"]), few(["a", "b", "c", "d"], "; "), few("abc", most=1)
    ('a, b', 'a; b; c; …', 'a, …')
    """
    return between.join([*things[:most], *["…"] * (len(things) > most)])


def typed(word: object) -> str:
    """A path or another word as it is typed in a command: quoted where it has to be.

    Double quotes hold in every shell; single ones are for what these leave its meaning.

    >>> typed("runs/gallery"), typed("My animals/1. May")
    ('runs/gallery', '"My animals/1. May"')
    """
    text = str(word)
    if os.name != "nt" and re.search(r'["$`\\!]', text):
        return shlex.quote(text)
    return text if re.fullmatch(r"[\w@%+=:,./\\-]+", text) else f'"{text}"'
