"""Heads start evenly and end on the unit sphere; losses equal their definitions."""

import itertools
import math

from common.models.heads import EmbeddingHead, linear_classifier, mlp_classifier
from common.training.losses import arcface, contrastive, cross_entropy, triplet

import pytest
import torch
from torch.nn import functional


@pytest.mark.parametrize("build", [linear_classifier, mlp_classifier])
def test_a_new_classifier_finds_all_identities_equally_likely(build):
    torch.manual_seed(0)
    head = build(128, 50).eval()

    loss = functional.cross_entropy(head(torch.rand(64, 128)), torch.randint(50, (64,)))

    assert loss.item() == pytest.approx(math.log(50), rel=0.03)


def test_embeddings_have_unit_length():
    head = EmbeddingHead(32, 8).eval()

    lengths = head(torch.randn(10, 32)).norm(dim=1)

    assert torch.allclose(lengths, torch.ones(10), atol=1e-6)


def test_label_smoothing_spreads_its_share_evenly():
    logits, label = torch.tensor([[2.0, 0.0]]), torch.tensor([0])

    loss = cross_entropy(0.2)(logits, label)

    right, wrong = logits.log_softmax(1)[0]
    assert loss.item() == pytest.approx(-(0.9 * right + 0.1 * wrong).item())


def test_arcface_adds_its_margin_to_the_angle_in_radians():
    torch.manual_seed(1)
    criterion = arcface(4, 8, margin=0.3, scale=16.0)
    embeddings, labels = functional.normalize(torch.randn(5, 8)), torch.tensor([0, 1, 2, 3, 1])

    loss = criterion(embeddings, labels)

    centres = functional.normalize(criterion.loss.W.detach(), dim=0)  # (8, 4)
    angles = torch.arccos(embeddings @ centres)
    angles[torch.arange(5), labels] += 0.3
    expected = functional.cross_entropy(16.0 * torch.cos(angles), labels)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_arcface_does_not_depend_on_the_length_of_a_vector():
    torch.manual_seed(2)
    criterion = arcface(3, 4)
    embeddings, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])

    assert criterion(5 * embeddings, labels).item() == pytest.approx(
        criterion(embeddings, labels).item(), rel=1e-5
    )


def naive_batch_hard(embeddings, labels, margin):
    losses = []
    for anchor in range(len(labels)):
        distances = [(embeddings[anchor] - other).norm().item() for other in embeddings]
        same = [d for i, d in enumerate(distances) if labels[i] == labels[anchor] and i != anchor]
        other = [d for i, d in enumerate(distances) if labels[i] != labels[anchor]]
        losses.append(max(0.0, max(same) - min(other) + margin))
    positive = [loss for loss in losses if loss > 0]  # the library averages over these
    return sum(positive) / len(positive)


def test_batch_hard_triplet_equals_a_naive_loop():
    torch.manual_seed(3)
    embeddings = functional.normalize(torch.randn(12, 6))
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])

    loss = triplet(margin=0.2)(embeddings, labels)

    assert loss.item() == pytest.approx(naive_batch_hard(embeddings, labels, 0.2), rel=1e-4)


def naive_contrastive(embeddings, labels, margin):
    same, other = [], []
    for i, j in itertools.combinations(range(len(labels)), 2):
        distance = (embeddings[i] - embeddings[j]).norm().item()
        if labels[i] == labels[j]:
            same.append(distance)
        else:
            other.append(max(0.0, margin - distance))
    costly = [[loss for loss in losses if loss > 0] for losses in (same, other)]
    return sum(sum(losses) / len(losses) for losses in costly if losses)


@pytest.mark.parametrize("margin", [1.0, 1.6])
def test_contrastive_equals_a_naive_loop_over_pairs(margin):
    torch.manual_seed(4)
    embeddings = functional.normalize(torch.randn(12, 4))
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])

    loss = contrastive(margin=margin)(embeddings, labels)

    assert loss.item() == pytest.approx(naive_contrastive(embeddings, labels, margin), rel=1e-4)


def test_contrastive_measures_distance_between_unit_vectors():
    """Two animals at a right angle are √2 apart, whatever the length of their vectors."""
    embeddings = torch.tensor([[5.0, 0.0], [0.0, 3.0]])

    loss = contrastive(margin=1.5)(embeddings, torch.tensor([0, 1]))

    assert loss.item() == pytest.approx(1.5 - math.sqrt(2), rel=1e-4)
