"""Week 1 as a beginner writes it: loops, counters, no tricks."""

import torch


def label_map(parts):
    names = []
    for part in parts:
        for name in parts[part]:
            if name not in names:
                names.append(name)
    names.sort()
    labels = {}
    for i in range(len(names)):
        labels[names[i]] = i
    return labels


def split_by_day(identities, days, train_share):
    days_of = {}
    for name, day in zip(identities, days, strict=True):
        days_of.setdefault(name, set()).add(day)
    test_days = {}
    for name, own in days_of.items():
        n = len(own)
        n_train = round(train_share * n)
        if n_train == n:
            n_train = n - 1
        if n_train < 1:
            n_train = 1
        test_days[name] = sorted(own)[n_train:]
    return [day in test_days[name] for name, day in zip(identities, days, strict=True)]


def leak_share(identities, encounters, is_test):
    n_test, n_leaks = 0, 0
    for i in range(len(identities)):
        if not is_test[i]:
            continue
        n_test += 1
        for j in range(len(identities)):
            same = identities[i] == identities[j] and encounters[i] == encounters[j]
            if same and not is_test[j]:
                n_leaks += 1
                break
    return n_leaks / n_test


def train_epoch(model, batches, criterion, optimizer):
    model.train()
    losses, rights = [], []
    for images, labels in batches:
        for parameter in model.parameters():
            parameter.grad = None
        output = model(images)
        loss = criterion(output, labels)
        loss.backward()
        optimizer.step()
        for answer, label in zip(output.argmax(1).tolist(), labels.tolist(), strict=True):
            losses.append(loss.item())
            rights.append(answer == label)
    return sum(losses) / len(losses), sum(rights) / len(rights)


def accuracy(scores, labels):
    n = 0
    for row, label in zip(scores.tolist(), labels, strict=True):
        if row.index(max(row)) == label:
            n += 1
    return n / len(labels)


def balanced_accuracy(scores, labels):
    right, total = {}, {}
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        total[label] = total.get(label, 0) + 1
        right[label] = right.get(label, 0) + (row.index(max(row)) == label)
    return sum(right[label] / total[label] for label in total) / len(total)


def interval_over_animals(values, animals, n_resamples, level, generator):
    own = {}
    for value, animal in zip(values.tolist(), animals.tolist(), strict=True):
        own.setdefault(animal, []).append(value)
    names, means = sorted(own), []
    for _ in range(n_resamples):
        photos = []
        for i in generator.integers(0, len(names), len(names)).tolist():
            photos += own[names[i]]
        means.append(sum(photos) / len(photos))
    means.sort()
    n_outside = int(n_resamples * (1 - level) / 2)
    return means[n_outside], means[n_resamples - n_outside - 1]


assert torch.is_tensor(torch.zeros(1))  # a learner's own check at the end of the file
