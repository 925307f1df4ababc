"""Week 1's wrong answers; see `grading.wrong`."""

WRONG = {
    "label_map": {
        "labels in the order of arrival, not of the sorted names": [
            ("identities = {identity for part in parts.values() for identity in part}",
             "identities = dict.fromkeys(i for part in parts.values() for i in part)"),
            ("enumerate(sorted(identities))", "enumerate(identities)"),
        ],
        "a map of the training part alone": [
            ("for part in parts.values() for identity in part}", "for identity in parts['train']}"),
        ],
        "numbers that start again in every part": [
            ("return {identity: label for label, identity in enumerate(sorted(identities))}",
             "return {i: n for part in parts.values() for n, i in enumerate(sorted(set(part)))}"),
        ],
        "names that look like numbers taken for their labels": [
            ("{identity: label for", "{identity: int(identity) if identity.isdecimal() else label for"),
        ],
        "names that look like numbers turned into numbers, so that 007 becomes 7": [
            ("{identity: label for",
             "{str(int(identity)) if identity.isdecimal() else identity: label for"),
        ],
        "labels from 1": [("enumerate(sorted(identities))", "enumerate(sorted(identities), 1)")],
        "names sorted without regard to capitals": [
            ("sorted(identities)", "sorted(identities, key=lambda name: (len(name), name.lower()))"),
        ],
        "a label for each photo, not for each animal": [
            ("identities = {identity for part in parts.values() for identity in part}",
             "identities = [identity for part in parts.values() for identity in part]"),
        ],
    },
    "split_by_day": {
        "photos dealt at random": [
            ("    return is_test", "    return np.random.default_rng(0).permutation(is_test)"),
        ],
        "photos cut in the order of time, so that a day lies on both sides": [
            ("own_days = np.unique(days[own])", "own_days = np.sort(days[own])"),
            ("is_test |= own & (days >= own_days[n_train])",
             "is_test[np.flatnonzero(own)[np.argsort(days[own], kind='stable')[n_train:]]] = True"),
        ],
        "animals with one day put into the test": [
            ("    return is_test",
             "        if len(own_days) == 1:\n            is_test |= own\n    return is_test"),
        ],
        "trained on the later days, tested on the earlier ones": [
            ("days >= own_days[n_train]", "days < own_days[len(own_days) - n_train]"),
        ],
        "one date for all animals": [
            ("own_days = np.unique(days[own])", "own_days = np.unique(days)"),
        ],
        "the number of training days rounded down": [("max(1, round(", "max(1, int(")],
        "animals that are left without a day to train on": [
            ("max(1, round(train_share * len(own_days)))", "round(train_share * len(own_days))"),
        ],
        "animals that are left without a day to test on": [
            ("n_train = min(max(1, round(train_share * len(own_days))), len(own_days) - 1)",
             "n_train = max(1, round(train_share * len(own_days)))"),
            ("if len(own_days) > 1:", "if n_train < len(own_days):"),
        ],
        "True for training": [("    return is_test", "    return ~is_test")],
        "days in the order of the rows, not of time": [
            ("own_days = np.unique(days[own])",
             "own_days = np.array(list(dict.fromkeys(days[own].tolist())))"),
            ("days >= own_days[n_train]", "np.isin(days, own_days[n_train:])"),
        ],
    },
    "leak_share": {
        "the identity ignored: another animal of that encounter gives nothing away": [
            ("pairs = list(zip(identities, encounters, strict=True))", "pairs = list(encounters)"),
        ],
        "the two texts joined, so that 1 in 23 is 12 in 3": [
            ("pairs = list(zip(identities, encounters, strict=True))",
             "pairs = [a + b for a, b in zip(identities, encounters, strict=True)]"),
        ],
        "the encounter ignored: photos of an animal in training are no leak by themselves": [
            ("pairs = list(zip(identities, encounters, strict=True))", "pairs = list(identities)"),
        ],
        "training photos counted instead of test photos": [
            ("zip(pairs, is_test, strict=True) if not test}",
             "zip(pairs, is_test, strict=True) if test}"),
            ("zip(pairs, is_test, strict=True) if test]",
             "zip(pairs, is_test, strict=True) if not test]"),
        ],
        "divided by the photos of known animals, not by all test photos": [
            ("len(leaks)",
             "sum(bool(i in set(identities[~is_test])) for i in identities[is_test])"),
        ],
        "divided by all photos": [("len(leaks)", "len(pairs)")],
        "encounters counted, not photos": [
            ("    return sum(leaks) / len(leaks)",
             "    tested = {pair for pair, test in zip(pairs, is_test, strict=True) if test}\n"
             "    return len(tested & trained) / len(tested)"),
        ],
        "the share that does not leak": [
            ("sum(leaks) / len(leaks)", "1 - sum(leaks) / len(leaks)"),
        ],
        "test photos compared with each other too": [
            ("trained = {pair for pair, test in zip(pairs, is_test, strict=True) if not test}",
             "trained = {pair for pair in pairs if pairs.count(pair) > 1}"),
        ],
    },
    "train_epoch": {
        "gradients never set to zero, so that they add up": [("optimizer.zero_grad()", "pass")],
        "trained in evaluation mode": [("model.train()", "model.eval()")],
        "the mode left as it was": [("model.train()", "pass")],
        "a mean of the batches' means, in which a short batch weighs too much": [
            ("loss.item() * len(labels)", "loss.item()"),
            ("return loss_sum / n_seen", "return loss_sum / (n_seen // 8 + 1)"),
        ],
        "a step before the gradients are there": [
            ("loss.backward()\n        optimizer.step()",
             "optimizer.step()\n        loss.backward()"),
        ],
        "gradients set to zero after backward": [
            ("optimizer.zero_grad()\n        loss.backward()",
             "loss.backward()\n        optimizer.zero_grad()"),
        ],
        "no step": [("optimizer.step()", "pass")],
        "the loss of the last batch alone": [
            ("loss_sum += loss.item() * len(labels)", "loss_sum = loss.item() * (n_seen + len(labels))"),
        ],
        "the sum of the losses of the batches, divided by the photos": [
            ("loss.item() * len(labels)", "loss.item()"),
        ],
        "the number of right photos, not their share": [
            ("n_right / n_seen", "n_right"),
        ],
        "softmax before a loss that does it too": [
            ("criterion(scores, labels)", "criterion(scores.softmax(dim=1), labels)"),
        ],
        "scores of after the step": [
            ("n_right += int((scores.", "n_right += int((model(images)."),
        ],
    },
    "accuracy": {
        "the mean over animals instead of photos": [
            ("np.mean(scores.argmax(axis=1) == labels)",
             "np.mean([np.mean(scores[labels == n].argmax(axis=1) == n) for n in np.unique(labels)])"),
        ],
        "the lowest score taken for the answer": [("argmax", "argmin")],
        "the best photo of each identity, not the best identity of each photo": [
            ("scores.argmax(axis=1) == labels", "scores.argmax(axis=0)[labels] == np.arange(len(labels))"),
        ],
        "the number of right photos, not their share": [("np.mean(", "np.sum(")],
        "the share of wrong photos": [("== labels", "!= labels")],
        "right if among the best two": [
            ("scores.argmax(axis=1) == labels",
             "(np.argsort(scores, axis=1)[:, -2:] == labels[:, None]).any(axis=1)"),
        ],
        "right if the score is above zero": [
            ("scores.argmax(axis=1) == labels", "scores[np.arange(len(labels)), labels] > 0"),
        ],
    },
    "balanced_accuracy": {
        "the mean over photos instead of animals": [
            ("np.mean([is_right[labels == label].mean() for label in np.unique(labels)])",
             "is_right.mean()"),
        ],
        "animals without a photo counted as 0": [
            ("float(np.mean([is_right[labels == label].mean() for label in np.unique(labels)]))",
             "sum(is_right[labels == n].mean() for n in np.unique(labels)) / scores.shape[1]"),
        ],
        "animals without a photo counted as 1": [
            ("is_right[labels == label].mean() for label in np.unique(labels)",
             "is_right[labels == n].mean() if n in labels else 1 for n in range(scores.shape[1])"),
        ],
        "the lowest score taken for the answer": [("argmax", "argmin")],
        "precision: shares of the photos that were given a name": [
            ("is_right[labels == label].mean() for label in np.unique(labels)",
             "is_right[scores.argmax(1) == n].mean() for n in np.unique(scores.argmax(1))"),
        ],
        "the middle animal instead of the mean": [("np.mean([", "np.median([")],
        "animals with one photo left out": [
            ("for label in np.unique(labels)", "for label in np.unique(labels) if sum(labels == label) > 4"),
        ],
    },
    "interval_over_animals": {
        "photos drawn instead of animals: much too sure": [
            ("    names = np.unique(animals)", "    animals = np.arange(len(values))\n    names = np.unique(animals)"),
        ],
        "another generator than the given one": [
            ("generator.integers(len(names),", "np.random.default_rng().integers(len(names),"),
        ],
        "drawn without replacement: all means are the same": [
            ("generator.integers(len(names), size=(n_resamples, len(names)))",
             "np.array([generator.permutation(len(names)) for _ in range(n_resamples)])"),
        ],
        "the mean of the animals' means, not of their photos": [
            ("means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)",
             "means = (sums / counts)[drawn].mean(axis=1)"),
        ],
        "half as many animals drawn as there are: not sure enough": [
            ("size=(n_resamples, len(names))", "size=(n_resamples, len(names) // 2)"),
        ],
        "all that is outside cut off on each side: too narrow": [
            ("outside = (1 - level) / 2", "outside = 1 - level"),
        ],
        "plus and minus 1.96 standard deviations of the photos": [
            ("np.quantile(means, outside)", "np.mean(values) - 1.96 * np.std(values)"),
            ("np.quantile(means, 1 - outside)", "np.mean(values) + 1.96 * np.std(values)"),
        ],
        "the lowest and the highest mean": [("(1 - level) / 2", "0")],
        "always 95 per cent": [("(1 - level) / 2", "0.025")],
        "divided by the number of all photos, not of those drawn": [
            ("counts[drawn].sum(axis=1)", "len(values)"),
        ],
    },
}  # fmt: skip
