"""What does local matching cost, and how much of it is the bare matrix product?

One photo's 512 details of XFeat against those of 500 drawn turtles' photos, on one core: the bare
products of their descriptors, this course's mutual nearest neighbours, and the usual loop, pair by
pair, whose scores must be the same. Then what each matcher takes to describe a photo and to score
a pair, and what 10,000 descriptions of the largest kind take, all of them read.

    python tests/benchmarks/matching.py

About 3 minutes on one core. The weights have to be installed (requirements-matching.txt). Extra
memory is the peak above what a fresh process holds before it begins.
"""

import statistics
import tempfile
import time
from pathlib import Path

from common.ending import run_script

from side_by_side import (
    extra_memory_mb,
    in_fresh_process,
    read_flags,
    seconds_in_turns,
    store,
    table_of,
    turtle_photos,
)

BARE, OURS, LOOP = "bare products", "this course, mutual neighbours", "usual loop"
N_DESCRIBED, N_PAIRS = 5, 10  # photos and pairs of each matcher's cost


def main(argv=None):
    args = read_flags(__doc__, argv)
    from common.matching.descriptions import describe_photos
    from common.matching.matchers import MATCHERS, load_matcher
    from common.runs import start_run

    import pandas as pd
    import torch
    from threadpoolctl import threadpool_limits

    run = start_run(__file__, args)
    paths = turtle_photos(20 if args.smoke else 501, is_smoke=args.smoke)
    matcher = load_matcher("xfeat")
    query, *candidates = describe_photos(matcher, paths)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        scores = {}
        ways = {
            BARE: lambda: bare_products(query, candidates, seconds_of_products),
            OURS: lambda: scores.update({OURS: matcher.scores(query, candidates)}),
            LOOP: lambda: scores.update({LOOP: usual_loop(query, candidates)}),
        }
        seconds_of_products = []
        seconds = seconds_in_turns(ways, args.rounds if args.smoke else max(args.rounds, 7))
        seconds[BARE] = seconds_of_products  # without making the descriptors 32 bits wide
        if not (scores[OURS] == scores[LOOP]).all():
            raise RuntimeError("mutual neighbours differ from the usual loop's")
        costs = pd.DataFrame([cost_of(load_matcher(name), paths) for name in MATCHERS])
    costs["extra MB"] = [in_fresh_process(memory_to_describe, n, paths[:3]) for n in MATCHERS]
    many = in_fresh_process(many_descriptions, paths[0], 100 if args.smoke else 10_000)
    table = table_of(seconds, usual=LOOP)
    table["times the bare products"] = table["seconds"] / table["seconds"][0]
    table["ms a pair"] = 1000 * table["seconds"] / len(candidates)
    return store(
        run,
        metrics={"n_candidates": len(candidates), "ways": table, "costs": costs, "many": many},
        tables={
            "One photo against many, XFeat": table,
            "What each matcher takes": costs,
            "Many descriptions": pd.DataFrame([many]),
        },
        notes=[
            f"one core; {len(query.points)} details against {len(candidates)} photos'; the scores "
            "of this course and of the loop are the same",
            f"describing: median of {N_DESCRIBED} photos; pairs: mean of {N_PAIRS}",
        ],
    )


def bare_products(query, candidates, seconds):
    """Nothing but the products; appends how long they took."""
    import numpy as np

    here = query.descriptors.astype(np.float32)
    there = [each.descriptors.astype(np.float32).T for each in candidates]
    room = np.empty(len(here) * max(each.shape[1] for each in there), dtype=np.float32)
    start = time.perf_counter()
    for each in there:
        n = each.shape[1]
        np.matmul(here, each, out=room[: len(here) * n].reshape(len(here), n))
    seconds.append(time.perf_counter() - start)


def usual_loop(query, candidates):
    """Pair by pair, as the networks' own code does it."""
    from common.matching.networks import LEAST_COSINE

    import numpy as np

    here, scores = query.descriptors.astype(np.float32), []
    for each in candidates:
        similarity = here @ each.descriptors.astype(np.float32).T
        there_of, here_of = similarity.argmax(axis=1), similarity.argmax(axis=0)
        is_mutual = here_of[there_of] == np.arange(len(here))
        scores.append((is_mutual & (similarity.max(axis=1) > LEAST_COSINE)).sum())
    return np.array(scores)


def cost_of(matcher, paths):
    """Milliseconds of one matcher, a photo and a pair, and bytes on disk."""
    from common.matching.descriptions import record_dtype

    seconds, features = [], []
    for path in paths[: N_DESCRIBED + 1]:
        start = time.perf_counter()
        features += matcher.describe([path])
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    pairs = (features[1:] * N_PAIRS)[:N_PAIRS]
    matcher.scores(features[0], pairs)
    return {
        "matcher": matcher.name,
        "ms to describe a photo": 1000 * statistics.median(seconds[1:]),  # the first warms up
        "ms to score a pair": 1000 * (time.perf_counter() - start) / len(pairs),
        "kB stored a photo": record_dtype(matcher).itemsize / 1000,
    }


def memory_to_describe(name, paths):
    """MB that a matcher needs while it describes some photos, its weights included."""
    from common.matching.matchers import load_matcher

    return extra_memory_mb(lambda: load_matcher(name).describe(paths))


def many_descriptions(path, n_photos):
    """Seconds and MB of many descriptions as large as ALIKED's, found by nobody: random numbers."""
    from common.matching.descriptions import describe_photos
    from common.matching.local_features import LocalFeatures

    import numpy as np

    class Quick:
        recipe, name, n_points, descriptor = "quick", "quick", 512, np.dtype((np.float16, 128))

        def describe(self, paths, masks):
            values = np.random.default_rng(0).random((512, 128)).astype(np.float16)
            points = np.zeros((512, 2), dtype=np.float32)
            return [LocalFeatures(points, values, (512, 512)) for _ in paths]

    seconds = {}
    boxes = [f"{path}#xywh=0,0,{1 + i // 200},{1 + i % 200}" for i in range(n_photos)]

    def run():
        with tempfile.TemporaryDirectory() as folder:
            for what in ("s to store", "s to open"):
                start = time.perf_counter()
                found = describe_photos(Quick(), boxes, folder=Path(folder))
                seconds[what] = time.perf_counter() - start
            start = time.perf_counter()
            total = sum(each.descriptors.sum(dtype=np.float32) for each in found)
            seconds["s to read"] = time.perf_counter() - start
            if not total:
                raise RuntimeError("nothing was read")

    megabytes = extra_memory_mb(run)
    return {"photos": n_photos} | seconds | {"extra MB": megabytes}


if __name__ == "__main__":
    run_script(main)
