# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel tests as ./run check runs them: in every variant, and under oclgrind."""
import concurrent.futures
import itertools
import json
import os
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / os.environ.get("MICRORWKV_BUILD", "build")
LANES, VECTORS, PROVIDERS = (1, 8, 32, 64), (4, 8, 16), ("own", "clblast")
REAL = {(1, 8), (1, 16), (32, 4)}  # what devices mostly are: these try every width, which compiles for long
RACE_SECONDS = int(os.environ.get("MICRORWKV_RACE_SECONDS", 120))  # of each program; what came until then counts
FINDING = re.compile(r"^(\S.*?) (?:at|of size) .*\n\s*Kernel: (\w+)", re.MULTILINE)


def programs():
    """{name: (command, environment)} of the kernel tests, and the names of those that CLBlast multiplies for."""
    found, multiplying = {}, set()
    listed = subprocess.run(["meson", "introspect", BUILD, "--tests"], check=True, stdout=subprocess.PIPE).stdout
    for test in json.loads(listed):
        name, _, variant = test["name"].partition(" ")
        if name.startswith("kernel_"):
            found[name] = test["cmd"], test["env"]
            if variant == "clblast":
                multiplying.add(name)
    return found, multiplying


def run(command, environment, seconds):
    """(status, output) of a command; status None: it ran out of time."""
    with tempfile.TemporaryFile() as output:
        try:
            status = subprocess.run(command, env={**os.environ, **environment}, timeout=seconds, stdout=output,
                                    stderr=subprocess.STDOUT).returncode
        except subprocess.TimeoutExpired:
            status = None
        output.seek(0)
        return status, output.read().decode(errors="replace")


def try_variant(name, command, environment, lanes, vec, provider):
    settings = {"MICRORWKV_LANES": str(lanes), "MICRORWKV_VEC": str(vec), "MICRORWKV_GEMM": provider}
    if (lanes, vec) in REAL and provider == "own":
        settings["MICRORWKV_TEST_WIDTHS"] = "all"
    status, output = run(command, {**environment, **settings}, 7200)
    if status != 0:
        notes = [line for line in output.splitlines() if line.startswith(("not ok", "#"))][:4]
        where = f"{name}, LANES {lanes}, VEC {vec}, products by {provider}"
        return f"{where}: {'out of time' if status is None else f'exit status {status}'}: {' | '.join(notes)}"
    return None


def variants():
    found, multiplying = programs()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(try_variant, name, *found[name], lanes, vec, provider)
                for lanes, vec, provider in itertools.product(LANES, VECTORS, PROVIDERS) for name in sorted(found)
                if provider == "own" or name in multiplying]
        for job in concurrent.futures.as_completed(jobs):
            if job.result():
                yield job.result()


def races(names=None):
    """Complaints of oclgrind about the kernel tests, with few lanes and small shapes."""
    found, _ = programs()
    for name in sorted(names or found):
        command, environment = found[name]
        settings = {"MICRORWKV_LANES": "8", "MICRORWKV_VEC": "4", "MICRORWKV_GEMM": "own", "MICRORWKV_TEST_SMALL": "1"}
        with tempfile.TemporaryDirectory() as cache:  # oclgrind 21.10 knows no intrinsic that comes from `restrict`
            settings["MICRORWKV_CACHE_DIR"] = cache
            status, output = run(["oclgrind", "--data-races", "--max-errors", "20", "--build-options", "-Drestrict=",
                                  *command], {**environment, **settings}, RACE_SECONDS)
        findings = sorted({f"{match[1]} in {match[2]}" for match in FINDING.finditer(output)})
        yield from (f"{name}: {finding}" for finding in findings)
        if status is None:
            print(f"   {name}: stopped after {RACE_SECONDS} seconds", flush=True)
        elif status and not findings:
            yield f"{name}: exit status {status} under oclgrind"
