#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel launches per layer and token of a decoding step, counted by --profile: tiny models of 1 and 3 layers, whose
counts differ by two layers.   ./run bench launches"""
import argparse
import pathlib
import re
import subprocess
import tempfile

BUDGETS = {"rwkv4": 8, "gpt2": 8, "rwkv5": 10, "rwkv6": 10, "rwkv7": 10, "opt": 8, "gptneo": 8, "gptneox": 8, "nanorwkv": None, "microrwkv": 22,
           "microrwkv moe=topk num_active_experts=2": 22, "microrwkv moe=topk num_active_experts=2 branch_norm=rms": 22}
SMALL = ["n_embd=64", "vocab_size=256", "block_size=64"]
TOKENS = 20


def launches(program, folder, family, layers):
    name, *more = family.split()
    heads = {"microrwkv": ["n_head=2", "groups=2", "expert_dim=32", "window=16"], "gpt2": ["n_head=2"], "opt": ["n_head=2"], "gptneo": ["n_head=2"],
             "gptneox": ["n_head=2"], "nanorwkv": ["n_head=2"]}
    model = folder / f"{family.replace(' ', '-')}-{layers}.mrw"
    subprocess.run([program, "new", name, *SMALL, f"n_layer={layers}", *heads.get(name, []), *more, "--out", model],
                   check=True, stderr=subprocess.DEVNULL)
    counts = []
    for tokens in (TOKENS, 2 * TOKENS):
        shown = subprocess.run([program, "generate", model, "--tokenizer", "byte", "--prompt", "a", "--max-tokens",
                                str(tokens), "--profile"], check=True, text=True, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE).stderr
        rows = re.findall(r"^(\w\S*|\(\w+\)) +(\d+) +[\d.]+ +[\d.]+%", shown, re.M)
        counts.append(sum(int(calls) for kernel, calls in rows if kernel[0] != "("))
    return (counts[1] - counts[0]) / TOKENS


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="build/microrwkv")
    options = parser.parse_args()
    program = pathlib.Path(options.program).resolve()
    print(f"{'family':55} {'a layer':>8} {'the rest':>9} {'budget a layer':>15}")
    with tempfile.TemporaryDirectory() as folder:
        for family, budget in BUDGETS.items():
            one, three = (launches(program, pathlib.Path(folder), family, n) for n in (1, 3))
            layer = (three - one) / 2
            print(f"{family:55} {layer:8.1f} {one - layer:9.1f} {budget or '-':>15}", flush=True)


main()
