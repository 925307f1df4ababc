"""Names as people and file systems write them: which are the same, which name nobody.

>>> name_key("Zoe\\u0308 \\u200bB") == name_key("zoë b"), is_unknown("N/A"), is_unknown("Nala")
(True, True, False)
"""

import difflib
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

from common.errors import InputError

# Words for "nobody knows who", in the languages of those who are likely to write them.
UNKNOWN_WORDS = """
    na, nan, nat, null, nil, none, nn, n.d., no data, no id, no name, nobody, blank, empty, missing
    unknown, unk, unkn, ukn, unknown individual, unknown animal, unknown id, unidentified, unid
    unidentified individual, unidentified animal, unidentifiable, undetermined, undet, indet
    indeterminate, undefined, unassigned, unnamed, unlabelled, unlabeled, unrecognised, unrecognized
    not identified, not identifiable, not known, not determined, not available, not applicable
    not assigned, to be determined, to be identified, to be confirmed, tbd, tba, tbc, pending
    unsure, uncertain, unclear, cannot be told, new, new individual, new animal, new whale, new id
    probably new, look yourself
    unbekannt, unbek., unbestimmt, nicht bestimmt, nicht bestimmbar, nicht identifiziert, unklar
    neu, neues tier, neues individuum, kein name, ohne name, keine angabe, keine, keiner
    inconnu, inconnue, non identifié, non identifiée, indéterminé, indéterminée, nouveau, nouvelle
    nouvel individu, sans nom, aucun, desconocido, desconocida, no identificado, no identificada
    sin identificar, sin nombre, indeterminado, indeterminada, nuevo, nueva, ninguno, ninguna
    desconhecido, desconhecida, não identificado, não identificada, sem nome, novo, nenhum
    sconosciuto, sconosciuta, ignoto, non identificato, non identificata, indeterminato, nuovo
    nuova, nessuno, onbekend, niet geïdentificeerd, nieuw, geen, okänd, okänt, oidentifierad
    ukendt, ukjent, uidentifisert, uidentificeret, tuntematon, nieznany, nieznana, nieznane
    niezidentyfikowany, brak, neznámý, neznámá, neznámé, neznan, nepoznat, ismeretlen, necunoscut
    bilinmiyor, bilinmeyen, άγνωστο, άγνωστος, неизвестно, неизвестный, неизвестная, неизвестен
    невідомо, невідомий, не определен, не определён, 不明, 未知
"""
LONGEST_NAME, LONGEST_PATH = 255, 4_096  # letters; no folder has a longer one
ALIKE = str.maketrans("’‘ʼ`´‐‑‒–—−", "'" * 5 + "-" * 6)
# Cyrillic and Greek letters that are drawn as Latin ones, small or capital.
AS_LATIN = str.maketrans(
    "авекмнорстухіјѕԁһԛԝ" + "αβεζηικμνορτυχ", "abekmhopctyxijsdhqw" + "abezhikmnoptyx"
)
INVISIBLE = "\u034f\u115f\u1160\u2800\u3164\uffa0\ufe0e\ufe0f"  # not of the category Cf, but empty
JOINERS = "\u200c\u200d"  # parts of words in some scripts, and of emoji
SURROGATES = re.compile("[\ud800-\udfff]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # also of direction


def storable(text: str) -> str:
    """Text that UTF-8 can hold: bytes that a system without it passed on, or else Latin letters.

    >>> storable("Zo\\udcc3\\udcab"), storable("Zo\\udceb")
    ('Zoë', 'Zoë')
    """

    def letters(match: re.Match) -> str:
        try:
            content = match[0].encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # half of a character of Windows
            return "\ufffd" * len(match[0])
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            return content.decode("cp1252", "backslashreplace")

    return SURROGATES.sub(letters, text)


def printable(text: str) -> str:
    """The same in one line that no terminal takes for a command."""
    return CONTROL.sub("\ufffd", storable(text))


def tidy_name(text: str) -> str:
    """A name as it is kept: composed letters, single spaces, nothing invisible at all."""
    text = unicodedata.normalize("NFC", CONTROL.sub(" ", storable(text)))
    is_seen = (char in JOINERS or unicodedata.category(char) != "Cf" for char in text)
    return " ".join("".join(char for char, seen in zip(text, is_seen, strict=True) if seen).split())


@lru_cache(maxsize=10_000)  # tables repeat names
def name_key(text: str) -> str:
    """Equal for what a person takes for the same name.

    Capitals, spaces (but not between digits), invisible characters, the kinds of apostrophe and
    dash, the ways in which Unicode spells a letter, and the script of letters that are drawn alike
    do not matter.
    """
    folded = unicodedata.normalize("NFKC", tidy_name(text).translate(ALIKE)).casefold()
    folded = unicodedata.normalize("NFKC", folded)
    folded = "".join(c for c in folded if c not in INVISIBLE and unicodedata.category(c) != "Cf")
    folded = folded.translate(AS_LATIN)
    return re.sub(r"(?<!\d) | (?!\d)", "", " ".join(folded.split()))


def _bare(text: str) -> str:
    """A key without punctuation and spaces."""
    key = name_key(text)
    return "".join(
        c for c in key if c not in string.punctuation and unicodedata.category(c)[0] not in "PZ"
    )


# What a spreadsheet shows for a formula that failed, in some languages.
SHEET_ERROR = re.compile(
    r"#(n/?a|nv|name\?|nom\s?\?|ref!|bezug!|value!|wert!|valeur!|num!|zahl!|null!|(div|teil)/0!)",
    re.IGNORECASE,
)
UNKNOWN = frozenset(_bare(word) for word in re.split(r"[,\n]", UNKNOWN_WORDS))


# Words that no name has, whatever stands beside them: "unknown 2", "ID unknown".
_NOBODY = re.compile(
    r"unk|ukn|unkn|unid|(unknown|unidentif|undetermin|unbekannt|unbestimmt|inconnu|desconocid|"
    r"desconhecid|sconosciut|onbekend|неизвест|невідом).*"
)
NUMBER = re.compile(r"[\W_]*\d+\W*$")  # behind a word: "new individual 3"


@lru_cache(maxsize=10_000)
def is_unknown(text: str) -> bool:
    """Whether a text is a word for "nobody knows", numbered or not, or nothing but punctuation.

    Na and Nn are names: of those words in two letters, nobody writes the first one alone large.

    >>> [is_unknown(text) for text in ("New individual 3", "ID_unknown", "NA 3", "12")]
    [True, True, False, False]
    """
    if SHEET_ERROR.fullmatch(text.strip()):
        return True
    words = re.findall(r"[^\W\d_]+", tidy_name(text).casefold())
    without_number = _bare(NUMBER.sub("", text))
    if any(map(_NOBODY.fullmatch, words)) or (
        len(without_number) > 3 and without_number in UNKNOWN
    ):
        return True
    return _bare(text) in UNKNOWN and not re.fullmatch("[A-Z][a-z]", text.strip())


def refuse_long(text: str, where: str, most: int = LONGEST_NAME) -> None:
    """Refuse a name, or a path, that can be none.

    Raises:
        InputError: with its beginning.
    """
    if len(text) > most:
        raise InputError(
            f"{where}: found a name of {len(text):,} letters ({text[:20]}…), expected at most "
            f"{most:,}; is a quotation mark missing, or a column shifted?"
        )


def near_to(text: str, names: Iterable[str]) -> list[str]:
    """Names that may be meant by a text, the likeliest first; capitals do not matter."""
    keys: dict[str, list[str]] = {}
    for name in names:
        keys.setdefault(name_key(name), []).append(name)
    near = difflib.get_close_matches(name_key(text), keys)
    return list(dict.fromkeys(name for key in near for name in keys[key]))


def joined_spellings(names: Iterable[str], kept: Collection[str] = ()) -> dict[str, str]:
    """Each name in the spelling that most of the same have; `kept` ones are only exactly so."""
    counts = Counter(names)
    chosen: dict[tuple[bool, str], str] = {}
    spelled = {}
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        key = (True, name) if name in kept else (False, name_key(name))
        spelled[name] = chosen.setdefault(key, name if name in kept else tidy_name(name))
    return spelled


def number_key(name: str) -> str:
    """Equal for names of which a spreadsheet makes one number.

    >>> number_key("007"), number_key("7.0"), number_key("t07")
    ('7', '7', 't07')
    """
    number = re.fullmatch(r"0*(\d+)(?:[.,]0+)?", name)
    return number[1] if number else name


def one_number(names: Iterable[str]) -> tuple[str, ...]:
    """Different names of which a spreadsheet makes one number, such as "007 = 7"."""
    ways: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        ways.setdefault(number_key(name), []).append(name)
    return tuple(" = ".join(each) for each in ways.values() if len(each) > 1)


def several_spellings(spelled: Mapping[str, str]) -> tuple[str, ...]:
    """Names that were written in several ways, such as "Anna = anna", of `joined_spellings`."""
    ways: dict[str, list[str]] = {}
    for name, chosen in spelled.items():
        ways.setdefault(chosen, []).append(name)
    several = [each for each in ways.values() if len(each) > 1]
    folded = [{tidy_name(name).casefold() for name in each} for each in several]
    looks_alike = [
        len(set(map(tidy_name, each))) < len(each)
        or len({name.translate(AS_LATIN) for name in names}) < len(names)
        for each, names in zip(several, folded, strict=True)
    ]
    return tuple(
        " = ".join(map(ascii if alike else printable, each))
        for each, alike in zip(several, looks_alike, strict=True)
    )
