# SPDX-License-Identifier: GPL-3.0-or-later
"""Stopping and going on: Ctrl-C, kill -9, full disks; the result is that of the unbroken run, to the last bit."""
import os
import signal
import subprocess
import time

import tiny
from harness import PROGRAM, execute, main, run

HARD = ["gradient_accumulation_steps=2", "dropout=0.1", "checkpoint_interval=3", "always_save_checkpoint=True"]


def state(out):
    """What must agree: the weights, and what each iteration logged (times left out)."""
    lines = [{k: v for k, v in line.items() if k not in ("ms", "tokens_per_s")} for line in tiny.log_lines(out)]
    return tiny.digest(out / "ckpt.mrw"), tiny.digest(out / "best.mrw"), lines


def unbroken(folder, *arguments):
    tiny.train(folder / "whole", *HARD, *arguments, iterations=9).expect(0)
    return state(folder / "whole")


def start(out, *arguments):
    """A run in the background that would take long."""
    command = [PROGRAM, "train", f"dataset={tiny.data()}", f"out_dir={out}", *tiny.MODEL, *tiny.TRAINING, "max_iters=1000000",
               "lr_decay_iters=9", *HARD, *arguments]
    return subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))


def wait_for_iteration(out, number, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "ckpt.mrw").exists() and sum("lr" in line for line in complete_lines(out)) >= number:
            return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"no iteration {number}: {process.stderr.read().decode()[-1000:]}")


def complete_lines(out):
    text = (out / "log.jsonl").read_text() if (out / "log.jsonl").exists() else ""
    return text.split("\n")[:-1]


def test_resume_gives_the_same_bits(folder):
    tiny.train(folder / "out", *HARD, "lr_decay_iters=9", iterations=5).expect(0)
    tiny.train(folder / "out", *HARD, "init_from=resume", iterations=9).expect(0)
    assert state(folder / "out") == unbroken(folder)


def test_resume_remembers_what_was_given(folder):
    tiny.train(folder / "out", *HARD, "lr_decay_iters=9", iterations=5).expect(0)
    run("train", f"out_dir={folder / 'out'}", "init_from=resume", "max_iters=9").expect(0)
    assert state(folder / "out") == unbroken(folder)


def test_resume_gives_the_same_bits_with_topk(folder):
    topk = ["moe=topk", "num_experts=3", "num_active_experts=2", "aux=balance"]
    tiny.train(folder / "out", *HARD, *topk, "lr_decay_iters=9", iterations=4).expect(0)
    tiny.train(folder / "out", *HARD, "init_from=resume", iterations=9).expect(0)
    assert state(folder / "out") == unbroken(folder, *topk)


def test_resume_gives_the_same_bits_of_gpt2_with_dropout(folder):
    gpt2 = ["family=gpt2", "n_layer=2", "dropout=0.2"]
    tiny.train(folder / "out", *HARD, *gpt2, "lr_decay_iters=9", iterations=5).expect(0)
    tiny.train(folder / "out", *HARD, "init_from=resume", "dropout=0.2", iterations=9).expect(0)
    assert state(folder / "out") == unbroken(folder, *gpt2)


def check_family(folder, *family):
    family = [*family, "n_layer=2", "dropout=0.2"]
    tiny.train(folder / "out", *HARD, *family, "lr_decay_iters=9", iterations=5).expect(0)
    tiny.train(folder / "out", *HARD, "init_from=resume", "dropout=0.2", iterations=9).expect(0)
    assert state(folder / "out") == unbroken(folder, *family)


def test_resume_gives_the_same_bits_of_rwkv4_with_dropout(folder):
    check_family(folder, "family=rwkv4")


def test_resume_gives_the_same_bits_of_rwkv5_with_dropout(folder):
    check_family(folder, "family=rwkv5", "head_size=8")


def test_resume_gives_the_same_bits_of_rwkv6_with_dropout(folder):
    check_family(folder, "family=rwkv6", "head_size=8")


def test_resume_gives_the_same_bits_of_rwkv7_with_dropout(folder):
    check_family(folder, "family=rwkv7", "head_size=8")


def test_recomputing_changes_no_bit_and_may_change_at_a_resume(folder):
    tiny.train(folder / "out", *HARD, "recompute=True", "lr_decay_iters=9", iterations=5).expect(0)
    tiny.train(folder / "out", *HARD, "init_from=resume", "recompute=False", iterations=9).expect(0)
    tiny.train(folder / "all", *HARD, "recompute=True", iterations=9).expect(0)
    assert state(folder / "out") == state(folder / "all") == unbroken(folder)


def test_evaluation_changes_no_draw(folder):
    tiny.train(folder / "a", *HARD, "eval_interval=2", "eval_iters=1", iterations=6).expect(0)
    tiny.train(folder / "b", *HARD, "eval_interval=3", "eval_iters=7", iterations=6).expect(0)
    assert tiny.digest(folder / "a" / "ckpt.mrw") == tiny.digest(folder / "b" / "ckpt.mrw")


def test_interrupt_saves_and_says_how_to_go_on(folder):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        out = folder / f"out{number}"
        process = start(out)
        wait_for_iteration(out, 4, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
        assert b"resume" in errors, errors
        saved = len([line for line in complete_lines(out) if '"lr"' in line])
        tiny.train(out, *HARD, "init_from=resume", "lr_decay_iters=9", iterations=saved + 2).expect(0)
        tiny.train(folder / f"whole{number}", *HARD, "lr_decay_iters=9", iterations=saved + 2).expect(0)
        assert tiny.digest(out / "ckpt.mrw") == tiny.digest(folder / f"whole{number}" / "ckpt.mrw")


def test_nohup_outlives_a_hangup(folder):
    out = folder / "out"
    command = ["nohup", PROGRAM, "train", f"dataset={tiny.data()}", f"out_dir={out}", *tiny.MODEL, *tiny.TRAINING,
               "max_iters=1000000", *HARD]
    process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    wait_for_iteration(out, 4, process)
    process.send_signal(signal.SIGHUP)
    wait_for_iteration(out, len(complete_lines(out)) + 4, process)
    process.kill()
    process.communicate()


def test_second_interrupt_stops_at_once(folder):
    process = start(folder / "out", "eval_interval=1", "eval_iters=1000000")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (folder / "out" / "log.jsonl").exists():
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_kill_loses_only_what_came_after_the_checkpoint(folder):
    want = unbroken(folder)
    for attempt in range(4):
        out = folder / f"out{attempt}"
        process = start(out)
        wait_for_iteration(out, 4, process)
        time.sleep(0.013 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        done = max((int(line.split('"iter":')[1].split(",")[0]) for line in complete_lines(out)), default=0)
        if done < 9:
            tiny.train(out, *HARD, "init_from=resume", iterations=9).expect(0)
            assert state(out) == want


def test_full_disk_leaves_the_old_checkpoint_whole(folder):
    tiny.train(folder / "out", *HARD, iterations=3).expect(0)
    before = tiny.digest(folder / "out" / "ckpt.mrw")
    limit = (folder / "out" / "ckpt.mrw").stat().st_size // 512 // 2  # in blocks, as ulimit counts them
    arguments = [f"dataset={tiny.data()}", f"out_dir={folder / 'out'}", *tiny.MODEL, *tiny.TRAINING, *HARD, "init_from=resume",
                 "max_iters=6"]
    command = f"trap '' XFSZ; ulimit -f {limit}; exec '{PROGRAM}' train " + " ".join(f"'{a}'" for a in arguments)
    execute(["sh", "-c", command]).expect(1, err=r"ckpt\.mrw")
    assert tiny.digest(folder / "out" / "ckpt.mrw") == before
    tiny.train(folder / "out", *HARD, "init_from=resume", iterations=6).expect(0)


def test_resume_without_a_checkpoint_is_refused(folder):
    tiny.train(folder / "out", "init_from=resume").expect(1, err=r"ckpt\.mrw")


def test_resume_with_other_data_is_refused(folder):
    tiny.train(folder / "out", iterations=2).expect(0)
    tiny.train(folder / "out", "init_from=resume", f"dataset={tiny.data('byte')}", iterations=4).expect(1, err="tokenizer")


def test_logged_lines_after_the_checkpoint_are_dropped(folder):
    tiny.train(folder / "out", *HARD, iterations=6).expect(0)
    with open(folder / "out" / "log.jsonl", "a") as f:
        f.write('{"iter":6,"loss":9.9,"lr":1,"grad_norm":1,"ms":1,"tokens_per_s":1}\n{"iter":7,"lo')
    tiny.train(folder / "out", *HARD, "init_from=resume", iterations=8).expect(0)
    numbers = [line["iter"] for line in tiny.log_lines(folder / "out") if "lr" in line]
    assert numbers == sorted(set(numbers)), numbers
    assert all(line.get("loss") != 9.9 for line in tiny.log_lines(folder / "out"))


main()
