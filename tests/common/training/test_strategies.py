"""Strategies train the stages that they name, step by step, and nothing else."""

from common.errors import InputError
from common.models.backbones import load_backbone
from common.models.freezing import freeze_stages, split_at_boundary, stages_of
from common.models.heads import linear_classifier
from common.training import boundary, feature_cache
from common.training.loop import TrainingSettings
from common.training.optim import Rates, parameter_group
from common.training.strategies import (
    Step,
    fine_tune,
    photos_for_plan,
    plan_of,
    read_plan,
    stage_table,
)

import numpy as np
import pytest
import torch

PIXELS = np.random.default_rng(0).integers(0, 255, (8, 37, 37, 3), dtype=np.uint8)
LABELS = np.array([0, 0, 1, 1, 2, 2, 0, 1])
TRAIN, VALIDATION = np.arange(6), np.array([6, 7])
# Twelve architectures of eight families; small ones of each.
ARCHITECTURES = (
    "resnet18", "resnet26", "efficientnet_lite0", "efficientnet_b0", "mobilenet_v2",
    "mobilenetv3_small_050", "convnext_atto", "convnext_femto", "densenet121", "repvgg_a0",
    "vit_tiny_patch16_224", "regnetx_002",
)  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "CACHE_FOLDER", tmp_path / "cache")


def backbone_of(name="small_cnn"):
    torch.manual_seed(0)
    weights = "imagenet" if name == "small_cnn" else "none"
    return load_backbone(name, weights=weights, image_size=32)


def tuned(plan, backbone, *, cached=True, seed=0, **options):
    torch.manual_seed(seed)
    photos = photos_for_plan(
        backbone, plan, PIXELS, LABELS, TRAIN, n_views=2 if cached else 0, progress=False
    )
    return fine_tune(
        plan, photos, head=linear_classifier(backbone.n_features, 3),
        settings=TrainingSettings(epochs=1, batch_size=3, seed=seed), train_rows=TRAIN,
        validation_rows=VALIDATION, n_identities=3, progress=False, **options,
    ), photos  # fmt: skip


def trained_backbone(name, n_trainable, *, cached):
    before = backbone_of(name)
    trained, _ = tuned([Step(n_trainable, 2)], before, cached=cached)
    after = backbone_of(name)
    freeze_stages(after, n_trainable)
    tail = split_at_boundary(after)[1] if cached else after
    tail.load_state_dict(
        dict(zip(tail.state_dict(), trained.tail.state_dict().values(), strict=True))
    )
    return before.network, after.network


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_partial_trains_the_last_stages_alone(name, cached):
    free = {key for stage in stages_of(backbone_of(name))[-2:] for key in stage.parameter_names}

    before, after = trained_backbone(name, 2, cached=cached)

    for key, parameter in after.named_parameters():
        assert torch.equal(parameter, before.get_parameter(key)) == (key not in free), key
    modules_of_free = {key.rsplit(".", 1)[0] for key in free}
    for key, statistic in after.named_buffers():
        if key.rsplit(".", 1)[0] not in modules_of_free:
            assert torch.equal(statistic, before.get_buffer(key)), key


def test_a_step_goes_on_with_what_the_one_before_has_learned():
    backbone = backbone_of()

    frozen_rate = Rates(head=0.0, backbone=0.0, weight_decay=0.0)
    first, _ = tuned([Step(1, 1)], backbone)
    both, _ = tuned([Step(1, 1), Step(3, 1)], backbone)
    still, photos = tuned([Step(1, 1), Step(3, 1)], backbone, rates=frozen_rate)

    assert len(both.tail) > len(first.tail)
    pristine = photos[-1].tail
    for name, tensor in still.tail.named_parameters():  # rates of 0: nothing may have moved
        assert torch.equal(tensor, pristine.get_parameter(name)), name
    assert not torch.equal(both.tail[-2][0].weight, pristine[-2][0].weight)


def test_epochs_are_counted_through_all_steps():
    trained, _ = tuned([Step(0, 2), Step(1, 1), Step(None, 2)], backbone_of())

    assert [row["epoch"] for row in trained.fit.history] == [1, 2, 3, 4, 5]
    assert [row["step"] for row in trained.fit.history] == [1, 1, 2, 3, 3]
    assert trained.fit.best_epoch in (4, 5)


def test_the_pre_trained_tails_stay_as_they_are():
    backbone = backbone_of()
    state = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}

    _, photos = tuned([Step(1, 1), Step(None, 1)], backbone)

    assert all(torch.equal(tensor, state[key]) for key, tensor in backbone.state_dict().items())
    assert torch.equal(photos[-1].tail[0][0].weight, backbone.network.blocks[0][0].weight)


def test_activations_that_would_fill_the_disk_are_not_stored(monkeypatch, tmp_path):
    monkeypatch.setattr(boundary, "CACHE_LIMIT", 1_000)

    trained, photos = tuned([Step(1, 1)], backbone_of())

    assert len(photos[0].trunk) == 0
    assert not (tmp_path / "cache").exists()
    assert len(trained.fit.history) == 1


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("freeze", [(0, 8)]), ("partial", [(3, 8)]), ("full", [(None, 8)]),
     ("progressive", [(0, 1), (3, 1), (None, 6)])],
)  # fmt: skip
def test_a_strategy_is_a_plan(strategy, expected):
    plan = plan_of(strategy, 8, unfreeze=3)

    assert [(step.n_trainable, step.epochs) for step in plan] == expected


@pytest.mark.parametrize("text", ["", "3", "0:2,0:3", "all:1,2:1", "2:0", "-1:2", "a:b", "1:2:3"])
def test_an_absurd_plan_is_refused(text):
    with pytest.raises(InputError, match="--plan"):
        read_plan(text)


def test_a_plan_of_more_steps_than_epochs_is_refused():
    with pytest.raises(InputError, match="--epochs 2"):
        plan_of("progressive", 2, unfreeze=1)


def test_the_stage_table_shows_rates_and_counts_every_parameter():
    backbone = backbone_of()
    head = linear_classifier(backbone.n_features, 3)

    freeze_stages(backbone, 2)
    groups = [
        group
        for stage, rate in zip(stages_of(backbone)[2:], (0.005, 0.01), strict=True)
        for group in parameter_group(
            [backbone.network.get_parameter(name) for name in stage.parameter_names], rate
        )
    ]

    table = stage_table(backbone, head, [*groups, *parameter_group(head, 0.1)])

    n_parameters = sum(p.numel() for module in (backbone, head) for p in module.parameters())
    assert table["parameters"].sum() == n_parameters
    assert list(table["learning rate"][2:]) == ["5.0e-03", "1.0e-02", "1.0e-01"]
    assert (table["trained"][:2] == 0).all()
    assert (table["trained"][2:] == table["parameters"][2:]).all()
