#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the tests of a build folder and counts checks.

usage: report.py BUILD [NAME...]    NAME: a suite (kernels, unit, golden, cli, fuzz) or a program (rms_norm, cli_devices)

A check is one named test function. A program that runs several times (kernels: several variants) counts
each of its checks once: failed when it failed in any run, skipped when it was skipped in all of them.
Programs speak TAP on stdout. Closes with `N passed, N failed, N skipped`; exit status 0 when none failed.
"""
import json
import os
import re
import subprocess
import sys

RESULT = re.compile(r"^(ok|not ok)\s+\d+\s*(?:-\s*)?(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)")
SKIP = re.compile(r"#\s*SKIP\b\s*(.*)$", re.IGNORECASE)


class Check:
    """What one test function did in one run of its program."""

    def __init__(self, name, state, notes, reason=""):
        self.name, self.state, self.notes, self.reason = name, state, notes, reason


def parse_tap(text):
    """The checks of one run's output, and how many it had announced (None: nothing)."""
    checks, planned, notes = [], None, []
    for line in text.splitlines():
        plan, result = PLAN.match(line), RESULT.match(line)
        if plan:
            planned = int(plan[1])
        elif result:
            name, skip = result[2], SKIP.search(result[2])
            if skip:  # `ok 1 - name # SKIP reason`, or cmocka's `not ok 1 # SKIP name` after a line with the reason
                name = name[: skip.start()].strip()
                reason = skip[1] if name else (notes[-1].lstrip("# ") if notes else "no reason given")
                checks.append(Check(name or skip[1], "skipped", notes, reason))
            else:
                checks.append(Check(name, "passed" if result[1] == "ok" else "failed", notes))
            notes = []
        else:
            if line.startswith("#") and checks and checks[-1].state == "failed":
                checks[-1].notes.append(line)  # cmocka explains a failure after its line
            notes.append(line)
    return checks, planned


def checks_of_run(run):
    """The checks of one entry of Meson's log, with what went wrong around them as a check of its own."""
    checks, planned = parse_tap(run.get("stdout", ""))
    code, name, errors = run["returncode"], run["name"], run.get("stderr", "").splitlines()
    failed = any(c.state == "failed" for c in checks)
    if not checks and code == 77:
        return [Check(name, "skipped", errors, next((e for e in errors if e), "exit status 77"))]
    if not checks and code == 0 and run["result"] == "OK":
        return [Check(name, "passed", [])]
    if run["result"] == "TIMEOUT":
        checks.append(Check("(the whole program)", "failed", ["ran out of time"] + errors[-20:]))
    elif planned is not None and len(checks) < planned:
        checks.append(Check("(the whole program)", "failed",
                            [f"ended after {len(checks)} of {planned} checks, exit status {code}"] + errors[-20:]))
    elif code != 0 and not failed:
        checks.append(Check("(the whole program)", "failed", [f"exit status {code}"] + errors[-20:]))
    for c in checks:
        if c.state == "failed" and c.name != "(the whole program)":
            c.notes = c.notes + [e for e in errors[-8:] if e]
    return checks


def choose(build, wanted):
    """Meson's names of the tests that `wanted` names; all when it is empty."""
    tests = json.loads(subprocess.run(["meson", "introspect", build, "--tests"], check=True,
                                      stdout=subprocess.PIPE).stdout)
    known, names = set(), []
    for test in tests:
        program = test["name"].split()[0]
        keys = {test["name"], program, program.split("_", 1)[-1]} | {s.split(":")[-1] for s in test["suite"]}
        known |= keys
        if not wanted or keys & set(wanted):
            names.append(test["name"])
    unknown = [w for w in wanted if w not in known]
    if unknown:
        sys.exit(f"report.py: no test or suite is called {unknown[0]}; there are {', '.join(sorted(known))}")
    return names


def run_tests(build, names):
    """Runs them, shows Meson's line for each, and returns the log's entries."""
    log = os.path.join(build, "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.remove(log)
    process = subprocess.Popen(["meson", "test", "-C", build, "--no-rebuild"] + names, text=True, errors="replace",
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = []
    for line in process.stdout:
        said.append(line)
        if re.match(r"^\s*\d+/\d+ ", line):
            print(line.rstrip(), flush=True)
    process.wait()
    if not os.path.exists(log):
        sys.exit("".join(said) + "report.py: meson test wrote no log")
    with open(log, errors="replace") as f:
        runs = [json.loads(line) for line in f if line.strip()]
    for run in runs:
        run["name"] = run["name"].split(" / ")[-1]  # Meson puts the project and the suite before it
    return runs


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build, results = sys.argv[1], {}
    for run in run_tests(build, choose(build, sys.argv[2:])):
        for c in checks_of_run(run):
            results.setdefault((run["name"].split()[0], c.name), []).append((run["name"], c))
    passed, failed, skipped = 0, [], []
    for (program, name), runs in sorted(results.items()):
        bad = [(where, c) for where, c in runs if c.state == "failed"]
        if bad:
            failed.append((name, bad))
        elif all(c.state == "skipped" for _, c in runs):
            skipped.append((f"{program}: {name}", runs[0][1].reason))
        else:
            passed += 1
    for name, bad in failed:
        for where, c in bad:
            print(f"\nFAILED {where}: {name}")
            print("\n".join("    " + n for n in c.notes[-40:]))
    if skipped:
        print("\nskipped:")
    for name, reason in skipped:
        print(f"    {name}: {reason}")
    print(f"\n{passed} passed, {len(failed)} failed, {len(skipped)} skipped", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
