"""Nearest class mean: an animal is represented by the mean of its photos, its prototype."""

import numpy as np


def class_means(embeddings: np.ndarray, identities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean embedding of each animal, put back on the unit sphere.

    Args:
        embeddings: shape (n_images, embedding_dim), unit length.
        identities: str, shape (n_images,).

    Returns:
        means: float32, shape (n_identities, embedding_dim), unit length.
        names: str, shape (n_identities,), sorted.

    Source: Mensink et al. 2013, "Distance-based image classification"; with cosines.

    >>> means, names = class_means(np.array([[0.8, 0.6], [0.8, -0.6]]), np.array(["a", "a"]))
    >>> means.tolist(), names.tolist()
    ([[1.0, 0.0]], ['a'])
    """
    names, animal = np.unique(identities, return_inverse=True)
    sums = np.zeros((len(names), embeddings.shape[1]))
    np.add.at(sums, animal, embeddings)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.maximum(lengths, 1e-12)).astype(np.float32), names
