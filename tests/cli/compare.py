# SPDX-License-Identifier: GPL-3.0-or-later
"""microrwkv compare, and convert --verify."""
import tiny
from harness import main, run

SIZES = ["n_layer=2", "n_embd=64", "vocab_size=40"]


def make(out, name="rwkv6", seed=5):
    run("new", name, *SIZES, "--seed", seed, "--out", out).expect(0)
    return out


def test_equal_models_are_equal(folder):
    a = make(folder / "a.safetensors")
    run("convert", a, folder / "b.pth").expect(0)
    result = run("compare", a, folder / "b.pth", "--json").expect(0).json()[0]
    assert result["difference"] == 0 and result["tensors"] == [] and result["tokens"] == 32, result
    run("compare", a, folder / "b.pth").expect(0, out="all tensors are equal")


def test_tensors_that_differ_are_named(folder):
    a, b = make(folder / "a.safetensors"), folder / "b.safetensors"
    tensors = {n: ("F32", s, list(x)) for n, (s, x) in tiny.read_safetensors(a).items()}
    tensors["emb.weight"][2][7] += 1
    tensors["blocks.1.ffn.key.weight"][2][3] -= 0.5
    tensors["blocks.1.ffn.key.weight"][2][4] += 0.25
    tensors["head.weight"][2][9] += 2  # the others do not reach the logits: outputs start at 0
    tiny.write_safetensors(b, tensors)
    found = {t["name"]: t for t in run("compare", a, b, "--json", "--tolerance", 100).expect(0).json()[0]["tensors"]}
    assert set(found) == {"emb.weight", "blocks.1.ffn.key.weight", "head.weight"}, found
    assert found["blocks.1.ffn.key.weight"]["count"] == 2
    assert abs(found["blocks.1.ffn.key.weight"]["largest"] - 0.5) < 1e-6
    run("compare", a, b).expect(1, out=r"emb\.weight: 1 of 2560 numbers", err="is the tolerance")


def test_states_that_texts_begin_with_are_compared(folder):
    a, b = make(folder / "a.safetensors"), folder / "b.safetensors"
    tensors = {n: ("F32", s, x) for n, (s, x) in tiny.read_safetensors(a).items()}
    state = {f"blocks.{i}.att.time_state": ("F32", [1, 64, 64], [0.25] * 4096) for i in range(2)}
    tiny.write_safetensors(b, tensors | state)
    for first, second in ((a, b), (b, a)):
        found = run("compare", first, second, "--json", "--tolerance", 100).expect(0).json()[0]["tensors"]
        assert [(t["name"], t["count"], t["largest"]) for t in found] == [(n, 4096, 0.25) for n in state], found
    assert run("compare", b, b, "--json").expect(0).json()[0]["tensors"] == []


def test_two_families_have_logits_in_common(folder):
    result = run("compare", make(folder / "a.pth"), make(folder / "b.pth", "rwkv7"), "--tolerance", 100, "--json").expect(0).json()[0]
    assert result["difference"] > 0 and "tensors" not in result
    run("new", "rwkv6", "n_layer=1", "n_embd=64", "vocab_size=41", "--out", folder / "c.pth").expect(0)
    run("compare", folder / "a.pth", folder / "c.pth").expect(1, err="different vocabularies: 40 and 41")


def test_convert_verify(folder):
    a = folder / "a.safetensors"  # of a family whose matrices all start other than 0
    run("new", "gpt2", *SIZES, "n_head=2", "block_size=64", "--out", a).expect(0)
    run("convert", a, folder / "b.mrw", "--verify").expect(0, out=r"largest difference of 1280 logits of 32 tokens: 0,")
    for dtype, largest in (("f16", 1e-2), ("bf16", 5e-2), ("q8_0", 5e-2), ("q4_0", 0.5)):
        lines = run("convert", a, folder / f"{dtype}.mrw", "--dtype", dtype, "--verify", "--json").expect(0).json()
        assert 0 < lines[1]["relative"] < largest == lines[1]["tolerance"], lines[1]


main()
