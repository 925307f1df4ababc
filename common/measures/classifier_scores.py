"""What a classifier's logits say: which animal, and how surely.

Two scores tell a known animal from an unknown one. Both are high when the classifier is sure:

* highest probability: the largest softmax output. Of two strangers' photos it asks which known
  animal is nearer, and may be sure of the nearer one of two that are far away.
* energy: ln Σ exp(logits), which also falls when all logits are low.
"""

import numpy as np
from scipy.special import logsumexp, softmax


def identity_logits(
    logits: np.ndarray, identity_of_class: np.ndarray, has_output: np.ndarray
) -> np.ndarray:
    """One logit per animal, where a class may be a side of it.

    The softmax of the result is the sum of the probabilities of an animal's sides, among the
    classes that are an answer at all.

    Args:
        logits: shape (n_images, n_classes).
        identity_of_class: integer label of the animal that a class is of, shape (n_classes,); -1
            for a class that is never an answer, such as a mirror image.
        has_output: bool, shape (n_identities,): the animals that were trained on.

    Returns:
        float64, shape (n_images, n_identities); -inf without an output.

    >>> sides = np.log([[0.3, 0.3, 0.4]])  # left and right of animal 0, one side of animal 1
    >>> np.exp(identity_logits(sides, np.array([0, 0, 1]), np.array([True, True]))).round(3)
    array([[0.6, 0.4]])
    """
    joined = np.full((len(logits), len(has_output)), -np.inf)
    for label in np.flatnonzero(has_output):
        own = np.asarray(logits, dtype=np.float64)[:, identity_of_class == label]
        joined[:, label] = logsumexp(own, axis=1) if own.shape[1] else -np.inf
    return joined


def highest_probability(logits: np.ndarray) -> np.ndarray:
    """The largest softmax probability, in (0, 1], shape (n_images,).

    Source: Hendrycks & Gimpel 2017, "A baseline for detecting misclassified and
    out-of-distribution examples".
    """
    return softmax(logits, axis=1).max(axis=1)


def energy_score(logits: np.ndarray) -> np.ndarray:
    """ln Σ exp(logits), shape (n_images,); high for known animals.

    Source: Liu et al. 2020, "Energy-based out-of-distribution detection", equation 4, whose
    energy is this with a minus, at temperature 1.

    >>> energy_score(np.log([[1.0, 3.0]])).round(3) == np.log(4).round(3)
    array([ True])
    """
    return logsumexp(logits, axis=1)
