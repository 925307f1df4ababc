"""Classification metrics: hand-worked numbers, scikit-learn as oracle, invariances and traps."""

import json

from common.errors import InputError
from common.measures.classification import evaluate_classification

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

IDENTITIES = ["t01", "t02", "t03", "t04"]


def random_case(seed, n_images=60, n_identities=7, n_absent=2):
    """Scores without ties; the last identities have no photo but may be predicted."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, n_identities - n_absent, n_images)
    scores = generator.standard_normal((n_images, n_identities))
    scores[np.arange(n_images), labels] += 1
    return scores, labels, [f"t{label:02d}" for label in range(n_identities)]


def evaluate(scores, labels, identities=IDENTITIES, **options):
    return evaluate_classification(
        scores=np.asarray(scores), labels=np.asarray(labels), identities=identities, **options
    )


def test_numbers_worked_by_hand():
    # t01: two of three right (one taken for t02); t02: its only photo taken for t03.
    scores = [[9, 1, 0, 0], [9, 1, 0, 0], [8, 9, 0, 0], [2, 3, 9, 0]]

    report = evaluate(scores, [0, 0, 0, 1], top_k=(1, 2))

    assert report.accuracy == 0.5
    assert report.balanced_accuracy == pytest.approx((2 / 3 + 0) / 2)
    assert report.macro_f1 == pytest.approx((2 * 2 / (3 + 2) + 0) / 2)
    assert report.top_k == {1: 0.5, 2: 1.0}
    assert report.per_identity["t01"] == {
        "n": 3, "recall": pytest.approx(2 / 3), "precision": 1.0, "f1": pytest.approx(0.8)
    }  # fmt: skip


def test_confusion_has_the_true_identity_in_rows():
    report = evaluate([[0, 0, 5, 0], [0, 0, 5, 0], [1, 0, 0, 0]], [1, 2, 0])

    expected = np.zeros((4, 4), dtype=int)
    expected[1, 2] = expected[2, 2] = expected[0, 0] = 1
    np.testing.assert_array_equal(report.confusion, expected)


@pytest.mark.parametrize("seed", range(5))
def test_report_equals_scikit_learn(seed):
    scores, labels, identities = random_case(seed)

    report = evaluate(scores, labels, identities, top_k=(1, 3))

    predicted, present = scores.argmax(axis=1), np.unique(labels)
    every_label = np.arange(len(identities))
    assert report.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert report.balanced_accuracy == pytest.approx(
        metrics.recall_score(labels, predicted, labels=present, average="macro")
    )
    assert report.macro_f1 == pytest.approx(
        metrics.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    )
    assert report.top_k[3] == pytest.approx(
        metrics.top_k_accuracy_score(labels, scores, k=3, labels=every_label)
    )
    np.testing.assert_array_equal(
        report.confusion, metrics.confusion_matrix(labels, predicted, labels=every_label)
    )


def test_precision_of_each_identity_equals_scikit_learn():
    scores, labels, identities = random_case(9)

    report = evaluate(scores, labels, identities)

    expected = metrics.precision_score(
        labels, scores.argmax(axis=1), labels=np.unique(labels), average=None, zero_division=0
    )
    np.testing.assert_allclose([row["precision"] for row in report.per_identity.values()], expected)


def test_identity_without_a_photo_does_not_enter_the_means():
    scores = [[1, 0, 0, 0], [0, 1, 0, 0]]

    report = evaluate(scores, [0, 1])

    assert report.balanced_accuracy == report.macro_f1 == 1.0
    assert list(report.per_identity) == ["t01", "t02"]
    assert report.n_identities_present == 2


def test_a_tie_with_another_identity_counts_against():
    report = evaluate([[5, 5, 0, 0], [5, 5, 0, 0]], [0, 1], top_k=(1, 2))

    assert report.accuracy == 0
    assert report.top_k == {1: 0.0, 2: 1.0}
    np.testing.assert_array_equal(report.predicted_labels, [1, 0])


def test_equal_scores_for_all_are_always_wrong():
    report = evaluate(np.zeros((4, 4)), [0, 1, 2, 3], top_k=(1, 3, 4))

    assert report.top_k == {1: 0.0, 3: 0.0, 4: 1.0}
    assert report.confusion.trace() == 0


def test_top_1_accuracy_and_confusion_agree_under_ties():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 200)

    report = evaluate(generator.integers(0, 3, (200, 4)), labels)

    assert report.top_k[1] == report.accuracy == report.confusion.trace() / 200
    np.testing.assert_array_equal(report.is_correct, report.predicted_labels == labels)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations(range(7)))
def test_renaming_and_reordering_identities_changes_nothing(seed, order):
    scores, labels, identities = random_case(seed)
    new_label = np.argsort(order)

    plain = evaluate(scores, labels, identities)
    renamed = evaluate(scores[:, order], new_label[labels], [f"x{i}" for i in order])

    assert renamed.accuracy == plain.accuracy
    assert renamed.macro_f1 == pytest.approx(plain.macro_f1)
    assert renamed.balanced_accuracy == pytest.approx(plain.balanced_accuracy)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100), shift=st.floats(-5, 5))
def test_scaling_and_shifting_scores_changes_nothing(seed, scale, shift):
    scores, labels, identities = random_case(seed)

    plain = evaluate(scores, labels, identities)
    moved = evaluate(scores * scale + shift, labels, identities)

    assert moved.to_dict() == plain.to_dict()


def test_small_integer_labels_do_not_overflow():
    labels = np.arange(40, dtype=np.uint8)

    report = evaluate(np.eye(40), labels, [str(label) for label in labels])

    np.testing.assert_array_equal(report.confusion, np.eye(40))


def test_dictionary_is_plain_json():
    scores, labels, identities = random_case(1)

    report = evaluate(scores, labels, identities)

    assert json.loads(json.dumps(report.to_dict(), allow_nan=False)) == report.to_dict()


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([[0, np.nan, 1, np.inf], [0, 1, 2, 3]], [0, 1], "2 scores of 1 of 2 photos"),
        ([[0, 1, 2, 3]], [4], "1 of 1 labels are outside"),
        ([[0, 1, 2, 3]], [-1], "1 of 1 labels are outside"),
        ([[0, 1, 2]], [0], r"\(1, 3\).*expected \(1, 4\)"),
    ],
)
def test_misuse_is_named(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        evaluate(scores, labels)


def test_no_photo_is_an_input_error():
    with pytest.raises(InputError, match="no photo"):
        evaluate(np.zeros((0, 4)), np.zeros(0, dtype=int))
