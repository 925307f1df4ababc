"""Week 3 as someone writes it who knows the libraries."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def cosine_similarity(query, gallery):
    lengths = np.sqrt(np.einsum("id,id->i", query, query))
    others = np.sqrt(np.einsum("id,id->i", gallery, gallery))
    return np.einsum("id,jd->ij", query, gallery) / np.outer(lengths, others)


def batch_hard(embeddings, labels, margin):
    unit = embeddings / embeddings.pow(2).sum(dim=1, keepdim=True).sqrt()
    distance = (2 - 2 * unit @ unit.T).clamp_min(1e-12).sqrt()
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    itself = torch.eye(len(labels), dtype=torch.bool)
    hardest_positive = (distance * (same & ~itself)).amax(dim=1)
    hardest_negative = (distance + 10.0 * same).amin(dim=1)
    loss = (hardest_positive - hardest_negative + margin).clamp_min(0)
    loss = loss[(same & ~itself).sum(dim=1) > 0]
    loss = loss[loss > 0]
    return loss.mean() if len(loss) else (embeddings * 0).sum()


def arcface_logits(embeddings, centres, labels, margin, scale):
    cosine = functional.linear(functional.normalize(embeddings), functional.normalize(centres))
    sine = (1 - cosine**2).clamp_min(0).sqrt()
    shifted = cosine * np.cos(margin) - sine * np.sin(margin)
    own = torch.zeros_like(cosine).scatter_(1, labels[:, None], 1.0)
    return nn.Parameter(torch.tensor(scale)) * (own * shifted + (1 - own) * cosine)


def cmc_and_ap(similarity, is_match):
    order = torch.as_tensor(similarity).argsort(dim=1, descending=True)
    ranked = torch.as_tensor(is_match).gather(1, order).double()
    hits = ranked.cumsum(dim=1)
    ranks = torch.arange(1, ranked.shape[1] + 1)
    ap = (hits / ranks * ranked).sum(dim=1) / ranked.sum(dim=1)
    return (hits > 0).double().mean(dim=0), ap.nan_to_num(0.0)


def keep_mask(query_identities, query_encounters, gallery_identities, gallery_encounters):
    return np.not_equal.outer(query_identities, gallery_identities) | np.not_equal.outer(
        query_encounters, gallery_encounters
    )


def choose_threshold(scores, identities, is_known, is_named_right, is_validation):
    own = is_validation
    scores, identities = scores[own], identities[own]
    known, right = is_known[own], is_named_right[own]
    _, whose, counts = np.unique(identities, return_inverse=True, return_counts=True)
    weight = 1 / counts[whose]
    ordered = np.unique(scores)
    middles = (ordered[1:] + ordered[:-1]) / 2
    candidates = np.concatenate([[ordered[0] - 1], middles, [ordered[-1] + 1]])
    accepted = scores >= candidates[:, None]
    baks = (accepted & right & known) @ weight
    baus = (~accepted & ~known) @ weight
    return candidates[np.argmax(np.sqrt(baks * baus))]


def enrol(gallery, identity, embeddings):
    unit = functional.normalize(torch.as_tensor(embeddings), dim=1).numpy()
    gallery = dict(gallery)
    gallery[identity] = np.r_[gallery[identity], unit] if identity in gallery else unit
    return gallery
