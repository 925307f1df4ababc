"""The look that all figures share, and the one way to save them.

Figures are `matplotlib.figure.Figure` objects: nothing here touches pyplot's global state, and
no window is ever needed.
"""

import io
import math
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.data.photo_files import open_photo
from common.files import replacing
from common.names import printable, storable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text
from PIL import Image, ImageOps

DPI = 150  # dots per inch of every saved figure
PAGE_DPI = 200  # of one that stands on a page, which shows it at half size
INK, SOFT, LINE, PAPER = "#1f2933", "#5f6c7b", "#d9dfe5", "#eef1f3"
# Okabe and Ito's colours, told apart with any colour vision; see also RIGHT and WRONG, which
# never carry a meaning alone.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a7a7a")
RIGHT, WRONG = "#009e73", "#d55e00"
PART_COLOURS = {"train": "#0072b2", "validation": "#e69f00", "test": "#d55e00", "unused": "#b8c0c8"}
LAST_RESORT = "Last Resort High-Efficiency"  # has a box for every letter
MARKERS = ("o", "s", "D", "^", "v", "P", "X")  # told apart without colour


def new_figure(width: float, height: float) -> Figure:
    """Empty figure on white; sizes in inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # inches
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes, *, title: str = "", grid: str | None = None) -> Axes:
    """Calm axes: no box, soft ticks, and a grid along x or y where values are read off."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(colors=SOFT, labelsize=9, length=0)
    axes.xaxis.label.set(color=SOFT, size=9)
    axes.yaxis.label.set(color=SOFT, size=9)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=LINE, linewidth=0.6)
    if title:
        axes.set_title(title, loc="left", fontsize=10.5, color=INK, pad=8, parse_math=False)
    return axes


def look(index: int) -> dict[str, str]:
    """Colour and marker of so many-th series."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def bare(axes: Axes) -> None:
    """No ticks and no frame, for pictures."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def frame(axes: Axes, colour: str, width: float) -> None:
    """A frame around a photo."""
    axes.spines[:].set(visible=True, edgecolor=colour, linewidth=width)


def name_row(axes: Axes, name: str, most: int) -> None:
    """Name of a row of pictures, at the left of its first."""
    words = {"color": INK, "weight": "bold", "parse_math": False}
    axes.set_ylabel(shortened(name, most), fontsize=9, **words)


def legend_outside(axes: Axes, n_columns: int, where: str = "lower center") -> None:
    """What each colour and marker of the axes stands for, below them or elsewhere."""
    place = {"loc": f"outside {where}", "ncols": n_columns}
    shown = axes.get_legend_handles_labels()
    axes.figure.legend(*shown, **place, fontsize=9, frameon=False, labelcolor=SOFT)


def legend_inside(axes: Axes) -> None:
    """The same in a frame, wherever the lines leave room."""
    axes.legend(fontsize=9, frameon=True, edgecolor=LINE, framealpha=0.9, labelcolor=SOFT)


def title_above(figure: Figure, title: str) -> None:
    """A title above all axes, to the left."""
    if title:
        words = {"color": INK, "weight": "bold", "parse_math": False}
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, **words)


def save_figure(figure: Figure, path: str | Path, title: str = "") -> Path:
    """Save as PNG in one step, a title above all axes; returns the path."""
    title_above(figure, title)
    with replacing(path) as unfinished, warnings.catch_warnings():
        if lacking := find_letters(figure):
            print(f"{Path(path).name}: boxes stand for {lacking}, which no installed font has")
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(unfinished, format="png", dpi=DPI)
    return Path(path)


def find_letters(figure: Figure) -> str:
    """Give the texts of a figure fonts that have their letters; returns letters that none has."""
    for axes in figure.axes:  # their labels are not there before they are asked for
        axes.get_xticklabels(), axes.get_yticklabels()
    texts = figure.findobj(Text)
    for text in texts:
        text.set_text(storable(text.get_text()))
    letters = set("".join(text.get_text() for text in texts))
    seen = {ord(each) for each in letters if unicodedata.category(each)[0] not in "ZC"}
    lacking = seen.difference(_letters_of(findfont(FontProperties())))
    families = []
    for font in fontManager.ttflist if lacking else ():
        if font.name != LAST_RESORT and (found := lacking.intersection(_letters_of(font.fname))):
            lacking -= found
            families.append(font.name)
    for text in texts if families else ():
        text.set_fontfamily([*text.get_fontfamily(), *dict.fromkeys(families)])
    return "".join(map(chr, sorted(lacking)))


def _letters_of(font: str) -> Iterable[int]:
    try:
        return get_font(font).get_charmap()
    except (OSError, RuntimeError):  # a font that matplotlib cannot read
        return ()


def save_for_page(figure: Figure, path: str | Path, *, n_colours: int = 64) -> Path:
    """Save as a small PNG for a page that shows it at half size; returns the path.

    Args:
        figure: 8 to 8.5 inches wide, so that its letters come out as large as the page's own.
        n_colours: of the picture, up to 256: fewer make a smaller file; charts need few.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=PAGE_DPI)
    picture = Image.open(drawn).convert("RGB").quantize(n_colours, dither=Image.Dither.NONE)
    with replacing(path) as unfinished:
        picture.save(unfinished, optimize=True)
    return Path(path)


def thumbnail(path: str | Path, side: int = 220) -> np.ndarray:
    """The whole photo, upright, in a square; the rest of the square is a quiet grey.

    Args:
        side: of the square, pixels.

    Returns:
        uint8, shape (side, side, 3).

    Raises:
        InputError: the file is missing or is no picture.
    """
    photo = open_photo(path, smallest_side=side)
    square = ImageOps.pad(photo, (side, side), Image.Resampling.LANCZOS, color=PAPER)
    return np.asarray(square)


def show_photo(axes: Axes, path: str | Path) -> None:
    """Put a square thumbnail on the axes, without ticks or frame."""
    axes.imshow(thumbnail(path), interpolation="antialiased")
    bare(axes)


def legible_ticks(names: Sequence[str], *, most: int) -> tuple[list[int], list[str]]:
    """Positions and names of so many ticks that they can be read.

    Every name if there are at most `most`; else every second, third, … of them.

    >>> legible_ticks(["a", "b", "c", "d", "e"], most=3)
    ([0, 2, 4], ['a', 'c', 'e'])
    """
    step = max(1, math.ceil(len(names) / most))
    positions = list(range(0, len(names), step))
    return positions, [shortened(names[i]) for i in positions]


def shortened(text: str, most: int = 22) -> str:
    """Text of at most `most` characters, its middle left out.

    >>> shortened("a_very_long_name_of_an_animal_012", most=12)
    'a_very…l_012'
    """
    text = printable(text)
    if len(text) <= most:
        return text
    head = most // 2
    return f"{text[:head]}…{text[-(most - head - 1) :]}"
