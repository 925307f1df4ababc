"""How many pairs a question may compare in a given time, on this machine."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from common.files import UnwritableError, write_text
from common.matching.cascade import Compare, Stage
from common.matching.descriptions import CACHE_FOLDER
from common.matching.local_features import LocalFeatures
from common.matching.matchers import Matcher

import numpy as np

CASCADE = ("xfeat", "aliked")  # after the cosine
SHARE_OF_CHEAP = 1 / 3  # of the time, that the stages before the last may use
MOST_OF_LAST = 50  # pairs of one photo: more are never worth their time
STEP_SECONDS = 0.5  # of pairs that are compared before the decision is looked at again
LEAST_STEP = 4  # pairs
TRIED_SECONDS = 0.2  # that a matcher is tried for
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


def stages_within(
    seconds: float, costs: Mapping[str, Cost], *, n_gallery: int, n_photos: int = 1
) -> list[Stage]:
    """Stages that answer a question in a given time.

    The first ones compare with the whole gallery where a third of the time is enough; the last
    one has what is left. A stage that the time does not suffice for is left out, with all later.

    Args:
        seconds: for one question, the network's own time not counted.
        costs: of each stage, in order.
        n_gallery: photos in the gallery.
        n_photos: of the question.
    """
    stages, left = [], seconds / n_photos
    for place, (name, cost) in enumerate(costs.items(), start=1):
        is_last = place == len(costs)
        left -= cost.photo
        may_use = left if is_last else min(left, SHARE_OF_CHEAP * seconds / n_photos)
        most = min(n_gallery, MOST_OF_LAST) if is_last else n_gallery
        if (n_pairs := min(most, int(may_use / cost.pair))) < 1:
            break
        step = max(LEAST_STEP, int(STEP_SECONDS / cost.pair)) if is_last else n_pairs
        stages.append(Stage(name, n_pairs, step))
        left -= n_pairs * cost.pair
    return stages


def comparing(
    matchers: Mapping[str, Matcher],
    query: Mapping[str, Sequence[LocalFeatures] | Mapping[int, LocalFeatures]],
    gallery: Mapping[str, Sequence[LocalFeatures]],
) -> Compare:
    """What a cascade asks of its stages, from descriptions.

    Args:
        matchers: of each stage.
        query: of each stage the descriptions of the question's photos, or number to them.
        gallery: of each stage those of the gallery's photos, in the order of `Pairs.labels`.
    """

    def compare(name: str, photo: int, columns: np.ndarray) -> np.ndarray:
        candidates = [gallery[name][column] for column in columns]
        return matchers[name].scores(query[name][photo], candidates)

    return compare


def cost_of(
    matcher: Matcher, photo: Path, features: Sequence[LocalFeatures], folder: Path | None = None
) -> Cost:
    """What a matcher takes here; measured once, for less than a second, and kept in the cache.

    Args:
        matcher: to be tried.
        photo: file to describe.
        features: of some gallery photos, one or more.
        folder: of the cache; None for data/cache/details.
    """
    file = (folder or CACHE_FOLDER) / COSTS
    device = getattr(matcher, "device", "cpu")
    key = f"{matcher.recipe} {device} {os.cpu_count()}"
    try:
        known = {name: Cost(**each) for name, each in json.loads(file.read_bytes()).items()}
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
    query = matcher.describe([photo])[0]  # the first one wakes the threads
    start = time.perf_counter()
    matcher.describe([photo])
    described = time.perf_counter() - start
    n_pairs, seconds = 1, 0.0
    matcher.scores(query, [features[0]])
    while seconds < TRIED_SECONDS / 2:
        n_pairs *= 2
        tried = [features[i % len(features)] for i in range(n_pairs)]
        start = time.perf_counter()
        matcher.scores(query, tried)
        seconds = time.perf_counter() - start
    return Cost(described, max(seconds / n_pairs, 1e-7))
