"""What metric_learning.py shows is what its training and its answers do."""

import math

from common.measures.retrieval import evaluate_retrieval
from common.training.losses import arcface

import numpy as np
import pytest
import torch
from script_runs import load_script
from torch.nn import functional

script = load_script("week3/metric_learning")


@pytest.mark.parametrize(("margin", "scale"), [(0.3, 24.0), (0.0, 1.0), (1.2, 64.0)])
def test_the_margin_is_the_librarys_in_value_and_gradient(margin, scale):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(6, (40,), generator=generator)
    torch.manual_seed(0)
    library = arcface(6, 8, margin=margin, scale=scale)
    centres = library.loss.W.detach().T.clone().requires_grad_()
    own = centres.detach()[labels]
    noise = 0.6 * torch.randn(40, 8, generator=generator) * own.norm(dim=1, keepdim=True)
    embeddings = [(own + noise).requires_grad_() for _ in range(2)]  # angles all over the place

    shown = functional.cross_entropy(
        script.arcface_logits(embeddings[0], centres, labels, margin, scale), labels
    )
    expected = library(embeddings[1], labels)
    shown.backward()
    expected.backward()

    cosine = functional.cosine_similarity(embeddings[0], own).clamp(-1, 1)
    assert (cosine.acos() < math.pi - margin).all()  # where the two are the same
    assert shown.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(embeddings[0].grad, embeddings[1].grad, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(centres.grad.T, library.loss.W.grad, rtol=1e-3, atol=1e-6)


def test_the_margin_makes_the_own_animal_alone_harder():
    embeddings, centres = torch.tensor([[1.0, 1.0]]), torch.eye(2)

    logits = script.arcface_logits(embeddings, centres, torch.tensor([0]), margin=0.2, scale=1.0)

    assert logits[0, 0].item() == pytest.approx(math.cos(math.pi / 4 + 0.2))
    assert logits[0, 1].item() == pytest.approx(math.cos(math.pi / 4))


@pytest.mark.parametrize("are_alike", [False, True], ids=["photos", "all-black photos"])
def test_the_ranking_is_that_of_the_measures(are_alike):
    rng = np.random.default_rng(0)
    identity = rng.integers(0, 6, 60)
    encounter = np.array([f"{animal}-{rng.integers(3)}" for animal in identity])
    embeddings = (
        rng.normal(size=(60, 4)).astype(np.float32) + np.eye(6, 4, dtype=np.float32)[identity]
    )
    embeddings = np.ones_like(embeddings) if are_alike else embeddings
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    query, gallery = np.arange(30), np.arange(60)

    keep = script.keep_mask(
        identity[query], encounter[query], identity[gallery], encounter[gallery]
    )
    similarity = script.cosine_similarity(embeddings[query], embeddings[gallery])
    cmc, precision = script.cmc_and_ap(
        np.where(keep, similarity, -np.inf), keep & (identity[query][:, None] == identity[gallery])
    )
    report = evaluate_retrieval(
        query_embeddings=embeddings[query],
        gallery_embeddings=embeddings[gallery],
        query_identities=identity[query],
        gallery_identities=identity[gallery],
        query_encounters=encounter[query],
        gallery_encounters=encounter[gallery],
    )

    assert np.array_equal(keep, encounter[query][:, None] != encounter[gallery])
    assert cmc == pytest.approx(report.cmc(len(gallery)))
    assert precision == pytest.approx(report.average_precision)
