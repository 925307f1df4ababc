"""Flags and their checks."""

import argparse

from common import cli

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


def test_help_shows_a_scripts_own_flags_before_those_of_every_script(capsys):
    with pytest.raises(SystemExit):
        parser_with("device", "data_dir", "epochs").parse_args(["--help"])

    order = ["--epochs N", "photos and their split:", "--data_dir", "machine and", "--device"]
    shown = capsys.readouterr().out
    assert sorted(order, key=shown.index) == order


def test_help_names_every_split(capsys):
    from common.splits.splits import SPLIT_NAMES

    with pytest.raises(SystemExit):
        parser_with("split").parse_args(["--help"])

    words = capsys.readouterr().out.replace(",", " ").split()
    assert set(SPLIT_NAMES) <= set(words)


def test_a_link_that_leads_to_itself_is_no_path(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    with pytest.raises(argparse.ArgumentTypeError, match="loop', expected a path; .+: choose"):
        cli.local_path(str(tmp_path / "loop"))


def test_a_file_with_commas_in_its_path_is_one_of_a_list(tmp_path):
    one, other = tmp_path / "Season 2024, spring.csv", tmp_path / "b.csv"
    one.touch()
    other.touch()

    read = cli.list_of(cli.present_file)

    assert read(str(one)) == [one]
    assert read(f"{other}, {tmp_path}/../{tmp_path.name}/b.csv")[0] == other
