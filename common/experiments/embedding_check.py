"""How well an embedding does while it is trained: asked after each epoch, on validation photos.

Animals that are trained on are asked about on later days; animals that are held out are asked
about among all photos that can be trained on. An embedding may go on learning the first by heart
while it gets worse at the second.
"""

import math

from common.data.catalogue import Catalogue
from common.measures.retrieval import evaluate_retrieval
from common.splits.encounters import has_match
from common.splits.questions import Questions
from common.training.boundary import PhotosAtBoundary

import numpy as np
from torch import nn


class EmbeddingCheck:
    """What `common.training.loop.fit` calls after each epoch.

    Called with a model it gives {part}_rank_1, {part}_mAP, {part}_positive_similarity and
    {part}_negative_similarity, for each of its parts. Test photos are never looked at.

    Args:
        names: str, shape (n_images,), of what is to be found, such as an animal's side; None: the
            animal. A network that is taught to part two sides should not be asked to join them.

    Attributes:
        parts: name to rows of queries and of gallery: "known" (animals trained on; the gallery is
            the training photos) and "new" (animals held out; the gallery is their photos and the
            training photos), where some query has a right photo of another encounter.
        rows: of all these photos, ascending.
    """

    def __init__(
        self,
        photos: PhotosAtBoundary,
        questions: Questions,
        catalogue: Catalogue,
        names: np.ndarray | None = None,
    ) -> None:
        self.photos = photos
        self.names = catalogue.table["identity"].to_numpy(dtype=str) if names is None else names
        self.encounter = catalogue.table["encounter"].to_numpy(dtype=str)
        train, new = questions.train, questions.validation_new
        parts = {"known": (questions.validation_known, train), "new": (new, np.union1d(new, train))}
        self.parts = {name: part for name, part in parts.items() if self._has_match(*part)}
        asked = [np.union1d(*part) for part in self.parts.values()]
        self.rows = np.unique(np.concatenate([np.empty(0, dtype=np.intp), *asked]))

    def _has_match(self, query: np.ndarray, gallery: np.ndarray) -> bool:
        """Whether the animal of any query was seen in another encounter too."""
        return has_match(
            query_identities=self.names[query],
            gallery_identities=self.names[gallery],
            query_encounters=self.encounter[query],
            gallery_encounters=self.encounter[gallery],
        ).any()

    def chooser(self, preferred: str = "new") -> str | None:
        """The value that chooses an epoch, such as "new_mAP"; None where nothing can be asked.

        mAP, as it looks at all right photos, moves less by chance than rank-1.

        Args:
            preferred: part whose animals choose; another one where it cannot be asked.
        """
        parts = [preferred] if preferred in self.parts else list(self.parts)
        return f"{parts[0]}_mAP" if parts else None

    def rank_1(self, model: nn.Module, preferred: str = "new") -> float:
        """Share of the queries that choose which most resemble a right photo; nan of none."""
        chooser = self.chooser(preferred)
        return self(model)[chooser.replace("mAP", "rank_1")] if chooser else math.nan

    def __call__(self, model: nn.Module) -> dict[str, float]:
        outputs = self.photos.outputs(model, self.rows)

        def side(name: str, asked: np.ndarray) -> dict[str, np.ndarray]:
            return {
                f"{name}_embeddings": outputs[np.searchsorted(self.rows, asked)],
                f"{name}_identities": self.names[asked],
                f"{name}_encounters": self.encounter[asked],
            }

        values = {}
        for name, (query, gallery) in self.parts.items():
            asked = side("query", query) | side("gallery", gallery)
            report, similarity = evaluate_retrieval(**asked), mean_similarities(**asked)
            values |= {
                f"{name}_rank_1": report.rank_k[1],
                f"{name}_mAP": report.mAP,
                f"{name}_positive_similarity": similarity[0],
                f"{name}_negative_similarity": similarity[1],
            }
        return values


def mean_similarities(
    *,
    query_embeddings: np.ndarray,
    gallery_embeddings: np.ndarray,
    query_identities: np.ndarray,
    gallery_identities: np.ndarray,
    query_encounters: np.ndarray,
    gallery_encounters: np.ndarray,
) -> tuple[float, float]:
    """Mean cosine of all pairs of one animal, and of all pairs of two animals.

    Pairs of one encounter are left out: their photos are nearly the same. The sum over all pairs
    of two groups is the product of the groups' sums, so that no table of pairs is ever held.

    Args:
        query_embeddings: shape (n_query, embedding_dim), unit length; and so of the gallery.
        query_encounters: shape (n_query,), like identities; an encounter is of one animal.

    Returns:
        positive, negative: in [-1, 1]; nan where there is no such pair.
    """
    embeddings = np.concatenate([query_embeddings, gallery_embeddings])
    counted = np.column_stack([embeddings, np.ones(len(embeddings))]).astype(np.float64)

    def pairs_that_share(query_names: np.ndarray, gallery_names: np.ndarray) -> np.ndarray:
        """Sum of cosines, and number, of the pairs of a query and a gallery photo of one name."""
        names = np.concatenate([query_names, gallery_names])
        unique, groups = np.unique(names, return_inverse=True)
        sums = np.zeros((2, len(unique), counted.shape[1]))
        is_gallery = np.arange(len(names)) >= len(query_names)
        np.add.at(sums, (is_gallery.astype(int), groups), counted)
        products = sums[0] * sums[1]
        return np.array([products[:, :-1].sum(), products[:, -1].sum()])

    anybody = np.zeros(len(query_embeddings)), np.zeros(len(gallery_embeddings))
    same = pairs_that_share(query_identities, gallery_identities)
    positive = same - pairs_that_share(query_encounters, gallery_encounters)
    negative = pairs_that_share(*anybody) - same
    return tuple(
        float(total / number) if number else float("nan") for total, number in (positive, negative)
    )
