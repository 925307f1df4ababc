"""Week 3's wrong answers; see `grading.wrong`."""

WRONG = {
    "cosine_similarity": {
        "not scaled to unit length": [
            ("query / np.linalg.norm(query, axis=1, keepdims=True)", "query"),
            ("gallery / np.linalg.norm(gallery, axis=1, keepdims=True)", "gallery"),
        ],
        "scaled along the wrong axis": [
            ("np.linalg.norm(query, axis=1, keepdims=True)", "np.linalg.norm(query, axis=0)"),
            ("np.linalg.norm(gallery, axis=1, keepdims=True)", "np.linalg.norm(gallery, axis=0)"),
        ],
        "only the gallery scaled": [
            ("query / np.linalg.norm(query, axis=1, keepdims=True)", "query"),
        ],
        "only the queries scaled": [
            ("gallery / np.linalg.norm(gallery, axis=1, keepdims=True)", "gallery"),
        ],
        "a distance instead: low where alike": [("return query", "return 1 - query")],
        "divided by the squares of the lengths": [
            ("np.linalg.norm(query, axis=1, keepdims=True)", "(query**2).sum(1, keepdims=True)"),
            ("np.linalg.norm(gallery, axis=1, keepdims=True)", "(gallery**2).sum(1, keepdims=True)"),
        ],
        "divided by the largest number instead of the length": [
            ("np.linalg.norm(query, axis=1, keepdims=True)", "abs(query).max(1, keepdims=True)"),
            ("np.linalg.norm(gallery, axis=1, keepdims=True)", "abs(gallery).max(1, keepdims=True)"),
        ],
        "one length for all rows": [
            ("np.linalg.norm(query, axis=1, keepdims=True)", "np.linalg.norm(query)"),
            ("np.linalg.norm(gallery, axis=1, keepdims=True)", "np.linalg.norm(gallery)"),
        ],
        "gallery in the rows, queries in the columns": [
            ("query @ gallery.T", "gallery @ query.T"),
        ],
        "the sign thrown away": [("return query @ gallery.T", "return abs(query @ gallery.T)")],
    },
    "batch_hard": {
        "a photo taken as its own positive": [
            ("is_same & ~torch.eye(len(labels), dtype=torch.bool)", "is_same"),
        ],
        "the nearest positive: the easiest": [
            ("distance.masked_fill(~is_positive, -torch.inf).max(dim=1)",
             "distance.masked_fill(~is_positive, torch.inf).min(dim=1)"),
        ],
        "the farthest negative: the easiest": [
            ("distance.masked_fill(is_same, torch.inf).min(dim=1)",
             "distance.masked_fill(is_same, -torch.inf).max(dim=1)"),
        ],
        "no hinge: anchors that are far enough pay back": [
            ("functional.relu(farthest - nearest + margin)", "(farthest - nearest + margin)"),
        ],
        "the mean over all anchors, also those that cost nothing": [
            ("losses.sum() / max(1, torch.count_nonzero(losses))", "losses[is_positive.any(dim=1)].mean()"),
        ],
        "no number where no anchor costs anything: 0 divided by 0": [
            ("max(1, torch.count_nonzero(losses))", "torch.count_nonzero(losses)"),
        ],
        "embeddings not scaled to unit length": [
            ("functional.normalize(embeddings)", "embeddings"),
        ],
        "squared distances": [("torch.cdist(unit, unit)", "torch.cdist(unit, unit) ** 2")],
        "the margin subtracted": [("nearest + margin", "nearest - margin")],
        "positives and negatives mixed up": [
            ("relu(farthest - nearest", "relu(nearest - farthest"),
        ],
        "the sum over anchors instead of the mean": [
            (" / max(1, torch.count_nonzero(losses))", ""),
        ],
        "no gradient: the loss was detached": [
            ("return losses.sum()", "return losses.detach().requires_grad_().sum()"),
        ],
        "cosine distances instead of Euclidean ones": [
            ("torch.cdist(unit, unit)", "1 - unit @ unit.T"),
        ],
    },
    "arcface_logits": {
        "the margin taken for degrees": [
            ("margin * is_own", "math.radians(margin) * is_own"),
        ],
        "radians turned into degrees": [("margin * is_own", "math.degrees(margin) * is_own")],
        "the margin subtracted: easier instead of harder": [("angle + margin", "angle - margin")],
        "the margin on all animals, not the own one alone": [("margin * is_own", "margin")],
        "the margin on all animals but the own one": [("margin * is_own", "margin * (1 - is_own)")],
        "the margin subtracted from the cosine, not added to the angle (CosFace)": [
            ("torch.cos(angle + margin * is_own)", "(cosine - margin * is_own)"),
        ],
        "centres not scaled to unit length": [
            ("functional.normalize(centres).T", "centres.T"),
        ],
        "embeddings not scaled to unit length": [
            ("functional.normalize(embeddings) @", "embeddings @"),
        ],
        "no scale": [("return scale * ", "return ")],
        "the scale inside the cosine": [
            ("scale * torch.cos(angle + margin * is_own)", "torch.cos(scale * (angle + margin * is_own))"),
        ],
        "the angle itself instead of its cosine": [
            ("torch.cos(angle + margin * is_own)", "(angle + margin * is_own)"),
        ],
        "no gradient: the cosine was detached": [
            ("torch.acos(cosine.clamp(-1, 1))", "torch.acos(cosine.detach().clamp(-1, 1)) + 0 * cosine"),
        ],
        "the margin multiplied with the angle (SphereFace)": [
            ("angle + margin * is_own", "angle * (1 + margin * is_own)"),
        ],
    },
    "cmc_and_ap": {
        "ranked from the least alike": [("np.argsort(-similarity", "np.argsort(similarity")],
        "queries without a right photo left out": [
            ("    order =", "    is_asked = is_match.any(axis=1)\n    similarity, is_match = similarity[is_asked], is_match[is_asked]\n    order ="),
        ],
        "average precision over the first ten photos": [
            ("(precision * ranked).sum(axis=1)", "(precision * ranked)[:, :10].sum(axis=1)"),
        ],
        "average precision divided by the number of photos, not of right ones": [
            ("np.maximum(n_right, 1)", "ranked.shape[1]"),
        ],
        "the share of right photos at each rank, not of queries that have found one": [
            ("np.maximum.accumulate(ranked, axis=1)", "ranked"),
        ],
        "all right photos wanted among the first k, not one": [
            ("np.maximum.accumulate(ranked, axis=1).mean(axis=0)",
             "((ranked.cumsum(axis=1) == n_right[:, None]) & (n_right[:, None] > 0)).mean(axis=0)"),
            ("    cmc =", "    n_right = ranked.sum(axis=1)\n    cmc ="),
        ],
        "the reciprocal rank of the first right photo": [
            ("(precision * ranked).sum(axis=1) / np.maximum(n_right, 1)",
             "(precision * ranked).max(axis=1) * 0 + (n_right > 0) / (ranked.argmax(axis=1) + 1)"),
        ],
        "precision at ranks that hold a wrong photo counted too": [
            ("(precision * ranked).sum(axis=1) / np.maximum(n_right, 1)", "precision.mean(axis=1)"),
        ],
        "ranks counted from 0": [
            ("np.arange(1, ranked.shape[1] + 1)", "np.maximum(np.arange(ranked.shape[1]), 1)"),
        ],
        "each gallery photo ranks the queries": [
            ("np.argsort(-similarity, axis=1)", "np.argsort(np.argsort(-similarity, axis=1), axis=1)"),
        ],
        "the right photos of each query not put in its ranking's order": [
            ("np.take_along_axis(is_match, order, axis=1)", "is_match[:, order[0]]"),
        ],
        "a query without a right photo counted as found": [
            ("np.maximum.accumulate(ranked, axis=1)",
             "(np.maximum.accumulate(ranked, axis=1) | ~is_match.any(axis=1)[:, None])"),
        ],
    },
    "keep_mask": {
        "the whole encounter left out, other animals too": [
            ("~(is_same_animal & is_same_encounter)", "~is_same_encounter"),
        ],
        "the whole animal left out": [
            ("~(is_same_animal & is_same_encounter)", "~is_same_animal"),
        ],
        "only the photo itself left out": [
            ("~(is_same_animal & is_same_encounter)",
             "np.arange(len(query_identities))[:, None] != np.arange(len(gallery_identities))"),
        ],
        "True for what is left out": [("~(is_same", "(is_same")],
        "left out if either is the same": [("is_same_animal & is", "is_same_animal | is")],
        "gallery in the rows, queries in the columns": [
            ("is_same_encounter)", "is_same_encounter).T"),
        ],
        "nothing left out": [("~(is_same_animal & is_same_encounter)", "is_same_animal | True")],
        "encounters compared within one side": [
            ("query_encounters[:, None] == gallery_encounters",
             "query_encounters[:, None] == query_encounters[:1]"),
        ],
    },
    "choose_threshold": {
        "the share of right photos as criterion": [
            ("value = math.sqrt(np.mean(shares[True]) * np.mean(shares[False]))",
             "value = is_right[is_validation].mean()"),
        ],
        "shares of photos in place of the animals' means": [
            ("value = math.sqrt(np.mean(shares[True]) * np.mean(shares[False]))",
             "value = math.sqrt(is_right[is_validation & is_known].mean() * is_right[is_validation & ~is_known].mean())"),
        ],
        "test photos used to choose": [
            ("    best, chosen = -1.0", "    is_validation = np.ones(len(scores), dtype=bool)\n    best, chosen = -1.0"),
        ],
        "chosen on the test photos": [
            ("    best, chosen = -1.0", "    is_validation = ~is_validation\n    best, chosen = -1.0"),
        ],
        "a photo at the threshold itself rejected": [("scores >= threshold", "scores > threshold")],
        "the sum of the two shares in place of the root of their product": [
            ("math.sqrt(np.mean(shares[True]) * np.mean(shares[False]))",
             "np.mean(shares[True]) + np.mean(shares[False])"),
        ],
        "a wrong name taken for right": [("is_accepted & is_named_right", "is_accepted")],
        "only known animals asked: everything is accepted": [
            ("math.sqrt(np.mean(shares[True]) * np.mean(shares[False]))", "np.mean(shares[True])"),
        ],
        "only new animals asked: everything is rejected": [
            ("math.sqrt(np.mean(shares[True]) * np.mean(shares[False]))", "np.mean(shares[False])"),
        ],
        "low scores accepted": [("scores >= threshold", "scores <= threshold")],
        "the middle of all scores": [("    return chosen", "    return float(np.median(scores[is_validation]))")],
        "the worst threshold": [("best, chosen = -1.0", "best, chosen = -2.0"), ("value > best", "-value > best"), ("best, chosen = value", "best, chosen = -value")],
    },
    "enrol": {
        "the given embeddings scaled in place": [
            ("unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)",
             "embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)\n    unit = embeddings"),
        ],
        "older photos of the animal overwritten": [
            ("np.concatenate([before, unit])", "unit"),
        ],
        "not scaled to unit length": [
            ("embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)", "embeddings"),
        ],
        "scaled along the wrong axis": [
            ("np.linalg.norm(embeddings, axis=1, keepdims=True)", "np.linalg.norm(embeddings, axis=0)"),
        ],
        "other animals lost": [("{**gallery, identity:", "{identity:")],
        "the mean of the new photos instead of each": [
            ("[before, unit]", "[before, unit.mean(axis=0, keepdims=True)]"),
        ],
        "new photos before the older ones": [("[before, unit]", "[unit, before]")],
        "a new animal refused": [
            ("    return {", "    if gallery and identity not in gallery:\n        return gallery\n    return {"),
        ],
        "new photos given to every animal": [
            ("    return {", "    gallery = {name: np.concatenate([own, unit]) for name, own in gallery.items() if name != identity}\n    return {"),
        ],
        "photos of a known animal ignored": [("np.concatenate([before, unit])", "before if len(before) else unit")],
        "older photos scaled to the length of all together": [
            ("np.concatenate([before, unit])", "np.concatenate([before / max(1, len(before)), unit])"),
        ],
    },
}  # fmt: skip
