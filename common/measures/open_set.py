"""Open set: name the known animals and say "new" for the others.

A query is accepted as known when its score reaches the threshold: a score exactly equal to the
threshold counts as known. Scores are high for known animals: the similarity of the nearest gallery
photo, or the largest softmax probability. The threshold is chosen on validation queries; the test
is looked at once.

Conventions: BAKS is the balanced accuracy on known samples, where a rejected query is an error;
BAUS is the balanced accuracy on unknown samples, where the right answer is "new"; their geometric
mean is the single score of AnimalCLEF 2025.
"""

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

from common.errors import InputError

import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

FALSE_ACCEPT_RATE = 0.01  # share of unknown queries accepted, for the true accept rate
TRUE_ACCEPT_RATE = 0.95  # share of known queries accepted, for the false accept rate
CERTAINTY = 0.95  # of a bound on a rate
SAME_SCORE = 1e-9  # criteria closer than this are tied


@dataclass(eq=False)
class Queries:
    """Photos that are asked about, in any order.

    Attributes:
        scores: high for known animals, shape (n_queries,).
        predicted: the name given if the photo is accepted, length n_queries.
        known: the animals that can be named: in the gallery, or in training for a classifier.

    Raises:
        InputError: there is no query.
        ValueError: lengths differ, a score is not finite, or a predicted name is not a known one.
    """

    scores: np.ndarray
    predicted: Sequence[Hashable]
    truth: Sequence[Hashable]
    known: Collection[Hashable]

    def __post_init__(self) -> None:
        self.scores = np.asarray(self.scores, dtype=float)
        n_names = len(self.predicted), len(self.truth)
        if self.scores.ndim != 1 or not {*n_names} == {len(self.scores)}:
            raise ValueError(
                f"scores have shape {self.scores.shape}, with {n_names[0]} predicted and "
                f"{n_names[1]} true identities; expected (n_queries,) and the same number"
            )
        if len(self.scores) == 0:
            raise InputError("found no query, expected at least one; check the split")
        n_bad = int(np.count_nonzero(~np.isfinite(self.scores)))
        if n_bad:
            raise ValueError(f"{n_bad} of {n_names[0]} scores are not finite, expected numbers")
        strangers = sorted(map(str, set(self.predicted) - set(self.known)))
        if strangers:
            raise ValueError(
                f"{len(strangers)} predicted identities are not among the {len(self.known)} known "
                f"ones ({', '.join(strangers[:3])}); predict known identities only"
            )

    @cached_property
    def is_known(self) -> np.ndarray:
        """Bool, shape (n_queries,): whether the animal can be named."""
        known = set(self.known)
        return np.array([each in known for each in self.truth])

    @cached_property
    def is_named_right(self) -> np.ndarray:
        """Bool, shape (n_queries,); never for an unknown animal, which has no name here."""
        pairs = zip(self.predicted, self.truth, strict=True)
        return np.array([name == truth for name, truth in pairs])

    @cached_property
    def identity(self) -> np.ndarray:
        """An integer for each true identity, shape (n_queries,)."""
        return np.unique(np.asarray(self.truth), return_inverse=True)[1]

    @property
    def n_known(self) -> int:
        """Queries of known animals."""
        return int(np.count_nonzero(self.is_known))

    @property
    def n_unknown(self) -> int:
        """Queries of other animals."""
        return len(self.scores) - self.n_known


@dataclass(frozen=True)
class Threshold:
    """A threshold and what it achieves on the validation queries that chose it.

    Attributes:
        value: score from which a query is accepted as known.
        baks: balanced accuracy on known validation queries, in [0, 1].
        baus: balanced accuracy on unknown validation queries, in [0, 1].
        geometric_mean: sqrt(baks · baus), in [0, 1].
        false_match_rate: share of unknown validation queries accepted, in [0, 1].
    """

    value: float
    baks: float
    baus: float
    geometric_mean: float
    false_match_rate: float
    n_known: int
    n_unknown: int

    def to_dict(self) -> dict:
        """Plain JSON types."""
        return dict(vars(self))


@dataclass(frozen=True)
class OpenSetReport:
    """How well known animals are named and new ones rejected.

    A measure that needs known queries is nan without any, and so for unknown ones; `notes` says
    why, and `to_dict` has None.

    Attributes:
        auroc: chance that a known query scores above an unknown one, a tie being half, in [0, 1].
        baks: mean over known identities of the share accepted and named right, in [0, 1].
        baus: mean over unknown identities of the share rejected, in [0, 1].
        geometric_mean: sqrt(baks · baus), in [0, 1].
        true_accept_rate_at_false_accept_rate: largest share of known queries accepted by any
            threshold that accepts at most 1 % of the unknown ones; the name is not looked at.
        fpr_at_95_tpr: smallest share of unknown queries accepted by any threshold that accepts
            at least 95 % of the known ones.
        is_known: bool, shape (n_queries,), the truth.
        is_accepted: bool, shape (n_queries,), the verdict.
        is_correct: bool, shape (n_queries,); accepted and named right, or rightly rejected.
        notes: what could not be measured and why, one sentence each.
    """

    threshold: float
    n_known: int
    n_unknown: int
    n_known_identities: int
    n_unknown_identities: int
    auroc: float
    baks: float
    baus: float
    geometric_mean: float
    true_accept_rate_at_false_accept_rate: float
    fpr_at_95_tpr: float
    n_known_rejected: int
    n_unknown_accepted: int
    is_known: np.ndarray
    is_accepted: np.ndarray
    is_correct: np.ndarray
    notes: tuple[str, ...]

    def to_dict(self) -> dict:
        """Plain JSON types; the arrays per query are left out."""
        plain = {k: each for k, each in vars(self).items() if not isinstance(each, np.ndarray)}
        missing = {
            k: None for k, each in plain.items() if isinstance(each, float) and np.isnan(each)
        }
        return plain | missing | {"notes": list(self.notes)}


def evaluate_open_set(queries: Queries, threshold: float) -> OpenSetReport:
    """Judge names and "new" verdicts at a threshold chosen beforehand.

    Args:
        threshold: from `choose_threshold` on validation queries, never from these.

    Source: BAKS, BAUS and their geometric mean as in AnimalCLEF 2025.
    """
    is_known, is_accepted = queries.is_known, queries.scores >= threshold
    is_correct = np.where(is_known, is_accepted & queries.is_named_right, ~is_accepted)
    baks = _mean_over_identities(is_correct[is_known], queries.identity[is_known])
    baus = _mean_over_identities(is_correct[~is_known], queries.identity[~is_known])
    auroc, true_accept_rate, false_accept_rate = _ranking_measures(queries.scores, is_known)
    return OpenSetReport(
        threshold=float(threshold),
        n_known=queries.n_known,
        n_unknown=queries.n_unknown,
        n_known_identities=len(np.unique(queries.identity[is_known])),
        n_unknown_identities=len(np.unique(queries.identity[~is_known])),
        auroc=auroc,
        baks=baks,
        baus=baus,
        geometric_mean=float(np.sqrt(baks * baus)),
        true_accept_rate_at_false_accept_rate=true_accept_rate,
        fpr_at_95_tpr=false_accept_rate,
        n_known_rejected=int(np.count_nonzero(is_known & ~is_accepted)),
        n_unknown_accepted=int(np.count_nonzero(~is_known & is_accepted)),
        is_known=is_known,
        is_accepted=is_accepted,
        is_correct=is_correct,
        notes=_notes(queries),
    )


def choose_threshold(queries: Queries) -> Threshold:
    """Choose the threshold on VALIDATION queries; never call it with test queries.

    Candidates are the midpoints between neighbouring distinct scores, the lowest score (accepts
    all) and a value just above the highest (rejects all). The one of the highest
    sqrt(BAKS · BAUS) is taken, of tied candidates the middle one (the lower of two).

    Returns:
        The threshold, with what it achieves on these queries.

    Raises:
        InputError: there is no known or no unknown query.
    """
    if queries.n_known == 0 or queries.n_unknown == 0:
        raise InputError(
            f"validation has {queries.n_known} queries of known and {queries.n_unknown} of new "
            "animals, expected both to choose a threshold; use a split with --split that keeps "
            "new animals in validation, or add photos"
        )
    candidates, baks, baus = _sweep(queries)
    combined = np.sqrt(baks * baus)
    tied = np.flatnonzero(combined >= combined.max() - SAME_SCORE)
    return threshold_at(candidates[tied[(len(tied) - 1) // 2]], queries)


def threshold_at(value: float, queries: Queries) -> Threshold:
    """A threshold that is chosen, and what it achieves on VALIDATION queries."""
    reached = evaluate_open_set(queries, float(value))
    return Threshold(
        value=reached.threshold,
        baks=reached.baks,
        baus=reached.baus,
        geometric_mean=reached.geometric_mean,
        false_match_rate=reached.n_unknown_accepted / queries.n_unknown,
        n_known=queries.n_known,
        n_unknown=queries.n_unknown,
    )


def threshold_by(choose: Callable[..., float], queries: Queries) -> Threshold:
    """A threshold that a function of another make chose, and what it achieves on VALIDATION.

    Args:
        choose: takes scores, identities, is_known, is_named_right and is_validation, each of shape
            (n_queries,), and gives the score from which a query is accepted.
    """
    value = choose(
        scores=queries.scores,
        identities=np.array([str(each) for each in queries.truth]),
        is_known=queries.is_known,
        is_named_right=queries.is_named_right,
        is_validation=np.ones(len(queries.scores), dtype=bool),
    )
    return threshold_at(value, queries)


def lowest_known(scores: np.ndarray, individuals: np.ndarray, rate: float) -> float:
    """The score from which on strangers, who are NOT known, lie no more often than at a rate.

    It has to hold for other animals than these few: each counts the same, and what is held
    against the rate is the end of the one-sided interval over animals.

    Args:
        scores: of validation photos of animals that cannot be named, shape (n_queries,).
        individuals: who they show, shape (n_queries,).
        rate: in (0, 1).

    Returns:
        The lowest score that keeps to the rate; where so few animals show none, just above all.
    """
    candidates, below, margin, _ = _below(scores, individuals)
    is_too_low = 1 - below + margin > rate + SAME_SCORE  # false above all of them
    return float(candidates[np.flatnonzero(is_too_low)[-1] + 1 if is_too_low.any() else 0])


def highest_new(scores: np.ndarray, individuals: np.ndarray, rate: float) -> float:
    """The score below which photos of KNOWN animals lie no more often than at a rate.

    As in `lowest_known`, and one more animal is counted in, of which every photo lies below: few
    animals show no low rate, and then nothing may be called new.

    Args:
        scores: of validation photos of known animals, shape (n_queries,).
        individuals: who they show, shape (n_queries,).
        rate: in (0, 1).

    Returns:
        The highest score that keeps to the rate; -inf where none does.

    Source: Lee, Barber & Willett 2023, "Distribution-free inference with hierarchical data",
        arXiv 2306.06342, for the animal that is counted in.
    """
    candidates, below, margin, n_animals = _below(scores, individuals)
    one_more = (1 - below) / (n_animals + 1)
    is_too_high = below + one_more + margin > rate + SAME_SCORE  # true above all of them
    n_kept = int(is_too_high.argmax())
    return float(candidates[n_kept - 1]) if n_kept else -np.inf


def _below(
    scores: np.ndarray, individuals: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """How many photos lie below each candidate threshold, each animal counting the same.

    Returns:
        candidates: ascending, shape (n_candidates,).
        share: mean over animals, of the same shape.
        margin: from there to the upper end of the mean's one-sided interval.
        n_animals.
    """
    _, animal, n_photos = np.unique(individuals, return_inverse=True, return_counts=True)
    distinct, position = np.unique(scores, return_inverse=True)
    order, place = np.lexsort((scores, animal)), np.empty(len(scores))
    place[order] = np.arange(len(scores)) - (np.cumsum(n_photos) - n_photos)[animal[order]]
    # A photo raises its animal's share from place / n to (place + 1) / n.
    n_own, sums = n_photos[animal], []
    for step in (1 / n_own, (2 * place + 1) / n_own**2):
        sums.append(np.append(0.0, np.bincount(position, step).cumsum()) / len(n_photos))
    share, mean_square = sums
    deviation = np.sqrt(np.clip(mean_square - share**2, 0.0, None))
    margin = norm.ppf(CERTAINTY) * deviation / np.sqrt(len(n_photos))
    return _candidates(distinct), share, margin, len(n_photos)


def _mean_over_identities(is_correct: np.ndarray, identity: np.ndarray) -> float:
    """Mean over identities of the share correct, in [0, 1]; nan without a query."""
    return float(is_correct @ _balanced_weights(identity)) if len(identity) else float("nan")


def _balanced_weights(identity: np.ndarray) -> np.ndarray:
    """Weight of each query so that every identity weighs the same; they sum to 1."""
    _, position, n_queries = np.unique(identity, return_inverse=True, return_counts=True)
    return 1 / (n_queries[position] * len(n_queries))


def _ranking_measures(scores: np.ndarray, is_known: np.ndarray) -> tuple[float, float, float]:
    """AUROC, true accept rate at 1 % false, false accept rate at 95 % true; nan if one-sided."""
    if is_known.all() or not is_known.any():
        return float("nan"), float("nan"), float("nan")
    false_rate, true_rate, _ = roc_curve(is_known, scores, drop_intermediate=False)
    return (
        float(roc_auc_score(is_known, scores)),
        float(true_rate[false_rate <= FALSE_ACCEPT_RATE].max()),
        float(false_rate[true_rate >= TRUE_ACCEPT_RATE].min()),
    )


def _notes(queries: Queries) -> tuple[str, ...]:
    sides = (("new", "BAKS", queries.n_unknown), ("known", "BAUS", queries.n_known))
    note = "No query shows a {} animal, so only {} is measured."
    return tuple(note.format(side, measure) for side, measure, n in sides if n == 0)


def _sweep(queries: Queries) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidate thresholds, ascending, with BAKS and BAUS."""
    distinct, position = np.unique(queries.scores, return_inverse=True)
    candidates = _candidates(distinct)

    def accepted(chosen: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Weight of the chosen queries that each candidate accepts, shape (n_candidates,)."""
        at_score = np.bincount(position[chosen], weights=weights, minlength=len(distinct))
        return np.append(at_score[::-1].cumsum()[::-1], 0.0)

    known, unknown = queries.is_known, ~queries.is_known
    right = queries.is_named_right[known]
    baks = accepted(known, _balanced_weights(queries.identity[known]) * right)
    baus = 1 - accepted(unknown, _balanced_weights(queries.identity[unknown]))
    return candidates, baks, np.clip(baus, 0, 1)


def _candidates(distinct: np.ndarray) -> np.ndarray:
    """Thresholds around ascending distinct scores: candidate i accepts scores i and above."""
    between = (distinct[:-1] + distinct[1:]) / 2
    # The midpoint of two neighbouring floats is one of them; the upper keeps the lower rejected.
    between = np.where(between > distinct[:-1], between, distinct[1:])
    # A float32 step, so that the last one still rejects all scores when compared in float32.
    above = np.nextafter(np.float32(distinct[-1]), np.float32(np.inf))
    return np.concatenate([distinct[:1], between, [above]])
