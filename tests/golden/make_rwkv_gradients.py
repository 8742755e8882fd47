#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes rwkv7_gradients.safetensors: a small random model, texts with targets, and the logits, the loss and the gradients of
all parameters in double precision. Needs NumPy and PyTorch, whose automatic differentiation gives the gradients; the file is
kept beside this script, so that the tests do not."""
import json
import os

import numpy as np
import torch
import torch.nn.functional as F

from make_rwkv import random_model, write


def shifted(x):
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)


def recurrence(r, w, k, v, kappa, rate):
    """(B,T,H,N) each; the state is [value, key]."""
    B, T, H, N = r.shape
    S, y = r.new_zeros(B, H, N, N), []
    for t in range(T):
        removed = torch.einsum("bhij,bhj->bhi", S, kappa[:, t])
        S = (S * w[:, t, :, None, :] - removed[..., None] * (kappa[:, t] * rate[:, t])[:, :, None, :]
             + v[:, t, :, :, None] * k[:, t, :, None, :])
        y.append(torch.einsum("bhij,bhj->bhi", S, r[:, t]))
    return torch.stack(y, 1)


def time_mix(p, x, v_first, heads, eps):
    B, T, C = x.shape
    at = {name: x + (shifted(x) - x) * p["x_" + name] for name in "rwkvag"}
    r, k, v = (F.linear(at[name[0]], p[name + ".weight"]) for name in ("receptance", "key", "value"))
    w = torch.exp(-np.exp(-0.5) * torch.sigmoid(p["w0"] + torch.tanh(at["w"] @ p["w1"]) @ p["w2"]))
    rate = torch.sigmoid(p["a0"] + at["a"] @ p["a1"] @ p["a2"])
    gate = torch.sigmoid(at["g"] @ p["g1"]) @ p["g2"]
    if v_first is None:
        v_first = v
    else:
        v = v + (v_first - v) * torch.sigmoid(p["v0"] + at["v"] @ p["v1"] @ p["v2"])
    kappa = F.normalize((k * p["k_k"]).view(B, T, heads, -1), dim=-1)
    k = k * (1 + (rate - 1) * p["k_a"])
    r, w, k, v_, rate = (a.view(B, T, heads, -1) for a in (r, w, k, v, rate))
    y = recurrence(r, w, k, v_, kappa, rate).reshape(B * T, C)
    y = F.group_norm(y, heads, p["ln_x.weight"], p["ln_x.bias"], eps).view(B, T, C)
    y = y + ((r * k * p["r_k"]).sum(-1, keepdim=True) * v_).view(B, T, C)
    return F.linear(y * gate, p["output.weight"]), v_first


def channel_mix(p, x):
    return F.linear(torch.relu(F.linear(x + (shifted(x) - x) * p["x_k"], p["key.weight"])) ** 2, p["value.weight"])


def norm(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], 1e-5)


def logits(p, tokens, heads, eps=64e-5):
    x, v_first = norm(p, "blocks.0.ln0", p["emb.weight"][tokens]), None
    for i in range(1000):
        prefix = f"blocks.{i}."
        block = {name[len(prefix):]: w for name, w in p.items() if name.startswith(prefix)}
        if not block:
            break
        att, ffn = ({name[4:]: w for name, w in block.items() if name.startswith(part)} for part in ("att.", "ffn."))
        y, v_first = time_mix(att, norm(block, "ln1", x), v_first, heads, eps)
        x = x + y
        x = x + channel_mix(ffn, norm(block, "ln2", x))
    return F.linear(norm(p, "ln_out", x), p["head.weight"])


def main():
    rng = np.random.default_rng(7)
    vocabulary, heads = 31, 2
    weights = random_model(rng, "7", 3, 34, heads, 50, vocabulary)
    tokens, targets = (rng.integers(0, vocabulary, (3, 37)).astype("<i4") for _ in range(2))
    targets[0, :5] = targets[2, 30] = -1
    p = {name: torch.tensor(w.astype("f8"), requires_grad=True) for name, w in weights.items()}
    out = logits(p, torch.tensor(tokens).long(), heads)
    loss = F.cross_entropy(out.view(-1, vocabulary), torch.tensor(targets).long().view(-1), ignore_index=-1)
    loss.backward()
    tensors = {"model." + name: w for name, w in weights.items()}
    tensors |= {"tokens": tokens, "targets": targets, "logits": out.detach().numpy().astype("<f4"),
                "loss": np.array([loss.item()], "<f4")}
    for name, w in p.items():  # the first block has v0, v1 and v2 too, which nothing uses
        tensors["grad." + name] = (torch.zeros_like(w) if w.grad is None else w.grad).numpy().astype("<f4")
    here = os.path.dirname(os.path.abspath(__file__))
    write(f"{here}/rwkv7_gradients.safetensors", tensors, {"config": json.dumps({"ln_x_eps": 64e-5})})


if __name__ == "__main__":
    main()
