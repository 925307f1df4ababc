"""A gallery's cascade: which animals a question's photos show, by embedding and by details.

What scores mean is stored with the gallery, see `common.gallery.learned_matching`; so are the
scores that validation photos got with less and with more time, from which the verdicts follow.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import InputError
from common.gallery.gallery import Gallery
from common.gallery.identification import Question, Ranking, rank_animals
from common.gallery.scores import ValidationScores
from common.machine.device import pick_device
from common.matching.budget import CASCADE, Cost, cost_of
from common.matching.cascade import Cascade, Compare, Pairs, Stage
from common.matching.details import read_details
from common.matching.local_features import LocalFeatures
from common.matching.matchers import Matcher, load_matcher, matched_points

import numpy as np

SECONDS = 2.0  # for one question
N_REMEMBERED = 32  # descriptions of questions' photos
DAMAGE = (InputError, KeyError, TypeError, ValueError, AttributeError, IndexError)
ABOUT = "local_matching"  # its place in `Gallery.about`
LEFT_OUT = "left_out"  # why it is not asked although it was learned


@dataclass(frozen=True)
class Plan:
    """How much is compared, and what validation photos got when it was."""

    stages: Sequence[Stage]
    scores: ValidationScores

    def text(self, n_gallery: int) -> str:
        """What is compared with a gallery of so many photos, in a sentence."""
        parts = [
            f"by {each.name} with {'all' if each.n_pairs >= n_gallery else f'{each.n_pairs:,}'}"
            for each in self.stages
        ]
        return f"Compared: by the embedding with all photos, {', then '.join(parts)} at most."

    def to_dict(self) -> dict:
        """Plain JSON types, which `from_dict` reads."""
        return {"stages": [vars(each) for each in self.stages], "scores": self.scores.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping) -> "Plan":
        """Read what `to_dict` gave."""
        stages = [Stage(**each) for each in values["stages"]]
        return cls(stages, ValidationScores.from_dict(values["scores"]))

    def seconds(self, costs: Mapping[str, Cost], n_gallery: int, n_photos: int) -> float:
        """At most, for one question."""
        return n_photos * sum(
            costs[each.name].photo + min(each.n_pairs, n_gallery) * costs[each.name].pair
            for each in self.stages
        )


@dataclass(frozen=True, eq=False)
class LocalMatching:
    """A gallery's cascade, ready to be asked.

    Attributes:
        cascade: what scores mean.
        plans: from the quickest on.
        matchers: of the stages, as far as they are installed here.
        features: of each stage those of the gallery's photos.
        rows: of the gallery's facts, to which these belong.
    """

    cascade: Cascade
    plans: Sequence[Plan]
    matchers: Mapping[str, Matcher]
    features: Mapping[str, Sequence[LocalFeatures]]
    rows: np.ndarray
    _seen: dict[tuple[str, Path], LocalFeatures] = field(default_factory=dict)

    def plan_within(self, seconds: float, photo: Path, n_photos: int) -> Plan | None:
        """The plan that compares most in a given time; None where it suffices for none.

        Args:
            photo: to try how fast this machine is, if that is not known yet.
        """
        costs = {
            name: cost_of(matcher, photo, self.features[name][:8])
            for name, matcher in self.matchers.items()
        }
        affordable = [
            each for each in self.plans if each.seconds(costs, len(self.rows), n_photos) <= seconds
        ]
        return affordable[-1] if affordable else None

    def rank(
        self,
        gallery: Gallery,
        questions: Sequence[Question],
        photos: Sequence[Sequence[Path]],
        plan: Plan,
        k: int,
    ) -> list[Ranking]:
        """Rank a gallery's animals for each question, see `rank_animals`.

        Args:
            photos: files of each question.
        """

        def score(i: int, *pairs: np.ndarray) -> np.ndarray:  # see `ScorePairs`
            similarity, allowed, labels, rows = pairs
            compare = self._comparing(photos[i], np.searchsorted(self.rows, rows))
            pairs = Pairs(similarity, allowed, labels, compare)
            return self.cascade.ask(pairs, plan.stages).counting

        return rank_animals(gallery, questions, k, score)

    def _comparing(self, photos: Sequence[Path], places: np.ndarray) -> Compare:
        """Compare files with some of the gallery's photos; they are described when a stage asks."""

        def compare(name: str, photo: int, columns: np.ndarray) -> np.ndarray:
            candidates = [self.features[name][place] for place in places[columns]]
            return self.matchers[name].scores(self._described(name, photos[photo]), candidates)

        return compare

    def _described(self, name: str, photo: Path) -> LocalFeatures:
        """A question's photo; the last few are remembered."""
        key = name, photo
        if key not in self._seen:
            while len(self._seen) >= N_REMEMBERED:
                del self._seen[next(iter(self._seen))]
            self._seen[key] = self.matchers[name].describe([photo])[0]
        return self._seen[key]

    def lines(self, plan: Plan, photo: Path, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Where a photo has the same details as one of the gallery's, see `matched_points`.

        Args:
            plan: whose last stage says which are the same.
        """
        name = plan.stages[-1].name
        place = int(np.searchsorted(self.rows, row))
        query = self._described(name, photo)
        return matched_points(self.matchers[name], query, self.features[name][place])


def learned_scores(gallery: Gallery) -> ValidationScores | None:
    """What validation photos got with the plan that compares most; None where there is none."""
    if left_out(gallery):
        return None
    try:
        return Plan.from_dict(gallery.about[ABOUT]["plans"][-1]).scores
    except DAMAGE:  # `open_matching` tells
        return None


def left_out(gallery: Gallery) -> str:
    """Why a gallery's details are not compared although they were learned; "" if they are."""
    try:
        return str(gallery.about[ABOUT].get(LEFT_OUT, ""))
    except DAMAGE:
        return ""


@functools.cache
def installed(device: str) -> tuple[dict[str, Matcher], str]:
    """The stages whose weights are here, and why others are not: one line, or ""."""
    matchers: dict[str, Matcher] = {}
    for name in CASCADE:
        try:
            matchers[name] = load_matcher(name, pick_device(device))
        except InputError as error:
            return matchers, str(error)
    return matchers, ""


def open_matching(gallery: Gallery, folder: Path, device: str) -> tuple[LocalMatching | None, str]:
    """A gallery's cascade; None where it has none, or none can be used, and why in one line."""
    learned = gallery.about.get(ABOUT)
    if not learned:
        return None, ""
    if reason := left_out(gallery):
        return None, _alone(reason)
    matchers, fault = installed(device)
    try:
        cascade = Cascade.from_dict(learned["cascade"])
        plans = [Plan.from_dict(each) for each in learned["plans"]]
    except DAMAGE as error:
        return None, _alone(f"what {folder} stores of local matching is damaged ({error!r})")
    rows = np.flatnonzero(gallery.can_be_found())
    names, features = gallery.facts["picture"][rows].tolist(), {}
    for name in [each for each in cascade.meanings if each in matchers]:
        found, fault_of_files = read_details(matchers[name], names, folder)
        if fault_of_files:
            fault = (
                f"{folder}: {fault_of_files}; restore the gallery from a copy, or give the photos "
                "to build_gallery.py --add once more"
            )
            break
        features[name] = found
    plans = [each for each in plans if {stage.name for stage in each.stages} <= features.keys()]
    if not plans:
        return None, _alone(fault)
    matchers = {name: matchers[name] for name in features}
    return LocalMatching(cascade, plans, matchers, features, rows), fault


def _alone(reason: str) -> str:
    return f"The embedding answers alone: {reason}."
