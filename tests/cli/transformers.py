# SPDX-License-Identifier: GPL-3.0-or-later
"""GPT-2's variants, OPT, GPT-Neo and GPT-NeoX: folders as transformers saves them, models by name, what is refused."""
import json
import shutil

import tiny
from harness import SOURCE, main, run

GOLDEN = SOURCE / "tests" / "golden"
GPT2 = ["gpt2_layers", "gpt2_relu", "gpt2_quick", "gpt2_gelu"]
OTHERS = ["opt", "gptneo", "gptneox", "gptneox_sequential"]
TOKENS = ",".join(str(i * 7 % 47) for i in range(40))
SMALL = {"opt": "n_layer=2 n_embd=32 n_head=2 ffn_dim=48", "gptneo": "n_layer=4 n_embd=32 n_head=2 window=5",
         "gptneox": "n_layer=2 n_embd=32 n_head=2 rotary_pct=0.5"}


def logits(model, out, *arguments):
    run("logits", model, "--tokens", TOKENS, "--out", out, *arguments).expect(0, err=r"\A(device.*\n)?(caching.*\n)?\Z")
    return tiny.read_safetensors(out)["logits"][1]


def with_config(name, folder, **changes):
    shutil.copytree(GOLDEN / name, folder / name)
    config = json.loads((folder / name / "config.json").read_text())
    (folder / name / "config.json").write_text(json.dumps(config | changes))
    return folder / name


def test_folders_come_back_as_they_were(folder):
    for name in GPT2 + OTHERS:
        first = logits(GOLDEN / name, folder / "l")
        run("convert", GOLDEN / name, folder / f"{name}.mrw").expect(0)
        run("convert", folder / f"{name}.mrw", folder / name, "--to", "hf").expect(0)
        assert logits(folder / f"{name}.mrw", folder / "l") == first, name
        assert logits(folder / name, folder / "l") == first, name
        was, now = (json.loads((f / name / "config.json").read_text()) for f in (GOLDEN, folder))
        for key in was.keys() & now.keys() - {"bos_token_id", "eos_token_id", "dtype", "torch_dtype", "initializer_range",
                                              "pad_token_id", "init_std", "n_inner", "intermediate_size"}:
            if "drop" not in key:
                assert was[key] == now[key], (name, key, was[key], now[key])
        assert (GOLDEN / name / "model.safetensors").stat().st_size // 1000 == (folder / name / "model.safetensors").stat().st_size // 1000


def test_steps_give_the_same_logits(folder):
    for name in GPT2 + OTHERS:
        whole, steps = logits(GOLDEN / name, folder / "a"), logits(GOLDEN / name, folder / "b", "--step")
        assert tiny.largest_difference(steps, whole) < 1e-5 * max(map(abs, whole)), name


def test_models_by_name_generate(folder):
    for family, sizes in SMALL.items():
        run("new", family, *sizes.split(), "vocab_size=256", "block_size=24", "--out", folder / "m.mrw").expect(0)
        assert run("info", folder / "m.mrw").expect(0).json()[0]["family"] == family
        out = run("generate", folder / "m.mrw", "--tokenizer", "byte", "--prompt", "abc", "--max-tokens", "8", "--json").expect(0).json()
        assert len(out[0]["tokens"]) == 8, out
    for name in ("opt-125m", "opt-2.7b", "gpt-neo-125m", "gpt-neo-2.7b", "pythia-70m", "pythia-2.8b"):
        assert run("info", name, "--plan").expect(0).json()[0]["plan"]["decoding"]["total"] > 1e8, name


def test_new_families_train(folder):
    for family, sizes in SMALL.items():
        out = folder / family
        result = run("train", f"dataset={tiny.data()}", f"out_dir={out}", f"family={family}", *sizes.split(), "block_size=16",
                     "dropout=0.1", *tiny.TRAINING, "max_iters=30", "lr_decay_iters=30").expect(0)
        losses = [line["loss"] for line in tiny.log_lines(out) if "loss" in line]
        assert losses[-1] < losses[0] - 0.3, (family, losses, result.err)


def test_parameters_are_as_many_as_published(folder):
    for name, count in {"opt-125m": 125239296, "opt-1.3b": 1315758080, "gpt-neo-125m": 125198592,
                        "gpt-neo-1.3b": 1315575808, "pythia-70m": 70426624, "pythia-160m": 162322944,
                        "pythia-2.8b": 2775208960}.items():
        assert run("info", name, "--plan").expect(0).json()[0]["parameters"] == count, name


def test_what_other_programs_cannot_be_told_is_refused(folder):
    for name, layout, part in (("gpt2_relu", "nanogpt", "its activation"), ("gpt2_quick", "gguf", "its activation"),
                               ("gpt2_layers", "gguf", "how its scores are scaled"),
                               ("gpt2_gelu", "nanogpt", "the epsilon of its norms"), ("opt", "nanogpt", "no names for opt"),
                               ("gptneox", "gguf", "no names for gptneox"), ("gptneo", "rwkv", "no names for gptneo")):
        run("convert", GOLDEN / name, folder / "out", "--to", layout).expect(2, err=part)
        assert not (folder / "out").exists()


def test_gguf_says_epsilon_width_and_head(folder):
    model = with_config("gpt2_layers", folder, scale_attn_by_inverse_layer_idx=False, activation_function="gelu_new")
    run("convert", model, folder / "m.gguf").expect(0)
    assert logits(folder / "m.gguf", folder / "a") == logits(model, folder / "b")
    model = with_config("gpt2_relu", folder, activation_function="gelu_new")
    run("convert", model, folder / "untied.gguf").expect(0)
    assert logits(folder / "untied.gguf", folder / "a") == logits(model, folder / "b")


def test_a_head_that_differs_is_not_passed_over(folder):
    model = with_config("gpt2_relu", folder, tie_word_embeddings=True)
    run("info", model).expect(0)
    run("logits", model, "--tokens", "1", "--out", folder / "l").expect(1, err="lm_head.weight differs.*tied=False")
    untied = logits(GOLDEN / "gpt2_relu", folder / "l")
    assert logits(model, folder / "l", "--config", "tied=False") == untied


def test_post_norm_opt_is_refused_by_name(folder):
    run("info", with_config("opt", folder, do_layer_norm_before=False)).expect(1, err="do_layer_norm_before is not true")


def test_heads_too_wide_are_refused_by_name(folder):
    run("info", "gptneox", "--plan", "--config", "n_head=2").expect(2, err="each 256 wide: at most 192")


def test_positions_end_at_the_block_size(folder):
    for name in OTHERS:
        run("logits", GOLDEN / name, "--tokens", TOKENS + ",1", "--out", folder / "l").expect(1, err="40")


main()
