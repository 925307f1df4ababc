"""The probability that two photos show one animal.

A cosine says something about every pair. Details, where their matcher is installed, say more, and
take longer: they are compared for the photos most alike by the cosine alone. Each score becomes
the probability that it means, learned from photos with names, and the mean of both counts.

Among many animals a pair is seldom of one animal, among few often, so that the same score means
less in a large folder than in a small one. How often is not known there. It is estimated: the share
of pairs of one animal under which the probabilities say that very share.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common import ROOT
from common.data.catalogue import Catalogue
from common.errors import InputError
from common.files import read_array, storing, write_array
from common.gallery.embedding import embed
from common.machine.device import pick_device
from common.matching.descriptions import photo_keys
from common.matching.fusion import ROUNDING
from common.matching.matchers import Matcher
from common.matching.pair_scores import PairScores
from common.measures.calibration import Calibration, calibrate
from common.models.heads import Recogniser
from common.own_files import checksum
from common.splits.encounters import comparable, same_encounter

import numpy as np
from tqdm import tqdm

N_COMPARED = 30  # most alike photos of each photo, whose details are compared
ROWS_AT_ONCE = 256
PHOTOS_PER_FILE = 256  # of embeddings; what a kill may lose
CACHE_FOLDER = ROOT / "data" / "cache" / "embeddings"
N_BINS, MOST_STEPS = 10_000, 1_000  # of the estimated share
FEWEST_SAME = 10  # pairs of one animal that teach what a score means


@dataclass(frozen=True, eq=False)
class Pairs:
    """What is known of all pairs of some photos; all arrays (n_photos, n_photos).

    Attributes:
        cosine: in [-1, 1].
        details: how many are the same; nan where they are not compared. None: no matcher.
        comparable: bool; a left and a right profile are not.
        encounter: of each photo, shape (n_photos,).
    """

    cosine: np.ndarray
    details: np.ndarray | None
    comparable: np.ndarray
    encounter: np.ndarray

    def __len__(self) -> int:
        return len(self.cosine)

    def scores(self) -> dict[str, np.ndarray]:
        """Each kind of score by its name."""
        both = {"cosine": self.cosine, "details": self.details}
        return {name: scores for name, scores in both.items() if scores is not None}

    def by_cosine(self) -> "Pairs":
        """The same without details."""
        return replace(self, details=None)

    def of(self, rows: np.ndarray) -> "Pairs":
        """The same of some of the photos."""
        at = np.ix_(rows, rows)
        details = None if self.details is None else self.details[at]
        return Pairs(self.cosine[at], details, self.comparable[at], self.encounter[rows])


@dataclass(frozen=True)
class Likeness:
    """What scores mean, learned from photos with names.

    Attributes:
        meanings: of "cosine", of any pair, and of "details", of pairs that are compared, where
            there was a matcher.
        shares: of pairs of one animal among those that taught it.
    """

    meanings: dict[str, Calibration]
    shares: dict[str, float]

    @classmethod
    def learned(cls, pairs: Pairs, identity: np.ndarray) -> "Likeness":
        """Learn on pairs that can be compared and are not of one encounter of one animal.

        Args:
            pairs: of photos with names.
            identity: shape (n_photos,).

        Raises:
            InputError: too few pairs of one animal.
        """
        is_same = identity[:, None] == identity
        own_encounter = same_encounter(pairs.encounter[:, None], pairs.encounter)
        counts = np.triu(pairs.comparable & ~(is_same & own_encounter), k=1)
        n_same = int((counts & is_same).sum())
        if n_same < FEWEST_SAME:
            raise InputError(
                f"found {n_same} pairs of photos of one animal from two encounters to learn from, "
                f"expected {FEWEST_SAME} or more; name a catalogue with more photos with --data_dir"
            )
        meanings, shares = {}, {}
        for name, scores in pairs.scores().items():
            at = counts & np.isfinite(scores)
            meanings[name] = calibrate(scores[at].round(ROUNDING), is_same[at])
            shares[name] = float(is_same[at].mean())
        return cls(meanings, shares)

    def probability(self, pairs: Pairs) -> np.ndarray:
        """That pairs show one animal, float32, shape (n_photos, n_photos); 0 if not comparable."""
        total, n_scores = np.zeros((2, *pairs.cosine.shape), dtype=np.float32)
        for name, scores in pairs.scores().items():
            found = np.full(scores.shape, np.nan, dtype=np.float32)
            for start in range(0, len(pairs), ROWS_AT_ONCE):
                rows = slice(start, start + ROWS_AT_ONCE)
                at = pairs.comparable[rows] & np.isfinite(scores[rows])
                found[rows][at] = self.meanings[name](scores[rows][at].round(ROUNDING))
            at = np.isfinite(found)
            found = at_share(found, self.shares[name])
            total[at] += found[at]
            n_scores += at
        return total / np.maximum(n_scores, 1)


def at_share(probability: np.ndarray, share: float) -> np.ndarray:
    """Probabilities of pairs among which another share shows one animal than where it was learned.

    Args:
        probability: of each pair; nan where it does not count.
        share: of pairs of one animal among those that it was learned from.

    Returns:
        Of the same shape.

    Source: Saerens, Latinne & Decaestecker 2002, Neural Computation 14, equation 4.
    """
    counts, edges = np.histogram(probability[np.isfinite(probability)], N_BINS, (0, 1))
    if not counts.any():
        return probability
    middle, here = (edges[:-1] + edges[1:]) / 2, share
    for _ in range(MOST_STEPS):
        before, odds = here, here / (1 - here) * (1 - share) / share
        here = float(np.average(middle * odds / (middle * odds + 1 - middle), weights=counts))
        if abs(here - before) < 1e-6 or not 0 < here < 1:
            break
    odds = here / (1 - here) * (1 - share) / share
    return probability * odds / (probability * odds + 1 - probability)


def pairs_of(
    catalogue: Catalogue,
    rows: np.ndarray,
    embeddings: np.ndarray,
    matcher: Matcher | None,
    n_compared: int = N_COMPARED,
) -> Pairs:
    """Compare some of a catalogue's photos with each other.

    Photos of one encounter share light and place, so that their details are not compared.

    Args:
        catalogue: with the sides.
        rows: of it, ascending, shape (n_photos,).
        embeddings: of these, shape (n_photos, embedding_dim), unit length.
        matcher: of details; None: cosines alone.
        n_compared: most alike photos of each photo whose details are compared.
    """
    sides = catalogue.sides[rows]
    encounter = catalogue.table["encounter"].to_numpy(dtype=str)[rows]
    can_be = comparable(sides, sides)
    cosine = np.clip(embeddings @ embeddings.T, -1, 1).astype(np.float32)
    if matcher is None:
        return Pairs(cosine, None, can_be, encounter)
    scores = PairScores(matcher, catalogue.paths(), rows)
    details = np.full(cosine.shape, np.nan, dtype=np.float32)
    title = f"{matcher.name}, photos most alike"
    with scores.stored():
        for i in tqdm(range(len(rows)), title, unit="photo", disable=len(rows) < ROWS_AT_ONCE):
            allowed = can_be[i] & ~same_encounter(encounter[i], encounter)
            allowed[i] = False
            order = np.argsort(-np.where(allowed, cosine[i], -np.inf), kind="stable")
            others = order[: min(n_compared, allowed.sum())]
            others = others[np.isnan(details[i, others])]
            if len(others):
                details[i, others] = scores(int(rows[i]), rows[others])
                details[others, i] = details[i, others]
    return Pairs(cosine, details, can_be, encounter)


def embed_stored(
    network: Recogniser, model: Path | None, photos: Sequence[Path], *, device: str
) -> np.ndarray:
    """Embeddings of photos, float32, (n_photos, embedding_dim); those that are stored are read.

    Args:
        network: photo to embedding.
        model: its file, by which embeddings are stored; None: they are not.
        photos: files, with boxes.
        device: where to compute.
    """
    if model is None:
        return embed(network, photos, device=device)
    keys, name, parts = photo_keys(photos), checksum(model)[:16], []
    for start in range(0, len(photos), PHOTOS_PER_FILE):
        own = b"".join([str(pick_device(device)).encode(), *keys[start : start + PHOTOS_PER_FILE]])
        digest = hashlib.blake2b(own, digest_size=16).hexdigest()
        file = CACHE_FOLDER / f"{name}-{digest}.npy"
        part = read_array(file)
        if part is None:
            part = embed(network, list(photos[start : start + PHOTOS_PER_FILE]), device=device)
            with storing(file.parent, "embeddings", "delete that folder, which is a cache"):
                write_array(file, [part], part.shape, part.dtype)
        parts.append(np.asarray(part))
    return np.concatenate(parts)
