"""The answer to "who is this?": ranked animals, what each likeness means, and a verdict."""

from dataclasses import dataclass

from common.gallery.identification import Candidate, Ranking
from common.gallery.scores import Meaning

NEW, INCOMPARABLE = "new individual", "cannot be compared"
N_NAMED = 5  # animals that a remark names


@dataclass(frozen=True)
class Answer:
    """What is said about one question.

    Attributes:
        verdict: "known: NAME", "new individual" or "cannot be compared".
        candidates: most alike first.
        probabilities: of each candidate, in [0, 1]; together at most 1.
        remarks: sentences that a person should know.
    """

    verdict: str
    candidates: list[Candidate]
    probabilities: list[float]
    remarks: list[str]

    @property
    def similarities(self) -> list[float]:
        """Cosine in [-1, 1] of each candidate."""
        return [each.similarity for each in self.candidates]


def answer(ranking: Ranking, meaning: Meaning) -> Answer:
    """Judge a ranking.

    Args:
        ranking: of a question's photos.
        meaning: of similarities, for questions of that kind.
    """
    similarities = [each.similarity for each in ranking.candidates]
    verdict = INCOMPARABLE
    if similarities:
        is_known = meaning.is_known(similarities)
        verdict = f"known: {ranking.candidates[0].identity}" if is_known else NEW
    remarks = []
    if n_missing := len(ranking.not_judged):
        named = ", ".join(ranking.not_judged[:N_NAMED])
        remarks.append(
            f"{n_missing} animals without a photo of this side are not judged: {named}"
            f"{', …' if n_missing > N_NAMED else ''}."
        )
    return Answer(verdict, ranking.candidates, meaning.probabilities(similarities), remarks)
