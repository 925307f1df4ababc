"""The process that a learner's code runs in: it calls what was written and sends values back.

Started by `grading.process`, which judges the values; nothing that this process says about itself
is believed. The whole job is read before the learner's code is loaded. A hook that Python calls
before anything is opened, imported or started, and that cannot be taken off again, keeps the code
to itself: it sees the installed packages and nothing else. That stops whoever tries in passing,
not an expert with days: grade strangers' code in a container.
"""

import builtins
import importlib
import json
import linecache
import os
import sys
import sysconfig
import traceback
import types
from pathlib import Path

FILE_NAME = "exercises.py"  # what a learner's code is called in its messages
ALL_THAT_IS_NEEDED = "NumPy, PyTorch and Python's own library are all that it needs"
ALLOWED = {*sys.stdlib_module_names, "numpy", "torch"}  # for an exercise's own lines to import
NOT_TO_IMPORT = {
    "common",
    "grading",
    "pytorch_metric_learning",
    "solutions",
    "tests",
    "week1",
    "week2",
    "week3",
}
NOT_TO_DO = (  # the beginnings of names of Python's audit events
    "ctypes.",
    "gc.get_",
    "os.chmod",
    "os.exec",
    "os.fork",
    "os.kill",
    "os.link",
    "os.mkdir",
    "os.posix_spawn",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.spawn",
    "os.startfile",
    "os.symlink",
    "os.system",
    "os.truncate",
    "pty.spawn",
    "resource.",
    "shutil.",
    "signal.pthread_kill",
    "socket.",
    "sqlite3.",
    "subprocess.",
)


def allowed_folders() -> tuple[str, ...]:
    """Python itself and its packages."""
    paths = sysconfig.get_paths()
    names = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(str(name) + os.sep for each in names for name in (each, Path(each).resolve()))


def keep_to_itself() -> None:
    """Refuse other processes, files and modules from here on.

    The hook uses nothing that can be exchanged behind its back: no global, no builtin by name, no
    function of the library, and texts that are plain texts.
    """
    folders, device, foreign = allowed_folders(), os.devnull, os.sep + "pytorch_metric_learning"
    writing, parent = os.O_WRONLY | os.O_RDWR | os.O_CREAT, os.sep + ".."
    modules, deeds = frozenset(NOT_TO_IMPORT), NOT_TO_DO
    kind, text, raw, number = type, str, bytes, int
    no_import, no_access = ImportError, PermissionError

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError("an exercise may not start, end or change other processes")

    def hook(event: str, args: tuple) -> None:
        if event == "import":
            name = args[0].split(".")[0] if kind(args[0]) is text else "this"
            if name in modules or name == "this":
                raise no_import(f"an exercise may not import {name}")
        elif event == "open" and kind(args[0]) is not number:
            path = args[0].decode() if kind(args[0]) is raw else args[0]
            is_allowed = kind(path) is text and (
                path == device
                or (path.startswith(folders) and parent not in path and foreign not in path)
            )
            if not is_allowed or (path != device and (args[2] or 0) & writing):
                raise no_access("an exercise may not open files")
        elif event.startswith(deeds):
            raise no_access(f"an exercise may not use {event}")

    for module in ("os", "posix", "_posixsubprocess", "subprocess"):  # no event tells of these
        for name in ("killpg", "fork_exec", "_fork_exec"):
            if hasattr(sys.modules.get(module), name):
                setattr(sys.modules[module], name, refuse)
    sys.addaudithook(hook)


def warm_up() -> None:
    """One step of a training: what torch loads at the first one is loaded before the clock runs."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(model.parameters())
    torch.nn.functional.cross_entropy(model(torch.ones(3, 2)), torch.ones(3).long()).backward()
    optimizer.step()


def limit_resources(memory_mb: int, cpu_seconds: int) -> None:
    """Memory, time and output, where the system knows such limits; time is watched from outside.

    The number of processes is not among them: it would count all of the user's.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    statm = Path("/proc/self/statm")
    if statm.is_file():  # Linux; libraries have reserved much more than they use
        used = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        most = used + memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))  # should we be orphaned
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))  # of what is printed


def reason_of(error: BaseException) -> str:
    """The error in one line, with the learner's line where there is one."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == FILE_NAME
    ]
    if isinstance(error, SyntaxError) and error.filename == FILE_NAME:
        lines = [error.lineno]
    where = f"line {lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}: {error}"[:500]


def plain_import(name: str, *where: object, **more: object) -> object:
    """What `import` does in a learner's file; packages that import others are not asked."""
    root, level = name.split(".")[0], more.get("level", where[3] if len(where) > 3 else 0)
    if level == 0 and root not in ALLOWED:
        raise ImportError(f"an exercise may not import {root}: {ALL_THAT_IS_NEEDED}")
    return builtins.__import__(name, *where, **more)


def load(source: str) -> types.ModuleType:
    """Run the learner's file as a module."""
    module = types.ModuleType("exercises")
    module.__builtins__ = {**vars(builtins), "__import__": plain_import}
    sys.modules["exercises"] = module  # dataclasses look there
    linecache.cache[FILE_NAME] = (len(source), None, source.splitlines(True), FILE_NAME)
    exec(compile(source, FILE_NAME, "exec"), module.__dict__)
    return module


def main() -> None:
    report = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
    sys.stdout.reconfigure(line_buffering=True, errors="replace")
    os.dup2(2, 1)  # what the learner prints goes another way than what we report
    job = json.load(sys.stdin)
    sys.stdin = open(os.devnull, encoding="ascii")  # noqa: SIM115, open as long as the process
    sys.path.insert(0, job["tests"])
    values = importlib.import_module("grading.values")
    exercises = importlib.import_module(f"grading.{job['week']}").EXERCISES
    sys.path.pop(0)
    for name in [name for name in sys.modules if name.split(".")[0] == "grading"]:
        del sys.modules[name]

    def say(**words: object) -> None:
        facts = {"token": job["token"], "n_printed": os.fstat(1).st_size}  # bytes, so far
        report.write(json.dumps(facts | words) + "\n")
        report.flush()

    warm_up()
    limit_resources(job["memory_mb"], job["cpu_seconds"])
    keep_to_itself()
    say(is_ready=True)
    try:
        answers = load(job["source"])
    except BaseException as error:
        say(error=reason_of(error), is_loaded=False)
        os._exit(0)
    say(is_loaded=True)
    for name, inputs in job["checks"]:
        try:
            found = exercises[name].values(answers, values.decode(inputs))
            say(values=values.encode(found))
        except NotImplementedError as error:
            say(error=str(error)[:500], is_written=False)
        except AttributeError as error:
            is_missing = not hasattr(answers, name)
            say(error=f"there is no {name}" if is_missing else reason_of(error))
        except BaseException as error:
            say(error=reason_of(error))
    os._exit(0)  # whatever was left running ends here


if __name__ == "__main__":
    main()
