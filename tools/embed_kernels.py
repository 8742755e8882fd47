#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the kernel sources and the table of their signatures as one C file (see src/rt/kernels.h).

    embed_kernels.py OUTPUT.c cl/common.cl cl/a.cl cl/b.cl ...

Every file that holds kernels becomes one string: common.cl, then the file, each behind a #line directive, so
that a compiler's log names cl/ files and lines. A line `#include "x.cl"` is replaced by that file (once a
program). What no device may see is refused here: double literals, pointers to local memory as parameters."""
import os
import re
import sys

POINTERS = {"float": "MR_POINTEE_F32", "int": "MR_POINTEE_I32", "uint": "MR_POINTEE_I32"}
OTHER_POINTERS = {"half", "char", "uchar", "short", "ushort", "long", "ulong"}
SCALARS = {"int": "MR_ARG_INT", "uint": "MR_ARG_UINT", "float": "MR_ARG_FLOAT", "ulong": "MR_ARG_ULONG",
           "int16": "MR_ARG_INT16"}
KERNEL = re.compile(r"\b(?:__)?kernel\s+(?:__attribute__\s*\(\(.*?\)\)\s*)?void\s+(\w+)\s*\(([^()]*)\)", re.S)
INCLUDE = re.compile(r'^\s*#\s*include\s+"([\w./]+)"\s*$')
DOUBLE = re.compile(r"(?<![\w.])(?:(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|0[xX][\da-fA-F.]+[pP][+-]?\d+)"
                    r"(?![\w.])|\bdouble\d*\b")


class Wrong(Exception):
    pass


def without_comments(text):
    """The text with comments blanked; line numbers stay."""
    blank = lambda m: re.sub(r"[^\n]", " ", m[0])
    return re.sub(r"/\*.*?\*/|//[^\n]*", blank, text, flags=re.S)


def check_literals(name, code):
    for number, line in enumerate(code.split("\n"), 1):
        found = DOUBLE.search(line)
        if found:
            raise Wrong(f"{name}:{number}: '{found[0].strip()}' is double precision: write 0.5f, use float")


def parameter(place, text):
    """(kind, element type, name) of one parameter such as `global const float *restrict x`."""
    words = re.findall(r"\w+|\*", text)
    words = [w.removeprefix("__") for w in words if w not in ("restrict", "__restrict")]
    name, kinds = words[-1], words[:-1]
    const = "const" in kinds
    kinds = [w for w in kinds if w not in ("const", "volatile")]
    if kinds.count("*") == 1 and kinds[-1] == "*" and len(kinds) == 3 and kinds[0] == "global":
        element = POINTERS.get(kinds[1]) or ("MR_POINTEE_ANY" if kinds[1] in OTHER_POINTERS else None)
        if element:
            return "MR_ARG_IN" if const else "MR_ARG_OUT", element, name
    elif len(kinds) == 1 and kinds[0] in SCALARS:
        return SCALARS[kinds[0]], "MR_POINTEE_ANY", name
    raise Wrong(f"{place}: parameter '{' '.join(text.split())}': only pointers to global float, int, uint, half, "
                "char, short, long, and scalars int, uint, float, ulong, int16 can be passed")


def signatures(name, code):
    """{kernel: [parameters]} of one file; two versions under #if must agree."""
    kernels = {}
    for found in KERNEL.finditer(code):
        place = f"{name}:{code.count(chr(10), 0, found.start()) + 1}"
        inside = found[2].strip()
        parameters = [parameter(place, p) for p in inside.split(",")] if inside not in ("", "void") else []
        if kernels.setdefault(found[1], parameters) != parameters:
            raise Wrong(f"{place}: kernel '{found[1]}' appears twice with different parameters")
    return kernels


def expand(name, texts, done):
    """The lines of one file, its includes put in."""
    done.add(name)
    lines = [f'#line 1 "cl/{name}"']
    for number, line in enumerate(texts[name].rstrip("\n").split("\n"), 1):
        found = INCLUDE.match(line)
        if not found:
            lines.append(line)
            continue
        if found[1] not in texts:
            raise Wrong(f"cl/{name}:{number}: '{found[1]}' is not among the kernel files of cl/meson.build")
        if found[1] not in done:
            lines += expand(found[1], texts, done)
        lines.append(f'#line {number + 1} "cl/{name}"')
    return lines


def quoted(line):
    return '    "' + line.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '\\n"'


def generate(texts):
    code = {name: without_comments(text) for name, text in texts.items()}
    files, kernels = [], {}
    for name in texts:
        check_literals(f"cl/{name}", code[name])
        found = signatures(f"cl/{name}", code[name])
        if not found:
            continue
        for kernel, parameters in found.items():
            if kernel in kernels:
                raise Wrong(f"cl/{name}: kernel '{kernel}' exists in cl/{files[kernels[kernel][0]]} too")
            kernels[kernel] = len(files), parameters
        files.append(name)

    out = ["/* Made by tools/embed_kernels.py from cl/: do not edit. */", '#include "rt/kernels.h"', ""]
    out.append("static const struct mr_kernel_file files[] = {")
    for name in files:
        done = set()
        lines = expand("common.cl", texts, done) + expand(name, texts, done)
        out += [f'    {{"cl/{name}",'] + [quoted(line) for line in lines] + ["    },"]
    if not files:
        out.append('    {"", ""},')
    out += ["};", ""]
    for kernel, (_, parameters) in sorted(kernels.items()):
        if parameters:
            rows = ", ".join(f'{{{k}, {e}, "{n}"}}' for k, e, n in parameters)
            out.append(f"static const struct mr_parameter p_{kernel}[] = {{{rows}}};")
    out += ["", "static const struct mr_kernel kernels[] = { /* sorted by name */"]
    for kernel, (file, parameters) in sorted(kernels.items()):
        out.append(f'    {{"{kernel}", {"p_" + kernel if parameters else "0"}, {len(parameters)}, {file}}},')
    if not kernels:
        out.append('    {"", 0, 0, 0},')
    out += ["};", ""]
    out.append(f"const struct mr_kernel_table mr_kernels = {{files, {len(files)}, kernels, {len(kernels)}}};")
    return "\n".join(out) + "\n"


def main():
    output, paths = sys.argv[1], sys.argv[2:]
    texts = {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            texts[os.path.basename(path)] = file.read()
    try:
        text = generate(texts)
    except Wrong as wrong:
        sys.exit(f"{wrong}")
    with open(output, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
