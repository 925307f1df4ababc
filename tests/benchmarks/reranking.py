"""What does k-reciprocal re-ranking cost at Market-1501's size, beside the published code?

3,368 queries and 15,913 gallery photos of simulated animals, 512 dimensions, twenty photos of an
animal in four encounters; photos of a query's own encounter are ignored. k1 = 20, k2 = 6,
lambda = 0.3. Every way ends with CMC and mAP. The published code holds five tables of all photos
times all photos at once: 7 GB here. So it is measured at a quarter of the size, where its scores
must be ours, and counted at the whole.

    python tests/benchmarks/reranking.py

About 2 minutes on two cores. torchreid's copy of the published code is used where it is installed
(`pip install --no-deps torchreid`). Extra memory is the peak above what a fresh process holds with
its data loaded.
"""

import functools
import statistics

from common.ending import run_script

from side_by_side import in_fresh_process, read_flags, seconds_in_turns, store

TOLERANCE = 1e-6  # of a score between the published code and ours
BYTES_PER_PAIR = 20  # published: distances 4, codes 4, ranks 8, and 4 when made smaller
OURS, PUBLISHED = "this course, queries together", "published code (torchreid)"


def main(argv=None):
    args = read_flags(__doc__, argv)
    from common.runs import start_run

    import pandas as pd
    from ranking_ways import NotInstalled
    from reranking_ways import WAYS, Case, extra_memory_of, published, score_difference

    size = {"n_query": 3_368, "n_gallery": 15_913, "embedding_dim": 512}
    quarter = {"n_query": 842, "n_gallery": 3_978, "embedding_dim": 512}
    if args.smoke:
        size = {"n_query": 60, "n_gallery": 340, "embedding_dim": 32}
        quarter = {"n_query": 20, "n_gallery": 80, "embedding_dim": 32}
    run = start_run(__file__, args)
    try:
        published(Case.simulated(n_query=4, n_gallery=36, embedding_dim=8))
        is_missing = None
    except NotInstalled as error:
        is_missing = f"not installed: {error}"
        print(f"{PUBLISHED}: {is_missing}")

    def measure(size, ways):
        """Seconds, extra memory and figures of each way."""
        case, reports = Case.simulated(**size), {}

        def turn(name):
            reports[name] = ways[name](case)

        turns = {name: functools.partial(turn, name) for name in ways}
        seconds = seconds_in_turns(turns, args.rounds)
        return [
            {
                "way": name,
                "seconds": statistics.median(seconds[name]),
                "fastest": min(seconds[name]),
                "slowest": max(seconds[name]),
                "extra MB": in_fresh_process(extra_memory_of, name, size),
                "MB by counting": counted_mb(size) if name == PUBLISHED else None,
                "rank-1": reports[name].rank_k[1],
                "mAP": reports[name].mAP,
            }
            for name in ways
        ]  # fmt: skip

    whole = measure(size, WAYS)
    whole.append({"way": PUBLISHED, "MB by counting": counted_mb(size)})
    small = measure(quarter, WAYS if is_missing else WAYS | {PUBLISHED: published})
    difference = None
    if not is_missing:
        difference = score_difference(Case.simulated(**quarter))
        if difference > TOLERANCE:
            raise RuntimeError(f"scores of the published code and ours differ by {difference}")
    whole, small = pd.DataFrame(whole), pd.DataFrame(small)
    return store(
        run,
        metrics={
            "size": size, "quarter": quarter, "ways": whole, "ways_at_a_quarter": small,
            "largest_difference_of_a_score": difference, "missing": is_missing,
        },
        tables={
            "Re-ranking at Market-1501 size": whole,
            "Re-ranking at a quarter of it": small,
        },
        notes=[
            "extra MB: peak of a fresh process above what it holds with the data loaded",
            f"MB by counting: {BYTES_PER_PAIR} bytes for each pair of all photos",
            is_missing or "largest difference of a score to the published code's, queries "
            f"together: {difference:.1e}",
        ],
    )  # fmt: skip


def counted_mb(size: dict[str, int]) -> float:
    """What the published code holds at once, in MB, without the distances that it is given."""
    return BYTES_PER_PAIR * (size["n_query"] + size["n_gallery"]) ** 2 / 1e6


if __name__ == "__main__":
    run_script(main)
