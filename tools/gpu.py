#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiles the kernels for GPUs that need not be here, and compares what they take with data/gpu-kernels.tsv.

    tools/gpu.py            complains about kernels that spill more or take more registers or local memory than there
    tools/gpu.py --write    writes that table anew

AMD (gfx*): clang 19 and libclc 19. Intel (dg2, tgllp): ocloc. NVIDIA (sm_*): clang 19, libclc 19 and ptxas. Targets
whose compiler is missing are left out, and their rows of the table stay."""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import embed_kernels

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "data" / "gpu-kernels.tsv"
HEAD = "kernel\toptions\ttarget\tregisters\tspilled_bytes\tlocal_bytes"
LIBCLC = pathlib.Path("/usr/lib/clc")
AMD, INTEL, NVIDIA = ("gfx906", "gfx1030", "gfx1100"), ("tgllp", "dg2"), ("sm_80", "sm_90")
LANES = {"gfx906": 64, "gfx1030": 32, "gfx1100": 32, "tgllp": 64, "dg2": 64, "sm_80": 32, "sm_90": 32}
SLACK = 1.1  # registers: what the compiler's heuristics may shift

HEADS = (32, 64, 96, 128)
FORMATS = range(2, 9)  # enum mr_element from MR_F16
# The -D that src/ops and src/rt choose on a GPU, by file; other files have none. {parts}: lane groups that share k.
OPTIONS = {
    "attention_step": [f"-DD={d}" for d in HEADS],
    "embedding": [f"-DFORMAT={f}" for f in FORMATS],
    "gemm": ["-DSIDE=16"] + [f"-DSIDE=16 -DFORMAT={f}" for f in FORMATS],
    "group_norm": [f"-DN={n}" for n in HEADS],
    "matvec": [f"-DROWS={r}" for r in (1, 2, 4, 8)],
    "norm_shift": [f"-DCOUNT={c} -DNORM={n} -DKEEPS={k} -DREST={r}" for c, n, k, r in
                   ((1, 1, 0, 0), (2, 1, 0, 0), (3, 1, 0, 0), (5, 1, 0, 0), (6, 1, 0, 0), (0, 2, 0, 0), (2, 2, 1, 0))],
    "products": [f"-DFORMAT={f} -DROWS={r} -DCOUNT={c} -DPARTS={{parts}}" for f in (0, 2, 4, 8) for r in (1, 4)
                 for c in (1, 8)],
    "time_mix": ["-DN=32 -DCHUNK=32 -DPANEL=32", "-DN=96 -DCHUNK=32 -DPANEL=32"],
    "token_shift": ["-DCOUNT=1", "-DCOUNT=4 -DKEEPS=1", "-DCOUNT=6"],
    "window_attention": ["-DD=32 -DPANEL=32 -DKEYS=64 -DCOLUMNS=32", "-DD=64 -DPANEL=16 -DKEYS=32 -DCOLUMNS=64",
                         "-DD=96 -DPANEL=16 -DKEYS=32 -DCOLUMNS=96 -DDROPOUT"],
    "wkv6": [f"-DN={n}" for n in (32, 64)],
    "wkv6_backward": [f"-DN={n}" for n in (32, 64)],
    "wkv6_step": [f"-DN={n} -DDECAYS={d}" for n in (32, 64) for d in (0, 1)],
    "wkv7": [f"-DN={n}" for n in (32, 64)],
    "wkv7_around": [f"-DN={n}" for n in (32, 64)],
    "wkv7_backward": ["-DN=32 -DCHUNK=16", "-DN=64 -DCHUNK=12"],
    "wkv7_step": [f"-DN={n}" for n in (32, 64)],
}


def run(command, **more):
    result = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **more)
    if result.returncode:
        raise RuntimeError(f"{pathlib.Path(command[0]).name}: "
                           + next((line for line in result.stdout.splitlines() if "rror" in line), "failed"))
    return result.stdout


def clang(source, output, options, *target):
    run(["clang-19", "-x", "cl", "-cl-std=CL1.2", "-w", "-O3", "-S", "-nogpulib", "-Xclang", "-finclude-default-header",
         *target, *options, "-o", str(output), str(source)])


def builtins(name):
    return ["-Xclang", "-mlink-builtin-bitcode", "-Xclang", str(LIBCLC / name)]


def amd(target, source, options, folder):
    """{kernel: (registers, spilled bytes, local bytes)} from the metadata of the code object."""
    clang(source, folder / "out.s", options, "-target", "amdgcn-amd-amdhsa", f"-mcpu={target}", *builtins("amdgcn--amdhsa.bc"))
    found = {}
    for entry in re.split(r"^  - \.args", (folder / "out.s").read_text().partition("amdhsa.kernels:")[2], flags=re.M)[1:]:
        field = {key: value for key, value in re.findall(r"^    \.(\w+):\s+(\S+)", entry, re.M)}
        found[field["name"]] = tuple(int(field[key]) for key in ("vgpr_count", "private_segment_fixed_size",
                                                                 "group_segment_fixed_size"))
    return found


def nvidia(target, source, options, folder):
    clang(source, folder / "out.ptx", options, "-target", "nvptx64-nvidia-nvcl", *builtins("nvptx64--nvidiacl.bc"))
    text = run(["ptxas", "-v", "-arch", target, "-o", os.devnull, str(folder / "out.ptx")])
    found = {}
    for entry in text.split("Compiling entry function")[1:]:
        kernel = re.search(r"'(\w+)'", entry)[1]
        local = re.search(r"(\d+) bytes smem", entry)
        found[kernel] = (int(re.search(r"Used (\d+) registers", entry)[1]), int(re.search(r"(\d+) bytes stack", entry)[1]),
                         int(local[1]) if local else 0)
    return found


def intel(target, source, options, folder):
    run(["ocloc", "compile", "-q", "-file", str(source), "-device", target, "-out_dir", str(folder), "-output", "out",
         "-output_no_suffix", "--format", "zebin", "-options", " ".join(["-cl-std=CL1.2", "-w", *options])])
    text = run(["readelf", "-p", ".ze_info", str(folder / "out")])
    found = {}
    for entry in re.split(r"- name:\s+", text.partition("kernels_misc_info")[0])[1:]:
        numbers = {key: int(value) for key, value in re.findall(r"(grf_count|spill_size|slm_size|private_size):\s+(\d+)", entry)}
        found[re.match(r"\w+", entry)[0]] = (numbers.get("grf_count", 0),
                                             max(numbers.get("spill_size", 0), numbers.get("private_size", 0)),
                                             numbers.get("slm_size", 0))
    return found


def targets():
    """{target: its function} of those whose compiler is here; says which are not."""
    found = {}
    clang_here = shutil.which("clang-19") and (LIBCLC / "amdgcn--amdhsa.bc").exists()
    for names, function, here, needs in ((AMD, amd, clang_here, "clang-19 and libclc-19"),
                                         (NVIDIA, nvidia, clang_here and shutil.which("ptxas"), "clang-19, libclc-19 and ptxas"),
                                         (INTEL, intel, shutil.which("ocloc"), "ocloc")):
        if here:
            found.update({name: function for name in names})
        else:
            print(f"   {', '.join(names)} skipped: {needs} not found")
    return found


def compile_one(file, source, wanted, target, function):
    """Rows of the table: (kernel, options, target, registers, spilled bytes, local bytes)."""
    wanted = wanted.format(parts=256 // LANES[target])
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"{file}.cl"
        path.write_text(source)
        options = [f"-DLANES={LANES[target]}", "-DVEC=4", *wanted.split()]
        try:
            rows = function(target, path, options, pathlib.Path(folder))
        except RuntimeError as error:
            return [], f"cl/{file}.cl does not compile for {target} with {wanted or 'no options'}: {error}"
    return [(kernel, wanted, target, *numbers) for kernel, numbers in sorted(rows.items())], None


def measure(only=None):
    """(rows, complaints) of all kernels for all targets that can be compiled for."""
    texts = {path.name: path.read_text() for path in sorted((ROOT / "cl").glob("*.cl"))}
    jobs, rows, failed = [], [], []
    here = targets()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, text in texts.items():
            file = name.removesuffix(".cl")
            if not embed_kernels.signatures(name, embed_kernels.without_comments(text)) or (only and file not in only):
                continue
            done = set()
            source = "\n".join(embed_kernels.expand("common.cl", texts, done) + embed_kernels.expand(name, texts, done)) + "\n"
            jobs += [pool.submit(compile_one, file, source, wanted, target, function)
                     for wanted in OPTIONS.get(file, [""]) for target, function in here.items()]
        for job in jobs:
            found, complaint = job.result()
            rows += found
            if complaint:
                failed.append(complaint)
    return rows, failed


def read_table():
    lines = TABLE.read_text().splitlines()[1:] if TABLE.exists() else []
    return {tuple(line.split("\t")[:3]): tuple(map(int, line.split("\t")[3:])) for line in lines}


def complaints(only=None):
    """What got worse than the table, or is not in it."""
    before = read_table()
    rows, found = measure(only)
    yield from found
    for kernel, options, target, *now in rows:
        old = before.get((kernel, options, target))
        where = f"{kernel} {options} for {target}"
        if not old:
            yield f"{where}: not in data/gpu-kernels.tsv: run tools/gpu.py --write"
        elif now[0] > old[0] * SLACK or now[1] > old[1] or now[2] > old[2]:
            yield f"{where}: {now[0]} registers, {now[1]} bytes spilled, {now[2]} of local memory; were {old[0]}, {old[1]}, {old[2]}"


def write():
    """The table anew; rows of targets that cannot be compiled for here stay."""
    rows, found = measure()
    for complaint in found:
        print(complaint)
    compiled = {row[2] for row in rows}
    table = {key: numbers for key, numbers in read_table().items() if key[2] not in compiled}
    table.update({tuple(row[:3]): tuple(row[3:]) for row in rows})
    TABLE.write_text("\n".join([HEAD] + ["\t".join(map(str, key + table[key])) for key in sorted(table)]) + "\n")
    print(f"{TABLE.relative_to(ROOT)}: {len(table)} rows, {sum(1 for n in table.values() if n[1])} of them spill")
    return 1 if found else 0


def main():
    if sys.argv[1:2] == ["--write"]:
        return write()
    failed = 0
    for complaint in complaints(sys.argv[1:]):
        print(complaint)
        failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
