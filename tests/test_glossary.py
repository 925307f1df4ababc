"""The glossary is in order, and what it points at is there."""

import re

import pytest
from readme_blocks import ROOT

TEXT = (ROOT / "GLOSSARY.md").read_text(encoding="utf-8")
TERMS = re.findall(r"^- \*\*(.+?)\*\*: ", TEXT, flags=re.M)
LINKS = re.findall(r"\]\(([^)]+)\)", TEXT)


def anchors_of(page):
    """The places of a page that a link can name, as GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_line_is_a_term_with_a_link():
    lines = [line for line in TEXT.splitlines() if line.startswith("- ")]

    assert len(lines) == len(TERMS) >= 60
    assert not [line for line in lines if "](" not in line]


def test_the_terms_are_in_alphabetical_order():
    assert sorted(TERMS, key=str.lower) == TERMS


@pytest.mark.parametrize("link", sorted(set(LINKS)))
def test_what_a_term_points_at_is_there(link):
    file, _, anchor = link.partition("#")

    assert (ROOT / file).is_file()
    assert not anchor or anchor in anchors_of(ROOT / file)


def test_words_in_italics_have_an_entry():
    named = " ".join(TERMS).lower()
    italics = re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", TEXT)

    missing = [word for word in italics if word.lower().removesuffix("s") not in named]

    assert missing == []
