"""The catalogue at a glance: photos in rows, counts, and who was seen when."""

from collections.abc import Sequence
from pathlib import Path

from common.visualization import style
from common.visualization.pictures import PictureRow, picture_grid
from common.words import counted

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

MOST_NAMED = 100  # identities whose names all stand beside their bars
MOST_SEGMENTS = 3_000  # encounters drawn one by one


def contact_sheet(
    photos: Sequence[str | Path],
    path: str | Path,
    *,
    identities: Sequence[str],
    captions: Sequence[str] | None = None,
    n_columns: int = 6,
) -> Path:
    """Draw photos in rows, one row per identity, in the order given.

    Args:
        photos: files, length n_images.
        identities: of each photo; equal names share a row.
        captions: beneath each photo, such as "left · 2019-05-03".
        n_columns: photos of an identity that are shown; more are left out.

    Raises:
        InputError: a photo cannot be read.
    """
    table = pd.DataFrame({"photo": list(photos), "identity": list(map(str, identities))})
    table["caption"] = "" if captions is None else list(captions)
    shown = table.groupby("identity", sort=False).head(n_columns)
    rows = [
        PictureRow(name, list(map(style.thumbnail, own["photo"])), own["caption"].tolist())
        for name, own in shown.groupby("identity", sort=False)
    ]
    return picture_grid(rows, path, cell=1.25)


def catalogue_overview(
    table: pd.DataFrame, path: str | Path, *, part: Sequence[str] | None = None
) -> Path:
    """Draw photos per identity beside a calendar of who was seen when.

    Args:
        table: a catalogue's table: columns identity, encounter, encounter_known, date.
        part: of each photo, "train", "validation", "test" or "unused": colours of the calendar.
    """
    counts = table.groupby("identity").size().sort_values(kind="stable")
    has_dates = bool(table["date"].notna().any())
    # Beyond names that can be read, the shape of the tail is what counts.
    height = max(3.6, 1.6 + 0.105 * len(counts)) if len(counts) <= MOST_NAMED else 8.0
    figure = style.new_figure(10 if has_dates else 5, height)
    panels = figure.subplots(1, 2 if has_dates else 1, squeeze=False, sharey=True)[0]
    _draw_counts(panels[0], table, counts)
    if has_dates:
        _draw_calendar(panels[1], table, list(counts.index), part)
    return style.save_figure(figure, path)


def _draw_counts(axes: Axes, table: pd.DataFrame, counts: pd.Series) -> None:
    """One bar per identity; its segments are its encounters, where known and not too many."""
    rows = {identity: row for row, identity in enumerate(counts.index)}
    segments, words = table.groupby("identity").size(), "photos per identity"
    encounters = table.groupby(["identity", "encounter"], sort=False).size()
    n_unknown = int((~table["encounter_known"]).sum())
    if n_unknown == len(table):  # each photo has one of its own only in name
        words += " (encounters are not known)"
    elif len(encounters) <= MOST_SEGMENTS and len(rows) <= MOST_NAMED:
        unknown = f"; of {counted(n_unknown, 'photo')} not known" if n_unknown else ""
        segments, words = encounters, f"{words} (segments: encounters{unknown})"
    style.tidy(axes, title=words, grid="x")
    identity = segments.index.get_level_values("identity")
    left = segments.groupby(identity).cumsum() - segments
    are_named = len(rows) <= MOST_NAMED
    edge = {"edgecolor": "white", "linewidth": 0.6 if are_named else 0}
    bars = {"height": 0.78, "color": style.COLOURS[0], **edge}
    axes.barh(identity.map(rows), segments, left=left, **bars)
    positions, names = style.legible_ticks(list(rows), most=MOST_NAMED if are_named else 60)
    axes.set_yticks(positions, names, fontsize=6.5 if len(rows) > 24 else 8, parse_math=False)
    axes.set(ylim=(-0.8, len(rows) - 0.2), xlabel="photos")


def _draw_calendar(
    axes: Axes, table: pd.DataFrame, identities: list[str], part: Sequence[str] | None
) -> None:
    """One dot per day on which an identity was photographed."""
    style.tidy(axes, title="who was seen when (a dot: one day)", grid="y")
    rows = {identity: row for row, identity in enumerate(identities)}
    seen = table[["identity", "date"]].assign(part="train" if part is None else list(part))
    seen = seen.dropna(subset="date")
    days = seen.assign(date=seen["date"].dt.normalize()).groupby(["identity", "date", "part"])
    days = days.size().reset_index(name="n_photos")
    edge = {"edgecolor": "white", "linewidth": 0.4, "zorder": 3}
    for name, colour in style.PART_COLOURS.items():
        dots = days[days["part"] == name]
        if len(dots):
            places, sizes = dots["identity"].map(rows), 5 + 4 * dots["n_photos"]
            axes.scatter(dots["date"].to_numpy(), places, s=sizes, color=colour, label=name, **edge)
    locator = AutoDateLocator(minticks=4, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_xlabel("date (larger dots: more photos)")
    if part is not None:
        style.legend_outside(axes, 4, "upper right")
