"""Which approach wins at how many animals and how many photos of each? Part 4 of the comparison.

A claim that is often made: metric learning wins where animals are many and photos of each are few.
Here both approaches are trained on the same subsets of the training photos, and asked about the
later photos of exactly the animals in them.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from approaches import ARCFACE, Terms
from common.experiments import three_questions
from common.experiments.experiment import Experiment
from common.measures.intervals import (
    NOT_DISTINGUISHABLE,
    Interval,
    bootstrap_of_statistic,
    interval_columns,
    mean_columns,
    paired_bootstrap_over_individuals,
)
from common.tables import table_of
from common.words import counted

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Cell:
    """One subset of the training photos.

    Attributes:
        n_animals: how many animals; None: all.
        n_photos: of each, at most; None: all.
        test: rows that are asked about, photos of these animals.
    """

    n_animals: int | None
    n_photos: int | None
    train: np.ndarray
    test: np.ndarray

    @property
    def place(self) -> tuple[int | None, int | None]:
        """Where it lies: animals and photos as they were asked for."""
        return self.n_animals, self.n_photos


def words_of(n_animals: int | None, n_photos: int | None) -> str:
    """A number of animals and of photos of each, None being all.

    >>> words_of(10, None)
    '10 animals, all photos each'
    """
    photos = counted(n_photos, "photo") if n_photos else "all photos"
    return f"{counted(n_animals, 'animal') if n_animals else 'all animals'}, {photos} each"


@dataclass(frozen=True)
class CellAnswer:
    """What one approach with one seed answered after training on a cell.

    Attributes:
        is_right: bool, shape (n_test,).
        animal: identity of each test photo, shape (n_test,).
        n_trained: animals it was trained on.
    """

    cell: Cell
    approach: str
    is_right: np.ndarray
    animal: np.ndarray
    n_trained: int


def cells_of(
    train: np.ndarray,
    test: np.ndarray,
    identity: np.ndarray,
    *,
    n_animals: Sequence[int],
    n_photos: Sequence[int],
    seed: int,
) -> list[Cell]:
    """Every number of animals with every number of photos; all of them come too.

    Larger cells contain the smaller ones of the same seed; other seeds draw others. Animals
    without a test photo are drawn last, as there is nothing to ask about them.

    Args:
        n_animals: ascending; those that are not fewer than all are left out.
        n_photos: of each animal, ascending; likewise.
    """
    rng = np.random.default_rng(seed)
    animals = rng.permutation(np.unique(identity[train]))
    is_asked = np.isin(animals, identity[test])
    animals = np.concatenate([animals[is_asked], animals[~is_asked]])
    order = rng.permutation(train)
    place = pd.Series(identity[order]).groupby(identity[order]).cumcount().to_numpy()
    cells = []
    for some in [*(n for n in n_animals if n < len(animals)), None]:
        chosen = animals[:some]
        for few in [*(n for n in n_photos if n <= place.max()), None]:
            is_taken = np.isin(identity[order], chosen)
            if few is not None:
                is_taken &= place < few
            asked = test[np.isin(identity[test], chosen)]
            cells.append(Cell(some, few, np.sort(order[is_taken]), asked))
    return cells


def crossover_cells(args: argparse.Namespace, experiment: Experiment, seed: int) -> list[Cell]:
    """Part 4's subsets of the training photos."""
    sizes = {"n_animals": args.crossover["animals"], "n_photos": args.crossover["photos"]}
    train, asked = experiment.questions.train, experiment.questions.known
    return cells_of(train, asked, experiment.identity, **sizes, seed=seed)


def crossover_epochs(args: argparse.Namespace, n_train: int) -> int:
    """As many as everywhere, or more where photos are so few that steps would be."""
    n_batches = math.ceil(n_train / args.batch_size)
    return max(args.epochs, math.ceil(args.crossover["fewest_steps"] / n_batches))


def run_crossover(
    args: argparse.Namespace, chosen: Mapping[str, Terms], seed: int
) -> list[CellAnswer]:
    """Train both approaches on every cell; no photo chooses anything, the last epoch counts."""
    identity, answers = chosen[ARCFACE].experiment.identity, []
    for cell in crossover_cells(args, chosen[ARCFACE].experiment, seed):
        truth, n_trained = identity[cell.test], len(np.unique(identity[cell.train]))
        for name, terms in chosen.items():
            experiment, approach = terms.experiment, terms.approaches[name]
            trained = experiment.train(
                approach,
                seed,
                title=f"{words_of(*cell.place)}, {name}, seed {seed}",
                rows=cell.train,
                epochs=crossover_epochs(args, len(experiment.training_rows(cell.train))),
                validate=False,
            )
            named = three_questions.name_photos(
                experiment, approach, trained, cell.train, cell.test
            )
            answers.append(CellAnswer(cell, name, named == truth, truth, n_trained))
    return answers


def crossover_table(answers: Sequence[CellAnswer], first: str, second: str) -> pd.DataFrame:
    """One row per cell: both approaches and their paired difference, over animals.

    Args:
        first, second: the approaches; the difference is first minus second.

    Returns:
        Columns animals and photos per animal (of training, mean over seeds), both accuracies and
        their difference with intervals, test photos (all seeds together), and who is better.
    """
    rows = []
    for place in dict.fromkeys(answer.cell.place for answer in answers):
        pair, animal = _pair(answers, place, first, second)
        own = [answer for answer in answers if answer.cell.place == place]
        gap = paired_bootstrap_over_individuals(*pair, animal)
        n_photos = [len(answer.cell.train) / answer.n_trained for answer in own]
        row = {"animals": own[0].n_trained, "photos per animal": float(np.mean(n_photos))}
        for name, values in zip((first, second), pair, strict=True):
            row |= mean_columns(name, values, animal)
        row |= interval_columns("difference", gap)
        rows.append(row | {"test photos": len(animal), "better": gap.better_of(first, second)})
    columns = ("animals", "photos per animal", f"{first}±", f"{second}±", "difference±")
    return table_of(rows, (*columns, "test photos", "better"))


def _pair(
    answers: Sequence[CellAnswer], place: tuple, first: str, second: str
) -> tuple[list[np.ndarray], np.ndarray]:
    """Right or wrong of both approaches on the same photos, all seeds together; and the animals."""
    here = [answer for answer in answers if answer.cell.place == place]
    is_right = [
        np.concatenate([each.is_right for each in here if each.approach == name]).astype(float)
        for name in (first, second)
    ]
    return is_right, np.concatenate([each.animal for each in here if each.approach == first])


def judge_claim(answers: Sequence[CellAnswer], first: str, second: str) -> list[str]:
    """What came out of the claim that the first approach wins with many animals, few photos each.

    Two questions decide. Does it win in that corner, all animals with the fewest photos? And is
    its lead larger there than in the corner across, fewest animals with all photos? Animals are
    resampled, in both corners alike.

    Args:
        first: the approach that the claim is for.
    """
    table = crossover_table(answers, first, second)
    places = list(dict.fromkeys(answer.cell.place for answer in answers))
    claimed = (None, min((n for _, n in places if n), default=None))
    across = (min((n for n, _ in places if n), default=None), None)
    won = table["better"].value_counts()
    sentences = [
        f"Of {len(table)} cells of animals and photos per animal, {first} is better in "
        f"{won.get(first, 0)}, {second} in {won.get(second, 0)}, and "
        f"{won.get(NOT_DISTINGUISHABLE, 0)} are {NOT_DISTINGUISHABLE}."
    ]
    if claimed == across:
        return sentences
    lead, other_lead, change = _leads(answers, claimed, across, first, second)
    signs = {each.better_of("more", "less") for each in (lead, change)}
    if signs == {"more"}:
        outcome = "holds here"
    elif "less" in signs:
        outcome = "is contradicted here"
    else:
        outcome = "is neither confirmed nor contradicted here"
    return [
        *sentences,
        f"The claim that {first} wins with many animals and few photos of each {outcome}: its lead "
        f"over {second} is {lead.text()} with {words_of(*claimed)}, and {other_lead.text()} with "
        f"{words_of(*across)}; the first lead minus the second is {change.text()}, "
        + ("more than chance." if change.excludes_zero else "not distinguishable from none."),
    ]


def _leads(
    answers: Sequence[CellAnswer], claimed: tuple, across: tuple, first: str, second: str
) -> tuple[Interval, Interval, Interval]:
    """Lead of the first in two cells, and how much larger it is in the first of these."""
    everyone = np.unique(np.concatenate([answer.animal for answer in answers]))
    sums, n_photos, counts = [], [], []
    for place in (claimed, across):
        pair, animal = _pair(answers, place, first, second)
        values, index = np.subtract(*pair), np.searchsorted(everyone, animal)
        sums.append(np.bincount(index, weights=values, minlength=len(everyone)))
        counts.append(np.bincount(index, minlength=len(everyone)))
        n_photos.append(len(values))

    def lead(weights: np.ndarray, which: int) -> np.ndarray:
        own, other = (
            (weights @ total) / np.maximum(weights @ count, 1)
            for total, count in zip(sums, counts, strict=True)
        )
        return (own, other, own - other)[which]

    return tuple(
        bootstrap_of_statistic(
            partial(lead, which=which), [len(everyone)], n_observations=n, is_difference=True
        )
        for which, n in enumerate((*n_photos, sum(n_photos)))
    )
