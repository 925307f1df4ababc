"""What local matching means in a gallery, learned from photos that its network never learned from.

Each of some photos is asked as a known animal's, without the photos of its own encounter, and
those of animals that are new to the network as a new animal's too, without that animal. All that
they are compared with is kept for a moment, so that the same questions can be asked with less and
with more time: of each plan the gallery knows what validation photos got.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.gallery.gallery import Gallery
from common.gallery.local_matching import ABOUT, LEFT_OUT, Plan, learned_scores, left_out
from common.gallery.pictures import picture_path
from common.gallery.scores import N_DIGITS, ValidationScores, draw_encounters, scores_of_questions
from common.matching.budget import Cost, cost_of
from common.matching.cascade import Cascade, Compare, Pairs, Stage, learn_cascade
from common.matching.details import read_details
from common.matching.local_features import LocalFeatures
from common.matching.matchers import Matcher
from common.models.storage import read_description
from common.splits.encounters import comparable, same_encounter
from common.words import counted, expected_time

import numpy as np

MOST_COMPARED = 2_000  # gallery photos that the first stage compares, or it would take too long
PAIRS_OF_LAST = (5, 10, 20, 50)  # gallery photos that the last stage may compare: a plan each
STEP = 4  # that it compares before the decision is looked at again
FEWEST_ASKED = 20  # photos of known animals, and of new ones
ALONE = 3  # times as many photos are asked by the first stage alone
SEEN_TWICE = 1.5  # as many photos are compared for one that is asked as known and as new
N_TRIED = 4  # photos that say how long all take
GROWN = 2  # times as many photos as when it was learned: then it is learned anew


@dataclass(frozen=True)
class Effort:
    """What a machine can afford when a gallery is built.

    Attributes:
        described: photos of which the details of all stages are found; of more, the first's.
        asked: photos that teach what scores mean; `ALONE` times as many with the first stage alone.
        compared: most gallery photos that the last stage compares with each of them.
    """

    described: int
    asked: int
    compared: int


ON_CPU, ON_GPU = Effort(1_000, 100, 20), Effort(100_000, 500, 50)


def effort_of(matchers: Mapping[str, Matcher]) -> Effort:
    """What the machine can afford that these matchers are on."""
    devices = {str(getattr(each, "device", "cpu")) for each in matchers.values()}
    return ON_CPU if devices <= {"cpu"} else ON_GPU


def to_describe(matchers: Mapping[str, Matcher], n_photos: int) -> dict[str, Matcher]:
    """The stages that so many photos can be described for in minutes."""
    n_stages = None if n_photos <= effort_of(matchers).described else 1
    return dict(list(matchers.items())[:n_stages])


def expected_minutes(matchers: Mapping[str, Matcher], photos: Sequence[Path]) -> float:
    """Minutes to describe photos and to learn from them, on this machine.

    Args:
        photos: files, of which the first few are tried.
    """
    tried = {name: each.describe(photos[:N_TRIED]) for name, each in matchers.items()}
    costs = {name: cost_of(each, photos[0], tried[name]) for name, each in matchers.items()}
    seconds = len(photos) * sum(each.photo for each in costs.values())
    return seconds / 60 + _minutes_to_learn(matchers, costs, len(photos))


def _minutes_to_learn(
    matchers: Mapping[str, Matcher], costs: Mapping[str, Cost], n_photos: int
) -> float:
    """Minutes to learn from described photos, about."""
    n_pairs = [min(MOST_COMPARED, n_photos), effort_of(matchers).compared * SEEN_TWICE]
    seconds = sum(n * cost.pair for n, cost in zip(n_pairs, costs.values(), strict=False))
    return min(_n_asked(matchers), n_photos) * seconds / 60


def _n_asked(matchers: Mapping[str, Matcher]) -> int:
    """Photos that teach what scores mean, about."""
    return effort_of(matchers).asked * (ALONE if len(matchers) == 1 else 1)


def learn_matching(gallery: Gallery, folder: Path, matchers: Mapping[str, Matcher]) -> str:
    """Learn what a gallery's scores mean, unless that was done when it was half as large.

    Returns:
        A sentence on it; "" where nothing is to be learned.
    """
    is_learned = left_out(gallery) or learned_scores(gallery)
    n_before = gallery.about[ABOUT].get("n_photos", 0) if is_learned else 0
    if not matchers or len(gallery) < n_before * GROWN:
        return ""
    rows = np.flatnonzero(gallery.can_be_found())
    facts = {name: values[rows] for name, values in gallery.facts.items()}
    features = {}
    for name, matcher in matchers.items():
        features[name], fault = read_details(matcher, facts["picture"].tolist(), folder)
        if fault:
            return f"Local matching is not learned: {folder}: {fault}."
    known, new, reason = rows_to_ask(gallery, facts, _n_asked(matchers))
    if reason:
        return f"Local matching is not learned, and the embedding answers alone: {reason}."
    picture = picture_path(folder, facts["picture"][0])
    costs = {n: cost_of(each, picture, features[n][:N_TRIED]) for n, each in matchers.items()}
    minutes = expected_time(_minutes_to_learn(matchers, costs, len(rows)))
    print(f"Learning from the gallery what local matching means: {minutes}.", flush=True)
    asked = _Asked(gallery.embeddings_at(rows), facts, known, new, matchers, features)
    cascade, plans, reason = asked.learn()
    learned = {"cascade": cascade.to_dict(), "plans": [each.to_dict() for each in plans]}
    gallery.about[ABOUT] = {"n_photos": len(rows), **learned}
    if reason:
        gallery.about[ABOUT][LEFT_OUT] = reason
        return f"The embedding answers alone: {reason}."
    return f"What local matching means is learned from {asked.source}."


def rows_to_ask(
    gallery: Gallery, facts: Mapping[str, np.ndarray], n_asked: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Photos that the network has not learned from, whole encounters drawn by chance.

    Returns:
        known: rows of facts, to be asked without their encounter.
        new: some of these, of animals that the network never learned, to be asked without those.
        reason: why there are too few; "" where there are enough.
    """
    scores = read_description(gallery.model)["scores"]
    trained_photos = [] if scores is None else scores.get("trained_photos")
    if trained_photos is None:
        nobody = np.empty(0, dtype=np.intp)
        reason = "its network does not say which photos it was trained on; train it anew"
        return nobody, nobody, reason
    is_trained = np.isin(facts["picture"].astype(f"U{N_DIGITS}"), trained_photos)
    is_new = ~np.isin(facts["identity"], facts["identity"][is_trained])
    n_wanted = n_asked if is_new.all() else n_asked // 2  # of either kind
    chosen = {
        kind: draw_encounters(facts, ~is_trained & (is_new == kind), n_wanted)
        for kind in (True, False)
    }
    known, new = np.sort(np.concatenate([*chosen.values()])), chosen[True]
    if len(new) >= FEWEST_ASKED:
        reason = "" if _are_met_again(facts, known) else "no animal here was met in two encounters"
        return known, new, reason
    most = f"all but {counted(len(known), 'photo')}" if len(known) else "all photos"
    learned = f"its network has learned from {most} here, and " if is_trained.any() else ""
    reason = (
        f"{learned}animals that are new to its network have {counted(len(new), 'photo')}, expected "
        f"{FEWEST_ASKED} or more"
    )
    return known, new, reason


def _are_met_again(facts: Mapping[str, np.ndarray], rows: np.ndarray) -> bool:
    """Whether any of these photos can be named right by a photo of another encounter."""
    identity, encounter, side = (facts[name] for name in ("identity", "encounter", "side"))
    return any(
        (
            (identity == identity[row])
            & ~same_encounter(encounter[row], encounter)
            & comparable(side[[row]], side)
        ).any()
        for row in rows
    )


class _Asked:
    """Photos of a gallery that are asked about, each compared with each other photo once at most.

    Args:
        embeddings: of the photos that are searched, shape (n_gallery, embedding_dim).
        known: rows of these, to be asked without their encounter.
        new: rows to be asked without their animal.
    """

    def __init__(
        self,
        embeddings: np.ndarray,
        facts: Mapping[str, np.ndarray],
        known: np.ndarray,
        new: np.ndarray,
        matchers: Mapping[str, Matcher],
        features: Mapping[str, Sequence[LocalFeatures]],
    ) -> None:
        self.embeddings, self.facts = embeddings, facts
        self.labels = np.unique(facts["identity"], return_inverse=True)[1]
        self.rows = np.concatenate([known, new])
        self.is_new = np.arange(len(self.rows)) >= len(known)
        self.matchers, self.features = matchers, features
        n_photos = counted(len(known), "photo")
        self.source = f"{n_photos} of the gallery that its network has not learned from"

    def learn(self) -> tuple[Cascade, list[Plan], str]:
        """What scores mean, and what the questions get with less and with more time.

        The text says so where each way names fewer of them right than the embedding alone: then
        details are left out. Those of animals without a sharp pattern are those of the ground.
        """
        first, *later = self.matchers
        whole = Stage(first, MOST_COMPARED, MOST_COMPARED)
        most = effort_of(self.matchers).compared
        ways = [[whole], *([whole, Stage(each, n, STEP)] for each in later for n in PAIRS_OF_LAST)]
        ways = [way for way in ways if way == [whole] or way[-1].n_pairs <= most]
        compare = [self._comparing(row) for row in range(len(self.labels))]
        questions = [
            self._pairs(row, compare[row], is_new=new)
            for row, new in zip(self.rows, self.is_new, strict=True)
        ]
        cascade, _ = learn_cascade(questions, self.labels[self.rows], ways[-1])
        plans = [Plan(way, self._scores(cascade, questions, way)) for way in ways]
        alone, *right = (
            sum(place == 0 for place in scores.photos.right_place)
            for scores in (self._scores(cascade, questions, []), *(each.scores for each in plans))
        )
        reason = f"of {self.source}, it names {alone:,} right, with their details {max(right):,}"
        return cascade, plans, reason * (max(right) < alone)

    def _pairs(self, row: int, compare: Compare, *, is_new: bool) -> Pairs:
        """The question about one photo."""
        is_own = self.labels == self.labels[row]
        is_same = same_encounter(self.facts["encounter"][row], self.facts["encounter"])
        allowed = comparable(self.facts["side"][[row]], self.facts["side"])
        allowed &= ~(is_own & (is_new | is_same))
        return Pairs(self.embeddings[[row]] @ self.embeddings.T, allowed, self.labels, compare)

    def _comparing(self, row: int) -> Compare:
        """Compare a photo with others; what is known is not compared again."""
        known: dict[str, np.ndarray] = {}

        def compare(name: str, _: int, columns: np.ndarray) -> np.ndarray:
            scores = known.setdefault(name, np.full(len(self.labels), np.nan))
            if len(missing := columns[np.isnan(scores[columns])]):
                own = self.features[name]
                scores[missing] = self.matchers[name].scores(own[row], [own[i] for i in missing])
            return scores[columns]

        return compare

    def _scores(
        self, cascade: Cascade, questions: Sequence[Pairs], stages: Sequence[Stage]
    ) -> ValidationScores:
        """What the questions get when they are asked with these stages; hardly a pair is new."""

        def ask(group: list[int]) -> np.ndarray:
            pairs = Pairs(
                np.concatenate([questions[i].cosines for i in group]),
                np.concatenate([questions[i].allowed for i in group]),
                self.labels,
                lambda name, photo, columns: questions[group[photo]].compare(name, 0, columns),
            )
            return cascade.ask(pairs, stages).animals()

        labels, encounters = self.labels[self.rows], self.facts["encounter"][self.rows]
        return scores_of_questions(ask, labels, self.is_new, encounters, self.source)
