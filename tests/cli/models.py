# SPDX-License-Identifier: GPL-3.0-or-later
"""info, logits and grad; and model files that are broken."""
import os

import tiny
from harness import main, run

TOKENS = "1,2,3,4,5,6,7,8,9,0,1,2,3"


def logits(model, out, *arguments, tokens=TOKENS):
    run("logits", model, "--tokens", tokens, "--out", out, *arguments).expect(0)
    return tiny.read_safetensors(out)["logits"]


def gradients(model, folder, targets):
    tiny.write_safetensors(folder / "b.safetensors", {"tokens": ("I32", [2, 5], [1, 2, 3, 4, 5, 5, 4, 3, 2, 1]),
                                                      "targets": ("I32", [2, 5], targets)})
    run("grad", model, "--batch", folder / "b.safetensors", "--out", folder / "g.safetensors").expect(0)
    return tiny.read_safetensors(folder / "g.safetensors")


def test_info_has_the_promised_keys(folder):
    line = run("info", tiny.model()).expect(0).json()[0]
    assert line["family"] == "microrwkv" and line["mode"] == "causal" and line["config"]["n_embd"] == 16
    assert line["parameters"] > 1000 and line["tensors"] and len(line["digest"]) == 32


def test_info_lists_tensors(folder):
    text = run("info", tiny.model(), "--tensors").expect(0).text()
    assert "transformer.wte.weight" in text and "transformer.h.1.moe.fc.weight" in text


def test_info_works_without_a_device(folder):
    with_device = run("info", tiny.model()).expect(0).out
    assert run("info", tiny.model(), environment={"OCL_ICD_VENDORS": folder}).expect(0).out == with_device


def test_plans_need_neither_weights_nor_a_device(folder):
    for family in ("microrwkv", "nanorwkv", "gpt2"):
        line = run("info", family, "--plan", folder=folder, environment={"OCL_ICD_VENDORS": folder}).expect(0).json()[0]
        plan = line["plan"]["training"]
        assert plan["parameters"] >= 4 * line["parameters"] > 1e8 and plan["total"] > 4 * plan["parameters"]
        assert line["plan"]["decoding"]["total"] < plan["total"] / 3


def test_digest_is_of_the_tensors_alone(folder):
    best, checkpoint = tiny.model() / "best.mrw", tiny.model() / "ckpt.mrw"
    assert tiny.digest(best) == tiny.digest(best)
    tiny.train(folder / "m", iterations=20).expect(0)
    assert tiny.digest(folder / "m" / "ckpt.mrw") == tiny.digest(checkpoint)
    tiny.train(folder / "n", "seed=8", iterations=20).expect(0)
    assert tiny.digest(folder / "n" / "ckpt.mrw") != tiny.digest(checkpoint)


def test_logits_have_a_row_per_token(folder):
    shape, numbers = logits(tiny.model(), folder / "l.safetensors")
    assert shape[0] == 13 and len(numbers) == shape[0] * shape[1]


def test_tokens_from_a_file(folder):
    (folder / "ids").write_text(TOKENS.replace(",", "\n") + "\n")
    assert logits(tiny.model(), folder / "a.safetensors") == logits(tiny.model(), folder / "b.safetensors", tokens=f"@{folder / 'ids'}")


def test_steps_give_the_same_logits(folder):
    tokens = ",".join(str(i * 7 % 21) for i in range(50))
    _, whole = logits(tiny.model(), folder / "a.safetensors", tokens=tokens)
    _, steps = logits(tiny.model(), folder / "b.safetensors", "--step", tokens=tokens)
    assert tiny.largest_difference(steps, whole) < 1e-4


def test_plans_follow_the_precision(folder):
    sizes = {}
    for precision in ("f32", "f16", "q8_0", "q4_0"):
        line = run("info", "rwkv6-1b6", "--plan", "--precision", precision, folder=folder).expect(0).json()[0]
        sizes[precision] = line["plan"]["decoding"]["parameters"]
    assert sizes["f16"] < 0.55 * sizes["f32"] and sizes["q8_0"] < 0.32 * sizes["f32"] and sizes["q4_0"] < 0.2 * sizes["f32"], sizes
    run("info", "rwkv4", "--plan", "--precision", "q3", folder=folder).expect(2, err="unknown precision")


def test_steps_are_refused_in_reference_mode(folder):
    tiny.train(folder / "m", "mode=reference", iterations=1).expect(0)
    run("logits", folder / "m", "--tokens", "1,2", "--out", folder / "l.safetensors", "--step").expect(2, err="reference")


def test_beyond_learned_positions_is_refused(folder):
    tiny.train(folder / "m", "positions=learned", iterations=1).expect(0)
    many = ",".join("1" * 17)
    run("logits", folder / "m", "--tokens", many, "--out", folder / "l.safetensors").expect(1, err="block_size|16")


def test_unknown_tokens_are_refused(folder):
    for token in ("9999", "-1"):
        status = run("logits", tiny.model(), "--tokens", f"1,{token}", "--out", folder / "l.safetensors").expect(1, err=token)
        assert not (folder / "l.safetensors").exists(), status


def test_gradients_of_every_parameter(folder):
    g = gradients(tiny.model(), folder, [2, 3, 4, 5, 6, 4, 3, 2, 1, 0])
    listed = run("info", tiny.model(), "--tensors").expect(0).text()
    assert {"loss", "logits", "grad.transformer.wte.weight", "grad.transformer.h.0.tmix.time_decay"} <= set(g)
    assert g["logits"][0][:2] == [2, 5] and g["loss"][1][0] > 0
    for name in g:
        assert not name.startswith("grad.") or name[5:] in listed, name


def test_no_target_gives_no_gradient(folder):
    tiny.train(folder / "m", "aux=none", iterations=1).expect(0)
    g = gradients(folder / "m", folder, [-1] * 10)
    assert g["loss"][1][0] == 0
    assert all(not any(numbers) for name, (_, numbers) in g.items() if name.startswith("grad."))


def test_cut_checkpoints_are_refused(folder):
    whole = (tiny.model() / "best.mrw").read_bytes()
    for size in (0, 3, 7, 40, len(whole) // 2, len(whole) - 1):
        (folder / "cut.mrw").write_bytes(whole[:size])
        run("generate", folder / "cut.mrw", "--prompt", "a").expect(1, err=r"cut\.mrw")


def test_altered_checkpoints_are_refused(folder):
    whole = (tiny.model() / "best.mrw").read_bytes()
    for part in range(12):
        at = len(whole) * part // 12 + part
        (folder / "bad.mrw").write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1:])
        run("generate", folder / "bad.mrw", "--prompt", "a").expect(1, err=r"bad\.mrw")


def test_files_that_are_no_models_are_refused(folder):
    (folder / "text.mrw").write_text("This is a letter, not a model. " * 100)
    run("info", folder / "text.mrw").expect(1, err=r"text\.mrw")
    (folder / "x.safetensors").write_bytes(b"\xff" * 100)
    run("info", folder / "x.safetensors").expect(1, err=r"x\.safetensors")


def test_names_do_not_decide(folder):
    os.symlink(tiny.model() / "best.mrw", folder / "weights.bin")
    assert tiny.digest(folder / "weights.bin") == tiny.digest(tiny.model() / "best.mrw")


def test_overrides_change_the_configuration(folder):
    line = run("info", tiny.model(), "--config", "window=4").expect(0).json()[0]
    assert line["config"]["window"] == 4
    run("info", tiny.model(), "--config", "windows=4").expect(2, err="window")


main()
