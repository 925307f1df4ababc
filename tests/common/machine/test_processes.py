"""Several processes do what one does, one of them speaks, and none waits for the dead."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

from common.errors import InputError
from common.machine import processes
from common.machine.device import pick_device
from common.machine.machine import FEWEST, Machine, _Shares
from common.training import checkpoints

import process_jobs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from process_jobs import N_EMBEDDED
from script_runs import ROOT

TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
# Its name notwithstanding, the way in which this launcher starts several processes on CPUs.
ACCELERATE = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
JOBS = ROOT / "tests" / "process_jobs.py"
ONE_THREAD = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def launch(launcher, script, *arguments):
    return subprocess.run(
        [sys.executable, "-m", *launcher, str(script), *map(str, arguments)],
        env=ONE_THREAD, capture_output=True, encoding="utf-8", timeout=240,
    )  # fmt: skip


def answers(job, folder):
    return [json.loads((folder / f"{job}_{i}.json").read_text("utf-8")) for i in range(2)]


@pytest.fixture(scope="module")
def alone():
    return process_jobs.compute(None)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    ending = launch(TORCHRUN, JOBS, "compute", folder)
    assert ending.returncode == 0, ending.stderr
    return answers("compute", folder)


@pytest.mark.slow
def test_two_processes_train_as_one_does(alone, together):
    assert len(alone["training"]) >= 9
    for name, one in alone["training"].items():
        two = together[0]["training"][name]
        assert two["losses"] == pytest.approx(one["losses"], abs=1e-5), name
        assert two["weights"] == pytest.approx(one["weights"], abs=1e-5), name


@pytest.mark.slow
def test_all_processes_end_with_the_same_weights(together):
    assert together[0]["training"] == together[1]["training"]


@pytest.mark.slow
def test_processes_whose_batch_norms_train_end_with_the_same_norms(together):
    one, two = (each["with a norm"] for each in together)
    assert len(one["statistics"]) == 3
    assert one == two


@pytest.mark.slow
def test_every_process_has_all_embeddings_in_order(alone, together):
    assert [len(alone["embedding"][str(n)]) for n in N_EMBEDDED] == list(N_EMBEDDED)
    assert together[0]["embedding"] == alone["embedding"]
    assert together[1]["embedding"] == alone["embedding"]


@given(n_photos=st.integers(1, 40), n_processes=st.integers(2, 9))
def test_each_photo_of_a_batch_counts_once(n_photos, n_processes):
    batch = list(range(100, 100 + n_photos))

    shares = list(_Shares([batch, [1, 2]], n_processes))

    assert len(shares) == 2 * n_processes
    own = shares[:n_processes]  # the processes' outputs one after another are cut at n_photos
    assert [photo for share in own for photo in share][:n_photos] == batch
    assert len({len(share) for share in own}) == 1
    assert len(own[0]) >= FEWEST


def test_one_process_alone_has_the_batch_as_it_is():
    outputs, labels = torch.randn(3, 2, requires_grad=True), torch.arange(3)

    pooled = Machine("cpu").pooled(outputs, labels)

    assert pooled[0] is outputs
    assert pooled[1] is labels
    assert (processes.count(), processes.is_main(), processes.everyones(4)) == (1, True, [4])


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE is 'abc', expected a whole number"),
        ({"WORLD_SIZE": "2", "RANK": "x"}, "RANK is 'x'"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "none of several processes .+MASTER_ADDR"),
    ],
)
def test_what_no_launcher_has_set_is_refused_in_one_line(variables, words, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(InputError, match=words):
        processes.join()


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_one_device_for_several_processes_is_refused(device, monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)

    with pytest.raises(InputError, match="2 processes cannot share it"):
        pick_device(device)


def told(ending):
    """Lines of the run itself, without the launcher's own report."""
    lines = ending.stderr.splitlines()
    return [line for line in lines if line.startswith(("error:", "stopped:"))]


@pytest.mark.slow
def test_an_error_of_all_is_said_once(tmp_path):
    ending = launch(TORCHRUN, JOBS, "fail_alike", tmp_path)

    assert told(ending) == ["error: nothing to do; give work"]
    assert ending.stdout == "seen once\n"
    assert ending.returncode != 0


@pytest.mark.slow
def test_an_error_of_one_process_is_said_and_ends_the_others(tmp_path):
    ending = launch(TORCHRUN, JOBS, "fail_alone", tmp_path)

    assert told(ending) == ["error: this machine has no photos; copy them"]
    assert ending.returncode != 0


def start_two(job, folder):
    """Two processes without a launcher that would watch over them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    return [
        subprocess.Popen(
            [sys.executable, str(JOBS), job, str(folder)],
            env=ONE_THREAD | meeting | {"RANK": str(i), "LOCAL_RANK": str(i)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        )
        for i in range(2)
    ]  # fmt: skip


def wait_for(file, running):
    for _ in range(1200):
        if file.exists():
            return
        assert all(process.poll() is None for process in running)
        time.sleep(0.1)
    raise TimeoutError(file)


@pytest.mark.enable_socket
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_run_and_its_checkpoint_goes_on(victim, alone, tmp_path):
    running = start_two("train_slowly", tmp_path)
    try:
        wait_for(tmp_path / "epoch_3", running)
        os.kill(running[victim].pid, signal.SIGKILL)
        said = running[1 - victim].communicate(timeout=120)[1]
    finally:
        for process in running:
            process.kill()
            process.communicate()

    assert running[1 - victim].returncode == 1
    assert said.count("\n") == 1
    assert said.startswith("stopped: another process of this run has ended")
    resumed = process_jobs.go_on(tmp_path)
    whole = process_jobs.go_on(tmp_path / "elsewhere")
    assert resumed["epochs_trained"] < whole["epochs_trained"] == 60
    assert resumed["losses"] == pytest.approx(whole["losses"], abs=1e-5)


@pytest.mark.slow
def test_two_processes_go_on_from_the_checkpoint_of_one(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)

    def stop(model, seen=[]):  # noqa: B006 - counts the epochs of one training
        seen.append(model)
        if len(seen) == 20:
            raise KeyboardInterrupt
        return {"validation_accuracy": 0.5}

    with pytest.raises(KeyboardInterrupt):
        process_jobs.train("ArcFace", tmp_path / "last.pt", stop, epochs=60)
    ending = launch(TORCHRUN, JOBS, "go_on", tmp_path)

    assert ending.returncode == 0, ending.stderr
    resumed = answers("go_on", tmp_path)[0]
    whole = process_jobs.go_on(tmp_path / "elsewhere")
    assert resumed["epochs_trained"] == 41
    assert resumed["losses"] == pytest.approx(whole["losses"], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate"])
def test_a_script_runs_as_it_is_and_one_process_writes(launcher, tmp_path):
    flags = ["--smoke", "--device", "cpu", "--output_dir"]
    script = ROOT / "week2" / "transfer_learning.py"

    ending = launch(launcher, script, *flags, tmp_path / "two")
    subprocess.run(
        [sys.executable, script, *flags, tmp_path / "one"],
        env=ONE_THREAD, check=True, capture_output=True,
    )  # fmt: skip

    assert ending.returncode == 0, ending.stderr
    assert ending.stdout.count("Result: ") == 1
    one, two = (
        json.loads((tmp_path / name / "result.json").read_text("utf-8"))["metrics"]
        for name in ("one", "two")
    )
    assert [row["train_loss"] for row in two["history"]] == pytest.approx(
        [row["train_loss"] for row in one["history"]], abs=1e-5
    )
    assert two["accuracy"] == one["accuracy"]
    files = {file.name for file in (tmp_path / "one").iterdir()}
    assert {file.name for file in (tmp_path / "two").iterdir()} == files
