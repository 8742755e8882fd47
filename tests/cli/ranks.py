# SPDX-License-Identifier: GPL-3.0-or-later
"""Several ranks under mpirun train what one process trains; what goes wrong on one ends all, and says so once."""
import os
import shutil
import signal
import subprocess
import time

import tiny
from harness import BUILD, PROGRAM, Skip, execute, main, run

HARD = ["gradient_accumulation_steps=4", "dropout=0.1", "eval_iters=3"]
ENVIRONMENT = {"POCL_MAX_PTHREAD_COUNT": "1"}
ENDLESS = ["max_iters=1000000", "checkpoint_interval=20", "eval_interval=1000000"]


def mpirun():
    """The launcher, and the options that let it run anywhere."""
    if not shutil.which("mpirun"):
        raise Skip("there is no mpirun")
    if not (BUILD / "src" / "comm" / "microrwkv_mpi.so").exists():
        raise Skip("built without MPI")
    if b"Open MPI" in execute(["mpirun", "--version"]).out:
        return ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
    return ["mpirun"]


def arguments(out, *more, iterations=8):
    return [PROGRAM, "train", f"dataset={tiny.data()}", f"out_dir={out}", *tiny.MODEL, *tiny.TRAINING,
            f"max_iters={iterations}", f"lr_decay_iters={iterations}", *HARD, *more]


def train(ranks, out, *more, **options):
    return execute([*mpirun(), "-n", ranks, *arguments(out, *more, **options)], environment=ENVIRONMENT, timeout=120)


def mixed(first, second):
    """Two ranks with an argument of their own."""
    return execute([*mpirun(), "-n", 1, *first, ":", "-n", 1, *second], environment=ENVIRONMENT, timeout=120)


def losses(out):
    return [line.get("loss", line.get("val_loss")) for line in tiny.log_lines(out)]


def close(a, b, most=1e-5):
    return len(a) == len(b) and all(abs(x - y) < most for x, y in zip(a, b))


def said(result, text):
    """How often a text stands on stderr."""
    return result.err.decode().count(text)


class Running:
    """Ranks in the background, after some iterations."""

    def __init__(self, ranks, out, *more, iterations=25):
        command = [str(c) for c in [*mpirun(), "-n", ranks, *arguments(out, *more)]]
        self.process = subprocess.Popen(command, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 120
        while not (out / "log.jsonl").exists() or len(tiny_lines(out)) < iterations:
            assert self.process.poll() is None and time.monotonic() < deadline, self.process.stderr.read()
            time.sleep(0.02)

    def pids(self):
        """The processes of the ranks."""
        children = execute(["ps", "-o", "pid=,comm=", "--ppid", self.process.pid]).text().split("\n")
        return [int(line.split()[0]) for line in children if line.strip().endswith("microrwkv")]

    def end(self, seconds=30):
        """Its exit status and stderr; fails where it does not end in time."""
        try:
            _, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
            self.process.kill()
            raise
        return self.process.returncode, err.decode()


def tiny_lines(out):
    return (out / "log.jsonl").read_text().split("\n")[:-1]


# ---- the same training


def test_ranks_reach_the_losses_of_one(folder):
    gently = ["learning_rate=1e-3", "min_lr=1e-4", "eval_interval=50"]  # at 1e-2 any rounding grows
    run(*arguments(folder / "one", *gently, iterations=200)[1:]).expect(0)
    for ranks in (2, 4):
        train(ranks, folder / str(ranks), *gently, iterations=200).expect(0)
        assert close(losses(folder / str(ranks)), losses(folder / "one")), ranks


def test_ranks_whose_number_is_no_power_of_two(folder):
    run(*arguments(folder / "one", "gradient_accumulation_steps=6")[1:]).expect(0)
    train(3, folder / "three", "gradient_accumulation_steps=6").expect(0)
    assert close(losses(folder / "three"), losses(folder / "one"))


def test_the_same_number_of_ranks_gives_the_same_bits(folder):
    for name in "ab":
        train(2, folder / name).expect(0)
    train(2, folder / "whole", "zero=0").expect(0)  # however the optimizer is divided
    assert len({tiny.digest(folder / name / "ckpt.mrw") for name in ("a", "b", "whole")}) == 1


def test_memory_in_several_segments(folder):
    limits = {**ENVIRONMENT, "MICRORWKV_LIMITS": "alloc=1M"}
    wide = ["n_embd=128", "n_head=16"]
    launcher = mpirun()
    execute(arguments(folder / "one", *wide, iterations=3), environment=limits).expect(0)
    execute([*launcher, "-n", 2, *arguments(folder / "two", *wide, iterations=3)], environment=limits).expect(0)
    assert close(losses(folder / "two"), losses(folder / "one"))


def test_gradients_travel_as_bf16(folder):
    train(2, folder / "f32").expect(0)
    train(2, folder / "bf16", "comm=bf16").expect(0)
    assert losses(folder / "bf16") != losses(folder / "f32")
    assert close(losses(folder / "bf16"), losses(folder / "f32"), 1e-2)


def test_moments_are_divided_among_ranks(folder):
    """The checkpoint has them all: one process goes on with it as ranks do."""
    train(2, folder / "out", iterations=4).expect(0)
    shutil.copytree(folder / "out", folder / "alone")
    train(2, folder / "out", "init_from=resume").expect(0)
    run("train", f"out_dir={folder / 'alone'}", "init_from=resume", "max_iters=8", "lr_decay_iters=8").expect(
        0, err="saved by 2 ranks and goes on with 1")
    assert close(losses(folder / "out"), losses(folder / "alone"))


def test_resume_gives_the_same_bits(folder):
    train(2, folder / "whole").expect(0)
    train(2, folder / "out", "lr_decay_iters=8", iterations=4).expect(0)
    train(2, folder / "out", "init_from=resume").expect(0)
    assert tiny.digest(folder / "out" / "ckpt.mrw") == tiny.digest(folder / "whole" / "ckpt.mrw")


# ---- what goes wrong


def test_accumulation_must_be_a_multiple_of_the_ranks(folder):
    result = train(3, folder / "out").expect(2, err="gradient_accumulation_steps is 4: 3 ranks")
    assert said(result, "microrwkv: ") == 1 and not (folder / "out").exists()


def test_errors_of_all_are_said_once(folder):
    result = train(2, folder / "out", "n_layers=3").expect(2, err='unknown key "n_layers"')
    assert said(result, "unknown key") == 1


def test_an_error_of_one_rank_ends_all(folder):
    result = train(2, folder / "out", "device=0,nowhere").expect(77, err="^microrwkv: rank 1: .*nowhere")
    assert said(result, "microrwkv: rank") == 1


def test_a_folder_with_a_run_ends_all(folder):
    train(2, folder / "out", iterations=1).expect(0)
    result = train(2, folder / "out", iterations=1).expect(1, err="already holds a run")
    assert said(result, "already holds") == 1


def test_other_settings_are_named(folder):
    train_two = [arguments(folder / "out", f"weight_decay={x}") for x in (0.1, 0.2)]
    mixed(*train_two).expect(2, err="rank 1 has another weight_decay than rank 0: 0.2, not 0.1")


def test_other_data_are_noticed(folder):
    (folder / "b.txt").write_text(tiny.TEXT.replace("cat", "tac"))
    run("prepare", folder / "b.txt", "--tokenizer", "char", "--out", folder / "b").expect(0)
    (folder / "data").symlink_to(tiny.data())
    words = [str(a).replace(str(tiny.data()), "data") for a in arguments(folder / "out")]
    (folder / "other").mkdir()
    (folder / "other" / "data").symlink_to(folder / "b")
    first, second = (["env", "-C", where, *words] for where in (folder, folder / "other"))
    mixed(first, second).expect(2, err="rank 1 has another data set than rank 0")


def test_a_killed_rank_ends_all_and_the_checkpoint_stands(folder):
    running = Running(2, folder / "out", *ENDLESS, "lr_decay_iters=8")
    os.kill(running.pids()[1], signal.SIGKILL)
    status, _ = running.end()
    assert status != 0
    saved = run("info", folder / "out" / "ckpt.mrw").expect(0).json()[0]["training"]["iter"]
    train(2, folder / "out", "init_from=resume", "lr_decay_iters=8", f"max_iters={saved + 5}").expect(0)
    train(2, folder / "whole", "lr_decay_iters=8", f"max_iters={saved + 5}", "eval_interval=1000000").expect(0)
    assert tiny.digest(folder / "out" / "ckpt.mrw") == tiny.digest(folder / "whole" / "ckpt.mrw")


def test_a_rank_that_hangs_ends_all(folder):
    running = Running(2, folder / "out", *ENDLESS, "rank_timeout=2")
    os.kill(running.pids()[1], signal.SIGSTOP)
    status, err = running.end()
    assert status == 1 and err.count("rank 1 has not answered for 2 s") == 1, err


def test_a_loss_that_is_no_number_is_said_once(folder):
    result = train(2, folder / "out", "learning_rate=1e30", "decay_lr=False").expect(1, err="the loss is nan")
    assert said(result, "the loss is nan, the gradient norm") == 1


def test_on_nan_rolls_all_ranks_back(folder):
    train(2, folder / "out", iterations=4).expect(0)
    result = train(2, folder / "out", "init_from=resume", "learning_rate=1e30", "decay_lr=False", "on_nan=rollback")
    result.expect(1, err="after 3 rollbacks to iteration 4")
    assert said(result, "on_nan=rollback: back to iteration 4") == 3


def test_a_signal_to_one_rank_saves_once(folder):
    running = Running(2, folder / "out", *ENDLESS, "checkpoint_interval=1000000")
    os.kill(running.pids()[1], signal.SIGTERM)
    status, err = running.end()
    assert status == 130 and err.count("saved in") == 2 and "init_from=resume" in err, err  # the save, and how to go on
    train(2, folder / "out", "init_from=resume", iterations=1).expect(0, err="already reached")


def test_a_program_without_mpi_says_so(folder):
    shutil.copy(PROGRAM, folder / "microrwkv")
    execute([folder / "microrwkv", "train"], environment={"OMPI_COMM_WORLD_SIZE": "2"}).expect(77, err="has no MPI .*libopenmpi-dev")


main()
