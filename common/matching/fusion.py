"""Score fusion: several scores of one pair of photos become one probability.

A cosine of 0.8 and 17 details that are the same cannot be added. Each score is first turned into
what it means, the probability that a pair with this score shows one animal, learned from pairs of
validation photos; and probabilities can be averaged.

Source: Cermak et al. 2024, WildFusion, arXiv 2408.12934. As there, only the candidates on a
query's shortlist are compared; here the scores' meaning is learned from shortlists too, because a
pair that the embedding proposed is not a pair drawn at random.
"""

from collections.abc import Mapping, Sequence

from common.measures.calibration import Calibration, calibrate

import numpy as np

ROUNDING = 6  # decimals of a score, so that two copies of one photo stay tied


def learn_meanings(
    scores: Mapping[str, Sequence[np.ndarray]], is_same: Sequence[np.ndarray]
) -> dict[str, Calibration]:
    """Learn what each score says about two photos, on pairs of validation photos.

    Args:
        scores: name to arrays of any shape, one for each set of queries; high where alike.
        is_same: bool, of the same shapes: whether the pair shows one animal.

    Returns:
        Name to calibration.

    Raises:
        ValueError: no pair at all, or a score that is not finite.
    """
    truth = np.concatenate([np.ravel(part) for part in is_same])
    return {
        name: calibrate(np.concatenate([np.ravel(part) for part in parts]).round(ROUNDING), truth)
        for name, parts in scores.items()
    }


def fuse(scores: Mapping[str, np.ndarray], meanings: Mapping[str, Calibration]) -> np.ndarray:
    """Mean of what the scores mean.

    Args:
        scores: name to scores, all of one shape.
        meanings: name to calibration; those of other scores are not used.

    Returns:
        Probabilities in (0, 1), of the scores' shape.

    >>> meanings = learn_meanings({"cosine": [np.array([0.1, 0.9])]}, [np.array([False, True])])
    >>> fuse({"cosine": np.array([0.1, 0.5, 0.9])}, meanings).round(2)
    array([0.33, 0.5 , 0.67])
    """
    meant = [meanings[name](np.asarray(values).round(ROUNDING)) for name, values in scores.items()]
    return np.mean(meant, axis=0)
