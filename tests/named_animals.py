"""Photos with names for tests of groups: points around a centre of each animal."""

from common.groups import choice
from common.groups.choice import Named
from common.groups.likeness import Pairs

import numpy as np
import pytest


def animals(n_animals=8, n_encounters=3, n_photos=2, noise=0.45, seed=0):
    """Embeddings around a centre of each animal, as photos with names."""
    generator = np.random.default_rng(seed)
    identity = np.repeat([f"a{i}" for i in range(n_animals)], n_encounters * n_photos)
    encounter = np.repeat([f"e{i}" for i in range(n_animals * n_encounters)], n_photos)
    centres = np.repeat(generator.normal(size=(n_animals, 16)), n_encounters * n_photos, axis=0)
    points = centres + noise * generator.normal(size=centres.shape)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    comparable = np.ones((len(points), len(points)), dtype=bool)
    pairs = Pairs((points @ points.T).astype(np.float32), None, comparable, encounter)
    return Named.of(pairs, identity, np.full(len(identity), ""))


@pytest.fixture(scope="module", autouse=True)
def few_trials():
    """The distance is chosen among few, which takes a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"MOST_CANDIDATES": 10, "N_ROUNDS": 2, "N_THINNED": 1}.items():
            patch.setattr(choice, name, value)
        yield
