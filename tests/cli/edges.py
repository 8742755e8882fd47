# SPDX-License-Identifier: GPL-3.0-or-later
"""The smallest sizes, windows beyond the text, experts that get nothing or everything, weights at the edge of float."""
import json
import math

import tiny
from harness import main, run

SMALL = ["n_layer=1", "vocab_size=5", "block_size=12"]
FAMILIES = {
    "microrwkv": ["n_embd=8", "n_head=1", "groups=1", "expert_dim=4", "window=3", "aux=none"],
    "nanorwkv": ["n_embd=8", "n_head=1"],
    "gpt2": ["n_embd=8", "n_head=1"],
    "rwkv4-169m": ["n_embd=8"],
    "rwkv5-0b1": ["n_embd=8", "head_size=8"],
    "rwkv6-1b6": ["n_embd=8", "head_size=8"],
    "rwkv7-0b1": ["n_embd=8", "head_size=8"],
}
TRAINABLE = ["microrwkv", "nanorwkv", "gpt2", "rwkv4-169m", "rwkv7-0b1"]
TOKENS = [0, 3, 1, 4, 4, 2, 0, 1, 3, 2]


def new(folder, family, *settings):
    path = folder / "model.safetensors"
    run("new", family, *SMALL, *FAMILIES[family], *settings, "--out", path).expect(0)
    return path


def logits(model, tokens, *options):
    out = model.parent / "logits.safetensors"
    run("logits", model, "--tokens", ",".join(map(str, tokens)), "--out", out, *options).expect(0)
    shape, numbers = tiny.read_safetensors(out)["logits"]
    assert shape[0] == len(tokens)
    return numbers


def check(model, tokens):
    """In one call and in single steps the logits are the same finite numbers."""
    whole, steps = logits(model, tokens), logits(model, tokens, "--step")
    assert all(map(math.isfinite, whole)) and all(map(math.isfinite, steps))
    largest = max(map(abs, whole))
    assert max(abs(x - y) for x, y in zip(whole, steps)) <= 1e-4 * largest
    return whole


def test_one_layer_and_one_head(folder):
    for family in FAMILIES:
        assert len(set(check(new(folder, family), TOKENS))) > 5, family


def gradients(model, tokens, targets, rows=1):
    batch, out = model.parent / "batch.safetensors", model.parent / "gradients.safetensors"
    shape = [rows, len(tokens) // rows]
    tiny.write_safetensors(batch, {"tokens": ("I32", shape, tokens), "targets": ("I32", shape, targets)})
    run("grad", model, "--batch", batch, "--out", out).expect(0)
    found = tiny.read_safetensors(out)
    assert all(math.isfinite(x) for _, numbers in found.values() for x in numbers)
    return {name[5:]: numbers for name, (_, numbers) in found.items() if name.startswith("grad.")}


def change(model, **changes):
    """Sets whole tensors, named by the end of their names (dots as _), to a number or what a function makes of each."""
    raw = model.read_bytes()
    header = json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])
    done, out = set(), {}
    for name, (shape, numbers) in tiny.read_safetensors(model).items():
        for end, how in changes.items():
            if name.replace(".", "_").endswith(end):
                numbers = [how(i, x) if callable(how) else how for i, x in enumerate(numbers)]
                done.add(end)
        out[name] = "F32", shape, numbers
    assert done == set(changes), done
    tiny.write_safetensors(model, out, header["__metadata__"])
    return model


def test_a_text_of_one_token(folder):
    for family in FAMILIES:
        model = new(folder, family)
        first = logits(model, TOKENS)[:5]
        assert tiny.largest_difference(check(model, TOKENS[:1]), first) < 1e-5, family
        if family in TRAINABLE:
            assert any(gradients(model, [3], [1]).values()), family


def test_a_vocabulary_of_one(folder):
    for family in FAMILIES:
        model = new(folder, family, "vocab_size=1")
        assert len(check(model, [0] * 5)) == 5, family
        if family in TRAINABLE:
            assert not any(map(any, gradients(model, [0] * 5, [0] * 5).values())), family


def test_windows_of_one_and_beyond_the_text(folder):
    """A window that the text does not fill changes nothing, however large; of one, each token sees itself alone."""
    found = {}
    for window in (1, len(TOKENS), 12, 5000):
        model = new(folder, "microrwkv", f"window={window}")
        found[window] = check(model, TOKENS)
        gradients(model, TOKENS, TOKENS[1:] + [0])
    assert found[12] == found[5000] and tiny.largest_difference(found[12], found[len(TOKENS)]) < 1e-6
    assert tiny.largest_difference(found[12], found[1]) > 1e-3


TOPK = ["moe=topk", "num_experts=3", "num_active_experts=1"]


def expert_is_used(gradients, expert):
    return any(gradients[f"transformer.h.0.moe.experts.{expert}.weight"])


def test_all_equal_gates(folder):
    """Every expert gets the same weight, or with topk the first ones every token."""
    for settings in (["num_experts=3", "num_active_experts=3"], TOPK, [*TOPK, "num_active_experts=2"]):
        model = change(new(folder, "microrwkv", *settings), moe_gate_weight=0, moe_gate_bias=0)
        check(model, TOKENS)
        found = gradients(model, TOKENS, TOKENS[1:] + [0])
        used = [expert_is_used(found, e) for e in range(3)]
        active = int(settings[-1].split("=")[1])
        assert used == [e < active for e in range(3)], (settings, used)


def test_an_expert_with_all_tokens_and_one_with_none(folder):
    for chosen in range(3):
        model = change(new(folder, "microrwkv", *TOPK), moe_gate_bias=lambda i, _: 1e4 if i == chosen else -1e4)
        check(model, TOKENS)
        found = gradients(model, TOKENS, TOKENS[1:] + [0])
        assert [expert_is_used(found, e) for e in range(3)] == [e == chosen for e in range(3)], chosen


def test_weights_smaller_than_normal_floats(folder):
    """They count as they are or as 0, in every format, and nothing is divided by them."""
    for family in FAMILIES:
        model = change(new(folder, family, "n_embd=32", "expert_dim=32"), weight=lambda i, _: 1e-42 if i % 2 else -1e-40)
        check(model, TOKENS)
        if family == "microrwkv":
            gradients(model, TOKENS, TOKENS[1:] + [0])
        for precision in ("f16", "bf16", "q8_0", "q5_1", "q4_0"):
            assert all(map(math.isfinite, logits(model, TOKENS[:3], "--precision", precision))), (family, precision)


def test_training_on_one_character_a_position_at_a_time(folder):
    text, data = folder / "text.txt", folder / "data"
    text.write_text("a" * 400)
    run("prepare", text, "--tokenizer", "char", "--out", data).expect(0)
    for family in TRAINABLE:
        out = folder / family
        run("train", f"dataset={data}", f"out_dir={out}", f"init_from={new(folder, family, 'vocab_size=1')}", "block_size=1",
            "batch_size=2", "max_iters=2", "eval_iters=1", "eval_interval=1", "warmup_iters=0").expect(0)
        losses = [line[key] for line in tiny.log_lines(out) for key in ("train_loss", "val_loss", "loss") if key in line]
        assert len(losses) > 4 and not any(losses), family
        run("generate", out, "--prompt", "a", "--max-tokens", "3").expect(0, out="^a?aaa$")


def test_an_infinite_weight_is_named(folder):
    model = change(new(folder, "gpt2", f"vocab_size={len(set(tiny.TEXT))}"),
                   mlp_c_proj_weight=lambda i, x: x if i else math.inf)
    run("logits", model, "--tokens", "1,2", "--out", folder / "l.safetensors").expect(
        1, err=r"not finite.* in transformer\.h\.0\.mlp\.")
    run("train", f"dataset={tiny.data()}", f"out_dir={folder / 'out'}", f"init_from={model}", "max_iters=1", "batch_size=1",
        "block_size=12").expect(1, err=r"first tensor that is not finite: transformer\.h\.0\.mlp\.c_proj\.weight")
    assert not list((folder / "out").glob("*.mrw"))


main()
