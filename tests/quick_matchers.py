"""Matchers for tests, in the place of networks that take minutes."""

from contextlib import contextmanager

from common.gallery import learned_matching, local_matching
from common.matching import matchers
from common.matching.budget import Cost
from common.matching.local_features import LocalFeatures

import numpy as np
import pytest
from PIL import Image

COSTS = {"quick": Cost(0.01, 0.001), "slow": Cost(0.1, 0.1)}  # seconds, as the tests say


class Colours:
    """A matcher for tests: how alike the colours of two photos are, in a small picture."""

    n_points, descriptor, recipe = 1, np.dtype((np.uint8, 48)), "colours 1"

    def __init__(self, name):
        self.name, self.described = name, []

    def describe(self, paths, masks=None):
        self.described += paths
        small = [Image.open(path).convert("RGB").resize((4, 4)) for path in paths]
        return [
            LocalFeatures(np.ones((1, 2), np.float32), np.asarray(each).reshape(1, 48), (2, 2))
            for each in small
        ]

    def scores(self, query, candidates):
        here = query.descriptors.astype(float)
        return np.array([100 - np.abs(here - each.descriptors).mean() for each in candidates])

    def matches(self, query, candidate):
        return np.zeros((1, 2), dtype=np.intp)


@contextmanager
def two_stages():
    """XFeat and ALIKED are replaced by matchers that are quick, and cost what `COSTS` says."""
    with pytest.MonkeyPatch.context() as patch:
        for name in COSTS:
            patch.setitem(matchers.MATCHERS, name, lambda device, name=name: Colours(name))
        patch.setattr(local_matching, "CASCADE", tuple(COSTS))
        for module in (local_matching, learned_matching):
            patch.setattr(module, "cost_of", lambda matcher, *_: COSTS[matcher.name])
        local_matching.installed.cache_clear()
        yield
        local_matching.installed.cache_clear()
