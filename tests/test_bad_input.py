"""Whatever a person gives that cannot be used ends in one clear line and exit code 2."""

import numpy as np
import pytest
from PIL import Image
from script_runs import load_main, refusal_of

LOOK, BASELINE = "week1/look_at_data", "week1/baseline_cnn"
TRANSFER, COMPARE = "week2/transfer_learning", "week3/compare_approaches"
BUILD, IDENTIFY = "week3/build_gallery", "week3/identify"

FLAGS = [
    (LOOK, ["--no_such_flag"], "no_such_flag"),
    (LOOK, ["--seed", "minus one"], "--seed"),
    (LOOK, ["--seed", "-1"], "--seed"),
    (LOOK, ["--data_dir", ""], "--data_dir"),
    (BASELINE, ["--epochs", "0"], "--epochs"),
    (BASELINE, ["--epochs", "1000000"], "--epochs"),
    (BASELINE, ["--epoch", "3"], "--epoch"),
    (BASELINE, ["--batch_size", "0"], "--batch_size"),
    (BASELINE, ["--batch_size", "1.5"], "--batch_size"),
    (BASELINE, ["--learning_rate", "0"], "--learning_rate"),
    (BASELINE, ["--learning_rate", "nan"], "--learning_rate"),
    (BASELINE, ["--learning_rate", "1e9"], "--learning_rate"),
    (BASELINE, ["--image_size", "8"], "--image_size"),
    (BASELINE, ["--image_size", "99999"], "--image_size"),
    (BASELINE, ["--device", "toaster"], "--device"),
    (BASELINE, ["--mixed_precision", "fp8"], "--mixed_precision"),
    (TRANSFER, ["--model", ""], "--model"),
    (COMPARE, ["--seeds", "1,1"], "--seeds"),
    (COMPARE, ["--seeds", "one"], "--seeds"),
    (COMPARE, ["--unfreeze", "-1"], "--unfreeze"),
    (COMPARE, ["--n_enrolled", "0"], "--n_enrolled"),
    (BUILD, ["--index", "annoy"], "--index"),
    (BUILD, ["--add"], "--data_dir"),
    (IDENTIFY, [], "PHOTO"),
    (IDENTIFY, [__file__, "--false_match_rate", "5"], "--false_match_rate"),
    (IDENTIFY, [__file__, "--gallery", "nowhere"], "nowhere holds no gallery"),
]


@pytest.mark.parametrize(("script", "flags", "word"), FLAGS)
def test_an_absurd_flag_is_named(script, flags, word, capsys):
    assert word in refusal_of(script, capsys, *flags)


LATER = [
    (TRANSFER, ["--smoke", "--model", "resnet5000"], "did you mean"),
    (TRANSFER, ["--smoke", "--weights", "nowhere.pth"], "nowhere.pth: no such file"),
    (TRANSFER, ["--smoke", "--split", "alphabetical"], "--split alphabetical"),
    (TRANSFER, ["--smoke", "--split", "disjoint"], "week3/compare_approaches.py"),
    (TRANSFER, ["--smoke", "--split", "given"], "--split"),
    (TRANSFER, ["--smoke", "--split_column", "nothing"], "nothing"),
    (TRANSFER, ["--smoke", "--device", "cuda:7"], "--device cuda:7"),
    (COMPARE, ["--smoke", "--unfreeze", "50"], "--unfreeze 50"),
    (COMPARE, ["--smoke", "--split", "random", "--n_enrolled", "999999"], "--n_enrolled"),
]


@pytest.mark.parametrize(("script", "flags", "words"), LATER)
def test_what_does_not_fit_the_data_or_the_machine_is_named(
    script, flags, words, turtles, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    line = refusal_of(script, capsys, "--data_dir", turtles, "--output_dir", tmp_path, *flags)

    assert words in line


def photo(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 40, 3), shade, dtype=np.uint8)).save(path)
    return path


def no_folder(folder):
    return folder / "nowhere"


def empty_folder(folder):
    return folder


def photos_without_identities(folder):
    photo(folder / "a.jpg")
    return folder


def one_animal_only(folder):
    photo(folder / "anna" / "a.jpg")
    return folder


def a_text_file(folder):
    (folder / "notes.txt").write_text("turtles", encoding="utf-8")
    return folder / "notes.txt"


def nothing_but_damaged_photos(folder):
    for name in ("anna", "berta"):
        (folder / name).mkdir()
        (folder / name / "a.jpg").write_bytes(b"\xff\xd8 cut off")
    return folder


def a_table(text):
    def write(folder):
        (folder / "metadata.csv").write_text(text, encoding="utf-8")
        return folder

    return write


FOLDERS = {
    "missing folder": no_folder,
    "empty folder": empty_folder,
    "photos without identities": photos_without_identities,
    "one animal only": one_animal_only,
    "a text file": a_text_file,
    "nothing but damaged photos": nothing_but_damaged_photos,
    "empty table": a_table(""),
    "headers only": a_table("path,identity\n"),
    "no identity column": a_table("path,colour\na.jpg,green\n"),
    "no path column": a_table("identity,date\nanna,2020-01-01\n"),
    "two identity columns": a_table("path,identity,identity\na.jpg,anna,berta\n"),
    "photos that are not there": a_table("path,identity\na.jpg,anna\nb.jpg,berta\n"),
    "the same photo twice": a_table("path,identity\na.jpg,anna\na.jpg,berta\n"),
    "all unknown": a_table("path,identity\na.jpg,unknown\nb.jpg,unknown\n"),
}


@pytest.mark.parametrize("make", FOLDERS.values(), ids=FOLDERS)
def test_photos_that_cannot_be_used_are_named(make, tmp_path, capsys):
    (tmp_path / "data").mkdir()

    line = refusal_of(
        LOOK, capsys, "--data_dir", make(tmp_path / "data"), "--output_dir", tmp_path / "run"
    )

    assert "error:" in line
    assert len(line) < 500


def test_a_file_in_the_place_of_the_results_is_named(turtles, tmp_path, capsys):
    (tmp_path / "taken").write_text("", encoding="utf-8")

    line = refusal_of(LOOK, capsys, "--data_dir", turtles, "--output_dir", tmp_path / "taken")

    assert "taken" in line


def test_one_damaged_photo_is_reported_and_left_out(tmp_path, capsys):
    for index, name in enumerate(["anna", "anna", "berta", "berta"]):
        photo(tmp_path / "data" / name / f"{index}.jpg", shade=40 * index)
    (tmp_path / "data" / "anna" / "bad.jpg").write_bytes(b"\xff\xd8 cut off")

    load_main(LOOK)(["--data_dir", str(tmp_path / "data"), "--output_dir", str(tmp_path / "run")])

    printed = capsys.readouterr().out
    assert "bad.jpg" in printed
    assert "left out" in printed
