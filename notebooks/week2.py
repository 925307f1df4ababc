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
# # Week 2: borrow what another network knows
#
# **Question.** What do features learned on ImageNet bring for animals that were never among its
# photos, and how are they best adapted?
#
# This notebook walks through `week2/README.md` with the functions of the week's scripts. It takes
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
import common
from common import compare_runs
from common.data.images import PhotoDataset, evaluation_transform, read_photos
from common.models.backbones import load_backbone
from common.models.extraction import extract
from common.models.freezing import stages_of
from common.splits.study import open_study
from common.visualization.curves import rate_curves

import pandas as pd
import torch
from IPython.display import Image
from torch import nn

ROOT, OUT = Path(common.__file__).resolve().parents[1], Path("runs", "notebook_week2")
sys.path.append(str(ROOT / "week2"))

import fine_tuning
import transfer_learning

# %% [markdown]
# ## A backbone: photo in, features out
#
# The network has seen a million photos of other things. Without its last layer it turns a photo
# into a vector, its *features*.

# %%
args = transfer_learning.parse_args(FLAGS)
study = open_study(args)
catalogue = study.catalogue
backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
preprocessing = backbone.preprocessing
pixels = read_photos(catalogue.paths()[:8], preprocessing.stored_size)
photos = PhotoDataset(pixels, study.labels[:8], evaluation_transform(preprocessing))
extract(backbone, photos, device=torch.device("cpu"), progress=False).shape

# %%
pd.DataFrame(
    [
        {
            "stage": stage.index,
            "weights": sum(
                backbone.network.get_parameter(name).numel() for name in stage.parameter_names
            ),
        }
        for stage in stages_of(backbone)
    ]
)

# %% [markdown]
# ## Freeze it, and put a new head on it
#
# With `freeze` only the head learns. A new head with small weights finds all animals about equally
# likely.

# %%
head = transfer_learning.new_head(backbone.n_features, len(catalogue.identities))
model = nn.Sequential(backbone, head)
transfer_learning.freeze(model, 0)
counts = {
    "learns": sum(each.numel() for each in model.parameters() if each.requires_grad),
    "rests": sum(each.numel() for each in model.parameters() if not each.requires_grad),
}
print(counts)
images = torch.stack([photos[i][0] for i in range(len(photos))])
with torch.no_grad():
    print("largest score of 8 photos:", model.eval()(images).abs().max().item())

# %% [markdown]
# ## Transfer learning
#
# What is frozen gives the same for a photo in every epoch, so that it is computed once.

# %%
transfer = transfer_learning.main([*FLAGS, "--output_dir", str(OUT / "transfer_learning")])
Image(OUT / "transfer_learning" / "curves.png")

# %% [markdown]
# ## How fast, and who
#
# Rates rise in a straight line, so that the optimiser gets to know its gradients, and fall along
# half a cosine. Early stages, which hold edges and colours, take smaller steps.

# %%
n_steps, n_warmup = 100, 10
shares = [
    {"share of the peak": fine_tuning.rate_at(step, n_steps, n_warmup)}
    for step in range(1, n_steps + 1)
]
FIGURES = OUT / "figures"
FIGURES.mkdir(parents=True, exist_ok=True)
Image(rate_curves(shares, FIGURES / "one_schedule.png"))

# %%
fine_tuning.free_last_stages(backbone, 3)
groups = fine_tuning.rate_groups(fine_tuning.parts_of(backbone), head, 1e-3, 2e-3, 0.7, 1e-2)
pd.DataFrame(
    [
        {"rate": group["lr"], "weights": sum(each.numel() for each in group["params"])}
        for group in groups
    ]
)

# %% [markdown]
# ## Fine-tuning
#
# The head first, then the last stages, then everything.

# %%
tuned = fine_tuning.main([*FLAGS, "--output_dir", str(OUT / "fine_tuning")])
Image(OUT / "fine_tuning" / "curves.png")

# %% [markdown]
# ## Did it help?
#
# Both runs answered the same photos, so that they can be compared photo by photo. Where the
# interval of the difference spans zero, nothing can be told.

# %%
compared = compare_runs.main([str(OUT / "transfer_learning"), str(OUT / "fine_tuning")])

# %% [markdown]
# ## Your turn
#
# Copy `week2/exercises.py` to `my_week2.py`, write the functions, and ask
# `pytest tests/week2 --mine my_week2.py`. Then `python week2/fine_tuning.py --mine my_week2.py`
# trains with your rates. The second notebook of this week, `week2_analysis.ipynb`, looks into
# several runs at once.
