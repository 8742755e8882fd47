#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the fuzzers with clang's libFuzzer in build-fuzz/ and runs them. usage: fuzz.py [--seconds N] [NAME...]

Each starts from tests/fuzz/seeds/NAME and from what it found before (build-fuzz/corpus/NAME). What breaks a reader is
left in build-fuzz/found/: mend the reader, then keep the input as a seed. MICRORWKV_FUZZ_SECONDS: 20 each."""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-fuzz"
DICTIONARIES = {"json": "json", "gpt2": "json tokenizer", "json_tokenizer": "json tokenizer", "stored_tokenizer": "json tokenizer",
                "bpe": "json tokenizer", "world": "tokenizer", "mrw": "json containers", "safetensors": "json containers",
                 "shards": "json containers", "adapter": "json containers", "ggml_bin": "containers", "gguf": "containers",
                 "torch": "zip pickle", "torch_pickle": "pickle", "torch_old": "pickle",
                "recognise": "json recognise", "model": "json containers", "token_file": "json tokenizer pickle", "encode": "text", "source": "text"}
LIMITS = ["-rss_limit_mb=1024", "-malloc_limit_mb=256", "-timeout=5", "-max_len=12288", "-print_final_stats=1"]
SECONDS = int(os.environ.get("MICRORWKV_FUZZ_SECONDS", 20))
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def why_not():
    """What is missing for fuzzing here, or None."""
    if not shutil.which("clang"):
        return "clang not found"
    with tempfile.TemporaryDirectory() as folder:
        main = "int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n); int LLVMFuzzerTestOneInput(const unsigned char *d," \
               " unsigned long n) { return d && n > 99; }"
        result = subprocess.run(["clang", "-fsanitize=fuzzer,address,undefined", "-x", "c", "-", "-o", f"{folder}/a"], input=main, text=True,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return "this clang has no libFuzzer (Debian: libclang-rt-dev)" if result.returncode else None


def names():
    return sorted(f.name for f in (ROOT / "tests/fuzz/seeds").iterdir())


def build(wanted):
    """The complaints of a build that fails, or none."""
    commands = [["ninja", "-C", str(BUILD), *(f"tests/fuzz/fuzz_{name}" for name in wanted)]]
    if not (BUILD / "build.ninja").exists():
        commands.insert(0, ["meson", "setup", str(BUILD), str(ROOT), "-Dfuzz=true", "-Db_sanitize=address,undefined", "-Db_lundef=false"])
    for command in commands:
        result = subprocess.run(command, env={**os.environ, "CC": "clang"}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode:
            return [line for line in result.stdout.splitlines() if re.search(r"error|ERROR", line)] or ["the fuzzers cannot be built"]
    return []


def run(name, seconds):
    """A line that says how it went, and the complaints."""
    corpus, found, words = BUILD / "corpus" / name, BUILD / "found", BUILD / f"{name}.dict"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    words.write_text("".join((ROOT / "tests/fuzz/dict" / d).read_text() for d in DICTIONARIES.get(name, name).split()))
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        command = [str(BUILD / f"tests/fuzz/fuzz_{name}"), *LIMITS, f"-max_total_time={seconds}", f"-dict={words}",
                   f"-artifact_prefix={found}/{name}-", str(corpus), str(ROOT / "tests/fuzz/seeds" / name)]
        result = subprocess.run(command, env={**os.environ, "TMPDIR": folder}, text=True, errors="replace", stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE)
    said = result.stderr
    runs = re.search(r"number_of_executed_units:\s*(\d+)", said)
    slowest = re.search(r"slowest_unit_time_sec:\s*(\d+)", said)
    line = f"{name}: {runs[1] if runs else '?'} runs, slowest {slowest[1] if slowest else '?'} s"
    if not result.returncode:
        return line, []
    why = [w for w in said.splitlines() if re.search(r"ERROR|runtime error|does not hold|written to|SUMMARY", w)]
    return line, [f"{name}: {w}" for w in why or said.splitlines()[-5:]]


def fuzz(wanted, seconds):
    """Complaints, while lines that say how it goes are printed."""
    yield from (failed := build(wanted))
    if failed:
        return
    with concurrent.futures.ThreadPoolExecutor(CPUS) as pool:
        for line, complaints in pool.map(lambda name: run(name, seconds), wanted):
            print(f"   {line}", flush=True)
            yield from complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*names(), []])
    options = parser.parse_args()
    if missing := why_not():
        sys.exit(f"{missing}: no fuzzing")
    complaints = list(fuzz(options.names or names(), options.seconds))
    print("\n".join(complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
