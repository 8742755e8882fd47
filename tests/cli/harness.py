# SPDX-License-Identifier: GPL-3.0-or-later
"""Command-line tests: every function test_* of the calling script is a check; it gets an empty folder. TAP on
stdout.

    from harness import main, run

    def test_version(folder):
        run("--version").expect(0, out=r"^microrwkv \\d")

    main()
"""
import inspect
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import traceback

SOURCE = pathlib.Path(os.environ["MICRORWKV_TEST_SOURCE"])
BUILD = pathlib.Path(os.environ["MICRORWKV_TEST_BUILD"])
DATA = os.environ.get("MICRORWKV_TEST_DATA")  # a folder with golden/ and data/, or None
PROGRAM = BUILD / "microrwkv"


class Skip(Exception):
    """Raised by a check that cannot run here; its text is the reason."""


class Result:
    """What a finished command left: status, out and err (bytes)."""

    def __init__(self, command, process):
        self.command, self.status = command, process.returncode
        self.out, self.err = process.stdout, process.stderr

    def expect(self, status, out=None, err=None):
        """Fails the check unless the exit status and the regular expressions for stdout and stderr fit."""
        shown = (f"{' '.join(map(str, self.command))}\nexit status {self.status}\nstdout: {self.out[-1500:]!r}\n"
                 f"stderr: {self.err.decode(errors='replace')[-1500:]}")
        assert self.status == status, f"expected exit status {status}: {shown}"
        for pattern, text, name in ((out, self.out, "stdout"), (err, self.err, "stderr")):
            found = pattern is None or re.search(pattern, text.decode(errors="replace"), re.MULTILINE)
            assert found, f"expected {pattern!r} on {name}: {shown}"
        return self

    def text(self):
        return self.out.decode()

    def json(self):
        """The objects on stdout, one a line; nothing else may stand there."""
        return [json.loads(line) for line in self.out.decode().splitlines()]


def execute(command, folder=None, stdin=b"", environment=None, timeout=600):
    """Runs any command. A value of None in `environment` removes that variable."""
    env = dict(os.environ)
    for key, value in (environment or {}).items():
        env.pop(key, None)
        if value is not None:
            env[key] = str(value)
    process = subprocess.run([str(c) for c in command], cwd=folder, input=stdin, env=env, timeout=timeout,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return Result(command, process)


def run(*arguments, **options):
    """Runs microrwkv with the arguments; options as in execute()."""
    return execute([PROGRAM, *arguments], **options)


def run_within(megabytes, *arguments):
    """Runs microrwkv with so much memory for its data; the check is skipped where a sanitizer needs more."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))
    command = [str(c) for c in (PROGRAM, *arguments)]
    process = subprocess.run(command, preexec_fn=limit, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
    if b"AddressSanitizer" in process.stderr:
        raise Skip("AddressSanitizer needs more memory than the limit")
    return Result(command, process)


def data(name):
    """A file of the test data that only some machines have; the check is skipped where it is missing."""
    if not DATA or not os.path.exists(os.path.join(DATA, name)):
        raise Skip(f"{name} of MICRORWKV_TEST_DATA is missing")
    return pathlib.Path(DATA, name)


def main():
    module = sys.modules["__main__"]
    checks = [f for name, f in inspect.getmembers(module, inspect.isfunction) if name.startswith("test_")]
    checks.sort(key=lambda f: f.__code__.co_firstlineno)
    print(f"1..{len(checks)}", flush=True)
    failed = 0
    for number, check in enumerate(checks, 1):
        try:
            with tempfile.TemporaryDirectory() as folder:
                check(pathlib.Path(folder))
            print(f"ok {number} - {check.__name__}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {check.__name__} # SKIP {reason}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {check.__name__}")
            print("\n".join("# " + line for line in traceback.format_exc().splitlines()), flush=True)
    sys.exit(1 if failed else 0)
