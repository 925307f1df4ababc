"""What does a gallery of a million photos cost: to build, to hold, to ask, and in right answers?

50,000 simulated animals with 20 photos each, from 4 encounters, in 512 dimensions (see
simulated_animals.py for what makes them hard). Queries are 1,000 photos of known animals from new
encounters and 1,000 of strangers. Three indices, each built in one fresh process and asked in
another; an exact (flat) search says which photo is the nearest.

    python tests/benchmarks/million_gallery.py

30 minutes on two cores, most of them for the graph (hnsw), and 6 GB of disk. What is finished is
kept beside the results until the end: stopped, the same command goes on from there.
"""

import json
import shutil

from common.cli import whole_number
from common.ending import run_script

from side_by_side import in_fresh_process, read_flags, store

KINDS = ("flat", "hnsw", "ivfpq")  # flat first: it tells the others what there is to find


def main(argv=None):
    args = read_flags(
        __doc__, argv,
        n={
            "type": whole_number(2_000, 10_000_000), "default": 1_000_000, "metavar": "PHOTOS",
            "help": "in the gallery (default: %(default)s)",
        },
    )  # fmt: skip
    from common.files import replacing, write_text
    from common.own_files import begin_list, foreign_files
    from common.runs import start_run, to_json

    import numpy as np
    import pandas as pd
    from gallery_measures import ask_gallery, build_gallery
    from simulated_animals import Population

    n_photos, n_each, dim = (3_000, 100, 64) if args.smoke else (args.n, 1_000, 512)
    run = start_run(__file__, args)
    folder = run.folder / f"gallery_of_{n_photos}"
    begin_list(folder)

    # The photos, once.
    population = Population(dim)
    for name in ("queries", "animals_of_queries"):
        with replacing(folder / f"{name}.npy") as unfinished:
            np.save(unfinished, getattr(population, name)(n_photos, n_each))
    if not (folder / "embeddings.npy").exists():
        print(f"drawing {n_photos:,} photos")
        population.write_gallery(folder / "embeddings.npy", n_photos)

    # Each index, in turn; a finished one is kept.
    measured = {}
    for kind in KINDS:
        done = folder / f"{kind}.json"
        if not done.exists():
            print(f"building and asking: {kind}")
            built = in_fresh_process(build_gallery, folder, kind)
            asked = in_fresh_process(ask_gallery, folder, 20 if args.smoke else 1_000)
            write_text(done, to_json(built | asked))
        measured[kind] = json.loads(done.read_text(encoding="utf-8"))

    flat = measured["flat"]
    quality = pd.DataFrame([
        {
            "index": kind,
            "recall@1": each["recall_at_1"],
            "known": each["recall_at_1_known"],
            "strangers": each["recall_at_1_strangers"],
            "it reported": each["recall_it_reported"],
            "rank-1 of known": each["rank_1_known"],
        }
        for kind, each in measured.items()
    ])  # fmt: skip
    costs = pd.DataFrame([
        {
            "index": kind,
            "build, s": each["build_seconds"],
            "index, MB": each["index_mb"],
            "peak building, MB": each["peak_mb_building"],
            "peak asking, MB": each["peak_mb_asking"],
            "p50, ms": each["p50_ms"],
            "p99, ms": each["p99_ms"],
            "queries/s in batches": each["queries_per_second"],
            "× flat": flat["p50_ms"] / each["p50_ms"],
        }
        for kind, each in measured.items()
    ])  # fmt: skip
    result = store(
        run,
        metrics={"n_photos": n_photos, "n_queries": 2 * n_each, "indices": measured},
        tables={
            "A simulated gallery: what is found": quality,
            "A simulated gallery: what it costs": costs,
        },
        notes=[
            f"{n_photos:,} photos of {n_photos // 20:,} simulated animals, {dim} dimensions; "
            f"{n_each:,} queries of known animals in new encounters and {n_each:,} of strangers",
            "peaks count the mapped pages of the embeddings "
            f"({4 * dim * n_photos / 1e6:,.0f} MB), which the system takes back when it must",
        ],
    )
    if not any(any(foreign_files(each)) for each in (folder, folder / "gallery")):
        shutil.rmtree(folder)
    return result


if __name__ == "__main__":
    run_script(main)
