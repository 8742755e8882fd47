# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of the states that texts begin with."""
import array
import math
import random
import struct

import tiny
from harness import main, run

BLOCK = 16
TEXT = "the cat sat on a mat, a dog ran."[:BLOCK + 1] * 2


def base(folder):
    """A model with noise in all tensors, so that its states count."""
    path = folder / "base.safetensors"
    run("new", "rwkv7-0b1", "n_layer=2", *tiny.FAMILIES["rwkv7"], "block_size=16", "vocab_size=256", "--seed", 5, "--out",
        path).expect(0)
    raw, noise = bytearray(path.read_bytes()), random.Random(1)
    start = 8 + struct.unpack("<Q", raw[:8])[0]
    raw[start:] = array.array("f", [v + 0.05 * noise.gauss(0, 1) for v in array.array("f", bytes(raw[start:]))]).tobytes()
    path.write_bytes(raw)
    return path


def tune(folder, out, *arguments, iterations=6):
    """Train and val are one window each, so that every batch is that window."""
    (folder / "text.txt").write_text(TEXT)
    run("prepare", folder / "text.txt", "--tokenizer", "byte", "--val-fraction", 0.5, "--out", folder / "data").expect(0)
    return run("train", f"dataset={folder / 'data'}", f"out_dir={out}", f"init_from={folder / 'base.safetensors'}",
               "adapter=state", "batch_size=2", f"block_size={BLOCK}", "eval_iters=1", "eval_interval=2", "seed=7",
               f"max_iters={iterations}", "decay_lr=False", "learning_rate=0.1", "gradient_accumulation_steps=1", "l2wrap=0",
               "grad_clip=0", "weight_decay=0", *arguments)


def loss(folder, states):
    """Of the window, by a model that has the states beside its weights; by name: (shape, numbers)."""
    path = folder / "with.safetensors"
    weights = tiny.read_safetensors(folder / "base.safetensors") | states
    tiny.write_safetensors(path, {n: ("F32", s, list(x)) for n, (s, x) in weights.items()})
    ids = TEXT[:BLOCK + 1].encode()
    out = folder / "logits.safetensors"
    run("logits", path, "--tokens", ",".join(map(str, ids[:BLOCK])), "--out", out).expect(0)
    shape, values = tiny.read_safetensors(out)["logits"]
    width, total = shape[-1], 0
    for i in range(BLOCK):
        row = values[i * width:(i + 1) * width]
        top = max(row)
        total += top + math.log(sum(math.exp(x - top) for x in row)) - row[ids[i + 1]]
    return total / BLOCK


def transposed(numbers):
    """[H,N,N] with its last two axes exchanged."""
    n = 64
    return [numbers[h + i * n + j] for h in range(0, len(numbers), n * n) for j in range(n) for i in range(n)]


def test_the_learned_state_has_the_loss_of_training(folder):
    base(folder)
    tune(folder, folder / "out").expect(0, err="M of them are trained")
    values = [line["val_loss"] for line in tiny.log_lines(folder / "out") if "val_loss" in line]
    assert values[-1] < values[0] - 0.1, values
    states = {n.replace("initial_state", "time_state"): (s, transposed(x))
              for n, (s, x) in tiny.read_mrw(folder / "out" / "best.mrw").items()}
    assert sorted(states) == [f"blocks.{i}.att.time_state" for i in range(2)]
    assert abs(loss(folder, {}) - values[0]) < 1e-5
    assert abs(loss(folder, states) - values[-1]) < 1e-5


def test_the_gradient_is_the_difference_quotient(folder):
    base(folder)
    tune(folder, folder / "out", iterations=1).expect(0)
    gradient = {n[8:].replace("initial_state", "time_state"): (s, [10 * v for v in transposed(x)])
                for n, (s, x) in tiny.read_mrw(folder / "out" / "ckpt.mrw").items() if n.startswith("adamw.m.")}
    norm = math.sqrt(sum(v * v for _, x in gradient.values() for v in x))
    up, down = (loss(folder, {n: (s, [step * v / norm for v in x]) for n, (s, x) in gradient.items()}) for step in (0.05, -0.05))
    assert norm > 1e-3 and abs((up - down) / 0.1 - norm) < 0.01 * norm, (up, down, norm)


def test_the_file_is_read_by_generate(folder):
    base(folder)
    tune(folder, folder / "out").expect(0)
    asked = ["generate", folder / "base.safetensors", "--tokenizer", "byte", "--prompt", "the", "--max-tokens", 8,
             "--temperature", 0, "--json"]
    plain, tuned = run(*asked).expect(0), run(*asked, "--state-in", folder / "out" / "state.pth").expect(0)
    assert plain.json()[-1] != tuned.json()[-1]


def test_resume_gives_the_same_bits(folder):
    base(folder)
    tune(folder, folder / "whole", iterations=5).expect(0)
    tune(folder, folder / "out", iterations=3).expect(0)
    run("train", f"out_dir={folder / 'out'}", "init_from=resume", "max_iters=5").expect(0)
    assert tiny.read_mrw(folder / "out" / "ckpt.mrw") == tiny.read_mrw(folder / "whole" / "ckpt.mrw")


def test_what_makes_no_sense_is_refused(folder):
    base(folder)
    tune(folder, folder / "out", "rank=4").expect(2, err="rank belongs to another adapter")
    tune(folder, folder / "out", f"init_from={tiny.model() / 'best.mrw'}").expect(2, err="RWKV-7")


main()
