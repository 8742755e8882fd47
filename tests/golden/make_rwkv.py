#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes rwkv4, rwkv5_1, rwkv5_2, rwkv6 and rwkv7.safetensors: small random models, two texts, and the logits after each token,
from an empty state, in double precision, position by position. Needs NumPy; the files are kept beside this script, so that
the tests do not."""
import json
import os
import struct

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def norm(x, weight, bias, groups=1, eps=1e-5):
    rows = x.reshape(groups, -1)
    rows = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + eps)
    return rows.reshape(-1) * weight + bias


def mixtures(p, x, before):
    """What receptance, key, value and gate get, and the logarithm of the logarithm of the decay."""
    if "time_maa_x" not in p:
        at = {name: x * p["time_mix_" + name].ravel() + before * (1 - p["time_mix_" + name].ravel())
              for name in "rkvg" if "time_mix_" + name in p}
        return at, p["time_decay"]
    shift = before - x
    low = np.tanh((x + shift * p["time_maa_x"].ravel()) @ p["time_maa_w1"]).reshape(5, -1)
    at = {name: x + shift * (p["time_maa_" + name].ravel() + low[i] @ p["time_maa_w2"][i]) for i, name in enumerate("wkvrg")}
    return at, p["time_decay"].ravel() + np.tanh(at["w"] @ p["time_decay_w1"]) @ p["time_decay_w2"]


def time_mix(p, x, state, heads, eps):
    at, rate = mixtures(p, x, state["att"])
    state["att"] = x
    r, k, v = (p[name + ".weight"] @ at[name[0]] for name in ("receptance", "key", "value"))
    width = len(x) // heads
    w = np.broadcast_to(np.exp(-np.exp(rate)).reshape(heads, -1), (heads, width))
    u = np.exp(p["time_first"]) if "time_first" in p else p["time_faaaa"]
    u = np.broadcast_to(u.reshape(heads, -1), (heads, width))
    y = []
    for h in range(heads):
        part = slice(h * width, (h + 1) * width)
        kv = np.outer(k[part], v[part])
        y.append(r[part] @ (state["S"][h] + u[h][:, None] * kv))
        state["S"][h] = w[h][:, None] * state["S"][h] + kv
    y = norm(np.concatenate(y), p["ln_x.weight"], p["ln_x.bias"], heads, eps)
    if "gate.weight" in p:
        gate = p["gate.weight"] @ at["g"]
        y = y * gate * sigmoid(gate)
    return p["output.weight"] @ y


def time_mix_4(p, x, state):
    at, _ = mixtures(p, x, state["att"])
    state["att"] = x
    r, k, v = (p[name + ".weight"] @ at[name[0]] for name in ("receptance", "key", "value"))
    own = np.exp(p["time_first"] + k)
    y = (state["above"] + own * v) / (state["below"] + own)
    kept = np.exp(-np.exp(p["time_decay"]))
    state["above"] = kept * state["above"] + np.exp(k) * v
    state["below"] = kept * state["below"] + np.exp(k)
    return p["output.weight"] @ (sigmoid(r) * y)


def time_mix_7(p, x, state, heads, eps, shared):
    """shared: what the blocks of one token hand on: v_first."""
    shift = state["att"] - x
    state["att"] = x
    at = {name: x + shift * p["x_" + name].ravel() for name in "rwkvag"}
    r, k, v = (p[name + ".weight"] @ at[name[0]] for name in ("receptance", "key", "value"))
    w = np.exp(-np.exp(-0.5) * sigmoid(p["w0"].ravel() + np.tanh(at["w"] @ p["w1"]) @ p["w2"]))
    a = sigmoid(p["a0"].ravel() + at["a"] @ p["a1"] @ p["a2"])
    g = sigmoid(at["g"] @ p["g1"]) @ p["g2"]
    if "v_first" in shared:
        v = v + (shared["v_first"] - v) * sigmoid(p["v0"].ravel() + at["v"] @ p["v1"] @ p["v2"])
    else:
        shared["v_first"] = v
    width = len(x) // heads
    kappa = (k * p["k_k"].ravel()).reshape(heads, width)
    kappa /= np.sqrt((kappa**2).sum(1, keepdims=True))
    k = k * (1 + (a - 1) * p["k_a"].ravel())
    r, k, v, w, a = (each.reshape(heads, width) for each in (r, k, v, w, a))
    y = []
    for h in range(heads):
        S = state["S"][h]  # [value, key]
        S = S @ (np.diag(w[h]) - np.outer(kappa[h], kappa[h] * a[h])) + np.outer(v[h], k[h])
        state["S"][h] = S
        y.append(S @ r[h])
    y = norm(np.concatenate(y), p["ln_x.weight"], p["ln_x.bias"], heads, eps)
    y = y + ((r * k * p["r_k"]).sum(1, keepdims=True) * v).ravel()
    return p["output.weight"] @ (y * g)


def channel_mix(p, x, state):
    before = state["ffn"]
    state["ffn"] = x
    if "x_k" in p:
        return p["value.weight"] @ np.maximum(p["key.weight"] @ (x + (before - x) * p["x_k"].ravel()), 0) ** 2
    if "time_maa_k" in p:
        at = {name: x + (before - x) * p["time_maa_" + name].ravel() for name in "kr"}
    else:
        at = {name: x * p["time_mix_" + name].ravel() + before * (1 - p["time_mix_" + name].ravel()) for name in "kr"}
    return sigmoid(p["receptance.weight"] @ at["r"]) * (p["value.weight"] @ np.maximum(p["key.weight"] @ at["k"], 0) ** 2)


def under(weights, prefix):
    return {name[len(prefix):]: w for name, w in weights.items() if name.startswith(prefix)}


def logits(weights, tokens, heads, eps):
    weights = {name: w.astype("f8") for name, w in weights.items()}
    blocks = [under(weights, f"blocks.{i}.") for i in range(1000) if f"blocks.{i}.ln1.weight" in weights]
    parts = [(b, under(b, "att."), under(b, "ffn.")) for b in blocks]
    width = weights["emb.weight"].shape[1]
    states = [{"att": np.zeros(width), "ffn": np.zeros(width), "S": np.zeros((heads, width // heads, width // heads)),
               "above": np.zeros(width), "below": np.zeros(width)} for _ in blocks]
    out = []
    for token in tokens:
        x = norm(weights["emb.weight"][token], weights["blocks.0.ln0.weight"], weights["blocks.0.ln0.bias"])
        shared = {}
        for (b, att, ffn), state in zip(parts, states):
            y = norm(x, b["ln1.weight"], b["ln1.bias"])
            if "x_r" in att:
                x = x + time_mix_7(att, y, state, heads, eps, shared)
            else:
                x = x + (time_mix(att, y, state, heads, eps) if "ln_x.weight" in att else time_mix_4(att, y, state))
            x = x + channel_mix(ffn, norm(x, b["ln2.weight"], b["ln2.bias"]), state)
        out.append(weights["head.weight"] @ norm(x, weights["ln_out.weight"], weights["ln_out.bias"]))
    return np.array(out)


def random_model(rng, version, layers, width, heads, ffn, vocabulary, mix=5, decay=7):
    weights = {}

    def linear(name, out, into):
        weights[name] = rng.normal(0, into ** -0.5, (out, into))

    def vector(name, low, high, *shape):
        weights[name] = rng.uniform(low, high, shape or (width,))

    def layer_norm(name):
        vector(name + ".weight", 0.5, 1.5)
        vector(name + ".bias", -0.3, 0.3)

    weights["emb.weight"] = rng.normal(0, 1, (vocabulary, width))
    layer_norm("blocks.0.ln0")
    share = {"6": "time_maa_", "7": "x_"}.get(version, "time_mix_")
    for i in range(layers):
        b = f"blocks.{i}."
        layer_norm(b + "ln1")
        layer_norm(b + "ln2")
        if version != "4":
            layer_norm(b + "att.ln_x")
        for name in {"4": "kvr", "5.1": "kvr", "5.2": "kvrg", "6": "xwkvrg", "7": "rwkvag"}[version]:
            vector(b + "att." + share + name, 0, 1, 1, 1, width)
        if version == "6":
            weights[b + "att.time_maa_w1"] = rng.normal(0, 0.2, (width, 5 * mix))
            weights[b + "att.time_maa_w2"] = rng.normal(0, 0.2, (5, mix, width))
            weights[b + "att.time_decay_w1"] = rng.normal(0, 0.2, (width, decay))
            weights[b + "att.time_decay_w2"] = rng.normal(0, 0.4, (decay, width))
        if version == "7":
            for name, low in (("w", 5), ("a", 6), ("v", 7), ("g", 9)):
                if name != "g":
                    vector(b + f"att.{name}0", -2, 2, 1, 1, width)
                weights[b + f"att.{name}1"] = rng.normal(0, 0.2, (width, low))
                weights[b + f"att.{name}2"] = rng.normal(0, 0.5, (low, width))
            vector(b + "att.k_k", 0.5, 1.5, 1, 1, width)
            vector(b + "att.k_a", 0, 1, 1, 1, width)
            vector(b + "att.r_k", -0.5, 0.5, heads, width // heads)
        numbers = {"4": (width,), "5.1": (heads,)}.get(version, (heads, width // heads))
        if version != "7":
            vector(b + "att.time_decay", -6, 1, *((1, 1, width) if version == "6" else numbers))
            vector(b + ("att.time_first" if version in ("4", "5.1") else "att.time_faaaa"), -0.5, 1, *numbers)
        for name in ("receptance", "key", "value", "output") + (("gate",) if version in ("5.2", "6") else ()):
            linear(b + f"att.{name}.weight", width, width)
        for name in "k" if version == "7" else "kr":
            vector(b + "ffn." + share + name, 0, 1, 1, 1, width)
        linear(b + "ffn.key.weight", ffn, width)
        if version != "7":
            linear(b + "ffn.receptance.weight", width, width)
        linear(b + "ffn.value.weight", width, ffn)
    layer_norm("ln_out")
    linear("head.weight", vocabulary, width)
    return {name: w.astype("<f4") for name, w in weights.items()}


def write(path, tensors, metadata):
    types = {"f": "F32", "i": "I32"}
    head, at = {"__metadata__": metadata}, 0
    for name, a in tensors.items():
        head[name] = {"dtype": types[a.dtype.kind], "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(a.tobytes() for a in tensors.values()))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    for seed, (version, width, heads, ffn, eps) in enumerate([("5.1", 24, 3, 40, 1e-5), ("5.2", 34, 2, 50, 64e-5), ("6", 36, 3, 44, 64e-5),
                                                         ("4", 23, 1, 40, 64e-5), ("7", 34, 2, 50, 64e-5)]):
        rng = np.random.default_rng(seed)
        weights = random_model(rng, version, 2, width, heads, ffn, 31)
        tokens = rng.integers(0, 31, (2, 70)).astype("<i4")
        tensors = {"model." + name: w for name, w in weights.items()}
        tensors["tokens"] = tokens
        tensors["logits"] = np.array([logits(weights, row, heads, eps) for row in tokens]).astype("<f4")
        name = "rwkv" + version.replace(".", "_")
        write(f"{here}/{name}.safetensors", tensors, {"config": json.dumps({"ln_x_eps": eps})})


if __name__ == "__main__":
    main()
