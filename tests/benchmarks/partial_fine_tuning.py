"""The last stages of a network train: how much faster, when the frozen ones before them run once?

    python tests/benchmarks/partial_fine_tuning.py

The embedded turtles, efficientnet_lite0, its last two stages and a linear head, eight epochs; about
ten minutes on two laptop cores. The usual loop decodes, transforms and runs the whole network in
every epoch. From the cache, eight random views of each photo, one an epoch, have been through the
frozen stages already (warm), or go through them first (cold).
"""

import tempfile
from argparse import Namespace
from functools import partial
from pathlib import Path

from common.ending import run_script
from common.experiments.experiment import catalogue_experiment
from common.models.backbones import load_backbone
from common.runs import describe_split, start_run
from common.splits.study import open_study
from common.training.optim import Rates
from common.training.strategies import Step

import numpy as np
from loops import Recipe, accuracy_columns, train_in_turns
from side_by_side import read_flags, store, table_of

UNFREEZE, N_VIEWS = 2, 8


def main(argv: list[str] | None = None) -> dict:
    args = read_flags(__doc__, argv)
    size, epochs = (64, 2) if args.smoke else (128, 8)

    run = start_run(__file__, args)
    study = open_study(args)
    backbone = load_backbone("efficientnet_lite0", image_size=size)
    experiment = catalogue_experiment(study, Namespace(epochs=epochs, device="cpu"), backbone)
    ways = {
        "usual loop": Recipe.usually,
        "cold cache": partial(Recipe.from_cache, is_cold=True, n_views=N_VIEWS),
        "warm cache": partial(Recipe.from_cache, is_cold=False, n_views=N_VIEWS),
    }
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(
            size, Step(UNFREEZE, epochs), experiment, study.catalogue.paths(),
            Rates(head=2e-3, backbone=1e-3), Path(folder) / "cache",
        )  # fmt: skip
        seconds, trials = train_in_turns(recipe, ways, args.rounds, is_smoke=args.smoke)
    for cold, warm in zip(trials[1::3], trials[2::3], strict=True):
        assert np.array_equal(cold.answers.scores, warm.answers.scores), (
            "the cache gave something else"
        )

    table = table_of(seconds, usual="usual loop")
    table.insert(2, "seconds an epoch", table["seconds"] / epochs)
    table = table.join(accuracy_columns(list(ways), trials, "usual loop"))
    return store(
        run, metrics={"loops": table}, tables={f"{epochs} epochs of the last two stages": table},
        split=describe_split(study.split, study.leak),
        notes=[
            f"Means over {args.rounds} seeds; brackets: 95 % intervals over animals, paired. What "
            "cold takes more than warm is paid once for all seeds, rates and epochs that follow."
        ],
        device="cpu",
    )  # fmt: skip


if __name__ == "__main__":
    run_script(main)
