#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes rwkv4, rwkv5_1, rwkv5_2, rwkv6 and rwkv7_gradients.safetensors: small random models, texts with targets, and the logits,
the loss and the gradients of all parameters in double precision. Needs NumPy and PyTorch, whose automatic differentiation
gives the gradients; the files are kept beside this script, so that the tests do not."""
import json
import os

import numpy as np
import torch
import torch.nn.functional as F

from make_rwkv import random_model, write


def shifted(x):
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)


# ---- RWKV-4 to 6 -----------------------------------------------------------------------------------------------------------


def mixtures(p, x):
    """What receptance, key, value and gate get, and the logarithm of the logarithm of the decay."""
    before = shifted(x)
    if "time_maa_x" not in p:
        return {name: x * p["time_mix_" + name] + before * (1 - p["time_mix_" + name])
                for name in "rkvg" if "time_mix_" + name in p}, p["time_decay"]
    shift = before - x
    low = torch.tanh((x + shift * p["time_maa_x"]) @ p["time_maa_w1"]).view(*x.shape[:2], 5, -1)
    at = {name: x + shift * (p["time_maa_" + name] + low[:, :, i] @ p["time_maa_w2"][i]) for i, name in enumerate("wkvrg")}
    return at, p["time_decay"] + torch.tanh(at["w"] @ p["time_decay_w1"]) @ p["time_decay_w2"]


def time_mix_4(p, x):
    at, _ = mixtures(p, x)
    r, k, v = (F.linear(at[name[0]], p[name + ".weight"]) for name in ("receptance", "key", "value"))
    above = below = torch.zeros_like(k[:, 0])
    y = []
    for t in range(k.shape[1]):
        own, key = torch.exp(p["time_first"] + k[:, t]), torch.exp(k[:, t])
        y.append((above + own * v[:, t]) / (below + own))
        kept = torch.exp(-torch.exp(p["time_decay"]))
        above, below = kept * above + key * v[:, t], kept * below + key
    return F.linear(torch.sigmoid(r) * torch.stack(y, 1), p["output.weight"])


def time_mix_56(p, x, heads, eps):
    B, T, C = x.shape
    at, rate = mixtures(p, x)
    r, k, v = (F.linear(at[name[0]], p[name + ".weight"]).view(B, T, heads, -1) for name in ("receptance", "key", "value"))
    w = torch.exp(-torch.exp(rate))
    w = w.view(B, T, heads, -1) if w.dim() == 3 else w.view(heads, -1).expand(B, T, heads, C // heads)
    u = torch.exp(p["time_first"]) if "time_first" in p else p["time_faaaa"]
    u = u.view(heads, -1).expand(heads, C // heads)
    S, y = x.new_zeros(B, heads, C // heads, C // heads), []
    for t in range(T):
        kv = k[:, t, :, :, None] * v[:, t, :, None, :]
        y.append(torch.einsum("bhi,bhij->bhj", r[:, t], S + u[:, :, None] * kv))
        S = w[:, t, :, :, None] * S + kv
    y = F.group_norm(torch.stack(y, 1).reshape(B * T, C), heads, p["ln_x.weight"], p["ln_x.bias"], eps).view(B, T, C)
    if "gate.weight" in p:
        y = y * F.silu(F.linear(at["g"], p["gate.weight"]))
    return F.linear(y, p["output.weight"])


# ---- RWKV-7 ----------------------------------------------------------------------------------------------------------------


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


def time_mix_7(p, x, v_first, heads, eps):
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


# ---- the whole ---------------------------------------------------------------------------------------------------------------


def channel_mix(p, x):
    before = shifted(x)
    if "x_k" not in p:
        if "time_maa_k" in p:
            k, r = (x + (before - x) * p["time_maa_" + name] for name in "kr")
        else:
            k, r = (x * p["time_mix_" + name] + before * (1 - p["time_mix_" + name]) for name in "kr")
        value = F.linear(torch.relu(F.linear(k, p["key.weight"])) ** 2, p["value.weight"])
        return torch.sigmoid(F.linear(r, p["receptance.weight"])) * value
    return F.linear(torch.relu(F.linear(x + (before - x) * p["x_k"], p["key.weight"])) ** 2, p["value.weight"])


def norm(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], 1e-5)


def logits(p, tokens, heads, eps):
    x, v_first = norm(p, "blocks.0.ln0", p["emb.weight"][tokens]), None
    for i in range(1000):
        prefix = f"blocks.{i}."
        block = {name[len(prefix):]: w for name, w in p.items() if name.startswith(prefix)}
        if not block:
            break
        att, ffn = ({name[4:]: w for name, w in block.items() if name.startswith(part)} for part in ("att.", "ffn."))
        y = norm(block, "ln1", x)
        if "x_r" in att:
            y, v_first = time_mix_7(att, y, v_first, heads, eps)
        else:
            y = time_mix_56(att, y, heads, eps) if "ln_x.weight" in att else time_mix_4(att, y)
        x = x + y
        x = x + channel_mix(ffn, norm(block, "ln2", x))
    return F.linear(norm(p, "ln_out", x), p["head.weight"])


def make(version, seed, width, heads, ffn, eps):
    rng = np.random.default_rng(seed)
    vocabulary = 31
    weights = random_model(rng, version, 3, width, heads, ffn, vocabulary)
    tokens, targets = (rng.integers(0, vocabulary, (3, 37)).astype("<i4") for _ in range(2))
    targets[0, :5] = targets[2, 30] = -1
    p = {name: torch.tensor(w.astype("f8"), requires_grad=True) for name, w in weights.items()}
    out = logits(p, torch.tensor(tokens).long(), heads, eps)
    loss = F.cross_entropy(out.view(-1, vocabulary), torch.tensor(targets).long().view(-1), ignore_index=-1)
    loss.backward()
    tensors = {"model." + name: w for name, w in weights.items()}
    tensors |= {"tokens": tokens, "targets": targets, "logits": out.detach().numpy().astype("<f4"),
                "loss": np.array([loss.item()], "<f4")}
    for name, w in p.items():  # RWKV-7's first block has v0, v1 and v2 too, which nothing uses
        tensors["grad." + name] = (torch.zeros_like(w) if w.grad is None else w.grad).numpy().astype("<f4")
    here = os.path.dirname(os.path.abspath(__file__))
    write(f"{here}/rwkv{version.replace('.', '_')}_gradients.safetensors", tensors, {"config": json.dumps({"ln_x_eps": eps})})


def main():
    make("7", 7, 34, 2, 50, 64e-5)
    make("4", 4, 23, 1, 40, 64e-5)
    make("5.1", 5, 21, 3, 37, 1e-5)
    make("5.2", 52, 26, 2, 43, 64e-5)
    make("6", 6, 27, 3, 44, 64e-5)


if __name__ == "__main__":
    main()
