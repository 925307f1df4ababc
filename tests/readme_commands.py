"""The commands of a README, and what stands in for a reader's own files when they are run."""

import re
import shlex
import shutil
from pathlib import Path

from common.data.catalogue import read_card
from common.data.photo_names import photo_name
from common.models.backbones import load_backbone
from common.models.heads import EmbeddingHead, Recogniser, linear_classifier
from common.models.onnx_export import export_onnx
from common.models.storage import load_recogniser, save_recogniser
from common.turtles.card import draw_card

import pytest
import timm
import torch
from script_runs import ROOT, load_main

FENCE = re.compile(r"```bash\n(.*?)```", re.DOTALL)


def commands_of(readme):
    """Every shell command of a README, continued lines joined."""
    text = "\n".join(FENCE.findall(readme.read_text(encoding="utf-8")))
    lines = text.replace("\\\n", " ").splitlines()
    return [part.strip() for line in lines for part in line.split("&&") if part.strip()]


def python_commands_of(readme):
    """Those that run a script."""
    return [command for command in commands_of(readme) if command.startswith("python week")]


def as_tests(commands):
    """The commands as parameters.

    Slow: one without flags, which is the script's own smoke run, and a script's second one.
    """
    words = [command.split() for command in commands]
    scripts = [script for _, script, *_ in words]
    return [
        pytest.param(command, marks=[pytest.mark.slow] * (not flags or script in scripts[:place]))
        for place, (command, (_, script, *flags)) in enumerate(zip(commands, words, strict=True))
    ]


def the_photos(folder, catalogue):
    return catalogue.root


def a_photo(folder, catalogue):
    return catalogue.paths()[0]


def a_classifier(folder, catalogue):
    head = linear_classifier(256, len(catalogue.identities))
    return _stored_model(folder / "classifier.safetensors", head, catalogue)


def an_embedding(folder, catalogue):
    return _stored_model(folder / "embedding.safetensors", EmbeddingHead(256), catalogue)


def an_onnx_file(folder, catalogue):
    model, identities = load_recogniser(a_classifier(folder, catalogue))
    export_onnx(model, folder / "model.onnx", identities)
    return folder / "model.onnx"


def resnet18_weights(folder, catalogue):
    from safetensors.torch import save_file

    save_file(timm.create_model("resnet18").state_dict(), folder / "resnet18.safetensors")
    return folder / "resnet18.safetensors"


def photos_of_one_animal(folder, catalogue):
    return catalogue.paths()[0].parent


def another_photo(folder, catalogue):
    return catalogue.paths()[1]


def a_published_split(folder, catalogue):
    """Photos with a column of their own for the split: every fourth photo of an animal is asked."""
    shutil.copytree(catalogue.root, folder, dirs_exist_ok=True)
    table = catalogue.table
    is_test = table.groupby("identity").cumcount() % 4 == 3
    table = table.assign(published=is_test.map({True: "test", False: "train"}))
    table.to_csv(folder / "published.csv", index=False)
    return folder / "published.csv"


def solutions_of_week_2(folder, catalogue):
    return ROOT / "week2" / "solutions.py"


def solutions_of_week_3(folder, catalogue):
    return ROOT / "week3" / "solutions.py"


def what_fine_tuning_left(folder, catalogue):
    backbone = load_backbone("efficientnet_lite0", image_size=32)
    head = linear_classifier(backbone.n_features, len(catalogue.identities))
    file = folder / "fine_tuned.safetensors"
    return save_recogniser(Recogniser(backbone, head), file, catalogue.identities)


def a_card(folder, catalogue):
    if not (folder / "card").exists():
        draw_card(folder / "card", folder / "truth.csv", 16, photo_size=64, progress=False)
    return folder / "card"


def an_answer(folder, catalogue):
    card = read_card(a_card(folder, catalogue))
    names = [f"photo-{photo_name(path)}" for path in card.paths()[:2]]
    row = ",".join([*names, "different", *card.table["path"][:2]])
    (folder / "answers.csv").write_text(f"first,second,answer,first_path,second_path\n{row}\n")
    return folder / "answers.csv"


def who_is_who(folder, catalogue):
    catalogue.table.to_csv(folder / "individuals.csv", index=False)
    return folder / "individuals.csv"


def no_gallery_yet(folder, catalogue):
    return folder / "gallery"


def _stored_model(path, head, catalogue):
    torch.manual_seed(0)
    model = Recogniser(load_backbone("small_cnn", image_size=32), head).eval()
    return save_recogniser(model, path, catalogue.identities)


# What a README calls it → (folder for new files, catalogue of few photos) to what stands in.
STAND_INS = {
    "path/to/dataset": the_photos,
    "path/to/your/animals": the_photos,
    "path/to/published.csv": a_published_split,
    "path/to/photo.jpg": a_photo,
    "path/to/model.safetensors": an_embedding,
    "path/to/model.onnx": an_onnx_file,
    "runs/fine_tuning/model.safetensors": what_fine_tuning_left,
    "path/to/resnet18.safetensors": resnet18_weights,
    "path/to/new/photos": the_photos,
    "path/to/photos": photos_of_one_animal,
    "path/to/a.jpg": a_photo,
    "path/to/b.jpg": another_photo,
    "path/to/card": a_card,
    "path/to/answers.csv": an_answer,
    "path/to/individuals.csv": who_is_who,
    "path/to/gallery": no_gallery_yet,
    "my_week2.py": solutions_of_week_2,
    "my_week3.py": solutions_of_week_3,
}


def stand_ins_for(commands, folder, catalogue, table=STAND_INS):
    """Make what the commands name, and nothing else; new files go to the folder."""
    files = r"path/to/[\w./]+|runs/fine_tuning/[\w.]+|my_week\d\.py"
    named = set(re.findall(files, " ".join(commands)))
    return {name: make(folder, catalogue) for name, make in table.items() if name in named}


def flags_of(command, stand_ins):
    """The command's script and flags, with the stand-ins.

    Case studies draw their own smoke photos: their --data_dir goes. Nothing is downloaded.
    """
    script, *flags = shlex.split(command, comments=True)[1:]
    for name, file in stand_ins.items():
        whole = re.compile(rf"{re.escape(name)}(?![\w./])")
        flags = [whole.sub(lambda _, file=file: str(file), flag) for flag in flags]
    flags = [flag for flag in flags if flag != "--download"]
    for index, flag in enumerate(flags):
        if flag.startswith("path/to/"):
            assert flags[index - 1] == "--data_dir", f"{command}: nothing stands in for {flag}"
            return script, flags[: index - 1] + flags[index + 1 :]
    return script, flags


def run_command(command, stand_ins, *more_flags):
    """Run a README's command as a smoke run in this process."""
    script, flags = flags_of(command, stand_ins)
    return load_main(str(Path(script).with_suffix("")))([*flags, "--smoke", *more_flags])
