#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many lines of each folder of src/ the tests have run. usage: coverage.py BUILD [--readme HOW]

BUILD was configured with -Db_coverage=true, and its tests have run since. With --readme the numbers are written into
README.md, with today's date and HOW they were made ("the unit tests"). Kernels are not in them: that every one is
launched, `./run check` sees by `devices --verify`."""
import argparse
import collections
import datetime
import json
import pathlib
import re
import subprocess
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = re.compile(r"(<!-- coverage -->\n).*?(<!-- end of coverage -->\n)", re.DOTALL)


def lines(build):
    """{file below src/: {line: whether it was run}}"""
    found = collections.defaultdict(dict)
    for notes in sorted(build.rglob("*.gcno")):
        said = subprocess.run(["gcov", "--json-format", "--stdout", notes.resolve()], cwd=build, text=True, check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        for unit in map(json.loads, said.splitlines()):
            for file in unit["files"]:
                path = (build / file["file"]).resolve()
                if path.is_relative_to(ROOT / "src") and path.suffix == ".c":
                    seen = found[path.relative_to(ROOT / "src")]
                    for line in file["lines"]:
                        number = line["line_number"]
                        seen[number] = seen.get(number, False) or line["count"] > 0
    return found


def folders(found):
    """[(folder, lines, lines that were run)], and all of them as the last."""
    sums = collections.Counter(), collections.Counter()
    for path, seen in found.items():
        for name in (path.parts[0], "all"):
            sums[0][name] += len(seen)
            sums[1][name] += sum(seen.values())
    return [(name, sums[0][name], sums[1][name]) for name in [*sorted(set(sums[0]) - {"all"}), "all"] if sums[0][name]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path, metavar="BUILD")
    parser.add_argument("--readme", metavar="HOW")
    options = parser.parse_args()
    rows = folders(lines(options.build.resolve()))
    if not rows:
        sys.exit(f"{options.build}: no coverage found: configure it with -Db_coverage=true and run its tests")
    for name, count, run in rows:
        print(f"{name:8} {run:6} of {count:6} lines {100 * run / count:5.1f}%")
    if options.readme:
        readme = ROOT / "README.md"
        text = f"Lines of `src/` that {options.readme} run, of the files that they were linked with, on " \
               f"{datetime.date.today()} (`tools/coverage.py`): "
        text += ", ".join(f"{'all' if name == 'all' else f'`{name}`'} {100 * run / count:.0f}%" for name, count, run in rows)
        readme.write_text(TABLE.sub(lambda found: f"{found[1]}{textwrap.fill(text, 118)}.\n{found[2]}", readme.read_text()))


if __name__ == "__main__":
    main()
