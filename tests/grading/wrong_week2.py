"""Week 2's wrong answers; see `grading.wrong`."""

WRONG = {
    "freeze": {
        "batch norms of resting stages still move": [("part.train(index >= first)", "pass")],
        "counted from the wrong end": [
            ("part.requires_grad_(index >= first)",
             "part.requires_grad_(index < n_trainable or index == len(model) - 1)"),
            ("part.train(index >= first)",
             "part.train(index < n_trainable or index == len(model) - 1)"),
        ],
        "the head rests": [
            ("part.requires_grad_(index >= first)",
             "part.requires_grad_(first <= index < len(model) - 1)"),
        ],
        "the head counted as one of the stages": [("len(model) - 1 -", "len(model) -")],
        "one stage too many learns": [("len(model) - 1 -", "len(model) - 2 -")],
        "gradients left as they were: only modes set": [
            ("part.requires_grad_(index >= first)", "pass"),
        ],
        "stages that rested before never learn again": [
            ("        part.requires_grad_(index >= first)",
             "        if index < first:\n            part.requires_grad_(False)"),
        ],
        "the whole model in evaluation mode": [("part.train(index >= first)", "part.eval()")],
        "the attribute set on the module, where no parameter sees it": [
            ("part.requires_grad_(index >= first)", "part.requires_grad = index >= first"),
        ],
    },
    "new_head": {
        "PyTorch's own start, which is too large": [
            ("nn.init.normal_(head.weight, std=0.01)", "pass"),
        ],
        "softmax inside, which the loss does again": [
            ("return head", "return nn.Sequential(head, nn.Softmax(dim=1))"),
        ],
        "frozen, so that it never learns": [
            ("return head", "head.weight.requires_grad_(False)\n    return head"),
        ],
        "uniform instead of normal": [
            ("nn.init.normal_(head.weight, std=0.01)",
             "nn.init.uniform_(head.weight, -0.01 * 3**0.5, 0.01 * 3**0.5)"),
        ],
        "standard deviation of 1": [(", std=0.01", "")],
        "all weights 0: no gradient reaches the backbone at first": [
            ("nn.init.normal_(head.weight, std=0.01)", "nn.init.zeros_(head.weight)"),
        ],
        "biases at random": [("nn.init.zeros_(head.bias)", "pass")],
        "features and animals in the wrong order": [
            ("nn.Linear(n_features, n_identities)", "nn.Linear(n_identities, n_features)"),
        ],
        "weights around 0.01 instead of 0": [("std=0.01", "mean=0.01, std=0.01")],
        "a variance of 0.01 instead of a standard deviation": [("std=0.01", "std=0.1")],
        "two layers": [
            ("return head",
             "return nn.Sequential(nn.Linear(n_features, n_features), nn.ReLU(), head)"),
        ],
    },
    "stages_at": {
        "each step an epoch too long": [("epoch < end", "epoch <= end")],
        "each step an epoch too short": [("epoch < end", "epoch + 1 < end")],
        "all at rest again behind the plan's end": [("return plan[-1][0]", "return 0")],
        "back to the first step behind the plan's end": [("plan[-1][0]", "plan[0][0]")],
        "lengths taken for the epochs at which steps end": [("end += n_epochs", "end = n_epochs")],
        "stages added up over the steps": [
            ("return n_trainable", "return sum(n for n, _ in plan[: 1 + plan.index((n_trainable, n_epochs))])"),
        ],
        "never fewer than before, whatever the plan says": [
            ("return n_trainable", "return max(n for n, _ in plan[: 1 + plan.index((n_trainable, n_epochs))])"),
        ],
        "stages and epochs mixed up": [
            ("for n_trainable, n_epochs in plan", "for n_epochs, n_trainable in plan"),
        ],
    },
    "rate_groups": {
        "the earliest stage fastest: decay the wrong way round": [
            ("(len(stages) - 1 - index)", "index"),
        ],
        "resting stages not counted": [
            ("    groups = []",
             "    stages = [e for e in stages if any(p.requires_grad for p in e.parameters())]\n"
             "    groups = []"),
        ],
        "resting parameters in the groups": [
            ("[each for each in part.parameters() if each.requires_grad]", "list(part.parameters())"),
        ],
        "a parameter twice: in a group of its own and in one of all": [
            ("    return [group",
             "    every = [each for part in stages for each in part.parameters()]\n"
             "    groups.append({'params': every, 'lr': rate, 'weight_decay': weight_decay})\n"
             "    return [group"),
        ],
        "the last stage slowed down too": [("(len(stages) - 1 - index)", "(len(stages) - index)")],
        "the head at the rate of the stages": [("[*rates, head_rate]", "[*rates, rate]")],
        "no head": [
            ("zip([*stages, head], [*rates, head_rate], strict=True)", "zip(stages, rates, strict=True)"),
        ],
        "weight decay of norms and biases": [
            ('"lr": its_rate, "weight_decay": 0.0', '"lr": its_rate, "weight_decay": weight_decay'),
        ],
        "weight decay left to the optimiser": [
            ('"lr": its_rate, "weight_decay": 0.0', '"lr": its_rate'),
        ],
        "one rate for all stages": [(" * layer_decay ** (len(stages) - 1 - index)", "")],
        "decay multiplied, not raised to a power": [
            ("layer_decay ** (len(stages) - 1 - index)", "layer_decay * (len(stages) - 1 - index)"),
        ],
        "norms and biases forgotten": [("each.ndim <= 1", "False")],
    },
    "rate_at": {
        "0 at the first step": [("return step / n_warmup", "return (step - 1) / n_warmup")],
        "0 for a whole first epoch, as in a formula that is often copied": [
            ("    if step < n_warmup:\n        return step / n_warmup",
             "    if step <= n_warmup:\n        return (step // n_warmup) * 1.0"),
        ],
        "not 0 at the last step": [
            ("(step - n_warmup) / (n_steps - n_warmup)", "(step - n_warmup - 1) / (n_steps - n_warmup)"),
        ],
        "half a cosine over all steps, so that it starts below 1 behind the warm-up": [
            ("(step - n_warmup) / (n_steps - n_warmup)", "step / n_steps"),
        ],
        "a restart: a whole cosine, up again at the end": [
            ("math.cos(math.pi * progress)", "math.cos(2 * math.pi * progress)"),
        ],
        "down in a straight line": [("(1 + math.cos(math.pi * progress)) / 2", "1 - progress")],
        "a quarter of a cosine": [
            ("(1 + math.cos(math.pi * progress)) / 2", "math.cos(math.pi * progress / 2)"),
        ],
        "no warm-up": [("return step / n_warmup", "return 1.0")],
        "a cosine that goes below 0": [
            ("(1 + math.cos(math.pi * progress)) / 2", "math.cos(math.pi * progress)"),
        ],
        "the end where the warm-up's length is left out": [
            ("(n_steps - n_warmup)", "n_steps"),
        ],
    },
    "EarlyStopping": {
        "equal taken for better": [
            ("sign * value > sign * self.best_value", "sign * value >= sign * self.best_value"),
        ],
        "a loss taken for an accuracy: higher is better": [("-1 if self.lower_is_better else 1", "1")],
        "an accuracy taken for a loss: lower is better": [("-1 if self.lower_is_better else 1", "-1")],
        "the last weights kept: they were not copied": [("copy.deepcopy(weights)", "weights")],
        "a copy of the dictionary, not of the weights in it": [
            ("copy.deepcopy(weights)", "dict(weights)"),
        ],
        "an epoch too early": [("self.n_waited >= self.patience", "self.n_waited >= self.patience - 1")],
        "an epoch too late": [("self.n_waited >= self.patience", "self.n_waited > self.patience")],
        "epochs without improvement counted in all, not in a row": [
            ("            self.n_waited = 0\n        else", "        else"),
        ],
        "compared with the epoch before, not with the best": [
            ("        else:\n            self.n_waited += 1",
             "        else:\n            self.best_value = value\n            self.n_waited += 1"),
        ],
        "never stops": [("return self.n_waited >= self.patience", "return False")],
        "the first epoch's weights kept for ever": [
            ("self.best_value, self.best_weights = value, copy.deepcopy(weights)",
             "self.best_value = value\n            self.best_weights = self.best_weights or copy.deepcopy(weights)"),
        ],
    },
}  # fmt: skip
