"""A gallery as a folder: embeddings and index to be memory-mapped, names as JSON, no code.

Each part's file carries its checksum in its name, and `gallery.json`, replaced last and in one
step, says which files belong together. A stop in between therefore leaves the former gallery, and
a part that did not change is not written again.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from common.errors import InputError
from common.files import move_into_place, unfinished_beside, write_text
from common.gallery.index import IndexReport
from common.names import storable
from common.own_files import begin_list, checksum, has_list, note, remove_own

import faiss
import numpy as np

DESCRIPTION = "gallery.json"
FORMAT = 2
ENDINGS = dict.fromkeys(("indexed", "recent", "kept"), ".npy")
ENDINGS |= {"facts": ".json", "index": ".faiss", "model": ".safetensors"}


@dataclass(frozen=True)
class GalleryParts:
    """What a gallery is made of.

    Attributes:
        indexed: float32, shape (n_indexed, embedding_dim); photos that the index covers.
        recent: float32, shape (n_recent, embedding_dim); enrolled since.
        is_kept: bool, shape (n_indexed,); False for photos removed since the index was built.
        facts: of each photo, the indexed ones first: name, "identity" among them, to texts.
        index: over the indexed photos; None if they are compared one by one.
        report: on the index; None if none was built.
    """

    indexed: np.ndarray
    recent: np.ndarray
    is_kept: np.ndarray
    facts: dict[str, list[str]]
    index: faiss.Index | None
    report: IndexReport | None


def write_parts(folder: str | Path, parts: GalleryParts, about: dict, model: Path | None) -> Path:
    """Write a gallery and return its folder, whose former one stays whole until the new one is.

    Args:
        folder: made if it is not there.
        parts: of the gallery.
        about: what else to store, plain JSON types.
        model: file of the network that made the embeddings, to be copied; None: not stored.

    Raises:
        InputError: the folder cannot be written to.
    """
    folder = Path(folder)
    report = None if parts.report is None else asdict(parts.report)
    facts = json.dumps(parts.facts, ensure_ascii=False)
    writers: dict[str, Callable[[Path], object]] = {
        "indexed": lambda path: np.save(path, parts.indexed),
        "recent": lambda path: np.save(path, parts.recent),
        "kept": lambda path: np.save(path, parts.is_kept),
        "facts": lambda path: path.write_text(storable(facts), encoding="utf-8"),
    }
    if model is not None:
        writers["model"] = lambda path: shutil.copyfile(model, path)
    if parts.index is not None:
        writers["index"] = lambda path: faiss.write_index(parts.index, str(path))
    try:
        begin_gallery_list(folder)
        files = {part: write_named(folder, part, write) for part, write in writers.items()}
        description = {"format": FORMAT, "files": files, "report": report, "about": about}
        write_text(folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")
    except (OSError, RuntimeError) as error:  # FAISS raises the latter
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(
            f"the gallery cannot be written to {folder} ({reason}); free some space or choose "
            "another folder"
        ) from error
    former = [f"{part}-*{ending}" for part, ending in ENDINGS.items()]
    remove_own(folder, *former, keep=set(files.values()))
    return folder


def write_named(folder: Path, part: str, write: Callable[[Path], object]) -> str:
    """Write a part's file beside its place and name it by its content; returns the name."""
    with unfinished_beside(folder / f"{part}{ENDINGS[part]}") as unfinished:
        write(unfinished)
        name = f"{part}-{checksum(unfinished)}{ENDINGS[part]}"
        if not (folder / name).exists():  # else it may be mapped, and is the same
            move_into_place(unfinished, folder / name)
    return name


def begin_gallery_list(folder: Path) -> None:
    """Make a gallery's folder and its list, unless they are there.

    A gallery of an earlier version has no list: its own description names its files.

    Raises:
        InputError: there is a gallery without a list, and it is not whole.
    """
    if has_list(folder):
        return
    former = []
    if (folder / DESCRIPTION).exists():
        read_parts(folder)
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        former = [DESCRIPTION, *(Path(name).name for name in description["files"].values())]
    begin_list(folder)
    for name in former:
        note(folder / name, checksum(folder / name))


def read_parts(
    folder: str | Path, *, verify: bool = True
) -> tuple[GalleryParts, dict, Path | None]:
    """Read what `write_parts` wrote; embeddings and index stay on disk until they are used.

    Args:
        folder: of the gallery.
        verify: whether to compare all files with their checksums, about a second per gigabyte.

    Returns:
        parts, about and model, as they were written.

    Raises:
        InputError: no gallery, or one whose files are missing, damaged or do not fit together.
    """
    folder = Path(folder)
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise ValueError(f"its format is {description['format']}, expected {FORMAT}")
        paths = {part: folder / Path(name).name for part, name in description["files"].items()}
        for part, path in paths.items():
            if verify and path.name != f"{part}-{checksum(path)}{ENDINGS[part]}":
                raise ValueError(f"{path.name} is damaged")
        parts = GalleryParts(
            indexed=np.load(paths["indexed"], mmap_mode="r", allow_pickle=False),
            recent=np.load(paths["recent"], allow_pickle=False),
            is_kept=np.load(paths["kept"], allow_pickle=False),
            facts=json.loads(paths["facts"].read_text(encoding="utf-8")),
            index=_read_index(paths["index"]) if "index" in paths else None,
            report=IndexReport(**description["report"]) if description["report"] else None,
        )
        _check_fit(parts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{folder}: is no whole gallery ({type(error).__name__}: {reason}); expected a folder "
            "that Gallery.save wrote; save it again or restore it from a copy"
        ) from error
    return parts, description.get("about", {}), paths.get("model")


def _read_index(path: Path) -> faiss.Index:
    """The index, memory-mapped where the system can."""
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError:
        return faiss.read_index(str(path))


def _check_fit(parts: GalleryParts) -> None:
    """Refuse parts that are whole, but not of one gallery."""
    n_photos = len(parts.indexed) + len(parts.recent)
    for name in {"identity", *parts.facts}:
        if len(parts.facts[name]) != n_photos:
            raise ValueError(f"{len(parts.facts[name])} of {name} for {n_photos} photos")
    if parts.is_kept.shape != parts.indexed.shape[:1] or parts.is_kept.dtype != bool:
        raise ValueError(f"{parts.is_kept.shape} marks for {len(parts.indexed)} photos")
    if parts.indexed.shape[1] != parts.recent.shape[1]:
        raise ValueError(f"embeddings of shapes {parts.indexed.shape} and {parts.recent.shape}")
    if not parts.indexed.dtype == parts.recent.dtype == np.float32:
        raise ValueError("embeddings that are not float32")
    index = parts.index
    if index is not None and (index.ntotal, index.d) != parts.indexed.shape:
        raise ValueError(f"an index of {(index.ntotal, index.d)} for {parts.indexed.shape}")
