# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of adapters, and their files."""
import array
import functools
import json
import math
import random
import struct

import tiny
from harness import main, run

TOKENS = "1,2,3,19,5,0,7,7,1"
LORA = ["adapter=lora", "rank=4", "alpha=8"]


@functools.lru_cache(maxsize=None)
def base(family):
    """A model with noise in all tensors, so that every part of it counts."""
    path = tiny.FOLDER / f"base-{family}.safetensors"
    run("new", {"rwkv7": "rwkv7-0b1"}.get(family, family), "n_layer=2", *tiny.FAMILIES[family], "block_size=16", "vocab_size=21",
        "--seed", 5, "--out", path).expect(0)
    raw, noise = bytearray(path.read_bytes()), random.Random(1)
    start = 8 + struct.unpack("<Q", raw[:8])[0]
    raw[start:] = array.array("f", [v + 0.05 * noise.gauss(0, 1) for v in array.array("f", bytes(raw[start:]))]).tobytes()
    path.write_bytes(raw)
    return path


def tune(out, family, *arguments, iterations=6, lora=LORA):
    return run("train", f"dataset={tiny.data()}", f"out_dir={out}", f"init_from={base(family)}", "batch_size=3",
               "block_size=16", "eval_iters=2", "eval_interval=2", "seed=7", f"max_iters={iterations}", "decay_lr=False",
               "learning_rate=1e-2", "gradient_accumulation_steps=1", *lora, *arguments)


def logits(model, *arguments):
    out = tiny.FOLDER / "logits.safetensors"
    run("logits", model, "--tokens", TOKENS, "--out", out, *arguments).expect(0)
    return tiny.read_safetensors(out)["logits"][1]


def test_every_family_learns_and_its_model_stays(folder):
    for family in tiny.FAMILIES:
        before = base(family).read_bytes()
        tune(folder / family, family, iterations=8).expect(0, err="M of them are trained")
        losses = [line["val_loss"] for line in tiny.log_lines(folder / family) if "val_loss" in line]
        assert losses[-1] < losses[0] - 0.05, (family, losses)
        assert base(family).read_bytes() == before
        names = tiny.read_safetensors(folder / family / "adapter_model.safetensors")
        assert all(".lora_A." in n or ".lora_B." in n for n in names)


def test_the_merged_model_has_the_loss_of_training(folder):
    """That is the unmerged one's: same batches, evaluated with the adapter beside the weights."""
    for family in tiny.FAMILIES:
        out = folder / family
        tune(out, family, "targets=key,value,receptance,proj,c_attn,c_fc,qkv,output,fc,gate").expect(0)
        last = [line for line in tiny.log_lines(out) if "val_loss" in line][-1]
        merged = folder / f"{family}.safetensors"
        run("convert", base(family), merged, "--lora", out / "ckpt.mrw").expect(0)
        line = run("train", f"dataset={tiny.data()}", f"out_dir={folder / 'none'}", f"init_from={merged}", "eval_only=True",
                   "--json", "batch_size=3", "block_size=16", "eval_iters=2", "seed=7").expect(0).json()[-1]
        for key in ("train_loss", "val_loss"):
            assert abs(line[key] - last[key]) < 1e-5, (family, line, last)
        assert tiny.largest_difference(logits(base(family)), logits(merged)) > 1e-3


def test_the_first_loss_is_that_of_the_model(folder):
    tune(folder / "out", "rwkv7", iterations=1).expect(0)
    first = tiny.log_lines(folder / "out")[0]
    line = run("train", f"dataset={tiny.data()}", f"out_dir={folder / 'none'}", f"init_from={base('rwkv7')}", "eval_only=True",
               "--json", "batch_size=3", "block_size=16", "eval_iters=2", "seed=7").expect(0).json()[-1]
    assert abs(first["val_loss"] - line["val_loss"]) < 1e-6, (first, line)


def test_the_gradient_is_that_of_the_product(folder):
    """The whole matrix's gradient G gives B's: scale G A^T. One Adam step shows its signs."""
    family = "gpt2"
    tune(folder / "out", family, "targets=c_fc", "grad_clip=0", "weight_decay=0", iterations=1).expect(0)
    tune(folder / "zero", family, "targets=c_fc", "learning_rate=0", iterations=1).expect(0)
    run("convert", base(family), folder / "whole.safetensors").expect(0)
    a = tiny.read_mrw(folder / "zero" / "ckpt.mrw")
    b = tiny.read_mrw(folder / "out" / "ckpt.mrw")
    m = {n: v for n, v in b.items() if n.startswith("adamw.m.")}
    tune(folder / "full", family, "adapter=none", "train_only=*.c_fc.weight", "grad_clip=0", "weight_decay=0", "dropout=0",
         iterations=1, lora=[]).expect(0)
    full = tiny.read_mrw(folder / "full" / "ckpt.mrw")
    for block in (0, 1):
        name = f"transformer.h.{block}.mlp.c_fc"
        rank, width = a[f"{name}.lora_A.weight"][0]
        matrix, gradient = a[f"{name}.lora_A.weight"][1], full[f"adamw.m.{name}.weight"][1]
        got, out = m[f"adamw.m.{name}.lora_B.weight"][1], full[f"{name}.weight"][0][0]
        want = [2 * math.fsum(gradient[o * width + i] * matrix[r * width + i] for i in range(width))
                for o in range(out) for r in range(rank)]
        scale = max(map(abs, want))
        assert scale > 0 and max(abs(x - y) for x, y in zip(got, want)) < 1e-4 * scale


def test_quantised_models_take_adapters(folder):
    """What the adapter learns on rounded weights is nearly what it learns on the whole ones."""
    exact = [line["loss"] for line in tiny_losses(folder / "f32", "rwkv7")]
    for precision, close in (("f16", 5e-3), ("q8_0", 5e-2), ("q4_0", 0.3)):
        losses = [line["loss"] for line in tiny_losses(folder / precision, "rwkv7", f"precision={precision}")]
        assert losses != exact and max(abs(a - b) for a, b in zip(losses, exact)) < close, (precision, losses, exact)
        assert losses[-1] < losses[0] - 0.05


def test_quantised_rwkv6_takes_adapters(folder):
    exact = [line["loss"] for line in tiny_losses(folder / "f32", "rwkv6")]
    losses = [line["loss"] for line in tiny_losses(folder / "q8_0", "rwkv6", "precision=q8_0", "targets=key,output")]
    assert max(abs(a - b) for a, b in zip(losses[:1], exact)) < 5e-2 and losses[-1] < losses[0] - 0.05, (losses, exact)


def tiny_losses(out, family, *arguments):
    tune(out, family, *arguments).expect(0)
    return [line for line in tiny.log_lines(out) if "loss" in line]


def test_resume_gives_the_same_bits(folder):
    """From the checkpoint alone, which knows its model."""
    hard = ["dropout=0.2", "gradient_accumulation_steps=2", "precision=q8_0"]
    tune(folder / "whole", "rwkv7", *hard, iterations=7).expect(0)
    tune(folder / "out", "rwkv7", *hard, iterations=4).expect(0)
    run("train", f"out_dir={folder / 'out'}", "init_from=resume", "max_iters=7").expect(0, err="continuing at iteration 4")
    assert tiny.read_mrw(folder / "out" / "ckpt.mrw") == tiny.read_mrw(folder / "whole" / "ckpt.mrw")
    assert (folder / "out" / "adapter_model.safetensors").read_bytes() == \
        (folder / "whole" / "adapter_model.safetensors").read_bytes()


def test_dropout_changes_what_is_learned(folder):
    tune(folder / "none", "rwkv7").expect(0)
    tune(folder / "some", "rwkv7", "dropout=0.5").expect(0)
    assert tiny.read_mrw(folder / "none" / "ckpt.mrw") != tiny.read_mrw(folder / "some" / "ckpt.mrw")


def test_both_layouts_hold_the_same(folder):
    out = folder / "out"
    tune(out, "gpt2").expect(0)
    run("convert", out, folder / "a.pth").expect(0, err=r"alpha / rank = 2: .*--lora .*a\.pth:2")
    run("convert", f"{folder / 'a.pth'}:2", folder / "peft").expect(0)
    config = json.loads((folder / "peft" / "adapter_config.json").read_text())
    assert config["r"] == 4 and config["lora_alpha"] == 8 and "c_fc" in config["target_modules"]
    assert json.loads((out / "adapter_config.json").read_text())["fan_in_fan_out"] is True
    want = logits(base("gpt2"), "--lora", out)
    for spec in (out / "best.mrw", f"{folder / 'a.pth'}:2", folder / "peft"):
        assert logits(base("gpt2"), "--lora", spec) == want
    assert tiny.largest_difference(want, logits(base("gpt2"))) > 1e-3


def test_parts_may_be_trained_as_a_whole_beside_it(folder):
    out = folder / "out"
    tune(out, "rwkv7", "targets=att.key", "train_only=*.ln2.*").expect(0)
    names = tiny.read_safetensors(out / "adapter_model.safetensors")
    assert len(names) == 8 and "base_model.model.blocks.1.ln2.bias" in names, sorted(names)
    assert tiny.largest_difference(logits(base("rwkv7"), "--lora", out), logits(base("rwkv7"))) > 1e-4


def test_the_plan_shows_what_is_saved(folder):
    def plan(*arguments):
        return run("info", "rwkv7-0b1", "--plan", *arguments).expect(0).json()[0]["plan"]["training"]
    whole, part = plan(), plan("--rank", 8, "--targets", "att.*", "--precision", "q8_0")
    assert 0 < part["gradients"] < whole["gradients"] / 50 and 0 < part["moments"] < whole["moments"] / 50
    assert part["parameters"] < whole["parameters"] / 3
    run("info", "gpt2", "--plan", "--rank", 8, "--targets", "nothing").expect(2, err="no linear layer")


def test_rollback_returns_to_the_saved_adapter(folder):
    tune(folder / "out", "rwkv7", iterations=5).expect(0)
    run("train", f"out_dir={folder / 'out'}", "init_from=resume", "learning_rate=1e30", "max_iters=50", "on_nan=rollback",
        "eval_interval=1000").expect(1, err="back to iteration 5")


def test_what_makes_no_sense_is_refused(folder):
    out = folder / "out"
    tune(out, "rwkv7", "targets=nothing").expect(2, err=r"targets=nothing: no linear layer.*blocks\.1\.ffn")
    tune(out, "rwkv7", "rank=0").expect(2, err="rank 0")
    tune(out, "rwkv7", "adapter=bone").expect(2, err="none, lora or state")
    tune(out, "rwkv7", "init_from=scratch").expect(2, err="init_from=MODEL")
    tune(out, "rwkv7", "adapter=none").expect(2, err="rank belongs to another adapter")
    tune(out, "rwkv7").expect(0)
    run("generate", out, "--prompt", "a").expect(1, err="holds an adapter, not a model")
    run("train", f"out_dir={out}", "init_from=resume", "rank=8").expect(1, err="another rank")
    run("convert", out, folder / "a.gguf").expect(2, err="folder of Hugging Face PEFT")


main()
