#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes tests/golden/{gpt2_*,opt,gptneo,gptneox*}: models of random weights, each a folder as transformers saves it,
with its logits, loss and gradients beside it.
Needs torch and transformers (made with 2.5.1 and 4.57.6)."""
import pathlib
import shutil
import sys

import torch
from safetensors.torch import save_file
from transformers import (GPT2Config, GPT2LMHeadModel, GPTNeoConfig, GPTNeoForCausalLM, GPTNeoXConfig,
                          GPTNeoXForCausalLM, OPTConfig, OPTForCausalLM)

HERE = pathlib.Path(__file__).parent
VOCAB, TIME = 47, 40


def gpt2(**more):
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, n_positions=TIME, n_embd=16, n_layer=2, n_head=2, **more))


def opt(**more):
    return OPTForCausalLM(OPTConfig(vocab_size=VOCAB, max_position_embeddings=TIME, hidden_size=16, num_hidden_layers=2,
                                    num_attention_heads=2, ffn_dim=40, word_embed_proj_dim=16,
                                    dropout=0.0, **more))


def gptneo(**more):
    return GPTNeoForCausalLM(GPTNeoConfig(vocab_size=VOCAB, max_position_embeddings=TIME, hidden_size=16, num_layers=4,
                                          num_heads=2, attention_types=[[["global", "local"], 2]], window_size=7,
                                          **more))


def gptneox(**more):
    return GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=VOCAB, max_position_embeddings=TIME, hidden_size=24,
                                            num_hidden_layers=2, num_attention_heads=2, intermediate_size=40,
                                            **{"rotary_pct": 0.34, **more}))


MODELS = {
    "gpt2_layers": lambda: gpt2(scale_attn_by_inverse_layer_idx=True, layer_norm_epsilon=1e-3, n_inner=24),
    "gpt2_relu": lambda: gpt2(activation_function="relu", tie_word_embeddings=False),
    "gpt2_quick": lambda: gpt2(activation_function="quick_gelu", scale_attn_weights=False),
    "gpt2_gelu": lambda: gpt2(activation_function="gelu", layer_norm_epsilon=1e-6),
    "opt": opt,
    "gptneo": gptneo,
    "gptneox": gptneox,
    "gptneox_sequential": lambda: gptneox(use_parallel_residual=False, rotary_pct=1.0, rotary_emb_base=500,
                                          hidden_act="gelu_new", tie_word_embeddings=True),
}


def shuffle(model):
    """Every weight counts: norms that are not 1, biases that are not 0."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn_like(p) * 0.15 + (1 if "norm" in name or "ln_" in name else 0) * (p.ndim == 1)
                    * name.endswith("weight"))
    model.set_attn_implementation("eager")  # the others of transformers forget GPT-2's scales
    return model.float().eval()


def save(model, folder):
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tokens = torch.randint(2, model.config.vocab_size, (2, model.config.max_position_embeddings))  # 1 pads OPT
    targets = torch.randint(0, model.config.vocab_size, tokens.shape)
    logits = model.double()(tokens).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss.backward()
    out = {"tokens": tokens.int(), "targets": targets.int(), "logits": logits, "loss": loss[None]}
    for key, p in model.named_parameters():
        conv1d = folder.name.startswith("gpt2") and p.ndim == 2 and ".h." in key
        out[f"grad.{key}"] = p.grad.T if conv1d else p.grad
    name = folder.with_suffix(".expected.safetensors")
    save_file({key: (t.float() if t.is_floating_point() else t).detach().contiguous() for key, t in out.items()}, name)
    print(folder.name, sum(f.stat().st_size for f in folder.iterdir()) + name.stat().st_size, "bytes")


def main():
    torch.manual_seed(1)
    for name, make in MODELS.items():
        save(shuffle(make()), HERE / name)


if __name__ == "__main__":
    main()
