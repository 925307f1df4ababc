"""The case studies run on tiny noise, keep their recipes' numbers, and refuse what is no data."""

import hashlib
import io
import json
import os
import pickle
from types import SimpleNamespace

from common.data.cifar10 import read_cifar10
from common.data.class_folders import draw_noise_photos
from common.ending import run_script
from common.experiments.experiment import Experiment
from common.models.storage import load_recogniser
from common.training import recipes

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from script_runs import load_main
from torch import nn
from torchvision.datasets import CIFAR10

CIFAR, DOGS, CATS, PETS, TWO = (
    f"week2/case_studies/{name}"
    for name in ("cifar10_resnet34", "stanford_dogs", "cats_convnext", "oxford_pets",
                 "cats_vs_dogs")
)  # fmt: skip
SCRIPTS = (CIFAR, DOGS, CATS, PETS, TWO)
PHOTOS = {
    DOGS: ["n01-beagle", "Boxer", "toy_poodle", "pug"],
    PETS: ["Maine Coon", "beagle", "pug"],
    TWO: ["Cat", "Dog"],
}


def module_of(script):
    return SimpleNamespace(**load_main(script).__globals__)


def jpeg_copies(folder, n_train=40, n_test=20, **more):
    """An .npz of JPEG pictures in ten colours."""
    rng, arrays = np.random.default_rng(0), {}
    for part, n in (("train", n_train), ("test", n_test)):
        files, labels = [], np.arange(n) % 10
        for label in labels:
            pixels = (20 * label + rng.integers(0, 40, (32, 32, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(buffer := io.BytesIO(), format="JPEG")
            files.append(buffer.getvalue())
        arrays[f"{part}_bytes"] = np.frombuffer(b"".join(files), dtype=np.uint8)
        arrays[f"{part}_offsets"] = np.cumsum([0, *map(len, files)])
        arrays[f"{part}_labels"] = labels.astype(np.uint8)
    names = np.array([f"class {i}" for i in range(10)])
    folder.mkdir(exist_ok=True)
    np.savez(folder / "copies.npz", **{**arrays, "class_names": names, **more})
    return folder


@pytest.fixture(scope="module")
def runs(turtles, tmp_path_factory):
    """Each script's smoke run, once: its result, its folder, what it trained with."""
    done = {}

    def run(script):
        if script not in done:
            done[script] = smoke(script, turtles, tmp_path_factory.mktemp("case"))
        return done[script]

    return run


def smoke(script, turtles, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.data.class_folders.SMOKE_FOLDER", folder / "photos")
        if script == CIFAR:
            data = jpeg_copies(folder / "data")
        else:
            data = turtles if script == CATS else draw_noise_photos(PHOTOS[script])
        seen = watch_training(patch)
        flags = ["--smoke", "--data_dir", str(data), "--output_dir", str(folder / "run")]
        return load_main(script)(flags), folder / "run", seen


def watch_training(patch):
    """Note what reaches the training loop, and the experiments, while they do their work."""
    seen = SimpleNamespace(fits=[], experiments=[])
    fit, approach = recipes.fit, Experiment.approach

    def noting_fit(model, criterion, dataset, groups, settings, **options):
        facts = SimpleNamespace(
            model=model, criterion=criterion, settings=settings, options=options,
            groups=[(group["lr"], group["weight_decay"]) for group in groups],
            trains=sum(len(group["params"]) for group in groups), n=len(dataset),
        )  # fmt: skip
        seen.fits.append(facts)
        return fit(model, criterion, dataset, groups, settings, **options)

    def noting_approach(experiment, *arguments, **options):
        seen.experiments.append(experiment)
        return approach(experiment, *arguments, **options)

    patch.setattr(recipes, "fit", noting_fit)
    patch.setattr(Experiment, "approach", noting_approach)
    return seen


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_smoke_run_returns_what_it_stores(script, runs):
    result, folder, _ = runs(script)

    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result
    for name in result["figures"].values():
        assert (folder / name).is_file()
    assert not list(folder.glob("*.pt"))


def refused(script, *flags, capsys):
    """The one line that the script ends with."""
    with pytest.raises(SystemExit) as ending:
        run_script(lambda: load_main(script)([str(flag) for flag in flags]))
    assert ending.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    return line


@pytest.mark.parametrize(
    ("script", "source"),
    [(CIFAR, "cs.toronto.edu"), (DOGS, "ImageNetDogs/images.tar"), (PETS, "robots.ox.ac.uk"),
     (TWO, "microsoft.com")],
)  # fmt: skip
def test_missing_data_is_said_in_one_line_with_its_source(script, source, tmp_path, capsys):
    line = refused(script, "--output_dir", tmp_path / "run", capsys=capsys)

    assert "--data_dir" in line
    assert source in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_folder_without_photos_is_said_in_one_line(script, tmp_path, capsys):
    (tmp_path / "data").mkdir()

    line = refused(
        script, "--smoke", "--data_dir", tmp_path / "data", "--output_dir", tmp_path / "run",
        capsys=capsys,
    )  # fmt: skip

    assert str(tmp_path / "data") in line
    assert "photo" in line


# CIFAR-10


@pytest.mark.parametrize("stem", ["new", "cropped"])
def test_the_stem_keeps_all_pixels(stem):
    network = timm.create_model("resnet34", num_classes=0)
    middle = network.conv1.weight.detach()[:, :, 2:5, 2:5].clone()

    module_of(CIFAR).remake_stem(network, stem)

    assert network.conv1.weight.shape == (64, 3, 3, 3)
    assert isinstance(network.maxpool, nn.Identity)
    with torch.no_grad():
        stem_output = network.maxpool(network.conv1(torch.zeros(1, 3, 32, 32)))
    assert stem_output.shape == (1, 64, 32, 32)
    assert torch.equal(network.conv1.weight, middle) == (stem == "cropped")


def test_the_cifar_recipes_numbers_reach_the_loop(runs):
    result, _, seen = runs(CIFAR)

    head, everything = seen.fits
    for fit in seen.fits:
        assert fit.settings.optimizer == "sgd"
        assert (fit.settings.clip_norm, fit.settings.warmup_epochs) == (1.0, 0)
        assert fit.criterion.label_smoothing == 0.1
        assert fit.options["choose_by"] == "validation_loss"
    dropout, linear = head.model[1]
    assert (dropout.p, linear.in_features, linear.out_features) == (0.2, 512, 10)
    assert (head.settings.schedule, head.settings.patience) == ("constant", None)
    assert head.groups == [(0.01, 5e-4)]  # with its bias
    assert head.trains == 2
    assert everything.settings.schedule == "cosine"
    assert (everything.settings.final_rate, everything.settings.patience) == (1e-6, 15)
    assert set(everything.groups) == {(0.001, 5e-4), (0.01, 5e-4)}
    assert everything.trains == len(list(everything.model.parameters()))
    rates = [row["learning_rate"] for row in result["metrics"]["trials"][0]["history"]]
    assert rates == pytest.approx([0.01, 1e-6])


def test_the_cifar_flags_say_what_the_recipe_says():
    args = module_of(CIFAR).parse_args([])

    assert (args.head_epochs, args.epochs, args.batch_size) == (8, 100, 128)
    head, everything = module_of(CIFAR).recipe_of(args)
    assert (head.n_trainable, head.epochs) == (0, 8)
    assert (everything.n_trainable, everything.epochs) == (None, 100)


def test_the_cifar_test_pictures_choose_nothing(runs):
    _, _, seen = runs(CIFAR)

    questions = seen.experiments[0].questions
    train, validation = set(questions.train), set(questions.validation)
    assert max(train | validation) < 40  # the training part comes first
    assert list(questions.test) == list(range(40, 60))
    assert not train & validation
    assert len(validation) > 0
    assert seen.fits[0].n == len(train)


def test_jpeg_copies_are_named_beside_the_figures(runs):
    result, _, _ = runs(CIFAR)

    assert any("JPEG copies" in note for note in result["notes"])
    for title in [*result["figures"], *result["tables"]]:
        assert "JPEG copies" in title


def test_a_test_loss_is_that_of_the_smoothed_criterion(runs):
    result, _, seen = runs(CIFAR)

    assert seen.fits[0].criterion.label_smoothing == 0.1
    assert result["metrics"]["test_losses"][0] == pytest.approx(np.log(10), abs=0.5)


class Trap:
    """A pickle that makes a folder when it is opened."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_pickle_that_is_not_the_published_one_is_never_opened(tmp_path, capsys):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(pickle.dumps(Trap(tmp_path / "opened")))

    line = refused(CIFAR, "--data_dir", tmp_path, "--output_dir", tmp_path / "o", capsys=capsys)

    assert "can be trusted" in line
    assert not (tmp_path / "opened").exists()


def test_published_files_are_read_with_the_training_part_first(tmp_path, monkeypatch):
    folder, sums = tmp_path / "cifar-10-batches-py", {}
    folder.mkdir()
    contents = {"train": {"data": np.full((2, 3072), 7, np.uint8), "labels": [1, 0]},
                "test": {"data": np.full((1, 3072), 9, np.uint8), "labels": [1]},
                "meta": {"label_names": ["cat", "dog"]}}  # fmt: skip
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR10, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test", sums["test"]]])
    meta = {"filename": "meta", "key": "label_names", "md5": sums["meta"]}
    monkeypatch.setattr(CIFAR10, "meta", meta)

    pictures = read_cifar10(tmp_path)

    assert pictures.pixels[:, 0, 0, 0].tolist() == [7, 7, 9]
    assert pictures.labels.tolist() == [1, 0, 1]
    assert (pictures.n_train, pictures.names, pictures.note) == (2, ["cat", "dog"], "")


def test_a_pickle_in_an_npz_is_never_opened(tmp_path, capsys):
    trap = np.array([Trap(tmp_path / "opened")], dtype=object)
    data = jpeg_copies(tmp_path / "data", 10, 10, class_names=trap)

    line = refused(CIFAR, "--data_dir", data, "--output_dir", tmp_path / "o", capsys=capsys)

    assert "no file of JPEG copies" in line
    assert not (tmp_path / "opened").exists()


def too_large(folder):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(buffer := io.BytesIO(), format="JPEG")
    content = np.frombuffer(buffer.getvalue(), dtype=np.uint8)
    one = {"test_bytes": content, "test_offsets": np.array([0, len(content)])}
    return jpeg_copies(folder, **one, test_labels=np.array([0], dtype=np.uint8))


def cut_off(folder):
    file = jpeg_copies(folder) / "copies.npz"
    file.write_bytes(file.read_bytes()[:-400])
    return folder


def empty_file(folder):
    folder.mkdir()
    (folder / "copies.npz").write_bytes(b"")
    return folder


def a_single_array(folder):
    folder.mkdir()
    with (folder / "copies.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    return folder


def too_few_labels(folder):
    return jpeg_copies(folder, test_labels=np.zeros(3, dtype=np.uint8))


def a_label_without_a_name(folder):
    return jpeg_copies(folder, 10, 10, class_names=np.array(["cat", "dog"]))


@pytest.mark.parametrize(
    "make", [too_large, cut_off, empty_file, a_single_array, too_few_labels, a_label_without_a_name]
)
def test_copies_that_cannot_be_used_are_said_in_one_line(make, tmp_path, capsys):
    line = refused(
        CIFAR, "--data_dir", make(tmp_path / "data"), "--output_dir", tmp_path / "o", capsys=capsys
    )

    assert "copies.npz" in line


# Stanford Dogs


@pytest.mark.parametrize(
    ("path", "breed"),
    [("n02088364-beagle/a.jpg", "beagle"), ("Images/n02106662-German_shepherd/a.jpg",
     "german_shepherd"), ("miniature_poodle/deeper/a.jpg", "poodle"), ("golden retriever/a.jpg",
     "golden_retriever"), ("pug/a.jpg", None), ("beagle.jpg", None)],
)  # fmt: skip
def test_a_breed_is_found_in_a_folders_name(path, breed):
    module = module_of(DOGS)

    assert module.breed_finder(module.BREEDS)(path) == breed


def test_the_dog_recipes_numbers_reach_the_loop(runs):
    result, _, seen = runs(DOGS)

    rates = [sorted({rate for rate, _ in fit.groups}) for fit in seen.fits]
    assert rates == [[1e-3], [1e-4], [1e-5]]
    assert all(fit.settings.optimizer == "adam" for fit in seen.fits)
    assert all(fit.settings.schedule == "plateau" for fit in seen.fits)
    assert all(fit.criterion.label_smoothing == 0 for fit in seen.fits)
    assert seen.fits[0].trains < seen.fits[1].trains < seen.fits[2].trains
    assert len(result["tables"]["Each breed"]) == 3 * 3  # pugs were passed over


def test_the_dog_flags_say_what_the_recipe_says():
    module = module_of(DOGS)
    plans = module.plans_of(module.parse_args([]), "resnet50")

    steps = {name: plan[0] for name, plan in plans.items()}
    assert {name: step.n_trainable for name, step in steps.items()} == {
        "freeze": 0, "partial": 2, "full": None
    }  # fmt: skip
    assert [step.epochs for step in steps.values()] == [15, 15, 20]
    assert module.plans_of(module.parse_args([]), "efficientnet_b0")["partial"][0].n_trainable == 1


def test_the_caveat_is_printed_and_stored(runs):
    result, _, _ = runs(DOGS)

    assert any("no proof of transfer" in note for note in result["notes"])


@pytest.mark.slow
def test_a_model_without_weights_is_a_row_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("common.data.class_folders.SMOKE_FOLDER", tmp_path)

    result = load_main(DOGS)(
        [
            "--smoke",
            "--models",
            "efficientnet_lite0,resnet50",
            "--output_dir",
            str(tmp_path / "run"),
        ]
    )

    table = next(iter(result["tables"].values()))
    assert [row["model"] for row in table] == ["efficientnet_lite0"] * 3 + ["resnet50"]
    assert "skipped" in table[3]["strategy"]
    assert any("not in reach" in note for note in result["notes"])


def test_a_model_that_does_not_exist_is_no_row_but_an_error(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("common.data.class_folders.SMOKE_FOLDER", tmp_path)

    line = refused(
        DOGS, "--smoke", "--models", "efficientnet_lite0,resnet5000", "--output_dir",
        tmp_path / "run", capsys=capsys,
    )  # fmt: skip

    assert "no such backbone" in line


# Individual cats


def test_the_ways_of_naming_cats_share_photos_and_epochs(runs):
    result, folder, seen = runs(CATS)

    (table,) = [rows for title, rows in result["tables"].items() if title.startswith("Test")]
    assert [row["name"] for row in table] == [
        "fine-tuned in stages", "head alone", "from scratch", "Siamese network"
    ]  # fmt: skip
    assert len({fit.n for fit in seen.fits}) == 1
    assert [fit.settings.epochs for fit in seen.fits] == [1, 1, 2, 2, 2]
    assert load_recogniser(folder / "model.safetensors")[1]


def test_rare_cats_are_drawn_as_often_as_common_ones(runs):
    _, _, seen = runs(CATS)

    experiment = seen.experiments[0]
    shares = seen.fits[0].options["batch_sampler"].shares
    labels = experiment.classed.labels[experiment.questions.train]
    drawn = np.bincount(labels, weights=shares)
    assert drawn[drawn > 0] == pytest.approx(np.full(np.sum(drawn > 0), 1 / np.sum(drawn > 0)))


def test_the_stages_of_the_cats_get_slower():
    module = module_of(CATS)
    args = module.parse_args(["--full_epochs", "5"])

    head, last, everything = module.plan_of_stages(args)

    assert [step.n_trainable for step in (head, last, everything)] == [0, 2, None]
    assert (head.rates.head, last.rates.head, last.rates.backbone) == (1e-3, 1e-3, 5e-5)
    assert (everything.rates.head, everything.rates.backbone) == pytest.approx((2e-4, 1e-5))
    assert all(step.settings == {"patience": 5} for step in (head, last, everything))


# Breeds of cats and dogs, and cats against dogs


def test_a_right_breed_is_a_right_family(runs):
    result, _, _ = runs(PETS)

    (table,) = [rows for title, rows in result["tables"].items() if title.startswith("Test")]
    assert all(row["family"] >= row["breed"] for row in table)
    assert result["split"]["test"] == 3 * 2


@pytest.mark.parametrize(
    ("path", "breed"),
    [("oxford-iiit-pet/images/Maine_Coon_12.jpg", "maine_coon"), ("Maine Coon/12.jpg",
     "maine_coon"), ("oxford-iiit-pet/annotations/trimaps/Bengal_1.png", None),
     ("Bengal_1.jpg", "bengal")],
)  # fmt: skip
def test_a_breed_is_read_from_a_folder_or_a_published_file_name(path, breed):
    assert module_of(PETS).breed_of(path) == breed


def test_there_are_twelve_breeds_of_cats():
    assert len(module_of(PETS).CAT_BREEDS) == 12


def test_dogs_alone_have_no_second_family(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("common.data.class_folders.SMOKE_FOLDER", tmp_path)
    photos = draw_noise_photos(["beagle", "pug"], n_each=2)

    line = refused(PETS, "--data_dir", photos, "--output_dir", tmp_path / "o", capsys=capsys)

    assert "0 of its 2 folders" in line


def test_every_mistake_about_cats_and_dogs_is_counted(runs):
    result, _, _ = runs(TWO)

    metrics = result["metrics"]
    n_right = metrics["test"]["accuracy"] * metrics["test"]["n_images"]
    assert metrics["n_mistakes"] == metrics["test"]["n_images"] - round(n_right)
    assert ("The most confident mistakes" in result["figures"]) == (metrics["n_mistakes"] > 0)
