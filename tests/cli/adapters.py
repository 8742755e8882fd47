# SPDX-License-Identifier: GPL-3.0-or-later
"""Trained states and adapters of other programs."""
import json
import math
import random

import tiny
from harness import SOURCE, main, run

TOKENS = "1,2,3,39,5,0"
TIME_STATE = "blocks.0.att.time_state"


def usual(name):
    """About what trained models have."""
    return next((v for part, v in ((".bias", 0), ("ln", 1), ("time_decay_w", 0), ("time_decay", -3), ("w0", -3), ("k_", 0.9)) if part in name), 0)


def model(folder, family, *sizes):
    """Weights that let every part of the model be seen, the same on every machine and whatever `new` starts with."""
    plain = folder / "plain.safetensors"
    run("new", family, *sizes, "vocab_size=40", "--out", plain).expect(0)
    noise = random.Random(1)
    tensors = {n: ("F32", s, [usual(n) + 0.1 * noise.gauss(0, 1) for _ in x]) for n, (s, x) in sorted(tiny.read_safetensors(plain).items())}
    tiny.write_safetensors(plain, tensors)
    return plain, tensors


def states(layers, heads):
    noise = random.Random(2)
    return {f"blocks.{i}.att.time_state": ("F32", [heads, 64, 64], [0.5 * noise.gauss(0, 1) for _ in range(heads * 4096)])
            for i in range(layers)}


def logits(model, *arguments):
    out = model.parent / "logits.safetensors"
    run("logits", model, "--tokens", TOKENS, "--out", out, *arguments).expect(0)
    return tiny.read_safetensors(out)["logits"][1]


def state_model(folder, family):
    return model(folder, family, "n_layer=2", "n_embd=128", "head_size=64")


def test_states_beside_the_weights_as_the_rwkv_package_reads_them(folder):
    """tests/golden/make_states.py made the logits."""
    golden = tiny.read_safetensors(SOURCE / "tests/golden/states.safetensors")
    for family in ("rwkv5", "rwkv6", "rwkv7"):
        plain, tensors = state_model(folder, family)
        with_state = folder / "with.safetensors"
        tiny.write_safetensors(with_state, tensors | states(2, 2))
        want = golden[f"{family}.logits"][1]
        assert tiny.largest_difference(logits(with_state), want) < 1e-5
        assert tiny.largest_difference(logits(with_state, "--step"), want) < 1e-5
        assert tiny.largest_difference(logits(plain), want) > 0.05


def byte_model(folder):
    plain = folder / "bytes.safetensors"
    run("new", "rwkv6", "n_layer=2", "n_embd=128", "vocab_size=256", "--seed", 5, "--out", plain).expect(0)
    noise = random.Random(1)
    tensors = {n: ("F32", s, [v + 0.05 * noise.gauss(0, 1) for v in x]) for n, (s, x) in tiny.read_safetensors(plain).items()}
    tiny.write_safetensors(plain, tensors)
    return plain, tensors


def test_a_state_alone_begins_a_text(folder):
    plain, tensors = byte_model(folder)
    both, alone = folder / "both.safetensors", folder / "state.safetensors"
    tiny.write_safetensors(alone, states(2, 2))
    tiny.write_safetensors(both, tensors | states(2, 2))
    how = ("--tokenizer", "byte", "--prompt", "Once", "--max-tokens", 12, "--temperature", 0)
    text = run("generate", both, *how).expect(0).out
    assert run("generate", plain, *how, "--state-in", alone).expect(0).out == text
    many = ("--num-samples", 2, "--json")
    assert [t["text"] for t in run("generate", plain, *how, *many, "--state-in", alone).expect(0).json()] \
        == [t["text"] for t in run("generate", both, *how, *many).expect(0).json()]
    assert run("generate", plain, *how).expect(0).out != text
    run("generate", plain, *how, "--state-in", plain).expect(1, err="holds no state")
    tiny.write_safetensors(alone, states(1, 2))
    run("generate", plain, *how, "--state-in", alone).expect(1, err=r"blocks\.1\.att\.time_state is missing")
    tiny.write_safetensors(alone, states(2, 1))
    run("generate", plain, *how, "--state-in", alone).expect(1, err=r"not of shape \(2,64,64\)")
    run("convert", both, folder / "c.bin").expect(0, err="the state that texts begin with: only mrw, safetensors, rwkv and st")


def test_states_are_converted_with_the_weights(folder):
    for family in ("rwkv5", "rwkv6", "rwkv7"):
        _, tensors = state_model(folder, family)
        both = folder / "both.safetensors"
        tiny.write_safetensors(both, tensors | states(2, 2))
        source = both
        for out in ("a.mrw", "b.pth", "c.st", "d.st", "e.safetensors"):
            result = run("convert", source, folder / out, "--dtype", "f32", "--json").expect(0).json()[0]
            assert result["not_kept"] == [], result
            assert logits(folder / out) == logits(both), (family, out)
            assert run("compare", both, folder / out, "--json").expect(0).json()[0]["tensors"] == [], (family, out)
            source = folder / out
        assert tiny.read_safetensors(source) == {n: (s, tiny.array.array("f", x)) for n, (_, s, x) in (tensors | states(2, 2)).items()}
        turned, name = tiny.read_safetensors(folder / "c.st")[TIME_STATE][1], TIME_STATE
        wanted = states(2, 2)[name][2]
        assert all(abs(turned[64 * i + j] - wanted[64 * j + i]) < 1e-6 for i in range(64) for j in range(64))


def test_the_loss_is_that_of_texts_that_begin_with_the_state(folder):
    plain, tensors = byte_model(folder)
    both = folder / "both.safetensors"
    tiny.write_safetensors(both, tensors | states(2, 2))
    (folder / "t.txt").write_text("The cat sat on the mat. " * 8)
    run("prepare", folder / "t.txt", "--tokenizer", "byte", "--out", folder / "data").expect(0)
    how = ("--data", folder / "data", "--split", "train", "--json", "--block", 16)
    one, three = (run("eval", both, *how, "--batch", b).expect(0).json()[0]["loss"] for b in (1, 3))
    assert abs(one - three) < 1e-5
    assert abs(run("eval", plain, *how).expect(0).json()[0]["loss"] - one) > 0.01


# ---- adapters ----


def product(b, a, scale):
    """scale B A as a list of rows; b [out][r], a [r][in]."""
    return [[scale * sum(x * a[k][i] for k, x in enumerate(row)) for i in range(len(a[0]))] for row in b]


def matrix(noise, rows, columns):
    return [[noise.gauss(0, 0.3) for _ in range(columns)] for _ in range(rows)]


def flat(rows):
    return [x for row in rows for x in row]


def added(tensors, name, change):
    dtype, shape, numbers = tensors[name]
    return dtype, shape, [x + y for x, y in zip(numbers, flat(change))]


def lora_model(folder):
    return model(folder, "rwkv7", "n_layer=2", "n_embd=32", "head_size=16")


def pairs(tensors, modules, rank):
    noise = random.Random(3)
    return {m: (matrix(noise, tensors[m + ".weight"][1][0], rank), matrix(noise, rank, tensors[m + ".weight"][1][1])) for m in modules}


MODULES = ("blocks.0.att.key", "blocks.1.att.output", "blocks.1.ffn.value")


def merged(folder, tensors, changes):
    out = folder / "merged.safetensors"
    tiny.write_safetensors(out, tensors | {m + ".weight": added(tensors, m + ".weight", c) for m, c in changes.items()})
    return logits(out)


def test_lora_of_rwkv_peft(folder):
    plain, tensors = lora_model(folder)
    some = pairs(tensors, MODULES, 3)
    file, content = folder / "lora.safetensors", {}
    for m, (b, a) in some.items():
        content[m + ".lora_A"] = "F32", [3, len(a[0])], flat(a)
        content[m + ".lora_B"] = "F32", [len(b), 3], flat(b)
    trained = [0.5] * 32
    content["blocks.1.ln1.bias"] = "F32", [32], trained
    tiny.write_safetensors(file, content)
    changed = tensors | {"blocks.1.ln1.bias": ("F32", [32], trained)}
    for given, scale in ((file, 1), (f"{file}:0.5", 0.5)):
        want = merged(folder, changed, {m: product(b, a, scale) for m, (b, a) in some.items()})
        assert tiny.largest_difference(logits(plain, "--lora", given), want) < 1e-5
    run("convert", plain, folder / "c.pth", "--lora", f"{file}:0.5").expect(0)
    assert tiny.largest_difference(logits(folder / "c.pth"), want) < 1e-5
    assert tiny.largest_difference(logits(plain), want) > 1e-3
    run("logits", plain, "--tokens", 1, "--out", folder / "x.safetensors", "--lora", file).expect(0, err="alpha is not known")
    half = folder / "half.safetensors"
    run("convert", plain, half, "--dtype", "f16").expect(0)
    assert tiny.largest_difference(logits(half, "--lora", f"{file}:0.5"), want) < 1e-2


def test_lora_of_hugging_face(folder):
    plain, tensors = lora_model(folder)
    some = pairs(tensors, MODULES, 2)
    content = {}
    for m, (b, a) in some.items():
        content[f"base_model.model.{m}.lora_A.weight"] = "F32", [2, len(a[0])], flat(a)
        content[f"base_model.model.{m}.lora_B.weight"] = "F32", [len(b), 2], flat(b)
    (folder / "peft").mkdir()
    tiny.write_safetensors(folder / "peft/adapter_model.safetensors", content)
    for extra, scale in (({}, 4), ({"use_rslora": True}, 8 / math.sqrt(2))):
        (folder / "peft/adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 8, **extra}))
        want = merged(folder, tensors, {m: product(b, a, scale) for m, (b, a) in some.items()})
        assert tiny.largest_difference(logits(plain, "--lora", folder / "peft"), want) < 1e-5
        assert tiny.largest_difference(logits(plain, "--lora", folder / "peft/adapter_model.safetensors"), want) < 1e-5
    (folder / "peft/adapter_config.json").write_text(json.dumps({"peft_type": "IA3"}))
    run("convert", plain, folder / "c.pth", "--lora", folder / "peft").expect(1, err="peft_type IA3")


def test_lora_of_hugging_face_gpt2(folder):
    """There the weights are (in,out)."""
    plain, tensors = model(folder, "gpt2", "n_layer=1", "n_embd=64", "n_head=1", "block_size=24")
    some = pairs(tensors, ("transformer.h.0.attn.c_attn", "transformer.h.0.mlp.c_fc"), 2)
    content = {}
    for m, (b, a) in some.items():
        content[f"base_model.model.{m}.lora_A.weight"] = "F32", [2, len(a[0])], flat(a)
        content[f"base_model.model.{m}.lora_B.weight"] = "F32", [len(b), 2], flat(b)
    (folder / "peft").mkdir()
    tiny.write_safetensors(folder / "peft/adapter_model.safetensors", content)
    (folder / "peft/adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "lora_alpha": 2, "fan_in_fan_out": True}))
    want = merged(folder, tensors, {m: product(b, a, 1) for m, (b, a) in some.items()})
    run("convert", plain, f"{folder}/hf/").expect(0)
    for base in (plain, folder / "hf"):
        assert tiny.largest_difference(logits(base, "--lora", folder / "peft"), want) < 1e-5, base


def test_pissa_and_disha(folder):
    plain, tensors = lora_model(folder)
    first, now = (pairs(tensors, MODULES[:1], 2)[MODULES[0]] for _ in range(2))
    now = [[[x * 1.5 for x in row] for row in part] for part in now]
    name = MODULES[0]
    for file, words, (b, a) in (("first", "init_lora", first), ("now", "lora", now)):
        tiny.write_safetensors(folder / f"{file}.safetensors", {
            f"{name}.{words}_A": ("F32", [2, len(a[0])], flat(a)), f"{name}.{words}_B": ("F32", [len(b), 2], flat(b))})
    change = [[y - x for x, y in zip(*rows)] for rows in zip(product(*first, 1), product(*now, 1))]
    both = ("--lora", folder / "first.safetensors", "--lora", f"{folder}/now.safetensors:1")
    assert tiny.largest_difference(logits(plain, *both), merged(folder, tensors, {name: change})) < 1e-5
    block = matrix(random.Random(4), 4, 32)
    tiny.write_safetensors(folder / "d.safetensors", {f"{name}.disha": ("F32", [4, 32], flat(block))})
    change = [[block[i % 4][o] for i in range(32)] for o in range(32)]
    assert tiny.largest_difference(logits(plain, "--lora", folder / "d.safetensors"), merged(folder, tensors, {name: change})) < 1e-5


def test_wrong_adapters_are_refused(folder):
    plain, tensors = lora_model(folder)
    file = folder / "l.safetensors"

    def refuse(content, message):
        tiny.write_safetensors(file, {n: ("F32", s, [0.0] * math.prod(s)) for n, s in content.items()})
        run("convert", plain, folder / "c.pth", "--lora", file).expect(1, err=message)
    a, b = "blocks.0.att.key.lora_A", "blocks.0.att.key.lora_B"
    refuse({a: [2, 32]}, "lora_B is missing")
    refuse({a: [2, 31], b: [32, 2]}, "does not fit the model's blocks.0.att.key.weight")
    refuse({a: [2, 32], b: [32, 3]}, "does not fit")
    refuse({"blocks.7.att.key.lora_A": [2, 32], "blocks.7.att.key.lora_B": [32, 2]}, "which the model does not have")
    refuse({b: [32, 2]}, "holds no adapter")
    refuse({"blocks.0.att.time_state": [2, 16, 16]}, "--state-in")
    run("convert", plain, folder / "c.pth", "--lora", folder / "none.pth").expect(1, err="none.pth")


main()
