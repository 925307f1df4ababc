"""What is asked after each epoch: validation photos alone, beside those of other encounters."""

import copy

from common.experiments.embedding_check import EmbeddingCheck, mean_similarities
from common.splits.questions import questions_of
from common.splits.splits import make_split

import numpy as np
import pytest
from torch import nn


class Outputs:
    """Stands for photos behind a boundary: embeddings that are there already."""

    def __init__(self, embeddings):
        self.embeddings, self.asked = embeddings, []

    def outputs(self, model, rows):
        self.asked.append(rows)
        return model(self.embeddings[rows])


@pytest.fixture
def asked(catalogue):
    split = make_split(catalogue, "time_aware", validation_newcomer_share=0.4)
    return catalogue, questions_of(catalogue, split)


def identity_embeddings(catalogue):
    labels = catalogue.table["identity"].map(catalogue.labels).to_numpy()
    return np.eye(len(catalogue.identities), dtype=np.float32)[labels]


def test_a_perfect_embedding_finds_everything(asked):
    catalogue, questions = asked
    check = EmbeddingCheck(Outputs(identity_embeddings(catalogue)), questions, catalogue)

    values = check(nn.Identity())

    assert set(check.parts) == {"known", "new"}
    for part in check.parts:
        assert values[f"{part}_positive_similarity"] == 1
        assert values[f"{part}_negative_similarity"] == 0
    assert values["known_mAP"] == values["known_rank_1"] == 1


def test_test_photos_are_never_looked_at(asked):
    catalogue, questions = asked
    photos = Outputs(identity_embeddings(catalogue))

    EmbeddingCheck(photos, questions, catalogue)(nn.Identity())

    [rows] = photos.asked
    test = np.concatenate([questions.known, questions.enrolled, questions.unknown])
    assert not np.intersect1d(rows, test).size


def test_a_part_without_a_second_encounter_is_left_out(asked):
    catalogue, questions = copy.deepcopy(asked[0]), asked[1]
    names = catalogue.table["identity"].to_numpy()
    is_new = np.isin(names, names[questions.validation_new])
    catalogue.table["encounter"] = np.where(is_new, names, catalogue.table["encounter"])

    check = EmbeddingCheck(Outputs(identity_embeddings(catalogue)), questions, catalogue)

    assert set(check.parts) == {"known"}


def naive_means(query, gallery):
    pairs = {True: [], False: []}
    for x, name, encounter in query:
        for y, other, another in gallery:
            if encounter != another:
                pairs[name == other].append(float(x @ y))
    return tuple(np.mean(pairs[same]) if pairs[same] else np.nan for same in (True, False))


@pytest.mark.parametrize("n_names", [1, 3])
def test_mean_similarities_equal_a_loop_over_pairs(n_names):
    rng = np.random.default_rng(n_names)
    sides = []
    for n in (7, 11):
        x = rng.normal(size=(n, 4))
        names = rng.integers(n_names, size=n)
        encounters = [f"{name}-{rng.integers(2)}" for name in names]
        sides.append((x / np.linalg.norm(x, axis=1, keepdims=True), names, np.array(encounters)))
    (x, names, encounters), (y, others, another) = sides

    means = mean_similarities(
        query_embeddings=x, gallery_embeddings=y, query_identities=names,
        gallery_identities=others, query_encounters=encounters, gallery_encounters=another,
    )  # fmt: skip

    expected = naive_means(*(list(zip(*side, strict=True)) for side in sides))
    np.testing.assert_allclose(means, expected)
