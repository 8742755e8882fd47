#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the includes of src/ against src/arrows. `arrows.py STAMP` (the build) writes STAMP when all is well."""
import pathlib
import re
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "src"


def known():
    """{folder: [the folders it may include]}"""
    lines = [line.split(":") for line in (SOURCE / "arrows").read_text().splitlines() if line and line[0] != "#"]
    return {folder: names.split() for folder, names in lines}


def complaints():
    """One line for each include that goes against an arrow."""
    arrows = known()
    for path in sorted(SOURCE.glob("*/**/*.[ch]")):
        folder = path.relative_to(SOURCE).parts[0]
        if folder not in arrows:
            yield f"src/{folder}/ has no line in src/arrows"
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"(\w+)/', line)
            if found and found[1] not in {*arrows[folder], folder, "microrwkv"}:
                yield f"src/{path.relative_to(SOURCE)}:{number}: error: {folder}/ must not include {found[1]}/ (src/arrows)"


if __name__ == "__main__":
    found = list(complaints())
    print(*found, sep="\n", end="\n" if found else "")
    if found:
        sys.exit(1)
    pathlib.Path(sys.argv[1]).touch()
