"""k-reciprocal re-ranking equals its definitions, written down with sets and loops."""

from common.errors import InputError
from common.matching.reranking import ReciprocalGallery, rerank_together
from common.measures.retrieval import evaluate_retrieval, evaluate_scores

import numpy as np
import pytest

TOLERANCE = 1e-6  # of a score, which lies in [0, 1]


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def animals(n_photos, *, n_animals=6, dim=12, noise=0.5, seed=0):
    """Photos in loose groups, so that neighbourhoods overlap, and their animals."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, n_animals, n_photos)
    centres = np.random.default_rng(99).normal(size=(n_animals, dim))
    return unit(centres[labels] + noise * generator.normal(size=(n_photos, dim))), labels


def with_copies(photos, n_copies, seed=0):
    """Some rows replaced by copies of others, so that cosines are tied."""
    generator = np.random.default_rng(seed)
    photos = photos.copy()
    rows = generator.permutation(len(photos))
    photos[rows[:n_copies]] = photos[rows[n_copies]]
    return photos


def nearest_first(cosines, own=None):
    """Rows by cosine to nine decimals, the photo itself first, lower rows first among equals."""
    return sorted(range(len(cosines)), key=lambda row: (row != own, -round(cosines[row], 9), row))


def expanded(own, mutual, half_of):
    """R*: neighbours' close sets join if more than 2/3 of them are there already."""
    members = set(mutual) | own
    for neighbour in mutual:
        half = half_of[neighbour]
        if 3 * len(half & (mutual | own)) > 2 * len(half):
            members |= half
    return members


def described(members, distance, n):
    weights = np.zeros(n)
    for member in members:
        weights[member] = np.exp(-distance[member])
    return weights / weights.sum()


def naive_codes(photos, k1, k2):
    """Descriptions of all photos of one set, before and after averaging; and what they need."""
    cosines = photos @ photos.T
    distance = np.maximum(2 - 2 * cosines, 0)
    distance /= distance.max(axis=1, keepdims=True)
    n, order = len(photos), [nearest_first(line, own) for own, line in enumerate(cosines)]

    def mutual(k):
        near = [set(line[: k + 1]) for line in order]
        return [{g for g in near[p] if p in near[g]} for p in range(n)]

    half = mutual(round(k1 / 2))
    codes = [described(expanded({p}, each, half), distance[p], n)
             for p, each in enumerate(mutual(k1))]  # fmt: skip
    averaged = [np.mean([codes[near] for near in line[:k2]], axis=0) for line in order]
    return np.array(codes), np.array(averaged), half, order, distance


def score(code, other, distance, original_share):
    jaccard = 1 - np.minimum(code, other).sum() / np.maximum(code, other).sum()
    return 1 - ((1 - original_share) * jaccard + original_share * distance)


def naive_together(query, gallery, k1, k2, original_share):
    photos, n = np.concatenate([query, gallery]).astype(float), len(query)
    _, codes, _, _, distance = naive_codes(photos, k1, k2)
    return np.array([[score(codes[i], codes[n + j], distance[i, n + j], original_share)
                      for j in range(len(gallery))] for i in range(n)])  # fmt: skip


def naive_alone(query, gallery, k1, k2, original_share):
    query, gallery, n = query.astype(float), gallery.astype(float), len(gallery)
    plain, codes, half, _, _ = naive_codes(gallery, k1, k2)
    own_cosines = np.round(gallery @ gallery.T, 9)
    scores = []
    for photo in query:
        cosines = gallery @ photo
        distance = np.maximum(2 - 2 * cosines, 0)
        distance /= distance.max()
        near = nearest_first(cosines)
        mutual = set()
        for g in near[:k1]:
            others = [own_cosines[g, other] for other in range(n) if other != g]
            if sum(other > round(cosines[g], 9) for other in others) < k1:
                mutual.add(g)
        # One coordinate more, of the query itself, at no distance from itself.
        members = expanded(set(), mutual, half) | {n}
        code = described(members, np.append(distance, 0.0), n + 1)
        others = [np.append(plain[g], 0.0) for g in near[: k2 - 1]]
        code = np.mean([code, *others], axis=0)
        scores.append([score(code, np.append(codes[g], 0.0), distance[g], original_share)
                       for g in range(n)])  # fmt: skip
    return np.array(scores)


def alone(query, gallery, k1=20, k2=6, original_share=0.3):
    reranked = ReciprocalGallery(gallery, k1=k1, k2=k2).rerank(
        query, original_share=original_share
    )  # fmt: skip
    return reranked.block(0, len(query))


def together(query, gallery, k1=20, k2=6, original_share=0.3):
    return rerank_together(
        query_embeddings=query, gallery_embeddings=gallery, k1=k1, k2=k2,
        original_share=original_share,
    ).block(0, len(query))  # fmt: skip


WAYS = [(alone, naive_alone), (together, naive_together)]
SETTINGS = [(20, 6, 0.3), (5, 1, 0.0), (7, 3, 0.5), (3, 9, 0.9), (1, 2, 1.0)]


@pytest.mark.parametrize(("sparse", "naive"), WAYS)
@pytest.mark.parametrize(("k1", "k2", "share"), SETTINGS)
def test_it_equals_the_definitions(sparse, naive, k1, k2, share):
    query, gallery = animals(9)[0], animals(70, seed=1)[0]

    found = sparse(query, gallery, k1, k2, share)

    assert np.abs(found - naive(query, gallery, k1, k2, share)).max() < TOLERANCE


@pytest.mark.parametrize(("sparse", "naive"), WAYS)
@pytest.mark.parametrize("seed", range(4))
def test_copies_of_photos_are_ordered_by_their_rows(sparse, naive, seed):
    photos = with_copies(animals(60, seed=seed)[0], 25, seed)

    found = sparse(photos[:8], photos[8:], 6, 3, 0.3)

    assert np.abs(found - naive(photos[:8], photos[8:], 6, 3, 0.3)).max() < TOLERANCE


@pytest.mark.parametrize(("sparse", "naive"), WAYS)
@pytest.mark.parametrize("n_gallery", [1, 2, 5, 20, 21])
def test_a_gallery_smaller_than_k1_is_all_neighbours(sparse, naive, n_gallery):
    query, gallery = animals(3)[0], animals(n_gallery, seed=1)[0]

    found = sparse(query, gallery)

    assert np.abs(found - naive(query, gallery, 20, 6, 0.3)).max() < TOLERANCE


@pytest.mark.parametrize("sparse", [alone, together])
def test_photos_that_are_all_the_same_are_all_alike(sparse):
    photos = np.repeat(unit(np.ones((1, 7))), 30, axis=0)

    found = sparse(photos[:4], photos[4:], 5, 3)

    assert np.isfinite(found).all()
    assert (found > 0.3).all()


def test_more_photos_than_a_block_are_the_same():
    query, gallery = animals(40)[0], with_copies(animals(600, seed=1)[0], 50)

    found = together(query, gallery, 8, 4)

    assert np.abs(found - naive_together(query, gallery, 8, 4, 0.3)).max() < TOLERANCE


def test_a_case_worked_by_hand():
    """Two pairs at right angles, k1 = 1: each photo's neighbours are itself and its partner."""
    gallery = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)

    found = alone(np.array([[1, 0]], dtype=np.float32), gallery, k1=1, k2=1, original_share=0.25)

    # The query's nearest is row 0, which has row 1 as near as the query: the query, tied, counts.
    # Its code: 1/2 for itself, 1/2 for row 0 (k1 / 2 rounds to 0: nobody joins). Rows 0 and 1:
    # 1/2 and 1/2 for each other. Shared: 1/2 of row 0; union 2 - 1/2. Jaccard distance 2/3.
    near, far = 1 - 0.75 * 2 / 3, 1 - (0.75 + 0.25)
    assert found[0] == pytest.approx([near, near, far, far], abs=TOLERANCE)


def test_an_answer_does_not_depend_on_other_queries():
    query, gallery = animals(12)[0], animals(60, seed=1)[0]

    one_by_one = np.concatenate([alone(photo[None], gallery) for photo in query])

    assert np.abs(alone(query, gallery) - one_by_one).max() < TOLERANCE


def test_published_answers_do():
    query, gallery = animals(12)[0], animals(60, seed=1)[0]

    one_by_one = np.concatenate([together(photo[None], gallery) for photo in query])

    assert np.abs(together(query, gallery) - one_by_one).max() > 0.01


@pytest.mark.parametrize("sparse", [alone, together])
def test_the_order_of_the_gallery_does_not_matter(sparse):
    query, gallery = animals(9)[0], animals(70, seed=1)[0]
    order = np.random.default_rng(0).permutation(70)

    found = sparse(query, gallery[order])

    assert np.abs(found - sparse(query, gallery)[:, order]).max() < TOLERANCE


@pytest.mark.parametrize("sparse", [alone, together])
def test_turning_all_embeddings_does_not_matter(sparse):
    query, gallery = animals(9)[0], animals(70, seed=1)[0]
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))

    found = sparse(unit(query @ turn), unit(gallery @ turn))

    assert np.abs(found - sparse(query, gallery)).max() < 10 * TOLERANCE


def test_with_the_original_distance_alone_the_ranking_stays():
    query, gallery = animals(20)[0], animals(100, seed=1)[0]

    found = alone(query, gallery, original_share=1.0)

    assert np.array_equal(np.argsort(-found, axis=1), np.argsort(-(query @ gallery.T), axis=1))


def test_blocks_are_parts_of_the_whole():
    query, gallery = animals(30)[0], animals(60, seed=1)[0]
    reranked = ReciprocalGallery(gallery, k1=8).rerank(query)

    parts = [reranked.block(0, 7), reranked.block(7, 8), reranked.block(8, 30)]

    assert np.abs(np.concatenate(parts) - reranked.block(0, 30)).max() < TOLERANCE


def test_neighbourhoods_find_what_one_photo_misses():
    """Animals along bent bands: an end is nearer to another band than to its own other end."""
    generator = np.random.default_rng(0)
    labels, place = np.repeat(np.arange(8), 40), generator.uniform(0, 1.2, 320)
    axes = np.linalg.qr(generator.normal(size=(16, 16)))[0].reshape(8, 2, 16)
    photos = unit(
        np.cos(place)[:, None] * axes[labels, 0] + np.sin(place)[:, None] * axes[labels, 1]
        + 0.16 * generator.normal(size=(320, 16))
    )  # fmt: skip
    is_query = np.arange(320) % 10 == 0
    names = {"query_identities": labels[is_query], "gallery_identities": labels[~is_query]}
    query, gallery = photos[is_query], photos[~is_query]

    before = evaluate_retrieval(query_embeddings=query, gallery_embeddings=gallery, **names)
    after = evaluate_scores(ReciprocalGallery(gallery).rerank(query).block, **names)

    assert after.mAP > before.mAP + 0.02


def test_the_evaluation_of_scores_agrees_with_that_of_embeddings():
    (query, query_labels), (gallery, labels) = animals(700), animals(90, seed=1)
    names = {
        "query_identities": [f"animal {label}" for label in query_labels],
        "gallery_identities": [f"animal {label}" for label in labels],
        "query_encounters": list(range(700)), "gallery_encounters": list(range(90)),
    }  # fmt: skip

    ours = evaluate_scores(lambda start, stop: query[start:stop] @ gallery.T, **names)
    known = evaluate_retrieval(query_embeddings=query, gallery_embeddings=gallery, **names)

    assert ours.to_dict() == known.to_dict()
    assert ours.n_ignored > 0


def test_renaming_animals_changes_no_figure():
    (query, query_labels), (gallery, labels) = animals(30), animals(90, seed=1)
    reranked = ReciprocalGallery(gallery).rerank(query)

    numbers = evaluate_scores(
        reranked.block, query_identities=query_labels, gallery_identities=labels
    )
    names = evaluate_scores(
        reranked.block, query_identities=[f"a{9 - label}" for label in query_labels],
        gallery_identities=[f"a{9 - label}" for label in labels],
    )  # fmt: skip

    assert numbers.mAP == names.mAP


def test_an_empty_side_is_named():
    with pytest.raises(InputError, match="no gallery photo"):
        ReciprocalGallery(np.empty((0, 4)))
    with pytest.raises(InputError, match="0 gallery photos"):
        evaluate_scores(lambda *_: None, query_identities=["a"], gallery_identities=[])


@pytest.mark.parametrize("wrong", [{"k1": 0}, {"k2": 0}])
def test_no_neighbours_at_all_are_refused(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        ReciprocalGallery(np.eye(4), **wrong)
