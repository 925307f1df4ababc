"""pytest's flags and reports for a learner's exercises; tests/conftest.py takes them in.

pytest tests/week2 --mine my_week2.py --hint 2
pytest tests/week2 --mine path/to/submissions --grade grades_week2.json --seed 7
"""

import contextlib
import tempfile
from collections.abc import Iterable
from pathlib import Path

from common.files import UnwritableError

import pytest
from grading.grade import (
    Grades,
    grade,
    load_week,
    other_week,
    passed_over,
    read_source,
    submissions_in,
)
from grading.sheet import (
    checksum_of,
    commonest_mistakes,
    others_in,
    points_table,
    why_not_there,
    write_class_sheet,
    write_grades,
)

TESTS = Path(__file__).resolve().parents[1]
GRADED = pytest.StashKey[dict[tuple[str, str], Grades]]()
FORMER = pytest.StashKey[str | None]()  # checksum of the grades of an earlier command
FORMER_XML = pytest.StashKey[bytes | None]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    typed = list(pluginmanager.get_plugin("pytestconfig").invocation_params.args)
    for place, word in enumerate(typed[:-1]):
        if word == "--mine":  # pytest takes its path for one of tests until it knows the flag
            refuse_foreign_conftest(Path(typed[place + 1]))
    group = parser.getgroup("exercises", "a learner's exercises")
    group.addoption(
        "--mine",
        type=Path,
        metavar="PATH",
        help="your copy of a week's exercises.py, or a folder of such files: NAME.py, "
        "NAME/exercises.py or NAME/weekN/exercises.py",
    )
    group.addoption(
        "--grade",
        type=Path,
        metavar="FILE",
        help="write points as JSON, and as JUnit (.xml) beside it; of a folder also a class sheet "
        "(.csv, .html)",
    )
    group.addoption("--seed", type=int, default=0, help="of the inputs (default: 0)")
    group.addoption(
        "--hint", type=int, choices=(1, 2, 3), default=1, help="how much to give away (default: 1)"
    )


def refuse_foreign_conftest(path: Path) -> None:
    """pytest runs the conftest.py beside any path of its command line, outside of all limits.

    Where the tests are named first, as in every command of the READMEs, this is asked before.
    """
    path = path.resolve()
    folders = [path, *path.parents, *(path.glob("test*") if path.is_dir() else [])]
    for folder in folders:
        file = folder / "conftest.py"
        if file.is_file() and not file.is_relative_to(TESTS):
            raise pytest.UsageError(f"{file}: a submission may not bring a conftest.py; remove it")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """With --mine: one process, JUnit beside the grades, and for a class no list of failures."""
    mine, target = config.option.mine, config.option.grade
    if target and not mine:
        raise pytest.UsageError("--grade without --mine: say what to grade")
    if not mine:
        return
    if not mine.exists():
        raise pytest.UsageError(f"--mine {mine}: there is no such file or folder in {Path.cwd()}")
    refuse_foreign_conftest(mine)
    config.option.numprocesses, config.option.dist, config.option.tx = 0, "no", []
    config.option.reportchars = ""  # the table of points says it
    if target:
        if reason := why_not_there(target):
            raise pytest.UsageError(f"--grade {target}: {reason}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=target.parent):
                pass
        except OSError as error:
            raise pytest.UsageError(f"--grade {target}: {error.strerror}: take another") from None
        config.stash[FORMER] = checksum_of(target)
        file = target.with_suffix(".xml")
        config.stash[FORMER_XML] = file.read_bytes() if file.is_file() else None
        config.option.xmlpath = str(file)
    if mine.is_dir():
        config.option.tbstyle = "no"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With --mine nothing but exercises is looked at."""
    is_other = collection_path.is_file() and collection_path.name != "test_exercises.py"
    return True if config.option.mine and is_other else None


def submissions_of(config: pytest.Config, week: str) -> dict[str, Path]:
    """Whose files are graded: the learner's, a class's, or the reference solutions."""
    mine = config.option.mine
    if mine is None:
        return {"solutions": TESTS.parent / week / "solutions.py"}
    return submissions_in(mine, week) if mine.is_dir() else {mine.stem: mine}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each exercise of each submission; one for all of the reference solutions."""
    if {"submission", "exercise"} <= set(metafunc.fixturenames):
        week = metafunc.cls.week
        metafunc.parametrize("submission", submissions_of(metafunc.config, week), scope="class")
        asked = load_week(week) if metafunc.config.option.mine else ["all"]
        metafunc.parametrize("exercise", asked)
    elif "exercise" in metafunc.fixturenames and hasattr(metafunc.cls, "week"):
        metafunc.parametrize("exercise", load_week(metafunc.cls.week))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --mine only the tests that ask the learner's code are left."""
    if config.option.mine is None:
        return
    asked = [item for item in items if getattr(item, "originalname", "") == "test_exercise"]
    weeks = sorted({item.cls.week for item in asked})
    if len(weeks) != 1:
        found = ", ".join(weeks) or "no submission"
        raise pytest.UsageError(f"--mine: found {found}; name one week, such as pytest tests/week2")
    if config.option.mine.is_file():
        with contextlib.suppress(ValueError):  # a file that cannot be read is graded as such
            if reason := other_week(read_source(config.option.mine), weeks[0]):
                raise pytest.UsageError(f"--mine {config.option.mine}: {reason}")
    target = config.option.grade
    if target and (reason := others_in(target, weeks[0], submissions_of(config, weeks[0]))):
        raise pytest.UsageError(f"--grade {target}: {reason}; take another name")
    config.hook.pytest_deselected(items=[item for item in items if item not in asked])
    items[:] = asked


def grades_of(config: pytest.Config, name: str, week: str) -> Grades:
    """Graded once for all tests."""
    graded = config.stash.setdefault(GRADED, {})
    if (week, name) not in graded:
        path = submissions_of(config, week)[name]
        graded[week, name] = grade(path, week, config.option.seed, name=name)
    return graded[week, name]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """The table of points, and the files that hold it, once everybody is graded."""
    graded, target = list(config.stash.get(GRADED, {}).values()), config.option.grade
    n_all = len(submissions_of(config, graded[0].week)) if graded else -1
    is_whole = len(graded) == n_all  # not stopped, nor asked for a part
    if target and not is_whole:
        put_back(target, config.stash[FORMER_XML])
    if not graded or config.option.mine is None:
        return
    terminalreporter.section(f"{graded[0].week}, seed {graded[0].seed}")
    _write(terminalreporter, points_table(graded))
    if config.option.mine.is_dir():
        mistakes = commonest_mistakes(graded)
        _write(terminalreporter, [f"{n} of {len(graded)}: {text}" for text, n in mistakes[:3]])
        if others := passed_over(config.option.mine):
            _write(terminalreporter, [f"Not graded, for they are no .py: {', '.join(others)}"])
    if not target:
        return
    reason = "" if is_whole else f"{len(graded)} of {n_all} are graded"
    if checksum_of(target) != config.stash[FORMER]:
        reason = f"another command wrote {target} meanwhile; grade into another"
    try:
        lines = [f"Nothing is written: {reason}"] if reason else written(graded, target, config)
    except UnwritableError as error:
        why = getattr(error.__cause__, "strerror", None) or error
        lines = [
            f"Not everything is written ({why}), and {target.name} is not: make room, or name "
            "another folder with --grade, and grade again"
        ]
    _write(terminalreporter, lines)


def written(graded: list[Grades], target: Path, config: pytest.Config) -> list[str]:
    """Write the grades; lines that say where they are."""
    beside = write_class_sheet(graded, target) if config.option.mine.is_dir() else []
    paths = [write_grades(graded, target, beside), target.with_suffix(".xml"), *beside]
    return [f"Written: {path}" for path in paths]


def put_back(target: Path, former_xml: bytes | None) -> None:
    """Undo what pytest wrote beside the grades."""
    file = target.with_suffix(".xml")
    file.unlink(missing_ok=True)
    if former_xml is not None:
        file.write_bytes(former_xml)


def _write(reporter: pytest.TerminalReporter, lines: Iterable[str]) -> None:
    for line in lines:
        reporter.write_line(line)
