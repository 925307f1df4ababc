"""Writing ONNX files: weights, label map and preprocessing in one file, and an 8-bit copy."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

from common import installed_version
from common.files import write_bytes
from common.models import onnx_files
from common.models.heads import EmbeddingHead, Recogniser

import numpy as np
import onnx
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from onnxruntime import InferenceSession
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

COURSE_PACKAGE = "animal-reidentification-course"
LEAST_SHARE = 0.95  # of the weights' bytes in the file; folding batch norms saves a few per cent
CALIBRATION_BATCH = 16  # photos


def export_onnx(model: Recogniser, path: Path, identities: list[str]) -> onnx_files.OnnxDescription:
    """Write a trained model as one ONNX file that needs nothing beside it.

    Batch norms are folded into the convolutions before them, so that the file is a little
    smaller than the parameters and buffers it comes from.

    Args:
        model: on the CPU; put into evaluation mode.
        identities: the label map, label 0 first.

    Returns:
        What the file says about itself.

    Raises:
        RuntimeError: the file came out without its weights.
    """
    description = describe(model, identities)
    side = description.image_size
    program = torch.onnx.export(
        model.eval(),
        (torch.zeros(2, 3, side, side),),  # a batch of 1 would be taken for a constant
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("n_photos")},),
        input_names=[onnx_files.INPUT_NAME],
        output_names=[description.output],
        external_data=False,
        verbose=False,
    )
    # The exporter notes at each node the source lines and folders of the machine it ran on.
    ClearMetadataAndDocStringPass()(program.model)
    network = program.model_proto
    onnx.checker.check_model(network)
    _write(network, path, description)
    if path.stat().st_size < LEAST_SHARE * weight_bytes(model):
        raise RuntimeError(
            f"{path} has {path.stat().st_size:,} bytes, its network's weights have "
            f"{weight_bytes(model):,}: the weights are not in the file"
        )
    return description


def describe(model: Recogniser, identities: list[str]) -> onnx_files.OnnxDescription:
    """What a model's file shall say about itself."""
    preprocessing = model.backbone.preprocessing
    stored, side = preprocessing.stored_size, preprocessing.image_size
    return onnx_files.OnnxDescription(
        backbone=model.backbone.name,
        image_size=side,
        stored_size=stored,
        mean=tuple(preprocessing.mean),
        std=tuple(preprocessing.std),
        resize=f"turn upright by EXIF; squash the whole photo to {stored} x {stored} pixels "
        f"(bilinear), then to {side} x {side} (area); divide by 255, subtract mean, divide by "
        "std; channels red, green, blue first",
        output="embedding" if isinstance(model.head, EmbeddingHead) else "scores",
        identities=tuple(identities),
        course_version=installed_version(COURSE_PACKAGE) or "unknown",  # run from a folder
    )


def weight_bytes(model: nn.Module) -> int:
    """Bytes of all parameters and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def quantise_onnx(path: Path, quantised_path: Path, photos: np.ndarray) -> int:
    """Write a copy of an exported file that computes with 8-bit integers.

    Weights get one scale per output channel: with one per layer the few large channels of a
    depthwise convolution leave the others no steps. Ranges of activations are the smallest and
    largest values on some photos. On a CPU whose 8-bit products can overflow (x86 without the
    VNNI instructions) weights of 7 bits come closer; both are tried on the same photos.

    Args:
        photos: prepared training photos, float32, shape (n_images, 3, side, side).

    Returns:
        Bits of the weights, 8 or 7.

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    original = onnx_files.open_onnx(path)
    expected = _outputs(original.session, photos)
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        # Shapes only: what else it can do, the exporter has done.
        quant_pre_process(path, prepared, skip_optimization=True, skip_symbolic_shape=True)
        attempts = {bits: _quantised(prepared, photos, weight_bits=bits) for bits in (8, 7)}
    errors = {}
    for bits, network in attempts.items():
        outputs = _outputs(onnx_files.open_session(network.SerializeToString()), photos)
        errors[bits] = float(np.abs(outputs - expected).mean())
    weight_bits = min(errors, key=errors.get)
    _write(attempts[weight_bits], quantised_path, original.description)
    return weight_bits


def _quantised(path: Path, photos: np.ndarray, *, weight_bits: int) -> onnx.ModelProto:
    target = path.with_name(f"weights_of_{weight_bits}_bits.onnx")
    # Norms that no convolution took up are cheap, and have one weight per channel: left as is.
    nodes = onnx.load(path).graph.node
    norms = [node.name for node in nodes if node.op_type.endswith("Normalization")]
    inputs = ({onnx_files.INPUT_NAME: batch} for batch in _batches(photos))
    quantize_static(
        path,
        target,
        SimpleNamespace(get_next=lambda: next(inputs, None)),  # as it asks: batches, then None
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=weight_bits == 7,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=norms,
    )
    return onnx.load(target)


def _batches(photos: np.ndarray) -> list[np.ndarray]:
    return np.split(photos, range(CALIBRATION_BATCH, len(photos), CALIBRATION_BATCH))


def _outputs(session: InferenceSession, photos: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [session.run(None, {onnx_files.INPUT_NAME: batch})[0] for batch in _batches(photos)]
    )


def _write(network: onnx.ModelProto, path: Path, description: onnx_files.OnnxDescription) -> None:
    """Write in one step, with the description and the file's checksum, and no other notes."""
    text = json.dumps(asdict(description), ensure_ascii=False)
    notes = {onnx_files.METADATA_KEY: text, onnx_files.CHECKSUM_KEY: onnx_files.NO_CHECKSUM}
    onnx.helper.set_model_props(network, notes)
    content = network.SerializeToString()
    checksum = onnx_files.content_checksum(content)
    write_bytes(path, content.replace(onnx_files.NO_CHECKSUM.encode(), checksum.encode()))
