"""How much of a network's own speed is left once it trains on augmented photos?

    python tests/benchmarks/training_throughput.py          (about 10 minutes on two cores)

The bare step is forward, backward and optimiser on one batch that lies in memory, over and over:
no loop can be faster with the same network. Beside it this project's `fit` with its random views,
and the loop that most PyTorch code has: files decoded every epoch, torchvision's transforms,
DataLoader's defaults. Each turn is a process of its own, and its first steps are not counted.
"""

import statistics
import time

from common.cli import plain_word, whole_number
from common.ending import run_script

from side_by_side import in_fresh_process, read_flags, store, turtle_photos

BARE, BARE_KEPT = "bare steps", "bare steps, memory kept"
OURS, USUAL = "this project's fit", "usual PyTorch loop"
N_CLASSES = 60
LEARNING_RATE, CLIP_NORM = 1e-3, 5.0


def main(argv: list[str] | None = None) -> dict:
    args = read_flags(
        __doc__, argv,
        photos={"type": whole_number(2, 1_000_000), "default": 192, "metavar": "N",
                "help": "photos per turn (default: %(default)s)"},
        batch_size={"type": whole_number(1, 4_096), "default": 32, "metavar": "N",
                    "help": "photos per step (default: %(default)s)"},
        model={"type": plain_word, "default": "efficientnet_lite0", "metavar": "NAME",
               "help": "network, from random weights (default: %(default)s)"},
        device={"choices": ["cpu", "cuda", "mps"], "default": "cpu",
                "help": "where to compute (default: %(default)s)"},
        mixed_precision={"choices": ["no", "bf16", "fp16"], "default": "no",
                         "help": "of all ways (default: %(default)s)"},
    )  # fmt: skip
    if args.smoke:
        args.photos, args.batch_size = 8, 4

    from common.runs import start_run

    import pandas as pd

    run = start_run(__file__, args)
    paths = turtle_photos(args.photos, is_smoke=args.smoke)
    ways = {BARE: bare, BARE_KEPT: bare_memory_kept, OURS: this_project, USUAL: usual_loop}
    table, metrics = [], {}
    for side in (32,) if args.smoke else (128, 224):
        rates = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, way in ways.items():
                rates[name].append(
                    way(args, paths, side) if args.smoke
                    else in_fresh_process(way, args, paths, side)
                )  # fmt: skip
        rate = {name: statistics.median(values) for name, values in rates.items()}
        table += [
            {"pixels": side, "way": name, "photos/s": rate[name], "slowest": min(rates[name]),
             "fastest": max(rates[name]),
             "share of bare steps": rate[name] / rate[BARE],
             "share with memory kept": rate[name] / rate[BARE_KEPT]}
            for name in ways
        ]  # fmt: skip
        metrics[str(side)] = {"photos_per_second": rate}

    return store(
        run, metrics={"n_photos": len(paths), **metrics},
        tables={f"Training {args.model}, batches of {args.batch_size}": pd.DataFrame(table)},
        notes=["fit decodes the photos once, before the first epoch, which is not counted; the "
               "usual loop decodes them in every epoch."],
        device=args.device,
    )  # fmt: skip


def new_model(args, side):
    from common.models.backbones import load_backbone
    from common.models.heads import linear_classifier

    from torch import nn

    backbone = load_backbone(args.model, weights="none", image_size=side)
    return nn.Sequential(backbone, linear_classifier(backbone.n_features, N_CLASSES))


def bare_memory_kept(args, paths, side):
    from common.machine.freed_memory import keep_freed_memory

    keep_freed_memory()
    return bare(args, paths, side)


def bare(args, paths, side):
    """Photos a second; the same batch in memory again and again."""
    import torch

    model = new_model(args, side).to(args.device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, fused=True)
    images = torch.randn(args.batch_size, 3, side, side, device=args.device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(args.batch_size, device=args.device) % N_CLASSES
    batches = [(images, labels)] * (len(paths) // args.batch_size)
    train(args, model, optimizer, batches[:2])
    return train(args, model, optimizer, batches)


def usual_loop(args, paths, side):
    """Photos a second as in most code."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    model = new_model(args, side).to(args.device).train()
    expected = model[0].preprocessing
    augment = transforms.Compose([
        transforms.RandomResizedCrop(side, scale=(0.6, 1.0), ratio=(0.85, 1.18)),
        transforms.RandomApply([transforms.RandomRotation(15)], p=0.7),
        transforms.RandomApply([transforms.ColorJitter(0.3, 0.3, 0.4, 0.05)], p=0.5),
        transforms.RandomApply([transforms.GaussianBlur(5)], p=0.2),
        transforms.ToTensor(),
        transforms.Normalize(expected.mean, expected.std),
        transforms.RandomErasing(p=0.3, scale=(0.01, 0.06)),
    ])  # fmt: skip

    class Photos(Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, index):
            return augment(Image.open(paths[index]).convert("RGB")), index % N_CLASSES

    loader = DataLoader(Photos(), batch_size=args.batch_size, shuffle=True, drop_last=True)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE)
    train(args, model, optimizer, [batch for batch, _ in zip(loader, range(2), strict=False)])
    return train(args, model, optimizer, loader)


def this_project(args, paths, side):
    """Photos a second in the second of two epochs."""
    from common.data.images import PhotoDataset, read_photos, training_transform
    from common.training.loop import TrainingSettings, fit
    from common.training.losses import cross_entropy
    from common.training.optim import parameter_group

    import numpy as np

    model = new_model(args, side)
    expected = model[0].preprocessing
    dataset = PhotoDataset(
        read_photos(paths, expected.stored_size, progress=False),
        np.arange(len(paths)) % N_CLASSES, training_transform(expected, flip=False),
    )  # fmt: skip
    settings = TrainingSettings(
        epochs=2, batch_size=args.batch_size, device=args.device, clip_norm=CLIP_NORM,
        mixed_precision=args.mixed_precision,
    )  # fmt: skip
    result = fit(
        model, cross_entropy(), dataset, parameter_group(model, LEARNING_RATE), settings,
        progress=False,
    )  # fmt: skip
    return result.images_per_second


def train(args, model, optimizer, batches):
    """Photos a second of one pass of a plain loop."""
    import torch
    from torch import nn

    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(args.mixed_precision)
    device = torch.device(args.device)
    start, n_seen = time.perf_counter(), 0
    for images, labels in batches:
        with torch.autocast(device.type, half, enabled=half is not None):
            loss = nn.functional.cross_entropy(model(images.to(device)), labels.to(device))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        n_seen += len(labels)
    return n_seen / (time.perf_counter() - start)


if __name__ == "__main__":
    run_script(main)
