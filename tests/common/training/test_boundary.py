"""Behind the freeze boundary, training sees what the frozen stages give, computed once."""

from common.data.images import (
    PhotoDataset,
    PhotoSelection,
    evaluation_transform,
    training_transform,
)
from common.models.backbones import load_backbone
from common.models.freezing import freeze_stages
from common.training import boundary, feature_cache
from common.training.boundary import PhotosAtBoundary

import numpy as np
import pytest
import torch

PIXELS = np.random.default_rng(0).integers(0, 255, (6, 37, 37, 3), dtype=np.uint8)
LABELS = np.array([0, 0, 1, 1, 2, 2])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "CACHE_FOLDER", tmp_path / "cache")
    return tmp_path / "cache"


def small_backbone(n_trainable=2):
    torch.manual_seed(0)
    backbone = load_backbone("small_cnn", image_size=32).eval()
    freeze_stages(backbone, n_trainable)
    return backbone


def photos_of(backbone, n_views=2, *, pixels=PIXELS, progress=False, **options):
    return PhotosAtBoundary(
        backbone, pixels, LABELS, np.arange(4), n_views=n_views, progress=progress, **options
    )


def views_of(dataset, n_epochs, index=1):
    views = []
    for epoch in range(n_epochs):
        dataset.set_epoch(epoch)
        views.append(dataset[index][0])
    return views


def through_trunk(photos, dataset, epoch, index):
    """What the trunk gives for a photo in an epoch, computed here and now."""
    dataset.set_epoch(epoch)
    with torch.no_grad():
        return photos.trunk.eval()(dataset[index][0][None])[0].numpy()


def test_outputs_behind_the_boundary_are_the_backbones_own():
    backbone = small_backbone()
    photos = photos_of(backbone)
    plain = PhotoDataset(PIXELS, LABELS, evaluation_transform(backbone.preprocessing))

    features = photos.outputs(photos.tail, np.array([4, 1]))

    with torch.no_grad():
        expected = backbone(torch.stack([plain[4][0], plain[1][0]])).numpy()
    assert features == pytest.approx(expected, abs=2e-3)  # stored in half precision


def test_each_epoch_sees_another_view_until_they_repeat():
    dataset = photos_of(small_backbone()).training_dataset(np.array([0, 3]))

    views = views_of(dataset, 3)

    assert not torch.equal(views[0], views[1])
    assert torch.equal(views[0], views[2])
    assert dataset[1][1] == LABELS[3]


@pytest.mark.parametrize("seed", [0, 1])
def test_views_are_the_random_ones_of_the_seed(seed):
    backbone = small_backbone()
    photos = photos_of(backbone, seed=seed)
    augment = training_transform(backbone.preprocessing, flip=False)
    fresh = PhotoDataset(PIXELS[:4], LABELS[:4], augment, seed)

    for epoch, view in enumerate(views_of(photos.training_dataset(np.array([0, 3])), 2)):
        expected = through_trunk(photos, fresh, epoch, index=3)
        assert view.numpy() == pytest.approx(expected, abs=5e-3)


def test_the_first_view_may_be_the_photo_as_it_is():
    backbone = small_backbone()
    photos = photos_of(backbone, n_views=3, plain_first=True, asked_rows=np.array([5]))

    views = views_of(photos.training_dataset(np.array([0, 3])), 4)

    plain = PhotoDataset(PIXELS, LABELS, evaluation_transform(backbone.preprocessing))
    assert views[0].numpy() == pytest.approx(through_trunk(photos, plain, 0, index=3), abs=5e-3)
    assert len({view.numpy().tobytes() for view in views}) == 3
    assert torch.equal(views[0], views[3])


def test_one_plain_view_costs_no_look_beside_those_that_are_asked(monkeypatch):
    looks = []
    monkeypatch.setattr(feature_cache, "extract", _counting(feature_cache.extract, looks))
    photos = photos_of(small_backbone(), n_views=1, plain_first=True, asked_rows=np.array([5]))

    photos.training_dataset(np.array([0, 3]))[0]
    photos.outputs(photos.tail, np.array([5]))

    assert max(looks) == photos.n_looks == 5  # four training photos and the one asked about


def _counting(extract, looks):
    def counted(network, dataset, **options):
        looks.append(len(dataset))
        return extract(network, dataset, **options)

    return counted


def test_a_photo_that_was_left_out_is_not_answered_for():
    photos = photos_of(small_backbone(), asked_rows=np.array([5]))

    with pytest.raises(ValueError, match="asked_rows"):
        photos.outputs(photos.tail, np.array([4]))


def test_where_nothing_is_frozen_the_photos_are_handed_on():
    photos = photos_of(small_backbone(n_trainable=None))

    dataset = photos.training_dataset(np.array([0, 3]))

    assert isinstance(dataset, PhotoDataset)
    assert dataset[0][0].shape == (3, 32, 32)


@pytest.mark.parametrize("plain_first", [False, True])
def test_without_views_frozen_stages_run_in_every_epoch_on_fresh_ones(cache, plain_first):
    photos = photos_of(small_backbone(), n_views=0, plain_first=plain_first)

    views = views_of(photos.training_dataset(np.array([0, 3])), 4)

    assert len({view.numpy().tobytes() for view in views}) == 4
    assert not cache.exists()


def bytes_of(n_looks):
    """What so many photos' activations take."""
    photos = photos_of(small_backbone())
    return n_looks * photos.training_dataset(np.array([0]))[0][0].numel() * 2


def test_where_not_even_one_view_fits_frozen_stages_run_in_every_epoch(cache, monkeypatch, capsys):
    monkeypatch.setattr(boundary, "CACHE_LIMIT", 1_000)

    photos = photos_of(small_backbone(), progress=True)

    assert isinstance(photos.training_dataset(np.array([0, 3])), PhotoDataset)
    assert not cache.exists()
    assert capsys.readouterr().out.startswith("Frozen stages run in every epoch")


@pytest.mark.parametrize(
    ("n_looks", "plain_first", "n_views"),
    [
        (6 + 3 * 4, False, 3),  # six photos that are asked, three views of four that are trained
        (6 + 3 * 4 - 1, False, 2),
        (6 + 3, False, 0),
        (6 + 3 * 4, True, 4),
        (6, True, 1),
        (5, True, 0),
    ],
)
def test_as_many_views_are_stored_as_fit(monkeypatch, capsys, n_looks, plain_first, n_views):
    monkeypatch.setattr(boundary, "CACHE_LIMIT", bytes_of(n_looks))

    photos = photos_of(small_backbone(), n_views=5, plain_first=plain_first, progress=True)

    assert photos.n_views == n_views
    (line,) = capsys.readouterr().out.splitlines()
    assert f"{n_views} of 5 views" in line or (n_views == 0 and "every epoch" in line)
    if n_views:
        assert photos.n_looks <= n_looks
        views = views_of(photos.training_dataset(np.array([0, 3])), 2 * n_views)
        assert len({view.numpy().tobytes() for view in views}) == n_views


def test_nothing_is_said_where_all_views_fit(monkeypatch, capsys):
    monkeypatch.setattr(boundary, "CACHE_LIMIT", bytes_of(6 + 2 * 4))

    assert photos_of(small_backbone(), n_views=2, progress=True).n_views == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("n_trainable", [2, None], ids=["behind frozen stages", "all stages train"])
def test_a_selection_gives_what_a_copy_gives(n_trainable):
    selection = PhotoSelection(PIXELS[:4]).with_mirrored(np.array([0, 3]))
    copied = np.concatenate([PIXELS[:4], PIXELS[[0, 3], :, ::-1]])
    datasets = [
        photos_of(small_backbone(n_trainable), pixels=pixels).training_dataset(np.arange(4))
        for pixels in (selection, copied)
    ]

    for index in range(4):
        first, second = (views_of(dataset, 2, index) for dataset in datasets)
        assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("n_trainable", [2, None], ids=["behind frozen stages", "all stages train"])
def test_no_data_set_copies_photos(n_trainable):
    photos = photos_of(small_backbone(n_trainable))

    for dataset in (photos.training_dataset(np.array([3, 0])), photos.plain_dataset()):
        assert n_trainable or dataset.photos.array is PIXELS
    assert photos.pixels is PIXELS


def test_a_batch_of_activations_is_its_items():
    dataset = photos_of(small_backbone()).training_dataset(np.arange(4))

    batch = dataset.__getitems__([2, 0])

    assert torch.equal(batch[0][0], dataset[2][0])
    assert torch.equal(batch[1][0], dataset[0][0])


@pytest.mark.parametrize("n_trainable", [2, None], ids=["behind frozen stages", "all stages train"])
def test_data_sets_are_told_apart_by_a_pixel_and_by_the_rows(n_trainable):
    changed = PIXELS.copy()
    changed[3, 10, 10, 1] ^= 1

    def fingerprint(rows, **options):
        photos = photos_of(small_backbone(n_trainable), **options)
        return photos.training_dataset(np.array(rows)).fingerprint()

    assert fingerprint([0, 3]) == fingerprint([0, 3])
    others = [fingerprint([0, 2]), fingerprint([3, 0]), fingerprint([0, 3], pixels=changed)]
    assert len({fingerprint([0, 3]), *others}) == 4
