"""A new head on a frozen network: how much faster, when the network runs once?

Question 1: how many views of each training photo must the frozen network see, so that a head learns
as well as with new random views in every epoch? Question 2: how long do 20 epochs then take, beside
the usual loop, which decodes, transforms and runs the network in each of them?

    python tests/benchmarks/frozen_head.py

The embedded turtles and the settings of week2/transfer_learning.py; about 25 minutes on two laptop
cores, nearly all of them the usual loop's. Cold: nothing is in the cache. Warm: the same once more.
"""

import tempfile
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path

from common.cli import whole_number
from common.ending import run_script
from common.experiments.experiment import catalogue_experiment
from common.models.backbones import load_backbone
from common.runs import describe_split, start_run
from common.splits.study import open_study
from common.training import feature_cache
from common.training.boundary import ActivationDataset
from common.training.optim import Rates
from common.training.strategies import Step

import numpy as np
import pandas as pd
from loops import Recipe, accuracy_columns, train_in_turns
from side_by_side import read_flags, store, table_of

N_VIEWS = 3  # --cached_views of week2/transfer_learning.py, the photo as it is among them
POOL = 40  # random views of each photo that question 1 draws from
FRESH = "new random views in every epoch"
# Name -> whether the photo as it is comes first, and how many random views follow.
CHOICES = {
    "1 random": (False, 1), "2 random": (False, 2), "4 random": (False, 4), "8 random": (False, 8),
    "as it is": (True, 0), "as it is, 1 random": (True, 1), "as it is, 2 random": (True, 2),
    "as it is, 3 random": (True, 3), "as it is, 7 random": (True, 7),
}  # fmt: skip


def main(argv: list[str] | None = None) -> dict:
    args = read_flags(
        __doc__, argv,
        draws={"type": whole_number(1, 1_000), "default": 32, "metavar": "N",
               "help": "seeds, each with views of its own, of question 1 (default: %(default)s)"},
    )  # fmt: skip
    size, epochs, pool = 128, 20, POOL
    if args.smoke:
        size, epochs, pool, args.draws = 32, 2, 8, 2

    run = start_run(__file__, args)
    study = open_study(args)
    backbone = load_backbone("efficientnet_lite0", image_size=size)
    experiment = catalogue_experiment(study, Namespace(epochs=epochs, device="cpu"), backbone)
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(
            size, Step(0, epochs), experiment, study.catalogue.paths(), Rates(head=2e-3),
            Path(folder) / "cache",
        )  # fmt: skip
        views = study_views(recipe, pool, args.draws)
        with_views, without = compare_loops(recipe, args.rounds, is_smoke=args.smoke)
    tables = {
        "Views that a head needs": views,
        "20 epochs with random views": with_views,
        "20 epochs with photos as they are": without,
    }
    return store(
        run, metrics=tables, tables=tables, split=describe_split(study.split, study.leak),
        notes=[
            f"Views: means over {args.draws} seeds, each with random views of its own. Epochs: "
            f"means over {args.rounds} seeds. Brackets: 95 % intervals over animals, paired."
        ],
        device="cpu",
    )  # fmt: skip


def study_views(recipe, pool: int, n_draws: int) -> pd.DataFrame:
    """Accuracy of a head by the views that it learns from."""
    feature_cache.CACHE_FOLDER, experiment = recipe.cache, recipe.experiment
    approach = experiment.approach(
        "", recipe.backbone, [recipe.step], rates=recipe.rates, n_views=1 + pool, plain_first=True
    )
    photos, train = approach.behind, experiment.questions.train
    plain, *random = photos.training_dataset(train).views
    choices = {FRESH: (False, recipe.step.epochs), **CHOICES}
    trials = []
    for seed in range(n_draws):
        drawn = np.random.default_rng(seed).permutation(pool)
        for name, (with_plain, n_random) in choices.items():
            views = [plain] * with_plain + [random[view] for view in drawn[:n_random]]
            chosen = ActivationDataset(views, experiment.classed.labels[train])
            photos.training_dataset = lambda rows, seed, chosen=chosen: chosen
            one = replace(approach, name=name)
            trials.append(experiment.ask(one, seed, experiment.train(one, seed, progress=False)))
    n_asked = len(experiment.questions.validation) + len(experiment.questions.test)
    looks = [n_asked + len(train) * sum(choice) for choice in choices.values()]
    table = pd.DataFrame({"views": list(choices), "photos through the network": looks})
    return table.join(accuracy_columns(list(choices), trials, FRESH))


def compare_loops(recipe, n_rounds: int, *, is_smoke: bool) -> list[pd.DataFrame]:
    """The usual loop and the cache, in turns: a table with random views, one without."""

    def cached(n_views: int, is_cold: bool):
        return partial(Recipe.from_cache, is_cold=is_cold, n_views=n_views, plain_first=True)

    ways = {
        "usual loop": Recipe.usually,
        f"{N_VIEWS} views, cold": cached(N_VIEWS, is_cold=True),
        f"{N_VIEWS} views, warm": cached(N_VIEWS, is_cold=False),
    }
    plain_ways = {
        "usual loop, as they are": partial(Recipe.usually, is_augmented=False),
        "1 view, cold": cached(1, is_cold=True),
        "1 view, warm": cached(1, is_cold=False),
    }
    seconds, trials = train_in_turns(recipe, ways | plain_ways, n_rounds, is_smoke=is_smoke)
    for cold, warm in zip(trials[1::3], trials[2::3], strict=True):
        assert np.array_equal(cold.answers.scores, warm.answers.scores), (
            "the cache gave something else"
        )
    tables = []
    for group in (ways, plain_ways):
        usual, names = next(iter(group)), list(group)
        table = table_of({name: seconds[name] for name in names}, usual=usual)
        tables.append(table.join(accuracy_columns(names, trials, usual)))
    return tables


if __name__ == "__main__":
    run_script(main)
