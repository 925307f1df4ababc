"""A page of pairs of photos, to be judged: the same animal, different ones, or cannot be told.

Like `common.visualization.sheet` one HTML file that opens anywhere; what is ticked stays in the
browser and is saved as a CSV file, which `sort_photos.py --answers` reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import count

from common.visualization.matches import percent
from common.visualization.sheet import embedded_picture, json_for_script, radio_button, render_page

from PIL import Image

SAME, DIFFERENT, UNCLEAR = "same", "different", "cannot be told"
COLUMNS = ("first", "second", "answer", "probability", "first_path", "second_path", "asked", "note")


@dataclass(frozen=True)
class PairQuestion:
    """Two photos to be judged.

    Attributes:
        ids: of the two photos, as the table has them.
        paths: of the two, from the folder of the photos.
        captions: beneath each, such as its date.
        probability: that they show one animal, in [0, 1].
        asked: when; the same on a whole page, which adds when it was saved.
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
        plain = (*self.ids, "", round(self.probability, 4), *self.paths, self.asked, self.remark)
        return dict(zip(COLUMNS, plain, strict=True))


def render_pairs(
    title: str,
    facts: Sequence[str],
    questions: Sequence[PairQuestion],
    former: Sequence[dict[str, str]] = (),
) -> str:
    """HTML of a page, with sentences beneath its title and the questions one after the other.

    Args:
        former: rows that earlier pages have saved; this one saves them with its own.
    """
    lines = "".join(f"<p>{escape(fact)}</p>" for fact in facts)
    sections, rows = map(_section, count(), questions), [each.row() for each in questions]
    before = [[row[name] for name in COLUMNS] for row in former]
    script = _SCRIPT.replace("FORMER", json_for_script(before))
    return render_page(title, lines, "answers", sections, rows, script, style=_PAIRS)


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
const isAnswered = (section) => section.querySelector("input[type=radio]:checked") !== null;

function rowsToSave() {
  const rows = [Object.keys(questions[0] || {first: "", second: "", answer: ""}), ...FORMER];
  questions.forEach((question, i) => {
    const ticked = sections[i].querySelector("input[type=radio]:checked");
    const answer = ticked ? ticked.value : "", asked = question.asked + savedNow();
    const note = sections[i].querySelector(".note").value.trim();
    rows.push(Object.values({...question, answer, asked, note}));
  });
  return rows;
}
"""
