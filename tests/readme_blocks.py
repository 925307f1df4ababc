"""Tables in READMEs, taken from stored results.

A page quotes a table between two marks that name the result file, the table's title and, where a
page needs less than all of them, the columns. A column brings its interval with it.

    <!-- table: week3/results/compare_approaches.json: Three questions, every approach
         columns: approach | known animals | joined later -->
    ...
    <!-- end -->

`python tests/readme_blocks.py` writes all of them anew; a test fails if one differs.
"""

import json
import re
from pathlib import Path

from common.files import write_text
from common.tables import markdown_table

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
READMES = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("tests/*/README.md")])
MOST_COLUMNS = 7  # that a page shows without scrolling sideways
BLOCK = re.compile(
    r"<!-- table: (?P<file>\S+): (?P<title>[^\n]+?)(?P<columns>\n +columns: [^\n]+?)? -->\n"
    r"(?P<table>.*?)<!-- end -->",
    re.DOTALL,
)


def render(file: str, title: str, columns: str | None) -> str:
    """The block's text for a stored table.

    Raises:
        ValueError: more columns than a page can show.
    """
    result = json.loads((ROOT / file).read_text(encoding="utf-8"))
    table = pd.DataFrame(result["tables"][title])
    if columns:
        names = columns.partition("columns: ")[2].split(" | ")
        ends = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
        table = table[[name for name in ends if name in names or name in table]]
    text = markdown_table(table)
    if text.partition("\n")[0].count(" | ") >= MOST_COLUMNS:
        raise ValueError(f"{file}: {title}: a page shows up to {MOST_COLUMNS} columns: name them")
    return f"\n{text}\n\n"


def refreshed(text: str) -> str:
    """The page's text with every block as its result has it."""

    def block(match: re.Match) -> str:
        mark = match[0].partition("-->")[0]
        return f"{mark}-->\n{render(match['file'], match['title'], match['columns'])}<!-- end -->"

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    for readme in READMES:
        write_text(readme, refreshed(readme.read_text(encoding="utf-8")))
