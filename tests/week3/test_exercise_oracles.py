"""Week 3's solutions and the course give the same answers, each in its own way."""

from common.gallery.gallery import Gallery
from common.measures.open_set import Queries, choose_threshold
from common.measures.ranking import SameIdentityPairs
from common.measures.retrieval import evaluate_scores
from common.training.losses import arcface, triplet

import numpy as np
import pytest
import torch
from grading import week3
from script_runs import load_script
from torch.nn import functional

solutions, script = load_script("week3/solutions"), load_script("week3/metric_learning")
SEEDS = range(5)


def cases_of(exercise, seed):
    return week3.EXERCISES[exercise].inputs(seed)


def unit(embeddings):
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


@pytest.mark.parametrize("exercise", ["arcface_logits", "keep_mask", "cmc_and_ap"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_script_answers_as_the_solutions_do(exercise, seed):
    checks = week3.EXERCISES[exercise]

    for inputs in checks.inputs(seed):
        own, shown = (checks.values(module, inputs) for module in (solutions, script))
        assert checks.difference(inputs, own, shown) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_cosines_are_those_that_a_gallery_finds(seed):
    for case in cases_of("cosine_similarity", seed):
        gallery = Gallery(5)
        gallery.enrol(unit(case["gallery"]), [str(i) for i in range(len(case["gallery"]))])
        similarity, rows = gallery.search(unit(case["query"]), k=len(case["gallery"]))

        own = solutions.cosine_similarity(**case)

        assert np.take_along_axis(own, rows, axis=1) == pytest.approx(similarity, abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_triplet_loss_is_the_librarys_in_value_and_gradient(seed):
    for case in cases_of("batch_hard", seed):
        labels = torch.from_numpy(case["labels"])
        own, library = (torch.from_numpy(case["embeddings"]).requires_grad_() for _ in range(2))

        loss = solutions.batch_hard(own, labels, case["margin"])
        expected = triplet(margin=case["margin"])(library, labels)
        loss.backward()
        expected.backward()

        assert loss.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
        torch.testing.assert_close(own.grad, library.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_margin_is_the_librarys_in_value_and_gradient(seed):
    for case in cases_of("arcface_logits", seed):
        n_identities, embedding_dim = case["centres"].shape
        labels = torch.from_numpy(case["labels"])
        library = arcface(n_identities, embedding_dim, margin=case["margin"], scale=case["scale"])
        library.loss.W.data = torch.from_numpy(case["centres"].T.copy())
        own, theirs = (torch.from_numpy(case["embeddings"]).requires_grad_() for _ in range(2))

        centres = torch.from_numpy(case["centres"])
        logits = solutions.arcface_logits(own, centres, labels, case["margin"], case["scale"])
        loss, expected = functional.cross_entropy(logits, labels), library(theirs, labels)
        loss.backward()
        expected.backward()

        assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
        torch.testing.assert_close(own.grad, theirs.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_ranks_are_those_of_the_report(seed):
    """One query's photos show its animal where it matches, and another one where not."""
    for case in cases_of("cmc_and_ap", seed):
        n_query, n_gallery = case["similarity"].shape
        cmc, precision = solutions.cmc_and_ap(**case)
        for row in range(1, n_query):
            if not case["is_match"][row].any():
                continue
            report = evaluate_scores(
                lambda start, stop, row=row, case=case: case["similarity"][row : row + 1],
                query_identities=["asked"],
                gallery_identities=np.where(case["is_match"][row], "asked", "other"),
            )
            assert precision[row] == pytest.approx(report.average_precision[0])
            own_cmc, _ = solutions.cmc_and_ap(
                case["similarity"][row : row + 1], case["is_match"][row : row + 1]
            )
            assert own_cmc == pytest.approx(report.cmc(n_gallery))
        assert precision[0] == 0  # the query without a match
        assert cmc[-1] == pytest.approx(case["is_match"].any(axis=1).mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_photos_that_the_rule_leaves_out_are_those_of_the_ranking(seed):
    for case in cases_of("keep_mask", seed):
        numbers = {name: i for i, name in enumerate([*week3.NAMES, *week3.PLACES])}
        labels = {key: np.array([numbers[each] for each in own]) for key, own in case.items()}
        pairs = SameIdentityPairs.build(
            labels["query_identities"],
            labels["gallery_identities"],
            (labels["query_encounters"], labels["gallery_encounters"]),
        )
        rows, columns, is_ignored = pairs.of_block(0, len(labels["query_identities"]))

        keep = solutions.keep_mask(**case)

        expected = np.ones(keep.shape, dtype=bool)
        expected[rows[is_ignored], columns[is_ignored]] = False
        assert np.array_equal(keep, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_threshold_is_as_good_as_the_courses(seed):
    for case in cases_of("choose_threshold", seed):
        own = case["is_validation"]
        known = sorted(set(case["identities"][case["is_known"]]))
        true = case["identities"][own]
        predicted = np.where(case["is_named_right"][own], true, known[0])
        stranger = (predicted == true) & ~case["is_named_right"][own]
        predicted[stranger] = known[1]  # known[0] itself, named wrong
        course = choose_threshold(Queries(case["scores"][own], predicted, true, known))

        threshold = solutions.choose_threshold(**case)

        assert week3.achieved(case, threshold) == pytest.approx(course.geometric_mean)
        assert week3.achieved(case, course.value) == pytest.approx(course.geometric_mean)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_gallery_holds_what_was_enrolled(seed):
    for case in cases_of("enrol", seed):
        course, own = Gallery(4), {}
        for identity, embeddings in case["arrivals"]:
            course.enrol(unit(embeddings), [identity] * len(embeddings))
            own = solutions.enrol(own, identity, embeddings)

        assert sorted(own) == course.identities
        for identity, embeddings in own.items():
            rows = np.flatnonzero(course.facts["identity"] == identity)
            assert embeddings == pytest.approx(course.embeddings_at(rows), abs=1e-6)
