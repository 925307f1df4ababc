"""What matchers take on this machine, from which follows how much a question may compare."""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from common.files import UnwritableError, write_text
from common.matching.descriptions import CACHE_FOLDER
from common.matching.local_features import LocalFeatures
from common.matching.matchers import Matcher
from common.own_files import read_json

CASCADE = ("xfeat", "aliked")  # after the cosine
TRIED_SECONDS = 0.1  # fewer are too few to tell what a pair takes
N_TRIALS = 2
COSTS = "costs.json"  # in the cache


@dataclass(frozen=True)
class Cost:
    """What a matcher takes on this machine.

    Attributes:
        photo: seconds to describe one.
        pair: seconds to compare two described photos.
    """

    photo: float
    pair: float


def cost_of(
    matcher: Matcher, photo: Path, features: Sequence[LocalFeatures], folder: Path | None = None
) -> Cost:
    """What a matcher takes here; measured once, for less than a second, and kept in the cache.

    Args:
        features: of some gallery photos, one or more.
    """
    file = (folder or CACHE_FOLDER) / COSTS
    device = getattr(matcher, "device", "cpu")
    key = f"{matcher.recipe} {device} {os.cpu_count()}"
    try:
        known = {name: Cost(**each) for name, each in read_json(file).items()}
    except (OSError, ValueError, TypeError, AttributeError):  # none yet, or damaged
        known = {}
    if key not in known:
        known[key] = _measured(matcher, photo, features)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, json.dumps({name: asdict(each) for name, each in known.items()}))
        except (OSError, UnwritableError):
            pass  # measured anew next time
    return known[key]


def _measured(matcher: Matcher, photo: Path, features: Sequence[LocalFeatures]) -> Cost:
    """The best of a few trials: what other programs take is none of its cost."""
    query = matcher.describe([photo])[0]  # the first one wakes the threads
    photo_seconds = min(seconds_of(partial(matcher.describe, [photo])) for _ in range(N_TRIALS))
    n_pairs, seconds = 1, 0.0
    while seconds < TRIED_SECONDS:
        n_pairs *= 2
        tried = [features[i % len(features)] for i in range(n_pairs)]
        seconds = seconds_of(partial(matcher.scores, query, tried))
    return Cost(photo_seconds, seconds / n_pairs)


def seconds_of(work: Callable[[], object]) -> float:
    """What work takes on a machine that is not busy with other programs.

    There the clock runs on, and the work's own time does not.
    """
    wall, worked = time.perf_counter(), time.process_time()
    work()
    return min(time.perf_counter() - wall, time.process_time() - worked)
