# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Week 2, analysis: what three ways to train have learned
#
# **Question.** Where do runs differ that look alike in one number? Learning curves, all
# experiments, who is taken for whom, each animal, and some answers.
#
# Three runs of `week2/fine_tuning.py` are made here, which takes about seven minutes on two cores.
# To look into runs of your own, name their folders in `RUNS`.

# %%
# In Colab: fetch the course and what it needs, which takes minutes. If Colab then asks to restart
# the session, do so, and run this cell again. On your own machine it does nothing.
import subprocess
import sys
from pathlib import Path

REPOSITORY = "https://github.com/OWNER/REPOSITORY.git"  # put the address of the course here
if "google.colab" in sys.modules:
    if not Path("course").is_dir():
        subprocess.run(["git", "clone", REPOSITORY, "course"], check=True)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "-r", "requirements.txt"]
    subprocess.run(install, cwd="course", check=True)
    sys.path.insert(0, str(Path("course").resolve()))

# %% tags=["parameters"]
FLAGS = []  # ["--smoke"]: a trial of seconds, whose numbers mean nothing

# %%
import json

import common
from common import compare_runs
from common.visualization.bars import interval_chart
from common.visualization.confusion import confusion_figure
from common.visualization.contact_sheet import contact_sheet
from common.visualization.curves import training_curves

import pandas as pd
from IPython.display import Image, display

ROOT, OUT = Path(common.__file__).resolve().parents[1], Path("runs", "notebook_week2_analysis")
sys.path.append(str(ROOT / "week2"))

import fine_tuning

RUNS = {name: OUT / name for name in ("freeze", "partial", "full")}
FIGURES = OUT / "figures"
FIGURES.mkdir(parents=True, exist_ok=True)

# %%
for name, folder in RUNS.items():
    fine_tuning.main([*FLAGS, "--strategy", name, "--output_dir", str(folder)])

# %%
results = {
    name: json.loads((folder / "result.json").read_text(encoding="utf-8"))
    for name, folder in RUNS.items()
}
answers = {name: compare_runs.read_run(folder).answers for name, folder in RUNS.items()}

# %% [markdown]
# ## Learning curves
#
# Does the training loss still fall where the validation accuracy has stopped rising? Then the
# network learns its training photos by heart.

# %%
for name, result in results.items():
    metrics = result["metrics"]
    path = FIGURES / f"curves_{name}.png"
    display(
        Image(
            training_curves(
                metrics["history"], path, title=name, chosen_epoch=metrics["best_epoch"]
            )
        )
    )

# %% [markdown]
# ## All experiments
#
# First these runs, each with its interval over animals; then what the course has stored: backbones
# and strategies with three seeds each.

# %%
title = "Test photos of known animals"
rows = [row for result in results.values() for row in result["tables"][title]]
table = pd.DataFrame(rows)
words = "accuracy on test photos"
Image(interval_chart(table, FIGURES / "runs.png", value="test", label="name", value_name=words))

# %%
table

# %%
for name in ("compare_strategies", "compare_architectures"):
    stored = json.loads((ROOT / "week2" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    title, rows = next(iter(stored["tables"].items()))
    print(f"{name}: {title}")
    display(pd.DataFrame(rows))

# %% [markdown]
# ## Is one better than another?
#
# The runs answered the same photos: their difference has an interval of its own.

# %%
first, second, third = (str(folder) for folder in RUNS.values())
compared = compare_runs.main([first, second])
compared = compare_runs.main([second, third])

# %% [markdown]
# ## Who is taken for whom
#
# Green cells are right answers, orange ones mistakes. An orange column is an animal that is named
# too often.

# %%
for name, asked in answers.items():
    identities = sorted({*asked["animal"], *asked["answered"]})
    counts = pd.crosstab(asked["animal"], asked["answered"])
    counts = counts.reindex(index=identities, columns=identities, fill_value=0).to_numpy()
    path = FIGURES / f"confusion_{name}.png"
    display(Image(confusion_figure(counts, identities, path, title=name)))

# %% [markdown]
# ## Each animal
#
# Recall is the share of an animal's photos that are found, precision the share of its name that is
# right, F1 their harmonic mean. Which animals gain from training more of the network?

# %%
classes = {
    name: pd.DataFrame(result["tables"]["Each animal"]).set_index("identity")
    for name, result in results.items()
}
f1 = pd.DataFrame({name: each["F1"] for name, each in classes.items()})
f1["test photos"] = classes["full"]["support"]
f1.assign(gain=f1["full"] - f1["freeze"]).sort_values("gain", ascending=False)

# %% [markdown]
# ## Some answers
#
# Photos that every run names right, photos that only some do, and photos that none does; a caption
# says whom the last run took it for. What makes the hard ones hard?

# %%
right = pd.DataFrame({name: asked["right"] == "True" for name, asked in answers.items()})
n_right = right.sum(axis=1)
kinds = {
    "all right": n_right == len(RUNS),
    "some right": n_right.between(1, len(RUNS) - 1),
    "none right": n_right == 0,
}
some = answers["full"].assign(kind="")
for kind, is_kind in kinds.items():
    some.loc[is_kind, "kind"] = kind
some = some.sample(frac=1, random_state=0).groupby("kind").head(6).sort_values("kind")
study = fine_tuning.open_study(fine_tuning.parse_args(FLAGS))
photos = [study.catalogue.root / photo for photo in some["photo"]]
captions = [
    animal if animal == answered else f"{animal}, taken for {answered}"
    for animal, answered in zip(some["animal"], some["answered"], strict=True)
]
path = FIGURES / "answers.png"
Image(contact_sheet(photos, path, identities=some["kind"].tolist(), captions=captions))
