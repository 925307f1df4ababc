"""What validation photos get from an embedding, from which follows what a similarity means.

Photos whose answer is known are asked as if it were not. Photos of known animals are compared
without those of their own encounter; photos of animals that count as new, without any photo of
that animal. What the best candidates got is stored with the model or the gallery; thresholds and
probabilities follow from it when a question is asked, at the rates that are asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

from common.data.catalogue import Catalogue
from common.data.photo_files import each_photo
from common.data.photo_names import photo_name
from common.errors import InputError
from common.gallery.identification import best_per_animal
from common.matching.cascade import mean_of_photos
from common.splits.encounters import comparable, same_encounter
from common.splits.questions import Questions

import numpy as np

N_CANDIDATES = 5  # stored for each question
N_DIGITS = 12  # of a photo's name: no two of a million photos share them
HIGHEST = 1e6  # above any score
BLOCK = 256  # photos compared at a time


def _are_similarities(values: object) -> bool:
    """Whether these are similarities of candidates, best first."""
    return (
        isinstance(values, list)
        and 1 <= len(values) <= N_CANDIDATES
        and all(type(each) in (int, float) and abs(each) < HIGHEST for each in values)
        and sorted(values, reverse=True) == values
    )


def _are(is_sound: Callable[[object], bool], values: object, n: int) -> bool:
    return isinstance(values, list) and len(values) == n and all(map(is_sound, values))


FIELDS = {  # of `AskedScores`: what an entry may be, in a file that anybody may have changed
    "similarities": _are_similarities,
    "right_place": lambda value: type(value) is int and -1 <= value < N_CANDIDATES,
    "animal": lambda value: type(value) is int and value >= 0,
    "is_known": lambda value: type(value) is bool,
}


@dataclass(frozen=True)
class AskedScores:
    """Validation questions and what their best candidates got.

    Attributes:
        similarities: of each question's candidates, best first, at most `N_CANDIDATES`.
        right_place: of the right animal among them, from 0; -1 where it is not among them.
        animal: a number for the animal that the question shows.
        is_known: whether that animal could be found at all.
    """

    similarities: list[list[float]]
    right_place: list[int]
    animal: list[int]
    is_known: list[bool]

    def __len__(self) -> int:
        return len(self.similarities)

    @classmethod
    def read(cls, values: Mapping, part: str) -> "AskedScores":
        """A part of `ValidationScores.to_dict`, of which any field may be damaged.

        Raises:
            InputError: with the name of the field.
        """
        given = values.get(part)
        lists = {each.name: None for each in fields(cls)}
        if isinstance(given, Mapping) and set(given) == set(lists):
            lists |= given
        n = len(lists["similarities"]) if isinstance(lists["similarities"], list) else -1
        for name, is_sound in FIELDS.items():
            if not _are(is_sound, lists[name], n):
                raise InputError(f"{name} of {part} is not as this course writes it")
        return cls(**lists)


@dataclass(frozen=True)
class ValidationScores:
    """What validation photos got, one by one and fused.

    Attributes:
        photos: every question is one photo.
        encounters: every question is all photos of an encounter, two or more.
        chance: share of the photos of known animals, in [0, 1], that a guess names right; None
            where it was not stored.
        untrained_place: `right_place` of the photos as the same network gave it before it was
            trained; None where it was not stored.
        trained_photos: names of the photos that were trained on, shortened, so that a gallery knows
            which of its own it may ask; None where it was not stored.
    """

    photos: AskedScores
    encounters: AskedScores
    source: str
    chance: float | None = None
    untrained_place: list[int] | None = None
    trained_photos: list[str] | None = None

    def to_dict(self) -> dict:
        """Plain JSON types, which `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping) -> "ValidationScores":
        """Read what `to_dict` gave, also an earlier version's.

        Raises:
            InputError: the values are other than `to_dict` gives.
        """
        if not isinstance(values, Mapping) or not isinstance(values.get("source"), str):
            raise InputError("it does not say whose photos they are")
        photos, encounters = (AskedScores.read(values, part) for part in ("photos", "encounters"))
        chance, places = values.get("chance"), values.get("untrained_place")
        if chance is not None and not (type(chance) is float and 0 <= chance <= 1):
            raise InputError("its share of right guesses is none")
        is_place = FIELDS["right_place"]
        if places is not None and not _are(is_place, places, len(photos)):
            raise InputError("its answers before training do not fit")
        names = values.get("trained_photos")
        if names is not None and not (
            isinstance(names, list) and all(isinstance(each, str) for each in names)
        ):
            raise InputError("its names of photos that were trained on are none")
        return cls(photos, encounters, values["source"], chance, places, names)


def ask_validation(
    embeddings: np.ndarray,
    facts: Mapping[str, np.ndarray],
    *,
    gallery: np.ndarray,
    known: np.ndarray,
    new: np.ndarray,
    source: str,
) -> ValidationScores:
    """Ask validation photos, alone and fused, and keep what their best candidates got.

    Photos of known animals that nothing of their animal can be compared with, such as the only
    photos of a side, are not asked: nobody could name them.

    Args:
        embeddings: float, shape (n_images, embedding_dim), unit length.
        facts: "identity", "encounter" and "side", str, each of shape (n_images,).
        known: rows asked about without the photos of their own encounter.
        new: rows asked about without any photo of their animal.
    """
    names, labels = np.unique(facts["identity"], return_inverse=True)
    rows = np.concatenate([known, new]).astype(np.intp)
    is_new = np.arange(len(rows)) >= len(known)
    scores, searched = np.empty((len(rows), len(names))), embeddings[gallery]
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        query = rows[block]
        allowed = comparable(facts["side"][query], facts["side"][gallery])
        is_own = labels[query][:, None] == labels[gallery]
        is_same = same_encounter(facts["encounter"][query][:, None], facts["encounter"][gallery])
        allowed &= ~(is_own & (is_new[block, None] | is_same))
        similarity = embeddings[query] @ searched.T  # (n_query, n_gallery)
        scores[block] = best_per_animal(similarity, labels[gallery], len(names), allowed)
    return scores_of_questions(
        lambda group: mean_of_photos(scores[group]),
        labels[rows],
        is_new,
        facts["encounter"][rows],
        source,
    )


def scores_of_questions(
    ask: Callable[[list[int]], np.ndarray],
    labels: np.ndarray,
    is_new: np.ndarray,
    encounters: np.ndarray,
    source: str,
) -> ValidationScores:
    """What questions get, one by one and all photos of an encounter together.

    Args:
        ask: numbers of photos, which show one animal in one encounter, to the score of each
            animal, shape (n_animals,), nan where it cannot be compared.
        labels: of each photo's animal, shape (n_photos,).
        is_new: whether it counts as new, bool, shape (n_photos,).
        encounters: of each photo, shape (n_photos,).
    """
    groups: dict[tuple, list[int]] = {}
    for i, group in enumerate(zip(is_new, labels, encounters, strict=True)):
        groups.setdefault(group, []).append(i)
    together = [group for group in groups.values() if len(group) > 1]
    first = [group[0] for group in together]
    alone = [ask([i]) for i in range(len(labels))]
    known = [i for i, new in enumerate(is_new) if not new]
    return ValidationScores(
        photos=_asked(alone, labels, is_new),
        encounters=_asked([ask(group) for group in together], labels[first], is_new[first]),
        source=source,
        chance=_chance(np.array([alone[i] for i in known]), labels[known]),
    )


def validation_scores_of(
    embed: Callable[[np.ndarray], np.ndarray],
    questions: Questions,
    catalogue: Catalogue,
    untrained: Callable[[np.ndarray], np.ndarray] | None = None,
) -> ValidationScores | None:
    """What validation photos get from a trained embedding; no other photo but training's is seen.

    Animals that were trained on are known, those held out are new. Where the split has no
    validation photo of the former, those held out are asked both ways.

    Args:
        embed: rows of the catalogue to their embeddings, shape (n_rows, embedding_dim).
        untrained: the same of the network before it was trained; None: not to be compared.

    Returns:
        None where no animal was held out for validation.
    """
    train, known, new = questions.train, questions.validation_known, questions.validation_new
    if not len(new):
        return None
    gallery, asked = (train, known) if len(known) else (np.union1d(train, new), new)
    source = f"{len(known) + len(new)} validation photos of {catalogue.name}"
    rows = {"gallery": gallery, "known": asked, "new": new}
    scores = ask_catalogue(embed, catalogue, **rows, source=source)
    scores = replace(scores, trained_photos=short_names(catalogue, train))
    if untrained is None:
        return scores
    before = ask_catalogue(untrained, catalogue, **rows, source=source)
    return replace(scores, untrained_place=before.photos.right_place)


def short_names(catalogue: Catalogue, rows: np.ndarray) -> list[str]:
    """The first digits of the names of some photos' pictures, see `common.gallery.pictures`."""
    paths = catalogue.paths()
    names = each_photo(photo_name, [paths[i] for i in rows], "reading", progress=False)
    return [each[:N_DIGITS] for each in names]


def ask_catalogue(
    embed: Callable[[np.ndarray], np.ndarray],
    catalogue: Catalogue,
    *,
    source: str,
    **asking: np.ndarray,
) -> ValidationScores:
    """`ask_validation` with rows of a catalogue, of which no others are embedded."""
    rows = np.unique(np.concatenate([*asking.values()]))
    table = catalogue.table.iloc[rows]
    names = {"identity": "identity", "encounter": "encounter", "side": "orientation"}
    return ask_validation(
        embed(rows),
        {fact: table[name].to_numpy(dtype=str) for fact, name in names.items()},
        **{name: np.searchsorted(rows, own) for name, own in asking.items()},
        source=source,
    )


def draw_encounters(
    facts: Mapping[str, np.ndarray], may_be_asked: np.ndarray, n_photos: int
) -> np.ndarray:
    """Rows of whole encounters drawn by chance, ascending, until there are so many photos."""
    encounters: dict[tuple[str, str], list[int]] = {}
    for row in np.flatnonzero(may_be_asked):
        encounters.setdefault((facts["identity"][row], facts["encounter"][row]), []).append(row)
    groups, rows = list(encounters.values()), []
    for index in np.random.default_rng(0).permutation(len(groups)):
        if len(rows) >= n_photos:
            break
        rows += groups[index]
    return np.array(sorted(rows), dtype=np.intp)


def _chance(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Share of known animals' photos that a guess among the animals compared names right."""
    if not len(labels):
        return None
    can_be_named = np.isfinite(scores[np.arange(len(labels)), labels])
    n_compared = np.isfinite(scores[can_be_named]).sum(axis=1)
    return float(np.mean(1 / n_compared)) if len(n_compared) else None


def _asked(scores: Sequence[np.ndarray], labels: np.ndarray, is_new: np.ndarray) -> AskedScores:
    """The best candidates of each question, of those that can be answered.

    Args:
        scores: of each question, shape (n_animals,); nan where an animal cannot be compared.
    """
    asked = AskedScores([], [], [], [])
    for row, label, new in zip(scores, labels, is_new, strict=True):
        can_be_answered = np.isfinite(row).any() if new else np.isfinite(row[label])
        if not can_be_answered:
            continue
        order = np.argsort(-row, kind="stable")[: min(N_CANDIDATES, np.isfinite(row).sum())]
        place = np.flatnonzero(order == label)
        asked.similarities.append([float(each) for each in row[order]])
        asked.right_place.append(int(place[0]) if len(place) else -1)
        asked.animal.append(int(label))
        asked.is_known.append(not new)
    return asked
