"""Pictures of a week's pages: drawn again they are the same, they are small, and all are shown.

`weekN/pictures.py` draws them into `weekN/pictures`; `tests/weekN/test_pictures.py` asks here.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from readme_blocks import READMES

MOST_BYTES = 150_000
MOST_PIXELS = 1_700  # of the width: 8.5 inches of 200 dots
MOST_DIFFERENCE = 1.0  # of 255, mean over pixels and colours; another version's edges of letters
FEWEST_WORDS = 5  # that say what a picture shows to those who cannot see it
SHOWN = re.compile(r"!\[(?P<words>[^\]]*)\]\((?P<file>[^)\s]+)\)")


def assert_pictures_are_as_drawn(
    draw_all: Callable[[Path], object], committed: Path, tmp_path: Path
) -> None:
    """Fail unless a fresh drawing has the names, sizes and content of the committed pictures.

    Args:
        draw_all: draws all pictures of a week into a folder that exists.
        committed: the week's folder of pictures.
        tmp_path: an empty folder.
    """
    draw_all(tmp_path)

    assert names_in(tmp_path) == names_in(committed), "draw anew: python weekN/pictures.py"
    for name in names_in(committed):
        drawn, kept = (pixels_of(folder / name) for folder in (tmp_path, committed))
        assert drawn.shape == kept.shape, f"{name}: another size; draw it anew"
        difference = float(np.abs(drawn - kept).mean())
        assert difference < MOST_DIFFERENCE, f"{name}: differs by {difference:.2f}; draw it anew"


def assert_pictures_are_small(committed: Path) -> None:
    """Fail if a picture is too large to be fetched quickly, or wider than a page shows."""
    for name in names_in(committed):
        path = committed / name
        assert path.stat().st_size <= MOST_BYTES, f"{name}: {path.stat().st_size:,} bytes"
        assert pixels_of(path).shape[1] <= MOST_PIXELS, f"{name}: {pixels_of(path).shape[1]} wide"


def assert_pictures_are_shown(committed: Path) -> None:
    """Fail unless some page shows each picture, with words for those who cannot see it."""
    words = words_of_pictures()
    for name in names_in(committed):
        path = (committed / name).resolve()
        assert path in words, f"{name}: no page shows it"
        assert len(words[path].split()) >= FEWEST_WORDS, f"{name}: say what it shows"


def words_of_pictures() -> dict[Path, str]:
    """Each picture that a page shows, and the words that stand for it."""
    return {
        (page.parent / match["file"]).resolve(): match["words"]
        for page in READMES
        for match in SHOWN.finditer(page.read_text(encoding="utf-8"))
    }


def names_in(folder: Path) -> list[str]:
    """Names of the pictures in a folder, sorted."""
    return sorted(path.name for path in folder.glob("*.png"))


def pixels_of(path: Path) -> np.ndarray:
    """A picture's colours, float, 0 to 255, shape (height, width, 3)."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), dtype=float)
