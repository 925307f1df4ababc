"""Tables in READMEs, taken from stored results.

A README quotes a table between two marks that name the result file and the table's title:

    <!-- table: week3/results/compare_approaches.json: Three questions, every approach -->
    ...
    <!-- end -->

`python tests/readme_blocks.py` writes all of them anew; a test fails if one differs.
"""

import json
import re
from pathlib import Path

from common.files import write_text
from common.tables import format_table

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
READMES = sorted([ROOT / "README.md", *ROOT.glob("*/README.md"), *ROOT.glob("tests/*/README.md")])
BLOCK = re.compile(r"<!-- table: (\S+): (.+?) -->\n(.*?)<!-- end -->", re.DOTALL)


def render(file: str, title: str) -> str:
    """The block's text for a stored table."""
    result = json.loads((ROOT / file).read_text(encoding="utf-8"))
    table = pd.DataFrame(result["tables"][title])
    return f"```text\n{format_table(table)}\n```\n"


def refreshed(text: str) -> str:
    """The README's text with every block as its result has it."""

    def block(match: re.Match) -> str:
        file, title = match[1], match[2]
        return f"<!-- table: {file}: {title} -->\n{render(file, title)}<!-- end -->"

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    for readme in READMES:
        write_text(readme, refreshed(readme.read_text(encoding="utf-8")))
