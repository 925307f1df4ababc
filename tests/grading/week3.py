"""Week 3's exercises: inputs of their checks, how they are called, and hints."""

import math

import numpy as np
import torch
from grading.exercise import Exercise, agree, numbered
from torch.nn import functional

NAMES = np.array(["anna", "berta", "carla", "doris", "emma", "frieda"])
PLACES = np.array(["bay", "reef", "sand", "rock"])


def embeddings_of_two_sides(rng: np.random.Generator, case: int) -> dict:
    """Of any length; as many photos as dimensions in one case, where a wrong axis is not noticed
    by its shape."""
    embedding_dim = 5
    n_query, n_gallery = ((5, 5), (1, 7), (4, 6), (3, 1))[case % 4]
    return {
        "query": rng.normal(0, 1, (n_query, embedding_dim)) * rng.uniform(0.2, 5, (n_query, 1)),
        "gallery": rng.normal(0, 1, (n_gallery, embedding_dim)),
    }


def batch_of_photos(rng: np.random.Generator, case: int) -> dict:
    """Three or four photos of some animals, and one of another; some anchors cost nothing.

    In the second case one anchor alone costs something, in the last none does.
    """
    labels = np.repeat([4, 9, 1, 6], [4, 3, 4, 1])
    centres = rng.normal(0, 1, (10, 6))
    if case in (0, 2):
        centres[6] = centres[4]  # the single photo looks like another animal
    if case == 3:
        centres[[4, 9, 1, 6]] = 3 * np.eye(4, 6)  # far from each other
    embeddings = centres[labels] + rng.normal(0, (0.1, 0.15, 0.7, 0.1)[case % 4], (12, 6))
    margin = (0.9, 0.0, 0.2, 0.001)[case % 4]
    if case == 1:
        margin = margin_for_one_anchor(embeddings, labels)
    order = rng.permutation(12)
    return {
        "embeddings": (embeddings * rng.uniform(0.3, 3, (12, 1)))[order].astype(np.float32),
        "labels": labels[order],
        "margin": margin,
    }


def margin_for_one_anchor(embeddings: np.ndarray, labels: np.ndarray) -> float:
    """Between what the costliest and the next anchor lack; their pairs may overlap: then 0."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    distance = np.linalg.norm(unit[:, None] - unit, axis=2)
    is_same = labels[:, None] == labels
    has_positive = is_same.sum(axis=1) > 1
    farthest = np.where(is_same, distance, -np.inf).max(axis=1)
    nearest = np.where(is_same, np.inf, distance).min(axis=1)
    gaps = np.sort((farthest - nearest)[has_positive])
    return max(0.0, float(-(gaps[-1] + gaps[-2]) / 2))


def call_batch_hard(batch_hard, embeddings, labels, margin) -> dict:
    photos = torch.from_numpy(embeddings.copy()).requires_grad_()
    loss = batch_hard(photos, torch.from_numpy(labels.copy()), margin)
    loss.backward()
    return {"loss": loss, "gradient": photos.grad}


def photos_and_centres(rng: np.random.Generator, case: int) -> dict:
    """Angles to the own centre stay below pi minus the margin."""
    n_identities, embedding_dim = int(rng.integers(4, 8)), 8
    centres = rng.normal(0, 1, (n_identities, embedding_dim))
    labels = rng.integers(n_identities - 1, size=10)  # the last animal has no photo here
    embeddings = rng.normal(0, 1, (10, embedding_dim)) + 0.4 * centres[labels]
    return {
        "embeddings": (embeddings * rng.uniform(0.3, 3, (10, 1))).astype(np.float32),
        "centres": (centres * rng.uniform(0.3, 3, (n_identities, 1))).astype(np.float32),
        "labels": labels,
        "margin": 0.0 if case == 3 else float(rng.uniform(0.15, 0.4)),
        "scale": float(rng.uniform(8, 30)),
    }


def call_arcface(arcface_logits, embeddings, centres, labels, margin, scale) -> dict:
    photos = torch.from_numpy(embeddings.copy()).requires_grad_()
    whose = torch.from_numpy(labels.copy())
    logits = arcface_logits(photos, torch.from_numpy(centres.copy()), whose, margin, scale)
    functional.cross_entropy(logits, whose).backward()
    return {"logits": logits, "gradient": photos.grad}


def ranked_gallery(rng: np.random.Generator, case: int) -> dict:
    """Queries with many, one and no right photo; more photos than a short list holds."""
    n_query, n_gallery = 6, (15, 3, 25, 40)[case % 4]
    is_match = rng.random((n_query, n_gallery)) < 0.3
    is_match[0], is_match[1] = False, np.arange(n_gallery) == rng.integers(n_gallery)
    places = rng.permuted(np.tile(np.arange(n_gallery), (n_query, 1)), axis=1)
    return {"similarity": places / n_gallery + 0.2137 * is_match, "is_match": is_match}


def agree_on_ranks(inputs: dict, expected: list, found: list) -> list[str]:
    names = ("cmc", "average_precision")
    return agree(inputs, *(dict(zip(names, pair, strict=True)) for pair in (expected, found)))


def photos_met(rng: np.random.Generator, case: int) -> dict:
    """Few animals at few places: all four kinds of pairs occur."""
    sizes = {"query": 8, "gallery": (8, 13)[case % 2]}
    return {
        f"{side}_{kind}": rng.choice(values, size)
        for side, size in sizes.items()
        for kind, values in (("identities", NAMES), ("encounters", PLACES))
    }


def queries_to_believe(rng: np.random.Generator, case: int) -> dict:
    """One known and one new animal have most photos; test photos have higher scores."""
    counts = np.array([30, 3, 4, 5, 25, 3, 4, 6])
    animals = np.repeat(np.arange(8), counts)
    is_known = animals < 4
    level = rng.uniform(0.4, 0.7, 8) + 0.12 * (np.arange(8) < 4)
    scores = rng.normal(level[animals], 0.1)
    is_validation = rng.random(len(animals)) < 0.6
    is_validation[np.unique(animals, return_index=True)[1]] = True
    scores[~is_validation] += 0.25
    named_right = np.array([0.9, 0.4, 1.0, 0.6, 0, 0, 0, 0])
    order = rng.permutation(len(animals))
    return {
        "scores": scores[order],
        "identities": np.array([*NAMES, "greta", "hilde"])[animals][order],
        "is_known": is_known[order],
        "is_named_right": (is_known & (rng.random(len(animals)) < named_right[animals]))[order],
        "is_validation": is_validation[order],
    }


def achieved(inputs: dict, threshold: float) -> float:
    """sqrt(BAKS * BAUS) of a threshold on validation photos, by its definition."""
    is_accepted = inputs["scores"] >= threshold
    is_right = np.where(inputs["is_known"], is_accepted & inputs["is_named_right"], ~is_accepted)
    means = []
    for side in (inputs["is_known"], ~inputs["is_known"]):
        asked = side & inputs["is_validation"]
        animals = np.unique(inputs["identities"][asked])
        of_each = [is_right[asked & (inputs["identities"] == animal)].mean() for animal in animals]
        means.append(np.mean(of_each))
    return math.sqrt(means[0] * means[1])


def agree_on_threshold(inputs: dict, expected: float, found: float) -> list[str]:
    """Any threshold is right that does as well."""
    is_as_good = achieved(inputs, float(found)) >= achieved(inputs, expected) - 1e-9
    return [] if is_as_good else ["the threshold"]


def photos_to_enrol(rng: np.random.Generator, case: int) -> dict:
    """Known and new animals in turn."""
    names = ("anna", "berta", "anna", "carla", "anna", "berta")[: 4 + case % 3]
    return {"arrivals": [[name, rng.normal(0, 3, (int(rng.integers(1, 5)), 4))] for name in names]}


def call_enrol(enrol, arrivals) -> dict:
    gallery, is_kept = {}, True
    for identity, embeddings in arrivals:
        given = embeddings.copy()
        gallery = enrol(gallery, identity, given)
        is_kept = is_kept and np.array_equal(given, embeddings)
    return {
        "new embeddings left as they were": is_kept,
        "animals": sorted(gallery),
        "photos": {identity: len(own) for identity, own in gallery.items()},
        "embeddings": {identity: np.asarray(own, dtype=float) for identity, own in gallery.items()},
    }


EXERCISES = numbered(
    Exercise(
        "cosine_similarity",
        2,
        embeddings_of_two_sides,
        (
            "Is a photo's similarity to itself 1, however long its embedding is?",
            "Divide each embedding, on both sides, by its own length: one per row.",
            "np.linalg.norm(x, axis=1, keepdims=True); then query @ gallery.T.",
        ),
    ),
    Exercise(
        "batch_hard",
        4,
        batch_of_photos,
        (
            "For one anchor, mark its positives and its negatives in its row of distances. Which "
            "is the hardest of each?",
            "The hardest positive is the farthest, the hardest negative the nearest. Nothing costs "
            "less than 0; the mean is over anchors that cost something; embeddings are scaled to "
            "unit length first.",
            "distance = torch.cdist(unit, unit); masked_fill the others with -inf before max and "
            "with inf before min; relu(farthest - nearest + margin).",
        ),
        call=call_batch_hard,
    ),
    Exercise(
        "arcface_logits",
        4,
        photos_and_centres,
        (
            "The margin is an angle in radians. To which angles is it added, and when?",
            "Scale photos and centres to unit length; from cosine to angle; the margin to the own "
            "animal's angle alone; back to a cosine; times the scale, all of them.",
            "cosine = normalize(embeddings) @ normalize(centres).T; angle = acos(cosine); scale * "
            "cos(angle + margin * one_hot(labels)).",
        ),
        call=call_arcface,
    ),
    Exercise(
        "cmc_and_ap",
        4,
        ranked_gallery,
        (
            "Rank one query by hand. What does a query without any right photo count?",
            "Best first means highest first. All queries count, also those without a match; "
            "average precision looks at the whole ranking and divides by the number of right ones.",
            "order = np.argsort(-similarity, axis=1); precision = ranked.cumsum(axis=1) / (1, 2, "
            "3, ...); sum it where ranked, divide by the number of right photos.",
        ),
        agrees=agree_on_ranks,
    ),
    Exercise(
        "keep_mask",
        2,
        photos_met,
        (
            "A photo is left out if two things are the same. Which two?",
            "Other animals of that encounter stay, and so does the animal from other encounters.",
            "~((identities equal) & (encounters equal)), with query[:, None] == gallery.",
        ),
    ),
    Exercise(
        "choose_threshold",
        3,
        queries_to_believe,
        (
            "Whose photos may choose, and is an animal with many photos worth more?",
            "Try each validation score as threshold. Shares are of animals: first the share of "
            "each animal's photos, then the mean over known, and over new animals.",
            "For threshold in np.unique(scores[is_validation]): sqrt(mean of known animals' shares "
            "* mean of new animals' shares); keep the largest.",
        ),
        agrees=agree_on_threshold,
        n_cases=8,
    ),
    Exercise(
        "enrol",
        1,
        photos_to_enrol,
        (
            "What becomes of an animal's older photos, and of the other animals?",
            "New photos come behind the old ones, each scaled to unit length.",
            "np.concatenate([gallery[identity], unit]) where the animal is known, else unit alone.",
        ),
        call=call_enrol,
    ),
)
