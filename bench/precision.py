#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model at every precision, in turn: ms a token, tokens/s of a prompt, resident memory, each beside f32; and, with
--data, the loss of each.   ./run bench precision MODEL [--rounds 3] [--precisions f32,f16,q8_0,q4_0] [--data DIR]"""
import argparse
import json
import os
import statistics
import subprocess

ALL = "f32,f16,bf16,q8_0,q5_1,q5_0,q4_1,q4_0"


def run(command):
    """Standard output as JSON, and the most memory in MiB that was resident."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out = process.stdout.read()
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(map(str, command))}: {errors.decode()}")
    return json.loads(out.splitlines()[-1]), usage.ru_maxrss / 1024


def measure(options, precision, found):
    generate = [options.program, "generate", options.model, "--precision", precision, "--json", "--temperature", "0",
                *(["--tokenizer", options.tokenizer] if options.tokenizer else [])]
    told, memory = run([*generate, "--prompt", "a", "--max-tokens", str(options.tokens)])
    count = len(told["tokens"])
    found.setdefault("ms a token", []).append((told["total_s"] * 1e3 - told["first_token_ms"]) / max(1, count - 1))
    found.setdefault("MiB", []).append(memory)
    read, _ = run([*generate, "--prompt", "a" * options.prompt, "--max-tokens", "1"])
    found.setdefault("prompt tokens/s", []).append(options.prompt / read["first_token_ms"] * 1e3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/microrwkv"), parser.add_argument("model")
    parser.add_argument("--precisions", default=ALL), parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=100), parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--tokenizer", default="byte"), parser.add_argument("--data")
    options = parser.parse_args()
    precisions = options.precisions.split(",")
    found = {precision: {} for precision in precisions}
    for precision in precisions:  # compiles what is not yet in the cache
        measure(options, precision, {})
    for _ in range(options.rounds):
        for precision in precisions:
            measure(options, precision, found[precision])
    middle = {p: {name: statistics.median(values) for name, values in found[p].items()} for p in precisions}
    first = middle[precisions[0]]
    print(f"{'':6} {'ms a token':>11} {'ratio':>6} {'prompt/s':>9} {'ratio':>6} {'MiB':>7} {'loss':>8}")
    for p in precisions:
        m = middle[p]
        loss = ""
        if options.data:
            told, _ = run([options.program, "eval", options.model, "--data", options.data, "--precision", p, "--json"])
            loss = f"{told['loss']:.4f}"
        print(f"{p:6} {m['ms a token']:11.2f} {m['ms a token'] / first['ms a token']:6.2f} {m['prompt tokens/s']:9.0f} "
              f"{m['prompt tokens/s'] / first['prompt tokens/s']:6.2f} {m['MiB']:7.0f} {loss:>8}")


main()
