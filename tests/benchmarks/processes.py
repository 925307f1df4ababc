"""Does training in two processes do the same as in one?

    python tests/benchmarks/processes.py

One process and two go through the same photos of the small turtle set, with the same global
batches, the last of them ragged: heads under cross-entropy, under ArcFace, whose centres train,
and under all pairs of P x K batches; the last two stages of the network, whose batch norms rest;
then embeddings of all photos. Two minutes on two laptop cores. You should see loss curves that
differ by rounding alone, and embeddings that do not differ.

Three more trainings are no claim but a warning. Batch norms that train see the whole batch in one
process and half of it in each of two; on GPUs they are synchronised, on CPUs they are not. And on
the edge, with Adam at a high rate, a training makes anything of a rounding: there one process with
two threads differs from one with one as much.
"""

import copy
import json
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from common.cli import local_path
from common.data.images import PhotoDataset, evaluation_transform, read_photos
from common.data.sampling import IdentityBatchSampler
from common.ending import run_script
from common.files import write_text
from common.machine import processes
from common.models.backbones import load_backbone
from common.models.extraction import extract
from common.models.freezing import freeze_stages
from common.runs import start_run
from common.splits.study import open_study
from common.training.boundary import PhotosAtBoundary
from common.training.loop import TrainingSettings
from common.training.losses import arcface, contrastive
from common.training.optim import Rates
from common.training.recipes import train_classifier, train_embedding

import numpy as np
import pandas as pd
import torch
from side_by_side import read_flags, store
from torch import nn

LIMIT = 1e-5  # largest difference of a loss at any epoch
BATCH_SIZE = 10  # 33 photos: three are left over, which two processes cannot share evenly
NOT_CLAIMED = {
    "ArcFace behind a batch norm that trains", "last stages, batch norms train",
    "last stages, high rate",
}  # fmt: skip


def main(argv: list[str] | None = None) -> dict:
    args = read_flags(
        __doc__, argv,
        job={"type": local_path, "metavar": "FOLDER", "help": "what each process is started with"},
    )  # fmt: skip
    if args.job:
        return compute(args.job, args.smoke)

    run = start_run(__file__, args)
    one, two = outcome_of(1, args.smoke), outcome_of(2, args.smoke)
    threads = outcome_of(1, args.smoke, n_threads=2)  # rounds otherwise, and does the same

    def differences(part: str, other: dict) -> dict[str, float]:
        return {
            name: float(np.abs(np.subtract(values, other[part][name])).max())
            for name, values in one[part].items()
        }

    losses, embeddings = differences("losses", two), differences("embeddings", two)
    rounding = differences("losses", threads)
    exact = {name: value for name, value in losses.items() if name not in NOT_CLAIMED}
    if max(*exact.values(), *embeddings.values()) > LIMIT:
        raise RuntimeError(f"beyond {LIMIT}: {exact}, embeddings {embeddings}")

    training = pd.DataFrame([
        {"training": name, "epochs": len(curve), "loss, first epoch": curve[0],
         "last epoch": curve[-1], "last, two processes": two["losses"][name][-1],
         "largest difference": f"{losses[name]:.1e}",
         "of two threads, one process": f"{rounding[name]:.1e}"}
        for name, curve in one["losses"].items()
    ])  # fmt: skip
    embedded = pd.DataFrame([
        {"embeddings": name, "photos": len(rows), "largest difference": f"{embeddings[name]:.1e}"}
        for name, rows in one["embeddings"].items()
    ])  # fmt: skip
    return store(
        run,
        metrics={
            "largest_difference_of_losses": max(exact.values()),
            "largest_difference_of_embeddings": max(embeddings.values()),
            "losses_one_process": one["losses"], "losses_two_processes": two["losses"],
        },
        tables={"Training, one process and two": training, "Embedding, likewise": embedded},
        notes=[f"Batches of {BATCH_SIZE} photos over all processes, CPU."],
        device="cpu",
    )  # fmt: skip


def outcome_of(n_processes: int, is_smoke: bool, n_threads: int = 1) -> dict:
    """What so many processes come to, started anew, with so many threads each."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, *(launcher if n_processes > 1 else []), __file__, "--job", folder]
            + ["--smoke"] * is_smoke,
            env={**os.environ, "OMP_NUM_THREADS": str(n_threads)}, check=True,
        )  # fmt: skip
        return json.loads((Path(folder) / "outcome.json").read_text(encoding="utf-8"))


def compute(folder: Path, is_smoke: bool) -> dict:
    """Train in several ways, embed all photos; the main process writes what came out."""
    study = open_study(Namespace(smoke=True))
    train, n_identities = study.split.rows("train"), len(study.catalogue.identities)
    backbone = load_backbone("efficientnet_lite0", image_size=64 if is_smoke else 128)
    pixels = read_photos(study.catalogue.paths(), backbone.preprocessing.stored_size)
    settings = TrainingSettings(epochs=2 if is_smoke else 6, batch_size=BATCH_SIZE, device="cpu")

    def photos_of(n_trainable: int, *, norms_rest: bool = True) -> PhotosAtBoundary:
        own = copy.deepcopy(backbone)
        freeze_stages(own, n_trainable)
        for module in own.modules():
            if norms_rest and isinstance(module, nn.BatchNorm2d):
                module.requires_grad_(False)
        return PhotosAtBoundary(own, pixels, study.labels, train, n_views=0)

    frozen, tuned, tuned_with_norms = photos_of(0), photos_of(2), photos_of(2, norms_rest=False)

    def losses_of(recipe, photos, *, rates=None, settings=settings, **options) -> list[float]:
        trained = recipe(
            photos, train_rows=train, validation_rows=np.empty(0, dtype=int),
            n_identities=n_identities, settings=settings, rates=rates, progress=False, **options,
        )  # fmt: skip
        return [row["train_loss"] for row in trained.fit.history]

    def projection() -> nn.Module:
        torch.manual_seed(0)
        return nn.Linear(frozen.n_features, 64)

    pairs = IdentityBatchSampler(
        study.labels[train], study.catalogue.table["encounter"].to_numpy()[train],
        n_identities=3, n_images=3, seed=0,
    )  # fmt: skip
    gently = {
        "rates": Rates(head=1e-2, backbone=1e-3),
        "settings": replace(settings, optimizer="sgd"),
    }
    losses = {
        "cross-entropy": losses_of(train_classifier, frozen),
        "ArcFace": losses_of(
            train_classifier, frozen, head=projection(), criterion=arcface(n_identities, 64)
        ),
        "all pairs, P x K": losses_of(
            train_classifier, frozen, head=projection(), criterion=contrastive(),
            batch_sampler=pairs,
        ),
        "ArcFace behind a batch norm that trains": losses_of(train_embedding, frozen),
        "last stages, batch norms rest": losses_of(train_classifier, tuned, **gently),
        "last stages, batch norms train": losses_of(train_classifier, tuned_with_norms, **gently),
        "last stages, high rate": losses_of(train_classifier, tuned),
    }  # fmt: skip
    plain = PhotoDataset(pixels, study.labels, evaluation_transform(backbone.preprocessing))
    embeddings = {
        f"in batches of {size}": extract(backbone, plain, batch_size=size).tolist()
        for size in (16, 64)
    }
    outcome = {"losses": losses, "embeddings": embeddings}
    if processes.is_main():
        write_text(folder / "outcome.json", json.dumps(outcome))
    return outcome


if __name__ == "__main__":
    run_script(main)
