"""The embedding that a gallery is made with: which network, what it gives, what its scores mean."""

from pathlib import Path

from common.data.catalogue import Catalogue
from common.data.images import PhotoDataset, evaluation_transform, read_photos
from common.errors import InputError
from common.gallery.gallery import Gallery
from common.gallery.scores import ValidationScores, ask_validation, draw_encounters, short_names
from common.machine.device import pick_device
from common.models.backbones import load_backbone
from common.models.extraction import extract
from common.models.heads import EmbeddingHead, Recogniser
from common.models.storage import load_recogniser, read_description
from common.own_files import checksum
from common.words import counted

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

N_CENTRED_BY = 500  # photos whose mean and spread centre the features of an untrained backbone
N_TOGETHER = 512  # photos in memory at a time, however many are embedded
N_ASKED = 500  # photos of the gallery that learn what a similarity means, about
TRAINED = Path("runs", "metric_learning", "model.safetensors")  # where metric_learning.py stores it
MOST_COPIES = 0.05  # share of the photos asked about that may be copies of training photos
TRAIN_ONE = "train one with python week3/metric_learning.py"


def stored_embedding(otherwise: str = "") -> Path:
    """The embedding that scripts take where none is named.

    Args:
        otherwise: what else a person may do where there is none.

    Raises:
        InputError: nothing was trained in the current folder.
    """
    if not TRAINED.exists():
        raise InputError(
            f"no trained embedding at {TRAINED.as_posix()} in the current folder, expected one; "
            f"{TRAIN_ONE}, or name one with --trained FILE{otherwise}"
        )
    return TRAINED


def model_name(path: Path) -> str:
    """What a stored model is, in words, and the first digits of its fingerprint."""
    description = read_description(path)
    n_animals = len(description["identities"])
    trained = (
        f"trained on a catalogue of {counted(n_animals, 'animal')}" if n_animals else "untrained"
    )
    return (
        f"{description['backbone']} at {description['image_size']} pixels, {trained}, "
        f"fingerprint {checksum(path)[:8]}"
    )


def check_embedding(path: Path) -> None:
    """Refuse a stored model that cannot serve a gallery.

    Raises:
        InputError: no model, a classifier, or an embedding without sound validation scores.
    """
    description = read_description(path)
    if description["head"] != "embedding":
        raise InputError(f"--trained {path} is a classifier, expected an embedding; {TRAIN_ONE}")
    if description["scores"] is None:
        raise InputError(
            f"--trained {path} does not say what validation photos got from it, so that a "
            f"similarity means nothing, expected that too; {TRAIN_ONE}, with a --split that holds "
            "animals out"
        )
    _sound(description["scores"], f"--trained {path}", TRAIN_ONE)


def open_network(trained: Path | None, seed: int = 0) -> Recogniser:
    """A stored embedding; None: a small network with random weights, to try whether all runs.

    Args:
        trained: model.safetensors of metric_learning.py.
        seed: of random weights.

    Raises:
        InputError: a classifier, or no model.
    """
    if trained is not None:
        check_embedding(trained)
        return load_recogniser(trained)[0]
    torch.manual_seed(seed)
    backbone = load_backbone("small_cnn", image_size=64)
    return Recogniser(backbone, EmbeddingHead(backbone.n_features)).eval()


def refuse_seen(model: Path, catalogue: Catalogue, rows: np.ndarray) -> None:
    """Refuse a network that has learned from the photos that it is asked about.

    Args:
        rows: of the catalogue, that are asked about. A few may be copies of training photos, which
            a published split has.

    Raises:
        InputError: with the number of these photos. A model that does not know is taken.
    """
    trained_photos = (read_description(model)["scores"] or {}).get("trained_photos")
    if not trained_photos:
        return
    n_seen = int(np.isin(short_names(catalogue, rows), trained_photos).sum())
    if n_seen > MOST_COPIES * len(rows):
        raise InputError(
            f"--trained {model} has learned from {n_seen:,} of the {len(rows):,} photos that it is "
            "asked about here, expected none; take the --data_dir, --split and --seed that it was "
            "trained with, and a model without --for_the_field"
        )


def untrained_embedding(
    photos: list[Path], model: str, weights: str, image_size: int, *, device: str, seed: int = 0
) -> Recogniser:
    """A backbone as it comes, whose features are centred before they are compared.

    Features behind a ReLU are all positive, so that any two photos would be alike. Mean and spread
    are those of some of the gallery's photos, whoever they show.

    Args:
        photos: files, of which at most `N_CENTRED_BY` are looked at.
        seed: of a backbone that begins with random numbers, and of the choice of photos.
    """
    torch.manual_seed(seed)
    backbone = load_backbone(model, weights=weights, image_size=image_size)
    order = np.random.default_rng(seed).permutation(len(photos))[:N_CENTRED_BY]
    features = torch.from_numpy(embed(backbone, [photos[i] for i in order], device=device))
    head = EmbeddingHead(backbone.n_features)
    head.norm.running_mean.copy_(features.mean(dim=0))
    head.norm.running_var.copy_(features.var(dim=0, correction=0))
    return Recogniser(backbone, head).cpu().eval()


def network_of(gallery: Gallery) -> Recogniser:
    """The network that a gallery was built with.

    Raises:
        InputError: it cannot be read, or gives other embeddings than the gallery has.
    """
    network, _ = load_recogniser(gallery.model)
    has, gives = gallery.embedding_dim, getattr(network.head, "embedding_dim", None)
    if has != gives:
        raise InputError(
            f"{gallery.model}: this network gives embeddings of {gives} numbers, the gallery has "
            f"{has}: they are not of one gallery; restore it from a copy, or build it anew"
        )
    return network


def embed(model: nn.Module, photos: list[Path], *, device: str = "auto") -> np.ndarray:
    """What a network gives for photo files, float32, shape (n_images, ...).

    Args:
        model: a `Backbone`, or a `Recogniser` that has one.

    Raises:
        InputError: a photo cannot be read, or the machine has no such device.
    """
    preprocessing = getattr(model, "backbone", model).preprocessing
    transform, device = evaluation_transform(preprocessing), pick_device(device)
    outputs = []
    starts = range(0, len(photos), N_TOGETHER)
    for start in tqdm(starts, "embedding", disable=len(starts) < 2):
        part = photos[start : start + N_TOGETHER]
        pixels = read_photos(part, preprocessing.stored_size, progress=False)
        dataset = PhotoDataset(pixels, np.zeros(len(part)), transform)
        outputs.append(extract(model, dataset, device=device, progress=False))
    return np.concatenate(outputs)


def validation_scores(gallery: Gallery) -> ValidationScores:
    """What a gallery's similarities mean: from its model's training, or from its own photos.

    Raises:
        InputError: what is stored of it is damaged.
    """
    advice = "restore the gallery from a copy, or build it anew"
    return _sound(stored_scores(gallery), str(gallery.model.parent), advice)


def scores_of_gallery(gallery: Gallery) -> ValidationScores:
    """Ask a gallery about its own photos; honest only where the network never saw its animals.

    Each of some photos is asked twice: as a known animal's, without the photos of its encounter,
    and as a new animal's, without the animal.

    Args:
        gallery: photos with the facts "encounter" and "side".
    """
    rows = np.flatnonzero(gallery.can_be_found())
    facts = {name: values[rows] for name, values in gallery.facts.items()}
    asked = draw_encounters(facts, np.ones(len(rows), dtype=bool), N_ASKED)
    n_animals = len(set(facts["identity"]))
    return ask_validation(
        gallery.embeddings_at(rows),
        facts,
        gallery=np.arange(len(rows)),
        known=asked,
        new=asked,
        source=f"photos of the gallery's own {counted(n_animals, 'animal')}, which the network "
        "never learned",
    )


def stored_scores(gallery: Gallery) -> dict | None:
    """What is stored of a gallery's scores, unchecked: its network's, or else its own photos'."""
    learned = read_description(gallery.model)["scores"]
    return gallery.about.get("scores") if learned is None else learned


def _sound(scores: object, where: str, advice: str) -> ValidationScores:
    """Stored scores, or one line that says where they are damaged."""
    try:
        return ValidationScores.from_dict(scores)
    except InputError as error:
        raise InputError(
            f"{where}: what it stores of validation photos is damaged ({error}), expected what "
            f"they got from this network; {advice}"
        ) from error
