"""Tables for people: one layout of numbers and intervals, for the terminal and the report.

A column `accuracy` with neighbours `accuracy_low` and `accuracy_high` is shown as one, value
and interval: "0.561 [0.503, 0.617]". The result file keeps the three numbers.
"""

import csv
import math
import numbers
import re
from collections.abc import Mapping, Sequence

from common.names import printable

import pandas as pd

MISSING = "–"
# What a spreadsheet takes for a formula; written with an apostrophe before it, and another one
# before a text that looks as if it had one, so that each text comes back as it was.
FORMULA = re.compile(r"^'*[=+\-@\t\r\n＝＋－＠]")


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV that is safe to open in a spreadsheet; `unescaped` gives the texts back."""
    has_return = table.map(lambda cell: isinstance(cell, str) and "\r" in cell).any(axis=None)
    quoting = csv.QUOTE_NONNUMERIC if has_return else csv.QUOTE_MINIMAL  # which would not quote it
    return table.map(harmless).to_csv(index=False, lineterminator="\n", quoting=quoting)


def harmless(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if _is_formula(cell) else cell


def unescaped(table: pd.DataFrame) -> pd.DataFrame:
    """A table's texts as they were before `harmless`.

    >>> texts = pd.DataFrame({"name": ["=1+1", "'=1", "-", "'t hart"]})
    >>> unescaped(texts.map(harmless))["name"].tolist()
    ['=1+1', "'=1", '-', "'t hart"]
    """
    return table.map(lambda cell: cell[1:] if _is_formula(cell) and cell[0] == "'" else cell)


def _is_formula(cell: object) -> bool:
    return isinstance(cell, str) and FORMULA.match(cell) is not None


def table_of(rows: Sequence[Mapping], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a table; without any, the columns alone, so that a script may still ask for one.

    Args:
        rows: column to cell.
        columns: those of an empty table; "accuracy±" is three, with its interval.

    >>> list(table_of([], ["name", "test±"]))
    ['name', 'test', 'test_low', 'test_high']
    """
    if rows:
        return pd.DataFrame(rows)
    names = [
        f"{name.removesuffix('±')}{end}"
        for name in columns
        for end in (("", "_low", "_high") if name.endswith("±") else ("",))
    ]
    return pd.DataFrame(columns=names)


def table_cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]], list[bool]]:
    """Headers, text cells row by row, and whether each column holds numbers.

    A named index becomes the first columns; an unnamed one is left out.
    """
    if any(name is not None for name in table.index.names):
        table = table.reset_index()
    ends = [{f"{name}_low", f"{name}_high"} for name in table.columns]
    paired = {end for pair in ends if pair <= set(table.columns) for end in pair}
    headers, columns, is_numeric = [], [], []
    for position, name in enumerate(table.columns):
        if name in paired:
            continue
        values = table.iloc[:, position]
        decimals = _decimals(values) if pd.api.types.is_float_dtype(values) else 0
        cells = [_cell(value, decimals) for value in values.astype(object)]
        if f"{name}_low" in paired:
            cells = _with_intervals(cells, values, table[f"{name}_low"], table[f"{name}_high"])
        headers.append(str(name).replace("_", " "))
        columns.append(cells)
        is_numeric.append(pd.api.types.is_numeric_dtype(values) and values.dtype != bool)
    return headers, [list(row) for row in zip(*columns, strict=True)], is_numeric


def format_table(table: pd.DataFrame) -> str:
    """The table in fixed-width lines for a terminal; numbers stand to the right."""
    headers, rows, is_numeric = table_cells(table)
    widths = [max(len(row[i]) for row in [headers, *rows]) for i in range(len(headers))]

    def line(cells: list[str]) -> str:
        padded = [
            cell.rjust(width) if to_the_right else cell.ljust(width)
            for cell, width, to_the_right in zip(cells, widths, is_numeric, strict=True)
        ]
        return "  ".join(padded).rstrip()

    ruler = "  ".join("-" * width for width in widths)
    return "\n".join([line(headers), ruler, *[line(row) for row in rows]])


def markdown_table(table: pd.DataFrame) -> str:
    """The table as Markdown, for a page; numbers and intervals stand to the right."""
    headers, rows, is_numeric = table_cells(table)
    ruler = ["---:" if to_the_right else "---" for to_the_right in is_numeric]
    lines = [headers, ruler, *[[cell.replace("|", "\\|") for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _decimals(values: pd.Series) -> int:
    """Decimals of a column by size: shares 3, seconds and counts of tens 1, thousands none."""
    largest = max((abs(value) for value in values if _is_finite(value)), default=0.0)
    return 3 if largest < 10 else 1 if largest < 1_000 else 0


def _is_finite(value: object) -> bool:
    return isinstance(value, numbers.Real) and math.isfinite(value)


def _cell(value: object, decimals: int) -> str:
    """One value as text in one line."""
    if value is None or value is pd.NaT or value is pd.NA:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return f"{value:,}"
    if isinstance(value, numbers.Real):
        return f"{value:,.{decimals}f}" if math.isfinite(value) else MISSING
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d") if value == value.normalize() else str(value)
    return printable(" ".join(str(value).split()))


def _with_intervals(
    cells: list[str], values: pd.Series, low: pd.Series, high: pd.Series
) -> list[str]:
    """Cells with their interval in brackets, where there is one."""
    decimals = _decimals(values)
    return [
        f"{cell} [{_cell(lowest, decimals)}, {_cell(highest, decimals)}]"
        if _is_finite(lowest) and _is_finite(highest)
        else cell
        for cell, lowest, highest in zip(cells, low, high, strict=True)
    ]
