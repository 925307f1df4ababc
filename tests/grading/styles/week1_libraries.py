"""Week 1 as someone writes it who knows the libraries."""

import itertools
import math

import numpy as np
import torch


def label_map(parts):
    names = np.unique(list(itertools.chain.from_iterable(parts.values())))
    return dict(zip(names.tolist(), range(len(names)), strict=True))


def split_by_day(identities, days, train_share):
    is_test = np.zeros(len(days), dtype=bool)
    for name in np.unique(identities):
        rows = np.flatnonzero(identities == name)
        different, place = np.unique(days[rows], return_inverse=True)
        n = len(different)
        if n == 1:
            continue
        n_train = int(np.clip(np.rint(train_share * n), 1, n - 1))
        is_test[rows] = place >= n_train
    return is_test


def leak_share(identities, encounters, is_test):
    keys = np.char.add(np.char.add(identities.astype(str), "|"), encounters.astype(str))
    return np.isin(keys[is_test], keys[~is_test]).mean()


def train_epoch(model, batches, criterion, optimizer):
    model.train()
    total = torch.zeros(3)
    optimizer.zero_grad()
    for x, y in batches:
        with torch.enable_grad():
            scores = model(x)
            loss = criterion(scores, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        n_right = (scores.detach().max(dim=1).indices == y).sum()
        total += torch.tensor([loss.item() * y.numel(), float(n_right), float(y.numel())])
    return total[0] / total[2], total[1] / total[2]


def accuracy(scores, labels):
    predicted = torch.as_tensor(scores).max(dim=1).indices
    return (predicted == torch.as_tensor(labels)).double().mean()


def balanced_accuracy(scores, labels):
    is_right = np.argmax(scores, axis=-1) == labels
    counts = np.bincount(labels)
    right = np.bincount(labels, weights=is_right)
    return (right[counts > 0] / counts[counts > 0]).mean()


def interval_over_animals(values, animals, n_resamples, level, generator):
    names, whose = np.unique(animals, return_inverse=True)
    totals = np.bincount(whose, weights=values)
    counts = np.bincount(whose)
    weights = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), n_resamples)
    means = (weights @ totals) / (weights @ counts)
    ends = np.percentile(means, [50 * (1 - level), 100 - 50 * (1 - level)])
    assert math.isfinite(ends.sum())
    return tuple(ends)
