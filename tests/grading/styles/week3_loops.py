"""Week 3 as a beginner writes it: loops, counters, no tricks."""

import math

import numpy as np
import torch


def cosine_similarity(query, gallery):
    result = np.zeros((len(query), len(gallery)))
    for i in range(len(query)):
        for j in range(len(gallery)):
            product = 0.0
            for a, b in zip(query[i], gallery[j], strict=True):
                product += a * b
            length_i = math.sqrt(sum(a * a for a in query[i]))
            length_j = math.sqrt(sum(b * b for b in gallery[j]))
            result[i, j] = product / (length_i * length_j)
    return result


def batch_hard(embeddings, labels, margin):
    unit = [each / each.norm() for each in embeddings]
    losses = []
    for i in range(len(unit)):
        positives, negatives = [], []
        for j in range(len(unit)):
            if i == j:
                continue
            distance = (unit[i] - unit[j]).norm()
            if labels[i] == labels[j]:
                positives.append(distance)
            else:
                negatives.append(distance)
        if positives:
            loss = max(positives) - min(negatives) + margin
            if loss > 0:
                losses.append(loss)
    if not losses:
        return 0 * embeddings.sum()
    return sum(losses) / len(losses)


def arcface_logits(embeddings, centres, labels, margin, scale):
    rows = []
    for photo, label in zip(embeddings, labels, strict=True):
        row = []
        for number, centre in enumerate(centres):
            cosine = torch.dot(photo, centre) / (photo.norm() * centre.norm())
            if number == label:
                cosine = torch.cos(torch.acos(cosine) + margin)
            row.append(scale * cosine)
        rows.append(torch.stack(row))
    return torch.stack(rows)


def cmc_and_ap(similarity, is_match):
    n_query, n_gallery = similarity.shape
    found, precisions = [0] * n_gallery, []
    for q in range(n_query):
        order = sorted(range(n_gallery), key=lambda g: similarity[q, g], reverse=True)
        n_right, total, is_found = 0, 0.0, False
        for rank, g in enumerate(order, start=1):
            if is_match[q, g]:
                n_right += 1
                total += n_right / rank
                is_found = True
            if is_found:
                found[rank - 1] += 1
        precisions.append(total / n_right if n_right else 0.0)
    return [each / n_query for each in found], precisions


def keep_mask(query_identities, query_encounters, gallery_identities, gallery_encounters):
    keep = np.ones((len(query_identities), len(gallery_identities)), dtype=bool)
    for i in range(len(query_identities)):
        for j in range(len(gallery_identities)):
            same_animal = query_identities[i] == gallery_identities[j]
            if same_animal and query_encounters[i] == gallery_encounters[j]:
                keep[i][j] = False
    return keep


def choose_threshold(scores, identities, is_known, is_named_right, is_validation):
    rows = [i for i in range(len(scores)) if is_validation[i]]
    best, best_threshold = -1, None
    for threshold in sorted(scores[i] for i in rows):
        shares = {}
        for i in rows:
            accepted = scores[i] >= threshold
            right = (accepted and is_named_right[i]) if is_known[i] else not accepted
            shares.setdefault((bool(is_known[i]), identities[i]), []).append(right)
        means = {True: [], False: []}
        for (known, _), own in shares.items():
            means[known].append(sum(own) / len(own))
        baks = sum(means[True]) / len(means[True])
        baus = sum(means[False]) / len(means[False])
        if baks * baus > best:
            best, best_threshold = baks * baus, threshold
    return best_threshold


def enrol(gallery, identity, embeddings):
    for embedding in embeddings:
        length = math.sqrt(sum(x**2 for x in embedding))
        row = np.array([[x / length for x in embedding]])
        if identity in gallery:
            gallery[identity] = np.vstack([gallery[identity], row])
        else:
            gallery[identity] = row
    return gallery
