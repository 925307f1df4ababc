"""One network in several engines (PyTorch, onnxruntime, 8-bit integers): the same photos, compared.

An engine is a function from prepared photos, float32, shape (n_images, 3, side, side), to outputs,
shape (n_images, n_outputs).
"""

from collections.abc import Callable, Mapping, Sequence

from common.measures import intervals
from common.measures.classification import evaluate_classification

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

Engine = Callable[[np.ndarray], np.ndarray]


def torch_engine(model: nn.Module) -> Engine:
    """A PyTorch network on the CPU, in evaluation mode and the layout that is fastest there."""
    model.eval().to(memory_format=torch.channels_last)

    def run(images: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            return model(batch).numpy()

    return run


def batch_of(photos: Dataset, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Some photos of a data set as one batch, float32, shape (n_images, 3, side, side)."""
    return np.stack([photos[row][0].numpy() for row in rows])


def outputs_of(
    engines: Mapping[str, Engine], photos: Dataset, rows: np.ndarray, batch_size: int
) -> dict[str, np.ndarray]:
    """What each engine gives for some photos; each batch is prepared once for all of them.

    Args:
        rows: of the photos, shape (n_images,).

    Returns:
        Name to outputs, shape (n_images, n_outputs).
    """
    outputs = {name: [] for name in engines}
    for start in range(0, len(rows), batch_size):
        batch = batch_of(photos, rows[start : start + batch_size])
        for name, run in engines.items():
            outputs[name].append(run(batch))
    return {name: np.concatenate(parts) for name, parts in outputs.items()}


def accuracy_and_cost(
    scores: Mapping[str, np.ndarray],
    labels: np.ndarray,
    identities: Sequence[str],
    *,
    reference: str,
) -> tuple[dict[str, intervals.Interval], dict[str, intervals.Interval]]:
    """How often each engine names the right animal, and what it loses to the reference.

    Args:
        scores: engine to scores, shape (n_images, n_identities).
        labels: true, integers, shape (n_images,).

    Returns:
        accuracy: engine to accuracy, interval over individuals.
        cost: engine to its accuracy minus the reference's, on the same photos.
    """
    is_correct = {
        name: evaluate_classification(scores=each, labels=labels, identities=identities).is_correct
        for name, each in scores.items()
    }
    accuracy = {
        name: intervals.bootstrap_over_individuals(each, labels)
        for name, each in is_correct.items()
    }
    cost = {
        name: intervals.paired_bootstrap_over_individuals(each, is_correct[reference], labels)
        for name, each in is_correct.items()
        if name != reference
    }
    return accuracy, cost
