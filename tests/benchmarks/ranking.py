"""How long does an exact ranking take beside the matrix product that it cannot do without?

Market-1501's size: 3,368 queries, 15,913 gallery photos, 512 dimensions, 751 identities seen by 6
cameras; photos of a query's identity from its own camera are ignored. Embeddings are random unit
vectors. Wanted are CMC, mAP and mINP, the same from everyone. A second case has 40 identities,
so that every query has about 400 right photos.

    python tests/benchmarks/ranking.py

7 minutes on two cores, most of them for the two slow peers, which get one turn. Peers that are not
installed are named with the command that gets them; fast-reid's is compiled when first used. Extra
memory is the peak above what a fresh process holds with its data loaded.
"""

import functools
import statistics
from collections.abc import Mapping

from common.ending import run_script

from side_by_side import in_fresh_process, read_flags, seconds_in_turns, store

TOLERANCE = 1e-6  # between any two ways, of every figure
N_IDENTITIES = 751
N_IDENTITIES_OF_MANY = 40  # so that each has about 400 right photos
USUAL = "matrix product alone"
OURS = "this course"


def main(argv=None):
    args = read_flags(__doc__, argv)
    from common.runs import start_run

    from ranking_ways import COMPLETE, SLOW_WAYS, WAYS, Case, NotInstalled, extra_memory_of

    size = {"n_query": 3_368, "n_gallery": 15_913, "embedding_dim": 512, "seed": 0}
    if args.smoke:
        size = {"n_query": 40, "n_gallery": 300, "embedding_dim": 16, "seed": 0}
    run = start_run(__file__, args)
    present, missing = {}, {}
    for name, (way, tells) in (WAYS | SLOW_WAYS).items():
        try:
            way(Case.tiny())
            present[name] = way, tells
        except NotInstalled as error:
            missing[name] = f"not installed: {error}"
            print(f"{name}: {missing[name]}")

    def measure(n_identities, names):
        """Seconds, extra memory and figures of each way; the figures must agree."""
        case = Case.random(**size, n_identities=n_identities)
        figures, seconds = {}, {}

        def turn(name):
            figures[name] = present[name][0](case)

        for group, n_rounds in ((WAYS, args.rounds), (SLOW_WAYS, 1)):
            turns = {name: functools.partial(turn, name) for name in names if name in group}
            seconds |= seconds_in_turns(turns, n_rounds)
        memory = {
            name: in_fresh_process(extra_memory_of, name, size | {"n_identities": n_identities})
            for name in names
        }
        differences = {name: largest_difference(case, name, figures[name]) for name in names}
        return table_of_ways(seconds, memory, differences, present, missing), case

    table, case = measure(N_IDENTITIES, list(present))
    complete = [name for name, (_, tells) in present.items() if tells in ("nothing", COMPLETE)]
    many, many_case = measure(N_IDENTITIES_OF_MANY, complete)
    return store(
        run,
        metrics={
            "size": size,
            "at_market_size": {"ways": table, **effect_of_ties(case)},
            "many_photos": {"ways": many, **effect_of_ties(many_case)},
        },
        tables={"Ranking at Market-1501 size": table, "About 400 right photos per query": many},
        notes=[
            "extra memory: peak of a fresh process above what it holds with the data loaded",
            "largest difference: of rank-1, -5, -10, mAP and mINP to ours, where a way gives them; "
            "pytorch-metric-learning's to ours without the rule",
        ],
    )


def largest_difference(case, name, figures) -> float | None:
    """Between a way's figures and ours; more than the tolerance ends the benchmark."""
    from ranking_ways import this_course

    ours = this_course(case, same_encounter_rule=name != "pytorch-metric-learning")
    differences = {figure: abs(value - ours[figure]) for figure, value in figures.items()}
    largest = max(differences.values(), default=None)
    if largest is not None and largest > TOLERANCE:
        raise RuntimeError(f"{name} and this course differ: {differences}")
    return largest


def effect_of_ties(case) -> dict:
    """What it changes that we count cosines within 1e-6 as tied, against us, query by query."""
    import numpy as np
    from ranking_ways import careful_user_per_query, course_report

    ours, (first_rank, precision, _) = course_report(case), careful_user_per_query(case)
    return {
        "queries_with_another_first_rank": int(
            (ours.first_rank[ours.has_match] != first_rank).sum()
        ),
        "largest_change_of_an_average_precision": float(
            np.abs(ours.average_precision[ours.has_match] - precision).max()
        ),
    }


def table_of_ways(
    seconds: Mapping[str, list[float]],
    memory: Mapping[str, float],
    differences: Mapping[str, float | None],
    present: Mapping[str, tuple],
    missing: Mapping[str, str],
):
    """One row per way; those not installed at the end."""
    import pandas as pd

    product = statistics.median(seconds[USUAL])
    ours = statistics.median(seconds[OURS])
    rows = [
        {
            "way": name,
            "seconds": statistics.median(values),
            "fastest": min(values),
            "slowest": max(values),
            "× product": statistics.median(values) / product,
            "× ours": statistics.median(values) / ours,
            "extra MB": memory[name],
            "largest difference": differences[name],
            "tells": present[name][1],
        }
        for name, values in seconds.items()
    ]
    return pd.DataFrame(rows + [{"way": name, "tells": why} for name, why in missing.items()])


if __name__ == "__main__":
    run_script(main)
