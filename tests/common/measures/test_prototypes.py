"""The mean of an animal's photos, against a loop."""

from common.measures.prototypes import class_means

import numpy as np


def test_means_are_those_of_a_loop_whatever_the_order_of_photos():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    identities = rng.choice(["anna", "berta", "carla"], 20)

    means, names = class_means(vectors, identities)

    assert names.tolist() == ["anna", "berta", "carla"]
    for mean, name in zip(means, names, strict=True):
        own = np.mean([vectors[i] for i in range(20) if identities[i] == name], axis=0)
        np.testing.assert_allclose(mean, own / np.linalg.norm(own), rtol=1e-5)


def test_an_animal_with_one_photo_is_that_photo():
    means, _ = class_means(np.array([[0.6, 0.8]]), np.array(["anna"]))

    np.testing.assert_allclose(means, [[0.6, 0.8]], rtol=1e-6)
