#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the time of a token and the memory go on while a long text is generated; and how long the first token takes.

  python bench/decode.py --program build/microrwkv MODEL [--tokens 20000] [more arguments of generate]

The model must write every token as text (byte or char). Tokens are timed as they arrive. The first token is timed
with an empty and with a filled program cache (PoCL's own too), from the start of the process.
"""
import argparse, json, os, statistics, subprocess, tempfile, time


def resident(pid):
    """MiB of resident memory of a process."""
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


def generate(program, model, tokens, more, environment):
    """Arrival times of the text's bytes since the process began, and [(bytes so far, MiB), …]."""
    began = time.perf_counter()
    process = subprocess.Popen([program, "generate", model, "--prompt", "A", "--max-tokens", str(tokens), *more],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    times, memory = [], []
    while piece := os.read(process.stdout.fileno(), 65536):
        times += [time.perf_counter() - began] * len(piece)  # the prompt, the tokens and a newline, a byte each
        if len(times) in (1000, 2000) or len(times) % 5000 == 0:
            memory.append((len(times), round(resident(process.pid), 1)))
    if process.wait():
        raise SystemExit(f"generate failed with status {process.returncode}")
    return times, memory


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--program", required=True), ap.add_argument("model")
    ap.add_argument("--tokens", type=int, default=20000), ap.add_argument("--starts", type=int, default=5)
    opt, more = ap.parse_known_args()
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "MICRORWKV_CACHE_DIR": cache, "POCL_CACHE_DIR": cache + "/driver"}
        cold = generate(opt.program, opt.model, 1, more, environment)[0]
        warm = [generate(opt.program, opt.model, 1, more, environment)[0][1] for _ in range(opt.starts)]
    times, memory = generate(opt.program, opt.model, opt.tokens, more, None)
    steps = [1e3 * (b - a) for a, b in zip(times[1:], times[2:])]
    second, last = statistics.median(steps[1000:2000]), statistics.median(steps[-1000:])
    print(json.dumps({"bytes": len(times), "cold_start_s": round(cold[1], 3), "warm_start_s": round(statistics.median(warm), 3),
                      "second_thousand_ms": round(second, 4), "last_thousand_ms": round(last, 4),
                      "last_over_second": round(last / second, 4), "resident_mib": memory}))


if __name__ == "__main__":
    main()
