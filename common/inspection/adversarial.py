"""The adversarial animal: a photo changed by less than the eye sees, named as somebody else.

Steps are captum's FGSM and PGD, which clip to the budget and to the range of a pixel. What is
pushed is ours: a margin that means the same for a classifier's logits and for the similarities of
an embedding, so that the two can be compared.
"""

import warnings
from dataclasses import dataclass

from common.measures.intervals import mean_columns

import numpy as np
import pandas as pd
import torch
from captum.robust import FGSM, PGD
from torch import nn
from torch.nn import functional

UNIT = 1 / 255  # budgets are counted in steps of an 8-bit pixel
N_NOISES = 2  # draws of noise per photo
FEWEST_PHOTOS = 5  # in training, of an animal that photos are pushed to


class SimilarityToMeans(nn.Module):
    """An embedding model as a namer: the cosine similarity to the mean of each identity.

    Args:
        embed: pixels to embeddings of unit length, see `common.inspection.pixels.OnPixels`.
        embeddings: of the gallery, shape (n_gallery, embedding_dim).
        labels: integers, shape (n_gallery,).
        n_identities: of the label map; one without a gallery photo has similarity -1.
    """

    def __init__(
        self, embed: nn.Module, embeddings: torch.Tensor, labels: torch.Tensor, n_identities: int
    ) -> None:
        super().__init__()
        self.embed = embed
        sums = torch.zeros(n_identities, embeddings.shape[1])
        sums.index_add_(0, labels, embeddings)
        self.register_buffer("means", functional.normalize(sums))
        self.register_buffer("is_absent", torch.bincount(labels, minlength=n_identities) == 0)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Similarities in [-1, 1], shape (n_images, n_identities)."""
        return (self.embed(pixels) @ self.means.T).masked_fill(self.is_absent, -1.0)


def margin_to_target(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """How far the best other score lies above the target's; negative where the target wins.

    Args:
        scores: shape (n_images, n_classes), high is alike: logits or similarities.
        targets: class that each photo is pushed to, shape (n_images,).

    Source: Carlini and Wagner 2017, f6 of section V.A, without its cut at 0.

    >>> margin_to_target(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([1]))
    tensor([2.])
    """
    is_target = functional.one_hot(targets, scores.shape[1]).bool()
    best_other = scores.masked_fill(is_target, -torch.inf).amax(dim=1)
    return best_other - scores.gather(1, targets[:, None])[:, 0]


@dataclass(frozen=True)
class Attack:
    """How a photo is pushed.

    Attributes:
        budget: farthest change of any pixel, in units of 1/255.
        steps: gradient steps; 1 is the fast gradient sign method (FGSM), more are projected
            gradient descent (PGD).

    Source: Goodfellow et al. 2015, equation in section 4; Madry et al. 2018, equation in
        section 2.1.
    """

    budget: float
    steps: int = 10

    @property
    def step_size(self) -> float:
        """Of PGD, in units of 1/255: all steps one way would go 2.5 times as far as allowed."""
        return 2.5 * self.budget / self.steps


def push_to_target(
    model: nn.Module, pixels: torch.Tensor, targets: torch.Tensor, attack: Attack
) -> torch.Tensor:
    """Change photos within a budget so that a model prefers other classes.

    Args:
        model: pixels in [0, 1] to scores, shape (n_images, n_classes).
        pixels: the photos, shape (n_images, 3, height, width).
        targets: class that each photo is pushed to, shape (n_images,).

    Returns:
        The changed photos, in [0, 1], each pixel within the budget of its own.
    """
    bounds = {"lower_bound": 0.0, "upper_bound": 1.0}
    pixels, budget = pixels.detach(), attack.budget * UNIT
    with warnings.catch_warnings():
        # captum asks each step's photos for gradients by itself, and says so each time.
        warnings.filterwarnings("ignore", "Input Tensor 0 did not already require gradients")
        if attack.steps == 1:
            fgsm = FGSM(model, margin_to_target, **bounds)
            changed = fgsm.perturb(pixels, budget, targets, targeted=True)
        else:
            pgd = PGD(model, margin_to_target, **bounds)
            step_size = attack.step_size * UNIT
            changed = pgd.perturb(pixels, budget, step_size, attack.steps, targets, targeted=True)
    return changed.detach()


def add_noise(pixels: torch.Tensor, budget: float, seed: int) -> torch.Tensor:
    """The control: every value goes to one end of the budget (1/255), up or down by chance."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, pixels.shape, generator=generator) * 2.0 - 1.0
    return (pixels + signs.to(pixels.device) * budget * UNIT).clamp(0, 1)


@torch.no_grad()
def is_named(model: nn.Module, pixels: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Whether the target has the highest score of all, bool, shape (n_images,)."""
    return margin_to_target(model(pixels), targets) < 0


def choose_targets(
    labels: torch.Tensor, predictions: list[torch.Tensor], trained: torch.Tensor, seed: int
) -> torch.Tensor:
    """For each photo an animal that it does not show and, if there is one, that no model named.

    Only animals with `FEWEST_PHOTOS` training photos are drawn, where there are such: one that a
    classifier has hardly seen is one that it never names, whatever the photo.

    Args:
        labels: true, shape (n_images,).
        predictions: of each model, shape (n_images,).
        trained: labels of the training photos, of two animals at least, shape (n_gallery,).
    """
    names, counts = trained.unique(return_counts=True)
    possible = names[counts >= FEWEST_PHOTOS]
    possible = possible if len(possible) > 1 else names
    generator = torch.Generator().manual_seed(seed)
    targets = []
    for column in torch.stack([labels, *predictions]).T:  # (1 + n_models,)
        free = possible[~torch.isin(possible, column)]
        free = free if len(free) else possible[possible != column[0]]
        targets.append(free[torch.randint(len(free), (1,), generator=generator)])
    return torch.cat(targets)


def success_by_budget(
    model: nn.Module,
    pixels: torch.Tensor,
    targets: torch.Tensor,
    budgets: list[float],
    *,
    steps: int,
    seed: int = 0,
) -> dict[str, list[torch.Tensor]]:
    """Which photos are named as their target, budget by budget.

    Args:
        model: pixels in [0, 1] to scores.
        budgets: in units of 1/255.

    Returns:
        For "pgd", "fgsm" and "noise" one float tensor per budget, shape (n_images,): 1 where
        the target was reached, 0 where not; for noise the share of draws.
    """
    reached: dict[str, list[torch.Tensor]] = {"pgd": [], "fgsm": [], "noise": []}
    for budget in budgets:
        for name, n_steps in (("pgd", steps), ("fgsm", 1)):
            changed = push_to_target(model, pixels, targets, Attack(budget, n_steps))
            reached[name].append(is_named(model, changed, targets).float().cpu())
        draws = [
            is_named(model, add_noise(pixels, budget, seed + draw), targets).float().cpu()
            for draw in range(N_NOISES)
        ]
        reached["noise"].append(torch.stack(draws).mean(dim=0))
    return reached


def success_table(
    reached: dict[str, dict[str, list[torch.Tensor]]], budgets: list[float], individuals: np.ndarray
) -> pd.DataFrame:
    """Success rate of every model and method at every budget, with intervals over individuals.

    Args:
        budgets: in units of 1/255.
        individuals: animal of each photo, shape (n_images,).

    Returns:
        Columns "budget (1/255)", and per model its name (PGD), name_one_step (FGSM) and
        name_noise, each with _low and _high.
    """
    endings = {"pgd": "", "fgsm": "_one_step", "noise": "_noise"}
    records = []
    for i, budget in enumerate(budgets):
        record = {"budget (1/255)": float(budget)}
        for method, ending in endings.items():
            for name, of_model in reached.items():
                reached_by = of_model[method][i].numpy()
                record |= mean_columns(f"{name}{ending}", reached_by, individuals)
        records.append(record)
    return pd.DataFrame(records)
