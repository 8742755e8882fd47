# SPDX-License-Identifier: GPL-3.0-or-later
"""What programs find that read the C sources (clang-tidy, cppcheck) or watch them run (the sanitizers)."""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SANITIZED = ROOT / "build-sanitize"
# Drivers keep memory until the end and catch signals of their own
OPTIONS = "detect_leaks=0:allow_user_segv_handler=1"
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
# The loops of jansson, whose header cppcheck does not read
MACROS = ["-Djson_object_foreach(o,k,v)=while(json_next(o,&k,&v))", "-Djson_array_foreach(a,i,v)=while(json_next(a,&i,&v))"]
# What cppcheck sees wrongly: one complaint each, and why it is none
FALSE = [
    "invalidPointerCast",  # tables of keys hold offsets of fields of several types; memory for a trial is of doubles
    "invalidFunctionArg:src/infer/sampler.c",  # a sum over at least one token is over 0
    "pointerOutOfBoundsCond:src/io/pickle.c",  # the empty string stands in only where the size is 0
    "ctuuninitvar:src/formats/recognise.c",  # struct view keeps the pointer; what it points to is set before it is read
]


def tidy_file(name):
    return subprocess.run(["clang-tidy", "-p", "build", "--quiet", name], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout


def tidy(names):
    """Complaints of clang-tidy, whose checks stand in .clang-tidy, about these files."""
    if not shutil.which("clang-tidy"):
        print("   clang-tidy not found, skipped")
    elif not (ROOT / "build/compile_commands.json").exists():
        print("   build/ is not configured, skipped")
    else:
        found = set()
        with concurrent.futures.ThreadPoolExecutor(CPUS) as pool:
            for said in pool.map(tidy_file, names):
                found.update(line.replace(f"{ROOT}/build/../", "").replace(f"{ROOT}/", "") for line in said.splitlines()
                             if re.search(r": (warning|error): ", line))
        yield from sorted(found)


def cppcheck():
    if not shutil.which("cppcheck"):
        print("   cppcheck not found, skipped")
        return
    command = ["cppcheck", f"-j{CPUS}", "--enable=warning,performance,portability", "--std=c11", "--quiet", "-Isrc", "-Iinclude",
               "-DCL_TARGET_OPENCL_VERSION=120", "-D_GNU_SOURCE", *MACROS, *(f"--suppress={what}" for what in FALSE),
               "--template={file}:{line}: {message} [{id}]", "src"]
    yield from subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr.splitlines()


def sanitizers():
    """Complaints of the unit tests under AddressSanitizer and UndefinedBehaviorSanitizer, built in build-sanitize/. They
    leave their coverage there for tools/coverage.py."""
    unit = re.findall(r"'(\w+)'", (ROOT / "tests/unit/meson.build").read_text())
    commands = [["ninja", "-C", SANITIZED, "--quiet", *(f"tests/unit_{name}" for name in unit)]]
    if not (SANITIZED / "build.ninja").exists():
        commands.insert(0, ["meson", "setup", SANITIZED, ROOT, "-Db_sanitize=address,undefined", "-Db_coverage=true",
                            "-Doptimization=0"])
    for command in commands:
        result = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode:
            yield from [line for line in result.stdout.splitlines() if re.search(r"\b(error|ERROR)\b", line)] or ["cannot be built"]
            return
    command = [sys.executable, "tests/report.py", SANITIZED, "unit"]
    result = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={
        **os.environ, "ASAN_OPTIONS": OPTIONS, "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"})
    if result.returncode:
        yield from [line for line in result.stdout.splitlines() if re.search(r"^FAILED|runtime error|ERROR: ", line)] or \
            result.stdout.splitlines()[-5:]
