# SPDX-License-Identifier: GPL-3.0-or-later
"""How training draws its batches, which tokens it learns, and when it ends."""
import json
import random

import tiny
from harness import main, run

STILL = ["learning_rate=0", "decay_lr=False", "batch_size=1", "gradient_accumulation_steps=1", "eval_interval=1000",
         "eval_iters=1", "dropout=0"]


def text_data(folder, size=400):
    """20 windows of 16 tokens and the rest, in train.bin."""
    noise = random.Random(3)
    (folder / "text.txt").write_text("".join(noise.choice("abcdefghij") for _ in range(size)))
    run("prepare", folder / "text.txt", "--tokenizer", "char", "--val-fraction", 0.18, "--out", folder / "data").expect(0)
    assert (folder / "data" / "train.bin").stat().st_size == 2 * 328
    return [f"dataset={folder / 'data'}"]


def losses(out):
    return [line["loss"] for line in tiny.log_lines(out) if "loss" in line]


def test_an_epoch_takes_every_window_once(folder):
    """The weights stay, so that a loss names its window."""
    data = text_data(folder)
    tiny.train(folder / "out", *data, *STILL, "sampling=epoch", iterations=60).expect(0)
    first, second, third = (losses(folder / "out")[i:i + 20] for i in (0, 20, 40))
    assert len(set(first)) == 20
    assert sorted(first) == sorted(second) == sorted(third)
    assert first != second != third != first
    tiny.train(folder / "random", *data, *STILL, iterations=20).expect(0)
    assert sorted(losses(folder / "random")) != sorted(first)


def test_epochs_run_through_batches_and_accumulation(folder):
    data = text_data(folder)
    tiny.train(folder / "out", *data, *STILL, "sampling=epoch", "batch_size=2", "gradient_accumulation_steps=5",
               iterations=2).expect(0)
    both = losses(folder / "out")
    tiny.train(folder / "one", *data, *STILL, "sampling=epoch", iterations=20).expect(0)
    assert abs(sum(both) / 2 - sum(losses(folder / "one")) / 20) < 1e-5


def run_epochs(folder, *arguments):
    return run("train", *text_data(folder), f"out_dir={folder / 'out'}", *tiny.MODEL, *tiny.TRAINING, *STILL, *arguments)


def test_epochs_say_how_many_iterations(folder):
    run_epochs(folder, "sampling=epoch", "epochs=1.5").expect(0)
    assert len(losses(folder / "out")) == 30
    run_epochs(folder, "epochs=2", "overwrite=True", "batch_size=3").expect(0)
    assert len(losses(folder / "out")) == 14
    run_epochs(folder, "epochs=2", "max_iters=5", "overwrite=True").expect(0)
    assert len(losses(folder / "out")) == 5


def test_resume_gives_the_same_bits(folder):
    data = [*text_data(folder), "sampling=epoch", "checkpoint_interval=3", "dropout=0.1"]
    tiny.train(folder / "whole", *data, iterations=19).expect(0)
    tiny.train(folder / "out", *data, "lr_decay_iters=19", iterations=10).expect(0)
    run("train", f"out_dir={folder / 'out'}", "init_from=resume", "max_iters=19").expect(0)
    assert tiny.digest(folder / "out" / "ckpt.mrw") == tiny.digest(folder / "whole" / "ckpt.mrw")


def test_patience_ends_a_run_that_learns_nothing_more(folder):
    patience = [*text_data(folder), *STILL, "eval_interval=2", "patience=3"]
    tiny.train(folder / "out", *patience, iterations=100).expect(0, err="patience=3: the lowest val loss, .* 6 iterations ago")
    assert len(losses(folder / "out")) == 6
    tiny.train(folder / "two", *patience, iterations=4).expect(0)
    run("train", f"out_dir={folder / 'two'}", "init_from=resume", "max_iters=100").expect(0, err="patience=3")
    assert losses(folder / "two") == losses(folder / "out")


def test_unknown_ways_to_draw_are_refused(folder):
    tiny.train(folder / "out", "sampling=all").expect(2, err="random or epoch")


# ---- answers


def records(folder, count=60):
    """Prompts that nobody can predict, and the answer "yes.\""""
    noise = random.Random(4)
    lines = [json.dumps({"prompt": "".join(noise.choice("abcdefgh") for _ in range(noise.randint(3, 9))) + "?",
                         "completion": "yes."}) for _ in range(count)]
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    return [json.loads(line) for line in lines]


def prepare(folder, *arguments):
    return run("prepare", folder / "records.jsonl", "--tokenizer", "byte", "--jsonl-fields", "prompt,completion", "--out",
               folder / "data", *arguments)


def test_answers_alone_are_targets(folder):
    wanted = records(folder)
    prepare(folder, "--answers").expect(0)
    tokens = mask = b""
    for split in ("train", "val"):
        tokens += (folder / "data" / f"{split}.bin").read_bytes()[::2]
        mask += (folder / "data" / f"{split}.mask").read_bytes()
    assert tokens == b"".join((r["prompt"] + r["completion"]).encode() for r in wanted)
    assert mask == b"".join(b"\0" * len(r["prompt"]) + b"\1" * len(r["completion"]) for r in wanted)
    meta = json.loads((folder / "data" / "meta.json").read_text())
    assert meta["train"]["targets"] + meta["val"]["targets"] == 4 * len(wanted)


def test_only_answers_are_learned(folder):
    records(folder)
    size = ["n_layer=2", "n_head=2", "n_embd=32", "block_size=16", "batch_size=8", "family=gpt2", "max_iters=60",
            "lr_decay_iters=60", "gradient_accumulation_steps=1", "eval_iters=4", "eval_interval=60", "warmup_iters=2",
            "learning_rate=1e-2", "min_lr=1e-3", "weight_decay=0"]
    last = {}
    for name, flags in (("answers", ["--answers"]), ("all", [])):
        prepare(folder, *flags).expect(0)
        run("train", f"dataset={folder / 'data'}", f"out_dir={folder / name}", *size).expect(0)
        last[name] = [line["val_loss"] for line in tiny.log_lines(folder / name) if "val_loss" in line][-1]
    assert last["answers"] < 0.3 and last["all"] > 0.8, last


def test_a_mask_of_other_data_is_refused(folder):
    records(folder)
    prepare(folder, "--answers").expect(0)
    mask = folder / "data" / "train.mask"
    whole = mask.read_bytes()
    for bad in (whole[:-1], b"\1" * len(whole)):
        mask.write_bytes(bad)
        tiny.train(folder / "out", f"dataset={folder / 'data'}").expect(1, err=r"train\.mask")
    mask.unlink()
    tiny.train(folder / "out", f"dataset={folder / 'data'}").expect(1, err=r"train\.mask")
    prepare(folder).expect(0)
    tiny.train(folder / "out", f"dataset={folder / 'data'}", iterations=1).expect(0)


def test_answers_need_fields(folder):
    records(folder)
    run("prepare", folder / "records.jsonl", "--tokenizer", "byte", "--jsonl-fields", "prompt", "--answers", "--out",
        folder / "data").expect(2, err="two --jsonl-fields")


main()
