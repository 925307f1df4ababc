"""Looking inside: what is climbed, pushed and mapped is what was meant."""

import io

from common.errors import InputError
from common.inspection.adversarial import (
    UNIT,
    Attack,
    SimilarityToMeans,
    add_noise,
    choose_targets,
    is_named,
    push_to_target,
)
from common.inspection.attention import (
    SimilarityToPhoto,
    grad_cam,
    keep_only,
    map_layer,
    share_on_background,
)
from common.inspection.features import first_filters, nearest_photos, stage_maps
from common.inspection.ideal import AscentSettings, ideal_images, variation_loss
from common.inspection.imagenet import class_names, require_class, top_classes
from common.inspection.pixels import OnPixels, to_pixels
from common.inspection.transfer import PhotoSet, TransferTask, probe, read_photo_set
from common.models.backbones import load_backbone, load_imagenet_classifier
from common.models.heads import Recogniser, linear_classifier

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn


class Colours(nn.Module):
    """Names a photo by its strongest colour: logits are the mean of each channel."""

    def __init__(self):
        super().__init__()
        self.register_buffer("sharpness", torch.tensor(10.0))

    def forward(self, pixels):
        return self.sharpness * pixels.mean(dim=(2, 3))


def small_namer(n_classes=3, side=32):
    torch.manual_seed(0)
    backbone = load_backbone("small_cnn", image_size=side)
    return OnPixels(Recogniser(backbone, linear_classifier(backbone.n_features, n_classes)))


def test_the_variation_loss_and_its_gradient_are_those_worked_by_hand():
    # Down: |0.1-0.5|, |0.9-0.2|, mean 0.55; right: |0.2-0.5|, |0.9-0.1|, mean 0.55.
    image = torch.tensor([[[[0.5, 0.2], [0.1, 0.9]]]], requires_grad=True)

    loss = variation_loss(image)
    loss.sum().backward()

    assert loss.item() == pytest.approx(1.1)
    expected = [[1.0, -1.0], [-1.0, 1.0]]  # each pixel: the sum of two signs, over two pairs
    assert image.grad[0, 0].tolist() == expected


def test_one_colour_has_no_variation():
    assert variation_loss(torch.full((2, 3, 4, 4), 0.3)).tolist() == [0.0, 0.0]


def test_a_change_is_projected_onto_the_budget_and_the_range_of_a_pixel():
    # The gradient lifts red everywhere; far more steps than the budget allows.
    pixels = torch.tensor([0.2, 0.999, 0.5]).view(1, 3, 1, 1).repeat(1, 1, 2, 2)
    budget = 8

    changed = push_to_target(Colours(), pixels, torch.tensor([0]), Attack(budget, steps=20))

    assert changed[0, 0].flatten().tolist() == pytest.approx([0.2 + 8 / 255] * 4)
    assert changed[0, 1].flatten().tolist() == pytest.approx([0.999 - 8 / 255] * 4)
    assert changed[0, 2].flatten().tolist() == pytest.approx([0.5] * 4)  # never the best other


def test_one_step_goes_the_whole_budget():
    pixels = torch.full((1, 3, 2, 2), 0.5)

    changed = push_to_target(Colours(), pixels, torch.tensor([2]), Attack(4, steps=1))

    assert changed[0, 2].flatten().tolist() == pytest.approx([0.5 + 4 / 255] * 4)


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("budget", [0.5, 8, 300])
def test_no_push_leaves_the_budget_or_the_photo(steps, budget):
    model, generator = small_namer(), torch.Generator().manual_seed(0)
    pixels = torch.rand(4, 3, 32, 32, generator=generator)

    changed = push_to_target(model, pixels, torch.tensor([0, 1, 2, 0]), Attack(budget, steps))

    assert (changed - pixels).abs().max() <= budget * UNIT + 1e-6
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_a_large_budget_reaches_the_target_where_noise_does_not():
    model, generator = small_namer(), torch.Generator().manual_seed(0)
    pixels = torch.rand(6, 3, 32, 32, generator=generator)
    targets = (model(pixels).argmax(dim=1) + 1) % 3

    changed = push_to_target(model, pixels, targets, Attack(32, steps=20))

    assert is_named(model, changed, targets).all()
    assert not is_named(model, add_noise(pixels, 2, seed=0), targets).any()


def test_noise_goes_to_the_ends_of_the_budget():
    pixels = torch.full((1, 3, 8, 8), 0.5)

    changes = (add_noise(pixels, 4, seed=0) - pixels) / UNIT

    assert sorted({round(value, 3) for value in changes.flatten().tolist()}) == [-4.0, 4.0]


def test_targets_are_animals_that_nobody_has_named():
    labels, said = torch.tensor([0, 1, 2]), [torch.tensor([1, 1, 2])]

    targets = choose_targets(labels, said, torch.arange(4).repeat_interleave(5), seed=0)

    for target, taken in zip(targets.tolist(), [{0, 1}, {1}, {2}], strict=True):
        assert target not in taken


def test_animals_that_were_hardly_trained_on_are_no_targets():
    labels, few = torch.tensor([0, 0, 0]), torch.tensor([0] * 5 + [1] * 5 + [2])

    assert choose_targets(labels, [], few, seed=0).tolist() == [1, 1, 1]


def test_an_animal_without_gallery_photos_is_never_the_most_alike():
    namer = SimilarityToMeans(nn.Identity(), torch.eye(2), torch.tensor([0, 2]), n_identities=3)

    similarities = namer(torch.tensor([[0.6, 0.8]]))

    assert similarities[0].tolist() == pytest.approx([0.6, -1.0, 0.8])


class UpperLeft(nn.Module):
    """Activations of the upper left quarter of a photo, 0 elsewhere."""

    def forward(self, pixels):
        is_seen = torch.zeros(pixels.shape[-2:])
        is_seen[:16, :16] = 1
        return nn.functional.avg_pool2d(pixels * is_seen, 8)  # (n_images, 3, 4, 4)


class Corner(nn.Module):
    """A score that depends on the upper left quarter alone."""

    def __init__(self):
        super().__init__()
        self.layer = UpperLeft()

    def forward(self, pixels):
        return self.layer(pixels).sum(dim=(1, 2, 3))


def test_a_map_shows_the_only_part_that_counts():
    scorer = Corner()

    maps = grad_cam(scorer, scorer.layer, torch.rand(2, 3, 32, 32) + 0.1)

    assert maps.shape == (2, 4, 4)
    assert maps.sum(dim=(1, 2)).tolist() == pytest.approx([1.0, 1.0])
    assert maps[:, :2, :2].sum(dim=(1, 2)).tolist() == pytest.approx([1.0, 1.0])


def test_a_map_of_every_class_can_be_asked_of_a_model():
    model = small_namer(side=64)

    maps = grad_cam(model, map_layer(model), torch.rand(3, 3, 64, 64), torch.tensor([0, 1, 2]))

    assert maps.shape == (3, 4, 4)
    assert (maps >= 0).all()


def test_a_network_without_maps_is_refused():
    backbone = load_backbone("vit_tiny_patch16_224", weights="none", image_size=32)
    model = OnPixels(Recogniser(backbone, linear_classifier(backbone.n_features, 2)))

    with pytest.raises(InputError, match="no stage with a square map"):
        map_layer(model)


def test_the_background_share_is_what_lies_beside_the_mask():
    heat = torch.tensor([[[0.1, 0.2], [0.3, 0.4]]])
    mask = np.zeros((1, 4, 4), dtype=bool)
    mask[0, :2, :2] = True  # the first cell
    mask[0, 2:, 2] = True  # half of the last

    assert share_on_background(heat, mask)[0] == pytest.approx(0.2 + 0.3 + 0.4 / 2)


def test_a_map_of_nothing_has_no_share():
    assert np.isnan(share_on_background(torch.zeros(1, 2, 2), np.ones((1, 4, 4), dtype=bool))[0])


def test_what_is_covered_gets_the_mean_colour_of_what_is_left():
    pixels = torch.tensor([[0.2, 0.4], [0.9, 0.9]]).expand(1, 3, 2, 2)
    mask = np.array([[[True, True], [False, False]]])

    left = keep_only(pixels, mask, animal=True)

    assert left[0, 0].flatten().tolist() == pytest.approx([0.2, 0.4, 0.3, 0.3])


def test_a_photo_is_most_alike_to_itself():
    model = small_namer()
    embed = nn.Sequential(model, Normalised())
    pixels = torch.rand(2, 3, 32, 32)

    similarity = SimilarityToPhoto(embed, pixels[0])(pixels)

    assert similarity[0].item() == pytest.approx(1.0, abs=1e-5)


class Normalised(nn.Module):
    def forward(self, vectors):
        return nn.functional.normalize(vectors)


def test_an_ideal_image_raises_the_score_of_its_class():
    settings = AscentSettings(scales=(1.0,), steps=15)

    images, _ = ideal_images(Colours(), [0, 2], image_size=32, settings=settings)

    assert Colours()(images).argmax(dim=1).tolist() == [0, 2]
    assert images.shape == (2, 3, 32, 32)
    assert images.min() >= 0
    assert images.max() <= 1


def test_the_variation_loss_makes_an_ideal_image_smoother():
    rough, smooth = (
        ideal_images(small_namer(), [1], image_size=32,
                     settings=AscentSettings(scales=(1.0,), steps=30, variation_weight=weight))[0]
        for weight in (0.0, 1_000.0)
    )  # fmt: skip

    assert variation_loss(smooth) < 0.5 * variation_loss(rough)


def test_an_image_of_one_seed_is_always_the_same():
    settings = AscentSettings(steps=2)

    first, again = (
        ideal_images(small_namer(), [0], image_size=32, settings=settings, seed=3)[0]
        for _ in range(2)
    )

    assert torch.equal(first, again)


def test_imagenets_names_belong_to_the_bundled_networks_outputs():
    backbone, classifier = load_imagenet_classifier("efficientnet_lite0", image_size=64)

    assert classifier.out_features == len(class_names()) == 1_000
    assert class_names()[281] == "tabby"
    assert backbone.n_features == classifier.in_features
    assert top_classes(torch.eye(1_000)[340] * 20)[0][0] == "zebra"


@pytest.mark.parametrize("text", ["zebraa", "1000"])
def test_an_unknown_class_is_one_line_with_suggestions(text):
    with pytest.raises(InputError, match=f"--target {text}: no such class; did you mean"):
        require_class(text)


def test_pixels_of_a_photo_are_its_own():
    photo = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)

    pixels = to_pixels(photo, 32)

    assert np.allclose(pixels[0].permute(1, 2, 0), photo[0] / 255, atol=1e-6)


def test_every_stage_of_a_convolutional_network_has_a_map():
    backbone = load_backbone("resnet18", weights="none", image_size=64)

    maps = stage_maps(backbone, torch.rand(3, 64, 64))

    assert [stage.shape[-1] for stage in maps][-1] == 2
    assert first_filters(backbone).shape[0] == 64


def test_neighbours_come_nearest_first():
    features = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])

    nearest, similarities = nearest_photos(np.array([1.0, 0.2]), features)

    assert list(nearest) == [0, 2, 1]
    assert list(similarities) == sorted(similarities, reverse=True)


def photo_set(n_classes=3, n_groups=4, n_each=3):
    labels = np.repeat(np.arange(n_classes), n_groups * n_each)
    groups = np.repeat(np.arange(n_classes * n_groups), n_each)
    return PhotoSet("set", np.zeros((len(labels), 8, 8, 3), np.uint8), labels, groups)


def test_photos_of_one_encounter_are_not_parted_by_the_transfer_task():
    photos = photo_set()
    # A feature that names the encounter and nothing else: useless for other encounters.
    features = np.eye(photos.groups.max() + 1)[photos.groups]

    answers = probe(features, photos, TransferTask(n_classes=3, n_train=6, n_test=3, n_draws=20))

    assert answers["is_correct"].mean() < 0.6
    perfect = probe(np.eye(3)[photos.labels], photos, TransferTask(3, 6, 3, 2))
    assert perfect["is_correct"].all()


def test_a_set_with_too_few_photos_is_refused():
    with pytest.raises(InputError, match="has 0 classes with 40"):
        probe(np.zeros((36, 2)), photo_set(), TransferTask(n_classes=3, n_train=40))


def test_a_file_of_jpeg_copies_is_read_as_a_set(tmp_path):
    files = []
    for grey in (0, 120, 240):
        file = io.BytesIO()
        Image.new("RGB", (32, 32), (grey, grey, grey)).save(file, "JPEG")
        files.append(np.frombuffer(file.getvalue(), dtype=np.uint8))
    parts = {"bytes": np.concatenate(files), "offsets": np.cumsum([0, *map(len, files)]),
             "labels": np.array([1, 0, 1])}  # fmt: skip
    arrays = {f"test_{name}": values for name, values in parts.items()}
    np.savez(tmp_path / "copies.npz", class_names=np.array(["cat", "dog"]), **arrays)

    read = read_photo_set("tiny", tmp_path / "copies.npz", side=48)

    assert read.labels.tolist() == ["dog", "cat", "dog"]
    assert read.photos.shape == (3, 48, 48, 3)
    assert read.photos.mean(axis=(1, 2, 3)).round(-1).tolist() == [0, 120, 240]


def test_a_file_without_jpeg_copies_is_one_line(tmp_path):
    np.savez(tmp_path / "other.npz", values=np.zeros(3))

    with pytest.raises(InputError, match="--more_data other=.*no file of JPEG copies"):
        read_photo_set("other", tmp_path / "other.npz", side=48)
