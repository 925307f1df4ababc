"""A sheet that a field worker goes through: each question beside its candidates, to be answered.

One HTML file that opens anywhere, without a network. What is ticked stays in the browser and is
saved as a CSV file that is a catalogue: `build_gallery.py --add --data_dir` reads it. Its paths
start from the folder of the photos, where the file belongs.
"""

import base64
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import count

from common.data.photo_files import BOXED
from common.names import UNKNOWN
from common.tables import FORMULA
from common.visualization.matches import percent

from PIL import Image

PICTURE_QUALITY = 85  # of JPEG


@dataclass(frozen=True)
class SheetCandidate:
    """An animal that it may be.

    Attributes:
        similarity: cosine in [-1, 1].
        probability: in [0, 1], that it is right.
        picture: its most alike gallery photo; None where there is none.
        caption: of that photo, such as its side and date.
        photo: its id; what a person confirms is that one.
    """

    identity: str
    similarity: float
    probability: float
    picture: Image.Image | None
    caption: str
    photo: str = ""


@dataclass(frozen=True)
class SheetQuestion:
    """Photos of one animal, and who it may be.

    Attributes:
        ids: of the photos, each the same for the same content only.
        dates: of the photos, such as "2024-05-31T10:11:00", "2024-05-31", or "".
        encounter: its name, once it is answered, where the photos are not of one known day; of
            questions about one animal, one is enough.
        verdict: such as "known: anna" or "probably new".
        remarks: sentences that a person should know.
    """

    title: str
    photos: Sequence[str]
    ids: Sequence[str]
    side: str
    dates: Sequence[str]
    encounter: str
    pictures: Sequence[Image.Image]
    verdict: str
    remarks: Sequence[str]
    candidates: Sequence[SheetCandidate]


def render_sheet(
    title: str,
    facts: Sequence[str],
    questions: Sequence[SheetQuestion],
    identities: Mapping[str, str],
    folder: str = "",
    summary: str = "",
) -> str:
    """HTML of a sheet.

    Args:
        facts: sentences beneath it: which gallery, which model, what the threshold rests on.
        identities: all animals of the gallery, offered where it is none of the candidates, each
            with the id of a photo that says later who was meant.
        folder: that the questions' photos lie in, for a person to put the decisions there.
        summary: above the answers: how far they can be trusted.
    """
    about = []
    for each in questions:
        plain = {name: getattr(each, name) for name in ("side", "encounter", "verdict")}
        plain["candidates"] = [
            [c.identity, round(c.similarity, 4), round(c.probability, 4), c.photo]
            for c in each.candidates
        ]
        plain |= {name: list(getattr(each, name)) for name in ("photos", "ids", "dates")}
        about.append(plain)
    names = "".join(
        f'<option value="{escape(name)}" data-photo="{escape(photo)}">'
        for name, photo in identities.items()
    )
    lines = "".join(f"<p>{escape(fact)}</p>" for fact in facts)
    place = f" and put the file into <b>{escape(folder)}</b>: its paths start there" * bool(folder)
    top = (
        f"<p>{escape(summary)}</p>\n<details class=soft><summary>What this rests on</summary>"
        f'{lines}</details><datalist id="names">{names}</datalist>'
    )
    script = _SCRIPT.replace("BOXED", BOXED).replace("NOBODY", json.dumps(sorted(UNKNOWN)))
    sections = map(_section, count(), questions)
    return render_page(title, top, "decisions", sections, about, script, place=place + ".")


def render_page(
    title: str,
    top: str,
    kind: str,
    sections: Iterable[str],
    questions: Sequence[dict],
    script: str,
    *,
    place: str = "",
    style: str = "",
) -> str:
    """HTML of a page of questions, which remembers what is ticked, and saves it.

    Args:
        top: HTML beneath the title.
        kind: what is saved, such as "decisions".
        sections: HTML, one `section` element for each question.
        questions: for the script.
        script: JavaScript that says what counts as answered and what is saved, see `_SCRIPT`.
        place: HTML that says where the file goes.
        style: CSS of this page alone.
    """
    data = json_for_script(questions)
    # What is ticked is kept under a key of this very page: browsers share it among files.
    key = hashlib.blake2b(data.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{top}\n"
        f'<p class="bar"><button type="button" id="save">Save {kind} as CSV</button>{place} '
        f'<span id="count"></span></p>\n{body}\n<script type="application/json" '
        f'data-file="{kind}.csv" id="data" data-key="{key}">{data}</script>\n'
        f"<script>{_BEFORE}{script}{_BEHIND}</script>\n</body>\n</html>\n"
    )


def json_for_script(value: object) -> str:
    """JSON that may stand in a script element, which only a "<" could end."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def _section(index: int, question: SheetQuestion) -> str:
    """One question: photos, verdict, candidates, and the answers that can be ticked."""
    pictures = "".join(embedded_picture(each, "query") for each in question.pictures)
    remarks = "".join(f'<p class="soft">{escape(each)}</p>' for each in question.remarks)
    cards = "".join(_card(index, place, each) for place, each in enumerate(question.candidates))
    files = ", ".join(question.photos)
    return (
        f'<section data-question="{index}"><h2>{escape(question.title)}</h2>\n'
        f'<div class="row"><div class="asked">'
        f'<p class="verdict">{escape(question.verdict)}</p>{pictures}'
        f'<p class="soft files">{escape(files)}</p>{remarks}</div>\n'
        f'<div class="cards">{cards}</div></div>\n<div class="answers">'
        + radio_button(index, "other", "another animal of the gallery:")
        + '<input class="name" data-for="other" list="names" aria-label="its name">'
        + radio_button(index, "new", "a new individual, named:")
        + '<input class="name" data-for="new" aria-label="name of the new individual">'
        + radio_button(index, "unclear", "cannot be told")
        + '<input class="note" placeholder="note" aria-label="note">'
        '<span class="fault"></span></div></section>'
    )


def _card(index: int, place: int, candidate: SheetCandidate) -> str:
    picture = embedded_picture(candidate.picture, candidate.identity) if candidate.picture else ""
    return (
        f'<label class="card">{picture}<span class="who">'
        f'<input type="radio" name="q{index}" value="{place}"> '
        f"{place + 1}. {escape(candidate.identity)}</span>"
        f"<span>similarity {candidate.similarity:.3f}</span>"
        f"<span>probability {escape(percent(candidate.probability))}</span>"
        f'<span class="soft">{escape(candidate.caption)}</span></label>'
    )


def radio_button(index: int, value: str, text: str) -> str:
    """One answer to a question, of which a person ticks one."""
    return f'<label><input type="radio" name="q{index}" value="{value}"> {text}</label>'


def embedded_picture(picture: Image.Image, alt: str) -> str:
    """The picture itself inside the page."""
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=PICTURE_QUALITY)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    return f'<img alt="{escape(alt)}" src="data:image/jpeg;base64,{data}">'


_STYLE = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem 1.25rem 4rem; color: #1f2933;
  background: #fcfcfb; font: 16px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0 0 .5rem; font-size: 1.6rem; } h2 { margin: 0 0 .6rem; font-size: 1.05rem; }
p { margin: .3rem 0; } .soft { color: #5f6c7b; font-size: .88rem; }
.bar { position: sticky; top: 0; z-index: 1; padding: .6rem 0; background: #fcfcfb; }
button { font: inherit; padding: .4rem 1rem; color: #fff; background: #00628f; border: 0;
  border-radius: 6px; cursor: pointer; }
section { margin: 1.2rem 0; padding: 1rem; background: #fff; border: 1px solid #d9dfe5;
  border-radius: 8px; break-inside: avoid; }
section.answered { border-color: #009e73; box-shadow: inset 4px 0 #009e73; }
.row { display: flex; flex-wrap: wrap; gap: 1.2rem; }
.asked { flex: 0 0 15rem; } .asked img { width: 100%; margin-bottom: .4rem; border-radius: 4px; }
.asked img:not(:only-of-type) { width: 48%; margin-right: 2%; }
.files { overflow-wrap: anywhere; } .verdict { font-weight: 650; }
.cards { flex: 1 1 30rem; display: grid; gap: .8rem; align-content: start;
  grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); }
.card { display: flex; flex-direction: column; padding: .5rem; font-size: .9rem;
  border: 1px solid #d9dfe5; border-radius: 6px; cursor: pointer; overflow-wrap: anywhere; }
.card img { width: 100%; border-radius: 4px; margin-bottom: .35rem; }
.card:has(:checked) { border-color: #009e73; background: #eef8f4; }
.who { font-weight: 600; }
.answers { display: flex; flex-wrap: wrap; gap: .5rem .8rem; align-items: center;
  margin-top: .9rem; font-size: .92rem; }
.answers label { margin-left: .6rem; } .answers label:first-child { margin-left: 0; }
input.name, input.note { font: inherit; padding: .2rem .4rem; width: 11rem;
  border: 1px solid #b8c0c8; border-radius: 4px; }
input.note { flex: 1 1 12rem; } .fault { flex-basis: 100%; color: #b3261e; }
@media print { .bar { display: none; } body { max-width: none; padding: 0; }
  .asked { flex-basis: 12rem; }
  .cards { flex-basis: 20rem; grid-template-columns: repeat(3, 1fr); } }
"""

# Plain JavaScript: remember what is ticked, count it, save it. Between the first part and the last
# stands what a page asks: isAnswered(section, i) and rowsToSave().
# A spreadsheet must not take a name for a formula; readers leave the apostrophe out.
_BEFORE = """
"use strict";
const data = document.getElementById("data");
const questions = JSON.parse(data.textContent);
const sections = [...document.querySelectorAll("section")];
const formula = /FORMULA/;
const savedNow = () => ", saved " + new Date().toISOString().slice(0, 19);

function csvCell(value) {
  const isFormula = typeof value === "string" && formula.test(value);
  const text = (isFormula ? "'" : "") + value;
  return /[",;\\r\\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}
""".replace("FORMULA", FORMULA.pattern)

_BEHIND = """
const memory = data.dataset.file + " " + data.dataset.key;

function state() {
  return sections.map((section) => [...section.querySelectorAll("input")].map(
    (input) => input.type === "radio" ? input.checked : input.value));
}

function refresh() {
  let n = 0;
  sections.forEach((section, i) => {
    const isDone = isAnswered(section, i);
    section.classList.toggle("answered", isDone);
    n += isDone;
  });
  document.getElementById("count").textContent = n + " of " + questions.length + " answered";
  try { localStorage.setItem(memory, JSON.stringify(state())); } catch { /* not kept, then */ }
}

try {
  const kept = JSON.parse(localStorage.getItem(memory) || "null");
  if (kept) sections.forEach((section, i) =>
    section.querySelectorAll("input").forEach((input, j) => {
      if (input.type === "radio") input.checked = kept[i][j]; else input.value = kept[i][j];
    }));
} catch { /* an empty page, then */ }

document.addEventListener("input", (event) => {
  const field = event.target.dataset.for;  // a name that is written ticks its answer
  if (field) event.target.closest("section").querySelector(`[value=${field}]`).checked = true;
  refresh();
});
document.getElementById("save").addEventListener("click", () => {
  const table = rowsToSave().map((row) => row.map(csvCell).join(",")).join("\\r\\n") + "\\r\\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\\ufeff" + table], {type: "text/csv"}));
  link.download = data.dataset.file;
  link.click();
});
refresh();
"""

_SCRIPT = """
const animals = new Map([...document.querySelectorAll("#names option")].map(
  (each) => [each.value, each.dataset.photo]));

function answerOf(section, question) {
  const ticked = section.querySelector("input[type=radio]:checked");
  const note = section.querySelector(".note").value.trim();
  const field = (name) => section.querySelector(`[data-for=${name}]`).value.trim();
  if (!ticked) return {decision: "", identity: "", place: "", note};
  if (ticked.value === "unclear")
    return {decision: "cannot be told", identity: "", place: "", note};
  if (ticked.value === "new")
    return {decision: "new individual", identity: field("new"), place: "", note};
  if (ticked.value === "other")
    return {decision: "another animal", identity: field("other"), place: "", note};
  const place = Number(ticked.value);
  return {decision: "confirmed", identity: question.candidates[place][0], place: place + 1, note};
}

function faultOf(answer) {  // why an answer is none yet
  if (["", "cannot be told", "confirmed"].includes(answer.decision)) return "";
  if (!answer.identity) return "A name is missing.";
  const isKnown = animals.has(answer.identity);
  if (answer.decision === "new individual")
    return isKnown ? "The gallery holds an animal of this name."
      : NOBODY.includes(answer.identity.toLowerCase().replace(/[^\\p{L}\\p{N}]/gu, ""))
      ? "This word says that nobody knows who it is." : "";
  return isKnown ? "" : "The gallery has no animal of this name.";
}

function isAnswered(section, i) {
  const answer = answerOf(section, questions[i]), fault = faultOf(answer);
  section.querySelector(".fault").textContent = fault;
  return answer.decision !== "" && !fault;
}

function rowsToSave() {
  const rows = [["path", "identity", "orientation", "date", "encounter", "decision", "verdict",
    "rank", "similarity", "probability", "note", "asked", "bbox", "content", "seen"]];
  const now = savedNow();
  questions.forEach((question, i) => {
    const answer = answerOf(sections[i], question);
    const chosen = answer.place ? question.candidates[answer.place - 1] : ["", "", "", ""];
    // As a catalogue names it: photos of an animal and a day are one encounter. Without an answer
    // nobody knows which photos are of one.
    const days = [...new Set(question.dates.map((each) => each.slice(0, 10)))];
    const ofDay = days.length === 1 && days[0] && answer.identity + ":" + days[0];
    const encounter = answer.identity ? ofDay || question.encounter : "";
    const isOther = answer.decision === "another animal";
    const photo = chosen[3] || (isOther && animals.get(answer.identity)), name = answer.identity;
    const seen = photo ? photo + " " + name : "";  // and the name that it had
    question.photos.map((each) => each.match(/^BOXED$/) || [, each]).forEach(([, photo, box], j) =>
      rows.push([photo, answer.identity, question.side, question.dates[j], encounter,
        answer.decision, question.verdict, answer.place, chosen[1], chosen[2], answer.note,
        question.encounter + now, box || "", question.ids[j], seen]));
  });
  return rows;
}
"""
