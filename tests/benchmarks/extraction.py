"""How fast do photos become features, beside wildlife-tools and a plain PyTorch loop?

    python tests/benchmarks/extraction.py          (about 5 minutes on two cores)

The same photos from disk, the same network, the same features; a file is opened, decoded, squashed
to the network's size and run through it. Each turn is a process of its own; its start and its
first batch are not counted. wildlife-tools takes part where it is installed.
"""

import statistics
import time

from common.cli import whole_number
from common.ending import run_script

from side_by_side import in_fresh_process, read_flags, store, turtle_photos

OURS, PLAIN, WILDLIFE_TOOLS = "this project", "plain loop", "wildlife-tools' DeepFeatures"
WARM_UP = 32  # photos
SAME = 0.999  # cosine similarity to the plain loop's features, at least


def main(argv: list[str] | None = None) -> dict:
    photos_flag = {
        "type": whole_number(2, 100_000), "default": 256, "metavar": "N",
        "help": "photos per turn (default: %(default)s)",
    }  # fmt: skip
    args = read_flags(__doc__, argv, photos=photos_flag)

    from common.runs import start_run

    import numpy as np
    import pandas as pd

    run = start_run(__file__, args)
    paths = turtle_photos(8 if args.smoke else args.photos, is_smoke=args.smoke)

    ways = {PLAIN: plain_loop, WILDLIFE_TOOLS: wildlife_tools, OURS: this_project}
    table, metrics = [], {}
    for side in (64,) if args.smoke else (128, 224):
        seconds, features = {name: [] for name in ways}, {}
        for _ in range(args.rounds):
            for name, way in ways.items():
                turn = timed(way, paths, side) if args.smoke else in_fresh_process(
                    timed, way, paths, side
                )  # fmt: skip
                if turn is not None:
                    seconds[name].append(turn[0])
                    features[name] = turn[1]
        rate = {name: len(paths) / statistics.median(s) for name, s in seconds.items() if s}
        for name in ways:
            row = {"pixels": side, "way": name}
            if name not in rate:
                table.append(row | {"remark": "not installed: pip install wildlife-tools"})
                continue
            cosine = float(np.min(cosine_of_rows(features[name], features[PLAIN])))
            assert cosine >= SAME, f"{name}: other features, cosine {cosine:.5f}"
            table.append(row | {
                "photos/s": rate[name], "slowest": len(paths) / max(seconds[name]),
                "fastest": len(paths) / min(seconds[name]),
                "times faster than the plain loop": rate[name] / rate[PLAIN],
                "lowest cosine": cosine, "remark": "",
            })  # fmt: skip
        metrics[str(side)] = {"photos_per_second": rate}

    return store(
        run, metrics={"n_photos": len(paths), **metrics},
        tables={"Photos to features, efficientnet_lite0": pd.DataFrame(table)},
        notes=["Decoding of the files is part of every way's time."],
    )  # fmt: skip


def timed(way, paths, side):
    """Seconds and features of a turn; None where the way is not installed."""
    extract_features = way(side)
    if extract_features is None:
        return None
    extract_features(paths[:WARM_UP])
    start = time.perf_counter()
    features = extract_features(paths)
    return time.perf_counter() - start, features


def this_project(side):
    from common.data.images import PhotoDataset, evaluation_transform, read_photos
    from common.models.backbones import load_backbone
    from common.models.extraction import extract

    import numpy as np

    backbone = load_backbone("efficientnet_lite0", image_size=side)

    def extract_features(paths):
        pixels = read_photos(paths, side, progress=False)
        transform = evaluation_transform(backbone.preprocessing)
        return extract(backbone, PhotoDataset(pixels, np.zeros(len(paths)), transform),
                       progress=False)  # fmt: skip

    return extract_features


def plain_loop(side):
    """As most code does it: DataLoader with its defaults, and model(x)."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader

    model, transform = usual_network(side)

    class Photos(torch.utils.data.Dataset):
        def __init__(self, paths):
            self.paths = paths

        def __len__(self):
            return len(self.paths)

        def __getitem__(self, index):
            return transform(Image.open(self.paths[index]).convert("RGB"))

    @torch.no_grad()
    def extract_features(paths):
        batches = DataLoader(Photos(paths), batch_size=32)
        return torch.cat([model(images) for images in batches]).numpy()

    return extract_features


def wildlife_tools(side):
    """wildlife-tools with the defaults of its class; None where it isn't installed."""
    try:
        from wildlife_tools.data import WildlifeDataset
        from wildlife_tools.features import DeepFeatures
    except ImportError:
        return None
    import pandas as pd

    model, transform = usual_network(side)

    def extract_features(paths):
        table = pd.DataFrame({"path": [str(path) for path in paths], "identity": "any"})
        return DeepFeatures(model)(WildlifeDataset(table, transform=transform))

    return extract_features


def usual_network(side):
    """The network as PyTorch lays it out, and torchvision's preprocessing."""
    from common.models.backbones import load_backbone

    from torchvision import transforms

    backbone = load_backbone("efficientnet_lite0", image_size=side).eval()
    expected = backbone.preprocessing
    return backbone, transforms.Compose([
        transforms.Resize((side, side)),
        transforms.ToTensor(),
        transforms.Normalize(expected.mean, expected.std),
    ])  # fmt: skip


def cosine_of_rows(a, b):
    import numpy as np

    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


if __name__ == "__main__":
    run_script(main)
