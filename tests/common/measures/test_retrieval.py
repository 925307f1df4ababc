"""Retrieval metrics: hand-worked ranks, naive loops, scikit-learn, invariances and traps."""

import json

from common.errors import InputError
from common.measures import ranking
from common.measures.ranking import TIE_TOLERANCE
from common.measures.retrieval import evaluate_retrieval

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from threadpoolctl import ThreadpoolController, threadpool_limits

SIDES = ("query", "gallery")


def on_circle(*similarities):
    """Embeddings in the plane whose cosine with (1, 0) is the given one."""
    cosine = np.array(similarities, dtype=float)
    return np.stack([cosine, np.sqrt(1 - cosine**2)], axis=1)


def evaluate_one(similarities, gallery_identities, query_identity="t1", **options):
    """One query, and gallery photos at the given similarities to it."""
    return evaluate_retrieval(
        query_embeddings=on_circle(1.0),
        gallery_embeddings=on_circle(*similarities),
        query_identities=[query_identity],
        gallery_identities=gallery_identities,
        **options,
    )


def random_case(seed, n_query=23, n_gallery=57, n_identities=6, dim=16, has_ties=False):
    """Unit embeddings; with ties, entries are ±1/4, so that every product is exact in float32."""
    generator = np.random.default_rng(seed)
    photos = generator.standard_normal((n_query + n_gallery, dim))
    if has_ties:
        photos = np.sign(photos) / 4
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    identity = generator.integers(0, n_identities, len(photos))
    encounter = generator.integers(0, 3, len(photos))
    identities = np.array([f"t{each}" for each in identity])
    encounters = np.array([f"t{who}/{when}" for who, when in zip(identity, encounter, strict=True)])
    return {
        "query_embeddings": photos[:n_query].astype(np.float32),
        "gallery_embeddings": photos[n_query:].astype(np.float32),
        "query_identities": identities[:n_query],
        "gallery_identities": identities[n_query:],
        "query_encounters": encounters[:n_query],
        "gallery_encounters": encounters[n_query:],
    }


def similarities_of(case):
    """Every query with every gallery photo, in float64, shape (n_query, n_gallery)."""
    query, gallery = (case[f"{side}_embeddings"].astype(np.float64) for side in SIDES)
    return query @ gallery.T


def naive_ranks(similarities, is_right, is_ignored):
    """Ranks of the right photos of one query, counted photo by photo in float64."""
    kept = [i for i in range(len(similarities)) if not is_ignored[i]]
    right = sorted((float(similarities[i]) for i in kept if is_right[i]), reverse=True)
    wrong = [float(similarities[i]) for i in kept if not is_right[i]]
    return [
        place + sum(score >= own - TIE_TOLERANCE for score in wrong)
        for place, own in enumerate(right, start=1)
    ]


def naive_evaluation(case, has_rule=True):
    """First rank, average precision and INP of each query, by loops in float64."""
    rows = []
    for row, scores in enumerate(similarities_of(case)):
        is_right = case["gallery_identities"] == case["query_identities"][row]
        is_ignored = is_right & (case["gallery_encounters"] == case["query_encounters"][row])
        ranks = naive_ranks(scores, is_right, is_ignored & has_rule)
        precisions = [place / rank for place, rank in enumerate(ranks, start=1)]
        rows.append(
            (ranks[0], np.mean(precisions), len(ranks) / ranks[-1]) if ranks else (0, 0.0, 0.0)
        )
    return np.array(rows).T


def has_a_gap_at_the_tolerance(case):
    """Two photos whose similarities differ by so nearly the tolerance that rounding decides."""
    gaps = np.diff(np.sort(similarities_of(case), axis=1), axis=1)
    return (np.abs(gaps - TIE_TOLERANCE) < TIE_TOLERANCE / 2).any()


def test_ranks_worked_by_hand():
    # Order: wrong 0.9, right 0.8, wrong 0.7, right 0.6 → ranks 2 and 4.
    report = evaluate_one([0.6, 0.9, 0.8, 0.7], ["t1", "t2", "t1", "t3"], ranks=(1, 2, 3))

    assert report.rank_k == {1: 0.0, 2: 1.0, 3: 1.0}
    assert report.mAP == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert report.mINP == pytest.approx(2 / 4)
    assert report.first_rank.tolist() == [2]


def test_perfect_ranking_scores_one():
    report = evaluate_one([0.9, 0.8, 0.1], ["t1", "t1", "t2"])

    assert report.rank_k[1] == report.mAP == report.mINP == 1.0


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_query=st.integers(1, 20),
    n_gallery=st.integers(1, 60),
    n_identities=st.integers(1, 12),
    block_size=st.integers(1, 25),
    has_ties=st.booleans(),
    has_rule=st.booleans(),
)
def test_report_equals_a_naive_loop_in_float64(
    seed, n_query, n_gallery, n_identities, block_size, has_ties, has_rule
):
    case = random_case(seed, n_query, n_gallery, n_identities, has_ties=has_ties)
    first_rank, average_precision, penalty = naive_evaluation(case, has_rule)
    assume(first_rank.any() and not has_a_gap_at_the_tolerance(case))

    report = evaluate_retrieval(**case, block_size=block_size, same_encounter_rule=has_rule)

    np.testing.assert_array_equal(report.first_rank, first_rank)
    np.testing.assert_allclose(report.average_precision, average_precision, rtol=1e-12)
    np.testing.assert_allclose(report.inverse_negative_penalty, penalty, rtol=1e-12)
    assert report.mAP == pytest.approx(average_precision.mean(), rel=1e-12)
    assert report.mINP == pytest.approx(penalty.mean(), rel=1e-12)
    for k, share in report.rank_k.items():
        assert share == np.mean((first_rank > 0) & (first_rank <= k))


@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_change_nothing(n_threads):
    case = random_case(11, n_query=500, n_gallery=200)
    alone = evaluate_retrieval(**case, block_size=100)  # too small a block to be shared

    with threadpool_limits(n_threads, user_api="blas"):
        shared = evaluate_retrieval(**case, block_size=200)

    assert shared.to_dict() == alone.to_dict()
    np.testing.assert_array_equal(shared.first_rank, alone.first_rank)


def test_matrix_products_get_their_threads_back():
    with threadpool_limits(2, user_api="blas"):
        before = ThreadpoolController().info()
        evaluate_retrieval(**random_case(0), block_size=200)

        assert ThreadpoolController().info() == before


@pytest.mark.parametrize("has_ties", [False, True])
def test_sorting_and_counting_agree(monkeypatch, has_ties):
    case = random_case(3, n_identities=2, has_ties=has_ties)
    counted = evaluate_retrieval(**case)

    monkeypatch.setattr(ranking, "N_COUNTED_DIRECTLY", 0)
    in_order = evaluate_retrieval(**case)

    np.testing.assert_array_equal(in_order.first_rank, counted.first_rank)
    np.testing.assert_array_equal(in_order.average_precision, counted.average_precision)


def test_average_precision_equals_scikit_learn_without_ties():
    case = random_case(7)

    report = evaluate_retrieval(**case, same_encounter_rule=False)

    similarities = case["query_embeddings"] @ case["gallery_embeddings"].T
    expected = [
        average_precision_score(case["gallery_identities"] == identity, scores)
        for identity, scores in zip(case["query_identities"], similarities, strict=True)
    ]
    np.testing.assert_allclose(report.average_precision, expected, rtol=1e-9)


def test_a_wrong_photo_tied_with_a_right_one_ranks_before_it():
    report = evaluate_one([0.8, 0.8, 0.5], ["t1", "t2", "t1"])

    assert report.first_rank.tolist() == [2]
    assert report.mAP == pytest.approx((1 / 2 + 2 / 3) / 2)


@pytest.mark.parametrize(("gap", "first_rank"), [(2e-7, 2), (5e-6, 1)])
def test_a_difference_of_rounding_is_a_tie_and_a_larger_one_is_not(gap, first_rank):
    report = evaluate_one([0.8, 0.8 - gap], ["t1", "t2"])

    assert report.first_rank.tolist() == [first_rank]


@pytest.mark.parametrize("block_size", [1, 256])
@pytest.mark.parametrize("n_gallery", [7, 50, 129])
def test_copies_of_one_photo_tie_in_spite_of_rounding(n_gallery, block_size):
    case = random_case(n_gallery, n_query=40, n_gallery=n_gallery, dim=512)
    case["gallery_embeddings"][:] = case["gallery_embeddings"][0]
    case["gallery_identities"][-1] = "wrong for every query"

    report = evaluate_retrieval(**case, same_encounter_rule=False, block_size=block_size)

    assert not report.is_correct_at_1.any()


def test_tied_right_photos_take_one_rank_each():
    report = evaluate_one([0.8, 0.8, 0.8, 0.5], ["t1", "t1", "t1", "t2"])

    assert report.mAP == report.mINP == 1.0


def test_same_encounter_photos_are_ignored():
    encounters = {"query_encounters": ["day1"], "gallery_encounters": ["day1", "day2", "day2"]}
    similarities, identities = [0.99, 0.9, 0.8], ["t1", "t2", "t1"]

    with_rule = evaluate_one(similarities, identities, **encounters)
    without = evaluate_one(similarities, identities, **encounters, same_encounter_rule=False)

    assert (with_rule.first_rank[0], with_rule.n_ignored) == (2, 1)
    assert (without.first_rank[0], without.n_ignored) == (1, 0)


def test_another_animal_in_the_same_encounter_stays():
    report = evaluate_one(
        [0.9, 0.8], ["t2", "t1"], query_encounters=["day1"], gallery_encounters=["day1", "day2"]
    )

    assert report.first_rank.tolist() == [2]


def test_the_query_photo_itself_in_the_gallery_is_no_match():
    case = random_case(0, n_query=30, n_gallery=30)
    for field in ("embeddings", "identities", "encounters"):
        case[f"gallery_{field}"] = case[f"query_{field}"]

    report = evaluate_retrieval(**case)

    assert report.n_ignored >= 30


def test_queries_without_a_match_are_misses_counted_and_named():
    report = evaluate_retrieval(
        query_embeddings=on_circle(1.0, 1.0, 1.0, 1.0),
        gallery_embeddings=on_circle(0.9, 0.8),
        query_identities=["t1", "t7", "t1", "t8"],
        gallery_identities=["t1", "t2"],
        query_names=["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
    )

    assert (report.n_queries, report.n_without_match) == (4, 2)
    assert report.queries_without_match == ("b.jpg", "d.jpg")
    assert report.rank_k[1] == report.mAP == report.mINP == 0.5
    assert report.rank_k_answerable[1] == report.mAP_answerable == report.mINP_answerable == 1.0
    assert report.first_rank.tolist() == [1, 0, 1, 0]


def test_no_query_with_a_match_is_an_error_that_names_the_rule():
    with pytest.raises(InputError) as error:
        evaluate_retrieval(
            query_embeddings=on_circle(*[1.0] * 5),
            gallery_embeddings=on_circle(0.9, 0.8),
            query_identities=["t1"] * 5,
            gallery_identities=["t1", "t2"],
            query_encounters=["day1"] * 5,
            gallery_encounters=["day1", "day1"],
            query_names=list("abcde"),
        )

    assert "none of the 5 queries (a, b, c, …)" in str(error.value)
    assert "same-encounter rule removed 5 pairs" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_query_whose_whole_gallery_is_ignored_is_a_miss():
    report = evaluate_retrieval(
        query_embeddings=on_circle(1.0, 1.0),
        gallery_embeddings=on_circle(0.9),
        query_identities=["t1", "t1"],
        gallery_identities=["t1"],
        query_encounters=["day1", "day2"],
        gallery_encounters=["day1"],
    )

    assert report.first_rank.tolist() == [0, 1]


def test_cmc_rises_to_the_share_of_queries_with_a_match():
    report = evaluate_retrieval(**random_case(1), ranks=(1, 2, 5, 10))

    curve = report.cmc(60)

    assert [curve[k - 1] for k in report.rank_k] == list(report.rank_k.values())
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] == report.has_match.mean()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), block_size=st.integers(1, 30), has_ties=st.booleans())
def test_block_size_changes_nothing(seed, block_size, has_ties):
    case = random_case(seed, has_ties=has_ties)

    whole = evaluate_retrieval(**case, block_size=1000)
    blocks = evaluate_retrieval(**case, block_size=block_size)

    assert blocks.to_dict() == whole.to_dict()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), has_ties=st.booleans())
def test_gallery_order_and_identity_names_change_nothing(seed, has_ties):
    case = random_case(seed, has_ties=has_ties)
    order = np.random.default_rng(seed).permutation(len(case["gallery_embeddings"]))
    moved = case | {name: case[name][order] for name in case if name.startswith("gallery")}
    for name in ("query_identities", "gallery_identities"):
        moved[name] = [f"turtle {99 - int(identity[1:])}" for identity in moved[name]]

    plain, changed = evaluate_retrieval(**case), evaluate_retrieval(**moved)

    np.testing.assert_array_equal(changed.first_rank, plain.first_rank)
    assert changed.to_dict() == plain.to_dict()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_further_wrong_photo_never_raises_a_score(seed):
    case = random_case(seed)
    more = case | {
        "gallery_embeddings": np.vstack([case["gallery_embeddings"], case["query_embeddings"][:1]]),
        "gallery_identities": [*case["gallery_identities"], "stranger"],
        "gallery_encounters": [*case["gallery_encounters"], "stranger/0"],
    }

    before, after = evaluate_retrieval(**case), evaluate_retrieval(**more)

    assert (after.average_precision <= before.average_precision).all()
    assert (after.inverse_negative_penalty <= before.inverse_negative_penalty).all()


def test_embeddings_and_their_order_in_memory_are_left_as_they_are():
    case = random_case(2)
    before = case["query_embeddings"].copy()

    report = evaluate_retrieval(
        **case | {"query_embeddings": np.asfortranarray(before.astype(np.float64))}
    )

    np.testing.assert_array_equal(case["query_embeddings"], before)
    assert report.to_dict() == evaluate_retrieval(**case).to_dict()


def test_dictionary_is_plain_json():
    report = evaluate_retrieval(**random_case(1))

    assert json.loads(json.dumps(report.to_dict(), allow_nan=False)) == report.to_dict()


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"query_embeddings": np.zeros((0, 16))}, InputError, "no query photo"),
        ({"gallery_embeddings": np.zeros((0, 16))}, InputError, "no gallery photo"),
        ({"gallery_embeddings": np.eye(57, 60)}, InputError, "16 dimensions .* 60"),
        ({"query_embeddings": np.full((23, 16), np.nan)}, InputError, "23 of 23 query .* finite"),
        ({"query_embeddings": np.ones((23, 16))}, ValueError, "23 of 23 query .* unit length"),
        ({"query_embeddings": np.ones(16)}, ValueError, r"\(16,\)"),
        ({"query_identities": ["t1"]}, ValueError, "query_identities has 1 entries, expected 23"),
        ({"query_names": ["a"]}, ValueError, "query_names"),
        ({"query_encounters": None}, ValueError, "one side only"),
        ({"query_encounters": [""] * 23}, ValueError, "encounters are empty"),
    ],
)
def test_misuse_is_named(changes, kind, message):
    with pytest.raises(kind, match=message):
        evaluate_retrieval(**random_case(0) | changes)
