"""Subsets of animals and photos, and what a claim about them deserves to hear."""

from crossover import CellAnswer, cells_of, crossover_table, judge_claim, words_of

import numpy as np
import pytest

IDENTITY = np.repeat([f"t{i:02d}" for i in range(12)], 10)
TRAIN = np.flatnonzero(np.arange(120) % 10 < 6)
TEST = np.setdiff1d(np.flatnonzero(np.arange(120) % 10 >= 6), np.arange(110, 120))  # not of t11


def cells(seed=0):
    return cells_of(TRAIN, TEST, IDENTITY, n_animals=[3, 6, 50], n_photos=[2, 4], seed=seed)


def test_every_number_of_animals_meets_every_number_of_photos():
    assert [cell.place for cell in cells()] == [
        (animals, photos) for animals in (3, 6, None) for photos in (2, 4, None)
    ]


@pytest.mark.parametrize("cell", cells(), ids=lambda cell: words_of(*cell.place))
def test_a_cell_has_exactly_its_animals_and_photos_and_asks_about_no_others(cell):
    names, counts = np.unique(IDENTITY[cell.train], return_counts=True)

    assert len(names) == (cell.n_animals or 12)
    assert set(counts) == {cell.n_photos or 6}
    assert set(IDENTITY[cell.test]) == set(names) - {"t11"}
    assert set(cell.train) <= set(TRAIN)
    assert set(cell.test) <= set(TEST)


def test_larger_cells_contain_the_smaller_ones_and_seeds_differ():
    own = {cell.place: set(cell.train) for cell in cells()}

    assert own[3, 2] < own[3, 4] < own[6, 4] < own[None, None]
    assert own[3, 2] != set(cells(seed=1)[0].train)


def test_an_animal_that_nobody_asks_about_is_drawn_last():
    for seed in range(20):
        small = [cell for cell in cells(seed) if cell.n_animals]
        assert all("t11" not in IDENTITY[cell.train] for cell in small)


def answers(share):
    """Both approaches on all cells of two seeds; share gives each one's chance to be right."""
    found = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        for cell in cells(seed):
            animal = IDENTITY[cell.test]
            for name in ("embedding", "classifier"):
                is_right = rng.random(len(animal)) < share(name, *cell.place)
                found.append(CellAnswer(cell, name, is_right, animal, cell.n_animals or 12))
    return found


def equal(name, n_animals, n_photos):
    return 0.5


def as_claimed(name, n_animals, n_photos):
    return 0.9 if name == "embedding" and (n_animals, n_photos) == (None, 2) else 0.3


def the_other_way_round(name, n_animals, n_photos):
    return 0.9 if name == "classifier" and (n_animals, n_photos) == (None, 2) else 0.3


def ahead_everywhere(name, n_animals, n_photos):
    return 0.9 if name == "embedding" else 0.3


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (as_claimed, "holds here"),
        (the_other_way_round, "is contradicted here"),
        (equal, "is neither confirmed nor contradicted here"),
        (ahead_everywhere, "is neither confirmed nor contradicted here"),
    ],
)
def test_the_claim_hears_what_the_numbers_say(share, words):
    sentences = judge_claim(answers(share), "embedding", "classifier")

    assert words in sentences[-1]
    assert "all animals, 2 photos each" in sentences[-1]
    assert "3 animals, all photos each" in sentences[-1]


def test_the_table_holds_both_approaches_and_their_difference_cell_by_cell():
    own = answers(ahead_everywhere)

    table = crossover_table(own, "embedding", "classifier")

    first = [a for a in own if a.cell.place == (3, 2) and a.approach == "embedding"]
    assert len(table) == 9
    assert table["embedding"][0] == pytest.approx(
        np.concatenate([a.is_right for a in first]).mean()
    )
    assert table["difference"].to_numpy() == pytest.approx(
        (table["embedding"] - table["classifier"]).to_numpy()
    )
    assert set(table["better"]) <= {"embedding", "not distinguishable"}
    assert table["test photos"][0] == sum(len(a.animal) for a in first)


def test_without_an_answer_there_is_no_row_but_every_column():
    empty = crossover_table([], "embedding", "classifier")

    assert len(empty) == 0
    assert list(empty) == list(crossover_table(answers(equal), "embedding", "classifier"))
