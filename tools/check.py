#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reviewer looks at first. Run `./run check` or tools/check.py from the project's root.

Each function check_* yields complaints about the files that git knows; the tests call the quick ones too."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import arrows
import faults
import findings
import fuzz
import gpu
import kernels

ROOT = pathlib.Path(__file__).resolve().parent.parent
LONGEST_FILE, LONGEST_FUNCTION, MOST_PARAMETERS = 500, 70, 12
# Included by kernel files, no kernels of a family of their own
SHARED_KERNEL_CODE = {"activation", "columns", "common", "dot", "fetch", "head", "philox", "tile", "unpack", "wkv6_bonus"}
GEMM = {"gemm", "matvec"}  # behind rt/gemm.h, so without namesakes in ops; one reference serves both


def sources(*patterns):
    """(path, lines) of the project's files, seen from its root."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT, text=True, check=True,
                            stdout=subprocess.PIPE).stdout.splitlines()
    for name in sorted(set(listed)):
        if (ROOT / name).is_file():
            yield name, (ROOT / name).read_text(errors="replace").splitlines()


def check_licence_lines():
    for name, lines in sources("*.c", "*.h", "*.cl", "*.py", "*.build", "run", ".ci/run"):
        if not any("SPDX-License-Identifier: GPL-3.0-or-later" in line for line in lines[:2]):
            yield f"{name}: has no licence line at the top"


def check_arrows():
    yield from arrows.complaints()


def check_lengths():
    for name, lines in sources("*.c", "*.h", "*.cl", "*.py"):
        if len(lines) > LONGEST_FILE:
            yield f"{name}: {len(lines)} lines; at most {LONGEST_FILE}"
        start = None
        for number, line in enumerate(lines, 1):
            if not name.endswith(".py") and line == "{":
                start = number
            elif line.startswith("}") and start:
                if number - start > LONGEST_FUNCTION:
                    yield f"{name}:{start}: a function of {number - start} lines; at most {LONGEST_FUNCTION}"
                start = None


def parameters(text):
    """(name, number of its parameters) of every function that C text declares or defines."""
    for found in re.finditer(r"^[A-Za-z_][\w *]*?\b(\w+)\(((?:[^()]|\([^()]*\))*)\)\s*[;{]", text, re.MULTILINE):
        yield found[1], 1 + re.sub(r"\([^()]*\)", "", found[2]).count(",")


def check_parameters():
    """Functions with many parameters take a struct. Kernels are excepted: they cannot be given pointers in one."""
    for name, lines in sources("*.c", "*.h"):
        for function, count in parameters("\n".join(lines)):
            if count > MOST_PARAMETERS:
                yield f"{name}: {function} has {count} parameters; at most {MOST_PARAMETERS}, more go into a struct"


def check_namesakes():
    """cl/X.cl, src/ops/X.c, src/ref/X.c and tests/kernels/X.c belong together."""
    for name, _ in sources("cl/*.cl"):
        stem = pathlib.Path(name).stem
        for other in (f"src/ops/{stem}.c", f"src/ref/{stem}.c", f"tests/kernels/{stem}.c"):
            if stem not in SHARED_KERNEL_CODE and not (stem in GEMM and "/kernels/" not in other) and not (ROOT / other).exists():
                yield f"{name}: {other} is missing"


def check_format():
    """Every file is as .clang-format (of clang-format 14) lays it out."""
    if not shutil.which("clang-format"):
        print("   clang-format not found, skipped")
        return
    names = [name for name, _ in sources("*.c", "*.h", "*.cl")]
    result = subprocess.run(["clang-format", "--dry-run", "-Werror", *names], cwd=ROOT, text=True, stderr=subprocess.PIPE)
    yield from sorted({line.split(":")[0] + ": differs from .clang-format: run clang-format -i"
                       for line in result.stderr.splitlines() if ": error: " in line})


def check_headers():
    """Every header compiles alone."""
    compiler = os.environ.get("CC", "cc")
    for name, _ in sources("include/*.h", "src/*.h"):
        result = subprocess.run([compiler, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-Isrc",
                                 "-Iinclude", "-DCL_TARGET_OPENCL_VERSION=120", "-fsyntax-only", "-x", "c", "-"],
                                input=f'#include "{name.split("/", 1)[1]}"\n', cwd=ROOT, text=True, stderr=subprocess.PIPE)
        if result.returncode:
            yield f"{name}: does not compile alone: {result.stderr.splitlines()[0]}"


def check_warnings():
    """Both compilers build everything without a warning (a few minutes)."""
    for compiler in ("gcc", "clang"):
        if not shutil.which(compiler):
            print(f"   {compiler} not found, skipped")
            continue
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "CC": compiler}
            for command in (["meson", "setup", folder, str(ROOT), "-Dwerror=true"], ["ninja", "-C", folder, "-k", "0"]):
                result = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
                if result.returncode:
                    yield from (f"{compiler}: {line}" for line in result.stdout.splitlines()
                                if re.search(r"\b(error|ERROR)\b", line))
                    break


def check_clang_tidy():
    """clang-tidy, with the checks of .clang-tidy, finds nothing in src/ (several minutes)."""
    yield from findings.tidy([name for name, _ in sources("src/*.c")])


def check_cppcheck():
    yield from findings.cppcheck()


def check_sanitizers():
    """The unit tests pass under AddressSanitizer and UndefinedBehaviorSanitizer."""
    yield from findings.sanitizers()


def check_fuzzers():
    """Every fuzzer runs for MICRORWKV_FUZZ_SECONDS (20) from its seeds and what it found before."""
    missing = fuzz.why_not()
    if missing:
        print(f"   {missing}, skipped")
    else:
        yield from fuzz.fuzz(fuzz.names(), fuzz.SECONDS)


def check_verify():
    """`devices --verify` finds every device right and leaves out no kernel of cl/, in the forms of CPUs and of GPUs."""
    program = ROOT / "build" / "microrwkv"
    if not program.exists():
        print(f"   {program} is not built: left out")
        return
    kernels = {name for _, lines in sources("cl/*.cl") for line in lines
               for name in re.findall(r"^kernel void (\w+)\(", line)}
    for lanes in ("1", "32"):
        result = subprocess.run([program, "devices", "--verify", "--json"], text=True, stdout=subprocess.PIPE, check=False,
                                env={**os.environ, "MICRORWKV_LANES": lanes})
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        yield from (f"LANES={lanes}, device {line['index']}: {line['family']} is wrong by {line['error']} {line['text']}"
                    for line in lines if not line.get("good", True))
        yield from (f"LANES={lanes}, device {line['index']}: never launched: {name}"
                    for line in lines if "launched" in line for name in sorted(kernels - set(line["launched"])))


def check_faults():
    """Training loses nothing when files, disks and processes fail, tried for MICRORWKV_FAULT_SECONDS (120)."""
    if not faults.PROGRAM.exists():
        print(f"   {faults.PROGRAM} is not built, skipped")
    elif subprocess.run([sys.executable, ROOT / "tools" / "faults.py"], check=False).returncode:
        yield "tools/faults.py: something was lost or reported wrongly"


def check_kernel_variants():
    """Every kernel test passes with every number of lanes, vector width and GEMM provider (hours)."""
    yield from kernels.variants()


def check_gpus():
    """Compiled for AMD, Intel and NVIDIA, no kernel spills more, or takes more registers or local memory, than before."""
    yield from gpu.complaints()


def check_races():
    """No kernel test, with small shapes, reads or writes what another work-item may be writing, or beyond a buffer."""
    if not shutil.which("oclgrind"):
        print("   oclgrind not found, skipped")
    else:
        yield from kernels.races()


def main():
    failed = 0
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            print(f"== {name[6:].replace('_', ' ')}", flush=True)
            for complaint in check():
                print(f"   {complaint}")
                failed += 1
    print(f"{failed} complaints" if failed else "no complaints")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
