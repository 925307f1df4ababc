"""What does local matching cost, and how much of it is the bare matrix product?

One photo's 512 details of XFeat against those of 500 drawn turtles' photos, on one core: the bare
products of their descriptors, this course's mutual nearest neighbours, and the usual loop, pair by
pair, whose scores must be the same. Then what each matcher takes to describe a photo and to score
a pair.

    python tests/benchmarks/matching.py

About 3 minutes on one core. The weights have to be installed (requirements-matching.txt).
"""

import statistics
import time

from common.cli import run_script

from side_by_side import read_flags, seconds_in_turns, store, table_of, turtle_photos

BARE, OURS, LOOP = "bare products", "this course, mutual neighbours", "usual loop"
N_DESCRIBED, N_PAIRS = 8, 12  # photos and pairs of each matcher's cost


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
    table = table_of(seconds, usual=LOOP)
    table["times the bare products"] = table["seconds"] / table["seconds"][0]
    table["ms a pair"] = 1000 * table["seconds"] / len(candidates)
    return store(
        run,
        metrics={"n_candidates": len(candidates), "ways": table, "costs": costs},
        tables={"One photo against many, XFeat": table, "What each matcher takes": costs},
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
    there = [each.descriptors.astype(np.float32) for each in candidates]
    room = [np.empty((len(here), n), dtype=np.float32) for n in range(max(map(len, there)) + 1)]
    start = time.perf_counter()
    for each in there:
        np.matmul(here, each.T, out=room[len(each)])
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


if __name__ == "__main__":
    run_script(main)
