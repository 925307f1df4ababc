"""What `test_processes.py` asks of several processes, and of one to compare with.

torchrun --standalone --nproc_per_node 2 tests/process_jobs.py JOB FOLDER
"""

import functools
import json
import os
import sys
import time
from pathlib import Path

from common.ending import run_script
from common.machine import processes

N_PHOTOS = 43  # in batches of 8 that is 3 left over: shares of 2 and 1


def clouds():
    import torch
    from torch.utils.data import TensorDataset

    labels = torch.arange(N_PHOTOS) % 5
    centres = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(N_PHOTOS, 6, generator=torch.Generator().manual_seed(2))
    dataset = TensorDataset(centres[labels] + 0.5 * noise, labels)
    dataset.labels = labels.numpy()
    return dataset


def train(loss, checkpoint=None, validate=None, norm=None, **changes):
    """Losses of each epoch and the weights at the end, model and criterion."""
    from common.data.sampling import IdentityBatchSampler
    from common.training import losses
    from common.training.loop import TrainingSettings, fit
    from common.training.optim import parameter_group

    import torch
    from torch import nn

    torch.manual_seed(0)
    between = nn.BatchNorm1d(16) if norm else nn.Tanh()
    between.requires_grad_(norm != "rests")
    model = nn.Sequential(nn.Linear(6, 16), between, nn.Linear(16, 5))
    criterion = {
        "cross-entropy": losses.cross_entropy,
        "ArcFace": functools.partial(losses.arcface, 5, 5),
        "triplets": losses.triplet,
        "pairs": losses.contrastive,
    }[loss]()
    dataset, sampler = clouds(), None
    if loss in ("triplets", "pairs"):
        sampler = IdentityBatchSampler(
            dataset.labels, dataset.labels, n_identities=3, n_images=3, seed=0
        )
    settings = {"epochs": 4, "batch_size": 8, "device": "cpu", "clip_norm": 0.5} | changes
    result = fit(
        model, criterion, dataset,
        parameter_group(model, 0.02, 0.01) + parameter_group(criterion, 0.05),
        TrainingSettings(**settings), batch_sampler=sampler, validate=validate,
        checkpoint=checkpoint, progress=False,
    )  # fmt: skip
    weights = [*model.parameters(), *criterion.parameters()]
    return {
        "losses": [row["train_loss"] for row in result.history],
        "weights": torch.cat([tensor.detach().flatten() for tensor in weights]).tolist(),
        "statistics": [tensor.tolist() for tensor in model.buffers()],
    }


def embed(n_images):
    """Embeddings in batches of 4."""
    from common.models.extraction import extract

    import torch
    from torch import nn
    from torch.utils.data import TensorDataset

    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
    photos = torch.randn(n_images, 6, generator=torch.Generator().manual_seed(n_images))
    dataset = TensorDataset(photos, torch.zeros(n_images))
    return extract(network, dataset, batch_size=4, progress=False).tolist()


TRAININGS = {
    "cross-entropy": {"loss": "cross-entropy"},
    "ArcFace, whose centres train": {"loss": "ArcFace"},
    "batch-hard triplets": {"loss": "triplets"},
    "all pairs": {"loss": "pairs"},
    "gradients added up": {"loss": "ArcFace", "accumulation": 3},
    "plain gradient steps": {"loss": "ArcFace", "optimizer": "sgd", "clip_norm": None},
    "a last batch of two": {"loss": "cross-entropy", "batch_size": 41},
    "more processes than photos left over": {"loss": "pairs", "batch_size": 42},
    "a batch norm that rests": {"loss": "ArcFace", "norm": "rests"},
    "running means of the weights": {"loss": "cross-entropy", "ema_decay": 0.9},
}
WITH_NORM = {"loss": "ArcFace", "norm": "trains", "batch_size": 41}
N_EMBEDDED = (1, 4, 5, 8, 13)


def compute(folder):
    """Everything that must not depend on the number of processes."""
    return {
        "training": {name: train(**options) for name, options in TRAININGS.items()},
        "with a norm": train(**WITH_NORM),
        "embedding": {str(n_images): embed(n_images) for n_images in N_EMBEDDED},
    }


def train_slowly(folder):
    """Epochs with a wait in each, and a checkpoint, for whoever wants to kill a process."""
    from common.training import checkpoints

    checkpoints.CHECKPOINT_SECONDS = 0.0

    def validate(model):
        n_done = len(list(folder.glob("epoch_*")))
        if processes.is_main():
            (folder / f"epoch_{n_done}").touch()
        time.sleep(0.1)
        return {"validation_accuracy": 0.5}

    return train("ArcFace", folder / "last.pt", validate, epochs=60)


def go_on(folder):
    """The same run without waits; from its checkpoint, if there is one."""
    validated = []

    def validate(model):
        validated.append(model)
        return {"validation_accuracy": 0.5}

    outcome = train("ArcFace", folder / "last.pt", validate, epochs=60)
    return outcome | {"epochs_trained": len(validated)}


def fail_alike(folder):
    """An error that every process meets."""
    from common.errors import InputError

    print("seen once")
    raise InputError("nothing to do; give work")


def fail_alone(folder):
    """An error that one process meets while the other waits for it."""
    from common.errors import InputError

    if not processes.is_main():
        raise InputError("this machine has no photos; copy them")
    processes.everyones(None)


def main():
    job, folder = sys.argv[1], Path(sys.argv[2])
    (folder / f"pid_{processes.index()}").write_text(str(os.getpid()))
    answer = json.dumps(globals()[job](folder))
    (folder / f"{job}_{processes.index()}.json").write_text(answer)


if __name__ == "__main__":
    run_script(main)
