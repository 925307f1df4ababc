"""Few generated turtles, drawn once for all tests; and no model hub, whatever the machine."""

import os

from common.data.catalogue import load_catalogue
from common.turtles.dataset import TurtleParameters, ensure_turtles

import pytest
from grading.plugin import (  # noqa: F401, pytest finds its hooks here
    pytest_addoption,
    pytest_cmdline_main,
    pytest_collection_modifyitems,
    pytest_generate_tests,
    pytest_ignore_collect,
    pytest_terminal_summary,
)

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny inputs: two threads wait for each other
os.environ["HF_HUB_OFFLINE"] = "1"  # read when a test first loads a backbone; scripts inherit it


@pytest.fixture(scope="session", autouse=True)
def short_trials():
    """Scripts try how fast the machine is: the tests need the figures, not their accuracy."""
    from common.machine import timing  # here, so that torch hears of the one thread

    timing.PROBE_SECONDS = timing.TURN_SECONDS = 0.01


@pytest.fixture(scope="session", autouse=True)
def no_local_matching():
    """Networks that describe photos take minutes: only their own tests bring some."""
    from common.gallery import local_matching

    local_matching.CASCADE = ()


@pytest.fixture(scope="session")
def turtles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "turtles"
    return ensure_turtles(folder, TurtleParameters.small(), progress=False)


@pytest.fixture(scope="session")
def catalogue(turtles):
    return load_catalogue(turtles)
