"""A step of a plan may have rates and settings of its own."""

from types import SimpleNamespace

from common.training import strategies
from common.training.loop import FitResult, TrainingSettings
from common.training.optim import Rates
from common.training.recipes import Trained
from common.training.strategies import Step, fine_tune

from torch import nn


def test_a_step_overrides_the_plans_rates_and_settings(monkeypatch):
    seen = []

    def train(*_, settings, rates, **__):
        seen.append((settings, rates))
        return Trained(nn.Sequential(), nn.Sequential(), FitResult([{"epoch": 1}], best_epoch=1))

    monkeypatch.setattr(strategies, "train_classifier", train)
    photos = SimpleNamespace(tail=nn.Sequential(), n_features=4)
    usual, own = Rates(head=0.1), Rates(head=0.2)
    plan = [Step(0, 3, own, {"schedule": "constant", "patience": 2}), Step(None, 5)]

    fine_tune(
        plan, [photos, photos], head=nn.Linear(4, 2),
        settings=TrainingSettings(epochs=9, schedule="cosine"), rates=usual,
    )  # fmt: skip

    first, second = seen
    assert (first[0].schedule, first[0].patience, first[0].epochs) == ("constant", 2, 3)
    assert (second[0].schedule, second[0].patience, second[0].epochs) == ("cosine", None, 5)
    assert (first[1], second[1]) == (own, usual)
