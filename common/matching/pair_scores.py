"""What a matcher says of pairs of photos, asked once: it doesn't depend on who proposed a pair.

The scores stay on disk beside the descriptions, so that another seed, whose embedding proposes
much the same photos, and a run that was killed, compare only what is new to them.
"""

import copy
import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from common.files import UnwritableError, read_array, write_array
from common.matching.descriptions import CACHE_FOLDER, cache_name, describe_photos, photo_keys
from common.matching.local_features import LocalFeatures
from common.matching.matchers import Matcher

import numpy as np

SECONDS_UNTIL_STORED = 60  # what a kill may lose


class PairScores:
    """The scores of one matcher on one catalogue.

    Args:
        paths: of the catalogue's photos, length n_images.
        rows: of the photos that may be compared, which are described now.
        folder: of the cache, which may be deleted at any time; None for data/cache/details.

    Attributes:
        features: row to the photo's details.
        is_middle: whether only details in the middle of a photo count.
    """

    def __init__(
        self, matcher: Matcher, paths: Sequence[Path], rows: np.ndarray, folder: Path | None = None
    ) -> None:
        described = describe_photos(matcher, [paths[row] for row in rows], folder=folder)
        self.matcher, self.features = matcher, dict(zip(rows.tolist(), described, strict=True))
        self.is_middle, self._n_photos = False, len(paths)
        keys = b"".join([str(getattr(matcher, "device", "cpu")).encode(), *photo_keys(paths)])
        photos = hashlib.blake2b(keys, digest_size=16).hexdigest()
        self._open((folder or CACHE_FOLDER) / "pairs" / f"{cache_name(matcher)}-{photos}.npy")

    def _open(self, file: Path) -> None:
        self._file, self._is_new, self._stored = file, False, time.monotonic()
        known = read_array(file)
        is_usable = known is not None and known.dtype == self._dtype
        self._of = {int(each["row"]): each["scores"].copy() for each in known} if is_usable else {}

    def in_middle(self) -> "PairScores":
        """The same of the details in the middle of each photo alone."""
        other = copy.copy(self)
        other.features = {row: each.in_middle() for row, each in self.features.items()}
        other.is_middle = True
        other._open(self._file.with_name(f"middle-{self._file.name}"))
        return other

    def describe(self, path: Path) -> LocalFeatures:
        """The details of a photo, found anew."""
        [found] = self.matcher.describe([path])
        return found.in_middle() if self.is_middle else found

    @property
    def _dtype(self) -> np.dtype:
        return np.dtype([("row", np.int64), ("scores", np.float32, self._n_photos)])

    def __call__(self, query: int, candidates: np.ndarray) -> np.ndarray:
        """Scores of a photo with others, float32, shape (n_candidates,); rows of the catalogue."""
        if query not in self._of:
            self._of[query] = np.full(self._n_photos, np.nan, dtype=np.float32)
        own = self._of[query]
        missing = np.unique(candidates[np.isnan(own[candidates])])
        if len(missing):
            others = [self.features[row] for row in missing.tolist()]
            own[missing] = self.matcher.scores(self.features[query], others)
            self._is_new = True
            if time.monotonic() - self._stored > SECONDS_UNTIL_STORED:
                self._store()
        return own[candidates]

    @contextmanager
    def stored(self) -> Iterator[None]:
        """Keep what was compared, also where what is done with it breaks off."""
        try:
            yield
        finally:
            self._store()

    def _store(self) -> None:
        if not self._is_new:
            return
        table = np.empty(len(self._of), dtype=self._dtype)
        for place, (row, scores) in zip(table, self._of.items(), strict=True):
            place["row"], place["scores"] = row, scores
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_array(self._file, [table], table.shape, table.dtype)
        except (OSError, UnwritableError):
            pass  # compared anew next time
        self._is_new, self._stored = False, time.monotonic()
