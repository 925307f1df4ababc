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
# # Week 1: a baseline, and how to distrust it
#
# **Question.** Given a photo of an animal, which individual is it? And how far can the number be
# trusted that says how well we do?
#
# This notebook walks through `week1/README.md` with the functions of the week's scripts. It takes
# about six minutes on two cores. The README explains each word; the scripts show each line.

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
import common
from common.data.images import (
    PhotoDataset,
    Preprocessing,
    evaluation_transform,
    read_photos,
    training_transform,
)
from common.machine.device import pick_device
from common.measures.intervals import bootstrap_over_individuals
from common.splits.study import open_study
from common.visualization.curves import training_curves

import pandas as pd
import torch
from IPython.display import Image
from torch import nn

ROOT, OUT = Path(common.__file__).resolve().parents[1], Path("runs", "notebook_week1")
sys.path.append(str(ROOT / "week1"))

import baseline_cnn
import look_at_data

# %% [markdown]
# ## Look before you train
#
# One row is one photo. An *encounter* is one meeting with an animal: its photos share light, water
# and pose.

# %%
args = baseline_cnn.parse_args(FLAGS)
study = open_study(args)
catalogue = study.catalogue
catalogue.table[["identity", "encounter", "date", "orientation", "path"]].head()

# %%
looked = look_at_data.main([*FLAGS, "--output_dir", str(OUT / "look")])
Image(OUT / "look" / "contact_sheet.png")

# %% [markdown]
# ## What a split gives away
#
# The last two columns say which share of the test photos has a training photo of the same animal
# from the same encounter, or from the same day. Which split would you trust?

# %%
splits, reasons = look_at_data.compare_splits(
    catalogue, list(look_at_data.COMPARED), {}, split_column=None, seed=args.seed
)
splits

# %% [markdown]
# ## The network
#
# A photo goes in as 3 colours of 64 x 64 pixels. Each block halves height and width and looks for
# more patterns. The last layer gives one score per animal.

# %%
torch.manual_seed(args.seed)
network = baseline_cnn.small_cnn(len(catalogue.identities))
photo = torch.zeros(1, 3, args.image_size, args.image_size)
for layer in network:
    photo = layer(photo)
    n_weights = sum(weights.numel() for weights in layer.parameters())
    print(f"{type(layer).__name__:20}{n_weights:>9,} weights  gives {tuple(photo.shape)}")

# %% [markdown]
# ## One step by hand
#
# Before training all animals are about equally likely, so that the first loss is near the logarithm
# of their number. One step on one batch makes it smaller for these photos.

# %%
preprocessing = Preprocessing(
    args.image_size, mean=baseline_cnn.HALF_RANGE, std=baseline_cnn.HALF_RANGE
)
pixels = read_photos(catalogue.paths(), preprocessing.stored_size)
plain = evaluation_transform(preprocessing)
rows = {part: study.rows_known(part) for part in ("train", "validation", "test")}
parts = {part: PhotoDataset(pixels[own], study.labels[own], plain) for part, own in rows.items()}

images, labels = zip(*(parts["train"][i] for i in range(16)), strict=True)
batch = [(torch.stack(images), torch.as_tensor(labels))]
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.AdamW(network.parameters(), lr=args.learning_rate)
print("logarithm of the number of animals:", torch.tensor(len(catalogue.identities)).log().item())
for step in range(3):
    loss, share = baseline_cnn.train_epoch(network, batch, criterion, optimizer)
    print(f"step {step}: loss {loss:.3f}, {share:.0%} of the batch right")

# %% [markdown]
# ## Train
#
# The same step for all batches, again and again. Validation photos choose the epoch.

# %%
torch.manual_seed(args.seed)
device = pick_device(args.device)
network = baseline_cnn.small_cnn(len(catalogue.identities)).to(device)
views = training_transform(preprocessing, flip=not catalogue.has_sides)
photos = PhotoDataset(parts["train"].photos, parts["train"].labels, views, args.seed)
history = baseline_cnn.train(network, photos, parts["validation"], args)
FIGURES = OUT / "figures"
FIGURES.mkdir(parents=True, exist_ok=True)
Image(training_curves(history, FIGURES / "curves.png"))

# %% [markdown]
# ## Ask the test photos, once
#
# The interval comes from drawing *animals* again, not photos: photos of one animal succeed and fail
# together.

# %%
report = baseline_cnn.ask(network, parts["test"], catalogue.identities, device, {})
accuracy = bootstrap_over_individuals(report.is_correct, report.labels)
print("accuracy:", accuracy.text())
print(f"balanced accuracy: {report.balanced_accuracy:.3f}")

# %%
recall = pd.DataFrame(report.per_identity).T.sort_values("recall", ascending=False)
recall

# %% [markdown]
# ## The same question, asked in a flattering way
#
# Now the split is random: most test photos have a neighbour from their own encounter in training.
# How much of the gain is knowledge of the animal?

# %%
random = baseline_cnn.main([*FLAGS, "--split", "random", "--output_dir", str(OUT / "random")])
print("later days:  ", accuracy.text())
print(f"random split: {100 * random['metrics']['test']['accuracy']:.1f} %")

# %% [markdown]
# ## Your turn
#
# Copy `week1/exercises.py` to `my_week1.py`, write the functions, and let the tests of the week say
# how far you are: `pytest tests/week1 --mine my_week1.py`. Then
# `python week1/baseline_cnn.py --mine my_week1.py` trains with your loop.
