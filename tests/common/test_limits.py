"""Full disks, kills, two processes, closed streams: one line, and earlier files are whole."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from common import files, own_files
from common.errors import InputError
from common.files import UnwritableError, part_mark, remove_leftovers, write_text
from common.own_files import begin_list, claim, listed_files, note, release

import pytest
from script_runs import ROOT

NO_PROCESS = 2**22 + 1  # above the largest number that Linux gives


def python(code, *arguments, **options):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, **options)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EFBIG])
def test_a_file_that_cannot_be_written_is_one_line_and_the_earlier_one_whole(
    number, tmp_path, monkeypatch
):
    begin_list(tmp_path)
    path = write_text(tmp_path / "a.txt", "earlier")

    def half(new, content):
        with new.open("wb") as file:
            file.write(content[:1])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", half)

    with pytest.raises(UnwritableError, match=os.strerror(number)) as raised:
        write_text(path, "new")

    assert "a.txt" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert path.read_text() == "earlier"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.txt", own_files.LIST]


WRITERS = {
    "a text": "from common.files import write_text; write_text(path, 'x' * 9_000_000)",
    "an array": """
import numpy as np
from common.files import write_array
array = np.zeros((9_000_000,), dtype=np.uint8)
write_array(path, [array], array.shape, array.dtype)
""",
    "a picture": """
import numpy as np
from PIL import Image
from common.files import replacing
noise = np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), dtype=np.uint8)
with replacing(path) as new:
    Image.fromarray(noise).save(new, "PNG")
""",
    "an array of numpy's": """
import numpy as np
from common.files import replacing
with replacing(path) as new, new.open("wb") as file:
    np.save(file, np.zeros((3_000, 3_000)))
""",
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_disk_that_is_really_full_leaves_the_earlier_file(kind, tmp_path):
    path = write_text(tmp_path / "a.npy", "earlier")
    code = (
        "import resource, sys, pathlib\n"
        "from common.files import UnwritableError\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        f"try:\n    exec({WRITERS[kind]!r})\n"
        "except UnwritableError:\n    sys.exit(7)\n"
    )

    assert python(code, path).wait(60) == 7
    assert path.read_text() == "earlier"
    assert [each.name for each in tmp_path.iterdir()] == ["a.npy"]


def test_a_line_that_a_full_disk_cut_off_takes_no_other_along(tmp_path):
    begin_list(tmp_path)
    with (tmp_path / own_files.LIST).open("ab") as file:
        file.write(b'\n{"name": "half')
    write_text(tmp_path / "a.txt", "ours")

    assert [path.name for path in listed_files(tmp_path)] == ["a.txt"]


def test_a_list_that_was_cut_off_before_its_first_line_is_begun_again(tmp_path):
    (tmp_path / own_files.LIST).touch()

    begin_list(tmp_path)
    write_text(tmp_path / "a.txt", "ours")

    assert [path.name for path in listed_files(tmp_path)] == ["a.txt"]


HOLD = """
import pathlib, sys, time
from common.own_files import begin_list, claim
folder = pathlib.Path(sys.argv[1])
begin_list(folder)
claim(folder)
print("claimed", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def holder(tmp_path):
    """A function that starts another process, which has claimed the folder for some seconds."""
    started = []

    def hold(seconds):
        process = python(HOLD, tmp_path, seconds, stdout=subprocess.PIPE)
        started.append(process)
        process.stdout.readline()
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()
    release(tmp_path)


def test_a_folder_that_another_process_writes_into_is_in_use(holder, tmp_path):
    holder(60)

    with pytest.raises(InputError, match="in use"):
        claim(tmp_path)


def test_a_patient_process_waits_for_its_turn(holder, tmp_path):
    holder(0.5)

    claim(tmp_path, patience=20)


def test_a_kill_ends_a_claim_and_what_was_half_written_goes(holder, tmp_path):
    half = tmp_path / f".a{part_mark()}.txt"
    process = holder(60)
    note(half, None)
    half.write_text("half")
    process.send_signal(signal.SIGKILL)
    process.wait()

    claim(tmp_path)

    assert not half.exists()


def test_a_process_may_claim_again_what_it_has(tmp_path):
    begin_list(tmp_path)

    claim(tmp_path)
    claim(tmp_path)

    release(tmp_path)


def test_a_folder_made_anew_is_claimed_anew(holder, tmp_path):
    begin_list(tmp_path)
    claim(tmp_path)
    (tmp_path / own_files.LIST).unlink()
    holder(60)

    with pytest.raises(InputError, match="in use"):
        claim(tmp_path)


def test_a_forked_process_does_not_keep_its_parents_claim(tmp_path):
    begin_list(tmp_path)
    claim(tmp_path)
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)

    release(tmp_path)
    try:
        python(HOLD, tmp_path, 0).wait(20)
        claim(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        release(tmp_path)


def mark(machine=files.MACHINE, process=NO_PROCESS):
    return f"{machine}-{process}-01234567.part"


LEFT = {
    f".a.{mark()}.npy": False,
    f".a.{mark(process=os.getpid())}.npy": True,
    f".a.{mark('0' * 8)}.npy": True,
    f".old.{mark('0' * 8)}.npy": False,
    "a.part.npy": True,
    "my 00000000-1-01234567 part.npy": True,
}


def test_leftovers_of_killed_processes_go_and_no_other_file(tmp_path):
    for name in LEFT:
        (tmp_path / name).touch()
    (tmp_path / f"turtles.{mark()}.npy").mkdir()
    (tmp_path / f"turtles.{mark()}.npy" / "photo.jpg").touch()
    (tmp_path / f".link.{mark()}.npy").symlink_to(tmp_path / "a.part.npy")
    os.utime(tmp_path / f".old.{mark('0' * 8)}.npy", (0, 0))

    remove_leftovers(tmp_path, "*.npy")

    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {name for name in LEFT if LEFT[name]} | {f".link.{mark()}.npy"}
