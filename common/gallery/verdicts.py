"""The verdict on "who is this?": ranked animals, what each likeness means, known or new."""

from dataclasses import dataclass

from common.gallery.identification import Candidate, Ranking
from common.gallery.scores import Meaning
from common.words import counted

NEW, INCOMPARABLE = "new individual", "cannot be compared"
N_NAMED = 5  # animals that a remark names


@dataclass(frozen=True)
class Verdict:
    """What is said about one question, and on what it rests.

    Attributes:
        text: "known: NAME", "new individual" or "cannot be compared".
        candidates: most alike first.
        probabilities: of each candidate, in [0, 1]; together at most 1.
        remarks: sentences that a person should know.
    """

    text: str
    candidates: list[Candidate]
    probabilities: list[float]
    remarks: list[str]

    @property
    def similarities(self) -> list[float]:
        """Cosine in [-1, 1] of each candidate."""
        return [each.similarity for each in self.candidates]


def verdict_on(ranking: Ranking, meaning: Meaning) -> Verdict:
    """Judge a ranking.

    Args:
        ranking: of a question's photos.
        meaning: of similarities, for questions of that kind.
    """
    similarities, text = [each.similarity for each in ranking.candidates], INCOMPARABLE
    if similarities:
        is_known = meaning.is_known(similarities)
        text = f"known: {ranking.candidates[0].identity}" if is_known else NEW
    remarks = []
    if n_missing := len(ranking.not_judged):
        named = ", ".join(ranking.not_judged[:N_NAMED])
        remarks.append(
            f"{counted(n_missing, 'animal')} not judged, for want of a photo of this side: {named}"
            f"{', …' if n_missing > N_NAMED else ''}."
        )
    return Verdict(text, ranking.candidates, meaning.probabilities(similarities), remarks)
