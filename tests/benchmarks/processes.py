"""Does training in two processes do the same as in one?

    python tests/benchmarks/processes.py

One process and two go through the same photos of the small turtle set, with the same global
batches, the last of them ragged: training with cross-entropy, with ArcFace, whose centres train,
and with all pairs of P x K batches, then embeddings of all photos. A minute on two laptop cores.
You should see loss curves that differ by rounding alone and embeddings that do not differ, and how
far apart curves get where batch norms train, which on CPUs see the share of their own process.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from side_by_side import read_flags, store

from common import processes
from common.cli import local_path, run_script

LIMIT = 1e-5  # largest difference of a loss at any epoch
BATCH_SIZE = 10  # 33 photos: three are left over, which two processes cannot share evenly
BATCH_NORMS_TRAIN = "ArcFace, batch norms train"


def main(argv: list[str] | None = None) -> dict:
    args = read_flags(
        __doc__, argv,
        job={"type": local_path, "metavar": "FOLDER", "help": "what each process is started with"},
    )  # fmt: skip
    if args.job:
        return compute(args.job, args.smoke)

    import numpy as np
    import pandas as pd

    from common.runs import start_run

    run = start_run(__file__, args)
    one, two = (outcome_of(n_processes, args.smoke) for n_processes in (1, 2))

    def largest_difference(part: str, name: str) -> float:
        return float(np.abs(np.subtract(one[part][name], two[part][name])).max())

    differences = {name: largest_difference("losses", name) for name in one["losses"]}
    embeddings = {name: largest_difference("embeddings", name) for name in one["embeddings"]}
    exact = {name: value for name, value in differences.items() if name != BATCH_NORMS_TRAIN}
    if max(*exact.values(), *embeddings.values()) > LIMIT:
        raise RuntimeError(f"beyond {LIMIT}: {exact}, embeddings {embeddings}")

    training = pd.DataFrame([
        {"training": name, "epochs": len(losses), "loss, first epoch": losses[0],
         "last epoch": losses[-1], "last, two processes": two["losses"][name][-1],
         "largest difference": f"{differences[name]:.1e}"}
        for name, losses in one["losses"].items()
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


def outcome_of(n_processes: int, is_smoke: bool) -> dict:
    """What so many processes come to, each started anew with one thread."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, *(launcher if n_processes > 1 else []), __file__, "--job", folder]
            + ["--smoke"] * is_smoke,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True,
        )  # fmt: skip
        return json.loads((Path(folder) / "outcome.json").read_text(encoding="utf-8"))


def compute(folder: Path, is_smoke: bool) -> dict:
    """Train in several ways, embed all photos; the main process writes what came out."""
    from argparse import Namespace

    import numpy as np
    import torch
    from torch import nn

    from common.data.images import PhotoDataset, evaluation_transform, read_photos
    from common.data.sampling import IdentityBatchSampler
    from common.data.study import open_study
    from common.files import write_text
    from common.models.backbones import load_backbone
    from common.models.freezing import freeze_stages
    from common.training.feature_cache import PhotosAtBoundary, extract
    from common.training.loop import TrainingSettings
    from common.training.losses import ArcFace, Contrastive, cross_entropy
    from common.training.recipes import train_classifier, train_embedding

    study = open_study(Namespace(smoke=True))
    train, n_identities = study.split.rows("train"), len(study.catalogue.identities)
    backbone = load_backbone("efficientnet_lite0", image_size=64 if is_smoke else 128)
    freeze_stages(backbone, 2)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)
    pixels = read_photos(study.catalogue.paths(), backbone.preprocessing.stored_size)
    photos = PhotosAtBoundary(backbone, pixels, study.labels, train, cached=False)
    settings = TrainingSettings(epochs=2 if is_smoke else 6, batch_size=BATCH_SIZE, device="cpu")

    def losses_of(recipe, title, **options):
        trained = recipe(
            photos, photos.n_features, train_rows=train, validation_rows=np.empty(0, dtype=int),
            n_identities=n_identities, settings=settings, title=title, **options,
        )  # fmt: skip
        return [row["train_loss"] for row in trained.fit.history]

    pairs = IdentityBatchSampler(
        study.labels[train], study.catalogue.table["encounter"].to_numpy()[train],
        n_identities=3, n_images=3, seed=0,
    )  # fmt: skip
    torch.manual_seed(0)
    projection, centres = nn.Linear(photos.n_features, 64), ArcFace(n_identities, 64)
    losses = {
        "cross-entropy": losses_of(train_classifier, "scores", criterion=cross_entropy()),
        "ArcFace": losses_of(train_classifier, "ArcFace", head=projection, criterion=centres),
        "all pairs, P x K": losses_of(
            train_classifier, "pairs", head=nn.Linear(photos.n_features, 64),
            criterion=Contrastive(), batch_sampler=pairs,
        ),
        BATCH_NORMS_TRAIN: losses_of(train_embedding, "batch norms"),
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
