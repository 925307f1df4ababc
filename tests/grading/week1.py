"""Week 1's exercises: inputs of their checks, how they are called, and hints."""

import numpy as np
import torch
from grading.exercise import Exercise, numbered
from torch import nn

NAMES = np.array(["anna", "berta", "carla", "007", "12", "3", "doris", "Emma", "frieda", "100"])
SHARE_OF_WIDTH = 0.06  # that an end may be off: chance alone moves it by a sixth of that


def parts_of_a_split(rng: np.random.Generator, case: int) -> dict:
    """Each part in another order, and each without some of the animals."""
    pool = np.array(["3", "007", "12", "100", "0451"]) if case == 0 else NAMES
    identities = rng.permutation(pool)
    parts = {"train": identities[1:-1], "validation": identities[::-2], "test": identities[:-2]}
    return {
        "parts": {part: rng.permutation(np.repeat(own, 2)).tolist() for part, own in parts.items()}
    }


def photos_of_days(rng: np.random.Generator, case: int) -> dict:
    """Animals with one to six days, a day with one to four photos; rows in random order."""
    identities, days = [], []
    for name, n_days in zip(rng.permutation(NAMES), (1, 2, 3, 4, 5, 6, 1, 2, 5, 6), strict=True):
        for day in rng.choice(60, size=n_days, replace=False):
            n_photos = int(rng.integers(1, 5))
            identities += [str(name)] * n_photos
            days += [int(day)] * n_photos
    order = rng.permutation(len(days))
    return {
        "identities": np.array(identities)[order],
        "days": np.array(days)[order],
        "train_share": (0.7, 0.2, 0.9, 0.55)[case % 4],
    }


def photos_of_encounters(rng: np.random.Generator, case: int) -> dict:
    """Few places, so that many animals share the names of their encounters."""
    n_images = int(rng.integers(60, 90))
    # 1 and 23 look like 12 and 3 where somebody joins the two texts.
    identities = rng.choice([*NAMES[:5], "1", "12"], n_images)
    encounters = rng.choice(["anna", "reef", "23", "3", "007"], n_images)
    is_test = rng.random(n_images) < 0.4
    is_test[identities == rng.choice(NAMES[:4])] = True  # an animal that nobody trained on
    is_test[:2] = True, False
    return {"identities": identities, "encounters": encounters, "is_test": is_test}


def small_training(rng: np.random.Generator, case: int) -> dict:
    """Weights of a network of two layers, and photos in batches of which the last is short."""
    layers = {"first": (6, 12), "second": (4, 6)}
    return {
        **{name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in layers.items()},
        "images": rng.normal(0.3, 1, (19, 3, 2, 2)).astype(np.float32),
        "labels": rng.integers(4, size=19),
    }


def call_train_epoch(train_epoch, first, second, images, labels) -> dict:
    """Train for two epochs a network that starts in evaluation mode."""
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4)
    )
    for layer, weight in ((model[1], first), (model[4], second)):
        layer.weight.data = torch.from_numpy(weight.copy())
        layer.bias.data.zero_()
    model.eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    photos, whose, epochs = torch.from_numpy(images), torch.from_numpy(labels), []
    for _ in range(2):
        batches = zip(photos.split(8), whose.split(8), strict=True)  # can be gone through once
        epochs.append(train_epoch(model, batches, nn.CrossEntropyLoss(), optimizer))
    once, twice = epochs
    return {
        "training mode": model.training,
        "loss": once[0],
        "accuracy": once[1],
        "loss of a second epoch": twice[0],
        "weights": model[4].weight,
        "running mean of the batch norm": model[2].running_mean,
    }


def scores_of_photos(rng: np.random.Generator, case: int) -> dict:
    """A long tail of animals, some of them absent, some easy."""
    n_identities = 7
    weights = rng.permutation([8, 4, 2, 1, 1, 0, 0]) / 16
    labels = rng.choice(n_identities, size=50, p=weights)
    skill = rng.uniform(0, 4, n_identities)
    scores = rng.normal(0, 1, (50, n_identities))
    scores[np.arange(50), labels] += skill[labels]
    return {"scores": scores, "labels": labels}


def values_of_animals(rng: np.random.Generator, case: int) -> dict:
    """Animals with many photos do better, and the photos of one are alike."""
    counts = np.array([2, 2, 3, 4, 6, 9, 14, 20, 30])
    levels = np.linspace(0.15, 0.85, len(counts)) + rng.normal(0, 0.05, len(counts))
    values = np.repeat(levels, counts) + rng.normal(0, 0.05, counts.sum())
    order = rng.permutation(counts.sum())
    return {
        "values": values[order],
        "animals": np.repeat(NAMES[: len(counts)], counts)[order],
        "n_resamples": 6000,
        "level": 0.95 if case else 0.8,
        "seed": int(rng.integers(1000)),
    }


def call_interval(interval, values, animals, n_resamples, level, seed) -> dict:
    ends = [
        interval(values, animals, n_resamples, level, np.random.default_rng(seed)) for _ in range(2)
    ]
    low, high = ends[0]
    return {
        "lower end": low,
        "upper end": high,
        "the same by the same generator": ends[0] == ends[1],
    }


def agree_on_interval(inputs: dict, expected: dict, found: dict) -> list[str]:
    """Ends that are farther off than chance explains, or go by other chance than the given."""
    off = SHARE_OF_WIDTH * (expected["upper end"] - expected["lower end"])
    same = "the same by the same generator"
    ends = [end for end in expected if end != same and not abs(found[end] - expected[end]) <= off]
    return ends + ([] if found[same] else [same])


EXERCISES = numbered(
    Exercise(
        "label_map",
        2,
        parts_of_a_split,
        (
            "Is the map the same, whichever part an animal is met in first?",
            "Collect the identities of all parts, each once, before you give out any number.",
            "Sort the set of all identities as texts, then enumerate it.",
        ),
    ),
    Exercise(
        "split_by_day",
        3,
        photos_of_days,
        (
            "Take one animal's photos and list its days. Which days are on which side?",
            "Cut the sorted list of an animal's different days, not that of its photos. What "
            "becomes of an animal with one day?",
            "For each animal: days = np.unique(days of its photos); the test begins at "
            "days[n_train], with n_train = min(max(1, round(share * n)), n - 1).",
        ),
    ),
    Exercise(
        "leak_share",
        3,
        photos_of_encounters,
        (
            "Which photos are counted, and of how many?",
            "Only test photos are counted. A training photo gives one away if both its identity "
            "and its encounter are the same.",
            "Make the set of (identity, encounter) of training photos; the mean over ALL test "
            "photos of whether their pair is in it.",
        ),
    ),
    Exercise(
        "train_epoch",
        4,
        small_training,
        (
            "Which of the five is missing or out of order: mode, forward, gradients of before, "
            "backward, step? And what is each mean a mean over?",
            "Gradients add up until they are set to zero. Batch norms learn in training mode "
            "only. The last batch is shorter than the others, and must weigh less.",
            "model.train(); per batch: scores, loss, optimizer.zero_grad(), loss.backward(), "
            "optimizer.step(); add loss.item() * len(labels), divide by the number of photos.",
        ),
        call=call_train_epoch,
        n_cases=2,
    ),
    Exercise(
        "accuracy",
        1,
        scores_of_photos,
        (
            "Whose score is the answer to a photo, and what is the answer compared with?",
            "The highest score of each ROW is the answer.",
            "scores.argmax(axis=1) == labels, and the mean of that.",
        ),
    ),
    Exercise(
        "balanced_accuracy",
        3,
        scores_of_photos,
        (
            "An animal with two photos counts as much as one with forty. Which animals count?",
            "First the share right of each animal's own photos, then the mean of these shares, "
            "over the animals that occur in labels.",
            "for label in np.unique(labels): the mean of is_right[labels == label].",
        ),
    ),
    Exercise(
        "interval_over_animals",
        4,
        values_of_animals,
        (
            "What is drawn, how often, and what is the mean of?",
            "Draw as many animals as there are, with replacement, and put all photos of each "
            "into one heap; the mean is over the photos of the heap.",
            "drawn = generator.integers(n, size=(n_resamples, n)); mean = sums[drawn].sum(1) / "
            "counts[drawn].sum(1); np.quantile at (1 - level) / 2 and 1 - (1 - level) / 2.",
        ),
        call=call_interval,
        agrees=agree_on_interval,
        n_cases=2,
    ),
)
