"""Flags, their checks, and the last line of a script."""

import argparse
import subprocess
import sys

from common import cli
from common.ending import run_script
from common.errors import InputError

import pytest

ALL_FLAGS = [
    "data_dir",
    "model",
    "weights",
    "freeze_backbone",
    "split",
    "split_column",
    "epochs",
    "batch_size",
    "learning_rate",
    "image_size",
    "seed",
    "seeds",
    "device",
    "mixed_precision",
    "output_dir",
    "smoke",
    "workers",
]


def parser_with(*names, **defaults):
    parser = cli.make_parser("What a script shows.")
    cli.shared_flags(parser, *names, **defaults)
    return parser


def test_every_promised_flag_exists_and_has_a_usable_default():
    args = parser_with(*ALL_FLAGS).parse_args([])

    assert sorted(vars(args)) == sorted([*ALL_FLAGS, "dataset", *cli.PHOTO_FLAGS])
    assert (args.device, args.split, args.seed, args.smoke) == ("auto", "auto", 0, False)


def test_a_script_gives_its_own_default_and_a_person_overrides_it():
    parser = parser_with("seed", epochs=7)

    assert parser.parse_args([]).epochs == 7
    assert parser.parse_args(["--epochs", "3"]).epochs == 3


@pytest.mark.parametrize(("typed", "frozen"), [([], True), (["--no_freeze_backbone"], False)])
def test_a_frozen_default_can_be_switched_off(typed, frozen):
    args = parser_with(freeze_backbone=True).parse_args(typed)

    assert args.freeze_backbone is frozen


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("epochs", "0"),
        ("epochs", "10001"),
        ("epochs", "2.5"),
        ("epochs", "many"),
        ("batch_size", "-1"),
        ("batch_size", "4097"),
        ("learning_rate", "0"),
        ("learning_rate", "-0.1"),
        ("learning_rate", "10.01"),
        ("learning_rate", "nan"),
        ("learning_rate", "inf"),
        ("image_size", "31"),
        ("image_size", "1025"),
        ("seed", "-1"),
        ("seed", str(2**31)),
        ("seeds", "0,1,1"),
        ("seeds", "0,,1"),
        ("device", "gpu"),
        ("device", "cuda:x"),
        ("mixed_precision", "fp8"),
        ("output_dir", ""),
        ("data_dir", " "),
        ("data_dir", "no_such_folder"),
        ("data_dir", "~nobody_of_this_name/photos"),
        ("model", ""),
        ("workers", "65"),
    ],
)
def test_a_bad_value_ends_with_exit_code_2_and_one_line_naming_the_flag(flag, value, capsys):
    parser = parser_with(flag)

    with pytest.raises(SystemExit) as ending:
        parser.parse_args([f"--{flag}={value}"])

    lines = capsys.readouterr().err.strip().splitlines()
    assert ending.value.code == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"error: --{flag}: found ")


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("epochs", "10000", 10_000),
        ("image_size", "32", 32),
        ("learning_rate", "10", 10.0),
        ("learning_rate", "1e-4", 1e-4),
        ("seed", str(2**31 - 1), 2**31 - 1),
        ("seeds", "3, 1,2", [3, 1, 2]),
        ("device", "CUDA:1", "cuda:1"),
        ("workers", "0", 0),
        ("weights", "imagenet", "imagenet"),
    ],
)
def test_the_limits_themselves_are_allowed(flag, value, expected):
    args = parser_with(flag).parse_args([f"--{flag}={value}"])

    assert getattr(args, flag) == expected


def test_a_path_starting_with_a_tilde_lies_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))

    args = parser_with("output_dir", "weights").parse_args(
        ["--output_dir", "~/results", "--weights", "~/w.pth"]
    )

    assert args.output_dir == tmp_path / "results"
    assert args.weights == str(tmp_path / "w.pth")


def test_a_shortened_flag_is_refused_not_guessed():
    with pytest.raises(SystemExit):
        parser_with("epochs").parse_args(["--epoch", "3"])


def test_an_unknown_name_is_a_fault_of_the_script():
    with pytest.raises(KeyError, match="epoch"):
        parser_with("epoch")


def test_help_shows_the_docstring_and_the_scripts_default(capsys):
    with pytest.raises(SystemExit) as ending:
        parser_with(epochs=7).parse_args(["--help"])

    shown = capsys.readouterr().out
    assert ending.value.code == 0
    assert "What a script shows." in shown
    assert "(default: 7)" in shown


def test_help_names_every_split(capsys):
    from common.splits.splits import SPLIT_NAMES

    with pytest.raises(SystemExit):
        parser_with("split").parse_args(["--help"])

    words = capsys.readouterr().out.replace(",", " ").split()
    assert set(SPLIT_NAMES) <= set(words)


def ending_of(main, capsys):
    with pytest.raises(SystemExit) as ending:
        run_script(main)
    return ending.value.code, capsys.readouterr().err.splitlines()


def test_an_input_error_ends_with_its_one_line_and_exit_code_2(capsys):
    def main():
        raise InputError("found 3 photos,\n expected 4; add one to --data_dir")

    code, lines = ending_of(main, capsys)

    assert code == 2
    assert lines == ["error: found 3 photos, expected 4; add one to --data_dir"]


def test_ctrl_c_ends_with_one_line_and_exit_code_130(capsys):
    def main():
        raise KeyboardInterrupt

    code, lines = ending_of(main, capsys)

    assert code == 130
    assert len(lines) == 1
    assert "continue" in lines[0]


@pytest.mark.parametrize(
    ("module", "package"), [("cv2", "opencv-python-headless"), ("timm", "timm")]
)
def test_a_missing_package_is_told_with_the_command_that_installs_it(module, package):
    code = f"import sys, common; sys.modules[{module!r}] = None; import {module}.parts"

    ending = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert ending.returncode == 2
    assert ending.stderr.splitlines() == [
        f"error: the package {package} is not installed; run `pip install -r requirements.txt` in "
        "the course's folder"
    ]


@pytest.mark.parametrize(
    "fault", [ValueError("ours"), ModuleNotFoundError("x", name="tests.unheard_of")]
)
def test_a_fault_of_ours_keeps_its_traceback(fault):
    def main():
        raise fault

    with pytest.raises(type(fault)):
        run_script(main)


def test_a_script_that_succeeds_just_returns():
    calls = []

    run_script(lambda: calls.append("called"))

    assert calls == ["called"]


def test_a_link_that_leads_to_itself_is_no_path(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    with pytest.raises(argparse.ArgumentTypeError, match="loop', expected a path; .+: choose"):
        cli.local_path(str(tmp_path / "loop"))
