#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times training iterations of the PyTorch definition of the causal mode beside microrwkv's, in turn.

  python bench/train_peer.py --reference causal.py --program build/microrwkv --data DIR [key=value ...]

--reference is a module with `Net(cfg, params).parallel(tokens)` and `init(cfg, seed)`; --data a folder that
`microrwkv prepare` wrote. Each round runs both for some iterations; medians and their ratio are printed. Needs
torch (2 threads), numpy.
"""
import argparse, importlib.util, json, os, statistics, subprocess, sys, tempfile, time

import numpy as np
import torch
import torch.nn.functional as F


def load(path):
    spec = importlib.util.spec_from_file_location("reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def peer(reference, cfg, data, batch, block, iterations, threads):
    """Milliseconds of each iteration: forward, loss, backward, clip, AdamW; float32."""
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    params = {k: v.float().requires_grad_(True) for k, v in reference.init(cfg, 1).items()}
    decay = [p for n, p in params.items() if p.dim() >= 2 and "time_" not in n]
    rest = [p for n, p in params.items() if not (p.dim() >= 2 and "time_" not in n)]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
                            lr=1e-3, betas=(0.9, 0.99))
    net = reference.Net(cfg, params)
    double = torch.Tensor.double
    torch.Tensor.double = lambda self: self.float()        # the definition is written in float64
    try:
        times = []
        for _ in range(iterations):
            start = time.perf_counter()
            at = torch.randint(len(data) - block, (batch,))
            x = torch.stack([torch.from_numpy(data[i:i + block].astype(np.int64)) for i in at])
            y = torch.stack([torch.from_numpy(data[i + 1:i + 1 + block].astype(np.int64)) for i in at])
            logits, aux = net.parallel(x)
            loss = F.cross_entropy(logits.view(-1, logits.shape[-1]), y.view(-1)) + cfg["aux_weight"] * aux
            opt.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(params.values(), 1.0)
            opt.step()
            loss.item()
            times.append(1e3 * (time.perf_counter() - start))
    finally:
        torch.Tensor.double = double
    return times


def ours(program, folder, cfg, batch, block, iterations, environment):
    with tempfile.TemporaryDirectory() as out:
        words = [f"{k}={v}" for k, v in cfg.items() if k in (
            "n_layer", "n_head", "n_embd", "positions", "branch_norm", "moe", "aux", "num_experts",
            "num_active_experts", "expert_dim", "window", "groups")]
        subprocess.run([program, "train", f"dataset={folder}", f"out_dir={out}", f"batch_size={batch}",
                        f"block_size={block}", f"max_iters={iterations}", "eval_interval=1000000", "eval_iters=1",
                        "log_interval=1", "gradient_accumulation_steps=1", "learning_rate=1e-3", "beta2=0.99"] + words,
                       check=True, stderr=subprocess.DEVNULL, env=environment)
        return [json.loads(line)["ms"] for line in open(os.path.join(out, "log.jsonl")) if '"ms"' in line]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--reference", required=True), ap.add_argument("--program", required=True)
    ap.add_argument("--data", required=True), ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--iterations", type=int, default=40), ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--batch", type=int, default=12), ap.add_argument("--block", type=int, default=64)
    ap.add_argument("config", nargs="*")
    opt = ap.parse_args()
    reference = load(opt.reference)
    cfg = dict(reference.DEFAULTS, n_layer=4, n_head=4, n_embd=128, block_size=opt.block, window=256, expert_dim=128,
               positions="none")
    for word in opt.config:
        k, v = word.split("=")
        cfg[k] = type(cfg[k])(v)
    data = np.fromfile(os.path.join(opt.data, "train.bin"), np.uint16)
    cfg["vocab_size"] = int(data.max()) + 1
    mine, theirs = [], []
    for _ in range(opt.rounds):
        mine += ours(opt.program, opt.data, cfg, opt.batch, opt.block, opt.iterations, os.environ)[5:]
        theirs += peer(reference, cfg, data, opt.batch, opt.block, opt.iterations, opt.threads)[5:]
    row = {"microrwkv_ms_min": min(mine), "microrwkv_ms_median": statistics.median(mine), "peer_ms_min": min(theirs),
           "peer_ms_median": statistics.median(theirs)}
    row["peer_over_microrwkv"] = row["peer_ms_median"] / row["microrwkv_ms_median"]
    print(json.dumps({k: round(v, 2) for k, v in row.items()}))


if __name__ == "__main__":
    main()
