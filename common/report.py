"""A run's result as one web page that opens anywhere: no script, no request, no other file."""

import base64
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from common.tables import table_cells
from common.words import counted

import pandas as pd

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #5f6c7b; --line: #d9dfe5;
  --paper: #fcfcfb; --card: #f2f4f5; --accent: #00628f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --soft: #9aa5b1;
  --line: #38424c; --paper: #15191d; --card: #1e242a; --accent: #6cb8e6; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 2.5rem 1.25rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", sans-serif; }
h1 { margin: 0; font-size: 1.8rem; line-height: 1.2; }
h2 { margin: 2.6rem 0 .8rem; font-size: 1.15rem; }
p { margin: .5rem 0; max-width: 46rem; }
.soft, figcaption { color: var(--soft); font-size: .92rem; }
code { font: .88em ui-monospace, Consolas, Menlo, monospace; background: var(--card);
  padding: .15em .4em; border-radius: 4px; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .94rem; font-variant-numeric: tabular-nums; }
th, td { padding: .42rem .9rem .42rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
tbody th { padding-right: 1.6rem; }
figure { margin: 1rem 0 2rem; }
figure img { display: block; max-width: 100%; height: auto; background: #fff;
  border: 1px solid var(--line); border-radius: 6px; }
figcaption { margin-top: .5rem; }
details { margin-top: 1.2rem; } summary { cursor: pointer; color: var(--accent); }
"""


def render_report(
    result: Mapping, tables: Mapping[str, pd.DataFrame], figures: Mapping[str, Path]
) -> str:
    """HTML of a run."""
    notes = result.get("notes") or []
    title = escape(str(result["script"]).removesuffix(".py").replace("_", " "))
    body = "\n".join(
        [
            f"<h1>{title}</h1>",
            f'<p class="soft">{escape(_when(result))}</p>',
            f"<p><code>{escape(str(result['command']))}</code></p>",
            *([f"<p>{escape(result['summary'])}</p>"] if result.get("summary") else []),
            *_split_section(result.get("split")),
            *(f"<h2>{escape(name)}</h2>\n{_table(table)}" for name, table in tables.items()),
            *_figures_section(figures),
            *(["<h2>Notes</h2>"] if notes else []),
            *(f"<p>{escape(str(note))}</p>" for note in notes),
            *_details_section(result),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _when(result: Mapping) -> str:
    """One line: date, duration, device, memory."""
    parts = [
        str(result["started"]).replace("T", " ").replace("+00:00", " UTC"),
        f"{counted(round(result['seconds']), 'second')}",
    ]
    device = result["machine"].get("device")
    if device:
        parts.append(f"device {device}")
    if result.get("peak_memory_mb"):
        parts.append(f"at most {result['peak_memory_mb']:,.0f} MB of memory")
    return " · ".join(parts)


def _split_section(split: Mapping | None) -> Iterator[str]:
    """How photos were parted, and what leaks."""
    if not split:
        return
    yield "<h2>Split</h2>"
    name, sentence = split.get("name", ""), split.get("description", "")
    yield f"<p><strong>{escape(str(name))}</strong>: {escape(str(sentence))}</p>"
    if split.get("leak"):
        yield _table(_parts_of(split["leak"]))
    for note in split.get("notes") or []:
        yield f'<p class="soft">{escape(str(note))}</p>'


def _parts_of(leak: Mapping) -> pd.DataFrame:
    """One row for each part of a split, from `LeakReport.to_dict`."""
    rows = []
    for name, n_images in leak["n_images"].items():
        part = leak.get(name) or {}
        row = {"part": name, "photos": n_images, "animals": leak["n_identities"][name]}
        row["animals not trained on"] = part.get("n_new_identities")
        row["photos whose encounter is trained on"] = part.get("n_same_encounter")
        row["whose day is"] = part.get("n_same_day")
        rows += [row] if n_images else []
    return pd.DataFrame(rows).convert_dtypes()  # counts, although training has some of them not


def _table(table: pd.DataFrame) -> str:
    """Numbers stand to the right."""
    headers, rows, is_numeric = table_cells(table)
    css = ['class="number"' if number else "" for number in is_numeric]
    head = "".join(f"<th {c}>{escape(h)}</th>" for h, c in zip(headers, css, strict=True))
    body = ""
    for row in rows:
        cells = "".join(f"<td {c}>{escape(cell)}</td>" for cell, c in zip(row, css, strict=True))
        body += f"<tr>{cells}</tr>\n"
    return (
        '<div class="wide"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )


def _figures_section(figures: Mapping[str, Path]) -> Iterator[str]:
    """Every figure with its title beneath."""
    if figures:
        yield "<h2>Figures</h2>"
    for title, path in figures.items():
        picture = base64.b64encode(path.read_bytes()).decode("ascii")
        text = escape(title, quote=True)
        yield (
            f'<figure><img alt="{text}" src="data:image/png;base64,{picture}">'
            f"<figcaption>{text}</figcaption></figure>"
        )


def _details_section(result: Mapping) -> Iterator[str]:
    """Everything else, folded away."""
    yield "<h2>Details</h2>"
    for part in ("metrics", "arguments", "machine", "versions"):
        title = "Flags" if part == "arguments" else part.capitalize()
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>\n"
            for name, text in _flat_facts(result.get(part) or {})
        )
        if rows:
            table = f'<div class="wide"><table><tbody>\n{rows}</tbody></table></div>'
            yield f"<details><summary>{title}</summary>\n{table}</details>"


def _flat_facts(facts: Mapping, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Pairs of a readable name and a short text; values inside values get a dotted name."""
    for key, value in facts.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _flat_facts(value, f"{name} · ")
        elif isinstance(value, (list, tuple)) and len(value) > 12:
            yield name, f"{counted(len(value), 'value')} (see result.json)"
        elif isinstance(value, (list, tuple)):
            yield name, ", ".join(_short_text(part) for part in value)
        else:
            yield name, _short_text(value)


def _short_text(value: object) -> str:
    """A value in few characters."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
