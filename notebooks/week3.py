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
# # Week 3: one embedding, known and new animals
#
# **Question.** Can a network learn *likeness* in place of names, so that it also recognises animals
# that it was never trained on?
#
# This notebook walks through `week3/README.md` with the functions of the week's scripts. It takes
# about five minutes on two cores.

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
import math

import common
from common.gallery.embedding import embed
from common.models.storage import load_recogniser
from common.splits.questions import questions_of
from common.splits.study import open_study

import numpy as np
import pandas as pd
import torch
from IPython.display import Image

ROOT, OUT = Path(common.__file__).resolve().parents[1], Path("runs", "notebook_week3")
sys.path.append(str(ROOT / "week3"))

import build_gallery
import identify
import metric_learning

# %% [markdown]
# ## A margin on a circle
#
# Two animals have their centres at 0 and 90 degrees. A photo of the first lies at 40 degrees:
# nearer to its own centre, though not by much. The margin makes its own angle larger before scores
# are compared, so that it now *loses*: training has to pull it nearer.

# %%
angle = math.radians(40)
photo = torch.tensor([[math.cos(angle), math.sin(angle)]])
centres, label = torch.eye(2), torch.tensor([0])
for margin in (0.0, 0.3):
    logits = metric_learning.arcface_logits(photo, centres, label, margin=margin, scale=10)
    share = logits.softmax(dim=1)[0, 0].item()
    print(f"margin {margin} radians: probability of its own animal {share:.2f}")

# %% [markdown]
# ## Train an embedding
#
# ArcFace with the last stages of the backbone, three minutes. Look at the similarities: photos of
# one animal and of two animals part, for known animals more than for new ones.

# %%
learned = metric_learning.main([*FLAGS, "--output_dir", str(OUT / "metric_learning")])
Image(OUT / "metric_learning" / "curves.png")

# %%
Image(OUT / "metric_learning" / "matches_new.png")

# %% [markdown]
# ## Rank by hand
#
# Photos of animals that were never trained on ask the gallery. A photo of the query's own animal
# from its own encounter proves nothing, and is left out.

# %%
args = metric_learning.parse_args(FLAGS)
study = open_study(args)
questions = questions_of(study.catalogue, study.split)
model = OUT / "metric_learning" / "model.safetensors"
network, _ = load_recogniser(model)
embeddings = embed(network, study.catalogue.paths())

query, gallery = questions.unknown, np.union1d(questions.unknown, questions.searched)
identity = study.identity
encounter = study.catalogue.table["encounter"].to_numpy(dtype=str)
similarity = metric_learning.cosine_similarity(embeddings[query], embeddings[gallery])
keep = metric_learning.keep_mask(
    identity[query], encounter[query], identity[gallery], encounter[gallery]
)
is_match = keep & (identity[query][:, None] == identity[gallery])
cmc, average_precision = metric_learning.cmc_and_ap(np.where(keep, similarity, -np.inf), is_match)
print(f"right at rank 1: {cmc[0]:.3f}; among the first five: {cmc[4]:.3f}")
print(f"mean average precision: {average_precision.mean():.3f}")

# %% [markdown]
# ## Known or new?
#
# For each test photo, its most alike gallery photo. New animals have no photo there: their
# similarities should be lower. Where would you put the threshold?

# %%
asked = np.concatenate([questions.known, questions.unknown])
likeness = metric_learning.cosine_similarity(embeddings[asked], embeddings[questions.searched])
kinds = ["known"] * len(questions.known) + ["new"] * len(questions.unknown)
pd.DataFrame({"animal": kinds, "similarity": likeness.max(axis=1)}).groupby("animal").describe()

# %% [markdown]
# ## A gallery that answers in the field
#
# The gallery is one folder with the network, the embeddings and small pictures. Then a photo asks
# it: ranked animals, how probable each is, and a verdict.

# %%
flags = ["--trained", str(model), "--output_dir", str(OUT / "gallery"), "--replace"]
built = build_gallery.main([*FLAGS, *flags])

# %%
photo = study.catalogue.paths()[questions.known[0]]
flags = [str(photo), "--gallery", str(OUT / "gallery"), "--output_dir", str(OUT / "identify")]
answered = identify.main(flags)
Image(OUT / "identify" / "candidates.png")

# %% [markdown]
# This photo is in the gallery itself, so that it finds itself. Ask with a photo of your own, or
# leave an animal out with `build_gallery.py --remove`, to see an honest answer.
#
# ## Your turn
#
# Copy `week3/exercises.py` to `my_week3.py`, write the functions, and ask
# `pytest tests/week3 --mine my_week3.py`. Then
# `python week3/metric_learning.py --mine my_week3.py` trains with your margin.
