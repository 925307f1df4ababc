"""A page of pairs of photos, to be judged: the same animal, different ones, or cannot be told.

Like `common.visualization.sheet` one HTML file that opens anywhere; what is ticked stays in the
browser and is saved as a CSV file, which `sort_photos.py --answers` reads.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from common.visualization.matches import percent
from common.visualization.sheet import CSV_CELL, STYLE, embedded_picture, radio_button

from PIL import Image

SAME, DIFFERENT, UNCLEAR = "same", "different", "cannot be told"
COLUMNS = ("first", "second", "answer", "probability", "first_path", "second_path", "asked", "note")
ID_MARK = "photo-"  # before an id: without it a spreadsheet takes 12345 or 123e45 for a number


@dataclass(frozen=True)
class PairQuestion:
    """Two photos to be judged.

    Attributes:
        ids: of the two photos, as the table has them.
        paths: of the two, from the folder of the photos.
        captions: beneath each, such as its date.
        pictures: of the two.
        probability: that they show one animal, in [0, 1].
        asked: when; the same on a whole page.
        remark: a sentence that a person should know, or "".
    """

    ids: tuple[str, str]
    paths: tuple[str, str]
    captions: tuple[str, str]
    pictures: tuple[Image.Image, Image.Image]
    probability: float
    asked: str
    remark: str = ""

    def row(self) -> dict[str, object]:
        """Of a table to be filled in."""
        ids = (ID_MARK + each for each in self.ids)
        plain = (*ids, "", round(self.probability, 4), *self.paths, self.asked, self.remark)
        return dict(zip(COLUMNS, plain, strict=True))


def render_pairs(title: str, facts: Sequence[str], questions: Sequence[PairQuestion]) -> str:
    """HTML of a page.

    Args:
        title: of the page.
        facts: sentences beneath it.
        questions: one after the other.
    """
    data = json.dumps([each.row() for each in questions], ensure_ascii=False)
    data = data.replace("<", "\\u003c")  # inside a script element only "<" could end it
    key = hashlib.blake2b(data.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
    sections = "\n".join(_section(i, each) for i, each in enumerate(questions))
    lines = "".join(f"<p>{escape(fact)}</p>" for fact in facts)
    script = _SCRIPT.replace("CSV_CELL", CSV_CELL)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{_PAIRS}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{lines}\n"
        '<p class="bar"><button type="button" id="save">Save answers as CSV</button> '
        f'<span id="count"></span></p>\n{sections}\n'
        f'<script type="application/json" id="data" data-key="{key}">{data}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _section(index: int, question: PairQuestion) -> str:
    cards = "".join(
        f'<div>{embedded_picture(picture, path)}<p class="soft files">{escape(path)}<br>'
        f"{escape(caption)}</p></div>"
        for picture, path, caption in zip(
            question.pictures, question.paths, question.captions, strict=True
        )
    )
    choices = "".join(radio_button(index, value, value) for value in (SAME, DIFFERENT, UNCLEAR))
    return (
        f'<section data-question="{index}"><h2>{index + 1}. One animal?</h2>\n'
        f'<div class="pair">{cards}</div>\n<p class="soft">The computer says '
        f"{escape(percent(question.probability))}. {escape(question.remark)}</p>"
        f'<div class="answers">{choices}'
        '<input class="note" placeholder="note" aria-label="note"></div></section>'
    )


_PAIRS = """
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
.pair img { width: 100%; border-radius: 4px; }
"""

_SCRIPT = """
"use strict";
const questions = JSON.parse(document.getElementById("data").textContent);
const sections = [...document.querySelectorAll("section")];
const memory = "pairs " + document.getElementById("data").dataset.key;
CSV_CELL

function answerOf(section) {
  const ticked = section.querySelector("input[type=radio]:checked");
  return ticked ? ticked.value : "";
}

function answersAsCsv() {
  const rows = [Object.keys(questions[0] || {first: "", second: "", answer: ""})];
  questions.forEach((question, i) => {
    const note = sections[i].querySelector(".note").value.trim();
    rows.push(Object.values({...question, answer: answerOf(sections[i]), note}));
  });
  return rows.map((row) => row.map(csvCell).join(",")).join("\\r\\n") + "\\r\\n";
}

function refresh() {
  let n = 0;
  sections.forEach((section) => {
    const isAnswered = answerOf(section) !== "";
    section.classList.toggle("answered", isAnswered);
    n += isAnswered;
  });
  document.getElementById("count").textContent = n + " of " + questions.length + " answered";
  const noteOf = (section) => section.querySelector(".note").value;
  const state = sections.map((section) => [answerOf(section), noteOf(section)]);
  try { localStorage.setItem(memory, JSON.stringify(state)); } catch { /* not kept, then */ }
}

try {
  const kept = JSON.parse(localStorage.getItem(memory) || "null");
  if (kept) sections.forEach((section, i) => {
    section.querySelector(".note").value = kept[i][1];
    for (const each of section.querySelectorAll("input[type=radio]"))
      each.checked = each.value === kept[i][0];
  });
} catch { /* an empty page, then */ }

document.addEventListener("input", refresh);
document.getElementById("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\\ufeff" + answersAsCsv()], {type: "text/csv"}));
  link.download = "answers.csv";
  link.click();
});
refresh();
"""
