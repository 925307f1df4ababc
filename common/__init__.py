"""What every week needs; every script imports it before any other package.

Threads of PyTorch's OpenMP spin while they wait for each other. Beside another busy program each
spins away the time that the other one needs, and training falls to a fraction of its speed. Where
nothing else runs, waiting quietly costs up to a tenth (tests/benchmarks/busy_machine.py); GNU's
OpenMP, which PyTorch has on Linux, may spin briefly first, which loses less. OpenMP reads this when
torch is loaded; a policy that a person has set, such as ACTIVE, stays.
"""

import importlib.metadata
import os
import sys
import traceback
from pathlib import Path

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # rounds of spinning; 50,000 are too many
# A kind of window, perhaps none that is installed, which would end an import; notebooks' stays.
if not os.environ.get("MPLBACKEND", "").startswith("module://"):
    os.environ.pop("MPLBACKEND", None)
if os.environ.get("WORLD_SIZE", "1") not in ("0", "1"):  # no stack of a connection that broke
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")

ROOT = Path(__file__).resolve().parents[1]
CORE, EXTRA = ROOT / "requirements-core.txt", ROOT / "requirements-tests.txt"
MATCHING = ROOT / "requirements-matching.txt"  # weights, installed with --no-deps
RENAMED = {  # import names that are not the name there
    "cv2": "opencv-python-headless",
    "faiss": "faiss-cpu",
    "onnx_ir": "onnxscript",
    "PIL": "pillow",
    "pillow_heif": "pillow-heif",
    "pytorch_metric_learning": "pytorch-metric-learning",
    "sklearn": "scikit-learn",
}


def installed_version(package: str) -> str | None:
    """Such as "2.14.1+cpu"; None if it is not installed. Nothing is imported."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _say_what_is_missing(kind: type, error: BaseException, trace: object) -> None:
    """Python's last word: one line, where imports lack a package, or a person stops them."""
    if issubclass(kind, KeyboardInterrupt):
        print("stopped", file=sys.stderr, flush=True)
        return
    if fault := _of_a_package(error, trace):
        print(
            f"error: {fault}; python -m common.check_setup looks at all packages, and a variable "
            "of this terminal that a package reads may be wrong",
            file=sys.stderr,
            flush=True,
        )
        os._exit(2)
    name = (getattr(error, "name", None) or "").split(".")[0]
    package = RENAMED.get(name, name)
    known = "".join(file.read_text("utf-8") for file in (CORE, EXTRA) if file.is_file())
    if not issubclass(kind, ModuleNotFoundError) or f"\n{package}==" not in known:
        sys.__excepthook__(kind, error, trace)
        return
    print(
        f"error: the package {package} is not installed; run `pip install -r requirements.txt` in "
        "the course's folder",
        file=sys.stderr,
        flush=True,
    )
    os._exit(2)  # Python itself would end with 1


def _of_a_package(error: BaseException, trace: object) -> str:
    """What went wrong in a package while the course imported it; "" if it was something else."""
    frames = traceback.extract_tb(trace)
    own = [each for each in frames if _is_ours(Path(each.filename))]
    is_import = own and all(each.name == "<module>" for each in own) and own[-1] is not frames[-1]
    if not is_import or isinstance(error, ModuleNotFoundError):
        return ""
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return f"`{own[-1].line}` failed ({words}), expected packages that can be loaded"


def _is_ours(file: Path) -> bool:
    return file.is_relative_to(ROOT) and "site-packages" not in file.parts  # of .venv, perhaps


sys.excepthook = _say_what_is_missing
