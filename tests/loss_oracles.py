"""The losses once more, photo by photo in float64, from their papers' formulas alone."""

import math

import numpy as np


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def parts_of(labels):
    """For each anchor: the other photos of its animal, and the photos of others."""
    everyone = range(len(labels))
    for anchor in everyone:
        positives = [i for i in everyone if labels[i] == labels[anchor] and i != anchor]
        negatives = [i for i in everyone if labels[i] != labels[anchor]]
        yield anchor, positives, negatives


def mean_of_costly(values):
    costly = [value for value in values if value > 0]
    return sum(costly) / len(costly) if costly else 0.0


def contrastive(x, labels, *, margin):
    x, pull, push = unit(x), [], []
    for anchor, positives, negatives in parts_of(labels):
        pull += [np.linalg.norm(x[anchor] - x[i]) for i in positives]
        push += [max(0.0, margin - np.linalg.norm(x[anchor] - x[i])) for i in negatives]
    return mean_of_costly(pull) + mean_of_costly(push)


def triplet(x, labels, *, margin):
    x, losses = unit(x), []
    for anchor, positives, negatives in parts_of(labels):
        farthest = max(np.linalg.norm(x[anchor] - x[i]) for i in positives)
        nearest = min(np.linalg.norm(x[anchor] - x[i]) for i in negatives)
        losses.append(max(0.0, farthest - nearest + margin))
    return mean_of_costly(losses)


def multi_similarity(x, labels, *, margin, scale):
    x, losses = unit(x), []
    for anchor, positives, negatives in parts_of(labels):
        alike = [float(x[anchor] @ x[i]) for i in positives]
        unlike = [float(x[anchor] @ x[i]) for i in negatives]
        kept = [s for s in alike if s < max(unlike) + margin]
        pushed = [s for s in unlike if s > min(alike) - margin]
        pull = math.log(1 + sum(math.exp(-2 * (s - 0.5)) for s in kept)) / 2
        push = math.log(1 + sum(math.exp(scale * (s - 0.5)) for s in pushed)) / scale
        losses.append(pull + push)
    return sum(losses) / len(losses)


def supcon(x, labels, *, scale):
    x, losses = unit(x), []
    for anchor, positives, negatives in parts_of(labels):
        total = sum(math.exp(scale * x[anchor] @ x[i]) for i in positives + negatives)
        shares = [math.exp(scale * x[anchor] @ x[i]) / total for i in positives]
        losses.append(-sum(map(math.log, shares)) / len(shares))
    return sum(losses) / len(losses)


def circle(x, labels, *, margin, scale, held=None):
    """`held`: embeddings that the weights are taken from, as they have no gradient."""
    x, held, losses = unit(x), unit(x if held is None else held), []
    for anchor, positives, negatives in parts_of(labels):
        pull = push = 0.0
        for i in positives:
            weight = max(0.0, 1 + margin - held[anchor] @ held[i])
            pull += math.exp(-scale * weight * (x[anchor] @ x[i] - (1 - margin)))
        for i in negatives:
            weight = max(0.0, held[anchor] @ held[i] + margin)
            push += math.exp(scale * weight * (x[anchor] @ x[i] - margin))
        losses.append(math.log(1 + pull * push))
    return sum(losses) / len(losses)


def proxy_anchor(x, labels, centres, *, margin, scale):
    """Centres: (n_identities, 1, embedding_dim)."""
    cosines = unit(x) @ unit(centres[:, 0]).T
    pull = push = 0.0
    for label in range(len(centres)):
        own = [cosines[i, label] for i in range(len(x)) if labels[i] == label]
        others = [cosines[i, label] for i in range(len(x)) if labels[i] != label]
        pull += math.log(1 + sum(math.exp(-scale * (s - margin)) for s in own))
        push += math.log(1 + sum(math.exp(scale * (s + margin)) for s in others))
    return pull / len(set(labels)) + push / len(centres)


def arcface(x, labels, centres, *, margin, scale):
    """Centres: (n_identities, n_centres, embedding_dim); the nearest of an identity counts."""
    losses = []
    for photo, label in zip(unit(x), labels, strict=True):
        cosines = (unit(centres) @ photo).max(axis=1)  # (n_identities,)
        angle = math.acos(cosines[label])
        own = math.cos(angle + margin)
        if angle > math.pi - margin:  # there the cosine would rise again
            own = math.cos(angle) - margin * math.sin(margin)
        logits = scale * np.where(np.arange(len(cosines)) == label, own, cosines)
        losses.append(math.log(sum(np.exp(logits - logits[label]))))
    return sum(losses) / len(losses)


ORACLES = {
    "contrastive": contrastive,
    "triplet": triplet,
    "multi_similarity": multi_similarity,
    "supcon": supcon,
    "circle": circle,
    "proxy_anchor": proxy_anchor,
    "arcface": arcface,
    "subcenter_arcface": arcface,
}


def numerical_gradient(function, at, step=1e-6):
    """Central differences of a function of an array."""
    gradient = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        moved = [at.copy(), at.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        gradient[index] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return gradient


# Gradients worked out on paper, with respect to embeddings of any length.


def through_length(gradient, x):
    """From the gradient at unit vectors to that at x: what turns x counts, over its length."""
    along = (gradient * unit(x)).sum(axis=1, keepdims=True) * unit(x)
    return (gradient - along) / np.linalg.norm(x, axis=1, keepdims=True)


def contrastive_gradient(x, labels, *, margin):
    """A pair's distance grows along the line between its photos, at rate 1."""
    e, sums, counts = unit(x), {}, {}
    for kind in ("pull", "push"):
        sums[kind], counts[kind] = np.zeros_like(e), 0
    for anchor, positives, negatives in parts_of(labels):
        for i in positives + negatives:
            distance = np.linalg.norm(e[anchor] - e[i])
            kind, sign = ("pull", 1) if i in positives else ("push", -1)
            if kind == "pull" or distance < margin:
                line = sign * (e[anchor] - e[i]) / distance
                sums[kind][anchor] += line
                sums[kind][i] -= line
                counts[kind] += 1
    return through_length(sum(sums[kind] / max(1, counts[kind]) for kind in sums), x)


def triplet_gradient(x, labels, *, margin):
    """Of each anchor that costs: towards its farthest positive, away from its nearest negative."""
    e, gradient, n_costly = unit(x), np.zeros_like(x), 0
    for anchor, positives, negatives in parts_of(labels):
        distance = np.linalg.norm(e - e[anchor], axis=1)
        far = max(positives, key=lambda i: distance[i])
        near = min(negatives, key=lambda i: distance[i])
        if distance[far] - distance[near] + margin > 0:
            n_costly += 1
            for i, sign in ((far, 1), (near, -1)):
                line = sign * (e[anchor] - e[i]) / distance[i]
                gradient[anchor] += line
                gradient[i] -= line
    return through_length(gradient / max(1, n_costly), x)


def arcface_gradient(x, labels, centres, *, margin, scale):
    """Softmax minus truth, times scale; the true cosine's share times sin(θ + m) / sin θ."""
    e, w = unit(x), unit(centres[:, 0])
    gradient = np.zeros_like(e)
    for row, label in enumerate(labels):
        cosines = w @ e[row]
        angle = math.acos(cosines[label])
        rise = math.sin(angle + margin) / math.sin(angle) if angle <= math.pi - margin else 1.0
        margined = (
            math.cos(angle + margin)
            if angle <= math.pi - margin
            else (math.cos(angle) - margin * math.sin(margin))
        )
        logits = scale * np.where(np.arange(len(w)) == label, margined, cosines)
        share = np.exp(logits - logits.max())
        share /= share.sum()
        for other in range(len(w)):
            slope = (share[label] - 1) * rise if other == label else share[other]
            gradient[row] += scale * slope * w[other] / len(labels)
    return through_length(gradient, x)


GRADIENTS = {
    "contrastive": contrastive_gradient,
    "triplet": triplet_gradient,
    "arcface": arcface_gradient,
}
