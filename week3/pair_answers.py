"""What persons said of pairs of photos: read from the files that pages saved, and told again."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path

from common.data.catalogue import Catalogue
from common.data.catalogue_cells import as_text
from common.data.catalogue_tables import CONTENT, read_csv
from common.data.photo_files import file_and_box
from common.data.photo_names import ID_MARK, boxed_name, photo_id, written_name
from common.errors import InputError
from common.groups.constraints import Answer, Constraints
from common.own_files import read_json
from common.runs import RESULT
from common.tables import unescaped
from common.visualization.pair_sheet import COLUMNS, DIFFERENT, SAME, UNCLEAR
from common.words import counted

import pandas as pd

ANSWERED = ("first", "second", "answer", "first_path", "second_path")
CHANGED = (
    "; photos of these paths are here, with other content: if a program has changed them since, "
    "empty their cells in the columns first and second, and the paths count"
)
SAVED = ", saved "  # in the column asked, before the time
ANSWER_WORDS = {SAME: True, DIFFERENT: False, UNCLEAR: None, "": None}


def read_answers(
    files: Sequence[Path], card: Catalogue
) -> tuple[list[Answer], list[tuple[int, int]], list[dict[str, str]], list[str]]:
    """What persons have said of pairs.

    A photo is known by its content: on another memory card, too, there is an IMG_0001.JPG.

    Returns:
        answers; what was said before of a pair that "cannot be told" when it was asked again
            counts no more.
        asked: all pairs that they were asked about.
        rows: that have an answer, as they are in the files, for the next page to keep.
        notes: how many rows are passed over, for their photos are not in the folder (any more).
    """
    row_of, given, lost, rows = row_finder(card), [], {}, {}
    for file in files:
        table = read_csv(file)
        if missing := [name for name in ANSWERED if name not in table]:
            raise InputError(
                f"--answers {file} has no column {missing[0]}, expected {', '.join(ANSWERED)}, "
                "as pairs.html saves them; choose that file"
            )
        table = unescaped(table.apply(as_text)).reindex(columns=list(COLUMNS), fill_value="")
        for number, row in enumerate(table.to_dict("records"), start=2):
            if (answer := row["answer"].lower()) not in ANSWER_WORDS:
                raise InputError(
                    f"--answers {file}: row {number} says '{row['answer']}', expected {SAME}, "
                    f"{DIFFERENT} or {UNCLEAR}; correct the row"
                )
            if not answer:
                continue
            rows[tuple(row.values())] = row
            pair = [row_of(row[name], row[f"{name}_path"]) for name in ("first", "second")]
            if None in pair:
                names = (row[each] or row[f"{each}_path"] for each in ("first", "second"))
                lost[frozenset(names)] = row["first_path"], row["second_path"]
            elif pair[0] == pair[1]:
                raise InputError(
                    f"--answers {file}: row {number} is about {row['first_path']} twice, expected "
                    "two photos; take the row out"
                )
            else:
                asked, _, saved = row["asked"].partition(SAVED)
                given.append((tuple(sorted(pair)), asked, saved, ANSWER_WORDS[answer]))
    changed = CHANGED * bool(lost and may_have_changed(lost.values(), rows.values(), card))
    shown = " and ".join(next(iter(lost.values()))) if lost else ""
    if lost and not given:
        raise InputError(
            f"--answers {files[0]}: no row is about two photos of {card.root} ({shown}), "
            f"expected the folder that was asked about, with the same photos{changed}"
        )
    note = f"Answers about photos that are not here (any more): {len(lost)} ({shown}){changed}."
    answers, twice, tied = lasting(given)
    notes = [note] if lost else []
    paths = card.names()
    if twice:
        one, other = (paths[row] for row in twice[0])
        notes.append(
            f"Pairs that were answered otherwise when the same page was saved before: {len(twice)} "
            f"({one} and {other}): the last saving counts. If two persons disagree, ask them."
        )
    if tied:
        one, other = (paths[row] for row in tied[0])
        notes.append(
            f"Pairs with two answers of one saving: {len(tied)} ({one} and {other}), as after a "
            "correction by hand: nobody knows which is the later one; leave the older file out."
        )
    asked = list(dict.fromkeys(pair for pair, *_ in given))
    return answers, asked, list(rows.values()), notes


def may_have_changed(
    lost: Iterable[tuple[str, str]], rows: Iterable[dict[str, str]], card: Catalogue
) -> bool:
    """Whether photos that were not found may be those of their paths, which a program changed.

    A photo that another answer is about is not: the files were numbered anew.
    """
    about = {row[name] for row in rows for name in ("first", "second")}
    photos = zip(card.names(), card.paths(), strict=True)
    ids = {path: photo_id(photo) for path, photo in photos}
    here = {path for path, own in ids.items() if own not in about}
    return any(here & set(each) and set(each) <= ids.keys() for each in lost)


def lasting(
    given: Sequence[tuple[tuple[int, int], str, str, bool | None]],
) -> tuple[list[Answer], list[tuple[int, int]], list[tuple[int, int]]]:
    """The answers that count, and pairs that were answered otherwise on the same page.

    Args:
        given: pair, when it was asked, when saved, and whether it is one animal; None: nobody can
            tell. Of one asking the last saving counts; of one saving that says both, both.

    Returns:
        Answers; pairs of which an earlier saving said otherwise; and pairs of which one saving says
        both, as after a correction by hand.
    """
    said: dict[tuple[tuple[int, int], str], tuple[str, set[bool | None]]] = {}
    twice, tied = [], []
    for pair, asked, saved, is_same in sorted(given, key=lambda each: each[1:3]):
        before, answers = said.get((pair, asked), (saved, set()))
        if answers - {is_same}:
            (tied if before == saved else twice).append(pair)
        said[pair, asked] = saved, {is_same} | (answers if before == saved else set())
    counting: dict[tuple[int, int], list[Answer]] = {}
    for (pair, _), (_, answers) in said.items():  # in the order of asking
        earlier = counting.setdefault(pair, [])
        if None in answers:
            earlier.clear()
        else:
            earlier += [Answer(*pair, is_same) for is_same in sorted(answers)]
    return [answer for each in counting.values() for answer in each], twice, tied


def row_finder(card: Catalogue) -> Callable[[str, str], int | None]:
    """What finds the row of a photo by its content and its path; None where it is not there.

    Where somebody has emptied the cell of the content, the path counts, with its box. A
    file that a program has changed is still the photo that the folder's table was written for.
    """
    paths, rows_of = card.paths(), card.table.groupby("path").indices
    rows_of |= {name: [row] for row, name in enumerate(card.names())}
    id_of = lru_cache(maxsize=None)(lambda row: photo_id(paths[row]))
    was, former = as_text(card.table.get(CONTENT, pd.Series())).map(written_name), {}
    for row, (name, path) in enumerate(zip(was, paths, strict=False)):
        former[ID_MARK + boxed_name(name, file_and_box(path)[1])] = row

    def find(name: str, path: str) -> int | None:
        if not name:
            rows = rows_of.get(path, ())
            return int(rows[0]) if len(rows) == 1 else None
        # Files may have been moved, or numbered anew, since.
        rows = chain(rows_of.get(path, ()), range(card.n_images))
        return next((int(i) for i in rows if id_of(int(i)) == name), former.get(name))

    return find


def told(constraints: Constraints, card: Catalogue) -> list[str]:
    """How many answers count, and a line on each that does not."""
    named = zip(card.names(), card.table["identity"], strict=True)
    paths = [f"{path} ({name})" if name else path for path, name in named]
    lines = [each.text(paths) for each in constraints.contradictions]
    lines += [
        f"{paths[each.first]} and {paths[each.second]}: the photos speak strongly against the "
        "answer, or two answers disagree: asked once more; it joins and parts nothing until then."
        for each in constraints.doubtful
    ]
    n_left = len(lines)
    if n_answers := n_left + len(constraints.kept):
        n_kept, is_or_are = n_answers - n_left, "is" if n_left == 1 else "are"
        lines.append(f"Answers that count: {n_kept:,}; {n_left:,} {is_or_are} left out for now.")
    if constraints.contradictions and (card.table["identity"] != "").any():
        lines.append(
            "Names in brackets are the folder's own, which come before answers: correct its table "
            "where an answer is right."
        )
    return lines


def learned_from(n_pairs: int, n_left: int, named: float, distance: float) -> str:
    """Where the distance, and the share of mistakes, are known from.

    Args:
        n_pairs: that were answered, some perhaps twice.
        n_left: answers that join and part no photos, and teach the distance all the same.
    """
    if not n_pairs:
        return (
            "How far alike photos must be, and how many are sorted wrongly, is a guess from named "
            "photos, and yours may be of other cameras and places: judge pairs, which teach it."
        )
    return (
        f"Groups are joined up to a distance of {distance:.2f}, by answers about "
        f"{counted(n_pairs, 'pair')} of the folder{', with those left out' if n_left else ''} "
        f"(named photos alone: {named:.2f})."
    )


def pairs_in(rows: Sequence[dict[str, str]]) -> list[str]:
    """The pairs that rows have an answer to, for the result of a run."""
    names = ([row[name] or row[f"{name}_path"] for name in ("first", "second")] for row in rows)
    return sorted({" ".join(sorted(pair)) for pair in names})


def fewer_than_before(folder: Path, rows: Sequence[dict[str, str]]) -> list[str]:
    """A note where the run before knew answers that this one was not given.

    Args:
        rows: that have an answer.
    """
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        before = set(read_json(folder / RESULT)["metrics"]["answers"]["pairs"])
        if n_lost := len(before - set(pairs_in(rows))):
            return [
                f"Answers that the run before in this folder knew and this one does not: "
                f"{n_lost:,}. To keep them, name all files together: --answers FILE,FILE."
            ]
    return []
