# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong around a training run: its folder, other runs in it, losses that are not numbers, gnuplot."""
import json
import os
import signal
import struct
import subprocess
import time

import tiny
from harness import PROGRAM, main, run

DEADLY = ["learning_rate=1e30", "decay_lr=False"]


def files(out):
    return sorted(path.name for path in out.iterdir())


def start(out, *arguments):
    """A run in the background that would take long, after its first checkpoint."""
    command = [PROGRAM, "train", f"dataset={tiny.data()}", f"out_dir={out}", *tiny.MODEL, *tiny.TRAINING,
               "max_iters=1000000", *arguments]
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (out / "ckpt.mrw").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.02)
    return process


def resume(out, *arguments, **options):
    return run("train", f"out_dir={out}", "init_from=resume", *arguments, **options)


# ---- one run in a folder


def test_a_second_run_is_refused_and_names_the_first(folder):
    first = start(folder / "out")
    try:
        for how in ("init_from=resume", "init_from=scratch", "overwrite=True"):
            tiny.train(folder / "out", how).expect(1, err=f"process {first.pid} is training in .*out")
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=60)
    assert first.returncode == 130
    assert "run.lock" not in files(folder / "out")
    resume(folder / "out", "max_iters=1").expect(0)


def test_the_lock_of_a_killed_run_is_taken_over(folder):
    first = start(folder / "out")
    first.kill()
    first.communicate()
    assert (folder / "out" / "run.lock").read_text() == f"{first.pid}\n"
    resume(folder / "out", "max_iters=1").expect(0)
    assert "run.lock" not in files(folder / "out")


def test_a_run_that_fails_at_once_leaves_no_folder(folder):
    tiny.train(folder / "out", "n_head=3").expect(2)
    assert not (folder / "out").exists()


# ---- a new run over an old one


def test_a_new_run_over_an_old_one_is_refused(folder):
    tiny.train(folder / "out").expect(0)
    before = {name: (folder / "out" / name).read_bytes() for name in files(folder / "out")}
    for source in ("scratch", tiny.model(), folder / "out" / "best.mrw"):
        result = tiny.train(folder / "out", f"init_from={source}")
        result.expect(1, err=r"already holds a run \(ckpt\.mrw\).*init_from=resume.*overwrite=True")
    assert before == {name: (folder / "out" / name).read_bytes() for name in files(folder / "out")}


def test_overwrite_moves_the_old_run_aside_as_one_piece(folder):
    out, old, older = folder / "out", folder / "out.old2", folder / "out.old"
    tiny.train(out).expect(0)
    (out / "notes.txt").write_text("mine")
    first = {name: (out / name).read_bytes() for name in files(out)}
    tiny.train(out, "overwrite=True", "seed=8").expect(0, err=r"moved the run in .* to .*out\.old$")
    assert first == {name: (older / name).read_bytes() for name in files(older)}
    second = {name: (out / name).read_bytes() for name in files(out)}
    assert "notes.txt" not in second and second["ckpt.mrw"] != first["ckpt.mrw"]
    tiny.train(out, "overwrite=True").expect(0)
    assert second == {name: (old / name).read_bytes() for name in files(old)}


def test_overwrite_through_a_link_keeps_the_link(folder):
    (folder / "big").mkdir()
    (folder / "out").symlink_to(folder / "big")
    tiny.train(folder / "out").expect(0)
    tiny.train(folder / "out", "overwrite=True").expect(0)
    assert (folder / "out").is_symlink() and (folder / "big" / "ckpt.mrw").exists() and (folder / "big.old" / "ckpt.mrw").exists()


def test_overwrite_is_not_remembered(folder):
    tiny.train(folder / "out", "overwrite=True").expect(0)
    resume(folder / "out", "max_iters=6").expect(0)
    resume(folder / "out", "overwrite=True").expect(2, err="overwrite=True starts a new run")
    assert not (folder / "out.old").exists()


def test_overwrite_can_begin_from_the_old_run_itself(folder):
    tiny.train(folder / "out").expect(0)
    best = tiny.digest(folder / "out" / "best.mrw")
    tiny.train(folder / "out", f"init_from={folder / 'out' / 'best.mrw'}", "overwrite=True", "learning_rate=0", "min_lr=0",
               "weight_decay=0", iterations=1).expect(0)
    assert tiny.digest(folder / "out.old" / "best.mrw") == best


def test_resume_never_continues_the_run_before(folder):
    """A new run is killed before its first save: nothing is there to be resumed."""
    out = folder / "out"
    tiny.train(out).expect(0)
    command = [PROGRAM, "train", f"dataset={tiny.data()}", f"out_dir={out}", *tiny.MODEL, *tiny.TRAINING, "overwrite=True",
               "max_iters=1000000", "eval_interval=1000000", "eval_iters=1000000"]
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not ((folder / "out.old").exists() and (out / "log.jsonl").exists()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    resume(out).expect(1, err=r"out/ckpt\.mrw")
    tiny.train(out).expect(0)  # a log alone is no run


def test_the_log_of_a_run_that_never_saved_is_dropped(folder):
    """Also where the new run begins at a later iteration."""
    out = folder / "out"
    out.mkdir()
    (out / "log.jsonl").write_text('{"iter":1,"loss":9.5}\n')
    tiny.train(out, f"init_from={tiny.model() / 'ckpt.mrw'}", iterations=22).expect(0, err="continuing at iteration 20")
    assert [line["iter"] for line in tiny.log_lines(out) if "lr" in line] == [20, 21]


def test_a_kept_checkpoint_alone_is_a_run(folder):
    out = folder / "out"
    tiny.train(out, "keep_checkpoints=1").expect(0)
    (out / "ckpt.mrw").unlink()
    (out / "best.mrw").unlink()
    tiny.train(out).expect(1, err="already holds a run")


def test_keys_of_another_model_are_not_silently_dropped(folder):
    out = folder / "out"
    tiny.train(out).expect(0)
    result = resume(out, "n_layer=3", "n_embd=16", "max_iters=5").expect(0, err=r"warning: n_layer is ignored: .*ckpt\.mrw has 2")
    assert b"n_embd" not in result.err


def test_data_are_not_moved_aside(folder):
    out = folder / "both"
    (folder / "a.txt").write_text(tiny.TEXT)
    run("prepare", folder / "a.txt", "--tokenizer", "char", "--out", out).expect(0)
    tiny.train(out, f"dataset={out}").expect(0)
    tiny.train(out, f"dataset={out}", "overwrite=True").expect(1, err="data set")
    assert (out / "ckpt.mrw").exists() and (out / "train.bin").exists()


def test_what_stands_in_the_way_is_noticed_at_once(folder):
    for name in ("ckpt.mrw", "best.mrw", "log.jsonl"):
        (folder / name / name).mkdir(parents=True)
        result = tiny.train(folder / name, iterations=100000)
        result.expect(1, err=rf"{name}/{name} is a folder".replace(".", r"\."))


# ---- losses that are not numbers


def dying(out, *arguments, iterations=50, **options):
    """Five good iterations, then a learning rate that ends every model."""
    tiny.train(out, iterations=5).expect(0)
    return resume(out, *DEADLY, f"max_iters={iterations}", *arguments, **options)


def test_a_dead_state_never_replaces_a_good_one(folder):
    out = folder / "out"
    tiny.train(out, iterations=5).expect(0)
    good = tiny.digest(out / "ckpt.mrw")
    for arguments in (["checkpoint_interval=1"], ["max_iters=6"], ["eval_interval=1"], ["eval_interval=3"]):
        result = resume(out, *DEADLY, "max_iters=50", *arguments)
        result.expect(1, err=r"iteration 6: .*nan.*last good state is iteration 5, saved in .*out")
        assert b"not changed" not in result.err
        assert tiny.digest(out / "ckpt.mrw") == good
    resume(out, "max_iters=7", "learning_rate=1e-2").expect(0)


def test_without_a_saved_state_none_is_promised(folder):
    result = tiny.train(folder / "out", *DEADLY, "warmup_iters=0", iterations=60)
    result.expect(1, err=r"iteration \d+: .*transformer\..*nothing has been saved in this run yet")
    assert not (folder / "out" / "ckpt.mrw").exists()


def test_proving_a_state_changes_no_bit(folder):
    tiny.train(folder / "a", "dropout=0.1", "checkpoint_interval=1", iterations=6).expect(0)
    tiny.train(folder / "b", "dropout=0.1", "checkpoint_interval=6", iterations=6).expect(0)
    assert tiny.digest(folder / "a" / "ckpt.mrw") == tiny.digest(folder / "b" / "ckpt.mrw")


def test_not_finite_numbers_are_null_in_json(folder):
    result = dying(folder / "out", "--json", "eval_interval=1000").expect(1, err="iteration 6: the loss is nan")
    last, logged = result.json()[-1], tiny.log_lines(folder / "out")[-1]
    for line in (last, logged):
        assert line["iter"] == 6 and line["loss"] is None and line["grad_norm"] is None, line
    result = dying(folder / "evaluated", "--json", "eval_interval=6").expect(1, err="the train loss is nan, the val loss nan")
    assert result.json()[-1] == tiny.log_lines(folder / "evaluated")[-1] == {"iter": 6, "train_loss": None, "val_loss": None}


def test_a_loss_that_nobody_looked_at_ends_the_run_where_it_came(folder):
    often = dying(folder / "often", "eval_interval=1000").expect(1, err="iteration 6: the loss is nan")
    seldom = dying(folder / "seldom", "log_interval=100", "eval_interval=1000").expect(1, err="iteration 6: the loss is nan")
    line, = [line for line in often.err.decode().splitlines() if "iteration 6" in line]
    assert line.replace("often", "seldom") in seldom.err.decode(), seldom.err
    assert tiny.log_lines(folder / "seldom")[-1]["iter"] == 6 and tiny.log_lines(folder / "seldom")[-1]["loss"] is None
    result = dying(folder / "skipped", "on_nan=skip", "log_interval=100", "eval_interval=1000")
    result.expect(1, err=r"on_nan=skip: skipping the update of iteration 15(?s:.*)10 iterations in a row were skipped")


def test_what_fails_on_the_way_out_is_a_warning(folder):
    tiny.train(folder / "out", iterations=5).expect(0)
    result = resume(folder / "out", *DEADLY, "max_iters=50", environment={"MICRORWKV_CACHE_DIR": "/proc"})
    result.expect(1, err=r"^microrwkv: iteration 6: ")
    assert b"microrwkv: warning: " in result.err, result.err
    assert result.err.decode().splitlines()[-1].startswith("microrwkv: iteration 6: "), result.err


def poison(source, target):
    """The model with one weight that is not a number."""
    safe = target.with_suffix(".safetensors")
    run("convert", source, safe).expect(0)
    raw = bytearray(safe.read_bytes())
    size = struct.unpack("<Q", raw[:8])[0]
    entry = json.loads(raw[8:8 + size])["transformer.wte.weight"]
    at = 8 + size + entry["data_offsets"][0]
    raw[at:at + 4] = struct.pack("<f", float("nan"))
    safe.write_bytes(raw)
    run("convert", safe, target).expect(0)
    return target


def test_eval_of_a_dead_model_exits_1(folder):
    model = poison(tiny.model() / "best.mrw", folder / "dead.mrw")
    result = run("eval", model, "--data", tiny.data(), "--iters", "1", "--json")
    result.expect(1, err=r"dead\.mrw.*nan")
    line, = result.json()
    assert line["loss"] is None and line["perplexity"] is None and line["bits_per_byte"] is None and line["tokens"] > 0
    tiny.train(folder / "out", f"init_from={model}", "eval_only=True").expect(1, err=r"the train loss is nan.*wte\.weight")


def test_skipping_ends_where_nothing_helps(folder):
    result = dying(folder / "out", "on_nan=skip", "eval_interval=1000")
    result.expect(1, err=r"on_nan=skip: skipping the update of iteration 15(?s:.*)10 iterations in a row were skipped")
    dead = [line["iter"] for line in tiny.log_lines(folder / "out") if "loss" in line and line["loss"] is None]
    assert dead == list(range(6, 17)), dead


def test_rollback_returns_to_the_saved_state(folder):
    out = folder / "out"
    result = dying(out, "on_nan=rollback", "eval_interval=1000")
    result.expect(1, err=r"back to iteration 5, with other batches(?s:.*)after 3 rollbacks to iteration 5")
    lines = [line for line in tiny.log_lines(out) if "lr" in line or "rollback_from" in line]
    assert [line["iter"] for line in lines] == [0, 1, 2, 3, 4, 5, 5, 6], lines
    first = [line for line in result.err.decode().splitlines() if "rollback" in line]
    assert len(first) == 4, first
    losses = {line["loss"] for line in lines if line["iter"] == 5 and "loss" in line}
    tiny.train(folder / "whole", iterations=6).expect(0)
    assert losses.isdisjoint({line.get("loss") for line in tiny.log_lines(folder / "whole")}), "the same batches came again"


def test_unknown_ways_to_take_nan_are_refused(folder):
    tiny.train(folder / "out", "on_nan=ignore").expect(2, err="on_nan.*stop, skip or rollback.*ignore")


# ---- checkpoints and plots


def test_the_newest_checkpoints_are_kept(folder):
    out = folder / "out"
    tiny.train(out, "keep_checkpoints=2", "checkpoint_interval=2", iterations=9).expect(0)
    assert [name for name in files(out) if name.startswith("ckpt")] == ["ckpt-8.mrw", "ckpt-9.mrw", "ckpt.mrw"]
    tiny.train(folder / "eight", "checkpoint_interval=2", "lr_decay_iters=9", iterations=8).expect(0)
    assert tiny.digest(out / "ckpt-8.mrw") == tiny.digest(folder / "eight" / "ckpt.mrw")
    assert tiny.digest(out / "ckpt-9.mrw") == tiny.digest(out / "ckpt.mrw")


def with_gnuplot(folder, body):
    """A PATH on which gnuplot is this shell script."""
    path = folder / "bin" / "gnuplot"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return {"PATH": f"{path.parent}:{os.environ['PATH']}"}


def test_no_gnuplot_ends_a_run(folder):
    cases = {"old": ("echo unknown command >&2; exit 1", "no loss curve: gnuplot failed"),
             "killed": ("kill -9 $$", "no loss curve: gnuplot was stopped by signal 9"),
             "deaf": ("exec 0<&-; exit 3", "no loss curve: gnuplot failed")}
    for name, (body, text) in cases.items():
        tiny.train(folder / name, environment=with_gnuplot(folder, body)).expect(0, err=text)
        assert files(folder / name) == ["best.mrw", "ckpt.mrw", "log.jsonl"], files(folder / name)
    tiny.train(folder / "none", environment={"PATH": folder}).expect(0, err="gnuplot is not installed")


def test_a_long_log_is_drawn_whole(folder):
    """More than a pipe holds, and gnuplot that reads none of it before its end."""
    out = folder / "out"
    tiny.train(out, iterations=2).expect(0)
    with open(out / "log.jsonl", "w") as log:
        log.writelines(f'{{"iter":{i - 30000},"loss":2.5}}\n' for i in range(30000))
    body = 'sleep 0.1; wc -l <"$1" >lines; cp "$1" loss.svg.tmp'
    resume(out, "max_iters=3", environment=with_gnuplot(folder, body)).expect(0, err="the loss curve is in")
    assert int((out / "lines").read_text()) > 30000 and (out / "loss.svg").exists()
    assert "loss.gnuplot" not in files(out) and "loss.svg.tmp" not in files(out)


main()
