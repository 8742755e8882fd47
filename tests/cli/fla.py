# SPDX-License-Identifier: GPL-3.0-or-later
"""RWKV-7 in the Hugging Face layout of flash-linear-attention."""
import json

import tiny
from harness import main, run

TOKENS = "1,2,3,39,5,0"


def make(out, *arguments):
    run("new", "rwkv7", "n_layer=2", "n_embd=64", "vocab_size=40", "head_size=32", "lora_v=16", "ffn_dim=160", *arguments, "--seed", 5, "--out", out).expect(0)
    return out


def logits(model, folder):
    run("logits", model, "--tokens", TOKENS, "--out", folder / "l.safetensors").expect(0)
    return tiny.read_safetensors(folder / "l.safetensors")["logits"][1]


def test_rwkv6_of_the_same_project_is_refused_by_name(folder):
    run("convert", make(folder / "a.safetensors"), folder / "f", "--to", "fla").expect(0)
    tensors = {n: ("F32", s, x) for n, (s, x) in tiny.read_safetensors(folder / "f" / "model.safetensors").items()}
    tensors["model.layers.0.attn.x_proj.0.mu"] = tensors.pop("model.layers.0.attn.x_r")
    tiny.write_safetensors(folder / "f" / "model.safetensors", tensors)
    run("info", folder / "f").expect(1, err="it is an RWKV-6 of flash-linear-attention .*only RWKV-7 is supported")


def by_hand(tensors):
    """What flash-linear-attention's own converter makes of official names."""
    def turned(shape, x):
        rows, columns = shape
        return [columns, rows], [x[r * columns + c] for c in range(columns) for r in range(rows)]

    blocks = {"ln0": "pre_norm", "ln1": "attn_norm", "ln2": "ffn_norm"}
    parts = {"receptance": "r_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj", "ln_x": "g_norm"}
    out = {}
    for name, (shape, x) in tensors.items():
        words = name.split(".")
        if words[0] != "blocks":
            out[{"emb": "model.embeddings", "ln_out": "model.norm", "head": "lm_head"}[words[0]] + "." + words[1]] = shape, x
            continue
        layer, leaf = f"model.layers.{words[1]}.", words[-1]
        if words[2] in blocks:
            out[f"{layer}{blocks[words[2]]}.{leaf}"] = shape, x
        elif words[2] == "ffn":
            out[layer + ".".join(words[2:])] = (shape[-1:], x) if leaf == "x_k" else (shape, x)
        elif words[3] in parts:
            out[f"{layer}attn.{parts[words[3]]}.{leaf}"] = shape, x
        elif leaf[1:] in ("0", "1", "2"):
            if words[1] == "0" and leaf[0] == "v":
                continue
            name = f"{layer}attn.{leaf[0]}_lora.lora."
            out[name + {"0": "2.bias", "1": "0.weight", "2": "2.weight"}[leaf[1]]] = (shape[-1:], x) if leaf[1] == "0" else turned(shape, x)
        else:
            out[f"{layer}attn.{leaf}"] = (shape[-1:], x) if leaf in ("k_k", "k_a") else (shape, x)
    return out


def write(folder, tensors, config):
    folder.mkdir()
    tiny.write_safetensors(folder / "model.safetensors", {n: ("F32", *t) for n, t in tensors.items()})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


CONFIG = {"model_type": "rwkv7", "architectures": ["RWKV7ForCausalLM"], "hidden_size": 64, "hidden_ratio": 4, "intermediate_size": 160,
          "num_hidden_layers": 2, "head_dim": 32, "num_heads": 2, "decay_low_rank_dim": 32, "gate_low_rank_dim": 64, "a_low_rank_dim": 32,
          "v_low_rank_dim": 16, "hidden_act": "sqrelu", "norm_first": True, "norm_bias": True, "norm_eps": 1e-5, "attn_mode": "chunk",
          "value_dim": [64, 64], "vocab_size": 40, "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "fuse_norm": True}


def test_a_folder_is_written_by_its_names_and_shapes(folder):
    source = make(folder / "a.safetensors")
    run("convert", source, folder / "f", "--to", "fla").expect(0)
    have = tiny.read_safetensors(folder / "f" / "model.safetensors")
    want = by_hand(tiny.read_safetensors(source))
    assert have.keys() == want.keys(), have.keys() ^ want.keys()
    for name, (shape, x) in want.items():
        assert have[name][0] == shape and list(have[name][1]) == list(x), name
    config = json.loads((folder / "f" / "config.json").read_text())
    for key in ("model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "head_dim", "num_heads", "decay_low_rank_dim",
                "a_low_rank_dim", "v_low_rank_dim", "hidden_act", "norm_eps", "value_dim", "vocab_size", "norm_first"):
        assert config[key] == CONFIG[key], key


def test_a_folder_computes_what_the_official_file_does(folder):
    source = make(folder / "a.safetensors", "ln_x_eps=32e-5")
    result = run("info", write(folder / "f", by_hand(tiny.read_safetensors(source)), CONFIG)).expect(0)
    assert b"not known" not in result.err, result.err
    assert result.json()[0]["config"]["head_size"] == 32 and abs(result.json()[0]["config"]["ln_x_eps"] - 32e-5) < 1e-8
    assert logits(folder / "f", folder) == logits(source, folder)
    run("convert", folder / "f", folder / "b.pth").expect(0, err="ln_x_eps")


def test_older_files_have_the_mixtures_in_one_tensor(folder):
    source = make(folder / "a.safetensors", "ln_x_eps=32e-5")
    tensors = by_hand(tiny.read_safetensors(source))
    for i in range(2):
        rows = [tensors.pop(f"model.layers.{i}.attn.x_{letter}")[1] for letter in "rwkvag"]
        tensors[f"model.layers.{i}.attn.x_x"] = [6, 64], [x for row in rows for x in row]
    assert logits(write(folder / "f", tensors, CONFIG), folder) == logits(source, folder)


def test_folders_come_back(folder):
    source = make(folder / "a.mrw", "ln_x_eps=32e-5", "--dtype", "bf16")
    run("convert", source, folder / "f", "--to", "fla").expect(0)
    run("convert", folder / "f", folder / "g", "--to", "fla").expect(0)
    for name in ("config.json", "model.safetensors"):
        assert (folder / "f" / name).read_bytes() == (folder / "g" / name).read_bytes()
    assert json.loads((folder / "f" / "config.json").read_text())["torch_dtype"] == "bfloat16"
    assert logits(folder / "f", folder) == logits(source, folder)


def test_other_families_are_refused(folder):
    run("new", "rwkv6", "n_layer=2", "n_embd=64", "vocab_size=40", "--seed", 5, "--out", folder / "a.mrw").expect(0)
    run("convert", folder / "a.mrw", folder / "f", "--to", "fla").expect(2, err="the layout fla has no names for rwkv6: it is for rwkv7")


main()
