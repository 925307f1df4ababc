"""A gallery of known animals that is searched by embedding, through FAISS."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from common.errors import InputError
from common.gallery import index as indexes
from common.gallery.files import GalleryParts, read_parts, write_parts
from common.gallery.index import IndexReport
from common.names import near_to

import numpy as np


class Gallery:
    """Embeddings with identities; animals come, go and are renamed without training anything.

    Search is exact, every query meets every gallery photo, until `build` makes an index. Photos
    enrolled after that are found at once: they are few, and are compared one by one. Photos
    removed after that stay in the index, unseen, until the next `build`.

    Attributes:
        about: what else is stored with the gallery, plain JSON types.
        model: file of the network that made the embeddings; stored along. None: unknown.
    """

    def __init__(self, embedding_dim: int) -> None:
        empty = np.empty((0, embedding_dim), dtype=np.float32)
        self._parts = GalleryParts(
            empty, empty, np.empty(0, dtype=bool), {"identity": []}, index=None, report=None
        )
        self.about: dict = {}
        self.model: Path | None = None

    def __len__(self) -> int:
        """How many photos can be found."""
        return int(self._parts.is_kept.sum()) + len(self._parts.recent)

    @property
    def embedding_dim(self) -> int:
        """Length of an embedding."""
        return self._parts.recent.shape[1]

    @property
    def report(self) -> IndexReport | None:
        """What `build` built last, and its recall; None before."""
        return self._parts.report

    @property
    def facts(self) -> dict[str, np.ndarray]:
        """What is known of each photo, str, shape (n_rows,): "identity" and what was enrolled.

        Rows are those of `search`. Those of photos that were removed may still be among them.
        """
        return {name: np.array(values, dtype=str) for name, values in self._parts.facts.items()}

    @property
    def identities(self) -> list[str]:
        """The animals that can be found, sorted."""
        return sorted(set(self.facts["identity"][self.can_be_found()]))

    def enrol(
        self,
        embeddings: np.ndarray,
        identities: Sequence[str],
        facts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Add photos of known animals.

        Args:
            embeddings: float, shape (n_images, embedding_dim), unit length. The first that a
                gallery gets stay where they are if they are memory-mapped.
            identities: of each photo, length n_images.
            facts: what else is known of each photo: name to texts, length n_images; "" where a
                fact is not known.
        """
        parts, n_before, n_new = self._parts, self._n_rows, len(embeddings)
        given = {"identity": identities, **(facts or {})}
        for name, values in given.items():
            if len(values) != n_new:
                raise ValueError(f"{n_new} embeddings, but {len(values)} of {name}")
        if embeddings.shape[1:] != parts.recent.shape[1:]:
            raise ValueError(f"found {embeddings.shape}, expected (n, {parts.recent.shape[1]})")
        stays = isinstance(embeddings, np.memmap) and embeddings.dtype == np.float32
        if not (stays and n_before == 0):
            embeddings = np.concatenate([parts.recent, embeddings], dtype=np.float32)
        unknown_before, unknown_now = [""] * n_before, [""] * n_new
        together = {
            name: [*parts.facts.get(name, unknown_before), *map(str, given.get(name, unknown_now))]
            for name in {**parts.facts, **given}
        }
        self._parts = replace(parts, recent=embeddings, facts=together)

    def remove(self, identity: str) -> int:
        """Forget an animal; returns how many photos of it there were.

        Raises:
            InputError: there is no such animal.
        """
        return self.forget(np.flatnonzero(self._is(identity)))

    def forget(self, rows: Sequence[int]) -> int:
        """Forget photos; returns how many."""
        parts, n_indexed = self._parts, len(self._parts.indexed)
        stays = np.ones(self._n_rows, dtype=bool)
        stays[rows] = False
        has_row = stays | (np.arange(len(stays)) < n_indexed)  # the index still counts its photos
        self._parts = replace(
            parts,
            recent=parts.recent[stays[n_indexed:]],
            is_kept=parts.is_kept & stays[:n_indexed],
            facts=_at(parts.facts, np.flatnonzero(has_row)),
        )
        return len(rows)

    def rename(self, identity: str, new_name: str, *, join: bool = False) -> int:
        """Give an animal another name; returns how many photos of it there are.

        Args:
            join: whether that may be the name of another animal of the gallery, which the two
                then are.

        Raises:
            InputError: there is no such animal, or the new name is taken.
        """
        is_it = self._is(identity)
        if not new_name.strip():
            raise InputError(f"found an empty new name for {identity}, expected a name")
        if new_name == identity:
            raise InputError(f"{identity} has this name already, expected another; nothing to do")
        if new_name in self.identities and not join:
            raise InputError(
                f"{new_name} is the name of another animal of this gallery, expected a new one; "
                "choose another, or say that the two are one animal (--join)"
            )
        rows = np.flatnonzero(is_it)
        self.relabel(rows, new_name)
        return len(rows)

    def relabel(
        self, rows: Sequence[int], identity: str, facts: Mapping[str, str] | None = None
    ) -> None:
        """Say that photos show another animal.

        Args:
            identity: its name; an encounter that is named by the former animal gets it, too.
        """
        changed = {name: list(values) for name, values in self._parts.facts.items()}
        for row in rows:
            former, encounter = changed["identity"][row], changed.get("encounter")
            if encounter and encounter[row].startswith(f"{former}:"):
                encounter[row] = f"{identity}:{encounter[row].removeprefix(f'{former}:')}"
            for name, value in {**(facts or {}), "identity": identity}.items():
                changed.setdefault(name, [""] * self._n_rows)[row] = value
        self._parts = replace(self._parts, facts=changed)

    def build(self, index: str = "auto", *, recall: float = 0.995, seed: int = 0) -> IndexReport:
        """Make the index that suits the gallery's size, over all photos enrolled so far.

        Args:
            index: auto, flat, hnsw or ivfpq; see `common.gallery.index`.
            recall: wanted share in [0, 1] of queries whose nearest photo is found; searches work
                as hard as that needs.

        Returns:
            What was built, and the recall measured on this gallery.

        Raises:
            InputError: a gallery too small for this index.
        """
        embeddings, facts = self._all_embeddings(), self._parts.facts
        if len(self) < self._n_rows:
            facts = _at(facts, np.flatnonzero(self.can_be_found()))
        kind = indexes.kind_for(len(self)) if index == "auto" or not len(self) else index
        built, report = indexes.build_index(embeddings, kind, recall=recall, seed=seed)
        self._parts = GalleryParts(
            embeddings, embeddings[:0], np.ones(len(embeddings), dtype=bool), facts, built, report
        )
        return report

    def search(
        self, query_embeddings: np.ndarray, k: int = 5, *, where: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The gallery photos most alike to each query; many queries at once are quickest.

        Args:
            query_embeddings: float, shape (n_query, embedding_dim), unit length.
            k: gallery photos per query; at most as many as there are.
            where: bool, shape (n_rows,), see `facts`: the photos that may be found; None: all.

        Returns:
            similarity: cosine, shape (n_query, k), best first; exact, whatever the index.
            rows: of `facts`, shape (n_query, k).

        Raises:
            ValueError: no photo may be found.
        """
        queries = np.ascontiguousarray(query_embeddings, dtype=np.float32)
        parts, n_indexed = self._parts, len(self._parts.indexed)
        may_be_found = self.can_be_found() if where is None else self.can_be_found() & where
        sides = (
            (parts.index, parts.indexed, may_be_found[:n_indexed], 0),
            (None, parts.recent, may_be_found[n_indexed:], n_indexed),
        )
        found = []
        for index, embeddings, allowed, first_row in sides:
            if n_allowed := int(allowed.sum()):
                only = None if n_allowed == len(allowed) else allowed
                nearest = indexes.find_nearest(index, embeddings, queries, min(k, n_allowed), only)
                found.append((nearest[0], nearest[1] + first_row))
        if not found:
            raise ValueError("no photo may be found: enrol some before searching")
        similarity, rows = (np.concatenate(each, axis=1) for each in zip(*found, strict=True))
        return indexes.best_of(similarity, rows, k)

    def identify(self, query_embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The most alike animal for each query, however unlike it is.

        Returns:
            identities: str, shape (n_query,).
            similarity: cosine, shape (n_query,).
        """
        similarity, rows = self.search(query_embeddings, k=1)
        names = self._parts.facts["identity"]
        return np.array([names[row] for row in rows[:, 0]]), similarity[:, 0]

    def can_be_found(self) -> np.ndarray:
        """Bool, shape (n_rows,), see `facts`: all but the removed photos."""
        return np.concatenate([self._parts.is_kept, np.ones(len(self._parts.recent), dtype=bool)])

    def embeddings_at(self, rows: np.ndarray) -> np.ndarray:
        """The embeddings of some photos, float32, shape (len(rows), embedding_dim)."""
        rows, n_indexed = np.asarray(rows, dtype=np.intp), len(self._parts.indexed)
        found = np.empty((len(rows), self._parts.recent.shape[1]), dtype=np.float32)
        is_indexed = rows < n_indexed
        found[is_indexed] = self._parts.indexed[rows[is_indexed]]
        found[~is_indexed] = self._parts.recent[rows[~is_indexed] - n_indexed]
        return found

    def save(self, folder: str | Path, change: Mapping | None = None) -> Path:
        """Write the gallery to a folder; one that is there stays whole until the new one is.

        Args:
            change: what was done and by which table, see `common.gallery.history`; the gallery
                that was there can then be had back. None: it is forgotten.

        Raises:
            InputError: the folder cannot be written to.
        """
        return write_parts(folder, self._parts, self.about, self.model, change)

    @classmethod
    def load(cls, folder: str | Path) -> "Gallery":
        """Read what `save` wrote; embeddings and index stay on disk until they are searched.

        Raises:
            InputError: no gallery, or one whose files are missing, damaged or do not fit together.
        """
        parts, about, model = read_parts(folder)
        gallery = cls(parts.indexed.shape[1])
        gallery._parts, gallery.about, gallery.model = parts, about, model
        return gallery

    @property
    def _n_rows(self) -> int:
        return len(self._parts.indexed) + len(self._parts.recent)

    def _is(self, identity: str) -> np.ndarray:
        """Bool, shape (n_rows,): the photos of one animal."""
        is_it = (self.facts["identity"] == identity) & self.can_be_found()
        if not is_it.any():
            near = ", ".join(near_to(identity, self.identities)) or "none"
            raise InputError(
                f"no animal of this gallery is named {identity}; near it: {near}; expected one of "
                f"the {len(self.identities)} that build_gallery.py --list names"
            )
        return is_it

    def _all_embeddings(self) -> np.ndarray:
        """All photos in order of enrolment; no copy where all are on one side."""
        indexed, recent = self._parts.indexed, self._parts.recent
        if not self._parts.is_kept.all():
            indexed = indexed[self._parts.is_kept]
        if len(indexed) and len(recent):
            return np.concatenate([indexed, recent])
        return indexed if len(indexed) else recent


def _at(facts: Mapping[str, list[str]], rows: np.ndarray) -> dict[str, list[str]]:
    return {name: [values[row] for row in rows] for name, values in facts.items()}


def identity_scores(
    query_embeddings: np.ndarray,
    gallery_embeddings: np.ndarray,
    *,
    gallery_labels: np.ndarray,
    n_identities: int,
) -> np.ndarray:
    """For each query and identity, the similarity of its most alike gallery photo.

    Args:
        query_embeddings: float, shape (n_query, embedding_dim), unit length.
        gallery_embeddings: float, shape (n_gallery, embedding_dim), unit length.
        gallery_labels: integers, shape (n_gallery,).

    Returns:
        Cosine, shape (n_query, n_identities); -2, below any cosine, for an identity without a
        gallery photo.

    >>> one, other = np.eye(2)
    >>> identity_scores(one[None], np.stack([other, one]), gallery_labels=np.array([2, 0]),
    ...                 n_identities=3)
    array([[ 1., -2.,  0.]])
    """
    similarity = query_embeddings @ gallery_embeddings.T  # (n_query, n_gallery)
    scores = np.full((len(query_embeddings), n_identities), -2.0)
    for label in np.unique(gallery_labels):
        scores[:, label] = similarity[:, gallery_labels == label].max(axis=1)
    return scores
