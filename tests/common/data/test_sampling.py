"""P x K batches: what is in them, how fairly, and that every process draws the same."""

from common.data.sampling import (
    IdentityBatchSampler,
    ShuffledBatchSampler,
    deal_animals,
    identity_batches,
)
from common.errors import InputError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

LONG_TAIL = np.repeat(np.arange(9), [100, 50, 30, 20, 10, 4, 2, 1, 1])


def sampler_of(labels, encounters=None, **settings) -> IdentityBatchSampler:
    encounters = np.arange(len(labels)) if encounters is None else encounters
    defaults = {"n_identities": 4, "n_images": 4, "seed": 0}
    return IdentityBatchSampler(labels, encounters, **(defaults | settings))


def batches_of(sampler: IdentityBatchSampler, n_epochs: int = 1) -> list[list[int]]:
    batches = []
    for epoch in range(n_epochs):
        sampler.set_epoch(epoch)
        batches += list(sampler)
    return batches


label_lists = st.lists(st.integers(0, 6), min_size=8, max_size=60).filter(
    lambda labels: sum(labels.count(label) >= 2 for label in set(labels)) >= 2
)


@settings(max_examples=80, deadline=None)
@given(label_lists, st.integers(2, 5), st.integers(2, 6), st.integers(1, 7), st.integers(0, 9))
def test_batches_hold_p_animals_and_no_photo_twice(labels, n_encounters, n_images, n_batches, seed):
    encounters = np.arange(len(labels)) % n_encounters
    n_identities = min(4, len(set(labels)))
    sizes = {"n_identities": n_identities, "n_images": n_images, "n_batches": n_batches}
    sampler = sampler_of(labels, encounters, **sizes, seed=seed)

    batches = list(sampler)

    assert len(batches) == len(sampler) == n_batches
    for batch in batches:
        assert len(set(batch)) == len(batch)
        names, counts = np.unique(np.asarray(labels)[batch], return_counts=True)
        assert len(names) == n_identities
        expected = [min(n_images, labels.count(name)) for name in names]
        assert counts.tolist() == expected


def test_a_lone_photo_is_a_negative_and_never_a_pair():
    batches = batches_of(sampler_of([0, 1, 1, 2, 2, 2], n_identities=3, n_images=2))

    assert all(sum(photo == 0 for photo in batch) == 1 for batch in batches)
    assert {len(batch) for batch in batches} == {5}


def test_positives_come_from_other_encounters_first():
    # Animal 0: encounter a with 9 photos, b and c with one each; animal 1: one encounter.
    labels = [0] * 11 + [1] * 4
    encounters = ["a"] * 9 + ["b", "c"] + ["z"] * 4
    sampler = sampler_of(labels, encounters, n_identities=2, n_images=3, n_batches=6)

    for batch in sampler:
        of_first = [encounters[photo] for photo in batch if labels[photo] == 0]
        assert sorted(of_first) == ["a", "b", "c"]


def test_no_photo_of_an_encounter_comes_again_before_its_others():
    labels = [0] * 9 + [1] * 9
    sampler = sampler_of(labels, ["a"] * 9 + ["b"] * 9, n_identities=2, n_images=3, n_batches=3)

    photos = [photo for batch in sampler for photo in batch]

    assert sorted(photos) == list(range(18))


def test_animals_are_drawn_by_the_square_root_of_their_photos():
    sampler = sampler_of(LONG_TAIL, n_identities=3, n_images=2, n_batches=20)
    n_epochs = 300

    drawn = np.zeros(9)
    for batch in batches_of(sampler, n_epochs):
        drawn[np.unique(LONG_TAIL[batch])] += 1

    weights = np.sqrt(np.bincount(LONG_TAIL))
    expected = weights / weights.sum() * 3 * 20 * n_epochs
    assert expected.max() < 20 * n_epochs, "no animal would need more than one place in a batch"
    np.testing.assert_allclose(drawn, expected, rtol=0.05)


def test_an_animal_with_most_photos_is_in_every_batch_at_most_once():
    places = deal_animals(np.array([100.0, 1.0, 1.0, 1.0]), 6, 2, np.random.default_rng(0))

    counts = np.bincount(places.ravel(), minlength=4)
    assert counts.tolist() == [6, 2, 2, 2]
    assert (places[:, 0] != places[:, 1]).all()


def test_an_epoch_shows_about_as_many_photos_as_there_are():
    sampler = sampler_of(np.repeat(np.arange(10), 8))

    assert len(sampler) == 5
    assert sum(len(batch) for batch in sampler) == 80


def test_batches_depend_on_seed_and_epoch_only():
    first = batches_of(sampler_of(LONG_TAIL, seed=1), 2)
    np.random.seed(99)  # noqa: NPY002 - the global generator must not matter
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    again = batches_of(sampler_of(LONG_TAIL, seed=1), 2)

    assert again == first
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert batches_of(sampler_of(LONG_TAIL, seed=2), 2) != first
    half = len(first) // 2
    assert first[:half] != first[half:]


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        ([0, 0, 1, 1], {"n_identities": 3}, "3 of 2 animals"),
        ([0, 0, 1, 1], {"n_identities": 2, "n_images": 1}, "with 1 photos each"),
        ([0, 0, 1, 1], {"n_identities": 1}, "1 of 2 animals"),
    ],
)
def test_batches_that_cannot_be_are_refused(labels, settings, message):
    with pytest.raises(ValueError, match=message):
        sampler_of(labels, **settings)


@pytest.mark.parametrize(
    ("labels", "batch_size", "message"),
    [
        ([0, 0, 1, 1], 3, "--batch_size 3: .* no pair or triplet"),
        ([0, 1, 2, 3], 32, "0 of 4 training animals .* take --loss arcface"),
        ([0, 0, 0, 1, 2], 32, "1 of 3 training animals"),
    ],
)
def test_batches_without_pairs_name_the_flag_to_change(labels, batch_size, message):
    with pytest.raises(InputError, match=message):
        identity_batches(labels, labels, batch_size=batch_size, n_images=4, seed=0)


def test_labels_and_encounters_must_belong_together():
    with pytest.raises(ValueError, match="4 labels and 3 encounters"):
        sampler_of([0, 0, 1, 1], [1, 2, 3])


def test_weighted_photos_are_drawn_in_proportion():
    labels = np.repeat([0, 1], [90, 10])
    sampler = ShuffledBatchSampler(100, 10, weights=1 / np.bincount(labels)[labels])

    drawn = []
    for epoch in range(50):
        sampler.set_epoch(epoch)
        drawn += [labels[photo] for batch in sampler for photo in batch]

    assert len(drawn) == 5_000
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.03)  # four standard deviations


@pytest.mark.parametrize(
    ("batch_size", "n_images", "expected"),
    [(12, 4, (3, 4)), (13, 4, (3, 4)), (12, 9, (2, 6)), (100, 4, (5, 4)), (5, 4, (2, 2))],
)
def test_a_batch_size_becomes_as_many_animals_as_fit(batch_size, n_images, expected):
    labels = np.repeat(np.arange(5), 6)  # five animals with six photos

    sampler = identity_batches(
        labels, np.arange(30), batch_size=batch_size, n_images=n_images, seed=0
    )

    assert (sampler.n_identities, sampler.n_images) == expected
