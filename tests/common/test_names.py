"""What a person takes for the same name is the same; what is unknown is unknown."""

from common.names import is_unknown, joined_spellings, name_key, printable, storable, tidy_name

import pytest

UNKNOWN = [
    *("", " ", "NA", "N/A", "#N/A", "n.a.", "<NA>", "NaN", "null", "None", "(none)", "?", "??"),
    *("-", "--", "–", "…", "_", "Unknown", "UNK", "unknown?", "unidentified", "Not identified"),
    *("undetermined", "TBD", "new", "New individual", "new_whale", "cannot be told", "\u200b"),
    *("#REF!", "#NAME?", "#NV", "#DIV/0!"),
    *("Unbekannt", "inconnue", "non identifiée", "desconocido", "sin identificar", "onbekend"),
    *("não identificado", "sconosciuto", "okänd", "tuntematon", "nieznany", "неизвестно", "不明"),
]
NAMES = ["Nala", "Nana", "007", "0", "-1", "Nova", "Newton", "Unkas", "🐢", "♂", "é", "T?1", "Na-7"]


@pytest.mark.parametrize("word", UNKNOWN)
def test_words_for_unknown_name_nobody(word):
    assert is_unknown(word)


@pytest.mark.parametrize("name", NAMES)
def test_names_name_somebody(name):
    assert not is_unknown(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zoë", "Zoe\u0308"),
        ("Anna", "aNNA"),
        ("Strauß", "STRAUSS"),
        ("Anna", "\ufeffAn\u200bna\u00ad"),
        ("Anna B", "Anna\u00a0B"),
        ("Anna B", "  Anna   B "),
        ("Anna B", "AnnaB"),
        ("Anna", "Ａnna"),
        ("O'Neil", "O’Neil"),
        ("T-1", "T–1"),
        ("Zoë", "Zo\udceb"),
    ],
)
def test_spellings_of_one_name_have_one_key(one, other):
    assert name_key(one) == name_key(other)


@pytest.mark.parametrize(
    ("one", "other"), [("007", "7"), ("1 2", "12"), ("Zoë", "Zoe"), ("A1", "A11"), ("a.b", "ab")]
)
def test_different_names_stay_different(one, other):
    assert name_key(one) != name_key(other)


def test_the_commonest_spelling_is_kept_without_what_cannot_be_seen():
    names = ["Zoe\u0308", "zoë", "Zoe\u0308", "Bo"]

    assert joined_spellings(names) == {"Zoe\u0308": "Zoë", "zoë": "Zoë", "Bo": "Bo"}


def test_names_that_are_kept_are_joined_with_no_other():
    assert joined_spellings(["Ab", "aB", "ab"], ["aB"]) == {"Ab": "Ab", "aB": "aB", "ab": "Ab"}


def test_bytes_of_a_file_name_become_letters_and_control_characters_signs():
    assert storable("Zo\udceb\n\ud800") == "Zoë\n\ufffd"
    assert printable("a\x1b[31m\nb") == "a\ufffd[31m\ufffdb"
    assert tidy_name("a\x1b\n b") == "a b"


@pytest.mark.parametrize(
    "text",
    [
        *("ID unknown", "unknown 1", "unknown_2", "Unknown-07", "New individual 3", "UNK 4"),
        *("unidentified turtle", "unidentified3", "turtle (unknown)", "unbekannt 5", "new whale 2"),
    ],
)
def test_numbered_and_described_words_for_nobody_name_nobody(text):
    assert is_unknown(text)


@pytest.mark.parametrize("text", ["t001", "NA12", "New 3", "N1", "Unkas", "12", "Newton 2"])
def test_numbered_names_are_names(text):
    assert not is_unknown(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [("bella", "b\u0435lla"), ("Coco", "\u0421\u043e\u0441\u043e"), ("Nora", "\u039dora")],
)
def test_letters_of_another_script_that_are_drawn_alike_are_the_same(one, other):
    assert name_key(one) == name_key(other)


def test_letters_of_one_script_stay_apart():
    letters = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
    assert len({name_key(letter) for letter in letters}) == len(letters)
    assert len({name_key(letter) for letter in "αβγδεζηθικλμνξοπρστυφχψω"}) == 24


@pytest.mark.parametrize("text", ["Zoé", "\u041e\u043b\u044f", "\u4e0d\u660e"])
def test_utf8_that_the_system_did_not_read_is_read(text):
    assert storable(text.encode().decode("ascii", "surrogateescape")) == text
