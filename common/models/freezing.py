"""Which stages of a backbone train, and where the frozen part ends."""

from dataclasses import dataclass

from common.errors import InputError
from common.models.backbones import Backbone

import torch
from timm.models import group_parameters
from torch import nn

CONTAINERS = ("blocks", "stages", "layers", "features")  # timm's names for lists of stages


@dataclass(frozen=True)
class Stage:
    """One stage of a backbone, from the photo upwards; index 0 is the stem."""

    index: int
    parameter_names: tuple[str, ...]


def stages_of(backbone: Backbone) -> list[Stage]:
    """The stages of a backbone in order, by timm's own `group_matcher`.

    Last groups of norms alone (ConvNeXt's and Swin's final norm), or of a pooling's power, belong
    to the stage before them.
    """
    network = backbone.network
    groups = group_parameters(network, network.group_matcher(coarse=True))
    names = [tuple(groups[key]) for key in sorted(groups)]
    while all(network.get_parameter(name).ndim == 1 for name in names[-1]):
        names[-2:] = [names[-2] + names[-1]]
    return [Stage(index, stage_names) for index, stage_names in enumerate(names)]


def freeze_stages(backbone: Backbone, n_trainable: int | None) -> None:
    """Let only the last stages train; frozen batch norms keep their statistics.

    Args:
        backbone: changed in place.
        n_trainable: number of stages, counted from the features downwards, that train; 0
            freezes the whole backbone, None lets all of it train.

    Raises:
        InputError: more stages asked for than the backbone has.
    """
    stages = stages_of(backbone)
    n_trainable = len(stages) if n_trainable is None else n_trainable
    if not 0 <= n_trainable <= len(stages):
        raise InputError(
            f"--unfreeze {n_trainable}, or so many in a plan: {backbone.name} has "
            f"{len(stages)} stages, expected 0 to {len(stages)}; take fewer"
        )
    first_trainable = len(stages) - n_trainable
    for stage in stages:
        for name in stage.parameter_names:
            backbone.network.get_parameter(name).requires_grad = stage.index >= first_trainable
    backbone.train(backbone.training)


def split_at_boundary(backbone: Backbone) -> tuple[nn.Sequential, nn.Sequential]:
    """Cut a backbone where training begins: (frozen trunk, trainable tail).

    The two share the backbone's modules, so that training the tail trains the backbone.
    A network that is not a chain of modules (a vision transformer adds position embeddings in
    between) is not cut: its trunk is empty and its tail is the whole network.

    Returns:
        trunk: maps images to activations; empty if nothing is frozen.
        tail: maps activations to features, shape (n_images, n_features); empty if all is frozen.
    """
    chain = _chain_of(backbone)
    is_trainable = [any(p.requires_grad for p in module.parameters()) for module in chain]
    boundary = is_trainable.index(True) if any(is_trainable) else len(chain)
    return nn.Sequential(*chain[:boundary]), nn.Sequential(*chain[boundary:])


def _chain_of(backbone: Backbone) -> list[nn.Module]:
    network = backbone.network
    modules: list[nn.Module] = []
    for name, child in network.named_children():
        modules.extend(child.children() if name in CONTAINERS else [child])
    return modules if _computes_the_same(modules, backbone) else [network]


@torch.no_grad()
def _computes_the_same(modules: list[nn.Module], backbone: Backbone) -> bool:
    """Whether the modules one after another are the network; tried, because names don't tell."""
    was_training = backbone.training
    backbone.eval()
    side = backbone.preprocessing.image_size
    device = next(backbone.parameters()).device
    probe = torch.linspace(-1, 1, 3 * side * side, device=device).reshape(1, 3, side, side)
    expected = backbone(probe)
    try:
        is_same = torch.equal(nn.Sequential(*modules)(probe), expected)
    except (RuntimeError, TypeError, NotImplementedError, IndexError):  # shapes that don't chain
        is_same = False
    backbone.train(was_training)
    return is_same
