"""Whatever a person gives that cannot be used ends in one clear line and exit code 2.

A table: a command, what makes the file that it is given, and words of the line. {made} is that
file, {photos} a catalogue that can be used, {photo} one of its photos, {gallery} a gallery of it,
{run} an empty folder for results.
"""

import argparse
import io
import json
import os
import pickle
import re
import shlex
import shutil
import socket
import struct

from common.gallery.files import DESCRIPTION as GALLERY_FILE
from common.gallery.files import write_named
from common.models.backbones import SmallCNN, load_backbone
from common.models.heads import EmbeddingHead, Recogniser, linear_classifier
from common.models.storage import save_recogniser
from common.own_files import checksum, note, release
from common.runs import start_run

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from script_runs import load_main, load_script, refusal_of

LOOK, BASELINE = "week1/look_at_data", "week1/baseline_cnn"
TRANSFER, COMPARE = "week2/transfer_learning", "week3/compare_approaches"
EXPORT, METRIC = "week2/export_onnx", "week3/metric_learning"
FINE, COUNT = "week2/fine_tuning", "week3/count_animals"
BUILD, IDENTIFY = "week3/build_gallery", "week3/identify"

# ---- Flags: read before anything is opened -----------------------------------------------------

FLAGS = [
    (f"{LOOK} --no_such_flag", "--no_such_flag"),
    (f"{LOOK} --seed minus_one", "--seed: found 'minus_one'"),
    (f"{LOOK} --seed -1", "--seed: found '-1', expected a whole number from 0"),
    (f"{LOOK} --seed 1e3", "--seed"),
    (f"{LOOK} --seed", "--seed: found no value"),
    (f"{LOOK} --seed 99999999999", "--seed"),
    (f"{LOOK} --data_dir ''", "--data_dir: found ''"),
    (f"{LOOK} --data_dir nowhere", "--data_dir: found 'nowhere', which does not exist"),
    (f"{LOOK} --data_dir '~nobody_here/photos'", "--data_dir"),
    (f"{LOOK} --data_dir . --dataset NyalaData", "--data_dir"),
    (f"{LOOK} --output_dir ''", "--output_dir"),
    ("week2/compare_architectures --weights small_cnn=nowhere.pth", "does not exist"),
    (f"week2/compare_architectures --weights lite={__file__}", "is not compared"),
    (f"{LOOK} --smoke --clock_offset 1:00,2:00", "2 offsets of 1 cameras"),
    (f"{LOOK} --output_dir {'x' * 300}", "--output_dir: found 'xxx"),
    (f"{LOOK} photos", "found photos"),
    (f"{LOOK} --smoke --clock_offset 9999999:00", "of less than a million hours"),
    (f"{EXPORT} --trained README.md --epochs 5", "--trained: found beside --epochs"),
    (f"{FINE} --plan 0:1 --epochs 5", "--plan: found beside --epochs"),
    (f"{FINE} --plan=0:1 --unfreeze=3", "--plan: found beside --unfreeze"),
    (f"{FINE} --plan 0:1 --strategy full", "--plan: found beside --strategy"),
    (f"{FINE} --strategy freeze --unfreeze 3", "--strategy: found beside --unfreeze"),
    (f"{FINE} --plan ''", "--plan: found an empty text"),
    (f"week3/compare_rankings --trained {__file__} --image_size 64", "--trained: found beside"),
    (f"{BUILD} --trained {__file__} --weights none", "--weights: found without --model"),
    (f"{BUILD} --remove anna --data_dir .", "--remove: found beside --data_dir"),
    (f"{COUNT} --simulate 9 --occasion day", "--simulate: found beside --occasion"),
    (f"{COUNT} . --simulate 9", "TABLE: found . beside --simulate"),
    (f"{BASELINE} --epochs 0", "--epochs"),
    (f"{BASELINE} --epochs 1000000", "--epochs"),
    (f"{BASELINE} --epochs ٣x", "--epochs"),
    (f"{BASELINE} --epoch 3", "did you mean --epochs?"),
    (f"{BASELINE} --bach_size 8", "did you mean --batch_size?"),
    (f"{BASELINE} --batch_size 0", "--batch_size"),
    (f"{BASELINE} --batch_size 1", "--batch_size: found '1', expected a whole number from 2"),
    (f"{BASELINE} --batch_size 1.5", "--batch_size"),
    (f"{METRIC} --batch_size 1", "--batch_size: found '1'"),
    (f"{COMPARE} --batch_size 1", "--batch_size: found '1'"),
    (f"{BASELINE} --learning_rate 0", "--learning_rate"),
    (f"{BASELINE} --learning_rate nan", "--learning_rate"),
    (f"{BASELINE} --learning_rate 1e9", "--learning_rate"),
    (f"{BASELINE} --learning_rate 0,001", "--learning_rate"),
    (f"{BASELINE} --image_size 8", "--image_size"),
    (f"{BASELINE} --image_size 99999", "--image_size"),
    (f"{BASELINE} --image_size 64x64", "--image_size"),
    (f"{BASELINE} --device toaster", "--device"),
    (f"{BASELINE} --device cuda:x", "--device"),
    (f"{TRANSFER} --model ''", "--model"),
    ("week2/fine_tuning --mixed_precision fp8", "found 'fp8', expected one of"),
    (f"{TRANSFER} --weights ''", "--weights"),
    (f"{METRIC} --loss hinge", "--loss: found 'hinge', expected one of"),
    (f"{METRIC} --photos_per_identity 3", "has no say in --loss arcface"),
    (f"{METRIC} --margin -1", "--margin"),
    (f"{METRIC} --margin 361", "--margin"),
    (f"{METRIC} --scale 0", "--scale"),
    (f"{METRIC} --photos_per_identity 1", "--photos_per_identity"),
    (f"{METRIC} --embedding_size 1", "--embedding_size"),
    (f"{METRIC} --pooling max", "--pooling"),
    (f"{METRIC} --mine nowhere.py", "--mine"),
    (f"{COMPARE} --seeds 1,1", "--seeds: found '1,1', expected different values"),
    (f"{COMPARE} --seeds one", "--seeds"),
    (f"{COMPARE} --seeds 0,,1", "--seeds"),
    (f"{COMPARE} --unfreeze -1", "--unfreeze"),
    (f"{COMPARE} --n_enrolled 0", "--n_enrolled"),
    (f"{BUILD} --index annoy", "--index: found 'annoy', expected one of"),
    (f"{BUILD} --recall 1.1", "--recall"),
    (f"{BUILD} --add", "--data_dir"),
    (f"{BUILD} --join", "--rename OLD NEW"),
    (f"{BUILD} --rename anna", "--rename: found another number of values, expected 2"),
    (f"{BUILD} --remove ''", "--remove"),
    (f"{BUILD} --remove anna --replace", "--replace"),
    (f"{BUILD} --model small_cnn --trained {__file__}", "--trained"),
    (f"{BUILD} --trained nowhere.safetensors", "--trained"),
    (IDENTIFY, "PHOTO"),
    (f"{IDENTIFY} nowhere.jpg", "nowhere.jpg"),
    (f"{IDENTIFY} {{photo}} --false_match_rate 5", "--false_match_rate"),
    (f"{IDENTIFY} {{photo}} --k 0", "--k"),
]

# ---- What does not fit the data or the machine -------------------------------------------------

FITTING = [
    (f"{TRANSFER} --smoke --model resnet5000", "did you mean resnet"),
    (f"{TRANSFER} --smoke --model ResNet50", "did you mean resnet50,"),
    (f"{TRANSFER} --smoke --model efficientnet-lite0", "did you mean efficientnet_lite0,"),
    (f"{TRANSFER} --smoke --model Ω", "did you mean "),
    (f"{TRANSFER} --smoke --model resnet18.a9_in1k", "did you mean resnet18.a"),
    (f"{TRANSFER} --smoke --model local-dir:/tmp", "no such backbone"),
    (f"{TRANSFER} --smoke --model hf-hub:../../evil", "expected hf-hub:owner/model"),
    (f"{TRANSFER} --smoke --model hf-hub:owner/no--such", "hf-hub:owner/no--such"),
    (f"{TRANSFER} --smoke --model resnet50", "--weights FILE"),
    (f"{TRANSFER} --smoke --split alphabetical", "--split alphabetical"),
    (f"{TRANSFER} --smoke --split disjoint", "week3/compare_approaches.py"),
    (f"{TRANSFER} --smoke --split given", "--split"),
    (f"{TRANSFER} --smoke --split_column nothing", "nothing"),
    (f"{TRANSFER} --smoke --split_column side", "in column 'side'"),
    (f"{FINE} --smoke --model small_cnn --unfreeze 50", "--unfreeze 50"),
    (f"{FINE} --smoke --model small_cnn --plan 50:1", "small_cnn has"),
    (f"{TRANSFER} --smoke --device cuda:7", "--device cuda:7"),
    (f"{METRIC} --smoke --model small_cnn --loss triplet --batch_size 3", "--batch_size 3"),
    (f"{METRIC} --smoke --model small_cnn --unfreeze 50", "--unfreeze 50"),
    (
        f"{METRIC} --smoke --model vit_tiny_patch16_224 --weights none --pooling gem",
        "--pooling gem",
    ),
    (f"{METRIC} --smoke --loss arcface --margin 300", "--margin"),
    (f"{COMPARE} --smoke --model small_cnn --split random --n_enrolled 999999", "--n_enrolled"),
    (f"{EXPORT} --smoke --onnx {{photo}}", "--check IMAGE"),
    (f"{BUILD} --smoke --index ivfpq", "ivfpq"),
]

# ---- Photos and catalogues ---------------------------------------------------------------------


def text(name, content):
    """Makes a file of text, or of bytes."""

    def make(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        content_bytes = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(content_bytes)
        return folder / name

    return make


def photos(*names, **files):
    """Makes a folder with these photos; and a metadata.csv, where its text is given."""

    def make(folder):
        for i, name in enumerate(names):
            photo(folder / name, i)
        for name, content in files.items():
            text(f"{name}.csv", content)(folder)
        return folder

    return make


def photo(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def table(content):
    return photos("a.jpg", "b.jpg", "c.jpg", metadata=content)


def damaged_photos(folder):
    for name in ("anna", "berta"):
        text(f"{name}/a.jpg", b"\xff\xd8 cut off")(folder)
    return folder


def a_folder_named_metadata(folder):
    (folder / "metadata.csv").mkdir()
    return folder


def nowhere(folder):
    return folder / "gone" / "photos.csv"


ONE = "anna/1.jpg"
CATALOGUES = [
    ("an empty folder", photos(), "0 photos"),
    ("a text file", text("notes.txt", "turtles"), "notes.txt"),
    ("an archive", text("photos.zip", b"PK\3\4"), "photos.zip"),
    ("one animal", photos(ONE, "anna/2.jpg"), "1 known animal (anna)"),
    ("one animal in a folder above", photos("x/anna/1.jpg", "x/anna/2.jpg"), "1 known animal"),
    ("damaged photos alone", damaged_photos, "photos of 0 animals"),
    ("one animal's photos whole", lambda folder: photo(damaged_photos(folder) / ONE).parents[1],
     "photos of 1 animal"),
    ("a split beside animals", photos("train/anna/1.jpg", "test/anna/2.jpg", "berta/1.jpg"),
     "berta"),
    ("a folder named metadata.csv", a_folder_named_metadata, "metadata.csv"),
    ("an empty table", table(""), "metadata.csv"),
    ("a table of line ends", table("\n\n\n"), "metadata.csv"),
    ("headers only", table("path,identity\n"), "0 photos"),
    ("no header", table("a.jpg,anna\nb.jpg,berta\n"), "expected also path"),
    ("no identity column", table("path,colour\na.jpg,green\n"), "identity"),
    ("no path column", table("identity,date\nanna,2020-01-01\n"), "path"),
    ("two identity columns",
     table("path,identity,identity\na.jpg,anna,anna\nb.jpg,carla,dora\n"), "identity"),
    ("a name without an end", table(f"path,identity\na.jpg,anna\nb.jpg,{'b' * 40_000}\n"),
     "row 3, identity: found a name of 40,000 letters (bbb"),
    ("an encounter without an end",
     table(f"path,identity,encounter\na.jpg,anna,1\nb.jpg,bo,{'e' * 300}\n"), "row 3"),
    ("a path without an end", table(f"path,identity\n{'a' * 40_000},anna\n"), "row 2, path"),
    ("two names for the path", table("file,image,identity\na.jpg,b.jpg,anna\n"), "file and image"),
    ("photos that are not there", table("path,identity\nx.jpg,anna\ny.jpg,berta\n"), "cannot be"),
    ("one animal in a table", table("path,identity\na.jpg,anna\nb.jpg,anna\n"),
     "photos of 1 known animal (anna), expected at least 2; write the names of others"),
    ("a photo of two animals", table("path,identity\na.jpg,anna\na.jpg,berta\n"), "a.jpg"),
    ("all unknown", table("path,identity\na.jpg,unknown\nb.jpg,unknown\n"), "0 known animals"),
    ("an id used twice",
     table("path,identity,image_id\na.jpg,anna,1\nb.jpg,berta,1\n"), "image_id"),
    ("bytes of a spreadsheet", photos("a.jpg", metadata=b"PK\3\4\xff\xfe\x81"), "metadata.csv"),
    ("a quote without an end", table('path,identity\n"a.jpg,anna\nb.jpg,berta\n'), "metadata.csv"),
]  # fmt: skip
QUERIES = [
    ("a folder without photos", photos(), "no photo"),
    ("a text", text("notes.txt", "turtle"), "notes.txt"),
    ("no bytes", text("a.jpg", b""), "a.jpg"),
    ("a header alone", text("a.jpg", b"\xff\xd8\xff\xe0"), "a.jpg"),
    ("text named JPEG", text("a.jpg", "no photo"), "a.jpg"),
    ("an HTML page named PNG", text("a.png", "<html>"), "a.png"),
    ("a PNG cut off",
     lambda folder: text("b.png", photo(folder / "a.png").read_bytes()[:200])(folder / "x"),
     "b.png"),
    ("a folder of damaged photos", lambda folder: damaged_photos(folder) / "anna", "a.jpg"),
]  # fmt: skip

# ---- Model files -------------------------------------------------------------------------------


class Payload:
    """Would write a file beside itself, were it ever unpickled."""

    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return (open, (self.place, "w"))


def torch_file(content, name="weights.pth"):
    """Makes a .pth of what a function of the whole state dict gives."""

    def make(folder):
        torch.save(content(SmallCNN().state_dict()), folder / name)
        return folder / name

    return make


def with_payload(write, name):
    def make(folder):
        (folder / name).write_bytes(write(Payload(folder / "executed")))
        return folder / name

    return make


def zipped(payload):
    file = io.BytesIO()
    torch.save({"state_dict": payload}, file)
    return file.getvalue()


FIRST = "blocks.0.0.weight"
WEIGHTS = [
    ("missing", nowhere, "no such file"),
    ("a folder", photos(), "is a folder"),
    ("a device", lambda _: "/dev/zero", "is a pipe, a socket or a device"),
    ("no bytes, .pth", text("w.pth", b""), "is empty"),
    ("no bytes, .pt", text("w.pt", b""), "w.pt"),
    ("no bytes, .safetensors", text("w.safetensors", b""), "w.safetensors"),
    ("a text", text("w.pth", "weights\n"), "(cut off, or of another kind)"),
    ("zeros", torch_file(lambda state: {key: 0 * state[key] for key in state}), "but zeros"),
    ("a text named safetensors", text("w.safetensors", "weights of a turtle\n"), "w.safetensors"),
    ("half a zip", text("w.pth", b"PK\3\4garbage"), "w.pth"),
    ("a pickle of a list", text("w.pth", pickle.dumps([1, 2], protocol=2)), "w.pth"),
    ("a pickle that runs", with_payload(pickle.dumps, "w.pth"), "weights alone"),
    ("a pickle that runs, .pt", with_payload(pickle.dumps, "w.pt"), "weights alone"),
    ("a pickle that runs, no ending", with_payload(pickle.dumps, "w"), "weights alone"),
    ("a zip that runs", with_payload(zipped, "w.pth"), "weights alone"),
    ("a whole module", torch_file(lambda _: SmallCNN()), "torch.save(model.state_dict()"),
    ("a list of tensors", torch_file(lambda state: list(state.values())), "no state dict"),
    ("a tensor", torch_file(lambda state: state[FIRST]), "no state dict"),
    ("nothing", torch_file(lambda _: None), "no state dict"),
    ("numbers by name", torch_file(lambda _: {"loss": 0.5}), "no state dict"),
    ("an empty state dict", torch_file(lambda _: {"state_dict": {}}), "no state dict"),
    ("numbers as names", torch_file(lambda state: dict(enumerate(state.values()))), "no state"),
    ("pairs as names",
     torch_file(lambda state: {(key, 1): each for key, each in state.items()}), "no state dict"),
    ("one name is a number",
     torch_file(lambda state: {key if i else 7: state[key] for i, key in enumerate(state)}),
     "another architecture"),
    ("a tensor is missing",
     torch_file(lambda state: {key: state[key] for key in list(state)[:-4]}), "is not in it"),
    ("a stage more", torch_file(lambda state: state | {"blocks.4.0.weight": torch.ones(2)}),
     "blocks.4.0.weight is no part of small_cnn"),
    ("another shape",
     torch_file(lambda state: state | {FIRST: torch.zeros(32, 1, 3, 3)}), "shape (32, 1, 3, 3)"),
    ("whole numbers", torch_file(lambda state: state | {FIRST: state[FIRST].int()}), "torch.int32"),
    ("no number", torch_file(lambda state: state | {FIRST: state[FIRST] / 0}), FIRST),
    ("complex numbers",
     torch_file(lambda state: state | {FIRST: state[FIRST].cfloat()}), "complex64"),
    ("sparse", torch_file(lambda state: state | {FIRST: state[FIRST].to_sparse()}), FIRST),
    ("another network", torch_file(lambda _: {"fc.weight": torch.ones(2, 2)}), "holds 1 tensors"),
]  # fmt: skip


def header(content, data=b"\0" * 8, length=None):
    """Makes a safetensors file of any header, true or not."""
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    size = struct.pack("<Q", len(content) if length is None else length)
    return text("lies.safetensors", size + content + data)


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HEADERS = [
    ("a header of exabytes", header({"a": TENSOR}, length=2**62)),
    ("a header longer than the file", header({"a": TENSOR}, length=10_000)),
    ("a header that is no JSON", header(b"{" * 50)),
    ("a deep header", header(b"[" * 100_000)),
    ("a header that is a list", header([1, 2])),
    ("more numbers than bytes", header({"a": TENSOR | {"shape": [2_000_000_000]}})),
    ("offsets behind the end", header({"a": TENSOR | {"data_offsets": [0, 10**12]}})),
    ("offsets backwards", header({"a": TENSOR | {"data_offsets": [8, 0]}})),
    ("tensors that overlap", header({"a": TENSOR, "b": TENSOR})),
    ("a negative shape", header({"a": TENSOR | {"shape": [-2]}})),
    ("an unknown kind of number", header({"a": TENSOR | {"dtype": "F31"}})),
]
NOBODY = {"similarities": [], "right_place": [], "animal": [], "is_known": []}
SCORES = {"photos": NOBODY, "encounters": NOBODY, "source": "no photos"}
# Of a model that says what it is; each changes the description of one that is whole.
DESCRIPTIONS = [
    ("a hub's backbone", {"backbone": "hf-hub:owner/model"}, "hf-hub:owner/model"),
    ("a hub's backbone elsewhere", {"backbone": "hf-hub:../../x/y"}, "hf-hub:../../x/y"),
    ("a folder's backbone", {"backbone": "local-dir:{folder}"}, "local-dir:"),
    ("no such backbone", {"backbone": "turtlenet"}, "turtlenet"),
    ("a number for a backbone", {"backbone": 7}, "description"),
    ("another backbone", {"backbone": "resnet18"}, "cannot be built as it says"),
    ("a side of billions", {"image_size": 10**10}, "description"),
    ("no side", {"image_size": None}, "description"),
    ("another pooling", {"pooling": "max"}, "description"),
    ("another head", {"head": "decision tree"}, "description"),
    ("a wide head", {"embedding_dim": 10**12}, "description"),
    ("a head of negative width", {"embedding_dim": -1}, "description"),
    ("a head of another width", {"embedding_dim": 5}, "cannot be built as it says"),
    ("a text for animals", {"identities": "anna"}, "description"),
    ("numbers for animals", {"identities": [1, 2]}, "description"),
    ("a classifier", {"head": "classifier"}, "is a classifier"),
    ("no scores", {"scores": None}, "does not say what validation photos got"),
    ("a list for scores", {"scores": []}, "description"),
    ("no kinds of scores", {"scores": {}}, "validation photos is damaged"),
    ("scores without questions", {"scores": {"photos": {}, "source": "x"}}, "is damaged"),
    ("scores of fewer", {"scores": SCORES | {"photos": NOBODY | {"animal": [1]}}}, "animal of"),
    ("no fields", "{}", "no model that this course saved"),
    ("no description", None, "no model that this course saved"),
    ("a list for a description", "[1]", "no model that this course saved"),
    ("half a description", '{"backbone": ', "no model that this course saved"),
]  # fmt: skip

# ---- Galleries ---------------------------------------------------------------------------------


def changed(edit):
    """Changes the description of a whole gallery."""

    def make(folder):
        described = json.loads((folder / GALLERY_FILE).read_text())
        described = edit(described, folder) or described
        (folder / GALLERY_FILE).write_text(json.dumps(described))

    return make


def part(name, write):
    """Puts another file, whose checksum is right, in the place of a gallery's part."""
    return changed(
        lambda described, folder: described["files"].update(
            {name: write_named(folder, name, write)}
        )
    )


def of_objects(path):
    array = np.empty(1, dtype=object)
    array[0] = Payload(path.parent / "executed")
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=True)


def lying_array(path):
    with path.open("wb") as file:
        fields = {"descr": "<f4", "fortran_order": False, "shape": (10**12, 256)}
        np.lib.format.write_array_header_1_0(file, fields)


def damage(pattern):
    def make(folder):
        file = next(folder.glob(pattern))
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 255]))

    return make


GALLERIES = [
    ("a folder without one", lambda folder: shutil.rmtree(folder), "no gallery"),
    ("no description", lambda folder: (folder / GALLERY_FILE).unlink(), "no gallery"),
    ("an empty description", text(GALLERY_FILE, ""), "no whole gallery"),
    ("a description of bytes", text(GALLERY_FILE, b"\xff\xfe\x00"), "no whole gallery"),
    ("a description that is a list", text(GALLERY_FILE, "[]"), "no whole gallery"),
    ("another format", changed(lambda described, _: described | {"format": 99}), "format is 99"),
    ("no files", changed(lambda described, _: described | {"files": {}}), "no whole gallery"),
    ("files by number", changed(lambda described, _: described | {"files": [1]}), "no whole"),
    ("a file elsewhere",
     changed(lambda described, _: described["files"].update(facts="../../etc/passwd")), "no whole"),
    ("a damaged embedding", damage("indexed-*"), "damaged"),
    ("damaged facts", damage("facts-*"), "damaged"),
    ("a damaged network", damage("model-*"), "damaged"),
    ("a file that is missing", lambda folder: next(folder.glob("recent-*")).unlink(), "no whole"),
    ("embeddings that run", part("indexed", of_objects), "no whole gallery"),
    ("marks that run", part("kept", of_objects), "no whole gallery"),
    ("an array that lies", part("indexed", lying_array), "no whole gallery"),
    ("recent photos that lie", part("recent", lying_array), "no whole gallery"),
    ("no array", part("recent", lambda path: path.write_text("none")), "no whole gallery"),
    ("facts that are a list", part("facts", lambda path: path.write_text("[]")), "no whole"),
    ("facts of fewer photos",
     part("facts", lambda path: path.write_text('{"identity": []}')), "no whole gallery"),
    ("an index that is none", part("index", lambda path: path.write_bytes(b"IxF2")), "no whole"),
    ("no network", changed(lambda described, _: described["files"].pop("model") and described),
     "without its network"),
]  # fmt: skip
CHANGES = [
    (f"{BUILD} --output_dir {{gallery}} --remove nobody", "no animal of this gallery is named"),
    (f"{BUILD} --output_dir {{gallery}} --remove ann", "near it: anna"),
    (f"{BUILD} --output_dir {{gallery}} --rename nobody carla", "nobody"),
    (f"{BUILD} --output_dir {{gallery}} --rename anna berta", "--join"),
    (f"{BUILD} --output_dir {{gallery}} --rename anna anna", "nothing to do"),
    (f"{BUILD} --output_dir {{gallery}} --rename anna anna --join", "nothing to do"),
    (f"{BUILD} --output_dir {{gallery}} --move {{photo}} anna", "nothing to do"),
    (f"{BUILD} --output_dir {{gallery}} --rename ANNA ida", "near it: anna"),
    (f"{BUILD} --output_dir {{gallery}} --rename anna 'unknown 2'", "--keep_names"),
    (f"{BUILD} --output_dir {{gallery}} --rename anna 'ID unknown'", "--keep_names"),
    (f"{BUILD} --output_dir {{gallery}} --rename anna 'New individual 3'", "--keep_names"),
    (f"{BUILD} --output_dir {{gallery}} --rename anna 'b\u0435rta'", "looks the same"),
    (f"{BUILD} --output_dir {{gallery}} --rename anna 'd\u03bfra'", "looks the same"),
    (f"{BUILD} --output_dir {{gallery}} --forget ''", "--forget: found an empty text"),
    (f"{BUILD} --output_dir {{gallery}} --move {{photo}} ''", "--move: found an empty text"),
    (f"{LOOK} --output_dir {{run}} --data_dir {{gallery}}", "pictures of a gallery"),
    (f"{LOOK} --output_dir {{run}} --data_dir {{gallery}}/pictures", "pictures of a gallery"),
    (f"{IDENTIFY} {{gallery}} --gallery {{gallery}} --output_dir {{run}}", "pictures of a gallery"),
    (f"{LOOK} --data_dir {{photos}} --output_dir {{gallery}}", "holds a gallery"),
    (f"{IDENTIFY} {{photo}} --gallery {{gallery}} --trained {{photos}}", "which is a folder"),
    (f"{BUILD} --output_dir {{gallery}} --add --model small_cnn --data_dir {{photos}}", "--model"),
    (f"{BUILD} --output_dir {{gallery}} --data_dir {{photos}} --model small_cnn", "--replace"),
    (f"{BUILD} --output_dir {{run}} --remove anna", "holds no gallery"),
    (f"{BUILD} --output_dir {{run}} --data_dir {{photos}}", "--trained FILE"),
    (f"{IDENTIFY} {{photo}} --gallery nowhere", "nowhere holds no gallery"),
    (f"{IDENTIFY} {{photo}} --gallery {{gallery}} --side topleft", "expected one of dorsal, left"),
    (f"{IDENTIFY} {{photo}} --gallery {{gallery}} --trained {{photo}}", "no model that"),
]

# ---- The tests ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def usable(tmp_path_factory):
    """A catalogue of four animals, the path of one photo, and a gallery of them."""
    folder = tmp_path_factory.mktemp("usable")
    lines = ["path,identity,date,side"]
    for i, name in enumerate(["anna", "berta", "carla", "dora"] * 4):
        photo(folder / "photos" / name / f"{i}.jpg", i)
        lines.append(f"{name}/{i}.jpg,{name},2024-0{1 + i // 4}-01,{'dorsal' if i < 4 else 'left'}")
    text("photos/metadata.csv", "\n".join(lines))(folder)
    flags = ["--data_dir", str(folder / "photos"), "--output_dir", str(folder / "gallery")]
    load_main(BUILD)([*flags, "--model", "small_cnn", "--weights", "none", "--image_size", "32"])
    return folder


@pytest.fixture(scope="module")
def trained(usable):
    """The network of the gallery as an embedding with scores; also without its description."""
    torch.manual_seed(0)
    model = Recogniser(load_backbone("small_cnn", image_size=32), EmbeddingHead(256))
    save_recogniser(model, usable / "model.safetensors", ["anna"], SCORES)
    return usable / "model.safetensors"


def refused(command, words, usable, tmp_path, capsys, made=""):
    """Check the one line that a command of the table ends with."""
    places = {"photos": usable / "photos", "photo": usable / "photos/anna/0.jpg", "made": made}
    places |= {"gallery": usable / "gallery", "run": tmp_path / "run"}
    script, *flags = [word.format(**places) for word in shlex.split(command)]
    before = contents(usable)

    line = refusal_of(script, capsys, *flags)

    assert line.startswith("error: ")
    assert words in line
    assert "expected" in line or "did you mean" in line, line
    assert re.search(r"[;:?] (--)?\w", line.removeprefix("error: ")), line  # what to do
    assert len(line) < 700
    assert line.isprintable()
    assert before == contents(usable)
    assert not list(tmp_path.rglob("executed"))


def contents(folder):
    return {path: path.read_bytes().rstrip() for path in folder.rglob("*") if path.is_file()}


def rows(entries):
    """Parameters, whose ids are their names."""
    return [pytest.param(*entry[1:], id=entry[0]) for entry in entries]


@pytest.mark.parametrize(("command", "words"), [pytest.param(*row, id=row[0]) for row in FLAGS])
def test_an_absurd_flag_is_named(command, words, usable, tmp_path, capsys):
    refused(command, words, usable, tmp_path, capsys)


@pytest.mark.parametrize(("command", "words"), [pytest.param(*row, id=row[0]) for row in FITTING])
def test_what_does_not_fit_is_named(command, words, usable, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    command += " --data_dir {photos} --output_dir {run}"
    refused(command, words, usable, tmp_path, capsys)


@pytest.mark.parametrize(("make", "words"), rows(CATALOGUES))
def test_photos_that_cannot_be_used_are_named(make, words, usable, tmp_path, capsys):
    (tmp_path / "data").mkdir()

    command = f"{LOOK} --data_dir {{made}} --output_dir {{run}}"
    refused(command, words, usable, tmp_path, capsys, make(tmp_path / "data"))


UNNAMED = [  # which look_at_data shows, and nobody can learn from
    ("photos without animals", photos("a.jpg", "b.jpg"), "none in a folder per animal"),
    ("a memory card", photos("DCIM/100CANON/a.jpg", "DCIM/101CANON/b.jpg"), "is a memory card"),
]


@pytest.mark.parametrize(("make", "words"), rows(UNNAMED))
def test_photos_without_names_are_refused_for_training(make, words, usable, tmp_path, capsys):
    (tmp_path / "data").mkdir()

    command = f"{BASELINE} --data_dir {{made}} --output_dir {{run}}"
    refused(command, words, usable, tmp_path, capsys, make(tmp_path / "data"))


@pytest.mark.parametrize(("make", "words"), rows(QUERIES))
def test_a_question_without_a_photo_is_named(make, words, usable, tmp_path, capsys):
    (tmp_path / "data").mkdir()

    command = f"{IDENTIFY} {{made}} --gallery {{gallery}} --output_dir {{run}}"
    refused(command, words, usable, tmp_path, capsys, make(tmp_path / "data"))


@pytest.mark.parametrize(
    ("make", "words"), rows(WEIGHTS) + rows([(*entry, "lies.safetensors") for entry in HEADERS])
)
def test_weights_that_cannot_be_used_are_named(make, words, usable, tmp_path, capsys):
    (tmp_path / "data").mkdir()

    command = (
        f"{TRANSFER} --smoke --model small_cnn --weights {{made}} --data_dir {{photos}} "
        "--output_dir {run}"
    )
    refused(command, words, usable, tmp_path, capsys, make(tmp_path / "data"))


@pytest.mark.parametrize(("change", "words"), rows(DESCRIPTIONS))
def test_a_model_that_lies_about_itself_is_named(
    change, words, usable, trained, tmp_path, capsys, monkeypatch
):
    def no_network(*_, **__):
        raise AssertionError("a file's own words reached the hub")

    monkeypatch.setattr("socket.create_connection", no_network)
    monkeypatch.setattr("common.models.backbones._is_hub_in_reach", no_network)
    save_described(trained, change, tmp_path / "changed.safetensors")

    command = f"{BUILD} --trained {{made}} --data_dir {{photos}} --output_dir {{run}}"
    refused(command, words, usable, tmp_path, capsys, tmp_path / "changed.safetensors")


def save_described(trained, change, file):
    """A model with another description: some fields changed, another text, or none."""
    described = {
        "backbone": "small_cnn", "image_size": 32, "pooling": "average", "head": "embedding",
        "embedding_dim": None, "hidden": None, "dropout": 0, "identities": ["anna"],
        "scores": SCORES,
    }  # fmt: skip
    if isinstance(change, dict):
        text_of_it = json.dumps(described | change).replace("{folder}", str(file.parent))
    else:
        text_of_it = change
    metadata = None if text_of_it is None else {"recogniser": text_of_it}
    save_file(load_file(trained), file, metadata=metadata)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_model_without_numbers_is_named(number, usable, trained, tmp_path, capsys):
    model = Recogniser(load_backbone("small_cnn", image_size=32), linear_classifier(256, 2))
    model.head.bias.data[:] = number
    save_recogniser(model, tmp_path / "nan.safetensors", ["anna", "berta"])

    command = f"{EXPORT} --smoke --trained {{made}} --data_dir {{photos}} --output_dir {{run}}"
    refused(command, "head.bias", usable, tmp_path, capsys, tmp_path / "nan.safetensors")


@pytest.mark.parametrize(("make", "words"), rows(GALLERIES))
def test_a_gallery_that_cannot_be_used_is_named(make, words, usable, tmp_path, capsys):
    place = shutil.copytree(usable / "gallery", tmp_path / "changed")
    make(place)

    command = f"{IDENTIFY} {{photo}} --gallery {{made}} --output_dir {{run}}"
    refused(command, words, usable, tmp_path, capsys, place)


@pytest.mark.parametrize(("command", "words"), [pytest.param(*row, id=row[0]) for row in CHANGES])
def test_a_change_that_cannot_be_made_is_named(
    command, words, usable, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    refused(command, words, usable, tmp_path, capsys)


@pytest.mark.parametrize("script", [LOOK, IDENTIFY, BUILD])
def test_results_of_another_script_are_not_replaced(script, usable, tmp_path, capsys):
    name = "compare_losses.py"
    run = start_run(f"week3/{name}", argparse.Namespace(output_dir=tmp_path / "run"))
    text("run/checkpoints/a.pt", b"hours")(tmp_path)
    note(run.checkpoint("a").with_name("a.pt"), checksum(tmp_path / "run/checkpoints/a.pt"))
    release(run.folder)
    before = contents(tmp_path)
    flags = {LOOK: "", IDENTIFY: "{photo} --gallery {gallery}", BUILD: "--model small_cnn"}
    flags[LOOK] = flags[BUILD] = f"{flags[script]} --data_dir {{photos}}"

    command = f"{script} {flags[script]} --output_dir {{run}}"
    refused(command, "holds the results of compare_losses", usable, tmp_path, capsys)

    assert before == contents(tmp_path)


@pytest.mark.parametrize(
    "pattern", ["gallery.json", "facts-*", "model-*", "changes.jsonl", "written.jsonl"]
)
@pytest.mark.parametrize("kind", ["pipe", "folder", "socket"])
def test_no_command_waits_for_what_lies_in_a_gallerys_files_place(
    pattern, kind, usable, tmp_path, capsys, monkeypatch
):
    place = shutil.copytree(usable / "gallery", tmp_path / "changed")
    file = next(place.glob(pattern))
    file.unlink()
    if kind == "socket":
        monkeypatch.chdir(place)  # a socket's name holds about 100 letters
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(file.name)
    else:
        os.mkfifo(file) if kind == "pipe" else file.mkdir()

    command = f"{BUILD} --output_dir {{made}} --rename anna ida"
    refused(command, "", usable, tmp_path, capsys, place)


@pytest.mark.parametrize("name", ["report.html", "result.json"])
def test_a_gallerys_report_with_a_persons_words_stays_and_stops_nothing(name, usable, tmp_path):
    place = shutil.copytree(usable / "gallery", tmp_path / "changed")
    with (place / name).open("a") as file:
        file.write("seen by Ida")
    before = (place / name).read_bytes()

    for new in ("ida", "anna"):
        old = "anna" if new == "ida" else "ida"
        load_main(BUILD)(["--output_dir", str(place), "--rename", old, new])

    assert (place / name).read_bytes() == before
    assert len(list(place.glob(f"{name.split('.')[0]}_*"))) == 1


def test_words_that_find_no_room_are_said(usable, monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        line = refusal_of(BUILD, capsys, "--output_dir", usable / "gallery", "--list")

    assert "not all words could be printed (No space left on device)" in line


def test_a_file_in_the_place_of_the_results_is_named(usable, tmp_path, capsys):
    command = f"{LOOK} --data_dir {{photos}} --output_dir {{made}}"
    refused(command, "taken", usable, tmp_path, capsys, text("taken", "")(tmp_path))


def test_one_damaged_photo_is_reported_and_left_out(tmp_path, capsys):
    data = photos("anna/1.jpg", "anna/2.jpg", "berta/1.jpg", "berta/2.jpg")(tmp_path / "data")
    text("anna/bad.jpg", b"\xff\xd8 cut off")(data)

    load_main(LOOK)(["--data_dir", str(data), "--output_dir", str(tmp_path / "run")])

    printed = capsys.readouterr().out
    assert "bad.jpg" in printed
    assert "left out" in printed


PARSERS = {name: load_script(name).parse_args for name in (LOOK, METRIC, COMPARE, BUILD, IDENTIFY)}
FLAG_NAMES = "--data_dir --seed --epochs --batch_size --learning_rate --model --split --add --k --x"
VALUES = st.one_of(st.text(max_size=8), st.integers().map(str), st.floats().map(str))


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(sorted(PARSERS)),
    st.lists(st.sampled_from(FLAG_NAMES.split()) | VALUES, max_size=6),
)
def test_any_line_of_flags_is_read_or_refused_in_one_line(name, words):
    errors = io.StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stderr", errors)
        patched.setattr("sys.stdout", io.StringIO())
        try:
            PARSERS[name](words)
            code = 0
        except SystemExit as ending:
            code = ending.code
    lines = errors.getvalue().splitlines()
    assert (code, lines) == (0, []) or code == 2
    assert code == 0 or [line[:7] for line in lines] == ["error: "]
