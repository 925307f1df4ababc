"""Networks as ONNX files: read and run with onnxruntime alone, no torch.

A file of this course holds everything that is needed to use it: the weights, and beside them, as
JSON under one key, how photos become its input and what its outputs are called.
`common.models.onnx_export` writes it.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from common.data.photo_files import squashed_photo
from common.errors import InputError, first_line
from common.own_files import parse_json, read_file

import cv2
import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

METADATA_KEY = "recogniser"  # the same as in a stored model.safetensors
CHECKSUM_KEY = "sha256"
NO_CHECKSUM = "SHA-256 of this file with this text in the checksum's place".ljust(64)  # as long
INPUT_NAME = "photos"
# What onnxruntime raises on bytes that are no network, or one that it cannot run.
UNREADABLE = (
    runtime_errors.InvalidProtobuf,
    runtime_errors.InvalidGraph,
    runtime_errors.InvalidArgument,
    runtime_errors.Fail,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
)


@dataclass(frozen=True)
class OnnxDescription:
    """What an ONNX file says about itself.

    Attributes:
        image_size: side of the square input, pixels.
        stored_size: side to which a whole photo is squashed first, pixels.
        mean: per channel (red, green, blue), in units of the full range, 0 to 1.
        std: likewise.
        resize: the steps from photo to input, in words for people.
        output: "scores", one per identity, or "embedding", of unit length.
        identities: label map, label 0 first.
    """

    backbone: str
    image_size: int
    stored_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: str
    output: str
    identities: tuple[str, ...]
    course_version: str


@dataclass(frozen=True)
class OnnxModel:
    """An ONNX file of this course, loaded; see `open_onnx`."""

    description: OnnxDescription
    session: onnxruntime.InferenceSession

    def run(self, images: np.ndarray) -> np.ndarray:
        """Outputs for a batch of any size.

        Args:
            images: float32, shape (n_images, 3, image_size, image_size), see `prepare`.

        Returns:
            float32, shape (n_images, n_identities) or (n_images, embedding_dim).
        """
        return self.session.run(None, {INPUT_NAME: images})[0]


def open_onnx(path: str | Path, n_threads: int = 0) -> OnnxModel:
    """Load an ONNX file that `week2/export_onnx.py` wrote.

    Args:
        n_threads: of the CPU; 0 for one per core.

    Raises:
        InputError: no such file, no ONNX network, a damaged one, or one without this course's
            metadata.
    """
    try:
        content = read_file(Path(path))
        session = open_session(content, n_threads)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); run python week2/export_onnx.py first, "
            "or name an ONNX file with --onnx"
        ) from error
    except UNREADABLE as error:
        raise InputError(
            f"{path}: is no ONNX network that onnxruntime can run ({first_line(error)}); "
            "expected a model.onnx with its weights inside"
        ) from error
    checksum = session.get_modelmeta().custom_metadata_map.get(CHECKSUM_KEY, "")
    if len(checksum) == len(NO_CHECKSUM) and content_checksum(content, checksum) != checksum:
        raise InputError(
            f"{path}: its bytes are not those that were written; expected an undamaged file; "
            "copy it again, or run python week2/export_onnx.py again"
        )
    return OnnxModel(_description_of(session, path), session)


def content_checksum(content: bytes, checksum: str = NO_CHECKSUM) -> str:
    """SHA-256 of a file's bytes, whatever checksum stands in them."""
    return hashlib.sha256(content.replace(checksum.encode(), NO_CHECKSUM.encode())).hexdigest()


def open_session(content: bytes, n_threads: int = 0) -> onnxruntime.InferenceSession:
    """Onnxruntime's handle on a network on the CPU; from bytes, so that no file stays open."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.log_severity_level = 4  # no lines of its own: errors come as exceptions
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _description_of(session: onnxruntime.InferenceSession, path: str | Path) -> OnnxDescription:
    try:
        facts = parse_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
        lists = {name: tuple(facts[name]) for name in ("mean", "std", "identities")}
        return OnnxDescription(**facts | lists)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: an ONNX network, but without this course's label map and preprocessing "
            f"({first_line(error)}); expected a file that python week2/export_onnx.py wrote"
        ) from error


def prepare(photo: np.ndarray, description: OnnxDescription) -> np.ndarray:
    """A squashed photo as the network's input, as `evaluation_transform` makes it.

    Args:
        photo: uint8, shape (stored_size, stored_size, 3).

    Returns:
        float32, shape (1, 3, image_size, image_size).
    """
    side = description.image_size
    small = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
    mean, std = np.float32(description.mean), np.float32(description.std)
    pixels = (small.astype(np.float32) / 255 - mean) / std  # (image_size, image_size, 3)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis])


def read_input(path: str | Path, description: OnnxDescription) -> np.ndarray:
    """A photo file as the network's input, float32, shape (1, 3, image_size, image_size).

    Raises:
        InputError: the photo is missing or cannot be decoded.
    """
    return prepare(squashed_photo(path, description.stored_size), description)


def most_likely(
    scores: np.ndarray, identities: tuple[str, ...], k: int = 5
) -> list[tuple[str, float]]:
    """The k identities with the highest scores, each with its probability, best first.

    Args:
        scores: logits of one photo, shape (n_identities,).
        identities: label 0 first.

    >>> most_likely(np.log([0.25, 0.25, 0.5]), ("a", "b", "c"), k=2)
    [('c', 0.5), ('a', 0.25)]
    """
    exponentials = np.exp(scores - scores.max(), dtype=np.float64)
    probabilities = exponentials / exponentials.sum()
    best = np.argsort(-probabilities, kind="stable")[:k]
    return [(identities[label], float(probabilities[label])) for label in best]
