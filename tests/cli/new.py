# SPDX-License-Identifier: GPL-3.0-or-later
"""new: random weights by name; info and plans of models that exist only by name."""
import hashlib

import tiny
from harness import main, run

SMALL = ["n_layer=2", "n_embd=32", "vocab_size=40", "block_size=24"]
NAMES = {"microrwkv": ["n_head=2", "expert_dim=8", "groups=2", "window=8"], "nanorwkv": ["n_head=2"], "gpt2": ["n_head=2"],
         "rwkv4-169m": ["ffn_dim=48"], "rwkv5-0b1": ["head_size=16"], "rwkv6-1b6": ["head_size=8", "lora_mix=4", "lora_decay=6"],
         "rwkv7-0b1": ["head_size=8", "lora_w=4", "lora_a=5", "lora_v=6", "lora_g=7"]}


def make(out, name="rwkv6-1b6", *arguments, seed=3):
    return run("new", name, *SMALL, *NAMES.get(name, []), *arguments, "--seed", seed, "--out", out)


def test_every_family_is_made_and_read_again(folder):
    for name in NAMES:
        make(folder / "m.mrw", name).expect(0)
        line = run("info", folder / "m.mrw", "--json").expect(0).json()[0]
        assert line["family"] == name.split("-")[0] and line["config"]["n_embd"] == 32 and line["config"]["n_layer"] == 2
        assert line["parameters"] > line["parameters_without_embeddings"] > 5000 and line["precision"] == {"f32": line["parameters"]}


def test_no_device_is_needed(folder):
    run("new", "gpt2", *SMALL, "n_head=2", "--out", folder / "m.safetensors", environment={"OCL_ICD_VENDORS": folder}).expect(0)
    run("convert", folder / "m.safetensors", folder / "m.pt", environment={"OCL_ICD_VENDORS": folder}).expect(0)
    run("info", folder / "m.pt", "--tensors", environment={"OCL_ICD_VENDORS": folder}).expect(0)


def test_the_seed_decides(folder):
    digests = []
    for number, seed in enumerate((1, 1, 2)):
        make(folder / f"{number}.mrw", seed=seed).expect(0)
        digests.append(tiny.digest(folder / f"{number}.mrw"))
    assert digests[0] == digests[1] != digests[2]


def test_training_from_scratch_begins_with_the_same_weights(folder):
    tiny.train(folder / "out", "learning_rate=0", "min_lr=0").expect(0)
    config = run("info", folder / "out" / "ckpt.mrw").expect(0).json()[0]["config"]
    keys = [f"{key}={value}" for key, value in config.items()]
    run("new", "microrwkv", *keys, "--seed", 7, "--out", folder / "new.mrw").expect(0)
    run("convert", folder / "out" / "ckpt.mrw", folder / "weights.safetensors").expect(0)
    assert tiny.digest(folder / "new.mrw") == tiny.digest(folder / "weights.safetensors")


def test_formats_hold_the_same_numbers(folder):
    for ending in ("mrw", "safetensors", "pth"):
        make(folder / f"m.{ending}").expect(0)
    assert len({tiny.digest(folder / f"m.{ending}") for ending in ("mrw", "safetensors", "pth")}) == 1


def test_other_precisions(folder):
    make(folder / "h.safetensors", "rwkv6-1b6", "--dtype", "bf16").expect(0)
    make(folder / "q.bin", "rwkv6-1b6", "--dtype", "q8_0").expect(0)
    assert set(run("info", folder / "h.safetensors").expect(0).json()[0]["precision"]) == {"bf16"}
    assert set(run("info", folder / "q.bin").expect(0).json()[0]["precision"]) == {"f32", "q8_0"}


def test_folders_in_hugging_face_layout(folder):
    make(folder / "g", "gpt2").expect(0)
    assert sorted(p.name for p in (folder / "g").iterdir()) == ["config.json", "model.safetensors"]
    line = run("info", folder / "g").expect(0).json()[0]
    assert line["family"] == "gpt2" and line["config"]["n_head"] == 2


def test_plans_by_name(folder):
    sizes = {"gpt2": 124e6, "gpt2-medium": 355e6, "gpt2-large": 774e6, "gpt2-xl": 1558e6, "rwkv4-169m": 169e6, "rwkv4-430m": 430e6,
             "rwkv4-1b5": 1515e6, "rwkv4-3b": 2985e6, "rwkv4-7b": 7393e6, "rwkv4-14b": 14150e6, "rwkv6-1b6": 1600e6,
             "rwkv7-0b4": 451e6, "rwkv7-2b9": 2948e6}
    for name, parameters in sizes.items():
        line = run("info", name, "--plan", "--json", folder=folder, environment={"OCL_ICD_VENDORS": folder}).expect(0).json()[0]
        assert abs(line["parameters"] / parameters - 1) < 0.01, (name, line["parameters"])
        assert line["plan"]["decoding"]["parameters"] >= 4 * line["parameters"]


def test_unknown_names_get_the_nearest(folder):
    run("new", "gpt2-xxl", "--out", folder / "m.mrw").expect(2, err="did you mean gpt2-xl")
    run("info", "rwkv4-14", "--plan").expect(2, err="rwkv4-14b")
    assert not list(folder.iterdir())


def test_wrong_arguments_leave_nothing(folder):
    run("new", "gpt2").expect(2, err="--out")
    run("new", "gpt2", "--out", folder / "m.onnx").expect(2, err="onnx")
    run("new", "gpt2", "n_head=7", "--out", folder / "m.mrw").expect(2, err="n_head")
    run("new", "gpt2", "n_heads=6", "--out", folder / "m.mrw").expect(2, err="n_heads")
    run("new", "gpt2", "--dtype", "f8", "--out", folder / "m.mrw").expect(2, err="f8")
    run("new", "gpt2", "--dtype", "q8_0", "--out", folder / "m.pt").expect(2, err="nanogpt cannot hold q8_0")
    run("new", "gpt2", "--out", folder / "m.pth").expect(2, err="no names for gpt2")
    make(folder / "there" / "m.mrw").expect(1, err="there")
    assert not list(folder.iterdir())


main()
