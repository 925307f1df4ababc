"""Who may know whom: a room of `common/` imports rooms above it, no file in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST_FILES = 14  # in a room: more are no longer seen at a glance

# From the photos down to the pictures of results; each room may import those before it.
ROOMS = (
    "turtles", "data", "splits", "models", "training", "measures", "matching", "gallery",
    "counts", "groups", "experiments", "inspection", "visualization",
)  # fmt: skip
DESK = (
    "check_setup",
    "cli",
    "ending",
    "mine",
    "names",
    "runs",
    "report",
    "tables",
    "errors",
    "words",
    "files",
    "own_files",
    "compare_runs",
)  # for all, like the machine
# The flags take their choices from the rooms; the other is a command, which nobody imports.
BESIDE = ("common.cli", "common.compare_runs")
BLIND_TO_TRAINING = ("measures", "gallery", "matching")  # numbers in, numbers out


def modules():
    """Dotted name of every module of the course to its file."""
    files = sorted((ROOT / "common").rglob("*.py"))
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return {name.removesuffix(".__init__"): file for name, file in zip(names, files, strict=True)}


def imports_of(file, known):
    """Modules of the course that a file imports, also inside of functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found & known


@pytest.fixture(scope="module")
def graph():
    files = modules()
    packages = {name for name, file in files.items() if file.stem == "__init__"}
    return {name: imports_of(file, files.keys()) - packages for name, file in files.items()}


def room_of(module):
    return module.split(".")[1] if module.count(".") else ""


def test_no_module_imports_itself_through_others(graph):
    list(TopologicalSorter(graph).static_order())  # raises, and names the circle


def test_a_room_imports_rooms_above_it_alone(graph):
    order = {room: place for place, room in enumerate(ROOMS)}
    upward = [
        f"{module} imports {other}"
        for module, others in graph.items()
        if module not in BESIDE
        for other in others
        if room_of(other) in order and order.get(room_of(module), -1) < order[room_of(other)]
    ]
    assert not upward


def test_what_measures_or_searches_knows_nothing_of_training(graph):
    reached = {
        module: reachable(module, graph) for module in graph if room_of(module) in BLIND_TO_TRAINING
    }
    assert not [
        f"{module} reaches {other}"
        for module, others in reached.items()
        for other in others
        if room_of(other) == "training"
    ]


def reachable(module, graph):
    """Everything that importing a module loads of the course."""
    seen, waiting = set(), [module]
    while waiting:
        for other in graph[waiting.pop()] - seen:
            seen.add(other)
            waiting.append(other)
    return seen


def test_every_room_is_named_here(graph):
    assert {room_of(module) for module in graph} - {""} == {*ROOMS, *DESK, "machine"}


@pytest.mark.parametrize("room", [*ROOMS, "machine"])
def test_a_room_is_seen_at_a_glance(room):
    files = [file for file in (ROOT / "common" / room).glob("*.py") if file.stem != "__init__"]
    assert len(files) <= MOST_FILES


def test_common_knows_no_week():
    text = "".join(file.read_text(encoding="utf-8") for file in modules().values())
    assert not [week for week in ("week1", "week2", "week3") if f"from {week}" in text]


@pytest.mark.parametrize("week", ["week1", "week2", "week3"])
def test_a_week_imports_no_other_week(week):
    files = list((ROOT / week).rglob("*.py"))
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    assert "from week" not in text
    assert "import week" not in text
